//! What a backup reports.

use std::ops::ControlFlow;

use super::error::StoreError;
use super::rows::StoreId;
use super::storage::StoreFile;

/// Progress of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Rows copied.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Called after every few MiB; [`ControlFlow::Break`] cancels the backup.
pub type OnBackup<'p> = &'p mut dyn FnMut(&BackupProgress) -> ControlFlow<()>;

/// The finished copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Rows and bytes.
    pub done: BackupProgress,
    /// The last commit that is in it.
    pub commit_seq: u64,
    /// Id of the copy.
    pub store: StoreId,
}

/// Why there is no copy.
#[derive(Debug)]
pub enum BackupFailure {
    /// The destination holds a store, or part of one.
    NotEmpty(StoreFile),
    /// The callback cancelled it.
    Cancelled,
    /// The callback panicked.
    Panicked,
    /// Reading the store failed.
    Source(StoreError),
    /// Writing the copy failed.
    Copy(StoreError),
}
