//! Background work, in bounded steps, after a client was caught lying or a vote found no second.

use crate::merkle::TILE_LEAVES;
use crate::store::RangeKey;
use crate::store::rows::{DataPlace, LeafState};

use super::assure::VerifyProgress;
use crate::engine::core::Core;
use crate::engine::error::TreeError;
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;
use crate::engine::trees::assure;
use crate::engine::trees::suspects;
use crate::engine::upkeep::report::UpkeepError;

/// Doubted tiles hashed in one step.
const TILES_PER_STEP: usize = 32;

/// Takes one bounded step after lies: doubts earlier answers of the liars and hashes doubted
/// leaves. Returns the amount of work done; the caller holds `auditing`.
pub(in crate::engine) fn settle_doubts(core: &Core) -> Result<usize, UpkeepError> {
    let mut steps = suspects::follow_suspects(core)?;
    let after = *core.doubts.doubted_after.lock();
    let doubted = core.store.read()?.doubted(after, TILES_PER_STEP)?;
    let mut skipped = None;
    for key in doubted {
        *core.doubts.doubted_after.lock() = Some(key);
        if skipped == Some(key.0) {
            continue;
        }
        let due = core.doubts.put_off.lock().is_due(key.0, core.time.now_ms());
        if due && hash_doubted(core, key)? {
            core.doubts.put_off.lock().forget(key.0);
            steps += 1;
        } else {
            // The others of this tree would fare no better: they are tried again after the next
            // sweep.
            *core.doubts.doubted_after.lock() = Some((key.0, u64::MAX));
            skipped = Some(key.0);
        }
    }
    Ok(steps)
}

/// Whether the doubted leaves of a tile could be hashed.
fn hash_doubted(core: &Core, (tree, tile): RangeKey) -> Result<bool, UpkeepError> {
    let reader = core.store.read()?;
    let Some(row) = reader.tree(tree)?.filter(|row| row.data != DataPlace::Dropped) else {
        core.doubts.put_off.lock().forget(tree);
        return Ok(false);
    };
    let mask = reader.tile(tree, tile)?.mask(TILE_LEAVES, |state| state == LeafState::Doubted);
    drop(reader);
    let of = TreeId::new(tree);
    let changed = |what: String| Event::SourceChanged { tree: of, what };
    let corrupt = |what: String| Event::CorruptionFound { tree: Some(of), what };
    match assure::hash_tile(core, tree, &row, tile, mask) {
        Ok(upgrade) => {
            assure::write_upgrades(core, &row.name, vec![upgrade], &mut VerifyProgress::default())?;
            let left = core.store.read()?.tile(tree, tile)?.mask(TILE_LEAVES, |state| state == LeafState::Doubted);
            if left > 0 {
                suspects::put_off(core, tree, "doubted leaves are not what clients were sent".to_owned(), changed);
            }
            Ok(left == 0)
        }
        Err(TreeError::Unverifiable { what, .. }) => {
            suspects::put_off(core, tree, what, changed);
            Ok(false)
        }
        // An event says so.
        Err(TreeError::Damaged { .. }) => Ok(false),
        Err(TreeError::Store(error)) if error.is_one_row() => {
            suspects::put_off(core, tree, error.to_string(), corrupt);
            Ok(false)
        }
        Err(TreeError::Store(error)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}
