//! Signs of life of the threads: when each came round last, whether it still runs, and what it
//! survived.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::protocol::UnixMillis;

/// A thread of the engine or of a gate, as its signs of life show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadStats {
    /// The name of the thread, like `pouw-writer`.
    pub name: String,
    /// Whether it still runs.
    pub running: bool,
    /// Engine time at which it came round last. An idle thread comes round about once a second.
    pub came_round: UnixMillis,
    /// Milliseconds of engine time that it has spent on what it is doing; 0 if it is idle.
    pub busy_ms: u64,
    /// Panics that it has survived.
    pub panics: u64,
}

/// The signs of life that one thread gives.
#[derive(Debug)]
pub(crate) struct Pulse {
    name: String,
    running: AtomicBool,
    came_round_ms: AtomicU64,
    /// Engine time at which it began what it is doing; [`IDLE`] if it is idle.
    busy_since_ms: AtomicU64,
    panics: AtomicU64,
    /// Engine time of the last panic that was reported; [`IDLE`] before the first.
    reported_ms: AtomicU64,
}

const IDLE: u64 = u64::MAX;
/// Shortest engine time between two reports of panics in one thread.
const REPORT_EVERY_MS: u64 = 60_000;

impl Pulse {
    /// The pulse of a thread that is about to start.
    pub(crate) fn new(name: impl Into<String>, now_ms: u64) -> Self {
        Self {
            name: name.into(),
            running: AtomicBool::new(true),
            came_round_ms: AtomicU64::new(now_ms),
            busy_since_ms: AtomicU64::new(IDLE),
            panics: AtomicU64::new(0),
            reported_ms: AtomicU64::new(IDLE),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// It came round and begins something.
    pub(crate) fn busy(&self, now_ms: u64) {
        self.came_round_ms.store(now_ms, Ordering::Relaxed);
        self.busy_since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// It is done with that.
    pub(crate) fn idle(&self, now_ms: u64) {
        self.came_round_ms.store(now_ms, Ordering::Relaxed);
        self.busy_since_ms.store(IDLE, Ordering::Relaxed);
    }

    /// It survived a panic. Returns whether that is to be reported: not if one was a moment ago.
    pub(crate) fn survived(&self, now_ms: u64) -> bool {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let last_ms = self.reported_ms.load(Ordering::Relaxed);
        let due = last_ms == IDLE || now_ms.saturating_sub(last_ms) >= REPORT_EVERY_MS;
        if due {
            self.reported_ms.store(now_ms, Ordering::Relaxed);
        }
        due
    }

    pub(crate) fn look(&self, now_ms: u64) -> ThreadStats {
        let since_ms = self.busy_since_ms.load(Ordering::Relaxed);
        ThreadStats {
            name: self.name.clone(),
            running: self.running.load(Ordering::SeqCst),
            came_round: UnixMillis(self.came_round_ms.load(Ordering::Relaxed)),
            busy_ms: if since_ms == IDLE { 0 } else { now_ms.saturating_sub(since_ms) },
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    /// Shows the thread as running until the guard is dropped, also by a panic.
    pub(crate) fn while_running(&self) -> Running<'_> {
        Running(self)
    }
}

/// A thread that runs.
pub(crate) struct Running<'p>(&'p Pulse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_shows_when_it_came_round_what_it_spends_and_that_it_ended() {
        let pulse = Pulse::new("pouw-test", 5);
        {
            let _running = pulse.while_running();
            pulse.busy(10);
            let seen = pulse.look(17);
            assert!(seen.running && seen.name == "pouw-test");
            assert_eq!((seen.came_round.0, seen.busy_ms), (10, 7));
            pulse.idle(20);
            assert_eq!((pulse.look(99).came_round.0, pulse.look(99).busy_ms), (20, 0));
        }
        assert!(!pulse.look(99).running);
    }

    #[test]
    fn panics_are_counted_each_and_reported_once_a_minute() {
        let pulse = Pulse::new("pouw-test", 0);
        let told: Vec<bool> = [0, 1, 59_999, 60_000, 60_001].map(|ms| pulse.survived(ms)).to_vec();
        assert_eq!(told, [true, false, false, true, false]);
        assert_eq!(pulse.look(0).panics, 5);
    }
}
