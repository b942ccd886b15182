//! The checksum that every row with bytes carries: XXH3-64 over its bytes, bound to the name of its
//! table and to its key, so that a row in another place has another one.
//!
//! A row of fixed bytes gets a mark and the checksum behind them, 9 bytes. Rows of older stores end
//! before the mark and are still read. No single bit of the lengths that redb keeps turns one form
//! into the other: 9 is no difference of one bit.

use xxhash_rust::xxh3::xxh3_64;

use super::{RowError, damaged};
use crate::hash::Checksum;
use crate::protocol::ClientDigest;

/// A key of a table, as the checksum of its row has it.
pub trait RowKey: Copy {
    /// Three words, distinct for distinct keys of one table.
    fn words(self) -> [u64; 3];
}

impl RowKey for u64 {
    fn words(self) -> [u64; 3] {
        [self, 0, 0]
    }
}

impl RowKey for (u64, u64) {
    fn words(self) -> [u64; 3] {
        [self.0, self.1, 0]
    }
}

impl RowKey for (u64, u8, u64) {
    fn words(self) -> [u64; 3] {
        [self.0, u64::from(self.1), self.2]
    }
}

#[doc(hidden)]
impl RowKey for ClientDigest {
    fn words(self) -> [u64; 3] {
        let number = u128::from_le_bytes(*self.as_bytes());
        [number as u64, (number >> 64) as u64, 0]
    }
}

impl RowKey for &str {
    /// Distinct but for collisions.
    fn words(self) -> [u64; 3] {
        [xxh3_64(self.as_bytes()), self.len() as u64, 0]
    }
}

/// Bytes of the checksum of a row.
pub(super) const SUM_LEN: usize = 8;
/// Bytes that a row of fixed bytes has behind them: mark, checksum.
pub(super) const TAIL: usize = 1 + SUM_LEN;
const MARK: u8 = 1;

/// The checksum of the row with this key.
pub(super) fn row_sum(table: &'static str, key: impl RowKey, bytes: &[u8]) -> [u8; SUM_LEN] {
    let [a, b, c] = key.words();
    let mut all = [0; 40];
    let words = [xxh3_64(bytes), xxh3_64(table.as_bytes()), a, b, c];
    for (place, word) in all.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    xxh3_64(&all).to_le_bytes()
}

/// The bytes before the checksum, if it is theirs.
pub(super) fn before_sum<'b>(table: &'static str, key: impl RowKey, bytes: &'b [u8]) -> Result<&'b [u8], RowError> {
    match bytes.split_last_chunk::<SUM_LEN>() {
        Some((summed, sum)) if *sum == row_sum(table, key, summed) => Ok(summed),
        _ => Err(mismatch(table)),
    }
}

pub(super) fn mismatch(table: &'static str) -> RowError {
    damaged(table, "it does not match its own checksum")
}

/// Writes the checksum of what stands before its place into the last bytes of a row.
pub(super) fn put_sum(table: &'static str, key: impl RowKey, row: &mut [u8]) {
    if let Some((summed, sum)) = row.split_last_chunk_mut::<SUM_LEN>() {
        *sum = row_sum(table, key, summed);
    }
}

/// Writes mark and checksum into the last bytes of a row of fixed bytes.
pub(super) fn close(table: &'static str, key: impl RowKey, row: &mut [u8]) {
    if let Some((_, [mark, ..])) = row.split_last_chunk_mut::<TAIL>() {
        *mark = MARK;
    }
    put_sum(table, key, row);
}

/// Takes a row of fixed bytes apart, with a checksum or as older stores have it. `fits` is asked
/// for the length of the bytes before the mark; `None` if no form has this length.
pub(super) fn opened<'b>(
    table: &'static str,
    key: impl RowKey,
    bytes: &'b [u8],
    fits: impl Fn(usize) -> bool,
) -> Result<Option<&'b [u8]>, RowError> {
    if fits(bytes.len()) {
        return Ok(Some(bytes));
    }
    if !bytes.len().checked_sub(TAIL).is_some_and(fits) {
        return Ok(None);
    }
    match before_sum(table, key, bytes)?.split_last() {
        Some((&MARK, body)) => Ok(Some(body)),
        _ => Err(mismatch(table)),
    }
}

/// The same for rows of `N` bytes before the mark.
pub(super) fn opened_fixed<'b, const N: usize>(
    table: &'static str,
    key: impl RowKey,
    bytes: &'b [u8],
) -> Result<&'b [u8; N], RowError> {
    let body = opened(table, key, bytes, |len| len == N)?;
    body.and_then(|body| body.try_into().ok())
        .ok_or_else(|| damaged(table, format!("{} bytes instead of {}", bytes.len(), N + TAIL)))
}

/// Whether a row of this length is in the form of older stores, if `stored` is the length with a
/// checksum.
pub(in crate::store) fn is_older(len: usize, stored: usize) -> bool {
    len + TAIL == stored
}

pub(super) const META: &str = "meta-0";

/// Decodes a value of `meta-0` that is plain bytes.
///
/// # Errors
/// [`RowError`] if the length is another, or the checksum is not that of the bytes.
pub fn meta_bytes<const N: usize>(key: &str, bytes: &[u8]) -> Result<[u8; N], RowError> {
    opened_fixed(META, key, bytes).copied()
}

/// The stored bytes of such a value.
pub fn encode_meta(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = vec![0; value.len() + TAIL];
    out[..value.len()].copy_from_slice(value);
    close(META, key, &mut out);
    out
}

/// `interior-0`: a node accepted from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRow(pub Checksum);

impl NodeRow {
    const TABLE: &'static str = "interior-0";
    /// Bytes of the stored row.
    pub const LEN: usize = 64 + TAIL;

    /// Decodes the row of this key: tree, level, index.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(key: (u64, u8, u64), bytes: &[u8]) -> Result<Self, RowError> {
        opened_fixed(Self::TABLE, key, bytes).map(|hash| Self(Checksum::from_bytes(*hash)))
    }

    /// The stored bytes of the row with this key.
    pub fn encode(&self, key: (u64, u8, u64)) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..64].copy_from_slice(self.0.as_bytes());
        close(Self::TABLE, key, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_belongs_to_its_bytes_its_key_and_its_table() {
        let sums = [
            row_sum("a", 1, b"x"),
            row_sum("b", 1, b"x"),
            row_sum("a", 2, b"x"),
            row_sum("a", 1, b"y"),
            row_sum("a", (1, 1), b"x"),
            row_sum("a", (1, 0, 1), b"x"),
            row_sum("a", "1", b"x"),
            row_sum("a", ClientDigest::from_bytes([1; 16]), b"x"),
            row_sum("a", 1, b"x\0"),
        ];
        let distinct: std::collections::HashSet<_> = sums.into_iter().collect();
        assert_eq!(distinct.len(), sums.len());
    }

    #[test]
    fn any_changed_bit_and_any_other_length_is_found() {
        let row = NodeRow(Checksum::from_bytes([7; 64]));
        let bytes = row.encode((1, 2, 3));
        assert_eq!(NodeRow::decode((1, 2, 3), &bytes), Ok(row));
        assert_eq!(NodeRow::decode((1, 2, 3), &[7; 64]), Ok(row), "of an older store");
        for key in [(1, 2, 4), (1, 3, 3), (2, 2, 3)] {
            assert!(NodeRow::decode(key, &bytes).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(NodeRow::decode((1, 2, 3), &changed).is_err(), "bit {bit}");
        }
        for len in (0..200).filter(|len| ![64, bytes.len()].contains(len)) {
            let mut other = bytes.to_vec();
            other.resize(len, 1);
            assert!(NodeRow::decode((1, 2, 3), &other).is_err(), "{len} bytes");
        }
    }
}
