//! Planted mistakes about what answers are worth, each caught: a scenario holds without the mistake and fails with it.

use crate::support::clients::{HIGH, SEED, answer, apart, blocks, wrong};
use crate::support::house::House;
use crate::support::model::ensure;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::Mistake;
use pouw::merkle::LeafIndex;
use pouw::{ExportPolicy, Provenance, Strategy, SubmitError};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };

/// `Err` says what went wrong.
type Step = Result<(), String>;

/// The scenario holds; with the mistake it does not, and says `symptom`.
fn caught(mistake: Mistake, symptom: &str, scenario: fn(House) -> Step) {
    assert_eq!(scenario(House::new()), Ok(()));
    let found = scenario(House::making(mistake, SEED)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

fn all_wrong(leaves: &mut [Checksum]) {
    leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf));
}

/// Whoever makes up all hashes is caught, whichever are drawn.
fn made_up_hashes_are_refused(house: House) -> Step {
    for (name, strategy) in [("audited", AUDIT), ("voted", PAIR)] {
        house.ingest(strategy, name, &blocks(32, 1));
        let verdict = house.work(apart(1), |leaves| all_wrong(leaves)).unwrap();
        ensure!(matches!(verdict, Err(SubmitError::WrongResult { .. })), "made-up hashes came to {verdict:?}");
        house.drain(2_000..2_001);
    }
    Ok(())
}

#[test]
fn accepting_an_answer_without_hashing_a_sample_is_caught() {
    caught(Mistake::SkipAudit, "made-up hashes came to Ok", made_up_hashes_are_refused);
}

/// A neighbour is never issued leaves that its network has voted on. But its token may be older than the vote, and from
/// before a restart, after which the leaves went out anew.
fn a_network_has_one_vote(mut house: House) -> Step {
    house.ingest(PAIR, "t", &blocks(32, 2));
    let old = house.issue(apart(1), HIGH).unwrap();
    house.checked();
    house.work(apart(1) + 1, |_| {}).unwrap().unwrap();
    let verdict = house.submit(apart(1), &answer(&old, |_| {}));
    let agreed = house.engine.tree("t").unwrap().provenance.count(Provenance::Agreed);
    ensure!(agreed == 0, "one network agreed with itself on {agreed} leaves");
    ensure!(matches!(verdict, Err(SubmitError::Withdrawn)), "the neighbour came to {verdict:?}");
    Ok(())
}

#[test]
fn two_votes_of_one_network_are_caught() {
    caught(Mistake::SameNetworkMayVote, "one network agreed with itself on 32 leaves", a_network_has_one_vote);
}

/// Nothing counts and nobody is paid before the last vote of a quorum.
fn a_quorum_is_complete_or_does_not_count(house: House) -> Step {
    for (name, quorum) in [("two", 2), ("three", 3)] {
        house.ingest(Strategy::Redundant { quorum }, name, &blocks(32, 3));
        for vote in 1..=u64::from(quorum) {
            let accepted = house.work(apart(vote), |_| {}).unwrap().unwrap();
            let done = 32 - house.engine.tree(name).unwrap().pending;
            let last = vote == u64::from(quorum);
            ensure!((done == 32) == last, "{done} leaves count with {vote} of {quorum} votes");
            ensure!(accepted.seq.is_some() == last, "vote {vote} of {quorum} is paid: {accepted:?}");
        }
        house.settle();
    }
    Ok(())
}

#[test]
fn counting_votes_when_one_is_missing_is_caught() {
    caught(Mistake::CountVoteEarly, "32 leaves count with 1 of 2 votes", a_quorum_is_complete_or_does_not_count);
}

/// The first wrong leaf of this client survives its audit; then it is caught with another answer.
fn lie_and_be_caught(house: &House) -> Vec<Checksum> {
    let data = blocks(32, 4);
    house.ingest(AUDIT, "first", &data);
    let mut liar = apart(1);
    while !matches!(house.work(liar, |leaves| leaves[7] = wrong(&leaves[7])), Some(Ok(_))) {
        liar += 1_000;
    }
    house.settle();
    house.ingest(AUDIT, "second", &blocks(32, 5));
    assert!(matches!(house.work(liar, |leaves| all_wrong(leaves)), Some(Err(SubmitError::WrongResult { .. }))));
    house.engine.sweep().unwrap();
    data.iter().map(|block| sha3_512(block)).collect()
}

/// What else a liar stands for is doubted and hashed, without anybody asking for it.
fn the_past_of_a_liar_is_looked_at(house: House) -> Step {
    let right = lie_and_be_caught(&house);
    house.settle();
    let provenance = house.engine.provenance("first", LeafIndex(7)).unwrap();
    ensure!(provenance == Some(Provenance::Verified), "a wrong leaf of a known liar is still {provenance:?}");
    let mut leaves = Vec::new();
    let sink = &mut |leaf: &Checksum| {
        leaves.push(*leaf);
        Ok(())
    };
    house.engine.export_leaves_under(ExportPolicy::Attested, "first", sink).unwrap();
    ensure!(leaves == right, "a wrong leaf of a known liar left");
    Ok(())
}

#[test]
fn leaving_the_past_of_a_liar_alone_is_caught() {
    caught(Mistake::NoBacktrack, "is still Some(Audited)", the_past_of_a_liar_is_looked_at);
}

/// A leaf that is wrong although its answer was audited does not leave under `Strict`.
fn strict_lets_no_wrong_hash_out(house: House) -> Step {
    let data = blocks(32, 6);
    house.ingest(AUDIT, "t", &data);
    let mut liar = apart(1);
    while !matches!(house.work(liar, |leaves| leaves[7] = wrong(&leaves[7])), Some(Ok(_))) {
        liar += 1_000;
    }
    house.settle();
    let right: Vec<Checksum> = data.iter().map(|block| sha3_512(block)).collect();
    let leaves = house.leaves("t");
    ensure!(leaves == right, "a wrong hash left under strict");
    Ok(())
}

#[test]
fn an_export_under_strict_of_what_was_only_audited_is_caught() {
    caught(Mistake::StrictTrustsAudited, "a wrong hash left under strict", strict_lets_no_wrong_hash_out);
}
