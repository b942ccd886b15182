//! The three prunings of a sweep: tokens, ledger, idle clients. Each goes on when another cannot, and a row that does
//! not decode is passed over and reported once.

use std::time::Duration;

use crate::support::clients::{apart, audited, blocks, names};
use crate::support::house::{House, config};
use crate::support::store_plant::{CLIENTS, LEDGER, ReadableTable, TILES, plant};
use crate::support::work::{answer_right, answer_wrong, made_up};
use pouw::protocol::{DifficultyTier::Low, MicroJoules};
use pouw::{Event, Strategy, SweepReport};

const DAY: Duration = Duration::from_secs(24 * 3_600 + 1);

fn corruptions(house: &House) -> Vec<String> {
    let what = |event: &Event| if let Event::CorruptionFound { what, .. } = event { Some(what.clone()) } else { None };
    house.events.lock().iter().filter_map(what).collect()
}

/// Sweeps until nothing more is to be done. The sum of what was removed.
fn sweep_all(house: &House) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    for _ in 0..20 {
        let SweepReport { consumed_pruned, sealed, clients_pruned, .. } = house.engine.sweep().unwrap();
        sum = (sum.0 + consumed_pruned, sum.1 + sealed, sum.2 + clients_pruned);
    }
    sum
}

/// Entries of no amount, which are older than the last checkpoint after the next open.
fn entries(house: &House, count: u32) {
    for at in 0..count {
        let mut key = [1; 16];
        key[..4].copy_from_slice(&at.to_le_bytes());
        house.engine.debit(b"debtor", MicroJoules(0), key).unwrap();
    }
}

/// Clients that were wrong once, which leaves a row and a used token for each.
fn wrong_clients(house: &House, count: u64) {
    house.ingest(Strategy::Precomputed, "t", &blocks(1, 1));
    for who in 0..count {
        let issued = made_up(&house.engine, &names(who).0, Low);
        answer_wrong(&house.engine, &names(who).0, &issued.unit);
    }
}

#[test]
fn rows_that_do_not_decode_stop_no_pruning_and_are_told_once() {
    let mut house = House::in_directory(config().ledger_entries_kept(1_000));
    wrong_clients(&house, 20);
    entries(&house, 1_100);
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        let mut clients = txn.open_table(CLIENTS).unwrap();
        let keys: Vec<[u8; 16]> = clients.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
        for key in [keys[0], keys[9]] {
            clients.insert(key, &b"\x07no row"[..]).unwrap();
        }
        let mut ledger = txn.open_table(LEDGER).unwrap();
        ledger.insert(30, &b"no entry"[..]).unwrap();
        let mut unknown = ledger.get(60).unwrap().unwrap().value().to_vec();
        unknown[49] = 0xff;
        ledger.insert(60, unknown.as_slice()).unwrap();
        ledger.remove(90).unwrap();
    });
    house.reopen();
    house.clock.advance(DAY);
    let (tokens, sealed, clients) = sweep_all(&house);
    assert_eq!((tokens, sealed), (20, 100));
    // The debtor has kept entries; two rows are past telling.
    assert!((18..=19).contains(&clients), "{clients}");
    let told = corruptions(&house);
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(told.iter().filter(|what| what.contains("clients-0")).count(), 2, "{told:?}");
    assert_eq!(house.engine.ledger(0, 1).unwrap()[0].seq, 100);
    // And it stays like that: new tokens are pruned, new entries sealed, nothing is told again.
    let issued = made_up(&house.engine, b"late", Low);
    answer_right(&house.engine, b"late", &issued.unit).unwrap();
    house.clock.advance(DAY);
    assert_eq!(sweep_all(&house).0, 1);
    assert_eq!(corruptions(&house).len(), 5);
}

#[test]
fn a_tile_that_does_not_decode_keeps_no_entry_from_being_sealed() {
    let mut house = House::in_directory(audited(1).ledger_entries_kept(1_000));
    house.ingest(Strategy::SampledAudit { k: 1 }, "t", &blocks(32, 1));
    house.drain(apart(1)..apart(1) + 1);
    entries(&house, 1_010);
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(TILES).unwrap().insert((0, 0), &[0xff; 16][..]).unwrap();
    });
    house.reopen();
    house.clock.advance(DAY);
    assert_eq!(sweep_all(&house).1, 11);
    let told = corruptions(&house);
    assert!(told.iter().filter(|what| what.contains("tiles-0")).count() >= 1, "{told:?}");
}
