//! A snapshot of the gate's counters and sizes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::ThreadStats;
use crate::gate::state::Gate;
use crate::protocol::{ByTier, Reason};

/// A snapshot of the gate's counters and sizes. Counts start at zero when the gate is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateStats {
    /// Requests judged, without those on exempt routes.
    pub requests: u64,
    /// Requests on exempt routes, and preflights.
    pub exempt_routes: u64,
    /// Requests found over their limit.
    pub limited: u64,
    /// Of these, let through because of shadow mode.
    pub shadowed: u64,
    /// Challenges issued.
    pub issued: ByTier<u64>,
    /// Units sent again, with the same token.
    pub resent: u64,
    /// Answers accepted.
    pub completed: u64,
    /// Of these, answers that bought a pass for more requests.
    pub passes: u64,
    /// Requests over the limit admitted by a pass.
    pub passed: u64,
    /// Micro-Joules awarded for the answers.
    pub awarded: u64,
    /// Hashes computed for them.
    pub hashes: u64,
    /// Bytes of responses that carried a challenge.
    pub bytes_sent: u64,
    /// Security alerts.
    pub alerts: u64,
    /// Refusals by reason.
    pub refused: Vec<(Reason, u64)>,
    /// Bytes of challenges in flight.
    pub bytes_in_flight: u64,
    /// Bytes of request bodies booked for buffering.
    pub bytes_buffered: u64,
    /// Clients with a window, over all policies.
    pub clients: usize,
    /// Clients with an account, because they were over their limit.
    pub accounts: usize,
    /// Passes with requests and time left, and some that are over.
    pub passes_open: usize,
    /// Bytes held in memory for windows, accounts and passes.
    pub memory_bytes: usize,
    /// Answers waiting to be judged.
    pub waiting_answers: usize,
    /// The threads that judge answers. The first also does the work of [`Gate::tick`].
    pub threads: Vec<ThreadStats>,
}

impl Gate {
    /// Returns the current counters and sizes.
    pub fn stats(&self) -> GateStats {
        let inner = &self.inner;
        let tallies = &inner.tallies;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = Reason::ALL.iter().zip(&tallies.refused).map(|(reason, count)| (*reason, read(count)));
        GateStats {
            requests: tallies.requests.sum(),
            exempt_routes: read(&tallies.exempt_routes),
            limited: read(&tallies.limited),
            shadowed: read(&tallies.shadowed),
            issued: ByTier::from(tallies.issued.each_ref().map(read)),
            resent: read(&tallies.resent),
            completed: read(&tallies.completed),
            passes: read(&tallies.passes),
            passed: read(&tallies.passed),
            awarded: read(&tallies.awarded),
            hashes: read(&tallies.hashes),
            bytes_sent: read(&tallies.bytes_sent),
            alerts: read(&tallies.alerts),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            bytes_in_flight: inner.in_flight.bytes(),
            bytes_buffered: inner.buffers.bytes(),
            clients: inner.limits.iter().map(|limit| limit.limiter.clients()).sum(),
            accounts: inner.challenges.len(),
            passes_open: inner.passes.len(),
            memory_bytes: inner.limits.iter().map(|limit| limit.limiter.bytes()).sum::<usize>()
                + inner.challenges.bytes()
                + inner.passes.bytes(),
            waiting_answers: inner.jobs.waiting(),
            threads: inner.jobs.threads(inner.engine.now().0),
        }
    }
}
