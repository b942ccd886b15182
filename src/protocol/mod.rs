//! What client and server say to each other. Pure: no clock, no randomness, no I/O.
//!
//! No input makes anything here panic or allocate beyond the bounds in [`limits`]. What was read is
//! well typed; whether it adds up is asked with [`WorkUnit::validate`] and
//! [`WorkResult::check_shape`]; whether it is genuine, with [`ChallengeToken::open`].
//!
#![doc = include_str!("../docs/protocol.md")]

pub mod header;
pub mod limits;

mod by_tier;
mod bytes;
mod compact;
mod digest;
mod id;
mod json;
mod keyring;
mod malformed;
mod result;
mod time;
mod token;
mod unit;
mod unit_json;
mod words;

pub use by_tier::ByTier;
pub use digest::data_digest;
pub use id::{ClientDigest, TreeHandle, WorkId};
pub use keyring::{KeyId, Keyring, SecretError};
pub use malformed::{JsonError, Malformed};
pub use result::WorkResult;
pub use time::{MicroJoules, UnixMillis};
pub use token::{ChallengeToken, TokenError, TokenPurpose};
pub use unit::{UnitError, WorkUnit, subtree_nodes};
pub use words::{DifficultyTier, Reason, WorkUnitOperation};
