//! What rules, reads, check and mending need of a database: rows by table, read and changed.
//!
//! A [`Txn`] is one transaction. Its changes are seen by its own reads, and become durable together
//! or not at all; how, is the business of the database behind it. A row that does not decode is an
//! error of that row only.

use std::borrow::Borrow;
use std::ops::{Bound, ControlFlow, RangeBounds};

use super::error::StoreError;
use super::rows::{MetaRow, RowError};
use super::schema::{self, Blocks, Meta, Sources, Sums, each_state_table};
use super::table::{Owned, Table};

/// Whether rows are still wanted.
pub(super) type More = Result<ControlFlow<()>, StoreError>;

/// A row that was found: its key, and the row or why it does not decode.
pub(super) type Found<T> = (Owned<T>, Result<<T as Table>::Row, RowError>);

/// A row that decodes, with its key.
pub(super) type Good<T> = (Owned<T>, <T as Table>::Row);

/// The rows of a table, to be read.
pub(super) trait Rows<T: Table> {
    /// The row with this key.
    ///
    /// # Errors
    /// [`StoreError::Record`] if it does not decode.
    fn get(&self, table: T, key: &T::Key) -> Result<Option<T::Row>, StoreError>;

    /// The bytes of the row with this key, whether they decode or not.
    fn bytes(&self, table: T, key: &T::Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether there is a row with this key, whether it decodes or not.
    fn has(&self, table: T, key: &T::Key) -> Result<bool, StoreError>;

    /// Hands over the rows of a range as they are stored, in the order of their keys, until none is
    /// wanted any more.
    fn each_stored(
        &self,
        table: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>, &[u8]) -> More,
    ) -> Result<(), StoreError>;

    /// Hands over the keys of a range in their order, until none is wanted any more. The stored
    /// rows are not looked at.
    fn each_key(
        &self,
        table: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>) -> More,
    ) -> Result<(), StoreError>;

    /// The last row of a range.
    fn last(&self, table: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Found<T>>, StoreError>;

    /// Whether the file has the table. One that it lacks has no rows.
    fn is_there(&self, table: T) -> Result<bool, StoreError>;

    /// The number of rows of the table. Looks at none of them.
    fn len(&self, table: T) -> Result<u64, StoreError>;

    /// Hands over the rows of a range in the order of their keys, until none is wanted any more.
    fn each(
        &self,
        table: T,
        range: impl RangeBounds<Owned<T>>,
        mut with: impl FnMut(Owned<T>, Result<T::Row, RowError>) -> More,
    ) -> Result<(), StoreError> {
        self.each_stored(table, range, |key, bytes| {
            let row = T::decode(key.borrow(), bytes);
            with(key, row)
        })
    }

    /// Up to `limit` rows of a range, each by itself readable or not.
    fn page_of_any(
        &self,
        table: T,
        range: impl RangeBounds<Owned<T>>,
        limit: usize,
    ) -> Result<Vec<Found<T>>, StoreError> {
        let mut out = Vec::new();
        if limit > 0 {
            self.each(table, range, |key, row| {
                out.push((key, row));
                Ok(more_if(out.len() < limit))
            })?;
        }
        Ok(out)
    }

    /// Up to `limit` rows of a range.
    ///
    /// # Errors
    /// [`StoreError::Record`] if one does not decode.
    fn page(&self, table: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<Vec<Good<T>>, StoreError> {
        let mut out = Vec::new();
        if limit > 0 {
            self.each(table, range, |key, row| {
                out.push((key, row?));
                Ok(more_if(out.len() < limit))
            })?;
        }
        Ok(out)
    }

    /// Up to `limit` keys of a range.
    fn keys(&self, table: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<Vec<Owned<T>>, StoreError> {
        let mut out = Vec::new();
        if limit > 0 {
            self.each_key(table, range, |key| {
                out.push(key);
                Ok(more_if(out.len() < limit))
            })?;
        }
        Ok(out)
    }

    /// The first key of a range.
    fn first_key(&self, table: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Owned<T>>, StoreError> {
        Ok(self.keys(table, range, 1)?.pop())
    }

    /// Whether a range has a row.
    fn any(&self, table: T, range: impl RangeBounds<Owned<T>>) -> Result<bool, StoreError> {
        Ok(self.first_key(table, range)?.is_some())
    }

    /// Whether the table has no row. Looks at none.
    fn is_empty(&self, table: T) -> Result<bool, StoreError> {
        Ok(self.len(table)? == 0)
    }
}

/// The rows of a table, to be changed.
pub(super) trait RowsMut<T: Table>: Rows<T> {
    /// Writes the stored bytes of the row with this key, over one that is there.
    fn put_stored(&mut self, table: T, key: &T::Key, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes the row with this key, if there is one.
    fn remove(&mut self, table: T, key: &T::Key) -> Result<(), StoreError>;

    /// Removes up to `limit` rows of a range, the first ones. Returns how many they were.
    fn extract(&mut self, table: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<usize, StoreError>;

    /// Writes the row with this key, over one that is there.
    fn put(&mut self, table: T, key: &T::Key, row: &T::Row) -> Result<(), StoreError> {
        let bytes = T::encode(key, row)?;
        self.put_stored(table, key, bytes.as_ref())
    }

    /// Writes the row with this key, or removes it.
    fn set(&mut self, table: T, key: &T::Key, row: Option<&T::Row>) -> Result<(), StoreError> {
        match row {
            Some(row) => self.put(table, key, row),
            None => self.remove(table, key),
        }
    }
}

macro_rules! all_tables {
    ($($table:ident $name:ident),+) => {
        /// A state of all tables of the state file.
        pub(super) trait View: Rows<Meta> $(+ Rows<schema::$table>)+ {
            /// A row of `meta-0` with fields.
            fn meta<M: MetaRow>(&self) -> Result<Option<M>, StoreError> {
                Ok(self.get(Meta, M::KEY)?.map(|bytes| M::unsealed(&bytes)).transpose()?)
            }
        }

        impl<R: Rows<Meta> $(+ Rows<schema::$table>)+> View for R {}

        /// A transaction on all tables of the state file.
        pub(super) trait Txn: View + RowsMut<Meta> $(+ RowsMut<schema::$table>)+ {
            /// Writes a row of `meta-0` with fields.
            fn put_meta<M: MetaRow>(&mut self, row: &M) -> Result<(), StoreError> {
                self.put(Meta, M::KEY, &row.sealed()?)
            }
        }

        impl<R: RowsMut<Meta> $(+ RowsMut<schema::$table>)+> Txn for R {}
    };
}
each_state_table!(all_tables);

/// A state of all tables of the block file that have rows of trees.
pub(super) trait BlockView: Rows<Blocks> + Rows<Sources> + Rows<Sums> {}

impl<R: Rows<Blocks> + Rows<Sources> + Rows<Sums>> BlockView for R {}

/// A transaction on them.
pub(super) trait BlockTxn: BlockView + RowsMut<Blocks> + RowsMut<Sources> + RowsMut<Sums> {}

impl<R: RowsMut<Blocks> + RowsMut<Sources> + RowsMut<Sums>> BlockTxn for R {}

/// A state that stays as it is while it is looked at. It is kept for milliseconds.
pub(super) trait Snapshot {
    /// Its rows.
    type View;

    /// Looks at rows, and copies out what is needed. A page that cannot be read is an error of this
    /// look only.
    fn look<T>(&self, with: impl FnOnce(&Self::View) -> Result<T, StoreError>) -> Result<T, StoreError>;
}

/// Whether the walk goes on.
pub(super) const fn more_if(more: bool) -> ControlFlow<()> {
    if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// The keys behind one; all of them if it is `None`.
pub(super) fn behind<K>(after: Option<K>) -> (Bound<K>, Bound<K>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// Bounds with keys of their own.
pub(super) fn bounds<K: Clone>(range: &impl RangeBounds<K>) -> (Bound<K>, Bound<K>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
