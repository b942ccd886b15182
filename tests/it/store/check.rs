//! The offline check: clean at every stage of a life, and one planted fault for each kind of row.

use std::path::Path;

use crate::support::house::config;
use crate::support::work::{answer_right, cut, pattern, try_issue};
use pouw::protocol::{ByTier, DifficultyTier, MicroJoules};
use pouw::{CheckReport, IngestLayout, OpenError, PouwEngine};

const CLIENTS: [&[u8]; 3] = [b"anna", b"berta", b"carl"];

fn open(dir: &Path) -> PouwEngine {
    PouwEngine::open(dir, config().unit_bytes(ByTier { low: 1 << 10, medium: 2 << 10, high: 4 << 10 }).build().unwrap())
        .unwrap()
}

fn checked(dir: &Path) -> CheckReport {
    PouwEngine::check_store(dir, &mut |_| {}).unwrap()
}

fn expect_clean(dir: &Path, when: &str) -> CheckReport {
    let report = checked(dir);
    assert!(report.is_clean(), "{when}: {:?}", report.findings);
    report
}

/// Up to `units` units of the backlog, by turns for each client and tier.
fn work(engine: &PouwEngine, units: usize) -> usize {
    let tiers = [DifficultyTier::Low, DifficultyTier::Medium, DifficultyTier::High];
    for done in 0..units {
        let client = CLIENTS[done % CLIENTS.len()];
        let Some(issued) = try_issue(engine, client, tiers[done % 3]) else { return done };
        answer_right(engine, client, &issued.unit).unwrap();
    }
    units
}

fn ingest(engine: &PouwEngine) {
    let files = cut();
    engine.ingest_bytes(&files, "cut", &pattern(70_001, 1)).unwrap();
    engine.ingest_bytes(&files, "empty", &[]).unwrap();
    let mixed: Vec<Vec<u8>> = (0..50).map(|i| pattern(100 + i * 150, i)).collect();
    let mixed: Vec<&[u8]> = mixed.iter().map(Vec::as_slice).collect();
    let blocks = files.clone().layout(IngestLayout::Blocks);
    engine.ingest_blocks(&blocks, "mixed", &mixed).unwrap();
    let long = files.block_size(8_192);
    engine.ingest_bytes(&long, "long", &pattern(8_192 * 5 + 100, 3)).unwrap();
}

#[test]
fn a_store_is_clean_at_every_stage_of_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    open(at).close();
    expect_clean(at, "new");
    let engine = open(at);
    ingest(&engine);
    engine.close();
    let report = expect_clean(at, "ingested");
    assert_eq!((report.trees, report.leaves_hashed), (4, 137 + 1 + 27 + 1), "the long leaves were hashed at ingest");
    for round in 0..4 {
        let engine = open(at);
        assert_eq!(work(&engine, 7), 7);
        engine.close();
        expect_clean(at, &format!("work {round}"));
    }
    let engine = open(at);
    engine.debit(b"anna", MicroJoules(100), [1; 16]).unwrap();
    engine.forget("empty").unwrap();
    engine.close();
    expect_clean(at, "debited and forgotten, not purged");
    let engine = open(at);
    work(&engine, usize::MAX);
    engine.upkeep().unwrap();
    engine.forget("cut").unwrap();
    ingest(&engine);
    engine.upkeep().unwrap();
    engine.close();
    let report = expect_clean(at, "drained, forgotten, and ingested again");
    assert_eq!(report.clients, 3);
    assert!(report.ledger_entries > 28);
}

#[test]
fn an_open_store_and_a_missing_one_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = PouwEngine::check_store(dir.path().join("nowhere"), &mut |_| {}).unwrap_err();
    assert!(matches!(missing, OpenError::Directory { .. }), "{missing}");
    assert!(!dir.path().join("nowhere").exists(), "nothing is made");
    let engine = open(dir.path());
    let busy = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap_err();
    assert!(busy.to_string().contains("is already open; only one process can use a store"), "{busy}");
    engine.close();
    expect_clean(dir.path(), "closed");
}
