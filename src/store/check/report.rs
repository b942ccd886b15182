//! The result of a check, and its progress.

use serde::Serialize;

/// A row that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct CheckFinding {
    /// Table, row, and what is wrong with it.
    pub what: String,
}

/// Findings listed one by one; all are counted.
pub const CHECK_FINDINGS_SHOWN: usize = 100;

/// The result of a check: what was read, and the rows that do not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CheckReport {
    /// How many there are in all.
    pub found: u64,
    /// The first [`CHECK_FINDINGS_SHOWN`] rows that do not fit.
    pub findings: Vec<CheckFinding>,
    /// Trees.
    pub trees: u64,
    /// Leaves in them.
    pub leaves: u64,
    /// Of these, leaves whose bytes are copied, not done yet, and were hashed again.
    pub leaves_hashed: u64,
    /// Groups of leaf hashes folded.
    pub groups: u64,
    /// Tile rows.
    pub tiles: u64,
    /// Interior nodes sent by clients.
    pub interior: u64,
    /// Ledger entries, not counting sealed ones.
    pub ledger_entries: u64,
    /// Clients with a row or an entry.
    pub clients: u64,
    /// Consumed tokens.
    pub consumed: u64,
    /// Clients whose difficulty is remembered.
    #[serde(skip)]
    pub standings: u64,
    /// Ranges with claims of clients.
    pub claims: u64,
    /// Ranges with votes that wait for others.
    pub quorums: u64,
    /// Damaged blocks.
    pub damaged: u64,
    /// Rows of the queue.
    pub queue_rows: u64,
    /// Chores waiting.
    pub chores: u64,
    /// Commits of the state file so far.
    #[serde(rename = "commits")]
    pub commit_seq: u64,
}

impl CheckReport {
    /// Whether every row fits.
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }

    pub(in crate::store) fn find(&mut self, what: String) {
        self.found += 1;
        if self.findings.len() < CHECK_FINDINGS_SHOWN {
            self.findings.push(CheckFinding { what });
        }
    }
}

/// A phase of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckPhase {
    /// The two files are verified, page by page.
    Files,
    /// Trees, with their hashes and pending bytes.
    Trees,
    /// Queue, chores, and rows without an owner.
    Queue,
    /// Ledger, receipts, debits and consumed tokens.
    Ledger,
    /// Done leaves against ledger entries.
    Credits,
    /// Balances.
    Clients,
}

/// Progress of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// The current phase.
    pub phase: CheckPhase,
    /// Rows checked in this phase.
    pub done: u64,
    /// Rows in this phase, as far as that is known; 0 where it is not.
    pub of: u64,
}

/// Called repeatedly with the progress of a check.
pub type OnCheck<'p> = &'p mut dyn FnMut(&CheckProgress);
