//! The accounts of clients over their limit: open challenges, paid admissions, bytes sent, failures
//! in a row. They are kept for each client, for each network prefix, and for all clients together.
//!
//! There are at most `tracked_clients_max` clients, and the same number of prefixes. At the
//! maximum, the least recently used account without an open challenge is evicted; if there is none,
//! no challenge is issued (`crowded`). An evicted client gets a full byte budget and all its paid
//! admissions again, so accounts with open challenges are never evicted.

use parking_lot::Mutex;

use crate::gate::config::builder::GateConfigBuilder;
use crate::gate::config::choices::OpenChallenges;
use crate::gate::request::client::{ClientKey, NetworkPrefix};
use crate::gate::request::facts::PolicyId;
use crate::policy::alert::Failures;
use crate::policy::clock_table::{ClockTable, Tracked};
use crate::policy::window::WindowRules;
use crate::protocol::WorkId;

use super::digest::Digester;
use super::round::Round;
use super::usage::{Quotas, Usage};

/// Number of locks that share the tables.
const SHARDS: usize = 16;
/// The data of a unit is sent with its challenge and once more on request; after that, only the
/// token.
const SENDINGS_MAX: u8 = 2;
/// Maximum number of open challenges remembered for one client, whatever the configuration is.
pub(super) const OPEN_MAX: usize = 64;
const MINUTE_MS: u64 = 60_000;
const SECOND_MS: u64 = 1_000;

#[derive(Debug)]
pub(in crate::gate) struct Challenges {
    pub(super) digests: Digester,
    pub(super) clients: Vec<Mutex<ClockTable<u128, OpenAndPaid>>>,
    pub(super) prefixes: Vec<Mutex<ClockTable<u128, Usage>>>,
    pub(super) all: Mutex<Usage>,
    pub(super) rules: Rules,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) client: Quotas,
    pub(super) prefix: Quotas,
    pub(super) all: Quotas,
    pub(super) open_challenges: OpenChallenges,
}

/// Returns the rules for paid admissions in a window; a number out of range becomes the nearest
/// valid one.
fn ceiling(paid: u32, window_ms: u64) -> Option<WindowRules> {
    WindowRules::new(paid.min(1_000_000), window_ms)
}

/// The challenges that one client has open, and what it has used of its ceilings.
#[derive(Debug, Default)]
pub(super) struct OpenAndPaid {
    pub(super) usage: Usage,
    pub(super) open: Vec<Open>,
    failures: Failures,
    pub(super) round: Round,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) id: WorkId,
    pub(super) expires_ms: u64,
    pub(super) sendings: u8,
    /// The network it was sent to. The client may answer from another one.
    pub(super) prefix: u128,
}

impl Challenges {
    pub(in crate::gate) fn new(settings: &GateConfigBuilder, window_ms: u64, digests: Digester) -> Self {
        let (client, prefix) = settings.paid_admissions();
        let quotas = |paid: u32, bytes, per_ms| Quotas { paid: ceiling(paid, window_ms), bytes, per_ms };
        let bound = (settings.tracked_clients_max / SHARDS).max(1);
        Self {
            digests,
            clients: (0..SHARDS).map(|_| Mutex::new(ClockTable::new(bound, ceiling(client, window_ms)))).collect(),
            prefixes: (0..SHARDS).map(|_| Mutex::new(ClockTable::new(bound, ceiling(prefix, window_ms)))).collect(),
            all: Mutex::new(Usage::default()),
            rules: Rules {
                client: quotas(client, settings.bytes_per_minute, MINUTE_MS),
                prefix: quotas(prefix, settings.prefix_bytes_per_minute, MINUTE_MS),
                all: quotas(settings.paid_admissions_in_all, settings.bytes_per_second, SECOND_MS),
                open_challenges: settings.open_challenges,
            },
        }
    }

    /// Notes a refusal at `now_ms` that asks the client to wait until `until_ms`; both in the time
    /// of windows. `engine_ms` is the engine's.
    pub(in crate::gate) fn refused(&self, facts: (&ClientKey, PolicyId), now_ms: u64, until_ms: u64, engine_ms: u64) {
        let client = self.digests.client(facts.0);
        if let Some(mut of_client) = shard(&self.clients, client).lock().entry(client, engine_ms) {
            of_client.round.refused(facts.1, now_ms, until_ms);
            of_client.round.waits_until(engine_ms.saturating_add(until_ms.saturating_sub(now_ms)));
        }
    }

    /// Returns whether a challenge for this client would be a violation: see [`Round`].
    pub(in crate::gate) fn is_violation(&self, client: &ClientKey, now_ms: u64) -> bool {
        let client = self.digests.client(client);
        shard(&self.clients, client).lock().find(client).is_some_and(|of_client| of_client.round.is_violation(now_ms))
    }

    /// Returns whether the data of the open challenge `id` may be sent again; if so, counts it as
    /// sent. An unknown challenge was issued before a restart and has been sent once.
    pub(in crate::gate) fn may_resend(
        &self,
        client: &ClientKey,
        prefix: NetworkPrefix,
        id: WorkId,
        expires_ms: u64,
        now_ms: u64,
    ) -> bool {
        let (digest, prefix) = (self.digests.client(client), self.digests.network(prefix));
        {
            let mut table = shard(&self.clients, digest).lock();
            let Some(mut of_client) = table.entry(digest, now_ms) else {
                return false;
            };
            of_client.expire(now_ms);
            if let Some(open) = of_client.open.iter_mut().find(|open| open.id == id) {
                open.sendings = open.sendings.saturating_add(1);
                return open.sendings <= SENDINGS_MAX;
            }
            if of_client.open.len() >= OPEN_MAX {
                return false;
            }
            of_client.open.push(Open { id, expires_ms, sendings: SENDINGS_MAX, prefix });
            of_client.usage.adopt(expires_ms);
        }
        if let Some(mut usage) = shard(&self.prefixes, prefix).lock().entry(prefix, now_ms) {
            usage.adopt(expires_ms);
        }
        self.all.lock().adopt(expires_ms);
        true
    }

    /// Books bytes that are not for a new challenge; returns whether there was room for them.
    pub(in crate::gate) fn send(&self, client: &ClientKey, prefix: NetworkPrefix, bytes: u64, now_ms: u64) -> bool {
        let (client, prefix) = (self.digests.client(client), self.digests.network(prefix));
        let room = {
            let mut table = shard(&self.clients, client).lock();
            table.entry(client, now_ms).map_or(0, |mut of_client| of_client.usage.available(&self.rules.client, now_ms))
        };
        let room = room.min({
            let mut table = shard(&self.prefixes, prefix).lock();
            table.entry(prefix, now_ms).map_or(0, |mut usage| usage.available(&self.rules.prefix, now_ms))
        });
        if room.min(self.all.lock().available(&self.rules.all, now_ms)) < bytes {
            return false;
        }
        self.spend(client, prefix, bytes, now_ms);
        true
    }

    /// Records an accepted answer: closes the challenge, counts the admission, clears the failures.
    pub(in crate::gate) fn paid(&self, client: &ClientKey, prefix: NetworkPrefix, id: WorkId, now_ms: u64) {
        let (client, prefix) = (self.digests.client(client), self.digests.network(prefix));
        if let Some(mut of_client) = shard(&self.clients, client).lock().entry(client, now_ms) {
            of_client.failures.clear();
            of_client.round.answered();
            of_client.usage.pay(&self.rules.client, now_ms);
        }
        if let Some(mut usage) = shard(&self.prefixes, prefix).lock().entry(prefix, now_ms) {
            usage.pay(&self.rules.prefix, now_ms);
        }
        self.all.lock().pay(&self.rules.all, now_ms);
        // Closed after it is counted as paid, so that no other challenge can begin in between.
        self.close(client, id);
    }

    /// Counts a request admitted by a pass, if client, prefix and all are below their ceilings.
    pub(in crate::gate) fn paid_by_pass(&self, client: &ClientKey, prefix: NetworkPrefix, now_ms: u64) -> bool {
        let (client, prefix) = (self.digests.client(client), self.digests.network(prefix));
        let Rules { client: of_client, prefix: of_prefix, all, .. } = &self.rules;
        let mut clients = shard(&self.clients, client).lock();
        let Some(mut account) = clients.entry(client, now_ms) else {
            return false;
        };
        let mut prefixes = shard(&self.prefixes, prefix).lock();
        let Some(mut network) = prefixes.entry(prefix, now_ms) else {
            return false;
        };
        let mut everybody = self.all.lock();
        let room = account.usage.has_room(of_client, now_ms)
            && network.has_room(of_prefix, now_ms)
            && everybody.has_room(all, now_ms);
        if room {
            account.usage.pay(of_client, now_ms);
            network.pay(of_prefix, now_ms);
            everybody.pay(all, now_ms);
        }
        room
    }

    /// Reverses a count of [`Challenges::may_resend`]: the data was not sent.
    pub(in crate::gate) fn not_sent(&self, client: &ClientKey, id: WorkId) {
        let client = self.digests.client(client);
        let mut table = shard(&self.clients, client).lock();
        if let Some(mut of_client) = table.find(client)
            && let Some(open) = of_client.open.iter_mut().find(|open| open.id == id)
        {
            open.sendings = open.sendings.saturating_sub(1);
        }
    }

    /// Closes a challenge without success.
    pub(in crate::gate) fn closed(&self, client: &ClientKey, id: WorkId) {
        self.close(self.digests.client(client), id);
    }

    /// Counts a failure; returns the number of failures in a row if they are worth an alert.
    pub(in crate::gate) fn failed(&self, client: &ClientKey, threshold: u32, now_ms: u64) -> Option<u32> {
        let digest = self.digests.client(client);
        shard(&self.clients, digest).lock().entry(digest, now_ms)?.failures.record(threshold)
    }

    /// Returns the number of clients remembered.
    pub(in crate::gate) fn len(&self) -> usize {
        self.clients.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Returns the bytes held in memory.
    pub(in crate::gate) fn bytes(&self) -> usize {
        let clients: usize = self.clients.iter().map(|shard| shard.lock().bytes()).sum();
        let prefixes: usize = self.prefixes.iter().map(|shard| shard.lock().bytes()).sum();
        clients + prefixes + self.all.lock().heap_bytes()
    }

    fn close(&self, client: u128, id: WorkId) {
        let closed = {
            let mut table = shard(&self.clients, client).lock();
            table.find(client).and_then(|mut of_client| of_client.close(id))
        };
        // A challenge that has expired, or was issued before a restart, is not counted.
        let Some(Open { expires_ms, prefix, .. }) = closed else {
            return;
        };
        if let Some(mut usage) = shard(&self.prefixes, prefix).lock().find(prefix) {
            usage.close(expires_ms);
        }
        self.all.lock().close(expires_ms);
    }

    /// Takes bytes from the budgets of client, network and all; returns the number taken from each.
    pub(super) fn spend(&self, client: u128, prefix: u128, bytes: u64, now_ms: u64) -> [u64; 3] {
        let of_client = {
            let mut table = shard(&self.clients, client).lock();
            table
                .entry(client, now_ms)
                .map_or(0, |mut of_client| of_client.usage.take(&self.rules.client, bytes, now_ms))
        };
        let of_prefix = {
            let mut table = shard(&self.prefixes, prefix).lock();
            table.entry(prefix, now_ms).map_or(0, |mut usage| usage.take(&self.rules.prefix, bytes, now_ms))
        };
        [of_client, of_prefix, self.all.lock().take(&self.rules.all, bytes, now_ms)]
    }
}

impl OpenAndPaid {
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.open.retain(|open| open.expires_ms > now_ms);
    }

    fn close(&mut self, id: WorkId) -> Option<Open> {
        let at = self.open.iter().position(|open| open.id == id)?;
        let open = self.open.swap_remove(at);
        self.usage.close(open.expires_ms);
        Some(open)
    }
}

impl Tracked for OpenAndPaid {
    type Rules = <Usage as Tracked>::Rules;

    fn is_idle(&self, rules: &Self::Rules, now_ms: u64) -> bool {
        let is_used = self.round.is_pending(now_ms) || self.round.is_waiting(now_ms);
        !is_used && self.may_go(rules, now_ms) && self.usage.is_idle(rules, now_ms)
    }

    fn is_valuable(&self, _: &Self::Rules, now_ms: u64) -> bool {
        self.round.is_pending(now_ms)
    }

    fn may_go(&self, rules: &Self::Rules, now_ms: u64) -> bool {
        self.usage.may_go(rules, now_ms)
    }

    fn touched_ms(&self, rules: &Self::Rules) -> u64 {
        self.usage.touched_ms(rules)
    }

    fn heap_bytes(&self) -> usize {
        self.usage.heap_bytes() + self.open.capacity() * size_of::<Open>() + self.round.heap_bytes()
    }
}

pub(super) fn shard<V: Tracked>(shards: &[Mutex<ClockTable<u128, V>>], digest: u128) -> &Mutex<ClockTable<u128, V>> {
    &shards[(digest >> 64) as usize % shards.len()]
}
