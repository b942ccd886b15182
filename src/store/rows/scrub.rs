//! How far scrubbing is.

use bincode::{Decode, Encode};

/// The place at which a pass goes on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ScrubPlace {
    /// Block data: this leaf, or the next one that has data.
    Data {
        /// The tree.
        tree: u64,
        /// The leaf.
        leaf: u64,
    },
    /// Rows: this key of this table, or the next row.
    Rows {
        /// Number of the table.
        table: u8,
        /// Bytes of the key.
        key: Vec<u8>,
    },
}

/// `meta-0` under `scrub`: the pass in progress, and the last full one. No row: none was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct ScrubRow {
    /// Where the pass goes on; `None` between passes.
    pub at: Option<ScrubPlace>,
    /// When the newest pass began, engine time, Unix milliseconds; 0 before the first.
    pub began_ms: u64,
    /// Bytes it has read.
    pub bytes: u64,
    /// Damaged leaves and rows that it has found, and leaves that it could not read.
    pub found: u64,
    /// When the last full pass ended, engine time, Unix milliseconds; 0 before the first.
    pub full_ms: u64,
    /// Bytes that it read.
    pub full_bytes: u64,
    /// What it found.
    pub full_found: u64,
    /// Places that the newest pass could not read and passed over, whatever is behind them.
    pub passed_over: u64,
    /// The same of the last full pass.
    pub full_passed_over: u64,
    /// First tree of which earlier passes left groups without checksums.
    pub left_out: Option<u64>,
    /// The same of the newest pass, until it has ended.
    pub leaves_out: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::super::{seal, unseal};
    use super::*;

    #[test]
    fn the_bytes_of_the_row_are_these() {
        let at = Some(ScrubPlace::Data { tree: 3, leaf: 300 });
        let row = ScrubRow {
            at,
            began_ms: 1,
            bytes: 2,
            found: 0,
            full_ms: 250,
            full_bytes: 251,
            full_found: 4,
            ..ScrubRow::default()
        };
        let row = ScrubRow { left_out: Some(9), ..row };
        let sealed = seal("meta-0", "scrub", &row).unwrap();
        assert_eq!(sealed[..sealed.len() - 8], [1, 1, 0, 3, 251, 44, 1, 1, 2, 0, 250, 251, 251, 0, 4, 0, 0, 1, 9, 0]);
        assert_eq!(unseal::<ScrubRow>("meta-0", "scrub", &sealed).unwrap(), row);
        let rows = Some(ScrubPlace::Rows { table: 9, key: vec![7, 8] });
        let sealed = seal("meta-0", "scrub", &ScrubRow { at: rows, ..ScrubRow::default() }).unwrap();
        assert_eq!(sealed[..sealed.len() - 8], [1, 1, 1, 9, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
