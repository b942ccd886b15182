//! Row formats of the tables, byte for byte.
//!
//! Hot rows of fixed size are plain little-endian bytes. Variable rows are bincode 2 inside an
//! envelope of one version byte, decoded with a size limit. Both end with a checksum, bound to
//! table and key, which is compared whenever a row is decoded; rows of older stores have none.
//! Golden-byte tests pin every row, so the codec can be replaced without a change of format. A row
//! that does not decode is reported as [`RecordError`] with the table and the reason; nothing here
//! panics on any input.

use std::fmt;

use bincode::{Decode, Encode};

mod account;
mod codec;
mod leaves;
mod ledger;
mod scrub;
mod standing;
mod strategy;
mod summed;
mod sums;
mod trust;

pub use account::{HashReason, HashWork, StrategyAccount, UsefulnessAccount};
pub use codec::AccountRow;
pub use leaves::{GroupRow, LeafState, LengthRow, TileRow};
pub use ledger::{EntryKind, LedgerRow};
pub use scrub::{ScrubPlace, ScrubRow};
pub use standing::StandingRow;
pub use strategy::{Strategy, UnknownStrategy};
pub(super) use summed::is_older;
pub use summed::{NodeRow, RowKey, encode_meta, meta_bytes};
pub use sums::{SumRow, leaf_sum};
pub use trust::{ClaimRow, ProvenanceRow, QuorumRow, Submitter, VoteRow, range_end};

/// A row that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table} is damaged: {what}; run `pouw check`, then restore the store from a backup")]
#[non_exhaustive]
pub struct RecordError {
    /// The row's table.
    pub table: &'static str,
    /// The reason.
    pub what: String,
}

pub(super) fn damaged(table: &'static str, what: impl Into<String>) -> RecordError {
    RecordError { table, what: what.into() }
}

/// `clients-0`: balance and counts of one client, as of ledger entry `last_seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ClientRow {
    /// Micro-Joules: awards minus debits.
    pub balance: u64,
    /// This client's newest ledger entry that the row reflects; `u64::MAX` before the first.
    pub last_seq: u64,
    /// Answers accepted.
    pub accepted: u64,
    /// Well-formed wrong answers.
    pub strikes: u64,
    /// Engine time of the last change, Unix milliseconds.
    pub updated_ms: u64,
}

impl Default for ClientRow {
    fn default() -> Self {
        Self { balance: 0, last_seq: u64::MAX, accepted: 0, strikes: 0, updated_ms: 0 }
    }
}

/// The state of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeState {
    /// The ingest is not finished; nothing is issued.
    Ingesting,
    /// Some leaves are pending.
    Active,
    /// All leaves are done; interior nodes above the tiles are being issued to clients.
    Folding,
    /// All leaves are done; the parents have not been folded and validated yet.
    Assembling,
    /// Complete and validated: it exports.
    Complete,
    /// Validation found a contradiction; it does not export.
    Inconsistent,
}

impl TreeState {
    /// All states, in the order of a tree's life.
    pub const ALL: [Self; 6] =
        [Self::Ingesting, Self::Active, Self::Folding, Self::Assembling, Self::Complete, Self::Inconsistent];

    /// The word for this state in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingesting => "ingesting",
            Self::Active => "active",
            Self::Folding => "folding",
            Self::Assembling => "assembling",
            Self::Complete => "complete",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// Why the block data may be sent to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposure {
    /// The data is public anyway.
    Public,
    /// The data is encrypted; anyone may see the ciphertext.
    Ciphertext,
}

impl Exposure {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Ciphertext => "ciphertext",
        }
    }
}

/// Where a tree's block data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataPlace {
    /// Copied into `blocks-0`.
    Copied,
    /// In files named by `sources-0`.
    Referenced,
    /// Dropped, since every leaf is done.
    Dropped,
}

impl DataPlace {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Referenced => "referenced",
            Self::Dropped => "dropped",
        }
    }
}

/// Displays and serializes an enum as the word of its `as_str`.
macro_rules! written_as_str {
    ($($name:ty),+) => {
        $(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(self.as_str())
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.as_str())
                }
            }
        )+
    };
}
pub(crate) use written_as_str;

written_as_str!(TreeState, Exposure, DataPlace, EntryKind, HashReason);

/// `trees-0`: one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRow {
    /// Name given at ingest.
    pub name: String,
    /// Public handle, random at every ingest.
    pub handle: [u8; 16],
    /// Leaves.
    pub leaves: u64,
    /// Length of every leaf but the last; 0 for mixed lengths.
    pub block_len: u64,
    /// Bytes in all leaves.
    pub total_bytes: u64,
    /// Leaves longer than this were hashed at ingest and their bytes not kept.
    pub send_cap: u64,
    /// Where the block data is.
    pub data: DataPlace,
    /// How answers are verified.
    pub strategy: Strategy,
    /// Why the data may be sent.
    pub exposure: Exposure,
    /// State of the tree.
    pub state: TreeState,
    /// Leaves done.
    pub done: u64,
    /// Interior nodes above the tiles accepted from clients.
    pub interior_done: u64,
    /// Place in the queue: counts up with every ingest.
    pub order: u64,
    /// Root computed at ingest (zeroes while `Ingesting`).
    pub root: [u8; 64],
    /// Groups whose hashes are stored; all of them once not `Ingesting`.
    pub groups: u64,
}

/// `sources-0`: the file that holds the leaves from this key on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SourceRow {
    /// The path's bytes as the operating system gave them.
    pub path: Vec<u8>,
    /// Leaves in this file.
    pub leaves: u64,
    /// Length of every leaf in this file but its last.
    pub cut: u64,
    /// Byte length at ingest.
    pub len: u64,
    /// Modification time at ingest, nanoseconds since 1970.
    pub modified_ns: i128,
    /// Inode number at ingest; 0 where the platform has none.
    pub inode: u64,
}

/// `meta-0` under `copy-of`: the store that this one was copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct CopyRow {
    /// Id of that store.
    pub store: [u8; 16],
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

/// A row of `meta-0` with fields, which has a key of its own.
pub(super) trait MetaRow: Encode + Decode<()> {
    /// The key.
    const KEY: &'static str;

    /// The stored bytes.
    fn sealed(&self) -> Result<Vec<u8>, RecordError> {
        seal(summed::META, Self::KEY, self)
    }

    /// The row with these stored bytes.
    fn unsealed(bytes: &[u8]) -> Result<Self, RecordError> {
        unseal(summed::META, Self::KEY, bytes)
    }
}

impl MetaRow for Head {
    const KEY: &'static str = "head";
}

impl MetaRow for AccountRow {
    const KEY: &'static str = "account";
}

impl MetaRow for ScrubRow {
    const KEY: &'static str = "scrub";
}

impl MetaRow for CopyRow {
    const KEY: &'static str = "copy-of";
}

/// Version byte of rows without a checksum, of older stores.
const UNSUMMED: u8 = 0;
/// Version byte of rows that end with their checksum.
const SUMMED: u8 = 1;
const ROW_LIMIT: usize = 64 * 1024;

/// Wraps a variable row in its versioned envelope, at most 64 KiB, and adds its checksum.
///
/// # Errors
/// [`RecordError`] if the row would be larger, and so could not be read back.
pub fn seal<T: Encode>(table: &'static str, key: impl RowKey, row: &T) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::with_capacity(256);
    out.push(SUMMED);
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    bincode::encode_into_std_write(row, &mut out, config).map_err(|e| damaged(table, e.to_string()))?;
    if out.len() > ROW_LIMIT {
        return Err(damaged(table, format!("{} bytes, at most {ROW_LIMIT} are read back", out.len())));
    }
    out.extend_from_slice(&summed::row_sum(table, key, &out));
    Ok(out)
}

/// Whether a variable row is in the form of older stores.
pub(super) fn is_older_sealed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&UNSUMMED)
}

/// Compares the checksum of a variable row of another build, whose fields are unknown.
pub(super) fn check_sealed(table: &'static str, key: impl RowKey, bytes: &[u8]) -> Result<(), RecordError> {
    if is_older_sealed(bytes) { Ok(()) } else { summed::before_sum(table, key, bytes).map(drop) }
}

/// Opens the envelope of a variable row, at most 64 KiB, no trailing bytes: version 1 with the
/// right checksum, or version 0 without one.
///
/// # Errors
/// [`RecordError`] if the bytes are not such a row.
pub fn unseal<T: Decode<()>>(table: &'static str, key: impl RowKey, bytes: &[u8]) -> Result<T, RecordError> {
    let body = match bytes.split_first() {
        None => return Err(damaged(table, "empty row")),
        Some((&UNSUMMED, body)) => body,
        Some((&SUMMED, _)) => summed::before_sum(table, key, bytes)?.get(1..).unwrap_or_default(),
        Some((version, _)) => {
            return Err(damaged(table, format!("row version {version}, this build reads {UNSUMMED} and {SUMMED}")));
        }
    };
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    let (row, used) = bincode::decode_from_slice(body, config).map_err(|e| damaged(table, e.to_string()))?;
    if used != body.len() {
        return Err(damaged(table, format!("{} bytes left over", body.len() - used)));
    }
    Ok(row)
}
