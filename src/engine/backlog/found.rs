//! Damaged leaves that are not marked in the store yet.

use std::collections::VecDeque;

use crate::store::{Damage, TreeNumber};

use crate::engine::locks::{Rank, Ranked};

/// Most damaged tiles that wait to be marked in the store. Leaves of further ones are kept back in
/// memory, and found again by the next look at them.
const FOUND_MAX: usize = 4_096;
/// Most trees that are remembered as mended.
const MENDED_MAX: usize = 1_024;

#[derive(Debug)]
pub(in crate::engine) struct Found(Ranked<State>);

#[derive(Debug, Default)]
struct State {
    /// At most [`FOUND_MAX`].
    damage: Vec<Damage>,
    /// Trees that an ingest has mended in this boot, the last [`MENDED_MAX`].
    mended: VecDeque<TreeNumber>,
}

impl Default for Found {
    fn default() -> Self {
        Self(Ranked::new(Rank::Found, State::default()))
    }
}

impl Found {
    pub(super) fn push(&self, damage: Damage) {
        let found = &mut self.0.lock().damage;
        if found.len() < FOUND_MAX && !found.contains(&damage) {
            found.push(damage);
        }
    }

    pub(super) fn all(&self) -> Vec<Damage> {
        self.0.lock().damage.clone()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.lock().damage.is_empty()
    }

    /// Removes those that are marked now.
    pub(super) fn marked(&self, damage: &[Damage]) {
        self.0.lock().damage.retain(|found| !damage.contains(found));
    }

    /// The content of the tree was given again, and is stored. What is found in it from now on may
    /// have been read before.
    pub(in crate::engine) fn mended_again(&self, tree: TreeNumber) {
        let mut found = self.0.lock();
        found.damage.retain(|damage| damage.tree != tree);
        found.mended.retain(|known| *known != tree);
        found.mended.push_back(tree);
        if found.mended.len() > MENDED_MAX {
            found.mended.pop_front();
        }
    }

    /// What was found in trees that an ingest has mended.
    pub(super) fn mended(&self) -> Vec<Damage> {
        let found = self.0.lock();
        found.damage.iter().filter(|damage| found.mended.contains(&damage.tree)).copied().collect()
    }
}
