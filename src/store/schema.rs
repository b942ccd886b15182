//! The whole schema on one page.
//!
//! Names end in a version suffix: a changed row format is a new table and a migration, never a
//! reinterpretation. Rows that gained a checksum differ from those without by length or version
//! byte. Keys are fixed-width tuples. Values are plain bytes that [`rows`](super::rows)
//! decodes explicitly. Each table is a type, which knows its name, its keys and its rows.
//!
//! ```text
//! state.redb   meta-0      &str                   -> bytes  format, store id, digest key, boot, generation, head, account
//!              trees-0     tree                   -> bytes  TreeRow
//!              names-0     &str name              -> tree       handles-0  handle -> tree
//!              hashes-0    (tree, group)          -> bytes  16 leaf hashes and their top: 1 097 bytes, three to a page
//!              lengths-0   (tree, group)          -> bytes  byte offset and leaf lengths, trees of mixed lengths only
//!              tiles-0     (tree, tile)           -> bytes  4 bits of state for each of 32 leaves; absent = all pending
//!              interior-0  (tree, level, index)   -> bytes  node accepted from a client, until its tree is complete
//!              ready-0     (priority, order)      -> tree   partial trees (0) first, then first in, first out (1)
//!              chores-0    (kind, tree)           -> ()     upkeep to be done for a tree, in bounded steps
//!              consumed-0  (expiry_ms, id)        -> ledger seq, or NO_ENTRY for a refused answer
//!              clients-0   client digest          -> bytes  ClientRow, written behind
//!              standings-0 client digest          -> bytes  StandingRow, written behind; not in the stores of the first build
//!              ledger-0    seq                    -> bytes  LedgerRow, chained by digest
//!              receipts-0  id                     -> ledger seq
//!              debits-0    idempotency key        -> ledger seq
//!              provenance-0 tree                  -> bytes  ProvenanceRow, for trees with anything but verified leaves
//!              claims-0    (tree, first leaf)     -> bytes  ClaimRow: clients behind leaves below verified
//!              quorums-0   (tree, first leaf)     -> bytes  QuorumRow: votes of incomplete quorums
//!              suspects-0  client digest          -> next entry to look at, where this walk back began, the entry at
//!                                                    which it ends, whether there is another behind it
//!              followed-0  client digest          -> the newest entry that was followed back
//!              doubted-0   (tree, tile)           -> ()     tiles with doubted leaves, to be hashed by the server
//!              damaged-0   (tree, leaf)           -> ()     blocks that do not hash to their address, or whose bytes
//!                                                    are not those that came in
//! blocks.redb  meta-0      &str                   -> bytes  format, store id (the same as in state.redb), generation
//!              blocks-0    (tree, chunk)          -> bytes  copied backlog data in chunks of CHUNK_BYTES
//!              sources-0   (tree, first leaf)     -> bytes  SourceRow of a tree ingested by reference
//!              sums-0      (tree, group)          -> bytes  SumRow: a checksum of each of 16 leaves, as it came in; not in
//!                                                    the stores of the first build
//! ```

use super::rows::{
    ClaimRow, ClientRow, DebitKey, GroupRow, LedgerRow, LengthRow, NodeRow, ProvenanceRow, QuorumRow, SourceRow,
    StandingRow, SumRow, TileRow, TreeRow,
};
use super::table::{Steps, Table, tables};
use crate::protocol::{ClientDigest, TreeHandle, WorkId};

/// Number of a tree inside one store; never used twice.
pub type TreeNumber = u64;

/// The key of a used token: expiry, challenge id.
pub type TokenKey = (u64, WorkId);

/// The challenge id before all others.
pub const FIRST_ID: WorkId = WorkId::from_bytes([0; 16]);

/// The key of a range: tree, first leaf. Of a tile or group: tree, its number.
pub type RangeKey = (TreeNumber, u64);

// The state file.
tables! {
    Meta "meta-0": str => Vec<u8>, bytes;
    Trees "trees-0": u64 => TreeRow, sealed;
    Names "names-0": str => u64, plain [[u8; 8]];
    Handles "handles-0": TreeHandle => u64, plain [[u8; 8]];
    Hashes "hashes-0": (u64, u64) => GroupRow, own [Vec<u8>];
    Lengths "lengths-0": (u64, u64) => LengthRow, own [[u8; LengthRow::LEN]];
    Tiles "tiles-0": (u64, u64) => TileRow, own [[u8; TileRow::LEN]];
    Interior "interior-0": (u64, u8, u64) => NodeRow, own [[u8; NodeRow::LEN]];
    Ready "ready-0": (u8, u64) => u64, plain [[u8; 8]];
    Chores "chores-0": (u8, u64) => (), plain [[u8; 0]];
    Consumed "consumed-0": TokenKey => u64, plain [[u8; 8]];
    Clients "clients-0": ClientDigest => ClientRow, sealed;
    Standings "standings-0": ClientDigest => StandingRow, own [[u8; StandingRow::LEN]];
    Ledger "ledger-0": u64 => LedgerRow, own [[u8; LedgerRow::LEN]];
    Receipts "receipts-0": WorkId => u64, plain [[u8; 8]];
    Debits "debits-0": DebitKey => u64, plain [[u8; 8]];
    Provenance "provenance-0": u64 => ProvenanceRow, own [[u8; ProvenanceRow::LEN]];
    Claims "claims-0": (u64, u64) => ClaimRow, sealed;
    Quorums "quorums-0": (u64, u64) => QuorumRow, sealed;
    Suspects "suspects-0": ClientDigest => Steps, plain [[u8; 25]];
    Followed "followed-0": ClientDigest => u64, plain [[u8; 8]];
    Doubted "doubted-0": (u64, u64) => (), plain [[u8; 0]];
    Damaged "damaged-0": (u64, u64) => (), plain [[u8; 0]];
}

// The block file, which has a `meta-0` of its own too.
tables! {
    Blocks "blocks-0": (u64, u32) => Vec<u8>, bytes;
    Sources "sources-0": (u64, u64) => SourceRow, sealed;
    Sums "sums-0": (u64, u64) => SumRow, pair [Vec<u8>];
}

/// Tables that were added to the first layout: the stores of the first build lack them. A store
/// that lacks any other is damaged.
pub(super) const ADDED: [&str; 9] = [
    Standings::NAME,
    Provenance::NAME,
    Claims::NAME,
    Quorums::NAME,
    Suspects::NAME,
    Followed::NAME,
    Doubted::NAME,
    Damaged::NAME,
    Sums::NAME,
];

/// Calls a macro with all tables of the state file but `meta-0`, and a name for each.
macro_rules! each_state_table {
    ($call:ident) => { $crate::store::schema::each_state_table! { $call; } };
    ($call:ident; $($more:ident $name:ident),*) => {
        $call! {
            Trees trees, Names names, Handles handles, Hashes hashes, Lengths lengths, Tiles tiles,
            Interior interior, Ready ready, Chores chores, Consumed consumed, Clients clients, Ledger ledger,
            Receipts receipts, Debits debits, Standings standings, Provenance provenance, Claims claims,
            Quorums quorums, Suspects suspects, Followed followed, Doubted doubted, Damaged damaged
            $(, $more $name)*
        }
    };
}

/// The same with all tables of both files; `meta-0` is in both.
macro_rules! each_table {
    ($call:ident) => {
        $crate::store::schema::each_state_table! { $call; Meta meta, Blocks blocks, Sources sources, Sums sums }
    };
}
pub(super) use {each_state_table, each_table};

macro_rules! names_of_tables {
    ($($table:ident $name:ident),+) => { [Meta::NAME, $($table::NAME),+] };
}
/// Tables of the state file, with `meta-0`.
pub(super) const STATE_TABLES: u8 = each_state_table!(names_of_tables).len() as u8;

/// Version of the layout above, kept under `format` in both files.
pub const FORMAT_VERSION: u32 = 0;

/// Bytes of block data in one `blocks-0` row. With its 12-byte key and the page header it fills a
/// 64 KiB page exactly; 65 536 would take 128 KiB.
pub const CHUNK_BYTES: u64 = 65_516;

/// The ledger sequence number in `consumed-0` of a token that was used up by a refused answer.
pub const NO_ENTRY: u64 = u64::MAX;
/// The same of a token whose answer is a vote: its entry is written when the quorum is complete.
pub const VOTED: u64 = u64::MAX - 1;

/// `chores-0`: remove the rows of a forgotten tree.
pub const CHORE_PURGE: u8 = 0;
/// `chores-0`: fold and validate a tree whose leaves are all done.
pub const CHORE_ASSEMBLE: u8 = 1;
/// `chores-0`: drop the block data of a complete tree.
pub const CHORE_DROP: u8 = 2;
/// `chores-0`: a tree whose interior nodes are issued to clients.
pub const CHORE_FOLD: u8 = 3;

/// `ready-0` priority of a tree with at least one leaf done.
pub const PRIORITY_PARTIAL: u8 = 0;
/// `ready-0` priority of an untouched tree.
pub const PRIORITY_FRESH: u8 = 1;
