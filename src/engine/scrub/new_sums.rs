//! Checksums that wait to be written.

use crate::merkle::GROUP_LEAVES;
use crate::store::TreeNumber;
use crate::store::rows::SumRow;

/// Checksums that are not written yet.
#[derive(Debug, Default)]
pub(super) struct NewSums {
    /// Whole groups, in order.
    pub(super) rows: Vec<(TreeNumber, u64, SumRow)>,
    /// Tree and group of which these are the first leaves.
    pub(super) part: Option<(TreeNumber, u64, Vec<u64>)>,
    /// How often in a row they could not be written.
    pub(super) failed: u32,
}

impl NewSums {
    /// The first leaf of what waits.
    pub(super) fn begin(&self) -> Option<(TreeNumber, u64)> {
        let part = self.part.as_ref().map(|(tree, group, _)| (*tree, *group));
        let first = self.rows.first().map(|(tree, group, _)| (*tree, *group)).or(part);
        first.map(|(tree, group)| (tree, group * GROUP_LEAVES))
    }

    /// Adds the checksums of neighbouring leaves of a group, `first` being the first of them.
    /// Returns whether the group has those of its first leaves.
    pub(super) fn add(&mut self, tree: TreeNumber, first: u64, sums: &[u64], group_leaves: u64) -> bool {
        let group = first / GROUP_LEAVES;
        let begun = match self.part.take() {
            Some((of, at, begun)) if (of, at, at * GROUP_LEAVES + begun.len() as u64) == (tree, group, first) => begun,
            // A group of which the first leaves were not summed waits for the next pass.
            _ if !first.is_multiple_of(GROUP_LEAVES) => return false,
            _ => Vec::new(),
        };
        let leaves = [begun, sums.to_vec()].concat();
        if leaves.len() as u64 == group_leaves {
            self.rows.push((tree, group, SumRow { leaves }));
        } else {
            self.part = Some((tree, group, leaves));
        }
        true
    }
}
