//! Rows about leaves: their states, hashes and lengths.

use super::summed::{TAIL, before_sum, close, opened, opened_fixed, put_sum};
use super::{RowError, damaged};
use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};

/// State of one leaf: whether its hash counts, and why. Four bits in a tile row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafState {
    /// Without a hash that counts; may be leased.
    Pending,
    /// Equal to a hash the server has computed itself.
    Verified,
    /// Equal to the block's address, known before.
    Known,
    /// Returned alike by a quorum of distinct clients.
    Agreed,
    /// Part of an answer of which a sample was hashed again.
    Audited,
    /// Was agreed or audited, until a client behind it was caught in a lie: the server hashes it.
    Doubted,
    /// The block does not hash to its address, or is not what was ingested. Neither done nor
    /// pending, until it is ingested again.
    Damaged,
}

impl LeafState {
    /// All of them, by their bits.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Verified, Self::Known, Self::Agreed, Self::Audited, Self::Doubted, Self::Damaged];

    fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.get(usize::from(bits)).copied()
    }

    fn bits(self) -> u8 {
        self as u8
    }

    /// Whether its hash is part of the tree.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Damaged)
    }

    /// Whether its hash is known from clients only, so that it may be wrong.
    pub fn is_weak(self) -> bool {
        matches!(self, Self::Agreed | Self::Audited | Self::Doubted)
    }
}

/// `tiles-0`: the state of each of the 32 leaves of a tile, 4 bits each, low nibble first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TileRow([u8; 16]);

impl TileRow {
    /// An untouched tile.
    pub const PENDING: Self = Self([0; 16]);

    const TABLE: &'static str = "tiles-0";
    /// Bytes of the stored row.
    pub const LEN: usize = 16 + TAIL;

    /// Decodes the row of this key, tree and tile; unknown states and other lengths are damage.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(key: (u64, u64), bytes: &[u8]) -> Result<Self, RowError> {
        let raw: [u8; 16] = *opened_fixed(Self::TABLE, key, bytes)?;
        for byte in raw {
            if LeafState::from_bits(byte & 15).is_none() || LeafState::from_bits(byte >> 4).is_none() {
                return Err(damaged(Self::TABLE, format!("unknown leaf state in byte {byte:#04x}")));
            }
        }
        Ok(Self(raw))
    }

    /// The stored bytes of the row with this key.
    pub fn encode(&self, key: (u64, u64)) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..16].copy_from_slice(&self.0);
        close(Self::TABLE, key, &mut out);
        out
    }

    /// State of leaf `slot` (0 to 31) of the tile; `Pending` beyond.
    pub fn state(&self, slot: u64) -> LeafState {
        let Some(byte) = self.0.get((slot / 2) as usize) else {
            return LeafState::Pending;
        };
        LeafState::from_bits(if slot.is_multiple_of(2) { byte & 15 } else { byte >> 4 }).unwrap_or(LeafState::Pending)
    }

    /// Sets the state of leaf `slot` (0 to 31).
    pub fn set(&mut self, slot: u64, state: LeafState) {
        if let Some(byte) = self.0.get_mut((slot / 2) as usize) {
            let bits = state.bits();
            *byte = if slot.is_multiple_of(2) { (*byte & 0xf0) | bits } else { (*byte & 0x0f) | (bits << 4) };
        }
    }

    /// One bit for each pending leaf among the first `leaves` of the tile.
    pub fn pending_mask(&self, leaves: u64) -> u32 {
        self.mask(leaves, |state| state == LeafState::Pending)
    }

    /// One bit for each leaf among the first `leaves` of the tile whose state `is` right.
    pub fn mask(&self, leaves: u64, is: impl Fn(LeafState) -> bool) -> u32 {
        (0..leaves.min(TILE_LEAVES)).filter(|slot| is(self.state(*slot))).fold(0, |mask, slot| mask | (1 << slot))
    }
}

/// `hashes-0`: the leaf hashes of a group of up to 16 leaves, and their top node. In a tree whose
/// hashes come from clients a leaf that is not done has the hash zero, and so has the top until all
/// leaves are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Leaf hashes in order.
    pub leaves: Vec<Checksum>,
    /// The group's top node.
    pub top: Checksum,
}

impl GroupRow {
    /// A group of `leaves` leaves whose hashes are unknown.
    pub fn unknown(leaves: usize) -> Self {
        Self { leaves: vec![Checksum::ZERO; leaves], top: Checksum::ZERO }
    }

    const TABLE: &'static str = "hashes-0";

    /// Decodes the row of this key, tree and group: 2 to 17 digests.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(key: (u64, u64), bytes: &[u8]) -> Result<Self, RowError> {
        let counts = 2..=GROUP_LEAVES as usize + 1;
        let fits = |len: usize| len.is_multiple_of(Checksum::LEN) && counts.contains(&(len / Checksum::LEN));
        let body = opened(Self::TABLE, key, bytes, fits)?;
        let body = body
            .ok_or_else(|| damaged(Self::TABLE, format!("{} bytes are not those of 2 to 17 digests", bytes.len())))?;
        let mut leaves = Vec::with_capacity(body.len() / Checksum::LEN);
        for digest in body.chunks_exact(Checksum::LEN) {
            leaves.push(Checksum::from_slice(digest).map_err(|e| damaged(Self::TABLE, e.to_string()))?);
        }
        let top = leaves.pop().ok_or_else(|| damaged(Self::TABLE, "no digest"))?;
        Ok(Self { leaves, top })
    }

    /// The stored bytes of the row with this key.
    pub fn encode(&self, key: (u64, u64)) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.leaves.len() + 1) * Checksum::LEN + TAIL);
        for leaf in &self.leaves {
            out.extend_from_slice(leaf.as_bytes());
        }
        out.extend_from_slice(self.top.as_bytes());
        out.extend_from_slice(&[0; TAIL]);
        close(Self::TABLE, key, &mut out);
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
    const TABLE: &'static str = "lengths-0";
    /// Bytes of the offset and of as many lengths as there may be.
    const FIELDS: usize = 8 + 4 * GROUP_LEAVES as usize;
    /// Bytes of the stored row: offset, 16 lengths, their number, checksum.
    pub const LEN: usize = Self::FIELDS + TAIL;

    /// Decodes the row of this key, tree and group: one offset and 1 to 16 lengths. Older stores
    /// have only as many lengths as there are leaves, and no checksum.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(key: (u64, u64), bytes: &[u8]) -> Result<Self, RowError> {
        if bytes.len() != Self::LEN {
            return Self::of(bytes);
        }
        let summed = before_sum(Self::TABLE, key, bytes)?;
        let count = summed.last().map_or(0, |count| usize::from(*count));
        Self::of(summed.get(..8 + 4 * count).unwrap_or_default())
    }

    fn of(bytes: &[u8]) -> Result<Self, RowError> {
        let (head, tail) =
            bytes.split_first_chunk::<8>().ok_or_else(|| damaged(Self::TABLE, "shorter than its offset"))?;
        let (lengths, rest) = tail.as_chunks::<4>();
        if lengths.is_empty() || !rest.is_empty() || lengths.len() as u64 > GROUP_LEAVES {
            return Err(damaged(Self::TABLE, format!("{} bytes of lengths", tail.len())));
        }
        let lengths = lengths.iter().map(|length| u32::from_le_bytes(*length)).collect();
        Ok(Self { offset: u64::from_le_bytes(*head), lengths })
    }

    /// The stored bytes of the row with this key. Lengths behind the 16th are left out.
    ///
    /// They are always as many: with fewer, one bit of the length that redb keeps could turn the
    /// row into one of an older store with two more lengths.
    pub fn encode(&self, key: (u64, u64)) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        for (place, length) in out[8..Self::FIELDS].as_chunks_mut::<4>().0.iter_mut().zip(&self.lengths) {
            *place = length.to_le_bytes();
        }
        out[Self::FIELDS] = self.lengths.len().min(GROUP_LEAVES as usize) as u8;
        put_sum(Self::TABLE, key, &mut out);
        out
    }
}
