//! Storage: two redb files behind commands and paged reads. Only the folder `redb` names redb.
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
//!
//! Ranks, low to high: `rows` (stored bytes), `table` and `schema` (what the tables are),
//! `command`, `error`, `port` (what the rules need of a database), `rules` (what a command requires
//! and changes), `redb`. An import points down.

mod command;
mod error;
mod key;
#[cfg(test)]
mod memory;
#[cfg(feature = "testing")]
mod mistakes;
mod port;
mod random;
mod redb;
pub mod rows;
mod rules;
mod schema;
mod table;

#[cfg(feature = "testing")]
pub use self::redb::ForRedb;
pub use self::redb::apply::Applied;
pub use self::redb::backup::{BackupFailure, BackupProgress, Copied, OnBackup};
pub use self::redb::blocks::{BlocksWriter, Renewal};
#[cfg(feature = "testing")]
pub use self::redb::check::check_in_runs;
pub use self::redb::check::{
    CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, OnCheck, check,
};
pub use self::redb::directory::StoreDirectory;
pub use self::redb::mend::{MEND_STEPS_SHOWN, MendReport, MendStep, mend};
pub use self::redb::open::Store;
pub use self::redb::options::{Identity, StoreOptions};
pub use self::redb::read::claims::QuorumsPage;
pub use self::redb::read::due::ClientStretch;
pub use self::redb::read::leftover::Leftovers;
pub use self::redb::read::scrub::NextTree;
#[cfg(test)]
pub use self::redb::read::scrub::plant_tree;
pub use self::redb::read::sums::{LeafSum, StoredLeaves};
pub use self::redb::read::verify::{LOOK_COST, ROW_COST, RowCursor, RowFinding, RowsVerified};
pub use self::redb::read::{LedgerEntry, Reader, StandingsPage};
pub use self::redb::removal::Dropped;
#[cfg(feature = "testing")]
pub use self::redb::sim;
pub use self::redb::storage::{StorageBackend, StorageProvider, StoreFile};
pub use command::claims::{Amend, Audited, Damage, Referee, Repair, Ruling, Upgrade, Vote};
pub use command::mend::{Derived, Mend, Regroup};
pub use command::older::OlderRow;
pub use command::outcome::{Outcome, Refused};
pub use command::standings::PutStandings;
pub use command::{AddGroups, BeginTree, Command, Debit, FinishTree, Refuse, Settle, SettleKind};
pub use error::{CommitFailure, StoreError};
#[cfg(feature = "testing")]
pub use mistakes::StoreMistake;
pub(crate) use random::random;
pub use rows::{DebitKey, StoreId};
pub use schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, CHUNK_BYTES, FIRST_ID, FORMAT_VERSION, NO_ENTRY,
    PRIORITY_FRESH, PRIORITY_PARTIAL, RangeKey, TokenKey, TreeNumber, VOTED,
};
