//! Planted mistakes of the store (feature `testing`).

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
