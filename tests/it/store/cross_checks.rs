//! Rows whose values carry no checksum lead astray: nothing believes them, and nobody is blamed.

use std::sync::Arc;

use crate::support::clients::{HIGH, answer, apart, blocks, names};
use crate::support::house::{House, config};
use crate::support::patience::ended;
use crate::support::store_plant::{
    CHORES, CONSUMED, DEBITS, FOLLOWED, HANDLES, LEDGER, NAMES, READY, RECEIPTS, ReadableTable, SUSPECTS, TILES, plant,
};
use parking_lot::Mutex;
use pouw::internal::store::{RedbStore, Store as _};
use pouw::protocol::MicroJoules;
use pouw::{Event, StoreOptions, Strategy, SubmitError, TreeError};
use redb::WriteTransaction;

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const LEAVES: u64 = 32;

/// Changes rows of the closed store and opens it again; what is found damaged is in the list.
fn edited(house: &mut House, change: impl FnOnce(&WriteTransaction)) -> Arc<Mutex<Vec<String>>> {
    house.engine.close();
    plant(&house.store().join("state.redb"), change);
    let found = Arc::new(Mutex::new(Vec::new()));
    let seen = found.clone();
    house.reopen_heard(move |_, event| {
        if let Event::CorruptionFound { what, .. } = event {
            seen.lock().push(what);
        }
    });
    found
}

/// Lies of a client, from the closed store: its check would find what was planted.
fn strikes(house: &House, number: u64) -> u64 {
    let client = house.engine.client_digest(&names(apart(number)).0);
    house.engine.close();
    let store = RedbStore::open_read_only(house.storage(), StoreOptions::new()).unwrap();
    store.client(client).unwrap().strikes
}

#[test]
fn a_name_that_leads_to_another_tree_is_not_believed() {
    let mut house = House::new();
    house.ingest(Strategy::Precomputed, "a", &blocks(LEAVES, 1));
    house.ingest(Strategy::Precomputed, "b", &blocks(LEAVES, 2));
    edited(&mut house, |txn| {
        let mut names = txn.open_table(NAMES).unwrap();
        names.insert("a", 1).unwrap();
        names.insert("gone", 77).unwrap();
    });
    for name in ["a", "gone"] {
        let refused = house.engine.tree(name).unwrap_err();
        assert!(matches!(refused, TreeError::Store(_)) && refused.to_string().contains("names-0"), "{refused}");
    }
    assert_eq!(house.engine.tree("b").unwrap().pending, LEAVES);
    house.engine.forget("a").unwrap_err();
    assert_eq!(house.engine.tree("b").unwrap().pending, LEAVES);
}

#[test]
fn an_answer_to_a_handle_that_leads_to_another_tree_changes_nothing() {
    let mut house = House::new();
    house.ingest(Strategy::Precomputed, "a", &blocks(LEAVES, 1));
    let issued = house.issue(apart(1), HIGH).unwrap();
    house.ingest(Strategy::Precomputed, "b", &blocks(LEAVES, 2));
    edited(&mut house, |txn| {
        let mut handles = txn.open_table(HANDLES).unwrap();
        let keys: Vec<[u8; 16]> = handles.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
        keys.into_iter().for_each(|key| drop(handles.insert(key, 1).unwrap()));
    });
    let refused = house.submit(apart(1), &answer(&issued, |_| {})).unwrap_err();
    assert!(matches!(refused, SubmitError::Store(_)) && refused.to_string().contains("handles-0"), "{refused}");
    assert_eq!(house.engine.tree("b").unwrap().pending, LEAVES);
    assert_eq!(strikes(&house, 1), 0);
}

#[test]
fn a_token_whose_row_is_lost_was_used_if_it_has_a_receipt() {
    let mut house = House::new();
    house.ingest(Strategy::Precomputed, "a", &blocks(LEAVES, 1));
    house.ingest(Strategy::Precomputed, "b", &blocks(LEAVES, 2));
    let issued = house.issue(apart(1), HIGH).unwrap();
    let accepted = house.submit(apart(1), &answer(&issued, |_| {})).unwrap();
    edited(&mut house, |txn| txn.open_table(CONSUMED).unwrap().retain(|_, _| false).unwrap());
    let refused = house.submit(apart(1), &answer(&issued, |_| {})).unwrap_err();
    assert!(matches!(refused, SubmitError::Replayed), "{refused}");
    let balance = house.engine.balance(&names(apart(1)).0).unwrap();
    // Both lead elsewhere.
    edited(&mut house, |txn| {
        txn.open_table(RECEIPTS).unwrap().insert(*accepted.id.as_bytes(), 1 << 40).unwrap();
    });
    let refused = house.engine.receipt(accepted.id).unwrap_err();
    assert!(refused.to_string().contains("receipts-0"), "{refused}");
    assert_eq!(house.engine.balance(&names(apart(1)).0).unwrap(), balance);
}

/// A client with a debit of one micro-Joule between two answers.
fn debited() -> (House, Vec<u8>) {
    let house = House::new();
    house.ingest(Strategy::Precomputed, "a", &blocks(4 * LEAVES, 1));
    house.work(apart(1), |_| {}).unwrap().unwrap();
    let client = names(apart(1)).0;
    house.engine.debit(&client, MicroJoules(1), [9; 16]).unwrap();
    house.work(apart(1), |_| {}).unwrap().unwrap();
    (house, client)
}

#[test]
fn a_debit_is_made_once_also_if_its_row_is_lost_or_leads_elsewhere() {
    let (mut house, client) = debited();
    let balance = house.engine.balance(&client).unwrap();
    for row in [None, Some(0), Some(2), Some(1 << 40)] {
        edited(&mut house, |txn| {
            let mut debits = txn.open_table(DEBITS).unwrap();
            debits.remove([9; 16]).unwrap();
            row.into_iter().for_each(|seq| drop(debits.insert([9; 16], seq).unwrap()));
        });
        let refused = house.engine.debit(&client, MicroJoules(1), [9; 16]).unwrap_err();
        assert!(refused.to_string().contains("debits-0"), "{row:?}: {refused}");
        assert_eq!(house.engine.balance(&client).unwrap(), balance);
    }
    edited(&mut house, |txn| drop(txn.open_table(DEBITS).unwrap().insert([9; 16], 1).unwrap()));
    let repeated = house.engine.debit(&client, MicroJoules(1), [9; 16]).unwrap();
    assert_eq!(house.engine.balance(&client).unwrap(), balance, "{repeated:?}");
    house.engine.debit(&client, MicroJoules(1), [8; 16]).unwrap();
    house.checked();
}

/// The damaged entry may be the debit that is asked for again.
#[test]
fn a_debit_behind_a_damaged_entry_is_refused_and_others_are_taken() {
    let (mut house, client) = debited();
    while house.engine.upkeep().unwrap().removed > 0 {}
    edited(&mut house, |txn| {
        assert!(txn.open_table(DEBITS).unwrap().remove([9; 16]).unwrap().is_some());
        let mut ledger = txn.open_table(LEDGER).unwrap();
        let mut entry = ledger.get(1).unwrap().unwrap().value().to_vec();
        entry[3] ^= 1;
        ledger.insert(1, &entry[..]).unwrap();
    });
    let balance = house.engine.balance(&client).unwrap();
    for key in [[9; 16], [8; 16]] {
        let refused = house.engine.debit(&client, MicroJoules(1), key).unwrap_err();
        assert!(refused.to_string().contains("ledger-0"), "{refused}");
        assert_eq!(house.engine.balance(&client).unwrap(), balance);
    }
    house.work(apart(2), |_| {}).unwrap().unwrap();
    house.engine.debit(&names(apart(2)).0, MicroJoules(1), [7; 16]).unwrap();
}

#[test]
fn a_chore_that_its_tree_does_not_need_removes_nothing() {
    for kind in [0, 2] {
        let mut house = House::new();
        let data = blocks(2 * LEAVES, 1);
        house.ingest(Strategy::Precomputed, "a", &data);
        house.work(apart(1), |_| {}).unwrap().unwrap();
        let found = edited(&mut house, |txn| drop(txn.open_table(CHORES).unwrap().insert((kind, 0), ()).unwrap()));
        for _ in 0..3 {
            house.engine.upkeep().unwrap();
        }
        let odd = found.lock().iter().filter(|what| what.contains("chores-0")).count();
        assert_eq!(odd, 1, "reported once: {found:?}");
        house.drain(apart(1)..apart(1) + 1);
        house.assert_right("a", &data);
        house.engine.close();
        let report = pouw::PouwEngine::repair_store(house.store(), true).unwrap();
        // The other chore of a complete tree is one that it needs by now.
        assert_eq!((report.not_mended, report.derived), (0, u64::from(kind == 0)), "{report:?}");
    }
}

#[test]
fn a_note_that_a_tree_is_folded_by_clients_keeps_no_thread_if_it_is_not() {
    let mut house = House::in_directory(config().interior_units(true));
    house.ingest(Strategy::Precomputed, "a", &blocks(4 * LEAVES, 1));
    let found = edited(&mut house, |txn| drop(txn.open_table(CHORES).unwrap().insert((3, 0), ()).unwrap()));
    let house = ended("upkeep", move || {
        house.engine.upkeep().unwrap();
        house.engine.upkeep().unwrap();
        house
    });
    assert_eq!(found.lock().iter().filter(|what| what.contains("chores-0")).count(), 1, "{found:?}");
    house.drain(apart(1)..apart(1) + 1);
    assert_eq!(house.engine.tree("a").unwrap().pending, 0);
}

#[test]
fn a_place_in_the_queue_that_leads_to_another_tree_is_passed_over() {
    let mut house = House::new();
    let [a, b, c] = [1, 2, 3].map(|seed| blocks(LEAVES, seed));
    for (name, data) in [("a", &a), ("b", &b), ("c", &c)] {
        house.ingest(Strategy::Precomputed, name, data);
    }
    let found = edited(&mut house, |txn| {
        let mut ready = txn.open_table(READY).unwrap();
        let keys: Vec<(u8, u64)> = ready.iter().unwrap().map(|entry| entry.unwrap().0.value()).collect();
        ready.insert(keys[0], 1).unwrap();
    });
    house.drain(apart(1)..apart(1) + 1);
    house.assert_right("b", &b);
    house.assert_right("c", &c);
    assert_eq!(house.engine.tree("a").unwrap().pending, LEAVES);
    assert_eq!(found.lock().iter().filter(|what| what.contains("ready-0")).count(), 1, "{found:?}");
}

#[test]
fn leaves_that_have_a_hash_are_not_taken_again_though_the_row_of_their_tile_is_lost() {
    let mut house = House::new();
    let data = blocks(2 * LEAVES, 1);
    house.ingest(AUDIT, "a", &data);
    house.work(apart(1), |_| {}).unwrap().unwrap();
    edited(&mut house, |txn| txn.open_table(TILES).unwrap().retain(|_, _| false).unwrap());
    let mut refusals = 0;
    for _ in 0..4 {
        refusals += u64::from(house.work(apart(2), |_| {}).is_some_and(|verdict| verdict.is_err()));
    }
    assert!(refusals > 0);
    // The other tile is taken, and no leaf is credited twice.
    assert_eq!(house.engine.tree("a").unwrap().pending, 0);
    let mut starts: Vec<u64> = house.engine.ledger(0, 9).unwrap().iter().map(|entry| entry.start).collect();
    starts.sort_unstable();
    assert_eq!(starts, [0, LEAVES]);
    assert_eq!([strikes(&house, 1), strikes(&house, 2)], [0, 0]);
}

#[test]
fn a_walk_that_is_not_its_clients_begins_once_more() {
    for plant_walk in [true, false] {
        let mut house = House::new();
        house.ingest(AUDIT, "first", &blocks(LEAVES, 1));
        house.work(apart(2), |_| {}).unwrap().unwrap();
        house.ingest(AUDIT, "mine", &blocks(LEAVES, 2));
        house.work(apart(1), |_| {}).unwrap().unwrap();
        house.ingest(AUDIT, "bait", &blocks(LEAVES, 3));
        let client = *house.engine.client_digest(&names(apart(1)).0).as_bytes();
        if !plant_walk {
            // What says how far up it was followed leads to an entry of another client.
            edited(&mut house, |txn| drop(txn.open_table(FOLLOWED).unwrap().insert(client, 0).unwrap()));
        }
        let lie = |leaves: &mut Vec<_>| leaves.iter_mut().for_each(|leaf| *leaf = crate::support::clients::wrong(leaf));
        house.work(apart(1), lie).unwrap().unwrap_err();
        house.written();
        if plant_walk {
            edited(&mut house, |txn| {
                let mut suspects = txn.open_table(SUSPECTS).unwrap();
                assert_eq!(suspects.iter().unwrap().count(), 1);
                suspects.insert(client, (0, 1, u64::MAX, false)).unwrap();
            });
        }
        house.settle();
        // Its answer was doubted, and hashed by the server; the other client's was not.
        let verified = |name| house.engine.tree(name).unwrap().provenance.count(pouw::Provenance::Verified);
        assert_eq!((verified("mine"), verified("first")), (LEAVES, 0), "{plant_walk}");
        house.checked();
    }
}
