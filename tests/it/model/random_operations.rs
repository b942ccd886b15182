//! The engine against an oracle: random operations, every verdict and the whole state compared.
//!
//! A failure prints the setup and the shrunk operations. `POUW_MODEL_SEED` repeats a run, and
//! `POUW_MODEL_RUNS` makes it longer.

use std::sync::Mutex;

use crate::support::model::ops::{KINDS, Op, Setup};
use crate::support::model::world::{Base, Tally, run};
use pouw::internal::engine::testing::Mistake;
use quickcheck::{Arbitrary, Gen, QuickCheck, TestResult};

/// A run: two bytes of settings, four bytes for each operation.
#[derive(Clone)]
struct Script {
    setup: [u8; 2],
    ops: Vec<[u8; 4]>,
}

const OPS: usize = 70;
const RUNS: u64 = 300;

impl Arbitrary for Script {
    fn arbitrary(g: &mut Gen) -> Self {
        let word = |g: &mut Gen| u32::arbitrary(g).to_le_bytes();
        // A tree first, so that hardly any operation is in vain.
        let mut ops = vec![[0, word(g)[0], 4 + word(g)[0] % 8, word(g)[0]]];
        ops.extend((1..OPS).map(|_| word(g)));
        Self { setup: [u8::arbitrary(g), u8::arbitrary(g)], ops }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let (setup, all) = (self.setup, self.ops.clone());
        let mut cuts: Vec<Vec<[u8; 4]>> = Vec::new();
        let mut size = all.len() / 2;
        while size > 0 {
            for at in (0..all.len()).step_by(size) {
                let mut rest = all.clone();
                rest.drain(at..all.len().min(at + size));
                cuts.push(rest);
            }
            size /= 2;
        }
        Box::new(cuts.into_iter().map(move |ops| Self { setup, ops }))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "setup {:?}: {:?}", self.setup, Setup::decode(self.setup))?;
        self.ops.iter().try_for_each(|op| writeln!(f, "  {op:?} {:?}", Op::decode(*op)))
    }
}

static TALLY: Mutex<Tally> = Mutex::new(Tally::new());

fn agree(script: Script) -> TestResult {
    let ops: Vec<Op> = script.ops.iter().map(|op| Op::decode(*op)).collect();
    // Without files first: what fails there too needs no disk to be found.
    let setup = Setup::decode(script.setup);
    match run(Base::memory(), setup, &ops, None).and_then(|_| run(Base::disk(), setup, &ops, None)) {
        Ok(tally) => {
            let mut all = TALLY.lock().unwrap();
            for (what, count) in tally {
                *all.entry(what).or_default() += count;
            }
            TestResult::passed()
        }
        Err(what) => TestResult::error(what),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_engine_agrees_with_the_oracle_on_random_operations() {
    let seed = number("POUW_MODEL_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let runs = number("POUW_MODEL_RUNS").unwrap_or(RUNS);
    println!("POUW_MODEL_SEED={seed}");
    // The rarest of what must be reached comes once in a few hundred runs: who misses it goes on for a while.
    for round in 0..ROUNDS_MAX {
        let rng = Gen::from_size_and_seed(100, seed.wrapping_add(round));
        QuickCheck::new().rng(rng).tests(runs).quickcheck(agree as fn(Script) -> TestResult);
        let tally = TALLY.lock().unwrap();
        if runs < RUNS || REACHED.iter().all(|what| tally.contains_key(what)) {
            break;
        }
    }
    let tally = TALLY.lock().unwrap();
    for ((op, ended), count) in tally.iter() {
        println!("{count:8} {op} {ended}");
    }
    let never: Vec<_> = REACHED.iter().filter(|what| !tally.contains_key(what)).collect();
    assert!(runs < RUNS || never.is_empty(), "never reached in {runs} runs: {never:?}");
    assert!(KINDS.iter().all(|kind| REACHED.iter().any(|(op, _)| op == kind)), "an operation is not in the list");
}

/// Rounds of [`RUNS`] at most.
const ROUNDS_MAX: u64 = 6;

/// What they must have come to at least once.
const REACHED: [(&str, &str); 56] = [
    ("ingest_bytes", "added"),
    ("ingest_bytes", "unchanged"),
    ("ingest_bytes", "conflict"),
    ("ingest_blocks", "added"),
    ("ingest_blocks", "conflict"),
    ("ingest_again", "unchanged"),
    ("ingest_again", "conflict"),
    ("ingest_refused", "ambiguous"),
    ("ingest_refused", "empty"),
    ("ingest_refused", "option"),
    ("issue", "real"),
    ("issue", "node"),
    ("issue", "made_up"),
    ("issue", "no_work"),
    ("issue", "crowded"),
    ("reissue", "same"),
    ("reissue", "expired"),
    ("reissue", "other_client"),
    ("reissue", "replayed"),
    ("reissue", "withdrawn"),
    ("submit", "accepted"),
    ("submit", "expired"),
    ("submit", "other_client"),
    ("submit", "other_policy"),
    ("submit", "replayed"),
    ("submit", "withdrawn"),
    ("submit", "too_early"),
    ("submit", "malformed"),
    ("submit", "wrong_result"),
    ("submit", "busy"),
    ("advance", "done"),
    ("step_wall", "done"),
    ("sweep", "nothing"),
    ("sweep", "expired"),
    ("sweep", "aged"),
    ("refill", "full"),
    ("refill", "all"),
    ("refill", "empty"),
    ("upkeep", "done"),
    ("upkeep", "completed"),
    ("reopen", "closed"),
    ("reopen", "power_cut"),
    ("reopen", "clock_ahead"),
    ("forget", "forgotten"),
    ("forget", "unknown"),
    ("debit", "debited"),
    ("debit", "repeated"),
    ("debit", "key_conflict"),
    ("debit", "insufficient"),
    ("check", "same"),
    ("prove", "proved"),
    ("prove", "out_of_range"),
    ("prove", "nothing"),
    ("forge", "refused"),
    ("forge", "nothing"),
    ("submit", "nothing"),
];

/// The planted mistakes that storage without faults can show. The others need a power cut or two threads.
#[test]
fn random_operations_notice_planted_mistakes() {
    for mistake in [Mistake::NoRequeue, Mistake::UnitFromBody, Mistake::NoAdoptionCheck, Mistake::LeaseEndsEarly] {
        let noticed = (0..2_000).any(|seed| {
            let script = Script::arbitrary(&mut Gen::from_size_and_seed(100, seed));
            let ops: Vec<Op> = script.ops.iter().map(|op| Op::decode(*op)).collect();
            run(Base::memory(), Setup::decode(script.setup), &ops, Some(mistake)).is_err()
        });
        assert!(noticed, "{mistake:?} went unnoticed");
    }
}
