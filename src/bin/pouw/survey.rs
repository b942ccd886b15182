//! Counts of all trees of a store.

use std::collections::BTreeMap;

use pouw::{PouwEngine, Provenance, Stats, Strategy, TreeState};

use crate::failure::Failure;

/// Counts of the trees.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Trees by state, in the order of [`TreeState::ALL`].
    pub states: [u64; TreeState::ALL.len()],
    /// Damaged blocks.
    pub damaged: u64,
    /// Leaves that the server has to hash because their client returned a wrong hash elsewhere.
    pub doubted: u64,
    /// Active trees that are verified by a quorum, by its size.
    pub quorums: BTreeMap<u8, u64>,
}

/// Units handed out so far.
pub fn sent(stats: &Stats) -> u64 {
    stats.account.named().map(|(_, account)| account.sent_units).sum()
}

const PAGE: usize = 512;

impl Survey {
    pub fn of(engine: &PouwEngine) -> Result<Self, Failure> {
        let mut survey = Self::default();
        let mut after = None;
        loop {
            let page = engine.trees(after, PAGE)?;
            let Some(last) = page.last() else {
                return Ok(survey);
            };
            after = Some(last.id);
            for tree in page {
                if let Some(at) = place(tree.state) {
                    survey.states[at] += 1;
                }
                survey.damaged += tree.provenance.damaged;
                survey.doubted += tree.provenance.count(Provenance::Doubted);
                if let (Strategy::Redundant { quorum }, TreeState::Active) = (tree.strategy, tree.state) {
                    *survey.quorums.entry(quorum).or_default() += 1;
                }
            }
        }
    }

    /// Trees in this state.
    pub fn in_state(&self, state: TreeState) -> u64 {
        place(state).map_or(0, |at| self.states[at])
    }

    /// Returns the number of trees in each state.
    pub fn by_state(&self) -> impl Iterator<Item = (TreeState, u64)> {
        TreeState::ALL.into_iter().zip(self.states)
    }

    /// Number of trees.
    pub fn trees(&self) -> u64 {
        self.states.iter().sum()
    }

    /// Returns the number of active trees whose quorum is larger than this, and the largest quorum.
    pub fn beyond(&self, clients: u64) -> Option<(u64, u8)> {
        let beyond = || self.quorums.iter().filter(|(quorum, _)| u64::from(**quorum) > clients);
        let largest = *beyond().next_back()?.0;
        Some((beyond().map(|(_, trees)| trees).sum(), largest))
    }
}

fn place(state: TreeState) -> Option<usize> {
    TreeState::ALL.iter().position(|known| *known == state)
}
