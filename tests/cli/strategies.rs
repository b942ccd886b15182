//! The command line for trees whose answers are verified in different ways: the provenance of their leaves, what has to be
//! known before an export, and what it all came to.

use std::fs;

use pouw::hash::sha3_512;
use serde_json::{Value, json};

use crate::support::cli::{Sandbox, pattern, text};

const INGEST: &str = "ingest --db store --exposure public --block-size 512";

fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer}: {document}"))
}

/// A tree `a` of 40 pending leaves with this strategy.
fn ingested(strategy: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("in/a", pattern(40 * 512));
    let report = sandbox.json(&format!("{INGEST} --strategy {strategy} in"));
    assert_eq!((&report["strategy"], number(&report, "/added")), (&json!(strategy), 1));
    sandbox
}

/// Runs it to the end with exit code 1; its document, and what it says on stderr.
fn failed(sandbox: &Sandbox, arguments: &str) -> (Value, String) {
    let output = sandbox.run(&format!("{arguments} --json"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "pouw {arguments}: {said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

/// What an export to stdout says on stderr.
fn told(sandbox: &Sandbox, arguments: &str) -> String {
    let output = sandbox.run(arguments);
    assert_eq!(output.status.code(), Some(0), "pouw {arguments}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn precomputed_is_the_default_and_every_leaf_is_verified() {
    let sandbox = Sandbox::with_files();
    assert_eq!(sandbox.json("ingest --db store --exposure public in")["strategy"], "precomputed");
    let waiting = sandbox.json("tree --db store --tree cat.jpg");
    assert_eq!((&waiting["strategy"], &waiting["weakest"]), (&json!("precomputed"), &Value::Null));
    let worked = sandbox.json("work --db store");
    assert_eq!((number(&worked, "/votes"), number(&worked, "/deferredMicroJoules")), (0, 0));
    assert_eq!((number(&worked, "/quorums/units"), number(&worked, "/damagedBlocks")), (0, 0));

    let tree = sandbox.json("tree --db store --tree cat.jpg");
    assert_eq!((&tree["weakest"], number(&tree, "/damaged")), (&json!("verified"), 0));
    let counts = json!({ "verified": 3, "known": 0, "agreed": 0, "audited": 0, "doubted": 0 });
    assert_eq!(tree["provenance"], counts);
    assert!(sandbox.ok("tree --db store --tree cat.jpg").contains("3 verified; the weakest is verified"));
    let trees = sandbox.json("trees --db store");
    assert!(trees["trees"].as_array().unwrap().iter().all(|tree| tree["weakest"] == "verified"), "{trees}");
    assert_eq!(sandbox.ok("trees --db store").matches(" verified ").count(), 3);

    assert_eq!(sandbox.json("prove --db store --tree cat.jpg --leaf 2")["provenance"], "verified");
    assert!(sandbox.ok("prove --db store --tree cat.jpg --leaf 2 -o proof").contains("leaf 2 is verified"));
    let summary = sandbox.json("export --db store --tree cat.jpg -o nodes");
    assert_eq!((&summary["policy"], &summary["provenance"]), (&json!("strict"), &json!("verified")));
    assert_eq!((number(&summary, "/hashed"), number(&summary, "/corrected")), (0, 0));
    assert_eq!(summary["released"], false);
    for more in ["", " --json", " --policy attested", " --policy statistical:0.1:0.1 --release"] {
        let said = told(&sandbox, &format!("export --db store --tree cat.jpg{more}"));
        assert!(said.contains("the weakest leaf is verified; 0 leaves hashed") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn the_status_tells_what_letting_clients_hash_came_to() {
    let sandbox = ingested("precomputed");
    assert_eq!(sandbox.json("status --db store")["usefulness"]["usefulFraction"], Value::Null);
    sandbox.ok("work --db store");
    let status = sandbox.json("status --db store");
    let of = |path: &str| number(&status, &format!("/usefulness/strategies/precomputed/{path}"));
    assert_eq!(status["usefulness"]["usefulFraction"], 1.0);
    // Leaves of 512 bytes take 8 permutations each, parents 2.
    assert_eq!((of("server/ingest/permutations"), of("server/ingest/bytes")), (40 * 8, 40 * 512));
    assert_eq!(of("accepted/permutations"), 40 * 8 + 2 * (31 + 7));
    assert_eq!((of("asked/hashes"), of("accepted/hashes"), of("sentUnits"), of("sentBytes")), (78, 78, 2, 40 * 512));
    assert_eq!((of("server/audit/hashes"), of("server/referee/hashes"), of("server/export/hashes")), (0, 0, 0));
    let saved = status.pointer("/usefulness/strategies/precomputed/savedPermutations").and_then(Value::as_i64);
    assert_eq!(status["usefulness"]["savedPermutations"].as_i64(), saved);
    assert!(saved.unwrap() < 80, "what is precomputed saves no leaf: {status}");
    for strategy in ["known-address", "audit", "quorum"] {
        assert_eq!(number(&status, &format!("/usefulness/strategies/{strategy}/sentUnits")), 0);
    }
    assert_eq!(number(&status, "/usefulness/synthetic/sentUnits"), 0);
    assert_eq!((number(&status, "/damaged/blocks"), &status["damaged"]["first"]), (0, &json!([])));
    assert_eq!((number(&status, "/quorums/units"), number(&status, "/doubtedLeaves")), (0, 0));
    let shown = sandbox.ok("status --db store");
    assert!(shown.contains("100.0 %") && shown.contains("\nprecomputed ") && !shown.contains("\nquorum "), "{shown}");
}

#[test]
fn audited_leaves_are_hashed_by_the_first_strict_export() {
    let sandbox = ingested("audit:2");
    sandbox.ok("work --db store");
    let tree = sandbox.json("tree --db store --tree a");
    assert_eq!((&tree["strategy"], &tree["weakest"]), (&json!("audit:2"), &json!("audited")));
    assert_eq!(number(&sandbox.json("check --db store"), "/claims"), 2);
    assert!(
        told(&sandbox, "export --db store --tree a --policy attested").contains("weakest leaf is audited; 0 leaves")
    );
    let sampled = sandbox.json("export --db store --tree a --policy statistical:0.5:0.5 -o nodes");
    assert_eq!((&sampled["policy"], &sampled["provenance"]), (&json!("statistical:0.5:0.5"), &json!("audited")));
    let before = number(&sampled, "/hashed");
    assert!((1..10).contains(&before), "{sampled}");
    let strict = sandbox.json("export --db store --tree a -o nodes");
    assert_eq!((&strict["provenance"], number(&strict, "/hashed")), (&json!("verified"), 40 - before));
    let status = sandbox.json("status --db store");
    assert_eq!(number(&status, "/usefulness/strategies/audit/server/export/hashes"), 40);
    assert_eq!(number(&sandbox.json("check --db store"), "/claims"), 0);
}

#[test]
fn released_data_is_gone_and_only_an_attested_export_is_left() {
    let sandbox = ingested("audit:1");
    sandbox.ok("work --db store");
    assert_eq!(sandbox.json("tree --db store --tree a")["data"], "copied");
    sandbox.ok("export --db store --tree a --policy attested --release");
    assert_eq!(sandbox.json("tree --db store --tree a")["data"], "dropped");
    sandbox.refused(1, "export --db store --tree a -o nodes", &["cannot be verified", "--policy attested"]);
    assert!(!sandbox.path("nodes").exists());
    let summary = sandbox.json("export --db store --tree a --policy attested -o nodes");
    assert_eq!(summary["provenance"], "audited");
    sandbox.ok("check --db store");
}

#[test]
fn a_quorum_larger_than_the_crew_ends_the_run_and_a_larger_crew_completes_it() {
    let sandbox = ingested("quorum:3");
    let (report, said) = failed(&sandbox, "work --db store --clients 2");
    assert!(said.contains("1 tree waits") && said.contains("use --clients 3") && said.contains("10 minutes"), "{said}");
    assert!(said.contains("4 votes on 2 units wait") && said.contains("40 leaves are still pending"), "{said}");
    assert_eq!((number(&report, "/units"), number(&report, "/votes"), number(&report, "/pending")), (4, 4, 40));
    assert_eq!((number(&report, "/creditsMicroJoules"), number(&report, "/deferredMicroJoules")), (0, 15_600));
    let waiting = json!({ "units": 2, "leaves": 40, "votes": 4, "deferredMicroJoules": 15_600, "more": false });
    assert_eq!(report["quorums"], waiting);
    let status = sandbox.json("status --db store");
    assert_eq!(status["quorums"], waiting);
    assert!(sandbox.ok("status --db store").contains("4 votes on 2 units"));
    assert_eq!(number(&sandbox.json("check --db store"), "/quorums"), 2);
    sandbox.refused(1, "export --db store --tree a", &["40 of 40 leaves are pending", "run: pouw work"]);

    let report = sandbox.json("work --db store --clients 3");
    assert_eq!((number(&report, "/votes"), number(&report, "/pending"), number(&report, "/treesComplete")), (0, 0, 1));
    assert_eq!(number(&report, "/creditsMicroJoules"), 3 * 7_800);
    assert_eq!(sandbox.json("tree --db store --tree a")["weakest"], "agreed");
    assert!(sandbox.ok("prove --db store --tree a --leaf 0 -o proof").contains("agreed: a quorum of clients"));
    let ledger = sandbox.ok("ledger --db store");
    assert_eq!((ledger.matches(" vote ").count(), ledger.matches(" leaves  ").count()), (4, 2 + 1), "{ledger}");
    let strict = sandbox.json("export --db store --tree a -o nodes");
    assert_eq!((&strict["provenance"], number(&strict, "/hashed")), (&json!("verified"), 40));
}

#[test]
fn votes_on_units_too_large_for_the_tier_end_the_run() {
    let sandbox = ingested("quorum:2");
    failed(&sandbox, "work --db store --clients 1");
    let (report, said) = failed(&sandbox, "work --db store --clients 2 --tier low");
    assert_eq!((number(&report, "/units"), number(&report, "/pending")), (0, 40));
    assert!(said.contains("use --tier high"), "{said}");
    let report = sandbox.json("work --db store --clients 2");
    assert_eq!((number(&report, "/units"), number(&report, "/treesComplete")), (2, 1));
}

#[test]
fn a_block_that_does_not_fit_its_address_is_found_named_and_repaired() {
    let sandbox = Sandbox::new();
    let blocks: Vec<Vec<u8>> = (0..40_u8).map(|at| vec![at; 600]).collect();
    let mut names: Vec<String> = blocks.iter().map(|block| sha3_512(block).to_hex()).collect();
    blocks.iter().zip(&names).for_each(|(block, name)| sandbox.write(&format!("in/{name}"), block));
    names.sort();
    let good = fs::read(sandbox.path(&format!("in/{}", names[7]))).unwrap();
    sandbox.write(&format!("in/{}", names[7]), vec![b'x'; 600]);
    let again = "ingest --db store --exposure public --layout blocks --tree cbl --strategy known-address in";
    sandbox.ok(again);

    for _ in 0..2 {
        let (report, said) = failed(&sandbox, "work --db store");
        assert_eq!((number(&report, "/pending"), number(&report, "/damagedBlocks")), (0, 1));
        assert_eq!(report["damaged"], json!([{ "tree": "cbl", "leaf": 7, "address": names[7] }]));
        assert!(said.contains("leaf 7") && said.contains(&names[7]) && said.contains("pouw ingest"), "{said}");
    }
    let status = sandbox.json("status --db store");
    assert_eq!((number(&status, "/damaged/blocks"), &status["damaged"]["first"][0]["leaf"]), (1, &json!(7)));
    assert!(sandbox.ok("status --db store").contains(&names[7]));
    assert_eq!(number(&sandbox.json("check --db store"), "/damaged"), 1);
    assert_eq!(number(&sandbox.json("tree --db store --tree cbl"), "/damaged"), 1);
    assert!(sandbox.ok("ledger --db store").contains(" part "));
    sandbox.refused(1, "export --db store --tree cbl", &["1 damaged", "pouw status"]);

    let (report, _) = failed(&sandbox, again);
    assert_eq!((number(&report, "/damaged"), number(&report, "/repaired")), (1, 0));
    sandbox.write(&format!("in/{}", names[7]), good);
    assert_eq!(number(&sandbox.json(again), "/repaired"), 1);
    sandbox.ok("work --db store");
    let strict = sandbox.json("export --db store --tree cbl --nodes leaves -o nodes");
    assert_eq!((&strict["provenance"], number(&strict, "/hashed")), (&json!("known"), 0));
    assert_eq!(fs::read_to_string(sandbox.path("nodes")).unwrap(), serde_json_lines(&names));
}

/// The nodes as an export writes them in JSON.
fn serde_json_lines(names: &[String]) -> String {
    format!("[\n{}\n]\n", names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",\n"))
}

#[test]
fn a_file_that_is_not_named_by_an_address_is_named() {
    let sandbox = Sandbox::with_files();
    let arguments = "ingest --db store --exposure public --layout blocks --tree a --strategy known-address in";
    sandbox.refused(1, arguments, &["in/cat.jpg", "128 lowercase hex digits"]);
    assert_eq!(number(&sandbox.json("status --db store"), "/pendingLeaves"), 0);
}

#[test]
fn a_tree_that_is_forgotten_leaves_its_name_and_takes_its_rows_along() {
    let sandbox = ingested("quorum:2");
    failed(&sandbox, "work --db store --clients 1");
    let votes = number(&sandbox.json("check --db store"), "/quorums");
    assert!(votes > 0, "there is something to forget");
    sandbox.write("in/a", pattern(41 * 512));
    sandbox.refused(1, &format!("{INGEST} --strategy quorum:2 in"), &["forget"]);
    let told = sandbox.json("forget --db store --tree a");
    assert_eq!((number(&told, "/leaves"), &told["tree"]), (40, &json!("a")));
    let report = sandbox.json("check --db store");
    assert_eq!((number(&report, "/trees"), number(&report, "/quorums"), number(&report, "/tiles")), (0, 0, 0));
    assert_eq!(number(&sandbox.json(&format!("{INGEST} --strategy quorum:2 in")), "/added"), 1);
    sandbox.ok("work --db store --clients 2");
    sandbox.ok("export --db store --tree a -o out");
}
