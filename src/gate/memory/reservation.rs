//! Room for one more challenge, reserved before the challenge is made.

use crate::gate::config::choices::OpenChallenges;
use crate::gate::request::client::{ClientKey, NetworkPrefix};
use crate::protocol::{Reason, WorkId};

use super::challenges::{Challenges, OPEN_MAX, Open, shard};

/// A reservation for one open challenge; dropping it unused releases it.
#[derive(Debug)]
#[must_use]
pub(in crate::gate) struct Reservation<'a> {
    challenges: &'a Challenges,
    client: u128,
    prefix: u128,
    now_ms: u64,
    /// Bytes that the encoded challenge may have.
    pub(in crate::gate) bytes: u64,
    /// Bytes taken for it from the budgets of client, network and all: fewer where another thread
    /// was faster.
    taken: [u64; 3],
    used: u64,
    opened: Option<Open>,
    begun: Begun,
}

/// The shares in which a challenge was begun and has to be settled.
#[derive(Debug, Default)]
struct Begun {
    prefix: bool,
    all: bool,
}

impl Challenges {
    /// Reserves room for a challenge of up to `bytes_wanted` encoded bytes, or returns the reason
    /// why there is none. Near the end of a budget it grants fewer bytes, down to `bytes_min`.
    pub(in crate::gate) fn reserve(
        &self,
        client: &ClientKey,
        prefix: NetworkPrefix,
        bytes_wanted: u64,
        bytes_min: u64,
        now_ms: u64,
    ) -> Result<Reservation<'_>, Reason> {
        let (client_digest, prefix_digest) = (self.digests.client(client), self.digests.network(prefix));
        let OpenChallenges { by_address, by_name } = self.rules.open_challenges;
        let open_max = if client.is_shared() { by_address } else { by_name } as usize;
        let mut bytes = bytes_wanted;
        {
            let mut table = shard(&self.clients, client_digest).lock();
            let mut of_client = table.entry(client_digest, now_ms).ok_or(Reason::Crowded)?;
            of_client.expire(now_ms);
            let open = of_client.open.len() + of_client.usage.opening() as usize;
            if open >= open_max.min(OPEN_MAX) {
                return Err(Reason::Budget);
            }
            if !of_client.usage.begin(&self.rules.client, now_ms) {
                return Err(Reason::Ceiling);
            }
            bytes = bytes.min(of_client.usage.available(&self.rules.client, now_ms));
        }
        let mut reservation = Reservation {
            challenges: self,
            client: client_digest,
            prefix: prefix_digest,
            now_ms,
            bytes: 0,
            taken: [0; 3],
            used: 0,
            opened: None,
            begun: Begun::default(),
        };
        {
            let mut table = shard(&self.prefixes, prefix_digest).lock();
            let mut usage = table.entry(prefix_digest, now_ms).ok_or(Reason::Crowded)?;
            if !usage.begin(&self.rules.prefix, now_ms) {
                return Err(Reason::Ceiling);
            }
            reservation.begun.prefix = true;
            bytes = bytes.min(usage.available(&self.rules.prefix, now_ms));
        }
        {
            let mut all = self.all.lock();
            if !all.begin(&self.rules.all, now_ms) {
                return Err(Reason::Ceiling);
            }
            reservation.begun.all = true;
            bytes = bytes.min(all.available(&self.rules.all, now_ms));
        }
        if bytes < bytes_min {
            return Err(Reason::Budget);
        }
        reservation.taken = self.spend(client_digest, prefix_digest, bytes, now_ms);
        reservation.bytes = bytes;
        Ok(reservation)
    }
}

impl Reservation<'_> {
    /// Uses the reservation for a challenge of `bytes` bytes that was issued. Returns whether it is
    /// a violation.
    pub(in crate::gate) fn opened(mut self, id: WorkId, expires_ms: u64, bytes: u64) -> bool {
        self.used = bytes;
        self.opened = Some(Open { id, expires_ms, sendings: 1, prefix: self.prefix });
        let mut table = shard(&self.challenges.clients, self.client).lock();
        table.find(self.client).is_some_and(|mut of_client| of_client.round.challenged(self.now_ms, expires_ms))
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let (challenges, now_ms) = (self.challenges, self.now_ms);
        let [client, prefix, all_bytes] = self.taken.map(|taken| taken.saturating_sub(self.used));
        let expires_ms = self.opened.map(|open| open.expires_ms);
        if let Some(mut of_client) = shard(&challenges.clients, self.client).lock().find(self.client) {
            of_client.usage.settle(expires_ms);
            of_client.open.extend(self.opened);
            of_client.usage.give_back(&challenges.rules.client, client, now_ms);
        }
        if self.begun.prefix
            && let Some(mut usage) = shard(&challenges.prefixes, self.prefix).lock().find(self.prefix)
        {
            usage.settle(expires_ms);
            usage.give_back(&challenges.rules.prefix, prefix, now_ms);
        }
        if self.begun.all {
            let mut all = challenges.all.lock();
            all.settle(expires_ms);
            all.give_back(&challenges.rules.all, all_bytes, now_ms);
        }
    }
}
