//! Rows of clients.

use bincode::{Decode, Encode};

/// `clients-0`: balance and counts of one client, as of ledger entry `last_seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ClientRow {
    /// Micro-Joules: awards minus debits.
    pub balance: u64,
    /// This client's newest ledger entry that the row reflects; `u64::MAX` before the first.
    pub last_seq: u64,
    /// Answers accepted.
    pub accepted: u64,
    /// Well-formed wrong answers.
    pub strikes: u64,
    /// Engine time of the last change, Unix milliseconds.
    pub updated_ms: u64,
}

impl Default for ClientRow {
    fn default() -> Self {
        Self { balance: 0, last_seq: u64::MAX, accepted: 0, strikes: 0, updated_ms: 0 }
    }
}
