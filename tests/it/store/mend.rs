//! Data and rows that belong to no tree: a check names them, an engine that runs removes data, a repair mends all.

use std::path::Path;
use std::sync::Arc;

use crate::support::house::config;
use crate::support::store_plant::{
    BLOCKS, CHORES, Files, HASHES, LEDGER, META, NAMES, SOURCES, TILES, TREES, copied, expect, plant,
};
use crate::support::work::{cut, pattern, work, work_off};
use pouw::internal::store::rows::{Head, SourceRow, seal, unseal};
use pouw::internal::store::{RedbStore, Store as _};
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::protocol::MicroJoules;
use pouw::{MendReport, PouwEngine, StoreDirectory, StoreOptions};
use redb::ReadableTable;

const STATE: &str = "state.redb";
const DATA: &str = "blocks.redb";

fn open(dir: &Path) -> PouwEngine {
    PouwEngine::open(dir, config().accept_clock_ahead(true).build().unwrap()).unwrap()
}

fn found(dir: &Path) -> Vec<String> {
    let report = PouwEngine::check_store(dir, &mut |_| {}).unwrap();
    report.findings.into_iter().map(|finding| finding.what).collect()
}

fn files(dir: &Path) -> Files {
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    (read(STATE), read(DATA))
}

/// Tree 0 is complete and its data is gone, 1 is pending, 2 was forgotten and purged, 3 is pending.
fn lived() -> Files {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.ingest_bytes(&cut(), "zero", &pattern(3 * 512, 0)).unwrap();
    work_off(&engine, b"client", High);
    while engine.upkeep().unwrap().removed > 0 {}
    for name in ["one", "two", "three"] {
        engine.ingest_bytes(&cut(), name, &pattern(40 * 512, name.len())).unwrap();
    }
    engine.forget("two").unwrap();
    while engine.upkeep().unwrap().removed > 0 {}
    engine.close();
    assert_eq!(found(dir.path()), [""; 0]);
    files(dir.path())
}

fn orphaned(dir: &Path, trees: &[u64]) {
    plant(&dir.join(DATA), |txn| {
        for tree in trees {
            let mut blocks = txn.open_table(BLOCKS).unwrap();
            for chunk in 0..3 {
                blocks.insert((*tree, chunk), &[7; 900][..]).unwrap();
            }
            let row = SourceRow { path: b"gone".to_vec(), leaves: 1, cut: 512, len: 9, modified_ns: 1, inode: 1 };
            let row = seal("sources-0", (*tree, 0), &row).unwrap();
            txn.open_table(SOURCES).unwrap().insert((*tree, 0), row.as_slice()).unwrap();
        }
    });
}

#[test]
fn left_over_data_is_named_and_an_engine_that_runs_removes_it() {
    let dir = copied(&lived());
    // The data of a forgotten tree, and of one whose data was dropped.
    orphaned(dir.path(), &[0, 2]);
    let named = found(dir.path());
    expect(&named, "blocks-0 rows of tree 2: there is no such tree");
    expect(&named, "sources-0 rows of tree 2");
    expect(&named, "blocks-0 rows of tree 0: its data should be gone");
    assert!(named.iter().all(|what| what.contains("run: pouw repair")), "{named:?}");
    let engine = open(dir.path());
    let mut removed = 0;
    while let rows @ 1.. = engine.upkeep().unwrap().removed {
        removed += rows;
    }
    engine.close();
    assert_eq!((removed, found(dir.path())), (8, Vec::<String>::new()));
    let engine = open(dir.path());
    assert_eq!(work_off(&engine, b"client", High), 4, "the data of the other trees is there");
}

#[test]
fn a_repair_removes_what_is_left_over_and_a_dry_run_only_says_so() {
    let dir = copied(&lived());
    orphaned(dir.path(), &[0, 2]);
    let before = files(dir.path());
    let dry = PouwEngine::repair_store(dir.path(), true).unwrap();
    assert!(files(dir.path()) == before, "a dry run wrote");
    assert_eq!((dry.dry_run, dry.leftover_data, dry.rows_removed, dry.steps.len()), (true, 2, 0, 2));
    let report = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert_eq!((report.dry_run, report.leftover_data, report.rows_removed), (false, 2, 8));
    assert_eq!(report.steps, dry.steps);
    assert_eq!(found(dir.path()), [""; 0]);
    let again = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert!(again.is_clean() && again == MendReport::default(), "{again:?}");
}

#[test]
fn a_repair_finishes_removals_that_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    engine.ingest_bytes(&cut(), "done", &pattern(3 * 512, 1)).unwrap();
    engine.ingest_bytes(&cut(), "forgotten", &pattern(3_000 * 512, 1)).unwrap();
    engine.forget("forgotten").unwrap();
    engine.close();
    let report = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert_eq!((report.removals, report.leftover_data, report.leftover_rows), (1, 0, 0));
    assert!(report.rows_removed > 100, "{report:?}");
    assert_eq!(found(dir.path()), [""; 0]);
    assert!(PouwEngine::repair_store(dir.path(), false).unwrap().is_clean());
}

#[test]
fn rows_without_a_tree_are_removed_unless_something_refers_to_them() {
    let lived = lived();
    // The note that tree 2 is to be removed was taken away too early.
    let dir = copied(&lived);
    plant(&dir.path().join(STATE), |txn| {
        txn.open_table(HASHES).unwrap().insert((2, 0), &[1; 1_088][..]).unwrap();
        txn.open_table(TILES).unwrap().insert((2, 0), &[0; 16][..]).unwrap();
        assert!(txn.open_table(CHORES).unwrap().first().unwrap().is_none());
    });
    orphaned(dir.path(), &[2]);
    expect(&found(dir.path()), "hashes-0 rows of tree 2: there is no such tree");
    let engine = open(dir.path());
    assert_eq!(engine.upkeep().unwrap().removed, 0, "no upkeep removes data that rows may need");
    engine.close();
    let report = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert_eq!((report.leftover_rows, report.removals, report.rows_removed), (1, 1, 6));
    assert_eq!(found(dir.path()), [""; 0]);

    // The main row of a tree is lost: its name leads to it still, so its data is not left over.
    let dir = copied(&lived);
    plant(&dir.path().join(STATE), |txn| {
        txn.open_table(TREES).unwrap().remove(1).unwrap();
        assert!(txn.open_table(NAMES).unwrap().get("one").unwrap().is_some());
    });
    let report = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert_eq!((report.not_mended, report.leftover_rows, report.leftover_data), (1, 0, 0));
    assert!(!report.is_clean() && report.rows_removed == 0, "{report:?}");
}

/// A damaged entry is sealed without its amount, which balances and totals still have.
#[test]
fn sums_that_lack_a_sealed_entry_are_brought_to_what_the_rows_give() {
    for at in [3, 4] {
        let dir = tempfile::tempdir().unwrap();
        let kept = config().ledger_entries_kept(1_000).accept_clock_ahead(true);
        let open = || PouwEngine::open(dir.path(), kept.clone().build().unwrap()).unwrap();
        let engine = open();
        engine.ingest_bytes(&cut(), "t", &pattern(8 * 512, 1)).unwrap();
        for _ in 0..8 {
            work(&engine, b"client", Low);
        }
        for number in 0..1_010_u32 {
            let mut key = [1; 16];
            key[..4].copy_from_slice(&number.to_le_bytes());
            engine.debit(b"client", MicroJoules(u64::from(number < 3)), key).unwrap();
        }
        engine.close();
        plant(&dir.path().join(STATE), |txn| {
            let mut ledger = txn.open_table(LEDGER).unwrap();
            let mut entry = ledger.get(at).unwrap().unwrap().value().to_vec();
            // Its kind.
            entry[49] = 0xff;
            let bytes = if at == 3 { &entry[..] } else { &entry[..40] };
            ledger.insert(at, bytes).unwrap();
        });
        let engine = open();
        while engine.sweep().unwrap().sealed > 0 {}
        assert!(engine.ledger(0, 1).unwrap()[0].seq > at);
        engine.close();
        let before = found(dir.path());
        assert!(before.iter().any(|what| what.starts_with("meta-0 head:")), "{before:#?}");
        let dry = PouwEngine::repair_store(dir.path(), true).unwrap();
        assert!(dry.sums > 0 && !dry.is_clean(), "{dry:?}");
        assert_eq!(found(dir.path()), before);
        let done = PouwEngine::repair_store(dir.path(), false).unwrap();
        assert_eq!(done.steps, dry.steps);
        assert!(done.steps.iter().any(|step| step.what.contains("sealed awarded is")), "{done:?}");
        assert_eq!(found(dir.path()), [""; 0], "{done:?}");
        assert!(PouwEngine::repair_store(dir.path(), false).unwrap().is_clean());
        let engine = open();
        engine.debit(b"client", MicroJoules(0), [9; 16]).unwrap();
        engine.close();
        assert_eq!(found(dir.path()), [""; 0]);
    }
}

#[test]
fn many_trees_without_a_row_are_noted_with_few_commits() {
    let dir = copied(&lived());
    let before = open(dir.path()).stats().commits;
    plant(&dir.path().join(STATE), |txn| {
        let mut head: Head =
            unseal("meta-0", "head", txn.open_table(META).unwrap().get("head").unwrap().unwrap().value()).unwrap();
        head.next_tree += 1_000;
        txn.open_table(META).unwrap().insert("head", seal("meta-0", "head", &head).unwrap().as_slice()).unwrap();
        let mut hashes = txn.open_table(HASHES).unwrap();
        for tree in 100..700 {
            hashes.insert((tree, 0), &[7; 128][..]).unwrap();
        }
    });
    let store = RedbStore::open(Arc::new(StoreDirectory::new(dir.path())), StoreOptions::new()).unwrap();
    assert_eq!(store.read().unwrap().ownerless(0, 1_000).unwrap().len(), 600);
    assert_eq!(store.read().unwrap().named(&[0, 1, 2, 3]).unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 3]);
    store.close();
    let done = PouwEngine::repair_store(dir.path(), false).unwrap();
    assert_eq!((done.leftover_rows, done.not_mended), (600, 0), "{done:?}");
    assert_eq!(found(dir.path()), [""; 0]);
    let commits = open(dir.path()).stats().commits - before;
    // One for each 256 notes; each removal has its own.
    assert!(commits < 600 + 20, "{commits}");
}
