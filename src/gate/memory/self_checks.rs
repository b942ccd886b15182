//! Which self-checks are still made, and what they found.
//!
//! A check ends when it has found something, or after [`LOOKS_MAX`] requests or responses without a
//! finding. When all have ended, a request costs one relaxed load for them. In strict mode the
//! checks of single requests never end, because each request that shows a mistake is refused.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::gate::request::client::ClientKey;
use crate::gate::self_check::SelfCheck;

/// Requests, and responses, that are looked at.
const LOOKS_MAX: u32 = 10_000;
/// Different values of `User-Agent` at one address that are many.
pub(in crate::gate) const AGENTS_MANY: usize = 8;

/// The checks of requests that end. That of the peer does not: it costs nothing while there is one.
const OF_REQUESTS: u8 = SelfCheck::UnnamedProxy.bit() | SelfCheck::OneClient.bit();
const OF_RESPONSES: u8 = SelfCheck::CorsInside.bit() | SelfCheck::BodyLimit.bit();

/// The state of all self-checks of a gate.
#[derive(Debug)]
pub(in crate::gate) struct SelfChecks {
    pub(in crate::gate) strict: bool,
    /// Bits of the checks that are still made.
    open: AtomicU8,
    /// Bits of the checks that have found something.
    found: AtomicU8,
    requests: AtomicU32,
    responses: AtomicU32,
    one: Mutex<OneClient>,
}

/// The only client so far, and digests of its `User-Agent`s.
#[derive(Debug, Default)]
struct OneClient {
    client: Option<ClientKey>,
    agents: Vec<u64>,
}

impl SelfChecks {
    pub(in crate::gate) fn new(strict: bool) -> Self {
        Self {
            strict,
            open: AtomicU8::new(OF_REQUESTS | OF_RESPONSES),
            found: AtomicU8::new(0),
            requests: AtomicU32::new(0),
            responses: AtomicU32::new(0),
            one: Mutex::new(OneClient::default()),
        }
    }

    /// Returns whether any check of requests is still made.
    #[inline]
    pub(in crate::gate) fn look_at_requests(&self) -> bool {
        self.open.load(Ordering::Relaxed) & OF_REQUESTS != 0
    }

    /// Returns whether any check of responses is still made.
    #[inline]
    pub(in crate::gate) fn look_at_responses(&self) -> bool {
        self.open.load(Ordering::Relaxed) & OF_RESPONSES != 0
    }

    pub(in crate::gate) fn is_open(&self, check: SelfCheck) -> bool {
        self.open.load(Ordering::Relaxed) & check.bit() != 0
    }

    /// Counts a request that was looked at.
    pub(in crate::gate) fn request_seen(&self) {
        self.seen(&self.requests, OF_REQUESTS);
    }

    /// Counts a response that was looked at.
    pub(in crate::gate) fn response_seen(&self) {
        self.seen(&self.responses, OF_RESPONSES);
    }

    fn seen(&self, count: &AtomicU32, checks: u8) {
        if count.fetch_add(1, Ordering::Relaxed) + 1 != LOOKS_MAX {
            return;
        }
        // Only this check is about many requests. What it found stays refused in strict mode.
        let one = SelfCheck::OneClient.bit() & !self.found.load(Ordering::Relaxed);
        self.close(if self.strict { checks & one } else { checks });
    }

    /// Records a finding. Returns whether it is the first of its check.
    pub(in crate::gate) fn record(&self, check: SelfCheck) -> bool {
        let before = self.found.fetch_or(check.bit(), Ordering::Relaxed);
        if !self.strict {
            self.close(check.bit());
        }
        before & check.bit() == 0
    }

    /// Returns the checks that have found something.
    pub(in crate::gate) fn found(&self) -> Vec<SelfCheck> {
        let found = self.found.load(Ordering::Relaxed);
        SelfCheck::ALL.into_iter().filter(|check| found & check.bit() != 0).collect()
    }

    /// Returns whether `client`, identified by address or anonymous for want of one, is the only
    /// one so far and has many `User-Agent`s. A second client ends the check.
    pub(in crate::gate) fn is_one_of_many(&self, client: &ClientKey, agent: Option<&[u8]>) -> bool {
        let mut one = self.one.lock();
        let OneClient { client: known, agents } = &mut *one;
        if known.get_or_insert_with(|| client.clone()) != client {
            *agents = Vec::new();
            self.close(SelfCheck::OneClient.bit());
            return false;
        }
        if let Some(agent) = agent.map(digest)
            && agents.len() < AGENTS_MANY
            && !agents.contains(&agent)
        {
            agents.push(agent);
        }
        agents.len() >= AGENTS_MANY
    }

    fn close(&self, checks: u8) {
        self.open.fetch_and(!checks, Ordering::Relaxed);
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
