//! Planted mistakes inside a commit (feature `testing`).

use super::apply::Batch;
use super::open::Store;

/// A mistake inside a commit, switched on by a test that must notice it.
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
