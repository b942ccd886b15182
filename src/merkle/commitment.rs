//! The public description of a tree: its root, and the facts that the root alone does not bind.

use serde::{Deserialize, Serialize};

use super::{InclusionProof, LeafIndex, ProofError, Shape, ShapeError};
use crate::hash::{Checksum, StreamingHash, sha3_512};

/// The root of a tree and its shape, bound by one [`digest`](Self::digest).
///
/// Leaves are hashed without a prefix, so the root of three leaves is also the root of two chosen
/// leaves of 128 and 64 bytes. A verifier takes the number of leaves and their lengths from here,
/// never from a proof.
///
/// ```
/// use pouw::hash::sha3_512;
/// use pouw::merkle::{Commitment, InclusionProof, LeafIndex};
///
/// let root = sha3_512(b"one block");
/// let commitment = Commitment { leaves: 1, total_bytes: 9, block_len: 512, root };
/// commitment.verify_leaf(LeafIndex(0), b"one block", &InclusionProof { siblings: vec![] })?;
/// # Ok::<(), pouw::merkle::CommitmentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commitment {
    /// Number of leaves.
    pub leaves: u64,
    /// Length of all leaves together, in bytes.
    pub total_bytes: u64,
    /// Length in bytes of every leaf but the last, which may be shorter: a file cut into blocks. 0
    /// for leaves of mixed lengths.
    pub block_len: u64,
    /// The root.
    pub root: Checksum,
}

impl Commitment {
    /// Returns the digest to publish:
    /// `SHA3-512("pouw-tree-commit-v1\0" || u8 alg = 1 || u64le leaves || u8 height ||
    /// u64le total_bytes || u64le block_len || root)`.
    ///
    /// It does not check the lengths; [`check`](Self::check) does.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if `leaves` is 0 or too large.
    pub fn digest(&self) -> Result<Checksum, ShapeError> {
        let shape = self.shape()?;
        let mut hash = StreamingHash::new();
        hash.update(PURPOSE);
        hash.update(&[ALG_SHA3_512]);
        hash.update(&self.leaves.to_le_bytes());
        hash.update(&[shape.height()]);
        hash.update(&self.total_bytes.to_le_bytes());
        hash.update(&self.block_len.to_le_bytes());
        hash.update(self.root.as_bytes());
        Ok(hash.finish())
    }

    /// Returns the shape of the tree.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if `leaves` is 0 or too large.
    pub fn shape(&self) -> Result<Shape, ShapeError> {
        Shape::new(self.leaves)
    }

    /// Checks that the fields are consistent, and returns the shape of the tree. If `block_len` is
    /// not 0, the number of leaves must be that of a file of `total_bytes` cut into blocks; only
    /// the empty file has an empty leaf.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Shape`] if `leaves` is 0 or too large, [`CommitmentError::TotalBytes`] if
    /// a file of that length has another number of blocks.
    pub fn check(&self) -> Result<Shape, CommitmentError> {
        let shape = self.shape()?;
        if self.block_len == 0 {
            return Ok(shape);
        }
        let blocks = self.total_bytes.div_ceil(self.block_len).max(1);
        if blocks != self.leaves {
            return Err(CommitmentError::TotalBytes {
                leaves: self.leaves,
                total_bytes: self.total_bytes,
                block_len: self.block_len,
                blocks,
            });
        }
        Ok(shape)
    }

    /// Checks the digest against a published one.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check), and [`CommitmentError::Digest`] if the digests differ.
    pub fn check_digest(&self, published: &Checksum) -> Result<(), CommitmentError> {
        self.check()?;
        let computed = self.digest()?;
        if computed != *published {
            return Err(CommitmentError::Digest { computed });
        }
        Ok(())
    }

    /// Checks the length in bytes of one leaf, as far as the commitment binds it.
    ///
    /// With a `block_len` every length is bound. Without it, only the length of a single leaf and
    /// the sum of all lengths are, and a length of 64 or 128 bytes is refused: such a leaf could be
    /// an interior node.
    ///
    /// # Errors
    ///
    /// The errors of [`check`](Self::check); [`ProofError::IndexOutOfRange`] if there is no such
    /// leaf; [`CommitmentError::LeafLength`], [`CommitmentError::LeafTooLong`] or
    /// [`CommitmentError::AmbiguousLeaf`] if the leaf cannot have that length.
    pub fn check_leaf_len(&self, index: LeafIndex, len: u64) -> Result<(), CommitmentError> {
        self.check()?;
        if index.0 >= self.leaves {
            return Err(ProofError::IndexOutOfRange { index, leaves: self.leaves }.into());
        }
        if ambiguous_leaf(self.block_len, len) {
            return Err(CommitmentError::AmbiguousLeaf { index, len });
        }
        match self.bound_leaf_len(index) {
            Some(expected) if len != expected => Err(CommitmentError::LeafLength { index, expected, actual: len }),
            None if len > self.total_bytes => {
                Err(CommitmentError::LeafTooLong { index, total_bytes: self.total_bytes, len })
            }
            _ => Ok(()),
        }
    }

    /// Checks that `data` is the leaf at `index`: its length and its inclusion in the tree.
    ///
    /// # Errors
    ///
    /// The errors of [`check_leaf_len`](Self::check_leaf_len) and [`InclusionProof::verify`].
    pub fn verify_leaf(&self, index: LeafIndex, data: &[u8], proof: &InclusionProof) -> Result<(), CommitmentError> {
        self.check_leaf_len(index, data.len() as u64)?;
        self.verify_leaf_hash(index, data.len() as u64, &sha3_512(data), proof)
    }

    /// Checks that data of `len` bytes with the hash `leaf` is the leaf at `index`.
    ///
    /// # Errors
    ///
    /// The errors of [`check_leaf_len`](Self::check_leaf_len) and [`InclusionProof::verify`].
    pub fn verify_leaf_hash(
        &self,
        index: LeafIndex,
        len: u64,
        leaf: &Checksum,
        proof: &InclusionProof,
    ) -> Result<(), CommitmentError> {
        self.check_leaf_len(index, len)?;
        proof.verify(self.shape()?, index, leaf, &self.root)?;
        Ok(())
    }

    /// Returns the length of a leaf if the commitment binds it. The fields are consistent and the
    /// leaf exists.
    fn bound_leaf_len(&self, index: LeafIndex) -> Option<u64> {
        match self.block_len {
            0 if self.leaves == 1 => Some(self.total_bytes),
            0 => None,
            block_len if index.0 + 1 < self.leaves => Some(block_len),
            block_len => Some(self.total_bytes - (self.leaves - 1) * block_len),
        }
    }
}

/// Returns whether a leaf of `len` bytes could be mistaken for an interior node and must be
/// refused: it has the length of one or two checksums, and `block_len` 0 does not bind lengths.
pub const fn ambiguous_leaf(block_len: u64, len: u64) -> bool {
    const ONE: u64 = Checksum::LEN as u64;
    const TWO: u64 = 2 * ONE;
    block_len == 0 && matches!(len, ONE | TWO)
}

/// An invalid commitment, or a leaf that it does not contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// The number of leaves is 0 or too large.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The proof is invalid.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The number of leaves, their length and the total contradict each other.
    #[error(
        "invalid commitment: expected {blocks} leaves for {total_bytes} bytes in blocks of {block_len}, \
         found {leaves}; do not use it"
    )]
    TotalBytes {
        /// Leaves according to the commitment.
        leaves: u64,
        /// Length of all leaves.
        total_bytes: u64,
        /// Length of every leaf but the last.
        block_len: u64,
        /// Blocks of that length in a file of that total.
        blocks: u64,
    },
    /// The digest is not the published one.
    #[error("the commitment's digest is {computed}, not the published one; a field or the root is wrong")]
    Digest {
        /// The digest of these fields.
        computed: Checksum,
    },
    /// The leaf's length differs from the committed one.
    #[error("invalid data of leaf {index}: expected {expected} bytes, as committed, found {actual}")]
    LeafLength {
        /// The leaf.
        index: LeafIndex,
        /// The committed length in bytes.
        expected: u64,
        /// The length given.
        actual: u64,
    },
    /// The leaf is longer than all leaves together.
    #[error("invalid data of leaf {index}: expected at most {total_bytes} bytes, the total of all leaves, found {len}")]
    LeafTooLong {
        /// The leaf.
        index: LeafIndex,
        /// Length of all leaves.
        total_bytes: u64,
        /// The length given.
        len: u64,
    },
    /// The leaf could be mistaken for an interior node.
    #[error(
        "leaf {index} has {len} bytes and could be an interior node; \
         trees of mixed lengths (block_len 0) must not have leaves of 64 or 128 bytes"
    )]
    AmbiguousLeaf {
        /// The leaf.
        index: LeafIndex,
        /// The length given.
        len: u64,
    },
}

/// Separates commitments from other hashed structures.
const PURPOSE: &[u8] = b"pouw-tree-commit-v1\0";

/// Number of the hash algorithm in the commitment.
const ALG_SHA3_512: u8 = 1;
