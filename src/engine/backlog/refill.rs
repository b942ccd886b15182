//! Refills the ready ring from the backlog, a stretch of one tree at a time.
//!
//! The lock is held for planning and merging only, never while the disk is read. A stretch is read
//! from a snapshot opened once the queue knows of it; leaves that are leased, ready or settled
//! by the time of the merge are left out, so that no leaf is handed out twice.

use std::sync::Arc;

use crate::merkle::{AlignedRange, Shape, TILE_LEAVES};
use crate::policy::quorum::Voter;
use crate::policy::ready::{Loaded, ReadyUnit, cut, mask_of};
use crate::protocol::TreeHandle;
use crate::store::rows::{QuorumRow, Strategy, TileRow, TreeRow, TreeState, VoteRow};
use crate::store::{PRIORITY_FRESH, PRIORITY_PARTIAL, Reader, StoreError, TreeNumber};

use super::leaf_bytes::{LoadError, first_run, load_tile};
use super::queue::{Cursor, Queue, Returned};
use crate::engine::backlog::damaged;
use crate::engine::core::Core;
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;

/// Most tiles read at once, and most bytes in them.
const STRETCH_TILES: u64 = 8;
const STRETCH_BYTES: u64 = 1 << 20;

/// The next stretch to read.
struct Plan {
    tree: TreeNumber,
    tiles: std::ops::Range<u64>,
    partial: bool,
    /// For returned work: only these leaves of the one tile.
    only: Option<u32>,
    /// Leaves of it were kept back: what is read is compared with the stored hashes.
    look: bool,
}

/// The content of a stretch.
struct Read {
    /// A leaf of the tree is done.
    begun: bool,
    shape: Shape,
    handle: TreeHandle,
    account: usize,
    groups: Vec<Group>,
    stretches: Vec<Stretch>,
    /// Tile, leaves, and the reason why their bytes could not be read.
    unreadable: Vec<(u64, u32, LoadError)>,
    /// Tile, leaves that are not what came in or what their stored hashes say, and which of both.
    wrong: Vec<(u64, u32, String)>,
}

/// A tile with its bytes, ready to be merged.
struct Stretch {
    tile: u64,
    pending: u32,
    data: Arc<Loaded>,
}

/// A range with votes.
struct Group {
    range: AlignedRange,
    votes: Arc<[Voter]>,
}

/// Refills the ring if it is below its minimum: to twice the minimum, as far as backlog and
/// byte bound allow. Returns the number of units added.
pub(in crate::engine) fn refill(core: &Core) -> Result<usize, StoreError> {
    let _one = core.turns.refill.lock();
    let minimum = core.config.settings.min_queue_depth;
    if !wants_more(core, minimum) {
        return Ok(0);
    }
    let mut added = 0;
    while wants_more(core, minimum * 2) {
        let Some(plan) = plan(core)? else { break };
        added += bring(core, plan)?;
    }
    Ok(added)
}

fn wants_more(core: &Core, target: usize) -> bool {
    let queue = core.queue.lock();
    let settings = &core.config.settings;
    let room = queue.ring.bytes() < settings.ready_bytes_max;
    (room && queue.ring.open_len() < target) || (!queue.voted.is_empty() && queue.has_room_for_votes(settings))
}

/// Plans the next stretch: returned work first, then the present tree, then trees to read
/// again, partly built ones, new ones.
fn plan(core: &Core) -> Result<Option<Plan>, StoreError> {
    loop {
        {
            let mut queue = core.queue.lock();
            let voted = if queue.has_room_for_votes(&core.config.settings) { queue.voted.pop() } else { None };
            if let Some(Returned { tree, tile, mask }) = voted.or_else(|| queue.returned.pop_front()) {
                let partial = queue.is_partial(tree);
                queue.scan.reading = Some(tree);
                let look = queue.blocked.is_looking(tree, tile);
                let (tiles, only) = (tile..tile + 1, Some(mask));
                return Ok(Some(Plan { tree, tiles, partial, only, look }));
            }
            if let Some(cursor) = queue.scan.current.clone() {
                let end = cursor.tiles.min(cursor.next_tile + cursor.stride);
                queue.scan.current = (end < cursor.tiles).then(|| Cursor { next_tile: end, ..cursor.clone() });
                queue.scan.reading = Some(cursor.tree);
                let partial = cursor.partial || queue.is_partial(cursor.tree);
                let (tree, tiles) = (cursor.tree, cursor.next_tile..end);
                let look = tiles.clone().any(|tile| queue.blocked.is_looking(tree, tile));
                return Ok(Some(Plan { tree, tiles, partial, only: None, look }));
            }
        }
        let Some((tree, partial, order)) = next_tree(core)? else {
            return Ok(None);
        };
        let row = match core.store.read().and_then(|reader| reader.tree(tree)) {
            Ok(row) => row,
            Err(error) if error.is_of_the_place() => {
                core.events.corruption(Some(tree), error.to_string());
                continue;
            }
            Err(error) => {
                core.queue.lock().look_again(tree);
                return Err(error);
            }
        };
        let Some(row) = row.filter(|row| row.state == TreeState::Active) else { continue };
        if order.is_some_and(|order| order != row.order) {
            let what = format!("ready-0 has tree {tree} at another place than its own; run `pouw check`");
            core.events.corruption_later(None, what);
            continue;
        }
        let Ok(shape) = Shape::new(row.leaves) else { continue };
        let largest = if row.block_len == 0 { row.send_cap } else { row.block_len.min(row.send_cap) };
        let stride = (STRETCH_BYTES / (TILE_LEAVES * largest.max(1))).clamp(1, STRETCH_TILES);
        let cursor = Cursor { tree, next_tile: 0, tiles: shape.tiles(), stride, partial };
        core.queue.lock().scan.current = Some(cursor);
    }
}

/// Returns the next tree in queue order, whether it is partly built, and its place if it comes
/// from the stored queue.
fn next_tree(core: &Core) -> Result<Option<(TreeNumber, bool, Option<u64>)>, StoreError> {
    let (partial_after, fresh_after) = {
        let mut queue = core.queue.lock();
        if let Some(tree) = queue.scan.extra.pop_front() {
            return Ok(Some((tree, queue.is_partial(tree), None)));
        }
        (queue.scan.partial_after, queue.scan.fresh_after)
    };
    let reader = core.store.read()?;
    if let Some((order, tree)) = reader.ready(PRIORITY_PARTIAL, partial_after, 1)?.first().copied() {
        core.queue.lock().scan.partial_after = Some(order);
        return Ok(Some((tree, true, Some(order))));
    }
    let Some((order, tree)) = reader.ready(PRIORITY_FRESH, fresh_after, 1)?.first().copied() else {
        return Ok(None);
    };
    core.queue.lock().scan.fresh_after = Some(order);
    Ok(Some((tree, false, Some(order))))
}

/// Reads a stretch and puts it into the ring. Leaves with an unreadable source are recorded and
/// left out.
fn bring(core: &Core, plan: Plan) -> Result<usize, StoreError> {
    let read = read_stretch(core, &plan);
    let mut queue = core.queue.lock();
    let wanted = queue.scan.reading == Some(plan.tree);
    let (mut added, mut news, mut wrong) = (0, Vec::new(), Vec::new());
    let result = match read {
        Ok(Some(read)) if wanted => {
            wrong.clone_from(&read.wrong);
            for (tile, mask, _) in &mut wrong {
                // Leaves that are out may come back with a right answer, made of the right
                // bytes; else they are read again.
                *mask &= !queue.taken_mask(plan.tree, *tile);
            }
            news = keep_unreadable(core, &mut queue, &plan, &read);
            added = merge(core, &mut queue, &plan, &read);
            Ok(())
        }
        // It has no pending leaves any more, so none is to be kept back.
        Ok(None) if wanted => {
            queue.blocked.drop_tree(plan.tree);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            queue.blocked.not_looked(plan.tree);
            queue.look_again(plan.tree);
            Err(error)
        }
    };
    queue.scan.reading = None;
    queue.scan.settled_meanwhile.clear();
    drop(queue);
    for (tile, mask, why) in wrong.into_iter().filter(|(_, mask, _)| *mask != 0) {
        damaged::damaged(core, plan.tree, tile, mask, &why);
    }
    // One of a stretch, since one file or row may be to blame for all.
    news.into_iter().take(1).for_each(|event| core.events.emit(event));
    result.map(|()| added)
}

/// Keeps back what could not be read; what was looked at and found right is kept back no
/// longer. Returns what is to be reported.
fn keep_unreadable(core: &Core, queue: &mut Queue, plan: &Plan, read: &Read) -> Vec<Event> {
    let (tree, now) = (plan.tree, core.time.now_ms());
    let mut news = Vec::new();
    for (tile, mask, why) in &read.unreadable {
        let what = why.to_string();
        // What was settled meanwhile needs no data any more.
        let mask = *mask & !queue.taken_mask(tree, *tile);
        if mask != 0 && queue.block(tree, *tile, mask, &what, now) {
            news.push(match why {
                LoadError::Source(_) => Event::SourceChanged { tree: TreeId::new(tree), what },
                LoadError::Store(_) | LoadError::Damaged { .. } => {
                    Event::CorruptionFound { tree: Some(TreeId::new(tree)), what }
                }
            });
        }
    }
    if plan.look {
        for tile in plan.tiles.clone() {
            let failed = read.unreadable.iter().map(|(at, mask, _)| (at, mask));
            let failed = failed.chain(read.wrong.iter().map(|(at, mask, _)| (at, mask)));
            let failed = failed.filter(|(at, _)| **at == tile).fold(0, |all, (_, mask)| all | mask);
            queue.blocked.found_right(tree, tile, plan.only.unwrap_or(u32::MAX) & !failed);
        }
        if plan.tiles.end == read.shape.tiles() && plan.only.is_none() {
            queue.blocked.read_to_end(tree);
        }
    }
    news
}

fn merge(core: &Core, queue: &mut Queue, plan: &Plan, read: &Read) -> usize {
    let mut added = 0;
    let since_ms = core.time.now_ms();
    // Returned work, or a stretch read while the first leaf was settled, is of a partly built
    // tree too.
    let partial = plan.partial || read.begun || queue.is_partial(plan.tree);
    let unit = |range, stretch: &Stretch, votes| ReadyUnit {
        tree: plan.tree,
        handle: read.handle,
        shape: read.shape,
        range,
        data: stretch.data.clone(),
        since_ms,
        account: read.account,
        votes,
    };
    for stretch in &read.stretches {
        let mut free = stretch.pending & !queue.taken_mask(plan.tree, stretch.tile);
        for group in read.groups.iter().filter(|group| group.range.tile() == stretch.tile) {
            let mask = mask_of(&group.range);
            if free & mask == mask && !queue.has_room_for_votes(&core.config.settings) {
                queue.voted.push(Returned::of(plan.tree, &group.range));
            } else if free & mask == mask {
                queue.ring.push(unit(group.range, stretch, Some(group.votes.clone())), partial);
                added += 1;
            } else if free & mask != 0 {
                // A part of it cannot be read now; the whole group is read again later.
                let why = "another leaf of its unit cannot be read";
                queue.block(plan.tree, stretch.tile, mask, why, since_ms);
            }
            free &= !mask;
        }
        for range in cut(read.shape, stretch.tile, free) {
            queue.ring.push(unit(range, stretch, None), partial);
            added += 1;
        }
    }
    added
}

fn read_stretch(core: &Core, plan: &Plan) -> Result<Option<Read>, StoreError> {
    let reader = core.store.read()?;
    let Some(row) = reader.tree(plan.tree)?.filter(|row| row.state == TreeState::Active) else {
        return Ok(None);
    };
    let Ok(shape) = Shape::new(row.leaves) else { return Ok(None) };
    let source = Source { plan, reader: &*reader, row: &row };
    let mut read = Read {
        begun: row.done > 0,
        shape,
        handle: row.handle,
        account: row.strategy.index(),
        groups: Vec::new(),
        stretches: Vec::new(),
        unreadable: Vec::new(),
        wrong: Vec::new(),
    };
    let voted = matches!(row.strategy, Strategy::Redundant { .. });
    for (tile, state) in source.tile_rows(&mut read)? {
        let leaves = row.leaves.saturating_sub(tile * TILE_LEAVES).min(TILE_LEAVES);
        let pending = state.pending_mask(leaves) & plan.only.unwrap_or(u32::MAX);
        if pending != 0 {
            match if voted { source.groups(shape, tile) } else { Ok(Vec::new()) } {
                Ok(groups) => read.groups.extend(groups),
                Err(error) if error.is_of_the_place() => {
                    read.unreadable.push((tile, pending, LoadError::Store(error)));
                    continue;
                }
                Err(error) => return Err(error),
            }
            read_leaves(core, &source, tile, pending, &mut read)?;
        }
    }
    Ok(Some(read))
}

/// Reads the leaves of a tile in `mask`, neighbours together. If that fails, it reads the
/// halves apart, so that one bad file or row affects its own leaves only.
fn read_leaves(core: &Core, source: &Source<'_>, tile: u64, mask: u32, read: &mut Read) -> Result<(), StoreError> {
    let (first, rest) = first_run(mask);
    if rest != 0 {
        read_leaves(core, source, tile, first, read)?;
        return read_leaves(core, source, tile, rest, read);
    }
    let loaded = load_tile(&*core.store, source.reader, source.plan.tree, source.row, tile, mask);
    match loaded.and_then(|data| Ok((look_at(core, source, tile, &data)?, data))) {
        Ok((wrong, data)) => {
            if wrong & mask != 0 {
                let leaf = tile * TILE_LEAVES + u64::from((wrong & mask).trailing_zeros());
                read.wrong.push((tile, wrong & mask, format!("leaf {leaf} does not hash to the stored answer")));
            }
            read.stretches.push(Stretch { tile, pending: mask & !wrong, data: Arc::new(data) });
        }
        Err(LoadError::Store(error)) if !error.is_of_the_place() => return Err(error),
        Err(LoadError::Damaged { mask: damaged, what, .. }) => {
            let good = mask & !damaged;
            read.wrong.push((tile, damaged, what));
            if good != 0 {
                read_leaves(core, source, tile, good, read)?;
            }
        }
        Err(error) if mask.is_power_of_two() => read.unreadable.push((tile, mask, error)),
        Err(_) => {
            let low = mask & ((1 << (mask.trailing_zeros() + mask.count_ones() / 2)) - 1);
            read_leaves(core, source, tile, low, read)?;
            read_leaves(core, source, tile, mask & !low, read)?;
        }
    }
    Ok(())
}

/// Returns the leaves that are not what their stored hashes say, if the plan asks for a look.
fn look_at(core: &Core, source: &Source<'_>, tile: u64, data: &Loaded) -> Result<u32, StoreError> {
    let &Source { plan, reader, row } = source;
    if plan.look { damaged::wrong_leaves(core, reader, (plan.tree, row), tile, data) } else { Ok(0) }
}

/// What a stretch is read from.
struct Source<'s> {
    plan: &'s Plan,
    /// Not older than the plan.
    reader: &'s dyn Reader,
    row: &'s TreeRow,
}

impl Source<'_> {
    /// Returns the rows of the stretch; a damaged one is recorded and left out.
    fn tile_rows(&self, read: &mut Read) -> Result<Vec<(u64, TileRow)>, StoreError> {
        let (tree, tiles) = (self.plan.tree, self.plan.tiles.clone());
        match self.reader.tiles(tree, tiles.start, (tiles.end - tiles.start) as usize) {
            Ok(rows) => return Ok(tiles.zip(rows).collect()),
            Err(error) if error.is_of_the_place() => {}
            Err(error) => return Err(error),
        }
        let mut rows = Vec::new();
        for tile in tiles {
            match self.reader.tile(tree, tile) {
                Ok(row) => rows.push((tile, row)),
                Err(error) if error.is_of_the_place() => {
                    read.unreadable.push((tile, u32::MAX, LoadError::Store(error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// Returns the ranges with votes in a tile.
    fn groups(&self, shape: Shape, tile: u64) -> Result<Vec<Group>, StoreError> {
        let rows = self.reader.quorums_of_tile(self.plan.tree, tile)?;
        let group = |(start, row): (u64, QuorumRow)| {
            let range = AlignedRange::new(shape, start, row.order).ok()?;
            Some(Group { range, votes: row.votes.iter().map(VoteRow::voter).collect() })
        };
        Ok(rows.into_iter().filter_map(group).collect())
    }
}
