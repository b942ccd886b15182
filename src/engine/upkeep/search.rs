//! How far the searches for old rows have got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use crate::protocol::ClientDigest;
use crate::store::{ClientStretch, FIRST_ID, TokenKey};

use crate::engine::locks::{Rank, Ranked};
use crate::engine::trees::put_off::PutOff;

/// How far each search has got.
#[derive(Debug)]
pub(in crate::engine) struct Searches {
    pub(super) client_search: Ranked<ClientSearch>,
    pub(super) old_search: Ranked<OldSearch>,
    /// The next tree to look at in the search for left-over block data; `None` when it is through.
    pub(super) leftover_from: Ranked<Option<u64>>,
    /// Trees whose block data cannot be removed now.
    pub(super) undropped: Ranked<PutOff>,
    /// The trees at which the next rounds of removals begin: of forgotten trees, of released data.
    pub(super) removal_from: [AtomicU64; 2],
    /// When a sweep last ended a lease, engine time.
    pub(super) lease_ended_ms: AtomicU64,
}

impl Default for Searches {
    fn default() -> Self {
        Self {
            client_search: Ranked::new(Rank::ClientSearch, ClientSearch::default()),
            old_search: Ranked::new(Rank::OldSearch, OldSearch::default()),
            leftover_from: Ranked::new(Rank::LeftoverFrom, Some(0)),
            undropped: Ranked::new(Rank::Undropped, PutOff::default()),
            removal_from: Default::default(),
            lease_ended_ms: AtomicU64::new(0),
        }
    }
}

/// Most runs of pages of client rows that are remembered as unreadable. At the bound all are
/// searched again.
const PASSED_MAX: usize = 64;
/// Most rows of clients that are reported as damaged in one boot.
const REPORTED_MAX: usize = 1_024;

/// The client before all others.
const FIRST: ClientDigest = ClientDigest::from_bytes([0; 16]);

/// How far the search for idle clients has got.
#[derive(Debug)]
pub(super) struct ClientSearch {
    /// The last key looked at; [`FIRST`] before the first.
    pub(super) after: ClientDigest,
    /// The newest commit when the present round began.
    began: u64,
    /// Time of the oldest change of a client that this round met and that may be forgotten later.
    oldest_ms: u64,
    /// The last round is through and removed nothing.
    through: bool,
    /// Clients with rows that do not decode, which were reported. Bounded by [`REPORTED_MAX`].
    reported: BTreeSet<ClientDigest>,
    /// Where the search goes on behind pages that cannot be read; by where it met them. Bounded by
    /// [`PASSED_MAX`].
    passed: BTreeMap<ClientDigest, ClientDigest>,
}

/// How far used tokens and ledger entries are removed where pages cannot be read.
#[derive(Debug)]
pub(super) struct OldSearch {
    /// Used tokens up to this key stay.
    pub(super) tokens_after: TokenKey,
    /// No token behind such a page can be removed: engine time of the next look.
    pub(super) tokens_ms: u64,
    /// The same for entries before such a page.
    pub(super) entries_ms: u64,
}

impl Default for ClientSearch {
    fn default() -> Self {
        Self {
            after: FIRST,
            began: 0,
            oldest_ms: 0,
            through: false,
            reported: BTreeSet::new(),
            passed: BTreeMap::new(),
        }
    }
}

impl Default for OldSearch {
    fn default() -> Self {
        Self { tokens_after: (0, FIRST_ID), tokens_ms: 0, entries_ms: 0 }
    }
}

impl ClientSearch {
    /// Whether another round would find nothing: nothing was committed since the last one, and no
    /// client that it met has become idle.
    pub(super) fn rests(&self, commit_seq: u64, before_ms: u64) -> bool {
        self.through && self.began == commit_seq && before_ms <= self.oldest_ms
    }

    /// Goes on behind a stretch without idle clients.
    pub(super) fn pass(&mut self, commit_seq: u64, stretch: &ClientStretch) {
        if self.after == FIRST {
            (self.began, self.oldest_ms) = (commit_seq, u64::MAX);
        }
        self.oldest_ms = self.oldest_ms.min(stretch.oldest_ms);
        self.through = stretch.next.is_none();
        self.after = stretch.next.unwrap_or(FIRST);
    }

    /// Returns what is to be reported of a stretch.
    pub(super) fn news(&mut self, stretch: &ClientStretch) -> Vec<String> {
        let mut news = Vec::new();
        for (key, error) in &stretch.damaged {
            if self.reported.len() < REPORTED_MAX && self.reported.insert(*key) {
                news.push(error.to_string());
            }
        }
        news
    }

    /// Where to go on behind a page that cannot be read, if that is known.
    pub(super) fn known(&self) -> Option<ClientDigest> {
        let (_, next) = self.passed.range(..=self.after).next_back()?;
        (*next > self.after).then_some(*next)
    }

    pub(super) fn remember(&mut self, next: ClientDigest) {
        if self.passed.len() >= PASSED_MAX {
            self.passed.clear();
        }
        self.passed.insert(self.after, next);
    }

    /// Goes on behind a stretch of which rows were removed.
    pub(super) fn removed(&mut self, next: Option<ClientDigest>) {
        self.through = false;
        self.after = next.unwrap_or(FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600_000;

    fn client(byte: u8) -> ClientDigest {
        ClientDigest::from_bytes([byte; 16])
    }

    fn stretch(oldest_ms: u64, next: Option<ClientDigest>) -> ClientStretch {
        ClientStretch { oldest_ms, next, ..ClientStretch::default() }
    }

    #[test]
    fn the_search_rests_after_a_whole_round_until_a_commit_or_until_a_client_becomes_idle() {
        let mut search = ClientSearch::default();
        assert!(!search.rests(0, 0), "nothing was looked at yet");
        search.pass(7, &stretch(DAY, Some(client(5))));
        assert!(!search.rests(7, 0), "half a round");
        search.pass(7, &stretch(2 * DAY, None));
        assert!(search.rests(7, DAY) && !search.rests(7, DAY + 1) && !search.rests(8, DAY));
        assert_eq!(search.after, FIRST);
        // A commit in the middle of a round: the part before it may have changed.
        search.pass(8, &stretch(u64::MAX, Some(client(5))));
        search.pass(9, &stretch(u64::MAX, None));
        assert!(!search.rests(9, 0));
        search.pass(9, &stretch(u64::MAX, None));
        assert!(search.rests(9, u64::MAX));
        search.removed(Some(client(6)));
        assert!(!search.rests(9, 0));
        assert_eq!(search.after, client(6));
        search.pass(9, &stretch(u64::MAX, None));
        assert!(!search.rests(10, 0), "the rows before the removed ones were not looked at since");
    }
}
