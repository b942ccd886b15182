//! How hard a client's next challenge is, as it is stored.

use super::{RecordError, damaged};

/// Row of `standings-0`: what [`Standing`](crate::policy::difficulty::Standing) holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingRow {
    /// Difficulty tier: 0, 1, 2.
    pub tier: u8,
    /// Violations that have not raised the tier yet.
    pub violations: u8,
    /// The newest challenge has not been answered rightly.
    pub unanswered: bool,
    /// The first of these violations, engine time in Unix milliseconds.
    pub first_violation_ms: u64,
    /// The last violation, completion or step down, engine time in Unix milliseconds.
    pub last_ms: u64,
}

impl StandingRow {
    /// Bytes of the stored row.
    pub const LEN: usize = 19;

    /// Decodes a row of exactly [`StandingRow::LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let table = "standings-0";
        let wrong = || damaged(table, format!("{} bytes instead of {}", bytes.len(), Self::LEN));
        let raw: &[u8; Self::LEN] = bytes.try_into().map_err(|_| wrong())?;
        let [tier, violations, unanswered, times @ ..] = raw;
        if *tier > 2 || *unanswered > 1 {
            return Err(damaged(table, format!("unknown tier {tier} or flag {unanswered}")));
        }
        let (words, _) = times.as_chunks::<8>();
        let [first, last] = words else {
            return Err(wrong());
        };
        Ok(Self {
            tier: *tier,
            violations: *violations,
            unanswered: *unanswered == 1,
            first_violation_ms: u64::from_le_bytes(*first),
            last_ms: u64::from_le_bytes(*last),
        })
    }

    /// The stored bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = self.tier;
        out[1] = self.violations;
        out[2] = u8::from(self.unanswered);
        out[3..11].copy_from_slice(&self.first_violation_ms.to_le_bytes());
        out[11..].copy_from_slice(&self.last_ms.to_le_bytes());
        out
    }
}
