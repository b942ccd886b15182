//! `verify_sample.py` recomputes roots with Python's hashlib. Here it is shown that it can succeed, and that it can fail.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::clients::noise;
use crate::support::house::House;
use crate::support::work::cut;
use pouw::IngestLayout;
use serde_json::{Value, json};

/// The document that `pouw trees --json` prints.
fn document(house: &House) -> Value {
    let trees = house.engine.trees(None, 1_000).unwrap().into_iter().map(|tree| {
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
    let house = House::new();
    for number in 0..30 {
        house.write(&format!("in/{}/{number}", number % 3), &noise(number * 611, number as u64));
    }
    let source = house.path("in");
    let prefixed = cut().prefix("p/");
    drop(house.ingest_paths(&prefixed, &[&source]).unwrap());
    house.work_off();
    let listed = house.write("trees.json", document(&house).to_string().as_bytes());
    let verified = verify(&listed, &source, &["--prefix", "p/"]);
    assert_eq!(outcome(&verified), (Some(0), "checked 30, mismatches 0\n".into()), "{verified:?}");
    let sampled = verify(&listed, &source, &["--prefix", "p/", "--sample", "7"]);
    assert_eq!(outcome(&sampled), (Some(0), "checked 7, mismatches 0\n".into()), "{sampled:?}");

    house.write("in/1/4", b"other content");
    std::fs::remove_file(house.path("in/2/5")).unwrap();
    let failed = verify(&listed, &source, &["--prefix", "p/"]);
    assert_eq!(outcome(&failed), (Some(1), "checked 30, mismatches 2\n".into()), "{failed:?}");
}

#[test]
fn hashlib_agrees_with_one_tree_over_all_files_in_both_layouts() {
    for (layout, more) in
        [(IngestLayout::Files, &["--one-tree", "--block-size", "512"][..]), (IngestLayout::Blocks, &["--one-tree"])]
    {
        let house = House::new();
        for (number, name) in ["a-b", "a.txt", "a/b", "a/b-c", "z"].iter().enumerate() {
            house.write(&format!("in/{name}"), &noise(number * 700 + 3, number as u64));
        }
        let source = house.path("in");
        let one = cut().layout(layout).tree("all");
        drop(house.ingest_paths(&one, &[&source]).unwrap());
        house.work_off();
        let listed = house.write("trees.json", document(&house).to_string().as_bytes());
        let verified = verify(&listed, &source, more);
        assert_eq!(outcome(&verified), (Some(0), "checked 1, mismatches 0\n".into()), "{verified:?}");
    }
}

#[test]
fn nothing_to_check_is_a_failure() {
    let house = House::new();
    house.engine.ingest_bytes(&cut(), "pending", b"x").unwrap();
    let listed = house.write("trees.json", document(&house).to_string().as_bytes());
    let verified = verify(&listed, &house.path("."), &[]);
    assert_eq!(outcome(&verified), (Some(1), "checked 0, mismatches 0\n".into()), "{verified:?}");
}
