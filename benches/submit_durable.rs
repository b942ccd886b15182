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

mod backlog;

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use pouw::protocol::{ByTier, DifficultyTier, WorkResult};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, IssueRequest, PouwEngine, Runtime, StorageBackend, StorageProvider, StoreDirectory, StoreFile,
};
use redb::{Database, Durability, TableDefinition};

use backlog::{Scale, ingest, median, options, scratch, write_leaves};

const LEAVES_PER_UNIT: u64 = 32;
const NODES_PER_UNIT: f64 = 63.0;
const CLIENTS: u64 = 100_000;
/// Tiles left over, so that the tree is never completed.
const SPARE_TILES: u64 = 512;
const TILES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("tiles-0");

fn main() {
    let scale = Scale::from_arguments();
    let rounds = scale.pick(5, 3, 1);
    let directory = scratch();
    println!("store below {}", directory.path().display());
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
    let engine = open(&place.join("engine"), &counters);
    ingest(&engine, &options(), std::slice::from_ref(&file));
    std::fs::remove_file(&file).expect("the file can be removed");
    let raw_place = place.join("raw");
    std::fs::create_dir_all(&raw_place).expect("the directory can be made");
    let replay = RawStore::open(&raw_place.join("replay.redb"));
    let looped = Arc::new(RawStore::open(&raw_place.join("loop.redb")));
    let mut comparison = Comparison { submitters, units, ..Comparison::default() };
    for round in 0..rounds {
        let solved = Arc::new(solve(&engine, round, units));
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

fn open(place: &Path, counters: &Arc<Counters>) -> PouwEngine {
    std::fs::create_dir_all(place).expect("the directory can be made");
    let storage = Counted { inner: StoreDirectory::new(place), counters: counters.clone() };
    let parts = Runtime::on(Arc::new(storage));
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .token_ttl(Duration::from_secs(3_600))
        .min_queue_depth(256);
    PouwEngine::open_with(parts, config.build().expect("the settings are valid")).expect("the store opens")
}

/// An answer, its client and the tile it settles.
struct Solved {
    client: [u8; 8],
    tile: u64,
    result: WorkResult,
}

/// Issues `units` full High units and solves them.
fn solve(engine: &PouwEngine, round: usize, units: usize) -> Vec<Solved> {
    let mut out = Vec::with_capacity(units);
    while out.len() < units {
        let client = ((round * units + out.len()) as u64 % CLIENTS).to_le_bytes();
        let Ok(issued) = engine.issue(&IssueRequest::new(&client, DifficultyTier::High)) else {
            engine.refill().expect("the backlog can be read");
            continue;
        };
        if issued.unit.node_count != 63 {
            continue;
        }
        let result = compute_work_unit(&issued.unit).expect("the unit adds up");
        out.push(Solved { client, tile: issued.unit.tree_index, result });
    }
    out
}

/// What one timed round did.
struct Run {
    elapsed: Duration,
    latencies: Vec<Duration>,
    /// The tiles of each commit, in order.
    batches: Vec<Vec<u64>>,
}

impl Run {
    fn units_per_second(&self, units: usize) -> f64 {
        units as f64 / self.elapsed.as_secs_f64()
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() - 1) * percent / 100;
        self.latencies[at].as_secs_f64() * 1e3
    }
}

/// Each submitter takes the next answer in order of issue and waits until it is durable.
fn submit_all(engine: &PouwEngine, counters: &Arc<Counters>, solved: &Arc<Vec<Solved>>, submitters: usize) -> Run {
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
struct Slot(Arc<(Mutex<Option<u64>>, Condvar)>);

impl Slot {
    fn put(&self, value: u64) {
        *self.0.0.lock().expect("no thread panicked") = Some(value);
        self.0.1.notify_one();
    }

    fn take(&self) -> u64 {
        let mut guard = self.0.0.lock().expect("no thread panicked");
        loop {
            match guard.take() {
                Some(value) => return value,
                None => guard = self.0.1.wait(guard).expect("no thread panicked"),
            }
        }
    }
}

/// redb with one table and nothing else.
struct RawStore(Database);

impl RawStore {
    fn open(path: &Path) -> Self {
        let mut builder = Database::builder();
        builder.set_cache_size(48 << 20);
        Self(builder.create(path).expect("the raw store opens"))
    }

    fn write(&self, tiles: &[u64]) {
        let mut txn = self.0.begin_write().expect("a transaction begins");
        txn.set_durability(Durability::Immediate).expect("no savepoint is in the way");
        txn.set_two_phase_commit(true);
        {
            let mut table = txn.open_table(TILES).expect("the table opens");
            for tile in tiles {
                table.insert((0, *tile), &[0x11; 16][..]).expect("there is room");
            }
        }
        txn.commit().expect("the commit is durable");
    }

    fn replay(&self, batches: &[Vec<u64>]) -> Duration {
        let started = Instant::now();
        batches.iter().for_each(|batch| self.write(batch));
        started.elapsed()
    }
}

/// The engine's loop without the engine: first of the queue, then what else is there, one commit.
fn group_commit(store: &Arc<RawStore>, first: usize, units: usize, submitters: usize) -> Duration {
    let (jobs_in, jobs) = bounded::<(u64, Slot)>(4_096);
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = jobs.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(jobs.try_iter().take(255)).collect();
                let tiles: Vec<u64> = batch.iter().map(|(tile, _)| *tile).collect();
                store.write(&tiles);
                batch.iter().for_each(|(tile, done)| done.put(*tile));
            }
        });
        for _ in 0..submitters {
            let (jobs_in, next) = (jobs_in.clone(), &next);
            scope.spawn(move || {
                let slot = Slot::default();
                loop {
                    let tile = next.fetch_add(1, Ordering::Relaxed);
                    if tile >= units {
                        return;
                    }
                    jobs_in.send(((first + tile) as u64, slot.clone())).expect("the writer runs");
                    slot.take();
                }
            });
        }
        drop(jobs_in);
    });
    started.elapsed()
}

/// Bytes handed to the operating system, both files, and syncs of the state file.
#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    state_syncs: AtomicU64,
}

impl Counters {
    fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Counted {
    inner: StoreDirectory,
    counters: Arc<Counters>,
}

impl StorageProvider for Counted {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        let backend = self.inner.open(file)?;
        Ok(Box::new(CountedFile { backend, file, counters: self.counters.clone() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.inner.sync_names()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

#[derive(Debug)]
struct CountedFile {
    backend: Box<dyn StorageBackend>,
    file: StoreFile,
    counters: Arc<Counters>,
}

impl StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()?;
        if self.file == StoreFile::State {
            self.counters.state_syncs.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counters.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.backend.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.backend.unlock_range(start, end)
    }
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
