//! The offline check: reads every row once, in bounded memory, and names each one that does not
//! fit.
//!
//! **Guarantee.** A clean report means: both files pass redb's own verification; every row decodes;
//! names, handles, queue and chores fit the trees; every tree folds to its stored root from its
//! stored leaf hashes, and the bytes of its pending leaves hash to them, where the server had
//! hashed them, and those of pending leaves and of leaves below verified match the checksums of
//! their ingest; each leaf below verified has a client behind it; no leaf is done without a credit
//! or credited twice; the ledger is gapless, its chain and the balances are right; the totals are
//! the sums.
//!
//! It needs no secret and changes not a byte: repairs after a crash stay in memory.
//! Block data of trees that never got their row is what a crash between the two files leaves: the
//! next open of the engine removes it.

mod clients;
mod credits;
mod data;
mod ledger;
mod open;
mod orphans;
mod queue;
mod sums;
mod trees;
mod trust;

use std::sync::Arc;

use serde::Serialize;

use super::backend::{StorageProvider, StoreFile};
use super::file::panic_is_damage;
use crate::store::error::StoreError;
use crate::store::records::{Head, RecordError};
use open::{BlocksFile, Opened, StateFile};

pub(in crate::store) use ledger::LedgerSums;

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

    fn find(&mut self, what: String) {
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
    /// redb verifies the two files, page by page.
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

/// Checks the store behind `provider`, which must not be open.
///
/// # Errors
/// As for opening: a foreign or damaged file, another format, an owner that has it open; and reads
/// that fail. An inconsistent row is not an error but a [`CheckFinding`]. A store whose creation
/// was cut short before its first commit is empty, and clean.
pub fn check(provider: Arc<dyn StorageProvider>, progress: OnCheck<'_>) -> Result<CheckReport, StoreError> {
    run(&*provider, ROWS_AT_ONCE, progress)
}

/// The same with `at_once` tile rows and clients in memory, so that a small store takes many runs.
///
/// # Errors
/// [`StoreError`] if the storage fails or a row is damaged.
#[cfg(feature = "testing")]
pub fn check_in_runs(
    provider: Arc<dyn StorageProvider>,
    at_once: usize,
    progress: OnCheck<'_>,
) -> Result<CheckReport, StoreError> {
    run(&*provider, at_once, progress)
}

/// Tile rows or clients held in memory at once: about 32 MiB. More take another run through the
/// ledger.
const ROWS_AT_ONCE: usize = 1 << 18;

fn run(provider: &dyn StorageProvider, at_once: usize, progress: OnCheck<'_>) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    progress(&CheckProgress { phase: CheckPhase::Files, done: 0, of: 2 });
    let path = provider.path(StoreFile::State);
    let opened = panic_is_damage(&path, || open::open(provider, &mut report, &mut *progress))?;
    let (head, state, blocks) = match opened {
        Opened::Both { head, state, blocks } => (head, state, blocks),
        Opened::Nothing => return Ok(report),
    };
    report.commit_seq = head.commit_seq;
    let mut checker = Checker { head: *head, state: *state, blocks, report, progress, done: 0, at_once };
    checker.trees()?;
    checker.queue()?;
    checker.orphans()?;
    let sums = checker.ledger()?;
    checker.credits()?;
    checker.clients(&sums)?;
    checker.standings()?;
    checker.trust()?;
    let report = std::mem::take(&mut checker.report);
    panic_is_damage(&path, || {
        drop(checker);
        Ok(())
    })?;
    Ok(report)
}

/// One check: open tables, and what was found so far.
struct Checker<'p> {
    head: Head,
    state: StateFile,
    blocks: Option<Box<BlocksFile>>,
    report: CheckReport,
    progress: OnCheck<'p>,
    done: u64,
    at_once: usize,
}

impl Checker<'_> {
    fn find(&mut self, what: impl Into<String>) {
        self.report.find(what.into());
    }

    /// The row, or a finding.
    fn decoded<T>(&mut self, key: impl std::fmt::Debug, row: Result<T, RecordError>) -> Option<T> {
        match row {
            Ok(row) => Some(row),
            Err(error) => {
                self.find(format!("{} row {key:?}: {}", error.table, error.what));
                None
            }
        }
    }

    fn expect_equal(&mut self, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.find(format!("meta-0 head: {what} is {found}, the rows give {expected}"));
        }
    }

    fn begin(&mut self) {
        self.done = 0;
    }

    fn step(&mut self, phase: CheckPhase, of: u64) {
        self.done += 1;
        if self.done % ROWS_PER_PROGRESS == 1 {
            (self.progress)(&CheckProgress { phase, done: self.done, of });
        }
    }
}

/// Client digests and ids in findings.
fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

const ROWS_PER_PROGRESS: u64 = 1_024;
