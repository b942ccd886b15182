//! Issues interior nodes above the tiles as work, if `interior_units` is on: level by level, from
//! the parents of the tiles' tops to the root. A tree of which a row is damaged is kept back, and
//! the others go on.

use std::collections::HashSet;

use crate::merkle::{Level, Shape};
use crate::policy::lease::Claim;
use crate::store::rows::TreeState;
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

/// Finds interior nodes to issue. Returns how many became ready.
pub(in crate::engine) fn refill_interior(core: &Core) -> Result<usize, StoreError> {
    if !core.config.settings.interior_units {
        return Ok(0);
    }
    let _one = core.turns.refill.lock();
    let mut added = 0;
    while core.queue.lock().interior.ready.len() < NODES_READY {
        if !next_node(core)? {
            break;
        }
        added += 1;
    }
    Ok(added)
}

/// Makes one more node ready. Returns false if there is none now.
fn next_node(core: &Core) -> Result<bool, StoreError> {
    loop {
        let step = {
            let mut queue = core.queue.lock();
            queue.interior.current.as_mut().map(|folding| Step {
                tree: folding.tree,
                level: folding.level,
                returned: folding.returned.pop(),
                next: folding.next,
                level_done: folding.open.is_empty(),
            })
        };
        let Some(step) = step else {
            if !open_folding(core)? {
                return Ok(false);
            }
            continue;
        };
        // Opened after the level was read, so that it contains all nodes settled before.
        match core.store.read().and_then(|reader| take_step(core, &*reader, &step)) {
            Ok(Some(ready)) => return Ok(ready),
            Ok(None) => {}
            Err(error) if error.is_one_row() => keep_folding_back(core, step.tree, &error),
            Err(error) => {
                if let Some(index) = step.returned {
                    core.queue.lock().interior.give_back(step.tree, step.level, index);
                }
                return Err(error);
            }
        }
    }
}

/// Takes one step. Returns true if a node is ready, false if none can be, and `None` to look
/// again.
fn take_step(core: &Core, reader: &dyn Reader, step: &Step) -> Result<Option<bool>, StoreError> {
    let Step { tree, level, .. } = *step;
    let row = reader.tree(tree)?.filter(|row| row.state == TreeState::Folding);
    let Some(shape) = row.and_then(|row| Shape::new(row.leaves).ok()) else {
        core.queue.lock().interior.current = None;
        return Ok(None);
    };
    let index = match step.returned {
        Some(index) => index,
        None if step.next < shape.nodes_at(Level(level)) => step.next,
        None if !step.level_done => return Ok(Some(false)),
        None => {
            core.queue.lock().interior.next_level();
            return Ok(None);
        }
    };
    let done = reader.interior(tree, level, index)?.is_some();
    let node = if done { None } else { interior_node(reader, tree, level, index)? };
    if !done && node.is_none() {
        return Err(StoreError::Contradiction { what: format!("tree {tree} lacks a child of {level}/{index}") });
    }
    let mut queue = core.queue.lock();
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

fn keep_folding_back(core: &Core, tree: TreeNumber, error: &StoreError) {
    core.queue.lock().interior.keep_back(tree, core.time.now_ms());
    core.events.corruption_later(Some(tree), error.to_string());
}

/// Opens the next tree to be folded. Returns false if there is none.
fn open_folding(core: &Core) -> Result<bool, StoreError> {
    let reader = core.store.read()?;
    let mut after = None;
    loop {
        let page = reader.chores(CHORE_FOLD, after, TREES_PER_LOOK)?;
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(*last);
        for tree in page {
            if !core.queue.lock().interior.may_open(tree, core.time.now_ms()) {
                continue;
            }
            let row = match reader.check_chore(CHORE_FOLD, tree).and_then(|()| reader.tree(tree)) {
                Ok(row) => row,
                Err(error) if error.is_one_row() => {
                    keep_folding_back(core, tree, &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(level) = row.and_then(|row| Shape::new(row.leaves).ok()).and_then(tile_level) {
                let level = level - 1;
                let folding = Folding { tree, level, next: 0, open: HashSet::new(), returned: Vec::new() };
                core.queue.lock().interior.current = Some(folding);
                return Ok(true);
            }
        }
    }
}
