//! The errors of the engine's methods.
//!
//! `is_retryable` says whether the same call can succeed a moment later, without a change by the
//! caller.

use std::path::PathBuf;

use crate::merkle::Position;
use crate::protocol::{Malformed, Reason, TokenError};
use crate::store::StoreError;
use crate::store::rows::TreeState;

use super::checked::ConfigError;

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory cannot be created or used.
    #[error("{path}: {what}; check the path, and that this process may write to it")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The operating system's message.
        what: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wall clock is more than 400 days ahead of the newest time in the store.
    #[error(
        "the wall clock ({wall_ms}) is more than 400 days ahead of the store's newest time ({high_water_ms}); check the \
         clock, then open once with `accept_clock_ahead`"
    )]
    ClockAhead {
        /// Wall clock, Unix milliseconds.
        wall_ms: u64,
        /// Newest time in the store, Unix milliseconds.
        high_water_ms: u64,
    },
    /// The operating system started no thread.
    #[error("no thread could be started: {0}; raise the limit of threads, then open again")]
    Thread(String),
}

impl OpenError {
    /// Whether the same call can succeed later: another process has the store open, the operating
    /// system refused a read, or no thread could be started.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Thread(_) => true,
            Self::Config(_) | Self::Directory { .. } | Self::ClockAhead { .. } => false,
        }
    }
}

/// A write that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The queue of waiting writes is full. Nothing was stored.
    #[error("too many writes are waiting; retry in a moment")]
    Busy,
    /// Nothing was stored.
    #[error("not stored: {0}; retry")]
    NotStored(String),
    /// The commit failed, and it is not known whether it is stored.
    #[error("commit {commit_seq} may or may not be stored: {what}; retry, a repeat does no harm")]
    Unconfirmed {
        /// The commit.
        commit_seq: u64,
        /// The cause of the failure.
        what: String,
    },
    /// The engine is closed, or its store failed and the process must restart.
    #[error("the engine is closed; open it again")]
    Closed,
    /// The engine was opened to be read only. Nothing was stored.
    #[error("the store was opened to be read only; open it for writing")]
    ReadOnly,
}

impl WriteError {
    /// Whether the same call can succeed a moment later: always, unless the engine is closed or
    /// only reads.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Closed | Self::ReadOnly)
    }
}

/// Why no unit was issued. No state has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// No unit is ready, and the request does not allow synthetic work.
    #[error("no unit is ready; answer with a plain 429, or ingest more")]
    NoWork,
    /// The number of open leases is at its bound.
    #[error("all {0} units that may be issued at once are unanswered; answer with a plain 429")]
    Crowded(usize),
    /// Units are ready, but none fits into the requested bytes. All of them stay ready.
    #[error("no ready unit can be cut to {bytes_max} bytes; ask again with a larger budget")]
    TooBig {
        /// The bytes the request allows.
        bytes_max: usize,
    },
    /// The engine is closed, or its store failed and the process must restart.
    #[error("the engine is closed; open it again")]
    Closed,
    /// The engine was opened to be read only.
    #[error("the store was opened to be read only; open it for writing")]
    ReadOnly,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}; retry in a moment")]
    Random(String),
}

impl IssueError {
    /// The reason on the wire.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoWork | Self::Random(_) => Reason::NoWork,
            Self::Crowded(_) => Reason::Crowded,
            Self::TooBig { .. } => Reason::Budget,
            Self::Closed | Self::ReadOnly => Reason::Degraded,
        }
    }

    /// Whether the same request can succeed a moment later: units become ready, leases end.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoWork | Self::Crowded(_) | Self::Random(_) => true,
            Self::TooBig { .. } | Self::Closed | Self::ReadOnly => false,
        }
    }
}

/// Why an answer was not accepted.
///
/// Two of them use the token up: [`WrongResult`](Self::WrongResult), and the eighth
/// [`Malformed`](Self::Malformed) answer to one challenge. After [`Unconfirmed`](Self::Unconfirmed)
/// the answer may be stored. After every other error the token can still be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The token cannot be read, or its signature is wrong.
    #[error(transparent)]
    Token(TokenError),
    /// The token has expired.
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
    /// The work was given to another client or is done, or its tree was forgotten.
    #[error("the challenge was withdrawn; ask for a new one")]
    Withdrawn,
    /// The answer arrived before the tier's floor. It was not checked.
    #[error("the answer is {wait_ms} ms too early; send it again after that time")]
    TooEarly {
        /// Milliseconds left.
        wait_ms: u64,
    },
    /// The answer is not well formed. The eighth such answer closes the challenge.
    #[error("malformed: {0}")]
    Malformed(Malformed),
    /// The answer is wrong. The token is used up.
    #[error("wrong result: {what}; ask for a new challenge")]
    WrongResult {
        /// Which hash differs, without its right value.
        what: String,
    },
    /// The answer is not stored. The token is still good.
    #[error("the answer was not stored: {0}; send it again")]
    NotStored(String),
    /// The commit failed, and it is not known whether the answer is stored. A repeat does no harm:
    /// it is accepted, or refused as [`Replayed`](Self::Replayed) if the first one was stored.
    #[error("commit {commit_seq} may or may not hold the answer: {what}; send it again, a repeat does no harm")]
    Unconfirmed {
        /// The commit.
        commit_seq: u64,
        /// The cause of the failure.
        what: String,
    },
    /// Another copy of this answer is being checked.
    #[error("another copy of this answer is being checked; send it again in a moment")]
    InFlight,
    /// Too many answers wait for a commit, or too many leases are open.
    #[error("too many answers are waiting; send it again in a moment")]
    Busy,
    /// The engine is closed, or its store failed and the process must restart.
    #[error("the engine is closed; open it again")]
    Closed,
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
            Self::NotStored(_) | Self::Unconfirmed { .. } | Self::InFlight | Self::Busy | Self::Closed => {
                Reason::TryAgain
            }
            Self::Store(_) => Reason::TryAgain,
        }
    }

    /// Whether the same answer can be accepted later. After [`TooEarly`](Self::TooEarly) wait for
    /// its `wait_ms`, after the others for a moment.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooEarly { .. } | Self::NotStored(_) | Self::Unconfirmed { .. } | Self::InFlight | Self::Busy => true,
            Self::Store(error) => error.is_retryable(),
            Self::Token(_) | Self::Expired { .. } | Self::OtherStore | Self::ClientMismatch => false,
            Self::PolicyMismatch | Self::Replayed | Self::Withdrawn | Self::Malformed(_) => false,
            Self::WrongResult { .. } | Self::Closed => false,
        }
    }
}

impl From<WriteError> for SubmitError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Busy => Self::Busy,
            WriteError::NotStored(what) => Self::NotStored(what),
            WriteError::Unconfirmed { commit_seq, what } => Self::Unconfirmed { commit_seq, what },
            WriteError::Closed => Self::Closed,
            WriteError::ReadOnly => Self::Store(StoreError::ReadOnly),
        }
    }
}

/// Why a call about a tree failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No tree has this name.
    #[error("no tree is named {0:?}; `trees` lists them")]
    Unknown(String),
    /// The tree is not complete.
    #[error(
        "tree {name:?} is {}: {pending} of {leaves} leaves are pending, {damaged} damaged; export it when it is \
         complete, and ingest damaged blocks again",
        .state.as_str()
    )]
    NotComplete {
        /// Its name.
        name: String,
        /// Its state.
        state: TreeState,
        /// Pending leaves.
        pending: u64,
        /// All leaves.
        leaves: u64,
        /// Leaves whose blocks do not hash to their addresses, or are not what was ingested.
        damaged: u64,
    },
    /// Leaves known from clients only cannot be hashed by the server, because their data is gone.
    #[error("{leaves} leaves of tree {name:?} cannot be verified: {what}; export with policy `attested`")]
    Unverifiable {
        /// Its name.
        name: String,
        /// Leaves below verified.
        leaves: u64,
        /// The reason.
        what: String,
    },
    /// A leaf that the server has to hash is damaged: its bytes are not those that were ingested.
    #[error(
        "the bytes of leaf {leaf} of tree {name:?} are not those that were ingested; ingest the same content again, \
         then export"
    )]
    Damaged {
        /// Its name.
        name: String,
        /// The first such leaf.
        leaf: u64,
    },
    /// The caller's progress callback stopped the call. Leaves verified so far stay verified.
    #[error("stopped; the same call again continues after the verified leaves")]
    Cancelled,
    /// A leaf was corrected while the tree was being exported. The output is of no use.
    #[error("tree {0:?} was corrected while it was exported; export it again")]
    Corrected(String),
    /// A parameter of an export policy is out of range.
    #[error("`{field}` is {value}: it must be above 0 and below 1")]
    Policy {
        /// Its name.
        field: &'static str,
        /// The rejected value.
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
        /// The requested leaf.
        leaf: u64,
        /// Leaves in the tree.
        leaves: u64,
    },
    /// The caller's sink refused the output.
    #[error("the output could not be written: {0}; make room for it, then export again")]
    Sink(#[from] std::io::Error),
    /// A write of the store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A read of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TreeError {
    /// Whether the same call can succeed later, without a change by the caller. A tree that is not
    /// complete may become so, unless blocks of it are damaged or it contradicts itself.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotComplete { state, damaged, .. } => *damaged == 0 && *state != TreeState::Inconsistent,
            Self::Cancelled | Self::Corrected(_) => true,
            Self::Write(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Unknown(_) | Self::Unverifiable { .. } | Self::Damaged { .. } | Self::Policy { .. } => false,
            Self::Inconsistent { .. } | Self::LeafRange { .. } | Self::Sink(_) => false,
        }
    }
}

/// Why a debit was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebitError {
    /// The balance is below the amount.
    #[error("the balance is {balance} uJ, below the requested {amount} uJ; request at most the balance")]
    Insufficient {
        /// The balance, micro-Joules.
        balance: u64,
        /// The requested amount, micro-Joules.
        amount: u64,
    },
    /// The key was used for another client or amount.
    #[error("the idempotency key was used for another debit; use a new key")]
    KeyConflict,
    /// The debit is not stored, or that is not known. Repeat it with the same key.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl DebitError {
    /// Whether the same debit, with the same key, can succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write(error) => error.is_retryable(),
            Self::Insufficient { .. } | Self::KeyConflict => false,
        }
    }
}
