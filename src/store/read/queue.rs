//! Reads of the queue of trees and of the chores of upkeep.

use std::ops::Bound;

use crate::store::error::StoreError;
use crate::store::port::View;
use crate::store::rules::fits;
use crate::store::schema::{Chores, Ready, TreeNumber};

use super::head::head;
use super::trees::tree;

pub(super) fn ready(
    rows: &impl View,
    priority: u8,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, TreeNumber)>, StoreError> {
    let from = after.map_or(Bound::Included((priority, 0)), |order| Bound::Excluded((priority, order)));
    let page = rows.page(Ready, (from, Bound::Included((priority, u64::MAX))), limit)?;
    Ok(page.into_iter().map(|((_, order), tree)| (order, tree)).collect())
}

pub(super) fn ready_len(rows: &impl View) -> Result<u64, StoreError> {
    rows.len(Ready)
}

pub(super) fn chores(
    rows: &impl View,
    kind: u8,
    after: Option<TreeNumber>,
    limit: usize,
) -> Result<Vec<TreeNumber>, StoreError> {
    let from = after.map_or(Bound::Included((kind, 0)), |tree| Bound::Excluded((kind, tree)));
    let keys = rows.keys(Chores, (from, Bound::Included((kind, u64::MAX))), limit)?;
    Ok(keys.into_iter().map(|(_, tree)| tree).collect())
}

pub(in crate::store) fn has_chore(rows: &impl View, kind: u8, tree: TreeNumber) -> Result<bool, StoreError> {
    rows.has(Chores, &(kind, tree))
}

pub(super) fn check_chore(rows: &impl View, kind: u8, number: TreeNumber) -> Result<(), StoreError> {
    Ok(fits::chore(kind, number, tree(rows, number)?.as_ref(), head(rows)?.next_tree)?)
}
