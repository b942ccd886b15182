//! Inclusion proofs: they show that a leaf is part of a tree whose root is known.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{LeafIndex, Level, MAX_ORDER, Position, Shape};
use crate::hash::{Checksum, hash_parent};

/// The siblings on the path from a leaf to the root, leaf first. A level where the node has no
/// sibling adds none.
///
/// It contains neither the number of leaves nor directions: both follow from the [`Shape`], which
/// the verifier takes from a [`Commitment`](super::Commitment). It has at most [`MAX_SIBLINGS`];
/// decoding fails beyond that.
///
/// ```
/// use pouw::hash::{hash_parent, sha3_512};
/// use pouw::merkle::{InclusionProof, LeafIndex, Shape};
///
/// let (left, right) = (sha3_512(b"left"), sha3_512(b"right"));
/// let root = hash_parent(&left, Some(&right));
/// let proof = InclusionProof { siblings: vec![right] };
/// proof.verify(Shape::new(2)?, LeafIndex(0), &left, &root)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The siblings, from the leaf up.
    #[serde(deserialize_with = "deserialize_siblings")]
    pub siblings: Vec<Checksum>,
}

impl InclusionProof {
    /// Checks that a tree of this shape with this root has `leaf` at `index`.
    ///
    /// # Errors
    ///
    /// [`ProofError::IndexOutOfRange`] if the tree has no such leaf, [`ProofError::SiblingCount`]
    /// if the number of siblings is wrong for this leaf, [`ProofError::RootMismatch`] if the proof
    /// leads to another root.
    pub fn verify(&self, shape: Shape, index: LeafIndex, leaf: &Checksum, root: &Checksum) -> Result<(), ProofError> {
        let steps = steps_to_root(shape, index)?;
        let expected = steps.clone().filter(|step| step.sibling().is_some()).count();
        let actual = self.siblings.len();
        if actual != expected {
            return Err(ProofError::SiblingCount { expected, actual });
        }
        let mut siblings = self.siblings.iter();
        let computed = steps.fold(*leaf, |node, step| match step {
            Step::SiblingLeft(_) => siblings.next().map_or(node, |left| hash_parent(left, Some(&node))),
            Step::SiblingRight(_) => hash_parent(&node, siblings.next()),
            Step::Alone => hash_parent(&node, None),
        });
        if computed != *root {
            return Err(ProofError::RootMismatch { computed });
        }
        Ok(())
    }
}

/// Collects the inclusion proof of a leaf. `node` reads the nodes at the requested positions, leaf
/// level first.
///
/// # Errors
///
/// [`ProveError::IndexOutOfRange`] if the tree has no such leaf, [`ProveError::Node`] with the
/// first error of `node`.
pub fn prove<E>(
    shape: Shape,
    index: LeafIndex,
    mut node: impl FnMut(Position) -> Result<Checksum, E>,
) -> Result<InclusionProof, ProveError<E>> {
    let Ok(steps) = steps_to_root(shape, index) else {
        return Err(ProveError::IndexOutOfRange { index, leaves: shape.leaves() });
    };
    let siblings = steps
        .filter_map(Step::sibling)
        .map(|position| node(position).map_err(|source| ProveError::Node { position, source }))
        .collect::<Result<_, _>>()?;
    Ok(InclusionProof { siblings })
}

/// A proof that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf index is too large.
    #[error("invalid leaf index: expected less than {leaves}, found {index}; take both from the same commitment")]
    IndexOutOfRange {
        /// The requested leaf.
        index: LeafIndex,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// The proof is for another leaf, or another number of leaves.
    #[error(
        "invalid siblings: expected {expected} for this leaf, found {actual}; \
         request a proof of this leaf in the committed tree"
    )]
    SiblingCount {
        /// Siblings on the path.
        expected: usize,
        /// Siblings in the proof.
        actual: usize,
    },
    /// Leaf, index, siblings and root do not match.
    #[error(
        "the proof leads to root {computed}, not to the committed one; \
         the leaf, its index or a sibling is wrong"
    )]
    RootMismatch {
        /// The root that the proof leads to.
        computed: Checksum,
    },
}

/// A proof that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError<E> {
    /// The leaf index is too large.
    #[error("invalid leaf index: expected less than {leaves}, found {index}")]
    IndexOutOfRange {
        /// The requested leaf.
        index: LeafIndex,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// A node cannot be read.
    #[error("the proof needs the node at {position}, which cannot be read")]
    Node {
        /// The position of the node.
        position: Position,
        /// The error of the reader.
        source: E,
    },
}

/// One step from a node to its parent.
#[derive(Clone, Copy, Debug)]
enum Step {
    SiblingLeft(Position),
    SiblingRight(Position),
    Alone,
}

impl Step {
    fn sibling(self) -> Option<Position> {
        match self {
            Self::SiblingLeft(position) | Self::SiblingRight(position) => Some(position),
            Self::Alone => None,
        }
    }
}

/// The steps from a leaf to the root, `height` of them.
fn steps_to_root(shape: Shape, index: LeafIndex) -> Result<impl Iterator<Item = Step> + Clone, ProofError> {
    if index.0 >= shape.leaves() {
        return Err(ProofError::IndexOutOfRange { index, leaves: shape.leaves() });
    }
    let height = shape.height();
    Ok((0..height).map(move |step| {
        let level = Level(height - step);
        let index = index.0 >> step;
        let sibling = Position { level, index: index ^ 1 };
        match index & 1 {
            1 => Step::SiblingLeft(sibling),
            _ if shape.contains(sibling) => Step::SiblingRight(sibling),
            _ => Step::Alone,
        }
    }))
}

fn deserialize_siblings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Checksum>, D::Error> {
    deserializer.deserialize_seq(SiblingsVisitor)
}

struct SiblingsVisitor;

impl<'de> de::Visitor<'de> for SiblingsVisitor {
    type Value = Vec<Checksum>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "siblings: at most {MAX_SIBLINGS} checksums")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Checksum>, A::Error> {
        let mut siblings = Vec::new();
        while let Some(sibling) = seq.next_element()? {
            if siblings.len() == MAX_SIBLINGS {
                return Err(de::Error::invalid_length(MAX_SIBLINGS + 1, &self));
            }
            siblings.push(sibling);
        }
        Ok(siblings)
    }
}

/// Most siblings of a proof: one for each level of the highest tree.
pub const MAX_SIBLINGS: usize = MAX_ORDER as usize;
