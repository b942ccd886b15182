//! The one door to block data: what is read is compared with the checksums of its ingest.

use std::ops::ControlFlow;

use crate::merkle::GROUP_LEAVES;
use crate::store::error::StoreError;
use crate::store::port::{BlockView, more_if};
use crate::store::rows::{SourceRow, leaf_sum};
use crate::store::rules::blocks::chunk_number;
use crate::store::schema::{Blocks, CHUNK_BYTES, Sources, Sums};

/// What is known about the bytes with which a leaf came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafSum {
    /// Nothing: the leaf is of a store that had no checksums yet.
    Unknown,
    /// Their checksum.
    Is(u64),
    /// Their checksum is damaged itself.
    Damaged,
}

impl LeafSum {
    /// Whether these may be the bytes with which `leaf` of `tree` came in. Without a checksum any
    /// bytes may be.
    pub fn admits(self, tree: u64, leaf: u64, bytes: &[u8]) -> bool {
        match self {
            Self::Unknown => true,
            Self::Is(sum) => sum == leaf_sum(tree, leaf, bytes),
            Self::Damaged => false,
        }
    }
}

/// Stored bytes of neighbouring leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaves {
    /// The leaves' bytes, one after the other.
    pub bytes: Vec<u8>,
    /// One bit for each leaf that is not what came in, the first leaf lowest.
    pub damaged: u32,
}

/// Bytes `[offset, offset + len)` of the stored data of `tree`. Fewer bytes are damage.
pub(in crate::store) fn read_bytes(
    rows: &impl BlockView,
    tree: u64,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return Ok(out);
    }
    let first = chunk_number(offset / CHUNK_BYTES)?;
    let last = chunk_number((offset + len as u64 - 1) / CHUNK_BYTES)?;
    let (mut skip, mut number) = ((offset % CHUNK_BYTES) as usize, first);
    rows.each_stored(Blocks, (tree, first)..=(tree, last), |(_, found), chunk| {
        // Behind a chunk that is missing or too short are no bytes of this place.
        if found != number || (number != last && chunk.len() as u64 != CHUNK_BYTES) {
            return Ok(ControlFlow::Break(()));
        }
        let bytes = chunk.get(skip..).unwrap_or_default();
        out.extend_from_slice(&bytes[..bytes.len().min(len - out.len())]);
        skip = 0;
        let more = more_if(number < last);
        number = number.saturating_add(1);
        Ok(more)
    })?;
    if out.len() != len {
        let what = format!("tree {tree} lacks block data at byte {offset}: {} of {len} bytes", out.len());
        return Err(StoreError::Contradiction { what });
    }
    Ok(out)
}

/// See `Store::read_leaves`.
pub(in crate::store) fn read_leaves(
    rows: &impl BlockView,
    tree: u64,
    first: u64,
    offset: u64,
    lengths: &[u64],
) -> Result<StoredLeaves, StoreError> {
    let bytes = read_bytes(rows, tree, offset, lengths.iter().sum::<u64>() as usize)?;
    let damaged = compare(tree, first, lengths, &bytes, &sums(rows, tree, first, lengths.len())?);
    Ok(StoredLeaves { bytes, damaged })
}

/// See `Store::source`.
pub(in crate::store) fn source(
    rows: &impl BlockView,
    tree: u64,
    leaf: u64,
) -> Result<Option<(u64, SourceRow)>, StoreError> {
    let Some(((_, first), row)) = rows.last(Sources, (tree, 0)..=(tree, leaf))? else { return Ok(None) };
    Ok(Some((first, row?)))
}

/// One bit for each leaf of which these bytes are not those that came in, the first leaf lowest.
pub(in crate::store) fn compare(tree: u64, first: u64, lengths: &[u64], bytes: &[u8], sums: &[LeafSum]) -> u32 {
    let (mut start, mut damaged) = (0, 0);
    for ((place, leaf), (length, sum)) in (0..u32::BITS).zip(first..).zip(lengths.iter().zip(sums)) {
        let end = start + *length as usize;
        if !sum.admits(tree, leaf, bytes.get(start..end).unwrap_or_default()) {
            damaged |= 1 << place;
        }
        start = end;
    }
    damaged
}

/// What is known about the bytes of `count` leaves from `first` on. A row that is not there says
/// nothing; one that does not decode or has no sum for a leaf is damaged.
pub(in crate::store) fn sums(
    rows: &impl BlockView,
    tree: u64,
    first: u64,
    count: usize,
) -> Result<Vec<LeafSum>, StoreError> {
    let mut out = Vec::with_capacity(count);
    let mut row: Option<(u64, Option<Vec<LeafSum>>)> = None;
    for leaf in (first..).take(count) {
        let group = leaf / GROUP_LEAVES;
        if row.as_ref().is_none_or(|(have, _)| *have != group) {
            let found = match rows.get(Sums, &(tree, group)) {
                Ok(found) => found.map(|row| row.leaves.into_iter().map(LeafSum::Is).collect()),
                Err(error) if error.is_one_row() => Some(Vec::new()),
                Err(error) => return Err(error),
            };
            row = Some((group, found));
        }
        let known = row.as_ref().and_then(|(_, sums)| sums.as_ref());
        let of = |sums: &Vec<LeafSum>| sums.get((leaf % GROUP_LEAVES) as usize).copied().unwrap_or(LeafSum::Damaged);
        out.push(known.map_or(LeafSum::Unknown, of));
    }
    Ok(out)
}

/// Whether each group of a tree of `leaves` leaves has a row of checksums.
pub(in crate::store) fn has_all_sums(rows: &impl BlockView, tree: u64, leaves: u64) -> Result<bool, StoreError> {
    let mut groups = 0;
    rows.each_key(Sums, (tree, 0)..=(tree, u64::MAX), |_| {
        groups += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(groups >= leaves.div_ceil(GROUP_LEAVES))
}
