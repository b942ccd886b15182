//! What both files get when they are opened: tables, ids and the mark of the opening.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableHandle, WriteTransaction};

use super::errors::io_error;
use super::generation::{Generation, Marks};
use super::identity::{corrupted, labelled};
use super::options::StoreOptions;
use super::transaction::begin_durable;
use super::view::RedbView;
use crate::store::contract::Identity;
use crate::store::error::StoreError;
use crate::store::port::View;
use crate::store::random::random;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::InRedb;
use crate::store::rows::{AccountRow, CopyRow, Head, MetaRow, StoreId, encode_meta};
use crate::store::rules::ledger::replay;
use crate::store::rules::state::WriterState;
use crate::store::schema::{self, ADDED, Blocks, FORMAT_VERSION, Meta, Sources, Sums, each_state_table};
use crate::store::storage::StorageProvider;
use crate::store::table::Table as _;

/// Makes what the state file lacks, and with `opening` notes that the store was opened.
pub(in crate::store) fn init_state(
    database: &Database,
    path: &Path,
    opening: Option<Generation>,
) -> Result<Identity, StoreError> {
    let txn = begin_durable(database, false)?;
    let identity = {
        let mut meta = txn.open_table(Meta::DEFINITION).db()?;
        let fresh = meta.get("kind").db()?.is_none();
        if !fresh {
            macro_rules! names {
                ($($table:ident $name:ident),+) => { [$(schema::$table::NAME),+] };
            }
            lacks_none(&txn, path, &each_state_table!(names))?;
        }
        if fresh {
            meta.insert("kind", &b"pouw-state"[..]).db()?;
            meta.insert("format", &FORMAT_VERSION.to_le_bytes()[..]).db()?;
            put(&mut meta, "store", &drawn::<16>()?)?;
            put(&mut meta, "digest-key", &drawn::<32>()?)?;
            meta.insert("head", Head::default().sealed()?.as_slice()).db()?;
        }
        let boot = match meta.get("boot").db()? {
            Some(raw) => {
                u64::from_le_bytes(labelled(raw.value(), path, "boot")?).wrapping_add(opening.is_some().into())
            }
            None => 0,
        };
        if let Some(mark) = opening {
            put(&mut meta, "boot", &boot.to_le_bytes())?;
            put(&mut meta, "generation", &mark.encode())?;
        }
        let store = meta.get("store").db()?.map(|raw| labelled(raw.value(), path, "store")).transpose()?;
        let digest_key =
            meta.get("digest-key").db()?.map(|raw| labelled::<32>(raw.value(), path, "digest-key")).transpose()?;
        let copy_of = meta.get("copy-of").db()?.map(|raw| CopyRow::unsealed(raw.value())).transpose()?;
        match (store, digest_key) {
            (Some(store), Some(digest_key)) => {
                let store = StoreId::from_bytes(store);
                // Those of an older store get their checksums.
                put(&mut meta, "store", store.as_bytes())?;
                put(&mut meta, "digest-key", &digest_key)?;
                Identity { store, digest_key, boot, copy_of }
            }
            _ => return Err(corrupted(path, "its ids are missing")),
        }
    };
    // Some were added after the first build: a store from before them gets them here.
    macro_rules! make {
        ($($table:ident $name:ident),+) => { $(txn.open_table(schema::$table::DEFINITION).db()?;)+ };
    }
    each_state_table!(make);
    txn.commit().db()?;
    Ok(identity)
}

/// Checks that a file has the tables of the first layout among `names`: making an empty one instead
/// would lose what it held without a word.
fn lacks_none(txn: &WriteTransaction, path: &Path, names: &[&str]) -> Result<(), StoreError> {
    let there: Vec<String> = txn.list_tables().db()?.map(|table| table.name().to_owned()).collect();
    match names.iter().find(|name| !ADDED.contains(name) && !there.iter().any(|known| known == *name)) {
        None => Ok(()),
        Some(name) => Err(corrupted(path, &format!("table {name} is missing"))),
    }
}

/// Makes what the block file lacks, and with `opening` marks it. A table that it lost is made too:
/// the state file knows which data there has to be. Data of trees from `next_tree` on never got its
/// rows and goes.
pub(in crate::store) fn init_blocks(
    database: &Database,
    store: StoreId,
    next_tree: u64,
    opening: Option<Marks>,
) -> Result<(), StoreError> {
    let txn = begin_durable(database, true)?;
    {
        let mut meta = txn.open_table(Meta::DEFINITION).db()?;
        meta.insert("kind", &b"pouw-blocks"[..]).db()?;
        meta.insert("format", &FORMAT_VERSION.to_le_bytes()[..]).db()?;
        put(&mut meta, "store", store.as_bytes())?;
        if let Some(marks) = opening {
            put(&mut meta, "generation", &marks.encode())?;
        }
        // Data of trees that never got their row: a crash between the two files.
        let mut blocks = txn.open_table(Blocks::DEFINITION).db()?;
        blocks.retain_in((next_tree, 0).., |_, _| false).db()?;
        let mut sources = txn.open_table(Sources::DEFINITION).db()?;
        sources.retain_in((next_tree, 0).., |_, _| false).db()?;
        // Added to the first layout: a store from before it gets it here.
        let mut sums = txn.open_table(Sums::DEFINITION).db()?;
        sums.retain_in((next_tree, 0).., |_, _| false).db()?;
    }
    txn.commit().db()?;
    Ok(())
}

/// The state file has the new mark: from now on only that fits the block file.
pub(in crate::store) fn settle_marks(database: &Database, now: Generation) -> Result<(), StoreError> {
    let txn = begin_durable(database, true)?;
    let marks = Marks { before: now, now };
    put(&mut txn.open_table(Meta::DEFINITION).db()?, "generation", &marks.encode())?;
    txn.commit().db()
}

/// Makes the names of the files as durable as what is in them.
pub(in crate::store) fn sync_names(provider: &dyn StorageProvider, options: &StoreOptions) -> Result<(), StoreError> {
    #[cfg(feature = "testing")]
    if options.makes(crate::store::mistakes::StoreMistake::NamesNotSynced) {
        return Ok(());
    }
    #[cfg(not(feature = "testing"))]
    let _ = options;
    provider.sync_names().map_err(io_error)
}

/// Reads the head and replays the ledger's tail over the client rows.
pub(in crate::store) fn load_writer(database: &Database) -> Result<WriterState, StoreError> {
    let rows = RedbView::of(database.begin_read().db()?);
    let AccountRow(account) = rows.meta()?.unwrap_or_default();
    let mut writer = WriterState { head: head_of(rows.transaction())?, account, ..WriterState::default() };
    replay(&rows, &mut writer)?;
    Ok(writer)
}

pub(in crate::store) fn head_of(txn: &redb::ReadTransaction) -> Result<Head, StoreError> {
    match txn.open_table(Meta::DEFINITION).db()?.get("head").db()? {
        Some(raw) => Ok(Head::unsealed(raw.value())?),
        None => Err(StoreError::Contradiction { what: "meta-0 has no head".into() }),
    }
}

type MetaTable<'t> = Table<'t, &'static str, &'static [u8]>;

fn put(meta: &mut MetaTable<'_>, key: &str, value: &[u8]) -> Result<(), StoreError> {
    meta.insert(key, encode_meta(key, value).as_slice()).db()?;
    Ok(())
}

pub(in crate::store) fn drawn<const N: usize>() -> Result<[u8; N], StoreError> {
    random().map_err(|e| StoreError::Io { what: format!("the system returned no random bytes: {e}") })
}
