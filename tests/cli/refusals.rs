//! The command line under wrong arguments, wrong files and wrong places.

use std::fs;
use std::process::Stdio;

use pouw::{Config, PouwEngine};
use serde_json::Value;

use crate::support::cli::{Sandbox, pattern, text};

const INGEST: &str = "ingest --db store --exposure public";

#[test]
fn wrong_usage_ends_with_2_and_touches_nothing() {
    let sandbox = Sandbox::with_files();
    let hex = "0".repeat(128);
    let verify = format!("verify --root {hex} --block-len 0 --total-bytes 1 --leaf 0 --proof p in/empty");
    for (arguments, says) in [
        ("", "Usage"),
        ("dance", "dance"),
        ("status", "--db"),
        ("ingest --db store in", "--exposure"),
        ("ingest --db store --exposure secret in", "secret"),
        ("ingest --db store --exposure public", "PATH"),
        (&format!("{INGEST} --block-size 511 in"), "512"),
        (&format!("{INGEST} --block-size 4KB in"), "KiB"),
        (&format!("{INGEST} --block-size 1G in"), "MiB"),
        (&format!("{INGEST} --layout blocks in"), "--tree"),
        (&format!("{INGEST} --layout heaps in"), "heaps"),
        (&format!("{INGEST} --prefix {} in", "p".repeat(4097)), "4096"),
        (&format!("{INGEST} --strategy trust in"), "known-address"),
        (&format!("{INGEST} --strategy audit:0 in"), "from 1 to 32"),
        (&format!("{INGEST} --strategy audit:33 in"), "from 1 to 32"),
        (&format!("{INGEST} --strategy quorum:1 in"), "from 2 to 8"),
        (&format!("{INGEST} --strategy known-address in"), "--layout blocks"),
        (&format!("{INGEST} --strategy known-address --tree a in"), "128 lowercase hex digits"),
        ("work --db store --clients 0", "0"),
        ("work --db store --clients 257", "256"),
        ("work --db store --tier extreme", "extreme"),
        ("export --db store --tree a --format xml", "xml"),
        ("export --db store --tree a --format raw --json", "-o FILE"),
        ("export --db store --tree a --policy lax", "attested"),
        ("export --db store --tree a --policy statistical:0:0.5", "above 0 and below 1"),
        ("export --db store --tree a --policy statistical:0.5", "EPSILON:DELTA"),
        ("prove --db store --tree a --leaf -1", "-1"),
        (&format!("{verify} --leaves 0 --commitment {hex}"), "0"),
        (&format!("{verify} --leaves 1 --commitment {}", &hex[1..]), "128"),
        (&format!("{verify} --leaves 1 --commitment {}A", &hex[1..]), "lowercase"),
    ] {
        let output = sandbox.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "pouw {arguments}: {stderr}");
        assert!(stderr.contains(says), "pouw {arguments} does not say {says:?}: {stderr}");
        assert!(arguments.is_empty() || stderr.starts_with("pouw: "), "pouw {arguments}: {stderr}");
        assert_eq!(text(&output.stdout), "", "pouw {arguments}");
    }
    assert!(!sandbox.path("store").exists());
}

#[test]
fn a_store_within_the_source_or_around_it_is_refused_because_of_its_secret() {
    let sandbox = Sandbox::with_files();
    sandbox.refused(2, "ingest --db in/store --exposure public in", &["secret"]);
    sandbox.refused(2, "ingest --db in/../in/sub/../store --exposure public .", &["secret"]);
    sandbox.refused(2, "ingest --db in --exposure public in/sub", &["secret"]);
    assert!(!sandbox.path("in/store").exists());
    sandbox.write("in/key", "k".repeat(32));
    restrict(&sandbox, "in/key", 0o600);
    sandbox.refused(2, &format!("{INGEST} --secret-file in/key in"), &["secret"]);
    sandbox.ok("ingest --db in/store --exposure public in/cat.jpg");
}

#[test]
fn only_ingest_makes_a_store() {
    let sandbox = Sandbox::new();
    for verb in [
        "work",
        "status",
        "trees",
        "tree --tree a",
        "ledger",
        "export --tree a",
        "prove --tree a --leaf 0",
        "forget --tree a",
        "check",
    ] {
        sandbox.refused(1, &format!("{verb} --db nowhere"), &["nowhere", "pouw ingest"]);
        assert!(!sandbox.path("nowhere").exists(), "{verb}");
    }
    sandbox.refused(1, &format!("{INGEST} absent"), &["absent"]);
    sandbox.write("a", "a");
    sandbox.refused(1, &format!("{INGEST} --secret-file absent a"), &["absent"]);
    assert!(!sandbox.path("store").exists());
}

#[test]
fn a_failure_is_a_json_document_too() {
    let sandbox = Sandbox::new();
    let output = sandbox.run("status --db nowhere --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(document["error"].as_str().unwrap().contains("nowhere"), "{document}");
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_as_it_is() {
    let sandbox = Sandbox::with_files();
    let words = "not a database\n".repeat(1000);
    sandbox.write("store/state.redb", &words);
    for verb in ["status", "check", "work", "ingest --exposure public in"] {
        sandbox.refused(1, &format!("{verb} --db store"), &["state.redb"]);
    }
    assert_eq!(fs::read_to_string(sandbox.path("store/state.redb")).unwrap(), words);
}

#[test]
fn a_store_that_is_open_elsewhere_is_refused() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    let engine = PouwEngine::open(sandbox.path("store"), Config::new([7; 32]).unwrap()).unwrap();
    for verb in ["status", "work", "check", "ingest --exposure public in"] {
        sandbox.refused(1, &format!("{verb} --db store"), &["is already open"]);
    }
    engine.close();
    sandbox.ok("status --db store");
}

#[test]
fn trees_and_leaves_that_are_not_there_are_told_from_those_that_are_not_done() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    for verb in ["tree", "export", "prove --leaf 0", "forget"] {
        sandbox.refused(1, &format!("{verb} --db store --tree dog.jpg"), &["dog.jpg"]);
    }
    for verb in ["export", "prove --leaf 0"] {
        sandbox.refused(1, &format!("{verb} --db store --tree cat.jpg -o out"), &["3 of 3 leaves are pending"]);
    }
    sandbox.ok("work --db store");
    sandbox.refused(1, "prove --db store --tree cat.jpg --leaf 3 -o out", &["3 leaves"]);
    sandbox.refused(1, "export --db store --tree cat.jpg -o no/such/folder/out", &["no/such/folder/out"]);
    assert!(!sandbox.path("out").exists());
    sandbox.ok("export --db store --tree cat.jpg -o out");
}

#[test]
fn what_cannot_be_ingested_is_counted_named_and_ends_with_1() {
    let sandbox = Sandbox::with_files();
    let long = "p".repeat(4_090);
    let output = sandbox.run(&format!("{INGEST} --prefix {long} in --json"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((report["unreadable"].as_u64(), report["added"].as_u64()), (Some(2), Some(1)), "{report}");
    assert!(text(&output.stderr).contains("note.txt"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("cat.jpg", sandbox.path("in/link")).unwrap();
        let output = sandbox.run(&format!("{INGEST} in --json"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), report["special"].as_u64()), (Some(0), Some(1)), "{report}");
        assert!(text(&output.stderr).contains("in/link: symbolic link"));
    }
}

#[cfg(unix)]
fn restrict(sandbox: &Sandbox, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn restrict(_: &Sandbox, _: &str, _: u32) {}

#[cfg(unix)]
#[test]
fn the_secret_is_made_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    let secret = fs::read_to_string(sandbox.path("store/secret")).unwrap();
    assert_eq!(fs::metadata(sandbox.path("store/secret")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(secret.len() == 65 && secret.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{secret:?}");
    sandbox.ok("work --db store");
    assert_eq!(fs::read_to_string(sandbox.path("store/secret")).unwrap(), secret);
    let names: Vec<_> = fs::read_dir(sandbox.path("store")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_or_that_is_too_short_is_refused() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    restrict(&sandbox, "store/secret", 0o640);
    sandbox.refused(1, "work --db store", &["store/secret", "0640", "chmod 600"]);
    restrict(&sandbox, "store/secret", 0o600);
    sandbox.write("store/secret", "short\n");
    sandbox.refused(1, "work --db store", &["5 bytes", "32"]);
    sandbox.write("store/secret", "x".repeat(5_000));
    sandbox.refused(1, "work --db store", &["4096"]);

    sandbox.write("key", format!("{}\n", "k".repeat(32)));
    sandbox.refused(1, "work --db store --secret-file absent", &["absent", "does not exist"]);
    restrict(&sandbox, "key", 0o644);
    sandbox.refused(1, "work --db store --secret-file key", &["chmod 600"]);
    restrict(&sandbox, "key", 0o400);
    sandbox.ok("work --db store --secret-file key");
}

#[test]
fn first_uses_at_the_same_time_agree_on_one_secret() {
    let sandbox = Sandbox::with_files();
    let start = |_| {
        let arguments = format!("{INGEST} in");
        sandbox.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..6).map(start).collect();
    let mut done = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        match output.status.code() {
            Some(0) => done += 1,
            code => assert!(code == Some(1) && stderr.contains("is already open"), "{code:?}: {stderr}"),
        }
    }
    assert!(done > 0);
    sandbox.ok("work --db store");
    sandbox.ok("check --db store");
}

/// A tree of four leaves, the second one's data in `block`, its proof in `proof`, and how to verify it.
fn proven() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let data = pattern(2_000);
    sandbox.write("in/a", &data);
    sandbox.write("in/b", &data[..1_500]);
    sandbox.ok(&format!("{INGEST} --block-size 512 in"));
    sandbox.ok("work --db store");
    sandbox.write("block", &data[512..1024]);
    let told = sandbox.ok("prove --db store --tree a --leaf 1 -o proof");
    let told = told.lines().last().unwrap().strip_prefix("pouw ").unwrap().replace("DATAFILE", "block");
    fs::remove_dir_all(sandbox.path("store")).unwrap();
    sandbox.ok(&told);
    (sandbox, told)
}

/// The command line with the value behind `flag` changed.
fn with(told: &str, flag: &str, value: &str) -> String {
    let mut words: Vec<&str> = told.split(' ').collect();
    let at = words.iter().position(|word| *word == flag).unwrap();
    words[at + 1] = value;
    words.join(" ")
}

#[test]
fn a_verification_with_any_value_changed_fails_and_says_what_is_wrong() {
    let (sandbox, told) = proven();
    let zero = "0".repeat(128);
    for (flag, value, says) in [
        ("--commitment", zero.as_str(), "not the published one"),
        ("--root", zero.as_str(), "not the published one"),
        ("--leaves", "3", "expected 4 leaves for 2000 bytes in blocks of 512, found 3"),
        ("--leaves", "5", "expected 4 leaves for 2000 bytes in blocks of 512, found 5"),
        ("--block-len", "500", "not the published one"),
        ("--block-len", "0", "not the published one"),
        ("--total-bytes", "2001", "not the published one"),
        ("--leaf", "0", "the proof file is for leaf 1"),
        ("--leaf", "3", "expected 464 bytes, as committed"),
        ("--leaf", "4", "invalid leaf index: expected less than 4, found 4"),
        ("--proof", "absent", "absent"),
        ("--proof", "block", "not a proof"),
    ] {
        sandbox.refused(1, &with(&told, flag, value), &[says]);
    }
}

#[test]
fn other_data_or_another_proof_does_not_verify() {
    let (sandbox, told) = proven();
    let block = pattern(2_000)[512..1024].to_vec();
    for (data, says) in [
        (block[..511].to_vec(), "expected 512 bytes, as committed, found 511"),
        ([&block[..], b"x"].concat(), "expected 512 bytes, as committed, found 513"),
        (Vec::new(), "expected 512 bytes, as committed, found 0"),
        ([b"x", &block[1..]].concat(), "the data is not the proved leaf"),
    ] {
        sandbox.write("other", data);
        sandbox.refused(1, &told.replace(" block", " other"), &[says]);
    }
    sandbox.refused(1, &told.replace(" block", " in"), &["in"]);
    sandbox.refused(1, &told.replace(" block", " absent"), &["absent"]);

    let proof: Value = serde_json::from_slice(&fs::read(sandbox.path("proof")).unwrap()).unwrap();
    let siblings = proof["siblings"].as_array().unwrap();
    let swapped: Value = siblings.iter().rev().cloned().collect();
    for (siblings, says) in [
        (Value::from(&siblings[1..]), "invalid siblings: expected 2 for this leaf, found 1"),
        (Value::from([&siblings[..], &siblings[..1]].concat()), "invalid siblings: expected 2 for this leaf, found 3"),
        (swapped, "leads to root"),
        (Value::from(vec!["00"]), "not a proof"),
        (Value::from(vec![siblings[0].clone(); 500]), "not a proof"),
    ] {
        sandbox.write("wrong", serde_json::json!({ "siblings": siblings }).to_string());
        sandbox.refused(1, &with(&told, "--proof", "wrong"), &[says]);
    }
    // What the proof file says of the tree counts for nothing.
    let bare = serde_json::json!({ "siblings": siblings, "leaves": 77, "root": "00", "blockLen": 1 });
    sandbox.write("bare", bare.to_string());
    sandbox.ok(&with(&told, "--proof", "bare"));
    sandbox.write("huge", " ".repeat(100_000));
    sandbox.refused(1, &with(&told, "--proof", "huge"), &["65536"]);
}

/// The service that has the store open cannot be asked: its socket is there, and nothing listens.
#[test]
#[cfg(unix)]
fn a_backup_says_why_the_service_cannot_be_reached() {
    let sandbox = Sandbox::new();
    sandbox.write("a", vec![1; 5_000]);
    sandbox.ok("ingest --db store --exposure public a");
    drop(std::os::unix::net::UnixListener::bind(sandbox.path("store/control.sock")).unwrap());
    // Left by a service that was killed.
    sandbox.ok("backup --db store copy");
    let config = pouw::Config::builder([7; 32]).background(false).accept_clock_ahead(true).build().unwrap();
    let engine = pouw::PouwEngine::open(sandbox.path("store"), config).unwrap();
    sandbox.refused(1, "backup --db store other", &["already open", "control.sock: Connection refused", "no service"]);
    engine.close();
}
