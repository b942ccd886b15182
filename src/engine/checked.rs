//! The checks of one setting, and the error of a rejected one.

use std::time::Duration;

/// A rejected setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}: {rule}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the setting.
    pub field: &'static str,
    /// The value given (never a secret, only its length).
    pub value: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Largest number of milliseconds the engine reckons with.
pub(crate) const MS_MAX: u128 = u64::MAX as u128;
pub(crate) const POSITIVE: &str = "it must be from 1 ms to 2^64 - 1 ms";

/// The milliseconds of a setting that has been checked.
#[inline]
pub(crate) fn whole_ms(time: Duration) -> u64 {
    // Not by `as_millis`: its 128 bits are felt in each decision of a gate.
    time.as_secs().saturating_mul(1_000).saturating_add(u64::from(time.subsec_millis()))
}

/// Checks a time. It must be whole milliseconds, and within `allowed_ms`.
pub(crate) fn check_time(
    field: &'static str,
    time: Duration,
    allowed_ms: std::ops::RangeInclusive<u128>,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if !time.subsec_nanos().is_multiple_of(1_000_000) {
        let rule = "it must be a whole number of milliseconds";
        return Err(ConfigError { field, value: format!("{} ns", time.as_nanos()), rule });
    }
    check(field, format!("{} ms", time.as_millis()), allowed_ms.contains(&time.as_millis()), rule)
}

pub(crate) fn check(
    field: &'static str,
    value: impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), rule }) }
}
