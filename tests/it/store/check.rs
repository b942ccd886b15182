//! The offline check: clean at every stage of a life, and one planted fault for each kind of row.

use std::path::Path;
use std::time::Duration;

use crate::support::work::solve;
use pouw::protocol::{ByTier, DifficultyTier, MicroJoules};
use pouw::{
    Answer, CheckReport, Config, Exposure, IngestLayout, IngestOptions, IssueError, IssueRequest, OpenError,
    PouwEngine, check,
};

const CLIENTS: [&[u8]; 3] = [b"anna", b"berta", b"carl"];

fn config() -> pouw::ConfigBuilder {
    Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).unit_bytes(ByTier {
        low: 1 << 10,
        medium: 2 << 10,
        high: 4 << 10,
    })
}

fn open(dir: &Path) -> PouwEngine {
    PouwEngine::open(dir, config().build().unwrap()).unwrap()
}

fn checked(dir: &Path) -> CheckReport {
    check(dir, &mut |_| {}).unwrap()
}

fn expect_clean(dir: &Path, when: &str) -> CheckReport {
    let report = checked(dir);
    assert!(report.is_clean(), "{when}: {:?}", report.findings);
    report
}

fn bytes(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + salt) % 251) as u8).collect()
}

/// Up to `units` units of the backlog, by turns for each client and tier.
fn work(engine: &PouwEngine, units: usize) -> usize {
    let tiers = [DifficultyTier::Low, DifficultyTier::Medium, DifficultyTier::High];
    for done in 0..units {
        engine.upkeep().unwrap();
        let client = CLIENTS[done % CLIENTS.len()];
        let issued = match engine.issue(&IssueRequest::new(client, tiers[done % 3])) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => return done,
            Err(other) => panic!("{other}"),
        };
        let result = solve(&issued.unit);
        engine.submit(&Answer::new(client, &result)).unwrap();
    }
    units
}

fn ingest(engine: &PouwEngine) {
    let files = IngestOptions::new(Exposure::Public).block_size(512);
    engine.ingest_bytes(&files, "cut", &bytes(70_001, 1)).unwrap();
    engine.ingest_bytes(&files, "empty", &[]).unwrap();
    let mixed: Vec<Vec<u8>> = (0..50).map(|i| bytes(100 + i * 150, i)).collect();
    let mixed: Vec<&[u8]> = mixed.iter().map(Vec::as_slice).collect();
    let blocks = files.clone().layout(IngestLayout::Blocks);
    engine.ingest_blocks(&blocks, "mixed", &mixed).unwrap();
    let long = files.block_size(8_192);
    engine.ingest_bytes(&long, "long", &bytes(8_192 * 5 + 100, 3)).unwrap();
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
    let missing = check(&dir.path().join("nowhere"), &mut |_| {}).unwrap_err();
    assert!(matches!(missing, OpenError::Directory { .. }), "{missing}");
    assert!(!dir.path().join("nowhere").exists(), "nothing is made");
    let engine = open(dir.path());
    let busy = check(dir.path(), &mut |_| {}).unwrap_err();
    assert!(busy.to_string().contains("open in another process"), "{busy}");
    engine.close();
    expect_clean(dir.path(), "closed");
}
