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
//! Ranks, low to high: `rows` and `key` (stored bytes), `table` and `schema` (what the tables are),
//! `command`, `error`, `port` (what everything below needs of a database), `rules` (what a command
//! requires and changes), `read`, `contract` (what the engine needs of a store, object-safe),
//! `check`, `mend`, `memory` and `redb`. An import points down.
//!
//! A store in another database implements the port for its transactions and its states, and
//! [`Store`] over them; rules, reads, check and mend are the same code. `memory` is one.

mod block_changes;
mod blocks_writer;
mod check;
mod command;
mod contract;
mod copy;
mod error;
mod key;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod mend;
#[cfg(feature = "testing")]
mod mistakes;
mod port;
mod random;
mod read;
mod redb;
pub mod rows;
mod rules;
mod schema;
mod storage;
mod table;

pub use self::check::{CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, OnCheck};
#[cfg(feature = "testing")]
pub use self::redb::ForRedb;
pub use self::redb::check::check;
#[cfg(feature = "testing")]
pub use self::redb::check::check_in_runs;
pub use self::redb::directory::StoreDirectory;
pub use self::redb::mend::mend;
pub use self::redb::open::RedbStore;
pub use self::redb::options::StoreOptions;
#[cfg(test)]
pub use self::redb::plant_tree;
#[cfg(feature = "testing")]
pub use self::redb::sim;
pub use block_changes::{BlockChanges, Renewal};
pub use blocks_writer::BlocksWriter;
pub use command::claims::{Amend, Audited, Damage, Referee, Repair, Ruling, Upgrade, Vote};
pub use command::mend::{Derived, Mend, Regroup};
pub use command::older::OlderRow;
pub use command::outcome::{Applied, Outcome, Refused};
pub use command::standings::PutStandings;
pub use command::{AddGroups, BeginTree, Command, Debit, FinishTree, Refuse, Settle, SettleKind};
pub use contract::{Dropped, Identity, Store};
pub use copy::{BackupFailure, BackupProgress, Copied, OnBackup};
pub use error::{CommitFailure, StoreError};
#[cfg(feature = "testing")]
pub use memory::{MemoryDatabase, MemoryStore};
pub use mend::{MEND_STEPS_SHOWN, MendReport, MendStep};
#[cfg(feature = "testing")]
pub use mistakes::StoreMistake;
pub(crate) use random::random;
pub use read::{
    ClientStretch, LOOK_COST, LeafSum, LedgerEntry, Leftovers, NextTree, OldRows, QuorumsPage, ROW_COST, Reader,
    RowCursor, RowFinding, RowsVerified, StandingsPage, StoredLeaves, TreeEntry,
};
pub use rows::{DebitKey, StoreId};
pub use schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, CHUNK_BYTES, FIRST_ID, FORMAT_VERSION, NO_ENTRY,
    PRIORITY_FRESH, PRIORITY_PARTIAL, RangeKey, TokenKey, TreeNumber, VOTED,
};
pub use storage::{StorageBackend, StorageProvider, StoreFile};
