//! A token inspected once and judged later is judged as one submitted whole; a byte budget shrinks units and
//! loses none; receipts tell what became of a challenge.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::house::{House, config};
use crate::support::work::{answer_right, cut, issue, solve, spoiled};
use pouw::hash::sha3_512;
use pouw::internal::engine::{Inspected, for_gate};
use pouw::merkle::Shape;
use pouw::protocol::{ByTier, DifficultyTier, Reason, WorkResult};
use pouw::{
    Accepted, Answer, ConfigBuilder, Exposure, IngestOptions, IssueError, IssueRequest, Issued, Receipt, SubmitError,
};

use DifficultyTier::{High, Low, Medium};

fn floors() -> ConfigBuilder {
    config().floor(ByTier::from([1_000, 2_000, 3_000]).map(Duration::from_millis))
}

/// A house with floors and 96 leaves to hash.
fn furnished() -> House {
    let house = House::in_directory(floors());
    house.engine.ingest_bytes(&cut(), "tree", &vec![5; 512 * 96]).unwrap();
    house.engine.upkeep().unwrap();
    house
}

fn inspect(house: &House, client: &[u8], issued: &Issued) -> Result<Inspected, SubmitError> {
    for_gate(&house.engine).inspect(client, &issued.unit.challenge_token, 0)
}

fn judge(house: &House, inspected: Inspected, result: &WorkResult) -> Result<Accepted, SubmitError> {
    let (sender, receiver) = channel();
    for_gate(&house.engine).submit_inspected(&inspected, Some(&result.challenge_token), result, move |verdict| {
        sender.send(verdict).unwrap()
    });
    receiver.recv().unwrap()
}

fn right(issued: &Issued) -> WorkResult {
    solve(&issued.unit)
}

/// What an answer came to, without times and texts.
fn verdict(answer: Result<Accepted, SubmitError>) -> Result<(u64, u64), Reason> {
    answer.map(|accepted| (accepted.nodes, accepted.award.0)).map_err(|error| error.reason())
}

#[test]
fn an_inspected_token_is_judged_as_one_submitted_whole() {
    // Client, milliseconds after issue, what is sent.
    type Case = (&'static [u8], u64, fn(&Issued) -> WorkResult);
    let cases: [Case; 6] = [
        (b"anna", 3_000, right),
        (b"anna", 3_000, |issued| spoiled(&right(issued))),
        (b"anna", 0, right),
        (b"berta", 3_000, right),
        (b"anna", 60_000, right),
        (b"anna", 3_000, |issued| WorkResult { leaf_hashes: Vec::new(), ..right(issued) }),
    ];
    for (client, after_ms, answer) in cases {
        let twice = |whole: bool| {
            let house = furnished();
            let issued = issue(&house.engine, b"anna", High);
            let result = answer(&issued);
            house.clock.advance(Duration::from_millis(after_ms));
            let mut verdicts = Vec::new();
            for _ in 0..2 {
                verdicts.push(verdict(match whole {
                    true => house.engine.submit(&Answer::new(client, &result)),
                    false => inspect(&house, client, &issued).and_then(|inspected| judge(&house, inspected, &result)),
                }));
            }
            let stats = house.engine.stats();
            (verdicts, stats.leases, stats.totals, for_gate(&house.engine).standing(b"anna"))
        };
        assert_eq!(twice(true), twice(false));
    }
}

#[test]
fn an_inspection_tells_id_tier_and_times_and_names_what_does_not_fit() {
    let house = furnished();
    let issued = issue(&house.engine, b"anna", Medium);
    house.clock.advance(Duration::from_millis(500));
    let inspected = inspect(&house, b"anna", &issued).unwrap();
    assert_eq!((inspected.id(), inspected.tier()), (issued.unit.id, Medium));
    assert_eq!((inspected.wait_ms(), inspected.ttl_ms()), (1_500, 59_500));
    assert_eq!(inspect(&house, b"berta", &issued).unwrap_err().reason(), Reason::ClientMismatch);
    let policy = for_gate(&house.engine).inspect(b"anna", &issued.unit.challenge_token, 9);
    assert_eq!(policy.unwrap_err().reason(), Reason::PolicyMismatch);
    let again = for_gate(&house.engine).reissue(b"anna", &issued.unit.challenge_token).unwrap();
    assert_eq!(
        (again.input_data, again.challenge_token),
        (issued.unit.input_data.clone(), issued.unit.challenge_token.clone())
    );
    assert_eq!((again.wait_ms, again.ttl_ms), (1_500, 59_500));
    // An inspection is no promise: the token may expire before it is used, or be another store's.
    let other = furnished();
    assert_eq!(verdict(judge(&other, inspected.clone(), &right(&issued))), Err(Reason::TokenExpired));
    house.clock.advance(Duration::from_millis(59_500));
    assert_eq!(verdict(judge(&house, inspected.clone(), &right(&issued))), Err(Reason::TokenExpired));
    assert_eq!(for_gate(&house.engine).refuse_malformed(&inspected).unwrap_err().reason(), Reason::TokenExpired);
    assert_eq!(inspect(&house, b"anna", &issued).unwrap_err().reason(), Reason::TokenExpired);
}

#[test]
fn eight_results_that_cannot_be_read_close_a_challenge_and_those_before_the_floor_do_not_count() {
    let mut house = furnished();
    let issued = issue(&house.engine, b"anna", Low);
    let inspected = inspect(&house, b"anna", &issued).unwrap();
    for _ in 0..20 {
        let early = for_gate(&house.engine).refuse_malformed(&inspected).unwrap_err();
        assert!(matches!(early, SubmitError::TooEarly { wait_ms: 1_000 }), "{early}");
    }
    house.clock.advance(Duration::from_millis(1_000));
    for _ in 0..3 {
        for_gate(&house.engine).refuse_malformed(&inspected).unwrap();
        // One that can be read and does not fit counts the same.
        let misfit = WorkResult { leaf_hashes: vec![sha3_512(b"x")], ..right(&issued) };
        assert_eq!(verdict(judge(&house, inspected.clone(), &misfit)), Err(Reason::Malformed));
    }
    assert_eq!(house.engine.receipt(issued.unit.id).unwrap(), Receipt::Open);
    for_gate(&house.engine).refuse_malformed(&inspected).unwrap();
    for_gate(&house.engine).refuse_malformed(&inspected).unwrap();
    assert_eq!(for_gate(&house.engine).refuse_malformed(&inspected).unwrap_err().reason(), Reason::TokenReplayed);
    assert_eq!(verdict(judge(&house, inspected, &right(&issued))), Err(Reason::TokenReplayed));
    assert_eq!(house.engine.stats().leases, 0);
    assert_eq!(house.engine.receipt(issued.unit.id).unwrap(), Receipt::Refused);
    house.reopen();
    assert_eq!(house.engine.receipt(issued.unit.id).unwrap(), Receipt::Refused);
    assert_eq!(inspect(&house, b"anna", &issued).unwrap().id(), issued.unit.id, "memory and MAC alone do not know");
    assert_eq!(for_gate(&house.engine).standing(b"anna").tier, Low, "who cannot be understood is not wrong");
}

#[test]
fn engine_time_never_falls() {
    let mut house = furnished();
    let before = house.engine.now().0;
    house.clock.advance(Duration::from_millis(5_000));
    house.clock.step_wall_back(Duration::from_secs(3_600));
    assert_eq!(house.engine.now().0, before + 5_000);
    house.reopen();
    assert_eq!(house.engine.now().0, before + 5_000);
}

#[test]
fn a_byte_budget_shrinks_units_and_what_does_not_fit_stays_ready() {
    let house = furnished();
    let within = |tier, bytes_max| {
        let request = IssueRequest::new(b"anna", tier).bytes_max(bytes_max);
        house.engine.issue(&request)
    };
    let leaves = |issued: Issued| (issued.unit.input_data.len() / 512, issued.shortfall);
    assert_eq!(leaves(within(High, 512 * 32).unwrap()), (32, false));
    assert_eq!(leaves(within(High, 512 * 32 - 1).unwrap()), (16, false));
    assert_eq!(leaves(within(High, 512 * 15).unwrap()), (8, true));
    assert_eq!(leaves(within(Low, 512).unwrap()), (1, false));
    let before = (house.engine.stats().ready_units, house.engine.stats().ready_bytes);
    for tier in [Low, Medium, High] {
        let refused = within(tier, 511).unwrap_err();
        assert!(matches!(refused, IssueError::TooBig { bytes_max: 511 }), "{refused}");
        assert_eq!(refused.reason(), Reason::Budget);
    }
    assert_eq!((house.engine.stats().ready_units, house.engine.stats().ready_bytes), before);
    // Made-up work keeps to it too, when nothing real is there.
    let empty = House::with(floors());
    let made_up = |tier, bytes_max| {
        let request = IssueRequest::new(b"a", tier).synthetic(true).bytes_max(bytes_max);
        empty.engine.issue(&request).map(|issued| (issued.unit.input_data.len(), issued.shortfall))
    };
    assert_eq!(made_up(High, 1_024).unwrap(), (1_024, false));
    assert_eq!(made_up(High, 1_023).unwrap(), (512, true));
    assert_eq!(made_up(Medium, 64).unwrap(), (64, true));
    assert!(matches!(made_up(Low, 63), Err(IssueError::TooBig { bytes_max: 63 })));
}

#[test]
fn a_unit_that_begins_with_a_leaf_over_the_budget_keeps_its_place_and_hides_nobody_behind_it() {
    let house = House::with(floors());
    let engine = &house.engine;
    let options = IngestOptions::new(Exposure::Public).block_size(9_000);
    engine.ingest_bytes(&options, "first", &[1; 9_000 * 2]).unwrap();
    engine.ingest_bytes(&options, "second", &[2; 100]).unwrap();
    engine.ingest_bytes(&options, "third", &[3; 9_000]).unwrap();
    engine.upkeep().unwrap();
    let low = IssueRequest::new(b"a", Low);
    let issue = |bytes_max: Option<usize>| engine.issue(&bytes_max.map_or(low, |bytes| low.bytes_max(bytes)));
    assert_eq!(issue(Some(8_999)).unwrap().unit.input_data, [2; 100]);
    assert!(matches!(issue(Some(8_999)), Err(IssueError::TooBig { .. })));
    let marks: Vec<u8> = (0..3).map(|_| issue(None).unwrap().unit.input_data[0]).collect();
    // Single leaves first, as without a budget; then the larger unit in halves.
    assert_eq!(marks, [3, 1, 1]);
    assert!(matches!(issue(None), Err(IssueError::NoWork)));
}

#[test]
fn a_receipt_proves_that_the_work_is_part_of_a_complete_tree() {
    let house = furnished();
    let mut entries = Vec::new();
    while let Ok(issued) = house.engine.issue(&IssueRequest::new(b"anna", High)) {
        house.clock.advance(Duration::from_millis(3_000));
        let accepted = answer_right(&house.engine, b"anna", &issued.unit).unwrap();
        let Receipt::Accepted(entry) = house.engine.receipt(accepted.id).unwrap() else {
            panic!("no receipt");
        };
        entries.push((entry, right(&issued)));
    }
    assert_eq!(house.engine.proof_of(&entries[0].0).unwrap(), None, "the tree is not complete yet");
    house.engine.upkeep().unwrap();
    assert_eq!(entries.len(), 3);
    for (row, result) in &entries {
        let found = house.engine.proof_of(row).unwrap().unwrap();
        assert_eq!((found.leaf.0, found.commitment), (row.start, house.engine.commitment("tree").unwrap()));
        assert_eq!(found.proof, house.engine.prove("tree", found.leaf).unwrap());
        let shape = Shape::new(found.commitment.leaves).unwrap();
        found.proof.verify(shape, found.leaf, &result.leaf_hashes[0], &found.commitment.root).unwrap();
    }
    house.engine.forget("tree").unwrap();
    assert_eq!(house.engine.proof_of(&entries[0].0).unwrap(), None);
    let issued = house.engine.issue(&IssueRequest::new(b"anna", Low).synthetic(true)).unwrap();
    assert_eq!(house.engine.receipt(issued.unit.id).unwrap(), Receipt::Open);
    house.clock.advance(Duration::from_millis(60_001));
    house.engine.sweep().unwrap();
    assert_eq!(house.engine.receipt(issued.unit.id).unwrap(), Receipt::Unknown);
}
