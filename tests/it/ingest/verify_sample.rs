//! `verify_sample.py` recomputes roots with Python's hashlib. Here it is shown that it can succeed, and that it can fail.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::backlog::{Place, noise, options};
use pouw::{IngestOptions, Layout};
use serde_json::{Value, json};

/// The document that `pouw trees --json` prints.
fn document(place: &Place) -> Value {
    let trees = place.engine.trees(None, 1_000).unwrap().into_iter().map(|tree| {
        json!({
            "name": tree.name, "leaves": tree.leaves, "block_len": tree.block_len, "total_bytes": tree.total_bytes,
            "root": tree.root.map(|sum| sum.to_hex()), "commitment": tree.commitment.map(|sum| sum.to_hex()),
        })
    });
    json!({ "trees": trees.collect::<Vec<_>>() })
}

fn verify(document: &Path, directory: &Path, more: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify_sample.py");
    let mut python = Command::new("python3");
    python.arg(script).arg("--dir").arg(directory).args(more).arg(document);
    python.output().unwrap_or_else(|error| panic!("this test needs python3 on the path: {error}"))
}

fn outcome(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn hashlib_agrees_with_every_root_until_a_file_changes() {
    let place = Place::new();
    for number in 0..30 {
        place.write(&format!("in/{}/{number}", number % 3), &noise(number * 611, number as u64));
    }
    let source = place.path("in");
    let prefixed = IngestOptions { prefix: Some("p/".into()), ..options() };
    place.ingest(&prefixed, &[&source]).unwrap();
    place.drain();
    let listed = place.write("trees.json", document(&place).to_string().as_bytes());
    let verified = verify(&listed, &source, &["--prefix", "p/"]);
    assert_eq!(outcome(&verified), (Some(0), "checked 30, mismatches 0\n".into()), "{verified:?}");
    let sampled = verify(&listed, &source, &["--prefix", "p/", "--sample", "7"]);
    assert_eq!(outcome(&sampled), (Some(0), "checked 7, mismatches 0\n".into()), "{sampled:?}");

    place.write("in/1/4", b"other content");
    std::fs::remove_file(place.path("in/2/5")).unwrap();
    let failed = verify(&listed, &source, &["--prefix", "p/"]);
    assert_eq!(outcome(&failed), (Some(1), "checked 30, mismatches 2\n".into()), "{failed:?}");
}

#[test]
fn hashlib_agrees_with_one_tree_over_all_files_in_both_layouts() {
    for (layout, more) in
        [(Layout::Files, &["--one-tree", "--block-size", "512"][..]), (Layout::Blocks, &["--one-tree"])]
    {
        let place = Place::new();
        for (number, name) in ["a-b", "a.txt", "a/b", "a/b-c", "z"].iter().enumerate() {
            place.write(&format!("in/{name}"), &noise(number * 700 + 3, number as u64));
        }
        let source = place.path("in");
        let one = IngestOptions { layout, tree: Some("all".into()), ..options() };
        place.ingest(&one, &[&source]).unwrap();
        place.drain();
        let listed = place.write("trees.json", document(&place).to_string().as_bytes());
        let verified = verify(&listed, &source, more);
        assert_eq!(outcome(&verified), (Some(0), "checked 1, mismatches 0\n".into()), "{verified:?}");
    }
}

#[test]
fn nothing_to_check_is_a_failure() {
    let place = Place::new();
    place.engine.ingest_bytes(&options(), "pending", b"x").unwrap();
    let listed = place.write("trees.json", document(&place).to_string().as_bytes());
    let verified = verify(&listed, &place.path("."), &[]);
    assert_eq!(outcome(&verified), (Some(1), "checked 0, mismatches 0\n".into()), "{verified:?}");
}
