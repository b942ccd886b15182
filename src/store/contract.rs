//! What the engine needs of a store, whatever database is behind it.

use std::fmt::Debug;
use std::sync::Arc;

use super::block_changes::BlockChanges;
use super::command::Command;
use super::command::outcome::Applied;
use super::copy::{BackupFailure, Copied, OnBackup};
use super::error::{CommitFailure, StoreError};
#[cfg(feature = "testing")]
use super::mistakes::StoreMistake;
use super::read::sums::compare;
use super::read::{ClientStretch, LeafSum, Leftovers, Reader, RowCursor, RowsVerified, StandingsPage, StoredLeaves};
use super::rows::{ClientRow, CopyRow, Head, SourceRow, StoreId, UsefulnessAccount};
use super::rules::ledger::seal_bound;
use super::schema::TreeNumber;
use super::storage::StorageProvider;
use crate::protocol::ClientDigest;

/// The ids of an open store. They never change while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Random id of the store, drawn when it was made.
    pub store: StoreId,
    /// Key of the client digests, drawn when the store was made.
    pub digest_key: [u8; 32],
    /// Counts the openings of this store.
    pub boot: u64,
    /// The store that this one was copied from, if it is a copy.
    pub copy_of: Option<CopyRow>,
}

/// What was removed of the block data of some trees.
#[derive(Debug, Default)]
pub struct Dropped {
    /// Rows that were removed.
    pub rows: usize,
    /// How many of the trees, from the front, have no more rows that can be removed.
    pub through: usize,
    /// Those of them whose data stays, because a page of it or beside it cannot be read.
    pub kept: Vec<(TreeNumber, StoreError)>,
}

/// The store of one engine. Reads may run beside the one writer.
///
/// **State.** One that failed is opened again with [`recover`](Self::recover). After a failed sync,
/// or damage that no write gets past, it stays closed until the process restarts.
pub trait Store: Debug + Send + Sync {
    /// Whether it was opened to be read: whatever would write is [`StoreError::ReadOnly`].
    fn is_read_only(&self) -> bool;

    /// The ids of this store and this opening.
    fn identity(&self) -> Identity;

    /// Whether it stays closed until the process restarts: a sync has failed, or a write met a
    /// damaged page.
    fn is_closed(&self) -> bool;

    /// Whether both reads and writes are taken now: it is not closed, and neither being opened
    /// again nor waiting for that after a failure.
    fn is_open(&self) -> bool;

    /// Why it stays closed until the process restarts, if it does.
    fn failure(&self) -> Option<&str>;

    /// Keeps the store closed until the process restarts. The first reason counts.
    fn latch(&self, why: String);

    /// Whether an access to the state has failed since it was opened. The next
    /// [`apply`](Self::apply) fails then, and [`recover`](Self::recover) opens it again.
    fn has_failed(&self) -> bool;

    /// Opens it again after a failed write and reads the state again. Returns the sequence number
    /// of the last commit that is stored. If the store is damaged or has lost an acknowledged
    /// commit, it stays closed.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after a failed sync; else as for opening.
    fn recover(&self) -> Result<u64, StoreError>;

    /// Closes it. Every later call returns [`StoreError::Closed`].
    fn close(&self);

    /// Sizes of what is stored, in bytes: state, block data.
    fn file_bytes(&self) -> (u64, u64);

    /// Applies `commands` in order and makes them durable together. `now_ms` becomes the persisted
    /// high-water mark of the clock.
    ///
    /// # Errors
    /// [`CommitFailure::RolledBack`] if nothing is stored; [`CommitFailure::Unknown`] if that is
    /// unknown. If the database panics, on a damaged page, the store stays closed.
    fn apply(&self, commands: &[Command], now_ms: u64) -> Result<Applied, CommitFailure>;

    /// Reserves an unused tree number. A committed `BeginTree` uses it up for good.
    fn reserve_tree(&self) -> TreeNumber;

    /// Copies the store to `to`, which must be empty, while it is used.
    ///
    /// # Errors
    /// [`BackupFailure`]. What was written to `to` is of no use then.
    fn backup(&self, to: Arc<dyn StorageProvider>, progress: OnBackup<'_>) -> Result<Copied, BackupFailure>;

    /// The state after the newest commit, to be read.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn read(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// The same, or `None` while the store is being opened again: for callers that hold a lock
    /// others wait for.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn try_read(&self) -> Result<Option<Box<dyn Reader>>, StoreError>;

    /// The newest head this process has committed or read.
    fn head(&self) -> Head;

    /// Totals of offloaded work, as of the newest commit.
    fn account(&self) -> UsefulnessAccount;

    /// The newest row of a client, whether written yet or not.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    fn client(&self, client: ClientDigest) -> Result<ClientRow, StoreError>;

    /// Client rows changed and not written yet.
    fn dirty_clients(&self) -> usize;

    /// Whether a checkpoint is due: many rows changed, or many ledger entries stand behind the last
    /// one.
    fn checkpoint_due(&self) -> bool;

    /// Up to `limit` clients behind `after` and where they stand, in the order of their keys. A row
    /// that does not decode is an error of its own, the others are there.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn standings(&self, after: Option<ClientDigest>, limit: usize) -> Result<StandingsPage, StoreError> {
        self.read()?.standings(after, limit)
    }

    /// Whether `Command::SealLedger` with `keep` would remove a row. Reads memory only.
    fn has_old_entries(&self, keep: u64) -> bool {
        let head = self.head();
        head.anchor < seal_bound(&head, keep)
    }

    /// Looks at the rows that `Command::PruneClients` with the same values would look at. A row
    /// that changes meanwhile may be counted as either; the command decides.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page of these rows that cannot be read is none.
    fn idle_clients(&self, before_ms: u64, after: ClientDigest, limit: usize) -> Result<ClientStretch, StoreError>;

    /// Looks at rows behind `from` until about `max_cost` is spent, or 256 KiB or 1 024 rows are
    /// read: each is decoded, its checksum compared, and what leads to other rows is compared with
    /// them. All of it is seen as of one commit, whose pages stay for that long.
    ///
    /// A page that cannot be read is one finding, and the walk goes on behind it; behind one of a
    /// table of names, with the next table.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn verify_rows(&self, from: &RowCursor, max_cost: u64) -> Result<RowsVerified, StoreError>;

    /// Changes block data in one durable transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    fn change_blocks(&self, changes: &BlockChanges) -> Result<(), StoreError>;

    /// Removes up to `limit` rows of block data and references of `trees`, in order, as one
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page that cannot be read is none: the data of its
    /// tree, and of those beside it, stays.
    fn drop_blocks(&self, trees: &[TreeNumber], limit: usize) -> Result<Dropped, StoreError>;

    /// Looks at up to `limit` trees with block data, from number `from` on. Data is left over if
    /// its tree has no row and no hashes and is not being removed, or if the tree says that its
    /// data is gone. A tree whose row does not decode keeps its data. Numbers not begun yet are
    /// left out: their data may be coming in.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page that cannot be read is none.
    fn leftovers(&self, from: TreeNumber, limit: usize) -> Result<Leftovers, StoreError>;

    /// The source row that holds `leaf` of `tree`, with the leaf it begins at.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    fn source(&self, tree: TreeNumber, leaf: u64) -> Result<Option<(u64, SourceRow)>, StoreError>;

    /// Reads up to 32 leaves of `tree` from leaf `first` on, which lie one after the other in the
    /// stored data from `offset` on. `lengths` are those of their stored bytes.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or bytes are missing.
    fn read_leaves(
        &self,
        tree: TreeNumber,
        first: u64,
        offset: u64,
        lengths: &[u64],
    ) -> Result<StoredLeaves, StoreError>;

    /// Compares bytes that were read elsewhere with the checksums of up to 32 leaves. Returns one
    /// bit for each leaf that is not what came in, the first leaf lowest.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn differing(&self, tree: TreeNumber, first: u64, lengths: &[u64], bytes: &[u8]) -> Result<u32, StoreError> {
        Ok(compare(tree, first, lengths, bytes, &self.leaf_sums(tree, first, lengths.len())?))
    }

    /// What is known about the bytes of `count` leaves from `first` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn leaf_sums(&self, tree: TreeNumber, first: u64, count: usize) -> Result<Vec<LeafSum>, StoreError>;

    /// Whether each group of a tree of `leaves` leaves has a row of checksums.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    fn has_all_sums(&self, tree: TreeNumber, leaves: u64) -> Result<bool, StoreError>;

    /// Makes a planted mistake until the store is opened again.
    #[cfg(feature = "testing")]
    fn make(&self, mistake: StoreMistake);
}
