//! Draining a backlog: clients on their own threads solve units until no leaf is pending.
//!
//! No thread spins. A client without work refills the ring and parks. The calling thread sweeps
//! about once a second, draws the progress, and stops all clients when the pending leaves cannot be
//! issued to any of them: their data cannot be read, or they have votes that no client may join.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use parking_lot::Mutex;
use pouw::protocol::{DifficultyTier, WorkResult, WorkUnit};
use pouw::solver::compute_work_unit_timed;
use pouw::{
    Accepted, Answer, BlockedTree, IssueError, IssueRequest, OpenQuorums, PouwEngine, Receipt, Stats, SubmitError,
    TreeId, TreeState,
};

use crate::damage::{DAMAGE_NAMED, Damage, first_damaged};
use crate::failure::Failure;
use crate::survey::{Survey, sent};
use crate::words::count;

/// One client: its key, and the tier of its units. It is a network of its own, so that it may be in
/// one quorum with the others.
#[derive(Debug, Clone)]
pub struct Client {
    pub key: String,
    pub tier: DifficultyTier,
}

/// Totals of the clients of one tier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub units: u64,
    pub shortfalls: u64,
    pub leaves: u64,
    pub nodes: u64,
    /// Credited at once.
    pub micro_joules: u64,
    /// Units that were taken as votes; they are among the others.
    pub votes: u64,
    /// Credits for them once their quorums are complete.
    pub deferred: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.units += other.units;
        self.shortfalls += other.shortfalls;
        self.leaves += other.leaves;
        self.nodes += other.nodes;
        self.micro_joules += other.micro_joules;
        self.votes += other.votes;
        self.deferred += other.deferred;
    }

    /// One answer that was taken.
    fn of(accepted: &Accepted, leaves: u64) -> Self {
        Self {
            units: 1,
            shortfalls: 0,
            leaves,
            nodes: accepted.nodes,
            micro_joules: accepted.award.0,
            votes: u64::from(accepted.seq.is_none()),
            deferred: accepted.deferred.0,
        }
    }
}

/// The result of a drain.
#[derive(Debug)]
pub struct Drained {
    /// By tier: low, medium, high.
    pub tiers: [Tally; 3],
    pub seconds: f64,
    pub commits: u64,
    /// Leaves that could not be issued.
    pub pending: u64,
    /// Names of their trees, and the reasons.
    pub blocked: Vec<(String, String)>,
    /// Micro-Joules credited meanwhile, for votes of earlier runs too.
    pub credited: u64,
    /// Votes that wait for answers of others.
    pub quorums: OpenQuorums,
    /// The first damaged blocks of the store.
    pub damaged: Vec<Damage>,
    /// All trees.
    pub survey: Survey,
}

impl Drained {
    pub fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.tiers.iter().for_each(|tally| sum.add(*tally));
        sum
    }

    /// Trees in this state.
    pub fn in_state(&self, state: TreeState) -> u64 {
        self.survey.in_state(state)
    }
}

/// Lets the clients work until nothing is pending and all complete trees are assembled.
pub fn drain(engine: &PouwEngine, clients: &[Client], bar: &ProgressBar) -> Result<Drained, Failure> {
    let before = engine.stats();
    let started = Instant::now();
    engine.refill()?;
    let crew = Crew::new(engine, clients.len());
    let caller = thread::current();
    let (tiers, supervised) = thread::scope(|scope| {
        let spawn = |(at, client)| {
            let (crew, caller) = (&crew, &caller);
            scope.spawn(move || crew.work_off(at, client, caller))
        };
        let crew_threads: Vec<_> = clients.iter().enumerate().map(spawn).collect();
        let busy = || crew_threads.iter().any(|thread| !thread.is_finished());
        let supervised = crew.supervise(busy, before.totals.pending, bar);
        crew.stop.store(true, Ordering::SeqCst);
        crew_threads.iter().for_each(|handle| handle.thread().unpark());
        let mut tiers = [Tally::default(); 3];
        for (thread, client) in crew_threads.into_iter().zip(clients) {
            match thread.join() {
                Ok(tally) => tiers[client.tier as usize].add(tally),
                Err(_) => crew.fail(format!("the thread of {} panicked", client.key)),
            }
        }
        (tiers, supervised)
    });
    supervised?;
    if let Some(what) = crew.failure.into_inner() {
        return Err(Failure::Failed(what));
    }
    let survey = assemble(engine, bar)?;
    let after = engine.stats();
    Ok(Drained {
        tiers,
        seconds: started.elapsed().as_secs_f64(),
        commits: after.commits - before.commits,
        pending: after.totals.pending,
        blocked: named(engine, &after)?,
        credited: after.totals.awarded - before.totals.awarded,
        quorums: engine.open_quorums(QUORUMS_COUNTED)?,
        damaged: first_damaged(engine, DAMAGE_NAMED)?,
        survey,
    })
}

const IDLE: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_secs(1);
/// Most attempts to submit an answer, with growing pauses: three seconds in total.
const SUBMITS_MAX: u32 = 6;
/// Units with votes that are counted at the end.
const QUORUMS_COUNTED: u64 = 1 << 20;

struct Crew<'e> {
    engine: &'e PouwEngine,
    stop: AtomicBool,
    /// The client whose turn it is to take its first unit: each takes one before any takes two, so
    /// that every tier has a share of a small backlog.
    turn: Mutex<usize>,
    /// The first thing that went wrong.
    failure: Mutex<Option<String>>,
    /// Incremented when all clients shall ask once more.
    call: AtomicU64,
    /// By client: the last call after which it asked for a unit and there was none for it.
    in_vain: Vec<AtomicU64>,
    /// Units issued when none was available first, and how often none was available since.
    fruitless: Mutex<(u64, usize)>,
}

impl<'e> Crew<'e> {
    fn new(engine: &'e PouwEngine, clients: usize) -> Self {
        Self {
            engine,
            stop: AtomicBool::new(false),
            turn: Mutex::new(0),
            failure: Mutex::new(None),
            call: AtomicU64::new(1),
            in_vain: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            fruitless: Mutex::new((0, 0)),
        }
    }

    fn fail(&self, what: String) {
        self.failure.lock().get_or_insert(what);
        self.stop.store(true, Ordering::SeqCst);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn work_off(&self, at: usize, client: &Client, caller: &Thread) -> Tally {
        let mut tally = Tally::default();
        let mut first = true;
        while !self.stopped() {
            if first && *self.turn.lock() < at {
                thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let step = self.step(at, client, &mut tally, std::mem::take(&mut first));
            match step {
                Ok(true) => {}
                Ok(false) => break,
                Err(what) => {
                    self.fail(format!("{}: {what}", client.key));
                    break;
                }
            }
        }
        caller.unpark();
        tally
    }

    /// One unit, or a pause; false when nothing is pending.
    fn step(&self, at: usize, client: &Client, tally: &mut Tally, first: bool) -> Result<bool, String> {
        let call = self.call.load(Ordering::SeqCst);
        let key = client.key.as_bytes();
        let issued = self.engine.issue(&IssueRequest::new(key, client.tier).network(key));
        if first {
            *self.turn.lock() += 1;
        }
        let issued = match issued {
            Ok(issued) => issued,
            Err(IssueError::NoWork | IssueError::Crowded(_)) => {
                if self.engine.stats().totals.pending == 0 {
                    return Ok(false);
                }
                self.in_vain[at].store(call, Ordering::SeqCst);
                // Others hold what is left, or may join votes that this one may not, or it has to
                // be read first.
                if self.engine.refill().map_err(|e| e.to_string())? == 0 {
                    thread::park_timeout(IDLE);
                }
                return Ok(true);
            }
            Err(other) => return Err(other.to_string()),
        };
        let unit = issued.unit;
        let result = compute_work_unit_timed(&unit, |_| match self.stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        let result = match result {
            Ok(result) => result,
            Err(_) if self.stopped() => return Ok(false),
            Err(error) => return Err(format!("unit {}: {error}", unit.id)),
        };
        if let Some(mut done) = self.submit(client, &unit, &result).map_err(|e| format!("unit {}: {e}", unit.id))? {
            done.shortfalls = u64::from(issued.shortfall);
            tally.add(done);
        }
        Ok(true)
    }

    /// Submits until the answer is stored. `None` if the unit was withdrawn or has expired.
    fn submit(&self, client: &Client, unit: &WorkUnit, result: &WorkResult) -> Result<Option<Tally>, SubmitError> {
        let key = client.key.as_bytes();
        let answer = Answer::new(key, result).network(key);
        let leaves = unit.leaf_lengths.len().max(1) as u64;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.engine.submit(&answer) {
                Ok(accepted) => return Ok(Some(Tally::of(&accepted, leaves))),
                Err(SubmitError::Withdrawn | SubmitError::Expired { .. }) => return Ok(None),
                // An attempt of unknown outcome was stored after all.
                Err(SubmitError::Replayed) if attempt > 1 => {
                    return Ok(match self.engine.receipt(unit.id)? {
                        Receipt::Accepted(entry) => Some(Tally {
                            units: 1,
                            leaves,
                            nodes: u64::from(entry.nodes),
                            micro_joules: entry.amount.0,
                            ..Tally::default()
                        }),
                        Receipt::Voted => {
                            Some(Tally { units: 1, leaves, nodes: unit.node_count, votes: 1, ..Tally::default() })
                        }
                        _ => None,
                    });
                }
                Err(error) => error,
            };
            let again = matches!(
                error,
                SubmitError::NotStored(_) | SubmitError::Unconfirmed { .. } | SubmitError::InFlight | SubmitError::Busy
            );
            if !again || attempt == SUBMITS_MAX || self.stopped() {
                return Err(error);
            }
            thread::park_timeout(TICK * (1 << (attempt - 1)));
        }
    }

    /// Sweeps and shows progress while clients are busy; returns when they are not, or cannot be.
    fn supervise(&self, busy: impl Fn() -> bool, total: u64, bar: &ProgressBar) -> Result<(), Failure> {
        let mut swept = Instant::now();
        while busy() && !self.stopped() {
            thread::park_timeout(TICK);
            let stats = self.engine.stats();
            bar.set_position(total.saturating_sub(stats.totals.pending));
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.engine.sweep()?;
            }
            if stats.leases == 0 && stats.totals.pending > 0 && self.all_in_vain() && self.is_stuck(&busy)? {
                return Ok(());
            }
            self.call.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Returns whether all clients have asked in vain since the last call.
    fn all_in_vain(&self) -> bool {
        let call = self.call.load(Ordering::SeqCst);
        self.in_vain.iter().all(|last| last.load(Ordering::SeqCst) >= call)
    }

    /// Returns whether no unit can be issued although leaves are pending. Unreadable data is tried
    /// again, leaves that waited too long for votes are hashed, and units are made ready; then all
    /// clients ask once more while nothing changes.
    fn is_stuck(&self, busy: &impl Fn() -> bool) -> Result<bool, Failure> {
        loop {
            let swept = self.engine.sweep()?;
            if swept.refereed > 0 {
                return Ok(false);
            }
            if !swept.more {
                break;
            }
        }
        let before = self.engine.stats();
        if self.engine.refill()? > 0 && self.others_wait(&before) {
            return Ok(false);
        }
        self.call.fetch_add(1, Ordering::SeqCst);
        while !self.all_in_vain() {
            if !busy() || self.stopped() || self.engine.stats().leases > 0 {
                return Ok(false);
            }
            thread::park_timeout(IDLE);
        }
        let after = self.engine.stats();
        Ok(after.leases == 0 && after.totals == before.totals && sent(&after) == sent(&before))
    }

    /// Returns whether the units made ready may be new to the clients. Units with votes become
    /// ready in turns of 16, and return to the queue when no client here may join them.
    fn others_wait(&self, stats: &Stats) -> bool {
        let mut fruitless = self.fruitless.lock();
        if fruitless.0 != sent(stats) {
            *fruitless = (sent(stats), 0);
        }
        fruitless.1 += 1;
        fruitless.1 <= 2 + stats.votes_waiting.div_ceil(16)
    }
}

/// Waits until every tree whose leaves are done is complete.
fn assemble(engine: &PouwEngine, bar: &ProgressBar) -> Result<Survey, Failure> {
    bar.set_message("assembling");
    let mut last = u64::MAX;
    loop {
        while {
            let done = engine.upkeep()?;
            done.completed + done.removed + done.doubts > 0
        } {}
        let survey = Survey::of(engine)?;
        let left = survey.in_state(TreeState::Assembling) + survey.in_state(TreeState::Folding);
        if left == 0 {
            return Ok(survey);
        }
        if left >= last {
            return Err(Failure::Failed(format!(
                "{} cannot be assembled; run: pouw check",
                count(left, "tree", "trees")
            )));
        }
        last = left;
    }
}

fn named(engine: &PouwEngine, stats: &Stats) -> Result<Vec<(String, String)>, Failure> {
    let mut blocked = Vec::new();
    for BlockedTree { tree, why, .. } in &stats.blocked {
        let found = engine.trees(tree.get().checked_sub(1).map(TreeId::new), 1)?;
        let name = found.into_iter().find(|info| info.id == *tree).map_or_else(|| format!("tree {tree}"), |t| t.name);
        blocked.push((name, why.clone()));
    }
    blocked.sort();
    Ok(blocked)
}
