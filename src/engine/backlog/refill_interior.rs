//! Issues interior nodes above the tiles as work, if `interior_units` is on: level by level, from
//! the parents of the tiles' tops to the root. A tree of which a row is damaged is kept back, and
//! the others go on.

use std::collections::HashSet;

use crate::merkle::{Level, Shape};
use crate::policy::lease::Claim;
use crate::store::records::TreeState;
use crate::store::{CHORE_FOLD, Reader, StoreError, TreeNumber};

use super::interior::{Folding, interior_node, tile_level};
use crate::engine::core::Core;

/// Trees looked at in one step of the search for the next one.
const TREES_PER_LOOK: usize = 64;
/// The state of the current tree, as seen under the lock.
struct Step {
    tree: TreeNumber,
    level: u8,
    returned: Option<u64>,
    next: u64,
    level_done: bool,
}

/// Most nodes held ready.
const NODES_READY: usize = 64;

impl Core {
    /// Finds interior nodes to issue. Returns how many became ready.
    pub(in crate::engine) fn refill_interior(&self) -> Result<usize, StoreError> {
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

    /// Makes one more node ready. Returns false if there is none now.
    fn next_node(&self) -> Result<bool, StoreError> {
        loop {
            let step = {
                let mut queue = self.queue.lock();
                queue.interior.current.as_mut().map(|folding| Step {
                    tree: folding.tree,
                    level: folding.level,
                    returned: folding.returned.pop(),
                    next: folding.next,
                    level_done: folding.open.is_empty(),
                })
            };
            let Some(step) = step else {
                if !self.open_folding()? {
                    return Ok(false);
                }
                continue;
            };
            // Opened after the level was read, so that it contains all nodes settled before.
            match self.store.read().and_then(|reader| self.take_step(&reader, &step)) {
                Ok(Some(ready)) => return Ok(ready),
                Ok(None) => {}
                Err(error) if error.is_one_row() => self.keep_folding_back(step.tree, &error),
                Err(error) => {
                    if let Some(index) = step.returned {
                        self.queue.lock().interior.give_back(step.tree, step.level, index);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Takes one step. Returns true if a node is ready, false if none can be, and `None` to look
    /// again.
    fn take_step(&self, reader: &Reader, step: &Step) -> Result<Option<bool>, StoreError> {
        let Step { tree, level, .. } = *step;
        let row = reader.tree(tree)?.filter(|row| row.state == TreeState::Folding);
        let Some(shape) = row.and_then(|row| Shape::new(row.leaves).ok()) else {
            self.queue.lock().interior.current = None;
            return Ok(None);
        };
        let index = match step.returned {
            Some(index) => index,
            None if step.next < shape.nodes_at(Level(level)) => step.next,
            None if !step.level_done => return Ok(Some(false)),
            None => {
                self.queue.lock().interior.next_level();
                return Ok(None);
            }
        };
        let done = reader.interior(tree, level, index)?.is_some();
        let node = if done { None } else { interior_node(reader, tree, level, index)? };
        if !done && node.is_none() {
            return Err(StoreError::Contradiction { what: format!("tree {tree} lacks a child of {level}/{index}") });
        }
        let mut queue = self.queue.lock();
        let out = queue.leases.is_out(&Claim::Interior { tree, level, index });
        let Some(folding) = queue.interior.current.as_mut().filter(|f| f.tree == tree && f.level == level) else {
            return Ok(None);
        };
        if step.returned.is_none() {
            folding.next = index + 1;
        }
        let Some(node) = node else {
            folding.open.remove(&index);
            return Ok(None);
        };
        folding.open.insert(index);
        if out {
            return Ok(None);
        }
        queue.interior.ready.push_back(node);
        Ok(Some(true))
    }

    fn keep_folding_back(&self, tree: TreeNumber, error: &StoreError) {
        self.queue.lock().interior.keep_back(tree, self.now_ms());
        self.events.corruption_later(Some(tree), error.to_string());
    }

    /// Opens the next tree to be folded. Returns false if there is none.
    fn open_folding(&self) -> Result<bool, StoreError> {
        let reader = self.store.read()?;
        let mut after = None;
        loop {
            let page = reader.chores(CHORE_FOLD, after, TREES_PER_LOOK)?;
            let Some(last) = page.last() else { return Ok(false) };
            after = Some(*last);
            for tree in page {
                if !self.queue.lock().interior.may_open(tree, self.now_ms()) {
                    continue;
                }
                let row = match reader.check_chore(CHORE_FOLD, tree).and_then(|()| reader.tree(tree)) {
                    Ok(row) => row,
                    Err(error) if error.is_one_row() => {
                        self.keep_folding_back(tree, &error);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if let Some(level) = row.and_then(|row| Shape::new(row.leaves).ok()).and_then(tile_level) {
                    let level = level - 1;
                    let folding = Folding { tree, level, next: 0, open: HashSet::new(), returned: Vec::new() };
                    self.queue.lock().interior.current = Some(folding);
                    return Ok(true);
                }
            }
        }
    }
}
