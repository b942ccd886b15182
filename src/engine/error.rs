//! What each verb of the engine can answer beside success.

use std::path::PathBuf;

use crate::merkle::Position;
use crate::protocol::{Malformed, Reason, TokenError};
use crate::store::StoreError;
use crate::store::records::TreeState;

use super::config::ConfigError;

/// Opening failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory cannot be made or used.
    #[error("{path}: {what}; name a directory this process may write")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        what: String,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wall clock is more than a day ahead of the newest time the store has seen.
    #[error(
        "the wall clock ({wall_ms}) is more than a day ahead of the store's newest time ({high_water_ms}); check the \
         clock, then open once with `accept_clock_ahead`"
    )]
    ClockAhead {
        /// Wall clock, Unix milliseconds.
        wall_ms: u64,
        /// Newest time in the store, Unix milliseconds.
        high_water_ms: u64,
    },
    /// No thread could be started.
    #[error("no thread could be started: {0}")]
    Thread(String),
}

/// A write that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The queue of waiting writes is at its bound. Nothing was written.
    #[error("too many writes are waiting; try again in a moment")]
    Busy,
    /// Nothing was written.
    #[error("not stored: {0}")]
    RolledBack(String),
    /// It may or may not be stored.
    #[error("commit {commit_seq} may or may not be stored: {what}; ask again, a repeat does no harm")]
    Unknown {
        /// The commit.
        commit_seq: u64,
        /// What failed.
        what: String,
    },
    /// The engine is closed, or a sync failed and the process must restart.
    #[error("the engine is closed; open it again")]
    Closed,
}

/// No unit was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Nothing is ready, and synthetic work was not asked for.
    #[error("no unit is ready; answer with a plain 429, or ingest more")]
    NoWork,
    /// As many units are out as may be.
    #[error("{0} units are out, the most allowed; answer with a plain 429")]
    Crowded(usize),
    /// Units are ready, but none fits into the bytes asked for; nothing was taken out of the queue.
    #[error("no ready unit can be cut to {bytes_max} bytes; ask again with a larger budget")]
    TooBig {
        /// Bytes the unit could have had.
        bytes_max: usize,
    },
    /// The engine is closed.
    #[error("the engine is closed; open it again")]
    Closed,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
}

impl IssueError {
    /// The reason on the wire.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoWork | Self::Random(_) => Reason::NoWork,
            Self::Crowded(_) => Reason::Crowded,
            Self::TooBig { .. } => Reason::Budget,
            Self::Closed => Reason::Degraded,
        }
    }
}

/// An answer was not accepted. In every case but [`SubmitError::WrongResult`] nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The token does not open.
    #[error(transparent)]
    Token(TokenError),
    /// The token is past its expiry.
    #[error("the token expired {late_ms} ms ago; ask for a new challenge")]
    Expired {
        /// Milliseconds since expiry.
        late_ms: u64,
    },
    /// The token belongs to another store.
    #[error("the token was issued by another store; ask for a new challenge")]
    OtherStore,
    /// The token was issued to another client.
    #[error("the token was issued to another client; ask for a challenge of your own")]
    ClientMismatch,
    /// The token was issued under another policy.
    #[error("the token was issued under another policy; ask for a challenge on this route")]
    PolicyMismatch,
    /// The token has been used.
    #[error("the token has been used; ask for a new challenge")]
    Replayed,
    /// The work went to somebody else, was done, or its tree is gone.
    #[error("the challenge was withdrawn; ask for a new one")]
    Withdrawn,
    /// The answer came before the floor; it was not looked at.
    #[error("the answer came {wait_ms} ms too early; send it again then")]
    TooEarly {
        /// Milliseconds left.
        wait_ms: u64,
    },
    /// The answer is not well formed; the token is still good.
    #[error("malformed: {0}")]
    Malformed(Malformed),
    /// The answer is wrong; the token is used up.
    #[error("wrong result: {what}; ask for a new challenge")]
    WrongResult {
        /// Which hash differs, without saying what it should be.
        what: String,
    },
    /// Another copy of this answer is being judged, or the answer could not be stored.
    #[error("not stored: {0}")]
    TryAgain(WriteError),
    /// Another copy of this answer is being judged right now.
    #[error("another copy of this answer is being judged; ask again in a moment")]
    InFlight,
    /// A read of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// The reason on the wire.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Token(error) => error.reason(),
            Self::Expired { .. } | Self::OtherStore => Reason::TokenExpired,
            Self::ClientMismatch => Reason::ClientMismatch,
            Self::PolicyMismatch => Reason::PolicyMismatch,
            Self::Replayed => Reason::TokenReplayed,
            Self::Withdrawn => Reason::Withdrawn,
            Self::TooEarly { .. } => Reason::TooEarly,
            Self::Malformed(_) => Reason::Malformed,
            Self::WrongResult { .. } => Reason::WrongResult,
            Self::TryAgain(_) | Self::InFlight | Self::Store(_) => Reason::TryAgain,
        }
    }
}

/// A question about a tree was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No tree has this name.
    #[error("no tree is named {0:?}; `trees` lists them")]
    Unknown(String),
    /// The tree is not complete.
    #[error(
        "tree {name:?} is {state:?} with {pending} of {leaves} leaves pending and {damaged} damaged; it exports when \
         complete, and damaged blocks have to be ingested again"
    )]
    NotComplete {
        /// Its name.
        name: String,
        /// Where it stands.
        state: TreeState,
        /// Leaves pending.
        pending: u64,
        /// Leaves in all.
        leaves: u64,
        /// Leaves whose blocks do not hash to their addresses.
        damaged: u64,
    },
    /// Leaves that only clients stand for cannot be hashed, because their data is not there any more.
    #[error("{leaves} leaves of tree {name:?} cannot be verified: {what}; export with policy `attested`")]
    Unverifiable {
        /// Its name.
        name: String,
        /// Leaves below verified.
        leaves: u64,
        /// Why not.
        what: String,
    },
    /// The caller said stop. What was verified so far stays.
    #[error("stopped; the same call again goes on from what is verified")]
    Cancelled,
    /// A leaf was corrected while the tree was being exported: what came out is of no use.
    #[error("tree {0:?} was corrected while it was exported; export it again")]
    Corrected(String),
    /// A parameter of an export policy is out of range.
    #[error("`{field}` is {value}: it must be above 0 and below 1")]
    Policy {
        /// Its name.
        field: &'static str,
        /// The value given.
        value: String,
    },
    /// A node is not the hash of its children.
    #[error("tree {name:?} contradicts itself at level {}, index {}; restore the store from a backup", at.level.0, at.index)]
    Inconsistent {
        /// Its name.
        name: String,
        /// The first node that does not fit.
        at: Position,
    },
    /// The leaf does not exist.
    #[error("leaf {leaf} is out of range: tree {name:?} has {leaves} leaves, numbered from 0")]
    LeafRange {
        /// Its name.
        name: String,
        /// Leaf asked for.
        leaf: u64,
        /// Leaves in the tree.
        leaves: u64,
    },
    /// The caller's sink refused the output.
    #[error("the output could not be written: {0}")]
    Sink(#[from] std::io::Error),
    /// Forgetting was not stored.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A read of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A debit was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebitError {
    /// Too little credit.
    #[error("the balance is {balance} uJ, {amount} uJ were asked for")]
    Insufficient {
        /// Micro-Joules there are.
        balance: u64,
        /// Micro-Joules asked for.
        amount: u64,
    },
    /// The key was used for another client or amount.
    #[error("the idempotency key was used for another debit; use a new key")]
    KeyConflict,
    /// It was not stored, or that is not known: repeat it with the same key.
    #[error(transparent)]
    Write(#[from] WriteError),
}
