//! Directories that are no store, or not this one: each is refused with an error that says what to do, and
//! what was there stays as it was, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::house::config_with;
use crate::support::work::{cut, issue, solve};
use pouw::protocol::{DifficultyTier, WorkResult};
use pouw::{Answer, Config, OpenError, PouwEngine, Receipt, StoreError, SubmitError, TreeState};

const CHILD: &str = "POUW_BAD_INPUT_CHILD";

fn config(secret: u8) -> Config {
    config_with([secret; 32]).accept_clock_ahead(true).build().unwrap()
}

fn open(dir: &Path) -> Result<PouwEngine, OpenError> {
    PouwEngine::open(dir, config(7))
}

fn next(engine: &PouwEngine) -> WorkResult {
    solve(&issue(engine, b"anna", DifficultyTier::Medium).unit)
}

/// A store with a tree, an accepted answer, and one that is still out.
fn store(dir: &Path) -> WorkResult {
    let engine = open(dir).unwrap();
    engine.ingest_bytes(&cut(), "tree", &vec![5; 60_000]).unwrap();
    let first = next(&engine);
    engine.submit(&Answer::new(b"anna", &first)).unwrap();
    let second = next(&engine);
    engine.close();
    second
}

fn bytes(dir: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read(dir.join(name)).ok()
}

/// Opening and checking are refused with an error that contains `wanted`; both files stay as they are.
#[track_caller]
fn refused(dir: &Path, wanted: &str) -> StoreError {
    let before = (bytes(dir, "state.redb"), bytes(dir, "blocks.redb"));
    let checked = match PouwEngine::check_store(dir, &mut |_| {}) {
        Ok(report) => report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; "),
        Err(error) => error.to_string(),
    };
    assert!(!checked.is_empty(), "the check is content");
    let OpenError::Store(error) = open(dir).unwrap_err() else {
        panic!("not an error of the store");
    };
    let text = error.to_string();
    assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
    let advice = ["name another directory", "restore it from a backup", "stop the other one first", "use the build"];
    assert!(advice.iter().any(|advice| text.contains(advice)), "it does not say what to do: {text:?}");
    let after = (bytes(dir, "state.redb"), bytes(dir, "blocks.redb"));
    assert!(before.0 == after.0, "state.redb was changed after {text:?}");
    // Looking for a file that is not there makes an empty one.
    assert!(before.1.unwrap_or_default() == after.1.unwrap_or_default(), "blocks.redb was changed after {text:?}");
    error
}

#[test]
fn a_text_file_is_refused() {
    for name in ["state.redb", "blocks.redb"] {
        for text in [&b"x"[..], b"Dear diary, ", &[b' '; 10_000], b"redb files start otherwise", b"SQLite format 3\0"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), text).unwrap();
            let error = open(dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::Store(StoreError::Foreign { .. })), "{name}: {error}");
            assert!(error.to_string().contains(name) && error.to_string().contains("name another directory"));
            assert_eq!(bytes(dir.path(), name).unwrap(), text);
        }
    }
}

#[test]
fn a_file_cut_off_at_any_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    for name in ["state.redb", "blocks.redb"] {
        let whole = bytes(dir.path(), name).unwrap();
        let mut lengths = vec![1, 8, 9, 10, 63, 64, 192, 319, 320, 512, 4_095, 4_096, 4_097, 8_192, 65_536];
        lengths.extend((1..16).map(|part| whole.len() / 16 * part));
        lengths.extend([whole.len() - 4_096, whole.len() - 1]);
        for length in lengths {
            std::fs::write(dir.path().join(name), &whole[..length]).unwrap();
            let error = refused(dir.path(), name);
            assert!(
                matches!(error, StoreError::Corrupted { .. } | StoreError::Foreign { .. }),
                "{name} at {length}: {error}"
            );
        }
        std::fs::write(dir.path().join(name), &whole).unwrap();
        open(dir.path()).unwrap().close();
    }
}

#[test]
fn an_emptied_or_zeroed_file_beside_a_full_one_is_refused() {
    for name in ["state.redb", "blocks.redb"] {
        for content in [Vec::new(), vec![0; 1 << 20]] {
            let dir = tempfile::tempdir().unwrap();
            store(dir.path());
            std::fs::write(dir.path().join(name), content).unwrap();
            let error = refused(dir.path(), &format!("{name} is damaged: it is empty"));
            assert!(matches!(error, StoreError::Corrupted { .. }), "{error}");
        }
    }
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_anew() {
    // What redb leaves before its first commit: nothing, its first length, or a header without magic.
    let mut header = vec![0; 1 << 20];
    header[9] = 4;
    header[12..16].copy_from_slice(&4_096_u32.to_le_bytes());
    header[64] = 3;
    let cases = [vec![], vec![0; 320], vec![0; 1 << 20], header];
    for state in &cases {
        for blocks in [None, Some(&cases[0]), Some(&cases[2]), Some(&cases[3])] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("state.redb"), state).unwrap();
            if let Some(blocks) = blocks {
                std::fs::write(dir.path().join("blocks.redb"), blocks).unwrap();
            }
            assert!(
                PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().is_clean(),
                "nothing was ever acknowledged there"
            );
            assert_eq!(bytes(dir.path(), "state.redb").as_ref(), Some(state), "a check makes nothing");
            let answer = store(dir.path());
            let engine = open(dir.path()).unwrap();
            engine.submit(&Answer::new(b"anna", &answer)).unwrap();
            engine.close();
            assert!(PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().is_clean());
        }
    }
}

#[test]
fn a_block_file_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let kept = bytes(dir.path(), "blocks.redb").unwrap();
    std::fs::remove_file(dir.path().join("blocks.redb")).unwrap();
    refused(dir.path(), "blocks.redb is damaged: it is empty, but the state.redb beside it has trees");
    std::fs::write(dir.path().join("blocks.redb"), kept).unwrap();
    open(dir.path()).unwrap().close();
    std::fs::remove_file(dir.path().join("state.redb")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("state.redb is damaged: it is empty, but the blocks.redb"), "{error}");
}

#[test]
fn the_block_file_of_another_store_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    store(one.path());
    store(other.path());
    let own = bytes(one.path(), "blocks.redb").unwrap();
    std::fs::copy(other.path().join("blocks.redb"), one.path().join("blocks.redb")).unwrap();
    refused(one.path(), "blocks.redb is damaged: it belongs to another store");
    std::fs::write(one.path().join("blocks.redb"), own).unwrap();
    open(one.path()).unwrap().close();
    assert!(PouwEngine::check_store(one.path(), &mut |_| {}).unwrap().is_clean());
}

#[test]
fn the_two_files_swapped_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let (state, blocks) = (dir.path().join("state.redb"), dir.path().join("blocks.redb"));
    let third = dir.path().join("third");
    std::fs::rename(&state, &third).unwrap();
    std::fs::rename(&blocks, &state).unwrap();
    std::fs::rename(&third, &blocks).unwrap();
    refused(dir.path(), "its kind is pouw-");
}

#[test]
fn a_second_process_is_refused_until_the_first_one_ends() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let engine = open(Path::new(&dir)).unwrap();
        println!("open");
        std::io::stdout().flush().unwrap();
        // Until the parent closes the pipe.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        engine.close();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let answer = store(dir.path());
    let name = "bad_input_store::a_second_process_is_refused_until_the_first_one_ends";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("open")), "the child opens the store");
    let error = refused(dir.path(), "is already open; only one process can use a store, so stop the other one first");
    assert!(matches!(error, StoreError::AlreadyOpen { .. }));
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    let engine = open(dir.path()).unwrap();
    engine.submit(&Answer::new(b"anna", &answer)).unwrap();
}

#[test]
fn a_second_engine_in_the_same_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::AlreadyOpen { .. })), "{error}");
    first.upkeep().unwrap();
    first.close();
    open(dir.path()).unwrap().close();
}

#[test]
fn under_another_secret_outstanding_tokens_fail_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let outstanding = store(dir.path());
    let other = PouwEngine::open(dir.path(), config(8)).unwrap();
    let refused = other.submit(&Answer::new(b"anna", &outstanding)).unwrap_err();
    assert!(matches!(refused, SubmitError::Token(_)), "{refused}");
    assert_eq!(other.tree("tree").unwrap().state, TreeState::Active);
    let balance = other.balance(b"anna").unwrap();
    assert!(balance.0 > 0, "credits are the client's under any secret");
    let entry = other.ledger(0, 10).unwrap()[0];
    let id = entry.id;
    assert!(matches!(other.receipt(id).unwrap(), Receipt::Accepted(found) if found == entry));
    let own = next(&other);
    other.submit(&Answer::new(b"anna", &own)).unwrap();
    assert!(other.balance(b"anna").unwrap() > balance, "the same client goes on");
    other.close();
    assert!(PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().is_clean());
    let engine = open(dir.path()).unwrap();
    let result = engine.submit(&Answer::new(b"anna", &outstanding));
    assert!(matches!(result, Ok(_) | Err(SubmitError::Withdrawn)), "back under its secret: {result:?}");
}
