//! Roots (streaming against batch), the fold of a tile, and inclusion proofs.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::{LeafIndex, Shape, StreamingRoot, TILE_LEAVES, TILE_ORDER, fold, fold_level, prove, root};

fn roots(c: &mut Criterion) {
    for count in [TILE_LEAVES, 1_000, 16_384] {
        let leaves = leaves(count);
        let mut group = c.benchmark_group("merkle");
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("root_batch", count), |b| {
            b.iter(|| root(black_box(&leaves)));
        });
        group.bench_function(BenchmarkId::new("root_streaming", count), |b| {
            b.iter(|| {
                let mut stream = StreamingRoot::new();
                black_box(&leaves).iter().for_each(|leaf| stream.push(*leaf));
                stream.finish()
            });
        });
        group.finish();
    }
}

fn fold_of_a_tile(c: &mut Criterion) {
    for count in [TILE_LEAVES, 17] {
        let leaves = leaves(count);
        c.bench_function(&format!("merkle/fold_tile/{count}"), |b| {
            b.iter(|| fold(black_box(&leaves), TILE_ORDER));
        });
    }
}

fn proofs(c: &mut Criterion) {
    let count = 16_384;
    let shape = Shape::new(count).expect("within the limits");
    let mut levels = vec![leaves(count)];
    while levels[0].len() > 1 {
        levels.insert(0, fold_level(&levels[0]));
    }
    let index = LeafIndex(count / 3);
    let make = || {
        let levels = black_box(&levels);
        prove(shape, index, |at| Ok::<_, Infallible>(levels[usize::from(at.level.0)][at.index as usize]))
    };
    c.bench_function(&format!("merkle/prove/{count}"), |b| b.iter(make));
    let proof = make().expect("all nodes are at hand");
    let leaf = levels[levels.len() - 1][index.0 as usize];
    c.bench_function(&format!("merkle/verify/{count}"), |b| {
        b.iter(|| black_box(&proof).verify(shape, index, &leaf, &levels[0][0]));
    });
}

fn leaves(count: u64) -> Vec<Checksum> {
    (0..count).map(|i| sha3_512(&i.to_le_bytes())).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = roots, fold_of_a_tile, proofs
}
criterion_main!(benches);
