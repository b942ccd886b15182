//! What the gate says and tells when something beside it fails: the store, a window outside the process, the host's
//! own functions, clients that answer wrongly.

use std::time::Duration;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use crate::support::desk::{ADDRESS, Desk, accepted, changes, facts, passed, plain, refused, solved, unit_in};
use crate::support::patience::until;
use crate::support::work::spoiled;
use pouw::internal::engine::for_gate;
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::protocol::DifficultyTier::{High, Low, Medium};
use pouw::protocol::{Reason, header};
use pouw::{
    Admission, ClientKey, Decision, FallbackBehavior, GateEvent, GateRuntime, HealthCondition, NetworkPrefix, Policy,
    Quota, SharedWindow, Verdict, WindowError,
};

/// Asks as long as the breaker is open: one that is closed is told of a moment later.
fn ask_while_open(desk: &Desk) {
    if desk.failures().is_none() {
        drop(desk.ask());
    }
}

#[test]
fn an_alert_is_raised_at_the_threshold_and_its_multiples_and_an_accepted_answer_ends_the_row() {
    let desk = Desk::with(|config| config.security_alert_threshold(3));
    desk.use_up();
    let alerts = |failures: usize| -> Vec<u32> {
        let mut rows = Vec::new();
        for _ in 0..failures {
            let (_, result) = desk.challenge();
            desk.events();
            drop(refused(desk.answer(&spoiled(&result)), "wrong_result"));
            // Its new challenge expires unanswered, which is no failure.
            desk.clock.advance(Duration::from_millis(60_000));
            for event in desk.events_named("security-alert") {
                let GateEvent::SecurityAlert { client, consecutive_failures, threshold } = event else { panic!() };
                assert_eq!((client, threshold), (facts(ADDRESS).client, 3));
                rows.push(consecutive_failures);
            }
        }
        rows
    };
    assert_eq!(alerts(2), [0u32; 0]);
    assert_eq!(alerts(1), [3]);
    assert_eq!(alerts(5), [6]);
    let (_, result) = desk.challenge();
    assert!(accepted(desk.answer(&result)).is_some());
    assert_eq!(alerts(2), [0u32; 0]);
    assert_eq!(alerts(1), [3]);
    assert_eq!(desk.gate.stats().alerts, 3);
}

#[test]
fn the_breaker_opens_at_the_failure_that_reaches_the_threshold_and_not_before() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(3));
    desk.use_up();
    let [first, second, third, fourth] = [(); 4].map(|()| desk.challenge().1);
    desk.disk.set_full(true);
    desk.fail(&first);
    desk.fail(&second);
    assert_eq!((changes(&desk.events()), desk.failures()), (vec![], Some(2)));
    // A success ends the row.
    desk.disk.set_full(false);
    desk.answer_until_stored(&first);
    assert_eq!((changes(&desk.events()), desk.failures()), (vec![], Some(0)));
    desk.disk.set_full(true);
    desk.fail(&second);
    desk.fail(&third);
    assert_eq!((changes(&desk.events()), desk.failures()), (vec![], Some(2)));
    desk.fail(&fourth);
    assert_eq!(changes(&desk.events()), [(true, crate::support::house::START_MS)]);
    plain(desk.ask(), "degraded");
}

#[test]
fn what_clients_do_and_a_lack_of_work_never_count_for_the_breaker() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(1).synthetic(false).judge_threads(1));
    desk.use_up();
    let (unit, result) = desk.challenge();
    refused(desk.present(ADDRESS, "AAAA", None), "malformed");
    refused(desk.present(ADDRESS, &unit.challenge_token, Some(ResultText::Compact("AQ".into()))), "malformed");
    passed(desk.answer_from("198.51.100.9", &result));
    refused(desk.answer_from("198.51.100.9", &result), "client_mismatch");
    let (_, harder) = solved(&refused(desk.answer(&spoiled(&result)), "wrong_result"));
    refused(desk.answer(&result), "token_replayed");
    assert!(accepted(desk.answer(&harder)).is_some());
    let (_, withdrawn) = desk.challenge();
    desk.engine.forget("tree").unwrap();
    plain(desk.answer(&withdrawn), "no_work");
    plain(desk.ask(), "no_work");
    assert_eq!(changes(&desk.events()), []);
    assert_eq!(desk.gate.health().breaker.condition, HealthCondition::Healthy);
}

#[test]
fn at_the_bound_of_waiting_answers_the_next_may_come_again_and_that_is_no_failure_of_the_store() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(1).judge_threads(1).waiting_answers_max(1));
    desk.use_up();
    let (_, result) = desk.challenge();
    let answer = || Presented { token: result.challenge_token.clone(), result: None };
    let pending = || match decide(&desk.gate, Facts { answer: Some(answer()), ..facts(ADDRESS) }) {
        Verdict::Judge(pending) => pending,
        other => panic!("{other:?}"),
    };
    // The only judge hands over its verdict and waits; one more answer waits behind it.
    let ((at_work, works), (let_go, wait)) = (sync_channel(1), channel::<()>());
    pending().then(move |_| {
        at_work.send(()).unwrap();
        wait.recv().unwrap();
    });
    works.recv().unwrap();
    let (done, seen) = channel();
    let tell = done.clone();
    pending().then(move |decision| tell.send(("second", decision)).unwrap());
    assert_eq!(desk.gate.stats().waiting_answers, 1);
    pending().then(move |decision| done.send(("third", decision)).unwrap());
    let (which, busy) = seen.recv().unwrap();
    let busy = refused(busy, "try_again");
    assert_eq!((which, busy.headers.find("retry-after"), busy.status), ("third", Some("1"), 429));
    assert_eq!(busy.token(), Some(result.challenge_token.as_str()));
    let_go.send(()).unwrap();
    assert_eq!(seen.recv().unwrap().0, "second");
    assert_eq!(changes(&desk.events()), []);
    assert!(accepted(desk.answer(&result)).is_some());
}

#[test]
fn while_the_stores_writes_fail_for_30_seconds_there_are_plain_429s_and_then_it_recovers_by_itself() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(3));
    desk.use_up();
    let results = [(); 3].map(|()| desk.challenge().1);
    desk.disk.set_full(true);
    results.iter().for_each(|result| desk.fail(result));
    assert_eq!(changes(&desk.events()).len(), 1);
    let opened_ms = desk.engine.now().0;
    let health = desk.gate.health();
    assert_eq!((health.overall(), health.breaker.condition), (HealthCondition::Degraded, HealthCondition::Degraded));
    assert_eq!(health.store.condition, HealthCondition::Degraded);
    for _ in 0..29 {
        desk.clock.advance(Duration::from_millis(1_000));
        let refusal = plain(desk.ask(), "degraded");
        assert_eq!(refusal.headers.find("retry-after"), refusal.headers.find(header::RATELIMIT_RESET));
        // Those under their limit notice nothing.
        let other = format!("198.51.{}.1", (desk.engine.now().0 - opened_ms) / 1_000);
        assert!(passed(desk.ask_from(&other)).accepted.is_none());
    }
    // The probe goes out with a challenge, and its own write fails: 30 more seconds.
    desk.events();
    desk.clock.advance(Duration::from_millis(1_000));
    refused(desk.ask(), "work_required");
    let is_probe = |event: &GateEvent| matches!(event, GateEvent::WorkIssued { is_probe: true, .. });
    assert!(desk.events().iter().any(is_probe));
    // A write behind it has its verdict after it.
    let (done, written) = channel();
    for_gate(&desk.engine).touch_with(move |outcome| done.send(outcome).unwrap());
    assert!(written.recv().unwrap().is_err());
    assert_eq!(changes(&desk.events()), []);
    plain(desk.ask(), "degraded");
    desk.disk.set_full(false);
    plain(desk.ask(), "degraded");
    desk.clock.advance(Duration::from_millis(30_000));
    until(|| {
        desk.clock.advance(Duration::from_millis(1));
        ask_while_open(&desk);
        !changes(&desk.events()).is_empty()
    });
    until(|| desk.gate.health().breaker.condition == HealthCondition::Healthy);
    assert_eq!(desk.gate.health().store.condition, HealthCondition::Healthy);
    refused(desk.ask_from(ADDRESS), "work_required");
}

#[test]
fn the_breaker_tells_of_its_changes_once_each_and_in_order() {
    let desk = Desk::with(|config| {
        config.circuit_breaker_threshold(2).circuit_breaker_probe_interval(Duration::from_millis(5_000))
    });
    desk.use_up();
    let mut told = Vec::new();
    for _ in 0..3 {
        // What was open before has expired.
        desk.clock.advance(Duration::from_millis(60_000));
        let results = [(); 2].map(|()| desk.challenge().1);
        desk.disk.set_full(true);
        results.iter().for_each(|result| desk.fail(result));
        desk.disk.set_full(false);
        desk.clock.advance(Duration::from_millis(5_000));
        until(|| {
            ask_while_open(&desk);
            told.extend(changes(&desk.events()));
            told.last().is_some_and(|(opened, _)| !opened) || {
                desk.clock.advance(Duration::from_millis(1));
                false
            }
        });
    }
    let order: Vec<bool> = told.iter().map(|(opened, _)| *opened).collect();
    assert_eq!(order, [true, false, true, false, true, false]);
    assert!(told.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{told:?}");
}

#[test]
fn after_a_failed_sync_the_store_is_unavailable_until_a_restart_and_nothing_was_lost() {
    let mut desk = Desk::new();
    desk.use_up();
    let (_, kept) = desk.challenge();
    assert!(accepted(desk.answer(&kept)).is_some());
    let (_, result) = desk.challenge();
    desk.disk.fail_sync(1, true);
    refused(desk.answer(&result), "try_again");
    desk.disk.heal();
    for _ in 0..20 {
        desk.clock.advance(Duration::from_millis(1_000));
        assert!(matches!(desk.ask(), Decision::Refuse(refusal) if refusal.status == 429));
        assert!(accepted(desk.answer(&result)).is_none());
        let health = desk.gate.health();
        assert_eq!(
            (health.store.condition, health.overall()),
            (HealthCondition::Unavailable, HealthCondition::Unavailable)
        );
        assert!(health.store.detail.contains("restarts"), "{health:?}");
    }
    desk.disk.crash(pouw::internal::store::sim::Loss::Nothing);
    desk.restart();
    assert_eq!(desk.gate.health().store.condition, HealthCondition::Healthy);
    assert_eq!(desk.gate.health().overall(), HealthCondition::Healthy, "{:?}", desk.gate.health());
    assert_eq!(desk.engine.stats().ledger_entries, 1);
    refused(desk.answer(&kept), "token_replayed");
}

/// A window outside the process that can be cut off.
#[derive(Debug, Default)]
struct Remote {
    cut_off: AtomicBool,
}

impl Remote {
    fn quota(&self) -> Result<Quota, WindowError> {
        let quota = Quota::new(9, 0, Duration::from_secs(7));
        if self.cut_off.load(Ordering::SeqCst) { Err(WindowError::new("cut off")) } else { Ok(quota) }
    }
}

impl SharedWindow for Remote {
    fn check(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Admission, WindowError> {
        self.quota().map(Admission::Over)
    }

    fn look(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Quota, WindowError> {
        self.quota()
    }
}

#[test]
fn a_window_outside_the_process_counts_as_long_as_it_can_be_reached_and_again_afterwards() {
    for fallback in [FallbackBehavior::InMemory, FallbackBehavior::Allow, FallbackBehavior::Deny] {
        let remote = Arc::new(Remote::default());
        let parts = GateRuntime::default().window(remote.clone());
        let desk = match fallback {
            FallbackBehavior::Allow => {
                Desk::with_parts(|config| config.fallback_behavior(FallbackBehavior::Allow), parts)
            }
            FallbackBehavior::Deny => {
                Desk::with_parts(|config| config.fallback_behavior(FallbackBehavior::Deny), parts)
            }
            _ => Desk::with_parts(|config| config, parts),
        };
        let over = refused(desk.ask(), "work_required");
        assert_eq!(
            (over.headers.find("x-ratelimit-limit"), over.headers.find("x-ratelimit-reset")),
            (Some("9"), Some("7"))
        );
        let (_, result) = solved(&over);
        assert_eq!(desk.gate.health().limiter.condition, HealthCondition::Healthy);
        desk.events();

        remote.cut_off.store(true, Ordering::SeqCst);
        let first = desk.ask();
        let fell_back = desk.events_named("fallback-activated");
        let unavailable =
            |event: &GateEvent| matches!(event, GateEvent::FallbackActivated { reason: Reason::Unavailable, .. });
        assert!(fell_back.len() == 1 && unavailable(&fell_back[0]), "{fell_back:?}");
        let expected = match fallback {
            FallbackBehavior::Deny => {
                let refusal = refused(first, "unavailable");
                assert!(refusal.status == 503 && refusal.headers.find("retry-after") == Some("1"));
                HealthCondition::Unavailable
            }
            FallbackBehavior::Allow => {
                passed(first);
                assert!((0..9).all(|_| matches!(desk.ask(), Decision::Pass(_))));
                HealthCondition::Degraded
            }
            _ => {
                passed(first);
                refused(desk.ask(), "work_required");
                HealthCondition::Degraded
            }
        };
        assert_eq!(desk.gate.health().limiter.condition, expected);
        // Work counts all the same.
        assert!(accepted(desk.answer(&result)).is_some(), "{fallback:?}");

        remote.cut_off.store(false, Ordering::SeqCst);
        let over = refused(desk.ask(), "work_required");
        assert_eq!(over.headers.find("x-ratelimit-limit"), Some("9"));
        assert_eq!(desk.gate.health().limiter.condition, HealthCondition::Healthy);
    }
}

/// A window whose every call panics, and that knows on which threads it was called.
#[derive(Debug, Default)]
struct Broken {
    threads: Mutex<Vec<String>>,
}

impl Broken {
    fn called(&self) -> ! {
        self.threads.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        std::panic::panic_any("the window is broken");
    }
}

impl SharedWindow for Broken {
    fn check(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Admission, WindowError> {
        self.called()
    }

    fn look(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Quota, WindowError> {
        self.called()
    }
}

#[test]
fn a_window_that_panics_cannot_be_consulted_and_never_runs_on_the_writers_thread() {
    let broken = Arc::new(Broken::default());
    let parts = || GateRuntime::default().window(broken.clone());
    let deny = Desk::with_parts(|config| config.fallback_behavior(FallbackBehavior::Deny), parts());
    assert_eq!(refused(deny.ask(), "unavailable").status, 503);
    assert_eq!(deny.gate.health().overall(), HealthCondition::Unavailable);
    let allow = Desk::with_parts(|config| config.fallback_behavior(FallbackBehavior::Allow), parts());
    assert!((0..3).all(|_| passed(allow.ask()).accepted.is_none()));
    let desk = Desk::with_parts(|config| config, parts());
    passed(desk.ask());
    for commits in 1..=3 {
        let (_, result) = desk.challenge();
        let answer =
            Presented { token: result.challenge_token.clone(), result: Some(ResultText::Compact(result.to_compact())) };
        let Verdict::Judge(pending) = decide(&desk.gate, Facts { answer: Some(answer), ..facts(ADDRESS) }) else {
            panic!("a token needs the store");
        };
        // On the thread that waits, and on one of the gate's own.
        let decision = if commits == 1 {
            pending.wait()
        } else {
            let (done, verdict) = channel();
            pending
                .then(move |decision| done.send((decision, std::thread::current().name().map(str::to_owned))).unwrap());
            let (decision, thread) = verdict.recv().unwrap();
            assert!(thread.is_some_and(|name| name.starts_with("pouw-judge-")));
            decision
        };
        assert!(accepted(decision).is_some());
        assert_eq!(desk.engine.stats().ledger_entries, commits);
    }
    assert_eq!(desk.gate.health().limiter.condition, HealthCondition::Degraded);
    let threads = broken.threads.lock().unwrap();
    assert!(threads.len() >= 10 && !threads.iter().any(|name| name == "pouw-writer"), "{threads:?}");
}

#[test]
fn a_window_that_keeps_its_caller_waiting_keeps_no_commit_waiting() {
    let (entered, enters) = channel();
    let (let_go, wait) = channel::<()>();
    let slow = Slow { entered: Mutex::new(entered), wait: Mutex::new(wait) };
    let desk = Desk::with_parts(|config| config, GateRuntime::default().window(Arc::new(slow)));
    let (_, result) = solved(&refused(desk.ask(), "work_required"));
    let answer =
        Presented { token: result.challenge_token.clone(), result: Some(ResultText::Compact(result.to_compact())) };
    let Verdict::Judge(pending) = decide(&desk.gate, Facts { answer: Some(answer), ..facts(ADDRESS) }) else {
        panic!("a token needs the store");
    };
    let (done, verdict) = channel();
    pending.then(move |decision| done.send(decision).unwrap());
    enters.recv().unwrap();
    let (done, written) = channel();
    for_gate(&desk.engine).touch_with(move |outcome| done.send(outcome).unwrap());
    let written = written.recv_timeout(std::time::Duration::from_secs(30));
    let_go.send(()).unwrap();
    written.expect("the writer goes on").unwrap();
    assert!(accepted(verdict.recv().unwrap()).is_some());
}

/// A window outside the process that takes its time.
#[derive(Debug)]
struct Slow {
    entered: Mutex<Sender<()>>,
    wait: Mutex<Receiver<()>>,
}

impl SharedWindow for Slow {
    fn check(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Admission, WindowError> {
        Ok(Admission::Over(Quota::new(1, 0, Duration::from_secs(1))))
    }

    fn look(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Quota, WindowError> {
        self.entered.lock().unwrap().send(()).unwrap();
        self.wait.lock().unwrap().recv().unwrap();
        Ok(Quota::new(1, 0, Duration::from_secs(1)))
    }
}

#[test]
fn a_reputation_that_panics_or_is_no_number_from_0_to_1_changes_nothing() {
    type Provider = fn(&ClientKey) -> Option<f64>;
    let cases: [(Provider, Option<pouw::protocol::DifficultyTier>); 9] = [
        (|_| None, Some(High)),
        (|_| panic!("the provider is broken"), Some(High)),
        (|_| Some(f64::NAN), Some(High)),
        (|_| Some(f64::INFINITY), Some(High)),
        (|_| Some(1.5), Some(High)),
        (|_| Some(-0.5), Some(High)),
        (|_| Some(0.69), Some(High)),
        (|_| Some(0.7), Some(Medium)),
        (|_| Some(0.95), None),
    ];
    for (provider, tier) in cases {
        let desk = Desk::with_parts(|config| config, GateRuntime::default().reputation(provider));
        desk.use_up();
        let client = facts(ADDRESS).client.to_bytes();
        (0..4).for_each(|_| for_gate(&desk.engine).note_violation(&client));
        match tier {
            Some(tier) => {
                assert_eq!(unit_in(&refused(desk.ask(), "work_required")).unwrap().difficulty, tier);
                // What the adapter knows itself comes before the provider.
                let known = Facts { reputation: Some(0.99), ..facts(ADDRESS) };
                plain(decide(&desk.gate, known).wait(), "exempt");
            }
            None => drop(plain(desk.ask(), "exempt")),
        }
    }
}

#[test]
fn a_subscriber_of_events_that_panics_changes_no_decision() {
    let desk = Desk::new();
    let broken = pouw::GateEventSink::new(|_| panic!("the subscriber is broken"));
    let config = pouw::GateConfig::builder().rate_limit(1).build().unwrap();
    let gate = pouw::Gate::with_runtime(desk.engine.clone(), config, GateRuntime::default().events(broken)).unwrap();
    passed(decide(&gate, facts(ADDRESS)).wait());
    let (unit, result) = solved(&refused(decide(&gate, facts(ADDRESS)).wait(), "work_required"));
    assert_eq!(unit.difficulty, Low);
    let answer =
        Presented { token: result.challenge_token.clone(), result: Some(ResultText::Compact(result.to_compact())) };
    let Verdict::Judge(pending) = decide(&gate, Facts { answer: Some(answer), ..facts(ADDRESS) }) else {
        panic!("a token needs the store");
    };
    assert!(accepted(pending.wait()).is_some());
}
