//! The store in two redb files, as the engine has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::open::RedbStore;
use super::snapshot::RedbSnapshot;
use crate::protocol::ClientDigest;
use crate::store::block_changes::BlockChanges;
use crate::store::command::Command;
use crate::store::command::outcome::Applied;
use crate::store::contract::{Dropped, Identity, Store};
use crate::store::copy::{BackupFailure, Copied, OnBackup};
use crate::store::error::{CommitFailure, StoreError};
#[cfg(feature = "testing")]
use crate::store::mistakes::StoreMistake;
use crate::store::port::Snapshot;
use crate::store::read::{
    ClientStretch, LeafSum, Leftovers, Reader, RowCursor, RowsVerified, StoredLeaves, due, leftover, sums, verify,
};
use crate::store::rows::{ClientRow, Head, SourceRow, UsefulnessAccount};
use crate::store::rules::blocks::change;
use crate::store::schema::TreeNumber;
use crate::store::storage::{StorageProvider, StoreFile};

/// Changed client rows at which a checkpoint begins.
const DIRTY_CLIENTS: usize = 32_768;
/// Ledger entries behind the last checkpoint at which one begins: what an open has to replay.
const ENTRIES_BEHIND: u64 = 65_536;

impl RedbStore {
    /// The state after the newest commit.
    pub(super) fn snapshot(&self) -> Result<RedbSnapshot, StoreError> {
        self.state_db()?.begin_read()
    }

    /// The newest block data. A failure is remembered: the file is opened again then.
    fn look_at_blocks<T>(&self, with: impl FnOnce(&RedbSnapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let look = || with(&self.blocks_db()?.begin_read()?);
        self.blocks_used(look())
    }

    #[cfg(feature = "testing")]
    fn believed(&self, damaged: u32) -> u32 {
        if self.options.makes(StoreMistake::SumsNotCompared) { 0 } else { damaged }
    }

    #[cfg(not(feature = "testing"))]
    fn believed(&self, damaged: u32) -> u32 {
        damaged
    }
}

impl Store for RedbStore {
    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn is_closed(&self) -> bool {
        self.is_latched()
    }

    fn is_open(&self) -> bool {
        let shut = self.is_latched() || self.shut.load(Ordering::SeqCst) || self.has_failed();
        !shut && self.state.try_read().is_some_and(|state| state.is_some())
    }

    fn failure(&self) -> Option<&str> {
        self.failures.latched.get().map(String::as_str)
    }

    fn latch(&self, why: String) {
        RedbStore::latch(self, why);
    }

    fn has_failed(&self) -> bool {
        self.failures.state.load(Ordering::SeqCst)
    }

    fn recover(&self) -> Result<u64, StoreError> {
        RedbStore::recover(self)
    }

    fn close(&self) {
        RedbStore::close(self);
    }

    fn file_bytes(&self) -> (u64, u64) {
        let len = |file| std::fs::metadata(self.path(file)).map(|m| m.len()).unwrap_or(0);
        (len(StoreFile::State), len(StoreFile::Blocks))
    }

    fn apply(&self, commands: &[Command], now_ms: u64) -> Result<Applied, CommitFailure> {
        RedbStore::apply(self, commands, now_ms)
    }

    fn reserve_tree(&self) -> TreeNumber {
        self.next_tree.fetch_add(1, Ordering::Relaxed)
    }

    fn backup(&self, to: Arc<dyn StorageProvider>, progress: OnBackup<'_>) -> Result<Copied, BackupFailure> {
        RedbStore::backup(self, to, progress)
    }

    fn read(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.snapshot()?))
    }

    fn try_read(&self) -> Result<Option<Box<dyn Reader>>, StoreError> {
        let Some(database) = self.try_state_db()? else { return Ok(None) };
        Ok(Some(Box::new(database.begin_read()?)))
    }

    fn head(&self) -> Head {
        self.writer.read().head.clone()
    }

    fn account(&self) -> UsefulnessAccount {
        self.writer.read().account
    }

    fn client(&self, client: ClientDigest) -> Result<ClientRow, StoreError> {
        if let Some(row) = self.writer.read().dirty.get(&client) {
            return Ok(*row);
        }
        let stored = self.snapshot()?.client(client)?;
        // A row may have become dirty in between; it is newer then.
        Ok(self.writer.read().dirty.get(&client).copied().or(stored).unwrap_or_default())
    }

    fn dirty_clients(&self) -> usize {
        self.writer.read().dirty.len()
    }

    fn checkpoint_due(&self) -> bool {
        let writer = self.writer.read();
        let behind = writer.head.next_ledger.saturating_sub(writer.head.checkpoint);
        writer.round.as_ref().is_some_and(|round| !round.is_through())
            || writer.dirty.len() >= DIRTY_CLIENTS
            || behind >= ENTRIES_BEHIND
    }

    fn idle_clients(&self, before_ms: u64, after: ClientDigest, limit: usize) -> Result<ClientStretch, StoreError> {
        let anchor = self.head().anchor;
        let stored = due::idle_clients(&self.snapshot()?, anchor, after, limit)?;
        // Not while the disk is read: a commit waits for this lock.
        Ok(stored.stretch(&self.writer.read(), before_ms))
    }

    fn verify_rows(&self, from: &RowCursor, max_cost: u64) -> Result<RowsVerified, StoreError> {
        let blocks = || self.blocks_db()?.begin_read();
        verify::rows(|| self.snapshot(), blocks, |walked| self.blocks_used(walked), from, max_cost)
    }

    fn change_blocks(&self, changes: &BlockChanges) -> Result<(), StoreError> {
        let changed = self.with_blocks(|rows| {
            change(rows, changes)?;
            Ok(((), true))
        });
        self.blocks_used(changed)
    }

    fn drop_blocks(&self, trees: &[TreeNumber], limit: usize) -> Result<Dropped, StoreError> {
        RedbStore::drop_blocks(self, trees, limit)
    }

    fn leftovers(&self, from: TreeNumber, limit: usize) -> Result<Leftovers, StoreError> {
        // Not under the lock of the file: a file that failed is opened again meanwhile.
        let page = || {
            let blocks = self.blocks_db()?.begin_read()?;
            leftover::trees_with_data(&blocks, from, limit)
        };
        let page = self.blocks_used(page())?;
        leftover::of_no_tree(&self.snapshot()?, page)
    }

    fn source(&self, tree: TreeNumber, leaf: u64) -> Result<Option<(u64, SourceRow)>, StoreError> {
        self.look_at_blocks(|blocks| blocks.look(|rows| sums::source(rows, tree, leaf)))
    }

    fn read_leaves(
        &self,
        tree: TreeNumber,
        first: u64,
        offset: u64,
        lengths: &[u64],
    ) -> Result<StoredLeaves, StoreError> {
        let mut read =
            self.look_at_blocks(|blocks| blocks.look(|rows| sums::read_leaves(rows, tree, first, offset, lengths)))?;
        read.damaged = self.believed(read.damaged);
        Ok(read)
    }

    fn differing(&self, tree: TreeNumber, first: u64, lengths: &[u64], bytes: &[u8]) -> Result<u32, StoreError> {
        Ok(self.believed(sums::compare(tree, first, lengths, bytes, &self.leaf_sums(tree, first, lengths.len())?)))
    }

    fn leaf_sums(&self, tree: TreeNumber, first: u64, count: usize) -> Result<Vec<LeafSum>, StoreError> {
        self.look_at_blocks(|blocks| blocks.look(|rows| sums::sums(rows, tree, first, count)))
    }

    fn has_all_sums(&self, tree: TreeNumber, leaves: u64) -> Result<bool, StoreError> {
        self.look_at_blocks(|blocks| blocks.look(|rows| sums::has_all_sums(rows, tree, leaves)))
    }

    #[cfg(feature = "testing")]
    fn make(&self, mistake: StoreMistake) {
        self.writer.write().mistake = Some(mistake);
    }
}
