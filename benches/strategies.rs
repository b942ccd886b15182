//! What the server hashes, and what CPU time it takes, for each accepted unit of 32 leaves under the four ways to
//! verify a tree, for leaves of 4 KiB and of 64 KiB; beside a server that hashes everything itself.
//!
//! Everything of the server's runs in this process: ingest, issue, judging, commits, assembly, and at the end a strict
//! export. Clients solve in it too; the CPU time of their hashing is taken off. For leaves of 64 KiB the High byte cap
//! is raised to 2 MiB, from 128 KiB, so that a unit has 32 of them.
//!
//! `--quick` for less, `--test` for a smoke test; `POUW_BENCH_DIR` chooses the disk.

mod backlog;

use std::path::Path;
use std::time::Duration;

use pouw::hash::{Checksum, hash_batch};
use pouw::protocol::{ByTier, DifficultyTier};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, Exposure, HashReason, IngestOptions, IssueError, IssueRequest, PouwEngine, Runtime, Strategy,
    StrategyAccount,
};
use rustix::time::{ClockId, clock_gettime};

use backlog::{Scale, median, scratch_on_target};

const LEAVES: usize = 32;
const STRATEGIES: [Strategy; 4] =
    [Strategy::Precomputed, Strategy::KnownAddress, Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }];

fn main() {
    let scale = Scale::from_arguments();
    let rounds = scale.pick(5, 3, 1);
    let directory = scratch_on_target();
    println!("store below {}; units of {LEAVES} leaves, medians of {rounds} rounds\n", directory.path().display());
    for (leaf, units) in [(4 << 10, scale.pick(1_024, 128, 2)), (64 << 10, scale.pick(96, 24, 2))] {
        let data = Backlog::new(leaf, units);
        let mut runs: Vec<Vec<Run>> = STRATEGIES.iter().map(|_| Vec::new()).collect();
        let mut alone = Vec::new();
        for round in 0..rounds {
            alone.push(micros(data.hash_alone(), units));
            for (at, strategy) in STRATEGIES.into_iter().enumerate() {
                let place = directory.path().join(format!("{leaf}-{round}-{at}"));
                runs[at].push(data.run(&place, strategy));
                std::fs::remove_dir_all(&place).expect("the scratch directory can be emptied");
            }
        }
        print_table(&data, &alone, &runs);
    }
    admissions(&directory.path().join("tiers"), rounds, scale.pick(2_000, 400, 2));
}

/// CPU time of a client for one admission by tier, leaves of 4 KiB, and the bytes that go over the wire for it.
fn admissions(place: &Path, rounds: usize, repeats: usize) {
    let engine = open(place);
    let data = Backlog::new(4 << 10, 4);
    engine
        .ingest_blocks(&IngestOptions::new(Exposure::Public), "t", &slices(&data.bytes, data.leaf))
        .expect("the blocks can be ingested");
    engine.refill().expect("the backlog can be read");
    println!("one admission, native client\n");
    println!("| tier | leaves | hashes | CPU ms | block data, KiB | unit as JSON, bytes | compact result, bytes |");
    println!("|---|---|---|---|---|---|---|");
    for tier in DifficultyTier::ALL {
        let unit = engine.issue(&IssueRequest::new(b"client", tier)).expect("a unit is ready").unit;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let before = thread_cpu();
            for _ in 0..repeats {
                std::hint::black_box(compute_work_unit(&unit).expect("it adds up"));
            }
            times.push((thread_cpu() - before).as_secs_f64() * 1e3 / repeats as f64);
        }
        let result = compute_work_unit(&unit).expect("it adds up");
        println!(
            "| {tier} | {} | {} | {:.3} | {} | {} | {} |",
            unit.leaf_lengths.len().max(1),
            unit.node_count,
            middle(&times),
            unit.input_data.len() >> 10,
            unit.to_json().len(),
            result.to_compact().len(),
        );
    }
    engine.close();
}

/// Leaves that differ, and their addresses.
struct Backlog {
    leaf: usize,
    units: usize,
    bytes: Vec<u8>,
    addresses: Vec<Checksum>,
}

/// What one strategy cost, microseconds of the server's CPU for each unit.
struct Run {
    ingest: f64,
    serve: f64,
    export: f64,
    account: StrategyAccount,
    /// Before the export.
    exported: StrategyAccount,
}

impl Backlog {
    fn new(leaf: usize, units: usize) -> Self {
        let mut state = 1_u64;
        let words = (0..leaf * LEAVES * units / 8).flat_map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state.to_le_bytes()
        });
        let bytes: Vec<u8> = words.collect();
        let addresses = bytes.chunks(leaf * LEAVES).flat_map(|unit| hash_batch(&slices(unit, leaf))).collect();
        Self { leaf, units, bytes, addresses }
    }

    /// CPU time of hashing all of it, in batches, and keeping nothing.
    fn hash_alone(&self) -> Duration {
        let before = process_cpu();
        for unit in self.bytes.chunks(self.leaf * LEAVES) {
            std::hint::black_box(hash_batch(&slices(unit, self.leaf)));
        }
        process_cpu() - before
    }

    fn run(&self, place: &Path, strategy: Strategy) -> Run {
        let engine = open(place);
        let (start, blocks) = (process_cpu(), slices(&self.bytes, self.leaf));
        let options = IngestOptions::new(Exposure::Public).strategy(strategy);
        if strategy == Strategy::KnownAddress {
            let known: Vec<(Checksum, &[u8])> = self.addresses.iter().copied().zip(blocks).collect();
            engine.ingest_known_blocks(&options, "t", &known).expect("the blocks can be ingested");
        } else {
            engine.ingest_blocks(&options, "t", &blocks).expect("the blocks can be ingested");
        }
        let ingested = process_cpu();
        let solving = self.work(&engine, strategy);
        while engine.tree("t").expect("it is there").root.is_none() {
            engine.upkeep().expect("upkeep goes through");
        }
        let served = process_cpu();
        let account = *engine.stats().account.of(strategy);
        let exported = engine.export_leaves("t", &mut |leaf| {
            std::hint::black_box(leaf);
            Ok(())
        });
        assert_eq!(exported.expect("the tree exports").nodes, (self.units * LEAVES) as u64);
        let end = process_cpu();
        let after = *engine.stats().account.of(strategy);
        engine.close();
        Run {
            ingest: micros(ingested - start, self.units),
            serve: micros(served - ingested - solving, self.units),
            export: micros(end - served, self.units),
            account,
            exported: after,
        }
    }

    /// Works everything off; the CPU time of the clients' hashing. As many clients as a quorum takes, each of a network
    /// of its own.
    fn work(&self, engine: &PouwEngine, strategy: Strategy) -> Duration {
        let clients = if let Strategy::Redundant { quorum } = strategy { quorum } else { 1 };
        let mut solving = Duration::ZERO;
        for who in 0..clients {
            let (client, network) = ([b'c', who], [b'n', who]);
            let request = IssueRequest::new(&client, DifficultyTier::High).network(&network);
            loop {
                engine.refill().expect("the backlog can be read");
                let issued = match engine.issue(&request) {
                    Ok(issued) => issued,
                    Err(IssueError::NoWork) => break,
                    Err(other) => panic!("{other}"),
                };
                let before = thread_cpu();
                let result = compute_work_unit(&issued.unit).expect("it adds up");
                solving += thread_cpu() - before;
                engine.submit(&Answer::new(&client, &result).network(&network)).expect("it is right");
            }
        }
        solving
    }
}

fn open(place: &Path) -> PouwEngine {
    std::fs::create_dir_all(place).expect("the directory can be made");
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .token_ttl(Duration::from_secs(3_600))
        .unit_bytes(ByTier { low: 64 << 10, medium: 64 << 10, high: 2 << 20 })
        .background(false);
    let config = config.build().expect("the settings are valid");
    PouwEngine::open_with(Runtime::in_directory(place), config).expect("the store opens")
}

fn slices(bytes: &[u8], leaf: usize) -> Vec<&[u8]> {
    bytes.chunks(leaf).collect()
}

fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn micros(time: Duration, units: usize) -> f64 {
    time.as_secs_f64() * 1e6 / units as f64
}

fn print_table(data: &Backlog, alone: &[f64], runs: &[Vec<Run>]) {
    let kib = data.leaf >> 10;
    println!(
        "leaves of {kib} KiB, {} units; hashing them and nothing else: {:.0} us/unit\n",
        data.units,
        middle(alone)
    );
    println!(
        "| strategy, {kib} KiB | server, permutations/unit | of them leaves | accepted/unit | accepted per permutation \
         of the server | ... with a strict export | ingest us | issue, judge, commit, fold us | strict export us | \
         CPU saved us | KiB sent/unit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (strategy, runs) in STRATEGIES.iter().zip(runs) {
        let Some(first) = runs.first() else { continue };
        let units = data.units as f64;
        let server = first.account.server_work().permutations as f64;
        let folding = first.account.server(HashReason::Folding).permutations as f64;
        let accepted = first.account.accepted.permutations as f64;
        let strict = first.exported.server_work().permutations as f64;
        let of = |pick: fn(&Run) -> f64| middle(&runs.iter().map(pick).collect::<Vec<f64>>());
        let (ingest, serve, export) = (of(|run| run.ingest), of(|run| run.serve), of(|run| run.export));
        println!(
            "| {strategy} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {ingest:.0} | {serve:.0} | {export:.0} | {:.0} | {:.0} |",
            server / units,
            (server - folding) / units,
            accepted / units,
            accepted / server,
            accepted / strict,
            middle(alone) - ingest - serve,
            first.account.sent_bytes as f64 / 1024.0 / units,
        );
    }
    println!();
}

fn middle(values: &[f64]) -> f64 {
    median(values)
}
