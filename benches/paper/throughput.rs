//! 9.2 of the paper: verified hashes per second from clients that are all over their limit.
//!
//! Every client is a thread that asks, is limited, solves what it gets, answers, waits until it is admitted,
//! and asks again. Clients and service share the machine. Hashes are counted by the store, not by the clients.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::ProgressBar;
use pouw::Gate;
use pouw::protocol::DifficultyTier;
use serde::Serialize;

use super::failure::Failure;
use super::rig::{Rig, challenge, solve, unhindered};
use super::statistics::{Spread, Times};
use super::table::{Table, figure};
use super::{TIERS, rounded};

/// Answers for each client at most, so that one client alone is done in seconds.
const PER_CLIENT: u64 = 1_000;
/// Units of the high tier carry as much as 32 of the low one, so there are fewer.
const HIGH_PART: u64 = 4;

/// Concurrent clients of one tier.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    tier: &'static str,
    clients: u16,
    answers: u64,
    accepted: u64,
    /// By the store.
    hashes: u64,
    /// By the units that were accepted.
    hashes_asked: u64,
    seconds: f64,
    hashes_per_second: f64,
    admissions_per_second: f64,
    /// Time of an answer.
    #[serde(flatten)]
    spread: Spread,
    commits: u64,
    /// Requests that came when nothing was ready, and were sent again.
    no_work: u64,
}

pub fn measure(place: &Path, answers: u32, clients: &[u16], bar: &ProgressBar) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (tier, part) in [(DifficultyTier::Low, 1), (DifficultyTier::High, HIGH_PART)] {
        let name = TIERS[tier as usize];
        let counts = clients.iter().map(|clients| {
            let most = u64::from(answers).min(PER_CLIENT * u64::from(*clients));
            (*clients, most.div_ceil(part))
        });
        let counts: Vec<(u16, u64)> = counts.collect();
        bar.set_message(format!("9.2 {name}: making a backlog"));
        let leaves = [1, 8, 32][tier as usize] * counts.iter().map(|(_, answers)| answers).sum::<u64>();
        let rig = Rig::open(place, leaves, tier)?;
        for (clients, answers) in counts {
            bar.set_message(format!("9.2 {name}: {answers} answers of {clients} clients"));
            rows.push(run(&rig, name, clients, answers)?);
        }
    }
    Ok(rows)
}

fn run(rig: &Rig, tier: &'static str, clients: u16, answers: u64) -> Result<Row, Failure> {
    let gate = rig.gate(unhindered())?;
    let before = rig.engine.stats();
    let (taken, barrier) = (AtomicU64::new(0), Barrier::new(usize::from(clients) + 1));
    let (seconds, total) = thread::scope(|scope| {
        let spawn = |client: u16| {
            let (gate, taken, barrier) = (&gate, &taken, &barrier);
            scope.spawn(move || {
                barrier.wait();
                work(gate, client.into(), taken, answers)
            })
        };
        let threads: Vec<_> = (0..clients).map(spawn).collect();
        // Before the clients are let go: after that this thread may be the last to be scheduled.
        let started = Instant::now();
        barrier.wait();
        let mut total = Total::default();
        for thread in threads {
            total.add(thread.join().map_err(|_| Failure::failed("a client's thread panicked"))??);
        }
        Ok::<_, Failure>((started.elapsed().as_secs_f64(), total))
    })?;
    let after = rig.engine.stats();
    let (accepted, hashes) = (after.totals.units - before.totals.units, after.totals.nodes - before.totals.nodes);
    Ok(Row {
        tier,
        clients,
        answers,
        accepted,
        hashes,
        hashes_asked: total.nodes,
        seconds: rounded(seconds),
        hashes_per_second: (hashes as f64 / seconds).round(),
        admissions_per_second: (accepted as f64 / seconds).round(),
        spread: total.times.spread(),
        commits: after.commits - before.commits,
        no_work: total.no_work,
    })
}

/// Totals of clients.
#[derive(Default)]
struct Total {
    nodes: u64,
    no_work: u64,
    times: Times,
}

impl Total {
    fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.no_work += other.no_work;
        self.times.append(&other.times);
    }
}

/// One client, until all together have taken `answers` units.
fn work(gate: &Gate, client: u32, taken: &AtomicU64, answers: u64) -> Result<Total, Failure> {
    let mut total = Total::default();
    while taken.fetch_add(1, Ordering::Relaxed) < answers {
        let (unit, dry) = challenge(gate, client)?;
        let solved = solve(client, &unit)?;
        let started = Instant::now();
        solved.answer(gate)?;
        total.times.push(started.elapsed());
        total.nodes += solved.nodes;
        total.no_work += dry;
    }
    Ok(total)
}

impl Row {
    /// What does not add up, if anything.
    pub fn finding(&self) -> Option<String> {
        let Self { tier, clients, answers, accepted, hashes, hashes_asked, .. } = self;
        if answers != accepted {
            return Some(format!("9.2 {tier}, {clients} clients: {accepted} of {answers} answers were stored"));
        }
        (hashes != hashes_asked)
            .then(|| format!("9.2 {tier}, {clients} clients: {hashes} hashes were stored, {hashes_asked} asked for"))
    }
}

/// The section as text.
pub fn text(rows: &[Row]) -> String {
    let head =
        ["tier", "clients", "answers", "hashes/s", "admissions/s", "answers/commit", "p50 ms", "p99 ms", "no work"];
    let mut table = Table::new(head);
    for row in rows {
        let ms = |us: f64| figure(us / 1e3);
        table.row([
            row.tier.to_owned(),
            row.clients.to_string(),
            row.answers.to_string(),
            figure(row.hashes_per_second),
            figure(row.admissions_per_second),
            figure(row.accepted as f64 / row.commits.max(1) as f64),
            ms(row.spread.p50_us),
            ms(row.spread.p99_us),
            row.no_work.to_string(),
        ]);
    }
    format!(
        "## 9.2 Useful work throughput\n\n{}\n\
         Hashes verified and stored, as the store counts them. Clients compute on the same machine; p50 and p99 are of an\n\
         answer, from the gate's first look to its durable verdict. No work: requests that came when nothing was ready.\n",
        table.text()
    )
}
