//! The ledger: gapless, chained, and pointed to by receipts, debits and consumed tokens.

use redb::ReadableTableMetadata;

use super::checker::{Checker, hex};
use super::report::CheckPhase;
use crate::protocol::WorkId;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::RedbKey as _;
use crate::store::rows::{EntryKind, LedgerRow};
use crate::store::schema::{Debits, Ledger, NO_ENTRY, Receipts, TokenKey, VOTED};
use crate::store::table::Table;

/// Sums over the entries that are kept.
#[derive(Debug, Default)]
pub(in crate::store) struct LedgerSums {
    /// Micro-Joules awarded.
    pub(in crate::store) awarded: u64,
    /// Micro-Joules debited.
    pub(in crate::store) debited: u64,
    /// Real units, leaves credited, and hashes in those units.
    pub(in crate::store) units: u64,
    pub(in crate::store) leaves: u64,
    pub(in crate::store) nodes: u64,
    /// Interior and synthetic units.
    pub(in crate::store) interior: u64,
    pub(in crate::store) synthetic: u64,
}

impl LedgerSums {
    pub(in crate::store) fn add(&mut self, row: &LedgerRow) {
        match row.kind {
            EntryKind::Leaves | EntryKind::Part | EntryKind::Vote => {
                self.units += 1;
                self.leaves += u64::from(row.leaves);
                self.nodes += u64::from(row.nodes);
            }
            EntryKind::Interior => {
                self.interior += 1;
                self.nodes += u64::from(row.nodes);
            }
            EntryKind::Synthetic => self.synthetic += 1,
            EntryKind::Debit => self.debited = self.debited.saturating_add(row.amount),
            EntryKind::Correction => {}
        }
        if row.kind != EntryKind::Debit {
            self.awarded = self.awarded.saturating_add(row.amount);
        }
    }
}

impl Checker<'_> {
    /// The chain, what points into it, and the totals that are sums over it.
    pub(super) fn ledger(&mut self) -> Result<LedgerSums, StoreError> {
        self.begin();
        let head = self.head.clone();
        if head.anchor > head.next_ledger || head.checkpoint > head.next_ledger || head.anchor > head.checkpoint {
            let (anchor, checkpoint, next) = (head.anchor, head.checkpoint, head.next_ledger);
            self.find(format!("meta-0 head: anchor {anchor}, checkpoint {checkpoint}, next entry {next}"));
        }
        let of = self.state.ledger.len().db()?;
        let mut sums = LedgerSums::default();
        let mut expected = head.anchor;
        let mut digest = Some(head.anchor_digest);
        for entry in self.state.ledger.range::<u64>(..).db()? {
            let (key, raw) = entry.db()?;
            let seq = key.value();
            self.step(CheckPhase::Ledger, of);
            self.report.ledger_entries += 1;
            if seq != expected {
                self.find(format!("ledger-0 row {seq}: row {expected} is next"));
                digest = None;
            }
            expected = seq.saturating_add(1);
            let decoded = Ledger::decode(&seq, raw.value());
            let Some(row) = self.decoded(seq, decoded) else {
                digest = None;
                continue;
            };
            if digest.is_some_and(|before| row.chained(&before, seq) != row.digest) {
                self.find(format!("ledger-0 row {seq}: its digest does not follow from the entry before it"));
            }
            digest = Some(row.digest);
            sums.add(&row);
            self.entry_pointer(seq, &row)?;
        }
        if expected != head.next_ledger {
            self.find(format!("ledger-0 ends before row {expected}, the head says {}", head.next_ledger));
        } else if digest.is_some_and(|digest| digest != head.last_digest) {
            self.find("meta-0 head: the last digest is not that of the newest ledger entry");
        }
        self.pointers_to_ledger()?;
        self.consumed_tokens()?;
        self.totals(&sums);
        Ok(sums)
    }

    /// An entry is found by its id.
    fn entry_pointer(&mut self, seq: u64, row: &LedgerRow) -> Result<(), StoreError> {
        let debit = row.kind == EntryKind::Debit;
        let table = if debit { &self.state.debits } else { &self.state.receipts };
        if table.get(row.id.form()).db()?.map(|raw| raw.value()) != Some(seq) {
            let name = if debit { Debits::NAME } else { Receipts::NAME };
            self.find(format!("ledger-0 row {seq}: {name} row {} does not lead to it", hex(row.id.as_bytes())));
        }
        Ok(())
    }

    fn pointers_to_ledger(&mut self) -> Result<(), StoreError> {
        let receipts = self.state.receipts.range::<[u8; 16]>(..).db()?.map(|entry| (entry, Receipts::NAME));
        let debits = self.state.debits.range::<[u8; 16]>(..).db()?.map(|entry| (entry, Debits::NAME));
        for (entry, name) in receipts.chain(debits) {
            let (key, raw) = entry.db()?;
            let (id, seq) = (WorkId::from_bytes(key.value()), raw.value());
            if !self.leads_to(seq, id, name == Debits::NAME)? {
                self.find(format!("{name} row {}: ledger-0 row {seq} is another, or is not there", hex(id.as_bytes())));
            }
        }
        Ok(())
    }

    fn consumed_tokens(&mut self) -> Result<(), StoreError> {
        for entry in self.state.consumed.range::<(u64, [u8; 16])>(..).db()? {
            let (key, raw) = entry.db()?;
            let ((expires_ms, id), seq) = (TokenKey::owned(key.value()), raw.value());
            self.report.consumed += 1;
            let sealed = seq < self.head.anchor;
            if seq != NO_ENTRY && seq != VOTED && !sealed && !self.leads_to(seq, id, false)? {
                let id = hex(id.as_bytes());
                self.find(format!("consumed-0 row ({expires_ms}, {id}): ledger-0 row {seq} is not its entry"));
            }
        }
        Ok(())
    }

    fn leads_to(&self, seq: u64, id: WorkId, debit: bool) -> Result<bool, StoreError> {
        let row = self.state.entry(seq)?;
        Ok(row.is_some_and(|row| row.id == id && (row.kind == EntryKind::Debit) == debit))
    }

    fn totals(&mut self, sums: &LedgerSums) {
        let totals = self.head.totals;
        self.expect_equal("leaves", totals.leaves, totals.sealed_leaves.saturating_add(sums.leaves));
        self.expect_equal("awarded", totals.awarded, totals.sealed_awarded.saturating_add(sums.awarded));
        self.expect_equal("debited", totals.debited, totals.sealed_debited.saturating_add(sums.debited));
        let sealed = self.head.anchor > 0;
        let counts = [
            ("units", totals.units, sums.units),
            ("nodes", totals.nodes, sums.nodes),
            ("interior", totals.interior, sums.interior),
            ("synthetic", totals.synthetic, sums.synthetic),
        ];
        for (what, total, sum) in counts {
            // What sealed entries counted is not kept singly.
            self.expect_equal(what, total, if sealed { sum.max(total) } else { sum });
        }
    }
}
