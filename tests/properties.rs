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
//! ```
#![cfg(feature = "testing")]

#[path = "model/mod.rs"]
#[allow(dead_code)]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::memory::Memory;
use model::world::solve;
use pouw::engine::ingest::{IngestError, IngestOptions, Ingested};
use pouw::engine::{
    Accepted, Answer, Config, ConfigBuilder, EventSink, FakeClock, IssueError, IssueRequest, Issued, Parts, PouwEngine,
    SubmitError, TreeError, WriteError,
};
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::{AlignedRange, LeafIndex, Shape};
use pouw::policy::lease::{Claim, Lease, LeaseRefusal, LeaseTable, Pin};
use pouw::policy::ready::{Loaded, ReadyRing, ReadyUnit, cut, smallest, wanted};
use pouw::protocol::{DifficultyTier, TreeHandle, WorkId};
use pouw::store::StoreOptions;
use pouw::store::records::{EntryKind, Exposure, TreeState};
use quickcheck::{Gen, QuickCheck, TestResult};

const START_MS: u64 = 1_700_000_000_000;
const TTL_MS: u64 = 60_000;
const TIERS: [DifficultyTier; 3] = DifficultyTier::ALL;

/// Storage, clock and engine of one test.
struct House {
    memory: Memory,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
}

impl House {
    fn new(config: ConfigBuilder) -> Self {
        let (memory, clock) = (Memory::default(), Arc::new(FakeClock::at(START_MS)));
        let engine = open(&memory, &clock, config);
        Self { memory, clock, engine }
    }

    /// Closes and opens again.
    fn reopen(&mut self, config: ConfigBuilder) {
        self.engine.close();
        self.engine = open(&self.memory, &self.clock, config);
    }

    /// Loses everything that is not durable, and opens what is left.
    fn power_cut(&mut self, config: ConfigBuilder) {
        let image = self.memory.after_power_cut();
        self.engine.close();
        self.memory = image;
        self.engine = open(&self.memory, &self.clock, config);
    }

    fn restart(&mut self, how: u8, config: ConfigBuilder) {
        match how % 3 {
            0 => {}
            1 => self.reopen(config),
            _ => self.power_cut(config),
        }
    }

    fn ingest(&self, name: &str, leaves: usize) {
        let bytes: Vec<u8> = (0..leaves * 512).map(|at| (at / 512 + at + name.len()) as u8).collect();
        let options = IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) };
        self.engine.ingest_bytes(&options, name, &bytes).unwrap();
    }

    fn issue(&self, client: &[u8], tier: DifficultyTier) -> Issued {
        self.engine.refill().unwrap();
        self.engine.issue(&IssueRequest::new(client, tier)).unwrap()
    }

    fn made_up(&self, client: &[u8], tier: DifficultyTier) -> Issued {
        let request = IssueRequest { synthetic: true, ..IssueRequest::new(client, tier) };
        self.engine.issue(&request).unwrap()
    }

    fn answer(&self, client: &[u8], issued: &Issued) -> Result<Accepted, SubmitError> {
        self.engine.submit(&Answer::new(client, &solve(&issued.unit)))
    }

    fn answer_wrongly(&self, client: &[u8], issued: &Issued) {
        let mut result = solve(&issued.unit);
        result.result_hash = sha3_512(b"wrong");
        let refused = self.engine.submit(&Answer::new(client, &result));
        assert!(matches!(refused, Err(SubmitError::WrongResult { .. })), "{refused:?}");
    }

    /// Works off everything, and returns how many units that took.
    fn drain(&self) -> usize {
        let mut units = 0;
        loop {
            self.engine.upkeep().unwrap();
            match self.engine.issue(&IssueRequest::new(b"drain", DifficultyTier::High)) {
                Ok(issued) => self.answer(b"drain", &issued).unwrap(),
                Err(IssueError::NoWork) => return units,
                Err(other) => panic!("{other}"),
            };
            units += 1;
        }
    }
}

fn open(memory: &Memory, clock: &Arc<FakeClock>, config: ConfigBuilder) -> PouwEngine {
    let parts = Parts {
        storage: Arc::new(memory.clone()),
        clock: clock.clone(),
        events: EventSink::default(),
        options: StoreOptions { state_cache_bytes: 4 << 20, blocks_cache_bytes: 4 << 20 },
    };
    PouwEngine::open_with(parts, config.build().unwrap()).unwrap()
}

fn config() -> ConfigBuilder {
    Config::builder([7; 32]).floor_ms([0; 3]).background(false).min_queue_depth(2)
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
        let mut house = House::new(config());
        house.ingest("a", 70);
        let tier = TIERS[usize::from(tier % 3)];
        let issued = if made_up { house.made_up(b"c", tier) } else { house.issue(b"c", tier) };
        let refused = house.issue(b"c", DifficultyTier::Low);
        house.clock.advance(TTL_MS - 1);
        house.answer(b"c", &refused).unwrap();
        house.clock.advance(1 + u64::from(late_ms));
        // A wall clock set back before a restart revives nothing: the time stands in the store.
        if restart % 3 == 1 {
            house.clock.step_wall(-i64::from(wall_back_ms));
        }
        house.restart(restart, config());
        let before = counters(&house.engine);
        let expired = matches!(house.answer(b"c", &issued), Err(SubmitError::Expired { .. }));
        let resent = house.engine.reissue(b"c", &issued.unit.challenge_token);
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
        let mut house = House::new(config());
        house.ingest("a", 40);
        let tier = DifficultyTier::Medium;
        let issued = if made_up { house.made_up(&own, tier) } else { house.issue(&own, tier) };
        house.restart(restart, config());
        let before = counters(&house.engine);
        let stolen = house.answer(&other, &issued);
        let resent = house.engine.reissue(&other, &issued.unit.challenge_token);
        let rejected = matches!(stolen, Err(SubmitError::ClientMismatch))
            && matches!(resent, Err(SubmitError::ClientMismatch))
            && counters(&house.engine) == before;
        TestResult::from_bool(rejected && house.answer(&own, &issued).is_ok())
    }
    quickcheck(40, holds as fn(Vec<u8>, Vec<u8>, bool, u8) -> TestResult);
}

#[test]
fn property_5_a_token_that_took_effect_is_rejected_for_ever_after() {
    fn holds(tier: u8, made_up: bool, wrong: bool, restarts: Vec<u8>, steps_ms: Vec<u16>) -> bool {
        let mut house = House::new(config());
        house.ingest("a", 70);
        let tier = TIERS[usize::from(tier % 3)];
        let issued = if made_up { house.made_up(b"c", tier) } else { house.issue(b"c", tier) };
        if wrong {
            house.answer_wrongly(b"c", &issued);
            // The refusal is written behind: with this commit, or with any other.
            house.engine.sweep().unwrap();
        } else {
            house.answer(b"c", &issued).unwrap();
        }
        let entries = house.engine.stats().ledger_entries;
        for (restart, step_ms) in restarts.into_iter().zip(steps_ms).take(6) {
            house.clock.advance(step_ms.into());
            house.restart(restart, config());
            let again = house.answer(b"c", &issued);
            if !matches!(again, Err(SubmitError::Replayed | SubmitError::Expired { .. })) {
                return false;
            }
            house.engine.sweep().unwrap();
        }
        house.clock.advance(3 * TTL_MS);
        house.engine.sweep().unwrap();
        let pruned = matches!(house.answer(b"c", &issued), Err(SubmitError::Expired { .. }));
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
    let mut house = House::new(config());
    let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    let options = IngestOptions::new(Exposure::Ciphertext);
    house.engine.ingest_blocks(&options, "t", &slices).unwrap();
    for (tier, restart) in tiers.iter().zip(restarts) {
        house.engine.refill().unwrap();
        let request = IssueRequest::new(b"c", TIERS[usize::from(tier % 3)]);
        let Ok(issued) = house.engine.issue(&request) else { break };
        house.restart(*restart, config());
        house.answer(b"c", &issued).unwrap();
    }
    house.drain();
    house.engine.validate("t").unwrap();
    let (mut leaves, mut nodes) = (Vec::new(), Vec::new());
    let engine = &house.engine;
    engine.export_leaves("t", &mut |node| Ok(leaves.push(*node))).unwrap();
    engine.export_addresses("t", &mut |node| Ok(nodes.push(*node))).unwrap();
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
        let mut house = House::new(settings());
        // Single leaves, so that there are always more units than asked for.
        (0..8).for_each(|tree| house.ingest(&format!("tree {tree}"), 40));
        (0..120).for_each(|tree| house.ingest(&format!("leaf {tree}"), 1));
        for take in takes.into_iter().take(12) {
            house.engine.refill().unwrap();
            if house.engine.stats().ready_units < minimum {
                return false;
            }
            for _ in 0..take % 4 {
                let _ = house.engine.issue(&IssueRequest::new(b"c", TIERS[usize::from(take) % 3]));
            }
        }
        house.restart(restart, settings());
        house.engine.upkeep().unwrap();
        house.engine.stats().ready_units >= minimum
    }
    quickcheck(15, holds as fn(u8, Vec<u8>, u8) -> bool);
}

#[test]
fn property_14_a_unit_older_than_the_maximum_age_leaves_the_queue_at_the_next_sweep_and_comes_back_fresh() {
    fn holds(leaves: u8, max_age_ms: u16, restart: u8) -> bool {
        let max_age_ms = 1 + u64::from(max_age_ms);
        let settings = || config().work_unit_max_age_ms(max_age_ms).min_queue_depth(50);
        let mut house = House::new(settings());
        house.ingest("a", 1 + usize::from(leaves));
        house.restart(restart, settings());
        house.engine.refill().unwrap();
        let full = (house.engine.stats().ready_units, house.engine.stats().ready_bytes);
        house.clock.advance(max_age_ms);
        let young = house.engine.sweep().unwrap().aged;
        house.clock.advance(1);
        let aged = house.engine.sweep().unwrap().aged;
        let emptied = house.engine.stats().ready_units;
        house.engine.refill().unwrap();
        let back = (house.engine.stats().ready_units, house.engine.stats().ready_bytes);
        let fresh = house.engine.sweep().unwrap().aged;
        let same = (young, aged, emptied, back, fresh) == (0, full.0, 0, full, 0);
        same && house.drain() > 0 && house.engine.tree("a").unwrap().state == TreeState::Complete
    }
    quickcheck(20, holds as fn(u8, u16, u8) -> bool);
}

#[test]
fn property_15_a_leased_unit_whose_token_expired_unanswered_returns_to_the_queue() {
    fn holds(leaves: u8, tiers: Vec<u8>, restart: u8, answered: u8) -> bool {
        let mut house = House::new(config());
        house.ingest("a", 1 + usize::from(leaves));
        let mut out = Vec::new();
        for tier in tiers.iter().take(20) {
            house.engine.refill().unwrap();
            out.extend(house.engine.issue(&IssueRequest::new(b"c", TIERS[usize::from(tier % 3)])));
        }
        // Some come back from before a restart, too early for a verdict, and expire then.
        house.restart(restart, config());
        for issued in out.iter().take(usize::from(answered % 4)) {
            let mut malformed = solve(&issued.unit);
            malformed.challenge_token.push('A');
            let answer = Answer { token: &issued.unit.challenge_token, ..Answer::new(b"c", &malformed) };
            let refused = house.engine.submit(&answer);
            assert!(matches!(refused, Err(SubmitError::Malformed(_))), "{refused:?}");
        }
        let leased = house.engine.stats().leases;
        house.clock.advance(TTL_MS + 1);
        let expired = house.engine.sweep().unwrap().expired;
        house.drain();
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
        let mut house = House::new(settings());
        (0..2 + trees % 4).for_each(|tree| house.ingest(&format!("tree {tree}"), 128));
        let mut begun: BTreeMap<TreeHandle, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for answer in answers.iter().take(3) {
            let issued = house.issue(b"c", DifficultyTier::High);
            if *answer {
                house.answer(b"c", &issued).unwrap();
                *begun.entry(issued.unit.tree_id).or_insert(4) -= 1;
            } else {
                kept.push(issued);
            }
        }
        // What comes back is of a partly built tree all the same.
        if wrong {
            kept.into_iter().for_each(|issued| house.answer_wrongly(b"c", &issued));
        }
        house.restart(restart, settings());
        house.clock.advance(TTL_MS + 1);
        house.engine.sweep().unwrap();
        let lost = house.issue(b"c", DifficultyTier::High);
        house.answer_wrongly(b"c", &lost);
        loop {
            house.engine.refill().unwrap();
            let Ok(issued) = house.engine.issue(&IssueRequest::new(b"c", DifficultyTier::High)) else {
                return house.engine.stats().totals.pending == 0;
            };
            let tree = issued.unit.tree_id;
            if !begun.contains_key(&tree) && begun.values().any(|tiles| *tiles > 0) {
                return false;
            }
            house.answer(b"c", &issued).unwrap();
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
    let house = House::new(config());
    let options = IngestOptions { block_size: 64 << 10, ..IngestOptions::new(Exposure::Public) };
    let mut stop = |progress: &pouw::engine::ingest::IngestProgress| {
        if progress.bytes < 30 << 20 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    };
    let stopped = house.engine.ingest_paths(&options, std::slice::from_ref(&path), &mut stop);
    assert!(matches!(stopped, Err(IngestError::Cancelled)), "{stopped:?}");
    assert_eq!(house.engine.tree("big").unwrap().state, TreeState::Ingesting);
    house.ingest("newer", 3);
    assert_eq!(house.drain(), 1);
    let mut go_on = |_: &pouw::engine::ingest::IngestProgress| std::ops::ControlFlow::Continue(());
    assert_eq!(house.engine.ingest_paths(&options, &[path], &mut go_on).unwrap().resumed, 1);
    house.drain();
    assert_eq!(house.engine.tree("big").unwrap().state, TreeState::Complete);
}
