//! Folding nodes as they arrive, with one node per level in memory.

use alloc::vec::Vec;

use super::{AlignedRange, Level, MAX_LEAVES, MAX_ORDER, Shape};
use crate::hash::{Checksum, hash_parent};

/// Computes the root of leaves that arrive in order, equal to [`root`](super::root) of all of them.
///
/// A complete subtree, such as a full tile, can be pushed by its top node. Memory: at most one node
/// per level.
///
/// ```
/// use pouw::hash::sha3_512;
/// use pouw::merkle::{fold, root, Shape, StreamingRoot};
///
/// let leaves: Vec<_> = (0..35_u8).map(|i| sha3_512(&[i])).collect();
/// let shape = Shape::new(35)?;
/// let mut stream = StreamingRoot::new();
/// stream.push_subtree(5, fold(&leaves[..32], 5).expect("32 leaves fold in 5 steps"))?;
/// for leaf in &leaves[32..] {
///     stream.push(*leaf);
/// }
/// assert_eq!(stream.finish(), root(&leaves));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StreamingRoot {
    peaks: Peaks,
}

impl StreamingRoot {
    /// Starts a tree of no leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one leaf.
    ///
    /// Leaves beyond [`MAX_LEAVES`] are folded too, but such a tree has no [`Shape`].
    pub fn push(&mut self, leaf: Checksum) {
        self.peaks.push(0, leaf);
    }

    /// Appends a complete subtree of exactly `2^order` leaves by its top node.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotAligned`] if the number of leaves so far is not a multiple of
    /// `2^order`,
    /// [`StreamError::TooManyLeaves`] if the tree would exceed [`MAX_LEAVES`]. Nothing is appended
    /// on an error.
    pub fn push_subtree(&mut self, order: u8, top: Checksum) -> Result<(), StreamError> {
        let leaves = self.peaks.nodes;
        if order > MAX_ORDER || leaves > MAX_LEAVES - (1 << order) {
            return Err(StreamError::TooManyLeaves { leaves, order });
        }
        if !leaves.is_multiple_of(1 << order) {
            return Err(StreamError::NotAligned { leaves, order });
        }
        self.peaks.push(order, top);
        Ok(())
    }

    /// Returns the root of the tree that ends with `range`, whose top node is `top`. Use it for a
    /// ragged last tile; a full one works too. The stream does not change.
    ///
    /// # Errors
    ///
    /// [`StreamError::RangeStart`] if the range does not start after the leaves so far.
    #[doc(hidden)]
    pub fn finish_with(&self, range: AlignedRange, top: Checksum) -> Result<Checksum, StreamError> {
        let leaves = self.peaks.nodes;
        if range.start() != leaves {
            return Err(StreamError::RangeStart { leaves, start: range.start() });
        }
        Ok(self.peaks.close(range.fold_levels(), top))
    }

    /// Number of leaves so far.
    pub fn leaves(&self) -> u64 {
        self.peaks.nodes
    }

    /// Returns the root of the leaves so far, `None` if there are none.
    pub fn finish(&self) -> Option<Checksum> {
        self.peaks.root()
    }
}

/// Turns the nodes of one level, fed in order, into the nodes of a level nearer the root, in order.
///
/// An exporter that writes a tree level by level, root first, feeds the same stored nodes once per
/// level and never holds the tree. Memory: at most one node per level between the two.
///
/// ```
/// use pouw::hash::{hash_parent, sha3_512};
/// use pouw::merkle::{Level, LevelFolder, Shape};
///
/// let [a, b, c] = [b"a", b"b", b"c"].map(|block| sha3_512(block));
/// let mut folder = LevelFolder::new(Shape::new(3)?, Level(2), Level(1))?;
/// assert_eq!(folder.push(a), None);
/// assert_eq!(folder.push(b), Some(hash_parent(&a, Some(&b))));
/// assert_eq!(folder.push(c), None);
/// assert_eq!(folder.finish()?, Some(hash_parent(&c, None)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LevelFolder {
    /// The nodes fed since the last node given out, fewer than `2^steps`.
    peaks: Peaks,
    steps: u8,
    expected: u64,
    fed: u64,
}

impl LevelFolder {
    /// Creates a folder from level `from` of a tree up to level `to`.
    ///
    /// # Errors
    ///
    /// [`StreamError::LevelOutOfRange`] if the tree has no level `from`,
    /// [`StreamError::LevelOrder`] if `to` is farther from the root than `from`.
    pub fn new(shape: Shape, from: Level, to: Level) -> Result<Self, StreamError> {
        if from > shape.leaf_level() {
            return Err(StreamError::LevelOutOfRange { level: from, leaf_level: shape.leaf_level() });
        }
        let Some(steps) = from.0.checked_sub(to.0) else {
            return Err(StreamError::LevelOrder { from, to });
        };
        Ok(Self { peaks: Peaks::default(), steps, expected: shape.nodes_at(from), fed: 0 })
    }

    /// Feeds the next node, and returns the node above once it is complete.
    ///
    /// Nodes in excess of the level are only counted; [`finish`](Self::finish) then fails.
    pub fn push(&mut self, node: Checksum) -> Option<Checksum> {
        self.fed = self.fed.saturating_add(1);
        if self.fed > self.expected {
            return None;
        }
        self.peaks.push(0, node);
        if self.peaks.nodes < 1 << self.steps {
            return None;
        }
        self.peaks.take_only()
    }

    /// Ends the level and returns its last node if it is ragged and was not returned yet.
    ///
    /// # Errors
    ///
    /// [`StreamError::NodeCount`] if more or fewer nodes were fed than the level has.
    pub fn finish(self) -> Result<Option<Checksum>, StreamError> {
        if self.fed != self.expected {
            return Err(StreamError::NodeCount { expected: self.expected, actual: self.fed });
        }
        Ok(self.peaks.raised_to(self.steps))
    }
}

/// An invalid call of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A subtree does not start at a multiple of its length.
    #[error(
        "invalid subtree of order {order}: expected a multiple of 2^{order} leaves before it, found {leaves}; \
         push the missing leaves or smaller subtrees first"
    )]
    NotAligned {
        /// Leaves pushed so far.
        leaves: u64,
        /// Order of the subtree.
        order: u8,
    },
    /// A subtree would exceed [`MAX_LEAVES`].
    #[error(
        "too many leaves: expected at most {MAX_LEAVES}, found a subtree of order {order} after {leaves}; \
         use larger blocks or several trees"
    )]
    TooManyLeaves {
        /// Leaves pushed so far.
        leaves: u64,
        /// Order of the subtree.
        order: u8,
    },
    /// The last range does not start after the leaves so far.
    #[error("invalid last range: expected it to start at leaf {leaves}, found {start}; push every leaf once, in order")]
    RangeStart {
        /// Leaves pushed so far.
        leaves: u64,
        /// First leaf of the range.
        start: u64,
    },
    /// The tree does not have the level.
    #[error("invalid level `from`: expected at most {leaf_level}, the level of the leaves, found {level}")]
    LevelOutOfRange {
        /// The requested level.
        level: Level,
        /// Level of the leaves.
        leaf_level: Level,
    },
    /// The target is farther from the root than the source.
    #[error("invalid level `to`: expected at most {from}, the level of `from`, found {to}; the root is level 0")]
    LevelOrder {
        /// Level of the nodes fed.
        from: Level,
        /// Level of the nodes returned.
        to: Level,
    },
    /// The number of nodes is not that of the level.
    #[error(
        "invalid number of nodes: expected {expected} in this level, found {actual}; feed each node once, in order"
    )]
    NodeCount {
        /// Nodes of the level.
        expected: u64,
        /// Nodes fed.
        actual: u64,
    },
}

/// The top nodes of complete subtrees: one for each bit set in the number of nodes, the largest
/// first.
#[derive(Clone, Debug, Default)]
struct Peaks {
    tops: Vec<Checksum>,
    nodes: u64,
}

impl Peaks {
    /// Appends a complete subtree of `2^order` nodes. The nodes so far are a multiple of that.
    fn push(&mut self, order: u8, top: Checksum) {
        let mut carry = top;
        let subtrees_to_join = (self.nodes >> order).trailing_ones();
        for _ in 0..subtrees_to_join {
            if let Some(left) = self.tops.pop() {
                carry = hash_parent(&left, Some(&carry));
            }
        }
        self.tops.push(carry);
        self.nodes += 1 << order;
    }

    /// Returns the node above all of them and a last subtree, whose top node `last` is `order`
    /// steps up.
    fn close(&self, order: u8, last: Checksum) -> Checksum {
        join(&self.tops, self.nodes, order, last).0
    }

    /// Returns the node above all of them, `None` if there are none.
    fn root(&self) -> Option<Checksum> {
        self.join_all().map(|(top, _)| top)
    }

    /// Returns the node exactly `steps` steps up, `None` if there are none. They are no more than
    /// `2^steps`.
    fn raised_to(&self, steps: u8) -> Option<Checksum> {
        let (top, order) = self.join_all()?;
        Some((order..steps).fold(top, |node, _| hash_parent(&node, None)))
    }

    fn join_all(&self) -> Option<(Checksum, u8)> {
        let (last, larger) = self.tops.split_last()?;
        let order = self.nodes.trailing_zeros();
        Some(join(larger, self.nodes - (1 << order), order as u8, *last))
    }

    /// Removes the nodes and returns the last top, which is the only one if their number is a power
    /// of two.
    fn take_only(&mut self) -> Option<Checksum> {
        self.nodes = 0;
        self.tops.pop()
    }
}

/// Joins the peaks of `nodes` nodes, a multiple of `2^order`, with the node to their right, `order`
/// steps up. Returns the node above all of them and its number of steps up.
fn join(tops: &[Checksum], nodes: u64, order: u8, right: Checksum) -> (Checksum, u8) {
    let (mut node, mut order) = (right, order);
    for left in tops.iter().rev() {
        // Up to the size of the next peak the node has no sibling.
        while nodes >> order & 1 == 0 {
            node = hash_parent(&node, None);
            order += 1;
        }
        node = hash_parent(left, Some(&node));
        order += 1;
    }
    (node, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_holds_at_most_one_node_per_level() {
        let mut stream = StreamingRoot::new();
        for count in 1..=20_000_u64 {
            stream.push(Checksum::ZERO);
            assert_eq!(stream.peaks.tops.len(), count.count_ones() as usize);
        }
        let shape = Shape::new(20_000).expect("within the limits");
        let mut folder = LevelFolder::new(shape, shape.leaf_level(), Level(5)).expect("the levels exist");
        for _ in 0..30_000 {
            folder.push(Checksum::ZERO);
            assert!(folder.peaks.tops.len() <= usize::from(shape.height() - 5));
        }
    }
}
