//! Pages of the state file that cannot be read: scrubbing reads what is behind them.

use std::sync::Arc;

use super::rot::AUDIT;
use super::scrub::pass;
use crate::support::clients::{audited, blocks, options};
use crate::support::disk::{PAGE, Rotting};
use crate::support::house::{House, clock, open, parts};
use crate::support::work::{BLOCK, cut, pattern};
use pouw::{PouwEngine, ScrubReport, StoreFile, StoreOptions};

/// The pages of the state file that hold these bytes.
fn pages(state: &[u8], needle: &[u8]) -> Vec<u64> {
    let at = state.windows(needle.len()).enumerate().filter(|(_, found)| *found == needle);
    let mut pages: Vec<u64> = at.map(|(at, _)| at as u64 / PAGE).collect();
    pages.dedup();
    pages
}

/// A sound pass over the store of a house, and one with each of these pages damaged.
fn passes(house: House, needle: &[u8]) -> (ScrubReport, Vec<ScrubReport>) {
    house.engine.close();
    let disk = house.disk.clone();
    let rotting = Rotting::new(Arc::new(disk.clone()));
    let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
    let engine: PouwEngine = open(parts(Arc::new(rotting.clone()), &clock()).options(options), audited(1));
    let sound = pass(&engine);
    assert!(sound.is_clean() && sound.passed_over == 0);
    let reports = pages(&disk.bytes(StoreFile::State), needle).into_iter().map(|page| {
        rotting.rot(StoreFile::State, page);
        let report = pass(&engine);
        rotting.heal();
        report
    });
    let reports: Vec<ScrubReport> = reports.filter(|report| report.passed_over > 0).collect();
    assert!(pass(&engine).is_clean() && !reports.is_empty());
    assert_eq!(engine.stats().scrub.last_full_pass_passed_over, 0);
    (sound, reports)
}

#[test]
fn the_rows_behind_a_page_that_cannot_be_read_are_verified() {
    let house = House::in_memory(1);
    let data = blocks(1_000, 1);
    house.engine.ingest_bytes(&cut(), "t", &data.concat()).unwrap();
    let hash = pouw::hash::sha3_512(&data[500]);
    let (sound, reports) = passes(house, hash.as_bytes());
    for report in reports {
        assert!(report.damaged_rows >= 1 && report.rows + 8 >= sound.rows, "{report:?} of {sound:?}");
    }
}

#[test]
fn the_data_of_trees_behind_a_page_that_cannot_be_read_is_compared() {
    let house = House::in_memory(2);
    for tree in 0..200 {
        let more = &options(AUDIT);
        house.engine.ingest_bytes(more, &format!("name-{tree:04}"), &pattern(BLOCK * 2, tree)).unwrap();
    }
    let (sound, reports) = passes(house, b"name-0100");
    for report in reports {
        assert!(
            report.leaves + 80 >= sound.leaves && report.rows + 260 >= sound.rows && report.damaged_rows < 9,
            "{report:?} of {sound:?}"
        );
    }
}
