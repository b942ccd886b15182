//! Mending a closed store: removes what belongs to no tree, finishes removals that stopped, brings
//! rows that follow from others to what those give, and fits the sums of the head to the rows.
//!
//! The order: rows of the state file that belong to no tree get a note that they are to be removed;
//! then rows that follow from others are removed or written; then every noted removal is finished;
//! then block data goes that no tree needs. Each step is bounded and durable by itself, so that
//! mending may be interrupted, and goes on when it is repeated.

mod derived;
mod follow;
mod ledger;
mod report;

use std::collections::BTreeSet;

use super::command::Command;
use super::command::mend::Mend;
use super::command::outcome::Outcome;
use super::contract::Store;
use super::error::{CommitFailure, StoreError};
use super::port::{Snapshot, View};
use super::rules::fits::readable;
use super::schema::{CHORE_DROP, CHORE_PURGE, TreeNumber};
pub use report::{MEND_STEPS_SHOWN, MendReport, MendStep};

/// Trees looked at, and rows looked at or removed, in one step.
const TREES_PER_STEP: usize = 256;
const ROWS_PER_STEP: usize = 2_048;
/// Trees without an owner that are looked for in names and handles with one walk over these.
const TREES_PER_WALK: usize = 65_536;

/// Mends a store that is open for nothing else, or only looks at it in a dry run. `snapshot` gives
/// a fresh snapshot of its newest commit; none is held while something changes.
///
/// # Errors
/// [`StoreError`] if the storage fails or a row is damaged.
pub(in crate::store) fn run<S: Snapshot<View: View>>(
    store: &dyn Store,
    snapshot: &dyn Fn() -> Result<S, StoreError>,
    dry_run: bool,
) -> Result<MendReport, StoreError> {
    let mut mender = Mender { store, snapshot, report: MendReport { dry_run, ..MendReport::default() } };
    mender.rows()?;
    mender.derived()?;
    mender.removals(CHORE_PURGE)?;
    mender.removals(CHORE_DROP)?;
    mender.data()?;
    mender.ledger()?;
    Ok(mender.report)
}

struct Mender<'s, S> {
    store: &'s dyn Store,
    snapshot: &'s dyn Fn() -> Result<S, StoreError>,
    report: MendReport,
}

impl<S: Snapshot<View: View>> Mender<'_, S> {
    /// Looks at the newest commit.
    fn look<T>(&self, with: impl FnOnce(&S::View) -> Result<T, StoreError>) -> Result<T, StoreError> {
        (self.snapshot)()?.look(with)
    }

    fn apply_all(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        // The clock of the store stays where it is.
        let applied = self.store.apply(commands, 0).map_err(|failure| match failure {
            CommitFailure::RolledBack(error) | CommitFailure::Unknown { error, .. } => error,
        })?;
        Ok(applied.outcomes)
    }

    fn apply(&self, command: Command) -> Result<Outcome, StoreError> {
        self.apply_all(&[command])?
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Contradiction { what: "a commit without an outcome".into() })
    }

    /// Rows of the state file that belong to no tree.
    fn rows(&mut self) -> Result<(), StoreError> {
        let mut from = Some(0);
        while let Some(at) = from {
            let reader = self.store.read()?;
            let found = reader.ownerless(at, TREES_PER_WALK)?;
            let named = if found.is_empty() { BTreeSet::new() } else { reader.named(&found)? };
            drop(reader);
            from = found.last().filter(|_| found.len() == TREES_PER_WALK).and_then(|last| last.checked_add(1));
            for tree in &named {
                self.report.stays(format!(
                    "tree {tree}: its row in trees-0 is missing, but its name or handle is not; restore the store from \
                     a backup"
                ));
            }
            let nameless: Vec<TreeNumber> = found.into_iter().filter(|tree| !named.contains(tree)).collect();
            for trees in nameless.chunks(TREES_PER_STEP) {
                self.note_removals(trees)?;
            }
        }
        Ok(())
    }

    fn note_removals(&mut self, trees: &[TreeNumber]) -> Result<(), StoreError> {
        let mut refused = BTreeSet::new();
        if !self.report.dry_run {
            let notes: Vec<Command> = trees.iter().map(|tree| Command::Mend(Mend::Removal(*tree))).collect();
            for (tree, outcome) in trees.iter().zip(self.apply_all(&notes)?) {
                if !matches!(outcome, Outcome::Done { .. }) {
                    refused.insert(*tree);
                }
            }
        }
        for tree in trees {
            if refused.contains(tree) {
                self.report.stays(format!("tree {tree}: its number was never given; restore the store from a backup"));
            } else {
                self.report.leftover_rows += 1;
                self.report.step(format!("tree {tree}: rows without a tree"));
            }
        }
        Ok(())
    }

    /// Trees whose rows, or whose data, are noted to be removed.
    fn removals(&mut self, kind: u8) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let trees = self.store.read()?.chores(kind, after, TREES_PER_STEP)?;
            let Some(last) = trees.last() else { return Ok(()) };
            after = Some(*last);
            for tree in trees {
                if let Err(error) = self.store.read()?.tree(tree) {
                    if !error.is_one_row() {
                        return Err(error);
                    }
                    self.report.stays(format!("tree {tree}: {error}"));
                    continue;
                }
                if readable(self.store.read()?.check_chore(kind, tree))?.is_none() {
                    // It does not fit, and is a step of its own.
                    continue;
                }
                self.report.removals += 1;
                let what = if kind == CHORE_PURGE { "the removal of the tree" } else { "the removal of its data" };
                self.report.step(format!("tree {tree}: {what} was not finished"));
                self.remove(kind, tree)?;
            }
        }
    }

    fn remove(&mut self, kind: u8, tree: TreeNumber) -> Result<(), StoreError> {
        if self.report.dry_run {
            return Ok(());
        }
        if self.drop_data(&[tree])? > 0 {
            self.report.removals -= 1;
            return Ok(());
        }
        loop {
            let limit = ROWS_PER_STEP;
            let command =
                if kind == CHORE_PURGE { Command::Purge { tree, limit } } else { Command::DropData { tree, limit } };
            match self.apply(command)? {
                Outcome::Done { rows, more } => {
                    self.report.rows_removed += rows;
                    if !more {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Block data that no tree needs.
    fn data(&mut self) -> Result<(), StoreError> {
        let mut from = Some(0);
        while let Some(at) = from {
            let found = self.store.leftovers(at, TREES_PER_STEP)?;
            from = found.next;
            if let Some(error) = found.unread {
                self.report.stays(format!("block data of a tree from {at} on was passed over: {error}"));
            }
            for tree in &found.trees {
                self.report.leftover_data += 1;
                self.report.step(format!("tree {tree}: block data that no tree needs"));
            }
            if !self.report.dry_run {
                self.report.leftover_data -= self.drop_data(&found.trees)?;
            }
        }
        Ok(())
    }

    /// Returns of how many trees the data stays.
    fn drop_data(&mut self, trees: &[TreeNumber]) -> Result<u64, StoreError> {
        let (mut left, mut stay) = (trees, 0);
        while !left.is_empty() {
            let dropped = self.store.drop_blocks(left, ROWS_PER_STEP)?;
            self.report.rows_removed += dropped.rows as u64;
            for (tree, error) in dropped.kept {
                self.report.stays(format!("tree {tree}: its block data stays: {error}"));
                stay += 1;
            }
            left = &left[dropped.through..];
        }
        Ok(stay)
    }
}
