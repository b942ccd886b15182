//! Leaves that are kept back although they are pending: their data cannot be read, or is not what
//! it should be. None of them becomes ready again before the server has looked at it.
//!
//! Looks are paced by engine time: the first may be made at once, the next ones after growing
//! pauses. While a look is under way its leaves are not kept back; it ends with
//! [`block`](BlockedLeaves::block) or [`clear`](BlockedLeaves::clear).
//!
//! The tables are bounded. Of a tile that has no place in them, each read is a look: its leaves may
//! be read at any time, and none becomes ready without being compared with its stored hash.

use std::collections::{BTreeMap, HashMap};

use crate::policy::backoff::Backoff;
use crate::store::TreeNumber;

/// Most trees with unreadable leaves that are kept; those of further trees wait for the next open.
const TREES_MAX: usize = 1_024;
/// Most tiles of one such tree that are kept; beyond it, the whole tree is read again.
const TILES_MAX: usize = 256;
/// Most reasons remembered for one tree; further ones are not reported.
const REASONS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(in crate::engine) struct BlockedLeaves {
    trees: HashMap<TreeNumber, Blocked>,
    /// A tree had no place here. Which one is not known, so it may be any.
    crowded: bool,
}

/// Leaves of one tree.
#[derive(Debug, Default)]
struct Blocked {
    /// Reasons that were reported, the first one first.
    reasons: Vec<String>,
    tiles: BTreeMap<u64, Held>,
    /// There is no room for all tiles.
    overflow: Option<Overflow>,
}

#[derive(Debug)]
struct Held {
    mask: u32,
    /// Those of `mask` that are being looked at, and those reported as damaged.
    looking: u32,
    told: u32,
    backoff: Backoff,
}

#[derive(Debug)]
struct Overflow {
    /// The tree is being read again.
    reading: bool,
    backoff: Backoff,
}

/// Something to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) enum Look {
    Leaves { tree: TreeNumber, tile: u64, mask: u32 },
    WholeTree(TreeNumber),
}

impl BlockedLeaves {
    /// Keeps leaves back. Returns whether the reason is new for their tree, and so to be reported.
    pub(in crate::engine) fn block(&mut self, tree: TreeNumber, tile: u64, mask: u32, why: &str, now_ms: u64) -> bool {
        if mask == 0 {
            return false;
        }
        if self.trees.len() >= TREES_MAX && !self.trees.contains_key(&tree) {
            self.crowded = true;
            return true;
        }
        let blocked = self.trees.entry(tree).or_default();
        if blocked.tiles.len() >= TILES_MAX && !blocked.tiles.contains_key(&tile) {
            let backoff = match &blocked.overflow {
                None => Backoff::failed(now_ms),
                Some(Overflow { reading: true, backoff }) => backoff.failed_again(now_ms),
                Some(Overflow { reading: false, backoff }) => *backoff,
            };
            blocked.overflow = Some(Overflow { reading: false, backoff });
        } else {
            let held = blocked.tiles.entry(tile).or_insert_with(|| Held {
                mask: 0,
                looking: 0,
                told: 0,
                backoff: Backoff::failed(now_ms),
            });
            if held.looking & mask != 0 {
                held.backoff = held.backoff.failed_again(now_ms);
            }
            held.mask |= mask;
            held.looking &= !mask;
        }
        let reasons = &mut blocked.reasons;
        let new = reasons.len() < REASONS_MAX && reasons.iter().all(|known| known != why);
        if new {
            reasons.push(why.to_owned());
        }
        new
    }

    /// Keeps damaged leaves back. Returns those that are not known to be damaged yet.
    pub(in crate::engine) fn block_damaged(
        &mut self,
        tree: TreeNumber,
        tile: u64,
        mask: u32,
        why: &str,
        now_ms: u64,
    ) -> u32 {
        self.block(tree, tile, mask, why, now_ms);
        let held = self.trees.get_mut(&tree).and_then(|blocked| blocked.tiles.get_mut(&tile));
        let Some(held) = held else { return mask };
        let news = mask & !held.told;
        held.told |= mask;
        news
    }

    /// The leaves of a tile that are kept back, one bit each.
    pub(in crate::engine) fn mask(&self, tree: TreeNumber, tile: u64) -> u32 {
        self.held(tree, tile).map_or(0, |held| held.mask & !held.looking)
    }

    /// Whether leaves of this tile are being looked at, or had no place here: what is read of it
    /// now is to be compared with the hashes that are stored.
    pub(in crate::engine) fn is_looking(&self, tree: TreeNumber, tile: u64) -> bool {
        let Some(blocked) = self.trees.get(&tree) else { return self.crowded };
        match blocked.tiles.get(&tile) {
            Some(held) => held.looking != 0 || blocked.overflow.as_ref().is_some_and(|overflow| overflow.reading),
            None => self.crowded || blocked.overflow.is_some(),
        }
    }

    fn held(&self, tree: TreeNumber, tile: u64) -> Option<&Held> {
        self.trees.get(&tree)?.tiles.get(&tile)
    }

    /// Begins the looks that are due.
    pub(in crate::engine) fn due(&mut self, now_ms: u64) -> Vec<Look> {
        let mut looks = Vec::new();
        for (tree, blocked) in &mut self.trees {
            for (tile, held) in &mut blocked.tiles {
                let mask = held.mask & !held.looking;
                if mask != 0 && held.backoff.is_due(now_ms) {
                    held.looking = held.mask;
                    looks.push(Look::Leaves { tree: *tree, tile: *tile, mask });
                }
            }
            if let Some(overflow) = blocked.overflow.as_mut().filter(|overflow| !overflow.reading)
                && overflow.backoff.is_due(now_ms)
            {
                overflow.reading = true;
                looks.push(Look::WholeTree(*tree));
            }
        }
        looks
    }

    /// The look at these leaves found them right. Of leaves that were blocked during it, it says
    /// nothing.
    pub(in crate::engine) fn found_right(&mut self, tree: TreeNumber, tile: u64, mask: u32) {
        let looked = self.held(tree, tile).map_or(0, |held| held.looking);
        self.clear(tree, tile, mask & looked);
    }

    /// Keeps leaves back no longer: they are right, or are marked as damaged.
    pub(in crate::engine) fn clear(&mut self, tree: TreeNumber, tile: u64, mask: u32) {
        let Some(blocked) = self.trees.get_mut(&tree) else { return };
        if let Some(held) = blocked.tiles.get_mut(&tile) {
            held.mask &= !mask;
            held.looking &= !mask;
            held.told &= !mask;
            if held.mask == 0 {
                blocked.tiles.remove(&tile);
            }
        }
        self.drop_empty(tree);
    }

    /// A tree was read again to its end.
    pub(in crate::engine) fn read_to_end(&mut self, tree: TreeNumber) {
        if let Some(blocked) = self.trees.get_mut(&tree) {
            blocked.overflow.take_if(|overflow| overflow.reading);
        }
        self.drop_empty(tree);
    }

    /// The looks that were under way in a tree were not made: they are due again.
    pub(in crate::engine) fn not_looked(&mut self, tree: TreeNumber) {
        for held in self.trees.get_mut(&tree).into_iter().flat_map(|blocked| blocked.tiles.values_mut()) {
            held.looking = 0;
        }
    }

    /// The content of a tree was given again: all of its looks are due.
    pub(in crate::engine) fn given_again(&mut self, tree: TreeNumber, now_ms: u64) {
        let Some(blocked) = self.trees.get_mut(&tree) else { return };
        blocked.tiles.values_mut().for_each(|held| held.backoff = Backoff::failed(now_ms));
        if let Some(overflow) = &mut blocked.overflow {
            overflow.backoff = Backoff::failed(now_ms);
        }
    }

    pub(in crate::engine) fn drop_tree(&mut self, tree: TreeNumber) {
        self.trees.remove(&tree);
    }

    /// The trees with leaves that are kept back, and the first reason of each.
    pub(in crate::engine) fn reasons(&self) -> impl Iterator<Item = (TreeNumber, &str)> {
        self.trees.iter().map(|(tree, blocked)| (*tree, blocked.reasons.first().map_or("", String::as_str)))
    }

    fn drop_empty(&mut self, tree: TreeNumber) {
        if self.trees.get(&tree).is_some_and(|blocked| blocked.tiles.is_empty() && blocked.overflow.is_none()) {
            self.trees.remove(&tree);
        }
    }
}

#[cfg(test)]
mod tests;
