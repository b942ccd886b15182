//! One check of a store, and what every part of it uses.

use super::open::{BlocksFile, StateFile};
use super::report::{CheckPhase, CheckProgress, CheckReport, OnCheck};
use crate::store::rows::{Head, RowError};

/// One check: open tables, and what was found so far.
pub(super) struct Checker<'p> {
    pub(super) head: Head,
    pub(super) state: StateFile,
    pub(super) blocks: Option<Box<BlocksFile>>,
    pub(super) report: CheckReport,
    pub(super) progress: OnCheck<'p>,
    pub(super) done: u64,
    pub(super) at_once: usize,
}

impl Checker<'_> {
    pub(super) fn find(&mut self, what: impl Into<String>) {
        self.report.find(what.into());
    }

    /// The row, or a finding.
    pub(super) fn decoded<T>(&mut self, key: impl std::fmt::Debug, row: Result<T, RowError>) -> Option<T> {
        match row {
            Ok(row) => Some(row),
            Err(error) => {
                self.find(format!("{} row {key:?}: {}", error.table, error.what));
                None
            }
        }
    }

    pub(super) fn expect_equal(&mut self, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.find(format!("meta-0 head: {what} is {found}, the rows give {expected}"));
        }
    }

    pub(super) fn begin(&mut self) {
        self.done = 0;
    }

    pub(super) fn step(&mut self, phase: CheckPhase, of: u64) {
        self.done += 1;
        if self.done % ROWS_PER_PROGRESS == 1 {
            (self.progress)(&CheckProgress { phase, done: self.done, of });
        }
    }
}

/// Client digests and ids in findings.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

const ROWS_PER_PROGRESS: u64 = 1_024;
