//! Simulated clients with a fixed seed: how often an audit catches a lie, and what it costs to skip work.
//!
//! Leaves of a unit: 32. The client that skips 9 % of its work skips 3 of them.

use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, names, wrong};
use crate::support::house::House;
use pouw::internal::engine::testing::SplitMix64;
use pouw::internal::policy::audit::{HEIGHTENED, HEIGHTENED_MS, detection, draw};
use pouw::internal::store::{RedbStore, Store as _};
use pouw::merkle::LeafIndex;
use pouw::{HashReason, Provenance, StoreOptions, Strategy, SubmitError};

const LEAVES: usize = 32;

/// So many of the leaves of a unit at random, in random order: a shuffle, which owes nothing to the draw under test.
fn some_leaves(count: usize, random: &mut SplitMix64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..LEAVES).collect();
    for at in 0..count {
        let other = at + (random.next() % (LEAVES - at) as u64) as usize;
        places.swap(at, other);
    }
    places.truncate(count);
    places
}

/// Part of `units` answers with `skipped` wrong leaves, others each time, that an audit of `k` catches.
fn caught(units: u32, skipped: usize, k: u32, seed: u64) -> f64 {
    let (mut client, mut server) = (SplitMix64(seed), SplitMix64(!seed));
    let caught = (0..units).filter(|_| {
        let wrong = some_leaves(skipped, &mut client).iter().fold(0, |mask, at| mask | 1_u32 << at);
        draw(LEAVES as u32, k, &mut || server.next()) & wrong != 0
    });
    caught.count() as f64 / f64::from(units)
}

/// Four and a half standard deviations of a rate among so many.
fn tolerance(rate: f64, among: u64) -> f64 {
    4.5 * (rate * (1.0 - rate) / among as f64).sqrt()
}

#[test]
fn a_client_that_skips_three_of_32_leaves_is_caught_by_an_audit_of_four_in_339_of_1000_units() {
    let rate = caught(100_000, 3, 4, 1);
    println!("caught {rate}, by the formula {}", detection(32, 3, 4));
    assert!((rate - 0.339).abs() <= 0.005, "{rate}");
    assert!((rate - detection(32, 3, 4)).abs() <= tolerance(rate, 100_000), "{rate}");
}

#[test]
fn one_wrong_leaf_of_32_is_caught_by_an_audit_of_two_in_one_of_16_units() {
    let rate = caught(100_000, 1, 2, 2);
    println!("caught {rate}, by the formula {}", detection(32, 1, 2));
    assert!((rate - 0.0625).abs() <= 0.003, "{rate}");
}

/// Leaf hashes of a client that skips 1, 2, ... 31 leaves for each request admitted, over so many answers; `None` where
/// none was admitted. A caught answer cost as much and admits nothing.
fn cost_per_admission(k: u32, answers: u64, seed: u64) -> Vec<Option<f64>> {
    let mut random = SplitMix64(seed);
    // Whoever skips more skips the same leaves and the next ones, so that one draw judges all of them.
    let mut rank = [0_u32; LEAVES];
    (0..).zip(some_leaves(LEAVES, &mut random)).for_each(|(at, place)| rank[place] = at);
    let mut first_audited = [0_u64; LEAVES];
    for _ in 0..answers {
        let mut drawn = draw(LEAVES as u32, k, &mut || random.next());
        let mut first = u32::MAX;
        while drawn != 0 {
            first = first.min(rank[drawn.trailing_zeros() as usize]);
            drawn &= drawn - 1;
        }
        first_audited[first as usize] += 1;
    }
    let cost = |skipped: usize| {
        let admitted: u64 = first_audited[skipped..].iter().sum();
        (admitted > 0).then(|| ((LEAVES - skipped) as u64 * answers) as f64 / admitted as f64)
    };
    (1..LEAVES).map(cost).collect()
}

/// With two of `n` leaves audited, an answer without `c` of them passes with (n-c)(n-c-1) / n(n-1), and costs n-c
/// hashes: n(n-1) / (n-c-1) for each admission, where an honest one costs n.
#[test]
fn with_an_audit_of_two_skipping_costs_more_than_working_whatever_is_skipped() {
    let honest = LEAVES as f64;
    let costs = cost_per_admission(2, 64_000_000, 3);
    for (skipped, cost) in (1..).zip(costs) {
        let hashed = (LEAVES - skipped) as f64;
        let passes = 1.0 - detection(LEAVES as u64, skipped as u64, 2);
        let Some(cost) = cost else {
            assert_eq!((skipped, passes), (31, 0.0), "with one leaf hashed, nothing is ever admitted");
            continue;
        };
        let formula = hashed / passes;
        assert!((formula / honest - (honest - 1.0) / (hashed - 1.0)).abs() < 1e-9, "{skipped}: {formula}");
        assert!((cost / formula - 1.0).abs() < 0.01, "{skipped}: {cost}, by the formula {formula}");
        assert!(formula > honest && cost > honest, "{skipped}: {cost}");
        if [1, 3, 16, 30].contains(&skipped) {
            println!("skipping {skipped}: {cost} hashes for each admission, by the formula {formula}, honest {honest}");
        }
    }
}

/// With one leaf audited, what is saved and what is lost are the same: it takes two to make skipping a loss.
#[test]
fn with_an_audit_of_one_skipping_neither_pays_nor_costs() {
    let costs = cost_per_admission(1, 8_000_000, 4);
    for (skipped, cost) in (1..).zip(costs) {
        let formula = (LEAVES - skipped) as f64 / (1.0 - detection(LEAVES as u64, skipped as u64, 1));
        assert!((formula - LEAVES as f64).abs() < 1e-9, "{skipped}: {formula}");
        let cost = cost.unwrap();
        assert!((cost / formula - 1.0).abs() < 0.01, "{skipped}: {cost}, by the formula {formula}");
    }
}

fn audited(house: &House) -> u64 {
    house.engine.stats().account.of(Strategy::SampledAudit { k: 1 }).server(HashReason::Audit).hashes
}

/// Blocks of 16 bytes: what is measured here does not depend on their length.
fn short_blocks(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_le_bytes().repeat(2)).collect()
}

/// As many lies as there are units: issued, solved, changed, submitted, each by a new client of a new network.
fn lies_through_the_engine(k: u8, skipped: usize, units: u64, seed: u64) {
    let mut house = House::in_memory(seed);
    house.ingest(Strategy::SampledAudit { k }, "t", &short_blocks(units * LEAVES as u64));
    let mut client = SplitMix64(!seed);
    let (mut liars, mut believed) = (Vec::new(), Vec::new());
    for who in (1..=units).map(apart) {
        let issued = house.issue(who, HIGH).unwrap();
        assert_eq!(issued.unit.leaf_lengths.len(), LEAVES);
        let places = some_leaves(skipped, &mut client);
        let lie = |leaves: &mut Vec<_>| places.iter().for_each(|at| leaves[*at] = wrong(&leaves[*at]));
        let before = audited(&house);
        match house.submit(who, &answer(&issued, lie)) {
            Ok(_) => believed.push((who, issued.unit.tree_index * LEAVES as u64, places)),
            Err(SubmitError::WrongResult { .. }) => liars.push(who),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(audited(&house) - before, u64::from(k), "all of the sample is hashed, whatever is wrong");
    }
    assert_eq!(audited(&house), u64::from(k) * units);
    let (rate, expected) = (liars.len() as f64 / units as f64, detection(32, skipped as u64, k.into()));
    println!("k = {k}, {skipped} wrong, {units} units: caught {rate}, by the formula {expected}");
    assert!((rate - expected).abs() <= tolerance(expected, units), "{rate} of {expected}");

    house.settle();
    house.checked();
    let tree = house.engine.tree("t").unwrap();
    let done = (believed.len() * LEAVES) as u64;
    assert_eq!((tree.provenance.count(Provenance::Audited), tree.leaves - tree.pending), (done, done));
    for (_, start, places) in &believed {
        for leaf in places.iter().map(|place| LeafIndex(start + *place as u64)) {
            assert_eq!(house.engine.provenance("t", leaf).unwrap(), Some(Provenance::Audited));
        }
    }
    assert_eq!(house.engine.stats().totals.refused, liars.len() as u64);
    assert_eq!(audited(&house), u64::from(k) * units, "the count is durable");
    let digest = |who| house.engine.client_digest(&names(who).0);
    let (struck, others): (Vec<_>, Vec<_>) =
        (liars.iter().map(|who| digest(*who)).collect(), believed.iter().map(|(who, ..)| digest(*who)).collect());
    house.engine.close();
    let store = RedbStore::open(house.storage(), StoreOptions::default()).unwrap();
    assert!(struck.iter().all(|client| store.client(*client).unwrap().strikes == 1));
    assert!(others.iter().all(|client| store.client(*client).unwrap().strikes == 0));
}

#[test]
fn three_wrong_leaves_through_the_engine_are_caught_as_often_as_the_formula_says() {
    lies_through_the_engine(4, 3, 1_200, 6);
}

#[test]
fn one_wrong_leaf_through_the_engine_is_caught_as_often_as_the_formula_says() {
    lies_through_the_engine(2, 1, 1_200, 7);
}

#[test]
fn a_network_that_lied_is_audited_more_until_it_has_been_quiet_for_long_enough() {
    let house = House::in_memory(8);
    const K: u8 = 2;
    house.ingest(Strategy::SampledAudit { k: K }, "t", &short_blocks(640));
    let hashed_for = |who: u64| {
        let before = audited(&house);
        house.work(who, |_| {}).unwrap().unwrap();
        audited(&house) - before
    };
    let lies = |who: u64| {
        let all_wrong = |leaves: &mut Vec<_>| leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf));
        assert!(matches!(house.work(who, all_wrong).unwrap(), Err(SubmitError::WrongResult { .. })));
    };
    let (usual, more) = (u64::from(K), u64::from(K) * u64::from(HEIGHTENED));
    let (liar, neighbour, stranger) = (apart(1), apart(1) + 1, apart(2));
    assert_eq!([liar, neighbour, stranger].map(hashed_for), [usual; 3]);
    lies(liar);
    assert_eq!([liar, neighbour, stranger].map(hashed_for), [more, more, usual]);
    house.clock.advance(Duration::from_millis(HEIGHTENED_MS - 1));
    assert_eq!([liar, neighbour, stranger].map(hashed_for), [more, more, usual]);
    // Another lie, and the time runs anew.
    lies(neighbour);
    house.clock.advance(Duration::from_millis(1));
    assert_eq!([liar, neighbour, stranger].map(hashed_for), [more, more, usual]);
    house.clock.advance(Duration::from_millis(HEIGHTENED_MS - 1));
    assert_eq!([liar, neighbour, stranger].map(hashed_for), [usual; 3]);
    // What was struck stays so: only the audits end.
    assert_eq!(house.engine.stats().totals.refused, 2);
}
