//! The windows of all clients under one policy.
//!
//! **Guarantee.** A client is never admitted more often than its policy says, and none gains a fresh
//! allowance by being forgotten: what an evicted window held joins the window of its network.
//!
//! At the bound of tracked clients the least recently seen of 16 makes room; those at their limit stay until a slot
//! frees. A new client for whom there is no room, and one of a network with more than
//! [`KEYS_PER_PREFIX_MAX`] clients, is judged by its network's window, which has the limit of one client.
//! Networks are bounded too; beyond, those without a window of their own share one.

use std::hash::Hasher;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::policy::window::{AdmissionLog, Quota, WindowRules};

use super::identity::{ClientKey, NetworkPrefix};
use super::table::{Table, Tracked};
use super::window::Admission;

/// Locks the windows are spread over.
const SHARDS: usize = 64;
/// Clients of one network that have a window of their own.
const KEYS_PER_PREFIX_MAX: u32 = 1_024;

/// All windows of one policy.
#[derive(Debug)]
pub(super) struct Limiter {
    rules: WindowRules,
    key: (u64, u64),
    shards: Vec<Shard>,
    networks: Vec<Mutex<Table<Network>>>,
    /// For networks that there is no room for.
    everybody: Mutex<AdmissionLog>,
    heap_bytes: AtomicUsize,
}

/// A lock on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(Mutex<Table<Seen>>);

/// One client.
#[derive(Debug, Default)]
struct Seen {
    log: AdmissionLog,
    prefix: u128,
    touched_ms: u64,
}

/// One network.
#[derive(Debug, Default)]
struct Network {
    clients: u32,
    overflow: AdmissionLog,
    touched_ms: u64,
}

impl Limiter {
    /// Windows for at most about `tracked_max` clients.
    pub(super) fn new(rules: WindowRules, tracked_max: usize, key: (u64, u64)) -> Self {
        let bound = (tracked_max / SHARDS).max(1);
        Self {
            rules,
            key,
            shards: (0..SHARDS).map(|_| Shard(Mutex::new(Table::new(bound, rules)))).collect(),
            networks: (0..SHARDS).map(|_| Mutex::new(Table::new(bound, rules))).collect(),
            everybody: Mutex::default(),
            heap_bytes: AtomicUsize::new(0),
        }
    }

    /// Judges one request and, if it is within the limit, logs it.
    pub(super) fn check(&self, client: &ClientKey, prefix: NetworkPrefix, now_ms: u64) -> Admission {
        let digest = self.digest(client);
        let mut shard = self.shard(digest).lock();
        if let Some(seen) = shard.find(digest) {
            return self.admit(seen, now_ms);
        }
        drop(shard);
        self.check_new(digest, self.prefix_digest(prefix), now_ms)
    }

    /// Where a client stands, logging nothing.
    pub(super) fn look(&self, client: &ClientKey, prefix: NetworkPrefix, now_ms: u64) -> Quota {
        let digest = self.digest(client);
        if let Some(seen) = self.shard(digest).lock().find(digest) {
            return seen.log.look(&self.rules, now_ms);
        }
        let prefix = self.prefix_digest(prefix);
        match self.network(prefix).lock().find(prefix) {
            Some(network) if network.clients >= KEYS_PER_PREFIX_MAX => network.overflow.look(&self.rules, now_ms),
            _ => AdmissionLog::default().look(&self.rules, now_ms),
        }
    }

    /// Clients with a window of their own.
    pub(super) fn clients(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let own: usize = self.shards.iter().map(|shard| shard.0.lock().bytes()).sum();
        let networks: usize = self.networks.iter().map(|shard| shard.lock().bytes()).sum();
        own + networks + self.heap_bytes.load(Ordering::Relaxed)
    }

    fn admit(&self, seen: &mut Seen, now_ms: u64) -> Admission {
        seen.touched_ms = now_ms;
        let before = seen.log.heap_bytes();
        let quota = seen.log.admit(&self.rules, now_ms);
        self.account(before, seen.log.heap_bytes());
        if quota.admitted { Admission::Admitted(quota) } else { Admission::Over(quota) }
    }

    /// A client without a window: it gets one, unless there is no room or its network has enough.
    fn check_new(&self, digest: u128, prefix: u128, now_ms: u64) -> Admission {
        if !self.joins(prefix, now_ms) {
            return self.overflow(prefix, now_ms, |log| log.admit(&self.rules, now_ms));
        }
        let mut gone = Vec::new();
        let admission = {
            let mut shard = self.shard(digest).lock();
            // Another request of the same client may have been faster.
            let known = shard.find(digest).is_some();
            let admission = shard.entry_or(digest, now_ms, &mut |seen| gone.push(seen)).map(|seen| {
                seen.prefix = prefix;
                self.admit(seen, now_ms)
            });
            admission.filter(|_| !known).ok_or((known, admission))
        };
        for seen in gone {
            self.leaves(seen, now_ms);
        }
        match admission {
            Ok(admission) => admission,
            Err((_, found)) => {
                self.quit(prefix);
                found.unwrap_or_else(|| self.overflow(prefix, now_ms, |log| log.admit(&self.rules, now_ms)))
            }
        }
    }

    /// Counts a client to its network, if that has room.
    fn joins(&self, prefix: u128, now_ms: u64) -> bool {
        match self.network(prefix).lock().entry(prefix, now_ms) {
            // As long as something evicted is in the overflow, a newcomer may be who it belongs to.
            Some(network) if network.clients < KEYS_PER_PREFIX_MAX && network.overflow.is_idle(&self.rules, now_ms) => {
                network.clients += 1;
                network.touched_ms = now_ms;
                true
            }
            Some(_) => false,
            // A network without a row of its own: its clients have windows, uncounted.
            None => self.everybody.lock().is_idle(&self.rules, now_ms),
        }
    }

    fn quit(&self, prefix: u128) {
        if let Some(network) = self.network(prefix).lock().find(prefix) {
            network.clients = network.clients.saturating_sub(1);
        }
    }

    /// A window was dropped: what it held joins its network's.
    fn leaves(&self, seen: Seen, now_ms: u64) {
        self.account(seen.log.heap_bytes(), 0);
        self.quit(seen.prefix);
        if !seen.log.is_idle(&self.rules, now_ms) {
            self.overflow(seen.prefix, now_ms, |log| {
                log.absorb(seen.log, &self.rules, now_ms);
                log.look(&self.rules, now_ms)
            });
        }
    }

    /// Uses the window of a network, or the one for all where it has none.
    fn overflow(&self, prefix: u128, now_ms: u64, with: impl FnOnce(&mut AdmissionLog) -> Quota) -> Admission {
        let mut networks = self.network(prefix).lock();
        let mut everybody;
        let log = match networks.entry(prefix, now_ms) {
            Some(network) => {
                network.touched_ms = now_ms;
                &mut network.overflow
            }
            None => {
                everybody = self.everybody.lock();
                &mut *everybody
            }
        };
        let before = log.heap_bytes();
        let quota = with(log);
        self.account(before, log.heap_bytes());
        if quota.admitted { Admission::Admitted(quota) } else { Admission::Crowded(quota) }
    }

    fn account(&self, before: usize, after: usize) {
        if after > before {
            self.heap_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.heap_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn shard(&self, digest: u128) -> &Mutex<Table<Seen>> {
        &self.shards[(digest >> 64) as usize % SHARDS].0
    }

    fn network(&self, prefix: u128) -> &Mutex<Table<Network>> {
        &self.networks[(prefix >> 64) as usize % SHARDS]
    }

    fn digest(&self, client: &ClientKey) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        client.write_to(&mut |bytes| hasher.write(bytes));
        hasher.finish128().as_u128()
    }

    fn prefix_digest(&self, prefix: NetworkPrefix) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.key.1, self.key.0);
        hasher.write(prefix.as_bytes());
        hasher.finish128().as_u128()
    }
}

impl Tracked for Seen {
    type Rules = WindowRules;

    fn is_idle(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.log.is_idle(rules, now_ms)
    }

    fn may_go(&self, rules: &WindowRules, now_ms: u64) -> bool {
        !self.log.is_full(rules, now_ms)
    }

    fn touched_ms(&self) -> u64 {
        self.touched_ms
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

    fn touched_ms(&self) -> u64 {
        self.touched_ms
    }
}

#[cfg(test)]
mod tests;
