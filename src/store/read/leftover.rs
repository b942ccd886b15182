//! Rows that belong to no tree: block data without a tree that needs it, and rows of trees that are
//! gone without a note that they are to be removed.

use crate::store::error::StoreError;
use crate::store::key::{TableKey, TreeKey};
use crate::store::port::{BlockView, Rows, Snapshot, View};
use crate::store::rows::DataPlace;
use crate::store::schema::{
    Blocks, CHORE_DROP, CHORE_PURGE, Hashes, Interior, Lengths, Sources, Sums, Tiles, TreeNumber, Trees,
};
use crate::store::table::Table;

use super::head::head;
use super::queue::has_chore;
use super::seek::first_readable;
use super::trees::tree;

/// A stretch of the search for block data that belongs to no tree.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Trees whose block data no tree needs.
    pub trees: Vec<TreeNumber>,
    /// The tree at which the search goes on; `None` at its end.
    pub next: Option<TreeNumber>,
    /// Why trees were passed over, if a page cannot be read. Their data stays.
    pub unread: Option<StoreError>,
}

/// Up to `limit` trees with block data, from number `from` on: the first half of
/// `Store::leftovers`.
pub(in crate::store) fn trees_with_data(
    blocks: &impl Snapshot<View: BlockView>,
    from: TreeNumber,
    limit: usize,
) -> Result<Leftovers, StoreError> {
    let mut out = Leftovers { next: Some(from), ..Leftovers::default() };
    while let Some(at) = out.next.filter(|_| out.trees.len() < limit) {
        let found = [
            first_with_rows(blocks, Blocks, at, &mut out.unread)?,
            first_with_rows(blocks, Sources, at, &mut out.unread)?,
            first_with_rows(blocks, Sums, at, &mut out.unread)?,
        ];
        let first = found.into_iter().flatten().min();
        out.trees.extend(first);
        out.next = first.and_then(|tree| tree.checked_add(1));
    }
    Ok(out)
}

/// Those of a page whose data no tree needs: the second half of `Store::leftovers`. The state is
/// read after the data, so that a tree begun meanwhile is seen.
pub(in crate::store) fn of_no_tree(rows: &impl Snapshot<View: View>, page: Leftovers) -> Result<Leftovers, StoreError> {
    let begun = rows.look(head)?.next_tree;
    let mut out = Leftovers { trees: Vec::new(), next: page.next.filter(|next| *next < begun), ..page };
    for tree in page.trees.into_iter().filter(|tree| *tree < begun) {
        match is_left_over(rows, tree) {
            Ok(true) => out.trees.push(tree),
            Ok(false) => {}
            // Its data stays: a row that cannot be read may need it.
            Err(error) if error.is_of_the_place() => out.unread = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(out)
}

/// The first tree with a row of a table of the block file, from `from` on. Rows on pages that
/// cannot be read are passed over, and the failure is noted.
fn first_with_rows<T: Table<Key: TreeKey>>(
    blocks: &impl Snapshot<View: Rows<T>>,
    table: T,
    from: TreeNumber,
    unread: &mut Option<StoreError>,
) -> Result<Option<TreeNumber>, StoreError> {
    let first = |from: T::Key| blocks.look(|rows| Ok(rows.first_key(table, from..)?.map(|key| key.tree())));
    match first(T::Key::first_of(from)) {
        Err(error) if error.is_of_the_place() => {
            *unread = Some(error);
            match first_readable(blocks, table, &T::Key::first_of(from).to_stored())? {
                Some(key) => first(key),
                None => Ok(None),
            }
        }
        found => found,
    }
}

fn is_left_over(rows: &impl Snapshot<View: View>, number: TreeNumber) -> Result<bool, StoreError> {
    let has_no_chore = |kind| Ok::<bool, StoreError>(!rows.look(|rows| has_chore(rows, kind, number))?);
    match rows.look(|rows| tree(rows, number)) {
        Ok(Some(row)) => Ok(row.data == DataPlace::Dropped && has_no_chore(CHORE_DROP)?),
        Ok(None) => Ok(has_no_chore(CHORE_PURGE)? && !rows.look(|rows| has_hashes(rows, number))?),
        Err(error) if error.is_one_row() => Ok(false),
        Err(error) => Err(error),
    }
}

fn has_hashes(rows: &impl View, tree: TreeNumber) -> Result<bool, StoreError> {
    Ok(first_tree(rows, Hashes, tree)? == Some(tree))
}

/// Up to `limit` trees that have rows of hashes, lengths, leaf states or interior nodes, and
/// neither a row of their own nor a note that they are being removed; from `from` on.
pub(super) fn ownerless(rows: &impl View, from: TreeNumber, limit: usize) -> Result<Vec<TreeNumber>, StoreError> {
    let mut out = Vec::new();
    let mut from = Some(from);
    while let Some(at) = from.filter(|_| out.len() < limit) {
        let found = [
            first_tree(rows, Interior, at)?,
            first_tree(rows, Hashes, at)?,
            first_tree(rows, Lengths, at)?,
            first_tree(rows, Tiles, at)?,
        ];
        let Some(tree) = found.into_iter().flatten().min() else { break };
        if !rows.has(Trees, &tree)? && !has_chore(rows, CHORE_PURGE, tree)? {
            out.push(tree);
        }
        from = tree.checked_add(1);
    }
    Ok(out)
}

/// The tree of the first row at or behind those of `from`.
fn first_tree<T: Table<Key: TreeKey>>(
    rows: &impl Rows<T>,
    table: T,
    from: TreeNumber,
) -> Result<Option<TreeNumber>, StoreError> {
    Ok(rows.first_key(table, T::Key::first_of(from)..)?.map(|key| key.tree()))
}
