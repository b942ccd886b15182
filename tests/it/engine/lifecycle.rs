//! The main job through the public API: ingest, issue, solve, submit, assemble, validate, export.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::clients::exported_leaves;
use crate::support::house::{House, SECRET, clock, config, config_with, open, parts};
use crate::support::work::{answer_right, cut, issue, solve, spoiled, try_issue, work, work_off};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::root;
use pouw::protocol::{DifficultyTier, MicroJoules, WorkUnitOperation};
use pouw::{Answer, Event, EventSink, Ingested, IssueError, IssueRequest, PouwEngine, Receipt, TreeState};

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
        let house = House::in_directory(config());
        let engine = &house.engine;
        let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let options = cut();
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Added);
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Unchanged);
        let units = work_off(engine, b"client", tier);
        engine.upkeep().unwrap();
        let blocks: Vec<&[u8]> = if data.is_empty() { vec![&[]] } else { data.chunks(512).collect() };
        let leaves: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
        let info = engine.tree("a").unwrap();
        assert_eq!(info.state, TreeState::Complete, "len {len} after {units} units");
        assert_eq!(engine.root("a").unwrap(), root(&leaves).unwrap());
        assert_eq!(exported_leaves(engine, "a"), leaves);
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
    let house = House::in_directory(config().interior_units(true));
    let engine = &house.engine;
    let data = vec![5; 512 * 150];
    engine.ingest_bytes(&cut(), "a", &data).unwrap();
    work_off(engine, b"client", DifficultyTier::High);
    assert_eq!(engine.tree("a").unwrap().state, TreeState::Folding);
    let before = engine.stats().totals;
    let mut seen = Vec::new();
    while let Some(issued) = try_issue(engine, b"folder", DifficultyTier::Low) {
        assert_eq!(issued.unit.operation, WorkUnitOperation::InteriorHash);
        seen.push((issued.unit.tree_level, issued.unit.tree_index, issued.unit.child_count));
        answer_right(engine, b"folder", &issued.unit).unwrap();
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
    let mut house = House::in_directory(config().interior_units(true));
    let engine = &house.engine;
    engine.ingest_bytes(&cut(), "a", &vec![6; 512 * 150]).unwrap();
    work_off(engine, b"client", DifficultyTier::High);
    let low = || IssueRequest::new(b"folder", DifficultyTier::Low);
    let (first, second) = (engine.issue(&low()).unwrap(), engine.issue(&low()).unwrap());
    answer_right(engine, b"folder", &first.unit).unwrap();
    house.reopen();
    let engine = &house.engine;
    engine.upkeep().unwrap();
    let late = solve(&second.unit);
    engine.submit(&Answer::new(b"folder", &late)).unwrap();
    let again = engine.submit(&Answer::new(b"folder", &late)).unwrap_err();
    assert_eq!(again.reason().as_str(), "token_replayed");
    while let Ok(issued) = engine.issue(&low()) {
        answer_right(engine, b"folder", &issued.unit).unwrap();
        engine.upkeep().unwrap();
    }
    assert_eq!(engine.tree("a").unwrap().state, TreeState::Complete);
    assert_eq!(engine.balance(b"folder").unwrap(), MicroJoules(600));
}

#[test]
fn made_up_work_is_issued_only_on_request_and_can_be_answered_after_a_restart_with_a_new_secret() {
    let mut house = House::in_directory(config());
    let engine = &house.engine;
    for (tier, leaves) in [(DifficultyTier::Low, 0), (DifficultyTier::Medium, 4), (DifficultyTier::High, 16)] {
        let real_only = IssueRequest::new(b"c", tier);
        assert!(matches!(engine.issue(&real_only), Err(IssueError::NoWork)));
        let issued = engine.issue(&real_only.synthetic(true)).unwrap();
        assert!(issued.unit.synthetic);
        assert_eq!(issued.unit.leaf_lengths.len(), leaves);
        answer_right(engine, b"c", &issued.unit).unwrap();
    }
    let kept = engine.issue(&IssueRequest::new(b"c", DifficultyTier::High).synthetic(true)).unwrap();
    house.reopen_as(config_with([8; 32]).previous_secret(SECRET));
    let engine = &house.engine;
    answer_right(engine, b"c", &kept.unit).unwrap();
    let totals = engine.stats().totals;
    assert_eq!((totals.synthetic, totals.units, totals.leaves), (4, 0, 0));
    assert_eq!(engine.balance(b"c").unwrap(), MicroJoules(100 * (1 + 7 + 31 + 31)));
}

#[test]
fn sweeping_prunes_consumed_tokens_seals_the_ledger_and_keeps_sums_and_chain() {
    let mut house = House::in_directory(config().ledger_entries_kept(1_000));
    let engine = &house.engine;
    engine.ingest_bytes(&cut(), "a", &vec![1; 512 * 1_200]).unwrap();
    let first = work(engine, b"early", DifficultyTier::Low);
    assert_eq!(work_off(engine, b"client", DifficultyTier::Low), 1_199);
    engine.debit(b"client", MicroJoules(50), [9; 16]).unwrap();
    assert_eq!(engine.sweep().unwrap().consumed_pruned, 0, "a token is remembered for its lifetime");
    house.clock.advance(Duration::from_millis(200_000));
    // Sealing waits for the checkpoint of client rows, which a close writes.
    house.reopen();
    let engine = &house.engine;
    let report = engine.sweep().unwrap();
    assert_eq!((report.consumed_pruned, report.sealed), (1_200, 201));
    assert_eq!(engine.receipt(first.id).unwrap(), Receipt::Unknown, "a sealed entry takes its receipt along");
    let entries = engine.ledger(0, 5_000).unwrap();
    assert_eq!((entries[0].seq, entries.len()), (201, 1_000));
    let mut before = None;
    for entry in &entries {
        if let Some(digest) = before {
            assert!(entry.follows(&digest));
        }
        before = Some(entry.digest);
    }
    assert_eq!(engine.balance(b"early").unwrap(), MicroJoules(100));
    assert_eq!(engine.balance(b"client").unwrap(), MicroJoules(1_199 * 100 - 50));
    engine.close();
    assert_eq!(PouwEngine::check_store(house.store(), &mut |_| {}).unwrap().findings, []);
}

#[test]
fn a_client_with_nothing_on_its_account_is_forgotten_after_a_day() {
    let mut house = House::in_directory(config());
    let engine = &house.engine;
    engine.ingest_bytes(&cut(), "a", &vec![1; 512]).unwrap();
    let issued = issue(engine, b"wrong", DifficultyTier::Low);
    engine.submit(&Answer::new(b"wrong", &spoiled(&solve(&issued.unit)))).unwrap_err();
    house.reopen();
    let engine = &house.engine;
    assert_eq!(engine.sweep().unwrap().clients_pruned, 0);
    house.clock.advance(Duration::from_millis(25 * 3_600_000));
    assert_eq!(engine.sweep().unwrap().clients_pruned, 1);
}

#[test]
fn a_lease_forgotten_by_its_client_returns_to_the_ring_without_the_hosts_help() {
    let house = House::with(config().background(true));
    house.engine.ingest_bytes(&cut(), "a", &[5; 512]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // A request that finds no unit wakes the engine's thread, as in a service.
    let next = || loop {
        match house.engine.issue(&IssueRequest::new(b"c", DifficultyTier::Low)) {
            Ok(issued) => return issued,
            Err(IssueError::NoWork) if Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let forgotten = next();
    house.clock.advance(Duration::from_millis(60_001));
    let again = next();
    assert_eq!(again.unit.input_data, forgotten.unit.input_data);
    assert_ne!(again.unit.id, forgotten.unit.id);
}

#[test]
fn a_sweep_of_the_background_thread_that_fails_is_an_event_and_a_later_one_works() {
    let (disk, clock) = (SimDisk::new(), clock());
    let (sender, events) = std::sync::mpsc::channel();
    let subscriber = EventSink::new(move |event| drop(sender.send(event)));
    let parts = parts(Arc::new(disk.clone()), &clock).events(subscriber);
    let engine = open(parts, config().background(true));
    let seen = |wanted: fn(&Event) -> bool| {
        while !wanted(&events.recv_timeout(Duration::from_secs(60)).expect("an event")) {}
    };
    disk.set_full(true);
    // A sweep writes the time once an hour.
    clock.advance(Duration::from_millis(3_600_000));
    seen(|event| matches!(event, Event::SweepFailed { .. }));
    disk.heal();
    // The writer may not have reopened the store yet; a write makes it try again.
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = engine.sweep() {
        assert!(error.is_retryable() && Instant::now() < deadline, "{error}");
    }
    engine.ingest_bytes(&cut(), "a", &[5; 512]).unwrap();
    engine.refill().unwrap();
    assert_eq!(work_off(&engine, b"c", DifficultyTier::Low), 1);
    seen(|event| matches!(event, Event::TreeCompleted { .. }));
}
