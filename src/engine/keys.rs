//! The secrets of an engine, and the digests of clients and networks that are made with them.

use crate::protocol::{ClientDigest, Keyring};

#[derive(Debug)]
pub(super) struct Keys {
    /// Of tokens.
    pub(super) tokens: Keyring,
    /// Of the store, for digests that outlast a change of the secret.
    store: Keyring,
}

impl Keys {
    pub(super) fn new(tokens: Keyring, store: Keyring) -> Self {
        Self { tokens, store }
    }

    pub(super) fn digest_of(&self, client: &[u8]) -> ClientDigest {
        ClientDigest::of(&self.store, client)
    }

    /// Derives bytes that only this store knows.
    pub(super) fn derive(&self, label: &[u8], data: &[u8]) -> [u8; 64] {
        self.store.derive(label, data)
    }

    /// Returns the keyed digest of a network prefix.
    pub(super) fn network_of(&self, network: &[u8]) -> [u8; 16] {
        let derived = self.store.derive(b"pouw-network-v1", network);
        let mut digest = [0; 16];
        digest.copy_from_slice(&derived[..16]);
        digest
    }
}
