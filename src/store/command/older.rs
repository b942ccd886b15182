//! Rows of older stores, which are to be given a checksum.

/// A row of the state file in the form of older stores, without a checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderRow {
    pub(in crate::store) table: u8,
    pub(in crate::store) key: Vec<u8>,
}

/// Places of the tables in the walk whose rows may be given a checksum.
pub(in crate::store) mod place {
    pub(in crate::store) const META: u8 = 0;
    pub(in crate::store) const TREES: u8 = 1;
    pub(in crate::store) const HASHES: u8 = 4;
    pub(in crate::store) const LENGTHS: u8 = 5;
    pub(in crate::store) const TILES: u8 = 6;
    pub(in crate::store) const INTERIOR: u8 = 7;
    pub(in crate::store) const CLIENTS: u8 = 11;
    pub(in crate::store) const LEDGER: u8 = 12;
    pub(in crate::store) const STANDINGS: u8 = 15;
    pub(in crate::store) const PROVENANCE: u8 = 16;
    pub(in crate::store) const CLAIMS: u8 = 17;
    pub(in crate::store) const QUORUMS: u8 = 18;
    /// The first of the block file.
    pub(in crate::store) const SOURCES: u8 = 23;
    pub(in crate::store) const LAST: u8 = 24;
}
