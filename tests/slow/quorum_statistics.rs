//! Colluding clients against a quorum, with fixed seeds: how often their lie is accepted, by the rules alone and
//! through the whole engine.
//!
//! All colluders return the same wrong hashes for the same leaves. Every answer is that of a new client of a new network,
//! and it is a colluder's with the probability `share`.

use std::collections::HashMap;

use crate::support::clients::{HIGH, answer, apart, wrong};
use crate::support::house::House;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::SplitMix64;
use pouw::internal::policy::audit::{VOTE_SAMPLE, draw};
use pouw::internal::policy::quorum::{Voter, admits, differences, is_right, lying_votes};
use pouw::protocol::ClientDigest;
use pouw::{Event, ExportPolicy, HashReason, Provenance, Strategy, SubmitError};

const LEAVES: usize = 32;

/// True with this probability.
fn happens(share: f64, random: &mut SplitMix64) -> bool {
    ((random.next() >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// Four and a half standard deviations of a rate among so many.
fn tolerance(rate: f64, among: u64) -> f64 {
    4.5 * (rate * (1.0 - rate) / among as f64).sqrt()
}

/// What there is to answer, right and as the colluders agreed on.
struct Answers {
    right: Vec<Checksum>,
    lie: Vec<Checksum>,
    /// The leaves they lie on, one bit for each.
    wrong: u32,
}

impl Answers {
    fn new(wrong_leaves: usize) -> Self {
        let right: Vec<Checksum> = (0..LEAVES as u8).map(|leaf| sha3_512(&[leaf])).collect();
        let mut lie = right.clone();
        // Every second one, so that they do not stand together.
        let places: Vec<usize> = (0..wrong_leaves).map(|at| at * 2).collect();
        places.iter().for_each(|at| lie[*at] = wrong(&lie[*at]));
        Self { right, lie, wrong: places.iter().fold(0, |mask, at| mask | 1 << at) }
    }
}

/// What became of a unit.
struct Agreed {
    wrongly: bool,
    /// The first vote that was recorded is a lie.
    began_with_a_lie: bool,
    referee_hashes: usize,
}

/// One unit from its first answer to its quorum: the rules, in the order in which the engine asks them.
fn one_unit(
    answers: &Answers,
    quorum: usize,
    share: f64,
    k: u32,
    random: &mut [SplitMix64; 2],
    who: &mut u64,
) -> Agreed {
    let mut votes: Vec<(Voter, bool)> = Vec::with_capacity(quorum);
    let mut refereed: Vec<(u8, Checksum)> = Vec::new();
    let (mut first, mut referee_hashes) = (None, 0);
    loop {
        *who += 1;
        let id = u128::from(*who).to_le_bytes();
        let voter = Voter { client: ClientDigest::from_bytes(id), network: id };
        assert!(votes.iter().all(|(other, _)| admits(&[*other], &voter)));
        let lies = happens(share, &mut random[0]);
        if draw(LEAVES as u32, k, &mut || random[1].next()) & answers.wrong != 0 && lies {
            continue;
        }
        let given = if lies { &answers.lie } else { &answers.right };
        let stored = |lies: bool| if lies { &answers.lie } else { &answers.right };
        let returned: Vec<&[Checksum]> = votes.iter().map(|(_, lies)| stored(*lies).as_slice()).collect();
        let differ = differences(given, &returned, &refereed);
        let mut wrong = differ.wrong;
        if !differ.open.is_empty() {
            referee_hashes += differ.open.len();
            let hashed: Vec<(u8, Checksum)> =
                differ.open.iter().map(|place| (*place, answers.right[usize::from(*place)])).collect();
            wrong |= !is_right(|place| given.get(place).copied(), &hashed);
            votes.retain(|(_, lies)| is_right(|place| stored(*lies).get(place).copied(), &hashed));
            refereed.extend(&hashed);
        }
        if wrong {
            continue;
        }
        first.get_or_insert(lies);
        votes.push((voter, lies));
        if votes.len() == quorum {
            let known = refereed.iter().fold(0_u32, |mask, (place, _)| mask | 1 << place);
            let wrongly = lies && answers.wrong & !known != 0;
            return Agreed { wrongly, began_with_a_lie: first == Some(true), referee_hashes };
        }
    }
}

/// The rate of wrong accepts among all units, and among those whose first vote is a lie, is within 5 % of what is
/// expected: over 100 000 units, or as many more as it takes to see 2 000 of them.
fn assert_rates(quorum: usize, share: f64, wrong_leaves: usize, k: u32, (all, begun): (f64, f64)) {
    let units = 100_000_u64.max((2_000.0 / all) as u64);
    let seed = quorum as u64 * 1_000 + wrong_leaves as u64 * 10 + u64::from(k) + (share * 1e6) as u64;
    let mut random = [SplitMix64(seed), SplitMix64(!seed)];
    let answers = Answers::new(wrong_leaves);
    let (mut wrongly, mut began, mut who) = (0_u64, 0_u64, 0);
    for _ in 0..units {
        let unit = one_unit(&answers, quorum, share, k, &mut random, &mut who);
        assert!(
            unit.referee_hashes == 0 || unit.referee_hashes == wrong_leaves,
            "never more than the leaves that differ"
        );
        assert!(!unit.wrongly || (unit.began_with_a_lie && unit.referee_hashes == 0));
        wrongly += u64::from(unit.wrongly);
        began += u64::from(unit.began_with_a_lie);
    }
    let (of_all, of_begun) = (wrongly as f64 / units as f64, wrongly as f64 / began as f64);
    let what = format!("quorum {quorum}, share {share}, {wrong_leaves} wrong, {k} audited, {units} units");
    println!("{what}: {of_all:.5} of all, {all:.5} expected; {of_begun:.5} of those begun, {begun:.5} expected");
    assert!((of_all / all - 1.0).abs() < 0.05, "{what}: {of_all} of all, {all} expected");
    assert!((of_begun / begun - 1.0).abs() < 0.05, "{what}: {of_begun} of those begun, {begun} expected");
}

fn assert_audited_rates(quorum: usize, share: f64) {
    for wrong_leaves in [1, 16] {
        let lying = lying_votes(share, LEAVES as u64, wrong_leaves as u64, VOTE_SAMPLE.into());
        let expected = (lying.powi(quorum as i32), lying.powi(quorum as i32 - 1));
        assert_rates(quorum, share, wrong_leaves, VOTE_SAMPLE.into(), expected);
    }
}

#[test]
fn a_lie_of_three_in_ten_clients_passes_a_quorum_of_two_as_often_as_its_votes_meet() {
    assert_audited_rates(2, 0.3);
}

#[test]
fn a_lie_of_half_of_all_clients_passes_a_quorum_of_two_as_often_as_its_votes_meet() {
    assert_audited_rates(2, 0.5);
}

#[test]
fn a_lie_of_three_in_ten_clients_passes_a_quorum_of_three_as_often_as_its_votes_meet() {
    assert_audited_rates(3, 0.3);
}

#[test]
fn a_lie_of_half_of_all_clients_passes_a_quorum_of_three_as_often_as_its_votes_meet() {
    assert_audited_rates(3, 0.5);
}

/// Of the units one of them begins, share^(quorum-1): the guarantee, before what the audit takes off it.
#[test]
fn without_an_audit_a_lie_passes_with_the_share_of_its_clients_for_each_further_vote() {
    for quorum in [2, 3] {
        for share in [0.3_f64, 0.5] {
            for wrong_leaves in [1, 16] {
                let expected = (share.powi(quorum), share.powi(quorum - 1));
                assert_rates(quorum as usize, share, wrong_leaves, 0, expected);
            }
        }
    }
}

/// The votes on one unit, as they must stand: what each verdict of the engine is held against.
#[derive(Default)]
struct Expected {
    /// Of each vote, whether it is a lie.
    votes: Vec<bool>,
    /// The server has hashed the leaf that colluders lie on.
    refereed: bool,
    agreed: bool,
    wrongly: bool,
}

/// What an answer must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Refused,
    Waits,
    Agrees,
}

impl Expected {
    /// The verdict on an answer, and the leaves the server hashes as referee for it.
    fn answer(&mut self, lies: bool, caught: bool) -> (Verdict, u64) {
        assert!(!self.agreed, "it was handed out again");
        if caught || (lies && self.refereed) {
            return (Verdict::Refused, 0);
        }
        let mut hashed = 0;
        if !self.refereed && self.votes.iter().any(|vote| *vote != lies) {
            (hashed, self.refereed) = (1, true);
            self.votes.retain(|lie| !lie);
            if lies {
                return (Verdict::Refused, hashed);
            }
        }
        self.votes.push(lies);
        self.agreed = self.votes.len() == 2;
        self.wrongly = self.agreed && lies;
        (if self.agreed { Verdict::Agrees } else { Verdict::Waits }, hashed)
    }
}

fn server(house: &House, reason: HashReason) -> u64 {
    house.engine.stats().account.of(Strategy::Redundant { quorum: 2 }).server(reason).hashes
}

/// Works a tree off with half of the clients colluding, each verdict foretold: the audits are drawn from a seed, and the
/// test draws along. Units by their number.
fn collude(house: &House, seed: u64) -> HashMap<u64, Expected> {
    let (mut population, mut audits) = (SplitMix64(!seed), SplitMix64(seed));
    let mut units: HashMap<u64, Expected> = HashMap::new();
    let (mut answers, mut refereed) = (0, 0);
    for who in (1..).map(apart) {
        let Some(issued) = house.issue(who, HIGH) else { break };
        let unit = issued.unit.tree_index;
        let (place, lies) = ((unit % LEAVES as u64) as usize, happens(0.5, &mut population));
        let drawn = draw(LEAVES as u32, VOTE_SAMPLE.into(), &mut || audits.next());
        let caught = lies && drawn & 1 << place != 0;
        let (verdict, hashed) = units.entry(unit).or_default().answer(lies, caught);
        let lie = |leaves: &mut Vec<_>| leaves[place] = if lies { wrong(&leaves[place]) } else { leaves[place] };
        let seen = match house.submit(who, &answer(&issued, lie)) {
            Ok(accepted) if accepted.seq.is_some() => Verdict::Agrees,
            Ok(_) => Verdict::Waits,
            Err(SubmitError::WrongResult { .. }) => Verdict::Refused,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(seen, verdict, "answer {who} to unit {unit}");
        if seen == Verdict::Refused {
            house.written();
        }
        answers += 1;
        refereed += hashed;
        assert_eq!(server(house, HashReason::Referee), refereed, "after answer {who} to unit {unit}");
    }
    assert_eq!(server(house, HashReason::Audit), answers * u64::from(VOTE_SAMPLE));
    let differing = units.values().filter(|unit| unit.refereed).count() as u64;
    assert_eq!(server(house, HashReason::Referee), differing, "exactly the leaves on which answers differed");
    println!("{answers} answers, {differing} leaves hashed by the referee");
    units
}

#[test]
fn half_of_all_clients_colluding_on_one_leaf_through_the_engine_pass_as_often_as_the_formula_says() {
    const UNITS: u64 = 1_100;
    const MARK: u64 = 9;
    let mut house = House::in_memory(MARK);
    let blocks: Vec<Vec<u8>> = (0..UNITS * LEAVES as u64).map(|number| number.to_le_bytes().repeat(2)).collect();
    house.ingest(Strategy::Redundant { quorum: 2 }, "t", &blocks);
    let units = collude(&house, MARK);
    assert_eq!(units.len() as u64, UNITS);
    assert!(units.values().all(|unit| unit.agreed));
    let wrongly = units.values().filter(|unit| unit.wrongly).count() as u64;
    let rate = wrongly as f64 / UNITS as f64;
    let expected = lying_votes(0.5, LEAVES as u64, 1, VOTE_SAMPLE.into()).powi(2);
    println!("{wrongly} of {UNITS} wrong: {rate:.4}, by the formula {expected:.4}");
    assert!((rate - expected).abs() <= tolerance(expected, UNITS), "{rate} of {expected}");

    house.settle();
    house.checked();
    let tree = house.engine.tree("t").unwrap();
    let refereed = units.values().filter(|unit| unit.refereed).count() as u64;
    let counts = [Provenance::Verified, Provenance::Agreed].map(|provenance| tree.provenance.count(provenance));
    assert_eq!(counts, [refereed, tree.leaves - refereed]);
    let mut leaves = Vec::new();
    let mut push = |leaf: &Checksum| {
        leaves.push(*leaf);
        Ok(())
    };
    let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "t", &mut push).unwrap();
    assert_eq!(attested.provenance, Provenance::Agreed);
    for (at, (leaf, block)) in (0_u64..).zip(leaves.iter().zip(&blocks)) {
        let (unit, place) = (at / LEAVES as u64, at % LEAVES as u64);
        let is_lie = units[&unit].wrongly && place == unit % LEAVES as u64;
        assert_eq!(*leaf != sha3_512(block), is_lie, "leaf {at}");
    }
    house.assert_right("t", &blocks);
    let corrected = house.events.lock().iter().filter(|event| matches!(event, Event::LeafCorrected { .. })).count();
    assert_eq!(corrected as u64, wrongly, "a strict export finds every lie that passed");
    house.settle();
    house.checked();
    house.assert_right("t", &blocks);
}
