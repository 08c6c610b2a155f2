//! Collects problems by key, and finds the place of each.

use std::collections::BTreeSet;

use super::problems::{KeyPath, Place, Problem, Step};
use super::yaml::{Node, Scalar, Value};

/// The problems and the doubts of one file so far.
pub(super) struct Report<'t> {
    root: &'t Node,
    stand_ins: BTreeSet<KeyPath>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(super) fn new(root: &'t Node, problems: Vec<Problem>, stand_ins: BTreeSet<KeyPath>) -> Self {
        Self { root, stand_ins, problems, warnings: Vec::new() }
    }

    /// Adds a problem with the value at `key`, unless a mistake told before is behind it.
    pub(super) fn problem(&mut self, key: &KeyPath, message: impl Into<String>) {
        if !self.stand_ins.iter().any(|stand_in| key.is_within(stand_in)) {
            self.problems.push(self.about(key, message));
        }
    }

    /// Adds something that is allowed and hardly meant.
    pub(super) fn warning(&mut self, key: &KeyPath, message: impl Into<String>) {
        self.warnings.push(self.about(key, message));
    }

    /// Whether the value at `key`, with all below it, is what the file says or leaves out, and no stand-in.
    pub(super) fn is_written(&self, key: &KeyPath) -> bool {
        !self.stand_ins.iter().any(|stand_in| stand_in.is_within(key) || key.is_within(stand_in))
    }

    /// What the file has at `key`, as a message may show it.
    pub(super) fn shown(&self, key: &KeyPath) -> &'t str {
        scalar(self.root, key).map_or("", Scalar::shown)
    }

    /// The line of the value at `key`.
    pub(super) fn line(&self, key: &KeyPath) -> usize {
        place(self.root, key).line
    }

    fn about(&self, key: &KeyPath, message: impl Into<String>) -> Problem {
        Problem { place: Some(place(self.root, key)), key: key.clone(), message: message.into() }
    }
}

/// Where the value at `key` is written, or the nearest block around it that is: the value itself when it is a single
/// one, else the key that it stands under.
pub(super) fn place(root: &Node, key: &KeyPath) -> Place {
    let (mut node, mut place) = (root, root.place);
    for step in key.steps() {
        let Some((key_place, child)) = node.child(step) else { break };
        place = match child.value {
            Value::Scalar(_) => child.place,
            _ => key_place.unwrap_or(child.place),
        };
        node = child;
    }
    place
}

/// The single value at `key`, if there is one.
pub(super) fn scalar<'t>(root: &'t Node, key: &KeyPath) -> Option<&'t Scalar> {
    let node = key.steps().iter().try_fold(root, |node, step| node.child(step).map(|(_, child)| child))?;
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

impl Node {
    fn child(&self, step: &Step) -> Option<(Option<Place>, &Self)> {
        match (&self.value, step) {
            (Value::List(items), Step::Index(index)) => items.get(*index).map(|item| (None, item)),
            (Value::Block(entries), Step::Key(name)) => {
                entries.iter().find(|(key, _)| key.text == *name).map(|(key, value)| (Some(key.place), value))
            }
            _ => None,
        }
    }
}
