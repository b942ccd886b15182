//! Progress reports to the caller, and the question before a challenge is solved.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{DifficultyTier, MicroJoules, WorkId, WorkUnit, WorkUnitOperation};
use crate::solver::Progress;

/// Progress of a request that is over its limit.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Report<'r> {
    /// A valid challenge arrived that is within the terms.
    Challenge(&'r Offer),
    /// Nodes were hashed.
    Hashed(Progress),
    /// The client waits before it sends the request again.
    Waiting {
        /// The length of the wait.
        time: Duration,
        /// The reason for the wait.
        pause: Pause,
    },
    /// The answer counted, and the request was served.
    Accepted(&'r Accepted),
}

/// The reason for a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pause {
    /// The challenge's minimum wait. The server rejects earlier answers unread.
    Floor,
    /// The server asked for the same answer again later.
    SameAnswer,
    /// The 429 has no work, only `Retry-After`.
    Limited,
}

/// The cost and lifetime of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// The id of the challenge and of its receipt.
    pub id: WorkId,
    /// The tier.
    pub difficulty: DifficultyTier,
    /// The operation.
    pub operation: WorkUnitOperation,
    /// Bytes of data.
    pub bytes: u64,
    /// Hashes.
    pub hashes: u64,
    /// The minimum wait before an answer, from the arrival of the challenge.
    pub wait: Duration,
    /// The time to answer, from the arrival of the challenge.
    pub lifetime: Duration,
    /// True for random data made for this challenge only, whose hashes are not kept.
    pub synthetic: bool,
}

impl Offer {
    /// Reads them from `unit`.
    pub fn of(unit: &WorkUnit) -> Self {
        Self {
            id: unit.id,
            difficulty: unit.difficulty,
            operation: unit.operation,
            bytes: unit.input_data.len() as u64,
            hashes: unit.node_count,
            wait: Duration::from_millis(unit.wait_ms),
            lifetime: Duration::from_millis(unit.ttl_ms),
            synthetic: unit.synthetic,
        }
    }
}

/// An answer that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The id of the challenge and of its receipt.
    pub receipt: WorkId,
    /// The credit paid, if the server names it.
    pub award: Option<MicroJoules>,
}

type OnReport = dyn Fn(Report<'_>) + Send + Sync;
type Confirm = dyn Fn(&Offer) -> bool + Send + Sync;

/// The caller's hooks.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) on_report: Option<Arc<OnReport>>,
    pub(super) confirm: Option<Arc<Confirm>>,
}

impl Hooks {
    pub(super) fn report(&self, report: Report<'_>) {
        if let Some(on_report) = &self.on_report {
            on_report(report);
        }
    }

    pub(super) fn confirms(&self, offer: &Offer) -> bool {
        self.confirm.as_ref().is_none_or(|confirm| confirm(offer))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_report", &self.on_report.is_some())
            .field("confirm", &self.confirm.is_some())
            .finish()
    }
}
