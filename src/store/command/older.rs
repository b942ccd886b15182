//! Rows of older stores, which are to be given a checksum.

/// A row of the state file in the form of older stores, without a checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderRow {
    /// The name of its table.
    pub(in crate::store) table: &'static str,
    /// The stored bytes of its key.
    pub(in crate::store) key: Vec<u8>,
}
