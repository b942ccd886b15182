//! An ingest that ends early loses nothing that was committed, and the same call again goes on from there.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::support::clients::{blocks_of, noise};
use crate::support::house::House;
use pouw::{Exposure, IngestError, IngestOptions, IngestProgress, TreeInfo, TreeState};

const MIB: usize = 1 << 20;
const BLOCK: usize = 8_192;

fn options() -> IngestOptions {
    IngestOptions::new(Exposure::Public).block_size(BLOCK as u64)
}

/// Ingests until `stop` says so.
fn cut_short(house: &House, options: &IngestOptions, source: &Path, stop: impl Fn(&IngestProgress) -> bool) {
    let mut decide = |at: &IngestProgress| if stop(at) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let ended = house.engine.ingest_paths(options, &[PathBuf::from(source)], &mut decide).unwrap_err();
    assert!(matches!(ended, IngestError::Cancelled), "{ended}");
}

/// A store with the first part of a file of 20 MiB in it, opened again since.
fn with_part_of_a_big_file(options: &IngestOptions, name: &str) -> (House, PathBuf, Vec<u8>, TreeInfo) {
    let mut house = House::new();
    let data = noise(20 * MIB + 77, 1);
    let path = house.write("big", &data);
    cut_short(&house, options, &path, |at| at.bytes >= 18 * MIB as u64);
    house.reopen();
    let info = house.engine.tree(name).unwrap();
    assert_eq!(info.state, TreeState::Ingesting);
    assert!(info.leaves > 1_000, "a part was committed: {info:?}");
    assert!(house.unit().is_none(), "nothing is handed out of a tree that is not all there");
    (house, path, data, info)
}

#[test]
fn a_big_tree_cut_short_is_continued_behind_what_is_stored() {
    let (house, path, data, part) = with_part_of_a_big_file(&options(), "big");
    let report = house.ingest_paths(&options(), &[&path]).unwrap();
    assert_eq!((report.added, report.resumed, report.unchanged), (0, 1, 0));
    let whole = house.engine.tree("big").unwrap();
    assert_eq!(whole.id, part.id, "it is the tree begun before, not a new one");
    assert_eq!(whole.leaves as usize, data.len().div_ceil(BLOCK));
    house.work_off();
    house.assert_right("big", &blocks_of(&data, BLOCK));
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().unchanged, 1);
}

#[test]
fn a_big_tree_can_be_cut_short_twice() {
    let (mut house, path, data, part) = with_part_of_a_big_file(&options(), "big");
    cut_short(&house, &options(), &path, |at| at.bytes >= 19 * MIB as u64);
    house.reopen();
    let still = house.engine.tree("big").unwrap();
    assert_eq!((still.id, still.state), (part.id, TreeState::Ingesting));
    assert!(still.leaves >= part.leaves);
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().resumed, 1);
    house.work_off();
    house.assert_right("big", &blocks_of(&data, BLOCK));
}

#[test]
fn content_that_changed_in_the_stored_part_starts_over() {
    let (house, path, mut data, part) = with_part_of_a_big_file(&options(), "big");
    data[BLOCK * 20] ^= 1;
    std::fs::write(&path, &data).unwrap();
    let report = house.ingest_paths(&options(), &[&path]).unwrap();
    assert_eq!((report.added, report.resumed, report.conflicts), (1, 0, 0));
    assert!(house.engine.tree("big").unwrap().id > part.id);
    house.work_off();
    house.assert_right("big", &blocks_of(&data, BLOCK));
}

#[test]
fn a_source_that_became_shorter_than_the_stored_part_starts_over() {
    // In the middle of a stored group, and at the end of one: then every hash that is left is the stored one.
    for len in [BLOCK * 40 + 5, BLOCK * 16 * 3] {
        let (house, path, mut data, part) = with_part_of_a_big_file(&options(), "big");
        data.truncate(len);
        std::fs::write(&path, &data).unwrap();
        let report = house.ingest_paths(&options(), &[&path]).unwrap();
        assert_eq!((report.added, report.resumed, report.conflicts), (1, 0, 0));
        assert!(house.engine.tree("big").unwrap().id > part.id);
        house.work_off();
        house.assert_right("big", &blocks_of(&data, BLOCK));
    }
}

#[test]
fn content_that_changed_behind_the_stored_part_is_continued_with_what_is_there_now() {
    let (house, path, mut data, part) = with_part_of_a_big_file(&options(), "big");
    data.extend(noise(BLOCK * 3, 9));
    std::fs::write(&path, &data).unwrap();
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().resumed, 1);
    assert_eq!(house.engine.tree("big").unwrap().id, part.id);
    house.work_off();
    house.assert_right("big", &blocks_of(&data, BLOCK));
}

#[test]
fn another_block_size_exposure_or_place_starts_over() {
    let changed: [fn(&mut IngestOptions); 3] = [
        |options| options.block_size = 4_096,
        |options| options.exposure = Exposure::Ciphertext,
        |options| options.by_reference = true,
    ];
    for change in changed {
        let (house, path, data, part) = with_part_of_a_big_file(&options(), "big");
        let mut other = options();
        change(&mut other);
        let report = house.ingest_paths(&other, &[&path]).unwrap();
        assert_eq!((report.added, report.resumed), (1, 0), "{other:?}");
        let info = house.engine.tree("big").unwrap();
        assert!(info.id > part.id && info.exposure == other.exposure, "{other:?}");
        house.work_off();
        house.assert_right("big", &blocks_of(&data, other.block_size as usize));
    }
}

/// The rows of a file's tree hold no leaf lengths, those of a tree over several files do: what one kind had
/// stored must not be continued as the other.
#[test]
fn a_file_cut_short_can_become_part_of_a_tree_over_several_files_of_the_same_name() {
    let (house, path, data, _) = with_part_of_a_big_file(&options(), "big");
    let more = house.write("more", b"a short one in between");
    let last = house.write("zzz", &noise(BLOCK * 2, 4));
    let options = options().tree("big");
    drop(house.ingest_paths(&options, &[&path, &more, &last]).unwrap());
    house.work_off();
    let mut blocks = blocks_of(&data, BLOCK);
    let tail = noise(BLOCK * 2, 4);
    blocks.push(b"a short one in between");
    blocks.extend(blocks_of(&tail, BLOCK));
    house.assert_right("big", &blocks);
}

#[test]
fn a_big_tree_by_reference_cut_short_is_read_from_its_file_in_the_end() {
    let mut house = House::new();
    // By reference only hashes are stored: it takes many small leaves to fill a commit.
    let data = noise(20 * MIB, 1);
    let path = house.write("big", &data);
    let options = options().block_size(512).by_reference(true);
    cut_short(&house, &options, &path, |at| at.bytes >= 19 * MIB as u64);
    house.reopen();
    let part = house.engine.tree("big").unwrap();
    assert_eq!(part.state, TreeState::Ingesting);
    assert_eq!(house.ingest_paths(&options, &[&path]).unwrap().resumed, 1);
    assert_eq!(house.engine.tree("big").unwrap().id, part.id);
    let issued = house.unit().unwrap();
    assert_eq!(issued.unit.input_data, data[..32 * 512]);
}

#[test]
fn many_small_trees_cut_short_go_on_with_those_that_are_missing() {
    let mut house = House::new();
    const FILES: u64 = 1_500;
    for number in 0..FILES {
        house.write(&format!("in/{number:04}"), &noise(number as usize % 1_500, number));
    }
    let source = house.path("in");
    cut_short(&house, &options(), &source, |at| at.files >= FILES - 10);
    house.reopen();
    let stored = house.engine.trees(None, 10_000).unwrap();
    assert!(!stored.is_empty() && stored.len() < FILES as usize, "{} were committed", stored.len());
    assert!(stored.iter().all(|tree| tree.state == TreeState::Active), "whole trees only");
    let report = house.ingest_paths(&options(), &[&source]).unwrap();
    assert_eq!((report.added, report.resumed), (FILES - stored.len() as u64, 0));
    assert_eq!(report.unchanged, stored.len() as u64);
    assert_eq!(house.work_off(), FILES);
    for number in [0, 1, 999, FILES - 1] {
        house.assert_right(&format!("{number:04}"), &blocks_of(&noise(number as usize % 1_500, number), BLOCK));
    }
}

#[test]
fn a_tree_cut_short_can_be_forgotten() {
    let (house, path, data, _) = with_part_of_a_big_file(&options(), "big");
    house.engine.forget("big").unwrap();
    assert_eq!(house.names(), [""; 0]);
    while house.engine.upkeep().unwrap().removed > 0 {}
    assert_eq!(house.ingest_paths(&options(), &[&path]).unwrap().added, 1);
    house.work_off();
    house.assert_right("big", &blocks_of(&data, BLOCK));
}
