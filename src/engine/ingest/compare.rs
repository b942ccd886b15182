//! Compares given content with the existing tree of the same name.

use crate::hash::Checksum;
use crate::store::rows::{DataPlace, HashReason, HashWork, HashesFrom, TreeRow};
use crate::store::{CHORE_DROP, Command, Mend, Regroup, Repair, TreeNumber};

use super::against::{Against, By};
use super::builder::{Content, TreeBuilder};
use super::intake::{BLOCK_BYTES_PER_COMMIT, Feed, Intake, Stop};
use super::options::{IngestError, Ingested};

impl<'i> Intake<'i> {
    /// Hashes the given content and compares it with the tree of that name.
    pub(super) fn compare(
        &mut self,
        (tree, row): (TreeNumber, &TreeRow),
        cut: u64,
        single: bool,
        feed: Feed<'_, 'i>,
    ) -> Result<Ingested, IngestError> {
        if row.strategy != self.options.strategy {
            let rule = "the tree of this name is verified in another way; forget it first, or use a prefix";
            return Err(IngestError::Option { field: "strategy", value: self.options.strategy.to_string(), rule });
        }
        let read = self.report.read;
        let released = self.is_released(tree, row)?;
        let mut same = self.same((tree, row), released, cut, single, feed)?;
        if same.is_none() && !released {
            // Its last leaf may have been verified meanwhile, and its data removed.
            let now = self.core.store.read()?.tree(tree)?;
            if let Some(now) = now
                && self.is_released(tree, &now)?
            {
                self.report.read = read;
                same = self.same((tree, &now), true, cut, single, feed)?;
            }
        }
        match same {
            Some(mut found) => {
                found.recount = match self.core.store.read()?.provenance(tree) {
                    Ok(_) => false,
                    Err(error) if error.is_one_row() => true,
                    Err(error) => return Err(error.into()),
                };
                // A file that was put back may be read at once.
                let mut queue = self.core.queue.lock();
                queue.blocked.given_again(tree, self.core.time.now_ms());
                queue.interior.given_again(tree);
                drop(queue);
                self.core.events.forget(tree);
                self.core.doubts.unstored.lock().forget(tree);
                let ingested = self.repair(tree, &row.name, found)?;
                self.waits(tree, &row.name)?;
                Ok(ingested)
            }
            None => Err(IngestError::Conflict { name: row.name.clone() }),
        }
    }

    /// Whether the data of the tree is removed, or may be removed at any moment.
    pub(super) fn is_released(&self, tree: TreeNumber, row: &TreeRow) -> Result<bool, IngestError> {
        Ok(row.data == DataPlace::Dropped || self.core.store.read()?.has_chore(CHORE_DROP, tree)?)
    }

    /// Returns what was found of damaged leaves if the content is that of the tree.
    fn same(
        &mut self,
        (tree, row): (TreeNumber, &TreeRow),
        released: bool,
        cut: u64,
        single: bool,
        feed: Feed<'_, 'i>,
    ) -> Result<Option<Against>, IngestError> {
        let mut begin = self.begin(tree, &row.name, row.handle);
        begin.send_cap = row.send_cap;
        // The same bytes in a file put back are another file to the fingerprint: it is recorded
        // again.
        let noted = row.data == DataPlace::Referenced && self.options.by_reference;
        begin.data = if noted && !released { DataPlace::Referenced } else { DataPlace::Dropped };
        let by = self.compared_by((tree, row), released)?;
        let by_root = matches!(by, By::Root { .. });
        let hashes = if by_root { own_hashes(row.strategy.hashes()) } else { row.strategy.hashes() };
        let mut builder = TreeBuilder::new(begin, cut, single).against(by, hashes);
        self.comparing = Some(by == By::Files);
        let fed = feed(self, &mut builder).and_then(|()| Ok(builder.close(&*self.core.store)?));
        self.comparing = None;
        let place = row.strategy.index();
        self.core.clients.count_server(place, HashReason::Ingest, builder.work[0]);
        self.core.clients.count_server(place, HashReason::Folding, builder.work[1]);
        let root = if by_root { row.root } else { Checksum::ZERO };
        let stored = Content { leaves: row.leaves, block_len: row.block_len, total_bytes: row.total_bytes, root };
        if matches!(&fed, Ok(Ok(content)) if *content == stored) {
            self.queue_renewals(&mut builder)?;
            let mut found = builder.found();
            if !released
                && self
                    .core
                    .store
                    .read()?
                    .tree(tree)?
                    .is_none_or(|row| matches!(self.is_released(tree, &row), Ok(true)))
            {
                // Its data was removed meanwhile: nothing is missing.
                found.mended.clear();
            }
            if row.data == DataPlace::Referenced && !noted && !row.strategy.knows_answers() {
                // The damaged bytes are still in their file.
                found.repaired.clear();
            }
            return Ok(Some(found));
        }
        self.blocks.discard(tree);
        self.waiting.retain(|(other, _)| *other != tree);
        match fed {
            Err(Stop::Error(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// Hashes from clients prove nothing about the given content, unless its data is gone.
    fn compared_by(&self, (tree, row): (TreeNumber, &TreeRow), released: bool) -> Result<By, IngestError> {
        if row.strategy.knows_answers() || released {
            return Ok(By::Root { strategy: row.strategy, kept: !released });
        }
        if row.data == DataPlace::Copied {
            return Ok(By::Bytes);
        }
        // An older tree gets them group by group.
        Ok(if self.core.store.has_all_sums(tree, row.leaves)? { By::Sums } else { By::Files })
    }

    /// Queues right bytes for damaged ones, and right checksums. Each is right by itself, whatever
    /// else is given.
    pub(super) fn queue_renewals(&mut self, builder: &mut TreeBuilder) -> Result<(), IngestError> {
        let renewals = builder.take_renewals();
        let waits = self.waiting.last().is_some_and(|(tree, _)| *tree == builder.tree());
        if !renewals.is_empty() && !waits {
            self.waiting.push((builder.tree(), builder.begin.name.clone()));
        }
        for renewal in renewals {
            self.blocks.renew(builder.tree(), renewal);
        }
        if self.comparing.is_some() && self.blocks.pending_bytes() >= BLOCK_BYTES_PER_COMMIT {
            self.commit()?;
        }
        Ok(())
    }

    /// Leaves that were mended by a commit may be handed out.
    pub(super) fn read_mended_again(&mut self) {
        for tree in self.mended.drain(..) {
            let mut queue = self.core.queue.lock();
            queue.blocked.given_again(tree, self.core.time.now_ms());
            // Units that are ready may have been read before.
            queue.ring.remove_if(|unit| unit.tree == tree);
            queue.drop_reading(tree);
            queue.look_again(tree);
            drop(queue);
            self.core.doubts.put_off.lock().forget(tree);
            self.core.found.mended_again(tree);
        }
    }

    /// The content is that of the tree; blocks that were damaged count if they are right now.
    fn repair(&mut self, tree: TreeNumber, name: &str, found: Against) -> Result<Ingested, IngestError> {
        for leaf in &found.damaged {
            self.report.damaged += 1;
            self.report.problem(
                format!("{name}, leaf {leaf}"),
                "the block still does not hash to its address or to the hash stored for it",
            );
        }
        if found.repaired.is_empty() && found.groups.is_empty() && found.mended.is_empty() && !found.recount {
            return Ok(Ingested::Unchanged);
        }
        self.repaired += (found.repaired.len() + found.mended.len()) as u64;
        self.repaired += found.groups.iter().map(|(_, leaves)| leaves.len() as u64).sum::<u64>();
        let rooted = matches!(found.by, By::Root { .. });
        self.mended.push(tree);
        if found.recount {
            self.commands.push(Command::Mend(Mend::Recount(tree)));
        }
        for (group, leaves) in found.groups {
            self.commands.push(Command::Mend(Mend::Group(Regroup { tree, group, leaves, rooted })));
        }
        // Those that were not marked when they were compared may be by now.
        for leaves in found.repaired.chunks(REPAIRS_PER_COMMAND).chain(found.mended.chunks(REPAIRS_PER_COMMAND)) {
            let repair = Repair { tree, leaves: leaves.to_vec(), work: HashWork::default() };
            self.commands.push(Command::Repair(repair));
            if self.commands.len() >= REPAIRS_PER_COMMIT {
                self.waiting.push((tree, name.to_owned()));
                self.commit()?;
                self.mended.push(tree);
            }
        }
        Ok(Ingested::Repaired)
    }
}

/// Source of the hashes when given content is compared by its root.
fn own_hashes(hashes: HashesFrom) -> HashesFrom {
    if hashes == HashesFrom::Clients { HashesFrom::Server } else { hashes }
}

/// Leaves taken as repaired with one command, and commands of one commit.
const REPAIRS_PER_COMMAND: usize = 1_024;
const REPAIRS_PER_COMMIT: usize = 64;
