//! Leaves whose stored data, or the hash that is stored for it, is damaged: no client is handed
//! them, paid for them or blamed for them.
//!
//! Code that finds such leaves calls [`damaged`]: an answer that differs from a hash that the
//! server finds wrong itself, a look at leaves that were kept back, or a load whose bytes are not
//! those that came in. From then on they are not ready, the next upkeep marks them in the store,
//! and one event says so. Given again, they are done.

use crate::hash::hash_batch;
use crate::merkle::{AlignedRange, GROUP_LEAVES, TILE_LEAVES};
use crate::policy::ready::{Loaded, mask_of};
use crate::store::rows::{DataPlace, HashReason, HashWork, TreeRow};
use crate::store::{Command, Damage, Outcome, Reader, StoreError, TreeNumber};

use super::leaf_bytes::{LoadError, first_run, leaf_bytes, load_tile};
use crate::engine::core::Core;
use crate::engine::error::{SubmitError, WriteError};
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;
use crate::engine::writer::Unwritten;

/// Takes leaves of one tile, one bit each, out of the queue, because their data or its hash is
/// damaged, and reports those that were not known. The other leaves of a unit are given back
/// by the end of its lease.
///
/// Leaves with data in the block file are marked in the store. A file ingested by reference may
/// be put back, so its leaves are looked at again, after growing pauses.
pub(in crate::engine) fn damaged(core: &Core, tree: TreeNumber, tile: u64, mask: u32, why: &str) {
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::FaultIsForgotten) {
        return;
    }
    let now = core.time.now_ms();
    let news = core.queue.lock().block_damaged(tree, tile, mask, why, now);
    let row = core.store.read().and_then(|reader| Ok(reader.tree(tree)?.map(|row| (reader, row))));
    match row {
        Ok(Some((reader, row))) => {
            if row.data != DataPlace::Referenced {
                core.found.push(Damage { tree, tile, mask });
            }
            report_damage(core, &*reader, (tree, &row), tile, news, why);
        }
        // Forgotten meanwhile.
        Ok(None) => {}
        // It cannot be read now: the leaves stay kept back until a look at them.
        Err(_) if news != 0 => {
            core.events.later(Event::CorruptionFound { tree: Some(TreeId::new(tree)), what: why.to_owned() });
        }
        Err(_) => {}
    }
    core.background.wake();
}

/// One event for each damaged block of a known hash; one for all leaves where no hash is known.
fn report_damage(
    core: &Core,
    reader: &dyn Reader,
    (tree, row): (TreeNumber, &TreeRow),
    tile: u64,
    news: u32,
    why: &str,
) {
    if news == 0 {
        return;
    }
    let of = TreeId::new(tree);
    if row.data == DataPlace::Referenced {
        return core.events.later(Event::SourceChanged { tree: of, what: why.to_owned() });
    }
    if !row.strategy.knows_answers() {
        return core.events.later(Event::CorruptionFound { tree: Some(of), what: why.to_owned() });
    }
    for leaf in (0..TILE_LEAVES).filter(|slot| news & (1 << slot) != 0).map(|slot| tile * TILE_LEAVES + slot) {
        let group = reader.group(tree, leaf / GROUP_LEAVES);
        let hash = group.ok().and_then(|group| group.leaves.get((leaf % GROUP_LEAVES) as usize).copied());
        core.events.later(match hash {
            Some(address) => Event::BlockDamaged { tree: of, name: row.name.clone(), leaf, address },
            None => Event::CorruptionFound { tree: Some(of), what: why.to_owned() },
        });
    }
}

/// Marks the damaged leaves that were found in the store. What cannot be written now is tried
/// again with the next upkeep.
pub(in crate::engine) fn mark_damaged(core: &Core) -> Result<(), WriteError> {
    if core.found.is_empty() {
        // Without waiting for an ingest that commits.
        return Ok(());
    }
    // No ingest mends between the look and the mark.
    let _alone = core.turns.both_files.read();
    look_at_mended(core);
    let found = core.found.all();
    for part in found.chunks(core.config.settings.commit_ops_max) {
        match mark(core, part) {
            // One row does not allow it: only its own leaves are left.
            Err(Unwritten::Row(_)) => part.iter().try_for_each(|damage| mark_one(core, damage))?,
            Err(Unwritten::Storage(error)) => return Err(error),
            Ok(()) => {}
        }
        core.found.marked(part);
    }
    Ok(())
}

/// What was found in trees that an ingest has mended may have been read before that: such
/// leaves are read again, and those that are right are handed out.
fn look_at_mended(core: &Core) {
    for damage in core.found.mended() {
        let Some(wrong) = wrong_now(core, &damage).filter(|wrong| *wrong != damage.mask) else { continue };
        let Damage { tree, tile, mask } = damage;
        core.found.marked(&[damage]);
        if wrong != 0 {
            core.found.push(Damage { mask: wrong, ..damage });
        }
        let mut queue = core.queue.lock();
        queue.blocked.clear(tree, tile, mask & !wrong);
        queue.look_again(tree);
    }
}

/// The leaves that are still damaged; `None` if they cannot be read.
fn wrong_now(core: &Core, damage: &Damage) -> Option<u32> {
    let Damage { tree, tile, mask } = *damage;
    let reader = core.store.read().ok()?;
    let row = reader.tree(tree).ok()??;
    let (mut wrong, mut left) = (0, mask);
    while left != 0 {
        let (run, rest) = first_run(left);
        left = rest;
        match load_tile(&*core.store, &*reader, tree, &row, tile, run) {
            Ok(data) => wrong |= wrong_leaves(core, &*reader, (tree, &row), tile, &data).ok()?,
            Err(LoadError::Damaged { mask, .. }) => {
                wrong |= mask;
                left |= run & !mask;
            }
            Err(_) => return None,
        }
    }
    Some(wrong)
}

fn mark(core: &Core, found: &[Damage]) -> Result<(), Unwritten> {
    let outcomes = core.writer.write_rows(found.iter().copied().map(Command::Damage).collect())?;
    let mut queue = core.queue.lock();
    for (Damage { tree, tile, .. }, outcome) in found.iter().zip(outcomes) {
        if let Outcome::Marked { damaged } = outcome {
            queue.blocked.clear(*tree, *tile, damaged);
        }
    }
    Ok(())
}

/// Leaves that cannot be marked because of a row stay kept back, with the reason.
fn mark_one(core: &Core, damage: &Damage) -> Result<(), WriteError> {
    match mark(core, std::slice::from_ref(damage)) {
        Err(Unwritten::Row(what)) => {
            let Damage { tree, tile, mask } = *damage;
            let news = core.queue.lock().block(tree, tile, mask, &what, core.time.now_ms());
            if news {
                core.events.later(Event::CorruptionFound { tree: Some(TreeId::new(tree)), what });
            }
            Ok(())
        }
        Err(Unwritten::Storage(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Keeps a unit back that is withdrawn by the server's own fault, until the server has looked
/// at its leaves. If `data` is there, the look is now: only leaves that are not what their
/// stored hashes say are kept back, as damaged.
pub(in crate::engine) fn keep_back(
    core: &Core,
    (tree, row): (TreeNumber, &TreeRow),
    range: &AlignedRange,
    data: Option<&Loaded>,
    why: &str,
) -> SubmitError {
    let reader = core.store.read();
    let bad = match (reader, data) {
        (Ok(reader), Some(data)) => wrong_leaves(core, &*reader, (tree, row), range.tile(), data).unwrap_or(0),
        _ => 0,
    };
    if bad != 0 {
        damaged(core, tree, range.tile(), bad, why);
    } else if block(core, tree, range, why) {
        core.events.emit(Event::SourceChanged { tree: TreeId::new(tree), what: why.to_owned() });
    }
    SubmitError::Withdrawn
}

/// Keeps the leaves of a unit back. Returns whether the reason is to be reported.
fn block(core: &Core, tree: TreeNumber, range: &AlignedRange, why: &str) -> bool {
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::FaultIsForgotten) {
        return false;
    }
    let now = core.time.now_ms();
    core.queue.lock().block(tree, range.tile(), mask_of(range), why, now)
}

/// Keeps a unit back whose data could not be loaded; a failure of the storage is an error of
/// its own. The client is not to blame.
pub(in crate::engine) fn unreadable(
    core: &Core,
    tree: TreeNumber,
    range: &AlignedRange,
    error: LoadError,
) -> SubmitError {
    match error {
        LoadError::Store(error) => row_at_fault(core, tree, range, error),
        LoadError::Source(what) => {
            if block(core, tree, range, &what) {
                core.events.emit(Event::SourceChanged { tree: TreeId::new(tree), what });
            }
            SubmitError::Withdrawn
        }
        LoadError::Damaged { tile, mask, what } => {
            damaged(core, tree, tile, mask, &what);
            SubmitError::Withdrawn
        }
    }
}

/// The same for a row of the unit that is missing or does not decode.
pub(in crate::engine) fn row_at_fault(
    core: &Core,
    tree: TreeNumber,
    range: &AlignedRange,
    error: StoreError,
) -> SubmitError {
    if !error.is_one_row() {
        return error.into();
    }
    let what = error.to_string();
    if block(core, tree, range, &what) {
        core.events.emit(Event::CorruptionFound { tree: Some(TreeId::new(tree)), what });
    }
    SubmitError::Withdrawn
}

/// The same on the writer's thread, where no event is sent.
pub(in crate::engine) fn block_later(core: &Core, tree: TreeNumber, range: &AlignedRange, what: &str) {
    if block(core, tree, range, what) {
        core.events.later(Event::CorruptionFound { tree: Some(TreeId::new(tree)), what: what.to_owned() });
    }
}

/// Hashes loaded leaves of a tile and returns those that are not what their stored hashes say,
/// one bit each within the tile. Of trees whose hashes are not known it returns none.
pub(in crate::engine) fn wrong_leaves(
    core: &Core,
    reader: &dyn Reader,
    (tree, row): (TreeNumber, &TreeRow),
    tile: u64,
    data: &Loaded,
) -> Result<u32, StoreError> {
    if !row.strategy.knows_answers() {
        return Ok(0);
    }
    let slices: Vec<&[u8]> = (0..data.ends.len()).map(|index| leaf_bytes(data, index).unwrap_or_default()).collect();
    let work = HashWork::of(slices.iter().map(|leaf| leaf.len() as u64));
    core.clients.count_server(row.strategy.index(), HashReason::Referee, work);
    let mut bad = 0;
    for (leaf, hash) in (data.first..).zip(hash_batch(&slices)) {
        let group = reader.group(tree, leaf / GROUP_LEAVES)?;
        let slot = leaf - tile * TILE_LEAVES;
        if group.leaves.get((leaf % GROUP_LEAVES) as usize) != Some(&hash) && slot < TILE_LEAVES {
            bad |= 1 << slot;
        }
    }
    Ok(bad)
}
