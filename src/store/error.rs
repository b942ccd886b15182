//! What can go wrong with storage.

use std::path::PathBuf;

use super::records::RecordError;

/// A failure of the store. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is no redb database, or a redb database of something else.
    #[error("{path} is not a pouw store ({what}); name another directory, nothing in it was changed")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        what: String,
    },
    /// The file was written by a build with another layout.
    #[error(
        "{path} has store format {found}, this build reads {expected}; open it with the build that wrote it, or ingest into a new directory"
    )]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version of this build.
        expected: u32,
    },
    /// Another process (or another engine of this one) has the store open.
    #[error("{path} is open in another process; stop that one first, a store has one owner at a time")]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The bytes contradict themselves.
    #[error("{path} is damaged: {what}; restore it from a backup, or ingest again into a new directory")]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A row does not decode.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The operating system refused.
    #[error("storage failed: {what}; free space or mend the disk, then try again")]
    Io {
        /// What the operating system said.
        what: String,
    },
    /// The store gave up: a sync failed, so what is on the disk is not known.
    #[error("the store is closed after a failed sync; restart the process, what was acknowledged is kept")]
    Closed,
    /// A row would refer to something that is not there.
    #[error("the store contradicts itself: {what}; run `check`")]
    Contradiction {
        /// What was missing or twice there.
        what: String,
    },
}

impl StoreError {
    /// Whether the failure is about one row, and the rest of the store can go on.
    pub fn is_one_row(&self) -> bool {
        matches!(self, Self::Record(_) | Self::Contradiction { .. })
    }

    /// Whether the same call can succeed later: the operating system refused it, or another process has the store
    /// open.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::AlreadyOpen { .. })
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Corrupted(what) => Self::Corrupted { path: PathBuf::from("the store"), what },
            redb::StorageError::DatabaseClosed => Self::Closed,
            other => Self::Io { what: other.to_string() },
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(storage) => storage.into(),
            other => Self::Corrupted { path: PathBuf::from("the store"), what: other.to_string() },
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(storage) => storage.into(),
            other => Self::Io { what: other.to_string() },
        }
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(storage) => storage.into(),
            other => Self::Io { what: other.to_string() },
        }
    }
}

/// Why a batch was not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitFailure {
    /// Nothing of the batch is stored; it may be sent again.
    #[error("rolled back: {0}")]
    RolledBack(StoreError),
    /// The batch may or may not be stored; only a look at the store tells.
    #[error("outcome of commit {commit_seq} unknown: {error}")]
    Unknown {
        /// The sequence number the batch would have.
        commit_seq: u64,
        /// What the batch did, if it is stored.
        outcomes: Vec<super::commands::Outcome>,
        /// What failed.
        error: StoreError,
    },
}
