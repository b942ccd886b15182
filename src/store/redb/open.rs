//! Opening, reopening and closing the two files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::Database;

use super::file::{open_file, panic_is_damage};
use super::generation::Marks;
use super::identity::{Label, Pair, open_pair, see_file, see_pair};
use super::init::{init_blocks, init_state, load_writer, settle_marks, sync_names};
use super::options::StoreOptions;
use super::snapshot::OpenDatabase;
use super::transaction::{kept_in, let_go};
use super::watched::Failures;
use crate::store::contract::Identity;
use crate::store::error::StoreError;
#[cfg(feature = "testing")]
use crate::store::mistakes::StoreMistake;
use crate::store::rules::state::WriterState;
use crate::store::storage::{StorageProvider, StoreFile};

/// The two files of one engine. Reads may run beside the one writer.
#[derive(Debug)]
pub struct RedbStore {
    provider: Arc<dyn StorageProvider>,
    pub(in crate::store) options: StoreOptions,
    pub(super) failures: Arc<Failures>,
    pub(super) state: RwLock<Option<Database>>,
    blocks: RwLock<Option<Database>>,
    /// redb refuses a file after an I/O error; the block file is reopened then.
    blocks_failed: AtomicBool,
    /// One writer of block data at a time, so that none waits within redb, where it would wait for
    /// ever for one that panicked. Taken before either file.
    pub(in crate::store) changing_blocks: Mutex<()>,
    /// How often a file was opened again.
    reopened: AtomicU64,
    /// `close` was called.
    pub(super) shut: AtomicBool,
    /// Both files are views: what redb writes stays in memory, and nothing else is written.
    pub(super) read_only: bool,
    /// One batch at a time.
    pub(in crate::store) applying: Mutex<()>,
    /// Read while a batch runs, written for a moment when it is durable: looking never waits for a
    /// disk.
    pub(in crate::store) writer: RwLock<WriterState>,
    pub(super) next_tree: AtomicU64,
    pub(super) identity: Identity,
}

impl RedbStore {
    /// Opens the store behind `provider`, and creates it if both files are empty.
    ///
    /// # Errors
    /// [`StoreError`] for a foreign or damaged file, another format, a second owner, or a failure
    /// of the storage.
    pub fn open(provider: Arc<dyn StorageProvider>, options: StoreOptions) -> Result<Self, StoreError> {
        let failures = Arc::<Failures>::default();
        let Pair { state, blocks, label } = open_pair(&*provider, &options, &failures)?;
        let (state_path, blocks_path) = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
        let before = label.as_ref().and_then(|label| label.generation).unwrap_or_default();
        let now = before.next()?;
        let marks = Marks { before: if label.is_some() { before } else { now }, now };
        // The block file of a store gets the new mark first: see `generation`.
        if let Some(Label { store, head: Some(head), .. }) = &label {
            let unused_from = head.next_tree;
            #[cfg(feature = "testing")]
            let unused_from = if options.makes(StoreMistake::OrphansStay) { u64::MAX } else { unused_from };
            panic_is_damage(&blocks_path, || init_blocks(&blocks, *store, unused_from, Some(marks)))?;
        }
        let identity = panic_is_damage(&state_path, || init_state(&state, &state_path, Some(marks.now)))?;
        let writer = panic_is_damage(&state_path, || load_writer(&state))?;
        match label {
            Some(_) => panic_is_damage(&blocks_path, || settle_marks(&blocks, marks.now))?,
            None => panic_is_damage(&blocks_path, || init_blocks(&blocks, identity.store, 0, Some(marks)))?,
        }
        sync_names(&*provider, &options)?;
        Ok(Self::of(provider, options, failures, (state, blocks), (writer, identity), false))
    }

    /// Opens the store behind `provider` to be read. Nothing is written or made, whatever state the
    /// files are in: what redb has to write to open them, repairs after a crash too, stays in
    /// memory, about as much as was changed. Everything that would write is
    /// [`StoreError::ReadOnly`]. Several such stores may be open at once, but none beside one that
    /// may write.
    ///
    /// # Errors
    /// [`StoreError::NotCreated`] if there is no store; else as for [`open`](Self::open).
    pub fn open_read_only(provider: Arc<dyn StorageProvider>, options: StoreOptions) -> Result<Self, StoreError> {
        let Pair { state, blocks, .. } = see_pair(&*provider, &options)?;
        let (state_path, blocks_path) = (provider.path(StoreFile::State), provider.path(StoreFile::Blocks));
        // Tables that an older build did not make, in memory.
        let identity = panic_is_damage(&state_path, || init_state(&state, &state_path, None))?;
        let writer = panic_is_damage(&state_path, || load_writer(&state))?;
        panic_is_damage(&blocks_path, || init_blocks(&blocks, identity.store, u64::MAX, None))?;
        Ok(Self::of(provider, options, Arc::default(), (state, blocks), (writer, identity), true))
    }

    fn of(
        provider: Arc<dyn StorageProvider>,
        options: StoreOptions,
        failures: Arc<Failures>,
        (state, blocks): (Database, Database),
        (writer, identity): (WriterState, Identity),
        read_only: bool,
    ) -> Self {
        Self {
            provider,
            options,
            failures,
            state: RwLock::new(Some(state)),
            blocks: RwLock::new(Some(blocks)),
            blocks_failed: AtomicBool::new(false),
            changing_blocks: Mutex::new(()),
            reopened: AtomicU64::new(0),
            shut: AtomicBool::new(false),
            read_only,
            next_tree: AtomicU64::new(writer.head.next_tree),
            applying: Mutex::new(()),
            writer: RwLock::new(writer),
            identity,
        }
    }

    /// Whether a sync has failed, or a write met a damaged page.
    pub(super) fn is_latched(&self) -> bool {
        self.failures.latched.get().is_some()
    }

    /// See `Store::latch`.
    pub(super) fn latch(&self, why: String) {
        self.failures.latched.get_or_init(|| why);
    }

    /// How often a file was opened again: a snapshot from before may show pages written since.
    pub(in crate::store) fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::SeqCst)
    }

    /// A commit went through, so the state file is good: an earlier failure was of a handle that is
    /// closed by now.
    pub(in crate::store) fn has_written(&self) {
        self.failures.state.store(false, Ordering::SeqCst);
    }

    /// See `Store::recover`.
    pub(super) fn recover(&self) -> Result<u64, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly);
        }
        if self.is_latched() {
            self.close();
            return Err(StoreError::Closed);
        }
        let opened = kept_in(StoreFile::State, || self.open_again());
        if let Err(error) = &opened
            && error.is_damage()
        {
            self.latch(error.to_string());
        }
        opened
    }

    fn open_again(&self) -> Result<u64, StoreError> {
        let mut state = self.state.write();
        let mut blocks = self.blocks.write();
        self.reopened.fetch_add(1, Ordering::SeqCst);
        let_go(state.take());
        let_go(blocks.take());
        let fresh_state = open_file(&*self.provider, StoreFile::State, self.options.state_cache_bytes, &self.failures)?;
        let fresh_blocks =
            open_file(&*self.provider, StoreFile::Blocks, self.options.blocks_cache_bytes, &self.failures)?;
        let writer = load_writer(&fresh_state)?;
        let seq = writer.head.commit_seq;
        let acknowledged = self.writer.read().head.commit_seq;
        if seq < acknowledged {
            // redb goes back to an older commit if a page of the newest one is damaged.
            let what = format!("it ends at commit {seq}, but commit {acknowledged} was acknowledged");
            return Err(StoreError::Corrupted { path: self.path(StoreFile::State), what });
        }
        *self.writer.write() = writer;
        *state = Some(fresh_state);
        *blocks = Some(fresh_blocks);
        self.blocks_failed.store(false, Ordering::SeqCst);
        Ok(seq)
    }

    /// See `Store::close`.
    pub(super) fn close(&self) {
        self.shut.store(true, Ordering::SeqCst);
        let_go(self.state.write().take());
        let_go(self.blocks.write().take());
    }

    /// The path of a file, for messages.
    pub(in crate::store) fn path(&self, file: StoreFile) -> PathBuf {
        self.provider.path(file)
    }

    pub(in crate::store) fn state_db(&self) -> Result<OpenDatabase<'_>, StoreError> {
        self.open_at_all()?;
        OpenDatabase::of(&self.state, StoreFile::State, self.read_only)
    }

    /// Whether both files are open, or may be again.
    fn open_at_all(&self) -> Result<(), StoreError> {
        if self.is_latched() || self.shut.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        if self.state.read().is_none() {
            let what = "the store failed and is not reopened yet".to_owned();
            return Err(StoreError::Io { what });
        }
        Ok(())
    }

    /// The state file, or `None` while it is being reopened: for readers that must not wait for a
    /// disk.
    pub(in crate::store) fn try_state_db(&self) -> Result<Option<OpenDatabase<'_>>, StoreError> {
        if self.is_latched() || self.shut.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        match self.state.try_read() {
            None => Ok(None),
            Some(guard) if guard.is_none() => Err(StoreError::Closed),
            Some(guard) => Ok(Some(OpenDatabase::held(guard, StoreFile::State, self.read_only))),
        }
    }

    /// The block file, reopened first if a use of it failed.
    pub(in crate::store) fn blocks_db(&self) -> Result<OpenDatabase<'_>, StoreError> {
        self.open_at_all()?;
        if self.blocks_failed.load(Ordering::SeqCst) {
            let mut blocks = self.blocks.write();
            // Another thread may have reopened it meanwhile.
            if self.blocks_failed.load(Ordering::SeqCst) {
                self.reopened.fetch_add(1, Ordering::SeqCst);
                let_go(blocks.take());
                let bytes = self.options.blocks_cache_bytes;
                *blocks = Some(if self.read_only {
                    let path = self.path(StoreFile::Blocks);
                    see_file(&*self.provider, StoreFile::Blocks, bytes)?.ok_or(StoreError::NotCreated { path })?
                } else {
                    open_file(&*self.provider, StoreFile::Blocks, bytes, &self.failures)?
                });
                self.blocks_failed.store(false, Ordering::SeqCst);
            }
        }
        OpenDatabase::of(&self.blocks, StoreFile::Blocks, self.read_only)
    }

    /// Passes on the result of a use of the block file, and remembers a failure of the storage.
    pub(in crate::store) fn blocks_used<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Io { .. })) {
            self.blocks_failed.store(true, Ordering::SeqCst);
        }
        result
    }
}
