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

mod checker;
mod clients;
mod credits;
mod data;
mod ledger;
mod open;
mod orphans;
mod queue;
mod report;
mod sums;
mod trees;
mod trust;

use std::sync::Arc;

use super::file::panic_is_damage;
use super::storage::{StorageProvider, StoreFile};
use crate::store::error::StoreError;
use checker::Checker;
use open::Opened;

pub(in crate::store) use ledger::LedgerSums;
pub use report::{CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, OnCheck};

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
