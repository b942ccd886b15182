//! The store in two redb files: opening and closing them, transactions, reads, checks and repairs.
//! The only folder that names redb.

#[cfg(test)]
mod against_memory;
pub(super) mod apply;
pub(super) mod backup;
pub(super) mod blocks;
pub(super) mod check;
pub(super) mod directory;
mod errors;
mod file;
mod generation;
mod identity;
mod init;
pub(super) mod mend;
#[cfg(feature = "testing")]
mod mistakes;
pub(super) mod open;
pub(super) mod options;
mod overlay;
pub(super) mod read;
pub(super) mod removal;
mod seek;
#[cfg(feature = "testing")]
pub mod sim;
mod snapshot;
pub(super) mod storage;
mod storage_for_redb;
pub(super) mod tables;
pub(super) mod transaction;
mod view;

#[cfg(feature = "testing")]
pub use storage_for_redb::ForRedb;
