//! Tables of the state file that the first build had: a store without one is damaged.

use crate::support::house::{House, config};
use crate::support::store_plant::{HASHES, LEDGER, Planted, plant};
use crate::support::work::cut;
use pouw::PouwEngine;

#[test]
fn a_store_that_lost_a_table_is_refused_and_gets_no_empty_one() {
    let lost = |name: &'static str, lose: fn(&Planted)| {
        let house = House::in_directory(config());
        house.engine.ingest_bytes(&cut(), "t", &[1; 512]).unwrap();
        house.engine.close();
        plant(&house.store().join("state.redb"), lose);
        for _ in 0..2 {
            let refused = PouwEngine::open(house.store(), config().build().unwrap());
            let error = refused.err().unwrap().to_string();
            assert!(error.contains(&format!("state.redb is damaged: table {name} is missing")), "{error}");
            let read = PouwEngine::open_read_only(house.store());
            assert!(read.is_err_and(|error| error.to_string().contains(name)));
        }
    };
    lost("hashes-0", |txn| assert!(txn.delete_table(HASHES).unwrap()));
    lost("ledger-0", |txn| assert!(txn.delete_table(LEDGER).unwrap()));
}
