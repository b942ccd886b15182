//! Events of the gate, for a subscriber and for `tracing`.

use std::fmt;
use std::sync::Arc;

use crate::guard::contained;
use crate::protocol::{DifficultyTier, MicroJoules, Reason, WorkId};

use super::request::client::ClientKey;
use super::self_check::SelfCheck;

/// The paper's events, and one of this package. They contain client keys, so they stay on the
/// server: none is sent to a client.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GateEvent {
    /// `rate-limited`: a request is over its limit.
    RateLimited {
        /// The client.
        client: ClientKey,
        /// Admitted requests per window.
        limit: u32,
        /// Requests left in this window.
        remaining: u32,
        /// Milliseconds until a slot frees.
        reset_ms: u64,
    },
    /// `work-issued`: a challenge went out.
    WorkIssued {
        /// The client that got it.
        client: ClientKey,
        /// Challenge id.
        work_unit_id: WorkId,
        /// Its tier.
        difficulty: DifficultyTier,
        /// Whether it was issued while the breaker is half-open.
        is_probe: bool,
    },
    /// `work-verified`: an answer is right and durable.
    WorkVerified {
        /// The client that sent it.
        client: ClientKey,
        /// Challenge id.
        work_unit_id: WorkId,
        /// Microseconds from the gate's first look at the answer to the end of its commit.
        verification_latency_us: u64,
    },
    /// `work-failed`: an answer or a token was refused.
    WorkFailed {
        /// The client that sent it.
        client: ClientKey,
        /// Challenge id, where the token could be read.
        work_unit_id: Option<WorkId>,
        /// The reason.
        reason: Reason,
    },
    /// `circuit-opened`: the store failed too often; no work is issued for now.
    CircuitOpened {
        /// Engine time, Unix milliseconds.
        timestamp: u64,
    },
    /// `circuit-closed`: a probe succeeded.
    CircuitClosed {
        /// Engine time, Unix milliseconds.
        timestamp: u64,
    },
    /// `security-alert`: one client failed several times in a row.
    SecurityAlert {
        /// The client.
        client: ClientKey,
        /// Failures in a row.
        consecutive_failures: u32,
        /// The configured threshold.
        threshold: u32,
    },
    /// `fallback-activated`: a plain 429 instead of work, or the action set in `fallback_behavior`.
    FallbackActivated {
        /// The client.
        client: ClientKey,
        /// The reason.
        reason: Reason,
    },
    /// `joule-credit-awarded`: an answer earned credit.
    JouleCreditAwarded {
        /// The client.
        client: ClientKey,
        /// Challenge id.
        work_unit_id: WorkId,
        /// The credit.
        micro_joules: MicroJoules,
        /// The tier of the work.
        difficulty: DifficultyTier,
    },
    /// `misconfigured`: a self-check found that the gate is not set up correctly. Once for each
    /// check.
    Misconfigured {
        /// The check.
        check: SelfCheck,
        /// What was found, and what to do.
        advice: &'static str,
    },
}

impl GateEvent {
    /// Returns the name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate-limited",
            Self::WorkIssued { .. } => "work-issued",
            Self::WorkVerified { .. } => "work-verified",
            Self::WorkFailed { .. } => "work-failed",
            Self::CircuitOpened { .. } => "circuit-opened",
            Self::CircuitClosed { .. } => "circuit-closed",
            Self::SecurityAlert { .. } => "security-alert",
            Self::FallbackActivated { .. } => "fallback-activated",
            Self::JouleCreditAwarded { .. } => "joule-credit-awarded",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }

    /// Passes the event to `tracing`: alerts, breaker changes and findings of the
    /// self-checks as warnings, all others as debug.
    fn trace(&self) {
        let event = self.name();
        match self {
            Self::RateLimited { client, limit, remaining, reset_ms } => {
                tracing::debug!(event, %client, limit, remaining, reset_ms);
            }
            Self::WorkIssued { client, work_unit_id, difficulty, is_probe } => {
                tracing::debug!(event, %client, %work_unit_id, %difficulty, is_probe);
            }
            Self::WorkVerified { client, work_unit_id, verification_latency_us } => {
                tracing::debug!(event, %client, %work_unit_id, verification_latency_us);
            }
            Self::WorkFailed { client, work_unit_id, reason } => {
                let id = work_unit_id.map(|id| id.to_string()).unwrap_or_default();
                tracing::debug!(event, %client, work_unit_id = id, %reason);
            }
            Self::CircuitOpened { timestamp } => tracing::warn!(event, timestamp),
            Self::CircuitClosed { timestamp } => tracing::warn!(event, timestamp),
            Self::SecurityAlert { client, consecutive_failures, threshold } => {
                tracing::warn!(event, %client, consecutive_failures, threshold);
            }
            Self::FallbackActivated { client, reason } => tracing::debug!(event, %client, %reason),
            Self::JouleCreditAwarded { client, work_unit_id, micro_joules, difficulty } => {
                tracing::debug!(event, %client, %work_unit_id, micro_joules = micro_joules.0, %difficulty);
            }
            Self::Misconfigured { check, advice } => tracing::warn!(event, %check, advice),
        }
    }
}

/// Receives gate events, in addition to `tracing`.
///
/// # Examples
///
/// ```
/// use pouw::{GateEvent, GateEventSink, GateRuntime};
///
/// let (sender, alerts) = std::sync::mpsc::channel();
/// let events = GateEventSink::new(move |event| {
///     if let GateEvent::SecurityAlert { client, .. } = event {
///         // A thread of the host sends the mail.
///         let _ = sender.send(client.to_string());
///     }
/// });
/// let runtime = GateRuntime::default().events(events);
/// # let _ = (runtime, alerts);
/// ```
#[derive(Clone, Default)]
pub struct GateEventSink(Option<Arc<Subscriber>>);

type Subscriber = dyn Fn(&GateEvent) + Send + Sync;

impl GateEventSink {
    /// Calls `subscriber` for each event, on the thread where it happens: keep it short. A panic in
    /// it does not change any decision.
    pub fn new(subscriber: impl Fn(&GateEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(subscriber)))
    }

    pub(super) fn emit(&self, event: &GateEvent) {
        event.trace();
        if let Some(subscriber) = &self.0
            && contained(|| subscriber(event)).is_err()
        {
            tracing::error!(event = event.name(), "the subscriber of gate events panicked");
        }
    }
}

impl fmt::Debug for GateEventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "GateEventSink(subscribed)" } else { "GateEventSink(none)" })
    }
}
