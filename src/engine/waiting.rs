//! Listings: votes short of a quorum, and blocks whose data is damaged.

use std::time::Duration;

use serde::Serialize;

use crate::store::StoreError;

use super::PouwEngine;
use super::config::Config;
use super::for_gate::ForGate;

/// The votes of incomplete quorums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OpenQuorums {
    /// Units with votes.
    pub units: u64,
    /// Leaves in them; all are pending.
    pub leaves: u64,
    /// The votes.
    pub votes: u64,
    /// Micro-Joules to be credited for them when their quorums are complete.
    #[serde(rename = "deferredMicroJoules")]
    pub deferred: u64,
    /// Whether there are more units than were counted.
    pub more: bool,
}

/// Rows read at once.
const PAGE: usize = 256;
const KEYS_PAGE: usize = 4_096;

impl PouwEngine {
    /// Returns the votes of the first `limit` units that have any.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn open_quorums(&self, limit: u64) -> Result<OpenQuorums, StoreError> {
        let reader = self.core().store.read()?;
        let mut sum = OpenQuorums::default();
        let mut after = None;
        loop {
            let page = reader.quorums(after, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(sum) };
            after = Some(*last);
            for (_, row) in &page {
                if sum.units == limit {
                    return Ok(OpenQuorums { more: true, ..sum });
                }
                sum.units += 1;
                // An unreadable row is reported where it is used.
                let Ok(row) = row else { continue };
                sum.leaves += row.votes.first().map_or(0, |vote| vote.leaves.len() as u64);
                sum.votes += row.votes.len() as u64;
                sum.deferred = row.votes.iter().fold(sum.deferred, |sum, vote| sum.saturating_add(vote.award));
            }
        }
    }
}

impl Config {
    /// Time that votes wait for equal ones before the server hashes their leaves itself.
    pub fn quorum_wait(&self) -> Duration {
        self.settings.quorum_wait
    }
}

impl ForGate<'_> {
    /// Returns the number of damaged blocks, counted up to `limit`; `None` while the store is being
    /// reopened. Reads their keys only.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn damaged_blocks(&self, limit: u64) -> Result<Option<u64>, StoreError> {
        let Some(reader) = self.core().store.try_read()? else { return Ok(None) };
        let mut count = 0;
        let mut after = None;
        while count < limit {
            let page = reader.damaged(after, KEYS_PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            count += page.len() as u64;
        }
        Ok(Some(count.min(limit)))
    }
}
