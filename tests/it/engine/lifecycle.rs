//! The main job through the public API: ingest, issue, solve, submit, assemble, validate, export.

use std::sync::Arc;
use std::time::Duration;

use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use pouw::protocol::{ByTier, DifficultyTier, MicroJoules, WorkResult, WorkUnitOperation};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, ConfigBuilder, Exposure, FakeClock, IngestOptions, Ingested, IssueError, IssueRequest, Issued,
    Parts, PouwEngine, Receipt, TreeState,
};

fn settings() -> ConfigBuilder {
    Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false)
}

fn config() -> Config {
    settings().build().unwrap()
}

fn open_at(dir: &tempfile::TempDir, clock: &Arc<FakeClock>, config: Config) -> PouwEngine {
    let parts = Parts { clock: clock.clone(), ..Parts::in_directory(dir.path()) };
    PouwEngine::open_with(parts, config).unwrap()
}

fn blocks_of_512() -> IngestOptions {
    IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) }
}

fn solve(issued: &Issued) -> WorkResult {
    compute_work_unit(&issued.unit).unwrap()
}

fn drain(engine: &PouwEngine, tier: DifficultyTier) -> u64 {
    let mut units = 0;
    loop {
        engine.upkeep().unwrap();
        let issued = match engine.issue(&IssueRequest::new(b"client", tier)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => return units,
            Err(other) => panic!("{other}"),
        };
        let result = solve(&issued);
        let accepted = engine.submit(&Answer::new(b"client", &result)).unwrap();
        assert_eq!(accepted.nodes, issued.unit.node_count);
        units += 1;
    }
}

#[test]
fn a_file_becomes_a_complete_tree_whose_leaves_are_its_blocks_hashes() {
    for (len, tier) in [
        (0, DifficultyTier::Low),
        (100, DifficultyTier::High),
        (5_000, DifficultyTier::Medium),
        (70_000, DifficultyTier::High),
        (300_001, DifficultyTier::High),
        (40_000, DifficultyTier::Low),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let engine = PouwEngine::open(dir.path(), config()).unwrap();
        let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let options = blocks_of_512();
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Added);
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Unchanged);
        let units = drain(&engine, tier);
        engine.upkeep().unwrap();
        let blocks: Vec<&[u8]> = if data.is_empty() { vec![&[]] } else { data.chunks(512).collect() };
        let leaves: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
        let info = engine.tree("a").unwrap();
        assert_eq!(info.state, TreeState::Complete, "len {len} after {units} units");
        assert_eq!(engine.root("a").unwrap(), root(&leaves).unwrap());
        let mut exported = Vec::new();
        engine
            .export_leaves("a", &mut |node| {
                exported.push(*node);
                Ok(())
            })
            .unwrap();
        assert_eq!(exported, leaves);
        let mut all = Vec::new();
        let count = engine
            .export_addresses("a", &mut |node| {
                all.push(*node);
                Ok(())
            })
            .unwrap();
        assert_eq!(count.nodes, all.len() as u64);
        assert_eq!(all[0], root(&leaves).unwrap());
        assert_eq!(all[all.len() - leaves.len()..], leaves);
        let stats = engine.stats();
        assert_eq!(stats.totals.leaves, leaves.len() as u64);
        assert_eq!(engine.balance(b"client").unwrap().0, stats.totals.nodes * 100);
    }
}

#[test]
fn with_interior_units_on_clients_fold_the_tree_up_to_its_root_and_are_paid_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = PouwEngine::open(dir.path(), settings().interior_units(true).build().unwrap()).unwrap();
    let data = vec![5; 512 * 150];
    engine.ingest_bytes(&blocks_of_512(), "a", &data).unwrap();
    drain(&engine, DifficultyTier::High);
    assert_eq!(engine.tree("a").unwrap().state, TreeState::Folding);
    let before = engine.stats().totals;
    let mut seen = Vec::new();
    loop {
        engine.upkeep().unwrap();
        let issued = match engine.issue(&IssueRequest::new(b"folder", DifficultyTier::Low)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => break,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(issued.unit.operation, WorkUnitOperation::InteriorHash);
        seen.push((issued.unit.tree_level, issued.unit.tree_index, issued.unit.child_count));
        engine.submit(&Answer::new(b"folder", &solve(&issued))).unwrap();
    }
    // 150 leaves are 5 tiles: above them 3, 2 and 1 nodes, the last of each ragged level with one child.
    assert_eq!(seen, [(2, 0, 2), (2, 1, 2), (2, 2, 1), (1, 0, 2), (1, 1, 1), (0, 0, 2)]);
    assert_eq!(engine.tree("a").unwrap().state, TreeState::Complete);
    let leaves: Vec<Checksum> = data.chunks(512).map(sha3_512).collect();
    assert_eq!(engine.root("a").unwrap(), root(&leaves).unwrap());
    assert_eq!(engine.stats().totals.interior - before.interior, 6);
    assert_eq!(engine.balance(b"folder").unwrap(), MicroJoules(600));
}

#[test]
fn a_half_folded_tree_goes_on_after_a_restart_and_an_interior_token_of_before_is_adopted_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(1_700_000_000_000));
    let config = || settings().interior_units(true).build().unwrap();
    let engine = open_at(&dir, &clock, config());
    engine.ingest_bytes(&blocks_of_512(), "a", &vec![6; 512 * 150]).unwrap();
    drain(&engine, DifficultyTier::High);
    let low = || IssueRequest::new(b"folder", DifficultyTier::Low);
    let (first, second) = (engine.issue(&low()).unwrap(), engine.issue(&low()).unwrap());
    engine.submit(&Answer::new(b"folder", &solve(&first))).unwrap();
    engine.close();
    let engine = open_at(&dir, &clock, config());
    engine.upkeep().unwrap();
    let late = solve(&second);
    engine.submit(&Answer::new(b"folder", &late)).unwrap();
    let again = engine.submit(&Answer::new(b"folder", &late)).unwrap_err();
    assert_eq!(again.reason().as_str(), "token_replayed");
    while let Ok(issued) = engine.issue(&low()) {
        engine.submit(&Answer::new(b"folder", &solve(&issued))).unwrap();
        engine.upkeep().unwrap();
    }
    assert_eq!(engine.tree("a").unwrap().state, TreeState::Complete);
    assert_eq!(engine.balance(b"folder").unwrap(), MicroJoules(600));
}

#[test]
fn made_up_work_is_issued_only_on_request_and_can_be_answered_after_a_restart_with_a_new_secret() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(1_700_000_000_000));
    let engine = open_at(&dir, &clock, config());
    for (tier, leaves) in [(DifficultyTier::Low, 0), (DifficultyTier::Medium, 4), (DifficultyTier::High, 16)] {
        let real_only = IssueRequest::new(b"c", tier);
        assert!(matches!(engine.issue(&real_only), Err(IssueError::NoWork)));
        let issued = engine.issue(&real_only.synthetic(true)).unwrap();
        assert!(issued.unit.synthetic);
        assert_eq!(issued.unit.leaf_lengths.len(), leaves);
        engine.submit(&Answer::new(b"c", &solve(&issued))).unwrap();
    }
    let kept = engine.issue(&IssueRequest::new(b"c", DifficultyTier::High).synthetic(true)).unwrap();
    engine.close();
    let rotated = Config::builder([8; 32])
        .previous_secret([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .background(false)
        .build()
        .unwrap();
    let engine = open_at(&dir, &clock, rotated);
    engine.submit(&Answer::new(b"c", &solve(&kept))).unwrap();
    let totals = engine.stats().totals;
    assert_eq!((totals.synthetic, totals.units, totals.leaves), (4, 0, 0));
    assert_eq!(engine.balance(b"c").unwrap(), MicroJoules(100 * (1 + 7 + 31 + 31)));
}

#[test]
fn sweeping_prunes_consumed_tokens_seals_the_ledger_and_keeps_sums_and_chain() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(1_700_000_000_000));
    let engine = open_at(&dir, &clock, settings().ledger_entries_kept(1_000).build().unwrap());
    engine.ingest_bytes(&blocks_of_512(), "a", &vec![1; 512 * 1_200]).unwrap();
    let first = {
        engine.upkeep().unwrap();
        let issued = engine.issue(&IssueRequest::new(b"early", DifficultyTier::Low)).unwrap();
        engine.submit(&Answer::new(b"early", &solve(&issued))).unwrap()
    };
    assert_eq!(drain(&engine, DifficultyTier::Low), 1_199);
    engine.debit(b"client", MicroJoules(50), [9; 16]).unwrap();
    assert_eq!(engine.sweep().unwrap().consumed_pruned, 0, "a token is remembered for its lifetime");
    clock.advance(200_000);
    // Sealing waits for the checkpoint of client rows, which a close writes.
    engine.close();
    let engine = open_at(&dir, &clock, settings().ledger_entries_kept(1_000).build().unwrap());
    let report = engine.sweep().unwrap();
    assert_eq!((report.consumed_pruned, report.sealed), (1_200, 201));
    assert_eq!(engine.receipt(first.id).unwrap(), Receipt::Unknown, "a sealed entry takes its receipt along");
    let entries = engine.ledger(0, 5_000).unwrap();
    assert_eq!((entries[0].seq, entries.len()), (201, 1_000));
    let mut before = None;
    for entry in &entries {
        if let Some(digest) = before {
            assert_eq!(entry.row.digest, entry.row.chained(&digest, entry.seq));
        }
        before = Some(entry.row.digest);
    }
    assert_eq!(engine.balance(b"early").unwrap(), MicroJoules(100));
    assert_eq!(engine.balance(b"client").unwrap(), MicroJoules(1_199 * 100 - 50));
    engine.close();
    assert_eq!(pouw::check(dir.path(), &mut |_| {}).unwrap().findings, []);
}

#[test]
fn a_client_with_nothing_on_its_account_is_forgotten_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(1_700_000_000_000));
    let engine = open_at(&dir, &clock, config());
    engine.ingest_bytes(&blocks_of_512(), "a", &vec![1; 512]).unwrap();
    engine.upkeep().unwrap();
    let issued = engine.issue(&IssueRequest::new(b"wrong", DifficultyTier::Low)).unwrap();
    let mut result = solve(&issued);
    result.result_hash = sha3_512(b"something else");
    engine.submit(&Answer::new(b"wrong", &result)).unwrap_err();
    engine.close();
    let engine = open_at(&dir, &clock, config());
    assert_eq!(engine.sweep().unwrap().clients_pruned, 0);
    clock.advance(25 * 3_600_000);
    assert_eq!(engine.sweep().unwrap().clients_pruned, 1);
}
