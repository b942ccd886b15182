//! The engine's verbs: issue by tier, ingest copied and by reference, export.

mod backlog;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pouw::protocol::{ByTier, DifficultyTier};
use pouw::solver::compute_work_unit;
use pouw::{Answer, Config, IssueRequest, PouwEngine};

use backlog::{LEAF_BYTES, Scale, ingest, options, scratch, write_leaves};

fn open(directory: &std::path::Path) -> PouwEngine {
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .token_ttl(Duration::from_secs(3_600))
        .background(false);
    PouwEngine::open(directory, config.build().expect("the settings are valid")).expect("the store opens")
}

/// The call alone, from a ring that is kept full beside the clock.
fn issue(c: &mut Criterion) {
    let directory = scratch();
    let leaves = Scale::from_arguments().pick(4_000_000, 1_000_000, 20_000);
    let file = directory.path().join("leaves");
    write_leaves(&file, leaves);
    let mut engine = open(directory.path());
    ingest(&engine, &options(), std::slice::from_ref(&file));
    let mut group = c.benchmark_group("engine/issue");
    for tier in [DifficultyTier::Low, DifficultyTier::Medium, DifficultyTier::High] {
        group.bench_function(BenchmarkId::from_parameter(format!("{tier:?}").to_lowercase()), |b| {
            b.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for number in 0..count {
                    let client = number.to_le_bytes();
                    let request = IssueRequest::new(&client, tier);
                    if number % 32 == 0 {
                        engine.refill().expect("the backlog can be read");
                    }
                    let begun = Instant::now();
                    let issued = black_box(engine.issue(&request));
                    spent += begun.elapsed();
                    if issued.is_err() {
                        // Everything is out: a new boot knows no leases.
                        engine.close();
                        engine = open(directory.path());
                        engine.refill().expect("the backlog can be read");
                    }
                }
                spent
            });
        });
    }
    group.finish();
    engine.close();
}

/// One big file and many small ones, copied and by reference.
fn ingests(c: &mut Criterion) {
    let sources = scratch();
    let bytes = Scale::from_arguments().pick(64 << 20, 16 << 20, 1 << 20);
    let big = sources.path().join("big");
    write_leaves(&big, bytes / LEAF_BYTES);
    let small = sources.path().join("small");
    std::fs::create_dir(&small).expect("the directory can be made");
    let each = 10 << 10;
    for number in 0..bytes / 8 / each {
        write_leaves(&small.join(number.to_string()), each / LEAF_BYTES);
    }
    let mut group = c.benchmark_group("engine/ingest");
    group.sample_size(10);
    for (name, source, bytes) in [("one_file", &big, bytes), ("files_of_10_kib", &small, bytes / 8 / each * each)] {
        for by_reference in [false, true] {
            let place = if by_reference { "by_reference" } else { "copied" };
            let options = options().by_reference(by_reference).block_size(4_096);
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function(format!("{name}/{place}"), |b| {
                b.iter_batched(
                    || {
                        let directory = scratch();
                        (open(directory.path()), directory)
                    },
                    |(engine, directory)| {
                        ingest(&engine, &options, std::slice::from_ref(source));
                        // Dropped, and so closed and removed, beside the clock.
                        (engine, directory)
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Reading a complete tree out: leaves only, and all nodes. The throughput is that of the nodes written.
fn export(c: &mut Criterion) {
    let directory = scratch();
    let leaves = Scale::from_arguments().pick(100_000, 20_000, 1_000);
    let file = directory.path().join("leaves");
    write_leaves(&file, leaves);
    let engine = open(directory.path());
    ingest(&engine, &options(), &[PathBuf::from(&file)]);
    drain(&engine);
    let name = "leaves";
    let nodes = engine.tree(name).expect("it is there").nodes;
    let mut group = c.benchmark_group("engine/export");
    group.sample_size(10);
    group.throughput(Throughput::Elements(leaves));
    group.bench_function("leaves", |b| {
        b.iter(|| {
            engine
                .export_leaves(name, &mut |node| {
                    black_box(node);
                    Ok(())
                })
                .expect("it is complete")
        });
    });
    group.throughput(Throughput::Elements(nodes));
    group.bench_function("addresses", |b| {
        b.iter(|| {
            engine
                .export_addresses(name, &mut |node| {
                    black_box(node);
                    Ok(())
                })
                .expect("it is complete")
        });
    });
    group.finish();
    engine.close();
}

/// One client works the backlog off; answers are handed in without waiting, as many as the writer takes.
fn drain(engine: &PouwEngine) {
    loop {
        engine.upkeep().expect("upkeep goes on");
        let mut waiting = Vec::new();
        while let Ok(issued) = engine.issue(&IssueRequest::new(b"client", DifficultyTier::High)) {
            let result = compute_work_unit(&issued.unit).expect("it adds up");
            let (sender, receiver) = crossbeam_channel::bounded(1);
            engine.submit_with(&Answer::new(b"client", &result), move |verdict| {
                let _ = sender.send(verdict);
            });
            waiting.push(receiver);
        }
        if waiting.is_empty() {
            break;
        }
        for verdict in waiting {
            verdict.recv().expect("there is a verdict").expect("the answer is right");
        }
    }
    engine.upkeep().expect("upkeep goes on");
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = issue, ingests, export
}
criterion_main!(benches);
