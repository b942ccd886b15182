//! The circuit breaker's part in decisions: whether work may be issued, probes, and reports of its
//! changes.
//!
//! **Guarantee.** A commit that failed counts once, however many answers were in it. It is counted
//! on the writer's thread, in the order of commits; changes are reported to the host from another
//! thread, each once and in order.

use crate::engine::{Accepted, SubmitError};
use crate::gate::event::GateEvent;
use crate::gate::state::Gate;
use crate::policy::breaker::{Ask, Transition};
use crate::protocol::Reason;

impl Gate {
    /// Returns whether work may be issued, and if so, whether this is during a probe.
    pub(super) fn ask_breaker(&self, now_ms: u64) -> Result<bool, Reason> {
        match self.inner.breaker.ask(now_ms) {
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
    pub(in crate::gate) fn probe_if_due(&self) {
        let now_ms = self.inner.engine.now().0;
        if self.inner.breaker.ask(now_ms) == Ask::Probe {
            self.probe();
        }
    }

    /// Probes with a durable commit of its own, so that the verdict does not depend on a client
    /// that may never answer.
    fn probe(&self) {
        let gate = self.clone();
        self.inner.engine.for_gate().touch_with(move |written| {
            gate.inner.breaker.probed(written.is_ok(), gate.inner.engine.now().0);
            let reporter = gate.clone();
            gate.inner.jobs.finish(Box::new(move || reporter.report_changes()));
        });
    }

    /// Counts the outcome of an answer's commit. Must be called on the writer's thread, where the
    /// engine reports it: there the number of failed commits is the number of this one.
    pub(super) fn count_commit(&self, verdict: &Result<Accepted, SubmitError>) {
        match verdict {
            Ok(_) => self.inner.breaker.commit_succeeded(),
            Err(SubmitError::NotStored(_) | SubmitError::Unconfirmed { .. } | SubmitError::Closed) => {
                let (commit, now_ms) = (self.inner.engine.commits_failed(), self.inner.engine.now().0);
                self.inner.breaker.commit_failed(commit, now_ms);
            }
            Err(_) => {}
        }
    }

    /// Counts a failure of the store outside a commit: it could not be read, or is closed.
    pub(super) fn store_failed(&self, now_ms: u64) {
        self.inner.breaker.failed(now_ms);
        self.report_changes();
    }

    /// Reports the changes that are not reported yet. Calls the host's subscriber, so never on the
    /// writer's thread.
    pub(in crate::gate) fn report_changes(&self) {
        loop {
            let Some((change, timestamp)) = self.inner.breaker.next_unreported() else {
                return;
            };
            let _reporting = Reporting(self);
            self.inner.events.emit(&match change {
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
        self.0.inner.breaker.reported();
    }
}
