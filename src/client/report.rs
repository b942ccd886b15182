//! What a caller is told on the way, and asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{DifficultyTier, MicroJoules, WorkId, WorkUnit, WorkUnitOperation};
use crate::solver::Progress;

/// What happens to a request on its way past a limit.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Report<'r> {
    /// A challenge came, is sound and within the terms.
    Challenge(&'r Offer),
    /// Nodes were hashed.
    Hashed(Progress),
    /// There is something to wait for before the request is sent again.
    Waiting {
        /// How long.
        time: Duration,
        /// For what.
        pause: Pause,
    },
    /// The answer counted: the response belongs to the request.
    Accepted(&'r Accepted),
}

/// Why the next sending waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pause {
    /// The floor of the challenge: an answer before it is not looked at.
    Floor,
    /// The server wants the same answer again later.
    SameAnswer,
    /// There is no work, only `Retry-After`.
    Limited,
}

/// The numbers of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The challenge, whose id is also that of its receipt.
    pub id: WorkId,
    /// How hard it is.
    pub difficulty: DifficultyTier,
    /// What is to be hashed.
    pub operation: WorkUnitOperation,
    /// Bytes of data.
    pub bytes: u64,
    /// Hashes.
    pub hashes: u64,
    /// The floor, from receipt.
    pub wait: Duration,
    /// How long it can be answered, from receipt.
    pub lifetime: Duration,
    /// True for made-up work, of which nothing is kept.
    pub synthetic: bool,
}

impl Offer {
    /// The numbers of `unit`.
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
pub struct Accepted {
    /// The challenge, whose id is that of the receipt.
    pub receipt: WorkId,
    /// The credit, where the server names it.
    pub award: Option<MicroJoules>,
}

type Tell = dyn Fn(Report<'_>) + Send + Sync;
type Confirm = dyn Fn(&Offer) -> bool + Send + Sync;

/// The caller's hooks.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) tell: Option<Arc<Tell>>,
    pub(super) confirm: Option<Arc<Confirm>>,
}

impl Hooks {
    pub(super) fn tell(&self, report: Report<'_>) {
        if let Some(tell) = &self.tell {
            tell(report);
        }
    }

    pub(super) fn confirms(&self, offer: &Offer) -> bool {
        self.confirm.as_ref().is_none_or(|confirm| confirm(offer))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("tell", &self.tell.is_some()).field("confirm", &self.confirm.is_some()).finish()
    }
}
