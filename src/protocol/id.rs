//! Identifiers of sixteen bytes: of a unit of work, a tree, a client.

use alloc::string::ToString;
use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::keyring::Keyring;
use super::malformed::{Malformed, excerpt};
use super::time::UnixMillis;

/// The id of one issued challenge: a UUID version 7 (RFC 9562), so ordered by time of issue, with
/// 74 random bits. Challenge id, `workUnitId`, receipt and ledger key are the same value.
///
/// ```
/// use pouw::protocol::{UnixMillis, WorkId};
/// let id = WorkId::from_parts(1_700_000_000_123, [7; 10]);
/// assert_eq!(id.unix_millis(), UnixMillis(1_700_000_000_123));
/// assert_eq!(id.to_string().parse::<WorkId>(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId([u8; 16]);

impl WorkId {
    /// Makes an id from the low 48 bits of the time of issue and 74 bits of ten random bytes.
    pub const fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().into_bytes())
    }

    /// Makes an id from its sixteen bytes, without any check.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the sixteen bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the time of issue, from the first 48 bits.
    pub const fn unix_millis(&self) -> UnixMillis {
        let [a, b, c, d, e, f, ..] = self.0;
        UnixMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl FromStr for WorkId {
    type Err = Malformed;

    /// Reads lowercase hyphenated UUID text only.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Uuid::try_parse(text)
            .ok()
            .map(|uuid| Self(uuid.into_bytes()))
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| Malformed::new("workUnitId", "a lowercase hyphenated UUID of 36 characters", excerpt(text)))
    }
}

/// The opaque id of a tree, drawn at random at every ingest. It reveals nothing of the tree's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHandle([u8; 16]);

/// A keyed digest of a client key. A token names its client by it without revealing the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientDigest([u8; 16]);

impl ClientDigest {
    /// Returns the digest of `client_key` (an address, prefix, user or API key in the host's
    /// encoding) under the newest secret of `keyring`: the first 16 bytes of `HMAC-SHA-512(secret,
    /// lp("pouw-derive-v1") || lp("pouw-client-v1") || lp(client_key))`, where `lp(x)` is the
    /// length of x as eight bytes, little endian, followed by x.
    pub fn of(keyring: &Keyring, client_key: &[u8]) -> Self {
        Self::from_derivation(&keyring.derive(CLIENT_LABEL, client_key))
    }

    /// Returns whether this is the digest of `client_key` under any secret of `keyring`, so that
    /// clients are recognized after a rotation of secrets.
    pub fn matches(&self, keyring: &Keyring, client_key: &[u8]) -> bool {
        keyring.derivations(CLIENT_LABEL, client_key).any(|bytes| Self::from_derivation(&bytes) == *self)
    }

    fn from_derivation(bytes: &[u8; 64]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&bytes[..16]);
        Self(digest)
    }
}

const CLIENT_LABEL: &[u8] = b"pouw-client-v1";

/// Implements the byte constructors of a sixteen-byte id and its text of 32 lowercase hex digits.
macro_rules! hex_name {
    ($name:ident, $member:literal) => {
        impl $name {
            /// Makes it from its sixteen bytes, without any check.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                HEXLOWER.encode_display(&self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            /// Reads 32 lowercase hex digits only.
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let mut bytes = [0; 16];
                let refuse = || Malformed::new($member, "32 lowercase hex digits", excerpt(text));
                if text.len() != 32 {
                    return Err(refuse());
                }
                match HEXLOWER.decode_mut(text.as_bytes(), &mut bytes) {
                    Ok(16) => Ok(Self(bytes)),
                    _ => Err(refuse()),
                }
            }
        }
    };
}

/// Implements `Debug` and serde by the text form.
macro_rules! text_name {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("the text of a ", stringify!($name)))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
    )+};
}

hex_name!(TreeHandle, "treeId");
hex_name!(ClientDigest, "client");
text_name!(WorkId, TreeHandle, ClientDigest);
