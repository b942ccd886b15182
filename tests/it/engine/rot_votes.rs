//! Votes on a unit with a leaf that is damaged before its quorum is complete: the unit is kept back, and its votes count
//! once it is mended.

use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, blocks, names, wrong};
use crate::support::house::House;
use pouw::{Event, Ingested, Strategy, SubmitError};

const THREE: Strategy = Strategy::Redundant { quorum: 3 };

/// Changes one byte of leaf 7 of the first tree.
fn damage(house: &mut House) {
    house.edit_chunk(0, |bytes| bytes[7 * 512 + 100] ^= 1);
}

fn damaged(house: &House) -> Vec<u64> {
    house.engine.damaged(None, 100).unwrap().iter().map(|block| block.leaf.0).collect()
}

fn reports(house: &House) -> usize {
    let is = |event: &&Event| matches!(event, Event::CorruptionFound { what, .. } if what.contains("leaf 7 "));
    house.events.lock().iter().filter(is).count()
}

/// The unit of all leaves has this many votes and is kept back; mended, it is completed.
fn ends_well(mut house: House, data: &[Vec<u8>], votes: u64, refused: u64) {
    let open = house.engine.open_quorums(10).unwrap();
    assert_eq!(open.votes, votes);
    assert_eq!(house.engine.stats().totals.refused, refused, "nobody is to blame");
    house.reopen();
    for who in 1..6 {
        while let Some(issued) = house.issue(apart(who), HIGH) {
            house.submit(apart(who), &answer(&issued, |_| {})).unwrap();
        }
    }
    assert_eq!((damaged(&house), house.engine.tree("t").unwrap().pending), (vec![], 32));
    assert_eq!(house.engine.open_quorums(10).unwrap().votes, votes);
    assert_eq!(house.ingest(THREE, "t", data), Ingested::Repaired);
    house.engine.sweep().unwrap();
    for who in 1..6 {
        while let Some(issued) = house.issue(apart(who), HIGH) {
            house.submit(apart(who), &answer(&issued, |_| {})).unwrap();
        }
    }
    house.settle();
    house.assert_right("t", data);
    house.settle();
    house.checked();
}

#[test]
fn votes_on_a_damaged_unit_count_once_it_is_mended() {
    let mut house = House::in_memory(1);
    let data = blocks(32, 1);
    house.ingest(THREE, "t", &data);
    for who in [1, 2] {
        house.work(apart(who), |_| {}).unwrap().unwrap();
    }
    damage(&mut house);
    while let Some(issued) = house.issue(apart(3), HIGH) {
        assert!(issued.unit.input_data.chunks(512).all(|leaf| data.iter().any(|known| known == leaf)));
        house.submit(apart(3), &answer(&issued, |_| {})).unwrap();
    }
    house.settle();
    assert_eq!((damaged(&house), reports(&house)), (vec![], 1));
    assert_eq!(house.engine.balance(&names(apart(1)).0).unwrap().0, 0);
    ends_well(house, &data, 2, 0);
}

#[test]
fn a_quorum_that_waited_too_long_is_not_ended_with_damaged_bytes() {
    let mut house = House::in_memory(2);
    let data = blocks(32, 2);
    house.ingest(THREE, "t", &data);
    house.work(apart(1), |_| {}).unwrap().unwrap();
    damage(&mut house);
    house.clock.advance(Duration::from_secs(601));
    for _ in 0..3 {
        house.engine.sweep().unwrap();
        house.engine.upkeep().unwrap();
    }
    assert_eq!((damaged(&house), reports(&house)), (vec![], 1));
    ends_well(house, &data, 1, 0);
}

#[test]
fn votes_that_differ_are_not_decided_by_damaged_bytes() {
    let mut house = House::in_memory(3);
    let data = blocks(32, 3);
    house.ingest(THREE, "t", &data);
    // A lie that its audit of two leaves misses.
    let mut liar = 10;
    while house.work(apart(liar), |leaves| leaves[7] = wrong(&leaves[7])).unwrap().is_err() {
        liar += 1;
    }
    let refused = house.engine.stats().totals.refused;
    let issued = house.issue(apart(1), HIGH).unwrap();
    damage(&mut house);
    let verdict = house.submit(apart(1), &answer(&issued, |_| {})).unwrap_err();
    assert!(matches!(verdict, SubmitError::Withdrawn), "{verdict}");
    house.settle();
    assert_eq!((damaged(&house), reports(&house)), (vec![], 1));
    ends_well(house, &data, 1, refused);
}
