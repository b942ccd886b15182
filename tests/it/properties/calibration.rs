//! The size of units that follows from observed times: whatever is observed it stays within its clamps, few clients or
//! a minority of them do not move it, and where time grows with size it comes to rest.

use pouw::internal::policy::calibration::{Calibration, Observation, SizeRules};
use pouw::protocol::DifficultyTier;
use quickcheck::{Gen, QuickCheck, TestResult};

use DifficultyTier::{High, Low, Medium};

fn quickcheck<P: quickcheck::Testable>(property: P) {
    QuickCheck::new().rng(Gen::new(100)).tests(300).quickcheck(property);
}

const CAPS: [usize; 3] = [32 << 10, 64 << 10, 128 << 10];
const LEAST: usize = 4 << 10;
const TARGET_MS: u64 = 1_000;
const SETTLE_MS: u64 = 60_000;

fn rules() -> SizeRules {
    let target_ms = [None, Some(TARGET_MS), Some(TARGET_MS)];
    SizeRules { target_ms, bytes_max: CAPS, bytes_min: LEAST, settle_ms: SETTLE_MS }
}

fn answer(tier: DifficultyTier, client: u64, at_ms: u64, beyond_ms: u64) -> Observation {
    let not_before_ms = at_ms.saturating_sub(beyond_ms);
    Observation { tier, client, issued_ms: not_before_ms, not_before_ms, answered_ms: at_ms }
}

/// All of them answer once; what the size is then.
fn round(calibration: &mut Calibration, at_ms: u64, answers: impl IntoIterator<Item = (u64, u64)>) -> usize {
    for (client, beyond_ms) in answers {
        calibration.observe(&answer(High, client, at_ms, beyond_ms));
    }
    calibration.unit_bytes(High, at_ms).unwrap()
}

#[test]
fn the_size_stays_within_its_clamps_whatever_is_observed() {
    fn holds(caps: (u32, u32, u32), least: u32, seen: Vec<(u8, u8, u16, u32, u32, u32)>) -> bool {
        let bytes_max = [caps.0, caps.1, caps.2].map(|cap| cap as usize);
        let rules = SizeRules { bytes_max, bytes_min: least as usize, ..rules() };
        let mut calibration = Calibration::new(Some(rules), 0);
        let mut now = 0u64;
        seen.into_iter().all(|(tier, clients, step, issued, floor, target)| {
            let tier = DifficultyTier::ALL[usize::from(tier % 3)];
            // Time goes on, and what comes with it is anything, also of the future.
            now += u64::from(step) * 16;
            for client in 0..clients.into() {
                let (issued_ms, not_before_ms) = (u64::from(issued), u64::from(floor) + u64::from(target));
                calibration.observe(&Observation { tier, client, issued_ms, not_before_ms, answered_ms: now });
            }
            DifficultyTier::ALL.iter().all(|tier| {
                let (cap, bytes) = (bytes_max[*tier as usize], calibration.unit_bytes(*tier, now).unwrap());
                let untouched = *tier != Low || bytes == cap;
                bytes <= cap && bytes >= (cap / 8).max(rules.bytes_min).min(cap) && untouched
            })
        })
    }
    quickcheck(holds as fn((u32, u32, u32), u32, Vec<(u8, u8, u16, u32, u32, u32)>) -> bool);
}

#[test]
fn without_rules_nothing_is_cut_whatever_is_observed() {
    let mut calibration = Calibration::new(None, 0);
    for minute in 1..200 {
        for client in 0..100 {
            calibration.observe(&answer(High, client, minute * 60_000, 50_000));
        }
        assert_eq!(calibration.unit_bytes(High, minute * 60_000), None);
    }
    let seen = calibration.look(High, 200 * 60_000);
    assert_eq!((seen.answers, seen.step), (199 * 100, 0), "it is observed all the same");
    assert_eq!(calibration.look(Medium, 0).answers, 0, "and by tier");
}

#[test]
fn fewer_than_64_clients_move_nothing_however_they_answer() {
    fn holds(seen: Vec<(u8, u16, u16)>) -> bool {
        let mut calibration = Calibration::new(Some(rules()), 0);
        let mut now = SETTLE_MS;
        seen.iter().cycle().take(20_000).all(|(client, pause, beyond)| {
            now += u64::from(*pause % 2_000);
            round(&mut calibration, now, [(u64::from(*client % 63), u64::from(*beyond))]) == CAPS[2]
        })
    }
    quickcheck(holds as fn(Vec<(u8, u16, u16)>) -> bool);
}

#[test]
fn a_minority_that_delays_or_hurries_changes_nothing() {
    fn holds(slow: u8, steps: u8, liars: u8, order: Vec<u8>) -> TestResult {
        if order.is_empty() {
            return TestResult::discard();
        }
        // A size to begin with, by the will of all.
        let (steps, liars) = (usize::from(steps % 4), u64::from(liars % 32));
        let mut calibration = Calibration::new(Some(rules()), 0);
        let mut now = SETTLE_MS;
        while calibration.unit_bytes(High, now) != Some(CAPS[2] >> steps) {
            round(&mut calibration, now, (0..64).map(|client| (client, 10_000)));
            now += 60_000;
        }
        now += SETTLE_MS;
        // From then on 64 answer each minute, in any order, and most are content.
        let beyond = [0, 50_000][usize::from(slow % 2)];
        TestResult::from_bool((0..40).all(|minute| {
            now += 60_000;
            let mut clients: Vec<u64> = (0..64).collect();
            clients.sort_by_key(|client| order[(*client as usize * 7 + minute) % order.len()]);
            let answers = clients.into_iter().map(|client| (client, if client < liars { beyond } else { 800 }));
            round(&mut calibration, now, answers) == CAPS[2] >> steps
        }))
    }
    quickcheck(holds as fn(u8, u8, u8, Vec<u8>) -> TestResult);
}

#[test]
fn where_time_grows_with_the_size_it_shrinks_until_that_is_enough_and_rests() {
    fn holds(base_ms: u16, per_kib: u16) -> bool {
        let (base_ms, per_kib) = (u64::from(base_ms % 4_000), u64::from(per_kib % 100));
        let takes = |bytes: usize| base_ms + per_kib * (bytes as u64 >> 10);
        let mut calibration = Calibration::new(Some(rules()), 0);
        let mut sizes = vec![CAPS[2]];
        for minute in 1..100 {
            let size = sizes[sizes.len() - 1];
            sizes.push(round(&mut calibration, minute * 60_000, (0..64).map(|client| (client, takes(size)))));
        }
        // What it rests at is the largest that keeps the target, to the width of a bucket.
        let last = sizes[sizes.len() - 1];
        let kept = takes(last) <= TARGET_MS + TARGET_MS / 16 || last == CAPS[2] / 8;
        let needed = last == CAPS[2] || takes(last * 2) > TARGET_MS - TARGET_MS / 16;
        sizes.is_sorted_by(|before, after| before >= after) && kept && needed
    }
    quickcheck(holds as fn(u16, u16) -> bool);
}

#[test]
fn what_is_slow_no_longer_goes_back_to_the_cap() {
    fn holds(slow: u16) -> bool {
        let mut calibration = Calibration::new(Some(rules()), 0);
        let mut answers = |from: u64, minutes: u64, beyond_ms: u64| {
            let minutes = from..from + minutes;
            minutes.map(|minute| round(&mut calibration, minute * 60_000, (0..64).map(|c| (c, beyond_ms)))).last()
        };
        answers(1, 20, 1_100 + u64::from(slow)) == Some(CAPS[2] / 8) && answers(21, 20, 400) == Some(CAPS[2])
    }
    quickcheck(holds as fn(u16) -> bool);
}
