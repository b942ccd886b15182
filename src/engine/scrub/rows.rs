//! The rows of the state file.

use crate::store::rows::ScrubPlace;
use crate::store::{Command, RowCursor};

use super::report::ScrubError;
use super::walk::Step;
use crate::engine::error::WriteError;

impl Step<'_> {
    /// Verifies some rows from this place on. Returns where to go on; `None` at the end.
    pub(super) fn rows(&mut self, table: u8, key: &[u8]) -> Result<Option<ScrubPlace>, ScrubError> {
        if table == 0 && key.is_empty() {
            self.walk.known.begin_rows();
        }
        let from = RowCursor { table, key: key.to_vec() };
        let verified = match self.core.store.verify_rows(&from, self.left) {
            Err(error) if error.is_of_the_place() => {
                return Ok(self.pass_over(&ScrubPlace::Rows { table, key: key.to_vec() }, &error.to_string()));
            }
            verified => verified?,
        };
        self.spend(verified.cost);
        // A place behind all tables leads nowhere.
        let stands = verified.rows == 0 && verified.found.is_empty() && verified.next.as_ref() == Some(&from);
        self.report.bytes += verified.bytes;
        self.report.rows += verified.rows;
        self.pass_by(verified.passed_over);
        for found in verified.found {
            let what = format!("{}: {}", found.table, found.what);
            self.damaged_row(found.tree, (found.table, &found.key), &what);
        }
        if !verified.older.is_empty() {
            let rows = verified.older.len() as u64;
            match self.core.writer.write_bulk(vec![Command::SumRows(verified.older)]) {
                Ok(_) => self.report.sums_added += rows,
                // One of them does not allow it; the next pass tries again.
                Err(WriteError::NotStored(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(verified.next.filter(|_| !stands).map(|RowCursor { table, key }| ScrubPlace::Rows { table, key }))
    }
}
