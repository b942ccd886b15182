//! Room for one more challenge, reserved before the challenge is made.

use crate::protocol::WorkId;

use super::challenges::{Challenges, Open, shard};

/// A reservation for one open challenge; dropping it unused releases it.
#[derive(Debug)]
#[must_use]
pub(in crate::gate) struct Reservation<'a> {
    pub(super) challenges: &'a Challenges,
    pub(super) client: u128,
    pub(super) prefix: u128,
    pub(super) now_ms: u64,
    /// Bytes that the encoded challenge may have.
    pub(in crate::gate) bytes: u64,
    /// Bytes taken for it from the budgets of client, network and all: fewer where another thread
    /// was faster.
    pub(super) taken: [u64; 3],
    pub(super) used: u64,
    pub(super) opened: Option<Open>,
    pub(super) begun: Begun,
}

/// The shares in which a challenge was begun and has to be settled.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) prefix: bool,
    pub(super) all: bool,
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
