//! Used tokens under many answers: a sweep once a second removes as many as come in.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pouw::protocol::DifficultyTier;
use pouw::solver::compute_work_unit;
use pouw::{Answer, IssueRequest, PouwEngine};

use crate::backlog::{Scale, ingest, options, write_leaves};
use crate::work::{CLIENTS, open, settings};

const SUBMITTERS: u64 = 64;
const PER_SECOND: u64 = 5_000;
/// Short, so that tokens of the first seconds are removed within the minute.
const LIFETIME: Duration = Duration::from_secs(5);

pub fn run(place: &Path, scale: Scale) {
    let seconds = scale.pick(60, 20, 1);
    let (file, store) = (place.join("leaves"), place.join("engine"));
    write_leaves(&file, PER_SECOND * (seconds + 10));
    let engine = open(&store, settings().token_ttl(LIFETIME).background(false), &Arc::default());
    ingest(&engine, &options(), std::slice::from_ref(&file));
    let (accepted, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut removed, mut most) = (0, 0);
    std::thread::scope(|scope| {
        for worker in 0..SUBMITTERS {
            let (engine, accepted, stop) = (&engine, &accepted, &stop);
            scope.spawn(move || answer(engine, worker, accepted, stop));
        }
        let begun = Instant::now();
        for second in 1..=seconds {
            wait_until(begun + Duration::from_secs(second));
            loop {
                let report = engine.sweep().expect("the sweep is written");
                removed += report.consumed_pruned;
                if !report.more {
                    break;
                }
            }
            let (so_far, rows) = (accepted.load(Ordering::SeqCst), accepted.load(Ordering::SeqCst) - removed);
            most = most.max(rows);
            if second % 10 == 0 || second == seconds {
                println!("second {second}: {so_far} answers, {} a second, {rows} rows of used tokens", so_far / second);
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    engine.close();
    let checked = PouwEngine::check_store(&store, &mut |_| {}).expect("the store can be checked");
    assert!(checked.is_clean(), "{:?}", checked.findings);
    assert_eq!(checked.consumed, accepted.load(Ordering::SeqCst) - removed, "the count is that of the table");
    let bound = 2 * PER_SECOND * LIFETIME.as_secs() + PER_SECOND;
    println!("most rows of used tokens after a sweep: {most}; two lifetimes and a second of answers: {bound}");
}

/// Solves and hands in the worker's share, one answer after the other.
fn answer(engine: &PouwEngine, worker: u64, accepted: &AtomicU64, stop: &AtomicBool) {
    let begun = Instant::now();
    for turn in 0.. {
        wait_until(begun + Duration::from_nanos(turn * SUBMITTERS * 1_000_000_000 / PER_SECOND));
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let client = ((turn * SUBMITTERS + worker) % CLIENTS).to_le_bytes();
        let Ok(issued) = engine.issue(&IssueRequest::new(&client, DifficultyTier::Low)) else {
            engine.refill().expect("the backlog can be read");
            continue;
        };
        let result = compute_work_unit(&issued.unit).expect("the unit adds up");
        engine.submit(&Answer::new(&client, &result)).expect("the answer is right");
        accepted.fetch_add(1, Ordering::SeqCst);
    }
}

fn wait_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}
