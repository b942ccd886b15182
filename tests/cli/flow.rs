//! The command line as it is meant to be used.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use serde_json::Value;

use crate::support::cli::{Sandbox, pattern, text};

const INGEST: &str = "ingest --db store --exposure public";

fn leaves_of(bytes: &[u8], block: usize) -> Vec<Checksum> {
    if bytes.is_empty() { vec![sha3_512(b"")] } else { bytes.chunks(block).map(sha3_512).collect() }
}

fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer}: {document}"))
}

fn word<'v>(document: &'v Value, pointer: &str) -> &'v str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer}: {document}"))
}

#[test]
fn files_go_in_are_worked_off_and_come_out_as_checked_trees() {
    let sandbox = Sandbox::with_files();
    let ingested = sandbox.json(&format!("{INGEST} in"));
    assert_eq!((number(&ingested, "/files"), number(&ingested, "/leaves"), number(&ingested, "/added")), (3, 5, 3));
    assert_eq!(number(&ingested, "/bytes"), 10_006);

    let status = sandbox.json("status --db store");
    assert_eq!((number(&status, "/trees/active"), number(&status, "/pendingLeaves")), (3, 5));
    let waiting = sandbox.json("tree --db store --tree cat.jpg");
    assert_eq!((word(&waiting, "/state"), &waiting["root"]), ("active", &Value::Null));
    sandbox.ok("check --db store");

    let worked = sandbox.json("work --db store --clients 3");
    assert_eq!((number(&worked, "/leaves"), number(&worked, "/pending")), (5, 0));
    assert_eq!((number(&worked, "/nodes"), number(&worked, "/creditsMicroJoules")), (8, 800));
    assert_eq!(number(&worked, "/treesComplete"), 3);

    let leaves = leaves_of(&pattern(10_000), 4096);
    let tree = sandbox.json("tree --db store --tree cat.jpg");
    assert_eq!((number(&tree, "/leaves"), number(&tree, "/height"), number(&tree, "/nodes")), (3, 2, 6));
    assert_eq!(word(&tree, "/root"), root(&leaves).unwrap().to_hex());
    assert_eq!((word(&tree, "/state"), number(&tree, "/pending")), ("complete", 0));

    let trees = sandbox.json("trees --db store");
    let names: Vec<&str> = trees["trees"].as_array().unwrap().iter().map(|tree| word(tree, "/name")).collect();
    assert_eq!(names, ["cat.jpg", "empty", "sub/note.txt"]);
    assert_eq!(sandbox.json("check --db store")["clean"], true);
    let again = sandbox.json("work --db store");
    assert_eq!((number(&again, "/units"), number(&again, "/treesComplete")), (0, 3));
}

#[test]
fn exports_hold_the_same_nodes_in_every_format() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} --block-size 512 in"));
    sandbox.ok("work --db store");
    let leaves = leaves_of(&pattern(10_000), 512);

    let hex = sandbox.ok("export --db store --tree cat.jpg --nodes leaves");
    let expected: Vec<String> = leaves.iter().map(Checksum::to_hex).collect();
    assert_eq!(hex.lines().collect::<Vec<_>>(), expected);

    let all: Vec<String> = sandbox.ok("export --db store --tree cat.jpg").lines().map(str::to_owned).collect();
    assert_eq!(all.len(), 20 + 10 + 5 + 3 + 2 + 1);
    assert_eq!(all[0], root(&leaves).unwrap().to_hex());
    assert_eq!(all[all.len() - 20..], expected);

    let json: Vec<String> =
        serde_json::from_str(&sandbox.ok("export --db store --tree cat.jpg --format json")).unwrap();
    assert_eq!(json, all);
    assert_eq!(sandbox.json("export --db store --tree cat.jpg"), Value::from(all.clone()));

    let summary = sandbox.json("export --db store --tree cat.jpg --format raw -o nodes");
    assert_eq!((number(&summary, "/count"), word(&summary, "/output")), (41, "nodes"));
    let raw = fs::read(sandbox.path("nodes")).unwrap();
    let from_raw: Vec<String> = raw.chunks(64).map(|node| Checksum::from_slice(node).unwrap().to_hex()).collect();
    assert_eq!(from_raw, all);
    let left: Vec<_> = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "only in, store and nodes: {left:?}");
}

#[test]
fn the_proof_of_every_leaf_verifies_with_the_values_of_its_tree() {
    let sandbox = Sandbox::new();
    let data = pattern(4_999);
    sandbox.write("in/a", &data);
    sandbox.write("in/one", "x");
    sandbox.ok(&format!("{INGEST} --block-size 512 in"));
    sandbox.ok("work --db store");
    let tree = sandbox.json("tree --db store --tree a");
    let (commitment, root) = (word(&tree, "/commitment"), word(&tree, "/root"));
    for (index, block) in data.chunks(512).enumerate() {
        sandbox.write("block", block);
        let told = sandbox.ok(&format!("prove --db store --tree a --leaf {index} -o proof"));
        let told = told.lines().last().unwrap().strip_prefix("pouw ").unwrap().replace("DATAFILE", "block");
        assert!(told.contains(commitment) && told.contains(root));
        sandbox.ok(&told);
        let proof: Value = serde_json::from_slice(&fs::read(sandbox.path("proof")).unwrap()).unwrap();
        assert_eq!(word(&proof, "/leafHash"), sha3_512(block).to_hex());
        assert_eq!(number(&proof, "/leafIndex"), index as u64);
        assert_eq!(sandbox.json(&told)["verified"], true);
    }
    let proof = sandbox.json("prove --db store --tree one --leaf 0");
    assert_eq!(proof["siblings"], Value::Array(Vec::new()));
}

#[test]
fn the_same_content_again_is_skipped_and_other_content_is_a_conflict() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    let again = sandbox.json(&format!("{INGEST} in"));
    assert_eq!((number(&again, "/added"), number(&again, "/unchanged")), (0, 3));
    sandbox.ok("work --db store");
    let before = sandbox.json("tree --db store --tree cat.jpg");

    sandbox.write("in/cat.jpg", pattern(9_999));
    sandbox.write("in/new", "new");
    let output = sandbox.run(&format!("{INGEST} in --json"));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((number(&report, "/conflicts"), number(&report, "/added"), number(&report, "/unchanged")), (1, 1, 2));
    assert!(word(&report, "/problems/0/what").contains("cat.jpg"));
    assert!(text(&output.stderr).contains("cat.jpg"));
    assert_eq!(sandbox.json("tree --db store --tree cat.jpg"), before);
    sandbox.ok("check --db store");
}

#[test]
fn all_files_can_become_one_tree_as_blocks_or_cut_into_blocks() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} --tree cut in"));
    sandbox.ok(&format!("{INGEST} --tree whole --layout blocks in"));
    sandbox.ok("work --db store --tier medium");
    let exported = |tree: &str| sandbox.ok(&format!("export --db store --nodes leaves --tree {tree}"));
    let files = [pattern(10_000), Vec::new(), b"hello\n".to_vec()];
    let cut: String = files.iter().flat_map(|file| leaves_of(file, 4096)).map(|leaf| format!("{leaf}\n")).collect();
    let whole: String = files.iter().map(|file| format!("{}\n", sha3_512(file))).collect();
    assert_eq!((exported("cut"), exported("whole")), (cut, whole));
    assert_eq!(number(&sandbox.json("tree --db store --tree whole"), "/blockLen"), 0);
}

#[test]
fn a_prefix_stands_in_front_of_every_name() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} --prefix v1/ in/cat.jpg"));
    assert_eq!(word(&sandbox.json("tree --db store --tree v1/cat.jpg"), "/name"), "v1/cat.jpg");
}

#[test]
fn a_referenced_file_that_changed_or_vanished_is_named_and_the_rest_is_done() {
    let sandbox = Sandbox::with_files();
    sandbox.write("in/gone", pattern(5_000));
    sandbox.ok(&format!("{INGEST} --reference in"));
    fs::rename(sandbox.path("in/gone"), sandbox.path("elsewhere")).unwrap();
    let cat = fs::read(sandbox.path("in/cat.jpg")).unwrap();
    sandbox.write("in/cat.jpg", &cat[1..]);

    let output = sandbox.run("work --db store --json");
    let (report, stderr): (Value, _) = (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!((number(&report, "/pending"), number(&report, "/treesComplete")), (5, 2));
    let blocked: Vec<&str> = report["blocked"].as_array().unwrap().iter().map(|tree| word(tree, "/tree")).collect();
    assert_eq!(blocked, ["cat.jpg", "gone"]);
    assert!(stderr.contains("in/gone") && stderr.contains("in/cat.jpg") && stderr.contains("changed"), "{stderr}");
    sandbox.refused(1, "export --db store --tree gone", &["2 of 2 leaves are pending"]);

    fs::rename(sandbox.path("elsewhere"), sandbox.path("in/gone")).unwrap();
    sandbox.refused(1, "work --db store", &["in/cat.jpg"]);
    let hex = sandbox.ok("export --db store --tree gone --nodes leaves");
    assert_eq!(hex.lines().next().unwrap(), sha3_512(&pattern(5_000)[..4096]).to_hex());
}

#[test]
fn every_tier_drains_the_backlog_with_many_clients() {
    for (tier, nodes) in [("low", 40), ("medium", 75), ("high", 78)] {
        let sandbox = Sandbox::new();
        sandbox.write("in/a", pattern(40 * 512));
        sandbox.ok(&format!("{INGEST} --block-size 512 in"));
        let worked = sandbox.json(&format!("work --db store --clients 16 --tier {tier}"));
        assert_eq!((number(&worked, "/leaves"), number(&worked, "/nodes")), (40, nodes), "{tier}");
        assert_eq!(number(&worked, "/creditsMicroJoules"), nodes * 100, "{tier}");
    }
}

#[test]
fn the_ledger_adds_up_client_by_client() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", pattern(100 * 512));
    sandbox.ok(&format!("{INGEST} --block-size 512 in"));
    sandbox.ok("work --db store --clients 2 --tier low");
    let all = sandbox.json("ledger --db store");
    let amounts = |document: &Value| -> Vec<(u64, u64)> {
        let entries = document["entries"].as_array().unwrap().iter();
        entries.map(|entry| (number(entry, "/seq"), number(entry, "/microJoules"))).collect()
    };
    assert_eq!(amounts(&all), (0..100).map(|seq| (seq, 100)).collect::<Vec<_>>());
    let mut seen = 0;
    for client in ["client-0", "client-1"] {
        let own = sandbox.json(&format!("ledger --db store --client {client}"));
        let entries = amounts(&own);
        assert!(entries.iter().rev().is_sorted(), "newest first");
        assert_eq!(number(&own, "/balanceMicroJoules"), entries.iter().map(|(_, amount)| amount).sum::<u64>());
        seen += entries.len();
    }
    assert_eq!(seen, 100);
    let nobody = sandbox.json("ledger --db store --client nobody");
    assert_eq!((number(&nobody, "/balanceMicroJoules"), amounts(&nobody).len()), (0, 0));
    assert_eq!(
        sandbox.ok("ledger --db store --client client-0").lines().next().unwrap().split(' ').next(),
        Some("balance")
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", pattern(2_048 * 512));
    sandbox.ok(&format!("{INGEST} --block-size 512 in"));
    sandbox.ok("work --db store --clients 8");
    for arguments in
        ["export --db store --tree a", "export --db store --tree a --format raw", "export --db store --tree a --json"]
    {
        let mut child = sandbox.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut few = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut few).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments}");
    }
    for arguments in ["trees --db store", "status --db store", "tree --db store --tree a", "--help", "work --db store"]
    {
        let mut child = sandbox.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments}");
    }
}

#[test]
fn the_demo_matches_every_root_and_gives_every_tier_work() {
    let sandbox = Sandbox::new();
    let demo = sandbox.json("demo");
    assert_eq!(demo["findings"], Value::Array(Vec::new()));
    assert_eq!(number(&demo, "/rootsMatched"), number(&demo, "/trees"));
    assert_eq!(number(&demo, "/exportsMatched"), number(&demo, "/trees"));
    assert_eq!(number(&demo, "/creditsMicroJoules"), number(&demo, "/nodes") * 100);
    for tier in 0..3 {
        assert!(number(&demo, &format!("/tiers/{tier}/units")) > 0, "{demo}");
    }
    assert!(demo["oneTreeBlockSize"].is_u64());
}

#[test]
fn the_demo_of_other_files_tries_another_block_size_where_one_does_not_suit() {
    let sandbox = Sandbox::with_files();
    sandbox.write("in/tail", pattern(4096 + 128));
    let output = sandbox.run("demo in --json");
    let demo: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), number(&demo, "/oneTreeBlockSize")), (Some(0), 8_192));
    assert!(text(&output.stderr).contains("tail"), "{}", text(&output.stderr));
    assert_eq!(number(&demo, "/trees"), 5);
}
