//! The counters of a store, and where a copy came from.

use super::codec::{fields, row};
use super::id::StoreId;

/// `meta-0` under `copy-of`: the store that this one was copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRow {
    /// Id of that store.
    pub store: StoreId,
    /// Its count of openings.
    pub boot: u64,
    /// The last of its commits that is in the copy.
    pub commit_seq: u64,
    /// Its engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// `meta-0` under `head`: counters that change with every commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Commits of the state file.
    pub commit_seq: u64,
    /// Highest engine time seen, Unix milliseconds.
    pub clock_ms: u64,
    /// Next tree number.
    pub next_tree: u64,
    /// Next place in the queue.
    pub next_order: u64,
    /// Next ledger sequence number.
    pub next_ledger: u64,
    /// Ledger entries before this one are reflected in `clients-0`.
    pub checkpoint: u64,
    /// First ledger entry kept; those before were sealed.
    pub anchor: u64,
    /// Digest of the last sealed entry.
    pub anchor_digest: [u8; 32],
    /// Digest of the newest entry.
    pub last_digest: [u8; 32],
    /// Sums over everything ever accepted.
    pub totals: StoreTotals,
}

/// Sums over everything ever accepted or hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreTotals {
    /// Trees, not counting those still being ingested.
    pub trees: u64,
    /// Trees complete and validated.
    pub complete: u64,
    /// Leaves pending or leased, in all trees.
    pub pending: u64,
    /// Units accepted from clients, real ones.
    pub units: u64,
    /// Leaves accepted from clients.
    pub leaves: u64,
    /// Hashes in those units.
    pub nodes: u64,
    /// Interior units accepted.
    pub interior: u64,
    /// Synthetic units accepted.
    pub synthetic: u64,
    /// Micro-Joules awarded.
    pub awarded: u64,
    /// Micro-Joules debited.
    pub debited: u64,
    /// Wrong answers.
    pub refused: u64,
    /// Leaves hashed by the server because no unit may carry them.
    pub oversized: u64,
    /// Micro-Joules awarded in sealed ledger entries.
    pub sealed_awarded: u64,
    /// Micro-Joules debited in sealed ledger entries.
    pub sealed_debited: u64,
    /// Leaves credited in sealed ledger entries.
    pub sealed_leaves: u64,
}

row!(Head, CopyRow);
fields!(Head {
    commit_seq,
    clock_ms,
    next_tree,
    next_order,
    next_ledger,
    checkpoint,
    anchor,
    anchor_digest,
    last_digest,
    totals,
});
fields!(CopyRow { store, boot, commit_seq, at_ms });
fields!(StoreTotals {
    trees,
    complete,
    pending,
    units,
    leaves,
    nodes,
    interior,
    synthetic,
    awarded,
    debited,
    refused,
    oversized,
    sealed_awarded,
    sealed_debited,
    sealed_leaves,
});
