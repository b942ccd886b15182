//! How many nodes a tree of n leaves has, and where they stand.

use core::fmt;

use super::{AlignedRange, GROUP_LEAVES, GROUP_ORDER, MAX_LEAVES, TILE_LEAVES, TILE_ORDER};

/// The geometry of a tree. Its number of leaves decides all of it.
///
/// ```
/// use pouw::merkle::{Level, Shape};
///
/// let shape = Shape::new(33)?;
/// assert_eq!(shape.height(), 6);
/// assert_eq!(shape.level_sizes().collect::<Vec<_>>(), [1, 2, 3, 5, 9, 17, 33]);
/// assert_eq!(shape.nodes_at(Level(5)), 17);
/// assert_eq!((shape.node_count(), shape.tiles(), shape.groups()), (70, 2, 3));
/// # Ok::<(), pouw::merkle::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    leaves: u64,
}

impl Shape {
    /// The shape of a tree of `leaves` leaves.
    ///
    /// # Errors
    ///
    /// [`ShapeError::NoLeaves`] for 0, [`ShapeError::TooManyLeaves`] above [`MAX_LEAVES`].
    pub const fn new(leaves: u64) -> Result<Self, ShapeError> {
        match leaves {
            0 => Err(ShapeError::NoLeaves),
            1..=MAX_LEAVES => Ok(Self { leaves }),
            _ => Err(ShapeError::TooManyLeaves { leaves }),
        }
    }

    /// Number of leaves, at least 1.
    pub const fn leaves(self) -> u64 {
        self.leaves
    }

    /// Number of parent steps from a leaf to the root: `ceil(log2 leaves)`. It is 0 for a single leaf, which is
    /// its own root.
    pub const fn height(self) -> u8 {
        (u64::BITS - (self.leaves - 1).leading_zeros()) as u8
    }

    /// The level of the leaves, which is the height.
    pub const fn leaf_level(self) -> Level {
        Level(self.height())
    }

    /// Number of nodes at `level`, 0 below the leaves.
    pub const fn nodes_at(self, level: Level) -> u64 {
        match self.height().checked_sub(level.0) {
            Some(steps) => self.leaves.div_ceil(1 << steps),
            None => 0,
        }
    }

    /// Number of nodes of the whole tree, `sum_j ceil(leaves / 2^j)`.
    pub fn node_count(self) -> u64 {
        self.level_sizes().sum()
    }

    /// Number of nodes of each level, root first.
    pub fn level_sizes(self) -> impl ExactSizeIterator<Item = u64> + DoubleEndedIterator + Clone {
        (0..self.height() + 1).map(move |level| self.nodes_at(Level(level)))
    }

    /// Number of tiles; the last one may be ragged.
    pub const fn tiles(self) -> u64 {
        self.leaves.div_ceil(TILE_LEAVES)
    }

    /// Number of groups; the last one may be ragged.
    pub const fn groups(self) -> u64 {
        self.leaves.div_ceil(GROUP_LEAVES)
    }

    /// The leaves of tile number `tile`.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TileOutOfRange`] if there are not that many tiles.
    pub fn tile_range(self, tile: u64) -> Result<AlignedRange, ShapeError> {
        let tiles = self.tiles();
        if tile >= tiles {
            return Err(ShapeError::TileOutOfRange { tile, tiles });
        }
        AlignedRange::new(self, tile << TILE_ORDER, TILE_ORDER)
    }

    /// The leaves of group number `group`.
    ///
    /// # Errors
    ///
    /// [`ShapeError::GroupOutOfRange`] if there are not that many groups.
    pub fn group_range(self, group: u64) -> Result<AlignedRange, ShapeError> {
        let groups = self.groups();
        if group >= groups {
            return Err(ShapeError::GroupOutOfRange { group, groups });
        }
        AlignedRange::new(self, group << GROUP_ORDER, GROUP_ORDER)
    }

    /// Whether there is a node at `position`.
    pub const fn contains(self, position: Position) -> bool {
        position.index < self.nodes_at(position.level)
    }
}

/// Index of a leaf, counted from 0 at the left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u64);

/// Level of a node: 0 is the root, the leaves are at the height of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub u8);

/// Where a node stands. Ordered as nodes are exported: root first, level by level, left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Level of the node.
    pub level: Level,
    /// Index within the level, counted from 0 at the left.
    pub index: u64,
}

/// Why there is no such tree, or no such part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A tree of no leaves.
    #[error("leaves is 0, a tree has at least 1: give the empty file one leaf of no bytes")]
    NoLeaves,
    /// A tree of more leaves than [`MAX_LEAVES`].
    #[error("leaves is {leaves}, a tree has at most {MAX_LEAVES}: use larger blocks or several trees")]
    TooManyLeaves {
        /// The number asked for.
        leaves: u64,
    },
    /// A range of a higher order than [`MAX_ORDER`](super::MAX_ORDER).
    #[error("order is {order}, an aligned range has at most order {}: ask for less", super::MAX_ORDER)]
    OrderTooHigh {
        /// The order asked for.
        order: u8,
    },
    /// A range that does not start on a multiple of its full length.
    #[error("start is {start}, a range of order {order} starts at a multiple of 2^{order}: align it")]
    StartNotAligned {
        /// First leaf asked for.
        start: u64,
        /// Order asked for.
        order: u8,
    },
    /// A range that starts behind the last leaf.
    #[error("start is {start}, the tree has {leaves} leaves: start below that")]
    StartOutOfRange {
        /// First leaf asked for.
        start: u64,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// A tile behind the last one.
    #[error("tile is {tile}, the tree has {tiles} tiles: count them from 0")]
    TileOutOfRange {
        /// The tile asked for.
        tile: u64,
        /// Tiles of the tree.
        tiles: u64,
    },
    /// A group behind the last one.
    #[error("group is {group}, the tree has {groups} groups: count them from 0")]
    GroupOutOfRange {
        /// The group asked for.
        group: u64,
        /// Groups of the tree.
        groups: u64,
    },
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}, index {}", self.level, self.index)
    }
}
