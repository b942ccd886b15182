//! An engine that has nothing to do writes nothing but the time, and starts again whenever it likes.

use std::time::Duration;

use super::scrub_pace::second;
use crate::support::desk::{Desk, refused};
use crate::support::house::{House, config, parts};
use crate::support::patience::until;
use crate::support::work::{answer_right, cut, issue, made_up, work};
use pouw::protocol::DifficultyTier::Low;
use pouw::{Event, OpenError, PouwEngine};

const SECOND: Duration = Duration::from_secs(1);
const HOUR_SECONDS: u64 = 3_600;
const TTL: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * HOUR_SECONDS);

/// Lets what happened before be written, and the tokens of earlier boots expire.
fn come_to_rest(engine: &PouwEngine, pass: impl Fn(Duration)) {
    pass(TTL);
    until(|| {
        engine.sweep().unwrap();
        let stats = engine.stats();
        stats.standings_waiting == 0 && stats.refused_waiting == 0
    });
    pass(TTL);
    engine.sweep().unwrap();
    engine.sweep().unwrap();
}

#[test]
fn an_idle_engine_behind_a_gate_commits_once_an_hour_and_only_the_time() {
    let desk = Desk::new();
    desk.use_up();
    desk.challenge();
    desk.clock.advance(2 * DAY);
    come_to_rest(&desk.engine, |time| desk.clock.advance(time));
    let begun = desk.engine.stats().commits;
    desk.disk.record();
    let mut commits = Vec::new();
    for second in 1..=3 * HOUR_SECONDS {
        desk.clock.advance(SECOND);
        desk.gate.tick();
        desk.engine.sweep().unwrap();
        desk.engine.upkeep().unwrap();
        let now = desk.engine.stats().commits - begun;
        if commits.len() as u64 != now {
            commits.push(second);
        }
    }
    // Beside the time, at most what the writer had put off until then.
    assert!((3..=4).contains(&commits.len()), "at {commits:?}");
    let writes = desk.disk.recorded();
    assert!(writes < 4 * 40, "{writes} writes and syncs for {} commits", commits.len());
    // It is idle, not dead.
    desk.use_up();
    refused(desk.ask(), "work_required");
}

#[test]
fn the_background_of_an_idle_engine_writes_nothing() {
    let house = House::with(config().background(true));
    house.engine.ingest_bytes(&cut(), "a", &[1; 4 * 512]).unwrap();
    until(|| house.engine.stats().ready_units > 0);
    // A pass of the thread that scrubs is due once a day, and is one commit at its end.
    house.clock.advance(TTL);
    while house.engine.stats().scrub.last_full_pass.is_none() {
        second(&house);
    }
    come_to_rest(&house.engine, |time| house.clock.advance(time));
    let begun = house.engine.stats().commits;
    house.disk.record();
    for _ in 0..50 * 60 {
        house.clock.advance(SECOND);
        // One sweep and what it wakes, beside those of the thread.
        house.engine.sweep().unwrap();
    }
    assert_eq!((house.engine.stats().commits - begun, house.disk.recorded()), (0, 0));
}

#[test]
fn ended_leases_write_the_time_at_most_once_a_minute_and_a_crash_revives_none_of_before() {
    let mut house = House::with(config().synthetic_max(4_096));
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    come_to_rest(&house.engine, |time| house.clock.advance(time));
    // A client takes a unit every second for a while and answers none, so that later a lease ends every second.
    for _ in 0..50 {
        made_up(&house.engine, b"silent", Low);
        house.clock.advance(SECOND);
    }
    // What was sent is counted.
    house.engine.sweep().unwrap();
    let begun = house.engine.stats().commits;
    let ended = house.engine.stats().expired_this_boot;
    for _ in 0..70 {
        house.clock.advance(SECOND);
        house.engine.sweep().unwrap();
    }
    let stats = house.engine.stats();
    assert_eq!((stats.expired_this_boot - ended, stats.commits - begun), (50, 1));
    let old = issue(&house.engine, b"old", Low);
    house.clock.advance(TTL + SECOND);
    house.engine.sweep().unwrap();
    house.clock.advance(TTL);
    house.engine.sweep().unwrap();
    house.clock.step_wall_back(DAY);
    house.power_cut();
    let late = answer_right(&house.engine, b"old", &old.unit);
    assert!(matches!(late, Err(pouw::SubmitError::Expired { .. })), "{late:?}");
}

#[test]
fn a_service_that_was_off_for_months_starts_and_says_so() {
    let mut house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    let told = |house: &House| house.events.lock().iter().any(|event| matches!(event, Event::ClockAhead { .. }));
    for (off, tells) in [(DAY - SECOND, false), (3 * DAY, true), (399 * DAY, true)] {
        house.engine.close();
        house.clock.advance(off);
        house.reopen();
        assert_eq!(told(&house), tells, "off for {off:?}");
        assert_eq!(house.names(), ["a"]);
    }
}

#[test]
fn a_clock_that_is_years_ahead_is_refused_until_somebody_says_that_it_is_right() {
    let house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    house.engine.close();
    house.clock.step_wall_forward(401 * DAY);
    let open = |accept| {
        let parts = parts(house.storage(), &house.clock);
        PouwEngine::open_with(parts, config().accept_clock_ahead(accept).build().unwrap())
    };
    assert!(matches!(open(false), Err(OpenError::ClockAhead { .. })));
    open(true).unwrap().close();
    open(false).unwrap().close();
}

#[test]
fn no_token_lives_again_after_a_clock_was_ahead_and_put_right() {
    let mut house = House::with(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    let issued = issue(&house.engine, b"client", Low);
    // Opened once with a clock that is a year ahead, then with the right one.
    house.engine.close();
    house.clock.step_wall_forward(365 * DAY);
    house.reopen();
    house.engine.close();
    house.clock.step_wall_back(365 * DAY);
    house.reopen();
    let late = answer_right(&house.engine, b"client", &issued.unit);
    assert!(matches!(late, Err(pouw::SubmitError::Expired { .. })), "{late:?}");
    // Nothing stands still.
    house.engine.upkeep().unwrap();
    work(&house.engine, b"client", Low);
}
