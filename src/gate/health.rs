//! Health, as an operator's monitor asks for it.

use std::fmt;

use super::Gate;

/// How well a part does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Condition {
    /// All is well.
    Healthy,
    /// Requests are served, with plain 429s in place of work, or with less than was configured.
    Degraded,
    /// It does not do its job.
    Unavailable,
}

impl Condition {
    /// The word in a health document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One part's condition, with what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHealth {
    /// How well it does.
    pub condition: Condition,
    /// Why, and what to do; empty when healthy.
    pub detail: String,
}

/// The health of the gate and what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Windows: without them nobody is limited rightly.
    pub limiter: PartHealth,
    /// Work to hand out.
    pub queue: PartHealth,
    /// The store behind answers and credits.
    pub store: PartHealth,
    /// The circuit breaker.
    pub breaker: PartHealth,
}

impl Health {
    /// Unavailable if requests cannot be judged; degraded if any part is less than healthy, since requests
    /// are served all the same.
    pub fn overall(&self) -> Condition {
        let rest = [&self.queue, &self.store, &self.breaker].map(|part| part.condition);
        match self.limiter.condition {
            Condition::Unavailable => Condition::Unavailable,
            own => rest.into_iter().fold(own, Ord::max).min(Condition::Degraded),
        }
    }
}

impl Gate {
    /// How limiter, queue, store and breaker do. Waits for no disk.
    pub fn health(&self) -> Health {
        let stats = self.engine().stats();
        let breaker = match (self.breaker_is_open(), self.store_failures_in_row()) {
            (true, _) => part(Condition::Degraded, "open: no work is handed out until a probe of the store succeeds"),
            (false, 0) => healthy(),
            (false, failures) => part(
                Condition::Degraded,
                &format!("closed, with {failures} failures of the store in a row; it opens at the threshold"),
            ),
        };
        Health {
            limiter: self.limiter_health(),
            queue: if stats.ready_units > 0 {
                healthy()
            } else if stats.totals.pending > 0 {
                part(Condition::Degraded, "no unit is ready although leaves are pending; see the engine's events")
            } else {
                part(Condition::Degraded, "the backlog is empty: ingest more, or let made-up work do")
            },
            store: if stats.closed {
                part(
                    Condition::Unavailable,
                    "closed, nothing can be written until the process is restarted; if nobody stopped it a sync failed: check the disk",
                )
            } else if stats.commits_failed_in_row > 0 {
                let failed = stats.commits_failed_in_row;
                let what = "see the engine's events and the disk's free space";
                part(Condition::Degraded, &format!("the last write failed, {failed} in a row; {what}"))
            } else {
                healthy()
            },
            breaker,
        }
    }

    fn limiter_health(&self) -> PartHealth {
        if self.inner.window_failing.load(std::sync::atomic::Ordering::Relaxed) {
            let condition = match self.inner.settings.fallback_behavior {
                super::FallbackBehavior::Deny => Condition::Unavailable,
                _ => Condition::Degraded,
            };
            return part(condition, "the window outside this process cannot be consulted; fallback_behavior applies");
        }
        let now_ms = self.engine().for_gate().window_ms();
        if self.inner.places.iter().any(|place| place.limiter.was_full(now_ms)) {
            let what = "tracked_clients_max was reached within the last window: new clients share their network's";
            return part(Condition::Degraded, what);
        }
        healthy()
    }
}

fn healthy() -> PartHealth {
    part(Condition::Healthy, "")
}

fn part(condition: Condition, detail: &str) -> PartHealth {
    PartHealth { condition, detail: detail.to_owned() }
}
