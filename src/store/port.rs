//! What the rules of the store need of a database: rows by table, read and changed.
//!
//! A [`Txn`] is one transaction. Its changes are seen by its own reads, and become durable together
//! or not at all; how, is the business of the database behind it. A row that does not decode is an
//! error of that row only.

use std::ops::{Bound, ControlFlow, RangeBounds};

use super::error::StoreError;
use super::rows::{MetaRow, RowError};
use super::schema::{self, Meta, each_state_table};
use super::table::{Owned, Table};

/// Whether rows are still wanted.
pub(super) type More = Result<ControlFlow<()>, StoreError>;

/// A row that was found: its key, and the row or why it does not decode.
pub(super) type Found<T> = (Owned<T>, Result<<T as Table>::Row, RowError>);

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

    /// Hands over the rows of a range in the order of their keys, until none is wanted any more.
    fn each(
        &self,
        table: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>, Result<T::Row, RowError>) -> More,
    ) -> Result<(), StoreError>;

    /// The last row of a range.
    fn last(&self, table: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Found<T>>, StoreError>;

    /// Whether the table has no row. Reads none.
    fn is_empty(&self, table: T) -> Result<bool, StoreError>;

    /// Whether a range has a row.
    fn any(&self, table: T, range: impl RangeBounds<Owned<T>>) -> Result<bool, StoreError> {
        let mut any = false;
        self.each(table, range, |_, _| {
            any = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(any)
    }
}

/// The rows of a table, to be changed.
pub(super) trait RowsMut<T: Table>: Rows<T> {
    /// Writes the row with this key, over one that is there.
    fn put(&mut self, table: T, key: &T::Key, row: &T::Row) -> Result<(), StoreError>;

    /// Removes the row with this key, if there is one.
    fn remove(&mut self, table: T, key: &T::Key) -> Result<(), StoreError>;

    /// Removes up to `limit` rows of a range, the first ones. Returns how many they were.
    fn extract(&mut self, table: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<usize, StoreError>;

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

/// Bounds with keys of their own.
pub(super) fn bounds<K: Clone>(range: &impl RangeBounds<K>) -> (Bound<K>, Bound<K>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
