//! Waiting always works: who sends a refused request again after the time in `Retry-After` is admitted at the first try,
//! and its standing is what it was.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::support::desk::{ADDRESS, Desk, facts, ingest, passed, refused, solved, unit_in};
use crate::support::house::{clock, config, on_disk};
use crate::support::work::spoiled;
use pouw::internal::engine::for_gate;
use pouw::internal::gate::{Facts, PassPresented, Presented, ResultText, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{ByTier, DifficultyTier, Reason, WorkResult, header};
use pouw::{
    ClientKey, ConfigBuilder, Decision, FakeClock, Gate, GateConfig, GateConfigBuilder, GateRuntime, NetworkPrefix,
    Pass, PouwEngine, Refusal,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// A gate with a window of its own, on a fake clock.
struct Door {
    clock: Arc<FakeClock>,
    engine: PouwEngine,
    gate: Gate,
}

impl Door {
    fn new(
        limit: u32,
        window: Duration,
        engine: ConfigBuilder,
        gate: impl Fn(GateConfigBuilder) -> GateConfigBuilder,
    ) -> Self {
        let clock = clock();
        let engine = on_disk(&SimDisk::new(), &clock, engine);
        ingest(&engine, "tree", 64);
        let config = gate(GateConfig::builder().rate_limit(limit).window(window)).build().unwrap();
        let gate = Gate::with_runtime(engine.clone(), config, GateRuntime::default().ticked_by_host()).unwrap();
        Self { clock, engine, gate }
    }

    fn send(&self, facts: Facts) -> Decision {
        decide(&self.gate, facts).wait()
    }

    fn wait(&self, time: Duration) {
        self.clock.advance(time);
        self.engine.sweep().unwrap();
        self.engine.refill().unwrap();
    }

    /// The standing that decides on the tier of the client's next challenge.
    fn standing(&self, client: &ClientKey) -> (DifficultyTier, u8) {
        let standing = for_gate(&self.engine).standing(&client.to_bytes());
        (standing.tier, standing.violations)
    }

    /// Waits as the refusal asks, sends the request again, and returns the pass it has to get.
    fn waited(&self, refusal: &Refusal, again: Facts) -> Pass {
        let seconds: u64 = refusal.headers.find(header::RETRY_AFTER).expect("a time to wait").parse().unwrap();
        self.wait(Duration::from_secs(seconds));
        match self.send(again) {
            Decision::Pass(pass) => pass,
            Decision::Refuse(again) => {
                panic!("{} s after {} still {}: {:?}", seconds, refusal.reason, again.reason, again.headers)
            }
        }
    }
}

fn refusal(decision: Decision) -> Option<Refusal> {
    match decision {
        Decision::Refuse(refusal) => Some(refusal),
        Decision::Pass(_) => None,
    }
}

fn number(refusal: &Refusal, name: &str) -> u64 {
    refusal.headers.find(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn with(answer: (&str, Option<ResultText>)) -> Facts {
    Facts { answer: Some(Presented { token: answer.0.to_owned(), result: answer.1 }), ..facts(ADDRESS) }
}

fn compact(result: &WorkResult) -> Option<ResultText> {
    Some(ResultText::Compact(result.to_compact()))
}

/// What a client does next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Ask,
    AskUnable,
    AskAgain,
    AnswerLate,
    AnswerOfAnother,
    Pay,
    Pause(u64),
}

impl Arbitrary for Act {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) % 16 {
            0..=5 => Self::Ask,
            6 => Self::AskUnable,
            7 => Self::AskAgain,
            8 => Self::AnswerLate,
            9 => Self::AnswerOfAnother,
            10 | 11 => Self::Pay,
            12 => Self::Pause(u64::arbitrary(g) % 200_000),
            13 => Self::Pause(u64::arbitrary(g) % 5_000),
            _ => Self::Pause(u64::arbitrary(g) % 300),
        }
    }
}

/// A gate of each kind: windows shorter and longer than the token's life, and every ceiling.
fn door(kind: u8, limit: u32, window: Duration) -> Door {
    let limit = 1 + limit % 5;
    match kind % 6 {
        0 => Door::new(limit, window, config(), |gate| gate),
        1 => Door::new(limit, window, config().token_ttl(Duration::from_secs(3)), |gate| gate.open_challenges(1, 1)),
        2 => Door::new(limit, window, config(), |gate| gate.paid_admissions_per_window(0)),
        3 => Door::new(limit, window, config(), |gate| gate.bytes_per_minute(0)),
        4 => {
            Door::new(limit, window, config(), |gate| gate.paid_admissions_per_window(2).paid_admissions_per_prefix(3))
        }
        _ => Door::new(limit, window, config().floor(ByTier::all(Duration::from_millis(1_500))), |gate| gate),
    }
}

#[test]
fn after_every_refusal_waiting_as_asked_admits_at_once_and_leaves_the_standing_as_it_was() {
    fn holds(kind: u8, limit: u32, window: u8, always: bool, acts: Vec<(Act, bool)>) {
        let window_ms = [1, 300, 3_000, 40_000, 60_000, 3_600_000, 86_400_000][usize::from(window) % 7];
        let door = door(kind, limit, Duration::from_millis(window_ms));
        let another = Facts::new(ClientKey::User("another".into()), NetworkPrefix::of(None));
        let (mut last, mut is_polite) = (None, true);
        for (act, waits) in acts {
            let client = facts(ADDRESS).client;
            let before = door.standing(&client);
            let sent = match (act, &last) {
                (Act::Pause(ms), _) => {
                    door.wait(Duration::from_millis(ms));
                    continue;
                }
                (Act::Ask, _) => facts(ADDRESS),
                (Act::AskUnable, _) => Facts { can_answer: false, ..facts(ADDRESS) },
                (Act::AskAgain, Some(refusal)) => with((Refusal::token(refusal).unwrap(), None)),
                (Act::AnswerLate, Some(refusal)) => {
                    let result = solved(refusal).1;
                    door.wait(Duration::from_secs(61));
                    with((&result.challenge_token, compact(&result)))
                }
                (Act::Pay, Some(refusal)) => {
                    let result = solved(refusal).1;
                    with((&result.challenge_token, compact(&result)))
                }
                (Act::AnswerOfAnother, _) => {
                    let challenge = (0..1 + limit % 5 + 1).find_map(|_| refusal(door.send(another.clone())));
                    match challenge.filter(|refusal| refusal.token().is_some()) {
                        Some(challenge) => with((challenge.token().unwrap(), None)),
                        None => continue,
                    }
                }
                (Act::AskAgain | Act::AnswerLate | Act::Pay, None) => continue,
            };
            let Some(refused) = refusal(door.send(sent.clone())) else { continue };
            // A repetition is the same request: with its answer, if it is to be sent again, and else without.
            let again = match refused.reason {
                Reason::TooEarly | Reason::TryAgain => sent,
                _ => Facts { answer: None, ..sent },
            };
            let Some(seconds) = refused.headers.find(header::RETRY_AFTER) else {
                assert!(matches!(refused.reason, Reason::TokenReplayed | Reason::Malformed), "{}", refused.reason);
                continue;
            };
            if refused.reason != Reason::TooEarly {
                assert_eq!(seconds.parse::<u64>().unwrap(), number(&refused, header::RATELIMIT_RESET).max(1));
            }
            let waits = waits || always;
            // A client that did not wait before may be counted for that now.
            is_polite &= waits;
            if waits {
                door.waited(&refused, again);
                let after = door.standing(&client);
                let kept = !is_polite || after == (DifficultyTier::Low, 0) && after == before;
                assert!(kept, "{} left {after:?} of {before:?}", refused.reason);
            }
            if refused.token().is_some() && unit_in(&refused).is_some() {
                last = Some(refused);
            }
        }
    }
    QuickCheck::new().tests(300).quickcheck(holds as fn(u8, u32, u8, bool, Vec<(Act, bool)>));
}

#[test]
fn the_time_to_wait_is_that_of_the_window_whatever_the_life_of_the_token_is() {
    for (window_s, ttl_s, expected) in [(40, 8, 41), (3, 60, 4), (60, 60, 61), (3_600, 60, 3_615)] {
        let config = config().token_ttl(Duration::from_secs(ttl_s));
        let door = Door::new(1, Duration::from_secs(window_s), config, |gate| gate);
        passed(door.send(facts(ADDRESS)));
        let refused = refused(door.send(facts(ADDRESS)), "work_required");
        let (retry, reset) = (number(&refused, header::RETRY_AFTER), number(&refused, header::RATELIMIT_RESET));
        assert_eq!(retry, reset);
        // At most a tick of the window later than it is long.
        assert!((window_s..=expected).contains(&retry), "{retry} for a window of {window_s} s");
        assert_eq!(solved(&refused).0.ttl_ms, ttl_s * 1_000);
        door.waited(&refused, facts(ADDRESS));
    }
}

/// Over the limit again and again, each time waiting as asked: hours of it change nothing.
#[test]
fn a_client_that_always_waits_stays_at_the_lowest_tier_for_ever() {
    let door = Door::new(2, Duration::from_secs(10), config(), |gate| gate);
    for _ in 0..1_000 {
        let refused = loop {
            if let Some(refused) = refusal(door.send(facts(ADDRESS))) {
                break refused;
            }
        };
        // Its open challenges reach the ceiling on paid admissions.
        assert!(matches!(refused.reason, Reason::WorkRequired | Reason::Ceiling), "{}", refused.reason);
        if let Some(unit) = unit_in(&refused) {
            assert_eq!(unit.difficulty, DifficultyTier::Low);
        }
        door.waited(&refused, facts(ADDRESS));
    }
    assert_eq!(door.standing(&facts(ADDRESS).client), (DifficultyTier::Low, 0));
}

/// A client that sends on and on and answers nothing climbs, one round of open challenges after the other, however it
/// spreads its requests.
#[test]
fn a_client_that_neither_waits_nor_pays_climbs_however_it_spreads_its_requests() {
    for every_ms in [100, 1_500, 14_000, 59_000] {
        let door = Door::new(1, Duration::from_secs(3_600), config(), |gate| gate);
        passed(door.send(facts(ADDRESS)));
        let mut reached = Vec::new();
        for at in (0..600_000).step_by(every_ms) {
            if let Some(refused) = refusal(door.send(facts(ADDRESS)))
                && let Some(unit) = unit_in(&refused)
                && reached.last().is_none_or(|(tier, _)| *tier != unit.difficulty)
            {
                reached.push((unit.difficulty, at / 1_000));
            }
            door.wait(Duration::from_millis(every_ms as u64));
        }
        let tiers: Vec<_> = reached.iter().map(|(tier, _)| *tier).collect();
        assert_eq!(tiers, DifficultyTier::ALL, "every {every_ms} ms: {reached:?}");
    }
}

/// What a client was told to wait for is remembered while it lasts, also when others need room.
#[test]
fn a_client_that_asks_again_every_two_minutes_of_an_hour_climbs_among_others() {
    let door = Door::new(1, Duration::from_secs(3_600), config(), |gate| gate);
    passed(door.send(facts(ADDRESS)));
    let mut others = 0_u32;
    let mut tiers = Vec::new();
    for _ in 0..6 {
        tiers.extend(refusal(door.send(facts(ADDRESS))).as_ref().and_then(unit_in).map(|unit| unit.difficulty));
        door.wait(Duration::from_secs(130));
        for _ in 0..200 {
            others += 1;
            let address = IpAddr::from(Ipv4Addr::from_bits(others << 8));
            let other = Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)));
            passed(door.send(other.clone()));
            refusal(door.send(other)).expect("it is over its limit");
        }
    }
    use DifficultyTier::{High, Low, Medium};
    assert_eq!(tiers, [Low, Low, Medium, Medium, High, High]);
}

#[test]
fn challenges_that_stand_open_together_count_once_and_not_at_all_if_one_is_answered() {
    let desk = Desk::new();
    desk.use_up();
    // Four windows opened together, twice; nobody answers, but somebody keeps reloading.
    for round in 0..2 {
        for _ in 0..4 {
            refused(desk.ask(), "work_required");
        }
        desk.clock.advance(Duration::from_secs(2));
        refused(desk.ask(), "budget");
        desk.clock.advance(Duration::from_secs(60));
        let violations = for_gate(&desk.engine).standing(&facts(ADDRESS).client.to_bytes()).violations;
        assert_eq!(violations, round, "the round before this one counts with the first challenge of this one");
    }
    // The next round begins at medium, and is answered once.
    let (unit, result) = desk.challenge();
    assert_eq!(unit.difficulty, DifficultyTier::Medium);
    (0..3).for_each(|_| drop(desk.challenge()));
    assert!(passed(desk.answer(&result)).accepted.is_some());
    desk.clock.advance(Duration::from_secs(2));
    refused(desk.ask(), "work_required");
    desk.clock.advance(Duration::from_secs(60));
    refused(desk.ask(), "work_required");
    let standing = for_gate(&desk.engine).standing(&facts(ADDRESS).client.to_bytes());
    assert_eq!((standing.tier, standing.violations), (DifficultyTier::Medium, 0));
}

#[test]
fn a_wrong_answer_raises_the_tier_and_waiting_works_after_it_too() {
    let door = Door::new(1, Duration::from_secs(60), config(), |gate| gate);
    passed(door.send(facts(ADDRESS)));
    let (_, result) = solved(&refused(door.send(facts(ADDRESS)), "work_required"));
    let wrong = spoiled(&result);
    let refused = refused(door.send(with((&result.challenge_token, compact(&wrong)))), "wrong_result");
    assert_eq!(number(&refused, header::RETRY_AFTER), number(&refused, header::RATELIMIT_RESET));
    assert_eq!(door.standing(&facts(ADDRESS).client).0, DifficultyTier::Medium);
    door.waited(&refused, facts(ADDRESS));
}

#[test]
fn a_flood_climbs_however_soon_slots_free() {
    // A hundred requests a minute, spread evenly: from then on a slot frees every 600 ms.
    let door = Door::new(100, Duration::from_secs(60), config(), |gate| gate);
    for _ in 0..100 {
        passed(door.send(facts(ADDRESS)));
        door.clock.advance(Duration::from_millis(600));
    }
    let mut tier = DifficultyTier::Low;
    for _ in 0..20_000 {
        if let Some(unit) = refusal(door.send(facts(ADDRESS))).as_ref().and_then(unit_in) {
            tier = tier.max(unit.difficulty);
        }
        door.clock.advance(Duration::from_millis(10));
    }
    assert_eq!(tier, DifficultyTier::Medium);
}

#[test]
fn several_requests_that_wait_side_by_side_leave_no_mark() {
    let door = Door::new(1, Duration::from_secs(10), config(), |gate| gate);
    // When each of five may come back; all are a little late, and only one gets the slot.
    let mut due_ms = [0_u64; 5];
    let (mut now_ms, mut admitted) = (0, 0);
    while now_ms < 600_000 {
        let next = (0..5).min_by_key(|at| due_ms[*at]).unwrap();
        door.wait(Duration::from_millis(due_ms[next].saturating_sub(now_ms)));
        now_ms = now_ms.max(due_ms[next]);
        due_ms[next] = match refusal(door.send(facts(ADDRESS))) {
            Some(refused) => now_ms + number(&refused, header::RETRY_AFTER) * 1_000 + 170 * next as u64,
            None => {
                admitted += 1;
                now_ms + 1
            }
        };
    }
    assert!((50..=60).contains(&admitted), "{admitted}");
    assert_eq!(door.standing(&facts(ADDRESS).client), (DifficultyTier::Low, 0));
}

#[test]
fn asking_for_the_same_unit_again_and_again_hides_nothing() {
    // To ask for it once more is part of solving it. Apart from that each of these clients waits as asked.
    for (times, violations) in [(1, 0), (2, 1), (10, 1)] {
        let door = Door::new(1, Duration::from_secs(60), config(), |gate| gate);
        passed(door.send(facts(ADDRESS)));
        let challenge = refused(door.send(facts(ADDRESS)), "work_required");
        for _ in 0..times {
            door.wait(Duration::from_secs(5));
            refused(door.send(with((challenge.token().unwrap(), None))), "work_required");
        }
        door.wait(Duration::from_secs(61));
        passed(door.send(facts(ADDRESS)));
        refused(door.send(facts(ADDRESS)), "work_required");
        let standing = door.standing(&facts(ADDRESS).client);
        assert_eq!(standing, (DifficultyTier::Low, violations), "asked {times} times");
    }
}

#[test]
fn a_pass_is_used_by_as_many_requests_as_were_bought_however_many_come_at_once() {
    let desk = Desk::with(|config| config.answer_buys(50, Duration::from_secs(60)));
    desk.use_up();
    let (_, result) = desk.challenge();
    let pass = passed(desk.answer(&result));
    let headers = pass.headers(&desk.gate);
    let name = headers.find(header::PASS).unwrap().split(';').next().unwrap().to_owned();
    let bought = Facts { passes: PassPresented::parse(&name).into_iter().collect(), ..facts(ADDRESS) };
    let admitted: usize = std::thread::scope(|scope| {
        let once = |_: &i32| {
            let decision = decide(&desk.gate, bought.clone()).wait();
            matches!(decision, Decision::Pass(pass) if pass.is_by_pass())
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(move || (0..20).filter(once).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((admitted, desk.gate.stats().passed), (49, 49));
}
