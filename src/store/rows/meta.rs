//! Rows of `meta-0` with fields.

use bincode::{Decode, Encode};

use super::account::AccountRow;
use super::error::RowError;
use super::head::{CopyRow, Head};
use super::scrub::ScrubRow;
use super::sealed::{seal, unseal};
use super::summed;

/// A row of `meta-0` with fields, which has a key of its own.
pub(in crate::store) trait MetaRow: Encode + Decode<()> {
    /// The key.
    const KEY: &'static str;

    /// The stored bytes.
    fn sealed(&self) -> Result<Vec<u8>, RowError> {
        seal(summed::META, Self::KEY, self)
    }

    /// The row with these stored bytes.
    fn unsealed(bytes: &[u8]) -> Result<Self, RowError> {
        unseal(summed::META, Self::KEY, bytes)
    }
}

impl MetaRow for Head {
    const KEY: &'static str = "head";
}

impl MetaRow for AccountRow {
    const KEY: &'static str = "account";
}

impl MetaRow for ScrubRow {
    const KEY: &'static str = "scrub";
}

impl MetaRow for CopyRow {
    const KEY: &'static str = "copy-of";
}
