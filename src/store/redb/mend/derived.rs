//! Rows that follow from others: names, handles, places in the queue and chores from the rows of
//! trees, counts and notes from the states of leaves, receipts and debits from the entries of the
//! ledger. Those that are contradicted are removed, and those that are missing are written.

use std::collections::BTreeSet;
use std::ops::Bound;

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::TREES_PER_STEP;
use crate::merkle::TILE_LEAVES;
use crate::protocol::{TreeHandle, WorkId};
use crate::store::command::mend::Derived;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::read::Reader;
use crate::store::redb::tables::{InRedb, RedbKey as _, known};
use crate::store::rows::{DataPlace, DebitKey, EntryKind, Head, LeafState, ProvenanceRow, TreeRow, TreeState};
use crate::store::rules::fits::{chore, leads_to_entry, readable};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, Chores, Damaged, Debits, Doubted, Handles, Hashes, Ledger, Names,
    PRIORITY_FRESH, PRIORITY_PARTIAL, Ready, Receipts, Tiles, TreeNumber, Trees,
};
use crate::store::table::Table;

/// Rows looked at in one step.
const ROWS_PER_STEP: usize = 2_048;

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

fn owner(txn: &ReadTransaction, tree: TreeNumber) -> Result<Owner, StoreError> {
    if let Some(raw) = txn.open_table(Trees::DEFINITION).db()?.get(tree).db()? {
        return Ok(Trees::decode(&tree, raw.value()).map_or(Owner::Unknown, |row| Owner::Is(Box::new(row))));
    }
    let hashes = txn.open_table(Hashes::DEFINITION).db()?;
    let lost = hashes.range((tree, 0)..=(tree, u64::MAX)).db()?.next().is_some();
    Ok(if lost { Owner::Unknown } else { Owner::Gone })
}

/// Looks at up to [`ROWS_PER_STEP`] rows behind `after`. Returns the last one if there may be more.
fn stretch<K, V>(
    table: &ReadOnlyTable<K, V>,
    after: Option<K>,
    mut look: impl FnMut(K, V) -> Result<(), StoreError>,
) -> Result<Option<K>, StoreError>
where
    K: Key + for<'a> Value<SelfType<'a> = K> + std::borrow::Borrow<K> + Copy + 'static,
    V: for<'a> Value<SelfType<'a> = V> + 'static,
{
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    for (seen, entry) in table.range::<K>((from, Bound::Unbounded)).db()?.enumerate() {
        let (key, value) = entry.db()?;
        look(key.value(), value.value())?;
        if seen + 1 == ROWS_PER_STEP {
            return Ok(Some(key.value()));
        }
    }
    Ok(None)
}

fn priority_of(row: &TreeRow) -> u8 {
    if row.done > 0 { PRIORITY_PARTIAL } else { PRIORITY_FRESH }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

impl Reader {
    pub(super) fn odd_names(&self, after: Option<&str>, found: &mut Found) -> Result<Option<String>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Names::DEFINITION).db()?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            for (seen, entry) in table.range::<&str>((from, Bound::Unbounded)).db()?.enumerate() {
                let (name, tree) = entry.db()?;
                let (name, tree) = (name.value(), tree.value());
                let odd = match owner(txn, tree)? {
                    Owner::Is(row) => row.name != name,
                    Owner::Unknown => false,
                    Owner::Gone => true,
                };
                if odd {
                    let what = format!("names-0 row {name:?}: tree {tree} has another name, or is not there");
                    found.note(Derived::Name(name.to_owned(), None), what);
                }
                if seen + 1 == ROWS_PER_STEP {
                    return Ok(Some(name.to_owned()));
                }
            }
            Ok(None)
        })
    }

    pub(super) fn odd_handles(
        &self,
        after: Option<[u8; 16]>,
        found: &mut Found,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        self.rows.look_inside(|txn| {
            stretch(&txn.open_table(Handles::DEFINITION).db()?, after, |handle, tree| {
                let odd = match owner(txn, tree)? {
                    Owner::Is(row) => row.handle != TreeHandle::owned(handle),
                    Owner::Unknown => false,
                    Owner::Gone => true,
                };
                if odd {
                    let of = hex(&handle);
                    let what = format!("handles-0 row {of}: tree {tree} has another handle, or is not there");
                    found.note(Derived::Handle(TreeHandle::owned(handle), None), what);
                }
                Ok(())
            })
        })
    }

    pub(super) fn odd_places(
        &self,
        after: Option<(u8, u64)>,
        found: &mut Found,
    ) -> Result<Option<(u8, u64)>, StoreError> {
        self.rows.look_inside(|txn| {
            stretch(&txn.open_table(Ready::DEFINITION).db()?, after, |key, tree| {
                let odd = match owner(txn, tree)? {
                    Owner::Is(row) => row.state != TreeState::Active || (priority_of(&row), row.order) != key,
                    Owner::Unknown => false,
                    Owner::Gone => true,
                };
                if odd {
                    found.note(
                        Derived::Place(key, None),
                        format!("ready-0 row {key:?}: tree {tree} has no place there"),
                    );
                }
                Ok(())
            })
        })
    }

    pub(super) fn odd_chores(
        &self,
        after: Option<(u8, u64)>,
        found: &mut Found,
    ) -> Result<Option<(u8, u64)>, StoreError> {
        let next_tree = self.head()?.next_tree;
        self.rows.look_inside(|txn| {
            let trees = txn.open_table(Trees::DEFINITION).db()?;
            stretch(&txn.open_table(Chores::DEFINITION).db()?, after, |(kind, tree), ()| {
                let raw = trees.get(tree).db()?;
                let row = match raw.map(|raw| Trees::decode(&tree, raw.value())) {
                    Some(Err(_)) => return Ok(()),
                    Some(Ok(row)) => Some(row),
                    None => None,
                };
                if chore(kind, tree, row.as_ref(), next_tree).is_err() {
                    let what = format!("chores-0 row {:?}: the tree needs no such chore", (kind, tree));
                    found.note(Derived::Chore((kind, tree), false), what);
                }
                Ok(())
            })
        })
    }

    pub(super) fn odd_pointers(
        &self,
        debit: bool,
        head: &Head,
        after: Option<[u8; 16]>,
        found: &mut Found,
    ) -> Result<Option<[u8; 16]>, StoreError> {
        let (table, name) = pointers(debit);
        self.rows.look_inside(|txn| {
            stretch(&txn.open_table(table).db()?, after, |id, seq| {
                // Those of sealed entries are another step.
                let Some(entry) = readable(self.ledger_entry(seq))? else { return Ok(()) };
                if seq >= head.anchor
                    && leads_to_entry((name, WorkId::from_bytes(id), debit), seq, head, entry.as_ref()).is_err()
                {
                    let what = format!("{name} row {}: ledger-0 row {seq} is another, or is not there", hex(&id));
                    found.note(pointer(debit, WorkId::from_bytes(id), None), what);
                }
                Ok(())
            })
        })
    }

    pub(super) fn lost_pointers(&self, from: u64, found: &mut Found) -> Result<Option<u64>, StoreError> {
        self.rows.look_inside(|txn| {
            let (receipts, debits) =
                (txn.open_table(Receipts::DEFINITION).db()?, txn.open_table(Debits::DEFINITION).db()?);
            for (seen, entry) in txn.open_table(Ledger::DEFINITION).db()?.range(from..).db()?.enumerate() {
                let (seq, raw) = entry.db()?;
                let seq = seq.value();
                if seen == ROWS_PER_STEP {
                    return Ok(Some(seq));
                }
                let Ok(row) = Ledger::decode(&seq, raw.value()) else { continue };
                let debit = row.kind == EntryKind::Debit;
                let there = if debit { &debits } else { &receipts }.get(row.id.form()).db()?.map(|raw| raw.value());
                let name = pointers(debit).1;
                let other = match there {
                    Some(other) if other != seq => readable(self.ledger_entry(other))?.flatten(),
                    _ => None,
                };
                let taken = other.is_some_and(|other| other.id == row.id && (other.kind == EntryKind::Debit) == debit);
                if there != Some(seq) && !taken {
                    let what = format!("ledger-0 row {seq}: {name} row {} does not lead to it", hex(row.id.as_bytes()));
                    found.note(pointer(debit, row.id, Some(seq)), what);
                }
            }
            Ok(None)
        })
    }

    /// Up to [`TREES_PER_STEP`] trees from `from` on; `None` where the row does not decode.
    pub(super) fn tree_rows(&self, from: TreeNumber) -> Result<Vec<(TreeNumber, Option<TreeRow>)>, StoreError> {
        self.rows.look_inside(|txn| {
            let mut out = Vec::new();
            for entry in txn.open_table(Trees::DEFINITION).db()?.range(from..).db()?.take(TREES_PER_STEP) {
                let (tree, raw) = entry.db()?;
                out.push((tree.value(), Trees::decode(&tree.value(), raw.value()).ok()));
            }
            Ok(out)
        })
    }

    /// Notes on up to [`ROWS_PER_STEP`] tiles of a tree from `from` on. The states are added to
    /// `counts`, which is `None` from the first row on that does not decode. Returns the next tile.
    pub(super) fn odd_notes(
        &self,
        (tree, released): (TreeNumber, bool),
        from: u64,
        counts: &mut Option<ProvenanceRow>,
        found: &mut Found,
    ) -> Result<Option<u64>, StoreError> {
        self.rows.look_inside(|txn| {
            let (mut damaged, mut doubted, mut unknown) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let (mut end, mut next) = (u64::MAX, None);
            for (seen, entry) in
                txn.open_table(Tiles::DEFINITION).db()?.range((tree, from)..=(tree, u64::MAX)).db()?.enumerate()
            {
                let (key, raw) = entry.db()?;
                let key = key.value();
                if seen == ROWS_PER_STEP {
                    (end, next) = (key.1, Some(key.1));
                    break;
                }
                let Ok(row) = Tiles::decode(&key, raw.value()) else {
                    unknown.insert(key.1);
                    *counts = None;
                    continue;
                };
                for slot in 0..TILE_LEAVES {
                    let state = row.state(slot);
                    if let Some(count) = counts.as_mut().and_then(|counts| counts.count_mut(state)) {
                        *count += 1;
                    }
                    match state {
                        LeafState::Damaged => drop(damaged.insert((tree, key.1.saturating_mul(TILE_LEAVES) + slot))),
                        LeafState::Doubted => drop(doubted.insert((tree, key.1))),
                        _ => {}
                    }
                }
            }
            let last = end.saturating_mul(TILE_LEAVES);
            let leaves = noted(txn, Damaged::DEFINITION, (tree, from.saturating_mul(TILE_LEAVES)), (tree, last))?;
            for key in leaves.symmetric_difference(&damaged).filter(|key| !unknown.contains(&(key.1 / TILE_LEAVES))) {
                let what = format!("damaged-0 row {key:?}: it does not fit the state of the leaf");
                found.note(Derived::Damaged(*key, damaged.contains(key)), what);
            }
            if !released {
                let tiles = noted(txn, Doubted::DEFINITION, (tree, from), (tree, end))?;
                for key in tiles.symmetric_difference(&doubted).filter(|key| !unknown.contains(&key.1)) {
                    let what = format!("doubted-0 row {key:?}: it does not fit the states of the leaves");
                    found.note(Derived::Doubted(*key, doubted.contains(key)), what);
                }
            }
            Ok(next)
        })
    }

    /// What leads to a tree, and its chore, where these are missing.
    pub(super) fn lost_of_tree(
        &self,
        tree: TreeNumber,
        row: &TreeRow,
        weak: bool,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        self.rows.look_inside(|txn| {
            let names = txn.open_table(Names::DEFINITION).db()?.get(row.name.as_str()).db()?.map(|raw| raw.value());
            match names {
                Some(there) if there == tree => {}
                Some(other) if matches!(owner(txn, other)?, Owner::Is(owner) if owner.name == row.name) => {
                    let what =
                        format!("tree {tree}: tree {other} has the same name; forget that one, then repair again");
                    found.lost.push(what);
                }
                _ => {
                    let what = format!("tree {tree}: names-0 row {:?} does not lead to it", row.name);
                    found.note(Derived::Name(row.name.clone(), Some(tree)), what);
                }
            }
            if txn.open_table(Handles::DEFINITION).db()?.get(row.handle.form()).db()?.map(|raw| raw.value())
                != Some(tree)
            {
                let what = format!("tree {tree}: handles-0 row {} does not lead to it", hex(row.handle.as_bytes()));
                found.note(Derived::Handle(row.handle, Some(tree)), what);
            }
            let place = (priority_of(row), row.order);
            let there = txn.open_table(Ready::DEFINITION).db()?.get(place).db()?.map(|raw| raw.value());
            if row.state == TreeState::Active && there != Some(tree) {
                let what = format!("tree {tree}: ready-0 row {place:?} does not lead to it");
                found.note(Derived::Place(place, Some(tree)), what);
            }
            let kind = match row.state {
                TreeState::Assembling => Some(CHORE_ASSEMBLE),
                TreeState::Folding => Some(CHORE_FOLD),
                TreeState::Complete if row.data != DataPlace::Dropped && !weak => Some(CHORE_DROP),
                _ => None,
            };
            if let Some(kind) = kind
                && txn.open_table(Chores::DEFINITION).db()?.get((kind, tree)).db()?.is_none()
            {
                let what = format!("tree {tree}: it is {:?}, but chores-0 lacks {:?}", row.state, (kind, tree));
                found.note(Derived::Chore((kind, tree), true), what);
            }
            Ok(())
        })
    }
}

type Notes = TableDefinition<'static, (u64, u64), ()>;

/// The keys from `from` up to before `end`.
fn noted(
    txn: &ReadTransaction,
    table: Notes,
    from: (u64, u64),
    end: (u64, u64),
) -> Result<BTreeSet<(u64, u64)>, StoreError> {
    let Some(table) = known(txn, table)? else { return Ok(BTreeSet::new()) };
    table.range(from..end).db()?.map(|entry| Ok(entry.db()?.0.value())).collect()
}

fn pointers(debit: bool) -> (TableDefinition<'static, [u8; 16], u64>, &'static str) {
    if debit { (Debits::DEFINITION, Debits::NAME) } else { (Receipts::DEFINITION, Receipts::NAME) }
}

fn pointer(debit: bool, id: WorkId, seq: Option<u64>) -> Derived {
    if debit { Derived::Debit(DebitKey::of_entry(id), seq) } else { Derived::Receipt(id, seq) }
}
