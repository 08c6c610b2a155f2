//! Collects problems by key.

use std::collections::BTreeSet;

use super::index::Index;
use super::problems::{KeyPath, Problem};

/// The problems and the doubts of one file so far.
pub(super) struct Report<'t> {
    index: Index<'t>,
    stand_ins: BTreeSet<KeyPath>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'t> Report<'t> {
    /// Goes on from `problems`. `stand_ins` are the keys whose values were wrong and are not as the file has them.
    pub(super) fn new(index: Index<'t>, stand_ins: BTreeSet<KeyPath>, problems: Vec<Problem>) -> Self {
        Self { index, stand_ins, problems, warnings: Vec::new() }
    }

    /// Adds a problem with the value at `key`, unless a mistake told before is behind it.
    pub(super) fn problem(&mut self, key: &KeyPath, message: impl Into<String>) {
        if !self.is_in_stand_in(key) {
            self.problems.push(self.about(key, message));
        }
    }

    /// Adds something that is allowed and hardly meant.
    pub(super) fn warning(&mut self, key: &KeyPath, message: impl Into<String>) {
        self.warnings.push(self.about(key, message));
    }

    /// Whether the value at `key`, with all below it, is what the file says or leaves out, and no stand-in.
    pub(super) fn is_written(&self, key: &KeyPath) -> bool {
        // What stands below a key is sorted right behind it.
        let below = self.stand_ins.range(key..).next().is_some_and(|stand_in| stand_in.is_within(key));
        !below && !self.is_in_stand_in(key)
    }

    /// Whether the file has a single value at `key`, be it an empty one.
    pub(super) fn is_there(&self, key: &KeyPath) -> bool {
        self.index.scalar(key).is_some()
    }

    /// What the file has at `key`, as a message may show it.
    pub(super) fn shown(&self, key: &KeyPath) -> String {
        self.index.scalar(key).map(|scalar| scalar.shown()).unwrap_or_default()
    }

    /// The line of the value at `key`.
    pub(super) fn line(&self, key: &KeyPath) -> usize {
        self.index.place(key).map_or(1, |place| place.line)
    }

    fn is_in_stand_in(&self, key: &KeyPath) -> bool {
        std::iter::successors(Some(key.clone()), KeyPath::parent).any(|key| self.stand_ins.contains(&key))
    }

    fn about(&self, key: &KeyPath, message: impl Into<String>) -> Problem {
        Problem { place: self.index.place(key), key: key.clone(), message: message.into() }
    }
}
