//! The one door to block data: what is read is compared with the checksums of its ingest.

use redb::{ReadOnlyTable, ReadTransaction, TableError};

use crate::merkle::GROUP_LEAVES;
use crate::store::error::StoreError;
use crate::store::redb::errors::{DbResult, of_table};
use crate::store::redb::open::Store;
use crate::store::redb::tables::InRedb;
use crate::store::rows::leaf_sum;
use crate::store::schema::Sums;
use crate::store::table::Table;

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

impl Store {
    /// Reads up to 32 leaves of `tree` from leaf `first` on, which lie one after the other in the
    /// stored data from `offset` on. `lengths` are those of their stored bytes.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or bytes are missing.
    pub fn read_leaves(&self, tree: u64, first: u64, offset: u64, lengths: &[u64]) -> Result<StoredLeaves, StoreError> {
        let read = || {
            self.blocks_db()?.begin_read()?.look_inside(|txn| {
                let bytes =
                    crate::store::redb::blocks::read_bytes(txn, tree, offset, lengths.iter().sum::<u64>() as usize)?;
                let sums = sums(txn, tree, first, lengths.len())?;
                let damaged = self.believed(compare(tree, first, lengths, &bytes, &sums));
                Ok(StoredLeaves { bytes, damaged })
            })
        };
        self.blocks_used(read())
    }

    /// Compares bytes that were read elsewhere with the checksums of up to 32 leaves. Returns one
    /// bit for each leaf that is not what came in, the first leaf lowest.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn differing(&self, tree: u64, first: u64, lengths: &[u64], bytes: &[u8]) -> Result<u32, StoreError> {
        Ok(self.believed(compare(tree, first, lengths, bytes, &self.leaf_sums(tree, first, lengths.len())?)))
    }

    #[cfg(feature = "testing")]
    fn believed(&self, damaged: u32) -> u32 {
        if self.options.makes(crate::store::mistakes::StoreMistake::SumsNotCompared) { 0 } else { damaged }
    }

    #[cfg(not(feature = "testing"))]
    fn believed(&self, damaged: u32) -> u32 {
        damaged
    }

    /// What is known about the bytes of `count` leaves from `first` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn leaf_sums(&self, tree: u64, first: u64, count: usize) -> Result<Vec<LeafSum>, StoreError> {
        let read = || self.blocks_db()?.begin_read()?.look_inside(|txn| sums(txn, tree, first, count));
        self.blocks_used(read())
    }
}

fn compare(tree: u64, first: u64, lengths: &[u64], bytes: &[u8], sums: &[LeafSum]) -> u32 {
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

/// A row that is not there says nothing; one that does not decode or has no sum for a leaf is
/// damaged.
fn sums(txn: &ReadTransaction, tree: u64, first: u64, count: usize) -> Result<Vec<LeafSum>, StoreError> {
    let Some(table) = table(txn)? else { return Ok(vec![LeafSum::Unknown; count]) };
    let mut out = Vec::with_capacity(count);
    let mut row: Option<(u64, Option<Vec<LeafSum>>)> = None;
    for leaf in (first..).take(count) {
        let group = leaf / GROUP_LEAVES;
        if row.as_ref().is_none_or(|(have, _)| *have != group) {
            let found = table.get((tree, group)).db()?.map(|raw| match Sums::decode(&(tree, group), raw.value()) {
                Ok(row) => row.leaves.into_iter().map(LeafSum::Is).collect(),
                Err(_) => Vec::new(),
            });
            row = Some((group, found));
        }
        let known = row.as_ref().and_then(|(_, sums)| sums.as_ref());
        let of = |sums: &Vec<LeafSum>| sums.get((leaf % GROUP_LEAVES) as usize).copied().unwrap_or(LeafSum::Damaged);
        out.push(known.map_or(LeafSum::Unknown, of));
    }
    Ok(out)
}

type Rows = ReadOnlyTable<(u64, u64), &'static [u8]>;

/// The table, unless the file is of a build without checksums and was not opened since.
fn table(txn: &ReadTransaction) -> Result<Option<Rows>, StoreError> {
    match txn.open_table(Sums::DEFINITION) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(of_table(error)),
    }
}
