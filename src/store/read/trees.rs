//! Reads about trees: their rows, and the hashes, lengths and states of their leaves.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::hash::Checksum;
use crate::merkle::{AlignedRange, TILE_LEAVES};
use crate::protocol::TreeHandle;
use crate::store::error::StoreError;
use crate::store::port::{View, behind, more_if};
use crate::store::rows::{GroupRow, LengthRow, ProvenanceRow, RowError, TileRow, TreeRow};
use crate::store::rules::fits::leads_to_tree;
use crate::store::schema::{Handles, Hashes, Interior, Lengths, Names, Provenance, Tiles, TreeNumber, Trees};
use crate::store::table::Table;

/// A tree, and its row.
pub type TreeEntry = (TreeNumber, TreeRow);

/// A tree of which the row decodes or not.
pub type NextTree = (TreeNumber, Result<TreeRow, RowError>);

pub(in crate::store) fn tree(rows: &impl View, tree: TreeNumber) -> Result<Option<TreeRow>, StoreError> {
    rows.get(Trees, &tree)
}

pub(super) fn tree_named(rows: &impl View, name: &str) -> Result<Option<TreeEntry>, StoreError> {
    let Some(number) = rows.get(Names, name)? else { return Ok(None) };
    let row = tree(rows, number)?;
    leads_to_tree(Names::NAME, number, row.as_ref(), |row| row.name == name)?;
    Ok(row.map(|row| (number, row)))
}

pub(super) fn tree_of_handle(rows: &impl View, handle: TreeHandle) -> Result<Option<TreeEntry>, StoreError> {
    let Some(number) = rows.get(Handles, &handle)? else { return Ok(None) };
    let row = tree(rows, number)?;
    leads_to_tree(Handles::NAME, number, row.as_ref(), |row| row.handle == handle)?;
    Ok(row.map(|row| (number, row)))
}

pub(super) fn trees(rows: &impl View, after: Option<TreeNumber>, limit: usize) -> Result<Vec<TreeEntry>, StoreError> {
    rows.page(Trees, behind(after), limit)
}

pub(super) fn next_tree(rows: &impl View, from: TreeNumber) -> Result<Option<NextTree>, StoreError> {
    Ok(rows.page_of_any(Trees, from.., 1)?.pop())
}

/// The number of leaves of a tree in each state.
pub(in crate::store) fn provenance(rows: &impl View, tree: TreeNumber) -> Result<ProvenanceRow, StoreError> {
    Ok(rows.get(Provenance, &tree)?.unwrap_or_default())
}

pub(super) fn provenance_or_counted(rows: &impl View, tree: TreeNumber) -> Result<ProvenanceRow, StoreError> {
    match provenance(rows, tree) {
        Err(error) if error.is_one_row() => {
            let mut counts = ProvenanceRow::default();
            rows.each(Tiles, (tree, 0)..=(tree, u64::MAX), |_, row| {
                counts.add_tile(&row?);
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(counts)
        }
        read => read,
    }
}

pub(in crate::store) fn tile(rows: &impl View, tree: TreeNumber, tile: u64) -> Result<TileRow, StoreError> {
    Ok(rows.get(Tiles, &(tree, tile))?.unwrap_or(TileRow::PENDING))
}

pub(super) fn tiles(rows: &impl View, tree: TreeNumber, first: u64, count: usize) -> Result<Vec<TileRow>, StoreError> {
    let mut out = vec![TileRow::PENDING; count];
    rows.each(Tiles, (tree, first)..(tree, first.saturating_add(count as u64)), |(_, tile), row| {
        out[(tile - first) as usize] = row?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(out)
}

pub(super) fn range_pending(rows: &impl View, of: TreeNumber, range: &AlignedRange) -> Result<bool, StoreError> {
    let mask = tile(rows, of, range.tile())?.pending_mask(TILE_LEAVES);
    Ok((range.start()..range.end()).all(|leaf| mask & (1 << (leaf % TILE_LEAVES)) != 0))
}

pub(super) fn group(rows: &impl View, tree: TreeNumber, group: u64) -> Result<GroupRow, StoreError> {
    rows.get(Hashes, &(tree, group))?.ok_or_else(|| missing(Hashes::NAME, tree, group))
}

pub(super) fn groups(
    rows: &impl View,
    tree: TreeNumber,
    first: u64,
    limit: usize,
) -> Result<Vec<GroupRow>, StoreError> {
    let mut out = Vec::new();
    if limit == 0 {
        return Ok(out);
    }
    rows.each(Hashes, (tree, first)..(tree + 1, 0), |(_, group), row| {
        let expected = first + out.len() as u64;
        if group != expected {
            return Err(missing(Hashes::NAME, tree, expected));
        }
        out.push(row?);
        Ok(more_if(out.len() < limit))
    })?;
    Ok(out)
}

pub(super) fn lengths(rows: &impl View, tree: TreeNumber, group: u64) -> Result<LengthRow, StoreError> {
    rows.get(Lengths, &(tree, group))?.ok_or_else(|| missing(Lengths::NAME, tree, group))
}

pub(super) fn has_lengths(rows: &impl View, tree: TreeNumber) -> Result<bool, StoreError> {
    rows.has(Lengths, &(tree, 0))
}

pub(super) fn interior(
    rows: &impl View,
    tree: TreeNumber,
    level: u8,
    index: u64,
) -> Result<Option<Checksum>, StoreError> {
    Ok(rows.get(Interior, &(tree, level, index))?.map(|node| node.0))
}

/// Those of `trees`, which are in order, that a name or a handle leads to. One walk over both
/// tables.
pub(super) fn named(rows: &impl View, trees: &[TreeNumber]) -> Result<BTreeSet<TreeNumber>, StoreError> {
    let mut named = BTreeSet::new();
    let mut note = |tree: TreeNumber| {
        if trees.binary_search(&tree).is_ok() {
            named.insert(tree);
        }
        Ok(ControlFlow::Continue(()))
    };
    rows.each(Names, .., |_, tree| note(tree?))?;
    rows.each(Handles, .., |_, tree| note(tree?))?;
    Ok(named)
}

fn missing(table: &'static str, tree: TreeNumber, row: u64) -> StoreError {
    StoreError::Contradiction { what: format!("{table} lacks row {row} of tree {tree}") }
}
