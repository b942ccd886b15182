//! Rows that belong to no tree: block data without a tree that needs it, and rows of trees that are
//! gone without a note that they are to be removed.

use std::collections::BTreeSet;
use std::ops::Bound;

use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, Value};

use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::open::Store;
use crate::store::redb::read::Reader;
use crate::store::redb::snapshot::RedbSnapshot;
use crate::store::redb::tables::InRedb;
use crate::store::rows::DataPlace;
use crate::store::schema::{
    Blocks, CHORE_DROP, CHORE_PURGE, Chores, Handles, Hashes, Interior, Lengths, Names, Sources, Sums, Tiles,
    TreeNumber, Trees,
};

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

impl Store {
    /// Looks at up to `limit` trees with block data, from number `from` on. Data is left over if
    /// its tree has no row and no hashes and is not being removed, or if the tree says that its
    /// data is gone. A tree whose row does not decode keeps its data. Numbers not begun yet are
    /// left out: their data may be coming in.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page that cannot be read is none.
    pub fn leftovers(&self, from: TreeNumber, limit: usize) -> Result<Leftovers, StoreError> {
        let page = self.blocks_used(self.trees_with_data(from, limit))?;
        // Read after the data: a tree begun meanwhile is seen.
        let reader = self.read()?;
        let begun = reader.head()?.next_tree;
        let mut out = Leftovers { trees: Vec::new(), next: page.next.filter(|next| *next < begun), ..page };
        for tree in page.trees.into_iter().filter(|tree| *tree < begun) {
            match reader.is_left_over(tree) {
                Ok(true) => out.trees.push(tree),
                Ok(false) => {}
                // Its data stays: a row that cannot be read may need it.
                Err(error) if error.is_of_the_place() => out.unread = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(out)
    }

    fn trees_with_data(&self, from: TreeNumber, limit: usize) -> Result<Leftovers, StoreError> {
        let snapshot = self.blocks_db()?.begin_read()?;
        let mut out = Leftovers { next: Some(from), ..Leftovers::default() };
        while let Some(at) = out.next.filter(|_| out.trees.len() < limit) {
            let found = [
                first_with_rows(&snapshot, Blocks::DEFINITION, ((at, 0), |key| key.0), &mut out.unread)?,
                first_with_rows(&snapshot, Sources::DEFINITION, ((at, 0), |key| key.0), &mut out.unread)?,
                first_with_rows(&snapshot, Sums::DEFINITION, ((at, 0), |key| key.0), &mut out.unread)?,
            ];
            let first = found.into_iter().flatten().min();
            out.trees.extend(first);
            out.next = first.and_then(|tree| tree.checked_add(1));
        }
        Ok(out)
    }
}

/// The first tree with a row of a table of the block file, from a key on. Rows on pages that cannot
/// be read are passed over, and the failure is noted.
fn first_with_rows<K, V>(
    snapshot: &RedbSnapshot,
    table: TableDefinition<'static, K, V>,
    (from, tree_of): (K, fn(K) -> TreeNumber),
    unread: &mut Option<StoreError>,
) -> Result<Option<TreeNumber>, StoreError>
where
    K: Key + Copy + for<'k> Value<SelfType<'k> = K> + std::borrow::Borrow<K> + 'static,
    V: Value + 'static,
{
    let first = |from: K| snapshot.look_inside(|txn| first_tree(&txn.open_table(table).db()?, from, tree_of));
    match first(from) {
        Err(error) if error.is_of_the_place() => {
            *unread = Some(error);
            match snapshot.first_readable(table, K::as_bytes(&from).as_ref())? {
                Some(key) => first(K::from_bytes(&key)),
                None => Ok(None),
            }
        }
        found => found,
    }
}

impl Reader {
    /// Up to `limit` trees that have rows of hashes, lengths, leaf states or interior nodes, and
    /// neither a row of their own nor a note that they are being removed; from `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn ownerless(&self, from: TreeNumber, limit: usize) -> Result<Vec<TreeNumber>, StoreError> {
        self.rows.look_inside(|txn| ownerless(txn, from, limit))
    }

    /// Those of `trees`, which are in order, that a name or a handle leads to. One walk over both
    /// tables.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn named(&self, trees: &[TreeNumber]) -> Result<BTreeSet<TreeNumber>, StoreError> {
        self.rows.look_inside(|txn| {
            let mut named = BTreeSet::new();
            let mut note = |tree: TreeNumber| {
                if trees.binary_search(&tree).is_ok() {
                    named.insert(tree);
                }
            };
            for entry in txn.open_table(Names::DEFINITION).db()?.iter().db()? {
                note(entry.db()?.1.value());
            }
            for entry in txn.open_table(Handles::DEFINITION).db()?.iter().db()? {
                note(entry.db()?.1.value());
            }
            Ok(named)
        })
    }

    fn is_left_over(&self, tree: TreeNumber) -> Result<bool, StoreError> {
        match self.tree(tree) {
            Ok(Some(row)) => Ok(row.data == DataPlace::Dropped && !self.has_chore(CHORE_DROP, tree)?),
            Ok(None) => Ok(!self.has_chore(CHORE_PURGE, tree)? && !self.rows.look_inside(|txn| has_rows(txn, tree))?),
            Err(error) if error.is_one_row() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// See [`Reader::ownerless`].
fn ownerless(txn: &ReadTransaction, from: TreeNumber, limit: usize) -> Result<Vec<TreeNumber>, StoreError> {
    let pairs = [Hashes::DEFINITION, Lengths::DEFINITION, Tiles::DEFINITION].map(|table| txn.open_table(table).db());
    let interior = txn.open_table(Interior::DEFINITION).db()?;
    let (trees, chores) = (txn.open_table(Trees::DEFINITION).db()?, txn.open_table(Chores::DEFINITION).db()?);
    let [hashes, lengths, tiles] = pairs;
    let pairs = [hashes?, lengths?, tiles?];
    let mut out = Vec::new();
    let mut from = Some(from);
    while let Some(at) = from.filter(|_| out.len() < limit) {
        let mut first = first_tree(&interior, (at, 0, 0), |key| key.0)?;
        for table in &pairs {
            let found = first_tree(table, (at, 0), |key| key.0)?;
            first = first.into_iter().chain(found).min();
        }
        let Some(tree) = first else { break };
        if trees.get(tree).db()?.is_none() && chores.get((CHORE_PURGE, tree)).db()?.is_none() {
            out.push(tree);
        }
        from = tree.checked_add(1);
    }
    Ok(out)
}

/// Whether a tree has hashes.
fn has_rows(txn: &ReadTransaction, tree: TreeNumber) -> Result<bool, StoreError> {
    Ok(first_tree(&txn.open_table(Hashes::DEFINITION).db()?, (tree, 0), |key| key.0)? == Some(tree))
}

/// The tree of the first row at or behind `from`.
fn first_tree<K, V>(
    table: &ReadOnlyTable<K, V>,
    from: K,
    tree_of: fn(K) -> TreeNumber,
) -> Result<Option<TreeNumber>, StoreError>
where
    K: Key + for<'a> Value<SelfType<'a> = K> + std::borrow::Borrow<K> + 'static,
    V: Value + 'static,
{
    let first = table.range::<K>((Bound::Included(from), Bound::Unbounded)).db()?.next();
    first.map(|entry| Ok(tree_of(entry.db()?.0.value()))).transpose()
}
