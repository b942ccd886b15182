//! What tests use of the engine: planted mistakes, and a second entry to a backup.

use std::sync::Arc;

use crate::store::{BackupFailure, Copied, OnBackup, StorageProvider};

use super::handle::PouwEngine;
pub use super::mistake::{FORESEEN, Mistake, SplitMix64};

/// Copies the store of an engine to any empty storage, as a backup does.
///
/// # Errors
/// [`BackupFailure`].
pub fn backup_to(
    engine: &PouwEngine,
    to: Arc<dyn StorageProvider>,
    progress: OnBackup<'_>,
) -> Result<Copied, BackupFailure> {
    engine.core().store.backup(to, progress)
}
