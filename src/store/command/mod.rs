//! The commands of the store. Each names its preconditions.

pub mod claims;
pub mod mend;
pub mod older;
pub mod outcome;
pub mod standings;

use crate::hash::Checksum;
use crate::merkle::AlignedRange;
use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::rows::{
    DataPlace, DebitKey, Exposure, GroupRow, HashWork, LengthRow, ScrubRow, Strategy, TreeState, UsefulnessAccount,
};
use crate::store::schema::{TokenKey, TreeNumber};

use claims::{Amend, Audited, Damage, Referee, Repair, Upgrade, Vote};
use mend::Mend;
use older::OlderRow;
use standings::PutStandings;

/// One change of the store. A batch of them is one transaction.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Take an answer: consume its token, mark what it did, write its ledger entry.
    Settle(Settle),
    /// Use up the token of a wrong answer.
    Refuse(Refuse),
    /// Take credits from a client.
    Debit(Debit),
    /// Start a tree.
    BeginTree(BeginTree),
    /// Store the hashes of consecutive groups of a tree that is `Ingesting`.
    AddGroups(AddGroups),
    /// Make a tree `Active` (or `Assembling`, if nothing is pending).
    FinishTree(FinishTree),
    /// Move a tree to another state, if it is in `from`.
    SetTreeState {
        /// The tree.
        tree: TreeNumber,
        /// State it must be in.
        from: TreeState,
        /// State it gets.
        to: TreeState,
        /// Its root, where that was not known at ingest or has changed.
        root: Option<Checksum>,
    },
    /// Note that the block data of a complete tree is gone, and remove up to `limit` interior nodes
    /// that clients had sent.
    DropData {
        /// The tree.
        tree: TreeNumber,
        /// Rows to remove at most.
        limit: usize,
    },
    /// Take a tree out of names, handles and queue at once; its rows go in later steps.
    Forget {
        /// The tree.
        tree: TreeNumber,
    },
    /// Remove up to `limit` rows of a forgotten tree.
    Purge {
        /// The tree.
        tree: TreeNumber,
        /// Rows to remove at most.
        limit: usize,
    },
    /// Remove up to `limit` consumed tokens that expired before `before_ms`.
    PruneConsumed {
        /// Remove rows behind this key.
        after: TokenKey,
        /// Expiry bound, Unix milliseconds.
        before_ms: u64,
        /// Rows to remove at most.
        limit: usize,
    },
    /// Seal up to `limit` of the oldest ledger entries, keeping the newest `keep`.
    SealLedger {
        /// Entries to keep.
        keep: u64,
        /// Entries to seal at most.
        limit: usize,
    },
    /// Look at up to `limit` client rows and remove those with nothing in them.
    PruneClients {
        /// Rows changed since stay; engine time, Unix milliseconds.
        before_ms: u64,
        /// Look at rows behind this key.
        after: ClientDigest,
        /// Rows to look at at most.
        limit: usize,
    },
    /// Write changed client rows, up to `limit`.
    Checkpoint {
        /// Rows to write at most.
        limit: usize,
    },
    /// Write or remove rows of `standings-0`.
    PutStandings(PutStandings),
    /// Note how far scrubbing is.
    PutScrub(Box<ScrubRow>),
    /// Change the votes on a range without adding one.
    Amend(Amend),
    /// Take the server's own hashes for a range whose quorum did not come together.
    Referee(Referee),
    /// Take the server's own hashes for leaves that only clients have hashed.
    Upgrade(Upgrade),
    /// Mend rows.
    Mend(Mend),
    /// Take damaged leaves as mended: verified in trees of known addresses, else pending.
    Repair(Repair),
    /// Take leaves out of the queue: their stored data is damaged.
    Damage(Damage),
    /// Doubt the leaves of a client caught lying, going back along up to `limit` of its ledger
    /// entries.
    Backtrack {
        /// Keyed digest of the client.
        client: ClientDigest,
        /// Entries to look at at most.
        limit: usize,
    },
    /// Accept the leaves of a complete tree as they are: its block data and claims may go.
    Release {
        /// The tree, which must be `Complete`.
        tree: TreeNumber,
    },
    /// Add to the account what has been counted in memory.
    Count(Box<UsefulnessAccount>),
    /// Give rows of older stores their checksums.
    SumRows(Vec<OlderRow>),
    /// Write nothing but the head, so that it carries the clock.
    Touch,
}

/// What an accepted answer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleKind {
    /// Leaves of a tree, which must be all pending, with the hashes that are stored.
    Leaves {
        /// The tree, which must be `Active` under `handle`.
        tree: TreeNumber,
        /// The leaves.
        range: AlignedRange,
        /// One bit for each leaf within its tile whose block does not hash to its address.
        damaged: u32,
    },
    /// The same with hashes that the client brought, of which a sample was hashed again.
    Audited(Box<Audited>),
    /// The same, to count when a quorum agrees.
    Vote(Box<Vote>),
    /// An interior node above the tiles, which must not be there yet.
    Interior {
        /// The tree, which must be `Folding` under `handle`.
        tree: TreeNumber,
        /// Level of the node, 0 = root.
        level: u8,
        /// Index within the level.
        index: u64,
        /// The accepted hash.
        hash: Checksum,
    },
    /// Made-up work: nothing but consumption and credit.
    Synthetic,
}

/// Precondition: the token is not consumed, and what [`SettleKind`] says.
#[derive(Debug, Clone)]
pub struct Settle {
    /// Challenge id.
    pub id: WorkId,
    /// Expiry of the token, Unix milliseconds.
    pub expires_ms: u64,
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// Handle the token names; must still be the tree's.
    pub handle: TreeHandle,
    /// What was done.
    pub kind: SettleKind,
    /// Difficulty tier: 0, 1, 2.
    pub tier: u8,
    /// Hashes in the unit.
    pub nodes: u32,
    /// Micro-Joules to credit.
    pub award: u64,
    /// Digest of the data the client was sent, from the token.
    pub data_digest: u64,
    /// What the answer is worth, if it counts: leaves and parents the client hashed.
    pub accepted: HashWork,
    /// What the server hashed to audit it.
    pub audit: HashWork,
    /// What it hashed to decide between it and others, or the stored addresses.
    pub referee: HashWork,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
    /// Test switch: leave the consumed check out.
    #[cfg(feature = "testing")]
    pub skip_consumed_check: bool,
    /// Test switch: leave the leaf state check out.
    #[cfg(feature = "testing")]
    pub skip_leaf_check: bool,
}

/// The token of a challenge that was closed. No precondition: a consumed one stays as it is.
#[derive(Debug, Clone)]
pub struct Refuse {
    /// Challenge id.
    pub id: WorkId,
    /// Expiry of the token, Unix milliseconds.
    pub expires_ms: u64,
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// The answer was well formed and wrong.
    pub strike: bool,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// Precondition: the key is new, or was used for the same debit; the balance suffices.
#[derive(Debug, Clone)]
pub struct Debit {
    /// Idempotency key.
    pub key: DebitKey,
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// Micro-Joules to take.
    pub amount: u64,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// Precondition: neither number, name nor handle is in use.
#[derive(Debug, Clone)]
pub struct BeginTree {
    /// Number, from [`Store::reserve_tree`](super::Store::reserve_tree).
    pub tree: TreeNumber,
    /// Name.
    pub name: String,
    /// Random public handle.
    pub handle: TreeHandle,
    /// Length of every leaf but the last; 0 for mixed lengths.
    pub block_len: u64,
    /// Leaves longer than this are hashed by the server.
    pub send_cap: u64,
    /// Where the block data is.
    pub data: DataPlace,
    /// How answers are verified.
    pub strategy: Strategy,
    /// Why the data may be sent.
    pub exposure: Exposure,
}

/// Precondition: the tree is `Ingesting` and `first_group` is the next one it lacks.
#[derive(Debug, Clone)]
pub struct AddGroups {
    /// The tree.
    pub tree: TreeNumber,
    /// Group number of the first row.
    pub first_group: u64,
    /// Leaf hashes and top of each group.
    pub groups: Vec<GroupRow>,
    /// For trees of mixed lengths, one for each group.
    pub lengths: Vec<LengthRow>,
    /// Leaves hashed by the server because they are over the cap.
    pub oversized: Vec<u64>,
    /// Of these, leaves that do not hash to their address.
    pub damaged: Vec<u64>,
    /// What the server hashed for it: leaves, then parents.
    pub work: [HashWork; 2],
}

/// Precondition: the tree is `Ingesting` and all its groups are stored.
#[derive(Debug, Clone)]
pub struct FinishTree {
    /// The tree.
    pub tree: TreeNumber,
    /// Leaves.
    pub leaves: u64,
    /// Length of every leaf but the last, as the commitment binds it.
    pub block_len: u64,
    /// Bytes in all leaves.
    pub total_bytes: u64,
    /// Root.
    pub root: Checksum,
}
