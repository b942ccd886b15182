//! Reads of single rows of `meta-0`.

use crate::store::error::StoreError;
use crate::store::port::View;
use crate::store::rows::{Head, ScrubRow};

pub(in crate::store) fn head(rows: &impl View) -> Result<Head, StoreError> {
    rows.meta()?.ok_or_else(|| StoreError::Contradiction { what: "meta-0 has no head".into() })
}

pub(super) fn scrub(rows: &impl View) -> Result<Option<ScrubRow>, StoreError> {
    rows.meta()
}
