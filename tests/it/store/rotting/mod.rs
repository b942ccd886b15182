//! Damage to either file of a store, under a running engine and before one opens it: no wrong value comes out, nothing
//! counts that is not stored, every call ends, and the same content mends what can be mended.
//!
//! `POUW_DAMAGE=all` tries every page and byte; otherwise a fixed part of them.

mod base;
mod look;
mod scene;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::support::patience::PATIENCE;
use base::{Base, Damage, Kind};
use pouw::StoreFile;
use pouw::internal::store::StoreMistake;
use scene::{Activity, Outcome, play};

/// Every how many damages one is tried, without `POUW_DAMAGE=all`.
const STRIDE: usize = 23;

#[derive(Debug, Default)]
struct Counts {
    damages: u64,
    latched: u64,
    closed: u64,
    refused: u64,
    unnoticed: u64,
    accepted: u64,
    mended: u64,
    trees: u64,
    wrong: BTreeMap<String, (u64, String)>,
}

impl Counts {
    fn add(&mut self, outcome: Outcome, label: &str) {
        self.damages += 1;
        self.latched += u64::from(outcome.latched);
        self.closed += u64::from(outcome.closed);
        self.refused += u64::from(outcome.refusals > 0);
        self.unnoticed += u64::from(outcome.refusals == 0);
        self.accepted += outcome.accepted;
        self.mended += outcome.mended;
        self.trees += 2;
        for what in outcome.wrong {
            self.wrong.entry(what).or_insert_with(|| (0, label.to_owned())).0 += 1;
        }
    }
}

/// Plays one damage on a thread of its own, and fails if a call does not end.
fn ends(base: &Arc<Base>, damage: Option<Damage>, activity: Activity, running: bool) -> (Outcome, String) {
    let label = format!("{}: {damage:?} under {activity:?}, {}", base.kind, if running { "running" } else { "closed" });
    let (sender, receiver) = std::sync::mpsc::channel();
    let (base, step) = (base.clone(), Arc::new(Mutex::new(String::new())));
    let at = step.clone();
    std::thread::spawn(move || sender.send(play(&base, damage, activity, running, &at)));
    let outcome = receiver.recv_timeout(PATIENCE);
    (outcome.unwrap_or_else(|_| panic!("{label}: {:?} did not end, or panicked", step.lock().unwrap())), label)
}

fn damage_everywhere(file: StoreFile) {
    let stride = if std::env::var("POUW_DAMAGE").is_ok_and(|all| all == "all") { 1 } else { STRIDE };
    let mut wrong = Vec::new();
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let base = Arc::new(Base::new(kind));
        let mut counts = Counts::default();
        let cases = base.damages(file).into_iter().flat_map(|damage| {
            Activity::ALL.into_iter().flat_map(move |activity| [true, false].map(|running| (damage, activity, running)))
        });
        for (damage, activity, running) in cases.skip(at).step_by(stride) {
            let (outcome, label) = ends(&base, Some(damage), activity, running);
            counts.add(outcome, &label);
        }
        println!("{file:?}, {kind}: {counts:?}");
        assert!(counts.refused > 0 && counts.mended > 0, "{kind}: {counts:?}");
        wrong.extend(counts.wrong.into_iter().map(|(what, (times, first))| format!("{times} times {what}; {first}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_damage_everything_is_right_and_completes() {
    for kind in Kind::ALL {
        let base = Arc::new(Base::new(kind));
        for activity in Activity::ALL {
            let (outcome, label) = ends(&base, None, activity, true);
            assert!(outcome.wrong.is_empty(), "{label}: {:?}", outcome.wrong);
            assert_eq!(outcome.refused, None, "{label}");
            assert!((outcome.mended, outcome.latched, outcome.closed) == (2, false, false), "{label}: {outcome:?}");
        }
    }
}

#[test]
fn damaged_bytes_that_are_believed_are_caught() {
    let wrong = |mistake| {
        let mut base = Base::new(Kind::ALL[4]);
        base.mistake = mistake;
        let base = Arc::new(base);
        let bits = base.damages(StoreFile::Blocks).into_iter().filter(|damage| matches!(damage, Damage::Bit { .. }));
        let each = bits.step_by(5).map(|damage| ends(&base, Some(damage), Activity::Work, false).0.wrong.len());
        each.sum::<usize>()
    };
    assert_eq!(wrong(None), 0);
    assert!(wrong(Some(StoreMistake::SumsNotCompared)) > 0, "the mistake was not caught");
}

#[test]
fn damage_to_the_block_file_gives_no_wrong_value() {
    damage_everywhere(StoreFile::Blocks);
}

#[test]
fn damage_to_the_state_file_gives_no_wrong_value() {
    damage_everywhere(StoreFile::State);
}
