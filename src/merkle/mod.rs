//! Merkle trees over SHA3-512 checksums: geometry, folding, inclusion proofs and the commitment.
//!
//! Guarantees: pure functions of their arguments, no I/O. Except for functions with a `# Panics`
//! section, no input panics. Streams hold one node per level, batches at most as many nodes as they
//! were given.
//!
//! Terms. Level 0 is the root, the leaves are at level `height = ceil(log2 n)`. A parent is
//! SHA3-512 of its children's 128 bytes; the parent of an odd last node is SHA3-512 of its 64
//! bytes. A tree therefore has `sum_j ceil(n / 2^j)` nodes, which is `2n - 1` for powers of two
//! only.
//!
//! ```text
//! level 0            r            n = 5, height 3, 1 + 2 + 3 + 5 = 11 nodes
//!                  /   \
//! level 1         x     y         y = SHA3-512(e)
//!                / \    |
//! level 2       a   b   e'        e' = SHA3-512(e), y = SHA3-512(e')
//!              / \ / \  |
//! leaves      0  1 2  3 4
//! ```
//!
//! A *tile* is an aligned range of 32 leaves, the unit of storage; a *group* is an aligned range of
//! 16. The last one of a tree may be ragged.
//!
//! The root alone does not bind the number of leaves, since leaves have no prefix: publish the
//! [`Commitment`] and verify against it.
//!
//! ```
//! use pouw::hash::sha3_512;
//! use pouw::merkle::{fold, prove, root, Commitment, LeafIndex, Shape};
//!
//! let leaves = [b"ab", b"cd", b"ef"].map(|block| sha3_512(block));
//! let shape = Shape::new(3)?;
//! // The node above the last leaf, which has no sibling.
//! let lone = fold(&leaves[2..], 1).expect("one leaf folds to one node");
//!
//! let root = root(&leaves).expect("there are leaves");
//! let commitment = Commitment { leaves: 3, total_bytes: 6, block_len: 2, root };
//! let proof = prove(shape, LeafIndex(0), |position| match (position.level.0, position.index) {
//!     (2, index) => Ok(leaves[index as usize]),
//!     (1, 1) => Ok(lone),
//!     _ => Err("not computed"),
//! });
//! commitment.verify_leaf(LeafIndex(0), b"ab", &proof.expect("both siblings are known"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commitment;
mod fold;
mod proof;
mod range;
mod shape;
mod sizes;
mod streaming;

#[doc(hidden)]
pub use commitment::ambiguous_leaf;
pub use commitment::{Commitment, CommitmentError};
pub use fold::{fold, fold_level, root};
pub use proof::{InclusionProof, MAX_SIBLINGS, ProofError, ProveError, prove};
#[doc(hidden)]
pub use range::AlignedRange;
pub use shape::{LeafIndex, Level, Position, Shape, ShapeError};
#[doc(hidden)]
pub use sizes::{GROUP_LEAVES, GROUP_ORDER, TILE_LEAVES, TILE_ORDER};
pub use sizes::{MAX_LEAVES, MAX_ORDER};
#[doc(hidden)]
pub use streaming::LevelFolder;
pub use streaming::{StreamError, StreamingRoot};

#[cfg(test)]
mod tests;
