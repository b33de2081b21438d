//! Names as labels of metrics: so many, and no more.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Names of one kind that are labels; further ones are counted together.
pub(super) const LABELS_MAX: usize = 1000;
/// What stands for further names.
pub(super) const OTHER: &str = "other";

/// The names of one kind that are labels. The first ones win, so that a series never changes its meaning.
#[derive(Debug, Default)]
pub(super) struct Labels(Mutex<BTreeSet<String>>);

impl Labels {
    /// The name, or [`OTHER`] once there are too many.
    pub(super) fn of(&self, name: &str) -> String {
        if self.has(name) { name.to_owned() } else { OTHER.to_owned() }
    }

    /// Whether the name is a label of its own.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(name) || (known.len() < LABELS_MAX && known.insert(name.to_owned()))
    }
}
