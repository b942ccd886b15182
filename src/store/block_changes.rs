//! Changes of block data that are made together.

use super::rows::{SourceRow, SumRow};
use super::schema::TreeNumber;

/// Rows of block data to be written, in one transaction.
#[derive(Debug, Default)]
pub struct BlockChanges {
    pub(in crate::store) chunks: Vec<((TreeNumber, u32), Vec<u8>)>,
    pub(in crate::store) sources: Vec<((TreeNumber, u64), SourceRow)>,
    pub(in crate::store) sums: Vec<((TreeNumber, u64), SumRow)>,
    /// Written after the others.
    pub(in crate::store) renewals: Vec<(TreeNumber, Renewal)>,
}

impl BlockChanges {
    pub(in crate::store) fn is_empty(&self) -> bool {
        [self.chunks.len(), self.sources.len(), self.sums.len(), self.renewals.len()] == [0; 4]
    }
}

/// What is written over stored data. The caller sees to it that data which was removed meanwhile
/// does not come back.
#[derive(Debug)]
pub enum Renewal {
    /// Bytes from this offset in the stored data on.
    Bytes(u64, Vec<u8>),
    /// The file that holds the leaves from this one on; only over a row that is there.
    Source(u64, SourceRow),
    /// The checksums of this group; only over a row that is there.
    Sums(u64, SumRow),
}

impl Renewal {
    pub(in crate::store) fn len(&self) -> usize {
        match self {
            Self::Bytes(_, bytes) => bytes.len() + 64,
            Self::Source(_, row) => row.path.len() + 64,
            Self::Sums(_, row) => row.leaves.len() * 8 + 32,
        }
    }
}
