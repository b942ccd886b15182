//! How far a tree is, as a client sees it by the handle in its unit.

use std::collections::BTreeSet;
use std::time::Duration;

use pouw::protocol::{ByTier, DifficultyTier, TreeHandle};
use pouw::solver::compute_work_unit;
use pouw::{Answer, Config, Exposure, IngestOptions, IssueError, IssueRequest, PouwEngine, TreeProgress};

const LEAVES: u64 = 75;

fn engine(directory: &tempfile::TempDir) -> PouwEngine {
    let config = Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).build().unwrap();
    let engine = PouwEngine::open(directory.path(), config).unwrap();
    let options = IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) };
    let data: Vec<u8> = (0..512 * LEAVES).map(|at| (at % 251) as u8).collect();
    engine.ingest_bytes(&options, "a", &data).unwrap();
    engine
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
    let directory = tempfile::tempdir().unwrap();
    let engine = engine(&directory);
    let mut done = BTreeSet::new();
    let mut handle = None;
    loop {
        engine.upkeep().unwrap();
        let issued = match engine.issue(&IssueRequest::new(b"client", DifficultyTier::Medium)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => break,
            Err(other) => panic!("{other}"),
        };
        let unit = &issued.unit;
        let progress = engine.tree_progress(unit.tree_id, 0, 99).unwrap().unwrap();
        assert_eq!((progress.leaves, progress.done, progress.height), (LEAVES, done.len() as u64, 7));
        assert!(!progress.complete);
        assert_eq!(told(&progress), done);
        let result = compute_work_unit(unit).unwrap();
        engine.submit(&Answer::new(b"client", &result)).unwrap();
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
