//! The offline check of the two files: redb verifies each, and then the rows are checked. Not a
//! byte of them is changed: repairs after a crash stay in memory.

use std::sync::Arc;

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase};

use super::file::panic_is_damage;
use super::identity::{belong_together, corrupted, label, see_file};
use super::view::{Kept, RedbView};
use crate::store::check::{self, CheckPhase, CheckProgress, CheckReport, OnCheck};
use crate::store::error::StoreError;
use crate::store::port::Rows;
use crate::store::redb::errors::{DbResult, of_storage};
use crate::store::rows::Head;
use crate::store::schema::{
    self, Blocks, Claims, Damaged, Doubted, Meta, Provenance, Quorums, Sources, Sums, Suspects, each_state_table,
};
use crate::store::storage::{StorageProvider, StoreFile};

/// Checks the store behind `provider`, which must not be open. A clean report means that both files
/// pass redb's own verification, and that the rows fit.
///
/// # Errors
/// As for opening: a foreign or damaged file, another format, an owner that has it open; and reads
/// that fail. An inconsistent row is not an error but a [`CheckFinding`](check::CheckFinding). A
/// store whose creation was cut short before its first commit is empty, and clean.
pub fn check(provider: Arc<dyn StorageProvider>, progress: OnCheck<'_>) -> Result<CheckReport, StoreError> {
    run(&*provider, ROWS_AT_ONCE, progress)
}

/// The same with `at_once` tile rows and clients in memory, so that a small store takes many runs.
///
/// # Errors
/// [`StoreError`] if the storage fails or a row is damaged.
#[cfg(feature = "testing")]
pub fn check_in_runs(
    provider: Arc<dyn StorageProvider>,
    at_once: usize,
    progress: OnCheck<'_>,
) -> Result<CheckReport, StoreError> {
    run(&*provider, at_once, progress)
}

/// Tile rows or clients held in memory at once: about 32 MiB. More take another run through the
/// ledger.
const ROWS_AT_ONCE: usize = 1 << 18;

fn run(provider: &dyn StorageProvider, at_once: usize, progress: OnCheck<'_>) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    progress(&CheckProgress { phase: CheckPhase::Files, done: 0, of: 2 });
    let path = provider.path(StoreFile::State);
    let opened = panic_is_damage(&path, || open(provider, &mut report, &mut *progress))?;
    let Some((head, files)) = opened else { return Ok(report) };
    let blocks = files.blocks.as_ref().map(|file| &file.rows);
    let report = check::rows(&files.state.rows, blocks, head, report, at_once, progress)?;
    panic_is_damage(&path, || {
        drop(files);
        Ok(())
    })?;
    Ok(report)
}

/// The files of a store; without block data if its making was cut short before the second one.
struct OpenFiles {
    state: OpenFile,
    blocks: Option<OpenFile>,
}

/// One snapshot of a file.
struct OpenFile {
    rows: RedbView,
    // Dropped last: closing the file ends the snapshot.
    _database: Database,
}

/// Opens both files, and reads the head. `None` for files without a first commit, or files that
/// redb does not vouch for: that is in the report.
fn open(
    provider: &dyn StorageProvider,
    report: &mut CheckReport,
    progress: OnCheck<'_>,
) -> Result<Option<(Head, OpenFiles)>, StoreError> {
    let mut state = see_file(provider, StoreFile::State, CACHE_BYTES)?;
    let mut blocks = see_file(provider, StoreFile::Blocks, CACHE_BYTES)?;
    let paths = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
    if let Some(state) = &mut state {
        verify(state, provider, StoreFile::State, report)?;
    }
    progress(&CheckProgress { phase: CheckPhase::Files, done: 1, of: 2 });
    if let Some(blocks) = &mut blocks {
        verify(blocks, provider, StoreFile::Blocks, report)?;
    }
    progress(&CheckProgress { phase: CheckPhase::Files, done: 2, of: 2 });
    if !report.is_clean() {
        return Ok(None);
    }
    let read = |database: &Option<Database>| database.as_ref().map(Database::begin_read).transpose();
    let (state_txn, blocks_txn) = (read(&state).db()?, read(&blocks).db()?);
    let label_of = |txn: &Option<ReadTransaction>, path, kind| match txn {
        Some(txn) => label(txn, path, kind),
        None => Ok(None),
    };
    let state_label = label_of(&state_txn, &paths.0, "pouw-state")?;
    let blocks_label = label_of(&blocks_txn, &paths.1, "pouw-blocks")?;
    let has_blocks = blocks_label.is_some();
    belong_together(state_label.as_ref(), blocks_label.as_ref(), &paths)?;
    let (Some(state), Some(txn), Some(label)) = (state, state_txn, state_label) else {
        return Ok(None);
    };
    let head = label.head.ok_or_else(|| corrupted(&paths.0, "it has no head"))?;
    let blocks = match (blocks, blocks_txn) {
        (Some(database), Some(txn)) if has_blocks => Some(OpenFile { rows: blocks_rows(txn)?, _database: database }),
        _ => None,
    };
    let state = OpenFile { rows: state_rows(txn)?, _database: state };
    Ok(Some((head, OpenFiles { state, blocks })))
}

/// The rows of the block file. Each table is opened here: a file that lacks one of the first layout
/// is damaged.
fn blocks_rows(txn: ReadTransaction) -> Result<RedbView, StoreError> {
    let rows = RedbView::of(txn);
    rows.is_there(Blocks)?;
    rows.is_there(Sources)?;
    rows.is_there(Sums)?;
    Ok(rows)
}

/// The same of the state file. The tables of trust were added together.
fn state_rows(txn: ReadTransaction) -> Result<RedbView, StoreError> {
    let rows = RedbView::of(txn);
    rows.is_there(Meta)?;
    macro_rules! open {
        ($($table:ident $name:ident),+) => { $(rows.is_there(schema::$table)?;)+ };
    }
    each_state_table!(open);
    if rows.is_there(Provenance)? {
        expect(&rows, Claims)?;
        expect(&rows, Quorums)?;
        expect(&rows, Suspects)?;
        expect(&rows, Doubted)?;
        expect(&rows, Damaged)?;
    }
    Ok(rows)
}

/// Fails if the file lacks the table.
fn expect<T: Kept>(rows: &RedbView, _: T) -> Result<(), StoreError> {
    rows.transaction().open_table(T::DEFINITION).db()?;
    Ok(())
}

fn verify(
    database: &mut Database,
    provider: &dyn StorageProvider,
    file: StoreFile,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let name = file.file_name();
    let sound = panic_is_damage(&provider.path(file), || match database.check_integrity() {
        Ok(sound) => Ok(sound),
        Err(DatabaseError::Storage(error)) => Err(of_storage(error)),
        Err(other) => Err(StoreError::Io { what: other.to_string() }),
    });
    match sound {
        Ok(true) => {}
        Ok(false) => report.find(format!("{name}: pages do not match their checksums")),
        Err(StoreError::Corrupted { what, .. }) => report.find(format!("{name}: {what}")),
        Err(other) => return Err(other),
    }
    Ok(())
}

/// Page cache of each file, bytes.
const CACHE_BYTES: usize = 32 << 20;
