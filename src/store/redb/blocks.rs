//! Writing block data: a file of its own, so that a big ingest never sits in front of an answer.

use super::open::RedbStore;
use super::transaction::{NotCommitted, NotWritten};
use super::view::RedbTxn;
use crate::store::error::StoreError;

impl RedbStore {
    /// Changes rows of the block file in one durable transaction. `with` returns whether there is
    /// anything to commit.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged. After a panic of redb's the store
    /// stays closed.
    pub(super) fn with_blocks<T>(
        &self,
        with: impl FnOnce(&mut RedbTxn<'_>) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        let broken = |error: StoreError| {
            self.latch(error.to_string());
            error
        };
        let rolled_back = |not: NotWritten| match not {
            NotWritten::RolledBack(error) => error,
            NotWritten::Broken(error) => broken(error),
        };
        let _alone = self.changing_blocks.lock();
        let database = self.blocks_db()?;
        let txn = database.begin_write(true).map_err(rolled_back)?;
        let (txn, (out, changed)) = txn.change(|txn| with(&mut RedbTxn::of(txn))).map_err(rolled_back)?;
        if changed {
            txn.commit().map_err(|not| match not {
                NotCommitted::RolledBack(error) | NotCommitted::Unknown(error) => error,
                NotCommitted::Broken(error) => broken(error),
            })?;
        } else {
            txn.abandon().map_err(broken)?;
        }
        Ok(out)
    }
}
