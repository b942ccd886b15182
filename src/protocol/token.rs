//! The challenge token: what the server must remember about a unit, carried by the client.
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
//! Integers are little endian. `MAC = HMAC-SHA-512(secret, lp("pouw-challenge-token-v1") || lp(field)
//! for each field)`, where `lp(x)` is the length of x as eight bytes, little endian, and then x. Only
//! version and key id are read before the MAC has been compared.

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

/// What a token was made for. A token never serves another purpose than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenPurpose {
    /// Leaves of a real tree.
    Work,
    /// One interior node of a real tree.
    Interior,
    /// Made-up leaves.
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
    /// What the token was made for.
    pub purpose: TokenPurpose,
    /// The store that issued it.
    pub store: [u8; 16],
    /// The boot of that store that issued it.
    pub boot: u64,
    /// The unit.
    pub id: WorkId,
    /// The client it was issued to.
    pub client: ClientDigest,
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
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// The floor: an answer before this instant is not looked at.
    pub not_before: UnixMillis,
    /// The first instant at which it is no longer accepted.
    pub expires_at: UnixMillis,
}

impl ChallengeToken {
    /// The token as text, 262 characters, under the newest secret. The same contents under the same
    /// secret give the same text, byte for byte.
    pub fn seal(&self, keyring: &Keyring) -> String {
        let mut bytes = self.fields(keyring.key_id());
        let mac = keyring.mac(mac_input(&bytes));
        bytes.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads a token from text that a client sent. Whether it is expired, for another client, store,
    /// boot or policy is for the caller to compare.
    ///
    /// # Errors
    /// [`TokenError`]; for a token whose MAC is wrong nothing else is told, and nothing but version
    /// and key id was read.
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
            expected: "values of this version",
            found: "values of none".into(),
        })?;
        let lifetime_ms = token.expires_at.saturating_since(token.issued_at);
        if lifetime_ms > max_lifetime_ms {
            return Err(TokenError::Lifetime { lifetime_ms, max_lifetime_ms });
        }
        Ok(token)
    }

    /// True from the instant of expiry on.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        now >= self.expires_at
    }

    /// True when the token was issued to the client with this key, under any secret of `keyring`.
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
        bytes.push(tier_byte(self.tier));
        for number in [self.policy, self.issued_at.0, self.not_before.0, self.expires_at.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The fields after version and key id, once the MAC is known to be good.
    fn read_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let purpose = reader.byte()?;
        Some(Self {
            purpose: PURPOSES.into_iter().find(|known| purpose_byte(*known) == purpose)?,
            store: reader.array()?,
            boot: reader.number()?,
            id: WorkId::from_bytes(reader.array()?),
            client: ClientDigest::from_bytes(reader.array()?),
            tree: TreeHandle::from_bytes(reader.array()?),
            start: reader.number()?,
            order: reader.byte().filter(|order| *order <= MAX_FOLD_LEVELS)?,
            data_digest: reader.number()?,
            tier: read_tier(reader.byte()?)?,
            policy: reader.number()?,
            issued_at: UnixMillis(reader.number()?),
            not_before: UnixMillis(reader.number()?),
            expires_at: UnixMillis(reader.number()?),
        })
    }
}

/// Why a token was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text is no token of this version. The client should send the token as it got it.
    #[error("token {what}: expected {expected}, found {found}; send the token as it was issued")]
    Malformed {
        /// The guilty part.
        what: &'static str,
        /// What would have been right.
        expected: &'static str,
        /// What was there, shortened.
        found: String,
    },
    /// The token names a secret that is not in the keyring, such as one rotated out long ago.
    #[error("token key id: no secret is called {key_id}; ask for a new challenge")]
    UnknownKey {
        /// The name of the secret.
        key_id: KeyId,
    },
    /// The MAC is not that of the contents.
    #[error("token MAC: it does not match the contents; send the token as it was issued")]
    BadMac,
    /// The token is genuine, and lives longer than the configuration allows now.
    #[error("token lifetime: expected at most {max_lifetime_ms} ms, found {lifetime_ms}; ask for a new challenge")]
    Lifetime {
        /// From issue to expiry.
        lifetime_ms: u64,
        /// The configured maximum.
        max_lifetime_ms: u64,
    },
}

impl TokenError {
    /// The wire reason: `malformed`; `token_expired` for an unknown key and for too long a lifetime,
    /// which are answered as if no token had been sent; `token_invalid` for a wrong MAC.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::Malformed,
            Self::UnknownKey { .. } | Self::Lifetime { .. } => Reason::TokenExpired,
            Self::BadMac => Reason::TokenInvalid,
        }
    }
}

/// The bytes of a token of this version: bounded text, right alphabet, right length.
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

/// The purpose string, then the fields cut apart by their widths, without looking at their values.
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
const MAC_PURPOSE: &[u8] = b"pouw-challenge-token-v1";
const VERSION: u8 = 1;
const WIDTHS: [usize; 16] = [1, 8, 1, 16, 8, 16, 16, 16, 8, 1, 8, 1, 8, 8, 8, 8];
const TOKEN_BYTES: usize = 132 + 64;
