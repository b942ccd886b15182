//! Damage is contained: a row that is gone or does not decode keeps back its own leaves, tree or token, is told
//! as an event, and everything else goes on.

use crate::support::house::{House, config};
use crate::support::store_plant::{
    BLOCKS, CHORES, CLIENTS, HASHES, PROVENANCE, QUORUMS, TILES, TREES, edit_head, plant,
};
use crate::support::work::{answer_right, cut, solve, spoiled};
use pouw::internal::store::{CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD};
use pouw::protocol::DifficultyTier;
use pouw::{Answer, Event, IssueError, IssueRequest, PouwEngine, SubmitError, TreeId, TreeState};
use redb::WriteTransaction;
use std::time::Duration;

/// Three trees of 100 leaves, numbered 0 to 2.
fn with_three_trees() -> House {
    let house = House::in_directory(config());
    for tree in 0..3u8 {
        house.engine.ingest_bytes(&cut(), &format!("tree-{tree}"), &vec![tree; 512 * 100 - 1]).unwrap();
    }
    house
}

/// Changes rows of the closed store, and opens it again.
fn damage(house: &mut House, file: &str, change: impl FnOnce(&WriteTransaction)) {
    house.engine.close();
    plant(&house.store().join(file), change);
    house.reopen();
}

fn corrupted_trees(house: &House) -> Vec<u64> {
    let tree = |event: &Event| match event {
        Event::CorruptionFound { tree, .. } => tree.map(TreeId::get),
        _ => None,
    };
    let mut trees: Vec<u64> = house.events.lock().iter().filter_map(tree).collect();
    trees.dedup();
    trees
}

/// Works until nothing more is handed out; an upkeep that fails is not the end of it.
fn drain(engine: &PouwEngine) {
    for _ in 0..200 {
        // What is damaged may fail its own part each time.
        let _ = engine.upkeep();
        match engine.issue(&IssueRequest::new(b"worker", DifficultyTier::High)) {
            Ok(issued) => {
                // A unit of a damaged tree may be impossible to judge; it must not disturb the others.
                let _ = answer_right(engine, b"worker", &issued.unit);
            }
            Err(IssueError::NoWork) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn states(engine: &PouwEngine) -> Vec<TreeState> {
    (0..3).map(|tree| engine.tree(&format!("tree-{tree}")).unwrap().state).collect()
}

#[test]
fn a_lost_chunk_of_block_data_keeps_back_its_own_leaves_and_no_other_tree() {
    let mut house = with_three_trees();
    damage(&mut house, "blocks.redb", |txn| {
        txn.open_table(BLOCKS).unwrap().remove((0, 0)).unwrap();
    });
    let engine = &house.engine;
    drain(engine);
    assert_eq!(states(engine), [TreeState::Active, TreeState::Complete, TreeState::Complete]);
    assert_eq!(corrupted_trees(&house), [0]);
    assert_eq!(engine.stats().blocked[0].tree.get(), 0);
}

#[test]
fn a_damaged_tile_row_keeps_back_its_own_tile_and_no_other() {
    let mut house = with_three_trees();
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(TILES).unwrap().insert((1, 2), &[0xff; 16][..]).unwrap();
    });
    let engine = &house.engine;
    drain(engine);
    assert_eq!(states(engine), [TreeState::Complete, TreeState::Active, TreeState::Complete]);
    assert_eq!(engine.tree("tree-1").unwrap().pending, 32, "three of its four tiles are done");
    assert_eq!(corrupted_trees(&house), [1]);
}

#[test]
fn a_lost_group_of_hashes_makes_its_own_tree_inconsistent_and_no_other() {
    let mut house = with_three_trees();
    let engine = &house.engine;
    engine.upkeep().unwrap();
    // All leaves are done, nothing is assembled yet.
    while let Ok(issued) = engine.issue(&IssueRequest::new(b"worker", DifficultyTier::High)) {
        answer_right(engine, b"worker", &issued.unit).unwrap();
    }
    assert_eq!(states(engine), [TreeState::Assembling; 3]);
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(HASHES).unwrap().remove((0, 3)).unwrap();
    });
    let engine = &house.engine;
    engine.upkeep().unwrap();
    assert_eq!(states(engine), [TreeState::Inconsistent, TreeState::Complete, TreeState::Complete]);
    assert_eq!(corrupted_trees(&house), [0]);
}

#[test]
fn a_damaged_client_row_fails_that_clients_answers_and_no_commit_of_others() {
    let mut house = with_three_trees();
    let engine = &house.engine;
    let damaged = *engine.client_digest(b"damaged").as_bytes();
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(CLIENTS).unwrap().insert(damaged, &b"\x07no row"[..]).unwrap();
    });
    let engine = &house.engine;
    engine.upkeep().unwrap();
    let wrong = |client: &[u8]| {
        let issued = engine.issue(&IssueRequest::new(client, DifficultyTier::High)).unwrap();
        engine.submit(&Answer::new(client, &spoiled(&solve(&issued.unit)))).unwrap_err()
    };
    assert!(matches!(wrong(b"damaged"), SubmitError::WrongResult { .. }));
    // The token of that answer rides along with the next commit, which it must not spoil.
    let issued = engine.issue(&IssueRequest::new(b"honest", DifficultyTier::High)).unwrap();
    answer_right(engine, b"honest", &issued.unit).unwrap();
    drain(engine);
    assert_eq!(states(engine), [TreeState::Complete; 3]);
    assert_eq!(engine.stats().refused_waiting, 0);
}

#[test]
fn with_few_clients_the_ledger_is_still_checkpointed_and_sealed() {
    let house = House::in_directory(config().ledger_entries_kept(1_000));
    let engine = &house.engine;
    let one = pouw::protocol::MicroJoules(0);
    // 65 536 entries behind the last checkpoint begin one; debits of nothing are the cheapest entries.
    std::thread::scope(|scope| {
        for lane in 0..16u8 {
            scope.spawn(move || {
                for at in 0..4_200u32 {
                    let mut key = [lane; 16];
                    key[..4].copy_from_slice(&at.to_le_bytes());
                    engine.debit(&[lane % 4], one, key).unwrap();
                }
            });
        }
    });
    let before = engine.ledger(0, 1).unwrap()[0].seq;
    engine.sweep().unwrap();
    let after = engine.ledger(0, 1).unwrap()[0].seq;
    assert!(after > before, "the oldest entry is still {after}");
}

#[test]
fn a_row_that_each_round_meets_again_is_one_event_until_it_changes() {
    let mut house = with_three_trees();
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(CHORES).unwrap().insert((CHORE_ASSEMBLE, 1), ()).unwrap();
        txn.open_table(TREES).unwrap().insert(1, &b"\x07no row"[..]).unwrap();
        txn.open_table(QUORUMS).unwrap().insert((2, 0), &b"\x07no row"[..]).unwrap();
    });
    for _ in 0..5 {
        // Of each tree a part of a round may fail.
        let _ = (house.engine.upkeep(), house.engine.sweep());
    }
    let whats = |house: &House| {
        let what = |event: &Event| match event {
            Event::CorruptionFound { tree, what } => Some((tree.map(TreeId::get), what.clone())),
            _ => None,
        };
        house.events.lock().iter().filter_map(what).collect::<Vec<_>>()
    };
    let mut found = whats(&house);
    found.sort();
    let (all, each) = (found.len(), found.iter().collect::<std::collections::BTreeSet<_>>().len());
    assert_eq!(all, each, "{found:#?}");
    assert!([1, 2].iter().all(|tree| found.iter().any(|(of, _)| *of == Some(*tree))), "{found:#?}");
}

/// Clients do all leaves; nothing is assembled yet.
fn do_all(engine: &PouwEngine) {
    engine.upkeep().unwrap();
    while let Ok(issued) = engine.issue(&IssueRequest::new(b"worker", DifficultyTier::High)) {
        answer_right(engine, b"worker", &issued.unit).unwrap();
    }
}

/// Ten rounds of upkeep and sweeps, each of which goes well.
fn rounds(house: &House) {
    for _ in 0..10 {
        house.clock.advance(Duration::from_secs(2));
        house.engine.upkeep().unwrap();
        house.engine.sweep().unwrap();
    }
    let failed = |event: &&Event| matches!(event, Event::StorageFailed { .. } | Event::SweepFailed { .. });
    assert_eq!(house.events.lock().iter().find(failed), None);
}

/// Events about damage of which the text has a part.
fn told(house: &House, part: &str) -> usize {
    let says = |event: &&Event| matches!(event, Event::CorruptionFound { what, .. } if what.contains(part));
    house.events.lock().iter().filter(says).count()
}

#[test]
fn a_verdict_that_a_damaged_row_does_not_allow_keeps_no_other_tree() {
    let mut house = with_three_trees();
    do_all(&house.engine);
    assert_eq!(states(&house.engine), [TreeState::Assembling; 3]);
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(PROVENANCE).unwrap().insert(1, &b"no row"[..]).unwrap();
    });
    rounds(&house);
    let state = |name: &str| house.engine.tree(name).map(|tree| tree.state).ok();
    assert_eq!(["tree-0", "tree-2"].map(state), [Some(TreeState::Complete); 2]);
    assert_eq!((corrupted_trees(&house), told(&house, "provenance-0")), (vec![1], 1), "{:?}", house.events.lock());
}

#[test]
fn a_damaged_tree_that_clients_were_folding_keeps_no_other_tree_when_they_stop() {
    let mut house = with_three_trees();
    house.reopen_as(config().interior_units(true));
    do_all(&house.engine);
    house.engine.upkeep().unwrap();
    assert_eq!(states(&house.engine), [TreeState::Folding; 3]);
    house.reopen_as(config());
    damage(&mut house, "state.redb", |txn| {
        txn.open_table(TREES).unwrap().insert(1, &b"\x07no row"[..]).unwrap();
    });
    rounds(&house);
    let state = |name: &str| house.engine.tree(name).map(|tree| tree.state).ok();
    assert_eq!(["tree-0", "tree-2"].map(state), [Some(TreeState::Complete); 2]);
    assert_eq!((corrupted_trees(&house), told(&house, "trees-0")), (vec![1], 1), "{:?}", house.events.lock());
}

#[test]
fn chores_that_a_tree_does_not_need_are_told_once_and_written_never() {
    let mut house = with_three_trees();
    damage(&mut house, "state.redb", |txn| {
        let mut chores = txn.open_table(CHORES).unwrap();
        [CHORE_ASSEMBLE, CHORE_FOLD].into_iter().for_each(|kind| drop(chores.insert((kind, 0), ()).unwrap()));
    });
    rounds(&house);
    let commits = house.engine.stats().commits;
    rounds(&house);
    assert_eq!((house.engine.stats().commits - commits, told(&house, "chores-0")), (0, 2), "{:?}", house.events.lock());
}

#[test]
fn many_chores_that_no_tree_needs_do_not_keep_back_those_behind_them() {
    let mut house = House::in_directory(config());
    damage(&mut house, "state.redb", |txn| {
        edit_head(txn, |head| head.next_tree = 400);
        let mut chores = txn.open_table(CHORES).unwrap();
        (0..300).for_each(|tree| drop(chores.insert((CHORE_DROP, tree), ()).unwrap()));
    });
    house.engine.ingest_bytes(&cut(), "t", &[1; 512 * 100]).unwrap();
    do_all(&house.engine);
    let rounds: Vec<_> = (0..3).map(|_| house.engine.upkeep().unwrap()).collect();
    assert_eq!(rounds.iter().map(|round| round.completed).sum::<usize>(), 1);
    assert!(rounds.iter().any(|round| round.removed > 0), "{rounds:?}");
}
