//! Filling the ready ring from the backlog, a stretch of one tree at a time.
//!
//! The lock is held for planning and merging only, never while the disk is read. A stretch is read from
//! a snapshot opened under the lock; whatever is leased, ready or settled by the time of the merge is
//! left out, so that no leaf is handed out twice.

use std::sync::Arc;

use crate::merkle::{Shape, TILE_LEAVES};
use crate::policy::ready::{Loaded, ReadyUnit, cut, mask_of};
use crate::protocol::TreeHandle;
use crate::store::records::{TileRow, TreeRow, TreeState};
use crate::store::{PRIORITY_FRESH, PRIORITY_PARTIAL, Reader, StoreError, TreeId};

use super::core::Core;
use super::event::Event;
use super::load::{LoadError, load_tile};
use super::queue::{BLOCKED_MAX, Cursor};

/// Tiles read at once.
const STRETCH_TILES: u64 = 8;

/// What to read next.
struct Plan {
    tree: TreeId,
    tiles: std::ops::Range<u64>,
    partial: bool,
    /// For work that came back: only these leaves of the one tile.
    only: Option<u32>,
    reader: Reader,
}

/// A tile with its bytes, ready to be merged.
struct Stretch {
    tile: u64,
    pending: u32,
    data: Arc<Loaded>,
}

impl Core {
    /// Refills the ring if it is below its minimum: to twice the minimum, as far as backlog and byte
    /// bound allow. Returns the units added.
    pub(super) fn refill(&self) -> Result<usize, StoreError> {
        let _one = self.refilling.lock();
        let minimum = self.config.settings.min_queue_depth;
        if self.queue.lock().ring.len() >= minimum {
            return Ok(0);
        }
        let mut added = 0;
        while self.wants_more(minimum * 2) {
            let Some(plan) = self.plan()? else { break };
            added += self.bring(plan)?;
        }
        Ok(added)
    }

    fn wants_more(&self, target: usize) -> bool {
        let queue = self.queue.lock();
        queue.ring.len() < target && queue.ring.bytes() < self.config.settings.ready_bytes_max
    }

    /// Returned work first, then the tree at hand, then trees to look at again, partly built ones, new ones.
    fn plan(&self) -> Result<Option<Plan>, StoreError> {
        loop {
            {
                let mut queue = self.queue.lock();
                // Opened first: if that fails, nothing has been taken off the lists.
                let reader = self.store.read()?;
                if let Some((tree, range)) = queue.returned.pop_front() {
                    let partial = queue.is_partial(tree);
                    queue.scan.reading = Some(tree);
                    let tiles = range.tile()..range.tile() + 1;
                    let only = Some(mask_of(&range));
                    return Ok(Some(Plan { tree, tiles, partial, only, reader }));
                }
                if let Some(cursor) = queue.scan.current.clone() {
                    let end = cursor.tiles.min(cursor.next_tile + STRETCH_TILES);
                    queue.scan.current = (end < cursor.tiles).then(|| Cursor { next_tile: end, ..cursor.clone() });
                    queue.scan.reading = Some(cursor.tree);
                    let partial = cursor.partial || queue.is_partial(cursor.tree);
                    return Ok(Some(Plan {
                        tree: cursor.tree,
                        tiles: cursor.next_tile..end,
                        partial,
                        only: None,
                        reader,
                    }));
                }
            }
            let Some((tree, partial)) = self.next_tree()? else {
                return Ok(None);
            };
            let row = match self.store.read().and_then(|reader| reader.tree(tree)) {
                Ok(row) => row,
                Err(error) => {
                    self.queue.lock().scan.extra.push_back(tree);
                    return Err(error);
                }
            };
            let Some(shape) =
                row.filter(|row| row.state == TreeState::Active).and_then(|row| Shape::new(row.leaves).ok())
            else {
                continue;
            };
            let mut queue = self.queue.lock();
            queue.scan.current = Some(Cursor { tree, next_tile: 0, tiles: shape.tiles(), partial });
        }
    }

    /// The next tree in queue order, and whether it is partly built.
    fn next_tree(&self) -> Result<Option<(TreeId, bool)>, StoreError> {
        let (partial_after, fresh_after) = {
            let mut queue = self.queue.lock();
            if let Some(tree) = queue.scan.extra.pop_front() {
                return Ok(Some((tree, queue.is_partial(tree))));
            }
            (queue.scan.partial_after, queue.scan.fresh_after)
        };
        let reader = self.store.read()?;
        if let Some((order, tree)) = reader.ready(PRIORITY_PARTIAL, partial_after, 1)?.first().copied() {
            self.queue.lock().scan.partial_after = Some(order);
            return Ok(Some((tree, true)));
        }
        let Some((order, tree)) = reader.ready(PRIORITY_FRESH, fresh_after, 1)?.first().copied() else {
            return Ok(None);
        };
        self.queue.lock().scan.fresh_after = Some(order);
        Ok(Some((tree, false)))
    }

    /// Reads a stretch and puts it into the ring.
    fn bring(&self, plan: Plan) -> Result<usize, StoreError> {
        let read = self.read_stretch(&plan);
        let mut queue = self.queue.lock();
        let wanted = queue.scan.reading == Some(plan.tree);
        let (row, stretches) = match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                queue.scan.reading = None;
                queue.scan.settled_meanwhile.clear();
                return Ok(0);
            }
            Err(error) => {
                queue.scan.reading = None;
                queue.scan.settled_meanwhile.clear();
                return match error {
                    LoadError::Store(error) => {
                        queue.scan.extra.push_back(plan.tree);
                        Err(error)
                    }
                    LoadError::Source(what) => {
                        if queue.blocked.len() < BLOCKED_MAX {
                            queue.blocked.insert(plan.tree, what.clone());
                        }
                        if queue.scan.current.as_ref().is_some_and(|cursor| cursor.tree == plan.tree) {
                            queue.scan.current = None;
                        }
                        drop(queue);
                        self.emit(Event::SourceChanged { tree: plan.tree, what });
                        Ok(0)
                    }
                };
            }
        };
        let mut added = 0;
        let since_ms = self.now_ms();
        if let (true, Ok(shape)) = (wanted, Shape::new(row.leaves)) {
            for stretch in stretches {
                let free = stretch.pending & !queue.taken_mask(plan.tree, stretch.tile);
                for range in cut(shape, stretch.tile, free) {
                    let unit = ReadyUnit {
                        tree: plan.tree,
                        handle: TreeHandle::from_bytes(row.handle),
                        shape,
                        range,
                        data: stretch.data.clone(),
                        since_ms,
                    };
                    queue.ring.push(unit, plan.partial);
                    added += 1;
                }
            }
        }
        queue.scan.reading = None;
        queue.scan.settled_meanwhile.clear();
        Ok(added)
    }

    fn read_stretch(&self, plan: &Plan) -> Result<Option<(TreeRow, Vec<Stretch>)>, LoadError> {
        let Some(row) = plan.reader.tree(plan.tree)? else {
            return Ok(None);
        };
        if row.state != TreeState::Active {
            return Ok(None);
        }
        let count = plan.tiles.end - plan.tiles.start;
        let tiles: Vec<TileRow> = plan.reader.tiles(plan.tree, plan.tiles.start, count as usize)?;
        let mut out = Vec::new();
        for (tile, state) in plan.tiles.clone().zip(tiles) {
            let leaves = row.leaves.saturating_sub(tile * TILE_LEAVES).min(TILE_LEAVES);
            let pending = state.pending_mask(leaves) & plan.only.unwrap_or(u32::MAX);
            if pending != 0 {
                let data = Arc::new(load_tile(&self.store, &plan.reader, plan.tree, &row, tile, pending)?);
                out.push(Stretch { tile, pending, data });
            }
        }
        Ok(Some((row, out)))
    }
}
