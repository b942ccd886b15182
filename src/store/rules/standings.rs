//! Client difficulty: rows written behind, in slices.

use crate::store::command::Outcome;
use crate::store::command::standings::PutStandings;
use crate::store::error::{DbResult, StoreError};
use crate::store::redb::apply::Batch;
use crate::store::redb::tables::InRedb;
use crate::store::schema::Standings;

impl Batch<'_> {
    /// Opens its table only now: a batch of answers pays nothing for it.
    pub(in crate::store) fn put_standings(&mut self, put: &PutStandings) -> Result<Outcome, StoreError> {
        let mut table = self.txn.open_table(Standings::DEFINITION).db()?;
        for (client, row) in &put.rows {
            match row {
                Some(row) => drop(table.insert(*client, &row.encode(*client)[..]).db()?),
                None => drop(table.remove(*client).db()?),
            }
        }
        Ok(Outcome::Done { rows: put.rows.len() as u64, more: false })
    }
}
