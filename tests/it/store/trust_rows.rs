//! Trust and the rows it stands on: bytes that change behind it, rows that do not read, votes and walks at the store.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, blocks, names, wrong};
use crate::support::house::House;
use crate::support::store_plant::{BLOCKS, QUORUMS, SUMS, plant};
use crate::support::work::BLOCK;
use parking_lot::Mutex;
use pouw::hash::{Checksum, sha3_512};
use pouw::{Event, ExportPolicy, Provenance, Receipt, Strategy, SubmitError, TreeError};
use redb::ReadableTable;

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const LEAVES: u64 = 32;

/// Changes one bit of the data of each of these leaves while the engine is closed.
fn flip(house: &mut House, tree: u64, leaves: std::ops::Range<usize>) {
    house.engine.close();
    plant(&house.store().join("blocks.redb"), |txn| {
        // Without checksums: only the hashes tell.
        txn.delete_table(SUMS).unwrap();
        let mut table = txn.open_table(BLOCKS).unwrap();
        let mut bytes = table.get((tree, 0)).unwrap().unwrap().value().to_vec();
        leaves.for_each(|leaf| bytes[leaf * BLOCK + 100] ^= 4);
        table.insert((tree, 0), bytes.as_slice()).unwrap();
    });
    house.checked();
}

fn flipped(mut data: Vec<Vec<u8>>, leaf: usize) -> Vec<Vec<u8>> {
    data[leaf][100] ^= 4;
    data
}

fn balance(house: &House, who: u64) -> u64 {
    house.engine.balance(&names(who).0).unwrap().0
}

fn was_corrected(house: &House) -> bool {
    house.events.lock().iter().any(|event| matches!(event, Event::LeafCorrected { .. }))
}

#[test]
fn bytes_that_change_after_right_answers_are_held_against_nobody() {
    let mut house = House::new();
    house.ingest(AUDIT, "audited", &blocks(LEAVES, 1));
    house.ingest(PAIR, "agreed", &blocks(LEAVES, 2));
    house.drain(apart(1)..apart(1) + 1);
    house.drain(apart(2)..apart(2) + 1);
    let trees = [("audited", blocks(LEAVES, 1)), ("agreed", blocks(LEAVES, 2))];
    let roots = |house: &House| [0, 1].map(|at: usize| house.engine.root(trees[at].0).unwrap());
    let before = roots(&house);
    flip(&mut house, 0, 7..8);
    flip(&mut house, 1, 7..8);
    for (name, data) in &trees {
        for _ in 0..2 {
            let refused = house.engine.satisfy(name, ExportPolicy::Strict, &mut |_| ControlFlow::Continue(()));
            assert!(matches!(refused, Err(TreeError::Unverifiable { leaves: 1, .. })), "{refused:?}");
        }
        let mut leaves = Vec::new();
        let sink = &mut |leaf: &Checksum| {
            leaves.push(*leaf);
            Ok(())
        };
        let done = house.engine.export_leaves_under(ExportPolicy::Attested, name, sink).unwrap();
        assert!(done.provenance != Provenance::Verified && done.provenance != Provenance::Doubted, "{done:?}");
        assert_eq!(leaves, data.iter().map(|block| sha3_512(block)).collect::<Vec<_>>(), "{name}");
        assert_eq!(house.engine.tree(name).unwrap().provenance.count(Provenance::Verified), LEAVES - 1);
    }
    assert!(!was_corrected(&house));
    assert_eq!((roots(&house), [house.strikes(apart(1)), house.strikes(apart(2))]), (before, [0, 0]));
    // Doubted, they can neither be hashed nor leave.
    house.ingest(AUDIT, "bait", &blocks(LEAVES, 3));
    let all_wrong = |leaves: &mut Vec<Checksum>| leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf));
    house.work(apart(1), all_wrong).unwrap().unwrap_err();
    for (name, _) in &trees {
        let refused = house.engine.export_leaves_under(ExportPolicy::Attested, name, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(refused, TreeError::Unverifiable { leaves: 1, .. }), "{refused}");
        let refused = house.engine.release(name).unwrap_err();
        assert!(matches!(refused, TreeError::Unverifiable { leaves: 1, .. }), "{refused}");
    }
    house.settle();
    assert!(!was_corrected(&house));
    assert_eq!([house.strikes(apart(1)), house.strikes(apart(2))], [1, 0]);
    assert_eq!(roots(&house), before);
}

#[test]
fn an_answer_to_bytes_that_have_changed_since_is_withdrawn() {
    for strategy in [Strategy::SampledAudit { k: 32 }, PAIR] {
        let mut house = House::new();
        let data = blocks(LEAVES, 3);
        house.ingest(strategy, "t", &data);
        let old = house.issue(apart(1), HIGH).unwrap();
        flip(&mut house, 0, 0..LEAVES as usize);
        let verdict = house.submit(apart(1), &answer(&old, |_| {}));
        assert!(matches!(verdict, Err(SubmitError::Withdrawn)), "{verdict:?}");
        assert_eq!((house.strikes(apart(1)), house.engine.tree("t").unwrap().pending), (0, LEAVES));
    }
}

#[test]
fn the_referee_drops_a_vote_on_other_bytes_and_pays_the_others() {
    let mut house = House::new();
    let data = blocks(2 * LEAVES, 4);
    house.ingest(PAIR, "t", &data);
    let votes = [(); 2].map(|()| house.work(apart(1), |_| {}).unwrap().unwrap());
    flip(&mut house, 0, 7..8);
    house.clock.advance(Duration::from_millis(600_000));
    assert_eq!(house.engine.sweep().unwrap().refereed, 2);
    house.settle();
    let receipts = votes.map(|vote| house.engine.receipt(vote.id).unwrap());
    // Refusals are not told of as long as the votes waited.
    let dropped = receipts.iter().filter(|receipt| **receipt == Receipt::Unknown).count();
    let paid = receipts.iter().filter(|receipt| matches!(receipt, Receipt::Accepted(_))).count();
    assert_eq!((dropped, paid, balance(&house, apart(1))), (1, 1, votes[0].deferred.0));
    assert_eq!(house.strikes(apart(1)), 0);
    assert_eq!(house.engine.tree("t").unwrap().provenance.weakest(), Some(Provenance::Verified));
    house.assert_right("t", &flipped(data, 7));
    house.checked();
}

#[test]
fn a_vote_on_other_bytes_is_dropped_when_the_next_one_differs() {
    let mut house = House::new();
    let data = blocks(LEAVES, 5);
    house.ingest(PAIR, "t", &data);
    let old = house.work(apart(1), |_| {}).unwrap().unwrap();
    flip(&mut house, 0, 7..8);
    let new = house.work(apart(2), |_| {}).unwrap().unwrap();
    let receipts = [old.id, new.id].map(|id| house.engine.receipt(id).unwrap());
    assert_eq!(receipts, [Receipt::Refused, Receipt::Voted]);
    assert_eq!(house.engine.open_quorums(9).unwrap().votes, 1);
    assert_eq!([house.strikes(apart(1)), house.strikes(apart(2))], [0, 0]);
    // Who was sent other data may vote again: nothing is held against it.
    assert!(house.work(apart(1), |_| {}).unwrap().unwrap().seq.is_some());
    house.settle();
    assert!(balance(&house, apart(1)) > 0 && balance(&house, apart(2)) > 0);
    assert_eq!(house.engine.tree("t").unwrap().provenance.count(Provenance::Verified), 1);
    house.assert_right("t", &flipped(data, 7));
    house.checked();
}

#[test]
fn votes_that_do_not_read_keep_back_nothing_but_their_own_leaves() {
    let mut house = House::new();
    for (name, seed) in [("a", 6), ("b", 7)] {
        house.ingest(PAIR, name, &blocks(3 * LEAVES, seed));
    }
    // Every tile but the last of each tree has a vote.
    let mut votes = 0;
    while house.work(apart(1), |_| {}).is_some() {
        votes += 1;
    }
    assert_eq!(votes, 6);
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(QUORUMS).unwrap().insert((0, 0), &[9, 0][..]).unwrap();
    });
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    house.reopen_heard(move |_, event| seen.lock().push(event));
    let corrupt = |event: &Event| matches!(event, Event::CorruptionFound { tree: Some(tree), .. } if tree.get() == 0);
    assert_eq!(house.engine.open_quorums(9).unwrap().votes, 5);
    // Another client gets two of the five.
    for _ in 0..2 {
        assert!(house.work(apart(2), |_| {}).unwrap().unwrap().seq.is_some());
    }
    assert!(std::mem::take(&mut *events.lock()).iter().any(corrupt));
    house.clock.advance(Duration::from_millis(600_000));
    let report = house.engine.sweep().unwrap();
    assert_eq!((report.refereed, report.consumed_pruned), (3, 8), "the sweep goes on behind the bad row");
    assert!(events.lock().iter().any(corrupt));
    house.settle();
    let pending = ["a", "b"].map(|name| house.engine.tree(name).unwrap().pending);
    assert_eq!(pending, [LEAVES, 0]);
    house.assert_right("b", &blocks(3 * LEAVES, 7));
}
