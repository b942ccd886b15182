//! One check of a store, and what every part of it uses.

use super::report::{CheckPhase, CheckProgress, CheckReport, OnCheck};
use crate::store::error::StoreError;
use crate::store::port::{Rows, View};
use crate::store::rows::{Head, LedgerRow, ProvenanceRow, RowError, ScrubPlace, ScrubRow, TileRow, TreeRow};
use crate::store::rules::fits::readable;
use crate::store::schema::{Ledger, Provenance, Tiles, Trees};
use crate::store::table::Table;

/// The rows of the two files.
pub(super) struct Files<'v, V, B> {
    pub(super) state: &'v V,
    /// Not there if the making of the store was cut short before the second file.
    pub(super) blocks: Option<&'v B>,
}

impl<V, B> Clone for Files<'_, V, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, B> Copy for Files<'_, V, B> {}

/// One check, and what was found so far.
pub(super) struct Checker<'p> {
    pub(super) head: Head,
    /// The tables of trust are there. The stores of the first build lack them.
    pub(super) has_trust: bool,
    /// Scrubbing is adding checksums to trees of an older store, from this one on.
    pub(super) unsummed_from: Option<u64>,
    pub(super) report: CheckReport,
    pub(super) progress: OnCheck<'p>,
    pub(super) done: u64,
    pub(super) at_once: usize,
}

impl<'p> Checker<'p> {
    pub(super) fn of(
        state: &impl View,
        head: Head,
        report: CheckReport,
        at_once: usize,
        progress: OnCheck<'p>,
    ) -> Result<Self, StoreError> {
        let has_trust = state.is_there(Provenance)?;
        let unsummed_from = unsummed_from(state)?;
        Ok(Self { head, has_trust, unsummed_from, report, progress, done: 0, at_once })
    }
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

/// The row with this key, or why it does not decode.
pub(super) fn row_or_why<T: Table>(
    rows: &impl Rows<T>,
    table: T,
    key: &T::Key,
) -> Result<Option<Result<T::Row, RowError>>, StoreError> {
    match rows.get(table, key) {
        Ok(row) => Ok(row.map(Ok)),
        Err(StoreError::Record { table, what }) => Ok(Some(Err(RowError { table, what }))),
        Err(error) => Err(error),
    }
}

/// The row of a tree, or why it does not decode.
pub(super) fn tree_row(state: &impl View, tree: u64) -> Result<Option<Result<TreeRow, RowError>>, StoreError> {
    row_or_why(state, Trees, &tree)
}

/// A ledger entry; `None` if it is not there, or does not decode.
pub(super) fn entry(state: &impl View, seq: u64) -> Result<Option<LedgerRow>, StoreError> {
    Ok(readable(state.get(Ledger, &seq))?.flatten())
}

/// The states of a tile; all pending if it has no row, or one that does not decode.
pub(super) fn tile_row(state: &impl View, key: (u64, u64)) -> Result<TileRow, StoreError> {
    Ok(readable(state.get(Tiles, &key))?.flatten().unwrap_or(TileRow::PENDING))
}

/// The counts of a tree; none if there is no row, or none that can be read.
pub(super) fn provenance(state: &impl View, tree: u64) -> Option<ProvenanceRow> {
    state.get(Provenance, &tree).ok().flatten()
}

/// The tree at which scrubbing is, or the first one of which it left groups out. Of the trees
/// behind it, some groups may have checksums and others not, if they are of an older store.
fn unsummed_from(state: &impl View) -> Result<Option<u64>, StoreError> {
    let row = readable(state.meta::<ScrubRow>())?.flatten();
    Ok(row.and_then(|row| {
        let at = match row.at {
            Some(ScrubPlace::Data { tree, .. }) => Some(tree),
            _ => None,
        };
        at.into_iter().chain(row.left_out).chain(row.leaves_out).min()
    }))
}

const ROWS_PER_PROGRESS: u64 = 1_024;
