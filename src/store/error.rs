//! What can go wrong with storage.

use std::path::PathBuf;

use crate::store::rows::RowError;

/// A failure of the store. The text of each says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not a redb database, or it is one of another program.
    #[error("{path} is not a pouw store ({what}); name another directory (this one was not changed)")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The contradicting detail.
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
    #[error("{path} is already open; only one process can use a store, so stop the other one first")]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {what}; restore it from a backup, or ingest again into a new directory")]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The two files are of one store, but of different days or copies.
    #[error("{blocks} does not belong to the state.redb beside it: {what}; restore both files from the same backup")]
    NotAPair {
        /// The block file.
        blocks: PathBuf,
        /// What contradicts that they belong together.
        what: String,
    },
    /// A row does not decode.
    #[error("a row of table {table} is damaged: {what}; run `pouw check`, then restore the store from a backup")]
    Record {
        /// The row's table.
        table: &'static str,
        /// The reason.
        what: String,
    },
    /// There is no store, and one that is only read is not made.
    #[error("{path} is missing or empty, and a store that is only read is not made; check the path")]
    NotCreated {
        /// The file.
        path: PathBuf,
    },
    /// The operating system allows no access to the file.
    #[error("{path}: {what}; make the file and its directory readable, and writable unless the store is only read")]
    NoAccess {
        /// The file.
        path: PathBuf,
        /// The message of the operating system.
        what: String,
    },
    /// The store was opened to be read only. Nothing was written.
    #[error("the store was opened to be read only; open it for writing, on a medium that can be written")]
    ReadOnly,
    /// The operating system reported an error.
    #[error("storage error: {what}; free disk space or repair the disk, then retry")]
    Io {
        /// The message of the operating system.
        what: String,
    },
    /// A sync failed or a page is damaged, so the content of the disk is unknown; the store is
    /// closed.
    #[error("the store is closed after a failure; restart the process (acknowledged work is kept)")]
    Closed,
    /// A row is missing, or two rows disagree.
    #[error("inconsistent store: {what}; run `pouw check`")]
    Contradiction {
        /// The missing or disagreeing row.
        what: String,
    },
}

impl StoreError {
    /// Whether the failure concerns one row, and the rest of the store is usable.
    pub(crate) fn is_one_row(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Contradiction { .. })
    }

    /// Whether the failure concerns the place that was read, one row or page, and not the storage.
    pub(crate) fn is_of_the_place(&self) -> bool {
        self.is_one_row() || matches!(self, Self::Corrupted { .. })
    }

    /// Whether the content of a file is to blame, so that opening it again cannot help.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::FormatVersion { .. } | Self::Corrupted { .. } => true,
            Self::Record { .. } | Self::Contradiction { .. } | Self::NotAPair { .. } => true,
            Self::AlreadyOpen { .. } | Self::Io { .. } | Self::Closed => false,
            Self::NotCreated { .. } | Self::NoAccess { .. } | Self::ReadOnly => false,
        }
    }

    /// Whether the same call can succeed later: the operating system refused it, or another process
    /// has the store open.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::AlreadyOpen { .. })
    }
}

/// For the store, which alone knows rows.
#[doc(hidden)]
impl From<RowError> for StoreError {
    fn from(RowError { table, what }: RowError) -> Self {
        Self::Record { table, what }
    }
}

/// Why a batch was not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitFailure {
    /// Nothing of the batch is stored; it can be sent again.
    #[error("rolled back: {0}")]
    RolledBack(StoreError),
    /// The batch may or may not be stored; only a read of the store shows which.
    #[error("outcome of commit {commit_seq} unknown: {error}")]
    Unknown {
        /// The sequence number the batch would have.
        commit_seq: u64,
        /// What the batch did, if it is stored.
        outcomes: Vec<crate::store::command::outcome::Outcome>,
        /// What failed.
        error: StoreError,
    },
}
