//! The number of nodes in a tree of n leaves, and their positions.

use core::fmt;

use super::sizes::{GROUP_LEAVES, MAX_LEAVES, MAX_ORDER, TILE_LEAVES};

/// The geometry of a tree, which follows from its number of leaves.
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
    /// Returns the shape of a tree of `leaves` leaves.
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

    /// Number of parent steps from a leaf to the root: `ceil(log2 leaves)`. It is 0 for a single
    /// leaf, which is the root.
    pub const fn height(self) -> u8 {
        (u64::BITS - (self.leaves - 1).leading_zeros()) as u8
    }

    /// Returns the level of the groups' tops, if any level is above it.
    #[cfg(feature = "engine")]
    pub(crate) const fn group_level(self) -> Level {
        Level(self.height().saturating_sub(super::sizes::GROUP_ORDER))
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
    #[doc(hidden)]
    pub const fn tiles(self) -> u64 {
        self.leaves.div_ceil(TILE_LEAVES)
    }

    /// Number of groups; the last one may be ragged.
    #[doc(hidden)]
    pub const fn groups(self) -> u64 {
        self.leaves.div_ceil(GROUP_LEAVES)
    }

    /// Returns whether there is a node at `position`.
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

/// The position of a node. Ordered as nodes are exported: root first, level by level, left to
/// right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Level of the node.
    pub level: Level,
    /// Index within the level, counted from 0 at the left.
    pub index: u64,
}

/// A tree, or a part of it, that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A tree of no leaves.
    #[error("invalid number of leaves: expected at least 1, found 0; an empty file has one empty leaf")]
    NoLeaves,
    /// A tree of more leaves than [`MAX_LEAVES`].
    #[error("too many leaves: expected at most {MAX_LEAVES}, found {leaves}; use larger blocks or several trees")]
    TooManyLeaves {
        /// The requested number.
        leaves: u64,
    },
    /// A range of a higher order than [`MAX_ORDER`].
    #[error("invalid order: expected at most {}, found {order}", MAX_ORDER)]
    OrderTooHigh {
        /// The requested order.
        order: u8,
    },
    /// A range that does not start on a multiple of its full length.
    #[error("invalid start: expected a multiple of 2^{order} for a range of order {order}, found {start}")]
    StartNotAligned {
        /// The requested first leaf.
        start: u64,
        /// The requested order.
        order: u8,
    },
    /// A range that starts after the last leaf.
    #[error("invalid start: expected less than {leaves}, the number of leaves, found {start}")]
    StartOutOfRange {
        /// The requested first leaf.
        start: u64,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// A tile after the last one.
    #[error("invalid tile: expected less than {tiles}, the number of tiles, found {tile}")]
    TileOutOfRange {
        /// The requested tile.
        tile: u64,
        /// Tiles of the tree.
        tiles: u64,
    },
    /// A group after the last one.
    #[error("invalid group: expected less than {groups}, the number of groups, found {group}")]
    GroupOutOfRange {
        /// The requested group.
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
