//! The circuit breaker: after too many failures of the store in a row no work is handed out until a
//! probe of the store comes through (paper, component CircuitBreaker).
//!
//! ```text
//!            threshold failures in a row              interval over: one Probe
//!   closed ------------------------------> open ------------------------------> half-open
//!     ^  ^-- a success resets the count      ^                                     |   |
//!     |                                      +------------- probe failed ----------+   |
//!     +---------------------------------- probe succeeded ------------------------------+
//! ```

/// The breaker of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    threshold: u32,
    probe_interval_ms: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { since_ms: u64 },
    HalfOpen { since_ms: u64 },
}

/// The answer to a request for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Go on.
    Closed,
    /// Do not; the next probe is due in this many milliseconds.
    Open {
        /// Milliseconds.
        retry_ms: u64,
    },
    /// Go on as the one probe, and report what became of it.
    Probe,
}

/// A change of the breaker that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Work is no longer handed out.
    Opened,
    /// Work is handed out again.
    Closed,
}

impl Breaker {
    /// A closed breaker that opens at `threshold` failures in a row (0 counts as 1) and probes that
    /// often.
    pub fn new(threshold: u32, probe_interval_ms: u64) -> Self {
        Self { threshold: threshold.max(1), probe_interval_ms, state: State::Closed { failures: 0 } }
    }

    /// Whether work may be handed out now. While open, one caller in each interval is the probe;
    /// one whose verdict does not come within the interval is given up.
    pub fn ask(&mut self, now_ms: u64) -> Ask {
        match self.state {
            State::Closed { .. } => Ask::Closed,
            State::Open { since_ms } | State::HalfOpen { since_ms } => {
                let waited_ms = now_ms.saturating_sub(since_ms);
                if waited_ms < self.probe_interval_ms {
                    return Ask::Open { retry_ms: self.probe_interval_ms - waited_ms };
                }
                self.state = State::HalfOpen { since_ms: now_ms };
                Ask::Probe
            }
        }
    }

    /// Something else than the probe succeeded: failures in a row are over. An open breaker stays
    /// open, since only its probe speaks for now.
    pub fn success(&mut self) {
        if let State::Closed { failures } = &mut self.state {
            *failures = 0;
        }
    }

    /// The store failed.
    pub fn failure(&mut self, now_ms: u64) -> Option<Transition> {
        let State::Closed { failures } = &mut self.state else {
            return None;
        };
        *failures += 1;
        if *failures < self.threshold {
            return None;
        }
        self.state = State::Open { since_ms: now_ms };
        Some(Transition::Opened)
    }

    /// The probe came through.
    pub fn probe_succeeded(&mut self) -> Option<Transition> {
        let was_open = self.is_open();
        self.state = State::Closed { failures: 0 };
        was_open.then_some(Transition::Closed)
    }

    /// The probe failed: the interval starts again.
    pub fn probe_failed(&mut self, now_ms: u64) {
        if self.is_open() {
            self.state = State::Open { since_ms: now_ms };
        }
    }

    /// Whether it is open or half-open.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Failures in a row while closed.
    pub fn failures(&self) -> u32 {
        match self.state {
            State::Closed { failures } => failures,
            _ => self.threshold,
        }
    }
}
