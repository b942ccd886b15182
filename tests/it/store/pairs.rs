//! Both files of a store belong together: a file of another day, or of a copy, is refused.

use std::path::Path;

use crate::support::house::config;
use crate::support::store_plant::{Bytes, Files, META, copied, plant};
use crate::support::work::{cut, pattern, work_off};
use pouw::protocol::DifficultyTier::High;
use pouw::{OpenError, PouwEngine, StoreError};
use redb::{Database, ReadableDatabase};

fn open(dir: &Path) -> Result<PouwEngine, OpenError> {
    PouwEngine::open(dir, config().accept_clock_ahead(true).build().unwrap())
}

fn files(dir: &Path) -> Files {
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    (read("state.redb"), read("blocks.redb"))
}

/// A day of a store: it is opened, gets a tree, and is closed.
fn day(dir: &Path, name: &str) -> Files {
    let engine = open(dir).unwrap();
    engine.ingest_bytes(&cut(), name, &pattern(3 * 512, name.len())).unwrap();
    engine.close();
    files(dir)
}

fn copy(files: &Files, dir: &Path) {
    std::fs::write(dir.join("state.redb"), &files.0).unwrap();
    std::fs::write(dir.join("blocks.redb"), &files.1).unwrap();
}

/// Every way to open this pair is refused, and changes nothing.
#[track_caller]
fn is_refused(pair: &Files) {
    let dir = copied(pair);
    let refused = [
        open(dir.path()).map(drop),
        PouwEngine::open_read_only(dir.path()).map(drop),
        PouwEngine::check_store(dir.path(), &mut |_| {}).map(drop),
        PouwEngine::repair_store(dir.path(), false).map(drop),
    ];
    for ended in refused {
        assert!(matches!(ended, Err(OpenError::Store(StoreError::NotAPair { .. }))), "{ended:?}");
    }
    assert!(files(dir.path()) == *pair, "a byte changed");
}

#[test]
fn files_of_different_days_are_refused_and_those_of_one_day_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let days: Vec<Files> = ["monday", "tuesday", "wednesday"].iter().map(|name| day(dir.path(), name)).collect();
    for (at, state) in days.iter().enumerate() {
        for (beside, blocks) in days.iter().enumerate() {
            let pair = (state.0.clone(), blocks.1.clone());
            if at == beside {
                open(copied(&pair).path()).unwrap().close();
            } else {
                is_refused(&pair);
            }
        }
    }
}

#[test]
fn files_of_two_copies_that_were_used_apart_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let origin = day(dir.path(), "one");
    let lives: Vec<Files> = ["here", "there"]
        .iter()
        .map(|name| {
            copy(&origin, dir.path());
            day(dir.path(), name);
            day(dir.path(), &format!("{name} too"))
        })
        .collect();
    is_refused(&(lives[0].0.clone(), lives[1].1.clone()));
    is_refused(&(lives[1].0.clone(), lives[0].1.clone()));
}

#[test]
fn a_store_from_before_the_marks_opens_and_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    day(dir.path(), "one");
    for file in ["state.redb", "blocks.redb"] {
        plant(&dir.path().join(file), |txn| {
            txn.open_table(META).unwrap().remove("generation").unwrap();
        });
    }
    let old = files(dir.path());
    PouwEngine::open_read_only(dir.path()).unwrap().close();
    assert!(files(dir.path()) == old);
    let engine = open(dir.path()).unwrap();
    work_off(&engine, b"client", High);
    engine.close();
    let mark = |file: &str| {
        let database = Database::open(dir.path().join(file)).unwrap();
        let meta = database.begin_read().unwrap().open_table(META).unwrap();
        let bytes: Bytes = Box::leak(meta.get("generation").unwrap().unwrap().value().into());
        bytes
    };
    let (state, blocks) = (mark("state.redb"), mark("blocks.redb"));
    assert_eq!((state.len(), blocks.len()), (24 + 9, 48 + 9));
    assert_eq!((&blocks[..24], &blocks[24..48]), (&state[..24], &state[..24]));
    // The old state file does not fit any more once the store was opened twice.
    open(dir.path()).unwrap().close();
    is_refused(&(old.0, files(dir.path()).1));
}
