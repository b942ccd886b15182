//! Reading rows without a checksum, which are believed only if the rows that they lead to agree.

use crate::protocol::WorkId;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::{InRedb, RedbKey as _};
use crate::store::rows::LedgerRow;
use crate::store::rules::fits::{chore, leads_to_entry};
use crate::store::schema::{Consumed, NO_ENTRY, Receipts, VOTED};
use crate::store::table::Table;

use super::Reader;

impl Reader {
    /// Whether a chore is one that its tree needs.
    ///
    /// # Errors
    /// [`StoreError`] if it is not, the storage fails, or a row is damaged.
    pub fn check_chore(&self, kind: u8, tree: u64) -> Result<(), StoreError> {
        Ok(chore(kind, tree, self.tree(tree)?.as_ref(), self.head()?.next_tree)?)
    }

    /// The ledger sequence number under which a token was consumed. A token with a receipt was,
    /// also if its own row is lost.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn consumed(&self, expires_ms: u64, id: WorkId) -> Result<Option<u64>, StoreError> {
        self.rows.look_inside(|txn| {
            let found =
                txn.open_table(Consumed::DEFINITION).db()?.get((expires_ms, id).form()).db()?.map(|raw| raw.value());
            match found {
                Some(NO_ENTRY | VOTED) => Ok(found),
                Some(seq) => {
                    let entry = self.ledger_entry(seq)?;
                    leads_to_entry((Consumed::NAME, id, false), seq, &self.head()?, entry.as_ref())?;
                    Ok(found)
                }
                None => Ok(txn.open_table(Receipts::DEFINITION).db()?.get(id.form()).db()?.map(|raw| raw.value())),
            }
        })
    }

    /// The ledger entry of an accepted challenge.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn receipt(&self, id: WorkId) -> Result<Option<(u64, LedgerRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(seq) = txn.open_table(Receipts::DEFINITION).db()?.get(id.form()).db()?.map(|raw| raw.value())
            else {
                return Ok(None);
            };
            let entry = self.ledger_entry(seq)?;
            leads_to_entry((Receipts::NAME, id, false), seq, &self.head()?, entry.as_ref())?;
            Ok(entry.map(|row| (seq, row)))
        })
    }
}
