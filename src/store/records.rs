//! Row formats: what stands in the tables, byte for byte.
//!
//! Hot rows of fixed size are plain little-endian bytes. Variable rows are bincode 2 inside an
//! envelope of one version byte, decoded with a size limit. Golden-byte tests pin every row, so the
//! codec can be replaced without a change of format. A row that does not decode is reported as
//! [`RecordError`] with the table and what was wrong; nothing here panics on any input.

use bincode::{Decode, Encode};

use crate::hash::{Checksum, StreamingHash};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};

/// A row that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table} is damaged: {what}; run `check`, then restore the store from a backup")]
pub struct RecordError {
    /// Table the row stands in.
    pub table: &'static str,
    /// What does not fit.
    pub what: String,
}

fn damaged(table: &'static str, what: impl Into<String>) -> RecordError {
    RecordError { table, what: what.into() }
}

/// State of one leaf. Four bits in a tile row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafState {
    /// Not hashed by anybody whose answer counts; may be leased.
    Pending,
    /// Equal to the answer the server had computed itself.
    Verified,
}

impl LeafState {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Pending),
            1 => Some(Self::Verified),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Verified => 1,
        }
    }
}

/// `tiles-0`: the state of each of the 32 leaves of a tile, 4 bits each, low nibble first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TileRow([u8; 16]);

impl TileRow {
    /// A tile nobody has touched.
    pub const PENDING: Self = Self([0; 16]);

    /// Decodes a row; unknown states and other lengths are damage.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let raw: [u8; 16] =
            bytes.try_into().map_err(|_| damaged("tiles-0", format!("{} bytes instead of 16", bytes.len())))?;
        for byte in raw {
            if LeafState::from_bits(byte & 15).is_none() || LeafState::from_bits(byte >> 4).is_none() {
                return Err(damaged("tiles-0", format!("unknown leaf state in byte {byte:#04x}")));
            }
        }
        Ok(Self(raw))
    }

    /// The stored bytes.
    pub fn encode(&self) -> &[u8] {
        &self.0
    }

    /// State of leaf `slot` (0 to 31) of the tile; `Pending` beyond.
    pub fn state(&self, slot: u64) -> LeafState {
        let Some(byte) = self.0.get((slot / 2) as usize) else {
            return LeafState::Pending;
        };
        LeafState::from_bits(if slot % 2 == 0 { byte & 15 } else { byte >> 4 }).unwrap_or(LeafState::Pending)
    }

    /// Sets the state of leaf `slot` (0 to 31).
    pub fn set(&mut self, slot: u64, state: LeafState) {
        if let Some(byte) = self.0.get_mut((slot / 2) as usize) {
            let bits = state.bits();
            *byte = if slot % 2 == 0 { (*byte & 0xf0) | bits } else { (*byte & 0x0f) | (bits << 4) };
        }
    }

    /// One bit for each pending leaf among the first `leaves` of the tile.
    pub fn pending_mask(&self, leaves: u64) -> u32 {
        (0..leaves.min(TILE_LEAVES))
            .filter(|slot| self.state(*slot) == LeafState::Pending)
            .fold(0, |mask, slot| mask | (1 << slot))
    }
}

/// `hashes-0`: the leaf hashes of a group of up to 16 leaves, and their top node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Leaf hashes in order.
    pub leaves: Vec<Checksum>,
    /// The group's top node.
    pub top: Checksum,
}

impl GroupRow {
    /// Decodes a row of 2 to 17 digests.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let count = bytes.len() / Checksum::LEN;
        if bytes.len() % Checksum::LEN != 0 || count < 2 || count as u64 > GROUP_LEAVES + 1 {
            return Err(damaged("hashes-0", format!("{} bytes are not 2 to 17 digests", bytes.len())));
        }
        let mut leaves = Vec::with_capacity(count);
        for digest in bytes.chunks_exact(Checksum::LEN) {
            leaves.push(Checksum::from_slice(digest).map_err(|e| damaged("hashes-0", e.to_string()))?);
        }
        let top = leaves.pop().ok_or_else(|| damaged("hashes-0", "no digest"))?;
        Ok(Self { leaves, top })
    }

    /// The stored bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.leaves.len() + 1) * Checksum::LEN);
        for leaf in &self.leaves {
            out.extend_from_slice(leaf.as_bytes());
        }
        out.extend_from_slice(self.top.as_bytes());
        out
    }
}

/// `lengths-0`: where the leaves of a group lie in a tree of mixed leaf lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LengthRow {
    /// Offset of the group's first leaf in the tree's stored bytes.
    pub offset: u64,
    /// Byte length of each leaf.
    pub lengths: Vec<u32>,
}

impl LengthRow {
    /// Decodes a row of one offset and 1 to 16 lengths.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let table = "lengths-0";
        let (head, tail) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged(table, "shorter than its offset"))?;
        if tail.is_empty() || tail.len() % 4 != 0 || (tail.len() / 4) as u64 > GROUP_LEAVES {
            return Err(damaged(table, format!("{} bytes of lengths", tail.len())));
        }
        let lengths = tail.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        Ok(Self { offset: u64::from_le_bytes(*head), lengths })
    }

    /// The stored bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.offset.to_le_bytes().to_vec();
        for length in &self.lengths {
            out.extend_from_slice(&length.to_le_bytes());
        }
        out
    }
}

/// What a ledger entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// Leaves of a real tree accepted from a client.
    Leaves,
    /// An interior node of a real tree accepted from a client.
    Interior,
    /// A made-up unit solved while the backlog was empty.
    Synthetic,
    /// Credits spent by the client.
    Debit,
}

impl EntryKind {
    fn bits(self) -> u8 {
        match self {
            Self::Leaves => 0,
            Self::Interior => 1,
            Self::Synthetic => 2,
            Self::Debit => 3,
        }
    }

    fn from_bits(bits: u8) -> Option<Self> {
        [Self::Leaves, Self::Interior, Self::Synthetic, Self::Debit].into_iter().find(|kind| kind.bits() == bits)
    }
}

/// `ledger-0`: one credit or debit, chained to the entry before it by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerRow {
    /// Challenge id of the unit, or the idempotency key of a debit.
    pub id: [u8; 16],
    /// Keyed digest of the client.
    pub client: [u8; 16],
    /// Tree number; 0 where there is none.
    pub tree: u64,
    /// First leaf of the range; node index for `Interior`.
    pub start: u64,
    /// log2 of the range; level for `Interior`.
    pub order: u8,
    /// What this entry records.
    pub kind: EntryKind,
    /// Difficulty tier of the unit: 0 low, 1 medium, 2 high.
    pub tier: u8,
    /// Leaves that became done with this entry.
    pub leaves: u32,
    /// Hashes the unit asked for.
    pub nodes: u32,
    /// Micro-Joules: added by an award, taken by a debit.
    pub amount: u64,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
    /// Sequence number of this client's entry before this one; `u64::MAX` for its first.
    pub previous: u64,
    /// First 32 bytes of SHA3-512(tag, previous entry's digest, seq, the fields above).
    pub digest: [u8; 32],
}

impl LedgerRow {
    /// Bytes of the stored row.
    pub const LEN: usize = 115;
    const FIELDS: usize = Self::LEN - 32;

    /// Decodes a row of exactly [`LedgerRow::LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let table = "ledger-0";
        let raw: &[u8; Self::LEN] =
            bytes.try_into().map_err(|_| damaged(table, format!("{} bytes instead of {}", bytes.len(), Self::LEN)))?;
        let mut at = 0;
        let kind = EntryKind::from_bits(raw[49]).ok_or_else(|| damaged(table, format!("unknown kind {}", raw[49])))?;
        let row = Self {
            id: take(raw, &mut at),
            client: take(raw, &mut at),
            tree: u64::from_le_bytes(take(raw, &mut at)),
            start: u64::from_le_bytes(take(raw, &mut at)),
            order: take::<1>(raw, &mut at)[0],
            kind: {
                at += 1;
                kind
            },
            tier: take::<1>(raw, &mut at)[0],
            leaves: u32::from_le_bytes(take(raw, &mut at)),
            nodes: u32::from_le_bytes(take(raw, &mut at)),
            amount: u64::from_le_bytes(take(raw, &mut at)),
            at_ms: u64::from_le_bytes(take(raw, &mut at)),
            previous: u64::from_le_bytes(take(raw, &mut at)),
            digest: take(raw, &mut at),
        };
        if row.tier > 2 {
            return Err(damaged(table, format!("unknown tier {}", row.tier)));
        }
        Ok(row)
    }

    /// The stored bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..Self::FIELDS].copy_from_slice(&self.fields());
        out[Self::FIELDS..].copy_from_slice(&self.digest);
        out
    }

    /// The digest this entry must carry after one with digest `before`, at sequence number `seq`.
    pub fn chained(&self, before: &[u8; 32], seq: u64) -> [u8; 32] {
        let mut hash = StreamingHash::new();
        hash.update(b"pouw-ledger-v0\0");
        hash.update(before);
        hash.update(&seq.to_le_bytes());
        hash.update(&self.fields());
        let mut digest = [0; 32];
        digest.copy_from_slice(&hash.finish().as_bytes()[..32]);
        digest
    }

    fn fields(&self) -> [u8; Self::FIELDS] {
        let mut out = [0; Self::FIELDS];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.id);
        put(&self.client);
        put(&self.tree.to_le_bytes());
        put(&self.start.to_le_bytes());
        put(&[self.order, self.kind.bits(), self.tier]);
        put(&self.leaves.to_le_bytes());
        put(&self.nodes.to_le_bytes());
        put(&self.amount.to_le_bytes());
        put(&self.at_ms.to_le_bytes());
        put(&self.previous.to_le_bytes());
        out
    }
}

// The callers' offsets add up to the fixed row length, so the slice is always in range.
fn take<const N: usize>(raw: &[u8], at: &mut usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&raw[*at..*at + N]);
    *at += N;
    out
}

/// `clients-0`: what is remembered of one client, as of ledger entry `last_seq`.
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

/// Where a tree stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum TreeState {
    /// Leaves are still coming in; nothing is issued.
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

/// How the answers of a tree's units are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Strategy {
    /// Against answers the server computed at ingest.
    Precomputed,
}

/// Why the block data may be sent to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum Exposure {
    /// The data is public anyway.
    Public,
    /// The data is encrypted; the ciphertext may be seen by anybody.
    Ciphertext,
}

/// Where a tree's block data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub enum DataPlace {
    /// Copied into `blocks-0`.
    Copied,
    /// In files named by `sources-0`.
    Referenced,
    /// Dropped, since every leaf is done.
    Dropped,
}

/// `trees-0`: one tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
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
    /// Where the tree stands.
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

/// `meta-0` under `head`: counters that change with every commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
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
    pub totals: Totals,
}

/// Sums over everything ever accepted or hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
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
    /// Hashes those units asked for.
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

const ENVELOPE: u8 = 0;
const ROW_LIMIT: usize = 64 * 1024;

/// Wraps a variable row in its versioned envelope.
pub fn seal<T: Encode>(table: &'static str, row: &T) -> Result<Vec<u8>, RecordError> {
    let mut out = vec![ENVELOPE];
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    out.extend(bincode::encode_to_vec(row, config).map_err(|e| damaged(table, e.to_string()))?);
    Ok(out)
}

/// Opens the envelope of a variable row: version 0, at most 64 KiB, no bytes left over.
pub fn unseal<T: Decode<()>>(table: &'static str, bytes: &[u8]) -> Result<T, RecordError> {
    let (version, body) = bytes.split_first().ok_or_else(|| damaged(table, "empty row"))?;
    if *version != ENVELOPE {
        return Err(damaged(table, format!("row version {version}, this build reads {ENVELOPE}")));
    }
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    let (row, used) = bincode::decode_from_slice(body, config).map_err(|e| damaged(table, e.to_string()))?;
    if used != body.len() {
        return Err(damaged(table, format!("{} bytes left over", body.len() - used)));
    }
    Ok(row)
}
