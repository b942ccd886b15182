//! Opening the two files to be looked at: not a byte of them is changed.

use redb::{
    Database, DatabaseError, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError, Value,
};

use super::report::{CheckPhase, CheckProgress, CheckReport, OnCheck};
use crate::store::error::StoreError;
use crate::store::redb::errors::{DbResult, of_storage, of_table};
use crate::store::redb::file::panic_is_damage;
use crate::store::redb::identity::{belong_together, corrupted, label, see_file};
use crate::store::redb::storage::{StorageProvider, StoreFile};
use crate::store::redb::tables::{InRedb, known};
use crate::store::rows::{Head, LedgerRow, MetaRow, ProvenanceRow, ScrubPlace, ScrubRow, TileRow};
use crate::store::schema::{
    Blocks, Chores, Claims, Clients, Consumed, Damaged, Debits, Doubted, Followed, Handles, Hashes, Interior, Ledger,
    Lengths, Meta, Names, Provenance, Quorums, Ready, Receipts, Sources, Standings, Sums, Suspects, Tiles, Trees,
};
use crate::store::table::Table;

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
    /// Not there in a store that no build with this table has opened yet.
    pub(super) standings: Option<Rows<[u8; 16]>>,
    /// Not in the stores of the first build.
    pub(super) trust: Option<TrustTables>,
    /// Scrubbing is adding checksums to trees of an older store, from this one on.
    pub(super) unsummed_from: Option<u64>,
    // Dropped last: closing the file ends every table's snapshot.
    _database: Database,
}

/// Tables that the stores of the first build lack.
pub(super) struct TrustTables {
    pub(super) provenance: Rows<u64>,
    pub(super) claims: Rows<(u64, u64)>,
    pub(super) quorums: Rows<(u64, u64)>,
    pub(super) suspects: ReadOnlyTable<[u8; 16], (u64, u64, u64, bool)>,
    pub(super) doubted: ReadOnlyTable<(u64, u64), ()>,
    pub(super) damaged: ReadOnlyTable<(u64, u64), ()>,
    pub(super) followed: Option<ReadOnlyTable<[u8; 16], u64>>,
    pub(super) meta: Rows<&'static str>,
}

impl TrustTables {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Option<Self>, StoreError> {
        let provenance = match txn.open_table(Provenance::DEFINITION) {
            Ok(provenance) => provenance,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(of_table(error)),
        };
        Ok(Some(Self {
            provenance,
            claims: table(txn, Claims::DEFINITION)?,
            quorums: table(txn, Quorums::DEFINITION)?,
            suspects: table(txn, Suspects::DEFINITION)?,
            doubted: table(txn, Doubted::DEFINITION)?,
            damaged: table(txn, Damaged::DEFINITION)?,
            followed: known(txn, Followed::DEFINITION)?,
            meta: table(txn, Meta::DEFINITION)?,
        }))
    }
}

impl StateFile {
    /// The counts of a tree; none if there is no row, or none that can be read.
    pub(super) fn provenance(&self, tree: u64) -> Option<ProvenanceRow> {
        let raw = self.trust.as_ref()?.provenance.get(tree).ok()??;
        Provenance::decode(&tree, raw.value()).ok()
    }
}

/// One snapshot of the block file.
pub(super) struct BlocksFile {
    pub(super) blocks: Rows<(u64, u32)>,
    pub(super) sources: Rows<(u64, u64)>,
    /// Not there in a store that no build with this table has opened yet.
    pub(super) sums: Option<Rows<(u64, u64)>>,
    _database: Database,
}

pub(super) fn open(
    provider: &dyn StorageProvider,
    report: &mut CheckReport,
    progress: OnCheck<'_>,
) -> Result<Opened, StoreError> {
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
        return Ok(Opened::Nothing);
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
        return Ok(Opened::Nothing);
    };
    let head = label.head.ok_or_else(|| corrupted(&paths.0, "it has no head"))?;
    let blocks = match (blocks, blocks_txn) {
        (Some(database), Some(txn)) if has_blocks => Some(Box::new(BlocksFile {
            blocks: table(&txn, Blocks::DEFINITION)?,
            sources: table(&txn, Sources::DEFINITION)?,
            sums: known(&txn, Sums::DEFINITION)?,
            _database: database,
        })),
        _ => None,
    };
    let state = StateFile::open(&txn, state)?;
    Ok(Opened::Both { head: Box::new(head), state: Box::new(state), blocks })
}

impl StateFile {
    /// A ledger entry; `None` if it is not there, or does not decode.
    pub(super) fn entry(&self, seq: u64) -> Result<Option<LedgerRow>, StoreError> {
        Ok(self.ledger.get(seq).db()?.and_then(|raw| Ledger::decode(&seq, raw.value()).ok()))
    }

    /// The states of a tile; all pending if it has no row, or one that does not decode.
    pub(super) fn tile(&self, key: (u64, u64)) -> Result<TileRow, StoreError> {
        let raw = self.tiles.get(key).db()?;
        Ok(raw.and_then(|raw| Tiles::decode(&key, raw.value()).ok()).unwrap_or(TileRow::PENDING))
    }

    fn open(txn: &ReadTransaction, database: Database) -> Result<Self, StoreError> {
        Ok(Self {
            unsummed_from: unsummed_from(txn)?,
            trees: table(txn, Trees::DEFINITION)?,
            names: table(txn, Names::DEFINITION)?,
            handles: table(txn, Handles::DEFINITION)?,
            hashes: table(txn, Hashes::DEFINITION)?,
            lengths: table(txn, Lengths::DEFINITION)?,
            tiles: table(txn, Tiles::DEFINITION)?,
            interior: table(txn, Interior::DEFINITION)?,
            ready: table(txn, Ready::DEFINITION)?,
            chores: table(txn, Chores::DEFINITION)?,
            consumed: table(txn, Consumed::DEFINITION)?,
            clients: table(txn, Clients::DEFINITION)?,
            ledger: table(txn, Ledger::DEFINITION)?,
            receipts: table(txn, Receipts::DEFINITION)?,
            debits: table(txn, Debits::DEFINITION)?,
            standings: known(txn, Standings::DEFINITION)?,
            trust: TrustTables::open(txn)?,
            _database: database,
        })
    }
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

pub(super) fn table<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<ReadOnlyTable<K, V>, StoreError> {
    txn.open_table(definition).db()
}

/// Page cache of each file, bytes.
const CACHE_BYTES: usize = 32 << 20;

/// The tree at which scrubbing is, or the first one of which it left groups out. Of the trees
/// behind it, some groups may have checksums and others not, if they are of an older store.
fn unsummed_from(txn: &ReadTransaction) -> Result<Option<u64>, StoreError> {
    let raw = txn.open_table(Meta::DEFINITION).db()?.get(ScrubRow::KEY).db()?;
    let row = raw.and_then(|raw| ScrubRow::unsealed(raw.value()).ok());
    Ok(row.and_then(|row| {
        let at = match row.at {
            Some(ScrubPlace::Data { tree, .. }) => Some(tree),
            _ => None,
        };
        at.into_iter().chain(row.left_out).chain(row.leaves_out).min()
    }))
}
