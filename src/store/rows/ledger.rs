//! Ledger rows: plain bytes of fixed size, chained by digest.

use super::summed::{TAIL, close, opened_fixed};
use super::{RowError, damaged};
use crate::hash::StreamingHash;
use crate::protocol::{ClientDigest, WorkId};

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
    /// Some of the leaves of a range accepted from a client; the others were hashed by the server
    /// or are damaged.
    Part,
    /// A right answer whose leaves are credited to another member of its quorum, or to none.
    Vote,
    /// The server corrected a leaf that this client had returned: `start` is the leaf, `order` 0.
    Correction,
}

impl EntryKind {
    /// All kinds, in the order of their stored numbers.
    pub const ALL: [Self; 7] =
        [Self::Leaves, Self::Interior, Self::Synthetic, Self::Debit, Self::Part, Self::Vote, Self::Correction];

    /// The word for this kind in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaves => "leaves",
            Self::Interior => "interior",
            Self::Synthetic => "synthetic",
            Self::Debit => "debit",
            Self::Part => "part",
            Self::Vote => "vote",
            Self::Correction => "correction",
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Leaves => 0,
            Self::Interior => 1,
            Self::Synthetic => 2,
            Self::Debit => 3,
            Self::Part => 4,
            Self::Vote => 5,
            Self::Correction => 6,
        }
    }

    fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.bits() == bits)
    }

    /// Whether it records leaves of a tree that this client has hashed.
    pub(crate) fn is_of_leaves(self) -> bool {
        matches!(self, Self::Leaves | Self::Part | Self::Vote)
    }
}

/// `ledger-0`: one credit or debit, chained to the entry before it by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerRow {
    /// Challenge id of the unit, or the idempotency key of a debit.
    pub id: WorkId,
    /// Keyed digest of the client.
    pub client: ClientDigest,
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
    /// Hashes in the unit.
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
    const TABLE: &'static str = "ledger-0";
    /// Bytes of the row before its checksum.
    const BODY: usize = 115;
    const FIELDS: usize = Self::BODY - 32;
    /// Bytes of the stored row.
    pub const LEN: usize = Self::BODY + TAIL;

    /// Decodes the row of entry `seq`.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(seq: u64, bytes: &[u8]) -> Result<Self, RowError> {
        let table = Self::TABLE;
        let raw: &[u8; Self::BODY] = opened_fixed(table, seq, bytes)?;
        let mut at = 0;
        let kind = EntryKind::from_bits(raw[49]).ok_or_else(|| damaged(table, format!("unknown kind {}", raw[49])))?;
        let row = Self {
            id: WorkId::from_bytes(take(raw, &mut at)),
            client: ClientDigest::from_bytes(take(raw, &mut at)),
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

    /// The stored bytes of entry `seq`.
    pub fn encode(&self, seq: u64) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..Self::FIELDS].copy_from_slice(&self.fields());
        out[Self::FIELDS..Self::BODY].copy_from_slice(&self.digest);
        close(Self::TABLE, seq, &mut out);
        out
    }

    /// The digest in a row of the right length, whatever else it has.
    pub(crate) fn digest_in(bytes: &[u8]) -> Option<[u8; 32]> {
        let known = bytes.len() == Self::LEN || bytes.len() == Self::BODY;
        let body = bytes.get(..Self::BODY).filter(|_| known)?;
        body.last_chunk::<32>().copied()
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
        put(self.id.as_bytes());
        put(self.client.as_bytes());
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

super::words::written_as_str!(EntryKind);
