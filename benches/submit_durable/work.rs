//! Units issued and solved beforehand, and submitters that hand them in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pouw::protocol::{ByTier, DifficultyTier, WorkResult};
use pouw::solver::compute_work_unit;
use pouw::{Answer, Config, ConfigBuilder, IssueRequest, PouwEngine, Runtime, StoreDirectory};

use crate::counted::{Counted, Counters};

/// Client keys.
pub const CLIENTS: u64 = 100_000;

/// Settings under which answers count at once.
pub fn settings() -> ConfigBuilder {
    Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .token_ttl(Duration::from_secs(3_600))
        .min_queue_depth(256)
}

pub fn open(place: &Path, settings: ConfigBuilder, counters: &Arc<Counters>) -> PouwEngine {
    std::fs::create_dir_all(place).expect("the directory can be made");
    let storage = Counted { inner: StoreDirectory::new(place), counters: counters.clone() };
    let config = settings.build().expect("the settings are valid");
    PouwEngine::open_with(Runtime::on(Arc::new(storage)), config).expect("the store opens")
}

/// An answer, its client and the tile it settles.
pub struct Solved {
    pub client: [u8; 8],
    tile: u64,
    pub result: WorkResult,
}

/// Issues `units` full units of a tier and solves them. The first is for client `from`.
pub fn solve(engine: &PouwEngine, tier: DifficultyTier, from: usize, units: usize) -> Vec<Solved> {
    let mut out = Vec::with_capacity(units);
    while out.len() < units {
        let client = ((from + out.len()) as u64 % CLIENTS).to_le_bytes();
        let Ok(issued) = engine.issue(&IssueRequest::new(&client, tier)) else {
            engine.refill().expect("the backlog can be read");
            continue;
        };
        if tier == DifficultyTier::High && issued.unit.node_count != 63 {
            continue;
        }
        let result = compute_work_unit(&issued.unit).expect("the unit adds up");
        out.push(Solved { client, tile: issued.unit.tree_index, result });
    }
    out
}

/// What one timed round did.
pub struct Run {
    elapsed: Duration,
    latencies: Vec<Duration>,
    /// The tiles of each commit, in order.
    pub batches: Vec<Vec<u64>>,
}

impl Run {
    pub fn units_per_second(&self, units: usize) -> f64 {
        units as f64 / self.elapsed.as_secs_f64()
    }

    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() - 1) * percent / 100;
        self.latencies[at].as_secs_f64() * 1e3
    }
}

/// Each submitter takes the next answer in order of issue and waits until it is durable.
pub fn submit_all(engine: &PouwEngine, counters: &Arc<Counters>, solved: &Arc<Vec<Solved>>, submitters: usize) -> Run {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let mut done: Vec<(u64, u64, Duration)> = Vec::with_capacity(solved.len());
    std::thread::scope(|scope| {
        let spawn = |_| {
            let thread = std::thread::Builder::new().name("submitter".into());
            thread.spawn_scoped(scope, || submitter(engine, counters, solved, &next)).expect("a thread starts")
        };
        let workers: Vec<_> = (0..submitters).map(spawn).collect();
        for worker in workers {
            done.extend(worker.join().expect("no submitter fails"));
        }
    });
    let elapsed = started.elapsed();
    let mut batches: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (syncs, tile, _) in &done {
        batches.entry(*syncs).or_default().push(*tile);
    }
    let mut latencies: Vec<Duration> = done.into_iter().map(|(_, _, latency)| latency).collect();
    latencies.sort_unstable();
    Run { elapsed, latencies, batches: batches.into_values().collect() }
}

fn submitter(
    engine: &PouwEngine,
    counters: &Arc<Counters>,
    solved: &[Solved],
    next: &AtomicUsize,
) -> Vec<(u64, u64, Duration)> {
    let mut out = Vec::new();
    let slot = Slot::default();
    while let Some(one) = solved.get(next.fetch_add(1, Ordering::Relaxed)) {
        let begun = Instant::now();
        let (reply, counters) = (slot.clone(), counters.clone());
        engine.submit_with(&Answer::new(&one.client, &one.result), move |verdict| {
            // On the writer's thread: the number of syncs so far identifies the commit.
            verdict.expect("the answer is right");
            reply.put(counters.state_syncs.load(Ordering::SeqCst));
        });
        let syncs = slot.take();
        out.push((syncs, one.tile, begun.elapsed()));
    }
    out
}

/// Where one waiting thread finds its answer. It sleeps at once: 64 threads that spin would take the two
/// cores from the one that works.
#[derive(Clone, Default)]
pub struct Slot(Arc<(Mutex<Option<u64>>, Condvar)>);

impl Slot {
    pub fn put(&self, value: u64) {
        *self.0.0.lock().expect("no thread panicked") = Some(value);
        self.0.1.notify_one();
    }

    pub fn take(&self) -> u64 {
        let mut guard = self.0.0.lock().expect("no thread panicked");
        loop {
            match guard.take() {
                Some(value) => return value,
                None => guard = self.0.1.wait(guard).expect("no thread panicked"),
            }
        }
    }
}
