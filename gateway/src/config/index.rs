//! Finds what a file has at a key, and where.

use std::collections::HashMap;

use super::problems::{KeyPath, Place};
use super::yaml::{Node, Scalar, Value};

/// Every value of one file by its key.
pub(super) struct Index<'t>(HashMap<KeyPath, Entry<'t>>);

struct Entry<'t> {
    place: Place,
    scalar: Option<&'t Scalar>,
}

impl<'t> Index<'t> {
    pub(super) fn of(root: &'t Node) -> Self {
        let mut index = Self(HashMap::new());
        index.add(root, None, KeyPath::default());
        index
    }

    /// Where the value at `key` is written, or the nearest block around it that is.
    pub(super) fn place(&self, key: &KeyPath) -> Option<Place> {
        std::iter::successors(Some(key.clone()), KeyPath::parent)
            .find_map(|key| self.0.get(&key))
            .map(|entry| entry.place)
    }

    /// The single value at `key`, if there is one.
    pub(super) fn scalar(&self, key: &KeyPath) -> Option<&'t Scalar> {
        self.0.get(key)?.scalar
    }

    fn add(&mut self, node: &'t Node, key: Option<Place>, path: KeyPath) {
        let mut scalar = None;
        match &node.value {
            Value::Scalar(single) => scalar = Some(single),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(item, None, path.index(index));
                }
            }
            Value::Block(entries) => {
                for (key, value) in entries {
                    self.add(value, Some(key.place), path.key(&key.text));
                }
            }
        }
        self.0.insert(path, Entry { place: node.pointed_at(key), scalar });
    }
}

impl Node {
    /// Where a problem with this value is shown: at the value when it is a single one, else at the key it stands under.
    pub(super) fn pointed_at(&self, key: Option<Place>) -> Place {
        match self.value {
            Value::Scalar(_) => self.place,
            _ => key.unwrap_or(self.place),
        }
    }
}
