//! Scrubbing a big store: how long a full pass takes, and what answers beside it wait.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pouw::protocol::DifficultyTier;
use pouw::{PouwEngine, ScrubBudget};

use crate::backlog::{LEAF_BYTES, Scale, ingest, median, options, write_leaves};
use crate::counted::Counters;
use crate::work::{open, settings, solve, submit_all};

const SUBMITTERS: usize = 64;

pub fn run(place: &Path, scale: Scale) {
    let bytes: u64 = scale.pick(1 << 30, 128 << 20, 1 << 20);
    let (rounds, units) = (scale.pick(5, 5, 1), scale.pick(20_000, 4_000, 64));
    let file = place.join("leaves");
    write_leaves(&file, bytes / LEAF_BYTES);
    let counters = Arc::<Counters>::default();
    let store = place.join("engine");
    ingest(&open(&store, settings(), &counters), &options(), std::slice::from_ref(&file));
    std::fs::remove_file(&file).expect("the file can be removed");
    // A new engine: its page caches are empty. It scrubs only when it is called.
    let engine = open(&store, settings().scrub_bytes_per_second(0), &counters);
    let begun = Instant::now();
    let pass = engine.scrub_all(&mut |_| ControlFlow::Continue(())).expect("everything can be read");
    let took = begun.elapsed().as_secs_f64();
    assert!(pass.is_clean() && pass.bytes >= bytes, "{pass:?}");
    println!(
        "a full pass at full speed: {:.0} MB and {} rows in {took:.1} s, {:.0} MB/s",
        pass.bytes as f64 / 1e6,
        pass.rows,
        pass.bytes as f64 / 1e6 / took
    );
    let ways = [("no scrubbing", None), ("1 MiB/s", Some(1 << 20)), ("at full speed", Some(u64::MAX))];
    let mut measured = ways.map(|_| [const { Vec::new() }; 3]);
    for round in 0..rounds {
        for (way, (_, rate)) in ways.iter().enumerate() {
            let solved = Arc::new(solve(&engine, DifficultyTier::Low, (round * ways.len() + way) * units, units));
            let stop = AtomicBool::new(false);
            let run = std::thread::scope(|scope| {
                if let Some(rate) = *rate {
                    let (engine, stop) = (&engine, &stop);
                    scope.spawn(move || scrub(engine, rate, stop));
                }
                let run = submit_all(&engine, &counters, &solved, SUBMITTERS);
                stop.store(true, Ordering::SeqCst);
                run
            });
            let values = [run.units_per_second(units), run.percentile_ms(50), run.percentile_ms(99)];
            measured[way].iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        }
    }
    engine.close();
    println!("{SUBMITTERS} submitters, {units} answers a round, medians of {rounds} interleaved rounds");
    for ((name, _), [rate, p50, p99]) in ways.iter().zip(&measured) {
        let [rate, p50, p99] = [rate, p50, p99].map(|values| median(values));
        println!("{name:>14}: {rate:>7.0} answers/s, p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
}

/// Takes steps as the engine's thread does: once a second, of what the second has brought.
fn scrub(engine: &PouwEngine, rate: u64, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        engine.scrub(ScrubBudget::bytes(rate.min(1 << 20))).expect("everything can be read");
        if rate != u64::MAX {
            wait(Instant::now() + Duration::from_secs(1), stop);
        }
    }
}

fn wait(until: Instant, stop: &AtomicBool) {
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
}
