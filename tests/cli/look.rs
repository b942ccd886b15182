//! Commands that only read write nothing; a repair mends; exports leave no temporary files behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pouw::internal::store::{BlocksWriter, RedbStore, Store as _};
use pouw::{StoreDirectory, StoreOptions};

use crate::support::cli::{Sandbox, text};

const INGEST: &str = "ingest --db store --exposure public";

/// Name, bytes and times of everything in a directory.
fn snapshot(dir: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let seen = |entry: fs::DirEntry| {
        let modified = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), (fs::read(entry.path()).unwrap(), modified))
    };
    entries.map(seen).collect()
}

fn open(sandbox: &Sandbox) -> RedbStore {
    RedbStore::open(Arc::new(StoreDirectory::new(sandbox.path("store"))), StoreOptions::new()).unwrap()
}

fn temporaries(dir: &Path) -> Vec<String> {
    snapshot(dir).into_keys().filter(|name| name.ends_with(".tmp")).collect()
}

fn worked() -> Sandbox {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} in"));
    sandbox.ok("work --db store");
    sandbox
}

#[test]
fn commands_that_only_read_need_no_secret_and_change_nothing() {
    let sandbox = worked();
    let store = sandbox.path("store");
    // Somebody gave the store away without its secret, on a medium that cannot be written.
    fs::remove_file(store.join("secret")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for name in ["state.redb", "blocks.redb"] {
            fs::set_permissions(store.join(name), fs::Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(&store, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let before = snapshot(&store);
    for verb in [
        "status --db store",
        "trees --db store",
        "tree --db store --tree cat.jpg",
        "ledger --db store",
        "check --db store",
        "export --db store --tree cat.jpg",
        "export --db store --tree cat.jpg -o cat.nodes",
        "export --db store --tree cat.jpg --policy attested",
        "prove --db store --tree cat.jpg --leaf 0 -o cat.proof",
        "repair --db store --dry-run",
    ] {
        sandbox.ok(verb);
        assert!(snapshot(&store) == before, "pouw {verb} changed the store");
        sandbox.ok(&format!("{verb} --json"));
        assert!(snapshot(&store) == before, "pouw {verb} --json changed the store");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_store_in_use_is_refused_with_what_to_do() {
    let sandbox = worked();
    let store = open(&sandbox);
    for verb in ["status --db store", "check --db store", "repair --db store", "export --db store --tree cat.jpg"] {
        sandbox.refused(1, verb, &["state.redb is already open", "stop the other one first"]);
    }
    drop(store);
    sandbox.ok("status --db store");
}

#[test]
fn an_export_that_needs_hashing_opens_the_store_for_writing() {
    let sandbox = Sandbox::with_files();
    sandbox.ok(&format!("{INGEST} --strategy quorum:2 in"));
    sandbox.ok("work --db store");
    let before = snapshot(&sandbox.path("store"));
    sandbox.ok("export --db store --tree cat.jpg --policy attested");
    assert!(snapshot(&sandbox.path("store")) == before);
    let output = sandbox.run("export --db store --tree cat.jpg");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the weakest leaf is verified"), "{}", text(&output.stderr));
    let after = snapshot(&sandbox.path("store"));
    assert!(after["state.redb"] != before["state.redb"]);
    // Now it is verified, and the same export only reads.
    sandbox.ok("export --db store --tree cat.jpg");
    assert!(snapshot(&sandbox.path("store")) == after);
}

#[test]
fn what_a_killed_export_left_is_removed_by_the_next_one_and_what_is_in_use_is_not() {
    let sandbox = worked();
    fs::create_dir(sandbox.path("out")).unwrap();
    let (dead, live, other) = ("out/.pouw-aB3xY9.tmp", "out/.pouw-1qW2eR.tmp", "out/notes.tmp");
    for name in [dead, live, other] {
        sandbox.write(name, "half");
    }
    let lock = File::open(sandbox.path(live)).unwrap();
    lock.lock().unwrap();
    sandbox.ok("export --db store --tree cat.jpg -o out/cat.nodes");
    assert_eq!(temporaries(&sandbox.path("out")), [".pouw-1qW2eR.tmp", "notes.tmp"]);
    drop(lock);
    sandbox.ok("prove --db store --tree cat.jpg --leaf 0 -o out/cat.proof");
    assert_eq!(temporaries(&sandbox.path("out")), ["notes.tmp"]);
    // In the directory of the store: cleared when the store is opened to be written.
    sandbox.write("store/.pouw-Zz9Zz9.tmp", "half");
    sandbox.ok("forget --db store --tree empty");
    assert_eq!(temporaries(&sandbox.path("store")), [""; 0]);
}

#[test]
fn a_repair_removes_left_over_data_and_says_what_it_did() {
    let sandbox = worked();
    assert_eq!(sandbox.ok("repair --db store"), "nothing to repair\n");
    let store = open(&sandbox);
    let mut data = BlocksWriter::new(&store);
    data.put_chunk(0, 0, vec![1; 100]);
    data.commit().unwrap();
    drop(data);
    store.close();
    sandbox.refused(1, "check --db store", &["blocks-0 rows of tree 0", "run: pouw repair"]);
    let dry = sandbox.ok("repair --db store --dry-run");
    assert!(dry.contains("to repair: 1 tree with left-over data; nothing was changed"), "{dry}");
    sandbox.refused(1, "check --db store", &["blocks-0 rows of tree 0"]);
    let report = sandbox.json("repair --db store");
    assert_eq!(
        (&report["dryRun"], &report["leftoverData"], &report["rowsRemoved"]),
        (&false.into(), &1.into(), &1.into())
    );
    assert_eq!(report["steps"][0], "tree 0: block data that no tree needs");
    sandbox.ok("check --db store");
    sandbox.refused(2, "repair", &["--db"]);
    assert!(sandbox.ok("repair --help").contains("--dry-run"));
    sandbox.refused(1, "repair --db nowhere", &["there is no store in nowhere"]);
}
