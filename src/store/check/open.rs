//! Opening the two files to be looked at: no boot counted, nothing made, nothing cleared.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use redb::{Database, DatabaseError, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, Value};

use super::super::backend::{StorageProvider, StoreFile};
use super::super::error::StoreError;
use super::super::file::{is_unborn, open_file};
use super::super::open::{check_format, corrupted, io_error};
use super::super::records::{Head, unseal};
use super::super::tables::{
    BLOCKS, CHORES, CLIENTS, CONSUMED, DEBITS, HANDLES, HASHES, INTERIOR, LEDGER, LENGTHS, META, NAMES, READY,
    RECEIPTS, SOURCES, TILES, TREES,
};
use super::{CheckPhase, CheckProgress, CheckReport, OnCheck};

pub(super) type Rows<K> = ReadOnlyTable<K, &'static [u8]>;

/// What was behind the provider.
pub(super) enum Opened {
    /// A store; without block data if its making was cut short before the second file.
    Both { head: Box<Head>, state: Box<StateFile>, blocks: Option<Box<BlocksFile>> },
    /// Files without a first commit, or files that redb does not vouch for: that is in the report.
    Nothing,
}

/// One snapshot of the state file.
pub(super) struct StateFile {
    pub(super) trees: Rows<u64>,
    pub(super) names: ReadOnlyTable<&'static str, u64>,
    pub(super) handles: ReadOnlyTable<[u8; 16], u64>,
    pub(super) hashes: Rows<(u64, u64)>,
    pub(super) lengths: Rows<(u64, u64)>,
    pub(super) tiles: Rows<(u64, u64)>,
    pub(super) interior: Rows<(u64, u8, u64)>,
    pub(super) ready: ReadOnlyTable<(u8, u64), u64>,
    pub(super) chores: ReadOnlyTable<(u8, u64), ()>,
    pub(super) consumed: ReadOnlyTable<(u64, [u8; 16]), u64>,
    pub(super) clients: Rows<[u8; 16]>,
    pub(super) ledger: Rows<u64>,
    pub(super) receipts: ReadOnlyTable<[u8; 16], u64>,
    pub(super) debits: ReadOnlyTable<[u8; 16], u64>,
    // Dropped last: closing the file ends every table's snapshot.
    _database: Database,
}

/// One snapshot of the block file.
pub(super) struct BlocksFile {
    pub(super) blocks: Rows<(u64, u32)>,
    pub(super) sources: Rows<(u64, u64)>,
    _database: Database,
}

pub(super) fn open(
    provider: &dyn StorageProvider,
    report: &mut CheckReport,
    progress: OnCheck<'_>,
) -> Result<Opened, StoreError> {
    let state = existing(provider, StoreFile::State)?;
    let blocks = existing(provider, StoreFile::Blocks)?;
    let (state_path, blocks_path) = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
    let Some(mut state) = state else {
        if let Some(blocks) = blocks
            && has_tables(&blocks.begin_read()?)?
        {
            return Err(corrupted(&state_path, "it is empty, but the blocks.redb beside it is not"));
        }
        return Ok(Opened::Nothing);
    };
    verify(&mut state, StoreFile::State, report)?;
    progress(&CheckProgress { phase: CheckPhase::Files, done: 1, of: 2 });
    if !report.is_clean() {
        return Ok(Opened::Nothing);
    }
    let txn = state.begin_read()?;
    if !has_tables(&txn)? {
        return Ok(Opened::Nothing);
    }
    let meta = meta_of(&txn, &state_path)?;
    check_format(&meta, &state_path, "pouw-state", false)?;
    let store = id_of(&meta, &state_path)?;
    let head: Head = match meta.get("head")? {
        Some(raw) => unseal("meta-0", raw.value())?,
        None => return Err(corrupted(&state_path, "it has no head")),
    };
    let blocks = match blocks {
        Some(mut blocks) => {
            verify(&mut blocks, StoreFile::Blocks, report)?;
            if !report.is_clean() {
                return Ok(Opened::Nothing);
            }
            let txn = blocks.begin_read()?;
            if has_tables(&txn)? {
                let meta = meta_of(&txn, &blocks_path)?;
                check_format(&meta, &blocks_path, "pouw-blocks", false)?;
                if id_of(&meta, &blocks_path)? != store {
                    return Err(corrupted(&blocks_path, "it belongs to another store than the state.redb beside it"));
                }
                let (rows, sources) = (table(&txn, BLOCKS)?, table(&txn, SOURCES)?);
                Some(Box::new(BlocksFile { blocks: rows, sources, _database: blocks }))
            } else {
                None
            }
        }
        None => None,
    };
    if blocks.is_none() && head.next_tree > 0 {
        return Err(corrupted(&blocks_path, "it is empty, but the state.redb beside it has trees"));
    }
    progress(&CheckProgress { phase: CheckPhase::Files, done: 2, of: 2 });
    let state = StateFile::open(&txn, state)?;
    Ok(Opened::Both { head: Box::new(head), state: Box::new(state), blocks })
}

impl StateFile {
    fn open(txn: &ReadTransaction, database: Database) -> Result<Self, StoreError> {
        Ok(Self {
            trees: table(txn, TREES)?,
            names: table(txn, NAMES)?,
            handles: table(txn, HANDLES)?,
            hashes: table(txn, HASHES)?,
            lengths: table(txn, LENGTHS)?,
            tiles: table(txn, TILES)?,
            interior: table(txn, INTERIOR)?,
            ready: table(txn, READY)?,
            chores: table(txn, CHORES)?,
            consumed: table(txn, CONSUMED)?,
            clients: table(txn, CLIENTS)?,
            ledger: table(txn, LEDGER)?,
            receipts: table(txn, RECEIPTS)?,
            debits: table(txn, DEBITS)?,
            _database: database,
        })
    }
}

/// The database, or `None` if the file is missing, empty, or was cut short before its first commit.
fn existing(provider: &dyn StorageProvider, file: StoreFile) -> Result<Option<Database>, StoreError> {
    let unborn = match provider.open(file) {
        Ok(backend) => is_unborn(&*backend, &provider.path(file))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(io_error(error)),
    };
    if unborn {
        return Ok(None);
    }
    let sync_failed = Arc::new(AtomicBool::new(false));
    open_file(provider, file, CACHE_BYTES, &sync_failed).map(Some)
}

fn verify(database: &mut Database, file: StoreFile, report: &mut CheckReport) -> Result<(), StoreError> {
    let name = file.file_name();
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => {
            report.find(format!("{name}: pages did not match their checksums, redb went back to an older state"));
            Ok(())
        }
        Err(DatabaseError::Storage(redb::StorageError::Corrupted(what))) => {
            report.find(format!("{name}: {what}"));
            Ok(())
        }
        Err(DatabaseError::Storage(error)) => Err(error.into()),
        Err(other) => Err(StoreError::Io { what: other.to_string() }),
    }
}

fn has_tables(txn: &ReadTransaction) -> Result<bool, StoreError> {
    Ok(txn.list_tables()?.next().is_some())
}

fn meta_of(txn: &ReadTransaction, path: &std::path::Path) -> Result<Rows<&'static str>, StoreError> {
    txn.open_table(META)
        .map_err(|_| StoreError::Foreign { path: path.to_owned(), what: "a redb file with other tables".into() })
}

fn id_of(meta: &Rows<&'static str>, path: &std::path::Path) -> Result<[u8; 16], StoreError> {
    let raw = meta.get("store")?.ok_or_else(|| corrupted(path, "its id is missing"))?;
    raw.value().try_into().map_err(|_| corrupted(path, "its id has not 16 bytes"))
}

fn table<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<ReadOnlyTable<K, V>, StoreError> {
    Ok(txn.open_table(definition)?)
}

/// Page cache of each file, bytes.
const CACHE_BYTES: usize = 32 << 20;
