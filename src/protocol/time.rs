//! Types for instants and credits.

use alloc::format;
use alloc::string::{String, ToString};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::malformed::{Malformed, excerpt};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// ```
/// use pouw::protocol::UnixMillis;
/// let at = UnixMillis(1_700_000_000_123);
/// assert_eq!(at.to_rfc3339(), "2023-11-14T22:13:20.123Z");
/// assert_eq!(UnixMillis::from_rfc3339("2023-11-14T22:13:20.123Z"), Ok(at));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The latest instant with an RFC 3339 text: 9999-12-30T21:59:59.999Z, a day before the year
    /// has five digits in any time zone.
    pub const MAX_TEXT: Self = Self(253_402_207_199_999);

    /// Returns this instant as RFC 3339 text in UTC with exactly three decimals.
    ///
    /// Instants after [`UnixMillis::MAX_TEXT`] are written as that instant.
    pub fn to_rfc3339(self) -> String {
        let millis = self.0.min(Self::MAX_TEXT.0) as i64;
        let at = Timestamp::from_millisecond(millis).expect("MAX_TEXT is inside jiff's range");
        format!("{at:.3}")
    }

    /// Reads RFC 3339 text (section 5.6, `T` and `Z` in capitals, any number of decimals, any
    /// offset). Fractions of a millisecond are cut off.
    ///
    /// # Errors
    /// [`Malformed`] for any other text, and for an instant before 1970 or after
    /// [`UnixMillis::MAX_TEXT`].
    pub fn from_rfc3339(text: &str) -> Result<Self, Malformed> {
        let refuse = || Malformed::new("time", "RFC 3339 text such as 2025-01-31T12:00:00.000Z", excerpt(text));
        if !has_rfc3339_shape(text.as_bytes()) {
            return Err(refuse());
        }
        let at: Timestamp = text.parse().map_err(|_| refuse())?;
        u64::try_from(at.as_millisecond())
            .ok()
            .filter(|millis| at >= Timestamp::UNIX_EPOCH && *millis <= Self::MAX_TEXT.0)
            .map(Self)
            .ok_or_else(|| Malformed::new("time", "an instant from 1970 to 9999-12-30", excerpt(text)))
    }

    /// Returns the instant `millis` later, at most the largest value of the type.
    #[must_use]
    pub const fn saturating_add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Returns the milliseconds from `earlier` to this instant, 0 if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An amount of credit in millionths of a joule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroJoules(pub u64);

impl core::fmt::Display for MicroJoules {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

/// Returns whether `text` has the form `dddd-dd-ddTdd:dd:dd`, optional decimals, then `Z` or an
/// offset. It does not check the values.
fn has_rfc3339_shape(text: &[u8]) -> bool {
    const LONGEST: usize = 40;
    let fits = |text: &[u8], pattern: &[u8]| {
        text.len() == pattern.len()
            && text.iter().zip(pattern).all(|(byte, want)| match want {
                b'd' => byte.is_ascii_digit(),
                b's' => matches!(byte, b'+' | b'-'),
                _ => byte == want,
            })
    };
    let Some((date_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let offset = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &rest[digits..]
        }
        _ => rest,
    };
    text.len() <= LONGEST && fits(date_time, b"dddd-dd-ddTdd:dd:dd") && (offset == b"Z" || fits(offset, b"sdd:dd"))
}
