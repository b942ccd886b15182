//! Damage under a running engine: redb gives up on a page, a thread panics, the store stays closed. Every call ends,
//! health says so, and nothing counts that is not in the ledger.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::desk;
use crate::support::disk::{Access, Hooked, PAGE, Rotting, copy};
use crate::support::house::{clock, config, on_disk, open, parts};
use crate::support::patience::{PATIENCE, ended, until};
use crate::support::work::{answer_right, cut, issue, pattern, solve, work, work_off};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::{LeafIndex, Shape, root};
use pouw::protocol::{DifficultyTier, MicroJoules, UnixMillis, WorkId, WorkUnit};
use pouw::{
    Answer, Clock, DebitError, Event, EventSink, ExportPolicy, FakeClock, Gate, GateConfig, GateRuntime,
    HealthCondition, IssueError, IssueRequest, LedgerEntry, PouwEngine, Receipt, Runtime, StorageProvider, StoreError,
    StoreOptions, TreeError, Verdict, WriteError,
};

/// A small store with a bit of everything: a complete tree, one in work, entries, debits, clients.
fn small_store() -> SimDisk {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    engine.ingest_bytes(&cut(), "complete", &pattern(512 * 40, 1)).unwrap();
    for client in 0..40u8 {
        work(&engine, &[client % 9], DifficultyTier::Low);
    }
    work_off(&engine, b"rest", DifficultyTier::High);
    engine.ingest_bytes(&cut(), "open", &pattern(512 * 700, 2)).unwrap();
    for client in 0..20u8 {
        work(&engine, &[client], DifficultyTier::Low);
    }
    engine.debit(&[1], MicroJoules(1), [1; 16]).unwrap();
    engine.close();
    disk
}

/// An engine with something for every verb to do.
struct Scene {
    engine: PouwEngine,
    units: Mutex<Vec<WorkUnit>>,
    entry: LedgerEntry,
}

impl Scene {
    fn new(runtime: Runtime, background: bool) -> Self {
        let engine = open(runtime, config().background(background));
        engine.refill().unwrap();
        let units = (0..12).map(|_| issue(&engine, b"worker", DifficultyTier::Low).unit).collect();
        let entry = engine.ledger(0, 1).unwrap().remove(0);
        Self { engine, units: Mutex::new(units), entry }
    }

    fn unit(&self) -> WorkUnit {
        self.units.lock().unwrap().pop().expect("enough were issued")
    }
}

type Verb = fn(&Scene) -> Result<(), String>;

/// The leaves of the tree `complete`.
fn complete() -> Vec<Checksum> {
    pattern(512 * 40, 1).chunks(512).map(sha3_512).collect()
}

/// A value that is given is the right one.
fn is<T: PartialEq + std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>, right: &T) -> Result<(), String> {
    result.map(|value| assert_eq!(&value, right)).map_err(|error| error.to_string())
}

/// All nodes that an export gives, if it comes to its end.
fn all<T, E: std::fmt::Display>(
    export: impl FnOnce(&mut dyn FnMut(&Checksum) -> std::io::Result<()>) -> Result<T, E>,
) -> Result<Vec<Checksum>, E> {
    let mut nodes = Vec::new();
    export(&mut |node| {
        nodes.push(*node);
        Ok(())
    })?;
    Ok(nodes)
}

/// The same of all nodes: root first, leaves last.
fn nodes_fit(nodes: Result<Vec<Checksum>, TreeError>) -> Result<(), String> {
    let ends = nodes.map(|nodes| (nodes[0], nodes[nodes.len() - 40..].to_vec()));
    is(ends, &(root(&complete()).unwrap(), complete()))
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

/// Every verb of the engine that can fail, in an order in which each has something to do.
const VERBS: [(&str, Verb); 42] = [
    ("issue", |s| said(s.engine.issue(&IssueRequest::new(b"worker", DifficultyTier::Low)))),
    ("submit", |s| {
        let result = solve(&s.unit());
        said(s.engine.submit(&Answer::new(b"worker", &result)))
    }),
    ("submit_with", |s| {
        let result = solve(&s.unit());
        let (sender, receiver) = std::sync::mpsc::channel();
        s.engine.submit_with(&Answer::new(b"worker", &result), move |verdict| drop(sender.send(verdict)));
        said(receiver.recv().expect("the callback is called"))
    }),
    ("sweep", |s| said(s.engine.sweep())),
    ("upkeep", |s| said(s.engine.upkeep())),
    ("refill", |s| said(s.engine.refill())),
    ("ingest_bytes", |s| said(s.engine.ingest_bytes(&cut(), "bytes", &pattern(5_000, 3)))),
    ("ingest_blocks", |s| said(s.engine.ingest_blocks(&cut(), "blocks", &[&[1; 512], &[2; 512]]))),
    ("ingest_known_blocks", |s| {
        let blocks = [(pouw::hash::sha3_512(&[3; 512]), &[3; 512][..])];
        let options = cut().strategy(pouw::Strategy::KnownAddress);
        said(s.engine.ingest_known_blocks(&options, "known", &blocks))
    }),
    ("ingest_path", |s| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pattern(2_000, 4)).unwrap();
        said(s.engine.ingest_path(&cut(), file.path()))
    }),
    ("ingest_paths", |s| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pattern(2_000, 5)).unwrap();
        said(s.engine.ingest_paths(&cut(), &[file.path().to_owned()], &mut |_| ControlFlow::Continue(())))
    }),
    ("satisfy", |s| said(s.engine.satisfy("complete", ExportPolicy::Strict, &mut |_| ControlFlow::Continue(())))),
    ("export_addresses", |s| nodes_fit(all(|sink| s.engine.export_addresses("complete", sink)))),
    ("export_addresses_under", |s| {
        nodes_fit(all(|sink| s.engine.export_addresses_under(ExportPolicy::Attested, "complete", sink)))
    }),
    ("export_leaves", |s| is(all(|sink| s.engine.export_leaves("complete", sink)), &complete())),
    ("export_leaves_under", |s| {
        is(all(|sink| s.engine.export_leaves_under(ExportPolicy::Attested, "complete", sink)), &complete())
    }),
    ("release", |s| said(s.engine.release("complete"))),
    ("balance", |s| said(s.engine.balance(b"worker"))),
    ("ledger", |s| is(s.engine.ledger(0, 100).map(|entries| entries[0]), &s.entry)),
    ("ledger_of", |s| said(s.engine.ledger_of(&[1], None, 100))),
    ("debit", |s| said(s.engine.debit(&[1], MicroJoules(1), [9; 16]))),
    ("proof_of", |s| said(s.engine.proof_of(&s.entry))),
    ("receipt", |s| is(s.engine.receipt(s.entry.id), &Receipt::Accepted(s.entry))),
    ("tree_progress", |s| said(s.engine.tree_progress(s.unit().tree_id, 0, 8))),
    ("provenance", |s| said(s.engine.provenance("complete", pouw::merkle::LeafIndex(1)))),
    ("provenance_of", |s| said(s.engine.provenance_of(&s.entry))),
    ("damaged", |s| said(s.engine.damaged(None, 10))),
    ("tree", |s| said(s.engine.tree("open"))),
    ("trees", |s| said(s.engine.trees(None, 10))),
    ("partial_trees", |s| said(s.engine.partial_trees(None, 10))),
    ("remaining_nodes", |s| said(s.engine.remaining_nodes("open", pouw::merkle::LeafIndex(0), 10))),
    ("root", |s| is(s.engine.root("complete"), &root(&complete()).unwrap())),
    ("commitment", |s| is(s.engine.commitment("complete").map(|it| it.root), &root(&complete()).unwrap())),
    ("validate", |s| said(s.engine.validate("complete"))),
    ("leaf", |s| is(s.engine.leaf("complete", LeafIndex(1)), &complete()[1])),
    ("prove", |s| {
        let leaves = complete();
        let (shape, root) = (Shape::new(40).unwrap(), root(&leaves).unwrap());
        let proof = s.engine.prove("complete", LeafIndex(1));
        is(proof.map(|proof| proof.verify(shape, LeafIndex(1), &leaves[1], &root)), &Ok(()))
    }),
    ("open_quorums", |s| said(s.engine.open_quorums(10))),
    ("stats", |s| said(Ok::<_, StoreError>(s.engine.stats()))),
    ("scrub", |s| said(s.engine.scrub(pouw::ScrubBudget::bytes(1 << 20)))),
    ("scrub_all", |s| said(s.engine.scrub_all(&mut |_| ControlFlow::Continue(())))),
    ("forget", |s| said(s.engine.forget("complete"))),
    ("backup", |s| {
        let directory = tempfile::tempdir().unwrap();
        said(s.engine.backup(directory.path().join("copy"), &mut |_| ControlFlow::Continue(())))
    }),
];

/// Verbs that have no store to wait for: they open one, or only copy out of memory. `close` ends each test.
const OTHERS: [&str; 12] = [
    "check_store",
    "repair_store",
    "open",
    "open_with",
    "open_read_only",
    "open_read_only_with",
    "close",
    "failure",
    "config",
    "copy_of",
    "now",
    "client_digest",
];

/// Makes every call on a thread of its own. Returns what each said, in order.
fn every_verb(scene: &Arc<Scene>) -> Vec<(&'static str, Result<(), String>)> {
    let call = |(name, verb): &(&'static str, Verb)| {
        let (verb, scene) = (*verb, scene.clone());
        (*name, ended(name, move || verb(&scene)))
    };
    VERBS.iter().map(call).collect()
}

#[test]
fn the_verbs_here_are_all_verbs_of_the_engine() {
    let mut found = BTreeSet::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for piece in text.split("\nimpl PouwEngine {\n").skip(1) {
                let own = piece.split("\n}\n").next().unwrap();
                let names = own.split("\n    pub fn ").skip(1);
                found.extend(names.map(|rest| rest.split(['(', '<']).next().unwrap().to_owned()));
                if let Some(rest) = own.strip_prefix("    pub fn ") {
                    found.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                }
            }
        }
    }
    let known: BTreeSet<String> = VERBS.iter().map(|(name, _)| *name).chain(OTHERS).map(str::to_owned).collect();
    assert_eq!(found, known);
}

fn gate(engine: &PouwEngine) -> Gate {
    let config = GateConfig::builder().rate_limit(1).build().unwrap();
    Gate::with_runtime(engine.clone(), config, GateRuntime::default().ticked_by_host()).unwrap()
}

/// A store that stays closed: no verb waits, nothing is issued, health says so with the reason.
fn expect_latched(scene: &Arc<Scene>, gate: &Gate, why: &str) {
    for (name, result) in every_verb(scene) {
        // What was read before, or is in memory only, may still be told.
        let from_memory = ["stats", "tree_progress", "refill", "release", "satisfy"].contains(&name);
        assert!(result.is_err() || from_memory, "{name} succeeds on a store that stays closed");
    }
    let issued = scene.engine.issue(&IssueRequest::new(b"worker", DifficultyTier::Low).synthetic(true));
    assert!(matches!(issued, Err(IssueError::Closed)));
    assert!(scene.engine.failure().unwrap().contains(why), "{:?}", scene.engine.failure());
    assert_eq!(scene.engine.stats().failure.as_deref(), scene.engine.failure());
    let health = gate.health();
    assert_eq!(
        (health.overall(), health.store.condition),
        (HealthCondition::Unavailable, HealthCondition::Unavailable)
    );
    assert!(health.store.detail.contains(why) && health.store.detail.contains("restart"), "{health:?}");
    let engine = scene.engine.clone();
    ended("close", move || engine.close());
}

/// The events that tell of a store that stays closed.
fn closings(events: &Mutex<Vec<Event>>) -> usize {
    let events = events.lock().unwrap();
    assert!(!events.iter().any(|event| matches!(event, Event::StorageFailed { recovered: true, .. })), "{events:?}");
    events.iter().filter(|event| matches!(event, Event::StorageFailed { recovered: false, .. })).count()
}

fn heard() -> (EventSink, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    (EventSink::new(move |event| seen.lock().unwrap().push(event)), events)
}

/// No page is kept in memory: what rots is read.
fn uncached(storage: Arc<dyn StorageProvider>, events: EventSink) -> Runtime {
    let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
    parts(storage, &clock()).events(events).options(options)
}

#[test]
fn after_a_failed_sync_no_verb_waits_and_one_event_says_why() {
    for background in [false, true] {
        let disk = copy(&small_store());
        let (sink, events) = heard();
        let scene = Arc::new(Scene::new(parts(Arc::new(disk.clone()), &clock()).events(sink), background));
        let gate = gate(&scene.engine);
        disk.fail_sync(1, true);
        let failed = scene.engine.debit(&[1], MicroJoules(1), [7; 16]);
        assert!(matches!(failed, Err(DebitError::Write(WriteError::Unconfirmed { .. }))), "{failed:?}");
        until(|| !scene.engine.stats().threads[0].running);
        expect_latched(&scene, &gate, "a sync of state.redb failed");
        assert_eq!(closings(&events), 1);
    }
}

/// Holds the writer within its next change of the disk, and lets it panic there.
#[derive(Default)]
struct Trap {
    state: Mutex<(bool, bool)>,
    reached: AtomicBool,
    changed: Condvar,
}

impl Trap {
    fn set(&self) {
        self.state.lock().unwrap().0 = true;
    }

    fn spring(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn hook(&self, access: Access) {
        if access != Access::Change || std::thread::current().name() != Some("pouw-writer") {
            return;
        }
        let state = self.state.lock().unwrap();
        if state.0 {
            self.reached.store(true, Ordering::SeqCst);
            let sprung = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.1).unwrap();
            drop(sprung);
            panic!("the trap");
        }
    }
}

#[test]
fn a_panic_of_the_writer_answers_every_job_that_waits_in_both_lanes() {
    let trap = Arc::new(Trap::default());
    let hook = trap.clone();
    let storage = Hooked::new(Arc::new(copy(&small_store())), move |access| hook.hook(access));
    let (sink, events) = heard();
    let clock = clock();
    let runtime = parts(Arc::new(storage), &clock).events(sink);
    let engine = open(runtime, config().waiting_answers_max(4));
    let gate = gate(&engine);
    engine.refill().unwrap();
    let units = Mutex::new((0..12).map(|_| issue(&engine, b"worker", DifficultyTier::Low).unit).collect());
    let scene = Arc::new(Scene { entry: engine.ledger(0, 1).unwrap().remove(0), engine, units });
    trap.set();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let debit = |key: u8| {
        let (engine, answers) = (scene.engine.clone(), answers.clone());
        std::thread::spawn(move || {
            let answer = engine.debit(&[1], MicroJoules(0), [key; 16]);
            answers.lock().unwrap().push(answer.expect_err("nothing is stored"));
        })
    };
    // One is in the commit that hangs, the others fill the lane, until one more finds no room.
    let mut key = 100;
    let mut threads = vec![debit(key)];
    until(|| trap.reached.load(Ordering::SeqCst));
    until(|| {
        key += 1;
        threads.push(debit(key));
        answers.lock().unwrap().iter().any(|error| matches!(error, DebitError::Write(WriteError::Busy)))
    });
    // Meanwhile health tells of the commit that takes so long.
    assert_eq!(gate.health().threads.condition, HealthCondition::Healthy);
    clock.advance(Duration::from_millis(31_000));
    let slow = gate.health().threads;
    assert_eq!(
        (slow.condition, &*slow.detail),
        (HealthCondition::Degraded, "a commit has taken 31 s so far: check the disk")
    );
    let bulk: Vec<_> = (0..4)
        .map(|at| {
            let scene = scene.clone();
            let name = format!("bulk-{at}");
            std::thread::spawn(move || scene.engine.ingest_bytes(&cut(), &name, &[at; 512]).map(drop).unwrap_err())
        })
        .collect();
    let sweeps: Vec<_> = (0..4)
        .map(|_| {
            let engine = scene.engine.clone();
            std::thread::spawn(move || engine.forget("complete").map(drop).unwrap_err())
        })
        .collect();
    trap.spring();
    ended("every job", move || {
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        bulk.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        sweeps.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    let closed = |error: &&DebitError| matches!(error, DebitError::Write(WriteError::Closed));
    let typed = |error: &DebitError| matches!(error, DebitError::Write(_));
    assert!(answers.iter().all(typed) && answers.iter().filter(closed).count() >= 4, "{answers:?}");
    until(|| !scene.engine.stats().threads[0].running);
    expect_latched(&scene, &gate, "the trap");
    assert_eq!(closings(&events), 1);
}

/// A clock that panics when one thread reads it, as a mistake of our own would.
#[derive(Debug, Default)]
struct BrokenClock {
    inner: FakeClock,
    /// The thread, and whether it panics each time.
    broken: Mutex<Option<(&'static str, bool)>>,
}

impl BrokenClock {
    fn panics(&self, thread: &'static str, each_time: bool) {
        *self.broken.lock().unwrap() = Some((thread, each_time));
    }
}

impl Clock for BrokenClock {
    fn wall(&self) -> UnixMillis {
        self.inner.wall()
    }

    fn monotonic(&self) -> Duration {
        let mut broken = self.broken.lock().unwrap();
        if let Some((thread, each_time)) = *broken
            && std::thread::current().name() == Some(thread)
        {
            *broken = broken.filter(|_| each_time);
            drop(broken);
            panic!("the clock is broken");
        }
        self.inner.monotonic()
    }
}

#[test]
fn a_panic_outside_the_store_on_the_writers_thread_closes_the_store_too() {
    let broken = Arc::new(BrokenClock::default());
    let (sink, events) = heard();
    let runtime = parts(Arc::new(copy(&small_store())), &clock()).clock(broken.clone()).events(sink);
    let scene = Arc::new(Scene::new(runtime, false));
    let gate = gate(&scene.engine);
    broken.panics("pouw-writer", true);
    let engine = scene.engine.clone();
    ended("a debit", move || engine.debit(&[1], MicroJoules(1), [7; 16]).unwrap_err());
    until(|| !scene.engine.stats().threads[0].running);
    expect_latched(&scene, &gate, "the clock is broken");
    assert_eq!(closings(&events), 1);
}

#[test]
fn a_panic_in_a_round_of_upkeep_is_one_event_and_later_rounds_go_on() {
    let broken = Arc::new(BrokenClock::default());
    let (sink, events) = heard();
    let runtime = parts(Arc::new(SimDisk::new()), &clock()).clock(broken.clone()).events(sink);
    let engine = open(runtime, config().background(true));
    let gate = gate(&engine);
    for count in 1..=3 {
        broken.panics("pouw-upkeep", false);
        until(|| engine.stats().threads[1].panics == count);
    }
    let panics = |events: &Mutex<Vec<Event>>| {
        let events = events.lock().unwrap();
        events
            .iter()
            .filter(|event| matches!(event, Event::ThreadPanicked { thread, .. } if thread == "pouw-upkeep"))
            .count()
    };
    assert_eq!(panics(&events), 1, "one in a minute");
    // After its pause it takes back what clients forgot, without the host's help.
    engine.ingest_bytes(&cut(), "a", &[5; 512]).unwrap();
    let mut forgotten = None;
    broken.inner.advance(Duration::from_millis(4_000));
    until(|| {
        forgotten = engine.issue(&IssueRequest::new(b"c", DifficultyTier::Low)).ok();
        forgotten.is_some()
    });
    broken.inner.advance(Duration::from_millis(60_001));
    until(|| engine.issue(&IssueRequest::new(b"c", DifficultyTier::Low)).is_ok());
    assert_eq!(gate.health().threads.condition, HealthCondition::Healthy);
    // One that cannot even be survived ends the thread, and health says so.
    broken.panics("pouw-upkeep", true);
    until(|| !engine.stats().threads[1].running);
    let threads = gate.health().threads;
    assert!(
        threads.condition == HealthCondition::Degraded && threads.detail.contains("pouw-upkeep ended"),
        "{threads:?}"
    );
    ended("close", move || engine.close());
}

#[test]
fn a_panic_of_the_thread_that_scrubs_is_one_event_and_later_steps_go_on() {
    let broken = Arc::new(BrokenClock::default());
    let (sink, events) = heard();
    let runtime = parts(Arc::new(SimDisk::new()), &clock()).clock(broken.clone()).events(sink);
    let engine = open(runtime, config().background(true));
    let gate = gate(&engine);
    engine.ingest_bytes(&cut(), "a", &[5; 512]).unwrap();
    for count in 1..=2 {
        broken.panics("pouw-scrub", false);
        until(|| engine.stats().threads[2].panics == count);
    }
    let told = |event: &Event| matches!(event, Event::ThreadPanicked { thread, .. } if thread == "pouw-scrub");
    assert_eq!(events.lock().unwrap().iter().filter(|event| told(event)).count(), 1);
    assert_eq!(engine.stats().scrub.last_full_pass, None, "it waits a minute after the start");
    broken.inner.advance(Duration::from_millis(60_001));
    until(|| {
        broken.inner.advance(Duration::from_millis(1_000));
        engine.stats().scrub.last_full_pass.is_some()
    });
    assert_eq!(gate.health().threads.condition, HealthCondition::Healthy);
    broken.panics("pouw-scrub", true);
    until(|| !engine.stats().threads[2].running);
    let threads = gate.health().threads;
    assert!(
        threads.condition == HealthCondition::Degraded && threads.detail.contains("pouw-scrub ended"),
        "{threads:?}"
    );
    ended("close", move || engine.close());
}

#[test]
fn a_judge_that_panics_goes_on_and_judges_that_ended_are_reported() {
    let broken = Arc::new(BrokenClock::default());
    let (sink, events) = heard();
    let runtime = parts(Arc::new(SimDisk::new()), &clock()).clock(broken.clone()).events(sink);
    let engine = open(runtime, config());
    desk::ingest(&engine, "tree", 64);
    let config = GateConfig::builder().rate_limit(1).judge_threads(1).build().unwrap();
    let gate = Gate::with_runtime(engine.clone(), config, GateRuntime::default().ticked_by_host()).unwrap();
    let ask = || decide(&gate, desk::facts(desk::ADDRESS)).wait();
    desk::passed(ask());
    let (_, result) = desk::solved(&desk::refused(ask(), "work_required"));
    let answer = || {
        let compact = Some(ResultText::Compact(result.to_compact()));
        let answer = Some(Presented { token: result.challenge_token.clone(), result: compact });
        match decide(&gate, Facts { answer, ..desk::facts(desk::ADDRESS) }) {
            Verdict::Judge(pending) => pending.wait(),
            other => panic!("{other:?}"),
        }
    };
    broken.panics("pouw-judge-0", false);
    until(|| gate.stats().threads[0].panics == 1);
    until(|| desk::accepted(answer()).is_some());
    assert_eq!(gate.health().threads.condition, HealthCondition::Healthy);
    let told = |event: &Event| matches!(event, Event::ThreadPanicked { thread, .. } if thread == "pouw-judge-0");
    assert_eq!(events.lock().unwrap().iter().filter(|event| told(event)).count(), 1);
    broken.panics("pouw-judge-0", true);
    until(|| !gate.stats().threads[0].running);
    let health = gate.health();
    assert_eq!(
        (health.threads.condition, health.overall()),
        (HealthCondition::Unavailable, HealthCondition::Unavailable)
    );
    ended("close", move || engine.close());
}

/// What a page that rots under a running engine led to.
#[derive(Debug, Default)]
struct Outcomes {
    latched: usize,
    refused: usize,
    unnoticed: usize,
    accepted: usize,
}

fn rot_under_work(base: &SimDisk, file: pouw::StoreFile, page: u64, outcomes: &mut Outcomes) {
    let disk = copy(base);
    let rotting = Rotting::new(Arc::new(disk.clone()));
    let (sink, events) = heard();
    let scene = Arc::new(Scene::new(uncached(Arc::new(rotting.clone()), sink), page.is_multiple_of(2)));
    let gate = gate(&scene.engine);
    rotting.rot(file, page);
    let mut accepted: Vec<WorkId> = Vec::new();
    for _ in 0..4 {
        let (unit, engine) = (scene.unit(), scene.engine.clone());
        let id = unit.id;
        if ended("submit", move || answer_right(&engine, b"worker", &unit)).is_ok() {
            accepted.push(id);
        }
    }
    let failures = every_verb(&scene).iter().filter(|(_, result)| result.is_err()).count();
    if let Some(why) = scene.engine.failure() {
        outcomes.latched += 1;
        assert!(!why.contains("the thread that writes gave up"), "{file:?} {page}: {why}");
        assert_eq!(gate.health().overall(), HealthCondition::Unavailable);
        assert!(matches!(
            scene.engine.issue(&IssueRequest::new(b"worker", DifficultyTier::Low).synthetic(true)),
            Err(IssueError::Closed)
        ));
        until(|| !scene.engine.stats().threads[0].running);
        assert_eq!(
            events
                .lock()
                .unwrap()
                .iter()
                .filter(|e| matches!(e, Event::StorageFailed { recovered: false, .. }))
                .count(),
            1,
            "{file:?} {page}"
        );
    } else if failures > 0 {
        outcomes.refused += 1;
    } else {
        outcomes.unnoticed += 1;
    }
    let engine = scene.engine.clone();
    ended("close", move || engine.close());
    outcomes.accepted += accepted.len();
    // The disk itself is whole: what was acknowledged is in its ledger.
    let engine = on_disk(&copy(&disk), &clock(), config());
    for id in accepted {
        assert!(matches!(engine.receipt(id), Ok(Receipt::Accepted(_))), "{file:?} {page}: {id} is not in the ledger");
    }
}

/// The pages of a file that hold something.
fn used(disk: &SimDisk, file: pouw::StoreFile) -> Vec<u64> {
    let bytes = disk.bytes(file);
    let pages = bytes.chunks(PAGE as usize).enumerate();
    pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0)).map(|(at, _)| at as u64).collect()
}

#[test]
fn each_used_page_of_a_small_store_may_rot_under_a_running_engine() {
    let base = small_store();
    for file in [pouw::StoreFile::State, pouw::StoreFile::Blocks] {
        let mut outcomes = Outcomes::default();
        let pages = used(&base, file);
        for page in &pages {
            rot_under_work(&base, file, *page, &mut outcomes);
        }
        println!("{file:?}: {} pages, {outcomes:?}", pages.len());
        assert!(outcomes.latched + outcomes.refused > 0, "{outcomes:?}");
    }
}
