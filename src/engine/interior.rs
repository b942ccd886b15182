//! Interior nodes above the tiles as work, behind the `interior_units` switch: level by level, from the
//! parents of the tiles' tops to the root.

use std::collections::{HashSet, VecDeque};

use crate::hash::{Checksum, hash_parent};
use crate::merkle::{GROUP_ORDER, Level, Shape, TILE_ORDER};
use crate::store::{CHORE_FOLD, Reader, StoreError, TreeId};

use super::core::Core;

/// A node whose children are known.
#[derive(Debug, Clone)]
pub(super) struct ReadyNode {
    pub(super) tree: TreeId,
    pub(super) handle: [u8; 16],
    pub(super) level: u8,
    pub(super) index: u64,
    pub(super) left: Checksum,
    pub(super) right: Option<Checksum>,
}

/// Interior nodes of one tree at a time.
#[derive(Debug, Default)]
pub(super) struct InteriorQueue {
    pub(super) ready: VecDeque<ReadyNode>,
    current: Option<Folding>,
}

#[derive(Debug)]
struct Folding {
    tree: TreeId,
    level: u8,
    /// Next index to look at.
    next: u64,
    /// Indices that came back or are still out, of this level.
    open: HashSet<u64>,
    returned: Vec<u64>,
}

/// Nodes held ready.
const NODES_READY: usize = 64;

impl InteriorQueue {
    pub(super) fn settled(&mut self, tree: TreeId, level: u8, index: u64) {
        if let Some(folding) = self.current.as_mut().filter(|f| f.tree == tree && f.level == level) {
            folding.open.remove(&index);
        }
    }

    pub(super) fn give_back(&mut self, tree: TreeId, level: u8, index: u64) {
        if let Some(folding) = self.current.as_mut().filter(|f| f.tree == tree && f.level == level) {
            folding.returned.push(index);
        }
    }

    pub(super) fn drop_tree(&mut self, tree: TreeId) {
        self.ready.retain(|node| node.tree != tree);
        if self.current.as_ref().is_some_and(|folding| folding.tree == tree) {
            self.current = None;
        }
    }

    /// A node came back by its token from an earlier boot: it is out now.
    pub(super) fn withdraw(&mut self, tree: TreeId, level: u8, index: u64) {
        self.ready.retain(|node| (node.tree, node.level, node.index) != (tree, level, index));
    }
}

/// The level above which the assembler would fold by itself: the tiles' tops.
pub(super) fn tile_level(shape: Shape) -> Option<u8> {
    shape.height().checked_sub(TILE_ORDER).filter(|level| *level > 0)
}

/// The node at `level` of a tree, from what is stored; `level` is that of the tiles' tops or above.
pub(super) fn stored_node(
    reader: &Reader,
    tree: TreeId,
    shape: Shape,
    level: u8,
    index: u64,
) -> Result<Option<Checksum>, StoreError> {
    if Some(level) != tile_level(shape) {
        return Ok(reader.interior(tree, level, index)?.map(Checksum::from_bytes));
    }
    let first = index << (TILE_ORDER - GROUP_ORDER);
    let groups = reader.groups(tree, first, if first + 1 < shape.groups() { 2 } else { 1 })?;
    Ok(match groups.as_slice() {
        [left, right] => Some(hash_parent(&left.top, Some(&right.top))),
        [left] => Some(hash_parent(&left.top, None)),
        _ => None,
    })
}

impl Core {
    /// Finds interior nodes to hand out. Returns how many became ready.
    pub(super) fn refill_interior(&self) -> Result<usize, StoreError> {
        if !self.config.settings.interior_units {
            return Ok(0);
        }
        let _one = self.refilling.lock();
        let mut added = 0;
        while self.queue.lock().interior.ready.len() < NODES_READY {
            if !self.next_node()? {
                break;
            }
            added += 1;
        }
        Ok(added)
    }

    /// Makes one more node ready; false if there is none now.
    fn next_node(&self) -> Result<bool, StoreError> {
        let reader = self.store.read()?;
        loop {
            let current = {
                let mut queue = self.queue.lock();
                queue.interior.current.as_mut().map(|folding| {
                    let index = folding.returned.pop();
                    (folding.tree, folding.level, index, folding.next, folding.open.is_empty())
                })
            };
            let Some((tree, level, returned, next, level_done)) = current else {
                if !self.open_folding(&reader)? {
                    return Ok(false);
                }
                continue;
            };
            let row = reader.tree(tree)?.filter(|row| row.state == crate::store::records::TreeState::Folding);
            let (Some(row), Some(shape)) = (row.as_ref(), row.as_ref().and_then(|row| Shape::new(row.leaves).ok()))
            else {
                self.queue.lock().interior.current = None;
                continue;
            };
            let index = match returned {
                Some(index) => index,
                None if next < shape.nodes_at(Level(level)) => next,
                None if !level_done => return Ok(false),
                None => {
                    let mut queue = self.queue.lock();
                    match queue.interior.current.as_mut() {
                        Some(folding) if level > 0 => {
                            folding.level = level - 1;
                            folding.next = 0;
                        }
                        _ => queue.interior.current = None,
                    }
                    continue;
                }
            };
            let done = reader.interior(tree, level, index)?.is_some();
            let left = stored_node(&reader, tree, shape, level + 1, index * 2)?;
            let has_right = index * 2 + 1 < shape.nodes_at(Level(level + 1));
            let right = if has_right { stored_node(&reader, tree, shape, level + 1, index * 2 + 1)? } else { None };
            let mut queue = self.queue.lock();
            let claim = crate::policy::lease::Claim::Interior { tree, level, index };
            let out = queue.leases.is_out(&claim);
            let Some(folding) = queue.interior.current.as_mut().filter(|f| f.tree == tree && f.level == level) else {
                continue;
            };
            if returned.is_none() {
                folding.next = index + 1;
            }
            if done {
                folding.open.remove(&index);
                continue;
            }
            folding.open.insert(index);
            let Some(left) = left else {
                return Err(StoreError::Contradiction {
                    what: format!("tree {tree} lacks a child of {level}/{index}"),
                });
            };
            if !out {
                queue.interior.ready.push_back(ReadyNode { tree, handle: row.handle, level, index, left, right });
                return Ok(true);
            }
        }
    }

    fn open_folding(&self, reader: &Reader) -> Result<bool, StoreError> {
        for tree in reader.chores(CHORE_FOLD, None, 1)? {
            let level = reader.tree(tree)?.and_then(|row| Shape::new(row.leaves).ok()).and_then(tile_level);
            if let Some(level) = level {
                let folding = Folding { tree, level: level - 1, next: 0, open: HashSet::new(), returned: Vec::new() };
                self.queue.lock().interior.current = Some(folding);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
