//! Marking leaves whose stored data is not what was ingested, and leaves that are mended.

use std::ops::ControlFlow;

use crate::merkle::TILE_LEAVES;
use crate::store::command::claims::{Damage, Repair};
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{HashReason, LeafState, TreeState, range_end};
use crate::store::schema::{Damaged, Quorums};

use super::batch::Batch;

impl<R: Txn> Batch<'_, R> {
    pub(super) fn mark_damaged(&mut self, damage: &Damage) -> Result<Outcome, StoreError> {
        let Damage { tree, tile, mask } = *damage;
        let leaves = match self.tree(tree)? {
            None => return Ok(Outcome::Refused(Refused::TreeGone)),
            Some(row) if row.state != TreeState::Active => return Ok(Outcome::Refused(Refused::TreeState(row.state))),
            Some(row) => row.leaves,
        };
        let first = tile * TILE_LEAVES;
        let there = |slot: &u64| mask & (1 << slot) != 0 && first + slot < leaves;
        let open = !self.voted(tree, tile)?;
        let (mut marked, mut damaged) = (Vec::new(), 0);
        self.edit_tile(tree, tile, |row| {
            for slot in (0..TILE_LEAVES).filter(there) {
                if row.state(slot) == LeafState::Pending && open & (1 << slot) != 0 {
                    row.set(slot, LeafState::Damaged);
                    marked.push(first + slot);
                }
                damaged |= u32::from(row.state(slot) == LeafState::Damaged) << slot;
            }
        })?;
        for leaf in &marked {
            self.rows.put(Damaged, &(tree, *leaf), &())?;
        }
        let pending = &mut self.head.totals.pending;
        *pending = pending.saturating_sub(marked.len() as u64);
        Ok(Outcome::Marked { damaged })
    }

    /// The leaves of a tile that clients have voted on, one bit each. Where a row does not decode,
    /// that is all leaves from its first one on.
    fn voted(&self, tree: u64, tile: u64) -> Result<u32, StoreError> {
        let first = tile * TILE_LEAVES;
        let mut voted = 0;
        self.rows.each(Quorums, (tree, first)..(tree, first + TILE_LEAVES), |(_, start), row| {
            let end = row.map_or(u64::MAX, |row| range_end(start, row.order));
            for leaf in start..end.min(first + TILE_LEAVES) {
                voted |= 1 << (leaf - first);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(voted)
    }

    pub(super) fn repair(&mut self, repair: &Repair) -> Result<Outcome, StoreError> {
        let Repair { tree, leaves, work } = repair;
        let place = self.account_place(*tree)?;
        self.account.count_server(place, HashReason::Ingest, *work);
        let known = match self.tree(*tree)? {
            Some(row) if row.state == TreeState::Active => row.strategy.knows_answers(),
            _ => return Ok(Outcome::Refused(Refused::TreeGone)),
        };
        // Only blocks with known hashes were hashed for it. In other trees the work is still to be
        // done and paid.
        let now = if known { LeafState::Verified } else { LeafState::Pending };
        let mut repaired = 0;
        for leaf in leaves {
            self.rows.remove(Damaged, &(*tree, *leaf))?;
            // The state decides: it has a checksum, and the row does not.
            let state = self.tile((*tree, leaf / TILE_LEAVES))?.state(leaf % TILE_LEAVES);
            if state == LeafState::Damaged {
                self.edit_tile(*tree, leaf / TILE_LEAVES, |row| row.set(leaf % TILE_LEAVES, now))?;
                repaired += 1;
            }
        }
        // They were not counted as pending while they were damaged.
        self.head.totals.pending += repaired;
        let done = if known { repaired } else { 0 };
        let progress = self.leaves_done(*tree, done)?.unwrap_or_default();
        Ok(Outcome::Judged {
            corrected: Vec::new(),
            liars: Vec::new(),
            first_leaf: progress.first_leaf,
            leaves_complete: progress.leaves_complete,
        })
    }
}
