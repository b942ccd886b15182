//! Export policies: what each hashes before a tree may leave, what it finds, and what it says of the rest.

use std::ops::ControlFlow;

use crate::support::clients::{HIGH, answer, apart, blocks, names, options, wrong};
use crate::support::house::House;
use pouw::hash::sha3_512;
use pouw::internal::policy::audit::sample_size;
use pouw::{Event, ExportPolicy, HashReason, Provenance, Strategy, TreeError, TreeState, VerifyProgress};

const AUDIT: Strategy = Strategy::SampledAudit { k: 1 };
const LEAVES: u64 = 32;

fn short_blocks(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_le_bytes().repeat(2)).collect()
}

fn exported(house: &House) -> u64 {
    house.engine.stats().account.of(AUDIT).server(HashReason::Export).hashes
}

fn satisfy(house: &House, name: &str, policy: ExportPolicy) -> Result<VerifyProgress, TreeError> {
    house.engine.satisfy(name, policy, &mut |_| ControlFlow::Continue(()))
}

fn counts(house: &House, name: &str) -> [u64; 5] {
    let tree = house.engine.tree(name).unwrap();
    Provenance::ALL.map(|provenance| tree.provenance.count(provenance))
}

/// One unit answered with lies at these places, by one new client after the other until an audit misses them. Who it was.
fn believed_lie(house: &House, who: &mut u64, places: &[usize]) -> u64 {
    loop {
        *who += 1;
        let lie = |leaves: &mut Vec<_>| places.iter().for_each(|at| leaves[*at] = wrong(&leaves[*at]));
        if house.work(apart(*who), lie).unwrap().is_ok() {
            return apart(*who);
        }
    }
}

/// Of the leaves, 4 of 64 are wrong, which is the part that must not go unseen with a chance of a half. A sample of 23
/// misses all four less often: it draws no leaf twice, and half of delta is kept for further rounds.
#[test]
fn a_statistical_export_finds_planted_lies_as_often_as_it_promises() {
    const TREES: u64 = 400;
    let (epsilon, delta) = (1.0 / 16.0, 0.5);
    let count = sample_size(epsilon, delta / 2.0);
    assert_eq!(count, 23);
    let missed: f64 = (0..4).map(|at| f64::from(41 - at) / f64::from(64 - at)).product();
    let mut house = House::in_memory(1);
    let mut who = 0;
    let trees: Vec<String> = (0..TREES).map(|number| number.to_string()).collect();
    for name in &trees {
        house.ingest(AUDIT, name, &short_blocks(2 * LEAVES));
        believed_lie(&house, &mut who, &[1, 8, 9, 30]);
        house.work(apart(1_000_000), |_| {}).unwrap().unwrap();
    }
    house.settle();
    let mut found = 0;
    for name in &trees {
        assert_eq!(counts(&house, name), [0, 0, 0, 64, 0]);
        let before = exported(&house);
        let done = satisfy(&house, name, ExportPolicy::Statistical { epsilon, delta }).unwrap();
        if done.corrected == 0 {
            assert_eq!(
                (done.hashed, done.of, exported(&house) - before),
                (count, count, count),
                "one sample, all right"
            );
            assert_eq!(counts(&house, name), [count, 0, 0, 64 - count, 0]);
            continue;
        }
        found += 1;
        let verified = counts(&house, name)[0];
        assert!(verified > LEAVES && done.of > count, "all of the liar's, and another sample: {done:?}");
        assert_eq!(exported(&house) - before, verified);
    }
    let (rate, expected) = (found as f64 / TREES as f64, 1.0 - missed);
    println!("found in {rate} of the trees, by the formula {expected}, promised {}", 1.0 - delta);
    assert!(rate >= 1.0 - delta, "{rate}");
    assert!((rate - expected).abs() <= 4.5 * (expected * missed / TREES as f64).sqrt(), "{rate} of {expected}");
    house.checked();
}

#[test]
fn a_lie_that_is_found_brings_another_sample_and_everything_of_the_liar_is_verified() {
    let mut house = House::in_memory(2);
    let data = short_blocks(20 * LEAVES);
    house.ingest(AUDIT, "t", &data);
    let mut who = 0;
    // One client stands for five units, with one lie in the first; fifteen others are right.
    let liar = believed_lie(&house, &mut who, &[17]);
    let honestly = |who: u64| assert!(house.work(who, |_| {}).unwrap().is_ok());
    (0..4).for_each(|_| honestly(liar));
    (0..15).for_each(|number| honestly(apart(500 + number)));
    house.settle();
    let other = short_blocks(LEAVES);
    house.ingest(AUDIT, "other", &other);
    house.work(liar, |_| {}).unwrap().unwrap();
    house.settle();
    house.checked();
    // One of 640 leaves, at 99.8 % of them sampled: it cannot be missed with this seed.
    let policy = ExportPolicy::Statistical { epsilon: 0.01, delta: 0.003 };
    let sample = sample_size(0.01, 0.0015).min(640);
    let done = satisfy(&house, "t", policy).unwrap();
    assert_eq!((done.corrected, sample), (1, 640));
    // Its work in other trees is doubted at once, and hashed in the background.
    assert_eq!(counts(&house, "other"), [0, 0, 0, 0, LEAVES]);
    house.settle();
    assert_eq!(counts(&house, "other"), [LEAVES, 0, 0, 0, 0], "the liar's work elsewhere too");
    let corrected = |event: &Event| matches!(event, Event::LeafCorrected { name, .. } if name == "t");
    assert_eq!(house.events.lock().iter().filter(|event| corrected(event)).count(), 1);
    house.checked();
    house.assert_right("t", &data);
    house.assert_right("other", &other);
}

#[test]
fn a_sample_that_finds_a_lie_leaves_the_honest_neighbours_to_the_next_sample() {
    let mut house = House::in_memory(3);
    house.ingest(AUDIT, "t", &short_blocks(20 * LEAVES));
    let mut who = 0;
    // Every leaf but one of each liar's two units: any sample meets one of them. The last client of all is honest.
    let lie: Vec<usize> = (0..31).collect();
    let liar = loop {
        let liar = believed_lie(&house, &mut who, &lie);
        if house.work(liar, |_| {}).unwrap().is_ok() {
            break liar;
        }
    };
    let honest = house.drain(apart(5_000)..apart(5_000) + 1);
    assert_eq!((honest, house.engine.tree("t").unwrap().state), (18, TreeState::Complete));
    let (epsilon, delta) = (0.1, 0.2);
    let (first, second) = (sample_size(epsilon, delta / 2.0), sample_size(epsilon, delta / 4.0));
    assert_eq!((first, second), (24, 30));
    let done = satisfy(&house, "t", ExportPolicy::Statistical { epsilon, delta }).unwrap();
    let [verified, _, _, audited, doubted] = counts(&house, "t");
    // Both units of the liar are verified in full: 64, of which the first sample met some.
    assert!((64 + second..64 + first + second).contains(&verified), "{verified}");
    assert_eq!((done.of, done.hashed), (verified, verified), "two samples and the rest of the liar's, and no third");
    assert_eq!((verified + audited, doubted), (20 * LEAVES, 0));
    assert_eq!(exported(&house), verified);
    let corrections = house.events.lock().iter().filter(|event| matches!(event, Event::LeafCorrected { .. })).count();
    assert_eq!(corrections, 31);
    assert_eq!(house.engine.stats().totals.refused + 1, who, "those caught at once; the liar's strike is no refusal");
    assert!(house.engine.balance(&names(liar).0).unwrap().0 > 0, "credit once paid stays paid");
    house.checked();
}

#[test]
fn parameters_out_of_range_are_refused_by_their_name() {
    let house = House::in_memory(4);
    house.ingest(AUDIT, "t", &short_blocks(LEAVES));
    house.drain(1..2);
    for bad in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0] {
        for (epsilon, delta, wrong) in [(bad, 0.5, "epsilon"), (0.5, bad, "delta"), (bad, bad, "epsilon")] {
            let policy = ExportPolicy::Statistical { epsilon, delta };
            let refused = house.engine.export_leaves_under(policy, "t", &mut |_| panic!("not a leaf")).unwrap_err();
            let TreeError::Policy { field, value } = &refused else { panic!("{refused}") };
            assert_eq!((*field, value.clone()), (wrong, bad.to_string()));
            assert!(policy.to_string().parse::<ExportPolicy>().is_err(), "{policy}");
        }
    }
    assert_eq!(exported(&house), 0);
    let smallest = ExportPolicy::Statistical { epsilon: f64::MIN_POSITIVE, delta: f64::MIN_POSITIVE };
    assert_eq!(satisfy(&house, "t", smallest).unwrap().hashed, LEAVES, "as many as there are, at most");
}

fn attested(house: &House, name: &str) -> Provenance {
    let export = house.engine.export_addresses_under(ExportPolicy::Attested, name, &mut |_| Ok(()));
    export.unwrap().provenance
}

#[test]
fn an_attested_export_states_the_weakest_provenance_and_hashes_nothing() {
    let mut house = House::in_memory(5);
    let data = short_blocks(2 * LEAVES);
    house.ingest(Strategy::Precomputed, "verified", &data);
    house.ingest(Strategy::Redundant { quorum: 2 }, "agreed", &data);
    let given: Vec<_> = data.iter().map(|block| (sha3_512(block), block.as_slice())).collect();
    house.engine.ingest_known_blocks(&options(AUDIT), "known", &given).unwrap();
    house.ingest(AUDIT, "audited", &data);
    assert!((1..3).all(|who| house.drain(apart(who)..apart(who) + 1) > 0));
    house.checked();
    let expected = [
        ("verified", Provenance::Verified),
        ("known", Provenance::Known),
        ("agreed", Provenance::Agreed),
        ("audited", Provenance::Audited),
    ];
    expected.iter().for_each(|(name, provenance)| assert_eq!(attested(&house, name), *provenance));
    assert!(expected.is_sorted_by_key(|(_, provenance)| *provenance), "the weaker, the greater");
    let account = house.engine.stats().account;
    let exports: Vec<u64> = account.named().map(|(_, of)| of.server(HashReason::Export).hashes).collect();
    assert_eq!(exports, [0; 5]);
}

#[test]
fn leaves_of_a_client_that_lied_are_doubted_until_upkeep_or_an_export_has_hashed_them() {
    const UNITS: u64 = 40;
    let mut house = House::in_memory(6);
    let data = short_blocks(UNITS * LEAVES);
    house.ingest(AUDIT, "t", &data);
    assert_eq!(house.drain(apart(1)..apart(1) + 1), UNITS);
    house.ingest(AUDIT, "bait", &blocks(LEAVES, 6));
    let issued = house.issue(apart(1), HIGH).unwrap();
    let lie = answer(&issued, |leaves| leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf)));
    house.submit(apart(1), &lie).unwrap_err();
    house.written();
    // One step of upkeep hashes 32 tiles of what it found doubtful.
    house.engine.upkeep().unwrap();
    let doubted = [32 * LEAVES, 0, 0, 0, (UNITS - 32) * LEAVES];
    assert_eq!(counts(&house, "t"), doubted);
    house.checked();
    assert_eq!(counts(&house, "t"), doubted);
    assert_eq!((attested(&house, "t"), exported(&house)), (Provenance::Verified, UNITS * LEAVES));
    house.assert_right("t", &data);
}

#[test]
fn a_released_tree_can_be_attested_but_not_verified() {
    let mut house = House::in_memory(7);
    house.ingest(AUDIT, "t", &short_blocks(3 * LEAVES));
    assert!(matches!(house.engine.release("t"), Err(TreeError::NotComplete { pending: 96, .. })));
    house.drain(1..2);
    house.engine.release("t").unwrap();
    house.settle();
    house.checked();
    let statistical = ExportPolicy::Statistical { epsilon: 0.5, delta: 0.5 };
    for policy in [ExportPolicy::Strict, statistical] {
        let refused = house.engine.export_leaves_under(policy, "t", &mut |_| panic!("not a leaf")).unwrap_err();
        assert!(matches!(refused, TreeError::Unverifiable { leaves: 1.., .. }), "{refused}");
        assert!(refused.to_string().contains("export with policy `attested`"), "{refused}");
    }
    assert_eq!((attested(&house, "t"), exported(&house)), (Provenance::Audited, 0));
}

#[test]
fn a_verification_can_be_stopped_and_goes_on_where_it_stopped() {
    const WEAK: u64 = 10_000;
    // A commit for 64 tiles.
    const STEP: u64 = 64 * LEAVES;
    let mut house = House::in_memory(8);
    let data = short_blocks(WEAK);
    house.ingest(AUDIT, "t", &data);
    house.drain(1..2);
    let mut left = WEAK;
    for _ in 0..2 {
        let mut seen = Vec::new();
        let mut stop = |done: &VerifyProgress| {
            seen.push((done.hashed, done.of, done.corrected));
            ControlFlow::Break(())
        };
        let stopped = house.engine.satisfy("t", ExportPolicy::Strict, &mut stop).unwrap_err();
        assert!(matches!(stopped, TreeError::Cancelled), "{stopped}");
        assert_eq!(seen, [(STEP, left, 0)]);
        left -= STEP;
        assert_eq!((exported(&house), counts(&house, "t")), (WEAK - left, [WEAK - left, 0, 0, left, 0]));
        assert_eq!(attested(&house, "t"), Provenance::Audited);
        house.checked();
    }
    let mut calls = 0;
    let done = house.engine.satisfy("t", ExportPolicy::Strict, &mut |_| {
        calls += 1;
        ControlFlow::Continue(())
    });
    let done = done.unwrap();
    assert_eq!((done.hashed, done.of, done.corrected, calls), (left, left, 0, left / STEP));
    assert_eq!(exported(&house), WEAK, "every weak leaf once, and none again");
    house.assert_right("t", &data);
    assert_eq!(exported(&house), WEAK);
    house.settle();
    house.checked();
    assert_eq!(attested(&house, "t"), Provenance::Verified);
}
