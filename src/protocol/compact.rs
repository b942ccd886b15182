//! A result in compact form, for the `X-PoUW-Result` header.
//!
//! base64url without padding (RFC 4648, 5) over, in this order, integers little endian:
//!
//! ```text
//! bytes  0        version, 1
//!        1..17    work unit id
//!       17..81    result hash
//!       81..89    compute time, ms
//!       89..97    completed at, Unix ms
//!       97        n, number of leaf hashes, 0 to 32
//!       98..      n leaf hashes of 64 bytes
//! ```
//!
//! The token is not included: it has its own header, `X-PoUW-Response`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use data_encoding::BASE64URL_NOPAD;

use super::bytes::Reader;
use super::id::WorkId;
use super::json::DOCUMENT;
use super::limits::{MAX_NUMBER, MAX_RESULT_COMPACT_CHARS, MAX_UNIT_LEAVES};
use super::malformed::{Malformed, excerpt};
use super::result::{COMPLETED_AT, COMPUTE_TIME_MS, LEAF_HASHES, WorkResult, token_text};
use super::time::UnixMillis;
use crate::hash::Checksum;

impl WorkResult {
    /// Returns this result in compact form, without the token: 131 characters, and 85 or 86 more
    /// per leaf hash. Leaf hashes after the 32nd, which no unit needs, are left out.
    pub fn to_compact(&self) -> String {
        let leaves = &self.leaf_hashes[..self.leaf_hashes.len().min(MAX_UNIT_LEAVES)];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + leaves.len() * 64);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.work_unit_id.as_bytes());
        bytes.extend_from_slice(self.result_hash.as_bytes());
        bytes.extend_from_slice(&self.compute_time_ms.to_le_bytes());
        bytes.extend_from_slice(&self.completed_at.0.to_le_bytes());
        bytes.push(leaves.len() as u8);
        for leaf in leaves {
            bytes.extend_from_slice(leaf.as_bytes());
        }
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads a result from its compact form, at most [`MAX_RESULT_COMPACT_CHARS`] characters, and
    /// the token from the `X-PoUW-Response` header.
    ///
    /// # Errors
    /// [`Malformed`] names the invalid member by its JSON name, or `(document)` if the text is not
    /// in this encoding.
    pub fn from_compact(compact: &str, token: &str) -> Result<Self, Malformed> {
        if compact.len() > MAX_RESULT_COMPACT_CHARS {
            return Err(Malformed::new(
                DOCUMENT,
                format!("at most {MAX_RESULT_COMPACT_CHARS} characters"),
                format!("{}", compact.len()),
            ));
        }
        let challenge_token = token_text(token.into())?;
        let bytes = BASE64URL_NOPAD.decode(compact.as_bytes()).map_err(|error| {
            Malformed::new(
                DOCUMENT,
                "base64url without padding (RFC 4648, 5)",
                format!("text {}: {error}", excerpt(compact)),
            )
        })?;
        if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
            return Err(Malformed::new(DOCUMENT, "version 1", format!("version {version}")));
        }
        let mut reader = Reader::new(&bytes);
        let head = read_head(&mut reader).ok_or_else(|| {
            Malformed::new(DOCUMENT, format!("at least {HEAD_BYTES} bytes"), format!("{}", bytes.len()))
        })?;
        in_range(COMPUTE_TIME_MS, head.compute_time_ms, MAX_NUMBER)?;
        in_range(COMPLETED_AT, head.completed_at, UnixMillis::MAX_TEXT.0)?;
        in_range(LEAF_HASHES, head.leaves.into(), MAX_UNIT_LEAVES as u64)?;
        let expected = usize::from(head.leaves) * 64;
        if reader.left() != expected {
            return Err(Malformed::new(
                LEAF_HASHES,
                format!("{expected} bytes after the head for {} leaf hashes", head.leaves),
                format!("{} bytes", reader.left()),
            ));
        }
        Ok(Self {
            work_unit_id: WorkId::from_bytes(head.work_unit_id),
            result_hash: Checksum::from_bytes(head.result_hash),
            leaf_hashes: core::iter::from_fn(|| reader.array().map(Checksum::from_bytes)).collect(),
            challenge_token,
            compute_time_ms: head.compute_time_ms,
            completed_at: UnixMillis(head.completed_at),
        })
    }
}

struct Head {
    work_unit_id: [u8; 16],
    result_hash: [u8; 64],
    compute_time_ms: u64,
    completed_at: u64,
    leaves: u8,
}

/// Reads the head after the version byte; none if bytes are missing.
fn read_head(reader: &mut Reader<'_>) -> Option<Head> {
    reader.byte()?;
    Some(Head {
        work_unit_id: reader.array()?,
        result_hash: reader.array()?,
        compute_time_ms: reader.number()?,
        completed_at: reader.number()?,
        leaves: reader.byte()?,
    })
}

fn in_range(member: &'static str, found: u64, max: u64) -> Result<(), Malformed> {
    if found <= max {
        return Ok(());
    }
    Err(Malformed::new(member, format!("a whole number from 0 to {max}"), found.to_string()))
}

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 98;
