//! What goes in, under which name: layouts, prefixes, what is skipped, what is a conflict.

use std::path::Path;

use crate::support::clients::{blocks_of, noise};
use crate::support::house::House;
use crate::support::work::{BLOCK, cut};
use pouw::{Exposure, IngestError, IngestLayout, IngestOptions, IngestReport, Ingested, TreeError, TreeState};

fn counts(report: &IngestReport) -> [u64; 6] {
    let IngestReport { added, resumed, unchanged, unreadable, special, conflicts, .. } = report;
    [*added, *resumed, *unchanged, *unreadable, *special, *conflicts]
}

#[test]
fn each_file_is_a_tree_named_by_its_path_below_the_source() {
    let house = House::new();
    let data = noise(5_000, 1);
    house.write("in/deep/er/a.bin", &data);
    house.write("in/empty", b"");
    let lone = house.write("lone.bin", &data[..BLOCK]);
    let report = house.ingest_paths(&cut(), &[&house.path("in"), &lone]).unwrap();
    assert_eq!(counts(&report), [3, 0, 0, 0, 0, 0]);
    assert_eq!((report.read.files, report.read.leaves, report.read.bytes), (3, 10 + 1 + 1, 5_512));
    assert_eq!(house.names(), ["deep/er/a.bin", "empty", "lone.bin"]);
    house.work_off();
    house.assert_right("deep/er/a.bin", &blocks_of(&data, BLOCK));
    house.assert_right("empty", &[b""]);
    house.assert_right("lone.bin", &[&data[..BLOCK]]);
}

#[test]
fn a_directory_ingested_at_every_start_adds_new_files_and_keeps_trees_whose_file_changed() {
    let house = House::new();
    let source = house.path("public");
    house.write("public/a", &noise(1_000, 1));
    assert_eq!(counts(&house.engine.ingest_path(&cut(), &source).unwrap()), [1, 0, 0, 0, 0, 0]);
    house.write("public/a", &noise(1_000, 2));
    house.write("public/b", &noise(1_000, 3));
    assert_eq!(counts(&house.engine.ingest_path(&cut(), &source).unwrap()), [1, 0, 0, 0, 0, 1]);
    assert_eq!(counts(&house.engine.ingest_path(&cut(), source.join("b")).unwrap()), [0, 0, 1, 0, 0, 0]);
    house.work_off();
    house.assert_right("a", &blocks_of(&noise(1_000, 1), BLOCK));
    assert!(matches!(house.engine.ingest_path(&cut(), house.path("absent")), Err(IngestError::Walk(_))));
}

#[test]
fn the_blocks_layout_makes_one_leaf_of_each_file_in_bytewise_order_of_paths() {
    let house = House::new();
    let files = [("a-b", 700), ("a.txt", 3), ("a/b", 9_000), ("z", 0)];
    let data: Vec<Vec<u8>> = files.iter().map(|(name, len)| noise(*len, name.len() as u64)).collect();
    for ((name, _), bytes) in files.iter().zip(&data).rev() {
        house.write(&format!("in/{name}"), bytes);
    }
    let options = cut().layout(IngestLayout::Blocks).tree("all");
    drop(house.ingest_paths(&options, &[&house.path("in")]).unwrap());
    assert_eq!(house.names(), ["all"]);
    house.work_off();
    house.assert_right("all", &data.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn the_blocks_layout_without_a_tree_name_is_refused_by_field() {
    let house = House::new();
    let file = house.write("a", b"a");
    let refused = house.ingest_paths(&cut().layout(IngestLayout::Blocks), &[&file]).unwrap_err();
    assert!(matches!(refused, IngestError::Option { field: "tree", .. }), "{refused}");
    assert_eq!(house.names(), [""; 0]);
}

#[test]
fn the_prefix_stands_in_front_of_every_name_as_given() {
    let house = House::new();
    house.write("in/a", b"a");
    house.write("in/b/c", b"c");
    let options = cut().prefix("docs/v1-");
    drop(house.ingest_paths(&options, &[&house.path("in")]).unwrap());
    assert_eq!(house.names(), ["docs/v1-a", "docs/v1-b/c"]);
}

#[cfg(unix)]
#[test]
fn bytes_of_a_name_that_are_not_utf_8_are_percent_encoded() {
    use std::os::unix::ffi::OsStrExt;
    let house = House::new();
    let directory = house.path("in");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), b"x").unwrap();
    drop(house.ingest_paths(&cut(), &[&directory]).unwrap());
    house.work_off();
    house.assert_right("caf%E9", &[b"x"]);
}

#[test]
fn the_same_content_again_is_unchanged_before_and_after_its_tree_is_complete() {
    let mut house = House::new();
    house.write("in/a", &noise(3_000, 1));
    house.write("in/b", b"");
    assert_eq!(counts(&house.ingest_paths(&cut(), &[&house.path("in")]).unwrap()), [2, 0, 0, 0, 0, 0]);
    let before = house.engine.trees(None, 10).unwrap();
    assert_eq!(counts(&house.ingest_paths(&cut(), &[&house.path("in")]).unwrap()), [0, 0, 2, 0, 0, 0]);
    assert_eq!(house.engine.trees(None, 10).unwrap(), before);
    house.work_off();
    house.reopen();
    assert_eq!(counts(&house.ingest_paths(&cut(), &[&house.path("in")]).unwrap()), [0, 0, 2, 0, 0, 0]);
    assert_eq!(house.work_off(), 0);
}

#[test]
fn other_content_under_a_name_in_use_is_a_conflict_that_changes_nothing_and_stops_nobody_else() {
    let house = House::new();
    house.write("in/a", &noise(3_000, 1));
    drop(house.ingest_paths(&cut(), &[&house.path("in")]).unwrap());
    let before = house.engine.tree("a").unwrap();
    house.write("in/a", &noise(3_000, 2));
    house.write("in/b", b"new");
    let report = house.ingest_paths(&cut(), &[&house.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 0, 0, 1]);
    assert!(!report.is_clean());
    assert!(report.problems[0].why.contains("different content"), "{:?}", report.problems);
    assert_eq!(house.engine.tree("a").unwrap(), before);
    house.work_off();
    house.assert_right("a", &blocks_of(&noise(3_000, 1), BLOCK));
    house.assert_right("b", &[b"new"]);
}

#[test]
fn the_same_bytes_cut_otherwise_are_a_conflict() {
    let house = House::new();
    let data = noise(3_000, 1);
    assert_eq!(house.engine.ingest_bytes(&cut(), "a", &data).unwrap(), Ingested::Added);
    let wider = cut().block_size(1_024);
    let refused = house.engine.ingest_bytes(&wider, "a", &data).unwrap_err();
    assert!(matches!(&refused, IngestError::Conflict { name } if name == "a"), "{refused}");
    // One leaf either way, but the commitment binds another block length.
    assert_eq!(house.engine.ingest_bytes(&cut(), "short", &data[..9]).unwrap(), Ingested::Added);
    let refused = house.engine.ingest_bytes(&wider, "short", &data[..9]).unwrap_err();
    assert!(matches!(&refused, IngestError::Conflict { name } if name == "short"), "{refused}");
}

#[test]
fn two_sources_with_one_name_are_a_conflict_that_names_both() {
    let house = House::new();
    let (one, two) = (house.write("one/same", b"1"), house.write("two/same", b"2"));
    for options in [cut(), cut().tree("t")] {
        let refused = house.ingest_paths(&options, &[&one, &two]).unwrap_err().to_string();
        for part in [&one, &two] {
            assert!(refused.contains(part.to_str().unwrap()), "{refused}");
        }
        assert_eq!(house.names(), [""; 0]);
    }
}

#[test]
fn a_forgotten_tree_can_be_ingested_again_and_is_another_one() {
    let house = House::new();
    let data = noise(2_000, 1);
    house.engine.ingest_bytes(&cut(), "a", &data).unwrap();
    let first = house.engine.tree("a").unwrap().id;
    house.work_off();
    house.engine.forget("a").unwrap();
    assert!(matches!(house.engine.tree("a"), Err(TreeError::Unknown(_))));
    assert_eq!(house.engine.ingest_bytes(&cut(), "a", &data).unwrap(), Ingested::Added);
    assert!(house.engine.tree("a").unwrap().id > first);
    assert!(house.work_off() > 0);
    house.assert_right("a", &blocks_of(&data, BLOCK));
}

#[cfg(unix)]
#[test]
fn links_and_sockets_are_counted_and_named_and_not_followed() {
    let house = House::new();
    let file = house.write("in/file", b"x");
    std::os::unix::fs::symlink(&file, house.path("in/link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", house.path("in/dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(house.path("in/socket")).unwrap();
    let report = house.ingest_paths(&cut(), &[&house.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 0, 3, 0]);
    assert!(report.is_clean(), "what is no file is not missing");
    let named: Vec<_> = report.problems.iter().map(|problem| problem.what.rsplit('/').next().unwrap()).collect();
    assert_eq!(named, ["dangling", "link", "socket"]);
    assert_eq!(house.names(), ["file"]);
}

/// A plain file whose first page cannot be read, whoever asks.
#[cfg(target_os = "linux")]
const UNREADABLE: &str = "/proc/self/mem";

#[cfg(target_os = "linux")]
#[test]
fn an_unreadable_file_is_counted_and_named_and_the_rest_goes_in() {
    let house = House::new();
    let file = house.write("z-file", b"x");
    let report = house.ingest_paths(&cut(), &[Path::new(UNREADABLE), &file]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 1, 0, 0]);
    assert!(!report.is_clean());
    assert_eq!(report.problems[0].what, UNREADABLE);
    assert_eq!(house.names(), ["z-file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn with_one_tree_for_all_an_unreadable_file_ends_the_ingest_and_leaves_nothing() {
    let house = House::new();
    let first = house.write("a", b"x");
    let options = cut().tree("t");
    let refused = house.ingest_paths(&options, &[&first, Path::new(UNREADABLE)]).unwrap_err();
    assert!(matches!(&refused, IngestError::Read { path, .. } if path == Path::new(UNREADABLE)), "{refused}");
    assert_eq!(house.names(), [""; 0]);
}

#[test]
fn a_name_too_long_with_its_prefix_is_counted_as_unreadable_and_named() {
    let house = House::new();
    house.write("in/a", b"x");
    house.write("in/bb", b"x");
    let options = cut().prefix("p".repeat(4_095));
    let report = house.ingest_paths(&options, &[&house.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 1, 0, 0]);
    assert!(report.problems[0].why.contains("shorter prefix"), "{:?}", report.problems);
}

#[test]
fn no_leaf_makes_no_tree() {
    let house = House::new();
    std::fs::create_dir(house.path("in")).unwrap();
    let one = cut().tree("t");
    for refused in [
        house.ingest_paths(&one, &[&house.path("in")]).unwrap_err(),
        house.ingest_paths(&one.layout(IngestLayout::Blocks), &[&house.path("in")]).unwrap_err(),
        house.engine.ingest_blocks(&cut(), "t", &[]).unwrap_err(),
    ] {
        assert!(matches!(&refused, IngestError::Empty { name } if name == "t"), "{refused}");
    }
    // A tree for each of no files is no tree, and no error.
    assert_eq!(house.ingest_paths(&cut(), &[&house.path("in")]).unwrap(), IngestReport::default());
    assert_eq!(house.names(), [""; 0]);
}

#[test]
fn names_that_no_tree_can_have_are_refused_by_field() {
    let house = House::new();
    for name in [String::new(), "a\0b".into(), "n".repeat(4_097)] {
        let refused = house.engine.ingest_bytes(&cut(), &name, b"x").unwrap_err();
        assert!(matches!(refused, IngestError::Option { field: "name", .. }), "{refused}");
    }
    assert_eq!(house.engine.ingest_bytes(&cut(), &"n".repeat(4_096), b"x").unwrap(), Ingested::Added);
}

#[test]
fn a_tree_remembers_why_its_data_may_be_seen() {
    let house = House::new();
    for (name, exposure) in [("a", Exposure::Public), ("b", Exposure::Ciphertext)] {
        house.engine.ingest_bytes(&IngestOptions::new(exposure), name, b"x").unwrap();
        let tree = house.engine.tree(name).unwrap();
        assert_eq!((tree.exposure, tree.state), (exposure, TreeState::Active));
    }
}
