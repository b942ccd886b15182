//! Changing rows of a closed store inside redb's own rules, to see what the check says.

use std::path::Path;

use pouw::PouwEngine;
use pouw::hash::Checksum;
use pouw::internal::store::rows::{ClientRow, GroupRow, Head, LedgerRow, TreeRow, seal, unseal};
use pouw::protocol::ClientDigest;
use redb::{Database, ReadOnlyDatabase, TableDefinition, WriteTransaction};
pub use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction as Planted};
use tempfile::TempDir;

use super::disk::PAGE;
use super::house::House;

pub type Bytes = &'static [u8];
pub const META: TableDefinition<&str, Bytes> = TableDefinition::new("meta-0");
pub const TREES: TableDefinition<u64, Bytes> = TableDefinition::new("trees-0");
pub const NAMES: TableDefinition<&str, u64> = TableDefinition::new("names-0");
pub const HANDLES: TableDefinition<[u8; 16], u64> = TableDefinition::new("handles-0");
pub const HASHES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("hashes-0");
pub const LENGTHS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("lengths-0");
pub const TILES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("tiles-0");
pub const INTERIOR: TableDefinition<(u64, u8, u64), Bytes> = TableDefinition::new("interior-0");
pub const READY: TableDefinition<(u8, u64), u64> = TableDefinition::new("ready-0");
pub const CHORES: TableDefinition<(u8, u64), ()> = TableDefinition::new("chores-0");
pub const CONSUMED: TableDefinition<(u64, [u8; 16]), u64> = TableDefinition::new("consumed-0");
pub const CLIENTS: TableDefinition<[u8; 16], Bytes> = TableDefinition::new("clients-0");
pub const STANDINGS: TableDefinition<[u8; 16], Bytes> = TableDefinition::new("standings-0");
pub const LEDGER: TableDefinition<u64, Bytes> = TableDefinition::new("ledger-0");
pub const RECEIPTS: TableDefinition<[u8; 16], u64> = TableDefinition::new("receipts-0");
pub const DEBITS: TableDefinition<[u8; 16], u64> = TableDefinition::new("debits-0");
pub const BLOCKS: TableDefinition<(u64, u32), Bytes> = TableDefinition::new("blocks-0");
pub const SOURCES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("sources-0");
pub const SUMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("sums-0");
pub const PROVENANCE: TableDefinition<u64, Bytes> = TableDefinition::new("provenance-0");
pub const CLAIMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("claims-0");
pub const QUORUMS: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("quorums-0");
pub const FOLLOWED: TableDefinition<[u8; 16], u64> = TableDefinition::new("followed-0");
pub const SUSPECTS: TableDefinition<[u8; 16], (u64, u64, u64, bool)> = TableDefinition::new("suspects-0");
pub const DOUBTED: TableDefinition<(u64, u64), ()> = TableDefinition::new("doubted-0");
pub const DAMAGED: TableDefinition<(u64, u64), ()> = TableDefinition::new("damaged-0");

/// Bytes of the two files of a store: state, blocks.
pub type Files = (Vec<u8>, Vec<u8>);

/// A directory with these files.
pub fn copied((state, blocks): &Files) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state.redb"), state).unwrap();
    std::fs::write(dir.path().join("blocks.redb"), blocks).unwrap();
    dir
}

/// Changes rows of one file of a closed store.
pub fn plant(file: &Path, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(file).unwrap();
    let txn = database.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

impl House {
    /// Closes the store, changes rows of its block file, and opens it again. For houses in memory.
    pub fn edit_blocks(&mut self, change: impl FnOnce(&WriteTransaction)) {
        self.rot(|blocks| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &blocks).unwrap();
            plant(file.path(), change);
            *blocks = std::fs::read(file.path()).unwrap();
        });
    }
}

impl House {
    /// Changes a chunk of stored data of the first tree.
    pub fn edit_chunk(&mut self, chunk: u32, edit: impl FnOnce(&mut Vec<u8>)) {
        self.edit_blocks(|txn| {
            let mut table = txn.open_table(BLOCKS).unwrap();
            let mut bytes = table.get((0, chunk)).unwrap().unwrap().value().to_vec();
            edit(&mut bytes);
            table.insert((0, chunk), bytes.as_slice()).unwrap();
        });
    }

    /// Changes the checksums of a group of the first tree.
    pub fn edit_sums(&mut self, group: u64, edit: impl FnOnce(&mut Vec<u8>)) {
        self.edit_blocks(|txn| {
            let mut table = txn.open_table(SUMS).unwrap();
            let mut row = table.get((0, group)).unwrap().unwrap().value().to_vec();
            edit(&mut row);
            table.insert((0, group), row.as_slice()).unwrap();
        });
    }

    /// Makes the store one of a build that had no checksums.
    pub fn drop_sums(&mut self) {
        self.edit_blocks(|txn| assert!(txn.delete_table(SUMS).unwrap()));
    }

    /// Rows of block data, and of its checksums.
    pub fn block_rows(&mut self) -> (usize, usize) {
        let mut rows = (0, 0);
        self.edit_blocks(|txn| {
            let blocks = txn.open_table(BLOCKS).unwrap().iter().unwrap().count();
            rows = (blocks, txn.open_table(SUMS).unwrap().iter().unwrap().count());
        });
        rows
    }
}

/// What the check finds in a copy of these files after a change of one of them.
pub fn planted(files: &Files, file: &str, change: impl FnOnce(&WriteTransaction)) -> Vec<String> {
    let dir = copied(files);
    plant(&dir.path().join(file), change);
    PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().findings.into_iter().map(|finding| finding.what).collect()
}

#[track_caller]
pub fn expect(found: &[String], wanted: &str) {
    assert!(found.iter().any(|what| what.contains(wanted)), "{wanted:?} is not in {found:#?}");
}

pub fn edit_tree(txn: &WriteTransaction, tree: u64, edit: impl FnOnce(&mut TreeRow)) {
    let mut table = txn.open_table(TREES).unwrap();
    let mut row: TreeRow = unseal("trees-0", tree, table.get(tree).unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert(tree, seal("trees-0", tree, &row).unwrap().as_slice()).unwrap();
}

pub fn edit_head(txn: &WriteTransaction, edit: impl FnOnce(&mut Head)) {
    let mut table = txn.open_table(META).unwrap();
    let mut row: Head = unseal("meta-0", "head", table.get("head").unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert("head", seal("meta-0", "head", &row).unwrap().as_slice()).unwrap();
}

pub fn edit_entry(txn: &WriteTransaction, seq: u64, edit: impl FnOnce(&mut LedgerRow)) {
    let mut table = txn.open_table(LEDGER).unwrap();
    let mut row = LedgerRow::decode(seq, table.get(seq).unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert(seq, &row.encode(seq)[..]).unwrap();
}

/// Edits an entry and mends the chain behind it, as somebody would who knows the format.
pub fn forge_entry(txn: &WriteTransaction, seq: u64, edit: impl FnOnce(&mut LedgerRow)) {
    edit_entry(txn, seq, edit);
    let mut digest = [0; 32];
    let mut table = txn.open_table(LEDGER).unwrap();
    let rows: Vec<(u64, LedgerRow)> = table
        .iter()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|(key, raw)| (key.value(), LedgerRow::decode(key.value(), raw.value()).unwrap()))
        .collect();
    for (seq, mut row) in rows {
        row.digest = row.chained(&digest, seq);
        digest = row.digest;
        table.insert(seq, &row.encode(seq)[..]).unwrap();
    }
    drop(table);
    edit_head(txn, |head| head.last_digest = digest);
}

/// Edits a group of hashes, in a row that stays well formed.
pub fn edit_group(txn: &WriteTransaction, at: (u64, u64), edit: impl FnOnce(&mut GroupRow)) {
    let mut table = txn.open_table(HASHES).unwrap();
    let mut row = GroupRow::decode(at, table.get(at).unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert(at, row.encode(at).as_slice()).unwrap();
}

pub fn edit_client(txn: &WriteTransaction, edit: impl FnOnce(&mut ClientRow)) {
    let mut table = txn.open_table(CLIENTS).unwrap();
    let (key, mut row) = {
        let (key, raw) = table.first().unwrap().unwrap();
        let key = ClientDigest::from_bytes(key.value());
        (key, unseal::<ClientRow>("clients-0", key, raw.value()).unwrap())
    };
    edit(&mut row);
    table.insert(key.as_bytes(), seal("clients-0", key, &row).unwrap().as_slice()).unwrap();
}

/// Changes one bit of a byte.
pub fn flip(hash: &mut Checksum, byte: usize) {
    let mut bytes = *hash.as_bytes();
    bytes[byte] ^= 1;
    *hash = Checksum::from_bytes(bytes);
}

/// In the form of older stores, so that any state can be planted.
pub fn set_leaf(txn: &WriteTransaction, tree: u64, leaf: u64, bits: u8) {
    let mut table = txn.open_table(TILES).unwrap();
    let key = (tree, leaf / 32);
    let mut row = table.get(key).unwrap().map_or(vec![0; 16], |raw| raw.value()[..16].to_vec());
    let (byte, shift) = ((leaf % 32 / 2) as usize, if leaf.is_multiple_of(2) { 0 } else { 4 });
    row[byte] = (row[byte] & !(15 << shift)) | (bits << shift);
    table.insert(key, row.as_slice()).unwrap();
}

/// The pages of branches below which a chunk is found: without one of them, that chunk cannot be read.
pub fn branches_above(blocks: &[u8], tree: u64) -> Vec<u64> {
    let branches = (0..).zip(blocks.chunks(PAGE as usize)).filter(|(_, page)| page[0] == 2);
    let file = tempfile::NamedTempFile::new().unwrap();
    let reads = |page: u64| {
        let mut without = blocks.to_vec();
        without[(page * PAGE) as usize..][..PAGE as usize].fill(0);
        std::fs::write(file.path(), without).unwrap();
        std::panic::catch_unwind(|| {
            let database = ReadOnlyDatabase::open(file.path()).unwrap();
            redb::ReadableDatabase::begin_read(&database)
                .unwrap()
                .open_table(BLOCKS)
                .unwrap()
                .get((tree, 0))
                .unwrap()
                .is_some()
        })
        .unwrap_or(false)
    };
    branches.map(|(at, _)| at).filter(|at| !reads(*at)).collect()
}
