//! Removing block data. To remove a row, redb may read the pages beside the row's own, and gives
//! up on one that is damaged; the store stays closed then. So the rows and those beside them are
//! read first, and data of a tree that fails there stays.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::ops::Bound;

use redb::{Key, TableDefinition, Value};

use super::open::Store;
use super::transaction::Snapshot;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::{InRedb, known};
use crate::store::schema::{Blocks, Sources, Sums, TreeNumber};

/// Rows beside those to be removed that are read too: this many, or fewer with these bytes. Both
/// fill more than a page of redb's.
const ROWS_BESIDE: usize = 256;
const BYTES_BESIDE: usize = 64 * 1_024;

/// What was removed of the block data of some trees.
#[derive(Debug, Default)]
pub struct Dropped {
    /// Rows that were removed.
    pub rows: usize,
    /// How many of the trees, from the front, have no more rows that can be removed.
    pub through: usize,
    /// Those of them whose data stays, because a page of it or beside it cannot be read.
    pub kept: Vec<(TreeNumber, StoreError)>,
}

impl Store {
    /// Removes up to `limit` rows of block data and references of `trees`, in order, as one
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page that cannot be read is none: the data of its
    /// tree, and of those beside it, stays.
    pub fn drop_blocks(&self, trees: &[TreeNumber], limit: usize) -> Result<Dropped, StoreError> {
        let mut dropped = Dropped::default();
        let looked_at = self.blocks_used(self.readable(trees, limit, &mut dropped.kept))?;
        let keeps = |tree: &TreeNumber| dropped.kept.iter().any(|(kept, _)| kept == tree);
        let removed = self.change_blocks(|txn| {
            let (mut rows, mut through) = (0, 0);
            let mut blocks = txn.open_table(Blocks::DEFINITION).db()?;
            let mut sources = txn.open_table(Sources::DEFINITION).db()?;
            let mut sums = txn.open_table(Sums::DEFINITION).db()?;
            for tree in &trees[..looked_at] {
                if !keeps(tree) {
                    for row in blocks.extract_from_if((*tree, 0)..(tree + 1, 0), |_, _| true).db()?.take(limit - rows) {
                        row.db()?;
                        rows += 1;
                    }
                    for table in [&mut sources, &mut sums] {
                        let of_tree = (*tree, 0)..(tree + 1, 0);
                        for row in table.extract_from_if(of_tree, |_, _| true).db()?.take(limit - rows) {
                            row.db()?;
                            rows += 1;
                        }
                    }
                    if rows >= limit {
                        break;
                    }
                }
                through += 1;
            }
            Ok(((rows, through), rows > 0))
        });
        (dropped.rows, dropped.through) = self.blocks_used(removed)?;
        dropped.kept.retain(|(tree, _)| trees[..dropped.through].contains(tree));
        Ok(dropped)
    }

    /// Reads what [`drop_blocks`](Self::drop_blocks) with the same values would touch. Notes trees
    /// that fail, and returns how many were looked at.
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

/// Rows of a table that were read, in order, with their bytes.
struct ReadRows<K>(VecDeque<(K, usize)>);

impl<K> ReadRows<K>
where
    K: Key + Copy + Ord + for<'k> Value<SelfType<'k> = K> + Borrow<K> + 'static,
{
    /// Reads up to `limit` rows of `[begin, end)`, and those beside them. Returns how many they
    /// are.
    fn of<V: Value + 'static>(
        &mut self,
        snapshot: &Snapshot,
        table: TableDefinition<'static, K, V>,
        (begin, end): (K, K),
        limit: usize,
    ) -> Result<usize, StoreError> {
        let bytes = |value: &V::SelfType<'_>| size_of::<K>() + V::as_bytes(value).as_ref().len();
        let goes_on = self.0.back().is_some_and(|(last, _)| *last >= begin);
        while self.0.front().is_some_and(|(key, _)| !goes_on || *key < begin) {
            self.0.pop_front();
        }
        let (mut rows, mut beside) = (0, Beside::default());
        let mut is_enough = |key: K, bytes: usize| {
            let of_tree = key < end && rows < limit;
            rows += usize::from(of_tree);
            !of_tree && beside.is_enough(bytes)
        };
        if self.0.iter().any(|(key, bytes)| is_enough(*key, *bytes)) {
            return Ok(rows);
        }
        snapshot.look(|txn| {
            let Some(table) = known(txn, table)? else { return Ok(()) };
            if !goes_on {
                let mut before = Beside::default();
                for entry in table.range::<K>(..begin).db()?.rev() {
                    if before.is_enough(bytes(&entry.db()?.1.value())) {
                        break;
                    }
                }
            }
            let from = self.0.back().map_or(Bound::Included(begin), |(last, _)| Bound::Excluded(*last));
            for entry in table.range::<K>((from, Bound::Unbounded)).db()? {
                let (key, value) = entry.db()?;
                let (key, bytes) = (key.value(), bytes(&value.value()));
                self.0.push_back((key, bytes));
                if is_enough(key, bytes) {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// What was read beside rows.
#[derive(Default)]
struct Beside {
    rows: usize,
    bytes: usize,
}

impl Beside {
    /// After one more row with these bytes.
    fn is_enough(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows >= ROWS_BESIDE || self.bytes > BYTES_BESIDE
    }
}
