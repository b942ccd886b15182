//! Reading a unit: no bytes panic, what reads survives a round trip, and what adds up can be solved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pouw::protocol::WorkUnit;
use pouw::solver::compute_work_unit;

fuzz_target!(|data: &[u8]| {
    let unit = match WorkUnit::from_json(data) {
        Ok(unit) => unit,
        Err(error) => {
            let shown = error.to_string();
            assert!(!error.member().is_empty() && shown.len() < 400, "{shown}");
            return;
        }
    };
    assert_eq!(WorkUnit::from_json(unit.to_json().as_bytes()), Ok(unit.clone()));
    let leaves = unit.leaves().count();
    if unit.validate().is_ok() {
        let result = compute_work_unit(&unit).expect("it adds up");
        assert_eq!(result.check_shape(leaves, unit.operation), Ok(()));
    }
});
