//! The challenge token: the server's record of a unit, carried by the client.
//!
//! base64url without padding (RFC 4648, 5) over 132 bytes of fields and 64 bytes of MAC:
//!
//! ```text
//! bytes  0        version, 1               82..90   start
//!        1..9     key id                   90       order
//!        9        purpose                  91..99   data digest
//!       10..26    store                    99       tier
//!       26..34    boot                    100..108  policy digest
//!       34..50    id                      108..116  issued at, Unix ms
//!       50..66    client                  116..124  not before, Unix ms
//!       66..82    tree                    124..132  expires at, Unix ms
//!                                         132..196  MAC
//! ```
//!
//! Integers are little endian. The byte of the tier has 128 added to it if the client is an
//! address.
//! `MAC = HMAC-SHA-512(secret, lp("pouw-challenge-token-v1") || lp(field) for each field)`, where
//! `lp(x)` is the length of x as eight bytes, little endian, followed by x. Only version and key id
//! are read before the MAC is compared.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::BASE64URL_NOPAD;

use super::bytes::Reader;
use super::id::{ClientDigest, TreeHandle, WorkId};
use super::keyring::{KeyId, Keyring};
use super::limits::{MAX_FOLD_LEVELS, MAX_TOKEN_CHARS};
use super::time::UnixMillis;
use super::words::{DifficultyTier, Reason};

/// The kind of unit a token was issued for. A token is never accepted for another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenPurpose {
    /// Leaves of a real tree.
    Work,
    /// One interior node of a real tree.
    Interior,
    /// Random data made for this challenge only.
    Synthetic,
}

/// The contents of a challenge token.
///
/// ```
/// use pouw::protocol::*;
/// # fn main() -> Result<(), Box<dyn core::error::Error>> {
/// let keyring = Keyring::new(&[7; 32])?;
/// let token = ChallengeToken {
///     purpose: TokenPurpose::Work,
///     store: [1; 16],
///     boot: 3,
///     id: WorkId::from_parts(1_700_000_000_000, [2; 10]),
///     client: ClientDigest::of(&keyring, b"192.0.2.1"),
///     by_address: true,
///     tree: TreeHandle::from_bytes([4; 16]),
///     start: 64,
///     order: 5,
///     data_digest: data_digest(b"the bytes sent"),
///     tier: DifficultyTier::High,
///     policy: 9,
///     issued_at: UnixMillis(1_700_000_000_000),
///     not_before: UnixMillis(1_700_000_007_500),
///     expires_at: UnixMillis(1_700_000_060_000),
/// };
/// let text = token.seal(&keyring);
/// assert_eq!(ChallengeToken::open(&text, &keyring, 60_000)?, token);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengeToken {
    /// The kind of unit.
    pub purpose: TokenPurpose,
    /// The store that issued it.
    pub store: [u8; 16],
    /// The number of the start of that store's server that issued it.
    pub boot: u64,
    /// The unit.
    pub id: WorkId,
    /// The client it was issued to.
    pub client: ClientDigest,
    /// Whether that client is an address, and not a name or a key.
    pub by_address: bool,
    /// The tree.
    pub tree: TreeHandle,
    /// The first leaf; for `Interior` the index of the node within its level.
    pub start: u64,
    /// The range is `2^order` leaves, cut at the end of the tree; for `Interior` the level. At most
    /// [`MAX_FOLD_LEVELS`].
    pub order: u8,
    /// [`data_digest`](super::data_digest) of the bytes sent.
    pub data_digest: u64,
    /// The tier the unit was issued for.
    pub tier: DifficultyTier,
    /// A digest of the policy it was issued under.
    pub policy: u64,
    /// The time of issue.
    pub issued_at: UnixMillis,
    /// The floor: the server rejects earlier answers unread.
    pub not_before: UnixMillis,
    /// The first instant at which it is no longer accepted.
    pub expires_at: UnixMillis,
}

impl ChallengeToken {
    /// Returns the token as text, 262 characters, sealed with the newest secret. The same contents
    /// and secret always give the same text.
    pub fn seal(&self, keyring: &Keyring) -> String {
        let mut bytes = self.fields(keyring.key_id());
        let mac = keyring.mac(mac_input(&bytes));
        bytes.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads a token from a client's text and checks its MAC. The caller checks expiry, client,
    /// store, boot and policy.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if the text is not a token of this version;
    /// [`TokenError::UnknownKey`] if its secret is not in `keyring`; [`TokenError::BadMac`] if it
    /// is not genuine, in which case only version and key id were read; [`TokenError::Lifetime`] if
    /// it is valid for more than `max_lifetime_ms`.
    pub fn open(text: &str, keyring: &Keyring, max_lifetime_ms: u64) -> Result<Self, TokenError> {
        let bytes = decode(text)?;
        let (fields, mac) = bytes.split_last_chunk().ok_or_else(|| wrong_length(bytes.len()))?;
        let mut reader = Reader::new(fields);
        let key_id = read_key_id(&mut reader).ok_or_else(|| wrong_length(bytes.len()))?;
        match keyring.verify(key_id, mac_input(fields), mac) {
            None => return Err(TokenError::UnknownKey { key_id }),
            Some(false) => return Err(TokenError::BadMac),
            Some(true) => {}
        }
        let token = Self::read_fields(&mut reader).ok_or(TokenError::Malformed {
            what: "fields",
            expected: "values of version 1",
            found: "other values".into(),
        })?;
        let lifetime_ms = token.expires_at.saturating_since(token.issued_at);
        if lifetime_ms > max_lifetime_ms {
            return Err(TokenError::Lifetime { lifetime_ms, max_lifetime_ms });
        }
        Ok(token)
    }

    /// Returns whether the token has expired: true from `expires_at` on.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires_at
    }

    /// Returns whether the token was issued to the client with this key, under any secret of
    /// `keyring`.
    pub fn is_for(&self, keyring: &Keyring, client_key: &[u8]) -> bool {
        self.client.matches(keyring, client_key)
    }

    fn fields(&self, key_id: KeyId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&key_id.0);
        bytes.push(purpose_byte(self.purpose));
        bytes.extend_from_slice(&self.store);
        bytes.extend_from_slice(&self.boot.to_le_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(self.client.as_bytes());
        bytes.extend_from_slice(self.tree.as_bytes());
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.push(self.order);
        bytes.extend_from_slice(&self.data_digest.to_le_bytes());
        bytes.push(tier_byte(self.tier) | if self.by_address { BY_ADDRESS } else { 0 });
        for number in [self.policy, self.issued_at.0, self.not_before.0, self.expires_at.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads the fields after version and key id, in the order of the text. The MAC has been
    /// checked.
    fn read_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let purpose = reader.byte()?;
        let purpose = PURPOSES.into_iter().find(|known| purpose_byte(*known) == purpose)?;
        let (store, boot) = (reader.array()?, reader.number()?);
        let id = WorkId::from_bytes(reader.array()?);
        let client = ClientDigest::from_bytes(reader.array()?);
        let tree = TreeHandle::from_bytes(reader.array()?);
        let start = reader.number()?;
        let order = reader.byte().filter(|order| *order <= MAX_FOLD_LEVELS)?;
        let data_digest = reader.number()?;
        let tier = reader.byte()?;
        let (tier, by_address) = (read_tier(tier & !BY_ADDRESS)?, tier & BY_ADDRESS != 0);
        Some(Self {
            purpose,
            store,
            boot,
            id,
            client,
            by_address,
            tree,
            start,
            order,
            data_digest,
            tier,
            policy: reader.number()?,
            issued_at: UnixMillis(reader.number()?),
            not_before: UnixMillis(reader.number()?),
            expires_at: UnixMillis(reader.number()?),
        })
    }
}

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is not a token of this version. The client should send the token unchanged.
    #[error("invalid token {what}: expected {expected}, found {found}; send the token as it was issued")]
    Malformed {
        /// The invalid part.
        what: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What was found, shortened.
        found: String,
    },
    /// The token's secret is not in the keyring, for example because it was rotated out.
    #[error("unknown token key id {key_id}; request a new challenge")]
    UnknownKey {
        /// The id of the secret.
        key_id: KeyId,
    },
    /// The MAC does not match the contents.
    #[error("invalid token MAC: it does not match the contents; send the token as it was issued")]
    BadMac,
    /// The token is genuine, but its lifetime exceeds the configured maximum.
    #[error(
        "invalid token lifetime: expected at most {max_lifetime_ms} ms, found {lifetime_ms}; request a new challenge"
    )]
    Lifetime {
        /// From issue to expiry.
        lifetime_ms: u64,
        /// The configured maximum.
        max_lifetime_ms: u64,
    },
}

impl TokenError {
    /// Returns the wire reason: `malformed`; `token_expired` for an unknown key or too long a
    /// lifetime, which the gate handles as if no token had been sent; `token_invalid` for a wrong
    /// MAC.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::Malformed,
            Self::UnknownKey { .. } | Self::Lifetime { .. } => Reason::TokenExpired,
            Self::BadMac => Reason::TokenInvalid,
        }
    }
}

/// Decodes the text of a token and checks its length and version.
fn decode(text: &str) -> Result<Vec<u8>, TokenError> {
    if text.len() > MAX_TOKEN_CHARS {
        return Err(TokenError::Malformed {
            what: "length",
            expected: "at most 512 characters",
            found: format!("{}", text.len()),
        });
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|error| TokenError::Malformed {
        what: "encoding",
        expected: "base64url without padding (RFC 4648, 5)",
        found: format!("{error}"),
    })?;
    match bytes.first() {
        Some(&VERSION) if bytes.len() == TOKEN_BYTES => Ok(bytes),
        Some(&VERSION) | None => Err(wrong_length(bytes.len())),
        Some(version) => Err(TokenError::Malformed { what: "version", expected: "1", found: format!("{version}") }),
    }
}

fn wrong_length(bytes: usize) -> TokenError {
    TokenError::Malformed { what: "length", expected: "196 bytes in 262 characters", found: format!("{bytes} bytes") }
}

fn read_key_id(reader: &mut Reader<'_>) -> Option<KeyId> {
    reader.byte()?;
    reader.array().map(KeyId)
}

/// The purpose string, then the fields split by their widths, without reading their values.
fn mac_input(fields: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cut = WIDTHS.iter().scan(fields, |rest, width| {
        let (field, after) = rest.split_at_checked(*width)?;
        *rest = after;
        Some(field)
    });
    core::iter::once(MAC_PURPOSE).chain(cut)
}

const fn purpose_byte(purpose: TokenPurpose) -> u8 {
    match purpose {
        TokenPurpose::Work => 1,
        TokenPurpose::Interior => 2,
        TokenPurpose::Synthetic => 3,
    }
}

const fn tier_byte(tier: DifficultyTier) -> u8 {
    match tier {
        DifficultyTier::Low => 1,
        DifficultyTier::Medium => 2,
        DifficultyTier::High => 3,
    }
}

fn read_tier(byte: u8) -> Option<DifficultyTier> {
    DifficultyTier::ALL.into_iter().find(|tier| tier_byte(*tier) == byte)
}

const PURPOSES: [TokenPurpose; 3] = [TokenPurpose::Work, TokenPurpose::Interior, TokenPurpose::Synthetic];
/// Added to the byte of the tier.
const BY_ADDRESS: u8 = 0x80;
const MAC_PURPOSE: &[u8] = b"pouw-challenge-token-v1";
const VERSION: u8 = 1;
const WIDTHS: [usize; 16] = [1, 8, 1, 16, 8, 16, 16, 16, 8, 1, 8, 1, 8, 8, 8, 8];
const TOKEN_BYTES: usize = 132 + 64;
