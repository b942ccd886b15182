//! The assembler's operations against the oracle: two bytes of settings, four for each operation. Engine and
//! oracle must agree on every verdict and on the whole state, and at the end every tree drains to its root.
//!
//! Any bytes are a run, so a corpus may start empty; a few files of 200 to 400 random bytes are good seeds
//! (`head -c 400 /dev/urandom`). With `POUW_FUZZ_COUNTS` set, what was reached so far goes to stderr every so
//! often: operation, how it ended, how often.
#![no_main]

#[path = "../../tests/model/mod.rs"]
#[allow(dead_code, reason = "shared: each test uses a part of it")]
mod model;

use std::collections::BTreeMap;
use std::sync::Mutex;

use libfuzzer_sys::fuzz_target;
use model::ops::{KINDS, Op, Setup};
use model::world::{Tally, World};

/// Operations in one run: more find little that fewer do not.
const OPS_MAX: usize = 100;
/// Runs between two reports.
const REPORT_RUNS: u64 = 100;

static REACHED: Mutex<(u64, Tally)> = Mutex::new((0, Tally::new()));

fuzz_target!(|data: &[u8]| {
    let Some((setup, ops)) = data.split_first_chunk::<2>() else { return };
    let mut ops = Op::decode_all(ops);
    ops.truncate(OPS_MAX);
    let mut world = World::new(Setup::decode(*setup), None).expect("a new engine opens");
    for (at, op) in ops.iter().enumerate() {
        if let Err(what) = world.step(*op) {
            panic!("step {at} of {ops:#?}: {what}");
        }
    }
    if let Err(what) = world.drain() {
        panic!("draining after {ops:#?}: {what}");
    }
    count(world.tally);
});

fn count(tally: Tally) {
    let mut reached = REACHED.lock().expect("no run panicked");
    reached.0 += 1;
    for (what, times) in tally {
        *reached.1.entry(what).or_default() += times;
    }
    if reached.0 % REPORT_RUNS == 0 && std::env::var_os("POUW_FUZZ_COUNTS").is_some() {
        report(reached.0, &reached.1);
    }
}

fn report(runs: u64, tally: &Tally) {
    let mut kinds: BTreeMap<&str, u64> = KINDS.iter().map(|kind| (*kind, 0)).collect();
    for ((op, ended), times) in tally {
        *kinds.entry(op).or_default() += times;
        eprintln!("{times:10} {op} {ended}");
    }
    let least = kinds.iter().min_by_key(|(_, times)| **times);
    eprintln!("{runs} runs; each operation: {kinds:?}; least: {least:?}");
}
