//! One damage under one activity: what is done, and what must be right about all that comes back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::base::{Accounts, Base, CLIENTS, Damage, client};
use super::look::Look;
use crate::support::clients::{HIGH, answer, names};
use crate::support::desk;
use crate::support::house::clock;
use crate::support::work::{BLOCK, solve};
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{DifficultyTier, MicroJoules, WorkId, WorkUnit, WorkUnitOperation};
use pouw::{
    Answer, Decision, Event, EventSink, FakeClock, Gate, GateConfig, GateRuntime, HealthCondition, IssueError,
    IssueRequest, Issued, PouwEngine, StoreFile, SubmitError, Verdict,
};

/// What goes on while the store is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Work,
    Serve,
    Upkeep,
    Export,
}

impl Activity {
    pub const ALL: [Self; 4] = [Self::Work, Self::Serve, Self::Upkeep, Self::Export];
}

/// What one damage led to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The store could not be opened.
    pub closed: bool,
    pub latched: bool,
    /// Calls that failed, and events about damage.
    pub refusals: u64,
    /// The first of them.
    pub refused: Option<String>,
    pub accepted: u64,
    /// Trees that were complete with the right root in the end.
    pub mended: u64,
    /// Everything that was wrong.
    pub wrong: Vec<String>,
}

pub struct Scene {
    pub base: Arc<Base>,
    pub disk: SimDisk,
    pub clock: Arc<FakeClock>,
    pub engine: PouwEngine,
    pub gate: Gate,
    pub accounts: Accounts,
    /// Answers that counted.
    pub accepted: BTreeSet<WorkId>,
    /// Those of them that are votes.
    pub votes: BTreeSet<WorkId>,
    /// The state file was damaged.
    pub damaged_state: bool,
    pub outcome: Outcome,
    events: Arc<Mutex<Vec<Event>>>,
    /// The call that is being made.
    step: Arc<Mutex<String>>,
    debits: u8,
}

/// Damages a store while an engine works on it, or before one opens it. `step` has the name of the call being made.
pub fn play(
    base: &Arc<Base>,
    damage: Option<Damage>,
    activity: Activity,
    running: bool,
    step: &Arc<Mutex<String>>,
) -> Outcome {
    let disk = base.disk();
    if !running {
        damage.into_iter().for_each(|damage| damage.happen(&disk));
    }
    let Some(mut scene) = Scene::open(base, disk, clock(), step) else {
        return Outcome { closed: true, refusals: 1, ..Outcome::default() };
    };
    scene.damaged_state = damage.is_some_and(|damage| damage.file() == StoreFile::State);
    scene.step("first units");
    // Sent before the damage, answered after it.
    let early: Vec<(u64, Issued)> = (0..3).filter_map(|n| Some((client(n), scene.issue(client(n))?))).collect();
    if running {
        damage.into_iter().for_each(|damage| damage.happen(&scene.disk));
    }
    for (who, issued) in early {
        scene.submit(who, &issued);
    }
    match activity {
        Activity::Work => scene.work(12),
        Activity::Serve => scene.serve(),
        Activity::Upkeep => scene.upkeep(),
        Activity::Export => scene.export(),
    }
    scene.look();
    scene.mend();
    scene.end()
}

impl Scene {
    fn open(base: &Arc<Base>, disk: SimDisk, clock: Arc<FakeClock>, step: &Arc<Mutex<String>>) -> Option<Self> {
        *step.lock().unwrap() = "open".into();
        let (engine, gate, events) = engine_on(base, &disk, &clock)?;
        let accounts = base.accounts.clone();
        let (accepted, votes, outcome, step) = (BTreeSet::new(), BTreeSet::new(), Outcome::default(), step.clone());
        Some(Self {
            base: base.clone(),
            disk,
            clock,
            engine,
            gate,
            accounts,
            accepted,
            votes,
            damaged_state: false,
            outcome,
            events,
            step,
            debits: 100,
        })
    }

    pub fn step(&self, what: &str) {
        *self.step.lock().unwrap() = what.to_owned();
    }

    pub fn wrong(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.outcome.wrong.contains(&what) {
            self.outcome.wrong.push(what);
        }
    }

    pub fn refused(&mut self, why: &str) {
        self.outcome.refusals += 1;
        self.outcome.refused.get_or_insert_with(|| format!("{}: {why}", self.step.lock().unwrap()));
    }

    /// The value, unless the call was refused.
    pub fn take<T, E: std::fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        // A tree that is not complete yet refuses too, without any damage.
        match result {
            Ok(value) => return Some(value),
            Err(error) if error.to_string().contains("leaves are pending, 0 damaged") => {}
            Err(error) => self.refused(&error.to_string()),
        }
        None
    }

    /// A unit for this client. What is sent must be what came in.
    fn issue(&mut self, who: u64) -> Option<Issued> {
        let upkeep = self.engine.upkeep();
        self.take(upkeep);
        let (client, network) = names(who);
        match self.engine.issue(&IssueRequest::new(&client, HIGH).network(&network)) {
            Err(IssueError::NoWork) => None,
            other => {
                let issued = self.take(other)?;
                self.sent(&issued.unit);
                Some(issued)
            }
        }
    }

    fn sent(&mut self, unit: &WorkUnit) {
        let of_leaves = !unit.synthetic && unit.operation != WorkUnitOperation::InteriorHash;
        if of_leaves && !unit.input_data.chunks(BLOCK).all(|leaf| self.base.is_known(leaf)) {
            self.wrong("a client was sent other bytes than came in");
        }
    }

    /// The right answer to a unit, and the same answer once more.
    fn submit(&mut self, who: u64, issued: &Issued) {
        let (client, network) = names(who);
        let result = answer(issued, |_| {});
        for repeated in [false, true] {
            let verdict = self.engine.submit(&Answer::new(&client, &result).network(&network));
            let account = self.accounts.entry(who).or_default();
            match verdict {
                Ok(_) if repeated => self.wrong("an answer counted twice"),
                Ok(accepted) => {
                    account.sure += accepted.award.0;
                    account.maybe += accepted.deferred.0;
                    self.accepted.insert(accepted.id);
                    if accepted.seq.is_none() {
                        self.votes.insert(accepted.id);
                    }
                    self.outcome.accepted += 1;
                }
                Err(SubmitError::WrongResult { what }) => self.wrong(format!("an honest client was blamed: {what}")),
                Err(SubmitError::Malformed(what)) => self.wrong(format!("a right answer is malformed: {what}")),
                Err(error) => {
                    if matches!(error, SubmitError::Unconfirmed { .. }) {
                        account.maybe += 1_000 * issued.unit.node_count;
                    }
                    if !repeated {
                        self.refused(&error.to_string());
                    }
                    return;
                }
            }
        }
    }

    /// Honest clients work off up to `most` units, and use their credit.
    pub fn work(&mut self, most: u64) {
        let mut units = 0;
        let mut before = None;
        while before != Some(units) {
            before = Some(units);
            for who in CLIENTS {
                self.step("issue");
                let Some(issued) = Some(()).filter(|()| units < most).and_then(|()| self.issue(who)) else { continue };
                self.step("submit");
                self.submit(who, &issued);
                units += 1;
            }
        }
        self.step("debit");
        for who in CLIENTS {
            if self.accounts.get(&who).is_none_or(|account| account.sure == 0) {
                continue;
            }
            self.debits += 1;
            let debit = self.engine.debit(&names(who).0, MicroJoules(1), [self.debits; 16]);
            let unknown = matches!(&debit, Err(pouw::DebitError::Write(pouw::WriteError::Unconfirmed { .. })));
            let account = self.accounts.entry(who).or_default();
            match debit {
                Ok(debit) => {
                    account.sure = account.sure.saturating_sub(1);
                    self.balance(who, debit.balance.0, "a debit");
                }
                Err(error) => {
                    if unknown && account.sure > 0 {
                        account.sure -= 1;
                        account.maybe += 1;
                    }
                    self.refused(&error.to_string());
                }
            }
        }
    }

    fn serve(&mut self) {
        for number in 0..4 {
            self.step("decide");
            let address = format!("192.0.{}.7", number % 2);
            self.ask(&address);
            self.step("health");
            drop(self.gate.health());
        }
    }

    fn ask(&mut self, address: &str) {
        let refusal = match decide(&self.gate, desk::facts(address)).wait() {
            Decision::Pass(pass) => {
                return if pass.accepted.is_some() {
                    self.wrong("work was paid that nobody did")
                };
            }
            Decision::Refuse(refusal) => refusal,
        };
        if refusal.reason.as_str() != "work_required" {
            return self.refused(refusal.reason.as_str());
        }
        let Some(unit) = desk::unit_in(&refusal) else { return };
        self.sent(&unit);
        let result = solve(&unit);
        let compact = Some(ResultText::Compact(result.to_compact()));
        let answer = Some(Presented { token: result.challenge_token.clone(), result: compact });
        let Verdict::Judge(pending) = decide(&self.gate, Facts { answer, ..desk::facts(address) }) else {
            return self.refused("the token");
        };
        match pending.wait() {
            Decision::Pass(pass) => {
                if let Some(work) = pass.accepted {
                    self.accepted.insert(work.id);
                    self.outcome.accepted += 1;
                }
            }
            Decision::Refuse(refusal) if refusal.reason.as_str() == "wrong_result" => {
                self.wrong("an honest client of the gate was blamed");
            }
            Decision::Refuse(refusal) => self.refused(refusal.reason.as_str()),
        }
    }

    fn upkeep(&mut self) {
        for wait_ms in [0, 1_000, 61_000, 61_000, 3_700_000] {
            self.clock.advance(Duration::from_millis(wait_ms));
            self.step("sweep");
            let swept = self.engine.sweep();
            self.take(swept);
            self.step("upkeep");
            let kept = self.engine.upkeep();
            self.take(kept);
        }
        self.work(3);
    }

    fn export(&mut self) {
        let base = self.base.clone();
        for tree in &base.trees {
            for policy in [pouw::ExportPolicy::Attested, pouw::ExportPolicy::Strict] {
                self.step("export");
                self.exported(tree, policy);
            }
            self.step("satisfy");
            let satisfied =
                self.engine.satisfy(tree.name, pouw::ExportPolicy::Strict, &mut |_| ControlFlow::Continue(()));
            self.take(satisfied);
        }
    }

    /// Gives the same content again, and works off the rest; after a restart, if the store stays closed.
    fn mend(&mut self) {
        self.latched();
        if self.outcome.latched {
            self.step("restart");
            self.engine.close();
            let Some((engine, gate, events)) = engine_on(&self.base, &self.disk, &self.clock) else {
                self.outcome.closed = true;
                self.outcome.refusals += 1;
                return;
            };
            self.noticed();
            (self.engine, self.gate, self.events) = (engine, gate, events);
        }
        let base = self.base.clone();
        for round in 0..2 {
            for tree in &base.trees {
                self.step("ingest again");
                let given = base.give(&self.engine, tree);
                self.take(given);
            }
            // What was kept back is looked at again.
            self.clock.advance(Duration::from_millis(1_000 + 60_000 * round));
            self.step("sweep");
            let swept = self.engine.sweep();
            self.take(swept);
            self.work(40);
        }
        for tree in &base.trees {
            self.step("export the mended tree");
            self.outcome.mended += u64::from(self.exported(tree, pouw::ExportPolicy::Strict));
        }
        self.look();
    }

    /// A store that stays closed hands out nothing, and says so.
    fn latched(&mut self) {
        let Some(why) = self.engine.failure().map(str::to_owned) else { return };
        self.outcome.latched = true;
        if self.gate.health().overall() != HealthCondition::Unavailable {
            self.wrong("a store that stays closed is not reported as unavailable");
        }
        let request = IssueRequest::new(b"any", DifficultyTier::Low).synthetic(true);
        if !matches!(self.engine.issue(&request), Err(IssueError::Closed)) {
            self.wrong("a store that stays closed hands out work");
        }
        if why.contains("the thread that writes gave up") {
            self.wrong(format!("a panic outside the store: {why}"));
        }
    }

    fn noticed(&mut self) {
        let told = |event: &&Event| {
            matches!(
                event,
                Event::CorruptionFound { .. }
                    | Event::SourceChanged { .. }
                    | Event::BlockDamaged { .. }
                    | Event::StorageFailed { .. }
                    | Event::SweepFailed { .. }
            )
        };
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        self.outcome.refusals += events.iter().filter(told).count() as u64;
        for event in events {
            match event {
                Event::ThreadPanicked { thread, what } => self.wrong(format!("{thread} panicked: {what}")),
                Event::LeafCorrected { .. } => self.wrong("an honest leaf was corrected"),
                _ => {}
            }
        }
    }

    fn end(mut self) -> Outcome {
        self.latched();
        self.noticed();
        self.step("close");
        self.engine.close();
        self.at_rest();
        self.outcome
    }
}

type Opened = (PouwEngine, Gate, Arc<Mutex<Vec<Event>>>);

fn engine_on(base: &Base, disk: &SimDisk, clock: &Arc<FakeClock>) -> Option<Opened> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let engine = base.open(disk, clock, EventSink::new(move |event| seen.lock().unwrap().push(event))).ok()?;
    let config = GateConfig::builder().rate_limit(1).judge_threads(1).build().unwrap();
    let gate = Gate::with_runtime(engine.clone(), config, GateRuntime::default().ticked_by_host()).unwrap();
    Some((engine, gate, events))
}
