//! The messages between client and server: types, encodings, limits. No clock, randomness or I/O.
//!
//! No input causes a panic, or an allocation beyond the bounds in [`limits`]. A message that was
//! read has valid types; [`WorkUnit::validate`] and [`WorkResult::check_shape`] check that its
//! members are consistent, [`ChallengeToken::open`] that a token is genuine.
//!
#![doc = include_str!("../docs/protocol.md")]

pub mod header;
pub mod limits;

#[cfg(any(feature = "client", feature = "gate"))]
pub(crate) mod grpc;

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
