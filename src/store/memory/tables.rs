//! The tables of a file in memory, for tests of what is above the port: the same stored bytes,
//! without a file. A transaction on it is a copy.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::port::{Found, More, Rows, RowsMut, bounds};
use crate::store::schema::{self, each_table};
use crate::store::table::{Owned, Table};

/// The rows of one table: their keys, and their stored bytes.
pub(in crate::store) type Stored<T> = BTreeMap<Owned<T>, Vec<u8>>;

/// A copy of all tables shares those that do not change.
type Shared<T> = Arc<Stored<T>>;

/// Where the rows of a table are.
pub(in crate::store) trait InMemory: Table {
    /// The rows of the table.
    fn rows(tables: &Tables) -> &Stored<Self>;

    /// The same, to be changed.
    fn rows_mut(tables: &mut Tables) -> &mut Stored<Self>;
}

macro_rules! tables {
    ($($table:ident $name:ident),+) => {
        /// All tables of either file: those of the other are empty.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(in crate::store) struct Tables {
            $($name: Shared<schema::$table>,)+
        }

        $(impl InMemory for schema::$table {
            fn rows(tables: &Tables) -> &Stored<Self> {
                &tables.$name
            }

            fn rows_mut(tables: &mut Tables) -> &mut Stored<Self> {
                Arc::make_mut(&mut tables.$name)
            }
        })+
    };
}
each_table!(tables);

impl<T: InMemory> Rows<T> for Tables {
    fn get(&self, _: T, key: &T::Key) -> Result<Option<T::Row>, StoreError> {
        Ok(T::rows(self).get(key).map(|bytes| T::decode(key, bytes)).transpose()?)
    }

    fn bytes(&self, _: T, key: &T::Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(T::rows(self).get(key).cloned())
    }

    fn has(&self, _: T, key: &T::Key) -> Result<bool, StoreError> {
        Ok(T::rows(self).contains_key(key))
    }

    fn each_stored(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        mut with: impl FnMut(Owned<T>, &[u8]) -> More,
    ) -> Result<(), StoreError> {
        for (key, bytes) in within::<T>(T::rows(self), &range) {
            if let ControlFlow::Break(()) = with(key.clone(), bytes)? {
                break;
            }
        }
        Ok(())
    }

    fn each_key(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        mut with: impl FnMut(Owned<T>) -> More,
    ) -> Result<(), StoreError> {
        for (key, _) in within::<T>(T::rows(self), &range) {
            if let ControlFlow::Break(()) = with(key.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn is_there(&self, _: T) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn last(&self, _: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Found<T>>, StoreError> {
        Ok(within::<T>(T::rows(self), &range).next_back().map(|(key, bytes)| found::<T>(key, bytes)))
    }

    fn len(&self, _: T) -> Result<u64, StoreError> {
        Ok(T::rows(self).len() as u64)
    }
}

impl<T: InMemory> RowsMut<T> for Tables {
    fn put_stored(&mut self, _: T, key: &T::Key, bytes: &[u8]) -> Result<(), StoreError> {
        T::rows_mut(self).insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&mut self, _: T, key: &T::Key) -> Result<(), StoreError> {
        T::rows_mut(self).remove(key);
        Ok(())
    }

    fn extract(&mut self, _: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<usize, StoreError> {
        let rows = T::rows_mut(self);
        let keys: Vec<Owned<T>> = within::<T>(rows, &range).take(limit).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            rows.remove::<Owned<T>>(key);
        }
        Ok(keys.len())
    }
}

/// The rows of a range, which may end before it begins.
fn within<'r, T: Table>(
    rows: &'r Stored<T>,
    range: &impl RangeBounds<Owned<T>>,
) -> btree_map::Range<'r, Owned<T>, Vec<u8>> {
    match bounds(range) {
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end))
            if start >= end =>
        {
            let one = range.contains(&start) && start == end;
            let end = if one { Bound::Included(end) } else { Bound::Excluded(start.clone()) };
            rows.range::<Owned<T>, _>((Bound::Included(start), end))
        }
        range => rows.range::<Owned<T>, _>(range),
    }
}

fn found<T: Table>(key: &Owned<T>, bytes: &[u8]) -> Found<T> {
    (key.clone(), T::decode(std::borrow::Borrow::borrow(key), bytes))
}
