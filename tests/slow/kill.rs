//! `kill -9` at random moments of ingest and of work, on a process of its own.
//!
//! The child is this very test binary, told by an environment variable to ingest and to work. It prints a
//! line for each effect after the engine has acknowledged it, and one before each command it begins. The
//! parent kills it at a random moment behind a random line, opens the store again and holds it against
//! everything that was acknowledged. `POUW_KILLS` sets the number of kills, 12 if it is not set.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::crash::{CHILD, Dice, Victim, kills, say};
use crate::support::work::{cut, solve};
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use pouw::protocol::{ByTier, DifficultyTier, WorkId};
use pouw::{Answer, Config, EntryKind, Ingested, IssueError, IssueRequest, PouwEngine, Receipt, TreeState};

const FILES: u64 = 600;
const CLIENTS: usize = 4;

fn config() -> Config {
    Config::builder([3; 32])
        .floor(ByTier::all(Duration::ZERO))
        .min_queue_depth(16)
        .accept_clock_ahead(true)
        .build()
        .unwrap()
}

/// Every seventh file is large, so that kills hit the middle of one, too.
fn content(file: u64) -> Vec<u8> {
    let len = if file.is_multiple_of(7) { 400_000 + file * 100 } else { file * 37 % 9_000 };
    (0..len).map(|at| ((at * 131) ^ (at >> 7) ^ (file * 7)) as u8).collect()
}

fn leaves(data: &[u8]) -> Vec<Checksum> {
    if data.is_empty() { vec![sha3_512(b"")] } else { data.chunks(512).map(sha3_512).collect() }
}

// ---------------------------------------------------------------------------------------------------
// The child.

/// Ingests what is missing and works, at once, until everything is done.
fn run_child(dir: &Path) {
    let engine = PouwEngine::open(dir, config()).unwrap();
    let out = Mutex::new(std::io::stdout());
    let ingested = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (engine, out, ingested) = (&engine, &out, &ingested);
            scope.spawn(move || work(engine, out, ingested, client));
        }
        for file in 0..FILES {
            say(&out, &format!("begin ingest {file}"));
            let done = engine.ingest_bytes(&cut(), &format!("file-{file}"), &content(file)).unwrap();
            say(&out, &format!("tree {file} {}", u8::from(done != Ingested::Unchanged)));
        }
        ingested.store(true, Ordering::SeqCst);
    });
    while engine.stats().totals.complete < engine.stats().totals.trees {
        engine.upkeep().unwrap();
    }
    engine.close();
    say(&out, "finished");
}

fn work(engine: &PouwEngine, out: &Mutex<std::io::Stdout>, ingested: &AtomicBool, client: usize) {
    let key = format!("client-{client}");
    let tier = DifficultyTier::ALL[client % 3];
    loop {
        let through = ingested.load(Ordering::SeqCst);
        let issued = match engine.issue(&IssueRequest::new(key.as_bytes(), tier)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => {
                if through && engine.stats().totals.pending == 0 {
                    return;
                }
                engine.refill().unwrap();
                std::thread::yield_now();
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        let result = solve(&issued.unit);
        say(out, &format!("begin submit {}", issued.unit.id));
        let accepted = engine.submit(&Answer::new(key.as_bytes(), &result)).unwrap();
        say(out, &format!("paid {} {} {client}", accepted.id, accepted.award.0));
    }
}

// ---------------------------------------------------------------------------------------------------
// The parent.

/// What the child said before it died.
#[derive(Default)]
struct Heard {
    trees: Vec<u64>,
    paid: Vec<(WorkId, u64)>,
    begun: HashMap<String, bool>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["begin", what, of] => {
                self.begun.insert(format!("{what} {of}"), false);
            }
            ["tree", file, _] => {
                self.trees.push(file.parse().unwrap());
                self.begun.remove(&format!("ingest {file}"));
            }
            ["paid", id, award, _] => {
                self.paid.push((id.parse().unwrap(), award.parse().unwrap()));
                self.begun.remove(&format!("submit {id}"));
            }
            // The test harness of the child has its own lines.
            _ => {}
        }
    }

    fn unfinished(&self) -> bool {
        !self.begun.is_empty()
    }
}

const TEST: &str = "kill::a_killed_process_loses_nothing_it_acknowledged";

fn spawn(dir: &Path) -> Victim {
    Victim::spawn::<&str>(TEST, dir, &[])
}

/// Lets a child run for `lines` lines and then for a while of its own, and kills it.
fn run_and_kill(dir: &Path, lines: u64, spin: Duration) -> Heard {
    let mut victim = spawn(dir);
    let mut heard = Heard::default();
    let mut seen = 0;
    victim.listen(|line| {
        heard.hear(line);
        seen += 1;
        seen == lines
    });
    victim.kill(spin, |line| heard.hear(line));
    heard
}

/// Everything acknowledged is there, and the store is clean. True if nothing is left to do in it.
fn hold_against(dir: &Path, heard: &Heard, paid: &mut HashMap<WorkId, u64>) -> bool {
    let report = PouwEngine::check_store(dir, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    paid.extend(heard.paid.iter().copied());
    let quiet = Config::builder([3; 32]).accept_clock_ahead(true).background(false).build().unwrap();
    let engine = PouwEngine::open(dir, quiet).unwrap();
    for (id, award) in &heard.paid {
        match engine.receipt(*id).unwrap() {
            Receipt::Accepted(entry) => assert_eq!(entry.amount.0, *award),
            other => panic!("the answer to {id} was acknowledged, and its receipt is {other:?}"),
        }
    }
    for file in &heard.trees {
        let tree = engine.tree(&format!("file-{file}")).unwrap();
        assert_ne!(tree.state, TreeState::Ingesting, "file {file} was acknowledged");
        assert_eq!(tree.total_bytes, content(*file).len() as u64);
    }
    while engine.upkeep().unwrap().completed > 0 {}
    let totals = engine.stats().totals;
    engine.close();
    totals.complete == FILES && totals.pending == 0
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return run_child(Path::new(&dir));
    }
    let kills = kills(12);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut dir = tempfile::tempdir().unwrap();
    let mut paid = HashMap::new();
    let (mut unfinished, mut stores, mut acknowledged) = (0, 0, 0);
    for _ in 0..kills {
        let spin = Duration::from_micros(dice.below(4_000));
        let heard = run_and_kill(dir.path(), 1 + dice.below(500), spin);
        unfinished += u64::from(heard.unfinished());
        acknowledged += heard.trees.len() + heard.paid.len();
        if hold_against(dir.path(), &heard, &mut paid) {
            finish(dir.path(), &paid);
            (dir, paid, stores) = (tempfile::tempdir().unwrap(), HashMap::new(), stores + 1);
        }
    }
    // The rest of the work, undisturbed.
    let mut victim = spawn(dir.path());
    assert!(victim.listen(|line| line == "finished"), "the child ended early");
    victim.end();
    finish(dir.path(), &paid);
    stores += 1;
    println!(
        "{kills} kills, {unfinished} with a command unfinished, {acknowledged} effects acknowledged, {stores} stores finished"
    );
    assert!(unfinished * 4 >= kills * 3, "only {unfinished} of {kills} kills hit a command");
    assert!(acknowledged as u64 > kills, "the children did not work");
}

/// All trees complete with the right root, no leaf lost, the ledger's sum is what was paid.
fn finish(dir: &Path, paid: &HashMap<WorkId, u64>) {
    let engine = PouwEngine::open(dir, config()).unwrap();
    let mut all_leaves = 0;
    for file in 0..FILES {
        let leaves = leaves(&content(file));
        assert_eq!(engine.root(&format!("file-{file}")).unwrap(), root(&leaves).unwrap(), "file {file}");
        all_leaves += leaves.len() as u64;
    }
    let totals = engine.stats().totals;
    assert_eq!((totals.trees, totals.complete, totals.pending), (FILES, FILES, 0));
    let (mut sum, mut credited, mut from) = (0, 0, 0);
    let mut entries = HashMap::new();
    loop {
        let page = engine.ledger(from, 1_000).unwrap();
        let Some(last) = page.last() else { break };
        from = last.seq + 1;
        for entry in page {
            assert_eq!(entry.kind, EntryKind::Leaves);
            sum += entry.amount.0;
            credited += u64::from(entry.leaves);
            assert_eq!(entry.amount.0, u64::from(entry.nodes) * 100);
            assert!(entries.insert(*entry.id.as_bytes(), entry.amount.0).is_none(), "one answer was paid twice");
        }
    }
    assert_eq!(credited, all_leaves, "every leaf was credited once");
    assert_eq!(sum, totals.nodes * 100);
    for (id, award) in paid {
        assert_eq!(entries.get(id.as_bytes()), Some(award), "{id} was acknowledged");
    }
    let balances: u64 =
        (0..CLIENTS).map(|client| engine.balance(format!("client-{client}").as_bytes()).unwrap().0).sum();
    assert_eq!(balances, sum);
}
