//! A store in memory, for tests of what is above it: rules, reads and checks are those of the
//! product, over maps instead of files. It never fails, and no commit of it is lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::protocol::ClientDigest;
use crate::store::block_changes::BlockChanges;
use crate::store::check::{self, CheckReport};
use crate::store::command::Command;
use crate::store::command::outcome::Applied;
use crate::store::contract::{Dropped, Identity, Store};
use crate::store::copy::{BackupFailure, Copied, OnBackup};
use crate::store::error::{CommitFailure, StoreError};
use crate::store::mistakes::StoreMistake;
use crate::store::port::{RowsMut as _, Snapshot, Txn as _, View as _};
use crate::store::read::{
    ClientStretch, LeafSum, Leftovers, Reader, RowCursor, RowsVerified, StoredLeaves, due, leftover, sums, verify,
};
use crate::store::rows::{AccountRow, ClientRow, Head, SourceRow, StoreId, UsefulnessAccount};
use crate::store::rules::ledger::replay;
use crate::store::rules::state::WriterState;
use crate::store::rules::{blocks, run};
use crate::store::schema::{Blocks, Sources, Sums, TreeNumber};
use crate::store::storage::StorageProvider;

use super::tables::Tables;

/// Rows that outlive the stores opened on them, as files do.
#[derive(Clone, Default)]
pub struct MemoryDatabase(Arc<Stored>);

#[derive(Default)]
struct Stored {
    state: RwLock<Arc<Tables>>,
    blocks: RwLock<Arc<Tables>>,
    openings: AtomicU64,
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDatabase").finish_non_exhaustive()
    }
}

impl MemoryDatabase {
    /// One without a store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another one with the same rows.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = |half: &RwLock<Arc<Tables>>| RwLock::new(half.read().clone());
        let openings = AtomicU64::new(self.0.openings.load(Ordering::SeqCst));
        Self(Arc::new(Stored { state: copy(&self.0.state), blocks: copy(&self.0.blocks), openings }))
    }

    /// Opens the store in it, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if a row is damaged.
    pub fn open(&self) -> Result<MemoryStore, StoreError> {
        let boot = self.0.openings.fetch_add(1, Ordering::SeqCst);
        let mut state = self.0.state.write();
        if state.meta::<Head>()?.is_none() {
            Arc::make_mut(&mut state).put_meta(&Head::default())?;
        }
        let head = state.meta::<Head>()?.unwrap_or_default();
        let AccountRow(account) = state.meta()?.unwrap_or_default();
        let mut writer = WriterState { head, account, ..WriterState::default() };
        replay(&**state, &mut writer)?;
        drop(state);
        // Data of trees that never got their row.
        let next = writer.head.next_tree;
        let mut blocks = self.0.blocks.write();
        let rows = Arc::make_mut(&mut blocks);
        rows.extract(Blocks, (next, 0).., usize::MAX)?;
        rows.extract(Sources, (next, 0).., usize::MAX)?;
        rows.extract(Sums, (next, 0).., usize::MAX)?;
        drop(blocks);
        let identity = Identity { store: StoreId::from_bytes([0x5a; 16]), digest_key: [0xa5; 32], boot, copy_of: None };
        Ok(MemoryStore {
            database: self.clone(),
            next_tree: AtomicU64::new(writer.head.next_tree),
            writer: RwLock::new(writer),
            applying: Mutex::new(()),
            shut: AtomicBool::new(false),
            latched: OnceLock::new(),
            identity,
        })
    }

    /// Checks all rows, as `pouw check` does with those of files.
    ///
    /// # Errors
    /// [`StoreError`] if the row that all others are compared with is damaged.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let (state, blocks) = (self.0.state.read().clone(), self.0.blocks.read().clone());
        let Some(head) = state.meta::<Head>()? else { return Ok(CheckReport::default()) };
        check::rows(&*state, Some(&*blocks), head, CheckReport::default(), ROWS_AT_ONCE, &mut |_| {})
    }
}

/// Tile rows and clients that a check holds in memory: few, so that a small store takes several
/// runs.
const ROWS_AT_ONCE: usize = 4;

/// An open store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    database: MemoryDatabase,
    applying: Mutex<()>,
    writer: RwLock<WriterState>,
    next_tree: AtomicU64,
    shut: AtomicBool,
    latched: OnceLock<String>,
    identity: Identity,
}

/// A state of one of the two halves.
struct MemorySnapshot(Arc<Tables>);

impl Snapshot for MemorySnapshot {
    type View = Tables;

    fn look<T>(&self, with: impl FnOnce(&Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        with(&self.0)
    }
}

impl MemoryStore {
    fn state(&self) -> Result<MemorySnapshot, StoreError> {
        self.half(&self.database.0.state)
    }

    fn blocks(&self) -> Result<MemorySnapshot, StoreError> {
        self.half(&self.database.0.blocks)
    }

    fn half(&self, of: &RwLock<Arc<Tables>>) -> Result<MemorySnapshot, StoreError> {
        let open = !self.is_closed() && !self.shut.load(Ordering::SeqCst);
        if open { Ok(MemorySnapshot(of.read().clone())) } else { Err(StoreError::Closed) }
    }

    fn change_rows<T>(&self, with: impl FnOnce(&mut Tables) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.blocks()?;
        let mut blocks = self.database.0.blocks.write();
        let mut changed = (**blocks).clone();
        let out = with(&mut changed)?;
        *blocks = Arc::new(changed);
        Ok(out)
    }
}

impl Store for MemoryStore {
    fn is_read_only(&self) -> bool {
        false
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn is_closed(&self) -> bool {
        self.failure().is_some()
    }

    fn is_open(&self) -> bool {
        self.state().is_ok()
    }

    fn failure(&self) -> Option<&str> {
        self.latched.get().map(String::as_str)
    }

    fn latch(&self, why: String) {
        self.latched.get_or_init(|| why);
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn recover(&self) -> Result<u64, StoreError> {
        self.state()?;
        Ok(self.head().commit_seq)
    }

    fn close(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    fn file_bytes(&self) -> (u64, u64) {
        (0, 0)
    }

    fn apply(&self, commands: &[Command], now_ms: u64) -> Result<Applied, CommitFailure> {
        let _one = self.applying.lock();
        let mut changed = self.state().map_err(CommitFailure::RolledBack)?.0;
        let writer = self.writer.read();
        let (outcomes, effects) =
            run(Arc::make_mut(&mut changed), &writer, commands, now_ms).map_err(CommitFailure::RolledBack)?;
        drop(writer);
        let commit_seq = effects.head.commit_seq;
        *self.database.0.state.write() = changed;
        effects.merge_into(&mut self.writer.write());
        Ok(Applied { commit_seq, outcomes })
    }

    fn reserve_tree(&self) -> TreeNumber {
        self.next_tree.fetch_add(1, Ordering::Relaxed)
    }

    fn backup(&self, _: Arc<dyn StorageProvider>, _: OnBackup<'_>) -> Result<Copied, BackupFailure> {
        Err(BackupFailure::Source(StoreError::Io { what: "a store in memory has no backup".into() }))
    }

    fn read(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(self.state()?))
    }

    fn try_read(&self) -> Result<Option<Box<dyn Reader>>, StoreError> {
        self.read().map(Some)
    }

    fn head(&self) -> Head {
        self.writer.read().head.clone()
    }

    fn account(&self) -> UsefulnessAccount {
        self.writer.read().account
    }

    fn client(&self, client: ClientDigest) -> Result<ClientRow, StoreError> {
        let writer = self.writer.read();
        match writer.dirty.get(&client) {
            Some(row) => Ok(*row),
            None => Ok(self.state()?.client(client)?.unwrap_or_default()),
        }
    }

    fn dirty_clients(&self) -> usize {
        self.writer.read().dirty.len()
    }

    fn checkpoint_due(&self) -> bool {
        let writer = self.writer.read();
        writer.round.as_ref().is_some_and(|round| !round.is_through()) || !writer.dirty.is_empty()
    }

    fn idle_clients(&self, before_ms: u64, after: ClientDigest, limit: usize) -> Result<ClientStretch, StoreError> {
        let anchor = self.head().anchor;
        Ok(due::idle_clients(&self.state()?, anchor, after, limit)?.stretch(&self.writer.read(), before_ms))
    }

    fn verify_rows(&self, from: &RowCursor, max_cost: u64) -> Result<RowsVerified, StoreError> {
        verify::rows(|| self.state(), || self.blocks(), |walked| walked, from, max_cost)
    }

    fn change_blocks(&self, changes: &BlockChanges) -> Result<(), StoreError> {
        self.change_rows(|rows| blocks::change(rows, changes))
    }

    fn drop_blocks(&self, trees: &[TreeNumber], limit: usize) -> Result<Dropped, StoreError> {
        let (rows, through) = self.change_rows(|rows| blocks::remove(rows, trees, |_| false, limit))?;
        Ok(Dropped { rows, through, kept: Vec::new() })
    }

    fn leftovers(&self, from: TreeNumber, limit: usize) -> Result<Leftovers, StoreError> {
        let page = leftover::trees_with_data(&self.blocks()?, from, limit)?;
        leftover::of_no_tree(&self.state()?, page)
    }

    fn source(&self, tree: TreeNumber, leaf: u64) -> Result<Option<(u64, SourceRow)>, StoreError> {
        self.blocks()?.look(|rows| sums::source(rows, tree, leaf))
    }

    fn read_leaves(
        &self,
        tree: TreeNumber,
        first: u64,
        offset: u64,
        lengths: &[u64],
    ) -> Result<StoredLeaves, StoreError> {
        self.blocks()?.look(|rows| sums::read_leaves(rows, tree, first, offset, lengths))
    }

    fn leaf_sums(&self, tree: TreeNumber, first: u64, count: usize) -> Result<Vec<LeafSum>, StoreError> {
        self.blocks()?.look(|rows| sums::sums(rows, tree, first, count))
    }

    fn has_all_sums(&self, tree: TreeNumber, leaves: u64) -> Result<bool, StoreError> {
        self.blocks()?.look(|rows| sums::has_all_sums(rows, tree, leaves))
    }

    fn make(&self, mistake: StoreMistake) {
        self.writer.write().mistake = Some(mistake);
    }
}
