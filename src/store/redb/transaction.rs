//! Transactions of redb in which a panic is contained. redb trusts the pages it reads, and panics
//! on some that are damaged, also while an iterator is advanced or a value is taken. So no
//! transaction of an open store leaves this file and [`snapshot`](super::snapshot): rows are looked
//! at and changed within closures.
//!
//! **After a panic in a read** the handle goes on. A read changes nothing of redb's but counts of
//! open pages, which unwinding puts right, and redb takes its locks for longer than that only
//! where it writes. Tables that a snapshot has opened stay open, and are used again.
//!
//! **After a panic in a write** nothing of the transaction is stored, unless it happened in the
//! commit, and the handle is not used again. Its tables and iterators are leaked: dropping them
//! takes a lock that the panic may have poisoned, or reads the damaged page again, and a second
//! panic during the first ends the process. The file stays locked until the process ends.
//!
//! **After damage that redb reports in a write**, without a panic, the handle is not used again
//! either: every write would meet the same page. Nothing is leaked then.

use std::borrow::Borrow;
use std::cell::Cell;
use std::ops::RangeBounds;
use std::path::PathBuf;

use redb::{
    AccessGuard, Database, Durability, ExtractIf, Key, Range, ReadableTable, ReadableTableMetadata, StorageError,
    Table, TableDefinition, Value, WriteTransaction,
};

use crate::guard::{Panicked, contained};
use crate::store::error::StoreError;
use crate::store::redb::errors::{DbResult, of_commit};
use crate::store::storage::StoreFile;

/// Runs code of redb's on `file`. A panic is damage of it like any other.
///
/// # Errors
/// Those of `call`; [`StoreError::Corrupted`] if it panics.
pub(in crate::store) fn kept_in<T>(
    file: StoreFile,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    contained(call).unwrap_or_else(|panicked| Err(gave_up(file, panicked)))
}

fn gave_up(file: StoreFile, Panicked(message): Panicked) -> StoreError {
    let what = format!("redb gave up on a page ({message})");
    StoreError::Corrupted { path: PathBuf::from(file.file_name()), what }
}

/// Drops what may be damaged. What a panic leaves is leaked: the failure before it was reported.
pub(in crate::store) fn let_go<T>(value: T) {
    let _ = contained(move || drop(value));
}

/// The outcome of a write that was not committed.
pub(in crate::store) enum NotWritten {
    /// Nothing is stored, and the handle is good.
    RolledBack(StoreError),
    /// Nothing is stored, and the handle must not be used again.
    Broken(StoreError),
}

impl NotWritten {
    /// After this error of a write of `file`. One of a damaged page would be met by every write.
    fn by(file: StoreFile, error: StoreError) -> Self {
        match error {
            StoreError::Corrupted { what, .. } => {
                Self::Broken(StoreError::Corrupted { path: PathBuf::from(file.file_name()), what })
            }
            other => Self::RolledBack(other),
        }
    }
}

/// The outcome of a commit that failed.
pub(in crate::store) enum NotCommitted {
    /// Nothing is stored.
    RolledBack(StoreError),
    /// It may be stored.
    Unknown(StoreError),
    /// It may be stored, and the handle must not be used again.
    Broken(StoreError),
}

/// A transaction that is durable when it is committed. Its panics are not contained: it is for
/// files that are being opened.
pub(in crate::store) fn begin_durable(database: &Database, quick_repair: bool) -> Result<WriteTransaction, StoreError> {
    let mut txn = database.begin_write().db()?;
    txn.set_durability(Durability::Immediate).map_err(|e| StoreError::Io { what: e.to_string() })?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(quick_repair);
    Ok(txn)
}

/// A write transaction with two phases and immediate durability.
pub(in crate::store) struct Changing {
    txn: WriteTransaction,
    file: StoreFile,
    /// A call on it panicked.
    broken: Cell<bool>,
}

impl Changing {
    /// Begins one.
    pub(in crate::store) fn of(database: &Database, file: StoreFile, quick_repair: bool) -> Result<Self, NotWritten> {
        let begun = contained(|| {
            let txn = begin_durable(database, quick_repair)?;
            Ok(Self { txn, file, broken: Cell::new(false) })
        });
        match begun {
            Ok(begun) => begun.map_err(|error| NotWritten::by(file, error)),
            Err(panicked) => Err(NotWritten::Broken(gave_up(file, panicked))),
        }
    }

    /// Changes rows. On success the transaction is to be committed or abandoned.
    pub(in crate::store) fn change<T>(
        self,
        with: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<(Self, T), NotWritten> {
        let done = contained(|| with(&self));
        match done {
            Ok(done) if !self.broken.get() => match done {
                Ok(done) => Ok((self, done)),
                Err(error) => {
                    // Aborts it; redb wrote nothing that a reader can see.
                    let file = self.file;
                    self.abandon().map_err(NotWritten::Broken)?;
                    Err(NotWritten::by(file, error))
                }
            },
            Ok(done) => {
                let error = done.err().unwrap_or_else(|| gave_up(self.file, Panicked("a table".into())));
                self.leak();
                Err(NotWritten::Broken(error))
            }
            Err(panicked) => {
                let error = gave_up(self.file, panicked);
                self.leak();
                Err(NotWritten::Broken(error))
            }
        }
    }

    /// Ends it without an effect.
    ///
    /// # Errors
    /// [`StoreError::Corrupted`] if redb panics: the handle must not be used again.
    pub(in crate::store) fn abandon(self) -> Result<(), StoreError> {
        let Self { txn, file, .. } = self;
        kept_in(file, move || {
            drop(txn);
            Ok(())
        })
    }

    pub(in crate::store) fn commit(self) -> Result<(), NotCommitted> {
        let Self { txn, file, .. } = self;
        match contained(move || txn.commit()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(redb::CommitError::TransactionPoisoned)) => {
                Err(NotCommitted::RolledBack(StoreError::Io { what: "the transaction was poisoned".into() }))
            }
            Ok(Err(error)) => Err(match NotWritten::by(file, of_commit(error)) {
                NotWritten::RolledBack(error) => NotCommitted::Unknown(error),
                NotWritten::Broken(error) => NotCommitted::Broken(error),
            }),
            Err(panicked) => Err(NotCommitted::Broken(gave_up(file, panicked))),
        }
    }

    pub(in crate::store) fn open_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<Open<'_, K, V>, StoreError> {
        // By itself: during a panic in it redb holds the lock that dropping another table takes.
        let table = contained(|| self.txn.open_table(definition).db());
        match table {
            Ok(table) => Ok(Open { table: Some(table?), of: self }),
            Err(panicked) => {
                self.broken.set(true);
                Err(gave_up(self.file, panicked))
            }
        }
    }

    fn leak(self) {
        std::mem::forget(self.txn);
    }

    fn leaks(&self) -> bool {
        self.broken.get() || std::thread::panicking()
    }
}

/// An open table of a write transaction, with redb's methods.
pub(in crate::store) struct Open<'t, K: Key + 'static, V: Value + 'static> {
    table: Option<Table<'t, K, V>>,
    of: &'t Changing,
}

type Found<'g, V> = Result<Option<AccessGuard<'g, V>>, StorageError>;

impl<K: Key + 'static, V: Value + 'static> Open<'_, K, V> {
    fn table(&self) -> Result<&Table<'_, K, V>, StorageError> {
        self.table.as_ref().ok_or(StorageError::DatabaseClosed)
    }

    pub(in crate::store) fn get<'k>(&self, key: impl Borrow<K::SelfType<'k>>) -> Found<'_, V> {
        self.table()?.get(key)
    }

    pub(in crate::store) fn range<'k, B: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<B> + 'k,
    ) -> Result<Range<'_, K, V>, StorageError> {
        self.table()?.range(range)
    }

    pub(in crate::store) fn len(&self) -> Result<u64, StorageError> {
        self.table()?.len()
    }

    pub(in crate::store) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Found<'_, V> {
        self.table.as_mut().ok_or(StorageError::DatabaseClosed)?.insert(key, value)
    }

    pub(in crate::store) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Found<'_, V> {
        self.table.as_mut().ok_or(StorageError::DatabaseClosed)?.remove(key)
    }

    /// Removes the rows of a range for which `which` holds as they are taken.
    pub(in crate::store) fn extract_from_if<'k, B, F>(
        &mut self,
        range: impl RangeBounds<B> + 'k,
        which: F,
    ) -> Result<Extracting<'_, K, V, F>, StorageError>
    where
        B: Borrow<K::SelfType<'k>> + 'k,
        F: for<'f> FnMut(K::SelfType<'f>, V::SelfType<'f>) -> bool,
    {
        let rows = self.table.as_mut().ok_or(StorageError::DatabaseClosed)?.extract_from_if(range, which)?;
        Ok(Extracting(Some(rows)))
    }
}

impl<K: Key + 'static, V: Value + 'static> Drop for Open<'_, K, V> {
    fn drop(&mut self) {
        if self.of.leaks() {
            std::mem::forget(self.table.take());
        }
    }
}

/// Rows that are removed as they are taken.
pub(in crate::store) struct Extracting<'a, K: Key + 'static, V: Value + 'static, F>(Option<ExtractIf<'a, K, V, F>>)
where
    F: for<'f> FnMut(K::SelfType<'f>, V::SelfType<'f>) -> bool;

impl<'a, K: Key + 'static, V: Value + 'static, F> Iterator for Extracting<'a, K, V, F>
where
    F: for<'f> FnMut(K::SelfType<'f>, V::SelfType<'f>) -> bool,
{
    type Item = <ExtractIf<'a, K, V, F> as Iterator>::Item;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next()
    }
}

impl<K: Key + 'static, V: Value + 'static, F> Drop for Extracting<'_, K, V, F>
where
    F: for<'f> FnMut(K::SelfType<'f>, V::SelfType<'f>) -> bool,
{
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    fn after(error: StoreError) -> NotWritten {
        let begun = Changing::of(&database(), StoreFile::Blocks, false);
        let Ok(txn) = begun else { panic!("it does not begin") };
        txn.change(|_| Err::<(), _>(error)).err().unwrap()
    }

    #[test]
    fn a_write_that_redb_reports_damage_to_is_the_last_one_and_names_the_file() {
        let damage = redb::StorageError::Corrupted("Btree exceeded maximum depth".into());
        let NotWritten::Broken(error) = after(crate::store::redb::errors::of_storage(damage)) else {
            panic!("goes on")
        };
        assert!(error.to_string().starts_with("blocks.redb is damaged: Btree"), "{error}");
        let one_row = StoreError::Record { table: "trees-0", what: "bytes".into() };
        assert!(matches!(after(one_row), NotWritten::RolledBack(_)));
        assert!(matches!(after(StoreError::Io { what: "full".into() }), NotWritten::RolledBack(_)));
    }
}
