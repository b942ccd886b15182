//! The table of the settings of a builder, the checks of one setting, and the error of a rejected
//! one.

use std::ops::RangeBounds;
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
    allowed_ms: impl RangeBounds<u128>,
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

/// A setting that has to lie in a range: a number, or a time in milliseconds.
pub(crate) trait Bounded {
    fn check_within(
        &self,
        field: &'static str,
        allowed: impl RangeBounds<u128>,
        rule: &'static str,
    ) -> Result<(), ConfigError>;
}

impl Bounded for Duration {
    fn check_within(
        &self,
        field: &'static str,
        allowed: impl RangeBounds<u128>,
        rule: &'static str,
    ) -> Result<(), ConfigError> {
        check_time(field, *self, allowed, rule)
    }
}

macro_rules! bounded_numbers {
    ($($number:ty)*) => {
        $(impl Bounded for $number {
            fn check_within(
                &self,
                field: &'static str,
                allowed: impl RangeBounds<u128>,
                rule: &'static str,
            ) -> Result<(), ConfigError> {
                check(field, self, allowed.contains(&(*self as u128)), rule)
            }
        })*
    };
}

bounded_numbers!(u8 u32 u64 usize);

/// Makes a builder from the table of its settings. An entry makes the field, its default, its
/// setter and its check:
///
/// ```text
/// /// Documentation of the setter.
/// name(argument: Type) = default, in range, "the rule, as the error says it";
/// ```
///
/// A range counts milliseconds for a time. With `by method` instead of `in range, "rule"`, that
/// method of the builder checks the setting; with neither, every value is allowed. Settings are
/// checked in the order of the table.
///
/// The fields in the braces after `struct` have setters and checks elsewhere. The functions in the
/// braces after `impl` stand beside the setters. A file with a table imports [`Bounded`] and
/// [`ConfigError`].
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $Builder:ident with $visible:vis fields {
            $($(#[$cfg:meta])? $field:ident: $field_type:ty = $field_default:expr,)*
        }
        $(impl { $($function:tt)* })?
        settings:
        $(
            $(#[$doc:meta])*
            $name:ident($argument:ident: $type:ty) = $default:expr
                $(, in $allowed:expr, $rule:expr)? $(, by $check:ident)?;
        )*
    ) => {
        $(#[$meta])*
        pub struct $Builder {
            $($(#[$cfg])? $visible $field: $field_type,)*
            $($visible $name: $type,)*
        }

        impl $Builder {
            $($(#[$doc])*
            pub fn $name(mut self, $argument: $type) -> Self {
                self.$name = $argument;
                self
            })*
            $($($function)*)?
        }

        impl $Builder {
            fn defaults() -> Self {
                Self {
                    $($(#[$cfg])? $field: $field_default,)*
                    $($name: $default,)*
                }
            }

            /// Checks the settings of the table.
            $visible fn check_table(&self) -> Result<(), ConfigError> {
                $(
                    $(self.$name.check_within(stringify!($name), $allowed, $rule)?;)?
                    $(self.$check()?;)?
                )*
                Ok(())
            }
        }
    };
}

pub(crate) use settings;
