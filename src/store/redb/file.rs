//! One redb file: opens it, refuses foreign files, clears files whose creation was cut short.

use std::io::ErrorKind;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::Database;

use super::errors::io_error;
use super::overlay::Overlay;
use super::storage_for_redb::ForRedb;
use super::watched::{Failures, WatchedBackend};
use crate::guard::{self, Panicked};
use crate::store::error::StoreError;
use crate::store::storage::{StorageBackend, StorageProvider, StoreFile};

pub(in crate::store) fn open_file(
    provider: &dyn StorageProvider,
    file: StoreFile,
    cache_bytes: usize,
    failures: &Arc<Failures>,
) -> Result<Database, StoreError> {
    let path = provider.path(file);
    let backend = provider.open(file).map_err(|error| access_error(error, &path))?;
    inspect(&*backend, &path)?;
    let watched = WatchedBackend::new(backend, file, failures.clone());
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    panic_is_damage(&path, || {
        builder.create_with_backend(ForRedb(Box::new(watched))).map_err(|error| open_error(error, &path))
    })
}

/// Runs a walk over the pages of a file that is not verified yet. redb panics on some pages that
/// are damaged (it trusts what it reads until it verifies it): that is damage like any other, and
/// no end of the process.
pub(in crate::store) fn panic_is_damage<T>(
    path: &Path,
    walk: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    guard::contained(walk).unwrap_or_else(|Panicked(message)| {
        Err(StoreError::Corrupted { path: path.to_owned(), what: format!("redb gave up on a page ({message})") })
    })
}

/// Opens a file without changing it: redb's writes stay in memory. A file that is missing or was
/// cut short before its first commit is not an error. With `mend`, a file left by a crash is
/// repaired in memory.
pub(in crate::store) fn open_unchanged(
    provider: &dyn StorageProvider,
    file: StoreFile,
    cache_bytes: usize,
    mend: bool,
) -> Result<Seen, StoreError> {
    let path = provider.path(file);
    let backend = match provider.open_read_only(file) {
        Ok(backend) => backend,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Seen::NotCreated),
        Err(error) => return Err(access_error(error, &path)),
    };
    if is_not_created(&*backend, &path)? {
        return Ok(Seen::NotCreated);
    }
    let overlay = Overlay::new(backend).map_err(io_error)?;
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    if !mend {
        builder.set_repair_callback(redb::RepairSession::abort);
    }
    panic_is_damage(&path, || match builder.create_with_backend(ForRedb(Box::new(overlay))) {
        Ok(database) => Ok(Seen::Open(database)),
        Err(redb::DatabaseError::RepairAborted) => Ok(Seen::Unclean),
        Err(error) => Err(open_error(error, &path)),
    })
}

/// The state of a file that was opened without changing it.
pub(in crate::store) enum Seen {
    /// Missing, empty, or cut short before its first commit.
    NotCreated,
    /// A crash left it for redb to repair, and no repair was requested.
    Unclean,
    /// A database whose changes stay in memory.
    Open(Database),
}

/// Why a file could not be opened at all.
fn access_error(error: std::io::Error, path: &Path) -> StoreError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::NoAccess { path: path.to_owned(), what: error.to_string() }
        }
        _ => io_error(error),
    }
}

fn open_error(error: redb::DatabaseError, path: &Path) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::AlreadyOpen { path },
        redb::DatabaseError::UpgradeRequired(version) => {
            StoreError::Foreign { path, what: format!("redb file format {version}") }
        }
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(what)) => StoreError::Corrupted { path, what },
        redb::DatabaseError::Storage(redb::StorageError::Io(e))
            if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::Corrupted { path, what: e.to_string() }
        }
        other => StoreError::Io { what: format!("{}: {other}", path.display()) },
    }
}

/// First bytes of every redb file.
const REDB_MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

/// Refuses a file of something else before redb touches it, and clears one whose creation was cut
/// short before its first commit.
fn inspect(backend: &dyn StorageBackend, path: &Path) -> Result<(), StoreError> {
    while_alone(backend, path, || {
        if looks_not_created(backend, path)? && backend.len().map_err(io_error)? > 0 {
            return backend.set_len(0).map_err(io_error);
        }
        Ok(())
    })
}

/// Whether the file is empty, or redb was cut short before its first commit: redb makes the file
/// its first size, writes a header without magic number, and adds that when the header is synced. A
/// file of something else is refused.
pub(in crate::store) fn is_not_created(backend: &dyn StorageBackend, path: &Path) -> Result<bool, StoreError> {
    while_alone(backend, path, || looks_not_created(backend, path))
}

/// Looks at a file under redb's own lock: a file that another process is making looks cut short,
/// and clearing it then would be the end of that store.
fn while_alone<T>(
    backend: &dyn StorageBackend,
    path: &Path,
    look: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let locked = match backend.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(true) => true,
        Ok(false) => return Err(StoreError::AlreadyOpen { path: path.to_owned() }),
        // Storage without locks.
        Err(error) if error.kind() == ErrorKind::Unsupported => false,
        Err(error) => return Err(io_error(error)),
    };
    let seen = look();
    if locked {
        backend.unlock_range(Bound::Unbounded, Bound::Unbounded).map_err(io_error)?;
    }
    seen
}

fn looks_not_created(backend: &dyn StorageBackend, path: &Path) -> Result<bool, StoreError> {
    let len = backend.len().map_err(io_error)?;
    if len == 0 {
        return Ok(true);
    }
    let mut header = vec![0; len.min(HEADER_PAGE) as usize];
    backend.read(0, &mut header).map_err(io_error)?;
    if header.starts_with(&REDB_MAGIC) {
        return Ok(false);
    }
    if len <= NOT_CREATED_MAX && is_unfinished_header(&header) {
        let mut rest = vec![0; len.saturating_sub(HEADER_PAGE) as usize];
        backend.read(header.len() as u64, &mut rest).map_err(io_error)?;
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
    }
    Err(StoreError::Foreign { path: path.to_owned(), what: "it does not start with the redb header".into() })
}

/// redb's header as far as it got: bytes that are zero or what belongs there. The two commit slots
/// carry checksums of their own and may be torn anywhere.
fn is_unfinished_header(page: &[u8]) -> bool {
    let part_of = |from: usize, whole: &[u8]| {
        page.iter().skip(from).zip(whole).all(|(found, expected)| *found == 0 || found == expected)
    };
    part_of(0, &REDB_MAGIC)
        && part_of(10, &[0, 0])
        && part_of(12, &(HEADER_PAGE as u32).to_le_bytes())
        && page.iter().skip(320).all(|byte| *byte == 0)
}

/// The page that holds redb's header: 320 bytes, then zeroes.
const HEADER_PAGE: u64 = 4_096;
/// A file of redb's is smaller than this before its first commit, bytes.
const NOT_CREATED_MAX: u64 = 16 << 20;
