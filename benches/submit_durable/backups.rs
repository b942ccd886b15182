//! Backups of a store in which 64 submitters get their answers acknowledged.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pouw::protocol::{DifficultyTier, WorkId};
use pouw::{Answer, PouwEngine, Receipt};

use crate::backlog::{Scale, ingest, median, options, write_leaves};
use crate::counted::Counters;
use crate::work::{Solved, open, settings, solve};

const SUBMITTERS: usize = 64;

pub fn run(place: &Path, scale: Scale) {
    let backups = scale.pick(20, 5, 2);
    let units = scale.pick(8_000, 4_000, 200);
    let file = place.join("leaves");
    write_leaves(&file, (units * backups + 4_096) as u64);
    let engine = open(&place.join("engine"), settings(), &Arc::default());
    ingest(&engine, &options(), std::slice::from_ref(&file));
    let mut rounds = Vec::new();
    for round in 0..backups {
        let solved = solve(&engine, DifficultyTier::Low, round * units, units);
        let measured = one(&engine, &solved, &place.join(format!("copy-{round}")));
        println!("backup {}: {measured:?}", round + 1);
        rounds.push(measured);
    }
    engine.close();
    let of = |pick: fn(&Round) -> f64| {
        let values: Vec<f64> = rounds.iter().map(pick).collect();
        (median(&values), values.iter().copied().fold(0.0, f64::max))
    };
    let (took, took_most) = of(|round| round.seconds);
    let (gap, gap_most) = of(|round| round.longest_gap_ms);
    let (quiet, quiet_most) = of(|round| round.longest_gap_without_ms);
    println!("backups {backups}, all clean, none lacks an answer acknowledged before its start");
    println!("a backup: median {took:.2} s, longest {took_most:.2} s");
    println!("longest time without an acknowledgement during a backup: median {gap:.1} ms, most {gap_most:.1} ms");
    println!("... and in the time before it:                           median {quiet:.1} ms, most {quiet_most:.1} ms");
}

#[derive(Debug)]
#[expect(dead_code, reason = "all of it is printed")]
struct Round {
    acknowledged_before: usize,
    acknowledged_during: usize,
    seconds: f64,
    megabytes: f64,
    longest_gap_ms: f64,
    longest_gap_without_ms: f64,
}

/// One backup, begun when a quarter of the answers is acknowledged.
fn one(engine: &PouwEngine, solved: &[Solved], copy: &Path) -> Round {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(Instant, WorkId)>> = Mutex::default();
    let begun = Instant::now();
    let (before, started, took, report) = std::thread::scope(|scope| {
        for _ in 0..SUBMITTERS {
            scope.spawn(|| {
                while let Some(one) = solved.get(next.fetch_add(1, Ordering::Relaxed)) {
                    engine.submit(&Answer::new(&one.client, &one.result)).expect("the answer is right");
                    done.lock().expect("no submitter fails").push((Instant::now(), one.result.work_unit_id));
                }
            });
        }
        while done.lock().expect("no submitter fails").len() < solved.len() / 4 {
            std::thread::yield_now();
        }
        let before: Vec<WorkId> = done.lock().expect("no submitter fails").iter().map(|(_, id)| *id).collect();
        let started = Instant::now();
        let report = engine.backup(copy, &mut |_| ControlFlow::Continue(())).expect("the backup is made");
        (before, started, started.elapsed(), report)
    });
    let mut times: Vec<Instant> =
        done.into_inner().expect("no submitter fails").into_iter().map(|(at, _)| at).collect();
    times.sort_unstable();
    let during = times.iter().filter(|at| **at >= started && **at < started + took).count();
    verify(copy, &before);
    Round {
        acknowledged_before: before.len(),
        acknowledged_during: during,
        seconds: took.as_secs_f64(),
        megabytes: report.bytes as f64 / 1e6,
        longest_gap_ms: longest(&times, started, started + took),
        longest_gap_without_ms: longest(&times, begun, started),
    }
}

/// The longest time between two acknowledgements that touches the time from `from` to `to`.
fn longest(times: &[Instant], from: Instant, to: Instant) -> f64 {
    let touches = |pair: &&[Instant]| pair[1] > from && pair[0] < to;
    let gaps = times.windows(2).filter(touches).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(Duration::ZERO).as_secs_f64() * 1e3
}

/// The copy is clean and has these answers.
fn verify(copy: &Path, acknowledged: &[WorkId]) {
    let checked = PouwEngine::check_store(copy, &mut |_| {}).expect("the copy can be checked");
    assert!(checked.is_clean(), "{:?}", checked.findings);
    let counters = Arc::<Counters>::default();
    let restored = open(copy, settings(), &counters);
    for id in acknowledged {
        let receipt = restored.receipt(*id).expect("the copy can be read");
        assert!(matches!(receipt, Receipt::Accepted(_)), "an acknowledged answer is not in the copy");
    }
    restored.close();
    std::fs::remove_dir_all(copy).expect("the copy can be removed");
}
