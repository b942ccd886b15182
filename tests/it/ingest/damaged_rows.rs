//! A damaged row of one tree: the files of the others are ingested, and their damage is mended.

use crate::support::clients::{apart, audited, blocks, options};
use crate::support::house::House;
use crate::support::store_plant::{BLOCKS, NAMES, PROVENANCE, Planted, ReadableTable, TILES, TREES, plant};
use pouw::{IngestOptions, IngestReport, Strategy};

/// A table, and what happens to a row of it.
type Damage<'d> = (&'static str, &'d dyn Fn(&Planted));

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };

fn given() -> IngestOptions {
    options(AUDIT).block_size(512)
}

fn content(number: u64) -> Vec<u8> {
    blocks(70, number).concat()
}

fn ingest(house: &House) -> IngestReport {
    house.ingest_paths(&given(), &[&house.path("in")]).unwrap()
}

fn with_damage(damage: impl FnOnce(&Planted)) -> House {
    let mut house = House::in_directory(audited(3));
    for number in 0..4 {
        house.write(&format!("in/{number}"), &content(number));
    }
    assert_eq!(ingest(&house).added, 4);
    for who in [1, 2].map(apart) {
        house.work(who, |_| {}).unwrap().unwrap();
    }
    house.engine.close();
    // Two leaves of each tree are damaged.
    plant(&house.store().join("blocks.redb"), |txn| {
        let mut blocks = txn.open_table(BLOCKS).unwrap();
        for tree in 0..4 {
            let mut chunk = blocks.get((tree, 0)).unwrap().unwrap().value().to_vec();
            chunk[68 * 512] ^= 1;
            chunk[69 * 512] ^= 1;
            blocks.insert((tree, 0), &chunk[..]).unwrap();
        }
    });
    house.reopen();
    house.engine.scrub(pouw::ScrubBudget::bytes(1 << 30)).unwrap();
    house.settle();
    let damaged = |number: u64| house.engine.tree(&number.to_string()).unwrap().provenance.damaged;
    assert_eq!((0..4).map(damaged).collect::<Vec<_>>(), [2; 4]);
    house.engine.close();
    plant(&house.store().join("state.redb"), damage);
    house.reopen();
    house.write("in/9", &content(9));
    house
}

#[test]
fn a_damaged_row_of_one_tree_does_not_end_the_ingest_of_the_others() {
    let no_row = &b"no row"[..];
    let damages: [Damage<'_>; 4] = [
        ("trees-0", &|txn| drop(txn.open_table(TREES).unwrap().insert(1, no_row).unwrap())),
        ("names-0", &|txn| drop(txn.open_table(NAMES).unwrap().insert("1", 3).unwrap())),
        ("tiles-0", &|txn| drop(txn.open_table(TILES).unwrap().insert((1, 2), no_row).unwrap())),
        ("provenance-0", &|txn| drop(txn.open_table(PROVENANCE).unwrap().insert(1, no_row).unwrap())),
    ];
    for (table, damage) in damages {
        let house = with_damage(damage);
        if table == "provenance-0" {
            // Counted by the states of the leaves.
            let trees = house.engine.trees(None, 9).unwrap();
            assert_eq!(trees.iter().map(|tree| tree.provenance.damaged).collect::<Vec<_>>(), [2; 4]);
            assert_eq!(house.engine.tree("1").unwrap(), trees[1]);
        }
        let report = ingest(&house);
        let mended = table == "provenance-0";
        assert_eq!(report.damaged_trees, u64::from(!mended), "{table}: {report:?}");
        assert_eq!((report.added, report.unchanged), (1, 3 + u64::from(mended)), "{table}: {report:?}");
        assert_eq!(report.repaired, 6 + 2 * u64::from(mended), "{table}: {report:?}");
        assert_eq!((report.is_clean(), report.conflicts), (mended, 0));
        if !mended {
            assert_eq!(report.problems.len(), 1, "{report:?}");
            assert!(report.problems[0].what == "1" && report.problems[0].why.contains(table), "{report:?}");
        }
        let again = ingest(&house);
        assert_eq!((again.unchanged, again.repaired), (4 + u64::from(mended), 0), "{table}: {again:?}");
    }
}
