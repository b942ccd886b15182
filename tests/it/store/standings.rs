//! Difficulty as the engine remembers it: the rules of the policy, across restarts, crashes, failing disks,
//! damaged rows and the bound of the table.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::house::{clock, config, in_directory, on_disk, open, parts};
use crate::support::patience::until;
use crate::support::store_plant::{STANDINGS, plant};
use crate::support::work::{made_up, solve, spoiled};
use pouw::internal::engine::for_gate;
use pouw::internal::policy::difficulty::{DifficultyRules, Standing};
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::protocol::{DifficultyTier, WorkResult};
use pouw::{Answer, ConfigBuilder, Event, EventSink, PouwEngine, Runtime, StoreDirectory, SubmitError};
use quickcheck::{Gen, QuickCheck};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use DifficultyTier::{High, Low, Medium};

/// Answers a made-up unit, rightly or not.
fn answer(engine: &PouwEngine, client: &[u8], right: bool) -> Result<(), SubmitError> {
    let right_one = solve(&made_up(engine, client, Low).unit);
    let result = if right { right_one } else { spoiled(&right_one) };
    engine.submit(&Answer::new(client, &result)).map(drop)
}

fn touch(engine: &PouwEngine) -> Result<(), pouw::WriteError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    for_gate(engine).touch_with(move |written| sender.send(written).unwrap());
    receiver.recv().unwrap()
}

/// Commits until nothing is written behind any more.
fn until_written(engine: &PouwEngine) {
    while engine.stats().standings_waiting > 0 {
        // A commit that fails is tried again with the next one.
        let _ = touch(engine);
    }
}

fn stored_rows(dir: &Path) -> u64 {
    let database = Database::open(dir.join("state.redb")).unwrap();
    database.begin_read().unwrap().open_table(STANDINGS).unwrap().len().unwrap()
}

#[test]
fn two_violations_and_one_wrong_result_raise_the_tier_and_a_restart_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = in_directory(dir.path(), &clock, config());
    assert_eq!(for_gate(&engine).next_tier(b"a"), Low);
    for_gate(&engine).note_violation(b"a");
    assert_eq!((for_gate(&engine).next_tier(b"a"), for_gate(&engine).next_tier(b"b")), (Medium, Low));
    for_gate(&engine).note_violation(b"a");
    answer(&engine, b"b", false).unwrap_err();
    assert_eq!((for_gate(&engine).standing(b"a").tier, for_gate(&engine).standing(b"b").tier), (Medium, Medium));
    answer(&engine, b"a", false).unwrap_err();
    let before = [for_gate(&engine).standing(b"a"), for_gate(&engine).standing(b"b")];
    assert_eq!(before[0].tier, High);
    engine.close();
    let engine = in_directory(dir.path(), &clock, config());
    assert_eq!([for_gate(&engine).standing(b"a"), for_gate(&engine).standing(b"b")], before);
    assert_eq!((engine.stats().standings, engine.stats().standings_waiting), (2, 0));
    clock.advance(Duration::from_millis(600_000));
    assert_eq!((for_gate(&engine).standing(b"a").tier, for_gate(&engine).standing(b"b").tier), (Medium, Low));
    engine.close();
    let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((report.findings.as_slice(), report.standings), (&[][..], 2));
}

#[test]
fn an_answer_begins_the_cool_down_and_that_too_survives_a_power_cut() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    for_gate(&engine).note_violation(b"payer");
    answer(&engine, b"payer", true).unwrap();
    for_gate(&engine).note_violation(b"idler");
    until_written(&engine);
    disk.crash(Loss::Everything);
    drop(engine);
    let engine = on_disk(&disk, &clock, config());
    assert_eq!(engine.stats().standings, 2);
    for client in [&b"payer"[..], b"idler"] {
        for_gate(&engine).note_violation(client);
        assert_eq!(for_gate(&engine).standing(client).tier, Medium);
    }
    clock.advance(Duration::from_millis(300_000));
    answer(&engine, b"payer", true).unwrap();
    clock.advance(Duration::from_millis(300_000));
    assert_eq!([&b"payer"[..], b"idler"].map(|client| for_gate(&engine).standing(client).tier), [Medium, Low]);
}

#[test]
fn an_answer_counts_as_right_only_when_its_commit_is_durable() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    for_gate(&engine).note_violation(b"a");
    clock.advance(Duration::from_secs(1));
    disk.set_full(true);
    assert!(matches!(answer(&engine, b"a", true), Err(SubmitError::NotStored(_) | SubmitError::Unconfirmed { .. })));
    let last_ms = for_gate(&engine).standing(b"a").last_ms;
    assert!(last_ms < engine.now().0);
    disk.heal();
    answer(&engine, b"a", true).unwrap();
    assert_eq!(for_gate(&engine).standing(b"a").last_ms, engine.now().0);
}

#[test]
fn a_disk_that_fails_while_standings_are_written_behind_loses_none_of_them() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    let client = |number: u32| number.to_le_bytes();
    (0..3_000).for_each(|number| for_gate(&engine).note_violation(&client(number)));
    disk.set_full(true);
    // More than one slice waits, so every commit carries one.
    for _ in 0..3 {
        touch(&engine).unwrap_err();
    }
    assert!(disk.hits() > 0);
    assert_eq!(engine.stats().standings_waiting, 3_000);
    disk.heal();
    until_written(&engine);
    disk.crash(Loss::Everything);
    drop(engine);
    let engine = on_disk(&disk, &clock, config());
    assert!((0..3_000).all(|number| for_gate(&engine).standing(&client(number)).violations == 1));
}

#[test]
fn after_a_flood_of_new_clients_the_writer_catches_up_by_itself() {
    const MANY: u32 = 20_000;
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    (0..MANY).for_each(|number| for_gate(&engine).note_violation(&number.to_le_bytes()));
    // In commits of 256 twice a second it would take twice as long as this waits.
    let started = Instant::now();
    while engine.stats().standings_waiting > 0 {
        assert!(started.elapsed().as_secs() < 20, "{} wait", engine.stats().standings_waiting);
        std::thread::yield_now();
    }
    // Small commits all the same: an answer never waits for all of them.
    assert!(engine.stats().commits >= u64::from(MANY) / 256, "{} commits", engine.stats().commits);
    disk.crash(Loss::Everything);
    let engine = on_disk(&disk, &clock, config());
    assert!((0..MANY).all(|number| for_gate(&engine).standing(&number.to_le_bytes()).violations == 1));
}

#[test]
fn a_store_that_fails_is_not_asked_again_without_a_pause_however_much_waits_for_it() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    disk.set_full(true);
    // More wrong answers, and more standings, than one commit takes.
    (0..600_u32).for_each(|number| drop(answer(&engine, &number.to_le_bytes(), false).unwrap_err()));
    let stats = engine.stats();
    assert!(stats.refused_waiting == 600 && stats.standings_waiting == 600, "{stats:?}");
    let failed = |by: u64| {
        let before = engine.stats().commits_failed;
        until(|| engine.stats().commits_failed >= before + by);
    };
    failed(1);
    let started = Instant::now();
    failed(3);
    assert!(started.elapsed().as_millis() >= 1_000, "three tries in {:?}", started.elapsed());
    disk.set_full(false);
    while engine.stats().refused_waiting > 0 || engine.stats().standings_waiting > 0 {
        assert!(started.elapsed().as_secs() < 60, "{:?}", engine.stats());
        std::thread::yield_now();
    }
}

#[test]
fn what_changes_while_it_is_being_written_is_written_again() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config());
    let client = |number: u32| number.to_le_bytes();
    for round in 0..4 {
        (0..1_500).for_each(|number| for_gate(&engine).note_violation(&client(number)));
        for_gate(&engine).touch_with(|_| {});
        (0..1_500).for_each(|number| for_gate(&engine).note_violation(&client(number)));
        clock.advance(Duration::from_millis(round));
    }
    engine.close();
    let kept: Vec<Standing> = (0..1_500).map(|number| for_gate(&engine).standing(&client(number))).collect();
    let engine = on_disk(&disk, &clock, config());
    assert!((0..).zip(kept).all(|(number, kept)| for_gate(&engine).standing(&client(number)) == kept));
}

#[test]
fn at_the_bound_rows_that_say_nothing_go_first_and_the_disk_forgets_them_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let small = || config().difficulty_clients_max(16);
    let engine = in_directory(dir.path(), &clock, small());
    let client = |number: u32| number.to_le_bytes();
    (0..8).for_each(|number| for_gate(&engine).note_violation(&client(number)));
    // By now the first eight say nothing any more.
    clock.advance(Duration::from_millis(700_000));
    (8..24).for_each(|number| for_gate(&engine).note_violation(&client(number)));
    assert_eq!(engine.stats().standings, 16);
    assert!((8..24).all(|number| for_gate(&engine).standing(&client(number)).violations == 1));
    // All of them tell something now: the one touched least recently goes.
    clock.advance(Duration::from_millis(1));
    (9..24).for_each(|number| for_gate(&engine).note_violation(&client(number)));
    for_gate(&engine).note_violation(b"newest");
    assert_eq!((for_gate(&engine).next_tier(&client(8)), engine.stats().standings), (Low, 16));
    assert!((9..24).all(|number| for_gate(&engine).standing(&client(number)).tier == Medium));
    engine.close();
    assert_eq!(stored_rows(dir.path()), 16);
    // A smaller bound holds at once, for memory and disk.
    let many = in_directory(dir.path(), &clock, config());
    (100..200).for_each(|number| for_gate(&many).note_violation(&client(number)));
    many.close();
    assert_eq!(stored_rows(dir.path()), 116);
    let engine = in_directory(dir.path(), &clock, small());
    assert_eq!(engine.stats().standings, 16);
    engine.close();
    assert_eq!(stored_rows(dir.path()), 16);
}

#[test]
fn at_the_bound_a_row_that_says_nothing_goes_before_an_older_one_that_does() {
    let clock = clock();
    let engine = on_disk(&SimDisk::new(), &clock, config().difficulty_clients_max(16));
    answer(&engine, b"wrong", false).unwrap_err();
    clock.advance(Duration::from_millis(100_000));
    for_gate(&engine).note_violation(b"calm");
    clock.advance(Duration::from_millis(400_000));
    (0..15_u32).for_each(|number| for_gate(&engine).note_violation(&number.to_le_bytes()));
    assert_eq!(engine.stats().standings, 16);
    assert_eq!(
        (for_gate(&engine).standing(b"wrong").tier, for_gate(&engine).standing(b"calm")),
        (Medium, Standing::default().look(&RULES, engine.now().0))
    );
}

#[test]
fn changes_that_wait_for_a_dead_disk_are_bounded() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config().difficulty_clients_max(16));
    disk.set_full(true);
    (0..70_000_u32).for_each(|number| for_gate(&engine).note_violation(&number.to_le_bytes()));
    let stats = engine.stats();
    assert_eq!((stats.standings, stats.standings_waiting), (16, 16 + 65_536));
    disk.heal();
    until_written(&engine);
    assert!(engine.stats().memory_bytes < 16 << 20);
}

#[test]
fn the_sweep_forgets_clients_whose_rows_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = in_directory(dir.path(), &clock, config());
    for_gate(&engine).note_violation(b"a");
    answer(&engine, b"b", false).unwrap_err();
    assert_eq!(engine.sweep().unwrap().standings_pruned, 0);
    clock.advance(Duration::from_millis(599_000));
    assert_eq!(engine.sweep().unwrap().standings_pruned, 1, "who was wrong is still at medium");
    clock.advance(Duration::from_millis(600_000));
    assert_eq!(engine.sweep().unwrap().standings_pruned, 1);
    engine.close();
    assert_eq!(stored_rows(dir.path()), 0);
}

#[test]
fn a_store_from_before_the_table_opens_and_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    in_directory(dir.path(), &clock, config()).close();
    plant(&dir.path().join("state.redb"), |txn| assert!(txn.delete_table(STANDINGS).unwrap()));
    let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((report.findings.as_slice(), report.standings), (&[][..], 0));
    let engine = in_directory(dir.path(), &clock, config());
    for_gate(&engine).note_violation(b"a");
    engine.close();
    assert_eq!(stored_rows(dir.path()), 1);
}

#[test]
fn a_damaged_row_is_told_and_dropped_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let engine = in_directory(dir.path(), &clock, config());
    for client in [b"a", b"b", b"c"] {
        answer(&engine, client, false).unwrap_err();
    }
    engine.close();
    let damaged = *engine.client_digest(b"b").as_bytes();
    plant(&dir.path().join("state.redb"), |txn| {
        let mut table = txn.open_table(STANDINGS).unwrap();
        let mut raw = table.get(damaged).unwrap().unwrap().value()[..20].to_vec();
        raw[1] = 3;
        table.insert(damaged, raw.as_slice()).unwrap();
        // What no rule could have written reads as the nearest thing that one could.
        let wild = [&[0, 2, 255, 1][..], &[255; 16]].concat();
        table.insert(*engine.client_digest(b"wild").as_bytes(), wild.as_slice()).unwrap();
    });
    let found = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().findings;
    assert!(found.len() == 1 && found[0].what.contains("standings-0 row") && found[0].what.contains("unknown tier 3"));
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let events_sink = EventSink::new(move |event| sink.lock().unwrap().push(event));
    let on_disk = parts(Arc::new(StoreDirectory::new(dir.path())), &clock);
    let engine = open(on_disk.events(events_sink), config());
    assert!(
        matches!(&events.lock().unwrap()[..], [Event::CorruptionFound { what, .. }] if what.contains("standings-0"))
    );
    let tiers = [b"a", b"b", b"c"].map(|client| for_gate(&engine).standing(client).tier);
    assert_eq!(tiers, [Medium, Low, Medium]);
    assert_eq!((for_gate(&engine).standing(b"wild").tier, for_gate(&engine).next_tier(b"wild")), (High, High));
    clock.advance(Duration::from_millis(1_200_000));
    assert_eq!(for_gate(&engine).next_tier(b"wild"), Low);
    engine.close();
    assert_eq!(PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap().findings, []);
}

#[test]
fn a_tier_out_of_bounds_in_the_configuration_is_refused_by_name() {
    let field = |settings: ConfigBuilder| settings.build().unwrap_err().field;
    assert_eq!(field(config().default_difficulty(High).max_difficulty(Medium)), "max_difficulty");
    assert_eq!(field(config().escalation_window(Duration::ZERO)), "escalation_window");
    assert_eq!(field(config().cool_down(Duration::ZERO)), "cool_down");
    assert_eq!(field(config().difficulty_clients_max(15)), "difficulty_clients_max");
    let clock = clock();
    let medium = config().default_difficulty(Medium).max_difficulty(Medium);
    let engine = on_disk(&SimDisk::new(), &clock, medium);
    answer(&engine, b"a", false).unwrap_err();
    assert_eq!((for_gate(&engine).next_tier(b"a"), for_gate(&engine).next_tier(b"b")), (Medium, Medium));
}

const RULES: DifficultyRules =
    DifficultyRules { default: Low, cap: High, escalation_window_ms: 300_000, cool_down_ms: 600_000 };

/// The plain collection the engine is held against. `None` in a step: the engine must be opened anew.
#[derive(Default)]
struct Plain {
    rows: BTreeMap<u8, Standing>,
}

impl Plain {
    fn change(&mut self, client: u8, how: fn(&Standing, &DifficultyRules, u64) -> Standing, now_ms: u64) {
        let row = self.rows.entry(client).or_default();
        *row = how(row, &RULES, now_ms);
    }

    /// What says nothing is not kept over a restart or a sweep.
    fn forget(&mut self, now_ms: u64) {
        self.rows.retain(|_, row| !row.is_default(&RULES, now_ms));
    }

    fn agrees(&self, engine: &PouwEngine) -> bool {
        let now_ms = engine.now().0;
        (0..4).all(|client| {
            let row = self.rows.get(&client).copied().unwrap_or_default();
            for_gate(engine).standing(&[client]) == row.look(&RULES, now_ms)
                && for_gate(engine).next_tier(&[client]) == row.violated(&RULES, now_ms).tier
        })
    }
}

/// Escalation, cool-down and completion as the policy says, whatever happens to the process in between.
fn follows_the_policy(steps: Vec<(u8, u8)>) -> bool {
    let (disk, clock, mut plain) = (SimDisk::new(), clock(), Plain::default());
    let mut engine = on_disk(&disk, &clock, config());
    steps.into_iter().all(|(what, with)| {
        let (client, now_ms) = (with % 4, engine.now().0);
        match what % 16 {
            0..=5 => {
                for_gate(&engine).note_violation(&[client]);
                plain.change(client, Standing::violated, now_ms);
            }
            6..=8 => {
                answer(&engine, &[client], true).unwrap();
                if plain.rows.contains_key(&client) {
                    plain.change(client, Standing::completed, now_ms);
                }
            }
            9..=10 => {
                answer(&engine, &[client], false).unwrap_err();
                plain.change(client, Standing::wrong, now_ms);
            }
            11..=13 => clock.advance(Duration::from_millis(
                [1, 60_000, 299_999, 300_001, 600_000, 1_300_000][usize::from(with % 6)],
            )),
            14 => {
                engine.sweep().unwrap();
                plain.forget(now_ms);
            }
            _ => {
                let cut = with % 32 == 0;
                if cut {
                    until_written(&engine);
                    disk.crash(Loss::Everything);
                } else {
                    engine.close();
                }
                engine = on_disk(&disk, &clock, config());
                plain.forget(engine.now().0);
            }
        }
        plain.agrees(&engine)
    })
}

#[test]
fn property_6_escalation_and_cool_down_hold_across_restarts_and_power_cuts() {
    QuickCheck::new().rng(Gen::new(60)).tests(40).quickcheck(follows_the_policy as fn(Vec<(u8, u8)>) -> bool);
    // One with power cuts for certain.
    let script = [(0, 0), (0, 0), (15, 32), (6, 0), (9, 1), (15, 0), (11, 4), (0, 1), (0, 2), (15, 64), (0, 2)];
    assert!(follows_the_policy(script.to_vec()));
}

/// The result of an honest client for what `issue` gives.
fn solved(engine: &PouwEngine, client: &[u8]) -> WorkResult {
    solve(&made_up(engine, client, Low).unit)
}

#[test]
fn a_callback_or_a_subscriber_that_panics_ends_nothing_but_itself() {
    let panics = Arc::new(Mutex::new(0));
    let seen = panics.clone();
    let parts = Runtime::on(Arc::new(SimDisk::new())).events(EventSink::new(move |event| {
        *seen.lock().unwrap() += u32::from(event == Event::CallbackPanicked);
        std::panic::panic_any("the subscriber");
    }));
    let engine = PouwEngine::open_with(parts, config().build().unwrap()).unwrap();
    let result = solved(&engine, b"a");
    engine.submit_with(&Answer::new(b"a", &result), |_| std::panic::panic_any("the callback"));
    touch(&engine).unwrap();
    assert_eq!(*panics.lock().unwrap(), 1);
    // What the callback was told of counts, and the writer goes on.
    assert!(matches!(engine.submit(&Answer::new(b"a", &result)), Err(SubmitError::Replayed)));
    engine.submit(&Answer::new(b"a", &solved(&engine, b"a"))).unwrap();
}
