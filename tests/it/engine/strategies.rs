//! The four ways to verify a tree, from ingest to export, with honest clients and with liars.

use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, blocks, names, wrong};
use crate::support::house::House;
use pouw::merkle::LeafIndex;
use pouw::{Event, ExportPolicy, HashReason, Provenance, Strategy, SubmitError};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };

fn server(house: &House, strategy: Strategy, reason: HashReason) -> u64 {
    house.engine.stats().account.of(strategy).server(reason).hashes
}

#[test]
fn audited_leaves_are_the_clients_until_a_strict_export_hashes_them() {
    let mut house = House::new();
    let data = blocks(75, 1);
    house.ingest(AUDIT, "t", &data);
    assert_eq!(server(&house, AUDIT, HashReason::Ingest), 0);
    let units = house.drain(0..1);
    house.checked();
    let tree = house.engine.tree("t").unwrap();
    assert_eq!((tree.pending, tree.provenance.count(Provenance::Audited)), (0, 75));
    assert_eq!(tree.provenance.weakest(), Some(Provenance::Audited));
    assert!(server(&house, AUDIT, HashReason::Audit) <= 2 * units);
    let mut seen = 0;
    let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "t", &mut |_| {
        seen += 1;
        Ok(())
    });
    let attested = attested.unwrap();
    assert_eq!((attested.nodes, attested.provenance, seen), (75, Provenance::Audited, 75));
    assert_eq!(server(&house, AUDIT, HashReason::Export), 0);
    let strict = house.engine.export_addresses("t", &mut |_| Ok(())).unwrap();
    assert_eq!(strict.provenance, Provenance::Verified);
    assert_eq!(server(&house, AUDIT, HashReason::Export), 75);
    house.assert_right("t", &data);
    house.settle();
    house.checked();
    house.assert_right("t", &data);
}

#[test]
fn a_quorum_of_two_networks_agrees_and_both_are_paid_once_it_does() {
    let mut house = House::new();
    let data = blocks(64, 2);
    house.ingest(PAIR, "t", &data);
    let (first, neighbour, second) = (apart(1), apart(1) + 1, apart(2));
    let vote = house.work(first, |_| {}).unwrap().unwrap();
    assert_eq!((vote.seq, vote.award.0), (None, 0));
    assert!(vote.deferred.0 > 0);
    assert_eq!(house.engine.balance(&names(first).0).unwrap().0, 0);
    // The first client and its neighbour get the other tile, never the one that was voted on.
    let other = house.issue(neighbour, HIGH).unwrap();
    assert!(house.issue(first, HIGH).is_none());
    house.checked();
    let agreed = house.work(second, |_| {}).unwrap().unwrap();
    assert!(agreed.seq.is_some());
    for who in [first, second] {
        assert_eq!(house.engine.balance(&names(who).0).unwrap().0, vote.deferred.0, "{who}");
    }
    house.submit(neighbour, &answer(&other, |_| {})).unwrap();
    house.drain(second..second + 1);
    house.checked();
    assert_eq!(house.engine.tree("t").unwrap().provenance.count(Provenance::Agreed), 64);
    assert_eq!(server(&house, PAIR, HashReason::Referee), 0);
    let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "t", &mut |_| Ok(())).unwrap();
    assert_eq!(attested.provenance, Provenance::Agreed);
    house.assert_right("t", &data);
    house.checked();
}

#[test]
fn a_disagreement_costs_exactly_the_differing_leaves_and_the_liar_its_place() {
    let mut house = House::new();
    let data = blocks(32, 3);
    house.ingest(PAIR, "t", &data);
    // Three leaves of 32: with this seed the audit of two misses them.
    let lie = |leaves: &mut Vec<_>| [3, 4, 9].iter().for_each(|at| leaves[*at] = wrong(&leaves[*at]));
    let mut liar = apart(1);
    while !matches!(house.work(liar, lie), Some(Ok(_))) {
        liar += 1_000;
    }
    let honest = apart(100);
    house.work(honest, |_| {}).unwrap().unwrap();
    assert_eq!(server(&house, PAIR, HashReason::Referee), 3);
    house.checked();
    // The liar's vote is gone, the honest one stays, and somebody else completes the quorum.
    assert!(house.issue(honest, HIGH).is_none());
    house.work(apart(101), |_| {}).unwrap().unwrap();
    house.settle();
    assert_eq!(server(&house, PAIR, HashReason::Referee), 3);
    let tree = house.engine.tree("t").unwrap();
    assert_eq!((tree.provenance.count(Provenance::Verified), tree.provenance.count(Provenance::Agreed)), (3, 29));
    assert_eq!(house.engine.provenance("t", LeafIndex(4)).unwrap(), Some(Provenance::Verified));
    assert_eq!(house.engine.balance(&names(liar).0).unwrap().0, 0);
    house.checked();
    house.assert_right("t", &data);
}

#[test]
fn votes_that_stay_alone_are_decided_by_the_server_after_a_while() {
    let mut house = House::new();
    let data = blocks(40, 4);
    house.ingest(PAIR, "t", &data);
    while house.work(apart(1), |_| {}).is_some() {}
    house.checked();
    assert_eq!(house.engine.sweep().unwrap().refereed, 0);
    house.clock.advance(Duration::from_millis(600_000));
    assert_eq!(house.engine.sweep().unwrap().refereed, 2);
    house.settle();
    assert_eq!(server(&house, PAIR, HashReason::Referee), 40);
    assert!(house.engine.balance(&names(apart(1)).0).unwrap().0 > 0);
    assert_eq!(house.engine.tree("t").unwrap().provenance.weakest(), Some(Provenance::Verified));
    house.checked();
    house.assert_right("t", &data);
}

#[test]
fn a_wrong_leaf_that_survived_its_audit_never_leaves_through_a_strict_export() {
    let mut house = House::new();
    let (first, other) = (blocks(32, 5), blocks(64, 6));
    house.ingest(AUDIT, "first", &first);
    let lie = |leaves: &mut Vec<_>| leaves[7] = wrong(&leaves[7]);
    let mut liar = apart(1);
    while !matches!(house.work(liar, lie), Some(Ok(_))) {
        liar += 1_000;
    }
    house.settle();
    // The liar's other answers are right, and its neighbour's are nobody's business.
    house.ingest(AUDIT, "other", &other);
    house.work(liar, |_| {}).unwrap().unwrap();
    house.work(apart(900), |_| {}).unwrap().unwrap();
    house.settle();
    house.checked();
    let wrong_root = house.engine.root("first").unwrap();
    let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "first", &mut |_| Ok(())).unwrap();
    assert_eq!(attested.provenance.to_string(), "audited");
    house.assert_right("first", &first);
    assert_ne!(house.engine.root("first").unwrap(), wrong_root);
    let corrected = |event: &Event| matches!(event, Event::LeafCorrected { leaf: 7, name, .. } if name == "first");
    assert!(house.events.lock().iter().any(corrected));
    house.settle();
    let tree = house.engine.tree("other").unwrap();
    let count = |provenance| tree.provenance.count(provenance);
    assert_eq!((count(Provenance::Verified), count(Provenance::Audited), count(Provenance::Doubted)), (32, 32, 0));
    house.checked();
    house.assert_right("other", &other);
}

#[test]
fn lies_are_struck_and_the_work_comes_back() {
    let house = House::new();
    let data = blocks(32, 7);
    house.ingest(Strategy::SampledAudit { k: 32 }, "t", &data);
    let caught = house.work(1, |leaves| leaves[31] = wrong(&leaves[31])).unwrap();
    assert!(matches!(caught, Err(SubmitError::WrongResult { .. })), "{caught:?}");
    assert_eq!(house.engine.tree("t").unwrap().pending, 32);
    house.drain(2..3);
    house.assert_right("t", &data);
}

#[test]
fn units_with_votes_that_nobody_may_join_keep_nobody_from_other_work() {
    let mut house = House::new();
    // More units than the ring holds, one leaf each.
    let (voted, plain) = (blocks(300, 8), blocks(64, 9));
    house.ingest(Strategy::Redundant { quorum: 3 }, "voted", &voted);
    let vote = |house: &House, who| {
        let issued = house.issue(who, pouw::protocol::DifficultyTier::Low)?;
        Some(house.submit(who, &answer(&issued, |_| {})).unwrap())
    };
    let votes = |house: &House, who| (0..).take_while(|_| vote(house, who).is_some()).count();
    assert_eq!(votes(&house, apart(1)), 300);
    // Those that have no place in the ring come by turns: a client that finds none asks again.
    let by_turns = |house: &House, who| -> usize {
        let turn = |_| {
            house.clock.advance(Duration::from_millis(300));
            votes(house, who)
        };
        (0..150).map(turn).sum()
    };
    assert_eq!(by_turns(&house, apart(2)), 300);
    house.checked();
    house.ingest(Strategy::Precomputed, "plain", &plain);
    assert_eq!(by_turns(&house, apart(1)), 64);
    house.assert_right("plain", &plain);
    assert_eq!(by_turns(&house, apart(3)), 300);
    house.settle();
    house.assert_right("voted", &voted);
}
