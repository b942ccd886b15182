//! Rows about the clients behind a leaf: counts by provenance, claims, and votes of incomplete
//! quorums.

use super::codec::{fields, row};
use super::summed::{TAIL, close, opened_fixed};
use super::{LeafState, RowError, TileRow};
use crate::hash::Checksum;
use crate::merkle::{TILE_LEAVES, TILE_ORDER};
use crate::policy::quorum::Voter;
use crate::protocol::{ClientDigest, WorkId};

/// `provenance-0`: how many leaves of a tree are in each state but `Pending` and `Verified`. No
/// row: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProvenanceRow {
    /// Leaves equal to their address.
    pub known: u64,
    /// Leaves a quorum agreed on.
    pub agreed: u64,
    /// Leaves of answers that were sampled.
    pub audited: u64,
    /// Leaves the server has to hash because a client behind them lied.
    pub doubted: u64,
    /// Leaves whose block does not hash to its address, or is not what was ingested.
    pub damaged: u64,
}

impl ProvenanceRow {
    const TABLE: &'static str = "provenance-0";
    const BODY: usize = 40;
    /// Bytes of the stored row.
    pub const LEN: usize = Self::BODY + TAIL;

    /// Decodes the row of this tree.
    ///
    /// # Errors
    /// [`RowError`] if the bytes are not such a row.
    pub fn decode(tree: u64, bytes: &[u8]) -> Result<Self, RowError> {
        let body: &[u8; Self::BODY] = opened_fixed(Self::TABLE, tree, bytes)?;
        let mut counts = [0; 5];
        for (count, word) in counts.iter_mut().zip(body.as_chunks::<8>().0) {
            *count = u64::from_le_bytes(*word);
        }
        let [known, agreed, audited, doubted, damaged] = counts;
        Ok(Self { known, agreed, audited, doubted, damaged })
    }

    /// The stored bytes of the row of this tree.
    pub fn encode(&self, tree: u64) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let counts = [self.known, self.agreed, self.audited, self.doubted, self.damaged];
        for (place, count) in out.as_chunks_mut::<8>().0.iter_mut().zip(counts) {
            *place = count.to_le_bytes();
        }
        close(Self::TABLE, tree, &mut out);
        out
    }

    /// The count of leaves in `state`, if it is one that is counted here.
    pub fn count_mut(&mut self, state: LeafState) -> Option<&mut u64> {
        match state {
            LeafState::Pending | LeafState::Verified => None,
            LeafState::Known => Some(&mut self.known),
            LeafState::Agreed => Some(&mut self.agreed),
            LeafState::Audited => Some(&mut self.audited),
            LeafState::Doubted => Some(&mut self.doubted),
            LeafState::Damaged => Some(&mut self.damaged),
        }
    }

    /// Counts the leaves of a tile.
    pub fn add_tile(&mut self, tile: &TileRow) {
        for slot in 0..TILE_LEAVES {
            if let Some(count) = self.count_mut(tile.state(slot)) {
                *count += 1;
            }
        }
    }

    /// Leaves known from clients only.
    pub fn weak(&self) -> u64 {
        self.agreed + self.audited + self.doubted
    }
}

/// A client that returned a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitter {
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// Keyed digest of its network prefix.
    pub network: [u8; 16],
    /// Its ledger entry.
    pub seq: u64,
    /// Digest of the data it was sent, as its token had it.
    pub data_digest: u64,
}

/// `claims-0`: the clients behind the leaves of a range, until the server has hashed them or
/// accepts them unhashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    /// log2 of the range.
    pub order: u8,
    /// One for an audited answer, a quorum for an agreed one.
    pub submitters: Vec<Submitter>,
}

/// The leaf after the last one of a range of this order; its tree may be shorter.
pub fn range_end(start: u64, order: u8) -> u64 {
    start.saturating_add(1 << order.min(TILE_ORDER))
}

/// An answer that waits for equal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRow {
    /// Challenge id.
    pub id: WorkId,
    /// Expiry of its token, Unix milliseconds.
    pub expires_ms: u64,
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// Keyed digest of its network prefix.
    pub network: [u8; 16],
    /// Difficulty tier: 0, 1, 2.
    pub tier: u8,
    /// Hashes in the unit.
    pub nodes: u32,
    /// Micro-Joules to credit when the quorum is complete.
    pub award: u64,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
    /// The client's known lies at that time. Its vote does not count if more are known by now.
    pub strikes: u64,
    /// Digest of the data it was sent, as its token had it.
    pub data_digest: u64,
    /// Its leaf hashes in order.
    pub leaves: Vec<Checksum>,
}

impl VoteRow {
    /// The client and network of this vote.
    pub fn voter(&self) -> Voter {
        Voter { client: self.client, network: self.network }
    }
}

/// `quorums-0`: the votes on a range whose quorum is not complete. Its leaves are pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumRow {
    /// log2 of the range.
    pub order: u8,
    /// Engine time of the first vote, Unix milliseconds.
    pub since_ms: u64,
    /// Leaves the server has hashed because the votes differed: place in the range, hash.
    pub refereed: Vec<(u8, Checksum)>,
    /// The votes, all alike on every leaf that was not refereed, and right on those that were.
    pub votes: Vec<VoteRow>,
}

row!(ClaimRow, QuorumRow);
fields!(Submitter { client, network, seq, data_digest });
fields!(ClaimRow { order, submitters });
fields!(VoteRow { id, expires_ms, client, network, tier, nodes, award, at_ms, strikes, data_digest, leaves });
fields!(QuorumRow { order, since_ms, refereed, votes });
