//! What goes in, under which name: layouts, prefixes, what is skipped, what is a conflict.

use std::path::Path;

use crate::support::backlog::{BLOCK, Place, blocks_of, noise, options};
use pouw::{Exposure, IngestError, IngestOptions, IngestReport, Ingested, Layout, TreeError, TreeState};

fn counts(report: &IngestReport) -> [u64; 6] {
    let IngestReport { added, resumed, unchanged, unreadable, special, conflicts, .. } = report;
    [*added, *resumed, *unchanged, *unreadable, *special, *conflicts]
}

#[test]
fn each_file_is_a_tree_named_by_its_path_below_the_source() {
    let place = Place::new();
    let data = noise(5_000, 1);
    place.write("in/deep/er/a.bin", &data);
    place.write("in/empty", b"");
    let lone = place.write("lone.bin", &data[..BLOCK]);
    let report = place.ingest(&options(), &[&place.path("in"), &lone]).unwrap();
    assert_eq!(counts(&report), [3, 0, 0, 0, 0, 0]);
    assert_eq!((report.read.files, report.read.leaves, report.read.bytes), (3, 10 + 1 + 1, 5_512));
    assert_eq!(place.names(), ["deep/er/a.bin", "empty", "lone.bin"]);
    place.drain();
    place.assert_complete("deep/er/a.bin", &blocks_of(&data, BLOCK));
    place.assert_complete("empty", &[b""]);
    place.assert_complete("lone.bin", &[&data[..BLOCK]]);
}

#[test]
fn a_directory_ingested_at_every_start_adds_new_files_and_keeps_trees_whose_file_changed() {
    let place = Place::new();
    let source = place.path("public");
    place.write("public/a", &noise(1_000, 1));
    assert_eq!(counts(&place.engine.ingest_path(&options(), &source).unwrap()), [1, 0, 0, 0, 0, 0]);
    place.write("public/a", &noise(1_000, 2));
    place.write("public/b", &noise(1_000, 3));
    assert_eq!(counts(&place.engine.ingest_path(&options(), &source).unwrap()), [1, 0, 0, 0, 0, 1]);
    assert_eq!(counts(&place.engine.ingest_path(&options(), source.join("b")).unwrap()), [0, 0, 1, 0, 0, 0]);
    place.drain();
    place.assert_complete("a", &blocks_of(&noise(1_000, 1), BLOCK));
    assert!(matches!(place.engine.ingest_path(&options(), place.path("absent")), Err(IngestError::Walk(_))));
}

#[test]
fn the_blocks_layout_makes_one_leaf_of_each_file_in_bytewise_order_of_paths() {
    let place = Place::new();
    let files = [("a-b", 700), ("a.txt", 3), ("a/b", 9_000), ("z", 0)];
    let data: Vec<Vec<u8>> = files.iter().map(|(name, len)| noise(*len, name.len() as u64)).collect();
    for ((name, _), bytes) in files.iter().zip(&data).rev() {
        place.write(&format!("in/{name}"), bytes);
    }
    let options = IngestOptions { layout: Layout::Blocks, tree: Some("all".into()), ..options() };
    place.ingest(&options, &[&place.path("in")]).unwrap();
    assert_eq!(place.names(), ["all"]);
    place.drain();
    place.assert_complete("all", &data.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn the_blocks_layout_without_a_tree_name_is_refused_by_field() {
    let place = Place::new();
    let file = place.write("a", b"a");
    let refused = place.ingest(&IngestOptions { layout: Layout::Blocks, ..options() }, &[&file]).unwrap_err();
    assert!(matches!(refused, IngestError::Option { field: "tree", .. }), "{refused}");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn the_prefix_stands_in_front_of_every_name_as_given() {
    let place = Place::new();
    place.write("in/a", b"a");
    place.write("in/b/c", b"c");
    let options = IngestOptions { prefix: Some("docs/v1-".into()), ..options() };
    place.ingest(&options, &[&place.path("in")]).unwrap();
    assert_eq!(place.names(), ["docs/v1-a", "docs/v1-b/c"]);
}

#[cfg(unix)]
#[test]
fn bytes_of_a_name_that_are_not_utf_8_are_percent_encoded() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let directory = place.path("in");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), b"x").unwrap();
    place.ingest(&options(), &[&directory]).unwrap();
    place.drain();
    place.assert_complete("caf%E9", &[b"x"]);
}

#[test]
fn the_same_content_again_is_unchanged_before_and_after_its_tree_is_complete() {
    let mut place = Place::new();
    place.write("in/a", &noise(3_000, 1));
    place.write("in/b", b"");
    assert_eq!(counts(&place.ingest(&options(), &[&place.path("in")]).unwrap()), [2, 0, 0, 0, 0, 0]);
    let before = place.engine.trees(None, 10).unwrap();
    assert_eq!(counts(&place.ingest(&options(), &[&place.path("in")]).unwrap()), [0, 0, 2, 0, 0, 0]);
    assert_eq!(place.engine.trees(None, 10).unwrap(), before);
    place.drain();
    place.reopen();
    assert_eq!(counts(&place.ingest(&options(), &[&place.path("in")]).unwrap()), [0, 0, 2, 0, 0, 0]);
    assert_eq!(place.drain(), 0);
}

#[test]
fn other_content_under_a_name_in_use_is_a_conflict_that_changes_nothing_and_stops_nobody_else() {
    let place = Place::new();
    place.write("in/a", &noise(3_000, 1));
    place.ingest(&options(), &[&place.path("in")]).unwrap();
    let before = place.engine.tree("a").unwrap();
    place.write("in/a", &noise(3_000, 2));
    place.write("in/b", b"new");
    let report = place.ingest(&options(), &[&place.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 0, 0, 1]);
    assert!(!report.is_clean());
    assert!(report.problems[0].why.contains("other content"), "{:?}", report.problems);
    assert_eq!(place.engine.tree("a").unwrap(), before);
    place.drain();
    place.assert_complete("a", &blocks_of(&noise(3_000, 1), BLOCK));
    place.assert_complete("b", &[b"new"]);
}

#[test]
fn the_same_bytes_cut_otherwise_are_a_conflict() {
    let place = Place::new();
    let data = noise(3_000, 1);
    assert_eq!(place.engine.ingest_bytes(&options(), "a", &data).unwrap(), Ingested::Added);
    let wider = IngestOptions { block_size: 1_024, ..options() };
    let refused = place.engine.ingest_bytes(&wider, "a", &data).unwrap_err();
    assert!(matches!(&refused, IngestError::Conflict { name } if name == "a"), "{refused}");
    // One leaf either way, but the commitment binds another block length.
    assert_eq!(place.engine.ingest_bytes(&options(), "short", &data[..9]).unwrap(), Ingested::Added);
    let refused = place.engine.ingest_bytes(&wider, "short", &data[..9]).unwrap_err();
    assert!(matches!(&refused, IngestError::Conflict { name } if name == "short"), "{refused}");
}

#[test]
fn two_sources_with_one_name_are_a_conflict_that_names_both() {
    let place = Place::new();
    let (one, two) = (place.write("one/same", b"1"), place.write("two/same", b"2"));
    for options in [options(), IngestOptions { tree: Some("t".into()), ..options() }] {
        let refused = place.ingest(&options, &[&one, &two]).unwrap_err().to_string();
        for part in [&one, &two] {
            assert!(refused.contains(part.to_str().unwrap()), "{refused}");
        }
        assert_eq!(place.names(), [""; 0]);
    }
}

#[test]
fn a_forgotten_tree_can_be_ingested_again_and_is_another_one() {
    let place = Place::new();
    let data = noise(2_000, 1);
    place.engine.ingest_bytes(&options(), "a", &data).unwrap();
    let first = place.engine.tree("a").unwrap().id;
    place.drain();
    place.engine.forget("a").unwrap();
    assert!(matches!(place.engine.tree("a"), Err(TreeError::Unknown(_))));
    assert_eq!(place.engine.ingest_bytes(&options(), "a", &data).unwrap(), Ingested::Added);
    assert!(place.engine.tree("a").unwrap().id > first);
    assert!(place.drain() > 0);
    place.assert_complete("a", &blocks_of(&data, BLOCK));
}

#[cfg(unix)]
#[test]
fn links_and_sockets_are_counted_and_named_and_not_followed() {
    let place = Place::new();
    let file = place.write("in/file", b"x");
    std::os::unix::fs::symlink(&file, place.path("in/link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", place.path("in/dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("in/socket")).unwrap();
    let report = place.ingest(&options(), &[&place.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 0, 3, 0]);
    assert!(report.is_clean(), "what is no file is not missing");
    let named: Vec<_> = report.problems.iter().map(|problem| problem.what.rsplit('/').next().unwrap()).collect();
    assert_eq!(named, ["dangling", "link", "socket"]);
    assert_eq!(place.names(), ["file"]);
}

/// A plain file whose first page cannot be read, whoever asks.
#[cfg(target_os = "linux")]
const UNREADABLE: &str = "/proc/self/mem";

#[cfg(target_os = "linux")]
#[test]
fn an_unreadable_file_is_counted_and_named_and_the_rest_goes_in() {
    let place = Place::new();
    let file = place.write("z-file", b"x");
    let report = place.ingest(&options(), &[Path::new(UNREADABLE), &file]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 1, 0, 0]);
    assert!(!report.is_clean());
    assert_eq!(report.problems[0].what, UNREADABLE);
    assert_eq!(place.names(), ["z-file"]);
}

#[cfg(target_os = "linux")]
#[test]
fn with_one_tree_for_all_an_unreadable_file_ends_the_ingest_and_leaves_nothing() {
    let place = Place::new();
    let first = place.write("a", b"x");
    let options = IngestOptions { tree: Some("t".into()), ..options() };
    let refused = place.ingest(&options, &[&first, Path::new(UNREADABLE)]).unwrap_err();
    assert!(matches!(&refused, IngestError::Read { path, .. } if path == Path::new(UNREADABLE)), "{refused}");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn a_name_too_long_with_its_prefix_is_counted_as_unreadable_and_named() {
    let place = Place::new();
    place.write("in/a", b"x");
    place.write("in/bb", b"x");
    let options = IngestOptions { prefix: Some("p".repeat(4_095)), ..options() };
    let report = place.ingest(&options, &[&place.path("in")]).unwrap();
    assert_eq!(counts(&report), [1, 0, 0, 1, 0, 0]);
    assert!(report.problems[0].why.contains("shorter prefix"), "{:?}", report.problems);
}

#[test]
fn no_leaf_makes_no_tree() {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let one = IngestOptions { tree: Some("t".into()), ..options() };
    for refused in [
        place.ingest(&one, &[&place.path("in")]).unwrap_err(),
        place.ingest(&IngestOptions { layout: Layout::Blocks, ..one }, &[&place.path("in")]).unwrap_err(),
        place.engine.ingest_blocks(&options(), "t", &[]).unwrap_err(),
    ] {
        assert!(matches!(&refused, IngestError::Empty { name } if name == "t"), "{refused}");
    }
    // A tree for each of no files is no tree, and no error.
    assert_eq!(place.ingest(&options(), &[&place.path("in")]).unwrap(), IngestReport::default());
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn names_that_no_tree_can_have_are_refused_by_field() {
    let place = Place::new();
    for name in [String::new(), "a\0b".into(), "n".repeat(4_097)] {
        let refused = place.engine.ingest_bytes(&options(), &name, b"x").unwrap_err();
        assert!(matches!(refused, IngestError::Option { field: "name", .. }), "{refused}");
    }
    assert_eq!(place.engine.ingest_bytes(&options(), &"n".repeat(4_096), b"x").unwrap(), Ingested::Added);
}

#[test]
fn a_tree_remembers_why_its_data_may_be_seen() {
    let place = Place::new();
    for (name, exposure) in [("a", Exposure::Public), ("b", Exposure::Ciphertext)] {
        place.engine.ingest_bytes(&IngestOptions::new(exposure), name, b"x").unwrap();
        let tree = place.engine.tree(name).unwrap();
        assert_eq!((tree.exposure, tree.state), (exposure, TreeState::Active));
    }
}
