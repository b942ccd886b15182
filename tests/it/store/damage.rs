//! One planted fault for each kind of row: the check names the table and the row.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::support::house::config;
use crate::support::store_plant;
use crate::support::store_plant::{
    BLOCKS, CHORES, CLIENTS, CONSUMED, DEBITS, HANDLES, HASHES, INTERIOR, LEDGER, LENGTHS, META, NAMES, READY,
    RECEIPTS, SOURCES, SUMS, TILES, TREES, edit_client, edit_entry, edit_head, edit_tree, expect, flip, forge_entry,
    plant, set_leaf,
};
use crate::support::work::{cut, pattern, work};
use pouw::hash::Checksum;
use pouw::internal::store::check_in_runs;
use pouw::internal::store::rows::{
    ClientRow, DataPlace, GroupRow, Head, LengthRow, SourceRow, SumRow, TreeRow, seal, unseal,
};
use pouw::protocol::{ClientDigest, DifficultyTier, MicroJoules};
use pouw::{ConfigBuilder, IngestLayout, PouwEngine, StoreDirectory, TreeState};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction};

/// Trees of the fixture, by the order of their ingest.
const FOLDING: u64 = 0;
const WHOLE: u64 = 1;
const GONE: u64 = 2;
const CUT: u64 = 3;
const MIXED: u64 = 4;
const REFERENCED: u64 = 5;
const NOBODY: u64 = 6;

fn settings() -> ConfigBuilder {
    config().interior_units(true)
}

/// A store with a tree in each state, entries of each kind, and a purge not yet done.
pub fn fixture() -> &'static (Vec<u8>, Vec<u8>) {
    static FILES: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = cut();
        let engine = PouwEngine::open(dir.path(), settings().build().unwrap()).unwrap();
        engine.ingest_bytes(&options, "folding", &pattern(512 * 130, 1)).unwrap();
        for _ in 0..5 {
            work(&engine, b"anna", DifficultyTier::High);
        }
        work(&engine, b"berta", DifficultyTier::Low);
        engine.ingest_bytes(&options, "whole", &pattern(512 * 20, 2)).unwrap();
        // The rest of the nodes of `folding` are out while this one is done.
        work(&engine, b"anna", DifficultyTier::High);
        engine.upkeep().unwrap();
        engine.ingest_bytes(&options, "gone", &pattern(512 * 20, 3)).unwrap();
        work(&engine, b"carl", DifficultyTier::High);
        engine.ingest_bytes(&options, "cut", &pattern(512 * 200 + 7, 4)).unwrap();
        work(&engine, b"carl", DifficultyTier::High);
        let blocks: Vec<Vec<u8>> = (0..40).map(|i| pattern(100 + i * 20, i)).collect();
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        engine.ingest_blocks(&options.clone().layout(IngestLayout::Blocks), "mixed", &blocks).unwrap();
        std::fs::write(dir.path().join("source"), pattern(512 * 50, 5)).unwrap();
        let reference = options.by_reference(true);
        drop(
            engine.ingest_paths(&reference, &[dir.path().join("source")], &mut |_| ControlFlow::Continue(())).unwrap(),
        );
        engine.debit(b"anna", MicroJoules(50), [9; 16]).unwrap();
        engine.forget("gone").unwrap();
        engine.close();
        let file = |name| std::fs::read(dir.path().join(name)).unwrap();
        (file("state.redb"), file("blocks.redb"))
    })
}

fn planted(file: &str, plant: impl FnOnce(&WriteTransaction)) -> Vec<String> {
    store_plant::planted(fixture(), file, plant)
}

#[track_caller]
fn state(wanted: &str, plant: impl FnOnce(&WriteTransaction)) {
    expect(&planted("state.redb", plant), wanted);
}

#[track_caller]
fn blocks(wanted: &str, plant: impl FnOnce(&WriteTransaction)) {
    expect(&planted("blocks.redb", plant), wanted);
}

#[test]
fn the_fixture_is_clean_and_has_everything() {
    assert_eq!(planted("state.redb", |_| {}), Vec::<String>::new());
    let dir = tempfile::tempdir().unwrap();
    let (state, _) = fixture();
    std::fs::write(dir.path().join("state.redb"), state).unwrap();
    let database = Database::open(dir.path().join("state.redb")).unwrap();
    let txn = database.begin_read().unwrap();
    let tree = |tree: u64| -> Option<TreeRow> {
        let table = txn.open_table(TREES).unwrap();
        table.get(tree).unwrap().map(|raw| unseal("trees-0", tree, raw.value()).unwrap())
    };
    let state = |at| tree(at).map(|row| (row.name, row.state, row.data));
    assert_eq!(state(FOLDING), Some(("folding".into(), TreeState::Folding, DataPlace::Copied)));
    assert_eq!(state(WHOLE), Some(("whole".into(), TreeState::Complete, DataPlace::Dropped)));
    assert_eq!(state(GONE), None);
    assert_eq!(state(CUT), Some(("cut".into(), TreeState::Active, DataPlace::Copied)));
    assert_eq!(state(MIXED), Some(("mixed".into(), TreeState::Active, DataPlace::Copied)));
    assert_eq!(state(REFERENCED), Some(("source".into(), TreeState::Active, DataPlace::Referenced)));
    assert!(tree(FOLDING).unwrap().interior_done > 0 && tree(CUT).unwrap().done > 0);
    assert!(txn.open_table(CHORES).unwrap().get((0, GONE)).unwrap().is_some());
}

#[test]
fn a_damaged_tree_row_is_found() {
    state("trees-0 row 3: UnexpectedEnd", |txn| drop(txn.open_table(TREES).unwrap().insert(CUT, &[0, 1, 2][..])));
    state("trees-0 row 3: 31 leaves done", |txn| edit_tree(txn, CUT, |row| row.done -= 1));
    state("trees-0 row 3: it is Active with 201 of 201", |txn| edit_tree(txn, CUT, |row| row.done = row.leaves));
    state("trees-0 row 3: its leaves do not fold to its root", |txn| edit_tree(txn, CUT, |row| flip(&mut row.root, 5)));
    state("trees-0 row 0: it is Assembling, but chores-0 lacks (1, 0)", |txn| {
        edit_tree(txn, FOLDING, |row| row.state = TreeState::Assembling)
    });
    state("trees-0 row 1: it is Complete, but chores-0 lacks (2, 1)", |txn| {
        edit_tree(txn, WHOLE, |row| row.data = DataPlace::Copied)
    });
    state("trees-0 row 3: it is Inconsistent", |txn| edit_tree(txn, CUT, |row| row.state = TreeState::Inconsistent));
    state("trees-0 row 3: it is Active, but its data was dropped", |txn| {
        edit_tree(txn, CUT, |row| row.data = DataPlace::Dropped)
    });
    state("trees-0 row 3: order 99 but the next is 12", |txn| edit_tree(txn, CUT, |row| row.order = 99));
    state("hashes-0 row (3, 12): 9 leaves instead of 16", |txn| edit_tree(txn, CUT, |row| row.leaves += 16));
    state("trees-0 row 4: its leaves have 19600 bytes, the row says 19601", |txn| {
        edit_tree(txn, MIXED, |row| row.total_bytes += 1)
    });
    state("trees-0 row 0: 4 interior nodes", |txn| edit_tree(txn, FOLDING, |row| row.interior_done = 4));
    state("meta-0 head: trees is 5, the rows give 4", |txn| drop(txn.open_table(TREES).unwrap().remove(WHOLE)));
}

#[test]
fn a_name_or_handle_that_leads_elsewhere_is_found() {
    state("trees-0 row 3: names-0 row \"cut\" does not lead", |txn| drop(txn.open_table(NAMES).unwrap().remove("cut")));
    state("names-0 row \"other\": tree 3", |txn| drop(txn.open_table(NAMES).unwrap().insert("other", CUT)));
    state("handles-0 row 07070707", |txn| drop(txn.open_table(HANDLES).unwrap().insert([7; 16], CUT)));
    state("does not lead to it", |txn| {
        let mut table = txn.open_table(HANDLES).unwrap();
        table.retain(|_, tree| tree != MIXED).unwrap();
    });
}

#[test]
fn a_damaged_group_of_hashes_is_found() {
    let edit = |txn: &WriteTransaction, edit: &dyn Fn(&mut GroupRow)| {
        let mut table = txn.open_table(HASHES).unwrap();
        let mut row = GroupRow::decode((CUT, 4), table.get((CUT, 4)).unwrap().unwrap().value()).unwrap();
        edit(&mut row);
        table.insert((CUT, 4), row.encode((CUT, 4)).as_slice()).unwrap();
    };
    state("hashes-0 row (3, 4): its leaves do not fold", |txn| edit(txn, &|row| row.leaves[3] = Checksum::ZERO));
    state("blocks-0: the bytes of leaf 67 of tree 3 do not hash", |txn| {
        edit(txn, &|row| row.leaves[3] = Checksum::ZERO)
    });
    state("hashes-0 row (3, 4): its leaves do not fold", |txn| edit(txn, &|row| row.top = Checksum::ZERO));
    state("hashes-0 row (3, 4): 15 leaves instead of 16", |txn| {
        edit(txn, &|row| row.leaves.truncate(row.leaves.len() - 1))
    });
    state("hashes-0 lacks row (3, 4)", |txn| drop(txn.open_table(HASHES).unwrap().remove((CUT, 4))));
    state("hashes-0 row (3, 4): 5 bytes", |txn| {
        drop(txn.open_table(HASHES).unwrap().insert((CUT, 4), &[1, 2, 3, 4, 5][..]))
    });
    state("hashes-0 row (3, 13): 1 leaves instead of 0", |txn| {
        let row = GroupRow { leaves: vec![Checksum::ZERO], top: Checksum::ZERO };
        drop(txn.open_table(HASHES).unwrap().insert((CUT, 13), row.encode((CUT, 13)).as_slice()))
    });
}

#[test]
fn damaged_lengths_are_found() {
    let edit = |txn: &WriteTransaction, edit: &dyn Fn(&mut LengthRow)| {
        let mut table = txn.open_table(LENGTHS).unwrap();
        let mut row = LengthRow::decode((MIXED, 1), table.get((MIXED, 1)).unwrap().unwrap().value()).unwrap();
        edit(&mut row);
        table.insert((MIXED, 1), &row.encode((MIXED, 1))[..]).unwrap();
    };
    state("lengths-0 row (4, 1): offset 4001 instead of 4000", |txn| edit(txn, &|row| row.offset += 1));
    state("lengths-0 row (4, 2): offset", |txn| edit(txn, &|row| row.lengths[3] += 1));
    state("lengths-0 row (4, 1): 15 lengths for 16", |txn| {
        edit(txn, &|row| row.lengths.truncate(row.lengths.len() - 1))
    });
    state("lengths-0 lacks row (4, 1)", |txn| drop(txn.open_table(LENGTHS).unwrap().remove((MIXED, 1))));
    state("lengths-0 row (4, 9): the tree has 3 groups", |txn| {
        let row = LengthRow { offset: 0, lengths: vec![1] };
        drop(txn.open_table(LENGTHS).unwrap().insert((MIXED, 9), &row.encode((MIXED, 9))[..]))
    });
}

#[test]
fn a_damaged_tile_is_found() {
    state("tiles-0 row (3, 0): unknown leaf state", |txn| set_leaf(txn, CUT, 3, 9));
    state("tiles-0 row (3, 6): a leaf beyond the last is done", |txn| set_leaf(txn, CUT, 201, 1));
    state("tiles-0 row (3, 2): a leaf is done, but no client was credited", |txn| {
        set_leaf(txn, CUT, 70, 1);
        edit_tree(txn, CUT, |row| row.done += 1);
        edit_head(txn, |head| head.totals.pending -= 1);
    });
    state("tiles-0 row (3, 0): a leaf is pending although it was credited", |txn| {
        set_leaf(txn, CUT, 7, 0);
        edit_tree(txn, CUT, |row| row.done -= 1);
        edit_head(txn, |head| head.totals.pending += 1);
    });
}

#[test]
fn a_damaged_interior_node_is_found() {
    state("interior-0 row (0, 2, 1): not the hash of its children", |txn| {
        drop(txn.open_table(INTERIOR).unwrap().insert((FOLDING, 2, 1), &[3; 64][..]))
    });
    state("interior-0 row (0, 3, 0): the tree has no such node", |txn| {
        drop(txn.open_table(INTERIOR).unwrap().insert((FOLDING, 3, 0), &[3; 64][..]))
    });
}

#[test]
fn a_queue_that_does_not_fit_the_trees_is_found() {
    state("trees-0 row 4: it is active, but ready-0 row (1, 9)", |txn| {
        drop(txn.open_table(READY).unwrap().remove((1, 9)))
    });
    state("ready-0 row (1, 3): tree 3 does not belong there", |txn| {
        drop(txn.open_table(READY).unwrap().insert((1, 3), CUT))
    });
    state("ready-0 row (0, 1): tree 1 does not belong there", |txn| {
        drop(txn.open_table(READY).unwrap().insert((0, 1), WHOLE))
    });
    state("chores-0 row (0, 3): the tree needs no such chore", |txn| {
        drop(txn.open_table(CHORES).unwrap().insert((0, CUT), ()))
    });
    state("chores-0 row (7, 3): the tree needs no such chore", |txn| {
        drop(txn.open_table(CHORES).unwrap().insert((7, CUT), ()))
    });
    state("trees-0 row 0: it is Folding, but chores-0 lacks (3, 0)", |txn| {
        drop(txn.open_table(CHORES).unwrap().remove((3, FOLDING)))
    });
}

#[test]
fn rows_of_a_tree_that_is_not_there_are_found() {
    state("hashes-0 rows of tree 2", |txn| drop(txn.open_table(CHORES).unwrap().remove((0, GONE))));
    blocks("blocks-0 rows of tree 1: its data should be gone", |txn| {
        drop(txn.open_table(BLOCKS).unwrap().insert((WHOLE, 0), &[1][..]))
    });
    for (table, plant) in [
        (
            "hashes-0",
            (|txn| drop(txn.open_table(HASHES).unwrap().insert((77, 0), &[1; 128][..]))) as fn(&WriteTransaction),
        ),
        ("lengths-0", |txn: &WriteTransaction| drop(txn.open_table(LENGTHS).unwrap().insert((77, 0), &[1; 12][..]))),
        ("tiles-0", |txn: &WriteTransaction| drop(txn.open_table(TILES).unwrap().insert((77, 0), &[0; 16][..]))),
        ("interior-0", |txn: &WriteTransaction| {
            drop(txn.open_table(INTERIOR).unwrap().insert((77, 0, 0), &[1; 64][..]))
        }),
    ] {
        state(&format!("{table} rows of tree 77: there is no such tree"), plant);
    }
}

#[test]
fn block_data_of_a_tree_that_never_got_its_row_is_no_fault() {
    let found = planted("blocks.redb", |txn| {
        drop(txn.open_table(BLOCKS).unwrap().insert((NOBODY, 0), &[1][..]));
    });
    assert_eq!(found, Vec::<String>::new(), "a crash between the two files leaves this");
    let found = planted("state.redb", |txn| edit_head(txn, |head| head.next_tree = NOBODY));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn damaged_block_data_is_found() {
    let edit = |txn: &WriteTransaction, key: (u64, u32), edit: &dyn Fn(&mut Vec<u8>)| {
        let mut table = txn.open_table(BLOCKS).unwrap();
        let mut bytes = table.get(key).unwrap().unwrap().value().to_vec();
        edit(&mut bytes);
        table.insert(key, bytes.as_slice()).unwrap();
    };
    blocks("the bytes of leaf 100 of tree 3 do not hash to hashes-0", |txn| {
        edit(txn, (CUT, 0), &|bytes| bytes[51_200] ^= 1)
    });
    blocks("blocks-0 lacks the bytes of leaf 127 of tree 3", |txn| {
        edit(txn, (CUT, 0), &|bytes| bytes.truncate(bytes.len() - 1))
    });
    blocks("blocks-0 lacks the bytes of leaf 200 of tree 3", |txn| {
        edit(txn, (CUT, 1), &|bytes| bytes.truncate(bytes.len() - 1))
    });
    blocks("blocks-0 lacks the bytes of leaf 128 of tree 3", |txn| {
        drop(txn.open_table(BLOCKS).unwrap().remove((CUT, 1)))
    });
    blocks("the bytes of leaf 20 of tree 4 do not hash", |txn| edit(txn, (MIXED, 0), &|bytes| bytes[5_850] ^= 1));
    let found = planted("blocks.redb", |txn| edit(txn, (CUT, 0), &|bytes| bytes[0] ^= 1));
    assert_eq!(found, Vec::<String>::new(), "leaf 0 is done: nobody needs its bytes any more");
}

#[test]
fn checksums_that_do_not_fit_are_found() {
    let put = |txn: &WriteTransaction, key: (u64, u64), row: &[u8]| {
        drop(txn.open_table(SUMS).unwrap().insert(key, row).unwrap());
    };
    let row = |tree, group, leaves: usize| SumRow { leaves: vec![1; leaves] }.encode(tree, group);
    for (tree, group) in [(CUT, 4), (MIXED, 0), (REFERENCED, 3)] {
        blocks(&format!("sums-0 lacks row ({tree}, {group})"), |txn| {
            drop(txn.open_table(SUMS).unwrap().remove((tree, group)).unwrap())
        });
    }
    blocks("sums-0 row (3, 4): 5 bytes are not", |txn| put(txn, (CUT, 4), &[1; 5]));
    blocks("sums-0 row (3, 4): it does not match its own checksum", |txn| put(txn, (CUT, 4), &row(CUT, 5, 16)));
    blocks("sums-0 row (5, 3): 3 checksums for 2 leaves", |txn| put(txn, (REFERENCED, 3), &row(REFERENCED, 3, 3)));
    blocks("the bytes of leaf 64 of tree 3 are not those that were ingested", |txn| {
        put(txn, (CUT, 4), &row(CUT, 4, 16));
    });
    blocks("sums-0 row (3, 13): the tree has 13 groups", |txn| put(txn, (CUT, 13), &row(CUT, 13, 1)));
    blocks("blocks-0 rows of tree 1: its data should be gone", |txn| put(txn, (WHOLE, 0), &row(WHOLE, 0, 16)));
    // The numbers of trees that never got their row are not looked at.
    let found = planted("blocks.redb", |txn| put(txn, (NOBODY, 0), &row(NOBODY, 0, 1)));
    assert_eq!(found, Vec::<String>::new());
    let dropped = planted("blocks.redb", |txn| assert!(txn.delete_table(SUMS).unwrap()));
    assert_eq!(dropped, Vec::<String>::new(), "a store from before there were any");
}

#[test]
fn damaged_references_are_found() {
    let edit = |txn: &WriteTransaction, edit: &dyn Fn(&mut SourceRow)| {
        let mut table = txn.open_table(SOURCES).unwrap();
        let mut row: SourceRow =
            unseal("sources-0", (REFERENCED, 0), table.get((REFERENCED, 0)).unwrap().unwrap().value()).unwrap();
        edit(&mut row);
        table.insert((REFERENCED, 0), seal("sources-0", (REFERENCED, 0), &row).unwrap().as_slice()).unwrap();
    };
    blocks("sources-0 row (5, 0)", |txn| edit(txn, &|row| row.leaves -= 1));
    blocks("sources-0 row (5, 0)", |txn| edit(txn, &|row| row.cut = 0));
    blocks("sources-0 of tree 5: 49 leaves", |txn| {
        edit(txn, &|row| {
            row.leaves -= 1;
            row.len -= 512;
        })
    });
    blocks("sources-0 of tree 5: 0 leaves", |txn| drop(txn.open_table(SOURCES).unwrap().remove((REFERENCED, 0))));
    blocks("sources-0 row (5, 0): empty row", |txn| {
        drop(txn.open_table(SOURCES).unwrap().insert((REFERENCED, 0), &[][..]))
    });
}

#[test]
fn a_broken_ledger_is_found() {
    state("ledger-0 row 3: row 2 is next", |txn| drop(txn.open_table(LEDGER).unwrap().remove(2)));
    state("ledger-0 row 2: its digest does not follow", |txn| edit_entry(txn, 2, |row| row.amount += 1));
    state("ledger-0 row 3: its digest does not follow", |txn| edit_entry(txn, 2, |row| row.digest[0] ^= 1));
    state("the last digest is not that of the newest", |txn| edit_head(txn, |head| head.last_digest[0] ^= 1));
    state("ledger-0 ends before row", |txn| edit_head(txn, |head| head.next_ledger += 1));
    state("ledger-0 row 2: 3 bytes", |txn| drop(txn.open_table(LEDGER).unwrap().insert(2, &[1, 2, 3][..])));
    state("ledger-0 row 2: unknown kind", |txn| {
        let mut table = txn.open_table(LEDGER).unwrap();
        let mut raw = table.get(2).unwrap().unwrap().value()[..115].to_vec();
        raw[49] = 200;
        table.insert(2, raw.as_slice()).unwrap();
    });
    state("anchor 9, checkpoint 3", |txn| {
        edit_head(txn, |head| {
            head.anchor = 9;
            head.checkpoint = 3;
        })
    });
    state("meta-0 head: awarded is", |txn| forge_entry(txn, 2, |row| row.amount += 1));
    state("clients-0 row", |txn| forge_entry(txn, 2, |row| row.amount += 1));
    state("meta-0 head: nodes is", |txn| forge_entry(txn, 2, |row| row.nodes += 1));
    state("meta-0 head: leaves is", |txn| forge_entry(txn, 2, |row| row.leaves -= 1));
    state("are credited a second time", |txn| forge_entry(txn, 2, |row| row.start -= 32));
    state("are not a unit", |txn| forge_entry(txn, 2, |row| row.leaves = 33));
    state("no tree 1234 was ever begun", |txn| forge_entry(txn, 2, |row| row.tree = 1234));
    state("which has no row", |txn| forge_entry(txn, 2, |row| row.start = 1 << 30));
    state("it follows entry 7 of its client", |txn| forge_entry(txn, 2, |row| row.previous = 7));
}

#[test]
fn a_pointer_into_the_ledger_that_leads_elsewhere_is_found() {
    state("receipts-0 row 07070707", |txn| drop(txn.open_table(RECEIPTS).unwrap().insert([7; 16], 0)));
    state("debits-0 row 07070707", |txn| drop(txn.open_table(DEBITS).unwrap().insert([7; 16], 0)));
    state("debits-0 row 09090909", |txn| drop(txn.open_table(DEBITS).unwrap().remove([9; 16])));
    state("consumed-0 row (5, 07070707", |txn| drop(txn.open_table(CONSUMED).unwrap().insert((5, [7; 16]), 0)));
    state("ledger-0 row 0: receipts-0 row", |txn| {
        let mut table = txn.open_table(RECEIPTS).unwrap();
        table.retain(|_, seq| seq != 0).unwrap();
    });
}

#[test]
fn a_wrong_balance_is_found() {
    state("clients-0: all balances total", |txn| edit_client(txn, |row| row.balance += 1));
    state("its entries total", |txn| edit_client(txn, |row| row.balance += 1));
    state("its entries total", |txn| edit_client(txn, |row| row.accepted += 1));
    state("which is not its own", |txn| edit_client(txn, |row| row.last_seq = 1 << 40));
    state("is below the checkpoint", |txn| {
        edit_client(txn, |row| {
            row.last_seq = u64::MAX;
            row.balance = 0;
            row.accepted = 0;
        })
    });
    state("which is not its own", |txn| {
        let row = ClientRow { balance: 5, ..ClientRow::default() };
        let row = seal("clients-0", ClientDigest::from_bytes([1; 16]), &row).unwrap();
        drop(txn.open_table(CLIENTS).unwrap().insert([1; 16], row.as_slice()))
    });
    state("clients-0 row \"0101", |txn| drop(txn.open_table(CLIENTS).unwrap().insert([1; 16], &[][..])));
    // A row that is behind, with the checkpoint behind it too, is made up for by the tail.
    let found = planted("state.redb", |txn| {
        edit_head(txn, |head| head.checkpoint = 0);
        txn.open_table(CLIENTS).unwrap().retain(|_, _| false).unwrap();
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn wrong_totals_are_found() {
    type Edit = fn(&mut Head);
    let edits: [(&str, Edit); 10] = [
        ("trees", |head| head.totals.trees += 1),
        ("complete", |head| head.totals.complete += 1),
        ("pending", |head| head.totals.pending += 1),
        ("units", |head| head.totals.units += 1),
        ("leaves", |head| head.totals.leaves += 1),
        ("nodes", |head| head.totals.nodes += 1),
        ("interior", |head| head.totals.interior += 1),
        ("synthetic", |head| head.totals.synthetic += 1),
        ("awarded", |head| head.totals.awarded += 1),
        ("debited", |head| head.totals.debited += 1),
    ];
    for (what, edit) in edits {
        state(&format!("meta-0 head: {what} is"), |txn| edit_head(txn, edit));
    }
}

#[test]
fn many_findings_are_counted_and_the_first_hundred_listed() {
    let dir = copied();
    plant(&dir.path().join("state.redb"), |txn| {
        for name in 0..150 {
            txn.open_table(NAMES).unwrap().insert(format!("extra {name}").as_str(), CUT).unwrap();
        }
    });
    let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((report.found, report.findings.len()), (150, 100));
    assert!(!report.is_clean());
}

#[test]
fn a_check_in_many_small_runs_finds_the_same() {
    let dir = copied();
    let run = |at_once| {
        let provider = Arc::new(StoreDirectory::new(dir.path()));
        check_in_runs(provider, at_once, &mut |_| {}).unwrap()
    };
    for at_once in 1..8 {
        assert_eq!(run(at_once), run(1 << 20), "{at_once} at once");
        assert!(run(at_once).is_clean());
    }
    plant(&dir.path().join("state.redb"), |txn| {
        forge_entry(txn, 2, |row| row.start -= 32);
        forge_entry(txn, 6, |row| row.amount += 1);
        edit_client(txn, |row| row.accepted += 1);
    });
    let sorted = |at_once| {
        let mut found: Vec<String> = run(at_once).findings.into_iter().map(|finding| finding.what).collect();
        found.sort();
        found
    };
    assert!(sorted(1).len() >= 4, "{:?}", sorted(1));
    for at_once in 1..8 {
        assert_eq!(sorted(at_once), sorted(1 << 20), "{at_once} at once");
    }
}

/// Opening and checking are refused with an error that contains `wanted`, and the rows stay as they are.
#[track_caller]
fn refused(dir: &Path, file: &str, wanted: &str) {
    let text = PouwEngine::check_store(dir, &mut |_| {}).unwrap_err().to_string();
    assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
    let boot = || {
        let database = Database::open(dir.join("state.redb")).unwrap();
        let txn = database.begin_read().unwrap();
        txn.open_table(META).ok().and_then(|meta| meta.get("boot").unwrap().map(|raw| raw.value().to_vec()))
    };
    let before = boot();
    let text = PouwEngine::open(dir, settings().build().unwrap()).unwrap_err().to_string();
    assert!(text.contains(wanted) && text.contains(file), "{wanted:?} is not in {text:?}");
    assert_eq!(boot(), before, "a refused opening is not counted");
}

fn copied() -> tempfile::TempDir {
    store_plant::copied(fixture())
}

#[test]
fn a_store_of_another_format_is_refused() {
    for file in ["state.redb", "blocks.redb"] {
        let dir = copied();
        plant(&dir.path().join(file), |txn| {
            txn.open_table(META).unwrap().insert("format", &1_u32.to_le_bytes()[..]).unwrap();
        });
        refused(
            dir.path(),
            file,
            "has store format 1, this build reads 0; open it with the build that wrote it, or ingest into a new directory",
        );
    }
}

#[test]
fn a_redb_file_of_something_else_is_refused() {
    const OTHER: TableDefinition<u64, u64> = TableDefinition::new("inventory");
    for file in ["state.redb", "blocks.redb"] {
        let dir = copied();
        std::fs::remove_file(dir.path().join(file)).unwrap();
        let database = Database::create(dir.path().join(file)).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(OTHER).unwrap().insert(1, 2).unwrap();
        txn.commit().unwrap();
        drop(database);
        refused(dir.path(), file, "is not a pouw store (a redb file with other tables); name another directory");
        let database = Database::open(dir.path().join(file)).unwrap();
        let tables: Vec<String> =
            database.begin_read().unwrap().list_tables().unwrap().map(|table| table.name().to_owned()).collect();
        assert_eq!(tables, ["inventory"], "nothing was added to it");
    }
}
