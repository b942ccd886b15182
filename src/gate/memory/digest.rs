//! Keyed digests of clients and networks, for the tables in memory.
//!
//! Two clients with the same digest would share a window. With 128 bits under a key of this
//! process's own that does not happen, by accident or on purpose.

use siphasher::sip128::SipHasher13;

use crate::gate::request::client::{ClientKey, NetworkPrefix};

/// Makes digests. Another process makes different ones.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct Digester {
    clients: SipHasher13,
    networks: SipHasher13,
}

impl Digester {
    pub(in crate::gate) fn new(key: [u8; 16]) -> Self {
        let halves = u128::from_le_bytes(key);
        let (low, high) = (halves as u64, (halves >> 64) as u64);
        Self { clients: SipHasher13::new_with_keys(low, high), networks: SipHasher13::new_with_keys(high, low) }
    }

    pub(in crate::gate) fn client(&self, client: &ClientKey) -> u128 {
        client.with_bytes(|bytes| self.clients.hash(bytes).as_u128())
    }

    pub(in crate::gate) fn network(&self, network: NetworkPrefix) -> u128 {
        self.networks.hash(network.as_bytes()).as_u128()
    }
}
