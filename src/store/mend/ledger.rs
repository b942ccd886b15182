//! What the sealing of ledger entries that did not decode has left: sums in the head that lack
//! them, and receipts and debit keys that lead to them.

use super::derived::stretch;
use super::{Mend, Mender};
use crate::store::check::LedgerSums;
use crate::store::command::Command;
use crate::store::error::StoreError;
use crate::store::port::{Rows, Snapshot, View, more_if};
use crate::store::rows::{Head, StoreTotals};
use crate::store::schema::{Debits, Ledger, Receipts};
use crate::store::table::{Owned, Table};

/// A stretch of rows that lead into the ledger.
struct Stretch<T: Table> {
    /// Those that lead to sealed entries.
    sealed: Vec<Owned<T>>,
    /// The last row looked at, if there are more.
    next: Option<Owned<T>>,
}

/// Sums over the entries that are kept; `None` if one of them does not decode.
fn ledger_sums(rows: &impl Rows<Ledger>) -> Result<Option<LedgerSums>, StoreError> {
    let mut sums = Some(LedgerSums::default());
    rows.each(Ledger, .., |_, row| {
        match (&mut sums, row) {
            (Some(sums), Ok(row)) => sums.add(&row),
            _ => sums = None,
        }
        Ok(more_if(sums.is_some()))
    })?;
    Ok(sums)
}

fn sealed_pointers<T: Table<Row = u64>>(
    rows: &impl Rows<T>,
    table: T,
    anchor: u64,
    after: Option<Owned<T>>,
) -> Result<Stretch<T>, StoreError> {
    let mut sealed = Vec::new();
    let next = stretch(rows, table, after, |key, seq| {
        if seq < anchor {
            sealed.push(key.clone());
        }
        Ok(())
    })?;
    Ok(Stretch { sealed, next })
}

impl<S: Snapshot<View: View>> Mender<'_, S> {
    /// Brings the sums of the head to what the ledger gives, and removes what leads to sealed
    /// entries. While an entry that is kept does not decode, the sums stay: they have it.
    pub(super) fn ledger(&mut self) -> Result<(), StoreError> {
        let head = self.store.read()?.head()?;
        let sums = self.look(ledger_sums)?;
        if let Some(sums) = sums {
            self.fit_totals(fitted(&head, &sums))?;
        }
        self.pointers(Receipts, head.anchor, |receipts| Mend::Pointers { receipts, debits: Vec::new() })?;
        self.pointers(Debits, head.anchor, |debits| Mend::Pointers { receipts: Vec::new(), debits })
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

    fn pointers<T: Table<Row = u64>>(
        &mut self,
        table: T,
        anchor: u64,
        removed: impl Fn(Vec<Owned<T>>) -> Mend,
    ) -> Result<(), StoreError>
    where
        S::View: Rows<T>,
    {
        let (mut after, mut found) = (None, 0);
        loop {
            let Stretch { sealed, next } = self.look(|rows| sealed_pointers(rows, table, anchor, after))?;
            found += sealed.len() as u64;
            if !sealed.is_empty() && !self.report.dry_run {
                self.report.rows_removed += sealed.len() as u64;
                self.apply(Command::Mend(removed(sealed)))?;
            }
            match next {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        if found > 0 {
            self.report.sums += found;
            self.report.step(format!("{}: {found} rows of ledger entries that are sealed", T::NAME));
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
