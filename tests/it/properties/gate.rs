//! The properties that the gate's state machines have to hold (1, 6, 18, 19), over random histories.
use std::time::Duration;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pouw::internal::gate::{Facts, decide};
use pouw::internal::policy::breaker::{Ask, Breaker, Transition};
use pouw::internal::policy::budget::ByteBudget;
use pouw::internal::policy::difficulty::{DifficultyRules, Standing};
use pouw::internal::policy::window::{AdmissionLog, WindowRules};
use pouw::protocol::{DifficultyTier, UnixMillis, header};
use pouw::{
    ClientKey, Config, Decision, EventSink, FakeClock, Gate, GateConfig, Headers, NetworkPrefix, PouwEngine, Runtime,
};
use quickcheck::{Arbitrary, Gen, TestResult, quickcheck};

const START_MS: u64 = 1_700_000_000_000;

/// Pauses between events, most of them short, some longer than any window here.
#[derive(Debug, Clone)]
struct Pauses(Vec<u64>);

impl Arbitrary for Pauses {
    fn arbitrary(g: &mut Gen) -> Self {
        let pause = |g: &mut Gen| match u8::arbitrary(g) % 16 {
            0 => u64::arbitrary(g) % 200_000,
            1..=4 => u64::arbitrary(g) % 4_000,
            _ => u64::arbitrary(g) % 300,
        };
        let count = 200 + usize::arbitrary(g) % 1_500;
        Self((0..count).map(|_| pause(g)).collect())
    }
}

quickcheck! {
    fn property_01_a_client_is_over_the_limit_exactly_when_its_admitted_requests_in_the_window_reach_it(
        pauses: Pauses, limit: u16, window: u16, look: bool
    ) -> TestResult {
        let limit = [1, 7, 15, 100, 513, 900][usize::from(limit) % 6];
        let window_ms = [1, 100, 999, 10_000, 60_000][usize::from(window) % 5];
        let rules = WindowRules::new(limit, window_ms).unwrap();
        let (mut log, mut now) = (AdmissionLog::default(), START_MS);
        let mut admitted: VecDeque<u64> = VecDeque::new();
        for pause in pauses.0 {
            now += pause;
            if look {
                log.look(&rules, now);
            }
            let (is_admitted, quota) = log.admit(&rules, now);
            // Those of exactly one window before no longer count; to one tick, against the client.
            let within = |ms: u64| admitted.iter().filter(|at| now - **at < ms).count() as u32;
            let (exact, a_tick_more) = (within(window_ms), within(window_ms + 2 * rules.tick_ms()));
            if is_admitted {
                assert!(exact < limit, "admitted with {exact} of {limit} in the window");
                admitted.push_back(now);
            } else {
                assert!(a_tick_more >= limit, "refused with {a_tick_more} of {limit} in the window and a tick");
                // Waiting as told always works.
                let mut later = log.clone();
                assert!(later.admit(&rules, now + quota.reset_ms).0);
            }
            let reported = quota.limit - quota.remaining;
            let added = u32::from(is_admitted);
            assert!((exact + added..=a_tick_more + added).contains(&reported));
            while admitted.front().is_some_and(|at| now - at > 2 * window_ms + 1_000) {
                admitted.pop_front();
            }
        }
        TestResult::passed()
    }

    fn property_06_difficulty_never_falls_while_violations_continue_nor_rises_by_calm_nor_leaves_its_range(
        events: Vec<(u8, u32)>, default: u8, cap: u8
    ) -> bool {
        let tier = |at: u8| DifficultyTier::ALL[usize::from(at) % 3];
        let (default, cap) = (tier(default).min(tier(cap)), tier(default).max(tier(cap)));
        let rules = DifficultyRules { default, cap, escalation_window_ms: 300_000, cool_down_ms: 600_000 };
        let (mut standing, mut now) = (Standing::default(), START_MS);
        let mut last_violation_ms = None;
        for (event, pause) in events {
            let before = standing.look(&rules, now);
            now += u64::from(pause) % 1_300_000;
            let calm = standing.look(&rules, now);
            assert!(calm.tier <= before.tier, "it rose by itself");
            if last_violation_ms.is_some_and(|last| now - last < rules.escalation_window_ms) {
                assert_eq!(calm.tier, before.tier, "it fell while violations continue");
            }
            let after = match event % 4 {
                0 | 1 => standing.violated(&rules, now),
                2 => standing.wrong(&rules, now),
                _ => standing.completed(&rules, now),
            };
            match event % 4 {
                0 | 1 => {
                    assert!(after.tier >= calm.tier);
                    last_violation_ms = Some(now);
                }
                2 => {
                    assert_eq!(after.tier, calm.tier.harder().min(cap), "a wrong result raises it at once");
                    last_violation_ms = Some(now);
                }
                _ => assert_eq!(after.tier, calm.tier),
            }
            standing = after;
            assert!((default..=cap).contains(&standing.tier));
        }
        true
    }

    fn property_18_every_response_carries_correct_numeric_rate_limit_headers(pauses: Pauses, clients: u8) -> bool {
        let clock = Arc::new(FakeClock::at(UnixMillis(START_MS)));
        let directory = tempfile::tempdir().unwrap();
        let parts = Runtime::in_directory(directory.path()).clock(clock.clone()).events(EventSink::default());
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open_with(parts, config).unwrap();
        let limits = GateConfig::builder().rate_limit(3).window(Duration::from_millis(2_000)).build().unwrap();
        let gate = Gate::new(engine, limits).unwrap();
        let rules = WindowRules::new(3, 2_000).unwrap();
        let mut oracle: HashMap<u8, AdmissionLog> = HashMap::new();
        for (at, pause) in pauses.0.into_iter().take(150).enumerate() {
            clock.advance(Duration::from_millis(pause));
            let client = (at % (1 + usize::from(clients) % 5)) as u8;
            let facts = Facts::new(ClientKey::User(format!("u{client}").into()), NetworkPrefix::of(None));
            let now = gate.engine().now().0;
            let (admitted, expected) = oracle.entry(client).or_default().admit(&rules, now);
            let (headers, passed): (Headers, bool) = match decide(&gate, facts).wait() {
                Decision::Pass(pass) => (pass.headers(&gate), true),
                Decision::Refuse(refusal) => (refusal.headers, false),
            };
            assert_eq!(passed, admitted);
            let number = |name| headers.find(name).unwrap().parse::<u64>().unwrap();
            assert_eq!(number(header::RATELIMIT_LIMIT), 3);
            assert_eq!(number(header::RATELIMIT_REMAINING), u64::from(expected.remaining));
            assert_eq!(number(header::RATELIMIT_RESET), expected.reset_ms.div_ceil(1000));
        }
        true
    }

    fn property_19_the_breaker_opens_exactly_when_consecutive_failures_reach_the_threshold(
        events: Vec<(bool, u16)>, threshold: u8
    ) -> bool {
        let threshold = u32::from(threshold % 12) + 1;
        let mut breaker = Breaker::new(threshold, 30_000);
        let (mut consecutive, mut now) = (0, START_MS);
        for (fails, pause) in events {
            now += u64::from(pause);
            if fails {
                consecutive += 1;
                let opened = breaker.failure(now) == Some(Transition::Opened);
                assert_eq!(opened, consecutive == threshold);
            } else {
                breaker.success();
                consecutive = 0;
            }
            assert_eq!(breaker.is_open(), consecutive >= threshold);
            if !breaker.is_open() {
                assert_eq!(breaker.ask(now), Ask::Closed);
                continue;
            }
            // One probe in each interval; a failed one starts the interval anew.
            assert!(matches!(breaker.ask(now), Ask::Open { retry_ms } if retry_ms <= 30_000));
            now += 30_000;
            assert_eq!(breaker.ask(now), Ask::Probe);
            assert!(matches!(breaker.ask(now), Ask::Open { .. }));
            breaker.probe_failed(now);
            assert!(matches!(breaker.ask(now + 29_999), Ask::Open { retry_ms: 1 }));
            now += 30_000;
            assert_eq!(breaker.ask(now), Ask::Probe);
            assert_eq!(breaker.probe_succeeded(), Some(Transition::Closed));
            consecutive = 0;
        }
        true
    }

    fn a_byte_budget_never_gives_more_than_its_capacity_and_what_filled_since(events: Vec<(u32, u32)>) -> bool {
        let (capacity, interval_ms) = (2 << 20, 60_000);
        let mut budget = ByteBudget::new(capacity, interval_ms);
        let (mut now, mut given) = (START_MS, 0u128);
        budget.available(now);
        for (pause, bytes) in events {
            now += u64::from(pause) % 10_000;
            let bytes = u64::from(bytes) % (1 << 20);
            if budget.take(now, bytes) {
                given += u128::from(bytes);
            }
            let filled = u128::from(capacity) * u128::from(now - START_MS) / u128::from(interval_ms);
            assert!(given <= u128::from(capacity) + filled);
        }
        true
    }
}
