//! Counters and sizes, read at once.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::ByTier;
use crate::store::rows::{StoreTotals, UsefulnessAccount};

use super::backlog::queue::Queue;
use super::clients::response_times::ResponseTimes;
use super::handle::PouwEngine;
use super::pulse::ThreadStats;
use super::scrub::ScrubStats;
use super::tree_id::TreeId;
use crate::engine::clients::response_times;
use crate::engine::scrub::walk;

/// Counters and sizes of an engine. Counts named `this_boot` start at zero with every open;
/// `totals` are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sums over everything ever accepted, from the store.
    pub totals: StoreTotals,
    /// Totals of offloaded work, by strategy; durable but for the counts of the last half second.
    pub account: UsefulnessAccount,
    /// Commits of the state file.
    pub commits: u64,
    /// Commits that failed in the storage this boot. One that failed for a single damaged row is
    /// not counted.
    pub commits_failed: u64,
    /// Of these, the ones since the last successful commit.
    pub commits_failed_in_row: u64,
    /// Ledger entries ever written.
    pub ledger_entries: u64,
    /// Counts the openings of this store.
    pub boot: u64,
    /// Units ready to be issued.
    pub ready_units: usize,
    /// Bytes of block data in them.
    pub ready_bytes: usize,
    /// Units with votes that wait for an eligible client; some of them are among the ready ones.
    pub votes_waiting: usize,
    /// Units issued and not answered.
    pub leases: usize,
    /// Interior nodes ready to be issued.
    pub ready_interior: usize,
    /// Trees whose data could not be read, with the reason; at most 1 024.
    pub blocked: Vec<BlockedTree>,
    /// Wrong answers whose tokens are not written yet.
    pub refused_waiting: usize,
    /// Clients whose difficulty is remembered.
    pub standings: usize,
    /// Changes of those not written yet.
    pub standings_waiting: usize,
    /// Approximate bytes held for ready units, leases, refused tokens and standings, without the
    /// overhead of the allocator.
    pub memory_bytes: usize,
    /// Changed client rows not written yet.
    pub dirty_clients: usize,
    /// Units issued this boot, by tier.
    pub issued_this_boot: ByTier<u64>,
    /// Of these, units smaller than the size of their tier.
    pub shortfalls_this_boot: ByTier<u64>,
    /// Made-up units issued this boot.
    pub synthetic_this_boot: u64,
    /// Interior units issued this boot.
    pub interior_this_boot: u64,
    /// Bytes of block data issued this boot.
    pub bytes_this_boot: u64,
    /// Challenges withdrawn this boot.
    pub withdrawn_this_boot: u64,
    /// Leases expired this boot.
    pub expired_this_boot: u64,
    /// Parents hashed by the server this boot, to fold and validate trees.
    pub folds_this_boot: u64,
    /// Response times of this boot, by tier.
    pub responses: ByTier<ResponseTimes>,
    /// Sizes of the files.
    pub file_bytes: FileBytes,
    /// Whether a sync failed or the engine was closed: nothing can be written until it is opened
    /// again.
    pub closed: bool,
    /// Why nothing can be read or written until the process restarts; see
    /// [`PouwEngine::failure`].
    pub failure: Option<String>,
    /// What scrubbing has read and found, and how far it is.
    pub scrub: ScrubStats,
    /// The threads of the engine: the one that writes, and the background threads if there are any.
    pub threads: Vec<ThreadStats>,
}

/// A tree whose data could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockedTree {
    /// The tree.
    pub tree: TreeId,
    /// The reason.
    pub why: String,
}

/// Sizes of the files of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileBytes {
    /// Bytes of the state file.
    pub state: u64,
    /// Bytes of the block file.
    pub blocks: u64,
}

impl PouwEngine {
    /// The number of commits that failed in the storage. In the callback of a failed write, on the
    /// writer's thread, it includes that commit: every write of it gets its callback before the
    /// next commit begins.
    #[cfg(feature = "gate")]
    pub(crate) fn commits_failed(&self) -> u64 {
        self.core().tallies.commits_failed.load(Ordering::SeqCst)
    }

    /// Returns counters and sizes. Of the disk it reads the sizes of the files only.
    pub fn stats(&self) -> Stats {
        let core = self.core();
        let head = core.store.head();
        let tallies = &core.tallies;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Everything that may wait for something is read before the queue is locked.
        let ((state, blocks), dirty_clients) = (core.store.file_bytes(), core.store.dirty_clients());
        let responses = response_times::response_times(core);
        let refused_waiting = core.refused.len();
        let refused_bytes = core.refused.memory_bytes();
        let (standings, standings_waiting, standings_bytes) = {
            let standings = core.clients.standings.lock();
            (standings.len(), standings.waiting(), standings.memory_bytes())
        };
        let (account, scrub) = (self.account(), walk::scrub_stats(core));
        let queue = core.queue.lock();
        let queue_bytes = queue.ring.memory_bytes() + queue.leases.memory_bytes();
        Stats {
            totals: head.totals,
            account,
            commits: head.commit_seq,
            commits_failed: tallies.commits_failed.load(Ordering::SeqCst),
            commits_failed_in_row: tallies.commits_failed_in_row.load(Ordering::SeqCst),
            ledger_entries: head.next_ledger,
            boot: core.identity.boot,
            ready_units: queue.ring.len(),
            ready_bytes: queue.ring.bytes(),
            votes_waiting: queue.ring.voted().0 + queue.voted.len(),
            leases: queue.leases.len(),
            ready_interior: queue.interior.ready.len(),
            blocked: blocked(&queue),
            refused_waiting,
            standings,
            standings_waiting,
            memory_bytes: queue_bytes + refused_bytes + standings_bytes,
            dirty_clients,
            issued_this_boot: tallies.issued.each_ref().map(read).into(),
            shortfalls_this_boot: tallies.shortfalls.each_ref().map(read).into(),
            synthetic_this_boot: read(&tallies.synthetic_issued),
            interior_this_boot: read(&tallies.interior_issued),
            bytes_this_boot: read(&tallies.bytes_issued),
            withdrawn_this_boot: read(&tallies.withdrawn),
            expired_this_boot: read(&tallies.expired),
            folds_this_boot: read(&tallies.server_folds),
            responses,
            file_bytes: FileBytes { state, blocks },
            scrub,
            failure: core.store.failure().map(str::to_owned),
            threads: {
                let now_ms = core.time.now_ms();
                let writer = (!core.store.is_read_only()).then_some(&core.writer.pulse);
                let pulses = writer.into_iter().chain(&core.background.pulse).chain(&core.scrub.pulse);
                pulses.map(|pulse| pulse.look(now_ms)).collect()
            },
            closed: core.store.is_closed() || core.writer.lanes.is_closed(),
        }
    }
}

fn blocked(queue: &Queue) -> Vec<BlockedTree> {
    let tree = |(tree, why): (u64, &str)| BlockedTree { tree: TreeId::new(tree), why: why.to_owned() };
    queue.blocked.reasons().map(tree).collect()
}
