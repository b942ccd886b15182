//! Two clients of one network never meet in a quorum: asked of the engine, and through the gate by their addresses.

use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, blocks, names, wrong};
use crate::support::desk;
use crate::support::desk::{Desk, accepted, refused, solved, unit_in};
use crate::support::house::House;
use pouw::merkle::LeafIndex;
use pouw::protocol::{WorkResult, WorkUnit};
use pouw::{Decision, Exposure, HashReason, IngestOptions, Provenance, Strategy};

const PAIR: Strategy = Strategy::Redundant { quorum: 2 };

/// A desk whose only backlog is a tree of so many leaves, each a unit for a quorum of two.
fn desk(leaves: u64) -> Desk {
    let desk = Desk::with(|config| config.synthetic(false).open_challenges(64, 64));
    desk.engine.forget("tree").unwrap();
    let options = IngestOptions::new(Exposure::Public).strategy(PAIR);
    let data = blocks(leaves, 1);
    let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    desk.engine.ingest_blocks(&options, "pair", &slices).unwrap();
    desk.engine.upkeep().unwrap();
    desk
}

/// Everything this address can get: units with their answers, until there is none for it.
fn all_for(desk: &Desk, address: &str) -> Vec<(WorkUnit, WorkResult)> {
    let mut units = Vec::new();
    loop {
        desk.engine.upkeep().unwrap();
        match desk.ask_from(address) {
            // The limit is one request.
            Decision::Pass(_) => {}
            Decision::Refuse(refusal) if unit_in(&refusal).is_some() => units.push(solved(&refusal)),
            other => {
                refused(other, "no_work");
                return units;
            }
        }
    }
}

fn places(units: &[(WorkUnit, WorkResult)]) -> Vec<u64> {
    let mut places: Vec<u64> = units.iter().map(|(unit, _)| unit.tree_index).collect();
    places.sort_unstable();
    places
}

/// `first` answers one of three units. Its neighbours get the others and never that one; a stranger does.
fn assert_apart(first: &str, neighbours: &[&str], stranger: &str) {
    let desk = desk(3);
    assert!(desk::passed(desk.ask_from(first)).accepted.is_none());
    let (unit, result) = solved(&refused(desk.ask_from(first), "work_required"));
    assert_eq!(unit.leaf_lengths.len(), 0, "one leaf");
    assert!(accepted(desk.answer_from(first, &result)).is_some(), "a vote admits its request");
    let others: Vec<u64> = (0..3).filter(|place| *place != unit.tree_index).collect();
    for who in neighbours.iter().chain([&first]) {
        assert_eq!(places(&all_for(&desk, who)), others, "{who} beside {first}");
        // They never answer: it all comes back.
        desk.clock.advance(Duration::from_millis(61_000));
        desk.engine.sweep().unwrap();
    }
    let for_stranger = all_for(&desk, stranger);
    assert_eq!(for_stranger[0].0.tree_index, unit.tree_index, "what waits for a vote goes first");
    assert_eq!(places(&for_stranger), [0, 1, 2], "{stranger}");
    assert!(accepted(desk.answer_from(stranger, &for_stranger[0].1)).is_some());
    let provenance = |place| desk.engine.provenance("pair", LeafIndex(place)).unwrap();
    assert_eq!(provenance(unit.tree_index), Some(Provenance::Agreed));
    assert!(others.iter().all(|place| provenance(*place).is_none()));
}

#[test]
fn two_addresses_of_one_ipv4_network_of_24_bits_never_meet_in_a_quorum() {
    assert_apart("203.0.113.7", &["203.0.113.9", "203.0.113.0", "203.0.113.255", "::ffff:203.0.113.8"], "198.51.100.1");
    assert_apart("203.0.113.7", &["203.0.113.9"], "203.0.112.7");
}

#[test]
fn two_addresses_of_one_ipv6_network_of_48_bits_never_meet_in_a_quorum() {
    let neighbours = ["2001:db8:1:2::7", "2001:db8:1:ffff:ffff:ffff:ffff:ffff", "2001:db8:1::"];
    assert_apart("2001:db8:1:1::7", &neighbours, "2001:db8:2:1::7");
    assert_apart("2001:db8:1:1::7", &["2001:db8:1:2::7"], "198.51.100.1");
}

#[test]
fn neighbours_never_meet_however_many_ask_and_strangers_complete_all_of_it() {
    let mut house = House::in_memory(1);
    let data = blocks(5 * 32, 1);
    house.ingest(PAIR, "t", &data);
    // A thousand clients of one network: between them they vote once on each unit.
    let network = apart(7)..apart(8);
    let mut votes = 0;
    for who in network.clone() {
        if let Some(verdict) = house.work(who, |_| {}) {
            assert!(verdict.unwrap().seq.is_none());
            votes += 1;
        }
    }
    assert_eq!(votes, 5);
    assert_eq!(house.engine.tree("t").unwrap().pending, 160);
    house.checked();
    assert!(network.clone().all(|who| house.issue(who, HIGH).is_none()), "nor after a restart");
    assert_eq!(house.drain(apart(8)..apart(8) + 1), 5);
    house.checked();
    house.assert_right("t", &data);
}

/// A network whose lie is out of the group may have one vote in it again, and is audited more.
#[test]
fn a_liar_that_was_outvoted_makes_room_for_its_neighbour() {
    let house = House::in_memory(2);
    let data = blocks(32, 2);
    house.ingest(PAIR, "t", &data);
    let (liar, honest) = (apart(1), apart(2));
    let audited = || house.engine.stats().account.of(PAIR).server(HashReason::Audit).hashes;
    house.work(liar, |leaves| leaves[9] = wrong(&leaves[9])).unwrap().unwrap();
    assert!(house.issue(liar + 1, HIGH).is_none());
    assert!(house.work(honest, |_| {}).unwrap().unwrap().seq.is_none(), "the lie is out, and the quorum not complete");
    let before = audited();
    assert!(house.work(liar + 1, |_| {}).unwrap().unwrap().seq.is_some());
    assert_eq!(audited() - before, 8, "its network lied");
    house.assert_right("t", &data);
}

#[test]
fn a_vote_of_a_client_that_lied_elsewhere_since_counts_no_more() {
    let mut house = House::in_memory(3);
    let (data, bait) = (blocks(32, 3), blocks(32, 4));
    house.ingest(PAIR, "t", &data);
    let liar = apart(1);
    assert!(house.work(liar, |_| {}).unwrap().unwrap().deferred.0 > 0);
    house.ingest(PAIR, "bait", &bait);
    house.work(liar, |leaves| leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf))).unwrap().unwrap_err();
    house.written();
    for (who, completes) in [(apart(2), false), (apart(3), true)] {
        let issued = house.issue(who, HIGH).unwrap();
        assert_eq!(issued.unit.input_data, data.concat(), "what waits for a vote goes first");
        let accepted = house.submit(who, &answer(&issued, |_| {})).unwrap();
        assert_eq!(accepted.seq.is_some(), completes);
    }
    assert_eq!(house.engine.balance(&names(liar).0).unwrap().0, 0, "and is not paid");
    house.checked();
    house.assert_right("t", &data);
}
