//! Bringing rows that follow from others to what those give, step by step.

use super::derived::{self, Found};
use super::{Mend, Mender};
use crate::store::command::Command;
use crate::store::command::mend::Derived;
use crate::store::error::StoreError;
use crate::store::port::{Snapshot, View};
use crate::store::rows::{DataPlace, ProvenanceRow, StoreTotals, TreeRow, TreeState};
use crate::store::rules::fits::readable;
use crate::store::schema::{CHORE_DROP, Debits, Receipts, TreeNumber};

impl<S: Snapshot<View: View>> Mender<'_, S> {
    /// Brings rows that follow from others to what those give: first removes what is contradicted,
    /// then writes what is missing.
    pub(super) fn derived(&mut self) -> Result<(), StoreError> {
        let head = self.store.read()?.head()?;
        self.walk(derived::odd_names)?;
        self.walk(derived::odd_handles)?;
        self.walk(derived::odd_places)?;
        self.walk(|rows, after, found| derived::odd_chores(rows, head.next_tree, after, found))?;
        self.walk(|rows, after, found| derived::odd_pointers(rows, Receipts, &head, after, found))?;
        self.walk(|rows, after, found| derived::odd_pointers(rows, Debits, &head, after, found))?;
        self.walk(|rows, after: Option<u64>, found| derived::lost_pointers(rows, after.unwrap_or(0), found))?;
        self.trees(head.totals)
    }

    fn walk<K>(
        &mut self,
        look: impl Fn(&S::View, Option<K>, &mut Found) -> Result<Option<K>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let mut found = Found::default();
            after = self.look(|rows| look(rows, after, &mut found))?;
            self.settle(found)?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn settle(&mut self, found: Found) -> Result<(), StoreError> {
        for what in found.lost {
            self.report.stays(what);
        }
        if found.rows.is_empty() {
            return Ok(());
        }
        self.report.derived += found.rows.len() as u64;
        let (rows, steps): (Vec<Derived>, Vec<String>) = found.rows.into_iter().unzip();
        steps.into_iter().for_each(|step| self.report.step(step));
        if !self.report.dry_run {
            self.apply(Command::Mend(Mend::Derived(rows)))?;
        }
        Ok(())
    }

    /// What follows from the row of each tree and from the states of its leaves, and the sums over
    /// all trees.
    fn trees(&mut self, before: StoreTotals) -> Result<(), StoreError> {
        let (mut trees, mut complete, mut pending) = (0, 0, 0_u64);
        let (mut from, mut all) = (Some(0), true);
        while let Some(at) = from {
            let page = self.look(|rows| derived::tree_rows(rows, at))?;
            from = page.last().and_then(|(tree, _)| tree.checked_add(1));
            for (tree, row) in page {
                let Some(row) = row else {
                    all = false;
                    continue;
                };
                let counts = self.tree(tree, &row)?;
                if row.state != TreeState::Ingesting {
                    trees += 1;
                    let lost = counts.map_or(0, |counts| counts.damaged);
                    pending = pending.saturating_add(row.leaves.saturating_sub(row.done).saturating_sub(lost));
                }
                complete += u64::from(row.state == TreeState::Complete);
                all &= counts.is_some();
            }
        }
        // A tree that cannot be read has its part in them.
        if all && self.report.not_mended == 0 {
            self.fit_totals(StoreTotals { trees, complete, pending, ..before })?;
        }
        Ok(())
    }

    /// Returns the counts of the tree, if they are known.
    fn tree(&mut self, tree: TreeNumber, row: &TreeRow) -> Result<Option<ProvenanceRow>, StoreError> {
        let chore = self.store.read()?.has_chore(CHORE_DROP, tree)?;
        let released = row.data == DataPlace::Dropped || (chore && row.state == TreeState::Complete);
        let (mut counts, mut tile) = (Some(ProvenanceRow::default()), Some(0));
        while let Some(from) = tile {
            let mut found = Found::default();
            tile = self.look(|rows| derived::odd_notes(rows, (tree, released), from, &mut counts, &mut found))?;
            self.settle(found)?;
        }
        let stored = readable(self.store.read()?.provenance(tree))?;
        let known = match (stored, counts) {
            (None, None) => {
                let what =
                    "the counts in provenance-0 and states in tiles-0 are damaged; forget it, or restore the store";
                self.report.stays(format!("tree {tree}: {what} from a backup"));
                None
            }
            (stored, Some(counts)) if stored != Some(counts) => {
                self.report.derived += 1;
                self.report.step(format!("tree {tree}: the counts in provenance-0 do not fit tiles-0"));
                if !self.report.dry_run {
                    self.apply(Command::Mend(Mend::Recount(tree)))?;
                }
                Some(counts)
            }
            (stored, counts) => counts.or(stored),
        };
        if let Some(known) = known {
            let mut found = Found::default();
            self.look(|rows| derived::lost_of_tree(rows, (tree, row), known.weak() > 0, &mut found))?;
            self.settle(found)?;
        }
        Ok(known)
    }
}
