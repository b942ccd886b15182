//! Planted mistakes about files, copies, and stores that stay closed, each caught: a scenario holds without the mistake
//! and fails with it.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use crate::support::clients::{HIGH, apart, audited, blocks, wrong};
use crate::support::disk::{Access, Hooked, after_power_cut, copy};
use crate::support::house::{House, clock, open, parts};
use crate::support::model::ensure;
use crate::support::patience::until;
use crate::support::store_plant::{BLOCKS, ReadableTableMetadata, edit_group, plant};
use crate::support::work::{answer_right, cut, issue, try_issue};
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::{FORESEEN, Mistake, SplitMix64, backup_to};
use pouw::internal::policy::audit::draw;
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::internal::store::{RedbStore, Store as _, StoreMistake, check};
use pouw::protocol::DifficultyTier::Low;
use pouw::protocol::MicroJoules;
use pouw::{
    ConfigBuilder, ExportPolicy, Gate, GateConfig, GateRuntime, HealthCondition, IssueError, IssueRequest, PouwEngine,
    StorageBackend, StorageProvider, StoreError, StoreFile, StoreOptions, Strategy, TreeError,
};

/// `Err` says what went wrong.
type Step = Result<(), String>;

const GO: ControlFlow<()> = ControlFlow::Continue(());

/// The scenario holds; with the mistake it does not, and says `symptom`.
fn caught(mistake: Mistake, symptom: &str, scenario: fn(ConfigBuilder) -> Step) {
    assert_eq!(scenario(audited(1)), Ok(()));
    let found = scenario(audited(1).mistake(mistake)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

/// The same for a mistake of the store.
fn caught_in_store(mistake: StoreMistake, symptom: &str, scenario: fn(StoreOptions) -> Step) {
    let options = StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20);
    assert_eq!(scenario(options), Ok(()));
    let found = scenario(options.mistake(mistake)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

fn engine_on(storage: Arc<dyn StorageProvider>, options: StoreOptions) -> PouwEngine {
    open(parts(storage, &clock()).options(options), audited(1))
}

/// Chunks of block data in a closed store.
fn chunks(disk: &SimDisk) -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), disk.bytes(StoreFile::Blocks)).unwrap();
    let mut chunks = 0;
    plant(file.path(), |txn| chunks = txn.open_table(BLOCKS).unwrap().len().unwrap());
    chunks
}

/// The power is cut at each write of an ingest.
fn data_without_a_tree_goes(options: StoreOptions) -> Step {
    let disk = SimDisk::new();
    let engine = engine_on(Arc::new(disk.clone()), options);
    disk.record();
    engine.ingest_bytes(&cut(), "t", &[1; 40 * 512]).unwrap();
    let recording = disk.take_recording().unwrap();
    for at in 0..=recording.len() {
        let left = recording.crash_at(at, Loss::Everything);
        let engine = engine_on(Arc::new(left.clone()), options);
        let trees = engine.trees(None, 10).unwrap().len();
        engine.close();
        let chunks = chunks(&left);
        ensure!(trees > 0 || chunks == 0, "{chunks} chunks of data are left that no tree has");
    }
    Ok(())
}

#[test]
fn keeping_data_that_a_crash_left_without_a_tree_is_caught() {
    caught_in_store(StoreMistake::OrphansStay, "data are left that no tree has", data_without_a_tree_goes);
}

/// A disk on which files have no names before those are synced.
#[derive(Debug, Clone, Default)]
struct Nameless {
    disk: SimDisk,
    synced: Arc<AtomicBool>,
}

impl Nameless {
    fn power_cut(&self) -> SimDisk {
        if self.synced.load(Ordering::SeqCst) { after_power_cut(&self.disk) } else { SimDisk::new() }
    }
}

impl StorageProvider for Nameless {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        StorageProvider::open(&self.disk, file)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.synced.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.disk.path(file)
    }
}

/// The power is cut after the first acknowledgement of a new store, and after a backup.
fn names_are_durable(options: StoreOptions) -> Step {
    let (storage, to) = (Nameless::default(), Nameless::default());
    let engine = engine_on(Arc::new(storage.clone()), options);
    engine.ingest_bytes(&cut(), "t", &[1; 512]).unwrap();
    backup_to(&engine, Arc::new(to.clone()), &mut |_| GO).map_err(|error| format!("{error:?}"))?;
    for (what, left) in [("store", storage.power_cut()), ("copy", to.power_cut())] {
        let trees = engine_on(Arc::new(left), options).trees(None, 10).unwrap().len();
        ensure!(trees == 1, "after a power cut the {what} has {trees} trees");
    }
    Ok(())
}

#[test]
fn leaving_the_directory_unsynced_is_caught() {
    caught_in_store(StoreMistake::NamesNotSynced, "after a power cut the store has 0 trees", names_are_durable);
}

/// A bit of a leaf changes while the store is closed.
fn changed_bytes_stay_here(options: StoreOptions) -> Step {
    for strategy in [Strategy::Precomputed, Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }] {
        let house = House::in_memory(1);
        let block = blocks(1, 1);
        house.ingest(strategy, "t", &block);
        house.engine.close();
        let (state, mut bytes) = (house.disk.bytes(StoreFile::State), house.disk.bytes(StoreFile::Blocks));
        let places: Vec<usize> =
            (0..bytes.len() - 32).filter(|at| bytes[*at..].starts_with(&block[0][200..232])).collect();
        places.into_iter().for_each(|at| bytes[at] ^= 1);
        let engine = engine_on(Arc::new(SimDisk::with_files(state, bytes)), options);
        if let Some(issued) = try_issue(&engine, b"client", HIGH) {
            ensure!(issued.unit.input_data == block[0], "{strategy}: a client was sent bytes that never came in");
        }
        // What was found is marked by the next upkeep.
        engine.upkeep().unwrap();
        let damaged = engine.damaged(None, 10).unwrap().len();
        ensure!(damaged == 1, "{strategy}: {damaged} leaves are damaged");
    }
    Ok(())
}

#[test]
fn believing_data_without_comparing_its_checksums_is_caught() {
    caught_in_store(StoreMistake::SumsNotCompared, "was sent bytes that never came in", changed_bytes_stay_here);
}

/// A tree comes in just when a backup begins.
fn a_copy_has_the_data_of_its_trees(options: StoreOptions) -> Step {
    let engine = engine_on(Arc::new(SimDisk::new()), options);
    engine.ingest_bytes(&cut(), "early", &[1; 40 * 512]).unwrap();
    let to = SimDisk::new();
    let (other, late) = (engine.clone(), AtomicBool::new(false));
    let hooked = Hooked::new(Arc::new(to.clone()), move |_: Access| {
        if !late.swap(true, Ordering::SeqCst) {
            other.ingest_bytes(&cut(), "late", &[2; 40 * 512]).unwrap();
        }
    });
    backup_to(&engine, Arc::new(hooked), &mut |_| GO).map_err(|error| format!("{error:?}"))?;
    let report = check(Arc::new(to), &mut |_| {}).unwrap();
    ensure!(report.is_clean(), "the copy is no store of one moment: {:?}", report.findings);
    ensure!(report.trees == 2, "the copy has {} trees", report.trees);
    Ok(())
}

#[test]
fn a_backup_of_two_moments_is_caught() {
    let symptom = "the copy is no store of one moment";
    caught_in_store(StoreMistake::SnapshotsOutOfOrder, symptom, a_copy_has_the_data_of_its_trees);
}

/// A unit that is out is answered in the copy and in the store.
fn a_token_counts_once(options: StoreOptions) -> Step {
    let engine = engine_on(Arc::new(SimDisk::new()), options);
    engine.ingest_bytes(&cut(), "t", &[1; 40 * 512]).unwrap();
    let issued = issue(&engine, b"client", Low);
    let to = SimDisk::new();
    backup_to(&engine, Arc::new(to.clone()), &mut |_| GO).map_err(|error| format!("{error:?}"))?;
    let there = answer_right(&engine_on(Arc::new(to), options), b"client", &issued.unit);
    ensure!(answer_right(&engine, b"client", &issued.unit).is_ok(), "the token does not count where it was issued");
    ensure!(there.is_err(), "the token counts in the copy too");
    Ok(())
}

#[test]
fn a_backup_with_the_id_of_its_store_is_caught() {
    caught_in_store(StoreMistake::BackupKeepsId, "the token counts in the copy too", a_token_counts_once);
}

/// A backup ends after each of its steps.
fn half_a_copy_is_no_store(options: StoreOptions) -> Step {
    let engine = engine_on(Arc::new(SimDisk::new()), options);
    engine.ingest_bytes(&cut(), "t", &[1; 40 * 512]).unwrap();
    for last in 1.. {
        let (to, mut steps) = (SimDisk::new(), 0);
        let copied = backup_to(&engine, Arc::new(to.clone()), &mut |_| {
            steps += 1;
            if steps == last { ControlFlow::Break(()) } else { GO }
        });
        if copied.is_ok() {
            ensure!(last > 10, "there are only {last} steps");
            return Ok(());
        }
        let opened = RedbStore::open(Arc::new(to), options);
        ensure!(opened.is_err(), "a copy that ended after step {last} opens as a store");
    }
    Ok(())
}

#[test]
fn a_backup_with_its_label_first_is_caught() {
    caught_in_store(StoreMistake::LabelsFirst, "opens as a store", half_a_copy_is_no_store);
}

/// The store is opened again in the middle of a backup.
fn a_copy_is_of_pages_that_stay(options: StoreOptions) -> Step {
    let disk = SimDisk::new();
    let engine = engine_on(Arc::new(disk.clone()), options);
    engine.ingest_bytes(&cut(), "t", &[1; 40 * 512]).unwrap();
    engine.close();
    let store = RedbStore::open(Arc::new(disk), options).unwrap();
    let mut steps = 0;
    let copied = store.backup(Arc::new(SimDisk::new()), &mut |_| {
        steps += 1;
        if steps == 3 {
            store.recover().unwrap();
        }
        GO
    });
    ensure!(copied.is_err(), "a backup went on although its pages may have been overwritten");
    Ok(())
}

#[test]
fn a_backup_that_goes_on_after_a_reopening_is_caught() {
    caught_in_store(StoreMistake::BackupGoesOn, "a backup went on", a_copy_is_of_pages_that_stay);
}

/// Two copies of a store are used apart; then one file is taken of each.
fn files_of_two_copies_are_no_store(options: StoreOptions) -> Step {
    let disk = SimDisk::new();
    engine_on(Arc::new(disk.clone()), options).close();
    let lives = [1, 2].map(|trees| {
        let disk = copy(&disk);
        let engine = engine_on(Arc::new(disk.clone()), options);
        for name in 0..trees {
            engine.ingest_bytes(&cut(), &name.to_string(), &[1; 40 * 512]).unwrap();
        }
        engine.close();
        disk
    });
    let mixed = SimDisk::with_files(lives[1].bytes(StoreFile::State), lives[0].bytes(StoreFile::Blocks));
    match RedbStore::open(Arc::new(mixed), options) {
        Err(StoreError::NotAPair { .. }) => Ok(()),
        other => Err(format!("files of two copies came to {:?}", other.map(|store| store.head().next_tree))),
    }
}

#[test]
fn opening_files_of_two_copies_is_caught() {
    caught_in_store(StoreMistake::MarksNotCompared, "files of two copies came to", files_of_two_copies_are_no_store);
}

/// A client knows which leaves of its answer would be hashed if the draws could be foreseen.
fn nobody_knows_the_sample(config: ConfigBuilder) -> Step {
    let house = House::with(config);
    let sample = draw(32, 2, &mut || SplitMix64(FORESEEN).next());
    let place = sample.trailing_ones() as usize;
    for who in 1..=100 {
        house.ingest(Strategy::SampledAudit { k: 2 }, &format!("t{who}"), &blocks(32, who));
        let verdict = house.work(apart(who), |leaves| leaves[place] = wrong(&leaves[place]));
        if verdict.expect("there is a unit").is_err() {
            return Ok(());
        }
    }
    Err("100 lies beside the foreseen sample were accepted".into())
}

#[test]
fn audits_that_can_be_foreseen_are_caught() {
    caught(Mistake::AuditForeseen, "100 lies beside the foreseen sample", nobody_knows_the_sample);
}

/// A stored leaf of a complete tree is another one, in a row that is well formed.
fn a_tree_that_contradicts_itself_stays_here(config: ConfigBuilder) -> Step {
    let house = House::in_directory(config.clone());
    let data = blocks(40, 1);
    house.ingest(Strategy::Precomputed, "t", &data);
    house.drain(apart(1)..apart(1) + 1);
    house.assert_right("t", &data);
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        edit_group(txn, (0, 1), |group| group.leaves[3] = wrong(&group.leaves[3]));
    });
    let engine = open(parts(house.storage(), &house.clock), config);
    for policy in [ExportPolicy::Strict, ExportPolicy::Attested] {
        let leaves = engine.export_leaves_under(policy, "t", &mut |_| Ok(()));
        let nodes = engine.export_addresses_under(policy, "t", &mut |_| Ok(()));
        for exported in [leaves, nodes] {
            ensure!(matches!(exported, Err(TreeError::Inconsistent { .. })), "a wrong leaf was exported: {exported:?}");
        }
    }
    Ok(())
}

#[test]
fn an_export_without_validation_is_caught() {
    caught(Mistake::ExportUnvalidated, "a wrong leaf was exported", a_tree_that_contradicts_itself_stays_here);
}

/// The writer panics in a commit while jobs wait.
fn a_panic_of_the_writer_answers_what_waits(config: ConfigBuilder) -> Step {
    let (reach, reached) = channel();
    let (spring, sprung) = channel::<()>();
    let (armed, sprung) = (Arc::new(AtomicBool::new(false)), parking_lot::Mutex::new(sprung));
    let arm = armed.clone();
    let hooked = Hooked::new(Arc::new(SimDisk::new()), move |access| {
        let writes = access == Access::Change && std::thread::current().name() == Some("pouw-writer");
        if writes && armed.swap(false, Ordering::SeqCst) {
            reach.send(()).unwrap();
            sprung.lock().recv().unwrap();
            panic!("the trap");
        }
    });
    let engine = open(parts(Arc::new(hooked), &clock()), config);
    arm.store(true, Ordering::SeqCst);
    let (done, answered) = channel();
    let touch = || {
        let done = done.clone();
        for_gate(&engine).touch_with(move |outcome| done.send(outcome.is_ok()).unwrap());
    };
    touch();
    reached.recv().unwrap();
    (0..3).for_each(|_| touch());
    spring.send(()).unwrap();
    until(|| !engine.stats().threads[0].running);
    touch();
    let answers: Vec<bool> = answered.try_iter().collect();
    ensure!(answers.len() == 5, "{} of 5 jobs were answered after the writer's panic", answers.len());
    ensure!(!answers.contains(&true), "a job succeeded: {answers:?}");
    Ok(())
}

#[test]
fn jobs_left_unanswered_by_a_panic_of_the_writer_are_caught() {
    let symptom = "of 5 jobs were answered after the writer's panic";
    caught(Mistake::PanicLeavesJobs, symptom, a_panic_of_the_writer_answers_what_waits);
}

/// A sync fails.
fn a_store_that_stays_closed_says_so(config: ConfigBuilder) -> Step {
    let disk = SimDisk::new();
    let engine = open(parts(Arc::new(disk.clone()), &clock()), config);
    let settings = GateConfig::builder().rate_limit(1).build().unwrap();
    let gate = Gate::with_runtime(engine.clone(), settings, GateRuntime::default().ticked_by_host()).unwrap();
    engine.ingest_bytes(&cut(), "t", &[1; 40 * 512]).unwrap();
    engine.refill().unwrap();
    ensure!(gate.health().store.condition == HealthCondition::Healthy, "{:?}", gate.health());
    disk.fail_sync(1, true);
    let failed = engine.debit(b"client", MicroJoules(0), [1; 16]);
    ensure!(failed.is_err(), "a failed sync was acknowledged");
    let health = gate.health();
    ensure!(health.store.condition == HealthCondition::Unavailable, "a store that stays closed is {:?}", health.store);
    ensure!(health.overall() == HealthCondition::Unavailable, "the whole is {:?}", health.overall());
    let issued = engine.issue(&IssueRequest::new(b"client", Low));
    ensure!(matches!(issued, Err(IssueError::Closed)), "a store that stays closed issued work");
    Ok(())
}

#[test]
fn health_that_ignores_a_store_that_stays_closed_is_caught() {
    caught(Mistake::HealthIgnoresLatch, "a store that stays closed is", a_store_that_stays_closed_says_so);
}

#[test]
fn issuing_from_a_store_that_stays_closed_is_caught() {
    caught(Mistake::LatchedIssues, "a store that stays closed issued work", a_store_that_stays_closed_says_so);
}
