//! The label of a file, read before anything is written to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::file::{Seen, open_file, open_unchanged, panic_is_damage};
use super::generation::{Generation, Marks, mismatch};
use super::options::StoreOptions;
use super::watched::Failures;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::InRedb;
use crate::store::rows::{Head, MetaRow, StoreId, meta_bytes};
use crate::store::schema::{FORMAT_VERSION, Meta};
use crate::store::storage::{StorageProvider, StoreFile};

/// The label of one file.
pub(in crate::store) struct Label {
    /// Id of the store it belongs to.
    pub(in crate::store) store: StoreId,
    /// The head, in the state file.
    pub(in crate::store) head: Option<Head>,
    /// The mark of the newest opening, in the state file.
    pub(in crate::store) generation: Option<Generation>,
    /// The marks of the newest opening and of the one before, in the block file.
    pub(in crate::store) marks: Option<Marks>,
}

/// Both files, and the label of the state file; `None` if the store is new.
pub(in crate::store) struct Pair {
    pub(in crate::store) state: Database,
    pub(in crate::store) blocks: Database,
    pub(in crate::store) label: Option<Label>,
}

/// Opens both files and checks that they belong together. A pair that does not is refused without a
/// change of either, unless a crash left one for redb to repair; even then no row is changed.
pub(in crate::store) fn open_pair(
    provider: &dyn StorageProvider,
    options: &StoreOptions,
    failures: &Arc<Failures>,
) -> Result<Pair, StoreError> {
    let paths = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
    let compare = |state: Option<&Label>, blocks: Option<&Label>| match belong_together(state, blocks, &paths) {
        #[cfg(feature = "testing")]
        Err(StoreError::NotAPair { .. }) if options.makes(crate::store::mistakes::StoreMistake::MarksNotCompared) => {
            Ok(())
        }
        compared => compared,
    };
    // Closing is part of the look: redb writes then, and may meet damage that opening did not.
    let look = |file, path: &Path, kind| {
        panic_is_damage(path, || seen_label(&open_unchanged(provider, file, LOOK_CACHE_BYTES, false)?, path, kind))
    };
    let state_seen = look(StoreFile::State, &paths.0, "pouw-state")?;
    let blocks_seen = look(StoreFile::Blocks, &paths.1, "pouw-blocks")?;
    if let (Some(state), Some(blocks)) = (&state_seen, &blocks_seen) {
        compare(state.as_ref(), blocks.as_ref())?;
    }
    let open_blocks = || open_file(provider, StoreFile::Blocks, options.blocks_cache_bytes, failures);
    // The label of a damaged file is known after its repair only; until then the other must not be
    // created.
    if let (Some(None), None) = (&state_seen, &blocks_seen) {
        let blocks = label(&open_blocks()?.begin_read().db()?, &paths.1, "pouw-blocks")?;
        compare(None, blocks.as_ref())?;
    }
    let state = open_file(provider, StoreFile::State, options.state_cache_bytes, failures)?;
    let state_label = label(&state.begin_read().db()?, &paths.0, "pouw-state")?;
    if let Some(None) = blocks_seen {
        compare(state_label.as_ref(), None)?;
    }
    let blocks = open_blocks()?;
    let blocks_label = label(&blocks.begin_read().db()?, &paths.1, "pouw-blocks")?;
    compare(state_label.as_ref(), blocks_label.as_ref())?;
    Ok(Pair { state, blocks, label: state_label })
}

/// Opens both files to be read, and checks that they belong together. What redb writes stays in
/// memory. Block data that is not there yet is an empty file in memory.
pub(in crate::store) fn see_pair(provider: &dyn StorageProvider, options: &StoreOptions) -> Result<Pair, StoreError> {
    let paths = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
    let state = see_file(provider, StoreFile::State, options.state_cache_bytes)?;
    let state = state.ok_or_else(|| StoreError::NotCreated { path: paths.0.clone() })?;
    let state_label = label(&state.begin_read().db()?, &paths.0, "pouw-state")?;
    if state_label.is_none() {
        return Err(StoreError::NotCreated { path: paths.0 });
    }
    let (blocks, blocks_label) = match see_file(provider, StoreFile::Blocks, options.blocks_cache_bytes)? {
        Some(blocks) => {
            let label = label(&blocks.begin_read().db()?, &paths.1, "pouw-blocks")?;
            (blocks, label)
        }
        None => {
            let memory = redb::backends::InMemoryBackend::new();
            let made = Database::builder().create_with_backend(memory);
            (made.map_err(|e| StoreError::Io { what: e.to_string() })?, None)
        }
    };
    belong_together(state_label.as_ref(), blocks_label.as_ref(), &paths)?;
    Ok(Pair { state, blocks, label: state_label })
}

/// One file to be read, mended in memory if a crash left it; `None` before its first commit.
pub(in crate::store) fn see_file(
    provider: &dyn StorageProvider,
    file: StoreFile,
    cache_bytes: usize,
) -> Result<Option<Database>, StoreError> {
    match open_unchanged(provider, file, cache_bytes, true)? {
        Seen::Open(database) => Ok(Some(database)),
        Seen::NotCreated | Seen::Unclean => Ok(None),
    }
}

/// The label of an opened file; `None` if it is known after a repair only.
fn seen_label(seen: &Seen, path: &Path, kind: &str) -> Result<Option<Option<Label>>, StoreError> {
    match seen {
        Seen::NotCreated => Ok(Some(None)),
        Seen::Unclean => Ok(None),
        Seen::Open(database) => label(&database.begin_read().db()?, path, kind).map(Some),
    }
}

/// Page cache for a look, bytes.
const LOOK_CACHE_BYTES: usize = 1 << 20;

/// Whether the labels are those of one store.
pub(in crate::store) fn belong_together(
    state: Option<&Label>,
    blocks: Option<&Label>,
    (state_path, blocks_path): &(PathBuf, PathBuf),
) -> Result<(), StoreError> {
    match (state, blocks) {
        (None, Some(_)) => Err(corrupted(state_path, "it is empty, but the blocks.redb beside it is not")),
        (Some(state), None) if has_trees(state) => {
            Err(corrupted(blocks_path, "it is empty, but the state.redb beside it has trees"))
        }
        (Some(state), Some(blocks)) if state.store != blocks.store => {
            Err(corrupted(blocks_path, "it belongs to another store than the state.redb beside it"))
        }
        (Some(state), Some(blocks)) if blocks.marks.is_some() || has_trees(state) => {
            match mismatch(state.generation, blocks.marks) {
                Some(what) => Err(StoreError::NotAPair { blocks: blocks_path.clone(), what }),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn has_trees(state: &Label) -> bool {
    state.head.as_ref().is_some_and(|head| head.next_tree > 0)
}

/// Whether nothing was committed to the file yet.
pub(in crate::store) fn is_empty(database: &Database) -> Result<bool, StoreError> {
    Ok(database.begin_read().db()?.list_tables().db()?.next().is_none())
}

/// The label of a file of `kind`; `None` before its first commit.
pub(in crate::store) fn label(txn: &ReadTransaction, path: &Path, kind: &str) -> Result<Option<Label>, StoreError> {
    panic_is_damage(path, || read_label(txn, path, kind))
}

fn read_label(txn: &ReadTransaction, path: &Path, kind: &str) -> Result<Option<Label>, StoreError> {
    if txn.list_tables().db()?.next().is_none() {
        return Ok(None);
    }
    let foreign = |_| StoreError::Foreign { path: path.to_owned(), what: "a redb file with other tables".into() };
    let meta = txn.open_table(Meta::DEFINITION).map_err(foreign)?;
    check_format(&meta, path, kind)?;
    let store = match meta.get("store").db()? {
        Some(raw) => StoreId::from_bytes(labelled(raw.value(), path, "store")?),
        None => return Err(corrupted(path, "its id is missing")),
    };
    let head = meta.get("head").db()?.map(|raw| Head::unsealed(raw.value())).transpose()?;
    let (generation, marks) = match (kind, meta.get("generation").db()?) {
        (_, None) => (None, None),
        ("pouw-state", Some(raw)) => (Some(Generation::decode(&labelled(raw.value(), path, "generation")?)), None),
        (_, Some(raw)) => (None, Some(Marks::decode(&labelled(raw.value(), path, "generation")?))),
    };
    Ok(Some(Label { store, head, generation, marks }))
}

fn check_format(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    path: &Path,
    kind: &str,
) -> Result<(), StoreError> {
    let foreign = |what: String| Err(StoreError::Foreign { path: path.to_owned(), what });
    match meta.get("kind").db()? {
        None => return foreign("a redb file with other tables".into()),
        Some(found) if found.value() != kind.as_bytes() => {
            return foreign(format!("its kind is {}", String::from_utf8_lossy(found.value())));
        }
        Some(_) => {}
    }
    let format = match meta.get("format").db()? {
        Some(raw) => u32::from_le_bytes(fixed(raw.value(), path, "format")?),
        None => return Err(corrupted(path, "it has no format version")),
    };
    if format != FORMAT_VERSION {
        return Err(StoreError::FormatVersion { path: path.to_owned(), found: format, expected: FORMAT_VERSION });
    }
    Ok(())
}

/// A value of `meta-0` with its checksum.
pub(in crate::store) fn labelled<const N: usize>(bytes: &[u8], path: &Path, key: &str) -> Result<[u8; N], StoreError> {
    meta_bytes(key, bytes).map_err(|error| corrupted(path, &format!("`{key}`: {}", error.what)))
}

/// One without: `format`, of which only one value is accepted.
fn fixed<const N: usize>(bytes: &[u8], path: &Path, key: &str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| corrupted(path, &format!("`{key}` has {} bytes instead of {N}", bytes.len())))
}

pub(in crate::store) fn corrupted(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupted { path: path.to_owned(), what: what.to_owned() }
}
