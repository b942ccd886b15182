//! The engine, on a store in memory, against the oracle of the model test: no operations make their
//! verdicts or states differ.
//!
//! An input is two bytes of settings and four bytes for each operation. With `POUW_FUZZ_COUNTS=FILE`
//! the file shows, renewed every second, how often each operation ended in each way.
#![no_main]

#[path = "../../tests/it/support"]
#[allow(dead_code)]
mod support {
    pub mod disk;
    pub mod model;
    pub mod work;
}

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use support::model::ops::{KINDS, Op, Setup};
use support::model::world::{Base, Tally, run};

fuzz_target!(|data: &[u8]| {
    let Some((setup, bytes)) = data.split_first_chunk::<SETUP>() else {
        return;
    };
    let mut ops = Op::decode_all(bytes);
    ops.truncate(OPS_MAX);
    match run(Base::memory(), Setup::decode(*setup), &ops, None) {
        Ok(tally) => count(&tally),
        Err(what) => panic!("{:?}\n{ops:#?}\n{what}", Setup::decode(*setup)),
    }
});

// Whole operations are put in, repeated and taken out; single bytes are left to the fuzzer.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(seed.into());
    let room = max_size.min(data.len());
    if size < SETUP || room < FULL || random.below(4) == 0 {
        let size = fuzzer_mutate(data, size, room);
        return size;
    }
    let mut ops: Vec<[u8; OP]> = data[SETUP..size].as_chunks::<OP>().0.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(ops.len() + 1);
        match random.below(8) {
            0 => ops.truncate(at.max(OPS_MAX / 2)),
            1 if at < ops.len() => drop(ops.remove(at)),
            2 if at < ops.len() => ops.insert(at, ops[at]),
            3 if at < ops.len() => ops[at] = random.op(),
            _ => drop((0..=random.below(8)).map(|_| ops.insert(at, random.op())).count()),
        }
    }
    ops.truncate(OPS_MAX);
    let bytes = ops.as_flattened();
    data[SETUP..SETUP + bytes.len()].copy_from_slice(bytes);
    SETUP + bytes.len()
});

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// An operation: as often as bytes come to it, now and then of each kind with even chance.
    fn op(&mut self) -> [u8; OP] {
        let even = self.below(2) == 0;
        let kind = self.below(KINDS.len());
        loop {
            let [a, b, c, d, ..] = self.next().to_le_bytes();
            if !even || Op::decode([a, b, c, d]).kind() == kind {
                return [a, b, c, d];
            }
        }
    }
}

/// What was counted so far.
struct Counts {
    inputs: u64,
    all: Tally,
    since: Option<(Instant, Instant)>,
}

static COUNTS: Mutex<Counts> = Mutex::new(Counts { inputs: 0, all: Tally::new(), since: None });

fn count(tally: &Tally) {
    let Some(path) = std::env::var_os("POUW_FUZZ_COUNTS") else {
        return;
    };
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    counts.inputs += 1;
    for (what, times) in tally {
        *counts.all.entry(*what).or_default() += times;
    }
    let now = Instant::now();
    let (began, shown) = *counts.since.get_or_insert((now, now));
    if now - shown >= Duration::from_secs(1) {
        counts.since = Some((began, now));
        counts.show(now - began, path.as_ref());
    }
}

impl Counts {
    fn show(&self, took: Duration, path: &Path) {
        let mut table = format!("{} inputs in {} s\n", self.inputs, took.as_secs());
        for kind in KINDS {
            let ended = || self.all.iter().filter(move |((op, _), _)| *op == kind);
            let sum: u64 = ended().map(|(_, times)| times).sum();
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{sum:9} {kind}");
            for ((_, verdict), times) in ended() {
                let _ = writeln!(table, "{times:19} {verdict}");
            }
        }
        if let Err(error) = std::fs::write(path, table) {
            eprintln!("POUW_FUZZ_COUNTS: {}: {error}", path.display());
        }
    }
}

/// Bytes of the settings.
const SETUP: usize = 2;
/// Bytes of an operation.
const OP: usize = 4;
/// Operations of an input; more are dropped.
const OPS_MAX: usize = 60;
/// Bytes of the longest input.
const FULL: usize = SETUP + OPS_MAX * OP;
