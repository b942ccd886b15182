//! The ledger: gapless, chained, and pointed to by receipts, debits and consumed tokens.

use std::ops::ControlFlow;

use super::checker::{Checker, entry};
use super::report::CheckPhase;
use crate::protocol::WorkId;
use crate::store::error::StoreError;
use crate::store::key::TableKey as _;
use crate::store::port::View;
use crate::store::rows::{DebitKey, EntryKind, LedgerRow};
use crate::store::schema::{Consumed, Debits, Ledger, NO_ENTRY, Receipts, VOTED};
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
    pub(super) fn ledger(&mut self, state: &impl View) -> Result<LedgerSums, StoreError> {
        self.begin();
        let head = self.head.clone();
        if head.anchor > head.next_ledger || head.checkpoint > head.next_ledger || head.anchor > head.checkpoint {
            let (anchor, checkpoint, next) = (head.anchor, head.checkpoint, head.next_ledger);
            self.find(format!("meta-0 head: anchor {anchor}, checkpoint {checkpoint}, next entry {next}"));
        }
        let of = state.len(Ledger)?;
        let mut sums = LedgerSums::default();
        let mut expected = head.anchor;
        let mut digest = Some(head.anchor_digest);
        state.each(Ledger, .., |seq, row| {
            self.step(CheckPhase::Ledger, of);
            self.report.ledger_entries += 1;
            if seq != expected {
                self.find(format!("ledger-0 row {seq}: row {expected} is next"));
                digest = None;
            }
            expected = seq.saturating_add(1);
            let Some(row) = self.decoded(seq, row) else {
                digest = None;
                return Ok(ControlFlow::Continue(()));
            };
            if digest.is_some_and(|before| row.chained(&before, seq) != row.digest) {
                self.find(format!("ledger-0 row {seq}: its digest does not follow from the entry before it"));
            }
            digest = Some(row.digest);
            sums.add(&row);
            self.entry_pointer(state, seq, &row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if expected != head.next_ledger {
            self.find(format!("ledger-0 ends before row {expected}, the head says {}", head.next_ledger));
        } else if digest.is_some_and(|digest| digest != head.last_digest) {
            self.find("meta-0 head: the last digest is not that of the newest ledger entry");
        }
        self.pointers_to_ledger(state)?;
        self.consumed_tokens(state)?;
        self.totals(&sums);
        Ok(sums)
    }

    /// An entry is found by its id.
    fn entry_pointer(&mut self, state: &impl View, seq: u64, row: &LedgerRow) -> Result<(), StoreError> {
        let (found, name) = if row.kind == EntryKind::Debit {
            (state.get(Debits, &DebitKey::of_entry(row.id))?, Debits::NAME)
        } else {
            (state.get(Receipts, &row.id)?, Receipts::NAME)
        };
        if found != Some(seq) {
            self.find(format!("ledger-0 row {seq}: {name} row {} does not lead to it", row.id.text()));
        }
        Ok(())
    }

    fn pointers_to_ledger(&mut self, state: &impl View) -> Result<(), StoreError> {
        state.each(Receipts, .., |id, seq| {
            self.pointer(state, Receipts::NAME, id, seq?)?;
            Ok(ControlFlow::Continue(()))
        })?;
        state.each(Debits, .., |key, seq| {
            self.pointer(state, Debits::NAME, key.entry_id(), seq?)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn pointer(&mut self, state: &impl View, table: &str, id: WorkId, seq: u64) -> Result<(), StoreError> {
        if !leads_to(state, seq, id, table == Debits::NAME)? {
            self.find(format!("{table} row {}: ledger-0 row {seq} is another, or is not there", id.text()));
        }
        Ok(())
    }

    fn consumed_tokens(&mut self, state: &impl View) -> Result<(), StoreError> {
        state.each(Consumed, .., |(expires_ms, id), seq| {
            let seq = seq?;
            self.report.consumed += 1;
            let sealed = seq < self.head.anchor;
            if seq != NO_ENTRY && seq != VOTED && !sealed && !leads_to(state, seq, id, false)? {
                let id = id.text();
                self.find(format!("consumed-0 row ({expires_ms}, {id}): ledger-0 row {seq} is not its entry"));
            }
            Ok(ControlFlow::Continue(()))
        })
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

fn leads_to(state: &impl View, seq: u64, id: WorkId, debit: bool) -> Result<bool, StoreError> {
    let row = entry(state, seq)?;
    Ok(row.is_some_and(|row| row.id == id && (row.kind == EntryKind::Debit) == debit))
}
