//! A tree that is forgotten, or completed, while it is ingested leaves nothing behind.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::support::clients::{blocks_of, noise};
use crate::support::house::House;
use crate::support::store_plant::BLOCKS;
use crate::support::work::{BLOCK, cut};
use pouw::internal::store::rows::DataPlace;
use pouw::{Exposure, IngestError, IngestOptions, IngestProgress, TreeError};

const MIB: usize = 1 << 20;

fn options() -> IngestOptions {
    IngestOptions::new(Exposure::Public).block_size(8_192)
}

fn purge(house: &House) {
    while house.engine.upkeep().unwrap().removed > 0 {}
}

#[test]
fn forgetting_a_tree_ends_its_ingest_and_leaves_nothing() {
    let mut house = House::new();
    let data = noise(40 * MIB, 1);
    let path = house.write("big", &data);
    let engine = house.engine.clone();
    let mut forgotten = 0;
    let mut forget = |_: &IngestProgress| {
        // As soon as there is something to forget; then all of it is removed while the ingest goes on.
        if forgotten == 0 && engine.forget("big").is_ok() {
            forgotten += 1;
            while engine.upkeep().unwrap().removed > 0 {}
        }
        ControlFlow::Continue(())
    };
    let ended = house.engine.ingest_paths(&options(), &[PathBuf::from(&path)], &mut forget).unwrap_err();
    assert!(matches!(&ended, IngestError::Forgotten { name } if name == "big"), "{ended}");
    assert!(!ended.is_retryable());
    assert_eq!(forgotten, 1);
    assert!(matches!(house.engine.tree("big"), Err(TreeError::Unknown(_))));
    purge(&house);
    house.checked();
    // The name is free.
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().added, 1);
    purge(&house);
    house.checked();
}

#[test]
fn a_tree_that_is_forgotten_while_its_missing_data_is_given_again_gets_none_back() {
    let mut house = House::in_memory(5);
    let path = house.write("big", &noise(3 * MIB, 5));
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().added, 1);
    house.edit_blocks(|txn| assert!(txn.delete_table(BLOCKS).unwrap()));
    let engine = house.engine.clone();
    let mut forgotten = 0;
    let mut forget = |read: &IngestProgress| {
        // What was read so far waits for a commit.
        if forgotten == 0 && read.bytes > 2 * MIB as u64 {
            engine.forget("big").unwrap();
            while engine.upkeep().unwrap().removed > 0 {}
            forgotten += 1;
        }
        ControlFlow::Continue(())
    };
    let ended = house.engine.ingest_paths(&options(), &[PathBuf::from(&path)], &mut forget).unwrap_err();
    assert!(matches!(&ended, IngestError::Forgotten { name } if name == "big"), "{ended}");
    assert_eq!(forgotten, 1);
    purge(&house);
    assert_eq!(house.block_rows(), (0, 0));
    house.checked();
}

#[test]
fn the_same_from_another_thread_whatever_the_moment() {
    let mut house = House::new();
    let data = noise(36 * MIB, 2);
    let path = house.write("big", &data);
    for _ in 0..3 {
        let engine = house.engine.clone();
        let forgetting = std::thread::spawn(move || {
            while engine.forget("big").is_err() {
                std::thread::yield_now();
            }
            while engine.upkeep().unwrap().removed > 0 {}
        });
        match house.ingest_paths(&options(), &[&path]) {
            Ok(report) => assert_eq!(report.added, 1),
            Err(error) => assert!(matches!(error, IngestError::Forgotten { .. }), "{error}"),
        }
        forgetting.join().unwrap();
        purge(&house);
        house.checked();
        assert_eq!(house.names(), [""; 0]);
    }
}

#[test]
fn other_trees_of_the_same_ingest_stay() {
    let mut house = House::new();
    house.write("in/a", &noise(5_000, 1));
    house.write("in/b", &noise(40 * MIB, 2));
    house.write("in/c", &noise(5_000, 3));
    let engine = house.engine.clone();
    let mut done = false;
    let mut forget = |_: &IngestProgress| {
        done |= engine.forget("b").is_ok();
        ControlFlow::Continue(())
    };
    let ended = house.engine.ingest_paths(&options(), &[house.path("in")], &mut forget).unwrap_err();
    assert!(matches!(&ended, IngestError::Forgotten { name } if name == "b"), "{ended}");
    assert!(done);
    assert_eq!(house.names(), ["a"]);
    purge(&house);
    house.checked();
    assert_eq!(house.ingest_paths(&options(), &[&house.path("in")]).unwrap().added, 2);
    house.checked();
}

#[test]
fn a_tree_completed_or_forgotten_while_its_files_are_compared_gets_no_sources() {
    for forgets in [false, true] {
        let mut house = House::new();
        let data = noise(5_000, 1);
        let path = house.write("in/a", &data);
        let by_reference = cut().by_reference(true);
        drop(house.ingest_paths(&by_reference, &[&path]).unwrap());
        let engine = house.engine.clone();
        let mut once = true;
        let mut complete = |at: &IngestProgress| {
            if std::mem::take(&mut once) && at.leaves > 0 {
                match forgets {
                    true => engine.forget("a").unwrap(),
                    false => {
                        assert!(crate::support::work::work_off(&engine, b"c", pouw::protocol::DifficultyTier::Low) > 0)
                    }
                }
                while engine.upkeep().unwrap().removed > 0 {}
            }
            once = at.leaves == 0;
            ControlFlow::Continue(())
        };
        let again = house.engine.ingest_paths(&by_reference, std::slice::from_ref(&path), &mut complete);
        match (forgets, again) {
            (false, Ok(report)) => {
                assert_eq!(report.unchanged, 1);
                house.assert_right("a", &blocks_of(&data, BLOCK));
                purge(&house);
                assert_eq!(house.engine.tree("a").unwrap().data, DataPlace::Dropped);
            }
            (true, Err(IngestError::Forgotten { name })) => assert_eq!(name, "a"),
            (_, other) => panic!("{other:?}"),
        }
        purge(&house);
        house.checked();
    }
}
