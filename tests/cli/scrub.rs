//! `pouw scrub` names what is damaged, and what to do.

use std::fs;

use crate::support::cli::{Sandbox, pattern};

#[test]
fn a_damaged_leaf_is_named_and_the_same_content_mends_it() {
    let sandbox = Sandbox::with_files();
    sandbox.ok("ingest --db store --exposure public in");
    assert!(sandbox.ok("status --db store").contains("scrubbed   no full pass yet"));
    let scrubbed = sandbox.ok("scrub --db store");
    assert!(scrubbed.starts_with("read 5 leaves, ") && scrubbed.ends_with("clean\n"), "{scrubbed}");
    let path = sandbox.path("store/blocks.redb");
    let mut file = fs::read(&path).unwrap();
    let needle = &pattern(10_000)[5_090..5_154];
    let found: Vec<usize> = (0..file.len() - 64).filter(|at| file[*at..].starts_with(needle)).collect();
    assert!(!found.is_empty(), "the leaf is not in the file");
    found.into_iter().for_each(|at| file[at] ^= 1);
    fs::write(&path, file).unwrap();
    let said = sandbox.refused(
        1,
        "scrub --db store",
        &["leaf 1 of tree \"cat.jpg\" is damaged: the bytes of leaf 1", "run the `pouw ingest` of the same content"],
    );
    assert_eq!(said.lines().count(), 2, "{said}");
    let output = sandbox.run("scrub --db store --rate 100000000 --json");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), document["clean"].as_bool()), (Some(1), Some(false)), "{document}");
    assert_eq!((document["damagedLeaves"].as_u64(), document["findings"][0]["leaf"].as_u64()), (Some(1), Some(1)));
    let status = sandbox.ok("status --db store");
    assert!(status.contains("damaged    1 block") && status.contains("1 finding; see: pouw scrub"), "{status}");
    sandbox.ok("ingest --db store --exposure public in");
    assert!(sandbox.ok("scrub --db store").ends_with("clean\n"));
    sandbox.ok("work --db store");
    sandbox.ok("check --db store");
}

#[test]
fn a_wrong_rate_or_directory_is_refused() {
    let sandbox = Sandbox::with_files();
    sandbox.refused(2, "scrub --db store --rate 0", &["unlimited"]);
    sandbox.refused(1, "scrub --db store", &["there is no store in store"]);
}
