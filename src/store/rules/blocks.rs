//! Changes of block data.

use crate::store::block_changes::{BlockChanges, Renewal};
use crate::store::error::StoreError;
use crate::store::port::{BlockTxn, RowsMut};
use crate::store::schema::{Blocks, CHUNK_BYTES, Sources, Sums, TreeNumber};
use crate::store::table::Table;

/// Writes rows of block data.
pub(in crate::store) fn change(rows: &mut impl BlockTxn, changes: &BlockChanges) -> Result<(), StoreError> {
    for (key, bytes) in &changes.chunks {
        rows.put_stored(Blocks, key, bytes)?;
    }
    for (key, row) in &changes.sources {
        rows.put(Sources, key, row)?;
    }
    for (key, row) in &changes.sums {
        rows.put(Sums, key, row)?;
    }
    for (tree, renewal) in &changes.renewals {
        match renewal {
            Renewal::Bytes(offset, bytes) => write_over(rows, *tree, *offset, bytes)?,
            Renewal::Source(leaf, row) => replace(rows, Sources, &(*tree, *leaf), row)?,
            Renewal::Sums(group, row) => replace(rows, Sums, &(*tree, *group), row)?,
        }
    }
    Ok(())
}

/// A chunk that is missing or too short gets zeros up to here, which match no checksum.
fn write_over(
    rows: &mut impl RowsMut<Blocks>,
    tree: TreeNumber,
    offset: u64,
    mut bytes: &[u8],
) -> Result<(), StoreError> {
    let mut at = offset;
    while !bytes.is_empty() {
        let key = (tree, chunk_number(at / CHUNK_BYTES)?);
        let skip = (at % CHUNK_BYTES) as usize;
        let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES as usize - skip));
        let mut chunk = rows.get(Blocks, &key)?.unwrap_or_default();
        chunk.resize(chunk.len().max(skip + now.len()), 0);
        chunk[skip..skip + now.len()].copy_from_slice(now);
        rows.put_stored(Blocks, &key, &chunk)?;
        at += now.len() as u64;
        bytes = later;
    }
    Ok(())
}

fn replace<T: Table>(rows: &mut impl RowsMut<T>, table: T, key: &T::Key, row: &T::Row) -> Result<(), StoreError> {
    if rows.has(table, key)? { rows.put(table, key, row) } else { Ok(()) }
}

/// Removes up to `limit` rows of `trees`, in order, but of those that `keeps` names. Returns how
/// many they were, and how many of the trees, from the front, have no more to be removed.
pub(in crate::store) fn remove(
    rows: &mut impl BlockTxn,
    trees: &[TreeNumber],
    keeps: impl Fn(&TreeNumber) -> bool,
    limit: usize,
) -> Result<(usize, usize), StoreError> {
    let (mut removed, mut through) = (0, 0);
    for tree in trees {
        if !keeps(tree) {
            removed += rows.extract(Blocks, (*tree, 0)..(tree + 1, 0), limit - removed)?;
            removed += rows.extract(Sources, (*tree, 0)..(tree + 1, 0), limit - removed)?;
            removed += rows.extract(Sums, (*tree, 0)..(tree + 1, 0), limit - removed)?;
            if removed >= limit {
                break;
            }
        }
        through += 1;
    }
    Ok((removed, through))
}

/// The number of a chunk, as its row has it.
pub(in crate::store) fn chunk_number(chunk: u64) -> Result<u32, StoreError> {
    u32::try_from(chunk).map_err(|_| StoreError::Contradiction { what: format!("chunk {chunk} is out of range") })
}
