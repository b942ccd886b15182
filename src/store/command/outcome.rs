//! The outcomes of commands.

use crate::policy::quorum::Voter;
use crate::protocol::ClientDigest;
use crate::store::rows::TreeState;

/// A durable batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Sequence number of the commit that holds it.
    pub commit_seq: u64,
    /// One outcome for each command, in order.
    pub outcomes: Vec<Outcome>,
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// An answer was taken.
    Settled {
        /// Its ledger entry.
        seq: u64,
        /// The tree got its first leaf with it.
        first_leaf: bool,
        /// All leaves of the tree are done now.
        leaves_complete: bool,
        /// All interior nodes of the tree are done now.
        interior_complete: bool,
    },
    /// An answer was taken as a vote.
    Voted,
    /// The server's own hashes were taken.
    Judged {
        /// Leaves that had another hash before.
        corrected: Vec<u64>,
        /// Clients caught in a lie by it, each with its network.
        liars: Vec<Voter>,
        /// The tree got its first leaf with it.
        first_leaf: bool,
        /// All leaves of the tree are done now.
        leaves_complete: bool,
    },
    /// Leaves were marked as damaged.
    Marked {
        /// Those of the command that are damaged now, one bit each within the tile.
        damaged: u32,
    },
    /// A debit was made, or had been made under this key.
    Debited {
        /// Its ledger entry.
        seq: u64,
        /// Balance of the client now, micro-Joules.
        balance: u64,
        /// The entry existed already.
        repeated: bool,
    },
    /// Done; `more` says that the limit cut it short.
    Done {
        /// Rows touched.
        rows: u64,
        /// There is more to do.
        more: bool,
    },
    /// Ledger entries were worked off, in order.
    Walked {
        /// Entries passed.
        rows: u64,
        /// There is more to do.
        more: bool,
        /// Why rows were passed over that are missing or do not decode; the first 16 of them.
        skipped: Vec<String>,
    },
    /// A stretch of rows was looked at.
    Scanned {
        /// Rows removed.
        rows: u64,
        /// Where to go on; `None` at the end of the table.
        next: Option<ClientDigest>,
    },
    /// A precondition did not hold; nothing was written.
    Refused(Refused),
}

/// Which precondition did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The token has taken effect before.
    #[error("the token has been used")]
    Consumed,
    /// The tree is gone, or is another one than the token names.
    #[error("the tree is gone")]
    TreeGone,
    /// Something refers to the tree still.
    #[error("the tree is in use")]
    TreeInUse,
    /// The tree is not in the state the command needs.
    #[error("the tree is {0:?}")]
    TreeState(TreeState),
    /// A leaf of the range is done.
    #[error("leaf {0} is done")]
    LeafDone(u64),
    /// The interior node is there.
    #[error("the interior node is done")]
    NodeDone,
    /// The votes on the range are not those that were looked at.
    #[error("the votes on the leaves have changed")]
    QuorumMoved,
    /// The name is in use.
    #[error("the name {0:?} is in use")]
    NameTaken(String),
    /// The groups do not continue what is stored.
    #[error("group {found} given, {expected} is next")]
    GroupOrder {
        /// The next group the tree lacks.
        expected: u64,
        /// The group given.
        found: u64,
    },
    /// A stored hash would change.
    #[error("the hashes of group {0} are stored with another value")]
    HashConflict(u64),
    /// The idempotency key belongs to another debit.
    #[error("the idempotency key was used for another debit")]
    KeyConflict,
    /// Too little credit.
    #[error("the balance is {balance}")]
    Insufficient {
        /// Balance of the client, micro-Joules.
        balance: u64,
    },
}
