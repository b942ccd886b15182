//! Checksums of block data: those of a group of leaves are one row.

use xxhash_rust::xxh3::xxh3_64;

use super::{RowError, damaged};
use crate::merkle::GROUP_LEAVES;

/// Returns the checksum of a leaf: XXH3-64 over that of its stored bytes, its tree and its number.
/// A leaf that no unit may carry has no stored bytes.
pub fn leaf_sum(tree: u64, leaf: u64, bytes: &[u8]) -> u64 {
    bound(tree, leaf, xxh3_64(bytes))
}

/// A row or leaf in another place has another sum.
fn bound(tree: u64, place: u64, sum: u64) -> u64 {
    let mut out = [0; 24];
    for (to, word) in out.as_chunks_mut::<8>().0.iter_mut().zip([sum, tree, place]) {
        *to = word.to_le_bytes();
    }
    xxh3_64(&out)
}

/// `sums-0`: the checksum of each leaf of a group, as its bytes came in, and one of the row itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumRow {
    /// Checksums in the order of the leaves, 1 to 16.
    pub leaves: Vec<u64>,
}

impl SumRow {
    /// The row of group `group` of `tree`. A leaf without stored bytes is empty.
    pub fn of<'b>(tree: u64, group: u64, leaves: impl Iterator<Item = &'b [u8]>) -> Self {
        let numbers = group.saturating_mul(GROUP_LEAVES)..;
        Self { leaves: numbers.zip(leaves).map(|(leaf, bytes)| leaf_sum(tree, leaf, bytes)).collect() }
    }

    /// Decodes the row of this key: 1 to 16 checksums, and the right one of themselves.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(tree: u64, group: u64, bytes: &[u8]) -> Result<Self, RowError> {
        let table = "sums-0";
        let (words, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || words.len() < 2 || words.len() as u64 > GROUP_LEAVES + 1 {
            return Err(damaged(table, format!("{} bytes are not 2 to 17 checksums", bytes.len())));
        }
        let mut leaves: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let own = leaves.pop();
        let row = Self { leaves };
        if own != Some(row.own(tree, group)) {
            return Err(damaged(table, "it does not match its own checksum"));
        }
        Ok(row)
    }

    /// The stored bytes of the row with this key.
    pub fn encode(&self, tree: u64, group: u64) -> Vec<u8> {
        let mut out = self.words();
        out.extend_from_slice(&self.own(tree, group).to_le_bytes());
        out
    }

    fn words(&self) -> Vec<u8> {
        self.leaves.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }

    fn own(&self, tree: u64, group: u64) -> u64 {
        bound(tree, group, xxh3_64(&self.words()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_under_its_own_key_only_and_any_changed_bit_is_found() {
        let row = SumRow::of(3, 2, [&b"one"[..], b"", b"three"].into_iter());
        assert_eq!(row.leaves[0], leaf_sum(3, 32, b"one"));
        let bytes = row.encode(3, 2);
        assert_eq!((bytes.len(), SumRow::decode(3, 2, &bytes)), (32, Ok(row)));
        for (tree, group) in [(3, 1), (2, 2), (2, 3)] {
            assert!(SumRow::decode(tree, group, &bytes).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SumRow::decode(3, 2, &changed).is_err(), "bit {bit}");
        }
        for len in (0..bytes.len()).chain([140, 144]) {
            let mut other = bytes.clone();
            other.resize(len, 0);
            assert!(SumRow::decode(3, 2, &other).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_sum_belongs_to_its_bytes_its_leaf_and_its_tree() {
        let sums = [(1, 2, &b"abc"[..]), (1, 2, b"abd"), (1, 3, b"abc"), (2, 1, b"abc"), (1, 2, b"abc\0"), (1, 2, b"")]
            .map(|(tree, leaf, bytes)| leaf_sum(tree, leaf, bytes));
        let distinct: std::collections::HashSet<u64> = sums.into_iter().collect();
        assert_eq!(distinct.len(), sums.len());
        // Stored rows depend on it.
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
    }
}
