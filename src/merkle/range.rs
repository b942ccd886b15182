//! Aligned ranges of leaves: the leaves of a unit of work, or of a stored tile.

use super::shape::{LeafIndex, Level, Position, Shape, ShapeError};
use super::sizes::{GROUP_ORDER, MAX_ORDER, TILE_ORDER};

/// The leaves `[start, min(start + 2^order, n))` of a tree of n leaves, `start` a multiple of
/// `2^order`.
///
/// Such a range is a complete subtree: the hash of its top node depends on these leaves only. It is
/// never empty, and ragged only at the end of the tree.
///
/// ```
/// use pouw::merkle::{AlignedRange, Level, Position, Shape};
///
/// let shape = Shape::new(35)?;
/// let ragged = AlignedRange::new(shape, 32, 2)?;
/// assert_eq!((ragged.start(), ragged.end(), ragged.len()), (32, 35, 3));
/// assert_eq!((ragged.fold_levels(), ragged.node_count()), (2, 3 + 2 + 1));
/// assert_eq!(ragged.top(), Position { level: Level(4), index: 8 });
/// # Ok::<(), pouw::merkle::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlignedRange {
    start: u64,
    end: u64,
    order: u8,
    height: u8,
}

impl Shape {
    /// The leaves of tile number `tile`.
    ///
    /// # Errors
    ///
    /// [`ShapeError::TileOutOfRange`] if there is no such tile.
    #[doc(hidden)]
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
    /// [`ShapeError::GroupOutOfRange`] if there is no such group.
    #[doc(hidden)]
    pub fn group_range(self, group: u64) -> Result<AlignedRange, ShapeError> {
        let groups = self.groups();
        if group >= groups {
            return Err(ShapeError::GroupOutOfRange { group, groups });
        }
        AlignedRange::new(self, group << GROUP_ORDER, GROUP_ORDER)
    }
}

#[expect(clippy::len_without_is_empty, reason = "a range holds at least one leaf")]
impl AlignedRange {
    /// Returns the range of the given order that starts at leaf `start` of a tree.
    ///
    /// # Errors
    ///
    /// [`ShapeError::OrderTooHigh`] above [`MAX_ORDER`], [`ShapeError::StartNotAligned`] if `start`
    /// is not a multiple of `2^order`, [`ShapeError::StartOutOfRange`] if the tree has no leaf
    /// there.
    pub const fn new(shape: Shape, start: u64, order: u8) -> Result<Self, ShapeError> {
        let leaves = shape.leaves();
        if order > MAX_ORDER {
            return Err(ShapeError::OrderTooHigh { order });
        }
        let full_len = 1 << order;
        if !start.is_multiple_of(full_len) {
            return Err(ShapeError::StartNotAligned { start, order });
        }
        if start >= leaves {
            return Err(ShapeError::StartOutOfRange { start, leaves });
        }
        let end = if leaves - start < full_len { leaves } else { start + full_len };
        Ok(Self { start, end, order, height: shape.height() })
    }

    /// Index of the first leaf.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Index after the last leaf.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of leaves, from 1 to `2^order`.
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// The order: a full range has `2^order` leaves.
    pub const fn order(self) -> u8 {
        self.order
    }

    /// Number of parent steps from the leaves to the top node: the order, but no more than the
    /// height of the tree.
    pub const fn fold_levels(self) -> u8 {
        if self.order < self.height { self.order } else { self.height }
    }

    /// Number of hashes from the leaves' data to the top node:
    /// `sum_{j = 0..=fold_levels} ceil(len / 2^j)`.
    pub const fn node_count(self) -> u64 {
        let mut nodes = 0;
        let mut step = 0;
        while step <= self.fold_levels() {
            nodes += self.len().div_ceil(1 << step);
            step += 1;
        }
        nodes
    }

    /// Position of the top node: the root if the range is the whole tree.
    pub const fn top(self) -> Position {
        let steps = self.fold_levels();
        Position { level: Level(self.height - steps), index: self.start >> steps }
    }

    /// Number of the tile of the first leaf. A range whose order is at most that of a tile lies in
    /// one tile.
    pub const fn tile(self) -> u64 {
        self.start >> TILE_ORDER
    }

    /// Returns whether `leaf` is one of these leaves.
    pub const fn contains(self, leaf: LeafIndex) -> bool {
        self.start <= leaf.0 && leaf.0 < self.end
    }

    /// Returns whether this range and another of the same tree share a leaf. If so, one contains
    /// the other.
    pub const fn overlaps(self, other: &AlignedRange) -> bool {
        self.start < other.end && other.start < self.end
    }
}
