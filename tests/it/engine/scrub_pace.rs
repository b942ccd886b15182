//! The thread that scrubs: at its rate, once a day, and never where it was turned off.

use std::time::Duration;

use crate::support::clients::blocks;
use crate::support::house::{House, config};
use crate::support::patience::until;
use crate::support::work::{BLOCK, cut};
use pouw::{Event, ScrubPosition};

const SECOND: Duration = Duration::from_secs(1);

/// Bytes that the thread has read.
fn read(house: &House) -> u64 {
    house.engine.stats().scrub.bytes_this_boot
}

/// Moves the clock a second and waits until the thread came round after that.
pub(super) fn second(house: &House) {
    house.clock.advance(SECOND);
    let now = house.engine.now();
    until(|| {
        let stats = house.engine.stats();
        let thread = stats.threads.iter().find(|thread| thread.name == "pouw-scrub").unwrap();
        thread.came_round >= now && thread.busy_ms == 0
    });
}

#[test]
fn it_waits_a_minute_keeps_its_rate_begins_once_a_day_and_finds_damage_by_itself() {
    const RATE: u64 = 64 << 10;
    let mut house = House::with(config().background(true).scrub_bytes_per_second(RATE));
    let data = blocks(400, 1);
    house.engine.ingest_bytes(&cut(), "t", &data.concat()).unwrap();
    house.edit_chunk(0, |bytes| bytes[BLOCK * 37] ^= 1);
    house.clock.advance(50 * SECOND);
    second(&house);
    assert_eq!(read(&house), 0, "not in the first minute");
    house.clock.advance(8 * SECOND);
    let opened = house.engine.now();
    second(&house);
    house.clock.advance(SECOND);
    let mut seconds = 0;
    while house.engine.stats().scrub.last_full_pass.is_none() {
        second(&house);
        seconds += 1;
        assert!(read(&house) <= RATE * (seconds + 2) + BLOCK as u64, "{} bytes in {seconds} s", read(&house));
    }
    assert!(read(&house) >= 400 * BLOCK as u64 && seconds >= 2, "{seconds} s");
    let stats = house.engine.stats().scrub;
    assert!(stats.began.unwrap() >= opened && stats.position == ScrubPosition::Idle);
    assert_eq!((stats.damaged_this_boot, stats.last_full_pass_found), (1, 1));
    until(|| house.engine.damaged(None, 9).unwrap().len() == 1);
    let told = |event: &Event| matches!(event, Event::BlockDamaged { leaf: 37, .. });
    until(|| house.events.lock().iter().any(told));

    let (began, bytes) = (stats.began, read(&house));
    house.clock.advance(Duration::from_secs(86_000));
    second(&house);
    assert_eq!((house.engine.stats().scrub.began, read(&house)), (began, bytes), "not yet a day");
    house.clock.advance(Duration::from_secs(400));
    second(&house);
    second(&house);
    assert!(house.engine.stats().scrub.began > began && read(&house) > bytes);
    // Restarted, it goes on after a minute, with the pass or with the day.
    let began = house.engine.stats().scrub.began;
    house.reopen();
    assert_eq!(house.engine.stats().scrub.began, began);
}

#[test]
fn without_a_rate_or_a_background_there_is_no_such_thread() {
    for config in [config().background(true).scrub_bytes_per_second(0), config().background(false)] {
        let house = House::with(config);
        let names: Vec<String> = house.engine.stats().threads.into_iter().map(|thread| thread.name).collect();
        assert!(!names.iter().any(|name| name == "pouw-scrub"), "{names:?}");
    }
}
