//! Damaged rows that scrubbing finds, and what is left for the checksums of older stores.

use std::time::Duration;

use super::rot::{AUDIT, From, LEAF, content, give};
use super::scrub::{edit_state, pass};
use crate::support::clients::{audited, blocks, options};
use crate::support::house::House;
use crate::support::store_plant::{BLOCKS, HASHES, ReadableTable, SUMS, TREES};
use crate::support::work::BLOCK;
use pouw::internal::store::check;
use pouw::{Event, ScrubBudget, ScrubPosition, Strategy};

/// Changes one bit of rows of `hashes-0`.
fn flip(house: &mut House, groups: &[u64]) {
    edit_state(house, |txn| {
        let mut table = txn.open_table(HASHES).unwrap();
        for group in groups {
            let mut row = table.get((0, *group)).unwrap().unwrap().value().to_vec();
            row[100] ^= 8;
            table.insert((0, *group), row.as_slice()).unwrap();
        }
    });
}

#[test]
fn each_damaged_row_of_a_table_is_named_by_its_key_and_is_one_event() {
    let mut house = House::in_directory(audited(1));
    house.engine.ingest_bytes(&options(AUDIT), "t", &blocks(75, 1).concat()).unwrap();
    flip(&mut house, &[1, 3, 4]);
    for _ in 0..2 {
        let report = pass(&house.engine);
        let what: Vec<&str> = report.findings.iter().map(|found| &*found.what).collect();
        let told = |group| format!("hashes-0: row (0, {group}): it does not match its own checksum");
        assert_eq!((report.damaged_rows, what), (3, vec![&*told(1), &*told(3), &*told(4)]));
    }
    let told = |event: &&Event| matches!(event, Event::CorruptionFound { what, .. } if what.starts_with("hashes-0: "));
    assert_eq!(house.events.lock().iter().filter(told).count(), 3);
    assert_eq!(house.engine.stats().scrub.damaged_this_boot, 3);
}

#[test]
fn a_damaged_key_of_a_tree_ends_no_pass_however_high_it_is() {
    let mut house = House::in_directory(audited(2));
    house.engine.ingest_bytes(&options(AUDIT), "t", &blocks(75, 2).concat()).unwrap();
    edit_state(&mut house, |txn| {
        txn.open_table(TREES).unwrap().insert(u64::MAX, [7; 20].as_slice()).unwrap();
    });
    let report = pass(&house.engine);
    assert_eq!((report.leaves, report.damaged, report.damaged_rows), (75, 0, 1), "{report:?}");
    assert!(report.findings[0].what.starts_with("trees-0: row 18446744073709551615: "), "{report:?}");
}

/// What the check says of checksums of the closed store.
fn lacking(house: &mut House) -> Vec<String> {
    house.engine.close();
    let report = check(house.storage(), &mut |_| {}).unwrap();
    house.reopen();
    assert!(report.leaves > 0, "{:?}", report.findings);
    report.findings.into_iter().map(|found| found.what).filter(|what| what.starts_with("sums-0 lacks")).collect()
}

#[test]
fn a_group_that_began_and_cannot_be_summed_holds_up_no_progress() {
    let mut house = House::in_memory(3);
    let data = content(Strategy::Precomputed, 300, 3);
    give(&house, (Strategy::Precomputed, From::Bytes), &data).unwrap();
    house.drop_sums();
    house.edit_blocks(|txn| drop(txn.open_table(BLOCKS).unwrap().remove((0, 1)).unwrap()));
    // Leaf 127 is missing, the last one of a group. What waits is written.
    house.clock.advance(Duration::from_secs(600));
    house.engine.scrub(ScrubBudget::bytes(240 * BLOCK as u64)).unwrap();
    let stats = house.engine.stats().scrub;
    assert!(stats.pass_found > 0 && stats.last_full_pass_found == 0, "{stats:?}");
    let at = stats.position;
    assert!(matches!(at, ScrubPosition::Data { leaf, .. } if leaf.0 > 128), "{at:?}");
    while !house.engine.scrub(ScrubBudget::bytes(1 << 20)).unwrap().pass_ended {}
    assert!(lacking(&mut house).is_empty());
}

#[test]
fn the_check_says_nothing_of_groups_that_scrubbing_left_out_until_they_have_checksums() {
    const WAY: (Strategy, From) = (Strategy::Precomputed, From::Bytes);
    let mut house = House::in_memory(4);
    let data = content(WAY.0, 75, 4);
    give(&house, WAY, &data).unwrap();
    house.drop_sums();
    house.edit_chunk(0, |bytes| bytes[BLOCK * LEAF] ^= 1);
    assert_eq!(pass(&house.engine).sums_added, 75 - 16);
    assert!(lacking(&mut house).is_empty(), "after the pass");
    house.engine.scrub(ScrubBudget::bytes(60 * BLOCK as u64)).unwrap();
    assert!(lacking(&mut house).is_empty(), "during the next one");
    give(&house, WAY, &data).unwrap();
    assert_eq!(pass(&house.engine).sums_added, 16);
    house.edit_blocks(|txn| drop(txn.open_table(SUMS).unwrap().remove((0, 3)).unwrap()));
    assert_eq!(lacking(&mut house).len(), 1, "that row was lost");
}
