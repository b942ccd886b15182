//! One batch of commands as one durable transaction.

use crate::store::command::Command;
use crate::store::command::outcome::Applied;
use crate::store::contract::Store as _;
use crate::store::error::CommitFailure;
use crate::store::rules::run;

use super::open::RedbStore;
use super::transaction::{NotCommitted, NotWritten};
use super::view::RedbTxn;

impl RedbStore {
    /// See `Store::apply`.
    pub(super) fn apply(&self, commands: &[Command], now_ms: u64) -> Result<Applied, CommitFailure> {
        let _one = self.applying.lock();
        let writer = self.writer.read();
        let quick_repair = self.file_bytes().0 > QUICK_REPAIR_FROM;
        let database = self.state_db().map_err(CommitFailure::RolledBack)?;
        let rolled_back = |not: NotWritten| match not {
            NotWritten::RolledBack(error) => CommitFailure::RolledBack(error),
            NotWritten::Broken(error) => {
                self.latch(error.to_string());
                CommitFailure::RolledBack(error)
            }
        };
        let txn = database.begin_write(quick_repair).map_err(rolled_back)?;
        let (txn, (outcomes, effects)) =
            txn.change(|txn| run(&mut RedbTxn::of(txn), &writer, commands, now_ms)).map_err(rolled_back)?;
        let commit_seq = effects.head.commit_seq;
        match txn.commit() {
            Ok(()) => {
                drop(writer);
                effects.merge_into(&mut self.writer.write());
                self.has_written();
                Ok(Applied { commit_seq, outcomes })
            }
            Err(NotCommitted::RolledBack(error)) => Err(CommitFailure::RolledBack(error)),
            Err(NotCommitted::Unknown(error)) => Err(CommitFailure::Unknown { commit_seq, outcomes, error }),
            Err(NotCommitted::Broken(error)) => {
                self.latch(error.to_string());
                Err(CommitFailure::Unknown { commit_seq, outcomes, error })
            }
        }
    }
}

/// State file size from which the allocator state is saved with each commit, so that opening after
/// a crash need not walk the file.
const QUICK_REPAIR_FROM: u64 = 1 << 30;
