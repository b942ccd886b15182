//! SHA3-512 (FIPS 202) and its 64-byte value.
//!
//! Client and server compute the same bytes: a leaf is [`sha3_512`] of its data without a prefix,
//! so it equals the address of its block. A parent is [`hash_parent`] of its children.
//!
//! ```text
//! one message        sha3_512        hash_parent (128 or 64 bytes)
//! message in pieces  StreamingHash
//! many messages      hash_batch, hash_batch_into
//! ```
//!
//! ```
//! use pouw::hash::{sha3_512, Checksum};
//!
//! let sum = sha3_512(b"abc");
//! assert!(sum.to_hex().starts_with("b751850b1a57168a"));
//! assert_eq!(sum.to_hex().parse::<Checksum>(), Ok(sum));
//! ```

mod checksum;
mod lanes;
mod scalar;

pub use checksum::{Checksum, ChecksumError};
#[doc(hidden)]
pub use lanes::{HashLanes, best_lanes};
pub use lanes::{hash_batch, hash_batch_into};
pub use scalar::{StreamingHash, hash_parent, permutations, sha3_512};
