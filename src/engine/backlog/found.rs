//! Damaged leaves that are not marked in the store yet.

use crate::store::{Damage, TreeNumber};

use crate::engine::locks::{Rank, Ranked};

/// Most damaged tiles that wait to be marked in the store. Leaves of further ones are kept back in
/// memory, and found again by the next look at them.
const FOUND_MAX: usize = 4_096;

/// Bounded by [`FOUND_MAX`].
#[derive(Debug)]
pub(in crate::engine) struct Found(Ranked<Vec<Damage>>);

impl Default for Found {
    fn default() -> Self {
        Self(Ranked::new(Rank::Found, Vec::new()))
    }
}

impl Found {
    pub(super) fn push(&self, damage: Damage) {
        let mut found = self.0.lock();
        if found.len() < FOUND_MAX && !found.contains(&damage) {
            found.push(damage);
        }
    }

    pub(super) fn all(&self) -> Vec<Damage> {
        self.0.lock().clone()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Removes those that are marked now.
    pub(super) fn marked(&self, damage: &[Damage]) {
        self.0.lock().retain(|found| !damage.contains(found));
    }

    /// The content of the tree was given again.
    pub(in crate::engine) fn forget(&self, tree: TreeNumber) {
        self.0.lock().retain(|found| found.tree != tree);
    }
}
