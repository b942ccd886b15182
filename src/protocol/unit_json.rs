//! [`WorkUnit`] as JSON.

use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::BASE64;
use serde::{Serialize, Serializer};

use super::id::{TreeHandle, WorkId};
use super::json::Members;
use super::limits::{MAX_NUMBER, MAX_UNIT_JSON_BYTES};
use super::malformed::{JsonError, Malformed, excerpt};
use super::unit::WorkUnit;
use super::words::{DifficultyTier, WorkUnitOperation};

impl WorkUnit {
    /// Returns this unit as one JSON object without spaces, members in the order of the table in
    /// the module documentation. `leafLengths` and `foldLevels` are left out unless the operation
    /// is `subtree_hash` (or they are not empty or 0, which [`WorkUnit::validate`] rejects).
    ///
    /// Reading it back gives the same unit if its numbers are at most [`MAX_NUMBER`] and its
    /// instants at most [`UnixMillis::MAX_TEXT`](super::UnixMillis::MAX_TEXT).
    pub fn to_json(&self) -> String {
        let subtree = self.operation == WorkUnitOperation::SubtreeHash;
        let wire = Wire {
            id: &self.id,
            tree_id: &self.tree_id,
            tree_level: self.tree_level,
            tree_index: self.tree_index,
            operation: self.operation,
            input_data: &self.input_data,
            leaf_lengths: (subtree || !self.leaf_lengths.is_empty()).then_some(&self.leaf_lengths),
            fold_levels: (subtree || self.fold_levels != 0).then_some(self.fold_levels),
            child_count: self.child_count,
            node_count: self.node_count,
            synthetic: self.synthetic,
            difficulty: self.difficulty,
            challenge_token: &self.challenge_token,
            created_at: self.created_at.to_rfc3339(),
            expires_at: self.expires_at.to_rfc3339(),
            not_before: self.not_before.to_rfc3339(),
            wait_ms: self.wait_ms,
            ttl_ms: self.ttl_ms,
        };
        serde_json::to_string(&wire).expect("text, numbers and lists of numbers always serialize")
    }

    /// Reads a unit from one JSON object of at most [`MAX_UNIT_JSON_BYTES`] bytes. Unknown
    /// members are skipped. Call [`WorkUnit::validate`] to check that the members are consistent.
    ///
    /// # Errors
    /// [`JsonError`] names the first member that is missing, repeated, of the wrong type or out of
    /// range.
    pub fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let mut members = Members::read(json, MAX_UNIT_JSON_BYTES, &NAMES)?;
        let operation = members.parsed(OPERATION)?;
        if operation != WorkUnitOperation::SubtreeHash {
            members.supply_list(LEAF_LENGTHS);
            members.supply_whole(FOLD_LEVELS, 0);
        }
        Ok(Self {
            id: members.parsed(ID)?,
            tree_id: members.parsed(TREE_ID)?,
            tree_level: members.whole(TREE_LEVEL, u8::MAX.into())? as u8,
            tree_index: members.whole(TREE_INDEX, MAX_NUMBER)?,
            operation,
            input_data: base64(&members.text(INPUT_DATA)?)?,
            leaf_lengths: members.wholes(LEAF_LENGTHS, MAX_NUMBER)?,
            fold_levels: members.whole(FOLD_LEVELS, u8::MAX.into())? as u8,
            child_count: members.whole(CHILD_COUNT, u32::MAX.into())? as u32,
            node_count: members.whole(NODE_COUNT, MAX_NUMBER)?,
            synthetic: members.flag(SYNTHETIC)?,
            difficulty: members.parsed(DIFFICULTY)?,
            challenge_token: members.text(CHALLENGE_TOKEN)?,
            created_at: members.time(CREATED_AT)?,
            expires_at: members.time(EXPIRES_AT)?,
            not_before: members.time(NOT_BEFORE)?,
            wait_ms: members.whole(WAIT_MS, MAX_NUMBER)?,
            ttl_ms: members.whole(TTL_MS, MAX_NUMBER)?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    id: &'a WorkId,
    tree_id: &'a TreeHandle,
    tree_level: u8,
    tree_index: u64,
    operation: WorkUnitOperation,
    #[serde(serialize_with = "write_base64")]
    input_data: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_lengths: Option<&'a Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold_levels: Option<u8>,
    child_count: u32,
    node_count: u64,
    synthetic: bool,
    difficulty: DifficultyTier,
    challenge_token: &'a str,
    created_at: String,
    expires_at: String,
    not_before: String,
    wait_ms: u64,
    ttl_ms: u64,
}

fn write_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&BASE64.encode_display(bytes))
}

fn base64(text: &str) -> Result<Vec<u8>, Malformed> {
    BASE64.decode(text.as_bytes()).map_err(|error| {
        Malformed::new(
            INPUT_DATA,
            "base64 in the standard alphabet, padded (RFC 4648, 4)",
            alloc::format!("text {}: {error}", excerpt(text)),
        )
    })
}

const ID: &str = "id";
const TREE_ID: &str = "treeId";
const TREE_LEVEL: &str = "treeLevel";
const TREE_INDEX: &str = "treeIndex";
const OPERATION: &str = "operation";
const INPUT_DATA: &str = "inputData";
const LEAF_LENGTHS: &str = "leafLengths";
const FOLD_LEVELS: &str = "foldLevels";
const CHILD_COUNT: &str = "childCount";
const NODE_COUNT: &str = "nodeCount";
const SYNTHETIC: &str = "synthetic";
const DIFFICULTY: &str = "difficulty";
const CHALLENGE_TOKEN: &str = "challengeToken";
const CREATED_AT: &str = "createdAt";
const EXPIRES_AT: &str = "expiresAt";
const NOT_BEFORE: &str = "notBefore";
const WAIT_MS: &str = "waitMs";
const TTL_MS: &str = "ttlMs";
const NAMES: [&str; 18] = [
    ID,
    TREE_ID,
    TREE_LEVEL,
    TREE_INDEX,
    OPERATION,
    INPUT_DATA,
    LEAF_LENGTHS,
    FOLD_LEVELS,
    CHILD_COUNT,
    NODE_COUNT,
    SYNTHETIC,
    DIFFICULTY,
    CHALLENGE_TOKEN,
    CREATED_AT,
    EXPIRES_AT,
    NOT_BEFORE,
    WAIT_MS,
    TTL_MS,
];
