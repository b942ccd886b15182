//! How hard each client's next challenge is: in memory first, written behind within a second.
//!
//! All rows are in memory, so that issuing waits for no disk. At the bound of [`CLIENTS_MAX`] rows that carry no
//! information go first, else the one untouched for longest of [`PROBES`]: its client starts at the default again.
//! After a crash what changed in the last second may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::policy::difficulty::{DifficultyRules, Standing};
use crate::protocol::DifficultyTier;
use crate::store::records::StandingRow;
use crate::store::{Store, StoreError};

use super::PouwEngine;
use super::core::Core;
use super::event::{Event, EventSink};

/// Clients whose standing is kept.
const CLIENTS_MAX: usize = 262_144;
/// Rows looked at to find one that may go.
const PROBES: usize = 16;
/// Rows read at once at open.
const PAGE: usize = 4_096;

type Client = [u8; 16];

#[derive(Debug)]
pub(super) struct Standings {
    rules: DifficultyRules,
    rows: BTreeMap<Client, Standing>,
    /// Changed since they were written; one that is in no row is to be removed.
    dirty: BTreeSet<Client>,
    /// Keys are keyed digests, so walking in key order is walking at random.
    hand: Client,
}

impl Standings {
    /// Everything the store knows, up to the bound. A damaged row is told and dropped.
    pub(super) fn load(store: &Store, rules: DifficultyRules, events: &EventSink) -> Result<Self, StoreError> {
        let mut standings = Self { rules, rows: BTreeMap::new(), dirty: BTreeSet::new(), hand: [0; 16] };
        let mut after = None;
        loop {
            let page = store.standings(after, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(standings);
            };
            after = Some(*last);
            for (client, row) in page {
                match row {
                    Ok(row) if standings.rows.len() < CLIENTS_MAX => {
                        standings.rows.insert(client, from_row(&row));
                    }
                    Ok(_) => {
                        standings.dirty.insert(client);
                    }
                    Err(error) => {
                        events.emit(Event::CorruptionFound { tree: 0, what: error.to_string() });
                        standings.dirty.insert(client);
                    }
                }
            }
        }
    }

    pub(super) fn look(&self, client: &Client, now_ms: u64) -> Standing {
        self.rows.get(client).copied().unwrap_or_default().look(&self.rules, now_ms)
    }

    pub(super) fn change(
        &mut self,
        client: Client,
        now_ms: u64,
        how: impl FnOnce(&Standing, &DifficultyRules, u64) -> Standing,
    ) {
        if !self.rows.contains_key(&client) && self.rows.len() >= CLIENTS_MAX {
            self.make_room(now_ms);
        }
        let row = self.rows.entry(client).or_default();
        *row = how(row, &self.rules, now_ms);
        self.dirty.insert(client);
    }

    /// Removes up to `limit` rows that carry no information.
    pub(super) fn prune(&mut self, now_ms: u64, limit: usize) {
        for (client, standing) in self.ahead(limit) {
            self.hand = client;
            if standing.is_default(&self.rules, now_ms) {
                self.rows.remove(&client);
                self.dirty.insert(client);
            }
        }
    }

    /// Up to `limit` changed rows, to be written now.
    pub(super) fn take_dirty(&mut self, limit: usize) -> Vec<(Client, Option<StandingRow>)> {
        let keys: Vec<Client> = self.dirty.iter().take(limit).copied().collect();
        keys.into_iter()
            .map(|key| {
                self.dirty.remove(&key);
                (key, self.rows.get(&key).map(to_row))
            })
            .collect()
    }

    /// These were not written after all.
    pub(super) fn put_back(&mut self, rows: Vec<(Client, Option<StandingRow>)>) {
        self.dirty.extend(rows.into_iter().map(|(key, _)| key));
    }

    /// Rows changed and not written yet.
    pub(super) fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn make_room(&mut self, now_ms: u64) {
        let probed = self.ahead(PROBES);
        if let Some((last, _)) = probed.last() {
            self.hand = *last;
        }
        let idle = probed.iter().find(|(_, standing)| standing.is_default(&self.rules, now_ms));
        let victim = idle.or_else(|| probed.iter().min_by_key(|(_, standing)| standing.last_ms));
        if let Some((client, _)) = victim {
            self.rows.remove(client);
            self.dirty.insert(*client);
        }
    }

    /// The next rows behind the hand, from the beginning again at the end.
    fn ahead(&self, limit: usize) -> Vec<(Client, Standing)> {
        let behind = self.rows.range((Bound::Excluded(self.hand), Bound::Unbounded));
        behind.chain(self.rows.range(..=self.hand)).take(limit).map(|(key, row)| (*key, *row)).collect()
    }
}

impl PouwEngine {
    /// The tier that a challenge issued to this client now would have.
    pub fn prospect(&self, client: &[u8]) -> DifficultyTier {
        let core = self.core();
        let (now_ms, standings) = (core.now_ms(), core.standings.lock());
        let standing = standings.look(core.digest_of(client).as_bytes(), now_ms);
        standing.issued(&standings.rules, now_ms).tier
    }

    /// A challenge was issued to this client because it is over its limit: a violation, unless the challenge
    /// before was answered rightly.
    pub fn note_issued(&self, client: &[u8]) {
        let core = self.core();
        core.standing_changes(*core.digest_of(client).as_bytes(), Standing::issued);
    }

    /// Where this client stands now.
    pub fn standing(&self, client: &[u8]) -> Standing {
        let core = self.core();
        core.standings.lock().look(core.digest_of(client).as_bytes(), core.now_ms())
    }
}

impl Core {
    pub(super) fn standing_changes(&self, client: Client, how: fn(&Standing, &DifficultyRules, u64) -> Standing) {
        let now_ms = self.now_ms();
        self.standings.lock().change(client, now_ms, how);
    }
}

fn from_row(row: &StandingRow) -> Standing {
    Standing {
        tier: DifficultyTier::ALL[usize::from(row.tier.min(2))],
        violations: row.violations,
        first_violation_ms: row.first_violation_ms,
        last_ms: row.last_ms,
        unanswered: row.unanswered,
    }
}

fn to_row(standing: &Standing) -> StandingRow {
    StandingRow {
        tier: standing.tier as u8,
        violations: standing.violations,
        unanswered: standing.unanswered,
        first_violation_ms: standing.first_violation_ms,
        last_ms: standing.last_ms,
    }
}
