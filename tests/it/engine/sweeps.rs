//! Sweeps: what they write, and when the background does them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::disk::{Access, Hooked};
use crate::support::house::{House, clock, config, open, parts};
use crate::support::patience::until;
use crate::support::work::{answer_wrong, cut, issue, made_up, work};
use pouw::SweepReport;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::DifficultyTier::Low;

const TTL_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The changes and syncs of the disk while `act` runs.
fn writes(house: &House, act: impl FnOnce()) -> usize {
    house.disk.record();
    act();
    let writes = house.disk.recorded();
    house.disk.take_recording();
    writes
}

#[test]
fn a_sweep_that_finds_nothing_to_do_writes_nothing() {
    let house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 4 * 512]).unwrap();
    work(&house.engine, b"client", Low);
    issue(&house.engine, b"forgetful", Low);
    let swept = |after_ms| {
        let mut report = SweepReport::default();
        let writes = writes(&house, || {
            house.clock.advance(Duration::from_millis(after_ms));
            report = house.engine.sweep().unwrap();
        });
        (report.expired, report.consumed_pruned, report.more, writes > 0)
    };
    // What the work left to be written behind.
    swept(0);
    for _ in 0..10 {
        assert_eq!(swept(1_000), (0, 0, false, false));
    }
    assert_eq!(swept(TTL_MS), (1, 0, false, true), "a lease ended");
    assert_eq!(swept(1_000), (0, 0, false, false));
    assert_eq!(swept(TTL_MS), (0, 1, false, true), "a consumed token is old enough to go");
    assert_eq!(swept(1_000), (0, 0, false, false));
    assert_eq!(swept(HOUR_MS), (0, 0, false, true), "the time is written once an hour");
    assert_eq!(swept(1_000), (0, 0, false, false));
}

#[test]
fn an_idle_engine_can_start_again_after_days_without_a_clean_end() {
    let mut house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    // A wall clock more than 400 days ahead of the newest time in the store is refused.
    for _ in 0..100 {
        house.clock.advance(Duration::from_millis(5 * DAY_MS));
        house.engine.sweep().unwrap();
    }
    house.power_cut();
    assert_eq!(house.names(), ["a"]);
}

#[test]
fn the_search_for_idle_clients_rests_and_misses_none() {
    let mut house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    let issued = issue(&house.engine, b"wrong", Low);
    answer_wrong(&house.engine, b"wrong", &issued.unit);
    // The client's row was changed at this time for the last time.
    house.reopen();
    let forgotten = |after_ms| {
        house.clock.advance(Duration::from_millis(after_ms));
        let pruned = house.engine.sweep().unwrap().clients_pruned;
        // The search looks at the newest commit until it rests.
        pruned + house.engine.sweep().unwrap().clients_pruned
    };
    assert_eq!(forgotten(0), 0);
    assert_eq!(forgotten(DAY_MS), 0);
    // Its standing went too, which the writer writes when it likes.
    until(|| house.engine.stats().standings_waiting == 0);
    assert_eq!(writes(&house, || assert_eq!(forgotten(0), 0)), 0);
    assert_eq!(forgotten(1), 1);
}

#[test]
fn the_background_ends_all_leases_that_are_over_at_one_time() {
    // More than one sweep ends.
    const LEASES: usize = 5_000;
    let house = House::with(config().background(true).synthetic_max(LEASES));
    for _ in 0..LEASES {
        made_up(&house.engine, b"client", Low);
    }
    assert_eq!(house.engine.stats().leases, LEASES);
    house.clock.advance(Duration::from_millis(TTL_MS + 1));
    until(|| house.engine.stats().leases == 0);
}

/// Trees are forgotten as fast as the background removes them, so that it never comes to rest.
#[test]
fn leases_end_while_the_background_is_busy_with_removing_trees() {
    const TREES: usize = 400;
    let (changes, forgotten, free) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
    // Each change that the background makes to the block file waits for one more tree.
    let (made, given, over) = (changes.clone(), forgotten.clone(), free.clone());
    let storage = Hooked::new(Arc::new(SimDisk::new()), move |access| {
        if access == Access::Change && std::thread::current().name() == Some("pouw-upkeep") {
            let change = made.fetch_add(1, Ordering::SeqCst) + 1;
            until(|| given.load(Ordering::SeqCst) >= change || over.load(Ordering::SeqCst));
        }
    });
    let clock = clock();
    let engine = open(parts(Arc::new(storage), &clock), config().background(true));
    // Of no tree: a lease on a leaf ends with its tree.
    made_up(&engine, b"client", Low);
    for tree in 0..TREES {
        engine.ingest_bytes(&cut(), &format!("tree {tree}"), &[1; 100]).unwrap();
    }
    let ended = (0..TREES).any(|tree| {
        engine.forget(&format!("tree {tree}")).unwrap();
        let given = forgotten.fetch_add(1, Ordering::SeqCst) + 1;
        if tree == 10 {
            assert_eq!(engine.stats().leases, 1);
            clock.advance(Duration::from_millis(TTL_MS + 1));
        }
        until(|| changes.load(Ordering::SeqCst) > given);
        tree > 10 && engine.stats().leases == 0
    });
    free.store(true, Ordering::SeqCst);
    assert!(ended, "the lease is open, although {TREES} trees were removed meanwhile");
}
