//! How far a tree is, as a client sees it by the handle in its unit.

use std::collections::BTreeSet;

use crate::support::house::{House, config};
use crate::support::work::{answer_right, cut, try_issue};
use pouw::TreeProgress;
use pouw::protocol::{DifficultyTier, TreeHandle};

const LEAVES: u64 = 75;

fn house() -> House {
    let house = House::in_directory(config());
    let data: Vec<u8> = (0..512 * LEAVES).map(|at| (at % 251) as u8).collect();
    house.engine.ingest_bytes(&cut(), "a", &data).unwrap();
    house
}

/// The leaves that the masks say are done.
fn told(progress: &TreeProgress) -> BTreeSet<u64> {
    let masks = (progress.first_tile..).zip(&progress.tiles);
    masks
        .flat_map(|(tile, mask)| (0..32).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| tile * 32 + bit))
        .collect()
}

#[test]
fn the_masks_are_exactly_the_leaves_whose_answers_were_accepted() {
    let house = house();
    let engine = &house.engine;
    let mut done = BTreeSet::new();
    let mut handle = None;
    while let Some(issued) = try_issue(engine, b"client", DifficultyTier::Medium) {
        let unit = &issued.unit;
        let progress = engine.tree_progress(unit.tree_id, 0, 99).unwrap().unwrap();
        assert_eq!((progress.leaves, progress.done, progress.height), (LEAVES, done.len() as u64, 7));
        assert!(!progress.complete);
        assert_eq!(told(&progress), done);
        answer_right(engine, b"client", unit).unwrap();
        let first = unit.tree_index << (7 - unit.tree_level);
        done.extend(first..first + unit.leaves().count() as u64);
        handle = Some(unit.tree_id);
    }
    engine.upkeep().unwrap();
    let handle = handle.expect("there was work");
    let progress = engine.tree_progress(handle, 0, 99).unwrap().unwrap();
    assert!(progress.complete && progress.done == LEAVES);
    assert_eq!(told(&progress), (0..LEAVES).collect());
    // A part of it, and no more than there is.
    let last = engine.tree_progress(handle, 2, 99).unwrap().unwrap();
    assert_eq!((last.first_tile, &*last.tiles), (2, &[(1 << (LEAVES - 64)) - 1][..]));
    let beyond = engine.tree_progress(handle, u64::MAX, usize::MAX).unwrap().unwrap();
    assert_eq!((beyond.first_tile, beyond.tiles.len()), (2, 1));
    assert!(engine.tree_progress(handle, 0, 0).unwrap().unwrap().tiles.is_empty());
    assert_eq!(engine.tree_progress(TreeHandle::from_bytes([0; 16]), 0, 9).unwrap(), None);
}
