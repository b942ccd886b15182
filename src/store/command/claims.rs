//! Commands about answers that the server has not computed itself: audited ones, votes, and its own
//! second look.

use crate::hash::Checksum;
use crate::merkle::AlignedRange;
use crate::protocol::WorkId;
use crate::store::rows::HashWork;
use crate::store::schema::TreeNumber;

/// An answer of which a sample was hashed again. Precondition: the leaves are all pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The tree, which must be `Active` under the handle of the token.
    pub tree: TreeNumber,
    /// The leaves.
    pub range: AlignedRange,
    /// Their hashes.
    pub hashes: Vec<Checksum>,
    /// Keyed digest of the client's network prefix.
    pub network: [u8; 16],
    /// The sample was all of it: the leaves are verified.
    pub whole: bool,
}

/// What the server found out about the votes on a range. Precondition: there are `votes_seen` of
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Votes the server looked at.
    pub votes_seen: usize,
    /// Leaves it hashed: place in the range, hash.
    pub refereed: Vec<(u8, Checksum)>,
    /// Challenge ids of votes that are wrong; their clients get a strike.
    pub lies: Vec<WorkId>,
    /// Challenge ids of votes that count no more: their clients have been caught in another lie
    /// since, or were sent other data than what is there now.
    pub stale: Vec<WorkId>,
}

/// An answer that counts when a quorum agrees. Precondition: the leaves are all pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// The tree, which must be `Active` under the handle of the token.
    pub tree: TreeNumber,
    /// The leaves.
    pub range: AlignedRange,
    /// Their hashes. Alike with all votes that stay, but for leaves that were refereed.
    pub hashes: Vec<Checksum>,
    /// Keyed digest of the client's network prefix.
    pub network: [u8; 16],
    /// Votes that make the leaves done.
    pub quorum: u8,
    /// Lies the client had been caught in.
    pub strikes: u64,
    /// What is to change about the votes before this one joins them.
    pub ruling: Ruling,
}

/// A ruling without a new vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amend {
    /// The tree.
    pub tree: TreeNumber,
    /// The leaves.
    pub range: AlignedRange,
    /// What is to change.
    pub ruling: Ruling,
    /// What the server hashed for it.
    pub work: HashWork,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// The server's own hashes for a range with votes. Precondition: the leaves are all pending, and
/// there are `votes_seen` votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referee {
    /// The tree, which must be `Active`.
    pub tree: TreeNumber,
    /// The leaves.
    pub range: AlignedRange,
    /// Their right hashes.
    pub hashes: Vec<Checksum>,
    /// Votes the server looked at.
    pub votes_seen: usize,
    /// Digest of the data it hashed: who was sent other data has not lied.
    pub data_digest: u64,
    /// What it hashed.
    pub work: HashWork,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// The server's own hashes of leaves of one tile. Leaves known from clients only become verified,
/// and are corrected where they differ; others do not change. Nor does a leaf with another hash if
/// none of its clients was sent the data that the server hashed: the data has changed, and the
/// clients did not lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The tree.
    pub tree: TreeNumber,
    /// The tile.
    pub tile: u64,
    /// Place in the tile, right hash.
    pub hashes: Vec<(u8, Checksum)>,
    /// First leaf of a claim, digest of the data that is there for it now: for claims on leaves
    /// that are wrong.
    pub digests: Vec<(u64, u64)>,
    /// What the server hashed.
    pub work: HashWork,
    /// Engine time, Unix milliseconds.
    pub at_ms: u64,
}

/// Damaged leaves whose bytes were ingested again and are right: they hash to their address, or are
/// those that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The tree.
    pub tree: TreeNumber,
    /// The leaves; those that are not damaged are left alone.
    pub leaves: Vec<u64>,
    /// What the server hashed.
    pub work: HashWork,
}

/// Leaves of one tile whose stored data is not what was ingested: those that are pending become
/// damaged. Leaves that clients have voted on stay pending, since the votes count once the data is
/// right again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The tree, which must be `Active`.
    pub tree: TreeNumber,
    /// The tile.
    pub tile: u64,
    /// One bit for each leaf within the tile.
    pub mask: u32,
}
