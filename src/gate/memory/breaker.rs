//! The circuit breaker as the gate keeps it: which failures count, and which of its changes are not
//! reported yet.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::policy::breaker::{Ask, Breaker, Transition};

/// Maximum number of changes not reported yet. Above it the oldest is dropped; by then a subscriber
/// has not returned for dozens of probes.
const UNREPORTED_MAX: usize = 64;

/// A breaker, the last commit it counted, and its changes that are not reported yet.
#[derive(Debug)]
pub(in crate::gate) struct Watch(Mutex<Watched>);

impl Watch {
    pub(in crate::gate) fn new(threshold: u32, probe_interval_ms: u64) -> Self {
        Self(Mutex::new(Watched::new(threshold, probe_interval_ms)))
    }

    pub(in crate::gate) fn is_open(&self) -> bool {
        self.0.lock().is_open()
    }

    /// Failures of the store in a row.
    pub(in crate::gate) fn failures(&self) -> u32 {
        self.0.lock().failures()
    }

    /// Asks whether work may be issued. After [`Ask::Probe`] the result of a probe has to follow.
    pub(in crate::gate) fn ask(&self, now_ms: u64) -> Ask {
        self.0.lock().breaker.ask(now_ms)
    }

    /// Counts the result of a probe.
    pub(in crate::gate) fn probed(&self, well: bool, now_ms: u64) {
        let mut watched = self.0.lock();
        if well {
            let changed = watched.breaker.probe_succeeded();
            watched.note(changed, now_ms);
        } else {
            watched.breaker.probe_failed(now_ms);
        }
    }

    /// Counts the commit of an answer.
    pub(in crate::gate) fn commit_succeeded(&self) {
        self.0.lock().breaker.success();
    }

    /// Counts the failed commit of an answer, the `commit`th that failed, unless it was counted
    /// before.
    pub(in crate::gate) fn commit_failed(&self, commit: u64, now_ms: u64) {
        self.0.lock().commit_failed(commit, now_ms);
    }

    /// Counts a failure of the store outside a commit.
    pub(in crate::gate) fn failed(&self, now_ms: u64) {
        self.0.lock().failed(now_ms);
    }

    /// Returns the next change to report; `None` if there is none, or if another thread is
    /// reporting, which will report it. After a change, [`Watch::reported`] has to follow.
    pub(in crate::gate) fn next_unreported(&self) -> Option<(Transition, u64)> {
        self.0.lock().next_unreported()
    }

    /// Ends the report of a change.
    pub(in crate::gate) fn reported(&self) {
        self.0.lock().reporting = false;
    }
}

#[derive(Debug)]
struct Watched {
    breaker: Breaker,
    /// The last failed commit that counted.
    counted: u64,
    unreported: VecDeque<(Transition, u64)>,
    /// Whether a thread is reporting changes.
    reporting: bool,
}

impl Watched {
    fn new(threshold: u32, probe_interval_ms: u64) -> Self {
        let breaker = Breaker::new(threshold, probe_interval_ms);
        Self { breaker, counted: 0, unreported: VecDeque::new(), reporting: false }
    }

    fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Failures of the store in a row.
    fn failures(&self) -> u32 {
        self.breaker.failures()
    }

    /// Counts the failed commit of an answer, the `commit`th that failed, unless it was counted
    /// before.
    fn commit_failed(&mut self, commit: u64, now_ms: u64) {
        if commit > self.counted {
            self.counted = commit;
            self.failed(now_ms);
        }
    }

    fn failed(&mut self, now_ms: u64) {
        let changed = self.breaker.failure(now_ms);
        self.note(changed, now_ms);
    }

    fn note(&mut self, changed: Option<Transition>, now_ms: u64) {
        if let Some(changed) = changed {
            if self.unreported.len() >= UNREPORTED_MAX {
                self.unreported.pop_front();
            }
            self.unreported.push_back((changed, now_ms));
        }
    }

    /// Returns the next change to report; `None` if another thread is reporting, which will report
    /// it.
    fn next_unreported(&mut self) -> Option<(Transition, u64)> {
        let next = if self.reporting { None } else { self.unreported.pop_front() };
        self.reporting |= next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_commit_counts_once_and_what_is_no_failed_commit_never() {
        let mut watch = Watched::new(3, 1_000);
        watch.commit_failed(0, 1);
        assert_eq!(watch.failures(), 0);
        for commit in [1, 1, 1, 4, 4, 2] {
            watch.commit_failed(commit, 2);
        }
        assert_eq!((watch.failures(), watch.is_open()), (2, false));
        watch.commit_failed(5, 3);
        assert!(watch.is_open());
        assert_eq!(watch.next_unreported(), Some((Transition::Opened, 3)));
    }

    #[test]
    fn one_thread_at_a_time_reports_and_unreported_changes_are_bounded() {
        let mut watch = Watched::new(1, 1_000);
        for at in 0..1_000 {
            watch.note(Some(Transition::Opened), at);
        }
        assert_eq!(watch.unreported.len(), UNREPORTED_MAX);
        assert!(watch.next_unreported().is_some() && watch.next_unreported().is_none());
        watch.reporting = false;
        assert_eq!(watch.next_unreported(), Some((Transition::Opened, 937)));
    }
}
