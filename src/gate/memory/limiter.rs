//! The windows of all clients under one policy.
//!
//! **Guarantee.** A client is never admitted more often than its policy allows, and no client gains
//! a new allowance by being evicted: the admissions of an evicted window are added to the window of
//! its network, and the window of a new client starts as a copy of its network's window.
//!
//! At the maximum of tracked clients, the least recently seen of 16 is evicted; clients at their
//! limit stay until a slot frees. A new client is judged by its network's window, which has the
//! limit of one client, if there is no room or if the network has [`KEYS_PER_PREFIX_MAX`] clients
//! already. The number of networks is bounded too. All networks above it share one window, and the
//! first window of a network starts as a copy of that one.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::gate::request::client::{ClientKey, NetworkPrefix};
use crate::policy::clock_table::{ClockTable, Held, Tracked, slot_bytes};
use crate::policy::window::{AdmissionLog, Quota, WindowRules};

use super::digest::Digester;
use super::shared_window::Admission;

/// Number of locks that share the windows.
const SHARDS: usize = 64;
/// Maximum number of clients of one network with a window of their own.
const KEYS_PER_PREFIX_MAX: u32 = 1_024;

/// All windows of one policy.
#[derive(Debug)]
pub(in crate::gate) struct Limiter {
    rules: WindowRules,
    digests: Digester,
    shards: Vec<Shard>,
    networks: Vec<Mutex<ClockTable<u128, Network>>>,
    /// The shared window of all networks without one of their own.
    everybody: Mutex<AdmissionLog>,
    /// The last time a client had to share a window for lack of room; 0 if it never happened.
    full_ms: AtomicU64,
}

/// A lock with a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(Mutex<ClockTable<u128, Seen>>);

/// The window of one client.
#[derive(Debug, Default)]
struct Seen {
    log: AdmissionLog,
    prefix: NetworkPrefix,
}

/// A client's slot is one cache line.
const _: () = assert!(slot_bytes::<u128, Seen>() <= 64);

/// The window of one network, and its number of clients.
#[derive(Debug, Default)]
struct Network {
    clients: u32,
    overflow: AdmissionLog,
    touched_ms: u64,
}

impl Limiter {
    /// Returns a limiter with windows for at most about `tracked_max` clients.
    pub(in crate::gate) fn new(rules: WindowRules, tracked_max: usize, digests: Digester) -> Self {
        let bound = (tracked_max / SHARDS).max(1);
        Self {
            rules,
            digests,
            shards: (0..SHARDS).map(|_| Shard(Mutex::new(ClockTable::new(bound, rules)))).collect(),
            networks: (0..SHARDS).map(|_| Mutex::new(ClockTable::new(bound, rules))).collect(),
            everybody: Mutex::default(),
            full_ms: AtomicU64::new(0),
        }
    }

    /// Checks one request against the limit and, if it is admitted, logs it.
    pub(in crate::gate) fn check(&self, client: &ClientKey, prefix: NetworkPrefix, now_ms: u64) -> Admission {
        let digest = self.digests.client(client);
        let mut shard = self.shard(digest).lock();
        if let Some(mut seen) = shard.find(digest) {
            return self.admit(&mut seen, now_ms);
        }
        self.check_new(&mut shard, digest, prefix, now_ms)
    }

    /// Returns the client's quota and logs nothing.
    pub(in crate::gate) fn look(&self, client: &ClientKey, prefix: NetworkPrefix, now_ms: u64) -> Quota {
        let digest = self.digests.client(client);
        if let Some(mut seen) = self.shard(digest).lock().find(digest) {
            return seen.log.look(&self.rules, now_ms);
        }
        let prefix = self.digests.network(prefix);
        match self.network(prefix).lock().find(prefix) {
            Some(mut network) => network.overflow.look(&self.rules, now_ms),
            None => self.everybody.lock().look(&self.rules, now_ms),
        }
    }

    /// Returns the number of clients with a window of their own.
    pub(in crate::gate) fn clients(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    /// Returns whether a client had to share a window for lack of room within the last window.
    /// After that it has no effect any more.
    pub(in crate::gate) fn was_full(&self, now_ms: u64) -> bool {
        let full_ms = self.full_ms.load(Ordering::Relaxed);
        let felt_ms = self.rules.window_ms() + self.rules.tick_ms();
        full_ms > 0 && now_ms.saturating_sub(full_ms) <= felt_ms
    }

    fn note_full(&self, now_ms: u64) {
        self.full_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// Returns the bytes held in memory. Takes one lock at a time and reads no client.
    pub(in crate::gate) fn bytes(&self) -> usize {
        let own: usize = self.shards.iter().map(|shard| shard.0.lock().bytes()).sum();
        let networks: usize = self.networks.iter().map(|shard| shard.lock().bytes()).sum();
        own + networks + self.everybody.lock().heap_bytes()
    }

    #[inline]
    fn admit(&self, seen: &mut Seen, now_ms: u64) -> Admission {
        let (admitted, quota) = seen.log.admit(&self.rules, now_ms);
        if admitted { Admission::Admitted(quota) } else { Admission::Over(quota) }
    }

    /// Checks a client without a window. It gets one, unless there is no room or its network is at
    /// [`KEYS_PER_PREFIX_MAX`]. The client's shard stays locked throughout, so no other request of
    /// this client is judged between eviction and inheritance. Lock order: shard, network, shared
    /// window.
    fn check_new(
        &self,
        shard: &mut ClockTable<u128, Seen>,
        digest: u128,
        network: NetworkPrefix,
        now_ms: u64,
    ) -> Admission {
        let prefix = self.digests.network(network);
        let mut gone = Vec::new();
        let admission = match self.joins(prefix, now_ms) {
            Some(log) => {
                let place = shard.entry_or(digest, now_ms, &mut |_, seen| gone.push(seen));
                let admission = place.map(|mut seen| {
                    *seen = Seen { log, prefix: network };
                    self.admit(&mut seen, now_ms)
                });
                if admission.is_none() {
                    self.quit(prefix);
                    self.note_full(now_ms);
                }
                admission
            }
            None => {
                // Nothing is inserted. Idle clients still have to be removed, or a network would
                // stay crowded.
                shard.tend(now_ms, &mut |_, seen| gone.push(seen));
                None
            }
        };
        gone.into_iter().for_each(|seen| self.leaves(seen, now_ms));
        admission.unwrap_or_else(|| self.overflow(prefix, now_ms, |log| log.admit(&self.rules, now_ms)))
    }

    /// Adds a client to its network and returns its first window; `None` if the network has no
    /// room. Admissions in the network's window may be this client's, from an eviction or from a
    /// time without room, so its own window starts with them. If that window would be full, the
    /// client gets none.
    fn joins(&self, prefix: u128, now_ms: u64) -> Option<AdmissionLog> {
        let mut networks = self.network(prefix).lock();
        let Some(mut network) = self.row(&mut networks, prefix, now_ms) else {
            // A network without a row: its clients get windows, but are not counted.
            return inherited(&mut self.everybody.lock(), &self.rules, now_ms);
        };
        if network.clients >= KEYS_PER_PREFIX_MAX {
            return None;
        }
        let inherited = inherited(&mut network.overflow, &self.rules, now_ms)?;
        network.clients += 1;
        network.touched_ms = now_ms;
        Some(inherited)
    }

    /// Returns the row of a network, made if needed; `None` if there is no room for it.
    fn row<'t>(
        &self,
        networks: &'t mut ClockTable<u128, Network>,
        prefix: u128,
        now_ms: u64,
    ) -> Option<Held<'t, Network>> {
        if networks.find(prefix).is_none() {
            let mut row = networks.entry(prefix, now_ms)?;
            row.overflow = self.everybody.lock().clone();
        }
        networks.find(prefix)
    }

    fn quit(&self, prefix: u128) {
        if let Some(mut network) = self.network(prefix).lock().find(prefix) {
            network.clients = network.clients.saturating_sub(1);
        }
    }

    /// Adds the admissions of a dropped window to the window of its network.
    fn leaves(&self, seen: Seen, now_ms: u64) {
        let prefix = self.digests.network(seen.prefix);
        self.quit(prefix);
        if !seen.log.is_idle(&self.rules, now_ms) {
            self.note_full(now_ms);
            self.overflow(prefix, now_ms, |log| {
                log.absorb(seen.log, &self.rules, now_ms);
                (false, log.look(&self.rules, now_ms))
            });
        }
    }

    /// Uses the window of a network, or the shared window if it has none.
    fn overflow(&self, prefix: u128, now_ms: u64, with: impl FnOnce(&mut AdmissionLog) -> (bool, Quota)) -> Admission {
        let mut networks = self.network(prefix).lock();
        let (admitted, quota) = match self.row(&mut networks, prefix, now_ms) {
            Some(mut network) => {
                network.touched_ms = now_ms;
                with(&mut network.overflow)
            }
            None => {
                self.note_full(now_ms);
                with(&mut self.everybody.lock())
            }
        };
        if admitted { Admission::Admitted(quota) } else { Admission::Crowded(quota) }
    }

    fn shard(&self, digest: u128) -> &Mutex<ClockTable<u128, Seen>> {
        &self.shards[(digest >> 64) as usize % SHARDS].0
    }

    fn network(&self, prefix: u128) -> &Mutex<ClockTable<u128, Network>> {
        &self.networks[(prefix >> 64) as usize % SHARDS]
    }
}

/// Returns a copy of `log` for a new window; `None` if it is at the limit.
fn inherited(log: &mut AdmissionLog, rules: &WindowRules, now_ms: u64) -> Option<AdmissionLog> {
    (log.look(rules, now_ms).remaining > 0).then(|| log.clone())
}

impl Tracked for Seen {
    type Rules = WindowRules;

    fn is_idle(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.log.is_idle(rules, now_ms)
    }

    fn may_go(&self, rules: &WindowRules, now_ms: u64) -> bool {
        !self.log.is_full(rules, now_ms)
    }

    fn touched_ms(&self, rules: &WindowRules) -> u64 {
        self.log.touched_ms(rules)
    }

    fn heap_bytes(&self) -> usize {
        self.log.heap_bytes()
    }
}

impl Tracked for Network {
    type Rules = WindowRules;

    fn is_idle(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.clients == 0 && self.overflow.is_idle(rules, now_ms)
    }

    fn may_go(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.is_idle(rules, now_ms)
    }

    fn touched_ms(&self, _: &WindowRules) -> u64 {
        self.touched_ms
    }

    fn heap_bytes(&self) -> usize {
        self.overflow.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
