//! 9.1 of the paper: the time from receiving a work result to the verdict on it.
//!
//! Answers are solved before the clock starts. `gate` is all of it, from handing the request to the gate to
//! the verdict, the durable commit included. `judged` hands answers to the engine without waiting for their
//! commits: what is timed is everything a verdict needs but the commit (reading the result, token, lease,
//! comparison, queueing), while the commits of those before run on the writer's thread.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pouw::internal::engine::for_gate;
use pouw::protocol::{DifficultyTier, WorkResult};
use pouw::{Gate, IssueError, IssueRequest, PouwEngine};
use serde::Serialize;

use super::TIERS;
use super::failure::Failure;
use super::rig::{Rig, Solved, challenge, solve, unhindered};
use super::statistics::{Spread, Times};
use super::table::{Table, figure};

/// The paper's target.
const TARGET: Duration = Duration::from_millis(50);
/// Answers handed in at the same time.
const AT_ONCE: [usize; 2] = [1, 64];
/// Units of the high tier carry as much as 32 of the low one, so there are fewer.
const HIGH_PART: u32 = 4;

/// Answers of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    tier: &'static str,
    path: &'static str,
    at_once: usize,
    answers: u32,
    accepted: u64,
    hashes: u64,
    #[serde(flatten)]
    spread: Spread,
    over_target: u64,
}

pub fn measure(place: &Path, answers: u32, bar: &ProgressBar) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (tier, answers) in [(DifficultyTier::Low, answers), (DifficultyTier::High, answers.div_ceil(HIGH_PART))] {
        let name = TIERS[tier as usize];
        bar.set_message(format!("9.1 {name}: making a backlog"));
        let passes = AT_ONCE.len() as u64 + 1;
        let leaves = [1, 8, 32][tier as usize] * u64::from(answers) * passes;
        let rig = Rig::open(place, leaves, tier)?;
        for at_once in AT_ONCE {
            bar.set_message(format!("9.1 {name}: {answers} answers, {at_once} at once"));
            let gate = rig.gate(unhindered())?;
            let before = rig.engine.stats().totals;
            let solved = solve_all(&gate, answers)?;
            let times = hand_in(&gate, &solved, at_once)?;
            let after = rig.engine.stats().totals;
            rows.push(Row {
                path: "gate",
                at_once,
                accepted: after.units - before.units,
                ..Row::new(name, answers, after.nodes - before.nodes, times)
            });
        }
        bar.set_message(format!("9.1 {name}: {answers} answers, commits not waited for"));
        let before = rig.engine.stats().totals;
        let times = judge_only(&rig.engine, tier, answers)?;
        let after = rig.engine.stats().totals;
        rows.push(Row {
            path: "judged",
            accepted: after.units - before.units,
            ..Row::new(name, answers, after.nodes - before.nodes, times)
        });
    }
    Ok(rows)
}

impl Row {
    fn new(tier: &'static str, answers: u32, hashes: u64, times: Times) -> Self {
        let over_target = times.at_or_over(TARGET);
        Self { tier, path: "", at_once: 1, answers, accepted: 0, hashes, spread: times.spread(), over_target }
    }

    /// What does not add up, if anything.
    pub fn finding(&self) -> Option<String> {
        let Self { tier, path, answers, accepted, .. } = self;
        (u64::from(*answers) != *accepted)
            .then(|| format!("9.1 {tier}, {path}: {accepted} of {answers} answers were stored"))
    }
}

fn solve_all(gate: &Gate, answers: u32) -> Result<Vec<Solved>, Failure> {
    (0..answers).map(|client| solve(client, &challenge(gate, client)?.0)).collect()
}

/// Each of `at_once` threads takes the next answer and waits for its verdict.
fn hand_in(gate: &Gate, solved: &[Solved], at_once: usize) -> Result<Times, Failure> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Times, Failure> {
        let mut times = Times::default();
        while let Some(answer) = solved.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            answer.answer(gate)?;
            times.push(started.elapsed());
        }
        Ok(times)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut all = Times::default();
        for thread in threads {
            all.append(&thread.join().map_err(|_| Failure::failed("a client's thread panicked"))??);
        }
        Ok(all)
    })
}

/// Hands answers to the engine one after the other without waiting for the commits, then waits for all.
fn judge_only(engine: &PouwEngine, tier: DifficultyTier, answers: u32) -> Result<Times, Failure> {
    let mut solved = Vec::new();
    for client in 0..answers {
        let unit = loop {
            match engine.issue(&IssueRequest::new(&client.to_be_bytes(), tier)) {
                Ok(issued) => break issued.unit,
                Err(IssueError::NoWork) if engine.refill()? > 0 => {}
                Err(error) => return Err(error.into()),
            }
        };
        solved.push(solve(client, &unit)?);
    }
    let mut times = Times::default();
    let (sender, verdicts) = channel();
    for answer in &solved {
        let sender = sender.clone();
        let started = Instant::now();
        let inspected = for_gate(engine).inspect(&answer.client.to_be_bytes(), &answer.token, 0)?;
        let result =
            WorkResult::from_compact(&answer.result, &answer.token).map_err(|e| Failure::failed(e.to_string()))?;
        for_gate(engine).submit_inspected(&inspected, Some(&answer.token), &result, move |verdict| {
            // The other end waits below until all have come.
            let _ = sender.send(verdict.map(drop));
        });
        times.push(started.elapsed());
    }
    drop(sender);
    verdicts.iter().collect::<Result<(), _>>()?;
    Ok(times)
}

/// The section as text.
pub fn text(rows: &[Row]) -> String {
    let target = TARGET.as_millis();
    let late = format!("{target} ms or more");
    let mut table = Table::new(["answers", "at once", "count", "p50 ms", "p99 ms", "max ms", &late]);
    for row in rows {
        let Row { tier, at_once, answers, spread, over_target, .. } = row;
        let kind = match row.path {
            "gate" => format!("{tier}, verdict and durable commit"),
            _ => format!("{tier}, verdict without the commit"),
        };
        let ms = |us: f64| figure(us / 1e3);
        let (p50, p99, max) = (ms(spread.p50_us), ms(spread.p99_us), ms(spread.max_us));
        table.row([kind, at_once.to_string(), answers.to_string(), p50, p99, max, over_target.to_string()]);
    }
    format!(
        "## 9.1 Verification latency (target: under {target} ms)\n\n{}\n\
         From handing the answer to the gate to the verdict. Without the commit: reading the result, token, lease and\n\
         comparison in the engine, not waiting for the disk, while earlier answers are being committed.\n",
        table.text()
    )
}
