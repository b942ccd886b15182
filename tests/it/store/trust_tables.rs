//! A store of the build before there were ways to verify: it opens, is clean, and gets the tables.

use crate::support::clients::{apart, blocks, wrong};
use crate::support::house::House;
use crate::support::store_plant::{
    CLAIMS, CONSUMED, DAMAGED, DOUBTED, FOLLOWED, META, PROVENANCE, QUORUMS, STANDINGS, SUSPECTS, plant,
};
use pouw::internal::store::VOTED;
use pouw::{PouwEngine, Strategy};
use redb::{Database, ReadableDatabase, ReadableTable, TableHandle};

const LATER: [&str; 8] =
    ["provenance-0", "claims-0", "quorums-0", "suspects-0", "followed-0", "doubted-0", "damaged-0", "standings-0"];

fn tables(house: &House) -> Vec<String> {
    let database = Database::open(house.store().join("state.redb")).unwrap();
    let txn = database.begin_read().unwrap();
    txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect()
}

#[test]
fn a_store_from_before_these_tables_opens_is_clean_and_gets_them() {
    let mut house = House::new();
    let old = blocks(70, 1);
    house.ingest(Strategy::Precomputed, "old", &old);
    house.work(apart(1), |_| {}).unwrap().unwrap();
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        assert!(txn.delete_table(PROVENANCE).unwrap() && txn.delete_table(CLAIMS).unwrap());
        assert!(txn.delete_table(QUORUMS).unwrap() && txn.delete_table(SUSPECTS).unwrap());
        assert!(txn.delete_table(DOUBTED).unwrap() && txn.delete_table(DAMAGED).unwrap());
        assert!(txn.delete_table(STANDINGS).unwrap() && txn.delete_table(FOLLOWED).unwrap());
        assert!(txn.open_table(META).unwrap().remove("account").unwrap().is_some());
    });
    assert!(tables(&house).iter().all(|table| !LATER.contains(&table.as_str())));
    let report = PouwEngine::check_store(house.store(), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.claims, report.quorums, report.damaged), (0, 0, 0));
    house.checked();
    assert!(house.engine.stats().account.is_empty());
    let tree = house.engine.tree("old").unwrap();
    assert_eq!((tree.pending, tree.strategy, tree.provenance.weak()), (38, Strategy::Precomputed, 0));
    house.drain(apart(2)..apart(2) + 1);
    house.assert_right("old", &old);
    // And it takes the new ways, lies included.
    let new = blocks(70, 2);
    house.ingest(Strategy::SampledAudit { k: 2 }, "new", &new);
    while !matches!(house.work(apart(3), |leaves| leaves[0] = wrong(&leaves[0])), Some(Ok(_))) {}
    house.drain(apart(2)..apart(2) + 1);
    house.ingest(Strategy::Redundant { quorum: 2 }, "votes", &new);
    house.work(apart(1), |_| {}).unwrap().unwrap();
    house.checked();
    house.assert_right("new", &new);
    for who in [4, 5] {
        while let Some(verdict) = house.work(apart(who), |_| {}) {
            verdict.unwrap();
        }
    }
    house.settle();
    house.assert_right("votes", &new);
    house.checked();
    house.engine.close();
    assert!(LATER.iter().all(|later| tables(&house).iter().any(|table| table == later)));
}

#[test]
fn a_token_of_a_vote_is_used_up_under_a_number_of_its_own() {
    let house = House::new();
    house.ingest(Strategy::Redundant { quorum: 2 }, "t", &blocks(32, 3));
    let vote = house.work(apart(1), |_| {}).unwrap().unwrap();
    house.engine.close();
    let consumed = || {
        let database = Database::open(house.store().join("state.redb")).unwrap();
        let txn = database.begin_read().unwrap();
        let table = txn.open_table(CONSUMED).unwrap();
        let rows = table.iter().unwrap().map(|entry| entry.unwrap());
        rows.map(|(key, seq)| (key.value().1, seq.value())).collect::<Vec<_>>()
    };
    assert_eq!(consumed(), [(*vote.id.as_bytes(), VOTED)]);
}
