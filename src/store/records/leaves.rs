//! Rows about leaves: their states, hashes and lengths.

use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};

use super::{RecordError, damaged};

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

    /// Decodes a row; unknown states and other lengths are damage.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are not such a row.
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

    /// Decodes a row of 2 to 17 digests.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are not such a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let count = bytes.len() / Checksum::LEN;
        if !bytes.len().is_multiple_of(Checksum::LEN) || count < 2 || count as u64 > GROUP_LEAVES + 1 {
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
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are not such a row.
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
