//! Interior nodes from clients, of trees with a damaged row.

use crate::support::house::{House, config};
use crate::support::store_plant::{HASHES, plant};
use crate::support::work::{answer_right, cut, pattern};
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::{Event, IssueError, IssueRequest, TreeState};

#[test]
fn a_damaged_row_keeps_its_own_tree_back_with_one_event_and_the_others_are_folded() {
    let mut house = House::in_directory(config().interior_units(true));
    for (name, salt) in [("damaged", 1), ("sound", 2)] {
        house.engine.ingest_bytes(&cut(), name, &pattern(512 * 100, salt)).unwrap();
    }
    // The leaves only: no node is issued before the next upkeep.
    house.engine.upkeep().unwrap();
    while let Ok(issued) = house.engine.issue(&IssueRequest::new(b"client", High)) {
        answer_right(&house.engine, b"client", &issued.unit).unwrap();
    }
    let folding = |house: &House, name| house.engine.tree(name).unwrap().state == TreeState::Folding;
    house.engine.upkeep().unwrap();
    assert!(folding(&house, "damaged") && folding(&house, "sound"));
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| drop(txn.open_table(HASHES).unwrap().remove((0, 0)).unwrap()));
    house.reopen();
    for _ in 0..100 {
        house.engine.upkeep().unwrap();
        // Nodes are for clients of this tier.
        match house.engine.issue(&IssueRequest::new(b"client", Low)) {
            Ok(issued) => drop(answer_right(&house.engine, b"client", &issued.unit).unwrap()),
            Err(IssueError::NoWork) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(house.engine.tree("sound").unwrap().state, TreeState::Complete);
    assert!(folding(&house, "damaged"));
    let is = |event: &&Event| matches!(event, Event::CorruptionFound { .. } | Event::StorageFailed { .. });
    assert_eq!(house.events.lock().iter().filter(is).count(), 1, "{:?}", house.events.lock());
}
