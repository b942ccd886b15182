//! Progress of a tree, for any client that holds its handle.

use crate::merkle::{Shape, TILE_LEAVES};
use crate::protocol::TreeHandle;
use crate::store::StoreError;
use crate::store::rows::{LeafState, TileRow, TreeState};

use crate::engine::handle::PouwEngine;

/// Progress of a tree, with the leaves of some of its tiles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeProgress {
    /// Leaves.
    pub leaves: u64,
    /// Leaves whose hash is durable.
    pub done: u64,
    /// Levels below the root.
    pub height: u8,
    /// Whether every node is there.
    pub complete: bool,
    /// Number of the first tile below.
    pub first_tile: u64,
    /// One bit for each leaf that is done, the first leaf in the lowest bit; one entry for each
    /// tile of 32 leaves.
    pub tiles: Vec<u32>,
}

impl TreeProgress {
    /// Most tiles reported at once.
    pub const TILES_MAX: usize = 1_024;
}

impl PouwEngine {
    /// Returns the progress of the tree of this handle, with the leaves done in up to `count` tiles
    /// from `first_tile` on, at most [`TreeProgress::TILES_MAX`] of them. `None` if no tree has
    /// this handle, as for made-up work.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tree_progress(
        &self,
        handle: TreeHandle,
        first_tile: u64,
        count: usize,
    ) -> Result<Option<TreeProgress>, StoreError> {
        let reader = self.core().store.read()?;
        let Some((tree, row)) = reader.tree_of_handle(handle)? else {
            return Ok(None);
        };
        let Ok(shape) = Shape::new(row.leaves) else {
            return Ok(None);
        };
        let first_tile = first_tile.min(shape.tiles() - 1);
        let count = (count.min(TreeProgress::TILES_MAX) as u64).min(shape.tiles() - first_tile);
        let complete = row.state == TreeState::Complete;
        let in_tile = |tile: u64| row.leaves.saturating_sub(tile * TILE_LEAVES).min(TILE_LEAVES);
        let whole = |tile: u64| (1u64 << in_tile(tile)).wrapping_sub(1) as u32;
        let tiles = match row.done == row.leaves {
            true => (first_tile..first_tile + count).map(whole).collect(),
            false => done_masks(&reader.tiles(tree, first_tile, count as usize)?, in_tile, first_tile),
        };
        let (leaves, done, height) = (row.leaves, row.done, shape.height());
        Ok(Some(TreeProgress { leaves, done, height, complete, first_tile, tiles }))
    }
}

fn done_masks(tiles: &[TileRow], in_tile: impl Fn(u64) -> u64, first_tile: u64) -> Vec<u32> {
    let mask = |(tile, row): (u64, &TileRow)| {
        let done = |slot: &u64| row.state(*slot) != LeafState::Pending;
        (0..in_tile(tile)).filter(done).fold(0, |mask, slot| mask | 1 << slot)
    };
    (first_tile..).zip(tiles).map(mask).collect()
}
