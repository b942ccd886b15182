//! The two files while they are open, and states of them to be read. A panic of redb's in a read is
//! contained: see [`transaction`](super::transaction).

use parking_lot::{RwLock, RwLockReadGuard};
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::transaction::{Changing, NotWritten, kept_in, let_go};
use super::view::RedbView;
use crate::store::error::StoreError;
use crate::store::port::Snapshot;
use crate::store::redb::errors::DbResult;
use crate::store::storage::StoreFile;

/// A database that is open for as long as this guard lives.
pub(in crate::store) struct OpenDatabase<'s> {
    guard: RwLockReadGuard<'s, Option<Database>>,
    file: StoreFile,
    read_only: bool,
}

impl<'s> OpenDatabase<'s> {
    pub(in crate::store) fn held(
        guard: RwLockReadGuard<'s, Option<Database>>,
        file: StoreFile,
        read_only: bool,
    ) -> Self {
        Self { guard, file, read_only }
    }

    pub(in crate::store) fn of(
        lock: &'s RwLock<Option<Database>>,
        file: StoreFile,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        let guard = lock.read();
        if guard.is_none() {
            return Err(StoreError::Closed);
        }
        Ok(Self { guard, file, read_only })
    }

    pub(in crate::store) fn begin_write(&self, quick_repair: bool) -> Result<Changing, NotWritten> {
        if self.read_only {
            return Err(NotWritten::RolledBack(StoreError::ReadOnly));
        }
        let database = self.guard.as_ref().ok_or(NotWritten::RolledBack(StoreError::Closed))?;
        Changing::of(database, self.file, quick_repair)
    }

    pub(in crate::store) fn begin_read(&self) -> Result<RedbSnapshot, StoreError> {
        RedbSnapshot::of(self.guard.as_ref().ok_or(StoreError::Closed)?, self.file)
    }
}

/// A state of one file. Keep it for milliseconds, a backup excepted: the file grows meanwhile.
pub(in crate::store) struct RedbSnapshot {
    rows: Option<RedbView>,
    file: StoreFile,
}

impl RedbSnapshot {
    pub(in crate::store) fn of(database: &Database, file: StoreFile) -> Result<Self, StoreError> {
        let txn = kept_in(file, || database.begin_read().db())?;
        Ok(Self { rows: Some(RedbView::of(txn)), file })
    }

    /// Looks at pages and tables as redb has them.
    pub(in crate::store) fn look_inside<T>(
        &self,
        with: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.look(|rows| with(rows.transaction()))
    }
}

impl Snapshot for RedbSnapshot {
    type View = RedbView;

    fn look<T>(&self, with: impl FnOnce(&RedbView) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let rows = self.rows.as_ref().ok_or(StoreError::Closed)?;
        kept_in(self.file, || with(rows))
    }
}

impl Drop for RedbSnapshot {
    fn drop(&mut self) {
        let_go(self.rows.take());
    }
}
