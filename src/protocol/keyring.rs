//! The server's secrets, and everything computed with them.

use alloc::vec::Vec;
use core::fmt;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq;

use super::limits::{MAX_SECRETS, MIN_SECRET_BYTES};

/// The server's secrets: the newest, which seals new tokens, and previous ones, which open old
/// tokens.
///
/// Drop a previous secret once a full token lifetime has passed since it was replaced. Only the
/// HMAC states keyed with the secrets are kept, not the secrets; `Debug` shows key ids.
///
/// ```
/// use pouw::protocol::Keyring;
///
/// // In production: 32 bytes from a secure random source.
/// let keyring = Keyring::new(&[2; 32])?.with_previous(&[1; 32])?;
/// assert_eq!(keyring.key_id(), Keyring::new(&[2; 32])?.key_id());
/// # Ok::<(), pouw::protocol::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Keyring {
    /// Newest first; never empty.
    keys: Vec<Key>,
}

impl Keyring {
    /// Creates a keyring of one secret: at least [`MIN_SECRET_BYTES`] bytes from a secure random
    /// source.
    ///
    /// # Errors
    /// [`SecretError::TooShort`] if it has fewer bytes.
    pub fn new(secret: &[u8]) -> Result<Self, SecretError> {
        Ok(Self { keys: [Key::new(secret)?].into() })
    }

    /// Adds a secret that was in use before, so that its tokens stay valid until they expire.
    ///
    /// # Errors
    /// [`SecretError::TooShort`] if it has fewer than [`MIN_SECRET_BYTES`] bytes;
    /// [`SecretError::Repeated`] if the keyring has it already; [`SecretError::TooMany`] if the
    /// keyring has [`MAX_SECRETS`].
    pub fn with_previous(mut self, secret: &[u8]) -> Result<Self, SecretError> {
        let key = Key::new(secret)?;
        if self.find(key.id).is_some() {
            return Err(SecretError::Repeated { key_id: key.id });
        }
        if self.keys.len() == MAX_SECRETS {
            return Err(SecretError::TooMany);
        }
        self.keys.push(key);
        Ok(self)
    }

    /// Returns the id of the newest secret.
    pub fn key_id(&self) -> KeyId {
        self.newest().id
    }

    /// Returns 64 bytes that only a holder of the newest secret can compute: `HMAC-SHA-512(secret,
    /// lp("pouw-derive-v1") || lp(label) || lp(data))`, where `lp(x)` is the length of x as eight
    /// bytes, little endian, followed by x. `label` names the purpose; outputs of different labels
    /// are independent.
    #[doc(hidden)]
    pub fn derive(&self, label: &[u8], data: &[u8]) -> [u8; 64] {
        self.newest().derive(label, data)
    }

    /// Returns the bytes of `derive` under every secret, newest first, for values that outlive a
    /// rotation.
    #[doc(hidden)]
    pub fn derivations(&self, label: &[u8], data: &[u8]) -> impl Iterator<Item = [u8; 64]> {
        self.keys.iter().map(move |key| key.derive(label, data))
    }

    /// The MAC over `fields` under the newest secret.
    pub(crate) fn mac<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 64] {
        self.newest().mac(fields)
    }

    /// Returns whether `mac` is the MAC over `fields` under the secret `key_id`, compared in
    /// constant time. None if there is no such secret.
    pub(crate) fn verify<'a>(
        &self,
        key_id: KeyId,
        fields: impl IntoIterator<Item = &'a [u8]>,
        mac: &[u8; 64],
    ) -> Option<bool> {
        let expected = self.find(key_id)?.mac(fields);
        Some(expected.ct_eq(mac).into())
    }

    fn newest(&self) -> &Key {
        &self.keys[0]
    }

    fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| key.id);
        f.write_str("Keyring ")?;
        f.debug_list().entries(ids).finish()
    }
}

/// The public id of a secret: the first eight bytes of
/// `HMAC-SHA-512(secret, lp("pouw-key-id-v1"))`. It is part of every token and reveals nothing
/// about a secret of full entropy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A secret that cannot be added to a keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret has too few bytes.
    #[error(
        "hmac_secret: expected at least {MIN_SECRET_BYTES} bytes, found {length}; \
         generate {MIN_SECRET_BYTES} bytes with a secure random source"
    )]
    TooShort {
        /// Its length in bytes.
        length: usize,
    },
    /// The keyring has the secret already.
    #[error("hmac_secret: expected distinct secrets, found the one with key id {key_id} twice; remove one of them")]
    Repeated {
        /// Its public id.
        key_id: KeyId,
    },
    /// The keyring is full.
    #[error("hmac_secret: expected at most {MAX_SECRETS} secrets, found more; remove those whose tokens have expired")]
    TooMany,
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    keyed: Hmac<Sha512>,
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, SecretError> {
        let too_short = SecretError::TooShort { length: secret.len() };
        if secret.len() < MIN_SECRET_BYTES {
            return Err(too_short);
        }
        // HMAC takes keys of any length (RFC 2104), so this cannot fail.
        let keyed = Hmac::<Sha512>::new_from_slice(secret).map_err(|_| too_short)?;
        let [a, b, c, d, e, f, g, h, ..] = mac(keyed.clone(), [KEY_ID_PURPOSE]);
        Ok(Self { id: KeyId([a, b, c, d, e, f, g, h]), keyed })
    }

    fn derive(&self, label: &[u8], data: &[u8]) -> [u8; 64] {
        self.mac([DERIVE_PURPOSE, label, data])
    }

    fn mac<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 64] {
        mac(self.keyed.clone(), fields)
    }
}

/// HMAC over each field, preceded by its length: no two lists of fields have the same encoding.
fn mac<'a>(mut keyed: Hmac<Sha512>, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 64] {
    for field in fields {
        keyed.update(&(field.len() as u64).to_le_bytes());
        keyed.update(field);
    }
    keyed.finalize().into_bytes().into()
}

const KEY_ID_PURPOSE: &[u8] = b"pouw-key-id-v1";
const DERIVE_PURPOSE: &[u8] = b"pouw-derive-v1";
