//! Inclusion proofs: that a leaf is part of a tree whose root is known.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{LeafIndex, Level, MAX_ORDER, Position, Shape};
use crate::hash::{Checksum, hash_parent};

/// The siblings on the way from a leaf to the root, leaf first. Levels where the node has no sibling add none.
///
/// It carries neither the number of leaves nor directions: both follow from the [`Shape`] that the verifier takes
/// from a [`Commitment`](super::Commitment). It holds at most [`MAX_SIBLINGS`], and decoding stops there.
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
    /// [`ProofError::IndexOutOfRange`] if the tree has no such leaf, [`ProofError::SiblingCount`] if the way to the
    /// root has another number of siblings, [`ProofError::RootMismatch`] if it leads to another root.
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

/// Collects the inclusion proof of a leaf; `node` reads the nodes it asks for, leaf level first.
///
/// # Errors
///
/// [`ProveError::IndexOutOfRange`] if the tree has no such leaf, [`ProveError::Node`] with the first error of `node`.
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

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// A leaf behind the last one.
    #[error("leaf index is {index}, the tree has {leaves} leaves: take both from the same commitment")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: LeafIndex,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// A proof of another leaf, or for another number of leaves.
    #[error(
        "siblings has {actual} entries, the way from this leaf to the root has {expected}: \
         ask for a proof of this leaf in the committed tree"
    )]
    SiblingCount {
        /// Siblings on the way.
        expected: usize,
        /// Siblings in the proof.
        actual: usize,
    },
    /// Leaf, index, siblings and root do not belong together.
    #[error(
        "the proof leads to root {computed}, which is not the committed one: \
         the leaf, its index or a sibling is wrong"
    )]
    RootMismatch {
        /// The root that the proof leads to.
        computed: Checksum,
    },
}

/// Why no proof can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError<E> {
    /// A leaf behind the last one.
    #[error("leaf index is {index}, the tree has {leaves} leaves: count them from 0")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: LeafIndex,
        /// Leaves of the tree.
        leaves: u64,
    },
    /// A node that could not be read.
    #[error("the node at {position} cannot be read, and the proof needs it")]
    Node {
        /// Where the node stands.
        position: Position,
        /// What the reader said.
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
