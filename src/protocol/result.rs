//! The result that a client sends, as JSON.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::id::WorkId;
use super::json::Members;
use super::limits::{MAX_RESULT_JSON_BYTES, MAX_TOKEN_CHARS};
use super::malformed::{JsonError, Malformed, excerpt};
use super::time::UnixMillis;
use super::words::WorkUnitOperation;
use crate::hash::Checksum;

/// A client's answer to one [`WorkUnit`](super::WorkUnit).
///
/// The server checks and credits the unit named by the token; `work_unit_id` is only compared with
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkResult {
    /// The id of the unit this answers.
    pub work_unit_id: WorkId,
    /// The unit's top node.
    pub result_hash: Checksum,
    /// The leaf hashes in order; empty unless the operation is `SubtreeHash`.
    pub leaf_hashes: Vec<Checksum>,
    /// The token, unchanged.
    pub challenge_token: String,
    /// The time the work took, by the client's clock. Telemetry: it never changes a decision.
    pub compute_time_ms: u64,
    /// The time of completion, by the client's clock. Telemetry: it never changes a decision.
    pub completed_at: UnixMillis,
}

impl WorkResult {
    /// Returns this result as one JSON object without spaces. `leafHashes` is left out if empty.
    ///
    /// Reading it back gives the same result if its numbers are at most
    /// [`MAX_NUMBER`](super::limits::MAX_NUMBER) and its instant at most [`UnixMillis::MAX_TEXT`].
    pub fn to_json(&self) -> String {
        let wire = Wire {
            work_unit_id: &self.work_unit_id,
            result_hash: &self.result_hash,
            leaf_hashes: &self.leaf_hashes,
            challenge_token: &self.challenge_token,
            compute_time_ms: self.compute_time_ms,
            completed_at: self.completed_at.to_rfc3339(),
        };
        serde_json::to_string(&wire).expect("text, numbers and lists of text always serialize")
    }

    /// Reads a complete result from one JSON object of at most [`MAX_RESULT_JSON_BYTES`] bytes.
    /// Unknown members are skipped; a fraction in `computeTimeMs` is cut off.
    ///
    /// # Errors
    /// [`JsonError`] names the first member that is missing, repeated, of the wrong type or out of
    /// range. Only `leafHashes` may be missing; [`WorkResult::check_shape`] checks whether it must
    /// be present.
    pub fn from_json(json: &[u8]) -> Result<Self, JsonError> {
        let members = Members::read(json, MAX_RESULT_JSON_BYTES, &NAMES)?;
        Self::from_members(members)
    }

    /// Reads a result that was sent with a genuine token in a header: `token` is its text, `id` the
    /// unit it names.
    ///
    /// Only `resultHash` is required, so that clients written from the paper work (they hash the
    /// data and send `resultHash` with the token). Missing telemetry reads 0.
    ///
    /// # Errors
    /// [`JsonError`] as for [`WorkResult::from_json`], and if `workUnitId` or `challengeToken` is
    /// present but not the token's.
    pub fn from_json_beside(json: &[u8], token: &str, id: WorkId) -> Result<Self, JsonError> {
        let mut members = Members::read(json, MAX_RESULT_JSON_BYTES, &NAMES)?;
        members.supply_text(WORK_UNIT_ID, || id.to_string());
        members.supply_text(CHALLENGE_TOKEN, || token.into());
        members.supply_whole(COMPUTE_TIME_MS, 0);
        members.supply_text(COMPLETED_AT, || UnixMillis(0).to_rfc3339());
        let result = Self::from_members(members)?;
        if result.work_unit_id != id {
            let found = result.work_unit_id.to_string();
            return Err(Malformed::new(WORK_UNIT_ID, format!("the token's unit {id}"), found));
        }
        if result.challenge_token != token {
            let found = excerpt(&result.challenge_token);
            return Err(Malformed::new(CHALLENGE_TOKEN, "the token of the header", found));
        }
        Ok(result)
    }

    /// Checks that this result fits a unit of `leaves` leaves and this operation: one leaf hash per
    /// leaf for `SubtreeHash`, else none.
    ///
    /// # Errors
    /// [`Malformed`] names `leafHashes` if their number is wrong.
    pub fn check_shape(&self, leaves: usize, operation: WorkUnitOperation) -> Result<(), Malformed> {
        let expected = match operation {
            WorkUnitOperation::SubtreeHash => leaves,
            WorkUnitOperation::LeafHash | WorkUnitOperation::InteriorHash => 0,
        };
        if self.leaf_hashes.len() == expected {
            return Ok(());
        }
        Err(Malformed::new(
            LEAF_HASHES,
            format!("{expected} leaf hashes for {operation}"),
            format!("{}", self.leaf_hashes.len()),
        ))
    }

    fn from_members(mut members: Members) -> Result<Self, Malformed> {
        members.supply_list(LEAF_HASHES);
        Ok(Self {
            work_unit_id: members.parsed(WORK_UNIT_ID)?,
            result_hash: checksum(&members.text(RESULT_HASH)?).map_err(|error| error.under(RESULT_HASH))?,
            leaf_hashes: members.texts(LEAF_HASHES, checksum)?,
            challenge_token: token_text(members.text(CHALLENGE_TOKEN)?)?,
            compute_time_ms: members.number(COMPUTE_TIME_MS)?,
            completed_at: members.time(COMPLETED_AT)?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    work_unit_id: &'a WorkId,
    result_hash: &'a Checksum,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    leaf_hashes: &'a [Checksum],
    challenge_token: &'a str,
    compute_time_ms: u64,
    completed_at: String,
}

fn checksum(text: &str) -> Result<Checksum, Malformed> {
    Checksum::from_hex(text).map_err(|_| Malformed::new("", "128 lowercase hex digits", excerpt(text)))
}

/// Checks that a token has at most [`MAX_TOKEN_CHARS`] characters.
pub(super) fn token_text(text: String) -> Result<String, Malformed> {
    if text.len() <= MAX_TOKEN_CHARS {
        return Ok(text);
    }
    Err(Malformed::new(CHALLENGE_TOKEN, format!("at most {MAX_TOKEN_CHARS} characters"), format!("{}", text.len())))
}

pub(super) const WORK_UNIT_ID: &str = "workUnitId";
pub(super) const RESULT_HASH: &str = "resultHash";
pub(super) const LEAF_HASHES: &str = "leafHashes";
pub(super) const CHALLENGE_TOKEN: &str = "challengeToken";
pub(super) const COMPUTE_TIME_MS: &str = "computeTimeMs";
pub(super) const COMPLETED_AT: &str = "completedAt";
const NAMES: [&str; 6] = [WORK_UNIT_ID, RESULT_HASH, LEAF_HASHES, CHALLENGE_TOKEN, COMPUTE_TIME_MS, COMPLETED_AT];
