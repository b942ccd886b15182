//! Reads of the ledger, and of rows without a checksum that lead into it. These are believed only
//! if the entries that they lead to agree.

use crate::protocol::WorkId;
use crate::store::error::StoreError;
use crate::store::port::View;
use crate::store::rows::LedgerRow;
use crate::store::rules::fits::leads_to_entry;
use crate::store::schema::{Consumed, Ledger, NO_ENTRY, Receipts, VOTED};
use crate::store::table::Table;

use super::head::head;

/// A ledger entry with its sequence number.
pub type LedgerEntry = (u64, LedgerRow);

pub(in crate::store) fn ledger_entry(rows: &impl View, seq: u64) -> Result<Option<LedgerRow>, StoreError> {
    rows.get(Ledger, &seq)
}

pub(super) fn ledger(rows: &impl View, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
    rows.page(Ledger, from.., limit)
}

pub(super) fn consumed(rows: &impl View, expires_ms: u64, id: WorkId) -> Result<Option<u64>, StoreError> {
    let found = rows.get(Consumed, &(expires_ms, id))?;
    match found {
        Some(NO_ENTRY | VOTED) => Ok(found),
        Some(seq) => {
            let entry = ledger_entry(rows, seq)?;
            leads_to_entry((Consumed::NAME, id, false), seq, &head(rows)?, entry.as_ref())?;
            Ok(found)
        }
        None => rows.get(Receipts, &id),
    }
}

pub(super) fn receipt(rows: &impl View, id: WorkId) -> Result<Option<LedgerEntry>, StoreError> {
    let Some(seq) = rows.get(Receipts, &id)? else { return Ok(None) };
    let entry = ledger_entry(rows, seq)?;
    leads_to_entry((Receipts::NAME, id, false), seq, &head(rows)?, entry.as_ref())?;
    Ok(entry.map(|row| (seq, row)))
}
