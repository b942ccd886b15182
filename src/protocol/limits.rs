//! Every bound of the wire format, by name.

use crate::merkle::{MAX_ORDER, TILE_LEAVES};

/// The most leaves in one unit: a tile.
pub const MAX_UNIT_LEAVES: usize = TILE_LEAVES as usize;
/// The most parent steps in one unit, and the deepest level of a unit.
pub const MAX_FOLD_LEVELS: u8 = MAX_ORDER;
/// The most bytes of `inputData`, decoded.
pub const MAX_UNIT_DATA_BYTES: usize = 2 << 20;
/// The most bytes of a unit as JSON.
pub const MAX_UNIT_JSON_BYTES: usize = 4 << 20;
/// The most bytes of a result as JSON. A result of 32 leaves takes about 5 KiB.
pub const MAX_RESULT_JSON_BYTES: usize = 16 << 10;
/// The most characters of a result in compact form. A result of 32 leaves takes 2 862.
pub const MAX_RESULT_COMPACT_CHARS: usize = 4096;
/// The most characters of a challenge token. Version 1 takes 262.
pub const MAX_TOKEN_CHARS: usize = 512;
/// The largest number in a message: 2^53 - 1, which every JSON reader reads exactly (RFC 8259, 6).
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// The least bytes of a secret.
pub const MIN_SECRET_BYTES: usize = 32;
/// The most secrets in a [`Keyring`](super::Keyring), the newest included.
pub const MAX_SECRETS: usize = 8;
