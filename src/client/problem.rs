//! Reading a refusal: its problem document, the unit in it, `Retry-After`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::limits::MAX_UNIT_JSON_BYTES;
use crate::protocol::{Malformed, Reason, WorkUnit};

use super::InvalidUnit;

/// Most bytes of a 429 with a challenge: the longest unit and some more.
pub(super) const CHALLENGE_BYTES_MAX: usize = MAX_UNIT_JSON_BYTES + REFUSAL_BYTES_MAX;
/// Most bytes of a refusal without one.
pub(super) const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A problem document (RFC 9457). Unknown members are skipped.
#[derive(Debug, Deserialize)]
pub(super) struct Problem<'b> {
    reason: Option<String>,
    detail: Option<String>,
    #[serde(borrow, rename = "workUnit")]
    unit: Option<&'b RawValue>,
}

impl<'b> Problem<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(bytes)
            .map_err(|error| Malformed::new("(document)", "a problem document (RFC 9457)", error.to_string()))
    }

    /// The reason, if it is one of this protocol.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason.as_deref()?.parse().ok()
    }

    /// The explanation, shortened and safe for a terminal.
    pub(super) fn detail(&self) -> String {
        let detail = self.detail.as_deref().unwrap_or_default();
        detail.chars().take(DETAIL_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
    }

    /// The unit as JSON.
    pub(super) fn unit(&self) -> Option<&'b [u8]> {
        self.unit.map(|unit| unit.get().as_bytes())
    }
}

/// True for the media type of a problem document, with or without parameters.
pub(super) fn is_problem(content_type: Option<&str>) -> bool {
    let media = content_type.and_then(|value| value.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/problem+json"))
}

/// Reads a unit, and checks that it is valid and has the token of the header.
pub(super) fn read_unit(json: &[u8], token: &str) -> Result<WorkUnit, InvalidUnit> {
    let unit = WorkUnit::from_json(json)?;
    unit.validate()?;
    if unit.challenge_token != token {
        let expected = "the token of the header X-PoUW-Challenge";
        return Err(Malformed::new("challengeToken", expected, "another token").into());
    }
    // It is sent in a header as it is.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) || token.is_empty() {
        return Err(Malformed::new("challengeToken", "visible ASCII characters only", "others").into());
    }
    if unit.wait_ms >= unit.ttl_ms {
        let expected = format!("less than ttlMs, {}", unit.ttl_ms);
        return Err(Malformed::new("waitMs", expected, unit.wait_ms.to_string()).into());
    }
    Ok(unit)
}

/// Reads `Retry-After` in seconds. A date is ignored, since clocks are never compared.
pub(super) fn whole_seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

const DETAIL_CHARS_MAX: usize = 300;
