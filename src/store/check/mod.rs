//! The offline check: reads every row once, in bounded memory, and names each one that does not
//! fit.
//!
//! **Guarantee.** A clean report means: every row decodes; names, handles, queue and chores fit the
//! trees; every tree folds to its stored root from its stored leaf hashes, and the bytes of its
//! pending leaves hash to them, where the server had hashed them, and those of pending leaves and
//! of leaves below verified match the checksums of their ingest; each leaf below verified has a
//! client behind it; no leaf is done without a credit or credited twice; the ledger is gapless, its
//! chain and the balances are right; the totals are the sums.
//!
//! It needs no secret and changes nothing. Block data of trees that never got their row is what a
//! crash between the two files leaves: the next open of the engine removes it.

mod checker;
mod clients;
mod credits;
mod data;
mod ledger;
mod orphans;
mod queue;
mod report;
mod sums;
#[cfg(test)]
mod tests;
mod trees;
mod trust;

use crate::store::error::StoreError;
use crate::store::port::{BlockView, View};
use crate::store::rows::Head;
use checker::{Checker, Files};

pub(in crate::store) use ledger::LedgerSums;
pub use report::{CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, OnCheck};

/// Checks the rows of a store, with `at_once` tile rows and clients in memory, and adds what it
/// finds to `report`. There is no block data if the making of the store was cut short before the
/// second file.
///
/// # Errors
/// [`StoreError`] for a read that fails. An inconsistent row is not an error but a
/// [`CheckFinding`].
pub(in crate::store) fn rows<V: View, B: BlockView>(
    state: &V,
    blocks: Option<&B>,
    head: Head,
    mut report: CheckReport,
    at_once: usize,
    progress: OnCheck<'_>,
) -> Result<CheckReport, StoreError> {
    report.commit_seq = head.commit_seq;
    let files = Files { state, blocks };
    let mut checker = Checker::of(state, head, report, at_once, progress)?;
    checker.trees(files)?;
    checker.queue(state)?;
    checker.orphans(files)?;
    let sums = checker.ledger(state)?;
    checker.credits(state)?;
    checker.clients(state, &sums)?;
    checker.standings(state)?;
    checker.trust(state)?;
    Ok(checker.report)
}
