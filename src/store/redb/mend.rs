//! Opening a store to be mended.

use std::sync::Arc;

use super::open::RedbStore;
use super::options::StoreOptions;
use crate::store::error::StoreError;
use crate::store::mend::{MendReport, run};
use crate::store::storage::StorageProvider;

/// Mends the closed store behind `provider`. A dry run opens it to be read only.
///
/// # Errors
/// As for [`RedbStore::open`] and [`RedbStore::open_read_only`]; [`StoreError`] if the storage
/// fails or a row is damaged.
pub fn mend(
    provider: Arc<dyn StorageProvider>,
    options: StoreOptions,
    dry_run: bool,
) -> Result<MendReport, StoreError> {
    let open = if dry_run { RedbStore::open_read_only } else { RedbStore::open };
    let store = open(provider, options)?;
    let report = run(&store, &|| store.snapshot(), dry_run)?;
    store.close();
    Ok(report)
}
