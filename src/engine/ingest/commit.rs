//! The commits of an ingest: data, then rows, and nothing for a tree that was forgotten meanwhile,
//! or of which a row is damaged.

use std::collections::{BTreeMap, HashSet};

use crate::hash::Checksum;
use crate::store::{BeginTree, Command, Mend, Outcome, Refused, TreeNumber};

use super::builder::Part;
use super::intake::{BLOCK_BYTES_PER_COMMIT, COMMANDS_PER_COMMIT, HASH_BYTES_PER_COMMIT, Intake};
use super::options::{IngestError, Ingested};
use crate::engine::error::WriteError;
use crate::engine::writer::Unwritten;

impl Intake<'_> {
    /// Adds rows of a tree that is coming in.
    pub(super) fn queue(&mut self, begin: &BeginTree, part: Part) -> Result<(), IngestError> {
        let Part { chunks, sums, commands } = part;
        for (number, bytes) in chunks {
            self.blocks.put_chunk(begin.tree, number, bytes);
        }
        for (group, row) in sums {
            self.blocks.put_sums(begin.tree, group, row);
        }
        self.waiting.push((begin.tree, begin.name.clone()));
        for command in &commands {
            self.command_bytes += match command {
                Command::AddGroups(add) => {
                    add.groups.iter().map(|group| (group.leaves.len() + 1) * Checksum::LEN).sum()
                }
                _ => 256,
            };
        }
        self.commands.extend(commands);
        if self.blocks.pending_bytes() >= BLOCK_BYTES_PER_COMMIT
            || self.command_bytes >= HASH_BYTES_PER_COMMIT
            || self.commands.len() >= COMMANDS_PER_COMMIT
        {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes the waiting commands durable: block data first. While this runs no tree is forgotten,
    /// and no data dropped. A tree that was forgotten before gets no more rows, and the others get
    /// theirs.
    pub(super) fn commit(&mut self) -> Result<(), IngestError> {
        let forgotten = {
            let _alone = self.core.turns.both_files.write();
            let waiting: BTreeMap<TreeNumber, String> = std::mem::take(&mut self.waiting).into_iter().collect();
            let forgotten = self.leave_out_forgotten(&waiting)?;
            self.write(&waiting)?;
            let failed = &self.failed;
            self.mended.retain(|tree| !failed.contains(tree));
            self.read_mended_again();
            forgotten
        };
        for (tree, ingested, repaired) in self.counted.drain(..) {
            if !self.failed.remove(&tree) {
                self.report.count(ingested);
                self.report.repaired += repaired;
            }
        }
        if self.current.is_some_and(|tree| self.failed.contains(&tree)) {
            // Reported already; what comes next would be of no use.
            return Err(WriteError::NotStored("a row of the tree is damaged".into()).into());
        }
        forgotten.map_or(Ok(()), |name| Err(IngestError::Forgotten { name }))
    }

    /// Takes back what waits for trees that are gone, and data for trees that need none any more.
    /// Returns the name of a tree that is gone.
    fn leave_out_forgotten(&mut self, waiting: &BTreeMap<TreeNumber, String>) -> Result<Option<String>, IngestError> {
        let mut forgotten = None;
        let begun = self.commands.iter().filter_map(|command| match command {
            Command::BeginTree(begin) => Some(begin.tree),
            _ => None,
        });
        let begun: HashSet<TreeNumber> = begun.collect();
        for (tree, name) in waiting.iter().map(|(tree, name)| (*tree, name)) {
            if begun.contains(&tree) {
                continue;
            }
            let row = self.core.store.read()?.tree(tree);
            match row {
                Ok(Some(row)) => {
                    if self.is_released(tree, &row)? {
                        self.blocks.discard(tree);
                        let mends =
                            |command: &Command| matches!(command, Command::Mend(_)) && tree_of(command) == Some(tree);
                        if self.commands.iter().any(mends) {
                            continue;
                        }
                        // It was completed meanwhile, and needs no data: nothing is mended.
                        for (_, ingested, repaired) in self.counted.iter_mut().filter(|(of, ..)| *of == tree) {
                            (*ingested, *repaired) = (Ingested::Unchanged, 0);
                        }
                    }
                    continue;
                }
                Ok(None) => forgotten = Some(name.clone()),
                Err(error) if self.each && error.is_one_row() => self.row_damaged(tree, name, error),
                Err(error) => return Err(error.into()),
            }
            self.blocks.discard(tree);
            self.commands.retain(|command| tree_of(command) != Some(tree));
        }
        Ok(forgotten)
    }

    fn write(&mut self, names: &BTreeMap<TreeNumber, String>) -> Result<(), IngestError> {
        self.blocks.commit()?;
        if self.commands.is_empty() {
            return Ok(());
        }
        self.command_bytes = 0;
        let commands = std::mem::take(&mut self.commands);
        let repairs = repairs(&commands);
        if !self.each {
            let outcomes = self.core.writer.write_bulk(commands)?;
            self.core.background.wake();
            return all_done(outcomes, &repairs);
        }
        let written = match self.core.writer.write_rows(commands.clone()) {
            Ok(outcomes) => all_done(outcomes, &repairs),
            Err(Unwritten::Storage(error)) => Err(error.into()),
            Err(Unwritten::Row(_)) => self.write_singly(commands, names),
        };
        self.core.background.wake();
        written
    }

    /// One of the rows is damaged: each tree gets a commit of its own, in the order of their
    /// numbers, so that only the tree of that row goes without.
    fn write_singly(
        &mut self,
        commands: Vec<Command>,
        names: &BTreeMap<TreeNumber, String>,
    ) -> Result<(), IngestError> {
        let mut by_tree: BTreeMap<Option<TreeNumber>, Vec<Command>> = BTreeMap::new();
        for command in commands {
            by_tree.entry(tree_of(&command)).or_default().push(command);
        }
        for (tree, commands) in by_tree {
            let repairs = repairs(&commands);
            match (self.core.writer.write_rows(commands), tree) {
                (Ok(outcomes), _) => all_done(outcomes, &repairs)?,
                (Err(Unwritten::Row(what)), Some(tree)) => {
                    let name = names.get(&tree).map_or("", String::as_str);
                    self.row_damaged(tree, name, what);
                }
                (Err(Unwritten::Row(what)), None) => return Err(WriteError::NotStored(what).into()),
                (Err(Unwritten::Storage(error)), _) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Counts a tree of which a row is damaged; the others go on.
    fn row_damaged(&mut self, tree: TreeNumber, name: &str, what: impl ToString) {
        if self.failed.insert(tree) {
            self.report.damaged_trees += 1;
            self.report.problem(name, what);
        }
    }

    /// Notes that rows of an existing tree wait for the next commit.
    pub(super) fn waits(&mut self, tree: TreeNumber, name: &str) -> Result<(), IngestError> {
        self.waiting.push((tree, name.to_owned()));
        if self.blocks.pending_bytes() >= BLOCK_BYTES_PER_COMMIT || self.waiting.len() >= COMMANDS_PER_COMMIT {
            self.commit()?;
        }
        Ok(())
    }

    /// Removes a tree of this ingest.
    pub(super) fn forget(&mut self, tree: TreeNumber, name: &str) -> Result<(), IngestError> {
        self.commands.retain(|command| {
            !matches!(command,
            Command::BeginTree(begin) if begin.tree == tree)
        });
        self.commit()?;
        let forgotten = self.core.writer.write_rows(vec![Command::Forget { tree }]);
        self.core.background.wake();
        match forgotten {
            Ok(_) => Ok(()),
            Err(Unwritten::Row(what)) => {
                if self.each {
                    self.row_damaged(tree, name, &what);
                }
                Err(WriteError::NotStored(what).into())
            }
            Err(Unwritten::Storage(error)) => Err(error.into()),
        }
    }
}

/// Which of the commands are repairs.
fn repairs(commands: &[Command]) -> Vec<bool> {
    commands.iter().map(|command| matches!(command, Command::Repair(_))).collect()
}

fn all_done(outcomes: Vec<Outcome>, repairs: &[bool]) -> Result<(), IngestError> {
    for (outcome, repair) in outcomes.into_iter().zip(repairs) {
        match outcome {
            Outcome::Done { .. } | Outcome::Judged { .. } => {}
            // Its tree was completed meanwhile: no leaf of it is marked.
            Outcome::Refused(Refused::TreeGone) if *repair => {}
            Outcome::Refused(Refused::NameTaken(name)) => {
                return Err(IngestError::Conflict { name });
            }
            other => {
                return Err(WriteError::NotStored(format!("unexpected outcome {other:?}")).into());
            }
        }
    }
    Ok(())
}

/// The tree that a command of an ingest is about.
fn tree_of(command: &Command) -> Option<TreeNumber> {
    match command {
        Command::BeginTree(begin) => Some(begin.tree),
        Command::AddGroups(add) => Some(add.tree),
        Command::FinishTree(finish) => Some(finish.tree),
        Command::Repair(repair) => Some(repair.tree),
        Command::Mend(Mend::Group(regroup)) => Some(regroup.tree),
        Command::Mend(Mend::Recount(tree)) => Some(*tree),
        _ => None,
    }
}
