//! The [port](crate::store::port) over redb: a write transaction, whose tables are opened when they
//! are first needed, and a snapshot.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::ops::{Bound, ControlFlow, RangeBounds};

use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, Value};

use crate::store::error::StoreError;
use crate::store::port::{Found, More, Rows, RowsMut, bounds};
use crate::store::redb::errors::DbResult;
use crate::store::rows::RowError;
use crate::store::schema::{self, each_table};
use crate::store::table::Owned;

use super::tables::{InRedb, RedbKey, known};
use super::transaction::{Changing, Open};

type OpenTable<'t, T> = Open<'t, <T as InRedb>::Keys, <T as InRedb>::Values>;
type SeenTable<T> = ReadOnlyTable<<T as InRedb>::Keys, <T as InRedb>::Values>;

/// A table of either file, and where it is kept once it is open.
pub(in crate::store) trait Kept: InRedb<Key: RedbKey<Form = Self::Keys>> {
    /// That of a write transaction.
    fn open<'s, 't>(tables: &'s OpenTables<'t>) -> &'s OnceCell<OpenTable<'t, Self>>;

    /// The same, to be changed.
    fn open_mut<'s, 't>(tables: &'s mut OpenTables<'t>) -> &'s mut OnceCell<OpenTable<'t, Self>>;

    /// That of a snapshot; `None` if the file lacks it.
    fn seen(tables: &SeenTables) -> &OnceCell<Option<SeenTable<Self>>>;
}

macro_rules! kept {
    ($($table:ident $name:ident),+) => {
        /// Open tables of a write transaction.
        #[derive(Default)]
        pub(in crate::store) struct OpenTables<'t> {
            $($name: OnceCell<OpenTable<'t, schema::$table>>,)+
        }

        /// Open tables of a snapshot.
        #[derive(Default)]
        pub(in crate::store) struct SeenTables {
            $($name: OnceCell<Option<SeenTable<schema::$table>>>,)+
        }

        $(impl Kept for schema::$table {
            fn open<'s, 't>(tables: &'s OpenTables<'t>) -> &'s OnceCell<OpenTable<'t, Self>> {
                &tables.$name
            }

            fn open_mut<'s, 't>(tables: &'s mut OpenTables<'t>) -> &'s mut OnceCell<OpenTable<'t, Self>> {
                &mut tables.$name
            }

            fn seen(tables: &SeenTables) -> &OnceCell<Option<SeenTable<Self>>> {
                &tables.$name
            }
        })+
    };
}
each_table!(kept);

/// A write transaction. Each table is opened at most once, when it is first needed: a batch of
/// answers pays nothing for the others. Dropped before the transaction ends.
pub(in crate::store) struct RedbTxn<'t> {
    txn: &'t Changing,
    tables: OpenTables<'t>,
}

impl<'t> RedbTxn<'t> {
    pub(in crate::store) fn of(txn: &'t Changing) -> Self {
        Self { txn, tables: OpenTables::default() }
    }

    fn table<T: Kept>(&self) -> Result<&OpenTable<'t, T>, StoreError> {
        let kept = T::open(&self.tables);
        if kept.get().is_none() {
            let _ = kept.set(self.txn.open_table(T::DEFINITION)?);
        }
        kept.get().ok_or(StoreError::Closed)
    }

    fn table_mut<T: Kept>(&mut self) -> Result<&mut OpenTable<'t, T>, StoreError> {
        self.table::<T>()?;
        T::open_mut(&mut self.tables).get_mut().ok_or(StoreError::Closed)
    }
}

impl<T: Kept> Rows<T> for RedbTxn<'_> {
    fn get(&self, _: T, key: &T::Key) -> Result<Option<T::Row>, StoreError> {
        let found = self.table::<T>()?.get(key.form()).db()?;
        Ok(found.map(|raw| decoded::<T>(key, &raw)).transpose()?)
    }

    fn bytes(&self, _: T, key: &T::Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table::<T>()?.get(key.form()).db()?.map(|raw| stored(&raw)))
    }

    fn has(&self, _: T, key: &T::Key) -> Result<bool, StoreError> {
        Ok(self.table::<T>()?.get(key.form()).db()?.is_some())
    }

    fn each_stored(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>, &[u8]) -> More,
    ) -> Result<(), StoreError> {
        let range = bounds(&range);
        hand_over::<T>(self.table::<T>()?.range(forms::<T>(&range)).db()?, with)
    }

    fn each_key(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>) -> More,
    ) -> Result<(), StoreError> {
        let range = bounds(&range);
        hand_over_keys::<T>(self.table::<T>()?.range(forms::<T>(&range)).db()?, with)
    }

    fn is_there(&self, _: T) -> Result<bool, StoreError> {
        self.table::<T>().map(|_| true)
    }

    fn last(&self, _: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Found<T>>, StoreError> {
        let range = bounds(&range);
        last_of::<T>(self.table::<T>()?.range(forms::<T>(&range)).db()?)
    }

    fn len(&self, _: T) -> Result<u64, StoreError> {
        self.table::<T>()?.len().db()
    }
}

impl<T: Kept> RowsMut<T> for RedbTxn<'_> {
    fn put_stored(&mut self, _: T, key: &T::Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.table_mut::<T>()?.insert(key.form(), T::Values::from_bytes(bytes)).db()?;
        Ok(())
    }

    fn remove(&mut self, _: T, key: &T::Key) -> Result<(), StoreError> {
        self.table_mut::<T>()?.remove(key.form()).db()?;
        Ok(())
    }

    fn extract(&mut self, _: T, range: impl RangeBounds<Owned<T>>, limit: usize) -> Result<usize, StoreError> {
        let range = bounds(&range);
        let mut rows = 0;
        for row in self.table_mut::<T>()?.extract_from_if(forms::<T>(&range), |_, _| true).db()?.take(limit) {
            row.db()?;
            rows += 1;
        }
        Ok(rows)
    }
}

/// The rows of a state of one file. A table that was added after the first build has no rows where
/// the file lacks it.
pub(in crate::store) struct RedbView {
    txn: ReadTransaction,
    tables: SeenTables,
}

impl RedbView {
    pub(in crate::store) fn of(txn: ReadTransaction) -> Self {
        Self { txn, tables: SeenTables::default() }
    }

    pub(in crate::store) fn transaction(&self) -> &ReadTransaction {
        &self.txn
    }

    fn table<T: Kept>(&self) -> Result<Option<&SeenTable<T>>, StoreError> {
        let kept = T::seen(&self.tables);
        if kept.get().is_none() {
            let _ = kept.set(known(&self.txn, T::DEFINITION)?);
        }
        Ok(kept.get().and_then(Option::as_ref))
    }
}

impl<T: Kept> Rows<T> for RedbView {
    fn get(&self, _: T, key: &T::Key) -> Result<Option<T::Row>, StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(None) };
        Ok(table.get(key.form()).db()?.map(|raw| decoded::<T>(key, &raw)).transpose()?)
    }

    fn bytes(&self, _: T, key: &T::Key) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(None) };
        Ok(table.get(key.form()).db()?.map(|raw| stored(&raw)))
    }

    fn has(&self, _: T, key: &T::Key) -> Result<bool, StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(false) };
        Ok(table.get(key.form()).db()?.is_some())
    }

    fn each_stored(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>, &[u8]) -> More,
    ) -> Result<(), StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(()) };
        let range = bounds(&range);
        hand_over::<T>(table.range(forms::<T>(&range)).db()?, with)
    }

    fn each_key(
        &self,
        _: T,
        range: impl RangeBounds<Owned<T>>,
        with: impl FnMut(Owned<T>) -> More,
    ) -> Result<(), StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(()) };
        let range = bounds(&range);
        hand_over_keys::<T>(table.range(forms::<T>(&range)).db()?, with)
    }

    fn last(&self, _: T, range: impl RangeBounds<Owned<T>>) -> Result<Option<Found<T>>, StoreError> {
        let Some(table) = self.table::<T>()? else { return Ok(None) };
        let range = bounds(&range);
        last_of::<T>(table.range(forms::<T>(&range)).db()?)
    }

    fn is_there(&self, _: T) -> Result<bool, StoreError> {
        Ok(self.table::<T>()?.is_some())
    }

    fn len(&self, _: T) -> Result<u64, StoreError> {
        self.table::<T>()?.map_or(Ok(0), |table| table.len().db())
    }
}

type Form<'k, T> = <<T as InRedb>::Keys as Value>::SelfType<'k>;
type Walk<'a, T> = redb::Range<'a, <T as InRedb>::Keys, <T as InRedb>::Values>;

fn forms<T: Kept>((start, end): &(Bound<Owned<T>>, Bound<Owned<T>>)) -> (Bound<Form<'_, T>>, Bound<Form<'_, T>>) {
    (start.as_ref().map(form::<T>), end.as_ref().map(form::<T>))
}

fn form<T: Kept>(key: &Owned<T>) -> Form<'_, T> {
    Borrow::<T::Key>::borrow(key).form()
}

fn decoded<T: InRedb>(key: &T::Key, raw: &AccessGuard<'_, T::Values>) -> Result<T::Row, RowError> {
    T::decode(key, T::Values::as_bytes(&raw.value()).as_ref())
}

fn stored<V: Value + 'static>(raw: &AccessGuard<'_, V>) -> Vec<u8> {
    V::as_bytes(&raw.value()).as_ref().to_vec()
}

fn hand_over<T: Kept>(rows: Walk<'_, T>, mut with: impl FnMut(Owned<T>, &[u8]) -> More) -> Result<(), StoreError> {
    for entry in rows {
        let (key, raw) = entry.db()?;
        let value = raw.value();
        if let ControlFlow::Break(()) = with(T::Key::owned(key.value()), T::Values::as_bytes(&value).as_ref())? {
            break;
        }
    }
    Ok(())
}

/// redb gives up on some stored rows that are damaged when their value is taken.
fn hand_over_keys<T: Kept>(rows: Walk<'_, T>, mut with: impl FnMut(Owned<T>) -> More) -> Result<(), StoreError> {
    for entry in rows {
        let (key, _) = entry.db()?;
        if let ControlFlow::Break(()) = with(T::Key::owned(key.value()))? {
            break;
        }
    }
    Ok(())
}

fn last_of<T: Kept>(mut rows: Walk<'_, T>) -> Result<Option<Found<T>>, StoreError> {
    let Some(entry) = rows.next_back() else { return Ok(None) };
    let (key, raw) = entry.db()?;
    let key = T::Key::owned(key.value());
    let row = decoded::<T>(key.borrow(), &raw);
    Ok(Some((key, row)))
}
