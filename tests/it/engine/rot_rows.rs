//! Rows about content that are damaged, hashes and checksums: the same content given again mends them.

use std::ops::ControlFlow;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, options};
use crate::support::house::House;
use crate::support::store_plant::{HASHES, SUMS, plant};
use pouw::hash::sha3_512;
use pouw::{Event, IngestError, Ingested, Provenance, Strategy, TreeState};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const ALL: [Strategy; 4] = [Strategy::Precomputed, Strategy::KnownAddress, AUDIT, PAIR];

fn house() -> House {
    House::in_directory(audited(3))
}

/// Ingests the blocks, in the store or from a file for each.
fn give(house: &House, strategy: Strategy, from_files: bool, data: &[Vec<u8>]) -> Result<Ingested, IngestError> {
    if !from_files {
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        if strategy == Strategy::KnownAddress {
            let given: Vec<_> = slices.iter().map(|block| (sha3_512(block), *block)).collect();
            return house.engine.ingest_known_blocks(&options(strategy), "t", &given);
        }
        return house.engine.ingest_blocks(&options(strategy), "t", &slices);
    }
    for (leaf, block) in data.iter().enumerate() {
        let name = match strategy {
            Strategy::KnownAddress => sha3_512(block).to_hex(),
            _ => format!("{leaf:03}"),
        };
        if !house.path(&format!("in/{name}")).exists() {
            house.write(&format!("in/{name}"), block);
        }
    }
    let options = options(strategy).by_reference(true).layout(pouw::IngestLayout::Blocks).tree("t");
    let report = house.engine.ingest_paths(&options, &[house.path("in")], &mut |_| ControlFlow::Continue(()))?;
    match (report.added, report.unchanged, report.repaired) {
        (1, ..) => Ok(Ingested::Added),
        (_, _, 1..) => Ok(Ingested::Repaired),
        (_, 1, _) => Ok(Ingested::Unchanged),
        _ => Err(IngestError::Conflict { name: "t".into() }),
    }
}

fn content(strategy: Strategy) -> Vec<Vec<u8>> {
    let mut data = blocks(75, 1);
    if strategy == Strategy::KnownAddress {
        data.sort_by_key(|block| sha3_512(block));
    }
    data
}

/// Clients work off what there is, up to `units` units.
fn drain(house: &House, units: usize) {
    let mut done = 0;
    for who in (1..40).map(apart) {
        while done < units
            && let Some(issued) = house.issue(who, HIGH)
        {
            // A unit whose row is damaged is withdrawn.
            let _ = house.submit(who, &answer(&issued, |_| {}));
            done += 1;
        }
        // What was kept back is looked at.
        house.engine.sweep().unwrap();
        house.settle();
    }
}

fn spoil(house: &mut House, file: &str, sums: bool, group: u64) {
    house.engine.close();
    plant(&house.store().join(file), |txn| {
        let mut table = txn.open_table(if sums { SUMS } else { HASHES }).unwrap();
        assert!(table.insert((0, group), &b"no row"[..]).unwrap().is_some());
    });
    house.reopen();
}

#[test]
fn a_damaged_row_of_checksums_is_written_again_by_the_same_content() {
    for strategy in ALL {
        for from_files in [false, true] {
            let mut house = house();
            let data = content(strategy);
            assert_eq!(give(&house, strategy, from_files, &data).unwrap(), Ingested::Added);
            spoil(&mut house, "blocks.redb", true, 2);
            house.settle();
            let mut other = data.clone();
            other[40][0] ^= 1;
            if !from_files && strategy != Strategy::KnownAddress {
                assert!(matches!(give(&house, strategy, false, &other), Err(IngestError::Conflict { .. })));
            }
            assert_eq!(
                give(&house, strategy, from_files, &data).unwrap(),
                Ingested::Repaired,
                "{strategy} {from_files}"
            );
            house.checked();
            assert_eq!(
                give(&house, strategy, from_files, &data).unwrap(),
                Ingested::Unchanged,
                "{strategy} {from_files}"
            );
            drain(&house, usize::MAX);
            assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete, "{strategy} {from_files}");
            house.checked();
        }
    }
}

#[test]
fn a_damaged_row_of_hashes_is_written_again_by_the_same_content_whatever_the_strategy() {
    for strategy in ALL {
        for from_files in [false, true] {
            for units in [0, 2, usize::MAX] {
                let case = format!("{strategy} {from_files} {units}");
                let mut house = house();
                let data = content(strategy);
                give(&house, strategy, from_files, &data).unwrap();
                drain(&house, units);
                let complete = house.engine.tree("t").unwrap().state == TreeState::Complete;
                assert_eq!(complete, units == usize::MAX, "{case}");
                spoil(&mut house, "state.redb", false, 1);
                drain(&house, usize::MAX);
                assert_eq!(give(&house, strategy, from_files, &data).unwrap(), Ingested::Repaired, "{case}");
                drain(&house, usize::MAX);
                assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete, "{case}");
                house.assert_right("t", &data);
                house.checked();
                assert_eq!(give(&house, strategy, from_files, &data).unwrap(), Ingested::Unchanged, "{case}");
            }
        }
    }
}

/// The hashes that clients had brought are gone; those of the server count from now on.
#[test]
fn leaves_that_the_server_hashed_again_are_verified() {
    let mut house = house();
    let data = content(AUDIT);
    give(&house, AUDIT, false, &data).unwrap();
    drain(&house, 2);
    let before = house.engine.tree("t").unwrap().provenance;
    spoil(&mut house, "state.redb", false, 1);
    assert_eq!(give(&house, AUDIT, false, &data).unwrap(), Ingested::Repaired);
    house.settle();
    let state = |leaf| house.engine.provenance("t", pouw::merkle::LeafIndex(leaf)).unwrap();
    assert!((16..32).all(|leaf| state(leaf) == Some(Provenance::Verified)), "{before:?}");
    assert!(!house.events.lock().iter().any(|event| matches!(event, Event::LeafCorrected { .. })));
    house.checked();
}

/// Its data may be half removed, so it stays complete, and the removal goes on.
#[test]
fn a_released_tree_stays_complete_when_a_row_of_hashes_is_written_again() {
    for (strategy, removed) in [(AUDIT, false), (AUDIT, true), (PAIR, false)] {
        let mut house = house();
        let data = content(strategy);
        give(&house, strategy, false, &data).unwrap();
        drain(&house, usize::MAX);
        assert!(house.engine.tree("t").unwrap().provenance.weak() > 0);
        house.engine.release("t").unwrap();
        while removed && house.engine.upkeep().unwrap().removed > 0 {}
        spoil(&mut house, "state.redb", false, 1);
        assert_eq!(give(&house, strategy, false, &data).unwrap(), Ingested::Repaired);
        assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete);
        house.checked();
        while house.engine.upkeep().unwrap().removed > 0 {}
        house.settle();
        house.engine.release("t").unwrap();
        house.checked();
        assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete);
        assert_eq!(give(&house, strategy, false, &data).unwrap(), Ingested::Unchanged);
    }
}
