//! Rows of trees, and of the files that hold their data.

use super::codec::{fields, row, variants};
use bincode::{Decode, Encode};

use super::strategy::Strategy;
use super::words::written_as_str;
use crate::hash::Checksum;
use crate::protocol::TreeHandle;

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

written_as_str!(TreeState, Exposure, DataPlace);

/// `trees-0`: one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRow {
    /// Name given at ingest.
    pub name: String,
    /// Public handle, random at every ingest.
    pub handle: TreeHandle,
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
    pub root: Checksum,
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

row!(TreeRow);
fields!(TreeRow {
    name,
    handle,
    leaves,
    block_len,
    total_bytes,
    send_cap,
    data,
    strategy,
    exposure,
    state,
    done,
    interior_done,
    order,
    root,
    groups,
});
variants!(TreeState {
    0 => Ingesting, 1 => Active, 2 => Folding, 3 => Assembling, 4 => Complete, 5 => Inconsistent,
});
variants!(Exposure { 0 => Public, 1 => Ciphertext });
variants!(DataPlace { 0 => Copied, 1 => Referenced, 2 => Dropped });
