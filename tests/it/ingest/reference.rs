//! By reference: the bytes stay in their files and are read when they are needed, if they are still what they were.

use std::fs::{File, rename};
use std::path::Path;
use std::time::SystemTime;

use crate::support::clients::{blocks_of, noise};
use crate::support::house::House;
use crate::support::work::{BLOCK, cut, solve};
use pouw::hash::sha3_512;
use pouw::internal::policy::backoff::PAUSE_MAX_MS;
use pouw::internal::store::rows::DataPlace;
use pouw::{Answer, Event, IngestLayout, IngestOptions, SubmitError, TreeState};

fn by_reference() -> IngestOptions {
    cut().by_reference(true)
}

fn modified(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

/// Writes into the file that is there, and gives it the time `at`.
fn overwrite(path: &Path, bytes: &[u8], at: SystemTime) {
    std::fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

fn source_changes(house: &House) -> usize {
    house.events.lock().iter().filter(|event| matches!(event, Event::SourceChanged { .. })).count()
}

/// A sweep after the longest pause between two looks at a source.
fn look_again(house: &House) {
    house.clock.advance(std::time::Duration::from_millis(PAUSE_MAX_MS));
    house.engine.sweep().unwrap();
}

#[test]
fn both_layouts_complete_from_the_files_alone() {
    let mut house = House::new();
    let data: Vec<Vec<u8>> = (0..40).map(|i| noise(i * 97 % 1_300, i as u64)).collect();
    for (number, bytes) in data.iter().enumerate() {
        house.write(&format!("in/{number:02}"), bytes);
    }
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let all = by_reference().layout(IngestLayout::Blocks).tree("all");
    drop(house.ingest_paths(&all, &[&house.path("in")]).unwrap());
    assert_eq!(house.engine.tree("all").unwrap().data, DataPlace::Referenced);
    house.reopen();
    house.work_off();
    house.assert_right("all", &data.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for (number, bytes) in data.iter().enumerate() {
        house.assert_right(&format!("{number:02}"), &blocks_of(bytes, BLOCK));
    }
}

#[test]
fn a_vanished_source_keeps_its_leaves_pending_and_comes_back_with_the_file() {
    let house = House::new();
    let data = noise(5_000, 1);
    let path = house.write("in/a", &data);
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let away = house.path("away");
    rename(&path, &away).unwrap();
    assert!(house.unit().is_none());
    let tree = house.engine.tree("a").unwrap();
    assert_eq!((tree.state, tree.pending), (TreeState::Active, 10));
    assert_eq!(source_changes(&house), 1);
    let blocked = house.engine.stats().blocked;
    assert_eq!(blocked.len(), 1);
    assert!(blocked[0].why.contains(path.to_str().unwrap()), "{blocked:?}");
    // As long as nothing changed, another try ends the same way.
    house.engine.sweep().unwrap();
    assert!(house.unit().is_none());
    rename(&away, &path).unwrap();
    assert!(house.unit().is_none(), "it is tried again with the sweep, not with every request");
    house.engine.sweep().unwrap();
    assert!(house.unit().is_none(), "after two failures not with every sweep");
    look_again(&house);
    house.work_off();
    house.assert_right("a", &blocks_of(&data, BLOCK));
    assert_eq!(house.engine.stats().blocked, []);
}

#[test]
fn a_changed_source_hands_nothing_out_until_it_is_what_it_was() {
    let house = House::new();
    let data = noise(5_000, 1);
    let path = house.write("in/a", &data);
    let at = modified(&path);
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let later = at + std::time::Duration::from_secs(5);
    // Other bytes, fewer bytes, the same bytes written again later: none of them is the file ingested.
    for (bytes, time) in [(noise(5_000, 2), later), (noise(4_999, 1), at), (data.clone(), later)] {
        overwrite(&path, &bytes, time);
        look_again(&house);
        assert!(house.unit().is_none());
        assert_eq!(house.engine.tree("a").unwrap().pending, 10);
        assert!(house.engine.stats().blocked[0].why.contains("changed"), "{:?}", house.engine.stats().blocked);
    }
    assert_eq!(source_changes(&house), 1, "one event for as long as it lasts");
    overwrite(&path, &data, at);
    look_again(&house);
    house.work_off();
    house.assert_right("a", &blocks_of(&data, BLOCK));
}

#[test]
fn one_source_gone_holds_up_no_other_tree() {
    let house = House::new();
    for name in ["a", "b", "c"] {
        house.write(&format!("in/{name}"), name.as_bytes());
    }
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    std::fs::remove_file(house.path("in/b")).unwrap();
    assert_eq!(house.work_off(), 2);
    house.assert_right("a", &[b"a"]);
    house.assert_right("c", &[b"c"]);
    assert_eq!(house.engine.tree("b").unwrap().pending, 1);
}

#[test]
fn a_right_answer_counts_although_its_source_vanished_meanwhile() {
    let house = House::new();
    let path = house.write("in/a", b"content");
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let issued = house.unit().unwrap();
    std::fs::remove_file(path).unwrap();
    house.engine.submit(&Answer::new(b"client", &solve(&issued.unit))).unwrap();
    house.engine.upkeep().unwrap();
    house.assert_right("a", &[b"content"]);
}

#[test]
fn a_wrong_answer_to_a_source_that_changed_under_us_counts_against_nobody() {
    let house = House::new();
    let path = house.write("in/a", b"content");
    let at = modified(&path);
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let issued = house.unit().unwrap();
    // The same length, time and inode: only the bytes tell.
    overwrite(&path, b"CONTENT", at);
    let mut result = solve(&issued.unit);
    result.result_hash = sha3_512(b"CONTENT");
    let refused = house.engine.submit(&Answer::new(b"client", &result)).unwrap_err();
    assert!(matches!(refused, SubmitError::Withdrawn), "{refused}");
    assert_eq!(source_changes(&house), 1);
    assert_eq!((house.engine.stats().refused_waiting, house.engine.stats().totals.refused), (0, 0));
    assert_eq!(house.engine.tree("a").unwrap().pending, 1);
}

#[test]
fn a_wrong_answer_to_an_unchanged_source_is_a_wrong_answer() {
    let house = House::new();
    house.write("in/a", b"content");
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let issued = house.unit().unwrap();
    let mut result = solve(&issued.unit);
    result.result_hash = sha3_512(b"CONTENT");
    let refused = house.engine.submit(&Answer::new(b"client", &result)).unwrap_err();
    assert!(matches!(refused, SubmitError::WrongResult { .. }), "{refused}");
    assert_eq!(source_changes(&house), 0);
}

#[test]
fn the_same_content_copied_and_by_reference_is_the_same_tree() {
    let house = House::new();
    house.write("in/a", &noise(3_000, 1));
    drop(house.ingest_paths(&cut(), &[&house.path("in")]).unwrap());
    let report = house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap();
    assert_eq!((report.added, report.unchanged, report.conflicts), (0, 1, 0));
    assert_eq!(house.engine.tree("a").unwrap().data, DataPlace::Copied);
}

#[test]
fn a_source_restored_as_another_file_of_the_same_content_is_accepted_by_ingesting_it_again() {
    let house = House::new();
    let data = noise(5_000, 2);
    let path = house.write("in/a", &data);
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    // As from a backup: same bytes, another inode and time.
    let copy = house.write("copy", &data);
    rename(&copy, &path).unwrap();
    assert!(house.unit().is_none());
    let report = house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap();
    assert_eq!((report.unchanged, report.added), (1, 0));
    house.engine.sweep().unwrap();
    house.work_off();
    house.assert_right("a", &blocks_of(&data, BLOCK));
}

#[cfg(unix)]
#[test]
fn a_source_replaced_by_a_pipe_or_a_link_is_reported_and_nobody_waits_for_it() {
    let house = House::new();
    let data = noise(3_000, 3);
    let path = house.write("in/a", &data);
    drop(house.ingest_paths(&by_reference(), &[&house.path("in")]).unwrap());
    let kept = house.path("kept");
    rename(&path, &kept).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(house.unit().is_none());
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&kept, &path).unwrap();
    house.engine.sweep().unwrap();
    assert!(house.unit().is_none());
    assert!(source_changes(&house) >= 2);
    std::fs::remove_file(&path).unwrap();
    rename(&kept, &path).unwrap();
    look_again(&house);
    house.work_off();
    house.assert_right("a", &blocks_of(&data, BLOCK));
}
