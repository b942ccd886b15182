//! Standing rows: plain bytes of fixed size behind a version byte.

use super::{ENVELOPE, RecordError, damaged};

/// `standings-0`: the difficulty of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingRow {
    /// Difficulty tier: 0 low, 1 medium, 2 high.
    pub tier: u8,
    /// Violations that have not raised the tier yet.
    pub violations: u8,
    /// The newest challenge has not been answered rightly.
    pub unanswered: bool,
    /// The first of those violations, engine time in Unix milliseconds.
    pub first_violation_ms: u64,
    /// The last change that counts, engine time in Unix milliseconds.
    pub last_ms: u64,
}

impl StandingRow {
    /// Bytes of the stored row.
    pub const LEN: usize = 20;

    /// Decodes a row of exactly [`StandingRow::LEN`] bytes, version 0.
    ///
    /// # Errors
    /// [`RecordError`] if the bytes are not such a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let table = "standings-0";
        let raw: &[u8; Self::LEN] =
            bytes.try_into().map_err(|_| damaged(table, format!("{} bytes instead of {}", bytes.len(), Self::LEN)))?;
        let [version, tier, violations, unanswered, times @ ..] = raw;
        if *version != ENVELOPE {
            return Err(damaged(table, format!("row version {version}, this build reads {ENVELOPE}")));
        }
        if *tier > 2 {
            return Err(damaged(table, format!("unknown tier {tier}")));
        }
        if *unanswered > 1 {
            return Err(damaged(table, format!("{unanswered} is neither true nor false")));
        }
        let (mut first, mut last) = ([0; 8], [0; 8]);
        first.copy_from_slice(&times[..8]);
        last.copy_from_slice(&times[8..]);
        Ok(Self {
            tier: *tier,
            violations: *violations,
            unanswered: *unanswered == 1,
            first_violation_ms: u64::from_le_bytes(first),
            last_ms: u64::from_le_bytes(last),
        })
    }

    /// The stored bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&[ENVELOPE, self.tier, self.violations, u8::from(self.unanswered)]);
        out[4..12].copy_from_slice(&self.first_violation_ms.to_le_bytes());
        out[12..].copy_from_slice(&self.last_ms.to_le_bytes());
        out
    }
}
