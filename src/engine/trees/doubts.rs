//! Background work, in bounded steps, after a client was caught lying or a vote found no second.

use crate::merkle::TILE_LEAVES;
use crate::store::records::{DataPlace, LeafState};
use crate::store::{Command, RangeKey, TreeNumber};

use super::assure::VerifyProgress;
use crate::engine::core::Core;
use crate::engine::error::TreeError;
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;
use crate::engine::upkeep::report::UpkeepError;

/// Clients followed back, and entries of each looked at, in one step.
const SUSPECTS_PER_STEP: usize = 16;
const ENTRIES_PER_STEP: usize = 256;
/// Doubted tiles hashed in one step.
const TILES_PER_STEP: usize = 32;
impl Core {
    /// Takes one bounded step after lies: doubts earlier answers of the liars and hashes doubted
    /// leaves. Returns the amount of work done; the caller holds `auditing`.
    pub(in crate::engine) fn settle_doubts(&self) -> Result<usize, UpkeepError> {
        let mut steps = self.follow_suspects()?;
        let after = *self.doubts.doubted_after.lock();
        let doubted = self.store.read()?.doubted(after, TILES_PER_STEP)?;
        let mut skipped = None;
        for key in doubted {
            *self.doubts.doubted_after.lock() = Some(key);
            if skipped == Some(key.0) {
                continue;
            }
            let due = self.doubts.put_off.lock().is_due(key.0, self.now_ms());
            if due && self.hash_doubted(key)? {
                self.doubts.put_off.lock().forget(key.0);
                steps += 1;
            } else {
                // The others of this tree would fare no better: they are tried again after the next
                // sweep.
                *self.doubts.doubted_after.lock() = Some((key.0, u64::MAX));
                skipped = Some(key.0);
            }
        }
        Ok(steps)
    }

    /// Takes one bounded step back along the answers of clients caught lying. Returns the number of
    /// clients.
    pub(in crate::engine) fn follow_suspects(&self) -> Result<usize, UpkeepError> {
        #[cfg(feature = "testing")]
        if self.config.makes(crate::engine::mistake::Mistake::NoBacktrack) {
            return Ok(0);
        }
        let suspects = self.store.read()?.suspects(SUSPECTS_PER_STEP)?;
        if !suspects.is_empty() {
            let limit = ENTRIES_PER_STEP;
            let back = suspects.iter().map(|client| Command::Backtrack { client: *client, limit });
            for outcome in self.write_bulk(back.collect())? {
                self.report_skipped(&outcome);
            }
        }
        Ok(suspects.len())
    }

    /// Whether the doubted leaves of a tile could be hashed.
    fn hash_doubted(&self, (tree, tile): RangeKey) -> Result<bool, UpkeepError> {
        let reader = self.store.read()?;
        let Some(row) = reader.tree(tree)?.filter(|row| row.data != DataPlace::Dropped) else {
            self.doubts.put_off.lock().forget(tree);
            return Ok(false);
        };
        let mask = reader.tile(tree, tile)?.mask(TILE_LEAVES, |state| state == LeafState::Doubted);
        drop(reader);
        let of = TreeId::new(tree);
        let changed = |what: String| Event::SourceChanged { tree: of, what };
        let corrupt = |what: String| Event::CorruptionFound { tree: Some(of), what };
        match self.hash_tile(tree, &row, tile, mask) {
            Ok(upgrade) => {
                self.write_upgrades(&row.name, vec![upgrade], &mut VerifyProgress::default())?;
                let left = self.store.read()?.tile(tree, tile)?.mask(TILE_LEAVES, |state| state == LeafState::Doubted);
                if left > 0 {
                    self.put_off(tree, "doubted leaves are not what clients were sent".to_owned(), changed);
                }
                Ok(left == 0)
            }
            Err(TreeError::Unverifiable { what, .. }) => {
                self.put_off(tree, what, changed);
                Ok(false)
            }
            // An event says so.
            Err(TreeError::Damaged { .. }) => Ok(false),
            Err(TreeError::Store(error)) if error.is_one_row() => {
                self.put_off(tree, error.to_string(), corrupt);
                Ok(false)
            }
            Err(TreeError::Store(error)) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }

    /// Doubted leaves of a tree cannot be hashed now: the next try is after a pause, and a new
    /// reason is reported.
    pub(in crate::engine) fn put_off(&self, tree: TreeNumber, why: String, event: impl FnOnce(String) -> Event) {
        let new = self.doubts.put_off.lock().failed(tree, &why, self.now_ms());
        if new {
            self.events.later(event(why));
        }
    }
}
