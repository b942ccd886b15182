//! The whole schema on one page.
//!
//! Names end in a version suffix: a changed row format is a new table and a migration, never a
//! reinterpretation. Rows that gained a checksum differ from those without by length or version
//! byte. Keys are native fixed-width tuples. Values are plain bytes that
//! [`records`](crate::store::records) decodes explicitly, because a decoder inside redb's `Value` cannot
//! fail.
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

use redb::TableDefinition;

type Bytes = &'static [u8];
type Walk = (u64, u64, u64, bool);

pub(in crate::store) const META: TableDefinition<&str, Bytes> = TableDefinition::new("meta-0");
pub(in crate::store) const TREES: TableDefinition<u64, Bytes> = TableDefinition::new("trees-0");
pub(in crate::store) const NAMES: TableDefinition<&str, u64> = TableDefinition::new("names-0");
pub(in crate::store) const HANDLES: TableDefinition<[u8; 16], u64> = TableDefinition::new("handles-0");
pub(in crate::store) const HASHES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("hashes-0");
pub(in crate::store) const LENGTHS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("lengths-0");
pub(in crate::store) const TILES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("tiles-0");
pub(in crate::store) const INTERIOR: TableDefinition<(u64, u8, u64), Bytes> = TableDefinition::new("interior-0");
pub(in crate::store) const READY: TableDefinition<(u8, u64), u64> = TableDefinition::new("ready-0");
pub(in crate::store) const CHORES: TableDefinition<(u8, u64), ()> = TableDefinition::new("chores-0");
pub(in crate::store) const CONSUMED: TableDefinition<(u64, [u8; 16]), u64> = TableDefinition::new("consumed-0");
pub(in crate::store) const CLIENTS: TableDefinition<[u8; 16], Bytes> = TableDefinition::new("clients-0");
pub(in crate::store) const STANDINGS: TableDefinition<[u8; 16], Bytes> = TableDefinition::new("standings-0");
pub(in crate::store) const LEDGER: TableDefinition<u64, Bytes> = TableDefinition::new("ledger-0");
pub(in crate::store) const RECEIPTS: TableDefinition<[u8; 16], u64> = TableDefinition::new("receipts-0");
pub(in crate::store) const DEBITS: TableDefinition<[u8; 16], u64> = TableDefinition::new("debits-0");

pub(in crate::store) const PROVENANCE: TableDefinition<u64, Bytes> = TableDefinition::new("provenance-0");
pub(in crate::store) const CLAIMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("claims-0");
pub(in crate::store) const QUORUMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("quorums-0");
pub(in crate::store) const SUSPECTS: TableDefinition<[u8; 16], Walk> = TableDefinition::new("suspects-0");
pub(in crate::store) const FOLLOWED: TableDefinition<[u8; 16], u64> = TableDefinition::new("followed-0");
pub(in crate::store) const DOUBTED: TableDefinition<(u64, u64), ()> = TableDefinition::new("doubted-0");
pub(in crate::store) const DAMAGED: TableDefinition<(u64, u64), ()> = TableDefinition::new("damaged-0");

/// Calls a macro with all tables of the state file but `meta-0`.
macro_rules! each_state_table {
    ($call:ident) => {{
        use $crate::store::redb::tables::{
            CHORES, CLAIMS, CLIENTS, CONSUMED, DAMAGED, DEBITS, DOUBTED, FOLLOWED, HANDLES, HASHES, INTERIOR, LEDGER,
            LENGTHS, NAMES, PROVENANCE, QUORUMS, READY, RECEIPTS, STANDINGS, SUSPECTS, TILES, TREES,
        };
        $call!(
            TREES, NAMES, HANDLES, HASHES, LENGTHS, TILES, INTERIOR, READY, CHORES, CONSUMED, CLIENTS, LEDGER,
            RECEIPTS, DEBITS, STANDINGS, PROVENANCE, CLAIMS, QUORUMS, SUSPECTS, FOLLOWED, DOUBTED, DAMAGED
        );
    }};
}
pub(in crate::store) use each_state_table;

pub(in crate::store) const BLOCKS: TableDefinition<(u64, u32), Bytes> = TableDefinition::new("blocks-0");
pub(in crate::store) const SOURCES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("sources-0");
pub(in crate::store) const SUMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("sums-0");

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
