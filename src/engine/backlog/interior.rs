//! Interior nodes above the tiles that are ready to be issued, and how nodes are made of stored
//! hashes.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::hash::{Checksum, hash_parent};
use crate::merkle::{GROUP_ORDER, Level, Shape, TILE_ORDER};
use crate::policy::backoff::Backoff;
use crate::protocol::TreeHandle;
use crate::store::{Reader, StoreError, TreeNumber};

/// A node whose children are known.
#[derive(Debug, Clone)]
pub(in crate::engine) struct ReadyNode {
    pub(in crate::engine) tree: TreeNumber,
    pub(in crate::engine) handle: TreeHandle,
    pub(in crate::engine) level: u8,
    pub(in crate::engine) index: u64,
    pub(in crate::engine) left: Checksum,
    pub(in crate::engine) right: Option<Checksum>,
    /// Index of the account the work is counted in: the strategy of its tree.
    pub(in crate::engine) account: usize,
}

/// Interior nodes of one tree at a time.
#[derive(Debug, Default)]
pub(in crate::engine) struct InteriorQueue {
    pub(in crate::engine) ready: VecDeque<ReadyNode>,
    pub(super) current: Option<Folding>,
    /// Trees with a damaged row, and when each is tried again. Bounded by [`KEPT_BACK_MAX`].
    kept_back: BTreeMap<TreeNumber, Backoff>,
}

/// Most trees with a damaged row that are remembered. Beyond it, no further tree is opened.
const KEPT_BACK_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Folding {
    pub(super) tree: TreeNumber,
    pub(super) level: u8,
    /// Next index to look at.
    pub(super) next: u64,
    /// Indices of this level that were given back or are still leased.
    pub(super) open: HashSet<u64>,
    pub(super) returned: Vec<u64>,
}

impl InteriorQueue {
    pub(in crate::engine) fn settled(&mut self, tree: TreeNumber, level: u8, index: u64) {
        if let Some(folding) = self.current.as_mut().filter(|f| f.tree == tree && f.level == level) {
            folding.open.remove(&index);
        }
    }

    pub(in crate::engine) fn give_back(&mut self, tree: TreeNumber, level: u8, index: u64) {
        if let Some(folding) = self.current.as_mut().filter(|f| f.tree == tree && f.level == level) {
            folding.returned.push(index);
        }
    }

    pub(in crate::engine) fn drop_tree(&mut self, tree: TreeNumber) {
        self.kept_back.remove(&tree);
        self.close(tree);
    }

    /// Takes the nodes of a tree back.
    fn close(&mut self, tree: TreeNumber) {
        self.ready.retain(|node| node.tree != tree);
        self.current.take_if(|folding| folding.tree == tree);
    }

    /// Keeps a tree back, one of whose rows is damaged.
    pub(super) fn keep_back(&mut self, tree: TreeNumber, now_ms: u64) {
        self.close(tree);
        let before = self.kept_back.get(&tree);
        let backoff = before.copied().unwrap_or(Backoff::failed(now_ms)).failed_again(now_ms);
        self.kept_back.insert(tree, backoff);
    }

    pub(super) fn may_open(&self, tree: TreeNumber, now_ms: u64) -> bool {
        match self.kept_back.get(&tree) {
            Some(backoff) => backoff.is_due(now_ms),
            None => self.kept_back.len() < KEPT_BACK_MAX,
        }
    }

    /// Its content was given again: it may be tried at once.
    pub(in crate::engine) fn given_again(&mut self, tree: TreeNumber) {
        self.kept_back.remove(&tree);
    }

    /// Goes on to the level above, once all nodes of this one are settled.
    pub(super) fn next_level(&mut self) {
        match self.current.as_mut() {
            Some(folding) if folding.level > 0 => {
                folding.level -= 1;
                folding.next = 0;
            }
            _ => self.current = None,
        }
    }

    /// Marks a node as leased: its token from an earlier boot was adopted.
    pub(in crate::engine) fn withdraw(&mut self, tree: TreeNumber, level: u8, index: u64) {
        self.ready.retain(|node| (node.tree, node.level, node.index) != (tree, level, index));
    }
}

/// Returns the level of the tiles' tops, above which the assembler would fold by itself.
pub(in crate::engine) fn tile_level(shape: Shape) -> Option<u8> {
    shape.height().checked_sub(TILE_ORDER).filter(|level| *level > 0)
}

/// Returns the node at `level` of a tree, from stored hashes; `level` is that of the tiles' tops or
/// above.
pub(in crate::engine) fn stored_node(
    reader: &dyn Reader,
    tree: TreeNumber,
    shape: Shape,
    level: u8,
    index: u64,
) -> Result<Option<Checksum>, StoreError> {
    if Some(level) != tile_level(shape) {
        return reader.interior(tree, level, index);
    }
    let first = index << (TILE_ORDER - GROUP_ORDER);
    let groups = reader.groups(tree, first, if first + 1 < shape.groups() { 2 } else { 1 })?;
    Ok(match groups.as_slice() {
        [left, right] => Some(hash_parent(&left.top, Some(&right.top))),
        [left] => Some(hash_parent(&left.top, None)),
        _ => None,
    })
}

/// Returns an interior node with its children, from stored hashes.
pub(in crate::engine) fn interior_node(
    reader: &dyn Reader,
    tree: TreeNumber,
    level: u8,
    index: u64,
) -> Result<Option<ReadyNode>, StoreError> {
    let Some(row) = reader.tree(tree)? else {
        return Ok(None);
    };
    let Ok(shape) = Shape::new(row.leaves) else {
        return Ok(None);
    };
    let Some(left) = stored_node(reader, tree, shape, level + 1, index * 2)? else {
        return Ok(None);
    };
    let has_right = index * 2 + 1 < shape.nodes_at(Level(level + 1));
    let right = if has_right { stored_node(reader, tree, shape, level + 1, index * 2 + 1)? } else { None };
    if has_right && right.is_none() {
        return Ok(None);
    }
    let account = row.strategy.index();
    Ok(Some(ReadyNode { tree, handle: row.handle, level, index, left, right, account }))
}
