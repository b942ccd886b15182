//! Failures of redb in the words of the store.

use std::path::PathBuf;

use crate::store::error::StoreError;

/// An answer of redb as one of the store. A trait of the crate and no `From`, so that no type of
/// redb is part of the public interface.
pub(in crate::store) trait DbResult<T> {
    /// The value, or the failure in the words of the store.
    fn db(self) -> Result<T, StoreError>;
}

/// What a transaction of the store's own returns is in these words already.
impl<T> DbResult<T> for Result<T, StoreError> {
    fn db(self) -> Result<T, StoreError> {
        self
    }
}

impl<T> DbResult<T> for Result<T, redb::StorageError> {
    fn db(self) -> Result<T, StoreError> {
        self.map_err(of_storage)
    }
}

impl<T> DbResult<T> for Result<T, redb::TableError> {
    fn db(self) -> Result<T, StoreError> {
        self.map_err(of_table)
    }
}

impl<T> DbResult<T> for Result<T, redb::TransactionError> {
    fn db(self) -> Result<T, StoreError> {
        self.map_err(|error| match error {
            redb::TransactionError::Storage(storage) => of_storage(storage),
            other => StoreError::Io { what: other.to_string() },
        })
    }
}

impl<T> DbResult<T> for Result<T, redb::CommitError> {
    fn db(self) -> Result<T, StoreError> {
        self.map_err(of_commit)
    }
}

pub(in crate::store) fn of_storage(error: redb::StorageError) -> StoreError {
    match error {
        redb::StorageError::Corrupted(what) => StoreError::Corrupted { path: PathBuf::from("the store"), what },
        redb::StorageError::DatabaseClosed => StoreError::Closed,
        other => StoreError::Io { what: other.to_string() },
    }
}

pub(in crate::store) fn of_table(error: redb::TableError) -> StoreError {
    match error {
        redb::TableError::Storage(storage) => of_storage(storage),
        other => StoreError::Corrupted { path: PathBuf::from("the store"), what: other.to_string() },
    }
}

pub(in crate::store) fn of_commit(error: redb::CommitError) -> StoreError {
    match error {
        redb::CommitError::Storage(storage) => of_storage(storage),
        other => StoreError::Io { what: other.to_string() },
    }
}

pub(in crate::store) fn io_error(error: std::io::Error) -> StoreError {
    StoreError::Io { what: error.to_string() }
}
