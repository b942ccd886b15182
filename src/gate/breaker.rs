//! The circuit breaker as the gate keeps it: which failures count, when it probes, and how its
//! changes are reported.
//!
//! **Guarantee.** A commit that failed counts once, however many answers were in it. It is counted
//! on the writer's thread, in the order of commits; changes are reported to the host from another
//! thread, each once and in order.

use std::collections::VecDeque;

use crate::engine::{Accepted, SubmitError};
use crate::policy::breaker::{Ask, Breaker, Transition};
use crate::protocol::Reason;

use super::Gate;
use super::event::GateEvent;

/// Maximum number of changes not reported yet. Above it the oldest is dropped; by then a subscriber
/// has not returned for dozens of probes.
const UNREPORTED_MAX: usize = 64;

/// A breaker, the last commit it counted, and its changes that are not reported yet.
#[derive(Debug)]
pub(super) struct Watch {
    breaker: Breaker,
    /// The last failed commit that counted.
    counted: u64,
    unreported: VecDeque<(Transition, u64)>,
    /// Whether a thread is reporting changes.
    reporting: bool,
}

impl Watch {
    pub(super) fn new(threshold: u32, probe_interval_ms: u64) -> Self {
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

impl Gate {
    pub(super) fn breaker_is_open(&self) -> bool {
        self.inner.breaker.lock().is_open()
    }

    /// Failures of the store in a row.
    pub(super) fn store_failures_in_row(&self) -> u32 {
        self.inner.breaker.lock().failures()
    }

    /// Returns whether work may be issued, and if so, whether this is during a probe.
    pub(super) fn ask_breaker(&self, now_ms: u64) -> Result<bool, Reason> {
        let asked = self.inner.breaker.lock().breaker.ask(now_ms);
        match asked {
            Ask::Closed => Ok(false),
            Ask::Open { .. } => Err(Reason::Degraded),
            Ask::Probe => {
                self.probe();
                Ok(true)
            }
        }
    }

    /// Probes if the breaker is open and its interval is over, so that it closes without any
    /// traffic too.
    pub(super) fn probe_if_due(&self) {
        let now_ms = self.engine().now().0;
        let asked = self.inner.breaker.lock().breaker.ask(now_ms);
        if asked == Ask::Probe {
            self.probe();
        }
    }

    /// Probes with a durable commit of its own, so that the verdict does not depend on a client
    /// that may never answer.
    fn probe(&self) {
        let gate = self.clone();
        self.engine().for_gate().touch_with(move |written| {
            gate.probed(written.is_ok());
            let reporter = gate.clone();
            gate.inner.judges.finish(Box::new(move || reporter.report_changes()));
        });
    }

    fn probed(&self, well: bool) {
        let now_ms = self.engine().now().0;
        let mut watch = self.inner.breaker.lock();
        if well {
            let changed = watch.breaker.probe_succeeded();
            watch.note(changed, now_ms);
        } else {
            watch.breaker.probe_failed(now_ms);
        }
    }

    /// Counts the outcome of an answer's commit. Must be called on the writer's thread, where the
    /// engine reports it: there the number of failed commits is the number of this one.
    pub(super) fn count_commit(&self, verdict: &Result<Accepted, SubmitError>) {
        match verdict {
            Ok(_) => self.inner.breaker.lock().breaker.success(),
            Err(SubmitError::NotStored(_) | SubmitError::Unconfirmed { .. } | SubmitError::Closed) => {
                let (commit, now_ms) = (self.engine().commits_failed(), self.engine().now().0);
                self.inner.breaker.lock().commit_failed(commit, now_ms);
            }
            Err(_) => {}
        }
    }

    /// Counts a failure of the store outside a commit: it could not be read, or is closed.
    pub(super) fn store_failed(&self, now_ms: u64) {
        self.inner.breaker.lock().failed(now_ms);
        self.report_changes();
    }

    /// Reports the changes that are not reported yet. Calls the host's subscriber, so never on the
    /// writer's thread.
    pub(super) fn report_changes(&self) {
        loop {
            // A statement of its own: in the head of `let else` the lock would be held during the
            // report.
            let next = self.inner.breaker.lock().next_unreported();
            let Some((change, timestamp)) = next else {
                return;
            };
            let _reporting = Reporting(self);
            self.emit(&match change {
                Transition::Opened => GateEvent::CircuitOpened { timestamp },
                Transition::Closed => GateEvent::CircuitClosed { timestamp },
            });
        }
    }
}

/// A report in progress. It ends when this is dropped, also by a panic of the subscriber.
struct Reporting<'g>(&'g Gate);

impl Drop for Reporting<'_> {
    fn drop(&mut self) {
        self.0.inner.breaker.lock().reporting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_commit_counts_once_and_what_is_no_failed_commit_never() {
        let mut watch = Watch::new(3, 1_000);
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
        let mut watch = Watch::new(1, 1_000);
        for at in 0..1_000 {
            watch.note(Some(Transition::Opened), at);
        }
        assert_eq!(watch.unreported.len(), UNREPORTED_MAX);
        assert!(watch.next_unreported().is_some() && watch.next_unreported().is_none());
        watch.reporting = false;
        assert_eq!(watch.next_unreported(), Some((Transition::Opened, 937)));
    }
}
