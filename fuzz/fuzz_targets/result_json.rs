//! Reading a result, as JSON and in compact form: no bytes panic, and what reads survives both forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pouw::protocol::{WorkId, WorkResult};

fuzz_target!(|data: &[u8]| {
    if let Ok(result) = WorkResult::from_json(data) {
        survives(&result);
    }
    if let Ok(result) = WorkResult::from_json_beside(data, "token", WorkId::from_bytes([7; 16])) {
        survives(&result);
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(result) = WorkResult::from_compact(text, "token")
    {
        assert_eq!(result.to_compact(), text);
        survives(&result);
    }
});

fn survives(result: &WorkResult) {
    let json = WorkResult::from_json(result.to_json().as_bytes());
    assert_eq!(json.as_ref(), Ok(result));
    let compact = WorkResult::from_compact(&result.to_compact(), &result.challenge_token);
    assert_eq!(compact.as_ref(), Ok(result));
}
