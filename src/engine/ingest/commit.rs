//! The commits of an ingest: data, then rows, and nothing for a tree that was forgotten meanwhile.

use std::collections::HashSet;

use crate::hash::Checksum;
use crate::store::{BeginTree, Command, Mend, Outcome, Refused, TreeNumber};

use super::super::error::WriteError;
use super::builder::Part;
use super::intake::{BLOCK_BYTES_PER_COMMIT, COMMANDS_PER_COMMIT, HASH_BYTES_PER_COMMIT, Intake};
use super::options::IngestError;

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
            let _alone = self.core.both_files.write();
            let forgotten = self.leave_out_forgotten()?;
            self.write()?;
            self.read_mended_again();
            forgotten
        };
        forgotten.map_or(Ok(()), |name| Err(IngestError::Forgotten { name }))
    }

    /// Takes back what waits for trees that are gone, and data for trees that need none any more.
    /// Returns the name of a tree that is gone.
    fn leave_out_forgotten(&mut self) -> Result<Option<String>, IngestError> {
        let mut forgotten = None;
        let begun = self.commands.iter().filter_map(|command| match command {
            Command::BeginTree(begin) => Some(begin.tree),
            _ => None,
        });
        let begun: HashSet<TreeNumber> = begun.collect();
        for (tree, name) in std::mem::take(&mut self.waiting) {
            if begun.contains(&tree) {
                continue;
            }
            match self.core.store.read()?.tree(tree)? {
                Some(row) => {
                    if self.is_released(tree, &row)? {
                        self.blocks.discard(tree);
                    }
                }
                None => {
                    self.blocks.discard(tree);
                    self.commands.retain(|command| tree_of(command) != Some(tree));
                    forgotten = Some(name);
                }
            }
        }
        Ok(forgotten)
    }

    fn write(&mut self) -> Result<(), IngestError> {
        self.blocks.commit()?;
        if self.commands.is_empty() {
            return Ok(());
        }
        self.command_bytes = 0;
        let outcomes = self.core.write_bulk(std::mem::take(&mut self.commands))?;
        self.core.wake();
        for outcome in outcomes {
            match outcome {
                Outcome::Done { .. } | Outcome::Judged { .. } => {}
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

    /// Notes that rows of an existing tree wait for the next commit.
    pub(super) fn waits(&mut self, tree: TreeNumber, name: &str) -> Result<(), IngestError> {
        self.waiting.push((tree, name.to_owned()));
        if self.blocks.pending_bytes() >= BLOCK_BYTES_PER_COMMIT || self.waiting.len() >= COMMANDS_PER_COMMIT {
            self.commit()?;
        }
        Ok(())
    }

    /// Removes a tree of this ingest.
    pub(super) fn forget(&mut self, tree: TreeNumber) -> Result<(), IngestError> {
        self.commands.retain(|command| {
            !matches!(command,
            Command::BeginTree(begin) if begin.tree == tree)
        });
        self.commit()?;
        self.core.write_bulk(vec![Command::Forget { tree }])?;
        self.core.wake();
        Ok(())
    }
}

/// The tree that a command of an ingest is about.
fn tree_of(command: &Command) -> Option<TreeNumber> {
    match command {
        Command::BeginTree(begin) => Some(begin.tree),
        Command::AddGroups(add) => Some(add.tree),
        Command::FinishTree(finish) => Some(finish.tree),
        Command::Repair(repair) => Some(repair.tree),
        Command::Mend(Mend::Group(regroup)) => Some(regroup.tree),
        _ => None,
    }
}
