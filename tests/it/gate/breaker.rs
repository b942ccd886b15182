//! What counts for the circuit breaker, who probes when it is open, and what the health of the store goes by: commits,
//! not answers, and with or without traffic.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::desk;
use crate::support::desk::{ADDRESS, Desk, accepted, changes, facts, passed, plain, refused, solved};
use crate::support::house::START_MS;
use crate::support::patience::until;
use pouw::internal::engine::for_gate;
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::internal::store::sim::Loss;
use pouw::protocol::WorkResult;
use pouw::{Exposure, Gate, GateConfig, HealthCondition, IngestOptions, Verdict, WriteError};

/// A commit with nothing in it; what came before it has its verdict by then.
fn touch(desk: &Desk) -> Result<(), WriteError> {
    let (done, written) = channel();
    for_gate(&desk.engine).touch_with(move |outcome| done.send(outcome).unwrap());
    written.recv().unwrap()
}

fn answer_of(result: &WorkResult, address: &str) -> Facts {
    let compact = Some(ResultText::Compact(result.to_compact()));
    let answer = Presented { token: result.challenge_token.clone(), result: compact };
    Facts { answer: Some(answer), ..facts(address) }
}

fn pending(desk: &Desk, facts: Facts) -> pouw::Pending {
    match decide(&desk.gate, facts) {
        Verdict::Judge(pending) => pending,
        other => panic!("{other:?}"),
    }
}

/// Has all these answers in one commit that fails. Needs a gate with one judge.
fn fail_together(desk: &Desk, answers: &[(String, WorkResult)]) {
    // The writer is kept until all of them wait for it.
    let ((at_work, works), (let_go, wait)) = (channel(), channel::<()>());
    for_gate(&desk.engine).touch_with(move |written| {
        at_work.send(written).unwrap();
        wait.recv().unwrap();
    });
    works.recv().unwrap().unwrap();
    let (told, verdicts) = channel();
    for (address, result) in answers {
        let told = told.clone();
        pending(desk, answer_of(result, address)).then(move |decision| told.send(decision).unwrap());
    }
    // Judged behind them, and decided without a commit.
    let (seen, judged) = channel();
    let malformed = Presented { token: "AAAA".into(), result: None };
    let last = Facts { answer: Some(malformed), ..facts("198.51.100.200") };
    pending(desk, last).then(move |decision| seen.send(decision).unwrap());
    refused(judged.recv().unwrap(), "malformed");
    desk.disk.set_full(true);
    let_go.send(()).unwrap();
    for _ in answers {
        refused(verdicts.recv().unwrap(), "try_again");
    }
    desk.disk.set_full(false);
}

#[test]
fn a_failed_commit_counts_once_however_many_answers_were_in_it() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(3).judge_threads(1));
    let answers: Vec<(String, WorkResult)> = (1..=64)
        .map(|number| {
            let address = format!("198.51.100.{number}");
            passed(desk.ask_from(&address));
            let (_, result) = solved(&refused(desk.ask_from(&address), "work_required"));
            (address, result)
        })
        .collect();
    for commits in 1..=2 {
        fail_together(&desk, &answers);
        assert_eq!((desk.failures(), changes(&desk.events())), (Some(commits), vec![]));
    }
    // One that goes through ends the row.
    let (address, result) = &answers[0];
    until(|| accepted(desk.answer_from(address, result)).is_some());
    assert_eq!(desk.failures(), Some(0));
    for commits in 1..=2 {
        fail_together(&desk, &answers[1..]);
        assert_eq!((desk.failures(), changes(&desk.events())), (Some(commits), vec![]));
    }
    fail_together(&desk, &answers[1..]);
    assert_eq!((desk.failures(), changes(&desk.events())), (None, vec![(true, START_MS)]));
}

/// A gate whose breaker is open, on a disk that has been mended.
fn opened() -> Desk {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(1));
    desk.use_up();
    let (_, result) = desk.challenge();
    desk.disk.set_full(true);
    desk.fail(&result);
    assert_eq!(changes(&desk.events()), [(true, START_MS)]);
    desk
}

#[test]
fn an_open_breaker_is_probed_without_any_traffic_when_its_interval_is_over() {
    let desk = opened();
    desk.clock.advance(Duration::from_millis(29_999));
    desk.gate.tick();
    // Too early for a probe; and a commit of somebody else decides nothing.
    assert!(touch(&desk).is_err());
    desk.disk.set_full(false);
    until(|| touch(&desk).is_ok());
    assert_eq!((desk.failures(), changes(&desk.events())), (None, vec![]));
    // A probe that fails makes it wait as long again.
    desk.disk.set_full(true);
    desk.clock.advance(Duration::from_millis(1));
    desk.gate.tick();
    assert!(touch(&desk).is_err());
    desk.disk.set_full(false);
    desk.gate.tick();
    until(|| touch(&desk).is_ok());
    assert_eq!((desk.failures(), changes(&desk.events())), (None, vec![]));
    plain(desk.ask(), "degraded");
    desk.events();
    desk.clock.advance(Duration::from_millis(30_000));
    desk.gate.tick();
    touch(&desk).unwrap();
    assert_eq!(desk.failures(), Some(0));
    let mut told = Vec::new();
    until(|| {
        told.extend(changes(&desk.events()));
        !told.is_empty()
    });
    assert_eq!(told, [(false, START_MS + 60_000)]);
    // Closed, it is not probed.
    let commits = desk.engine.stats().commits;
    desk.clock.advance(Duration::from_millis(30_000));
    desk.gate.tick();
    touch(&desk).unwrap();
    assert_eq!(desk.engine.stats().commits, commits + 1);
    refused(desk.ask(), "work_required");
}

#[test]
fn a_gate_probes_by_itself_unless_the_host_does_it() {
    let desk = Desk::new();
    let config = GateConfig::builder().rate_limit(1).circuit_breaker_threshold(1).build().unwrap();
    let gate = Gate::new(desk.engine.clone(), config).unwrap();
    passed(decide(&gate, facts(ADDRESS)).wait());
    let (_, result) = solved(&refused(decide(&gate, facts(ADDRESS)).wait(), "work_required"));
    desk.disk.set_full(true);
    let Verdict::Judge(pending) = decide(&gate, answer_of(&result, ADDRESS)) else { panic!() };
    refused(pending.wait(), "try_again");
    assert_eq!(gate.health().breaker.condition, HealthCondition::Degraded);
    desk.disk.set_full(false);
    desk.clock.advance(Duration::from_millis(30_000));
    until(|| gate.health().breaker.condition == HealthCondition::Healthy);
    assert_eq!(gate.stats().requests, 3);
}

const HOUR_MS: u64 = 3_600_000;

fn store(desk: &Desk) -> HealthCondition {
    let health = desk.gate.health();
    assert!(health.overall() <= HealthCondition::Degraded);
    health.store.condition
}

#[test]
fn the_store_is_as_well_as_its_last_commit_whoever_made_it() {
    let desk = Desk::new();
    assert_eq!(store(&desk), HealthCondition::Healthy);
    // The sweep, which writes the time once an hour.
    desk.clock.advance(Duration::from_millis(HOUR_MS));
    desk.disk.set_full(true);
    for failed in 1..=3 {
        desk.engine.sweep().unwrap_err();
        let (health, stats) = (desk.gate.health(), desk.engine.stats());
        assert_eq!(
            (health.store.condition, health.breaker.condition),
            (HealthCondition::Degraded, HealthCondition::Healthy)
        );
        assert!(health.store.detail.contains(&format!("{failed} in a row")), "{health:?}");
        assert_eq!((stats.commits_failed, stats.commits_failed_in_row), (failed, failed));
    }
    desk.disk.set_full(false);
    // The writer opens the store anew on its own time.
    until(|| desk.engine.sweep().is_ok());
    assert_eq!((store(&desk), desk.engine.stats().commits_failed_in_row), (HealthCondition::Healthy, 0));
    // The end of a tree.
    let options = IngestOptions::new(Exposure::Public).block_size(256 << 10);
    desk.engine.ingest_bytes(&options, "large", &vec![7; 1 << 20]).unwrap();
    desk.disk.set_full(true);
    assert!(desk.engine.forget("large").is_err());
    assert_eq!((desk.engine.stats().commits_failed_in_row, store(&desk)), (1, HealthCondition::Degraded));
    desk.disk.set_full(false);
    until(|| desk.engine.forget("large").is_ok());
    assert_eq!(store(&desk), HealthCondition::Healthy);
}

#[test]
fn what_is_written_behind_tells_of_the_store_too() {
    let desk = Desk::new();
    desk.disk.set_full(true);
    for_gate(&desk.engine).note_violation(b"a client");
    until(|| store(&desk) == HealthCondition::Degraded);
    desk.disk.set_full(false);
    until(|| store(&desk) == HealthCondition::Healthy);
    until(|| desk.engine.stats().standings_waiting == 0);
}

#[test]
fn a_sync_that_fails_without_any_answer_makes_the_store_unavailable_until_a_restart() {
    let mut desk = Desk::new();
    desk.clock.advance(Duration::from_millis(HOUR_MS));
    desk.disk.fail_sync(1, true);
    desk.engine.sweep().unwrap_err();
    desk.disk.heal();
    let health = desk.gate.health();
    assert_eq!(
        (health.store.condition, health.overall()),
        (HealthCondition::Unavailable, HealthCondition::Unavailable)
    );
    assert!(health.store.detail.contains("restarts"), "{health:?}");
    desk.disk.crash(Loss::Nothing);
    desk.restart();
    desk.engine.sweep().unwrap();
    assert_eq!(store(&desk), HealthCondition::Healthy);
}

#[test]
fn a_limiter_without_room_for_new_clients_says_so_for_a_window() {
    let desk = Desk::with(|config| config.tracked_clients_max(1_000).rate_limit(2));
    let address = |number: u32| std::net::Ipv6Addr::from_bits(0x2001 << 112 | u128::from(number) << 64).to_string();
    let limiter = || desk.gate.health().limiter;
    (0..64).for_each(|number| drop(desk.ask_from(&address(number))));
    assert_eq!(limiter().condition, HealthCondition::Healthy);
    (0..4_000).for_each(|number| drop(desk.ask_from(&address(number))));
    assert!(desk.gate.stats().clients < 1_000);
    assert!(limiter().condition == HealthCondition::Degraded && limiter().detail.contains("tracked_clients_max"));
    desk.clock.advance(Duration::from_millis(desk::WINDOW_MS / 2));
    assert_eq!(limiter().condition, HealthCondition::Degraded);
    desk.clock.advance(Duration::from_millis(desk::WINDOW_MS));
    assert_eq!(limiter().condition, HealthCondition::Healthy);
}
