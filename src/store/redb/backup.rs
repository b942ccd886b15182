//! A consistent copy of both files, made while the store is used.
//!
//! **Guarantee.** The copy is the store after one whole batch: everything acknowledged before the
//! copy began is in it. Commits of the state file go on; writes of block data wait for one moment,
//! in which both snapshots are taken.
//!
//! The copy has an id of its own, so that a token counts in the store that issued it and not in the
//! copy. It says of which store it is a copy. Its label is written last: a copy that was cut short
//! is refused as a foreign file.

use std::ops::ControlFlow;
use std::sync::Arc;

use redb::{Database, Key, ReadTransaction, ReadableTable, TableDefinition, Value};

use super::file::{Seen, open_file, open_unchanged};
use super::identity::is_empty;
use super::init::{drawn, head_of, sync_names};
use super::open::RedbStore;
use super::snapshot::RedbSnapshot;
use super::transaction::{Changing, NotCommitted, NotWritten, kept_in, let_go};
use super::watched::Failures;
use crate::guard::contained;
use crate::store::contract::Identity;
use crate::store::copy::{BackupFailure, BackupProgress, Copied, OnBackup};
use crate::store::error::StoreError;
#[cfg(feature = "testing")]
use crate::store::mistakes::StoreMistake;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::InRedb;
use crate::store::rows::{CopyRow, MetaRow, StoreId, encode_meta};
use crate::store::schema::{self, Blocks, Meta, Sources, Sums, each_state_table};
use crate::store::storage::{StorageProvider, StoreFile};

/// Bytes of rows in one transaction of the copy, roughly.
const BYTES_PER_COMMIT: u64 = 8 << 20;
/// Most rows in one transaction of the copy.
const ROWS_PER_COMMIT: usize = 1 << 16;
/// Page cache for each file of the copy.
const CACHE_BYTES: usize = 16 << 20;

/// A copy in progress.
struct Copying<'c> {
    store: &'c RedbStore,
    /// Reopenings of the store when the snapshots were taken.
    reopened: u64,
    done: BackupProgress,
    progress: OnBackup<'c>,
}

impl RedbStore {
    /// See `Store::backup`.
    pub(super) fn backup(&self, to: Arc<dyn StorageProvider>, progress: OnBackup<'_>) -> Result<Copied, BackupFailure> {
        let failures = Arc::<Failures>::default();
        #[cfg(feature = "testing")]
        let early = self.blocks_too_early().map_err(BackupFailure::Source)?;
        let to_state = CopyFile::open(&*to, StoreFile::State, &failures)?;
        let to_blocks = CopyFile::open(&*to, StoreFile::Blocks, &failures)?;
        // A block file that failed before is opened again now, and not under the snapshots.
        self.blocks_used(self.blocks_db().map(drop)).map_err(BackupFailure::Source)?;
        let reopened = self.reopened();
        let (state, blocks) = self.both_snapshots().map_err(BackupFailure::Source)?;
        #[cfg(feature = "testing")]
        let blocks = early.unwrap_or(blocks);
        let mut copying = Copying { store: self, reopened, done: BackupProgress::default(), progress };
        // What panics in here belongs to the source: writes of the copy and the callback contain
        // their own.
        let copied = state.look_inside(|state| {
            blocks.look_inside(|blocks| Ok(copying.all((state, &to_state), (blocks, &to_blocks), self.identity)))
        });
        let copied = copied.map_err(BackupFailure::Source)?;
        let closed = to_state.close().and(to_blocks.close());
        let copied = copied?;
        closed.map_err(BackupFailure::Copy)?;
        if let Some(what) = failures.latched.get() {
            return Err(BackupFailure::Copy(StoreError::Io { what: what.clone() }));
        }
        for file in [StoreFile::State, StoreFile::Blocks] {
            kept_in(file, || expect_closed(&*to, file)).map_err(BackupFailure::Copy)?;
        }
        kept_in(StoreFile::State, || sync_names(&*to, &self.options)).map_err(BackupFailure::Copy)?;
        Ok(copied)
    }

    #[cfg(feature = "testing")]
    fn blocks_too_early(&self) -> Result<Option<RedbSnapshot>, StoreError> {
        let early = self.options.makes(StoreMistake::SnapshotsOutOfOrder);
        early.then(|| self.blocks_db()?.begin_read()).transpose()
    }

    /// Snapshots of both files, of a moment between two writes of the block file. Block data is
    /// stored before the state refers to it and removed before the state says so, so that this pair
    /// is one that a crash could have left.
    fn both_snapshots(&self) -> Result<(RedbSnapshot, RedbSnapshot), StoreError> {
        let _alone = self.changing_blocks.lock();
        // One file after the other: the reopening of the store waits for the locks of both.
        let state = self.state_db()?.begin_read()?;
        let blocks = self.blocks_used(self.blocks_db().and_then(|database| database.begin_read()))?;
        Ok((state, blocks))
    }
}

/// One file of the copy. A panic of redb's in it is an error of the copy.
struct CopyFile {
    database: Option<Database>,
    file: StoreFile,
}

impl CopyFile {
    fn open(to: &dyn StorageProvider, file: StoreFile, failures: &Arc<Failures>) -> Result<Self, BackupFailure> {
        let opened = kept_in(file, || {
            let database = open_file(to, file, CACHE_BYTES, failures)?;
            Ok((is_empty(&database)?, database))
        });
        let (empty, database) = opened.map_err(BackupFailure::Copy)?;
        let copy = Self { database: Some(database), file };
        if empty { Ok(copy) } else { Err(BackupFailure::NotEmpty(file)) }
    }

    /// Writes in one durable transaction.
    fn write(&self, with: impl FnOnce(&Changing) -> Result<(), StoreError>) -> Result<(), BackupFailure> {
        let database = self.database.as_ref().ok_or(BackupFailure::Copy(StoreError::Closed))?;
        let not_written = |not: NotWritten| match not {
            NotWritten::RolledBack(error) | NotWritten::Broken(error) => BackupFailure::Copy(error),
        };
        let txn = Changing::of(database, self.file, true).map_err(not_written)?;
        let (txn, ()) = txn.change(with).map_err(not_written)?;
        txn.commit().map_err(|not| match not {
            NotCommitted::RolledBack(error) | NotCommitted::Unknown(error) | NotCommitted::Broken(error) => {
                BackupFailure::Copy(error)
            }
        })
    }

    fn close(mut self) -> Result<(), StoreError> {
        kept_in(self.file, || {
            drop(self.database.take());
            Ok(())
        })
    }
}

impl Drop for CopyFile {
    fn drop(&mut self) {
        let_go(self.database.take());
    }
}

/// redb reports no failure of closing a file; it shows when the file is opened.
fn expect_closed(to: &dyn StorageProvider, file: StoreFile) -> Result<(), StoreError> {
    match open_unchanged(to, file, CACHE_BYTES, false)? {
        Seen::Open(database) => {
            let_go(database);
            Ok(())
        }
        Seen::Unclean | Seen::NotCreated => {
            let what = format!("{} could not be closed", to.path(file).display());
            Err(StoreError::Io { what })
        }
    }
}

impl Copying<'_> {
    /// Copies both files, each from its snapshot.
    fn all(
        &mut self,
        (state, to_state): (&ReadTransaction, &CopyFile),
        (blocks, to_blocks): (&ReadTransaction, &CopyFile),
        identity: Identity,
    ) -> Result<Copied, BackupFailure> {
        let head = head_of(state).map_err(BackupFailure::Source)?;
        let row =
            CopyRow { store: identity.store, boot: identity.boot, commit_seq: head.commit_seq, at_ms: head.clock_ms };
        let store = drawn().map(StoreId::from_bytes).map_err(BackupFailure::Copy)?;
        #[cfg(feature = "testing")]
        let store = if self.store.options.makes(StoreMistake::BackupKeepsId) { identity.store } else { store };
        #[cfg(feature = "testing")]
        if self.store.options.makes(StoreMistake::LabelsFirst) {
            self.label(blocks, to_blocks, store, None)?;
            self.label(state, to_state, store, Some(&row))?;
        }
        let copied = self.block_tables(blocks, to_blocks);
        self.blocks_used(copied)?;
        macro_rules! copy {
            ($($table:ident $name:ident),+) => { $(self.table(state, to_state, schema::$table::DEFINITION)?;)+ };
        }
        each_state_table!(copy);
        let labelled = self.label(blocks, to_blocks, store, None);
        self.blocks_used(labelled)?;
        self.label(state, to_state, store, Some(&row))?;
        Ok(Copied { done: self.done, commit_seq: head.commit_seq, store })
    }

    fn block_tables(&mut self, blocks: &ReadTransaction, to: &CopyFile) -> Result<(), BackupFailure> {
        self.table(blocks, to, Blocks::DEFINITION)?;
        self.table(blocks, to, Sources::DEFINITION)?;
        self.table(blocks, to, Sums::DEFINITION)
    }

    /// Remembers a failure of the block file, which is opened again before its next use.
    fn blocks_used(&self, copied: Result<(), BackupFailure>) -> Result<(), BackupFailure> {
        match copied {
            Err(BackupFailure::Source(error)) => self.store.blocks_used(Err(error)).map_err(BackupFailure::Source),
            other => other,
        }
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        from: &ReadTransaction,
        to: &CopyFile,
        table: TableDefinition<'_, K, V>,
    ) -> Result<(), BackupFailure> {
        let rows = from.open_table(table).db().map_err(BackupFailure::Source)?;
        let mut rows = rows.iter().db().map_err(BackupFailure::Source)?;
        let mut more = true;
        while more {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < ROWS_PER_COMMIT && bytes < BYTES_PER_COMMIT {
                let Some(row) = rows.next() else {
                    more = false;
                    break;
                };
                let (key, value) = row.db().map_err(BackupFailure::Source)?;
                bytes += K::as_bytes(&key.value()).as_ref().len() as u64;
                bytes += V::as_bytes(&value.value()).as_ref().len() as u64;
                batch.push((key, value));
            }
            // Pages read after the store was opened again may have been overwritten.
            self.still_open()?;
            to.write(|txn| {
                let mut copy = txn.open_table(table).db()?;
                for (key, value) in &batch {
                    copy.insert(key.value(), value.value()).db()?;
                }
                Ok(())
            })?;
            self.done.rows += batch.len() as u64;
            self.done.bytes += bytes;
            match contained(|| (self.progress)(&self.done)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Err(BackupFailure::Cancelled),
                Err(_) => return Err(BackupFailure::Panicked),
            }
        }
        Ok(())
    }

    fn still_open(&self) -> Result<(), BackupFailure> {
        #[cfg(feature = "testing")]
        if self.store.options.makes(StoreMistake::BackupGoesOn) {
            return Ok(());
        }
        if self.store.reopened() == self.reopened && !self.store.is_latched() {
            return Ok(());
        }
        let what = "the store failed while it was copied; copy it again".to_owned();
        Err(BackupFailure::Source(StoreError::Io { what }))
    }

    /// Copies the label of a file, with the id of the copy.
    fn label(
        &self,
        from: &ReadTransaction,
        to: &CopyFile,
        store: StoreId,
        copy_of: Option<&CopyRow>,
    ) -> Result<(), BackupFailure> {
        let labels = from.open_table(Meta::DEFINITION).db().map_err(BackupFailure::Source)?;
        let mut rows = Vec::new();
        for row in labels.iter().db().map_err(BackupFailure::Source)? {
            let (key, value) = row.db().map_err(BackupFailure::Source)?;
            rows.push((key.value().to_owned(), value.value().to_vec()));
        }
        self.still_open()?;
        to.write(|txn| {
            let mut copy = txn.open_table(Meta::DEFINITION).db()?;
            for (key, value) in &rows {
                copy.insert(key.as_str(), value.as_slice()).db()?;
            }
            copy.insert("store", encode_meta("store", store.as_bytes()).as_slice()).db()?;
            if let Some(row) = copy_of {
                copy.insert("copy-of", row.sealed()?.as_slice()).db()?;
            }
            Ok(())
        })
    }
}
