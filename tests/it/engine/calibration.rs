//! What the engine observes of answers, by its own clock, and the size of units that follows from it if it is told to.

use std::time::Duration;

use crate::support::house::{House, config};
use crate::support::work::{issue, solve, spoiled};
use pouw::internal::engine::for_gate;
use pouw::protocol::{ByTier, DifficultyTier, WorkResult, WorkUnit};
use pouw::{Answer, Config, ConfigBuilder, Exposure, IngestOptions, IssueRequest, Issued, ResponseTimes, SubmitError};

use DifficultyTier::{High, Low, Medium};

/// Floors by tier.
const FLOORS_MS: [u64; 3] = [1_000, 2_000, 3_000];
/// A high unit of the largest size: 32 leaves of 512 bytes.
const CAP: usize = 16 << 10;
/// Enough for a full window, also where some share a place.
const MANY: usize = 80;

struct Bench {
    house: House,
    /// What clients say of their own computing.
    claimed_ms: u64,
}

impl Bench {
    fn new(change: fn(ConfigBuilder) -> ConfigBuilder) -> Self {
        let bench = Self { house: House::with(change(targets())), claimed_ms: 0 };
        bench.ingest(512, 50_000);
        bench
    }

    fn ingest(&self, block_size: u64, leaves: usize) {
        let options = IngestOptions::new(Exposure::Public).block_size(block_size);
        self.house.engine.ingest_bytes(&options, "tree", &vec![5; block_size as usize * leaves]).unwrap();
        self.house.engine.upkeep().unwrap();
    }

    fn reopen(&mut self) {
        self.house.reopen();
        self.house.engine.upkeep().unwrap();
    }

    fn issue(&self, client: usize, tier: DifficultyTier) -> Issued {
        issue(&self.house.engine, &client.to_le_bytes(), tier)
    }

    fn answer(&self, client: usize, unit: &WorkUnit) -> Result<(), SubmitError> {
        let result = WorkResult { compute_time_ms: self.claimed_ms, ..solve(unit) };
        self.house.engine.submit(&Answer::new(&client.to_le_bytes(), &result)).map(drop)
    }

    /// A minute in which each of them gets a high unit and answers it that late. The largest unit, in bytes.
    fn minute(&self, clients: usize, beyond_ms: u64) -> usize {
        let allowed = self.seen(High).unit_bytes;
        let units: Vec<WorkUnit> = (0..clients).map(|client| self.issue(client, High).unit).collect();
        assert!(units.iter().all(|unit| unit.input_data.len() <= allowed), "{allowed}");
        self.house.clock.advance(Duration::from_millis(FLOORS_MS[2] + beyond_ms));
        for (client, unit) in units.iter().enumerate() {
            self.answer(client, unit).unwrap();
        }
        self.house.clock.advance(Duration::from_millis(60_000 - FLOORS_MS[2] - beyond_ms));
        units.iter().map(|unit| unit.input_data.len()).max().unwrap()
    }

    fn seen(&self, tier: DifficultyTier) -> ResponseTimes {
        *self.house.engine.stats().responses.get(tier)
    }
}

fn targets() -> ConfigBuilder {
    let config = config().floor(ByTier::from(FLOORS_MS).map(Duration::from_millis)).unit_bytes(ByTier {
        low: 1 << 10,
        medium: 4 << 10,
        high: CAP,
    });
    config.calibrate_target(Duration::from_millis(500), Duration::from_millis(1_000)).calibrate_bytes_min(1 << 10)
}

/// To 3 in 100.
fn about(ms: u64, expected: u64) -> bool {
    ms.abs_diff(expected) * 32 <= expected
}

#[test]
fn observed_times_show_in_the_stats_by_tier_with_the_floor_and_beyond_it() {
    let bench = Bench::new(|config| config);
    let mut unseen = ResponseTimes::default();
    (unseen.unit_bytes, unseen.unit_bytes_divisor) = (1 << 10, 1);
    assert_eq!(bench.seen(Low), unseen);
    // Ten clients, of whom the last two are late.
    for (tier, late_ms) in [(Low, 5_000), (Medium, 20_000), (High, 9_000)] {
        let units: Vec<WorkUnit> = (0..10).map(|client| bench.issue(client, tier).unit).collect();
        bench.house.clock.advance(Duration::from_millis(FLOORS_MS[tier as usize] + 300));
        (0..8).for_each(|client| bench.answer(client, &units[client]).unwrap());
        bench.house.clock.advance(Duration::from_millis(late_ms - 300));
        (8..10).for_each(|client| bench.answer(client, &units[client]).unwrap());
        let (seen, floor_ms) = (bench.seen(tier), FLOORS_MS[tier as usize]);
        assert_eq!(seen.observations, 10);
        assert!(about(seen.median_ms, floor_ms + 300) && about(seen.p90_ms, floor_ms + late_ms), "{seen:?}");
        assert!(about(seen.beyond_floor_median_ms, 300) && about(seen.beyond_floor_p90_ms, late_ms), "{seen:?}");
    }
    assert_eq!(bench.seen(Low).observations, 10, "other tiers have not changed it");
}

#[test]
fn what_a_client_claims_of_its_computing_changes_nothing() {
    let benches = [0, 1, u64::MAX].map(|claimed_ms| {
        let bench = Bench { claimed_ms, ..Bench::new(|config| config.calibrate(true)) };
        let sizes: Vec<usize> = (0..4).map(|_| bench.minute(MANY, 2_000)).collect();
        let mut seen = bench.seen(High);
        assert!(seen.observations > 300);
        // Which clients share a place differs from store to store.
        seen.observations = 0;
        (sizes, seen)
    });
    assert!(benches[0].1.unit_bytes < CAP && benches[0].1.median_ms > 4_000, "{:?}", benches[0]);
    assert!(benches.iter().all(|other| *other == benches[0]), "{benches:?}");
}

#[test]
fn only_a_right_answer_to_real_leaves_is_observed_and_only_once() {
    let bench = Bench::new(|config| config);
    let unit = bench.issue(1, Medium).unit;
    assert!(matches!(bench.answer(1, &unit), Err(SubmitError::TooEarly { .. })));
    assert_eq!(bench.seen(Medium).observations, 0);
    bench.house.clock.advance(Duration::from_millis(2_000));
    bench.answer(1, &unit).unwrap();
    assert_eq!(bench.seen(Medium).observations, 1);
    // Not again, although a minute has passed.
    bench.house.clock.advance(Duration::from_millis(50_000));
    let unit_of_another = bench.issue(2, Medium).unit;
    bench.house.clock.advance(Duration::from_millis(2_000));
    assert!(matches!(bench.answer(1, &unit), Err(SubmitError::Replayed)));
    let wrong = spoiled(&solve(&unit_of_another));
    let refused = bench.house.engine.submit(&Answer::new(&2usize.to_le_bytes(), &wrong));
    assert!(matches!(refused, Err(SubmitError::WrongResult { .. })));
    assert_eq!(bench.seen(Medium).observations, 1);

    // Made-up work is as large as it is.
    let empty = House::with(targets());
    let request = IssueRequest::new(b"c", High).synthetic(true);
    let made_up = empty.engine.issue(&request).unwrap().unit;
    empty.clock.advance(Duration::from_millis(3_000));
    empty.engine.submit(&Answer::new(b"c", &solve(&made_up))).unwrap();
    assert_eq!((made_up.synthetic, empty.engine.stats().responses.high.observations), (true, 0));
}

#[test]
fn answers_to_units_sent_again_and_to_tokens_of_before_a_restart_count_from_their_issue() {
    let mut bench = Bench::new(|config| config.calibrate(true));
    let unit = bench.issue(1, Medium).unit;
    bench.house.clock.advance(Duration::from_millis(10_000));
    let again = for_gate(&bench.house.engine).reissue(&1usize.to_le_bytes(), &unit.challenge_token).unwrap();
    bench.house.clock.advance(Duration::from_millis(1_000));
    bench.answer(1, &again).unwrap();
    let seen = bench.seen(Medium);
    assert!(seen.observations == 1 && about(seen.median_ms, 11_000) && about(seen.beyond_floor_median_ms, 9_000));

    let units: Vec<WorkUnit> = (0..MANY).map(|client| bench.issue(client, High).unit).collect();
    bench.reopen();
    bench.house.clock.advance(Duration::from_millis(40_000));
    for (client, unit) in units.iter().enumerate() {
        bench.answer(client, unit).unwrap();
    }
    let seen = bench.seen(High);
    assert!(seen.observations > 70 && about(seen.median_ms, 40_000), "{seen:?}");
    // How long a restart took says nothing about units: these count for no size.
    bench.house.clock.advance(Duration::from_millis(40_000));
    assert_eq!((bench.minute(MANY, 800), bench.minute(MANY, 800)), (CAP, CAP));
    assert_eq!(bench.seen(High).unit_bytes, CAP);
}

#[test]
fn switched_off_it_changes_no_unit_however_late_everybody_is() {
    let bench = Bench::new(|config| config);
    for _ in 0..6 {
        assert_eq!(bench.minute(MANY, 50_000), CAP);
        let seen = bench.seen(High);
        assert_eq!((seen.unit_bytes, seen.unit_bytes_divisor), (CAP, 1));
    }
    assert!(bench.seen(High).beyond_floor_median_ms > 40_000, "it was observed");
}

#[test]
fn switched_on_units_shrink_to_an_eighth_and_grow_back_to_the_cap() {
    let bench = Bench::new(|config| config.calibrate(true));
    // The tokens of before the start, a window, then the tokens of before each step and a window.
    let slow: Vec<usize> = (0..12).map(|_| bench.minute(MANY, 2_000)).collect();
    assert!(slow.is_sorted_by(|before, after| before >= after), "{slow:?}");
    assert_eq!((slow[0], slow[11]), (CAP, CAP / 8), "{slow:?}");
    assert_eq!((bench.seen(High).unit_bytes, bench.seen(High).unit_bytes_divisor), (CAP / 8, 8));
    assert_eq!((bench.seen(Medium).unit_bytes, bench.seen(Low).unit_bytes), (4 << 10, 1 << 10), "each tier by itself");
    // What is ready was cut, and is used up before there are larger ones.
    let mut allowed = vec![CAP / 8];
    while bench.minute(MANY, 400) < CAP {
        allowed.push(bench.seen(High).unit_bytes);
        assert!(allowed.len() < 20, "{allowed:?}");
    }
    allowed.dedup();
    assert_eq!(allowed, [CAP / 8, CAP / 4, CAP / 2, CAP]);
    assert_eq!(bench.seen(High).unit_bytes_divisor, 1);
}

#[test]
fn a_unit_is_never_cut_below_a_single_leaf() {
    let bench = Bench::new(|config| config.calibrate(true));
    while bench.seen(High).unit_bytes > CAP / 8 {
        bench.minute(MANY, 2_000);
    }
    // Leaves of 4 KiB, of which not one fits into 2 KiB.
    bench.house.engine.forget("tree").unwrap();
    bench.ingest(4 << 10, 64);
    let unit = bench.issue(1, High).unit;
    assert_eq!((unit.input_data.len(), unit.node_count), (4 << 10, 1));
}

#[test]
fn a_single_client_moves_nothing_however_often_it_is_late() {
    let bench = Bench::new(|config| config.calibrate(true));
    for _ in 0..100 {
        assert_eq!(bench.minute(1, 50_000), CAP);
    }
    let seen = bench.seen(High);
    assert_eq!((seen.observations, seen.unit_bytes), (100, CAP));
    // Nor does it fill the record: within a minute it counts once.
    let units: Vec<WorkUnit> = (0..20).map(|_| bench.issue(1, High).unit).collect();
    bench.house.clock.advance(Duration::from_millis(3_000));
    units.iter().for_each(|unit| bench.answer(1, unit).unwrap());
    assert!(bench.seen(High).observations <= 102);
}

#[test]
fn what_breaks_a_rule_is_refused_by_field_value_and_rule() {
    type Change = fn(ConfigBuilder) -> ConfigBuilder;
    let cases: [(Change, &str, &str); 5] = [
        (|c| c.calibrate_target(Duration::ZERO, Duration::from_millis(1)), "calibrate_target", "0 ms"),
        (|c| c.calibrate_target(Duration::from_millis(1), Duration::ZERO), "calibrate_target", "0 ms"),
        (
            |c| c.calibrate_target(Duration::from_millis(1), Duration::from_millis(3_600_001)),
            "calibrate_target",
            "3600001 ms",
        ),
        (|c| c.calibrate_bytes_min(1_023), "calibrate_bytes_min", "1023"),
        (|c| c.calibrate_bytes_min((1 << 20) + 1), "calibrate_bytes_min", "1048577"),
    ];
    for (change, field, value) in cases {
        let error = change(Config::builder([7; 32])).build().unwrap_err();
        assert_eq!((error.field, error.value.as_str()), (field, value));
        assert!(error.rule.contains("from 1"), "{}", error.rule);
    }
    let edges = Config::builder([7; 32]).calibrate_target(Duration::from_millis(1), Duration::from_millis(3_600_000));
    edges.clone().calibrate_bytes_min(1 << 10).build().unwrap();
    edges.calibrate_bytes_min(1 << 20).build().unwrap();
}
