//! How far the looks at doubted leaves have got, and what of them is put off.

use crate::store::RangeKey;

use super::put_off::PutOff;
use crate::engine::locks::{Rank, Ranked};

/// What is put off, and how far the looks at doubts have got.
#[derive(Debug)]
pub(in crate::engine) struct Doubts {
    /// How far doubted tiles have been hashed since the last sweep.
    pub(in crate::engine) doubted_after: Ranked<Option<RangeKey>>,
    /// Trees with doubted leaves that could not be hashed, and when that is tried again.
    pub(in crate::engine) put_off: Ranked<PutOff>,
    /// Trees whose verdict could not be stored because of a row, and when that is tried again.
    pub(in crate::engine) unstored: Ranked<PutOff>,
    /// How far the search for open quorums that wait too long has got.
    pub(in crate::engine) quorum_after: Ranked<Option<RangeKey>>,
}

impl Default for Doubts {
    fn default() -> Self {
        Self {
            doubted_after: Ranked::new(Rank::DoubtedAfter, None),
            put_off: Ranked::new(Rank::PutOff, PutOff::default()),
            unstored: Ranked::new(Rank::Unstored, PutOff::default()),
            quorum_after: Ranked::new(Rank::QuorumAfter, None),
        }
    }
}
