//! Reads that fail, writes that meet damage, and a store that stays closed: what is written then, and what is reported.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::disk::{PAGE, Rotting, copy};
use crate::support::house::{House, clock, config, on_disk, open, parts};
use crate::support::patience::{PATIENCE, until};
use crate::support::store_plant::{CLIENTS, plant};
use crate::support::work::{cut, issue, pattern, solve};
use pouw::internal::store::sim::SimDisk;
use pouw::internal::store::{RedbStore, Store as _};
use pouw::protocol::{DifficultyTier, MicroJoules};
use pouw::{Answer, Event, EventSink, StoreError, StoreFile, StoreOptions};

type Heard = Arc<Mutex<Vec<Event>>>;

fn hearing() -> (EventSink, Heard) {
    let events = Heard::default();
    let seen = events.clone();
    (EventSink::new(move |event| seen.lock().unwrap().push(event)), events)
}

/// Of each event about the storage, whether it says that the store is open.
fn recovered(events: &Heard) -> Vec<bool> {
    let said = |event: &Event| match event {
        Event::StorageFailed { recovered, .. } => Some(*recovered),
        _ => None,
    };
    events.lock().unwrap().iter().filter_map(said).collect()
}

fn uncached() -> StoreOptions {
    StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0)
}

/// A closed store with a few rows of each kind.
fn small_store() -> SimDisk {
    let disk = SimDisk::new();
    let engine = on_disk(&disk, &clock(), config());
    engine.ingest_bytes(&cut(), "t", &pattern(512 * 40, 1)).unwrap();
    for client in 0..20u8 {
        engine.debit(&[client], MicroJoules(0), [client; 16]).unwrap();
    }
    engine.close();
    disk
}

#[test]
fn a_sweep_that_cannot_read_says_so_and_writes_nothing() {
    let disk = copy(&small_store());
    let rotting = Rotting::new(Arc::new(disk.clone()));
    let (sink, events) = hearing();
    let engine = open(parts(Arc::new(rotting.clone()), &clock()).events(sink).options(uncached()), config());
    // Until nothing is left to be written.
    for _ in 0..3 {
        engine.sweep().unwrap();
    }
    let before = disk.syncs();
    for page in 0..disk.bytes(StoreFile::State).len() as u64 / PAGE {
        rotting.rot(StoreFile::State, page);
    }
    let failed = engine.sweep().unwrap_err().to_string();
    assert!(failed.contains("damaged"), "{failed}");
    assert_eq!((engine.failure(), disk.syncs()), (None, before), "{events:?}");
    rotting.heal();
    engine.sweep().unwrap();
    engine.debit(&[1], MicroJoules(0), [99; 16]).unwrap();
    engine.close();
}

#[test]
fn an_event_about_a_read_that_failed_says_whether_the_store_is_open() {
    let disk = copy(&small_store());
    let (sink, events) = hearing();
    let engine = open(parts(Arc::new(disk.clone()), &clock()).events(sink).options(uncached()), config());
    disk.fail_io(1, false);
    // The read fails, and redb refuses the file until a write has it opened again.
    let _ = engine.sweep();
    assert_eq!(recovered(&events), [false, true], "{events:?}");
    engine.debit(&[1], MicroJoules(0), [99; 16]).unwrap();
}

#[test]
fn a_batch_that_is_taken_apart_when_the_store_latches_is_one_event() {
    let mut house = House::in_directory(config());
    let damaged = *house.engine.client_digest(b"damaged").as_bytes();
    house.engine.ingest_bytes(&cut(), "t", &pattern(512 * 400, 1)).unwrap();
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(CLIENTS).unwrap().insert(damaged, &b"\x07no row"[..]).unwrap();
    });
    let bytes = |file: &str| std::fs::read(house.store().join(file)).unwrap();
    let disk = SimDisk::with_files(bytes("state.redb"), bytes("blocks.redb"));
    house.reopen();
    let (sink, events) = hearing();
    let engine = open(parts(Arc::new(disk.clone()), &clock()).events(sink), config());
    let clients: [&[u8]; 5] = [b"first", b"damaged", b"b", b"c", b"d"];
    let results: Vec<_> = clients.map(|client| solve(&issue(&engine, client, DifficultyTier::Low).unit)).into();
    let ((reached, at_first), (go_on, released)) = (channel(), channel());
    engine.submit_with(&Answer::new(clients[0], &results[0]), move |verdict| {
        // On the writer's thread: what is given in now becomes one batch.
        reached.send(verdict.is_ok()).unwrap();
        released.recv_timeout(PATIENCE).unwrap();
    });
    assert!(at_first.recv_timeout(PATIENCE).unwrap());
    let (answers, answered) = channel();
    for (client, result) in clients.iter().zip(&results).skip(1) {
        let answers = answers.clone();
        engine.submit_with(&Answer::new(client, result), move |verdict| answers.send(verdict.is_err()).unwrap());
    }
    disk.fail_sync(1, true);
    go_on.send(()).unwrap();
    let failed: Vec<bool> = (1..clients.len()).map(|_| answered.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(failed, [true; 4]);
    until(|| !engine.stats().threads[0].running);
    assert_eq!(recovered(&events), [false], "{events:?}");
}

#[test]
fn a_store_that_latches_while_the_engine_closes_is_one_event() {
    let disk = copy(&small_store());
    let (sink, events) = hearing();
    let time = clock();
    let engine = open(parts(Arc::new(disk.clone()), &time).events(sink), config());
    time.advance(Duration::from_secs(1));
    disk.fail_sync(1, true);
    engine.close();
    assert_eq!(recovered(&events), [false], "{events:?}");
}

#[test]
fn a_latched_store_is_not_read_by_callers_that_must_not_wait_either() {
    let store = RedbStore::open(Arc::new(copy(&small_store())), StoreOptions::new()).unwrap();
    assert!(store.is_open() && store.try_read().unwrap().is_some());
    store.latch("a page is damaged".into());
    assert!(matches!(store.try_read(), Err(StoreError::Closed)));
    assert!(!store.is_open());
}
