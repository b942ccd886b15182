//! Planted mistakes, each caught: a scenario holds without the mistake and fails with it, so a test that could not
//! fail would be noticed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::support::disk::{Access, Hooked, after_power_cut};
use crate::support::house::{clock, config, open, parts};
use crate::support::model::ensure;
use crate::support::model::world::Step;
use crate::support::work::{answer_right, cut, issue, solve};
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::LeafIndex;
use pouw::protocol::{DifficultyTier, WorkId, WorkResult};
use pouw::{
    Accepted, Answer, FakeClock, IssueRequest, Issued, PouwEngine, Receipt, StoreFile, StoreOptions, SubmitError,
};

/// Storage and clock of one scenario, and the mistake its engines make, if any.
struct Scene {
    disk: SimDisk,
    reads: Arc<Mutex<Option<ReadHook>>>,
    clock: Arc<FakeClock>,
    mistake: Option<Mistake>,
    cache_bytes: usize,
}

/// Called before each read of a file, on the reading thread.
type ReadHook = Arc<dyn Fn(StoreFile) + Send + Sync>;

const TTL_MS: u64 = 60_000;

impl Scene {
    fn new(mistake: Option<Mistake>) -> Self {
        Self { disk: SimDisk::new(), reads: Arc::default(), clock: clock(), mistake, cache_bytes: 1 << 20 }
    }

    fn open(&self) -> PouwEngine {
        self.open_on(&self.disk, self.mistake)
    }

    fn open_on(&self, disk: &SimDisk, mistake: Option<Mistake>) -> PouwEngine {
        let config = config().min_queue_depth(1);
        let config = mistake.into_iter().fold(config, |config, mistake| config.mistake(mistake));
        let reads = self.reads.clone();
        let storage = Hooked::new(Arc::new(disk.clone()), move |access| {
            let hook = reads.lock().unwrap().clone();
            if let (Access::Read(file), Some(hook)) = (access, hook) {
                hook(file);
            }
        });
        let options = StoreOptions::new().state_cache_bytes(self.cache_bytes).blocks_cache_bytes(self.cache_bytes);
        open(parts(Arc::new(storage), &self.clock).options(options), config)
    }

    fn on_read(&self, hook: Option<ReadHook>) {
        *self.reads.lock().unwrap() = hook;
    }
}

/// A tree of `leaves` leaves of different bytes.
fn ingest(engine: &PouwEngine, leaves: u8) {
    let bytes: Vec<u8> = (0..leaves).flat_map(|leaf| [leaf; 512]).collect();
    engine.ingest_bytes(&cut(), "tree", &bytes).unwrap();
}

/// Invariant 5: credited leaves are the leaves that became done; no unit is paid twice.
fn audit(engine: &PouwEngine) -> Step {
    let entries = engine.ledger(0, usize::MAX).unwrap();
    let ids: BTreeSet<[u8; 16]> = entries.iter().map(|entry| *entry.id.as_bytes()).collect();
    ensure!(ids.len() == entries.len(), "{} entries for {} challenges", entries.len(), ids.len());
    let credited: u64 = entries.iter().map(|entry| u64::from(entry.leaves)).sum();
    // By the leaves themselves: the tree's own count would believe a leaf done twice.
    let remaining = |name: &str| engine.remaining_nodes(name, LeafIndex(0), usize::MAX).unwrap().len() as u64;
    let done: u64 = engine.trees(None, 10).unwrap().iter().map(|tree| tree.leaves - remaining(&tree.name)).sum();
    ensure!(credited == done, "{credited} leaves are credited, {done} are done");
    Ok(())
}

/// The scenario holds; with the mistake it does not, and says `symptom`.
fn caught(mistake: Mistake, symptom: &str, scenario: fn(Option<Mistake>) -> Step) {
    assert_eq!(scenario(None), Ok(()));
    let found = scenario(Some(mistake)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

/// Invariant 1. The power is cut in the very moment in which the client is told that its answer was taken.
fn what_is_acknowledged_is_durable(mistake: Option<Mistake>) -> Step {
    let scene = Scene::new(mistake);
    let engine = scene.open_on(&scene.disk, None);
    ingest(&engine, 32);
    engine.close();
    let engine = scene.open();
    let issued = issue(&engine, b"c", DifficultyTier::High);
    let (images, image) = channel();
    let disk = scene.disk.clone();
    engine.submit_with(&Answer::new(b"c", &solve(&issued.unit)), move |verdict| {
        images.send((verdict.map(|accepted| accepted.id), after_power_cut(&disk))).unwrap();
    });
    let (told, left) = image.recv().unwrap();
    let id = told.map_err(|e| e.to_string())?;
    engine.close();
    let engine = scene.open_on(&left, None);
    let receipt = engine.receipt(id).unwrap();
    ensure!(matches!(receipt, Receipt::Accepted(_)), "an acknowledged answer is {receipt:?} after a power cut");
    let again = answer_right(&engine, b"c", &issued.unit);
    ensure!(matches!(again, Err(SubmitError::Replayed)), "an acknowledged answer can be given again: {again:?}");
    audit(&engine)
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught() {
    caught(Mistake::AcknowledgeEarly, "is Unknown after a power cut", what_is_acknowledged_is_durable);
}

/// Holds up one thread at its next read of the state file, once; others read on.
struct Gate {
    reached: Receiver<()>,
    open: std::sync::mpsc::Sender<()>,
}

fn hold_at_next_read(scene: &Scene, thread: ThreadId) -> Gate {
    let (reach, reached) = channel();
    let (open, opened) = channel();
    let (reach, opened) = (Mutex::new(reach), Mutex::new(opened));
    let used = AtomicBool::new(false);
    scene.on_read(Some(Arc::new(move |file| {
        if file == StoreFile::State && thread::current().id() == thread && !used.swap(true, Ordering::SeqCst) {
            reach.lock().unwrap().send(()).unwrap();
            opened.lock().unwrap().recv().unwrap();
        }
    })));
    Gate { reached, open }
}

/// Gives an answer whose first look at the store is overtaken by `meanwhile`: what it sees is a snapshot of before.
fn overtaken(
    scene: &Scene,
    engine: &PouwEngine,
    issued: &Issued,
    meanwhile: impl FnOnce(),
) -> Result<Accepted, SubmitError> {
    thread::scope(|threads| {
        let (go, gone) = channel::<()>();
        let late = threads.spawn(move || {
            gone.recv().unwrap();
            answer_right(engine, b"c", &issued.unit)
        });
        let gate = hold_at_next_read(scene, late.thread().id());
        go.send(()).unwrap();
        gate.reached.recv().unwrap();
        meanwhile();
        gate.open.send(()).unwrap();
        let verdict = late.join().unwrap();
        scene.on_read(None);
        verdict
    })
}

/// Invariant 2. Two copies of one answer come in after a restart; the first is judged, committed and its lease
/// ended while the second has seen the store before and the leases after. Only the commit can tell.
fn a_token_takes_effect_once(mistake: Option<Mistake>) -> Step {
    let scene = Scene { cache_bytes: 0, ..Scene::new(mistake) };
    let engine = scene.open();
    let request = IssueRequest::new(b"c", DifficultyTier::Low).synthetic(true);
    let issued = engine.issue(&request).unwrap();
    engine.close();
    let engine = scene.open();
    let second = overtaken(&scene, &engine, &issued, || {
        answer_right(&engine, b"c", &issued.unit).unwrap();
    });
    audit(&engine)?;
    ensure!(matches!(second, Err(SubmitError::Replayed)), "the second copy came to {second:?}");
    Ok(())
}

#[test]
fn skipping_the_consumed_check_inside_the_commit_is_caught() {
    caught(Mistake::SkipConsumedCheck, "2 entries for 1 challenges", a_token_takes_effect_once);
}

/// Invariants 4 and 5. As above, but the leaf is done by another client under another token.
fn a_leaf_is_done_once(mistake: Option<Mistake>) -> Step {
    let scene = Scene { cache_bytes: 0, ..Scene::new(mistake) };
    let engine = scene.open();
    // Two leaves, so that the tree is still being worked on after the first.
    ingest(&engine, 2);
    let old = issue(&engine, b"c", DifficultyTier::Low);
    engine.close();
    let engine = scene.open();
    let new = issue(&engine, b"d", DifficultyTier::Low);
    ensure!(old.unit.tree_index == new.unit.tree_index, "the restart did not free the leaf");
    let late = overtaken(&scene, &engine, &old, || {
        answer_right(&engine, b"d", &new.unit).unwrap();
    });
    audit(&engine)?;
    ensure!(matches!(late, Err(SubmitError::Withdrawn)), "the late answer came to {late:?}");
    Ok(())
}

#[test]
fn skipping_the_leaf_check_inside_the_commit_is_caught() {
    caught(Mistake::SkipLeafCheck, "2 leaves are credited, ", a_leaf_is_done_once);
}

/// Invariant 5. A client that never answers does not take its leaf along.
fn expired_work_comes_back(mistake: Option<Mistake>) -> Step {
    let scene = Scene::new(mistake);
    let engine = scene.open();
    ingest(&engine, 1);
    let lost = issue(&engine, b"c", DifficultyTier::Low);
    scene.clock.advance(Duration::from_millis(TTL_MS + 1));
    engine.sweep().unwrap();
    engine.refill().unwrap();
    let again = engine.issue(&IssueRequest::new(b"d", DifficultyTier::Low));
    let again = again.map_err(|e| format!("the leaf of an expired lease is lost: {e}"))?;
    ensure!(again.unit.input_data == lost.unit.input_data, "another leaf came");
    answer_right(&engine, b"d", &again.unit).map_err(|e| e.to_string())?;
    audit(&engine)
}

#[test]
fn no_requeue_on_expiry_is_caught() {
    caught(Mistake::NoRequeue, "the leaf of an expired lease is lost", expired_work_comes_back);
}

/// Invariant 3. The token is for 32 leaves, the body answers a unit of one leaf under it.
fn the_unit_is_the_tokens(mistake: Option<Mistake>) -> Step {
    let scene = Scene::new(mistake);
    let engine = scene.open();
    ingest(&engine, 64);
    let large = issue(&engine, b"c", DifficultyTier::High);
    let small = issue(&engine, b"c", DifficultyTier::Low);
    let body = solve(&small.unit);
    let answers: [(&str, WorkId); 2] =
        [(&large.unit.challenge_token, small.unit.id), (&small.unit.challenge_token, small.unit.id)];
    for (text, named) in answers {
        let result = WorkResult { work_unit_id: named, challenge_token: text.to_owned(), ..body.clone() };
        let verdict = engine.submit(&Answer::new(b"c", &result).token(text));
        let own = text == small.unit.challenge_token;
        ensure!(own || matches!(verdict, Err(SubmitError::Malformed(_))), "the body's unit was judged: {verdict:?}");
        if let Ok(accepted) = verdict {
            let token = if own { &small } else { &large };
            ensure!(accepted.id == token.unit.id && accepted.nodes == token.unit.node_count, "{accepted:?}");
        }
    }
    answer_right(&engine, b"c", &large.unit).map_err(|e| e.to_string())?;
    audit(&engine)
}

#[test]
fn taking_the_unit_from_the_body_is_caught() {
    caught(Mistake::UnitFromBody, "the body's unit was judged", the_unit_is_the_tokens);
}

/// Rule L. After a restart a leaf goes out again; the token of before must not count beside the lease of now,
/// and must count where there is none.
fn an_old_token_counts_through_a_lease_only(mistake: Option<Mistake>) -> Step {
    let scene = Scene::new(mistake);
    let engine = scene.open();
    ingest(&engine, 3);
    let old = [issue(&engine, b"c", DifficultyTier::Low), issue(&engine, b"c", DifficultyTier::Low)];
    engine.close();
    let engine = scene.open();
    let new = issue(&engine, b"d", DifficultyTier::Low);
    ensure!(old[0].unit.input_data == new.unit.input_data, "the restart did not free the leaf");
    let beside = answer_right(&engine, b"c", &old[0].unit);
    ensure!(matches!(beside, Err(SubmitError::Withdrawn)), "beside the lease of another it came to {beside:?}");
    answer_right(&engine, b"d", &new.unit).map_err(|e| format!("the holder of the lease came to {e}"))?;
    answer_right(&engine, b"c", &old[1].unit).map_err(|e| format!("the token of a free leaf came to {e}"))?;
    audit(&engine)
}

#[test]
fn honouring_an_old_token_without_adopting_it_is_caught() {
    caught(Mistake::NoAdoptionCheck, "beside the lease of another", an_old_token_counts_through_a_lease_only);
}

/// Rule L. A lease never ends before its token: an answer in the last millisecond counts, and nobody else holds
/// its leaf.
fn a_lease_lasts_as_long_as_its_token(mistake: Option<Mistake>) -> Step {
    let scene = Scene::new(mistake);
    let engine = scene.open();
    ingest(&engine, 1);
    let issued = issue(&engine, b"c", DifficultyTier::Low);
    for passed_ms in [1, 1_000, TTL_MS - 1_002] {
        scene.clock.advance(Duration::from_millis(passed_ms));
        engine.sweep().unwrap();
        engine.refill().unwrap();
        let other = engine.issue(&IssueRequest::new(b"d", DifficultyTier::Low));
        ensure!(other.is_err(), "the leaf went out twice within one lifetime");
    }
    answer_right(&engine, b"c", &issued.unit).map_err(|e| e.to_string())?;
    audit(&engine)
}

#[test]
fn a_lease_that_ends_before_its_token_is_caught() {
    caught(Mistake::LeaseEndsEarly, "the leaf went out twice", a_lease_lasts_as_long_as_its_token);
}
