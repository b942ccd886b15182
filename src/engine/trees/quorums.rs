//! Votes short of a quorum: their listing, and their end when they wait too long.

use std::time::Duration;

use serde::Serialize;

use crate::hash::hash_batch;
use crate::merkle::{AlignedRange, Shape};
use crate::policy::lease::{Claim, Lease};
use crate::policy::ready::mask_of;
use crate::protocol::{WorkId, data_digest};
use crate::store::rows::{HashWork, QuorumRow, TreeRow, TreeState};
use crate::store::{Command, Outcome, RangeKey, Referee, StoreError, TreeNumber, random};

use crate::engine::answers::again;
use crate::engine::answers::held;
use crate::engine::answers::settled;
use crate::engine::backlog::leaf_bytes::leaf_bytes;
use crate::engine::checked::whole_ms;
use crate::engine::config::Config;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::engine::handle::PouwEngine;
use crate::engine::upkeep::report::UpkeepError;
use crate::engine::writer::Unwritten;

/// The votes of incomplete quorums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OpenQuorums {
    /// Units with votes.
    pub units: u64,
    /// Leaves in them; all are pending.
    pub leaves: u64,
    /// The votes.
    pub votes: u64,
    /// Micro-Joules to be credited for them when their quorums are complete.
    #[serde(rename = "deferredMicroJoules")]
    pub deferred: u64,
    /// Whether there are more units than were counted.
    pub more: bool,
}

/// Rows read at once.
const PAGE: usize = 256;
/// Open quorums looked at, and ended, in one sweep.
const QUORUMS_PER_SWEEP: usize = 2_048;
const REFEREED_PER_SWEEP: usize = 64;

impl PouwEngine {
    /// Returns the votes of the first `limit` units that have any.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn open_quorums(&self, limit: u64) -> Result<OpenQuorums, StoreError> {
        let reader = self.core().store.read()?;
        let mut sum = OpenQuorums::default();
        let mut after = None;
        loop {
            let page = reader.quorums(after, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(sum) };
            after = Some(*last);
            for (_, row) in &page {
                if sum.units == limit {
                    return Ok(OpenQuorums { more: true, ..sum });
                }
                sum.units += 1;
                // An unreadable row is reported where it is used.
                let Ok(row) = row else { continue };
                sum.leaves += row.votes.first().map_or(0, |vote| vote.leaves.len() as u64);
                sum.votes += row.votes.len() as u64;
                sum.deferred = row.votes.iter().fold(sum.deferred, |sum, vote| sum.saturating_add(vote.award));
            }
        }
    }
}

impl Config {
    /// Time that votes wait for equal ones before the server hashes their leaves itself.
    pub fn quorum_wait(&self) -> Duration {
        self.settings.quorum_wait
    }
}

/// Ends quorums whose first vote has waited too long: the server hashes their leaves. Returns
/// their number, and whether there may be more.
pub(in crate::engine) fn referee_due(core: &Core) -> Result<(usize, bool), UpkeepError> {
    let after = *core.doubts.quorum_after.lock();
    let page = core.store.read()?.quorums(after, QUORUMS_PER_SWEEP)?;
    let full = page.len() == QUORUMS_PER_SWEEP;
    *core.doubts.quorum_after.lock() = if full { page.last().map(|(key, _)| *key) } else { None };
    let now = core.time.now_ms();
    let wait = whole_ms(core.config.settings.quorum_wait);
    let mut ended = 0;
    for (key, row) in page {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                core.events.corruption(Some(key.0), error.to_string());
                continue;
            }
        };
        if now.saturating_sub(row.since_ms) < wait {
            continue;
        }
        if ended == REFEREED_PER_SWEEP {
            // Looked at again with the next sweep, from here on.
            *core.doubts.quorum_after.lock() = after;
            return Ok((ended, true));
        }
        match end_quorum(core, key, &row) {
            Ok(done) => ended += usize::from(done),
            // One that cannot be ended does not keep the others waiting.
            Err(UpkeepError::Store(error)) if error.is_one_row() => {
                core.events.corruption(Some(key.0), error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok((ended, full))
}

/// Hashes the leaves of a range with votes. The server holds a lease on them meanwhile, as a
/// client would.
fn end_quorum(core: &Core, (tree, start): RangeKey, votes: &QuorumRow) -> Result<bool, UpkeepError> {
    let Some(row) = core.store.read()?.tree(tree)?.filter(|row| row.state == TreeState::Active) else {
        return Ok(false);
    };
    let range = Shape::new(row.leaves).and_then(|shape| AlignedRange::new(shape, start, votes.order));
    let (Ok(range), Ok(salt)) = (range, random::<10>()) else { return Ok(false) };
    let id = WorkId::from_parts(core.time.now_ms(), salt);
    let claim = Claim::Leaves { tree, range };
    let lease = Lease { id, claim, expires_ms: u64::MAX, pinned: true, refusals: 0 };
    let held = {
        let mut queue = core.queue.lock();
        // Kept back: its data cannot be read before a look at it. Or out with a client: its
        // answer may complete the quorum.
        let kept_back = queue.blocked.mask(tree, range.tile()) & mask_of(&range) != 0;
        if kept_back || queue.leases.insert(lease.clone()).is_err() {
            return Ok(false);
        }
        queue.ring.withdraw(tree, &range);
        drop(queue);
        held::hold_new(core, &lease)
    };
    let Some(first_leaf) = hash_voted(core, tree, &row, range, votes)? else {
        held.give_back();
        return Ok(false);
    };
    held.end(|queue, lease| queue.settled(lease, first_leaf));
    core.background.wake();
    Ok(true)
}

/// Returns whether it completed the tree's first leaf; `None` if it changed nothing.
fn hash_voted(
    core: &Core,
    tree: TreeNumber,
    row: &TreeRow,
    range: AlignedRange,
    votes: &QuorumRow,
) -> Result<Option<bool>, UpkeepError> {
    let data = match again::load_leaves(core, (tree, row), &range) {
        Ok(data) => data,
        Err(SubmitError::Store(error)) => return Err(error.into()),
        // The source cannot be read; an event says so.
        Err(_) => return Ok(None),
    };
    let slices: Vec<&[u8]> = (0..data.ends.len()).filter_map(|index| leaf_bytes(&data, index)).collect();
    let work = HashWork::of(slices.iter().map(|leaf| leaf.len() as u64));
    let (hashes, data_digest) = (hash_batch(&slices), data_digest(&data.bytes));
    let (votes_seen, at_ms) = (votes.votes.len(), core.time.now_ms());
    let referee = Referee { tree, range, hashes, votes_seen, data_digest, work, at_ms };
    let outcomes = match core.writer.write_rows(vec![Command::Referee(referee)]) {
        Err(Unwritten::Row(what)) => {
            core.events.corruption(Some(tree), what);
            return Ok(None);
        }
        Err(Unwritten::Storage(error)) => return Err(error.into()),
        Ok(outcomes) => outcomes,
    };
    let Some(Outcome::Judged { liars, first_leaf, .. }) = outcomes.into_iter().next() else {
        return Ok(None);
    };
    settled::note_liars(core, &liars);
    Ok(Some(first_leaf))
}
