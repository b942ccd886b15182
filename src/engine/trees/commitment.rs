//! The commitment of a complete tree.

use crate::merkle::Commitment;
use crate::store::rows::TreeRow;

pub(in crate::engine) fn commitment(row: &TreeRow) -> Commitment {
    Commitment { leaves: row.leaves, total_bytes: row.total_bytes, block_len: row.block_len, root: row.root }
}
