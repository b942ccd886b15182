//! Client difficulty: rows written behind, in slices.

use crate::store::command::Outcome;
use crate::store::error::{DbResult, StoreError};
use crate::store::records::StandingRow;
use crate::store::redb::apply::Batch;
use crate::store::redb::open::Store;
use crate::store::redb::read::StandingsPage;
use crate::store::redb::tables::STANDINGS;

/// No precondition: a row replaces the one there, `None` removes it.
#[derive(Debug, Clone)]
pub struct PutStandings {
    /// Keyed digests of clients, and where they stand.
    pub rows: Vec<([u8; 16], Option<StandingRow>)>,
}

impl Batch<'_> {
    /// Opens its table only now: a batch of answers pays nothing for it.
    pub(in crate::store) fn put_standings(&mut self, put: &PutStandings) -> Result<Outcome, StoreError> {
        let mut table = self.txn.open_table(STANDINGS).db()?;
        for (client, row) in &put.rows {
            match row {
                Some(row) => drop(table.insert(*client, &row.encode(*client)[..]).db()?),
                None => drop(table.remove(*client).db()?),
            }
        }
        Ok(Outcome::Done { rows: put.rows.len() as u64, more: false })
    }
}

impl Store {
    /// Up to `limit` rows of `standings-0` behind `after`, in the order of their keys. A row that
    /// does not decode is an error of its own, the others are there.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn standings(&self, after: Option<[u8; 16]>, limit: usize) -> Result<StandingsPage, StoreError> {
        self.read()?.standings(after, limit)
    }
}
