//! Rows that follow from others: names, handles, places in the queue and chores from the rows of
//! trees, counts and notes from the states of leaves, receipts and debits from the entries of the
//! ledger. Those that are contradicted are removed, and those that are missing are written.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{ROWS_PER_STEP, TREES_PER_STEP};
use crate::merkle::TILE_LEAVES;
use crate::protocol::{TreeHandle, WorkId};
use crate::store::command::mend::Derived;
use crate::store::error::StoreError;
use crate::store::key::TableKey as _;
use crate::store::port::{Rows, View, behind, more_if};
use crate::store::rows::{DebitKey, EntryKind, Head, LeafState, ProvenanceRow, TreeRow, TreeState};
use crate::store::rules::fits::{chore, leads_to_entry, needed_chore, place_of, readable};
use crate::store::schema::{
    Chores, Damaged, Debits, Doubted, Handles, Hashes, Ledger, Names, Ready, Receipts, Tiles, TreeNumber, Trees,
};
use crate::store::table::{Owned, Table};

/// Rows to be written or removed, each with a sentence for the report.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<(Derived, String)>,
    /// What cannot be mended.
    pub(super) lost: Vec<String>,
}

impl Found {
    fn note(&mut self, row: Derived, what: String) {
        self.rows.push((row, what));
    }
}

/// The tree that a row leads to.
enum Owner {
    Is(Box<TreeRow>),
    /// Its row is damaged or lost, so that nothing can be said.
    Unknown,
    Gone,
}

fn owner(rows: &impl View, tree: TreeNumber) -> Result<Owner, StoreError> {
    Ok(match readable(rows.get(Trees, &tree))? {
        Some(Some(row)) => Owner::Is(Box::new(row)),
        None => Owner::Unknown,
        Some(None) if rows.any(Hashes, (tree, 0)..=(tree, u64::MAX))? => Owner::Unknown,
        Some(None) => Owner::Gone,
    })
}

/// Looks at up to [`ROWS_PER_STEP`] rows behind `after`. Returns the last one if there may be more.
pub(super) fn stretch<T: Table>(
    rows: &impl Rows<T>,
    table: T,
    after: Option<Owned<T>>,
    mut look: impl FnMut(&Owned<T>, T::Row) -> Result<(), StoreError>,
) -> Result<Option<Owned<T>>, StoreError> {
    let (mut seen, mut last) = (0, None);
    rows.each(table, behind(after), |key, row| {
        look(&key, row?)?;
        seen += 1;
        if seen == ROWS_PER_STEP {
            last = Some(key);
        }
        Ok(more_if(seen < ROWS_PER_STEP))
    })?;
    Ok(last)
}

pub(super) fn odd_names(
    rows: &impl View,
    after: Option<String>,
    found: &mut Found,
) -> Result<Option<String>, StoreError> {
    stretch(rows, Names, after, |name, tree| {
        let odd = match owner(rows, tree)? {
            Owner::Is(row) => row.name != *name,
            Owner::Unknown => false,
            Owner::Gone => true,
        };
        if odd {
            let what = format!("names-0 row {name:?}: tree {tree} has another name, or is not there");
            found.note(Derived::Name(name.clone(), None), what);
        }
        Ok(())
    })
}

pub(super) fn odd_handles(
    rows: &impl View,
    after: Option<TreeHandle>,
    found: &mut Found,
) -> Result<Option<TreeHandle>, StoreError> {
    stretch(rows, Handles, after, |handle, tree| {
        let odd = match owner(rows, tree)? {
            Owner::Is(row) => row.handle != *handle,
            Owner::Unknown => false,
            Owner::Gone => true,
        };
        if odd {
            let of = handle.text();
            let what = format!("handles-0 row {of}: tree {tree} has another handle, or is not there");
            found.note(Derived::Handle(*handle, None), what);
        }
        Ok(())
    })
}

pub(super) fn odd_places(
    rows: &impl View,
    after: Option<(u8, u64)>,
    found: &mut Found,
) -> Result<Option<(u8, u64)>, StoreError> {
    stretch(rows, Ready, after, |key, tree| {
        let odd = match owner(rows, tree)? {
            Owner::Is(row) => row.state != TreeState::Active || place_of(&row) != *key,
            Owner::Unknown => false,
            Owner::Gone => true,
        };
        if odd {
            let what = format!("ready-0 row {key:?}: tree {tree} has no place there");
            found.note(Derived::Place(*key, None), what);
        }
        Ok(())
    })
}

pub(super) fn odd_chores(
    rows: &impl View,
    next_tree: TreeNumber,
    after: Option<(u8, u64)>,
    found: &mut Found,
) -> Result<Option<(u8, u64)>, StoreError> {
    stretch(rows, Chores, after, |key, ()| {
        let (kind, tree) = *key;
        let Some(row) = readable(rows.get(Trees, &tree))? else { return Ok(()) };
        if chore(kind, tree, row.as_ref(), next_tree).is_err() {
            let what = format!("chores-0 row {key:?}: the tree needs no such chore");
            found.note(Derived::Chore(*key, false), what);
        }
        Ok(())
    })
}

/// A table whose rows lead to entries of the ledger.
pub(super) trait Pointers: Table<Row = u64> {
    /// They lead to debits.
    const DEBIT: bool;

    /// The id of the entry that a row leads to.
    fn entry_id(key: &Owned<Self>) -> WorkId;
}

impl Pointers for Receipts {
    const DEBIT: bool = false;

    fn entry_id(key: &WorkId) -> WorkId {
        *key
    }
}

impl Pointers for Debits {
    const DEBIT: bool = true;

    fn entry_id(key: &DebitKey) -> WorkId {
        key.entry_id()
    }
}

pub(super) fn odd_pointers<T: Pointers>(
    rows: &(impl View + Rows<T>),
    table: T,
    head: &Head,
    after: Option<Owned<T>>,
    found: &mut Found,
) -> Result<Option<Owned<T>>, StoreError> {
    stretch(rows, table, after, |key, seq| {
        let (name, id) = (T::NAME, T::entry_id(key));
        // Those of sealed entries are another step.
        let Some(entry) = readable(rows.get(Ledger, &seq))? else { return Ok(()) };
        if seq >= head.anchor && leads_to_entry((name, id, T::DEBIT), seq, head, entry.as_ref()).is_err() {
            let what = format!("{name} row {}: ledger-0 row {seq} is another, or is not there", id.text());
            found.note(pointer(T::DEBIT, id, None), what);
        }
        Ok(())
    })
}

pub(super) fn lost_pointers(rows: &impl View, from: u64, found: &mut Found) -> Result<Option<u64>, StoreError> {
    let (mut seen, mut next) = (0, None);
    rows.each(Ledger, from.., |seq, row| {
        if seen == ROWS_PER_STEP {
            next = Some(seq);
            return Ok(ControlFlow::Break(()));
        }
        seen += 1;
        let Ok(row) = row else { return Ok(ControlFlow::Continue(())) };
        let debit = row.kind == EntryKind::Debit;
        let (name, there) = if debit {
            (Debits::NAME, rows.get(Debits, &DebitKey::of_entry(row.id))?)
        } else {
            (Receipts::NAME, rows.get(Receipts, &row.id)?)
        };
        let other = match there {
            Some(other) if other != seq => readable(rows.get(Ledger, &other))?.flatten(),
            _ => None,
        };
        let taken = other.is_some_and(|other| other.id == row.id && (other.kind == EntryKind::Debit) == debit);
        if there != Some(seq) && !taken {
            let what = format!("ledger-0 row {seq}: {name} row {} does not lead to it", row.id.text());
            found.note(pointer(debit, row.id, Some(seq)), what);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(next)
}

/// Up to [`TREES_PER_STEP`] trees from `from` on; `None` where the row does not decode.
pub(super) fn tree_rows(rows: &impl View, from: TreeNumber) -> Result<Vec<(TreeNumber, Option<TreeRow>)>, StoreError> {
    let page = rows.page_of_any(Trees, from.., TREES_PER_STEP)?;
    Ok(page.into_iter().map(|(tree, row)| (tree, row.ok())).collect())
}

/// Notes on up to [`ROWS_PER_STEP`] tiles of a tree from `from` on. The states are added to
/// `counts`, which is `None` from the first row on that does not decode. Returns the next tile.
pub(super) fn odd_notes(
    rows: &impl View,
    (tree, released): (TreeNumber, bool),
    from: u64,
    counts: &mut Option<ProvenanceRow>,
    found: &mut Found,
) -> Result<Option<u64>, StoreError> {
    let (mut damaged, mut doubted, mut unknown) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut seen, mut end, mut next) = (0, u64::MAX, None);
    rows.each(Tiles, (tree, from)..=(tree, u64::MAX), |(_, tile), row| {
        if seen == ROWS_PER_STEP {
            (end, next) = (tile, Some(tile));
            return Ok(ControlFlow::Break(()));
        }
        seen += 1;
        let Ok(row) = row else {
            unknown.insert(tile);
            *counts = None;
            return Ok(ControlFlow::Continue(()));
        };
        for slot in 0..TILE_LEAVES {
            let state = row.state(slot);
            if let Some(count) = counts.as_mut().and_then(|counts| counts.count_mut(state)) {
                *count += 1;
            }
            match state {
                LeafState::Damaged => drop(damaged.insert((tree, tile.saturating_mul(TILE_LEAVES) + slot))),
                LeafState::Doubted => drop(doubted.insert((tree, tile))),
                _ => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let last = end.saturating_mul(TILE_LEAVES);
    let leaves =
        BTreeSet::from_iter(rows.keys(Damaged, (tree, from.saturating_mul(TILE_LEAVES))..(tree, last), usize::MAX)?);
    for key in leaves.symmetric_difference(&damaged).filter(|key| !unknown.contains(&(key.1 / TILE_LEAVES))) {
        let what = format!("damaged-0 row {key:?}: it does not fit the state of the leaf");
        found.note(Derived::Damaged(*key, damaged.contains(key)), what);
    }
    if !released {
        let tiles = BTreeSet::from_iter(rows.keys(Doubted, (tree, from)..(tree, end), usize::MAX)?);
        for key in tiles.symmetric_difference(&doubted).filter(|key| !unknown.contains(&key.1)) {
            let what = format!("doubted-0 row {key:?}: it does not fit the states of the leaves");
            found.note(Derived::Doubted(*key, doubted.contains(key)), what);
        }
    }
    Ok(next)
}

/// What leads to a tree, and its chore, where these are missing.
pub(super) fn lost_of_tree(
    rows: &impl View,
    (tree, row): (TreeNumber, &TreeRow),
    weak: bool,
    found: &mut Found,
) -> Result<(), StoreError> {
    match rows.get(Names, row.name.as_str())? {
        Some(there) if there == tree => {}
        Some(other) if matches!(owner(rows, other)?, Owner::Is(owner) if owner.name == row.name) => {
            let what = format!("tree {tree}: tree {other} has the same name; forget that one, then repair again");
            found.lost.push(what);
        }
        _ => {
            let what = format!("tree {tree}: names-0 row {:?} does not lead to it", row.name);
            found.note(Derived::Name(row.name.clone(), Some(tree)), what);
        }
    }
    if rows.get(Handles, &row.handle)? != Some(tree) {
        let what = format!("tree {tree}: handles-0 row {} does not lead to it", row.handle.text());
        found.note(Derived::Handle(row.handle, Some(tree)), what);
    }
    let place = place_of(row);
    let there = rows.get(Ready, &place)?;
    if row.state == TreeState::Active && there != Some(tree) {
        let what = format!("tree {tree}: ready-0 row {place:?} does not lead to it");
        found.note(Derived::Place(place, Some(tree)), what);
    }
    if let Some(kind) = needed_chore(row, || weak)
        && !rows.has(Chores, &(kind, tree))?
    {
        let what = format!("tree {tree}: it is {:?}, but chores-0 lacks {:?}", row.state, (kind, tree));
        found.note(Derived::Chore((kind, tree), true), what);
    }
    Ok(())
}

fn pointer(debit: bool, id: WorkId, seq: Option<u64>) -> Derived {
    if debit { Derived::Debit(DebitKey::of_entry(id), seq) } else { Derived::Receipt(id, seq) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Tables;
    use crate::store::port::RowsMut as _;
    use crate::store::rows::GroupRow;
    use crate::store::schema::CHORE_FOLD;

    #[test]
    fn a_name_of_a_tree_that_is_not_there_is_odd_and_one_of_a_tree_that_lost_its_row_is_not() {
        let mut rows = Tables::default();
        rows.put(Names, "gone", &7).unwrap();
        rows.put(Names, "lost", &8).unwrap();
        rows.put(Hashes, &(8, 3), &GroupRow::unknown(1)).unwrap();
        let mut found = Found::default();
        assert_eq!(odd_names(&rows, None, &mut found).unwrap(), None);
        let what = "names-0 row \"gone\": tree 7 has another name, or is not there".to_owned();
        assert_eq!(found.rows, [(Derived::Name("gone".into(), None), what)]);
        assert_eq!(found.lost, [""; 0]);
    }

    #[test]
    fn a_stretch_ends_after_its_rows_and_goes_on_behind_them() {
        let mut rows = Tables::default();
        for tree in 0..ROWS_PER_STEP as u64 + 2 {
            rows.put(Chores, &(CHORE_FOLD, tree), &()).unwrap();
        }
        let (mut found, last) = (Found::default(), (CHORE_FOLD, ROWS_PER_STEP as u64 - 1));
        assert_eq!(odd_chores(&rows, 0, None, &mut found).unwrap(), Some(last));
        assert_eq!(found.rows.len(), ROWS_PER_STEP);
        assert_eq!(odd_chores(&rows, 0, Some(last), &mut found).unwrap(), None);
        assert_eq!(found.rows.len(), ROWS_PER_STEP + 2);
    }
}
