//! Scrubbing: everything that is stored is read without a client, damage is found and reported once, whatever else the
//! engine does.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::rot::{
    ALL, AUDIT, From, LEAF, PAIR, all_ways, completes, content, damage, damaged, drain, give, knows_answers, marked,
    repaired, reports,
};
use crate::support::clients::{HIGH, audited, blocks, options};
use crate::support::disk::{Access, Hooked, copy};
use crate::support::house::{House, clock, config, open, parts};
use crate::support::patience::until;
use crate::support::store_plant::{BLOCKS, HASHES, Planted, ReadableTable, plant};
use crate::support::work::{BLOCK, answer_right, cut, issue, pattern, work_off};
use pouw::protocol::DifficultyTier;
use pouw::{
    Event, EventSink, Ingested, PouwEngine, ScrubBudget, ScrubError, ScrubPosition, ScrubReport, StoreDirectory,
    StoreFile, StoreOptions, Strategy, WriteError,
};

/// More than the longest row, and than a leaf.
const ROW: u64 = 1_200;
const MINUTES: Duration = Duration::from_secs(600);

/// A full pass.
pub(super) fn pass(engine: &PouwEngine) -> ScrubReport {
    let report = engine.scrub_all(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.pass_ended && report.position == ScrubPosition::Idle);
    report
}

fn step(house: &House, bytes: u64) -> ScrubReport {
    house.engine.scrub(ScrubBudget::bytes(bytes)).unwrap()
}

/// The leaves in the findings of a report.
fn leaves(report: &ScrubReport) -> Vec<u64> {
    report.findings.iter().filter_map(|found| Some(found.leaf?.0)).collect()
}

#[test]
fn damage_is_found_without_a_client_reported_once_and_gone_after_the_same_content() {
    for way in all_ways() {
        let mut house = House::in_memory(1);
        let data = content(way.0, 75, 1);
        give(&house, way, &data).unwrap();
        let clean = pass(&house.engine);
        assert!(clean.is_clean() && clean.leaves == 75 && clean.bytes >= 75 * BLOCK as u64, "{way:?}: {clean:?}");
        damage(&mut house, way, &data, LEAF);
        for turn in 0..3 {
            let report = pass(&house.engine);
            assert_eq!((report.damaged, leaves(&report)), (1, vec![LEAF as u64]), "{way:?}, pass {turn}");
            assert_eq!(report.findings[0].tree.as_deref(), Some("t"));
            assert_eq!((reports(&house, LEAF), damaged(&house)), (1, marked(way.1, &[LEAF as u64])), "{way:?}");
            house.engine.upkeep().unwrap();
        }
        let stats = house.engine.stats();
        assert_eq!((stats.scrub.damaged_this_boot, stats.scrub.last_full_pass_found), (1, 1));
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        assert!(pass(&house.engine).is_clean(), "{way:?}");
        house.engine.sweep().unwrap();
        completes(&mut house, &data);
    }
}

#[test]
fn damage_to_leaves_that_clients_have_hashed_is_reported_once_and_takes_nothing_back() {
    for way in all_ways().into_iter().filter(|(strategy, _)| !knows_answers(*strategy)) {
        let mut house = House::in_memory(2);
        let data = content(way.0, 75, 2);
        give(&house, way, &data).unwrap();
        drain(&house, &data);
        [33, LEAF].iter().for_each(|leaf| damage(&mut house, way, &data, *leaf));
        for _ in 0..3 {
            let report = pass(&house.engine);
            assert_eq!((report.damaged, leaves(&report)), (2, vec![33, LEAF as u64]), "{way:?}");
        }
        let told = "the bytes of leaves 33, 37 of tree \"t\"";
        let is = |event: &&Event| matches!(event, Event::CorruptionFound { what, .. } if what.starts_with(told));
        assert_eq!(house.events.lock().iter().filter(is).count(), 1, "{way:?}");
        assert_eq!(damaged(&house), [0; 0]);
        assert_eq!(house.engine.tree("t").unwrap().pending, 0);
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        assert!(pass(&house.engine).is_clean(), "{way:?}");
        // Other damage to the same leaf is news.
        damage(&mut house, way, &data, LEAF);
        assert_eq!(pass(&house.engine).damaged, 1);
        assert_eq!(reports(&house, LEAF), 1, "{way:?}");
    }
}

#[test]
fn a_leaf_that_a_client_has_is_left_to_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let sink = EventSink::new(move |event| hear.lock().unwrap().push(event));
    let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
    let parts = parts(Arc::new(StoreDirectory::new(directory.path())), &clock()).events(sink).options(options);
    let engine = open(parts, config());
    let data = blocks(32, 3);
    engine.ingest_bytes(&cut(), "t", &data.concat()).unwrap();
    let issued = issue(&engine, b"client", HIGH);
    assert_eq!(issued.unit.node_count, 63);
    let path = directory.path().join(StoreFile::Blocks.file_name());
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(32).position(|found| *found == data[7][64..96]).unwrap() as u64;
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[!data[7][64]], at).unwrap();
    assert_eq!(leaves(&pass(&engine)), [7]);
    assert!(heard.lock().unwrap().is_empty(), "{heard:?}");
    answer_right(&engine, b"client", &issued.unit).unwrap();
    engine.upkeep().unwrap();
    assert!(engine.root("t").is_ok());
}

#[test]
fn what_is_missing_is_found_and_the_pass_goes_on_behind_it() {
    for strategy in ALL {
        let mut house = House::in_memory(4);
        let data = content(strategy, 300, 4);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        house.edit_blocks(|txn| drop(txn.open_table(BLOCKS).unwrap().remove((0, 1)).unwrap()));
        let report = pass(&house.engine);
        // Leaf 127 lies in both chunks.
        assert_eq!((report.damaged, report.leaves), (300 - 127 - 44, 300), "{strategy}");
        assert_eq!(report.findings.len(), 100);
        assert!(report.findings[0].what.contains("lacks block data"), "{:?}", report.findings[0]);
        assert!(give(&house, (strategy, From::Blocks), &data).is_ok());
    }
}

#[test]
fn a_file_that_is_gone_is_one_event_and_counts_until_it_is_back() {
    for strategy in [Strategy::Precomputed, AUDIT, PAIR] {
        for done in [false, true] {
            let house = House::in_memory(5);
            let data = content(strategy, 75, 5);
            give(&house, (strategy, From::File), &data).unwrap();
            if done {
                drain(&house, &data);
            }
            let (path, away) = (house.path("in/t"), house.path("away"));
            std::fs::rename(&path, &away).unwrap();
            let kept = if done && knows_answers(strategy) { 0 } else { 75 };
            for _ in 0..2 {
                let report = pass(&house.engine);
                assert_eq!((report.unreadable, report.damaged), (kept, 0), "{strategy}, done: {done}");
            }
            let is = |event: &&Event| matches!(event, Event::SourceChanged { .. });
            assert_eq!(house.events.lock().iter().filter(is).count() as u64, kept.min(1), "{strategy}, done: {done}");
            std::fs::rename(&away, &path).unwrap();
            assert!(pass(&house.engine).is_clean());
            house.engine.sweep().unwrap();
            drain(&house, &data);
            house.assert_right("t", &data);
        }
    }
}

#[test]
fn a_step_reads_no_more_than_its_budget_and_a_leaf_and_the_steps_read_everything_once() {
    let house = House::in_memory(6);
    let data = content(AUDIT, 1_000, 6);
    give(&house, (AUDIT, From::Bytes), &data).unwrap();
    for budget in [1, 512, 5_000, 100_000] {
        let (mut leaves, mut bytes, mut steps, mut last) = (0, 0, 0, 0.0);
        loop {
            let report = step(&house, budget);
            assert!(report.bytes <= budget + ROW, "{} of {budget} bytes", report.bytes);
            leaves += report.leaves;
            bytes += report.bytes;
            steps += 1;
            if report.pass_ended {
                break;
            }
            let now = house.engine.stats().scrub.progress();
            assert!(report.pass_bytes == bytes && now >= last && now <= 1.0, "{now} after {last}");
            last = now;
        }
        assert_eq!(leaves, 1_000, "budget {budget}");
        assert!(steps as u64 >= bytes / (budget + ROW), "{steps} steps");
    }
    assert!(house.engine.stats().scrub.last_full_pass.is_some());
}

#[test]
fn a_pass_goes_on_after_reopening_and_after_a_power_cut_from_what_was_written() {
    let mut house = House::in_memory(7);
    let data = content(PAIR, 500, 7);
    give(&house, (PAIR, From::Bytes), &data).unwrap();
    let half = step(&house, 100 * BLOCK as u64);
    assert_eq!((half.leaves, half.pass_ended), (100, false));
    house.reopen();
    let stats = house.engine.stats().scrub;
    assert_eq!((stats.position, stats.pass_bytes), (half.position, half.pass_bytes), "written at close");
    // A crash repeats what was read since progress was written.
    assert_eq!(step(&house, 100 * BLOCK as u64).leaves, 100);
    house.power_cut();
    assert_eq!(house.engine.stats().scrub.position, half.position);
    assert_eq!(step(&house, 100 * BLOCK as u64).leaves, 100);
    house.clock.advance(MINUTES);
    let written = step(&house, 100 * BLOCK as u64);
    house.power_cut();
    assert_eq!(house.engine.stats().scrub.position, written.position, "written after 10 minutes");
    let mut leaves = 0;
    loop {
        let report = step(&house, 1 << 20);
        leaves += report.leaves;
        if report.pass_ended {
            break;
        }
    }
    assert_eq!(leaves, 200);
    let ended = house.engine.stats().scrub.last_full_pass;
    house.power_cut();
    assert!(ended.is_some() && house.engine.stats().scrub.last_full_pass == ended, "written at the end");
    house.checked();
}

/// Changes rows of the state file of a closed store, and opens it again.
pub(super) fn edit_state(house: &mut House, change: impl FnOnce(&Planted)) {
    house.engine.close();
    plant(&house.store().join(StoreFile::State.file_name()), change);
    house.reopen();
}

#[test]
fn a_damaged_row_is_named_and_reported_once_and_older_rows_get_checksums() {
    let mut house = House::in_directory(audited(14));
    house.engine.ingest_bytes(&options(AUDIT), "t", &blocks(75, 14).concat()).unwrap();
    let clean = pass(&house.engine);
    assert!(clean.is_clean() && clean.rows > 10 && clean.sums_added == 0, "{clean:?}");
    let edit = |house: &mut House, group: u64, change: fn(&mut Vec<u8>)| {
        edit_state(house, |txn| {
            let mut table = txn.open_table(HASHES).unwrap();
            let mut row = table.get((0, group)).unwrap().unwrap().value().to_vec();
            change(&mut row);
            table.insert((0, group), row.as_slice()).unwrap();
        });
    };
    // As a build without checksums of rows wrote it.
    edit(&mut house, 2, |row| row.truncate(row.len() - 9));
    assert_eq!([pass(&house.engine).sums_added, pass(&house.engine).sums_added], [1, 0]);
    edit(&mut house, 3, |row| row[100] ^= 8);
    for _ in 0..2 {
        let report = pass(&house.engine);
        assert_eq!((report.damaged_rows, report.damaged, report.findings.len()), (1, 0, 1));
        let found = &report.findings[0];
        assert!(found.what.starts_with("hashes-0: ") && found.leaf.is_none(), "{found:?}");
        assert_eq!(found.tree.as_deref(), Some("t"));
    }
    let told = |event: &&Event| matches!(event, Event::CorruptionFound { what, .. } if what.starts_with("hashes-0: "));
    assert_eq!(house.events.lock().iter().filter(told).count(), 1);
    assert_eq!(house.engine.stats().scrub.damaged_this_boot, 1);
}

#[test]
fn a_store_without_checksums_gets_them_and_then_damage_is_found() {
    for way in all_ways() {
        let mut house = House::in_memory(8);
        let data = content(way.0, 75, 8);
        give(&house, way, &data).unwrap();
        house.drop_sums();
        let report = pass(&house.engine);
        assert!(report.is_clean() && report.sums_added == 75, "{way:?}: {report:?}");
        assert_eq!(house.block_rows().1, 5, "{way:?}");
        house.checked();
        assert_eq!(pass(&house.engine).sums_added, 0, "{way:?}");
        assert_eq!(give(&house, way, &data).unwrap(), Ingested::Unchanged, "{way:?}");
        damage(&mut house, way, &data, LEAF);
        assert_eq!(leaves(&pass(&house.engine)), [LEAF as u64], "{way:?}");
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        house.engine.sweep().unwrap();
        drain(&house, &data);
        house.assert_right("t", &data);
    }
}

#[test]
fn bytes_that_do_not_hash_to_what_the_server_knows_get_no_checksum_until_they_are_mended() {
    for way in all_ways().into_iter().filter(|(strategy, from)| knows_answers(*strategy) && *from != From::File) {
        let mut house = House::in_memory(9);
        let data = content(way.0, 75, 9);
        give(&house, way, &data).unwrap();
        house.drop_sums();
        damage(&mut house, way, &data, LEAF);
        let report = pass(&house.engine);
        assert_eq!((leaves(&report), report.sums_added), (vec![LEAF as u64], 75 - 16), "{way:?}");
        assert!(report.findings[0].what.contains("does not hash to the stored answer"), "{report:?}");
        give(&house, way, &data).unwrap();
        assert_eq!(pass(&house.engine).sums_added, 16, "{way:?}");
        house.engine.sweep().unwrap();
        completes(&mut house, &data);
    }
}

#[test]
fn a_tree_with_some_of_its_new_checksums_is_sound_and_takes_the_same_content() {
    for from in [From::Bytes, From::File] {
        let mut house = House::in_memory(10);
        let data = content(AUDIT, 200, 10);
        give(&house, (AUDIT, from), &data).unwrap();
        house.drop_sums();
        step(&house, 80 * BLOCK as u64);
        house.clock.advance(MINUTES);
        let report = step(&house, 25 * BLOCK as u64);
        assert_eq!((report.sums_added, report.pass_ended), (96, false), "whole groups of 105 leaves");
        house.power_cut();
        assert_eq!(house.block_rows().1, 6);
        house.checked();
        let again = options(AUDIT).by_reference(from == From::File);
        if from == From::File {
            // A file that is written again would be another one.
            assert_eq!(house.ingest_paths(&again, &[&house.path("in")]).unwrap().unchanged, 1);
        } else {
            assert_eq!(give(&house, (AUDIT, from), &data).unwrap(), Ingested::Unchanged);
        }
        assert!(pass(&house.engine).is_clean());
        assert_eq!(house.block_rows().1, 13);
        house.checked();
        drain(&house, &data);
        house.assert_right("t", &data);
    }
}

#[test]
fn passes_beside_answers_ingest_and_forget_find_nothing_and_disturb_nothing() {
    let house = House::with(audited(11));
    house.engine.ingest_bytes(&options(PAIR), "stays", &blocks(300, 11).concat()).unwrap();
    let over = AtomicBool::new(false);
    let reports: Vec<ScrubReport> = std::thread::scope(|threads| {
        let scrubbing = threads.spawn(|| {
            let mut reports = Vec::new();
            while !over.load(Ordering::SeqCst) || reports.len() < 3 {
                reports.push(pass(&house.engine));
            }
            reports
        });
        for turn in 0..20 {
            let name = format!("tree-{turn}");
            house.engine.ingest_bytes(&cut(), &name, &pattern(BLOCK * 200, turn)).unwrap();
            house.engine.ingest_bytes(&options(AUDIT), &format!("audited-{turn}"), &pattern(BLOCK * 90, turn)).unwrap();
            if turn % 3 == 0 {
                house.engine.forget(&name).unwrap();
            } else {
                work_off(&house.engine, b"client", DifficultyTier::High);
            }
            house.engine.upkeep().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        scrubbing.join().unwrap()
    });
    for report in reports {
        assert!(report.is_clean(), "{:?}", report.findings);
    }
    let is = |event: &&Event| matches!(event, Event::CorruptionFound { .. } | Event::SourceChanged { .. });
    assert_eq!(house.events.lock().iter().filter(is).count(), 0);
}

#[test]
fn one_full_pass_at_a_time_and_none_of_an_engine_that_only_reads_or_is_closed() {
    let house = House::in_directory(audited(12));
    house.engine.ingest_bytes(&cut(), "a", &pattern(BLOCK * 40, 1)).unwrap();
    let mut asked = 0;
    let report = house.engine.scrub_all(&mut |_| {
        asked += 1;
        assert!(matches!(house.engine.scrub(ScrubBudget::bytes(1)), Err(ScrubError::Busy)));
        assert!(matches!(house.engine.scrub_all(&mut |_| ControlFlow::Break(())), Err(ScrubError::Busy)));
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().pass_ended && asked > 0);
    house.engine.scrub(ScrubBudget::bytes(1)).unwrap();
    house.engine.close();
    assert!(matches!(house.engine.scrub(ScrubBudget::bytes(1)), Err(ScrubError::Write(WriteError::Closed))));
    let reader = PouwEngine::open_read_only(house.store()).unwrap();
    assert!(matches!(reader.scrub(ScrubBudget::bytes(1)), Err(ScrubError::Write(WriteError::ReadOnly))));
    assert!(reader.stats().scrub.last_full_pass.is_some() && reader.stats().threads.len() < 3);
}

#[test]
fn a_disk_that_cannot_be_read_ends_each_pass_and_a_page_that_redb_gives_up_on_is_passed_over() {
    let base = House::in_memory(13);
    let data = content(AUDIT, 75, 13);
    give(&base, (AUDIT, From::Bytes), &data).unwrap();
    base.engine.close();
    let armed = Arc::new(AtomicBool::new(false));
    let trap = armed.clone();
    let storage = Hooked::new(Arc::new(copy(&base.disk)), move |access| {
        assert!(access != Access::Read(StoreFile::Blocks) || !trap.load(Ordering::SeqCst), "a damaged page");
    });
    let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
    let engine = open(parts(Arc::new(storage), &clock()).options(options), audited(13));
    armed.store(true, Ordering::SeqCst);
    let report = pass(&engine);
    assert_eq!((report.damaged, report.leaves, report.damaged_rows), (75, 75, 1), "{report:?}");
    armed.store(false, Ordering::SeqCst);
    assert!(pass(&engine).is_clean() && engine.failure().is_none());

    let disk = copy(&base.disk);
    let engine = open(parts(Arc::new(disk.clone()), &clock()).options(options), audited(13));
    disk.fail_io(1, true);
    for _ in 0..5 {
        assert!(engine.scrub(ScrubBudget::bytes(1 << 20)).is_err());
    }
    assert!(engine.scrub_all(&mut |_| ControlFlow::Continue(())).is_err());
    disk.heal();
    until(|| engine.sweep().is_ok());
    assert!(pass(&engine).is_clean());
}
