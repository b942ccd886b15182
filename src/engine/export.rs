//! Export: the addresses a Constituent Block List consumes. Streams; holds no tree in memory.

use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, GROUP_ORDER, Level, LevelFolder, Shape, StreamError, fold_level};
use crate::store::StoreError;

use super::PouwEngine;
use super::core::Core;
use super::error::TreeError;

/// Takes exported nodes in order. Anything that can fail, fails the export.
pub type NodeSink<'s> = &'s mut dyn FnMut(&Checksum) -> std::io::Result<()>;

impl PouwEngine {
    /// All nodes of a complete tree, root first, level by level, left to right: the paper's `Checksum`
    /// array. Validates first.
    ///
    /// # Errors
    /// [`TreeError::NotComplete`], [`TreeError::Inconsistent`] with the first position that does not fit.
    pub fn export_addresses(&self, name: &str, sink: NodeSink<'_>) -> Result<u64, TreeError> {
        let core = self.core();
        let (tree, row) = core.complete(name)?;
        core.validate_row(tree, &row)?;
        let no_shape = || StoreError::Contradiction { what: format!("tree {tree} has no shape") };
        let shape = Shape::new(row.leaves).map_err(|_| no_shape())?;
        let groups = Core::group_level(shape);
        for to in 0..groups.0 {
            let mut folder = LevelFolder::new(shape, groups, Level(to)).map_err(|error| broken(tree, &error))?;
            core.each_group(tree, &row, |_, group| match folder.push(group.top) {
                Some(node) => Ok(sink(&node)?),
                None => Ok(()),
            })?;
            if let Some(node) = folder.finish().map_err(|error| broken(tree, &error))? {
                sink(&node)?;
            }
        }
        for level in groups.0..=shape.height() {
            let steps = shape.height() - level;
            core.each_group(tree, &row, |_, group| {
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
        Ok(shape.node_count())
    }

    /// The leaves of a complete tree in order: the address list of the file. Validates first.
    ///
    /// # Errors
    /// As [`export_addresses`](Self::export_addresses).
    pub fn export_leaves(&self, name: &str, sink: NodeSink<'_>) -> Result<u64, TreeError> {
        let core = self.core();
        let (tree, row) = core.complete(name)?;
        core.validate_row(tree, &row)?;
        let mut written = 0;
        core.each_group(tree, &row, |_, group| {
            debug_assert!(group.leaves.len() as u64 <= GROUP_LEAVES);
            written += group.leaves.len() as u64;
            group.leaves.iter().try_for_each(|leaf| Ok(sink(leaf)?))
        })?;
        Ok(written)
    }
}

fn broken(tree: u64, error: &StreamError) -> StoreError {
    StoreError::Contradiction { what: format!("tree {tree}: {error}") }
}
