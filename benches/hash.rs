//! SHA3-512 of one message and of batches, by message length. Peers are the kernels among themselves; the batch
//! runs through the kernel that the library selects.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pouw::hash::{Checksum, best_lanes, hash_batch_into, hash_parent, sha3_512};

fn one_message(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash/one_shot");
    for len in LENGTHS {
        let data = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| sha3_512(black_box(&data)));
        });
    }
    group.finish();
}

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("hash/batch_of_{BATCH}_{}", best_lanes().name()));
    for len in LENGTHS {
        let data: Vec<Vec<u8>> = (0..BATCH).map(|i| vec![i as u8; len]).collect();
        let messages: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut out = [Checksum::ZERO; BATCH];
        group.throughput(Throughput::Bytes((len * BATCH) as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| hash_batch_into(black_box(&messages), &mut out));
        });
    }
    group.finish();
}

fn parent(c: &mut Criterion) {
    let (left, right) = (sha3_512(b"left"), sha3_512(b"right"));
    c.bench_function("hash/parent/two_children", |b| {
        b.iter(|| hash_parent(black_box(&left), Some(black_box(&right))));
    });
}

/// Lengths of messages in bytes: a lone child, two children, and blocks.
const LENGTHS: [usize; 5] = [64, 128, 512, 4 << 10, 64 << 10];

/// Messages in a batch: the leaves of a tile.
const BATCH: usize = 32;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = one_message, batch, parent
}
criterion_main!(benches);
