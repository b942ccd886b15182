//! Export of the addresses for a Constituent Block List. It streams, and holds no tree in memory.

use std::ops::ControlFlow;

use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, GROUP_ORDER, Level, LevelFolder, Shape, StreamError, fold_level};
use crate::store::rows::{HashReason, HashWork, TreeRow};
use crate::store::{Command, Outcome, StoreError, TreeNumber};

use super::assure::{OnVerify, VerifyProgress};
use super::export_policy::ExportPolicy;
use super::provenance::{Provenance, Provenances};
use crate::engine::core::Core;
use crate::engine::error::TreeError;
use crate::engine::handle::PouwEngine;
use crate::engine::trees::assure;
use crate::engine::trees::stored;

/// Takes exported nodes in order. An error of the sink ends the export.
pub type NodeSink<'s> = &'s mut dyn FnMut(&Checksum) -> std::io::Result<()>;

/// The result of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Checksums written.
    pub nodes: u64,
    /// Why the weakest leaf of the tree counts.
    pub provenance: Provenance,
}

impl PouwEngine {
    /// Satisfies `policy` for a tree, as an export does first. For a host that wants to show the
    /// progress.
    ///
    /// # Errors
    /// As [`export_addresses`](Self::export_addresses).
    pub fn satisfy(
        &self,
        name: &str,
        policy: ExportPolicy,
        progress: OnVerify<'_>,
    ) -> Result<VerifyProgress, TreeError> {
        Ok(assure::satisfy(self.core(), name, policy, progress)?.1)
    }

    /// Exports all nodes of a complete tree, root first, level by level, left to right: the paper's
    /// `Checksum` array. Validates first. Under [`ExportPolicy::Strict`].
    ///
    /// # Errors
    /// [`TreeError::NotComplete`], [`TreeError::Inconsistent`] with the first position that does
    /// not fit, [`TreeError::Unverifiable`].
    pub fn export_addresses(&self, name: &str, sink: NodeSink<'_>) -> Result<ExportReport, TreeError> {
        self.export_addresses_under(ExportPolicy::Strict, name, sink)
    }

    /// Exports all nodes as [`export_addresses`](Self::export_addresses) does, under `policy`.
    ///
    /// # Errors
    /// As [`export_addresses`](Self::export_addresses).
    pub fn export_addresses_under(
        &self,
        policy: ExportPolicy,
        name: &str,
        sink: NodeSink<'_>,
    ) -> Result<ExportReport, TreeError> {
        let core = self.core();
        let (tree, row, provenance) = ready_to_export(core, name, policy)?;
        let no_shape = || StoreError::Contradiction { what: format!("tree {tree} has no shape") };
        let shape = Shape::new(row.leaves).map_err(|_| no_shape())?;
        let groups = shape.group_level();
        for to in 0..groups.0 {
            let mut folder = LevelFolder::new(shape, groups, Level(to)).map_err(|error| broken(tree, &error))?;
            stored::each_group(core, tree, &row, |_, group| match folder.push(group.top) {
                Some(node) => Ok(sink(&node)?),
                None => Ok(()),
            })?;
            if let Some(node) = folder.finish().map_err(|error| broken(tree, &error))? {
                sink(&node)?;
            }
        }
        for level in groups.0..=shape.height() {
            let steps = shape.height() - level;
            stored::each_group(core, tree, &row, |_, group| {
                if steps == GROUP_ORDER {
                    return Ok(sink(&group.top)?);
                }
                let mut nodes = group.leaves.clone();
                for _ in 0..steps {
                    nodes = fold_level(&nodes);
                }
                nodes.iter().try_for_each(|node| Ok(sink(node)?))
            })?;
        }
        stored::is_unchanged(core, tree, &row)?;
        Ok(ExportReport { nodes: shape.node_count(), provenance })
    }

    /// Exports the leaves of a complete tree in order: the address list of the file. Validates
    /// first. Under [`ExportPolicy::Strict`].
    ///
    /// # Errors
    /// As [`export_addresses`](Self::export_addresses).
    pub fn export_leaves(&self, name: &str, sink: NodeSink<'_>) -> Result<ExportReport, TreeError> {
        self.export_leaves_under(ExportPolicy::Strict, name, sink)
    }

    /// Exports the leaves as [`export_leaves`](Self::export_leaves) does, under `policy`.
    ///
    /// # Errors
    /// As [`export_addresses`](Self::export_addresses).
    pub fn export_leaves_under(
        &self,
        policy: ExportPolicy,
        name: &str,
        sink: NodeSink<'_>,
    ) -> Result<ExportReport, TreeError> {
        let core = self.core();
        let (tree, row, provenance) = ready_to_export(core, name, policy)?;
        let mut written = 0;
        stored::each_group(core, tree, &row, |_, group| {
            debug_assert!(group.leaves.len() as u64 <= GROUP_LEAVES);
            written += group.leaves.len() as u64;
            group.leaves.iter().try_for_each(|leaf| Ok(sink(leaf)?))
        })?;
        stored::is_unchanged(core, tree, &row)?;
        Ok(ExportReport { nodes: written, provenance })
    }

    /// Accepts the leaves of a complete tree as they are and drops its block data; unverified
    /// leaves cannot be verified after this. An export does not do it, since it may be interrupted.
    ///
    /// # Errors
    /// [`TreeError::NotComplete`]; [`TreeError::Unverifiable`] while it has doubted leaves that
    /// cannot be hashed.
    pub fn release(&self, name: &str) -> Result<(), TreeError> {
        let core = self.core();
        let (tree, row) = stored::complete(core, name)?;
        if !row.strategy.knows_answers() {
            // What is doubted must be hashed while its data is there.
            let one = core.turns.audit.lock();
            let released = release_locked(core, tree, &row.name);
            drop(one);
            core.events.report_stored();
            released?;
        }
        core.background.wake();
        Ok(())
    }
}

fn release_locked(core: &Core, tree: TreeNumber, name: &str) -> Result<(), TreeError> {
    assure::clear_doubts(core, tree, &mut VerifyProgress::default(), &mut |_| ControlFlow::Continue(()))?;
    // A corrected leaf removed the tree's root, and only a complete tree can be released.
    assure::complete_again(core, tree)?;
    match core.writer.write_bulk(vec![Command::Release { tree }])?.first() {
        Some(Outcome::Done { .. }) => Ok(()),
        _ => Err(TreeError::Corrected(name.to_owned())),
    }
}

/// Satisfies the policy, and validates.
fn ready_to_export(
    core: &Core,
    name: &str,
    policy: ExportPolicy,
) -> Result<(TreeNumber, TreeRow, Provenance), TreeError> {
    let (satisfied, _) = assure::satisfy(core, name, policy, &mut |_| ControlFlow::Continue(()))?;
    let (tree, row) = stored::complete(core, name)?;
    if tree != satisfied {
        return Err(TreeError::Corrected(row.name));
    }
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::ExportUnvalidated) {
        return Ok((tree, row, Provenance::Verified));
    }
    let validated = stored::validate_row(core, tree, &row);
    if matches!(validated, Err(TreeError::Inconsistent { .. })) {
        // Its pages may be from before and after a correction.
        stored::is_unchanged(core, tree, &row)?;
    }
    let (folds, _) = validated?;
    core.clients.count_server(row.strategy.index(), HashReason::Folding, HashWork::of_parents(folds, 0));
    let found = Provenances::of(row.done, &core.store.read()?.provenance(tree)?);
    Ok((tree, row, found.weakest().unwrap_or(Provenance::Verified)))
}

fn broken(tree: u64, error: &StreamError) -> StoreError {
    StoreError::Contradiction { what: format!("tree {tree}: {error}") }
}
