//! The offline check of a directory, and mending it. They need no secret, and no engine.

use std::path::Path;
use std::sync::Arc;

use crate::store::{self, CheckReport, MendReport, OnCheck, StorageProvider, StoreDirectory, StoreFile, StoreOptions};

use super::error::OpenError;
use super::handle::PouwEngine;

impl PouwEngine {
    /// Checks the store in the directory `path`, which must not be open: every row of both files is
    /// read and compared with the others. Nothing is written, so the directory may be read-only.
    ///
    /// # Errors
    /// [`OpenError::Directory`] if there is no store; [`OpenError::Store`] for a foreign file,
    /// another format, a second process, or reads that fail. Rows that do not fit are findings
    /// in the report, not errors.
    pub fn check_store(path: impl AsRef<Path>, progress: OnCheck<'_>) -> Result<CheckReport, OpenError> {
        Ok(store::check(Arc::new(existing(path.as_ref())?), progress)?)
    }

    /// Mends the store in the directory `path`, which must not be open: removes block data and rows
    /// that belong to no tree, finishes removals that stopped, writes rows again that follow from
    /// others, and fits the sums. With `dry_run` it only says what it would do, and writes nothing.
    /// It can be interrupted and repeated. What else a check finds is mended by ingesting the same
    /// content again, or only a backup has it.
    ///
    /// # Errors
    /// As for [`check_store`](Self::check_store). A damaged row that is met is an error too.
    pub fn repair_store(path: impl AsRef<Path>, dry_run: bool) -> Result<MendReport, OpenError> {
        Ok(store::mend(Arc::new(existing(path.as_ref())?), StoreOptions::default(), dry_run)?)
    }
}

/// The directory, if it has a state file.
fn existing(path: &Path) -> Result<StoreDirectory, OpenError> {
    let storage = StoreDirectory::new(path);
    if !storage.path(StoreFile::State).is_file() {
        let what = "there is no state.redb in it".to_owned();
        return Err(OpenError::Directory { path: path.to_owned(), what });
    }
    Ok(storage)
}
