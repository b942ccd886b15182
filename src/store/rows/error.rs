//! The error of a row that does not decode.

/// A row that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table} is damaged: {what}; run `pouw check`, then restore the store from a backup")]
#[non_exhaustive]
pub struct RowError {
    /// The row's table.
    pub table: &'static str,
    /// The reason.
    pub what: String,
}

pub(in crate::store) fn damaged(table: &'static str, what: impl Into<String>) -> RowError {
    RowError { table, what: what.into() }
}
