//! The difficulty of each client, its standing: judged in memory, written with a later commit.
//!
//! **Guarantee.** Issuing a challenge reads and writes memory only. A change is on the disk within
//! about a second, and in any case after the [engine is
//! closed](crate::engine::PouwEngine::close). A crash loses only younger changes.
//!
//! **Bound.** Rows of at most `difficulty_clients_max` clients are kept. At the bound the next 16
//! rows are looked at: the first that carries no information is removed, else the least recently
//! touched of them. Its client is then treated as one never seen. Changes waiting for the disk are
//! bounded too: beyond one for each row and 65 536 for removed rows, a change stays in memory until
//! that client's next one.

use std::collections::{HashSet, VecDeque};

use crate::policy::clock_table::{ClockTable, Tracked};
use crate::policy::difficulty::{DifficultyRules, Standing};
use crate::protocol::{ClientDigest, DifficultyTier};
use crate::store::rows::StandingRow;

use crate::engine::config::Config;

/// Key of a row: the keyed digest of a client.
pub(super) type Key = ClientDigest;

/// Most changes of removed rows that wait for the disk.
const GONE_MAX: usize = 65_536;

/// The rows in memory, and the changes the disk does not have yet.
#[derive(Debug)]
pub(in crate::engine) struct Standings {
    rules: DifficultyRules,
    rows: ClockTable<Key, Row>,
    changes: Changes,
    /// Takes changes made while they are written for written ones.
    #[cfg(feature = "testing")]
    forgets: bool,
}

#[derive(Debug, Default)]
struct Row {
    standing: Standing,
    touched_ms: u64,
    queued: bool,
}

impl Tracked for Row {
    type Rules = DifficultyRules;

    fn is_idle(&self, rules: &DifficultyRules, now_ms: u64) -> bool {
        self.standing.is_default(rules, now_ms)
    }

    fn may_go(&self, _: &DifficultyRules, _: u64) -> bool {
        true
    }

    fn touched_ms(&self, _: &DifficultyRules) -> u64 {
        self.touched_ms
    }

    fn is_valuable(&self, rules: &DifficultyRules, now_ms: u64) -> bool {
        !self.is_idle(rules, now_ms)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Keys whose row on the disk differs.
#[derive(Debug)]
struct Changes {
    bound: usize,
    /// Oldest first: exactly the `queued` rows and `gone`.
    pending: VecDeque<Key>,
    gone: HashSet<Key>,
}

impl Changes {
    /// Queues a key. Returns whether there was room for it.
    fn queue(&mut self, client: Key) -> bool {
        let room = self.pending.len() < self.bound.saturating_add(GONE_MAX);
        if room {
            self.pending.push_back(client);
        }
        room
    }

    /// Queues the removal of a row.
    fn dropped(&mut self, client: Key, row: &Row) {
        if row.queued || self.queue(client) {
            self.gone.insert(client);
        }
    }
}

/// A change for the disk: the row, or `None` to remove it.
pub(in crate::engine) type Change = (Key, Option<Standing>);

impl Standings {
    pub(in crate::engine) fn new(config: &Config) -> Self {
        let (rules, bound) = (config.difficulty(), config.settings.difficulty_clients_max);
        let changes = Changes { bound, pending: VecDeque::new(), gone: HashSet::new() };
        Self {
            rules,
            rows: ClockTable::new(bound, rules),
            changes,
            #[cfg(feature = "testing")]
            forgets: config.makes(crate::engine::mistake::Mistake::StandingLost),
        }
    }

    fn standing(&self, client: &Key) -> Option<&Standing> {
        self.rows.get(*client).map(|row| &row.standing)
    }

    pub(super) fn look(&self, client: &Key, now_ms: u64) -> Standing {
        self.standing(client).copied().unwrap_or_default().look(&self.rules, now_ms)
    }

    /// Returns the tier of a client, after one more violation if it is `violating`.
    pub(super) fn next_tier(&self, client: &Key, violating: bool, now_ms: u64) -> DifficultyTier {
        let now = self.standing(client).copied().unwrap_or_default();
        if violating { now.violated(&self.rules, now_ms) } else { now.look(&self.rules, now_ms) }.tier
    }

    pub(super) fn violated(&mut self, client: &Key, now_ms: u64) {
        let before = self.standing(client).copied().unwrap_or_default();
        self.put(client, before.violated(&self.rules, now_ms), now_ms);
    }

    pub(super) fn wrong(&mut self, client: &Key, now_ms: u64) {
        let before = self.standing(client).copied().unwrap_or_default();
        self.put(client, before.wrong(&self.rules, now_ms), now_ms);
    }

    /// Ignores a client without a row: it has no violation that a right answer could redeem.
    pub(super) fn completed(&mut self, client: &Key, now_ms: u64) {
        if let Some(before) = self.standing(client).copied() {
            self.put(client, before.completed(&self.rules, now_ms), now_ms);
        }
    }

    fn put(&mut self, client: &Key, standing: Standing, now_ms: u64) {
        let changed = self.standing(client) != Some(&standing);
        self.insert(client, standing, now_ms, now_ms);
        if changed
            && let Some(mut row) = self.rows.find(*client)
            && !row.queued
        {
            row.queued = self.changes.queue(*client);
        }
    }

    /// Sets the row of a client. At the bound another makes room for a new one.
    fn insert(&mut self, client: &Key, standing: Standing, touched_ms: u64, now_ms: u64) {
        let Self { rows, changes, .. } = self;
        let Some(mut row) = rows.entry_untended(*client, now_ms, &mut |key, row| changes.dropped(key, &row)) else {
            return;
        };
        (row.standing, row.touched_ms) = (standing, touched_ms);
        // Removed and back: its change waits for the disk already.
        row.queued |= changes.gone.remove(client);
    }

    /// Adds a row read from the disk.
    pub(in crate::engine) fn load(&mut self, client: &Key, row: &StandingRow, now_ms: u64) {
        let standing = standing_of(row, now_ms);
        if standing.is_default(&self.rules, now_ms) {
            self.drop_stored(client);
        } else {
            self.insert(client, standing, standing.last_ms, now_ms);
        }
    }

    /// Queues the removal of a row on the disk: it carries no information, or cannot be read.
    pub(in crate::engine) fn drop_stored(&mut self, client: &Key) {
        if self.rows.get(*client).is_none() && !self.changes.gone.contains(client) && self.changes.queue(*client) {
            self.changes.gone.insert(*client);
        }
    }

    /// Looks at up to `limit` rows and removes those that carry no information any more. Returns
    /// how many it removed.
    pub(in crate::engine) fn sweep(&mut self, now_ms: u64, limit: usize) -> usize {
        let before = self.rows.len();
        self.rows.sweep(limit, now_ms, &mut |key, row| self.changes.dropped(key, &row));
        before - self.rows.len()
    }

    /// Returns the oldest `count` changes, with the present rows.
    pub(in crate::engine) fn oldest(&self, count: usize) -> Vec<Change> {
        self.changes.pending.iter().take(count).map(|client| (*client, self.standing(client).copied())).collect()
    }

    /// Removes changes that are durable now. Rows changed since stay queued.
    pub(in crate::engine) fn written(&mut self, changes: &[Change]) {
        for (client, written) in changes {
            let Some(position) = self.changes.pending.pop_front() else { return };
            debug_assert_eq!(position, *client);
            let changed = self.standing(client) != written.as_ref();
            #[cfg(feature = "testing")]
            let changed = changed && !self.forgets;
            if changed {
                self.changes.pending.push_back(*client);
            } else if let Some(mut row) = self.rows.find(*client) {
                row.queued = false;
            } else {
                self.changes.gone.remove(client);
            }
        }
    }

    /// Number of rows in memory.
    pub(in crate::engine) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of changes the disk does not have yet.
    pub(in crate::engine) fn waiting(&self) -> usize {
        self.changes.pending.len()
    }

    /// Approximate number of bytes held.
    pub(in crate::engine) fn memory_bytes(&self) -> usize {
        let key = size_of::<Key>();
        self.rows.bytes() + self.changes.pending.capacity() * key + self.changes.gone.capacity() * (key + 1)
    }
}

/// Returns the row that holds `standing`.
pub(in crate::engine) fn row_of(standing: &Standing) -> StandingRow {
    StandingRow {
        tier: standing.tier as u8,
        violations: standing.violations,
        first_violation_ms: standing.first_violation_ms,
        last_ms: standing.last_ms,
    }
}

/// Returns the standing in `row`, corrected where the rules could not have written it: no time in
/// the future, no count that would have raised the tier.
fn standing_of(row: &StandingRow, now_ms: u64) -> Standing {
    Standing {
        tier: DifficultyTier::ALL.get(usize::from(row.tier)).copied().unwrap_or_default(),
        violations: row.violations.min(1),
        first_violation_ms: row.first_violation_ms.min(now_ms),
        last_ms: row.last_ms.min(now_ms),
    }
}
