//! Reads of claims, votes and damage.

use crate::merkle::TILE_LEAVES;
use crate::store::error::StoreError;
use crate::store::port::{View, behind};
use crate::store::rows::{ClaimRow, QuorumRow, RowError};
use crate::store::schema::{Claims, Damaged, Doubted, Quorums, RangeKey, TreeNumber};

/// Ranges with their votes, each row by itself readable or not.
pub type QuorumsPage = Vec<(RangeKey, Result<QuorumRow, RowError>)>;

pub(super) fn quorum(rows: &impl View, tree: TreeNumber, start: u64) -> Result<Option<QuorumRow>, StoreError> {
    rows.get(Quorums, &(tree, start))
}

pub(super) fn quorums_of_tile(
    rows: &impl View,
    tree: TreeNumber,
    tile: u64,
) -> Result<Vec<(u64, QuorumRow)>, StoreError> {
    let first = tile * TILE_LEAVES;
    let page = rows.page(Quorums, (tree, first)..(tree, first + TILE_LEAVES), usize::MAX)?;
    Ok(page.into_iter().map(|((_, start), row)| (start, row)).collect())
}

pub(super) fn quorums(rows: &impl View, after: Option<RangeKey>, limit: usize) -> Result<QuorumsPage, StoreError> {
    rows.page_of_any(Quorums, behind(after), limit)
}

pub(super) fn claims(
    rows: &impl View,
    tree: TreeNumber,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, ClaimRow)>, StoreError> {
    let page = rows.page(Claims, (tree, from)..(tree + 1, 0), limit)?;
    Ok(page.into_iter().map(|((_, start), row)| (start, row)).collect())
}

pub(super) fn doubted(rows: &impl View, after: Option<RangeKey>, limit: usize) -> Result<Vec<RangeKey>, StoreError> {
    rows.keys(Doubted, behind(after), limit)
}

pub(super) fn damaged(rows: &impl View, after: Option<RangeKey>, limit: usize) -> Result<Vec<RangeKey>, StoreError> {
    rows.keys(Damaged, behind(after), limit)
}
