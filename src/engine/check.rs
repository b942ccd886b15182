//! The offline check of a directory. It needs no secret, and no engine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::{self, CheckReport, OnCheck, StorageBackend, StorageProvider, StoreDirectory, StoreFile};

use super::PouwEngine;
use super::error::OpenError;

impl PouwEngine {
    /// Checks the store in the directory `path`, which must not be open: every row of both files is
    /// read and compared with the others. Nothing is changed.
    ///
    /// # Errors
    /// [`OpenError::Directory`] if there is no store; [`OpenError::Store`] for a foreign file,
    /// another format, a second process, or reads that fail. Rows that do not fit are findings
    /// in the report, not errors.
    pub fn check_store(path: impl AsRef<Path>, progress: OnCheck<'_>) -> Result<CheckReport, OpenError> {
        let path = path.as_ref();
        let existing = Existing(StoreDirectory::new(path));
        let state = existing.path(StoreFile::State);
        if !state.is_file() {
            let what = "there is no state.redb in it".to_owned();
            return Err(OpenError::Directory { path: path.to_owned(), what });
        }
        Ok(store::check(Arc::new(existing), progress)?)
    }
}

/// A directory in which nothing is made.
#[derive(Debug)]
struct Existing(StoreDirectory);

impl StorageProvider for Existing {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        std::fs::metadata(self.path(file))?;
        self.0.open(file)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.0.path(file)
    }
}
