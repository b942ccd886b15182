//! Storage: two redb files behind commands and paged reads. The only folder that names redb.
//!
//! **Guarantee.** [`Store::apply`] makes a whole batch of commands durable (immediate durability
//! and two-phase commit) or reports that it did not; a refused command has written nothing. What a
//! reader sees is always the state after some whole batch.
//!
//! **After a crash** the files hold exactly the batches acknowledged, and possibly the one that was
//! being committed. Block data is committed before the state that refers to it; data that no
//! row refers to is removed at the next open.
//!
//! The store checks the preconditions of a command and makes no other decision.

mod apply;
mod backend;
mod backup;
mod blocks;
mod check;
mod commands;
mod damage;
mod due;
mod error;
mod file;
mod fits;
mod generation;
mod identity;
mod init;
mod ledger;
mod leftover;
mod mend;
#[cfg(feature = "testing")]
mod mistakes;
mod open;
mod overlay;
mod quorum;
mod random;
mod read;
mod read_trust;
pub mod records;
mod redb_backend;
mod row_checks;
mod scrub;
mod seek;
mod settle;
#[cfg(feature = "testing")]
pub mod sim;
mod standings;
mod sum_rows;
mod sums;
mod tables;
mod transaction;
mod trees;
mod trust;
mod trust_commands;
mod upgrade;
mod verify_rows;

pub use apply::Applied;
pub use backend::{StorageBackend, StorageProvider, StoreDirectory, StoreFile};
pub use backup::{BackupFailure, BackupProgress, Copied, OnBackup};
pub use blocks::{BlocksWriter, Renewal};
#[cfg(feature = "testing")]
pub use check::check_in_runs;
pub use check::{CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, OnCheck, check};
pub use commands::{AddGroups, BeginTree, Command, Debit, FinishTree, Outcome, Refuse, Refused, Settle, SettleKind};
pub use due::{ClientStretch, TokenKey};
pub use error::{CommitFailure, StoreError};
pub use leftover::Leftovers;
pub use mend::{Derived, MEND_STEPS_SHOWN, Mend, MendReport, MendStep, Regroup, mend};
#[cfg(feature = "testing")]
pub use mistakes::StoreMistake;
pub use open::{Identity, Store, StoreOptions};
pub(crate) use random::random;
pub use read::{LedgerEntry, Reader, StandingsPage, TreeNumber};
pub use read_trust::{QuorumsPage, RangeKey};
#[cfg(feature = "testing")]
pub use redb_backend::ForRedb;
pub use scrub::NextTree;
#[cfg(test)]
pub use scrub::plant_tree;
pub use standings::PutStandings;
pub use sums::{LeafSum, StoredLeaves};
pub use tables::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, CHUNK_BYTES, FORMAT_VERSION, NO_ENTRY, PRIORITY_FRESH,
    PRIORITY_PARTIAL, VOTED,
};
pub use trust_commands::{Amend, Audited, Damage, Referee, Repair, Ruling, Upgrade, Vote};
pub use verify_rows::{LOOK_COST, OlderRow, ROW_COST, RowCursor, RowFinding, RowsVerified};
