//! The store in two redb files: opening and closing them, transactions, reads, checks and repairs.
//! The only folder that names redb.

#[cfg(test)]
mod against_memory;
mod apply;
mod backup;
mod blocks;
pub(super) mod check;
pub(super) mod directory;
mod errors;
mod file;
mod generation;
mod identity;
mod init;
pub(super) mod mend;
pub(super) mod open;
pub(super) mod options;
mod overlay;
mod removal;
#[cfg(feature = "testing")]
pub mod sim;
mod snapshot;
mod storage_for_redb;
mod store;
mod tables;
mod transaction;
mod view;
mod watched;

#[cfg(feature = "testing")]
pub use storage_for_redb::ForRedb;

/// Writes a row of a tree into the state file of a closed store.
#[cfg(test)]
pub fn plant_tree(file: &std::path::Path, tree: super::schema::TreeNumber, row: &[u8]) {
    use tables::InRedb as _;
    let txn = ::redb::Database::open(file).unwrap().begin_write().unwrap();
    txn.open_table(super::schema::Trees::DEFINITION).unwrap().insert(tree, row).unwrap();
    txn.commit().unwrap();
}
