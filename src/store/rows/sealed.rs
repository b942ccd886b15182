//! The envelope of variable rows.

use bincode::{Decode, Encode};

use super::error::{RowError, damaged};
use super::summed::{self, RowKey};

/// Version byte of rows without a checksum, of older stores.
const UNSUMMED: u8 = 0;
/// Version byte of rows that end with their checksum.
const SUMMED: u8 = 1;
const ROW_LIMIT: usize = 64 * 1024;

/// Wraps a variable row in its versioned envelope, at most 64 KiB, and adds its checksum.
///
/// # Errors
/// [`RowError`] if the row would be larger, and so could not be read back.
pub fn seal<T: Encode>(table: &'static str, key: impl RowKey, row: &T) -> Result<Vec<u8>, RowError> {
    let mut out = Vec::with_capacity(256);
    out.push(SUMMED);
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    bincode::encode_into_std_write(row, &mut out, config).map_err(|e| damaged(table, e.to_string()))?;
    if out.len() > ROW_LIMIT {
        return Err(damaged(table, format!("{} bytes, at most {ROW_LIMIT} are read back", out.len())));
    }
    out.extend_from_slice(&summed::row_sum(table, key, &out));
    Ok(out)
}

/// Whether a variable row is in the form of older stores.
pub(in crate::store) fn is_older_sealed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&UNSUMMED)
}

/// Compares the checksum of a variable row of another build, whose fields are unknown.
pub(in crate::store) fn check_sealed(table: &'static str, key: impl RowKey, bytes: &[u8]) -> Result<(), RowError> {
    if is_older_sealed(bytes) { Ok(()) } else { summed::before_sum(table, key, bytes).map(drop) }
}

/// Opens the envelope of a variable row, at most 64 KiB, no trailing bytes: version 1 with the
/// right checksum, or version 0 without one.
///
/// # Errors
/// [`RowError`] if the bytes are not such a row.
pub fn unseal<T: Decode<()>>(table: &'static str, key: impl RowKey, bytes: &[u8]) -> Result<T, RowError> {
    let body = match bytes.split_first() {
        None => return Err(damaged(table, "empty row")),
        Some((&UNSUMMED, body)) => body,
        Some((&SUMMED, _)) => summed::before_sum(table, key, bytes)?.get(1..).unwrap_or_default(),
        Some((version, _)) => {
            return Err(damaged(table, format!("row version {version}, this build reads {UNSUMMED} and {SUMMED}")));
        }
    };
    let config = bincode::config::standard().with_limit::<ROW_LIMIT>();
    let (row, used) = bincode::decode_from_slice(body, config).map_err(|e| damaged(table, e.to_string()))?;
    if used != body.len() {
        return Err(damaged(table, format!("{} bytes left over", body.len() - used)));
    }
    Ok(row)
}
