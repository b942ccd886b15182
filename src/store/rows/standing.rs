//! Standing rows: plain bytes of fixed size behind a version byte.

use super::summed::{TAIL, close, opened_fixed};
use super::{RowError, damaged};
use crate::protocol::ClientDigest;

/// `standings-0`: the difficulty of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingRow {
    /// Difficulty tier: 0 low, 1 medium, 2 high.
    pub tier: u8,
    /// Violations that have not raised the tier yet.
    pub violations: u8,
    /// The first of those violations, engine time in Unix milliseconds.
    pub first_violation_ms: u64,
    /// The last change that counts, engine time in Unix milliseconds.
    pub last_ms: u64,
}

impl StandingRow {
    const TABLE: &'static str = "standings-0";
    const BODY: usize = 20;
    const VERSION: u8 = 0;
    /// Bytes of the stored row.
    pub const LEN: usize = Self::BODY + TAIL;

    /// Decodes the row of this client, version 0.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(client: ClientDigest, bytes: &[u8]) -> Result<Self, RowError> {
        let table = Self::TABLE;
        let raw: &[u8; Self::BODY] = opened_fixed(table, client, bytes)?;
        let [version, tier, violations, unused, times @ ..] = raw;
        if *version != Self::VERSION {
            return Err(damaged(table, format!("row version {version}, this build reads {}", Self::VERSION)));
        }
        if *tier > 2 {
            return Err(damaged(table, format!("unknown tier {tier}")));
        }
        // Earlier builds wrote whether the newest challenge was unanswered.
        if *unused > 1 {
            return Err(damaged(table, format!("the unused byte is {unused}, not 0 or 1")));
        }
        let (mut first, mut last) = ([0; 8], [0; 8]);
        first.copy_from_slice(&times[..8]);
        last.copy_from_slice(&times[8..]);
        Ok(Self {
            tier: *tier,
            violations: *violations,
            first_violation_ms: u64::from_le_bytes(first),
            last_ms: u64::from_le_bytes(last),
        })
    }

    /// The stored bytes of the row of this client.
    pub fn encode(&self, client: ClientDigest) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&[Self::VERSION, self.tier, self.violations, 0]);
        out[4..12].copy_from_slice(&self.first_violation_ms.to_le_bytes());
        out[12..Self::BODY].copy_from_slice(&self.last_ms.to_le_bytes());
        close(Self::TABLE, client, &mut out);
        out
    }
}
