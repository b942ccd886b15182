//! What the sealing of ledger entries that did not decode has left: sums in the head that lack
//! them, and receipts and debit keys that lead to them.

use std::ops::Bound;

use redb::{ReadTransaction, TableDefinition};

use super::{Mend, Mender};
use crate::protocol::WorkId;
use crate::store::command::Command;
use crate::store::error::StoreError;
use crate::store::redb::check::LedgerSums;
use crate::store::redb::errors::DbResult;
use crate::store::redb::read::Reader;
use crate::store::redb::tables::InRedb;
use crate::store::rows::{DebitKey, Head, StoreTotals};
use crate::store::schema::{Debits, Ledger, Receipts};
use crate::store::table::Table;

type Pointers = TableDefinition<'static, [u8; 16], u64>;

/// Rows looked at, or removed, in one step.
const ROWS_PER_STEP: usize = 2_048;

/// A stretch of rows that lead into the ledger.
struct Stretch {
    /// Those that lead to sealed entries.
    sealed: Vec<[u8; 16]>,
    /// The last row looked at, if there are more.
    next: Option<[u8; 16]>,
}

impl Reader {
    /// Sums over the entries that are kept; `None` if one of them does not decode.
    fn ledger_sums(&self) -> Result<Option<LedgerSums>, StoreError> {
        self.rows.look_inside(|txn| {
            let mut sums = LedgerSums::default();
            for entry in txn.open_table(Ledger::DEFINITION).db()?.range::<u64>(..).db()? {
                let (seq, raw) = entry.db()?;
                let Ok(row) = Ledger::decode(&seq.value(), raw.value()) else { return Ok(None) };
                sums.add(&row);
            }
            Ok(Some(sums))
        })
    }

    fn sealed_pointers(&self, table: Pointers, anchor: u64, after: Option<[u8; 16]>) -> Result<Stretch, StoreError> {
        self.rows.look_inside(|txn: &ReadTransaction| {
            let table = txn.open_table(table).db()?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut stretch = Stretch { sealed: Vec::new(), next: None };
            for (seen, entry) in table.range::<[u8; 16]>((from, Bound::Unbounded)).db()?.enumerate() {
                let (key, seq) = entry.db()?;
                if seq.value() < anchor {
                    stretch.sealed.push(key.value());
                }
                if seen + 1 == ROWS_PER_STEP {
                    stretch.next = Some(key.value());
                    break;
                }
            }
            Ok(stretch)
        })
    }
}

impl Mender {
    /// Brings the sums of the head to what the ledger gives, and removes what leads to sealed
    /// entries. While an entry that is kept does not decode, the sums stay: they have it.
    pub(super) fn ledger(&mut self) -> Result<(), StoreError> {
        let reader = self.store.read()?;
        let head = reader.head()?;
        let sums = reader.ledger_sums()?;
        drop(reader);
        if let Some(sums) = sums {
            self.fit_totals(fitted(&head, &sums))?;
        }
        self.pointers(Receipts::DEFINITION, Receipts::NAME, head.anchor)?;
        self.pointers(Debits::DEFINITION, Debits::NAME, head.anchor)
    }

    /// Sets the totals of the head.
    pub(super) fn fit_totals(&mut self, totals: StoreTotals) -> Result<(), StoreError> {
        let before = self.store.read()?.head()?.totals;
        if totals == before {
            return Ok(());
        }
        let steps = changes(&before, &totals);
        self.report.sums += steps.len() as u64;
        steps.into_iter().for_each(|step| self.report.step(step));
        if !self.report.dry_run {
            self.apply(Command::Mend(Mend::Totals(totals)))?;
        }
        Ok(())
    }

    fn pointers(&mut self, table: Pointers, name: &str, anchor: u64) -> Result<(), StoreError> {
        let (mut after, mut found) = (None, 0);
        loop {
            let Stretch { sealed, next } = self.store.read()?.sealed_pointers(table, anchor, after)?;
            found += sealed.len() as u64;
            if !sealed.is_empty() && !self.report.dry_run {
                self.report.rows_removed += sealed.len() as u64;
                let (mut receipts, mut debits) = (Vec::new(), Vec::new());
                if name == Receipts::NAME {
                    receipts = sealed.into_iter().map(WorkId::from_bytes).collect();
                } else {
                    debits = sealed.into_iter().map(DebitKey::from_bytes).collect();
                }
                self.apply(Command::Mend(Mend::Pointers { receipts, debits }))?;
            }
            match next {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        if found > 0 {
            self.report.sums += found;
            self.report.step(format!("{name}: {found} rows of ledger entries that are sealed"));
        }
        Ok(())
    }
}

/// Totals that fit these sums. What the ledger lacks was in entries that are sealed, as balances
/// show.
fn fitted(head: &Head, sums: &LedgerSums) -> StoreTotals {
    let mut totals = head.totals;
    let sealed = head.anchor > 0;
    let fit = |total: &mut u64, part: &mut u64, sum: u64| {
        if !sealed {
            (*total, *part) = (sum, 0);
        } else if *total >= sum {
            *part = *total - sum;
        } else {
            *total = part.saturating_add(sum);
        }
    };
    fit(&mut totals.leaves, &mut totals.sealed_leaves, sums.leaves);
    fit(&mut totals.awarded, &mut totals.sealed_awarded, sums.awarded);
    fit(&mut totals.debited, &mut totals.sealed_debited, sums.debited);
    let counts = [
        (&mut totals.units, sums.units),
        (&mut totals.nodes, sums.nodes),
        (&mut totals.interior, sums.interior),
        (&mut totals.synthetic, sums.synthetic),
    ];
    for (total, sum) in counts {
        *total = if sealed { sum.max(*total) } else { sum };
    }
    totals
}

/// A sentence for each sum that changes.
fn changes(from: &StoreTotals, to: &StoreTotals) -> Vec<String> {
    let all = [
        ("trees", from.trees, to.trees),
        ("complete", from.complete, to.complete),
        ("pending", from.pending, to.pending),
        ("leaves", from.leaves, to.leaves),
        ("awarded", from.awarded, to.awarded),
        ("debited", from.debited, to.debited),
        ("sealed leaves", from.sealed_leaves, to.sealed_leaves),
        ("sealed awarded", from.sealed_awarded, to.sealed_awarded),
        ("sealed debited", from.sealed_debited, to.sealed_debited),
        ("units", from.units, to.units),
        ("nodes", from.nodes, to.nodes),
        ("interior", from.interior, to.interior),
        ("synthetic", from.synthetic, to.synthetic),
    ];
    let changed = all.into_iter().filter(|(_, from, to)| from != to);
    changed.map(|(what, from, to)| format!("meta-0 head: {what} is {from}, the rows give {to}")).collect()
}
