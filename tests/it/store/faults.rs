//! Storage that fails: at every single I/O, for a moment or for good, at syncs, for lack of space, and by
//! power loss at every moment. Nothing acknowledged is lost, what is unknown stays unknown to the caller
//! until the store has been read again, and a failed sync closes the store until a restart.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::house::{clock, config, parts};
use crate::support::work::solve;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::check;
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::protocol::{DifficultyTier, MicroJoules, WorkId, WorkResult};
use pouw::{
    Answer, DebitError, Exposure, FakeClock, IngestError, IngestLayout, IngestOptions, Ingested, IssueError,
    IssueRequest, LedgerEntry, OpenError, PouwEngine, Receipt, StorageProvider, StoreError, StoreFile, SubmitError,
    TreeError, TreeState, WriteError,
};

#[derive(Debug, Clone, Copy)]
enum Step {
    Ingest(usize),
    Answer(DifficultyTier, u8),
    Wrong(u8),
    Debit(u8),
    Forget(usize),
    Upkeep,
    Sweep,
    Reopen,
}

use DifficultyTier::{High, Low, Medium};
use Step::{Debit, Forget, Ingest, Reopen, Sweep, Upkeep, Wrong};

/// Ingest, work, debit, forget and reopen; the rest of the work is done at the end.
const SCRIPT: [Step; 21] = [
    Ingest(0),
    Step::Answer(High, 0),
    Step::Answer(Low, 1),
    Wrong(2),
    Step::Answer(Medium, 1),
    Ingest(1),
    Debit(0),
    Reopen,
    Step::Answer(High, 2),
    Step::Answer(Low, 0),
    Upkeep,
    Forget(0),
    Debit(1),
    Upkeep,
    Ingest(2),
    Step::Answer(Low, 1),
    Ingest(0),
    Sweep,
    Reopen,
    Step::Answer(High, 2),
    Upkeep,
];

fn name(tree: usize) -> String {
    format!("tree {tree}")
}

fn blocks(tree: usize) -> Vec<Vec<u8>> {
    let block = |i: usize, len: usize| (0..len).map(|at| ((at * 31 + i * 7 + tree) % 251) as u8).collect();
    match tree {
        0 => (0..41).map(|i| block(i, 512)).collect(),
        1 => (0..20).map(|i| block(i, 100 + i * 37)).collect(),
        _ => (0..33).map(|i| block(i, if i == 32 { 5 } else { 600 })).collect(),
    }
}

#[derive(Debug, Clone, Copy)]
enum Ack {
    Answered(WorkId, u64),
    Debited(u8, u64),
    Ingested(usize),
    Forgot(usize),
}

/// What the caller knows.
struct Caller {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    engine: Option<PouwEngine>,
    /// Trees whose ingest was acknowledged.
    trees: BTreeMap<usize, ()>,
    /// Answers acknowledged, in order.
    deeds: Vec<(u8, WorkId, u64)>,
    /// When the verdict on the last answer came, in changes and syncs recorded.
    verdict_at: usize,
    /// Debits acknowledged, by key.
    debits: BTreeMap<u8, u64>,
    /// An answer whose fate the caller does not know, and whether it may have been stored.
    open: Option<(u8, WorkResult, bool)>,
    /// What was acknowledged when, in changes and syncs recorded: before it was asked for, and after.
    acks: Vec<(usize, usize, Ack)>,
    mistake: Option<Mistake>,
    restarts: u64,
    unknown_landed: u64,
    unknown_lost: u64,
}

type Tried<T = ()> = Result<T, String>;

impl Caller {
    fn new(disk: SimDisk) -> Self {
        Self {
            disk,
            clock: clock(),
            engine: None,
            trees: BTreeMap::new(),
            deeds: Vec::new(),
            verdict_at: 0,
            debits: BTreeMap::new(),
            open: None,
            acks: Vec::new(),
            mistake: None,
            restarts: 0,
            unknown_landed: 0,
            unknown_lost: 0,
        }
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let config = config().token_ttl(Duration::from_secs(3_600));
        let config = self.mistake.into_iter().fold(config, |config, mistake| config.mistake(mistake));
        let parts = parts(Arc::new(self.disk.clone()), &self.clock);
        self.engine = Some(PouwEngine::open_with(parts, config.build().unwrap())?);
        Ok(())
    }

    fn engine(&self) -> Tried<&PouwEngine> {
        self.engine.as_ref().ok_or_else(|| "not open".to_owned())
    }

    fn run(&mut self, step: Step) -> Tried {
        if self.engine.is_none() {
            self.open().map_err(|error| error.to_string())?;
        }
        self.clock.advance(Duration::from_millis(10));
        let (before, deeds) = (self.disk.recorded(), self.deeds.len());
        self.step(step)?;
        let mut acks: Vec<Ack> = self.deeds[deeds..].iter().map(|(_, id, sum)| Ack::Answered(*id, *sum)).collect();
        match step {
            Ingest(tree) => acks.push(Ack::Ingested(tree)),
            Debit(key) => acks.push(Ack::Debited(key, self.debits[&key])),
            Forget(tree) => acks.push(Ack::Forgot(tree)),
            _ => {}
        }
        let after = if matches!(step, Step::Answer(..)) { self.verdict_at } else { self.disk.recorded() };
        self.acks.extend(acks.into_iter().map(|ack| (before, after, ack)));
        Ok(())
    }

    fn step(&mut self, step: Step) -> Tried {
        match step {
            Ingest(tree) => self.ingest(tree),
            Step::Answer(tier, client) => self.answer(tier, client),
            Wrong(client) => self.wrong(client),
            Debit(key) => self.debit(key),
            Forget(tree) => self.forget(tree),
            Upkeep => self.engine()?.upkeep().map(drop).map_err(|e| e.to_string()),
            Sweep => self.engine()?.sweep().map(drop).map_err(|e| e.to_string()),
            Reopen => {
                self.close();
                self.open().map_err(|error| error.to_string())
            }
        }
    }

    fn close(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.close();
        }
    }

    fn ingest(&mut self, tree: usize) -> Tried {
        let blocks = blocks(tree);
        let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let options = IngestOptions::new(Exposure::Public).layout(IngestLayout::Blocks);
        match self.engine()?.ingest_blocks(&options, &name(tree), &slices) {
            Ok(Ingested::Added | Ingested::Resumed | Ingested::Unchanged) => {
                self.trees.insert(tree, ());
                Ok(())
            }
            Ok(other) => panic!("{other:?}"),
            Err(error @ (IngestError::Store(_) | IngestError::Write(_))) => Err(error.to_string()),
            Err(other) => panic!("{other}"),
        }
    }

    fn unit(&mut self, tier: DifficultyTier, client: u8) -> Tried<Option<WorkResult>> {
        let engine = self.engine()?;
        engine.upkeep().map_err(|e| e.to_string())?;
        let issued = match engine.issue(&IssueRequest::new(&[client], tier)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => return Ok(None),
            Err(other) => return Err(other.to_string()),
        };
        Ok(Some(solve(&issued.unit)))
    }

    fn answer(&mut self, tier: DifficultyTier, client: u8) -> Tried {
        if self.open.is_none() {
            let Some(result) = self.unit(tier, client)? else {
                return Ok(());
            };
            self.open = Some((client, result, false));
        }
        self.submit_open()
    }

    /// Sends the open answer (again), and holds the verdict against what the store says.
    fn submit_open(&mut self) -> Tried {
        let Some((client, result, maybe_stored)) = self.open.take() else {
            return Ok(());
        };
        let engine = self.engine()?;
        let before = engine.receipt(result.work_unit_id).map_err(|e| e.to_string());
        let id = result.work_unit_id;
        // The moment of the verdict itself, on the thread that gives it.
        let (sender, receiver) = std::sync::mpsc::channel();
        let disk = self.disk.clone();
        engine.submit_with(&Answer::new(&[client], &result), move |verdict| {
            sender.send((disk.recorded(), verdict)).unwrap();
        });
        let (at, verdict) = receiver.recv().unwrap();
        self.verdict_at = at;
        match verdict {
            Ok(accepted) => {
                assert!(!matches!(before, Ok(Receipt::Accepted(_))), "taken twice");
                self.unknown_lost += u64::from(maybe_stored);
                self.deeds.push((client, id, accepted.award.0));
                Ok(())
            }
            Err(SubmitError::Replayed) => {
                assert!(maybe_stored, "an answer never stored is called used");
                let Ok(Receipt::Accepted(LedgerEntry { amount, .. })) = before else {
                    panic!("used, but there is no receipt: {before:?}");
                };
                self.unknown_landed += 1;
                self.deeds.push((client, id, amount.0));
                Ok(())
            }
            Err(
                error @ (SubmitError::NotStored(_)
                | SubmitError::Unconfirmed { .. }
                | SubmitError::Busy
                | SubmitError::Closed),
            ) => {
                let maybe = maybe_stored || matches!(error, SubmitError::Unconfirmed { .. });
                self.open = Some((client, result, maybe));
                Err(error.to_string())
            }
            Err(error @ SubmitError::Store(_)) => {
                self.open = Some((client, result, maybe_stored));
                Err(error.to_string())
            }
            // Unknown, and the writer has not settled it yet: the store cannot be read, or has just been opened again.
            Err(error @ SubmitError::InFlight) if maybe_stored => {
                self.open = Some((client, result, maybe_stored));
                Err(error.to_string())
            }
            Err(other) => panic!("{other:?} after {before:?}, maybe stored: {maybe_stored}"),
        }
    }

    fn wrong(&mut self, client: u8) -> Tried {
        let Some(mut result) = self.unit(Low, client)? else {
            return Ok(());
        };
        result.result_hash = Checksum::ZERO;
        match self.engine()?.submit(&Answer::new(&[client], &result)) {
            Err(SubmitError::WrongResult { .. }) => Ok(()),
            Err(
                error @ (SubmitError::Store(_)
                | SubmitError::NotStored(_)
                | SubmitError::Unconfirmed { .. }
                | SubmitError::Busy
                | SubmitError::Closed),
            ) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn debit(&mut self, key: u8) -> Tried {
        let amount = 100 + u64::from(key);
        match self.engine()?.debit(&[1], MicroJoules(amount), [key; 16]) {
            Ok(done) => {
                assert!(!(done.repeated && self.debits.is_empty() && self.restarts == 0 && self.disk.hits() == 0));
                self.debits.insert(key, amount);
                Ok(())
            }
            Err(DebitError::Write(error)) => Err(error.to_string()),
            Err(other) => panic!("{other}"),
        }
    }

    fn forget(&mut self, tree: usize) -> Tried {
        match self.engine()?.forget(&name(tree)) {
            // Unknown the second time: the first try had landed.
            Ok(()) | Err(TreeError::Unknown(_)) => {
                self.trees.remove(&tree);
                Ok(())
            }
            Err(error @ (TreeError::Store(_) | TreeError::Write(_))) => {
                self.trees.remove(&tree);
                Err(error.to_string())
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The fault is over: the engine recovers by itself, or says that it is closed and is started again.
    fn after_fault(&mut self, seed: u64) {
        self.disk.heal();
        let closed = self.engine.as_ref().is_none_or(|engine| engine.stats().closed);
        if closed {
            if let Some(engine) = &self.engine {
                let error = engine.sweep().unwrap_err();
                assert_eq!(error, WriteError::Closed, "closed until restart");
            }
            self.restart(Loss::Random { seed, sector: 512 });
            return;
        }
        let recovered = (0..3).any(|_| self.engine.as_ref().unwrap().sweep().is_ok());
        assert!(recovered, "the disk is well again, and the engine neither recovered nor said that it is closed");
    }

    fn restart(&mut self, loss: Loss) {
        self.restarts += 1;
        self.disk.crash(loss);
        self.close();
        self.open().unwrap();
    }

    /// Everything acknowledged is there.
    fn verify(&self) {
        let engine = self.engine.as_ref().unwrap();
        let mut balances: BTreeMap<u8, u64> = BTreeMap::new();
        for (client, id, award) in &self.deeds {
            let receipt = engine.receipt(*id).unwrap();
            assert!(matches!(receipt, Receipt::Accepted(entry) if entry.amount.0 == *award), "{receipt:?}");
            *balances.entry(*client).or_default() += award;
        }
        for (key, amount) in &self.debits {
            let again = engine.debit(&[1], MicroJoules(*amount), [*key; 16]).unwrap();
            assert!(again.repeated, "an acknowledged debit is there");
            *balances.get_mut(&1).unwrap() -= amount;
        }
        for client in 0..3 {
            // Debits of client 1 that nobody acknowledged may have landed.
            let expected = balances.get(&client).copied().unwrap_or(0);
            if self.open.is_none() && client != 1 {
                assert_eq!(engine.balance(&[client]).unwrap().0, expected, "client {client}");
            }
        }
        for tree in self.trees.keys() {
            assert!(engine.tree(&name(*tree)).unwrap().state != TreeState::Ingesting);
        }
    }

    /// Drains the backlog and compares what is exported with the blocks; then the whole store is checked.
    fn finish(mut self) -> (u64, u64) {
        self.verify();
        self.submit_open().unwrap();
        while let Some(result) = self.unit(High, 0).unwrap() {
            let accepted = self.engine().unwrap().submit(&Answer::new(&[0], &result)).unwrap();
            self.deeds.push((0, accepted.id, accepted.award.0));
        }
        let engine = self.engine.as_ref().unwrap();
        while engine.upkeep().unwrap().removed > 0 {}
        for tree in self.trees.keys() {
            let mut leaves = Vec::new();
            let sink = &mut |leaf: &Checksum| {
                leaves.push(*leaf);
                Ok(())
            };
            engine.export_leaves(&name(*tree), sink).unwrap();
            let expected: Vec<Checksum> = blocks(*tree).iter().map(|block| sha3_512(block)).collect();
            assert_eq!(leaves, expected);
        }
        self.verify();
        let sum: u64 = self.deeds.iter().map(|(_, _, award)| award).sum();
        assert_eq!(engine.stats().totals.awarded, sum, "each answer is paid once");
        self.close();
        expect_clean(&self.disk, "at the end");
        (self.unknown_landed, self.unknown_lost)
    }
}

fn expect_clean(disk: &SimDisk, when: &str) {
    let report = check(Arc::new(disk.clone()), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{when}: {:?}", report.findings);
}

/// The whole script; every step that fails is repeated when the disk is well again.
fn script_with(disk: SimDisk, seed: u64) -> (u64, u64) {
    let mut caller = Caller::new(disk);
    for step in SCRIPT {
        let mut tries = 0;
        while let Err(error) = caller.run(step) {
            tries += 1;
            assert!(tries < 5, "{step:?} goes on failing: {error}");
            caller.after_fault(seed);
            caller.verify();
        }
    }
    caller.disk.heal();
    if caller.engine.as_ref().unwrap().stats().closed {
        caller.after_fault(seed);
    }
    caller.finish()
}

#[test]
fn the_script_runs_on_a_disk_without_faults() {
    let disk = SimDisk::new();
    script_with(disk.clone(), 0);
    println!("{} I/Os, {} syncs, {} bytes", disk.ios(), disk.syncs(), disk.used());
    assert!(disk.ios() > 300 && disk.syncs() > 60);
}

#[test]
fn any_one_io_may_fail_once() {
    let (mut landed, mut lost) = (0, 0);
    for nth in 1.. {
        let disk = SimDisk::new();
        disk.fail_io(nth, false);
        let unknown = script_with(disk.clone(), nth);
        landed += unknown.0;
        lost += unknown.1;
        if disk.hits() == 0 {
            println!("{} I/Os failed one by one; unknown answers: {landed} landed, {lost} lost", nth - 1);
            assert!(nth > 300);
            break;
        }
    }
}

#[test]
fn any_io_and_all_behind_it_may_fail_until_somebody_mends_the_disk() {
    // Waiting for a disk that stays broken takes a quarter of a second each time.
    let stride = if std::env::var_os("POUW_FAULTS_ALL").is_some() { 1 } else { 7 };
    for nth in (1..).step_by(stride) {
        let disk = SimDisk::new();
        disk.fail_io(nth, true);
        script_with(disk.clone(), nth);
        if disk.hits() == 0 {
            assert!(nth > 300);
            break;
        }
    }
}

#[test]
fn after_a_failed_sync_the_store_stays_closed_until_a_restart() {
    let mut closed = 0;
    for nth in 1.. {
        let disk = SimDisk::new();
        let mut caller = Caller::new(disk.clone());
        caller.open().unwrap();
        caller.run(Ingest(0)).unwrap();
        disk.fail_sync(nth, false);
        for step in SCRIPT.into_iter().skip(1).filter(|step| !matches!(step, Reopen)) {
            if caller.run(step).is_ok() && disk.hits() == 0 {
                continue;
            }
            // The disk is well again at once, and yet nothing may be read or written.
            let engine = caller.engine.as_ref().unwrap();
            assert!(engine.stats().closed, "{step:?}");
            assert_eq!(engine.sweep().unwrap_err(), WriteError::Closed);
            assert!(matches!(engine.tree("tree 0").unwrap_err(), TreeError::Store(StoreError::Closed)));
            assert!(matches!(engine.issue(&IssueRequest::new(b"x", High)).unwrap_err(), IssueError::Closed));
            assert!(matches!(engine.upkeep().unwrap_err(), pouw::UpkeepError::Store(StoreError::Closed)));
            let blocked = engine.debit(&[1], MicroJoules(1), [77; 16]).unwrap_err();
            assert!(matches!(blocked, DebitError::Write(WriteError::Closed)), "{blocked}");
            assert!(caller.run(Ingest(2)).is_err());
            closed += 1;
            break;
        }
        if disk.hits() == 0 {
            break;
        }
        caller.restart(Loss::Random { seed: nth, sector: 512 });
        caller.finish();
    }
    println!("closed after each of {closed} syncs");
    assert!(closed > 20);
}

/// The script on a good disk, with a record of every change and sync.
fn recorded(mistake: Option<Mistake>) -> (pouw::internal::store::sim::Recording, Caller, Vec<LedgerEntry>) {
    let disk = SimDisk::new();
    disk.record();
    let mut caller = Caller { mistake, ..Caller::new(disk.clone()) };
    SCRIPT.into_iter().for_each(|step| caller.run(step).unwrap());
    let ledger = caller.engine.as_ref().unwrap().ledger(0, 1_000).unwrap();
    caller.close();
    (disk.take_recording().unwrap(), caller, ledger)
}

/// A crash after `at` changes and syncs: what was acknowledged is there, what was not begun is not, and the
/// ledger is a beginning of the whole one.
fn expect_prefix(disk: &SimDisk, at: usize, full: &Caller, ledger: &[LedgerEntry]) {
    if let Some(lost) = missing(disk, at, full, ledger) {
        panic!("crash at {at}: {lost}");
    }
}

fn missing(disk: &SimDisk, at: usize, full: &Caller, ledger: &[LedgerEntry]) -> Option<String> {
    expect_clean(disk, &format!("crash at {at}"));
    let mut caller = Caller::new(disk.clone());
    caller.open().unwrap_or_else(|error| panic!("crash at {at}: {error}"));
    let engine = caller.engine.as_ref().unwrap();
    let entries = engine.ledger(0, 1_000).unwrap();
    let mut lost = (!ledger.starts_with(&entries)).then(|| "the ledger is no beginning of the whole one".to_owned());
    for (before, after, ack) in &full.acks {
        let (sure, never) = (*after <= at, *before >= at);
        let there = match *ack {
            Ack::Answered(id, award) => {
                matches!(engine.receipt(id).unwrap(), Receipt::Accepted(entry) if entry.amount.0 == award)
            }
            Ack::Debited(key, amount) => {
                entries.iter().any(|entry| *entry.id.as_bytes() == [key; 16] && entry.amount.0 == amount)
            }
            Ack::Ingested(tree) => {
                let forgotten = |(from, _, ack): &(usize, usize, Ack)| {
                    from >= after && *from < at && matches!(ack, Ack::Forgot(other) if *other == tree)
                };
                let there = engine.tree(&name(tree)).is_ok_and(|info| info.state != TreeState::Ingesting);
                // A name may come and go and come again; only the loss of one that should be there counts.
                if !there && !full.acks.iter().any(forgotten) { false } else { sure }
            }
            Ack::Forgot(_) => continue,
        };
        if (sure && !there) || (never && there) {
            lost = Some(format!("{ack:?}"));
        }
    }
    caller.close();
    lost
}

#[test]
fn power_may_fail_at_every_moment() {
    let (recording, full, ledger) = recorded(None);
    let mut crashes = 0;
    for at in 0..=recording.len() {
        let seed = at as u64;
        let mut losses = vec![Loss::Everything, Loss::Random { seed, sector: 512 }];
        match at % 3 {
            0 => losses.push(Loss::Nothing),
            1 => losses.push(Loss::Random { seed, sector: 1 }),
            _ => losses.push(Loss::Random { seed, sector: 0 }),
        }
        for loss in losses {
            expect_prefix(&recording.crash_at(at, loss), at, &full, &ledger);
            crashes += 1;
        }
    }
    println!("{crashes} crashes over {} changes and syncs", recording.len());
    assert!(recording.len() > 300);
}

#[test]
fn power_may_fail_while_recovering_from_a_power_failure_three_deep() {
    let (recording, full, ledger) = recorded(None);
    let mut deep = [0; 3];
    for at in (0..=recording.len()).step_by(11) {
        let mut disks = vec![recording.crash_at(at, Loss::Random { seed: at as u64, sector: 512 })];
        for (depth, count) in deep.iter_mut().enumerate() {
            let mut next = Vec::new();
            for (which, disk) in disks.into_iter().enumerate() {
                disk.record();
                let mut caller = Caller::new(disk.clone());
                caller.open().unwrap();
                let opening = disk.recorded();
                caller.close();
                let recovery = disk.take_recording().unwrap();
                for pick in 0..2 {
                    let seed = (at * 97 + depth * 31 + which * 7 + pick) as u64;
                    let moment = (seed as usize * 2_654_435_761) % opening.max(1);
                    let sector = if pick == 0 { 512 } else { 1 };
                    next.push(recovery.crash_at(moment, Loss::Random { seed, sector }));
                    *count += 1;
                }
            }
            disks = next;
        }
        disks.iter().for_each(|disk| expect_prefix(disk, at, &full, &ledger));
    }
    println!("crashes while recovering, by depth: {deep:?}");
    assert!(deep[2] > 200);
}

#[test]
fn a_full_disk_during_ingest_is_a_typed_error_and_it_goes_on_when_there_is_space() {
    for room in [0, 4_096, 100_000, 600_000, 3_000_000] {
        let disk = SimDisk::new();
        let mut caller = Caller::new(disk.clone());
        [Ingest(0), Step::Answer(Low, 1), Ingest(1)].into_iter().for_each(|step| caller.run(step).unwrap());
        disk.set_quota(Some(disk.used() + room));
        let big: Vec<u8> = (0..9_000_000_u32).map(|i| (i % 249) as u8).collect();
        let options = IngestOptions::new(Exposure::Ciphertext);
        let engine = caller.engine.as_ref().unwrap();
        let error = engine.ingest_bytes(&options, "big", &big).unwrap_err();
        assert!(matches!(error, IngestError::Store(_) | IngestError::Write(_)), "{error}");
        assert!(error.to_string().contains("free disk space"), "it says what to do: {error}");
        caller.verify();
        // Work that needs no more room goes on, or waits for it; nothing is lost either way.
        let worked = caller.run(Step::Answer(Medium, 2));
        disk.set_quota(None);
        if worked.is_err() {
            caller.after_fault(1);
        }
        let ingested = caller.engine.as_ref().unwrap().ingest_bytes(&options, "big", &big).unwrap();
        assert!(matches!(ingested, Ingested::Added | Ingested::Resumed), "{ingested:?}");
        caller.finish();
    }
}

#[test]
fn a_full_disk_during_an_answer_changes_nothing_and_the_same_answer_counts_later() {
    let disk = SimDisk::new();
    let mut caller = Caller::new(disk.clone());
    [Ingest(0), Step::Answer(Low, 1)].into_iter().for_each(|step| caller.run(step).unwrap());
    let before = caller.engine.as_ref().unwrap().stats().totals;
    disk.set_full(true);
    for _ in 0..3 {
        let error = caller.run(Step::Answer(High, 2)).unwrap_err();
        assert!(error.contains("free disk space") || error.contains("another copy"), "{error}");
        assert!(caller.open.is_some(), "the caller keeps its answer");
    }
    disk.set_full(false);
    caller.after_fault(1);
    assert_eq!(caller.engine.as_ref().unwrap().stats().totals, before, "state unchanged");
    caller.verify();
    caller.run(Step::Answer(High, 2)).unwrap();
    assert!(caller.open.is_none());
    let after = caller.engine.as_ref().unwrap().stats().totals;
    assert_eq!(after.units, before.units + 1);
    caller.finish();
}

#[test]
fn a_second_owner_is_refused_and_disturbs_nobody() {
    let disk = SimDisk::new();
    let mut caller = Caller::new(disk.clone());
    caller.run(Ingest(0)).unwrap();
    let mut second = Caller::new(disk.clone());
    let refused = second.open().unwrap_err();
    assert!(matches!(refused, OpenError::Store(StoreError::AlreadyOpen { .. })), "{refused}");
    let checked = check(Arc::new(disk.clone()), &mut |_| {}).unwrap_err();
    assert!(matches!(checked, StoreError::AlreadyOpen { .. }), "{checked}");
    caller.run(Step::Answer(High, 0)).unwrap();
    caller.finish();
    let provider: &dyn StorageProvider = &disk;
    assert!(provider.path(StoreFile::State).ends_with("state.redb"));
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught_by_the_power_failures() {
    let (recording, full, ledger) = recorded(Some(Mistake::AcknowledgeEarly));
    let caught =
        (0..=recording.len()).find_map(|at| missing(&recording.crash_at(at, Loss::Everything), at, &full, &ledger));
    let caught = caught.expect("a test that cannot fail is worse than none");
    assert!(caught.contains("Answered"), "{caught}");
}

/// Offsets worth changing: the whole header, and a sample of the pages that are not blank.
fn places(bytes: &[u8], seed: u64) -> Vec<usize> {
    let mut out: Vec<usize> = (0..320).collect();
    let pages = bytes.chunks(4_096).enumerate().skip(1).filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    for (number, page) in pages {
        let used = page.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        out.extend([0, 1, 2, 3, 4, 7, 8, 16].into_iter().map(|at| number * 4_096 + at));
        out.extend((0..6).map(|pick| number * 4_096 + (seed as usize + pick * 997 + number * 31) % used));
    }
    out
}

#[test]
fn a_byte_changed_anywhere_is_found_or_refused_and_nothing_panics() {
    let (recording, _, ledger) = recorded(None);
    let whole = recording.crash_at(recording.len(), Loss::Nothing);
    let (state, blocks) = (whole.bytes(StoreFile::State), whole.bytes(StoreFile::Blocks));
    let sound = check(Arc::new(whole), &mut |_| {}).unwrap();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for (file, bytes) in [(StoreFile::State, &state), (StoreFile::Blocks, &blocks)] {
        for (turn, at) in places(bytes, 5).into_iter().enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] ^= [1, 0xff, 0x80][turn % 3];
            let disk = match file {
                StoreFile::State => SimDisk::with_files(damaged, blocks.clone()),
                _ => SimDisk::with_files(state.clone(), damaged),
            };
            let checked = check(Arc::new(disk.clone()), &mut |_| {});
            let outcome = match checked {
                Ok(report) if report.is_clean() => {
                    assert_eq!(report, sound);
                    "clean"
                }
                Ok(_) => "found",
                Err(StoreError::Corrupted { .. } | StoreError::Foreign { .. }) => "refused",
                Err(other) => panic!("{file:?} at {at}: {other}"),
            };
            *outcomes.entry(outcome).or_default() += 1;
            // Opening reads little: it may not meet the damage, but it never panics on it.
            let mut caller = Caller::new(disk);
            let opened = caller.open().is_ok();
            if outcome == "clean" {
                assert!(opened, "{file:?} at {at}: the check is content, and it does not open");
                caller.run(Upkeep).unwrap();
                assert_eq!(caller.engine.as_ref().unwrap().ledger(0, 1_000).unwrap(), ledger);
            }
            caller.close();
        }
    }
    println!("{outcomes:?}");
    // The rest stands in pages that hold nothing any more.
    assert!(outcomes["found"] > 200 && outcomes["refused"] > 300, "{outcomes:?}");
}
