//! Durable submits of High units (63 nodes, leaves of 512 bytes) at 64 submitters and at one, over 100 000
//! client keys, beside raw redb that writes only the status rows of the same batches with the same flags.
//!
//! Units are issued and solved before the clock starts. Then every submitter hands in one answer at a
//! time and waits until it is durable, as an HTTP request would. The batches the engine made are recorded
//! (each sync is counted on its way to the disk), and raw redb replays them in two ways: `replay` is one
//! thread that inserts the rows of each batch and commits, without any queue; `loop` is the same group
//! commit as the engine's, with as many submitters. Rounds alternate, medians are printed.
//!
//! `--quick` for less, `--test` for a smoke test; `POUW_BENCH_DIR` chooses the disk.
//!
//! What happens beside the answers is measured instead with one of these words:
//!
//! * `backups`: 20 backups under 64 submitters. Each copy is checked, and has every answer that was acknowledged before
//!   its backup began; how long no answer was acknowledged is printed.
//! * `scrubs`: a full pass over a store of 1 GiB, and what answers beside scrubbing wait.
//! * `sweeps`: 5 000 answers a second for a minute, swept once a second: rows of used tokens.

#[path = "../backlog/mod.rs"]
mod backlog;
mod backups;
mod counted;
mod raw;
mod scrubs;
mod sweeps;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backlog::{Scale, ingest, median, options, scratch, write_leaves};
use counted::Counters;
use pouw::protocol::DifficultyTier;
use raw::{RawStore, group_commit};
use work::{open, settings, solve, submit_all};

const LEAVES_PER_UNIT: u64 = 32;
const NODES_PER_UNIT: f64 = 63.0;
/// Tiles left over, so that the tree is never completed.
const SPARE_TILES: u64 = 512;

fn main() {
    let scale = Scale::from_arguments();
    let rounds = scale.pick(5, 3, 1);
    let directory = scratch();
    println!("store below {}", directory.path().display());
    match std::env::args().nth(1).as_deref() {
        Some("backups") => return backups::run(directory.path(), scale),
        Some("scrubs") => return scrubs::run(directory.path(), scale),
        Some("sweeps") => return sweeps::run(directory.path(), scale),
        _ => {}
    }
    let mut report = Vec::new();
    for (submitters, units) in [(64, scale.pick(20_000, 4_000, 128)), (1, scale.pick(1_000, 300, 8))] {
        let place = directory.path().join(format!("with-{submitters}"));
        report.push(compare(&place, submitters, units, rounds));
        std::fs::remove_dir_all(&place).expect("the scratch directory can be emptied");
    }
    print_table(&report);
}

/// One store, `rounds` times: the engine, then raw redb with what the engine had done.
fn compare(place: &Path, submitters: usize, units: usize, rounds: usize) -> Comparison {
    std::fs::create_dir_all(place).expect("the directory can be made");
    let file = place.join("leaves");
    // One tree for all rounds, so that none is completed, and folded, while the clock runs.
    write_leaves(&file, ((units * rounds) as u64 + SPARE_TILES) * LEAVES_PER_UNIT);
    let counters = Arc::new(Counters::default());
    let engine = open(&place.join("engine"), settings(), &counters);
    ingest(&engine, &options(), std::slice::from_ref(&file));
    std::fs::remove_file(&file).expect("the file can be removed");
    let raw_place = place.join("raw");
    std::fs::create_dir_all(&raw_place).expect("the directory can be made");
    let replay = RawStore::open(&raw_place.join("replay.redb"));
    let looped = Arc::new(RawStore::open(&raw_place.join("loop.redb")));
    let mut comparison = Comparison { submitters, units, ..Comparison::default() };
    for round in 0..rounds {
        let solved = Arc::new(solve(&engine, DifficultyTier::High, round * units, units));
        let before = (counters.written(), engine.stats());
        let run = submit_all(&engine, &counters, &solved, submitters);
        let after = (counters.written(), engine.stats());
        assert_eq!(after.1.totals.units - before.1.totals.units, units as u64, "every answer was taken");
        comparison.engine.push(run.units_per_second(units));
        comparison.p50_ms.push(run.percentile_ms(50));
        comparison.p99_ms.push(run.percentile_ms(99));
        comparison.kib_per_unit.push((after.0 - before.0) as f64 / 1024.0 / units as f64);
        comparison.batch.push(units as f64 / run.batches.len() as f64);
        drop(solved);
        let rate = |elapsed: Duration| units as f64 / elapsed.as_secs_f64();
        comparison.replay.push(rate(replay.replay(&run.batches)));
        comparison.looped.push(rate(group_commit(&looped, round * units, units, submitters)));
        comparison.print_round();
    }
    engine.close();
    comparison
}

/// All rounds with one number of submitters; a value for each round.
#[derive(Debug, Default)]
struct Comparison {
    submitters: usize,
    units: usize,
    engine: Vec<f64>,
    replay: Vec<f64>,
    looped: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    kib_per_unit: Vec<f64>,
    batch: Vec<f64>,
}

impl Comparison {
    fn print_round(&self) {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        println!(
            "round {}, {} submitters: engine {:.0}/s in batches of {:.1}, raw replay {:.0}/s, raw loop {:.0}/s",
            self.engine.len(),
            self.submitters,
            last(&self.engine),
            last(&self.batch),
            last(&self.replay),
            last(&self.looped),
        );
    }
}

fn print_table(comparisons: &[Comparison]) {
    println!("medians of {} rounds; ratio is engine to raw", comparisons[0].engine.len());
    println!(
        "{:>10} {:>8} {:>9} {:>11} {:>8} {:>8} {:>8} {:>7} {:>11} {:>6} {:>9} {:>6}",
        "submitters",
        "units",
        "units/s",
        "nodes/s",
        "p50 ms",
        "p99 ms",
        "KiB/unit",
        "batch",
        "raw replay",
        "ratio",
        "raw loop",
        "ratio"
    );
    for of in comparisons {
        let [engine, replay, looped] = [&of.engine, &of.replay, &of.looped].map(|values| median(values));
        let [p50, p99, kib, batch] = [&of.p50_ms, &of.p99_ms, &of.kib_per_unit, &of.batch].map(|values| median(values));
        let (nodes, to_replay, to_loop) = (engine * NODES_PER_UNIT, engine / replay, engine / looped);
        println!(
            "{:>10} {:>8} {engine:>9.0} {nodes:>11.0} {p50:>8.2} {p99:>8.2} {kib:>8.2} {batch:>7.1} {replay:>11.0} {to_replay:>6.2} {looped:>9.0} {to_loop:>6.2}",
            of.submitters, of.units,
        );
        println!(
            "{{\"bench\":\"submit_durable\",\"submitters\":{},\"units\":{},\"rounds\":{},\"units_per_s\":{engine:.0},\
             \"nodes_per_s\":{nodes:.0},\"p50_ms\":{p50:.3},\"p99_ms\":{p99:.3},\"kib_per_unit\":{kib:.3},\
             \"batch\":{batch:.1},\"raw_replay_per_s\":{replay:.0},\"ratio_replay\":{to_replay:.3},\
             \"raw_loop_per_s\":{looped:.0},\"ratio_loop\":{to_loop:.3}}}",
            of.submitters,
            of.units,
            of.engine.len(),
        );
    }
}
