//! The unit of work that the server sends.

use alloc::string::String;
use alloc::vec::Vec;

use super::id::{TreeHandle, WorkId};
use super::limits::{MAX_FOLD_LEVELS, MAX_NUMBER, MAX_TOKEN_CHARS, MAX_UNIT_DATA_BYTES, MAX_UNIT_LEAVES};
use super::time::UnixMillis;
use super::words::{DifficultyTier, WorkUnitOperation};

/// A piece of a Merkle tree to be hashed, and everything a client needs to do it.
///
/// The fields are the members of the JSON object in `snake_case`. A unit that was read has valid
/// types and is bounded; [`WorkUnit::validate`] checks that its members are consistent.
///
/// ```
/// use pouw::protocol::WorkUnit;
///
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let json = r#"{"id": "018bcfe5-687b-7707-8707-070707070707", "treeId": "00000000000000000000000000000000",
///     "treeLevel": 0, "treeIndex": 0, "operation": "leaf_hash", "inputData": "YWJj", "childCount": 0,
///     "nodeCount": 1, "synthetic": true, "difficulty": "low", "challengeToken": "token",
///     "createdAt": "2025-01-31T12:00:00.000Z", "expiresAt": "2025-01-31T12:01:00.000Z",
///     "notBefore": "2025-01-31T12:00:01.500Z", "waitMs": 1500, "ttlMs": 60000}"#;
/// let unit = WorkUnit::from_json(json.as_bytes())?;
/// unit.validate()?;
/// assert_eq!(unit.input_data, b"abc");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkUnit {
    /// The id of this challenge.
    pub id: WorkId,
    /// The opaque id of the tree.
    pub tree_id: TreeHandle,
    /// Level of the unit's top node; level 0 is the root.
    pub tree_level: u8,
    /// Index of the unit's top node within its level.
    pub tree_index: u64,
    /// The operation.
    pub operation: WorkUnitOperation,
    /// Leaf bytes; concatenated leaves; or concatenated child hashes of 64 bytes.
    pub input_data: Vec<u8>,
    /// Bytes of each leaf in order; empty unless the operation is `SubtreeHash`.
    pub leaf_lengths: Vec<u64>,
    /// Parent steps to apply to the leaf hashes; 0 unless the operation is `SubtreeHash`.
    pub fold_levels: u8,
    /// Child hashes in the data; 0 unless the operation is `InteriorHash`.
    pub child_count: u32,
    /// Hashes needed for this unit.
    pub node_count: u64,
    /// True for random data made for this challenge only, whose hashes are not kept.
    pub synthetic: bool,
    /// The tier the unit was issued for.
    pub difficulty: DifficultyTier,
    /// The token, which the answer returns unchanged.
    pub challenge_token: String,
    /// The time of issue.
    pub created_at: UnixMillis,
    /// The time from which its token is no longer accepted.
    pub expires_at: UnixMillis,
    /// The floor: the server rejects earlier answers unread.
    pub not_before: UnixMillis,
    /// Milliseconds from receipt of the unit until the floor.
    pub wait_ms: u64,
    /// Milliseconds from receipt of the unit until expiry.
    pub ttl_ms: u64,
}

impl WorkUnit {
    /// Checks that the members are consistent: counts within their bounds, lengths that sum to the
    /// data, the node count of the subtree ([`subtree_nodes`]), child hashes of 64 bytes each, a
    /// position inside a tree. Only the server can check that the token is genuine.
    ///
    /// # Errors
    /// [`UnitError`] names the first inconsistent member.
    pub fn validate(&self) -> Result<(), UnitError> {
        at_most("inputData", MAX_UNIT_DATA_BYTES as u64, self.input_data.len() as u64)?;
        at_most("challengeToken", MAX_TOKEN_CHARS as u64, self.challenge_token.len() as u64)?;
        at_most("leafLengths", MAX_UNIT_LEAVES as u64, self.leaf_lengths.len() as u64)?;
        at_most("foldLevels", MAX_FOLD_LEVELS.into(), self.fold_levels.into())?;
        at_most("treeLevel", MAX_FOLD_LEVELS.into(), self.tree_level.into())?;
        at_most("treeIndex", (1 << self.tree_level) - 1, self.tree_index)?;
        at_most("waitMs", MAX_NUMBER, self.wait_ms)?;
        at_most("ttlMs", MAX_NUMBER, self.ttl_ms)?;
        match self.operation {
            WorkUnitOperation::SubtreeHash => self.validate_subtree(),
            WorkUnitOperation::LeafHash => self.validate_single(0),
            WorkUnitOperation::InteriorHash => {
                if !(1..=2).contains(&self.child_count) {
                    return Err(UnitError::OutOfRange {
                        member: "childCount",
                        minimum: 1,
                        maximum: 2,
                        found: self.child_count.into(),
                    });
                }
                exactly("inputData", u64::from(self.child_count) * 64, self.input_data.len() as u64)?;
                self.validate_single(self.child_count)
            }
        }
    }

    /// Returns the leaves in order: one for `LeafHash`, none for `InteriorHash`. For a unit that
    /// fails [`WorkUnit::validate`] it stops at the first leaf beyond the data.
    pub fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        let whole = match self.operation {
            WorkUnitOperation::LeafHash => Some(self.input_data.as_slice()),
            _ => None,
        };
        let lengths = match self.operation {
            WorkUnitOperation::SubtreeHash => self.leaf_lengths.as_slice(),
            _ => &[],
        };
        let parts = lengths.iter().scan(self.input_data.as_slice(), |rest, length| {
            let (leaf, after) = rest.split_at_checked(usize::try_from(*length).ok()?)?;
            *rest = after;
            Some(leaf)
        });
        whole.into_iter().chain(parts)
    }

    /// Returns the number of leaf hashes in an answer: one per leaf for `SubtreeHash`, else 0.
    pub fn listed_leaves(&self) -> usize {
        match self.operation {
            WorkUnitOperation::SubtreeHash => self.leaf_lengths.len(),
            _ => 0,
        }
    }

    fn validate_subtree(&self) -> Result<(), UnitError> {
        let leaves = self.leaf_lengths.len() as u64;
        if leaves == 0 {
            return Err(UnitError::OutOfRange {
                member: "leafLengths",
                minimum: 1,
                maximum: MAX_UNIT_LEAVES as u64,
                found: 0,
            });
        }
        let sum = self.leaf_lengths.iter().fold(0, |sum: u64, length| sum.saturating_add(*length));
        exactly("leafLengths", self.input_data.len() as u64, sum)?;
        if leaves > 1 << self.fold_levels {
            return Err(UnitError::ManyTops { leaves, fold_levels: self.fold_levels });
        }
        exactly("childCount", 0, self.child_count.into())?;
        exactly("nodeCount", subtree_nodes(leaves, self.fold_levels), self.node_count)
    }

    fn validate_single(&self, child_count: u32) -> Result<(), UnitError> {
        exactly("leafLengths", 0, self.leaf_lengths.len() as u64)?;
        exactly("foldLevels", 0, self.fold_levels.into())?;
        exactly("childCount", child_count.into(), self.child_count.into())?;
        exactly("nodeCount", 1, self.node_count)
    }
}

/// Returns the number of nodes in the subtree over `leaves` leaves after `fold_levels` parent
/// steps: the sum of `ceil(leaves / 2^j)` for j from 0 to `fold_levels`. Saturates; 0 leaves have 0
/// nodes.
///
/// ```
/// use pouw::protocol::subtree_nodes;
/// assert_eq!(subtree_nodes(32, 5), 63);
/// assert_eq!(subtree_nodes(3, 2), 3 + 2 + 1);
/// assert_eq!(subtree_nodes(1, 5), 6);
/// ```
pub fn subtree_nodes(leaves: u64, fold_levels: u8) -> u64 {
    let mut row = leaves;
    (0..fold_levels).fold(leaves, |nodes, _| {
        row = row.div_ceil(2);
        nodes.saturating_add(row)
    })
}

/// An inconsistent unit. The client should drop it and request a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// A count or a length contradicts the other members.
    #[error("invalid `{member}`: expected {expected}, as the other members imply, found {found}; request a new unit")]
    Mismatch {
        /// The inconsistent member by its wire name.
        member: &'static str,
        /// The value that follows from the other members.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// A count or a length is outside its bounds.
    #[error("invalid `{member}`: expected {minimum} to {maximum}, found {found}; request a new unit")]
    OutOfRange {
        /// The inconsistent member by its wire name.
        member: &'static str,
        /// The smallest valid value.
        minimum: u64,
        /// The largest valid value.
        maximum: u64,
        /// The value found.
        found: u64,
    },
    /// The parent steps leave more than one node.
    #[error(
        "invalid `foldLevels`: {fold_levels} parent steps over {leaves} leaves leave more than one node; request a new unit"
    )]
    ManyTops {
        /// Leaves in the unit.
        leaves: u64,
        /// Parent steps in the unit.
        fold_levels: u8,
    },
}

fn at_most(member: &'static str, maximum: u64, found: u64) -> Result<(), UnitError> {
    if found <= maximum {
        return Ok(());
    }
    Err(UnitError::OutOfRange { member, minimum: 0, maximum, found })
}

fn exactly(member: &'static str, expected: u64, found: u64) -> Result<(), UnitError> {
    if found == expected {
        return Ok(());
    }
    Err(UnitError::Mismatch { member, expected, found })
}
