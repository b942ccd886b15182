//! Sizes of tiles, groups and trees.

/// Leaves of a full tile, the unit of storage: `2^TILE_ORDER`.
pub const TILE_LEAVES: u64 = 1 << TILE_ORDER;

/// Levels that a full tile folds.
pub const TILE_ORDER: u8 = 5;

/// Leaves of a full group, half a tile: `2^GROUP_ORDER`.
pub const GROUP_LEAVES: u64 = 1 << GROUP_ORDER;

/// Levels that a full group folds.
pub const GROUP_ORDER: u8 = 4;

/// Most leaves of a tree: `2^MAX_ORDER`, half a pebibyte in leaves of 512 bytes.
pub const MAX_LEAVES: u64 = 1 << MAX_ORDER;

/// Largest order of an aligned range, and the height of the largest tree.
pub const MAX_ORDER: u8 = 40;
