//! Tokens of wrong answers that are not durable yet.

use std::collections::{HashSet, VecDeque};

use crate::protocol::WorkId;
use crate::store::Refuse;

use super::locks::{Rank, Ranked};

/// Most closed challenges kept in memory until the next commit writes them. At the bound the oldest
/// is dropped, since its lease is over and only a restart could revive it. Until that one expires,
/// it may be judged once more after a restart, or, if an earlier boot issued it, at once. It is
/// never paid twice.
const REFUSED_MAX: usize = 16_384;

/// Bounded by [`REFUSED_MAX`].
#[derive(Debug)]
pub(super) struct RefusedLater(Ranked<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    waiting: VecDeque<Refuse>,
    ids: HashSet<WorkId>,
}

impl Default for RefusedLater {
    fn default() -> Self {
        Self(Ranked::new(Rank::Refused, Waiting::default()))
    }
}

impl RefusedLater {
    /// Stores the token of a wrong answer; the next commit writes it.
    pub(super) fn push(&self, refuse: Refuse) {
        let Waiting { waiting, ids } = &mut *self.0.lock();
        if waiting.len() >= REFUSED_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            ids.remove(&oldest.id);
        }
        if ids.insert(refuse.id) {
            waiting.push_back(refuse);
        }
    }

    pub(super) fn contains(&self, id: &WorkId) -> bool {
        self.0.lock().ids.contains(id)
    }

    /// Returns the oldest `count`.
    pub(super) fn oldest(&self, count: usize) -> Vec<Refuse> {
        self.0.lock().waiting.iter().take(count).cloned().collect()
    }

    /// Removes those that are durable now.
    pub(super) fn written(&self, refused: &[Refuse]) {
        let Waiting { waiting, ids } = &mut *self.0.lock();
        for refuse in refused {
            ids.remove(&refuse.id);
        }
        waiting.retain(|refuse| ids.contains(&refuse.id));
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Approximate number of bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        let Waiting { waiting, ids } = &*self.0.lock();
        waiting.capacity() * size_of::<Refuse>() + ids.capacity() * (size_of::<WorkId>() + 1)
    }
}
