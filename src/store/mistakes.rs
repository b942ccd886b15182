//! Planted mistakes of the store (feature `testing`).

use crate::store::redb::apply::Batch;
use crate::store::redb::open::{Store, StoreOptions};

/// A mistake of the store, switched on by a test that must notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreMistake {
    /// Count the damaged leaves of a forgotten tree as pending ones.
    ForgetCountsDamaged,
    /// Remove the chore of dropping data before its last row is removed.
    DropChoreEarly,
    /// Move the number of the checkpoint before its round is through.
    CheckpointEarly,
    /// Stop sealing at an entry that does not decode.
    RowStopsSealing,
    /// Keep the data of trees that a crash between the two files left without rows.
    OrphansStay,
    /// Do not sync the directory in which the files were made.
    NamesNotSynced,
    /// Believe block data without comparing its checksums.
    SumsNotCompared,
    /// Take the snapshot of the block file first, and that of the state file later.
    SnapshotsOutOfOrder,
    /// Give a backup the id of its store.
    BackupKeepsId,
    /// Write the labels of a backup before its rows.
    LabelsFirst,
    /// Go on with a backup although the store was opened again under its snapshots.
    BackupGoesOn,
    /// Open any two files of one store, also if they were never open together.
    MarksNotCompared,
}

impl StoreOptions {
    /// Makes a planted mistake, also while the store is opened.
    pub const fn mistake(mut self, mistake: StoreMistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    pub(super) fn makes(&self, mistake: StoreMistake) -> bool {
        self.mistake == Some(mistake)
    }
}

impl Store {
    /// Makes a planted mistake until the store is opened again.
    pub fn make(&self, mistake: StoreMistake) {
        self.writer.write().mistake = Some(mistake);
    }
}

impl Batch<'_> {
    pub(super) fn makes(&self, mistake: StoreMistake) -> bool {
        self.writer.mistake == Some(mistake)
    }
}
