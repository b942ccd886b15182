//! The correctness properties that concern the engine, each named after its number and sentence, and the
//! invariants that no other test names. Where durable state is involved the property holds across a restart.
//!
//! ```text
//! invariant                                    test
//! 1 success only after a durable commit        planted: an_acknowledgement_before_the_commit_is_caught
//! 2 a token takes effect at most once          property_5_..., sixty_four_threads_...; planted: skipping_the_consumed_check_...
//! 3 the unit is the token's, never the body's  planted: taking_the_unit_from_the_body_is_caught
//! 4 a leaf is written once                     invariant_4_...; planted: skipping_the_leaf_check_...
//! 5 no leaf is lost or credited twice          model: the engine drains to complete trees after every run; property_15_...
//! 6 entries are gapless, chained, sum up       model: check_ledger after every run; store: check
//! 7 only complete, validated trees export      property_7_..., property_8_..., invariant_7_...
//! 8 every bound has a behaviour                invariant_8_...
//! 10 no input panics or allocates unboundedly  bad_input_answers, and the fuzz targets
//! rule L                                       rule_l_...; planted: honouring_an_old_token_without_adoption_is_caught
//! the queue in memory                          properties_policy: leases never overlap, the ring keeps its leaves
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::house::{self, House};
use crate::support::work::{self, answer_right, answer_wrong, cut, issue, solve, work_off};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::merkle::LeafIndex;
use pouw::protocol::{ByTier, DifficultyTier, TreeHandle};
use pouw::{
    Accepted, Answer, ConfigBuilder, EntryKind, Exposure, IngestError, IngestOptions, Ingested, IssueError,
    IssueRequest, Issued, PouwEngine, SubmitError, TreeError, TreeState,
};
use quickcheck::{Gen, QuickCheck, TestResult};

const TTL_MS: u64 = 60_000;
const TIERS: [DifficultyTier; 3] = DifficultyTier::ALL;

fn reopened(house: &mut House, how: u8) {
    match how % 3 {
        0 => {}
        1 => house.reopen(),
        _ => house.power_cut(),
    }
}

fn ingest(house: &House, name: &str, leaves: usize) {
    let bytes: Vec<u8> = (0..leaves * 512).map(|at| (at / 512 + at + name.len()) as u8).collect();
    house.engine.ingest_bytes(&cut(), name, &bytes).unwrap();
}

/// Works off everything, and returns how many units that took.
fn drain(house: &House) -> u64 {
    work_off(&house.engine, b"drain", DifficultyTier::High)
}

fn config() -> ConfigBuilder {
    house::config().min_queue_depth(2)
}

/// Counters that may not change when something is refused.
fn counters(engine: &PouwEngine) -> (u64, u64, u64, usize) {
    let stats = engine.stats();
    (stats.totals.pending, stats.ledger_entries, stats.totals.awarded, stats.leases)
}

fn quickcheck<P: quickcheck::Testable>(tests: u64, property: P) {
    QuickCheck::new().rng(Gen::new(60)).tests(tests).quickcheck(property);
}

/// The leaves a unit asks for, as its engine numbers them.
fn place(issued: &Issued) -> (TreeHandle, u8, u64) {
    (issued.unit.tree_id, issued.unit.tree_level, issued.unit.tree_index)
}

#[test]
fn property_2_a_token_past_its_expiry_is_rejected_whatever_else_is_right() {
    fn holds(tier: u8, made_up: bool, late_ms: u16, restart: u8, wall_back_ms: u32) -> bool {
        let mut house = House::with(config());
        ingest(&house, "a", 70);
        let tier = TIERS[usize::from(tier % 3)];
        let issued = if made_up { work::made_up(&house.engine, b"c", tier) } else { issue(&house.engine, b"c", tier) };
        let refused = issue(&house.engine, b"c", DifficultyTier::Low);
        house.clock.advance(Duration::from_millis(TTL_MS - 1));
        answer_right(&house.engine, b"c", &refused.unit).unwrap();
        house.clock.advance(Duration::from_millis(1 + u64::from(late_ms)));
        // A wall clock set back before a restart revives nothing: the time stands in the store.
        if restart % 3 == 1 {
            house.clock.step_wall_back(Duration::from_millis(wall_back_ms.into()));
        }
        reopened(&mut house, restart);
        let before = counters(&house.engine);
        let expired = matches!(answer_right(&house.engine, b"c", &issued.unit), Err(SubmitError::Expired { .. }));
        let resent = for_gate(&house.engine).reissue(b"c", &issued.unit.challenge_token);
        expired && matches!(resent, Err(SubmitError::Expired { .. })) && counters(&house.engine) == before
    }
    quickcheck(40, holds as fn(u8, bool, u16, u8, u32) -> bool);
}

#[test]
fn property_4_a_token_issued_to_one_client_is_rejected_from_any_other() {
    fn holds(own: Vec<u8>, other: Vec<u8>, made_up: bool, restart: u8) -> TestResult {
        if own == other {
            return TestResult::discard();
        }
        let mut house = House::with(config());
        ingest(&house, "a", 40);
        let tier = DifficultyTier::Medium;
        let issued = if made_up { work::made_up(&house.engine, &own, tier) } else { issue(&house.engine, &own, tier) };
        reopened(&mut house, restart);
        let before = counters(&house.engine);
        let stolen = answer_right(&house.engine, &other, &issued.unit);
        let resent = for_gate(&house.engine).reissue(&other, &issued.unit.challenge_token);
        let rejected = matches!(stolen, Err(SubmitError::ClientMismatch))
            && matches!(resent, Err(SubmitError::ClientMismatch))
            && counters(&house.engine) == before;
        TestResult::from_bool(rejected && answer_right(&house.engine, &own, &issued.unit).is_ok())
    }
    quickcheck(40, holds as fn(Vec<u8>, Vec<u8>, bool, u8) -> TestResult);
}

#[test]
fn property_5_a_token_that_took_effect_is_rejected_for_ever_after() {
    fn holds(tier: u8, made_up: bool, wrong: bool, restarts: Vec<u8>, steps_ms: Vec<u16>) -> bool {
        let mut house = House::with(config());
        ingest(&house, "a", 70);
        let tier = TIERS[usize::from(tier % 3)];
        let issued = if made_up { work::made_up(&house.engine, b"c", tier) } else { issue(&house.engine, b"c", tier) };
        if wrong {
            answer_wrong(&house.engine, b"c", &issued.unit);
            // The refusal is written behind: with this commit, or with any other.
            house.engine.sweep().unwrap();
        } else {
            answer_right(&house.engine, b"c", &issued.unit).unwrap();
        }
        let entries = house.engine.stats().ledger_entries;
        for (restart, step_ms) in restarts.into_iter().zip(steps_ms).take(6) {
            house.clock.advance(Duration::from_millis(step_ms.into()));
            reopened(&mut house, restart);
            let again = answer_right(&house.engine, b"c", &issued.unit);
            if !matches!(again, Err(SubmitError::Replayed | SubmitError::Expired { .. })) {
                return false;
            }
            house.engine.sweep().unwrap();
        }
        house.clock.advance(Duration::from_millis(3 * TTL_MS));
        house.engine.sweep().unwrap();
        let pruned = matches!(answer_right(&house.engine, b"c", &issued.unit), Err(SubmitError::Expired { .. }));
        pruned && house.engine.stats().ledger_entries == entries
    }
    quickcheck(30, holds as fn(u8, bool, bool, Vec<u8>, Vec<u16>) -> bool);
}

/// Blocks of any length but those that a tree of mixed lengths refuses.
fn blocks(lengths: &[u16]) -> Vec<Vec<u8>> {
    let wanted = lengths.iter().map(|len| match usize::from(len % 1_500) {
        len @ (64 | 128) => len + 1,
        len => len,
    });
    wanted.enumerate().map(|(at, len)| (0..len).map(|byte| (byte * 7 + at * 13) as u8).collect()).collect()
}

/// Ingests `blocks`, solves them with restarts in between, and returns leaves and all nodes as exported.
fn assemble(blocks: &[Vec<u8>], tiers: &[u8], restarts: &[u8]) -> (Vec<Checksum>, Vec<Checksum>) {
    let mut house = House::with(config());
    let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let options = IngestOptions::new(Exposure::Ciphertext);
    house.engine.ingest_blocks(&options, "t", &slices).unwrap();
    for (tier, restart) in tiers.iter().zip(restarts) {
        house.engine.refill().unwrap();
        let request = IssueRequest::new(b"c", TIERS[usize::from(tier % 3)]);
        let Ok(issued) = house.engine.issue(&request) else { break };
        reopened(&mut house, *restart);
        answer_right(&house.engine, b"c", &issued.unit).unwrap();
    }
    drain(&house);
    house.engine.validate("t").unwrap();
    let (mut leaves, mut nodes) = (Vec::new(), Vec::new());
    let engine = &house.engine;
    engine
        .export_leaves("t", &mut |node| {
            let _: () = leaves.push(*node);
            Ok(())
        })
        .unwrap();
    engine
        .export_addresses("t", &mut |node| {
            let _: () = nodes.push(*node);
            Ok(())
        })
        .unwrap();
    assert_eq!(engine.root("t").unwrap(), nodes[0]);
    (leaves, nodes)
}

#[test]
fn property_7_decomposing_any_blocks_into_units_solving_and_assembling_them_gives_a_valid_tree_whose_leaves_are_the_blocks_hashes()
 {
    fn holds(lengths: Vec<u16>, tiers: Vec<u8>, restarts: Vec<u8>) -> TestResult {
        if lengths.is_empty() {
            return TestResult::discard();
        }
        let blocks = blocks(&lengths);
        let (leaves, _) = assemble(&blocks, &tiers, &restarts);
        TestResult::from_bool(leaves.iter().copied().eq(blocks.iter().map(|block| sha3_512(block))))
    }
    quickcheck(40, holds as fn(Vec<u16>, Vec<u8>, Vec<u8>) -> TestResult);
}

#[test]
fn property_8_in_an_assembled_tree_every_interior_node_is_the_hash_of_its_children() {
    fn holds(lengths: Vec<u16>, tiers: Vec<u8>, restarts: Vec<u8>) -> TestResult {
        if lengths.is_empty() {
            return TestResult::discard();
        }
        let (leaves, nodes) = assemble(&blocks(&lengths), &tiers, &restarts);
        // Sizes of the levels by the definition: halved, rounded up, until one is left.
        let mut sizes = vec![leaves.len()];
        while sizes[0] > 1 {
            sizes.insert(0, sizes[0].div_ceil(2));
        }
        let mut rest = nodes.as_slice();
        let levels: Vec<&[Checksum]> = sizes.iter().map(|size| rest.split_off(..*size).unwrap()).collect();
        let fit = levels.windows(2).all(|pair| {
            let parents = pair[1].chunks(2).map(|children| {
                let bytes: Vec<u8> = children.iter().flat_map(|child| *child.as_bytes()).collect();
                sha3_512(&bytes)
            });
            pair[0].iter().copied().eq(parents)
        });
        TestResult::from_bool(fit && rest.is_empty())
    }
    quickcheck(40, holds as fn(Vec<u16>, Vec<u8>, Vec<u8>) -> TestResult);
}

#[test]
fn property_13_whenever_ready_units_fall_below_the_minimum_they_are_refilled_to_at_least_the_minimum() {
    fn holds(minimum: u8, takes: Vec<u8>, restart: u8) -> bool {
        let minimum = 1 + usize::from(minimum % 40);
        let settings = || config().min_queue_depth(minimum);
        let mut house = House::with(settings());
        // Single leaves, so that there are always more units than asked for.
        (0..8).for_each(|tree| ingest(&house, &format!("tree {tree}"), 40));
        (0..120).for_each(|tree| ingest(&house, &format!("leaf {tree}"), 1));
        for take in takes.into_iter().take(12) {
            house.engine.refill().unwrap();
            if house.engine.stats().ready_units < minimum {
                return false;
            }
            for _ in 0..take % 4 {
                let _ = house.engine.issue(&IssueRequest::new(b"c", TIERS[usize::from(take) % 3]));
            }
        }
        reopened(&mut house, restart);
        house.engine.upkeep().unwrap();
        house.engine.stats().ready_units >= minimum
    }
    quickcheck(15, holds as fn(u8, Vec<u8>, u8) -> bool);
}

#[test]
fn property_14_a_unit_older_than_the_maximum_age_leaves_the_queue_at_the_next_sweep_and_comes_back_fresh() {
    fn holds(leaves: u8, max_age_ms: u16, restart: u8) -> bool {
        let max_age_ms = 1 + u64::from(max_age_ms);
        let settings = || config().work_unit_max_age(Duration::from_millis(max_age_ms)).min_queue_depth(50);
        let mut house = House::with(settings());
        ingest(&house, "a", 1 + usize::from(leaves));
        reopened(&mut house, restart);
        house.engine.refill().unwrap();
        let full = (house.engine.stats().ready_units, house.engine.stats().ready_bytes);
        house.clock.advance(Duration::from_millis(max_age_ms));
        let young = house.engine.sweep().unwrap().aged;
        house.clock.advance(Duration::from_millis(1));
        let aged = house.engine.sweep().unwrap().aged;
        let emptied = house.engine.stats().ready_units;
        house.engine.refill().unwrap();
        let back = (house.engine.stats().ready_units, house.engine.stats().ready_bytes);
        let fresh = house.engine.sweep().unwrap().aged;
        let same = (young, aged, emptied, back, fresh) == (0, full.0, 0, full, 0);
        same && drain(&house) > 0 && house.engine.tree("a").unwrap().state == TreeState::Complete
    }
    quickcheck(20, holds as fn(u8, u16, u8) -> bool);
}

#[test]
fn property_15_a_leased_unit_whose_token_expired_unanswered_returns_to_the_queue() {
    fn holds(leaves: u8, tiers: Vec<u8>, restart: u8, answered: u8) -> bool {
        let mut house = House::with(config());
        ingest(&house, "a", 1 + usize::from(leaves));
        let mut out = Vec::new();
        for tier in tiers.iter().take(20) {
            house.engine.refill().unwrap();
            out.extend(house.engine.issue(&IssueRequest::new(b"c", TIERS[usize::from(tier % 3)])));
        }
        // Some come back from before a restart, too early for a verdict, and expire then.
        reopened(&mut house, restart);
        for issued in out.iter().take(usize::from(answered % 4)) {
            let mut malformed = solve(&issued.unit);
            malformed.challenge_token.push('A');
            let answer = Answer::new(b"c", &malformed).token(&issued.unit.challenge_token);
            let refused = house.engine.submit(&answer);
            assert!(matches!(refused, Err(SubmitError::Malformed(_))), "{refused:?}");
        }
        let leased = house.engine.stats().leases;
        house.clock.advance(Duration::from_millis(TTL_MS + 1));
        let expired = house.engine.sweep().unwrap().expired;
        drain(&house);
        let complete = house.engine.tree("a").unwrap().state == TreeState::Complete;
        (expired, complete) == (leased, true) && house.engine.stats().leases == 0
    }
    quickcheck(25, holds as fn(u8, Vec<u8>, u8, u8) -> bool);
}

#[test]
fn property_16_units_of_partly_built_trees_are_handed_out_before_units_of_new_trees() {
    // Each tree is four tiles, so that every unit of tier high is a tile, and all compete with each other.
    fn holds(trees: u8, answers: Vec<bool>, restart: u8, wrong: bool) -> bool {
        let settings = || config().min_queue_depth(200);
        let mut house = House::with(settings());
        (0..2 + trees % 4).for_each(|tree| ingest(&house, &format!("tree {tree}"), 128));
        let mut begun: BTreeMap<TreeHandle, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for answer in answers.iter().take(3) {
            let issued = issue(&house.engine, b"c", DifficultyTier::High);
            if *answer {
                answer_right(&house.engine, b"c", &issued.unit).unwrap();
                *begun.entry(issued.unit.tree_id).or_insert(4) -= 1;
            } else {
                kept.push(issued);
            }
        }
        // What comes back is of a partly built tree all the same.
        if wrong {
            kept.into_iter().for_each(|issued| answer_wrong(&house.engine, b"c", &issued.unit));
        }
        reopened(&mut house, restart);
        house.clock.advance(Duration::from_millis(TTL_MS + 1));
        house.engine.sweep().unwrap();
        let lost = issue(&house.engine, b"c", DifficultyTier::High);
        answer_wrong(&house.engine, b"c", &lost.unit);
        loop {
            house.engine.refill().unwrap();
            let Ok(issued) = house.engine.issue(&IssueRequest::new(b"c", DifficultyTier::High)) else {
                return house.engine.stats().totals.pending == 0;
            };
            let tree = issued.unit.tree_id;
            if !begun.contains_key(&tree) && begun.values().any(|tiles| *tiles > 0) {
                return false;
            }
            answer_right(&house.engine, b"c", &issued.unit).unwrap();
            *begun.entry(tree).or_insert(4) -= 1;
        }
    }
    quickcheck(40, holds as fn(u8, Vec<bool>, u8, bool) -> bool);
}

#[test]
fn a_tree_whose_ingest_is_resumed_after_newer_trees_were_opened_is_handed_out_in_the_same_boot() {
    // Enough for a commit in the middle, then stopped.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    std::fs::write(&path, vec![3; 40 << 20]).unwrap();
    let house = House::with(config());
    let options = IngestOptions::new(Exposure::Public).block_size(64 << 10);
    let mut stop = |progress: &pouw::IngestProgress| {
        if progress.bytes < 30 << 20 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    };
    let stopped = house.engine.ingest_paths(&options, std::slice::from_ref(&path), &mut stop);
    assert!(matches!(stopped, Err(IngestError::Cancelled)), "{stopped:?}");
    assert_eq!(house.engine.tree("big").unwrap().state, TreeState::Ingesting);
    ingest(&house, "newer", 3);
    assert_eq!(drain(&house), 1);
    let mut go_on = |_: &pouw::IngestProgress| std::ops::ControlFlow::Continue(());
    assert_eq!(house.engine.ingest_paths(&options, &[path], &mut go_on).unwrap().resumed, 1);
    drain(&house);
    assert_eq!(house.engine.tree("big").unwrap().state, TreeState::Complete);
}

#[test]
fn sixty_four_threads_submit_the_same_answer_and_exactly_one_is_accepted() {
    for (made_up, restart) in [(false, 0), (true, 0), (false, 1), (true, 1), (false, 2), (true, 2)] {
        let mut house = House::with(config());
        ingest(&house, "a", 64);
        let tier = DifficultyTier::High;
        let issued = if made_up { work::made_up(&house.engine, b"c", tier) } else { issue(&house.engine, b"c", tier) };
        let result = solve(&issued.unit);
        reopened(&mut house, restart);
        let line = std::sync::Barrier::new(64);
        let verdicts: Vec<Result<Accepted, SubmitError>> = std::thread::scope(|threads| {
            let copies: Vec<_> = (0..64)
                .map(|_| {
                    threads.spawn(|| {
                        line.wait();
                        house.engine.submit(&Answer::new(b"c", &result))
                    })
                })
                .collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).collect()
        });
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 1);
        for refused in verdicts.iter().filter_map(|verdict| verdict.as_ref().err()) {
            let known = matches!(refused, SubmitError::Replayed | SubmitError::InFlight | SubmitError::Withdrawn);
            assert!(known, "{refused:?}");
        }
        let entries = house.engine.ledger(0, 10).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].kind, if made_up { EntryKind::Synthetic } else { EntryKind::Leaves });
        let credited = entries[0].amount.0;
        assert_eq!(house.engine.balance(b"c").unwrap().0, credited);
        assert_eq!(house.engine.stats().leases, 0);
    }
}

#[test]
fn rule_l_of_two_old_tokens_over_the_same_leaves_the_first_to_arrive_counts_and_the_other_is_withdrawn() {
    // Both over the same leaves: the second was issued in a boot that knew nothing of the first.
    let mut house = House::with(config());
    ingest(&house, "a", 32);
    let first = issue(&house.engine, b"c", DifficultyTier::High);
    house.reopen_as(config());
    let second = issue(&house.engine, b"d", DifficultyTier::Medium);
    house.reopen_as(config());
    answer_right(&house.engine, b"d", &second.unit).unwrap();
    let late = answer_right(&house.engine, b"c", &first.unit);
    assert!(matches!(late, Err(SubmitError::Withdrawn)), "{late:?}");
    drain(&house);
    assert_eq!(house.engine.tree("a").unwrap().state, TreeState::Complete);
    assert_eq!(house.engine.stats().totals.leaves, 32);
}

#[test]
fn rule_l_an_old_token_that_is_adopted_keeps_its_leaves_from_others_until_it_expires() {
    let floors = || config().floor(ByTier::all(Duration::from_millis(5_000)));
    let mut house = House::with(floors());
    ingest(&house, "a", 8);
    let issued = issue(&house.engine, b"c", DifficultyTier::Medium);
    house.reopen_as(floors());
    house.engine.refill().unwrap();
    assert!(house.engine.stats().ready_units > 0, "before its token arrives nobody knows of the lease");
    let early = answer_right(&house.engine, b"c", &issued.unit);
    assert!(matches!(early, Err(SubmitError::TooEarly { wait_ms: 5_000 })), "{early:?}");
    assert_eq!((house.engine.stats().ready_units, house.engine.stats().leases), (0, 1));
    assert!(matches!(house.engine.issue(&IssueRequest::new(b"d", DifficultyTier::Low)), Err(IssueError::NoWork)));
    assert_eq!(
        for_gate(&house.engine).reissue(b"c", &issued.unit.challenge_token).unwrap().input_data,
        issued.unit.input_data
    );
    house.clock.advance(Duration::from_millis(5_000));
    answer_right(&house.engine, b"c", &issued.unit).unwrap();
    assert_eq!(house.engine.stats().totals.pending, 0);
}

#[test]
fn rule_l_a_token_of_before_a_forget_and_a_new_ingest_of_the_same_name_is_withdrawn() {
    for restart in 0..3 {
        let mut house = House::with(config());
        ingest(&house, "a", 8);
        let issued = issue(&house.engine, b"c", DifficultyTier::Medium);
        house.engine.forget("a").unwrap();
        ingest(&house, "a", 8);
        reopened(&mut house, restart);
        let again = issue(&house.engine, b"d", DifficultyTier::Medium);
        assert_eq!(issued.unit.input_data, again.unit.input_data);
        assert_ne!(issued.unit.tree_id, again.unit.tree_id);
        let before = counters(&house.engine);
        let old = answer_right(&house.engine, b"c", &issued.unit);
        assert!(matches!(old, Err(SubmitError::Withdrawn)), "{old:?}");
        assert_eq!(counters(&house.engine), before);
        answer_right(&house.engine, b"d", &again.unit).unwrap();
    }
}

#[test]
fn rule_l_work_that_came_back_and_is_partly_adopted_loses_no_leaf() {
    // A tile comes back from a wrong answer; before the next refill a token of an earlier boot takes a part.
    let mut house = House::with(config().min_queue_depth(1));
    ingest(&house, "a", 32);
    let part = issue(&house.engine, b"c", DifficultyTier::Medium);
    house.reopen_as(config().min_queue_depth(1));
    let whole = issue(&house.engine, b"d", DifficultyTier::High);
    assert_eq!(whole.unit.leaf_lengths.len(), 32);
    answer_wrong(&house.engine, b"d", &whole.unit);
    answer_right(&house.engine, b"c", &part.unit).unwrap();
    drain(&house);
    assert_eq!(house.engine.tree("a").unwrap().state, TreeState::Complete);
}

#[test]
fn rule_l_a_tree_whose_adopted_lease_ends_is_opened_whoever_does_its_first_leaf() {
    let one = || config().min_queue_depth(1);
    let mut house = House::with(one());
    (0..3).for_each(|tree| ingest(&house, &format!("tree {tree}"), 64));
    // Tokens for a part of each tree, and answers for the last two, which are therefore partly built.
    let mut out = Vec::new();
    for _ in 0..6 {
        out.push(issue(&house.engine, b"c", DifficultyTier::High));
    }
    for issued in &out[2..] {
        if issued.unit.tree_index == 0 {
            answer_right(&house.engine, b"c", &issued.unit).unwrap();
        }
    }
    house.reopen_as(one());
    answer_wrong(&house.engine, b"c", &out[0].unit);
    drain(&house);
    for tree in house.engine.trees(None, 10).unwrap() {
        assert_eq!(tree.state, TreeState::Complete, "{}", tree.name);
    }
}

#[test]
fn a_tree_with_a_leaf_hashed_at_ingest_hands_out_the_others_in_the_same_boot() {
    let house = House::with(config().unit_bytes(ByTier::all(1_024)));
    let options = IngestOptions::new(Exposure::Public);
    let (large, small) = (vec![1; 3_000], vec![2; 100]);
    ingest(&house, "other", 1);
    drain(&house);
    house.engine.ingest_blocks(&options, "mixed", &[&large, &small, &large, &[3; 99]]).unwrap();
    assert_eq!(house.engine.stats().totals.pending, 2);
    drain(&house);
    assert_eq!(house.engine.tree("mixed").unwrap().state, TreeState::Complete);
}

#[test]
fn a_tree_that_is_being_folded_by_clients_is_finished_by_the_server_when_that_is_switched_off() {
    let mut house = House::with(config().interior_units(true));
    ingest(&house, "a", 150);
    drain(&house);
    assert_eq!(house.engine.tree("a").unwrap().state, TreeState::Folding);
    let node = issue(&house.engine, b"c", DifficultyTier::Low);
    answer_right(&house.engine, b"c", &node.unit).unwrap();
    let late = issue(&house.engine, b"c", DifficultyTier::Low);
    house.reopen_as(config());
    drain(&house);
    assert_eq!(house.engine.tree("a").unwrap().state, TreeState::Complete);
    let late = answer_right(&house.engine, b"c", &late.unit);
    assert!(matches!(late, Err(SubmitError::Withdrawn)), "{late:?}");
    house.engine.validate("a").unwrap();
}

#[test]
fn invariant_4_a_leaf_is_written_once_the_same_again_is_idempotent_another_value_a_conflict_that_changes_nothing() {
    fn holds(lengths: Vec<u16>, at: usize, answered: bool, restart: u8) -> TestResult {
        if lengths.is_empty() {
            return TestResult::discard();
        }
        let mut house = House::with(config());
        let blocks = blocks(&lengths);
        let mut other = blocks.clone();
        other[at % blocks.len()].insert(0, 0xee);
        if matches!(other[at % blocks.len()].len(), 64 | 128) {
            other[at % blocks.len()].insert(0, 0xee);
        }
        let ingest = |house: &House, blocks: &[Vec<u8>]| {
            let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            house.engine.ingest_blocks(&IngestOptions::new(Exposure::Public), "t", &slices)
        };
        assert_eq!(ingest(&house, &blocks).unwrap(), Ingested::Added);
        if answered {
            drain(&house);
        }
        reopened(&mut house, restart);
        let before = (counters(&house.engine), house.engine.tree("t").unwrap());
        let same = matches!(ingest(&house, &blocks), Ok(Ingested::Unchanged));
        let conflict = matches!(ingest(&house, &other), Err(IngestError::Conflict { .. }));
        let unchanged = (counters(&house.engine), house.engine.tree("t").unwrap()) == before;
        TestResult::from_bool(same && conflict && unchanged)
    }
    quickcheck(25, holds as fn(Vec<u16>, usize, bool, u8) -> TestResult);
}

#[test]
fn invariant_7_a_tree_exports_only_when_complete_and_validated() {
    let house = House::with(config());
    ingest(&house, "a", 40);
    let refused = |house: &House, expected: TreeState| {
        let mut nodes = 0;
        let outcome = house.engine.export_addresses("a", &mut |_| {
            nodes += 1;
            Ok(())
        });
        assert!(matches!(outcome, Err(TreeError::NotComplete { state, .. }) if state == expected), "{outcome:?}");
        assert_eq!(nodes, 0);
        assert!(house.engine.root("a").is_err() && house.engine.prove("a", LeafIndex(0)).is_err());
    };
    refused(&house, TreeState::Active);
    for _ in 0..2 {
        let issued = issue(&house.engine, b"c", DifficultyTier::High);
        answer_right(&house.engine, b"c", &issued.unit).unwrap();
    }
    // All leaves are done; nobody has folded and validated them.
    refused(&house, TreeState::Assembling);
    house.engine.upkeep().unwrap();
    let mut nodes = 0;
    house
        .engine
        .export_addresses("a", &mut |_| {
            let _: () = nodes += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(nodes, 40 + 20 + 10 + 5 + 3 + 2 + 1);
}

#[test]
fn invariant_8_at_the_bound_of_leases_nothing_is_issued_and_no_lease_is_evicted() {
    let settings = || config().leases_max(3).synthetic_max(2);
    let mut house = House::with(settings());
    ingest(&house, "a", 8);
    let first = issue(&house.engine, b"c", DifficultyTier::Low);
    let second = issue(&house.engine, b"c", DifficultyTier::Low);
    house.reopen_as(settings());
    let out: Vec<Issued> = (0..3).map(|_| issue(&house.engine, b"d", DifficultyTier::Low)).collect();
    for synthetic in [false, true] {
        let request = IssueRequest::new(b"e", DifficultyTier::Low).synthetic(synthetic);
        assert!(matches!(house.engine.issue(&request), Err(IssueError::Crowded(3))));
    }
    // An old token finds no room either: it may come again.
    for old in [&first, &second] {
        let refused = answer_right(&house.engine, b"c", &old.unit);
        assert!(matches!(refused, Err(SubmitError::Busy)), "{refused:?}");
    }
    assert_eq!(house.engine.stats().leases, 3);
    out.iter().for_each(|issued| assert!(answer_right(&house.engine, b"d", &issued.unit).is_ok()));
}

#[test]
fn invariant_8_at_the_bound_of_made_up_units_no_more_are_made_up() {
    let house = House::with(config().leases_max(10).synthetic_max(2));
    let out = [
        work::made_up(&house.engine, b"c", DifficultyTier::Low),
        work::made_up(&house.engine, b"c", DifficultyTier::High),
    ];
    let request = IssueRequest::new(b"c", DifficultyTier::Low).synthetic(true);
    assert!(matches!(house.engine.issue(&request), Err(IssueError::Crowded(2))));
    answer_right(&house.engine, b"c", &out[0].unit).unwrap();
    work::made_up(&house.engine, b"c", DifficultyTier::Low);
}

#[test]
fn invariant_8_the_ring_stops_growing_at_its_bytes_and_still_hands_out_everything() {
    let house = House::with(config().ready_bytes_max(1 << 20).min_queue_depth(10_000));
    let options = IngestOptions::new(Exposure::Public).block_size(65_536);
    house.engine.ingest_bytes(&options, "a", &vec![1; 80 << 16]).unwrap();
    house.engine.refill().unwrap();
    let ready = house.engine.stats().ready_bytes;
    // The bound is looked at before each stretch of eight tiles.
    assert!((1 << 20..80 << 16).contains(&ready) || ready == 80 << 16, "{ready}");
    assert_eq!(house.engine.refill().unwrap(), 0);
    drain(&house);
    assert_eq!(house.engine.tree("a").unwrap().state, TreeState::Complete);
}

#[test]
fn invariant_8_answers_beyond_the_waiting_ones_are_told_to_try_again_and_keep_their_lease() {
    let house = House::with(config().waiting_answers_max(2).commit_ops_max(1));
    ingest(&house, "a", 8);
    let out: Vec<Issued> = (0..4).map(|_| issue(&house.engine, b"c", DifficultyTier::Low)).collect();
    // The writer is held up in the first reply; two more answers wait, and there is no room for a fourth.
    let (told, tell) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let first = told.clone();
    let result = solve(&out[0].unit);
    let (entered, inside) = std::sync::mpsc::channel();
    house.engine.submit_with(&Answer::new(b"c", &result), move |verdict| {
        entered.send(()).unwrap();
        held.recv().unwrap();
        first.send(verdict).unwrap();
    });
    inside.recv().unwrap();
    for issued in &out[1..3] {
        let told = told.clone();
        house.engine.submit_with(&Answer::new(b"c", &solve(&issued.unit)), move |verdict| told.send(verdict).unwrap());
    }
    let refused = answer_right(&house.engine, b"c", &out[3].unit);
    assert!(matches!(refused, Err(SubmitError::Busy)), "{refused:?}");
    release.send(()).unwrap();
    (0..3).for_each(|_| assert!(tell.recv().unwrap().is_ok()));
    answer_right(&house.engine, b"c", &out[3].unit).unwrap();
    assert_eq!(house.engine.stats().totals.leaves, 4);
}

#[test]
fn invariant_8_after_eight_refused_answers_a_challenge_is_closed_and_its_work_comes_back() {
    let house = House::with(config());
    ingest(&house, "a", 1);
    let issued = issue(&house.engine, b"c", DifficultyTier::Low);
    let mut malformed = solve(&issued.unit);
    malformed.leaf_hashes.push(malformed.result_hash);
    for _ in 0..8 {
        let refused = house.engine.submit(&Answer::new(b"c", &malformed));
        assert!(matches!(refused, Err(SubmitError::Malformed(_))), "{refused:?}");
    }
    let dead = answer_right(&house.engine, b"c", &issued.unit);
    assert!(matches!(dead, Err(SubmitError::Replayed)), "{dead:?}");
    let again = issue(&house.engine, b"d", DifficultyTier::Low);
    assert_eq!(place(&issued), place(&again));
    answer_right(&house.engine, b"d", &again.unit).unwrap();
}

#[test]
fn a_wall_clock_set_back_while_the_store_was_closed_revives_no_token() {
    let mut house = House::with(config());
    ingest(&house, "a", 1);
    let issued = issue(&house.engine, b"c", DifficultyTier::Low);
    house.clock.advance(Duration::from_millis(TTL_MS));
    // Nothing but time has changed since the ingest.
    house.engine.close();
    house.clock.step_wall_back(Duration::from_millis(10 * TTL_MS));
    house.reopen_as(config());
    let late = answer_right(&house.engine, b"c", &issued.unit);
    assert!(matches!(late, Err(SubmitError::Expired { .. })), "{late:?}");
}
