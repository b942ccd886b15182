//! Background work, in bounded steps, after a client was caught lying or a vote found no second.

use std::collections::BTreeMap;

use crate::hash::hash_batch;
use crate::merkle::{AlignedRange, Shape, TILE_LEAVES};
use crate::policy::backoff::Backoff;
use crate::policy::lease::{Claim, Lease};
use crate::policy::ready::mask_of;
use crate::protocol::{WorkId, data_digest};
use crate::store::records::{DataPlace, HashWork, LeafState, QuorumRow, TreeRow, TreeState};
use crate::store::{Command, Outcome, RangeKey, Referee, TreeNumber, random};

use super::backlog::leaf_bytes::leaf_bytes;
use super::core::Core;
use super::error::{SubmitError, TreeError};
use super::event::Event;
use super::policy::VerifyProgress;
use super::tree_id::TreeId;
use super::upkeep::UpkeepError;
use super::writer::Unwritten;

/// Clients followed back, and entries of each looked at, in one step.
const SUSPECTS_PER_STEP: usize = 16;
const ENTRIES_PER_STEP: usize = 256;
/// Doubted tiles hashed in one step.
const TILES_PER_STEP: usize = 32;
/// Open quorums looked at, and ended, in one sweep.
const QUORUMS_PER_SWEEP: usize = 2_048;
const REFEREED_PER_SWEEP: usize = 64;

/// Trees for which something cannot be done, the reason, and when that is tried again.
#[derive(Debug, Default)]
pub(super) struct PutOff(BTreeMap<TreeNumber, (String, Backoff)>);

/// Most such trees that are remembered. Further ones are tried each time, and not reported.
const PUT_OFF_MAX: usize = 1_024;

impl PutOff {
    pub(super) fn is_due(&self, tree: TreeNumber, now_ms: u64) -> bool {
        self.0.get(&tree).is_none_or(|(_, backoff)| backoff.is_due(now_ms))
    }

    /// A try is worth while: the content of the tree was given again.
    pub(super) fn forget(&mut self, tree: TreeNumber) {
        self.0.remove(&tree);
    }

    /// Returns whether the reason is to be reported.
    pub(super) fn failed(&mut self, tree: TreeNumber, why: &str, now_ms: u64) -> bool {
        if let Some((known, backoff)) = self.0.get_mut(&tree) {
            *backoff = backoff.failed_again(now_ms);
            let new = known != why;
            why.clone_into(known);
            return new;
        }
        let room = self.0.len() < PUT_OFF_MAX;
        if room {
            self.0.insert(tree, (why.to_owned(), Backoff::failed(now_ms)));
        }
        room
    }
}

impl Core {
    /// Takes one bounded step after lies: doubts earlier answers of the liars and hashes doubted
    /// leaves. Returns the amount of work done; the caller holds `auditing`.
    pub(super) fn settle_doubts(&self) -> Result<usize, UpkeepError> {
        let mut steps = self.follow_suspects()?;
        let after = *self.doubted_after.lock();
        let doubted = self.store.read()?.doubted(after, TILES_PER_STEP)?;
        let mut skipped = None;
        for key in doubted {
            *self.doubted_after.lock() = Some(key);
            if skipped == Some(key.0) {
                continue;
            }
            let due = self.put_off.lock().is_due(key.0, self.now_ms());
            if due && self.hash_doubted(key)? {
                self.put_off.lock().0.remove(&key.0);
                steps += 1;
            } else {
                // The others of this tree would fare no better: they are tried again after the next
                // sweep.
                *self.doubted_after.lock() = Some((key.0, u64::MAX));
                skipped = Some(key.0);
            }
        }
        Ok(steps)
    }

    /// Takes one bounded step back along the answers of clients caught lying. Returns the number of
    /// clients.
    pub(super) fn follow_suspects(&self) -> Result<usize, UpkeepError> {
        #[cfg(feature = "testing")]
        if self.config.makes(super::testing::Mistake::NoBacktrack) {
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
            self.put_off.lock().0.remove(&tree);
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
    pub(super) fn put_off(&self, tree: TreeNumber, why: String, event: impl FnOnce(String) -> Event) {
        let new = self.put_off.lock().failed(tree, &why, self.now_ms());
        if new {
            self.later(event(why));
        }
    }

    /// Ends quorums whose first vote has waited too long: the server hashes their leaves. Returns
    /// their number, and whether there may be more.
    pub(super) fn referee_due(&self) -> Result<(usize, bool), UpkeepError> {
        let after = *self.quorum_after.lock();
        let page = self.store.read()?.quorums(after, QUORUMS_PER_SWEEP)?;
        let full = page.len() == QUORUMS_PER_SWEEP;
        *self.quorum_after.lock() = if full { page.last().map(|(key, _)| *key) } else { None };
        let now = self.now_ms();
        let wait = super::checked::whole_ms(self.config.settings.quorum_wait);
        let mut ended = 0;
        for (key, row) in page {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    self.corruption(Some(key.0), error.to_string());
                    continue;
                }
            };
            if now.saturating_sub(row.since_ms) < wait {
                continue;
            }
            if ended == REFEREED_PER_SWEEP {
                // Looked at again with the next sweep, from here on.
                *self.quorum_after.lock() = after;
                return Ok((ended, true));
            }
            match self.end_quorum(key, &row) {
                Ok(done) => ended += usize::from(done),
                // One that cannot be ended does not keep the others waiting.
                Err(UpkeepError::Store(error)) if error.is_one_row() => {
                    self.corruption(Some(key.0), error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok((ended, full))
    }

    /// Hashes the leaves of a range with votes. The server holds a lease on them meanwhile, as a
    /// client would.
    fn end_quorum(&self, (tree, start): RangeKey, votes: &QuorumRow) -> Result<bool, UpkeepError> {
        let Some(row) = self.store.read()?.tree(tree)?.filter(|row| row.state == TreeState::Active) else {
            return Ok(false);
        };
        let range = Shape::new(row.leaves).and_then(|shape| AlignedRange::new(shape, start, votes.order));
        let (Ok(range), Ok(salt)) = (range, random::<10>()) else { return Ok(false) };
        let id = WorkId::from_parts(self.now_ms(), salt);
        let claim = Claim::Leaves { tree, range };
        let lease = Lease { id, claim, expires_ms: u64::MAX, pinned: true, refusals: 0 };
        let held = {
            let mut queue = self.queue.lock();
            // Kept back: its data cannot be read before a look at it. Or out with a client: its
            // answer may complete the quorum.
            let kept_back = queue.blocked.mask(tree, range.tile()) & mask_of(&range) != 0;
            if kept_back || queue.leases.insert(lease.clone()).is_err() {
                return Ok(false);
            }
            queue.ring.withdraw(tree, &range);
            drop(queue);
            self.hold_new(&lease)
        };
        let Some(first_leaf) = self.hash_voted(tree, &row, range, votes)? else {
            held.give_back();
            return Ok(false);
        };
        held.end(|queue, lease| queue.settled(lease, first_leaf));
        self.wake();
        Ok(true)
    }

    /// Returns whether it completed the tree's first leaf; `None` if it changed nothing.
    fn hash_voted(
        &self,
        tree: TreeNumber,
        row: &TreeRow,
        range: AlignedRange,
        votes: &QuorumRow,
    ) -> Result<Option<bool>, UpkeepError> {
        let data = match self.load_leaves((tree, row), &range) {
            Ok(data) => data,
            Err(SubmitError::Store(error)) => return Err(error.into()),
            // The source cannot be read; an event says so.
            Err(_) => return Ok(None),
        };
        let slices: Vec<&[u8]> = (0..data.ends.len()).filter_map(|index| leaf_bytes(&data, index)).collect();
        let work = HashWork::of(slices.iter().map(|leaf| leaf.len() as u64));
        let (hashes, data_digest) = (hash_batch(&slices), data_digest(&data.bytes));
        let (votes_seen, at_ms) = (votes.votes.len(), self.now_ms());
        let referee = Referee { tree, range, hashes, votes_seen, data_digest, work, at_ms };
        let outcomes = match self.write_rows(vec![Command::Referee(referee)]) {
            Err(Unwritten::Row(what)) => {
                self.corruption(Some(tree), what);
                return Ok(None);
            }
            Err(Unwritten::Storage(error)) => return Err(error.into()),
            Ok(outcomes) => outcomes,
        };
        let Some(Outcome::Judged { liars, first_leaf, .. }) = outcomes.into_iter().next() else {
            return Ok(None);
        };
        self.note_liars(&liars);
        Ok(Some(first_leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_that_cannot_be_settled_are_tried_ever_more_rarely_and_reported_once() {
        let mut put_off = PutOff::default();
        let mut tries = Vec::new();
        for second in 0..40 {
            let now = second * 1_000;
            if put_off.is_due(1, now) {
                assert_eq!(put_off.failed(1, "gone", now), second == 0);
                tries.push(second);
            }
        }
        assert_eq!(tries, [0, 1, 2, 4, 8, 16, 32]);
        assert!(put_off.failed(1, "changed", 40_000), "another reason");
        for tree in 2..2_000 {
            assert_eq!(put_off.failed(tree, "gone", 0), tree <= PUT_OFF_MAX as u64);
        }
        assert!(put_off.is_due(2_000, 0));
    }
}
