//! Rows written behind: client difficulty, and the place of scrubbing.

use crate::store::command::outcome::Outcome;
use crate::store::command::standings::PutStandings;
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::ScrubRow;
use crate::store::schema::Standings;

use super::batch::Batch;

impl<R: Txn> Batch<'_, R> {
    pub(super) fn put_standings(&mut self, put: &PutStandings) -> Result<Outcome, StoreError> {
        for (client, row) in &put.rows {
            self.rows.set(Standings, client, row.as_ref())?;
        }
        Ok(Outcome::Done { rows: put.rows.len() as u64, more: false })
    }

    pub(super) fn put_scrub(&mut self, row: &ScrubRow) -> Result<Outcome, StoreError> {
        self.rows.put_meta(row)?;
        Ok(Outcome::Done { rows: 1, more: false })
    }
}
