//! Rows that follow from others are damaged, lost or astray: a repair derives them again.

use crate::support::clients::{apart, audited, blocks, names};
use crate::support::house::House;
use crate::support::store_plant::{
    BLOCKS, CHORES, DAMAGED, DEBITS, DOUBTED, HANDLES, LEDGER, NAMES, PROVENANCE, READY, RECEIPTS, ReadableTable,
    TILES, TREES, edit_head, edit_tree, plant, set_leaf,
};
use pouw::internal::store::rows::DataPlace;
use pouw::protocol::MicroJoules;
use pouw::{PouwEngine, ScrubBudget, Strategy, TreeState};
use redb::WriteTransaction;

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };

/// Tree 0 is complete and its data is to go, tree 1 has weak, damaged and pending leaves, tree 2 is
/// untouched. There is a debit.
fn house() -> House {
    let mut house = House::in_directory(audited(3));
    house.ingest(Strategy::Precomputed, "done", &blocks(40, 1));
    house.drain(apart(1)..apart(1) + 1);
    house.engine.debit(&names(apart(1)).0, MicroJoules(1), [9; 16]).unwrap();
    house.ingest(AUDIT, "part", &blocks(100, 2));
    house.work(apart(2), |_| {}).unwrap().unwrap();
    house.engine.close();
    plant(&house.store().join("blocks.redb"), |txn| {
        let mut blocks = txn.open_table(BLOCKS).unwrap();
        let mut chunk = blocks.get((1, 0)).unwrap().unwrap().value().to_vec();
        *chunk.last_mut().unwrap() ^= 1;
        blocks.insert((1, 0), &chunk[..]).unwrap();
    });
    house.reopen();
    house.engine.scrub(ScrubBudget::bytes(1 << 30)).unwrap();
    house.ingest(Strategy::Precomputed, "fresh", &blocks(40, 3));
    let part = house.engine.tree("part").unwrap();
    assert!(part.provenance.weak() > 0 && part.provenance.damaged == 1, "{part:?}");
    house.checked();
    house
}

fn found(house: &House) -> Vec<String> {
    let report = PouwEngine::check_store(house.store(), &mut |_| {}).unwrap();
    report.findings.into_iter().map(|finding| finding.what).collect()
}

fn key(txn: &WriteTransaction, tree: u64) -> [u8; 16] {
    let handles = txn.open_table(HANDLES).unwrap();
    let mut rows = handles.iter().unwrap().map(|row| row.unwrap());
    rows.find(|(_, of)| of.value() == tree).unwrap().0.value()
}

fn receipt(txn: &WriteTransaction) -> [u8; 16] {
    txn.open_table(RECEIPTS).unwrap().first().unwrap().unwrap().0.value()
}

type Damage = (&'static str, &'static dyn Fn(&WriteTransaction));

const DAMAGES: [Damage; 20] = [
    ("provenance-0", &|txn| drop(txn.open_table(PROVENANCE).unwrap().insert(1, &b"no row"[..]).unwrap())),
    ("provenance-0", &|txn| drop(txn.open_table(PROVENANCE).unwrap().remove(1).unwrap().unwrap())),
    ("names-0", &|txn| drop(txn.open_table(NAMES).unwrap().insert("part", 2).unwrap())),
    ("names-0", &|txn| drop(txn.open_table(NAMES).unwrap().remove("part").unwrap().unwrap())),
    ("names-0", &|txn| drop(txn.open_table(NAMES).unwrap().insert("gone", 77).unwrap())),
    ("handles-0", &|txn| {
        let key = key(txn, 1);
        txn.open_table(HANDLES).unwrap().insert(key, 2).unwrap();
    }),
    ("handles-0", &|txn| {
        let key = key(txn, 1);
        txn.open_table(HANDLES).unwrap().remove(key).unwrap().unwrap();
    }),
    ("ready-0", &|txn| {
        let mut ready = txn.open_table(READY).unwrap();
        let keys: Vec<(u8, u64)> = ready.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
        keys.into_iter().for_each(|key| drop(ready.remove(key).unwrap()));
        ready.insert((1, 99), 2).unwrap();
    }),
    // Its data was not noted to be gone, and the note that it is to go is lost.
    ("chores-0", &|txn| {
        edit_tree(txn, 0, |row| row.data = DataPlace::Copied);
        txn.open_table(CHORES).unwrap().remove((2, 0)).unwrap();
    }),
    ("chores-0", &|txn| drop(txn.open_table(CHORES).unwrap().insert((0, 1), ()).unwrap())),
    ("chores-0", &|txn| drop(txn.open_table(CHORES).unwrap().insert((2, 1), ()).unwrap())),
    ("damaged-0", &|txn| drop(txn.open_table(DAMAGED).unwrap().remove((1, 99)).unwrap().unwrap())),
    ("damaged-0", &|txn| drop(txn.open_table(DAMAGED).unwrap().insert((2, 3), ()).unwrap())),
    ("doubted-0", &|txn| drop(txn.open_table(DOUBTED).unwrap().insert((1, 0), ()).unwrap())),
    // An audited leaf is doubted.
    ("doubted-0", &|txn| set_leaf(txn, 1, 0, 5)),
    ("receipts-0", &|txn| {
        let key = receipt(txn);
        txn.open_table(RECEIPTS).unwrap().remove(key).unwrap().unwrap();
    }),
    ("receipts-0", &|txn| drop(txn.open_table(RECEIPTS).unwrap().insert([7; 16], 1).unwrap())),
    ("debits-0", &|txn| drop(txn.open_table(DEBITS).unwrap().remove([9; 16]).unwrap().unwrap())),
    ("debits-0", &|txn| drop(txn.open_table(DEBITS).unwrap().insert([9; 16], 0).unwrap())),
    ("meta-0 head: pending", &|txn| edit_head(txn, |head| head.totals.pending += 5)),
];

#[test]
fn rows_that_follow_from_others_are_mended() {
    let lived = house();
    for (number, (table, damage)) in DAMAGES.into_iter().enumerate() {
        let mut house = House::in_directory(audited(3));
        house.engine.close();
        for file in ["state.redb", "blocks.redb"] {
            lived.engine.close();
            std::fs::copy(lived.store().join(file), house.store().join(file)).unwrap();
        }
        let state = house.store().join("state.redb");
        plant(&state, damage);
        assert_ne!(found(&house), [""; 0], "{number} {table}: not planted");
        let before = std::fs::read(&state).unwrap();
        let dry = PouwEngine::repair_store(house.store(), true).unwrap();
        assert!(std::fs::read(&state).unwrap() == before, "a dry run wrote");
        assert!(dry.steps.iter().any(|step| step.what.contains(table)), "{number} {table}: {dry:?}");
        let done = PouwEngine::repair_store(house.store(), false).unwrap();
        assert_eq!((done.not_mended, done.derived + done.sums), (0, dry.derived + dry.sums), "{number} {done:?}");
        assert_eq!(found(&house), [""; 0], "{number} {table}: {done:?}");
        assert!(PouwEngine::repair_store(house.store(), false).unwrap().is_clean());
        house.reopen();
        house.drain(apart(3)..apart(6));
        house.settle();
        for name in ["done", "fresh"] {
            assert_eq!(house.engine.tree(name).unwrap().state, TreeState::Complete, "{number} {table}");
        }
        house.ingest(AUDIT, "part", &blocks(100, 2));
        house.drain(apart(6)..apart(9));
        house.settle();
        assert_eq!(house.engine.tree("part").unwrap().state, TreeState::Complete, "{number} {table}");
        house.assert_right("part", &blocks(100, 2));
        house.checked();
    }
}

#[test]
fn a_tree_whose_counts_are_damaged_can_be_forgotten() {
    let mut house = house();
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(PROVENANCE).unwrap().insert(1, &b"no row"[..]).unwrap();
    });
    house.reopen();
    house.engine.forget("part").unwrap();
    while house.engine.upkeep().unwrap().removed > 0 {}
    house.checked();
}

/// What only a backup has is named, and nothing else is changed because of it.
#[test]
fn counts_and_states_that_are_both_damaged_are_named() {
    let house = house();
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(PROVENANCE).unwrap().insert(1, &b"no row"[..]).unwrap();
        txn.open_table(TILES).unwrap().insert((1, 0), &b"no row"[..]).unwrap();
        // Nothing is known about what leads to a tree whose row is lost.
        txn.open_table(TREES).unwrap().insert(2, &b"no row"[..]).unwrap();
        let mut ledger = txn.open_table(LEDGER).unwrap();
        ledger.insert(0, &b"no row"[..]).unwrap();
    });
    let report = PouwEngine::repair_store(house.store(), false).unwrap();
    assert_eq!((report.not_mended, report.derived, report.sums, report.rows_removed), (1, 0, 0, 0), "{report:?}");
    assert!(report.steps.iter().any(|step| step.what.starts_with("tree 1: the counts")), "{report:?}");
}
