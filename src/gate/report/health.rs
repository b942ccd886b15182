//! Health of the gate, for an operator's monitoring.

use std::fmt;

use crate::engine::ThreadStats;
use crate::gate::config::choices::FallbackBehavior;
use crate::gate::self_check::SelfCheck;
use crate::gate::state::Gate;

const WHY_NOT_READY: &str = "no unit is ready although leaves are pending; call `upkeep`, or see the engine's events \
                             for sources that cannot be read";
const WHY_EMPTY: &str = "the backlog is empty; ingest more data (until then clients get made-up work, or a plain 429 \
                         with synthetic = false)";

const WHAT_THEN: &str = "Check the disk, run `pouw check`, then restart; acknowledged work is kept";
/// A commit that takes longer is reported.
const COMMIT_MS_MAX: u64 = 30_000;
/// A judge that is busy with one answer for longer, and a round of upkeep that takes longer, are
/// reported. A round may fold a tree of many million leaves.
const ANSWER_MS_MAX: u64 = 60_000;
const ROUND_MS_MAX: u64 = 300_000;

/// The state of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HealthCondition {
    /// The part works fully.
    Healthy,
    /// Requests are served, but with plain 429s instead of work, or with less than configured.
    Degraded,
    /// The part does not work.
    Unavailable,
}

impl HealthCondition {
    /// Returns the word used in a health document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for HealthCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The condition of one part, with the cause and a remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHealth {
    /// Its state.
    pub condition: HealthCondition,
    /// The cause, and what to do; empty when healthy.
    pub detail: String,
}

/// The health of the gate and of the parts that it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The windows. Without them no client is limited correctly.
    pub limiter: PartHealth,
    /// Units of work to issue.
    pub queue: PartHealth,
    /// The store behind answers and credits.
    pub store: PartHealth,
    /// The circuit breaker.
    pub breaker: PartHealth,
    /// The threads of engine and gate.
    pub threads: PartHealth,
    /// How the gate is set up, as far as its self-checks see it.
    pub setup: PartHealth,
}

impl Health {
    /// Returns unavailable if the limiter, the store or the threads are; degraded if any part is
    /// not healthy, since requests are still served; else healthy. `setup` has no part in it: what
    /// the self-checks see are signs, and no failure.
    pub fn overall(&self) -> HealthCondition {
        let needed = [&self.limiter, &self.store, &self.threads].map(|part| part.condition);
        if needed.contains(&HealthCondition::Unavailable) {
            return HealthCondition::Unavailable;
        }
        let rest = [&self.queue, &self.breaker].map(|part| part.condition);
        needed.into_iter().chain(rest).fold(HealthCondition::Healthy, Ord::max).min(HealthCondition::Degraded)
    }
}

impl Gate {
    /// Returns the health of all parts. It never waits for the disk.
    pub fn health(&self) -> Health {
        let stats = self.inner.engine.stats();
        #[cfg(feature = "testing")]
        let stats = if self.inner.engine.config().makes(crate::engine::testing::Mistake::HealthIgnoresLatch) {
            crate::engine::Stats { failure: None, closed: false, ..stats }
        } else {
            stats
        };
        let breaker = match (self.inner.breaker.is_open(), self.inner.breaker.failures()) {
            (true, _) => part(HealthCondition::Degraded, "open: no work is issued until a probe of the store succeeds"),
            (false, 0) => healthy(),
            (false, failures) => part(
                HealthCondition::Degraded,
                &format!(
                    "closed, with {failures} failures of the store in a row; it opens at circuit_breaker_threshold"
                ),
            ),
        };
        Health {
            limiter: self.limiter_health(),
            queue: if stats.ready_units > 0 {
                healthy()
            } else if stats.totals.pending > 0 {
                part(HealthCondition::Degraded, WHY_NOT_READY)
            } else {
                part(HealthCondition::Degraded, WHY_EMPTY)
            },
            store: if let Some(why) = &stats.failure {
                part(HealthCondition::Unavailable, &format!("closed until the process restarts: {why}. {WHAT_THEN}"))
            } else if stats.closed {
                part(HealthCondition::Unavailable, "closed: nothing is written until the process restarts")
            } else if stats.commits_failed_in_row > 0 {
                let failed = stats.commits_failed_in_row;
                let what = "check the engine's events and the disk's free space";
                part(HealthCondition::Degraded, &format!("the last write failed, {failed} in a row; {what}"))
            } else {
                healthy()
            },
            breaker,
            threads: threads(&stats.threads, &self.inner.jobs.threads(self.inner.engine.now().0)),
            setup: self.setup_health(),
        }
    }

    /// Returns the mistakes in how the gate is set up that it has found since it was made.
    pub fn misconfigurations(&self) -> Vec<SelfCheck> {
        self.inner.checks.found()
    }

    fn setup_health(&self) -> PartHealth {
        let found = self.misconfigurations();
        let advice: Vec<String> = found.iter().map(|check| format!("{check}: {}", check.advice())).collect();
        if advice.is_empty() { healthy() } else { part(HealthCondition::Degraded, &advice.join("; ")) }
    }

    fn limiter_health(&self) -> PartHealth {
        if self.inner.window.is_failing() {
            let condition = match self.inner.settings.fallback_behavior {
                FallbackBehavior::Deny => HealthCondition::Unavailable,
                _ => HealthCondition::Degraded,
            };
            return part(condition, "the window outside this process cannot be reached; fallback_behavior applies");
        }
        let now_ms = self.inner.engine.for_gate().window_ms();
        if self.inner.limits.iter().any(|limit| limit.limiter.was_full(now_ms)) {
            let what = "tracked_clients_max was reached in the last window: new clients share their network's window";
            return part(HealthCondition::Degraded, what);
        }
        healthy()
    }
}

/// Judges the threads of the engine and those that judge answers, running and busy. Without one
/// that judges, or without the one that writes, no answer counts.
fn threads(engine: &[ThreadStats], judges: &[ThreadStats]) -> PartHealth {
    let ended: Vec<&str> =
        engine.iter().chain(judges).filter(|thread| !thread.running).map(|thread| thread.name.as_str()).collect();
    let writer_ended = engine.iter().any(|thread| is_writer(thread) && !thread.running);
    if writer_ended || (!judges.is_empty() && judges.iter().all(|thread| !thread.running)) {
        let what = format!("{} ended: no answer counts until the process restarts", ended.join(", "));
        return part(HealthCondition::Unavailable, &what);
    }
    if !ended.is_empty() {
        let what = format!("{} ended: restart the process, and report it as a mistake of pouw", ended.join(", "));
        return part(HealthCondition::Degraded, &what);
    }
    let late = stuck(engine, judges);
    if late.is_empty() { healthy() } else { part(HealthCondition::Degraded, &late.join("; ")) }
}

fn is_writer(thread: &ThreadStats) -> bool {
    thread.name == "pouw-writer"
}

/// What takes longer than it should, a sentence each.
fn stuck(engine: &[ThreadStats], judges: &[ThreadStats]) -> Vec<String> {
    let late = |threads: &[ThreadStats], ms_max: u64, say: fn(&ThreadStats, u64) -> String| -> Vec<String> {
        threads.iter().filter(|thread| thread.busy_ms > ms_max).map(|late| say(late, late.busy_ms / 1_000)).collect()
    };
    let (writer, upkeep): (Vec<_>, Vec<_>) = engine.iter().cloned().partition(is_writer);
    let mut all =
        late(&writer, COMMIT_MS_MAX, |_, seconds| format!("a commit has taken {seconds} s so far: check the disk"));
    all.extend(late(&upkeep, ROUND_MS_MAX, |thread, seconds| {
        let so = if thread.name == "pouw-scrub" { "damage is found later" } else { "no new work is readied" };
        format!("{} has been busy with one round for {seconds} s: check the disk; {so}", thread.name)
    }));
    all.extend(late(judges, ANSWER_MS_MAX, |thread, seconds| {
        format!(
            "{} has been busy with one answer for {seconds} s: check the disk and the host's callbacks",
            thread.name
        )
    }));
    all
}

fn healthy() -> PartHealth {
    part(HealthCondition::Healthy, "")
}

fn part(condition: HealthCondition, detail: &str) -> PartHealth {
    PartHealth { condition, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::UnixMillis;

    #[test]
    fn a_thread_that_is_stuck_says_what_is_not_done() {
        let busy = |name: &str, busy_ms| ThreadStats {
            name: name.to_owned(),
            running: true,
            came_round: UnixMillis(0),
            busy_ms,
            panics: 0,
        };
        let late = |name| stuck(&[busy("pouw-writer", 0), busy(name, ROUND_MS_MAX + 1)], &[]);
        let [upkeep, scrub] = ["pouw-upkeep", "pouw-scrub"].map(late);
        assert!(upkeep.len() == 1 && upkeep[0].ends_with("no new work is readied"), "{upkeep:?}");
        assert!(scrub.len() == 1 && scrub[0].starts_with("pouw-scrub"), "{scrub:?}");
        assert!(!scrub[0].contains("no new work"), "{scrub:?}");
    }
}
