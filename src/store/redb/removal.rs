//! Removing block data. To remove a row, redb may read the pages beside the row's own, and merge
//! branches above them. It gives up on a damaged one, and the store stays closed then, or it takes
//! what is in it for pages. So the rows and those beside them are read first, far enough to come
//! below each branch that may be merged, and data of a tree that fails there stays. The look holds
//! because no other writer changes block data meanwhile: the caller sees to that.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::ops::Bound;

use redb::{Key, ReadOnlyTable, TableDefinition, Value};

use super::open::RedbStore;
use super::snapshot::RedbSnapshot;
use crate::store::contract::Dropped;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::{InRedb, known};
use crate::store::rules::blocks::remove;
use crate::store::schema::{Blocks, Sources, Sums, TreeNumber};

/// Pages beside the rows to be removed of which rows are read too. redb merges a branch that
/// becomes small with the one beside it, and a branch has at most 113 leaves here.
const PAGES_BESIDE: usize = 128;
/// redb's smallest page, bytes.
const PAGE: usize = 4_096;
/// Rows of a page or more are looked at in steps of this many, fewer than a branch has at least.
const STEP: u32 = 30;

impl RedbStore {
    /// See `Store::drop_blocks`.
    pub(super) fn drop_blocks(&self, trees: &[TreeNumber], limit: usize) -> Result<Dropped, StoreError> {
        let mut dropped = Dropped::default();
        let looked_at = self.blocks_used(self.readable(trees, limit, &mut dropped.kept))?;
        let keeps = |tree: &TreeNumber| dropped.kept.iter().any(|(kept, _)| kept == tree);
        let removed = self.with_blocks(|rows| {
            let removed = remove(rows, &trees[..looked_at], keeps, limit)?;
            Ok((removed, removed.0 > 0))
        });
        (dropped.rows, dropped.through) = self.blocks_used(removed)?;
        dropped.kept.retain(|(tree, _)| trees[..dropped.through].contains(tree));
        Ok(dropped)
    }

    /// Reads what `drop_blocks` with the same values would touch. Notes trees that fail, and
    /// returns how many were looked at.
    fn readable(
        &self,
        trees: &[TreeNumber],
        limit: usize,
        kept: &mut Vec<(TreeNumber, StoreError)>,
    ) -> Result<usize, StoreError> {
        let snapshot = self.blocks_db()?.begin_read()?;
        let (mut rows, mut blocks) = (0, ReadRows(VecDeque::new()));
        let [mut sources, mut sums] = [(); 2].map(|()| ReadRows(VecDeque::new()));
        for (at, tree) in trees.iter().enumerate() {
            let Some(left) = limit.checked_sub(rows).filter(|left| *left > 0) else { return Ok(at) };
            let ends = ((*tree, 0), (tree + 1, 0));
            let read = [
                blocks.of(&snapshot, Blocks::DEFINITION, ((*tree, 0), (tree + 1, 0)), left),
                sources.of(&snapshot, Sources::DEFINITION, ends, left),
                sums.of(&snapshot, Sums::DEFINITION, ends, left),
            ];
            let read: Result<Vec<usize>, StoreError> = read.into_iter().collect();
            match read {
                Ok(of_tree) => rows += of_tree.iter().sum::<usize>(),
                Err(error) if error.is_of_the_place() => kept.push((*tree, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(trees.len())
    }
}

/// A key of block data: a tree, and the number of the row in it.
trait RowOfTree: Copy {
    /// The key a step further in its tree; `None` if rows are looked at one by one.
    fn step(self, forward: bool) -> Option<Self>;

    /// Pages from the row before this one, if both are steps of one tree.
    fn pages_from(self, before: Self) -> usize;
}

impl RowOfTree for (TreeNumber, u32) {
    fn step(self, forward: bool) -> Option<Self> {
        let row = if forward { self.1.saturating_add(STEP) } else { self.1.saturating_sub(STEP) };
        (row != self.1).then_some((self.0, row))
    }

    fn pages_from(self, before: Self) -> usize {
        if self.0 == before.0 { self.1.abs_diff(before.1) as usize } else { 1 }
    }
}

impl RowOfTree for (TreeNumber, u64) {
    fn step(self, _: bool) -> Option<Self> {
        None
    }

    fn pages_from(self, _: Self) -> usize {
        1
    }
}

/// Rows behind those of a tree that were read, in order, each with the bytes of the pages up to it.
struct ReadRows<K>(VecDeque<(K, usize)>);

impl<K> ReadRows<K>
where
    K: Key + RowOfTree + Ord + for<'k> Value<SelfType<'k> = K> + Borrow<K> + 'static,
{
    /// Reads up to `limit` rows of `[begin, end)`, and those beside them. Returns how many they
    /// are. After a failure nothing counts as read.
    fn of<V: Value + 'static>(
        &mut self,
        snapshot: &RedbSnapshot,
        table: TableDefinition<'static, K, V>,
        ends: (K, K),
        limit: usize,
    ) -> Result<usize, StoreError> {
        let read = snapshot.look_inside(|txn| match known(txn, table)? {
            Some(table) => self.read(&table, ends, limit),
            None => Ok(0),
        });
        if read.is_err() {
            self.0.clear();
        }
        read
    }

    fn read<V: Value + 'static>(
        &mut self,
        table: &ReadOnlyTable<K, V>,
        (begin, end): (K, K),
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut rows = 0;
        let mut last = None;
        for entry in table.range::<K>(begin..end).db()?.take(limit) {
            (last, rows) = (Some(entry.db()?.0.value()), rows + 1);
        }
        let Some(last) = last else { return Ok(0) };
        // What is before these rows was read with the tree before, if it reached as far.
        let goes_on = self.0.back().is_some_and(|(reached, _)| *reached >= begin);
        self.0.retain(|(key, _)| goes_on && *key > last);
        if !goes_on {
            look_beside(table, begin, false, 0, &mut |_| {})?;
        }
        let seen = self.0.iter().map(|(_, bytes)| bytes).sum();
        let from = self.0.back().map_or(last, |(key, _)| *key);
        look_beside(table, from, true, seen, &mut |row| self.0.push_back(row))?;
        Ok(rows)
    }
}

/// Reads rows beside `from`, behind it or before it, until they and what was `seen` fill
/// [`PAGES_BESIDE`].
fn look_beside<K, V>(
    table: &ReadOnlyTable<K, V>,
    from: K,
    forward: bool,
    seen: usize,
    each: &mut dyn FnMut((K, usize)),
) -> Result<(), StoreError>
where
    K: Key + RowOfTree + Ord + for<'k> Value<SelfType<'k> = K> + Borrow<K> + 'static,
    V: Value + 'static,
{
    let (mut bytes, mut before, mut at) = (seen, from, Bound::Excluded(from));
    while bytes < PAGES_BESIDE * PAGE {
        let bounds = if forward { (at, Bound::Unbounded) } else { (Bound::Unbounded, at) };
        let mut rows = table.range::<K>(bounds).db()?;
        // Rows of a page or more are passed over in steps, each by a range of its own.
        let stepped = loop {
            let Some(entry) = (if forward { rows.next() } else { rows.next_back() }) else { return Ok(()) };
            let (key, value) = entry.db()?;
            let (key, len) = (key.value(), V::as_bytes(&value.value()).as_ref().len() + size_of::<K>());
            let of_row = if len < PAGE { len } else { PAGE * key.pages_from(before) };
            bytes += of_row;
            each((key, of_row));
            before = key;
            if bytes >= PAGES_BESIDE * PAGE {
                return Ok(());
            }
            if let Some(next) = key.step(forward).filter(|_| len >= PAGE) {
                break next;
            }
        };
        at = Bound::Included(stepped);
    }
    Ok(())
}
