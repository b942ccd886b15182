//! Votes: answers that count when a quorum of distinct clients returned the same.

use std::ops::ControlFlow;

use super::settle::{Payee, Taken};
use crate::merkle::{AlignedRange, TILE_LEAVES};
use crate::policy::quorum::Voter;
use crate::store::command::Settle;
use crate::store::command::claims::{Amend, Referee, Ruling, Vote};
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{EntryKind, HashReason, LeafState, QuorumRow, Submitter, TreeState, VoteRow, range_end};
use crate::store::schema::{Consumed, NO_ENTRY, Quorums};

use super::batch::Batch;

type Key = (u64, u64);

impl<R: Txn> Batch<'_, R> {
    pub(super) fn settle_vote(&mut self, settle: &Settle, vote: &Vote) -> Result<Result<Taken, Refused>, StoreError> {
        if let Err(refused) = self.check_range(settle, vote.tree, vote.range)? {
            return Ok(Err(refused));
        }
        let key = (vote.tree, vote.range.start());
        let stored = match self.votes(key, &vote.range, vote.ruling.votes_seen)? {
            Ok(stored) => stored,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut row = stored.unwrap_or_else(|| QuorumRow {
            order: vote.range.order(),
            since_ms: settle.at_ms,
            refereed: Vec::new(),
            votes: Vec::new(),
        });
        // Its token was used, also if that row is lost.
        if row.votes.iter().any(|other| other.id == settle.id) {
            return Ok(Err(Refused::Consumed));
        }
        self.rule(&mut row, &vote.ruling, settle.at_ms)?;
        if row.votes.len() + 1 < usize::from(vote.quorum) {
            row.votes.push(VoteRow {
                id: settle.id,
                expires_ms: settle.expires_ms,
                client: settle.client,
                network: vote.network,
                tier: settle.tier,
                nodes: settle.nodes,
                award: settle.award,
                at_ms: settle.at_ms,
                strikes: vote.strikes,
                data_digest: settle.data_digest,
                leaves: vote.hashes.clone(),
            });
            self.put_quorum(key, &row)?;
            return Ok(Ok(Taken::AwaitsQuorum));
        }
        self.rows.remove(Quorums, &key)?;
        self.agreed(settle, vote, &row)
    }

    /// The quorum is complete: the leaves are done, and all voters are paid.
    fn agreed(&mut self, settle: &Settle, vote: &Vote, row: &QuorumRow) -> Result<Result<Taken, Refused>, StoreError> {
        let Vote { tree, range, .. } = *vote;
        let mut hashes = vote.hashes.clone();
        let mut refereed = 0_u32;
        for (place, hash) in &row.refereed {
            if let Some(leaf) = hashes.get_mut(usize::from(*place)) {
                *leaf = *hash;
                refereed |= 1 << place;
            }
        }
        let own = |place: u64| refereed & (1 << place) != 0;
        self.set_states(
            tree,
            range,
            &hashes,
            |place| if own(place) { LeafState::Verified } else { LeafState::Agreed },
        )?;
        let mut submitters = Vec::new();
        for other in &row.votes {
            let seq = self.pay_vote(tree, &range, other, settle.at_ms)?;
            let VoteRow { client, network, data_digest, .. } = *other;
            submitters.push(Submitter { client, network, seq, data_digest });
        }
        // The entry that `settle` is about to write.
        let (client, seq, data_digest) = (settle.client, self.head.next_ledger, settle.data_digest);
        submitters.push(Submitter { client, network: vote.network, seq, data_digest });
        let counted = range.len() as u32 - refereed.count_ones();
        if counted > 0 {
            self.put_claim(tree, range, submitters)?;
        }
        let Some(progress) = self.leaves_done(tree, range.len())? else {
            return Ok(Err(Refused::TreeGone));
        };
        let kind = if refereed == 0 { EntryKind::Leaves } else { EntryKind::Part };
        Ok(Ok(Taken::Counts(progress, (kind, tree, range.start(), range.order(), counted))))
    }

    fn pay_vote(&mut self, tree: u64, range: &AlignedRange, vote: &VoteRow, at_ms: u64) -> Result<u64, StoreError> {
        let entry = (EntryKind::Vote, tree, range.start(), range.order(), 0);
        let VoteRow { id, client, tier, nodes, award, .. } = *vote;
        self.pay(entry, &Payee { id, client, tier, nodes, award, at_ms })
    }

    /// The votes on a range, which must be as many as were looked at; no other group may have any
    /// of its leaves.
    fn votes(
        &self,
        key: Key,
        range: &AlignedRange,
        seen: usize,
    ) -> Result<Result<Option<QuorumRow>, Refused>, StoreError> {
        let first = range.tile() * TILE_LEAVES;
        let mut moved = false;
        self.rows.each(Quorums, (key.0, first)..(key.0, first + TILE_LEAVES), |(_, start), row| {
            let row = row?;
            moved = start != key.1 && start < range.end() && range.start() < range_end(start, row.order);
            Ok(if moved { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if moved {
            return Ok(Err(Refused::QuorumMoved));
        }
        let row = self.rows.get(Quorums, &key)?;
        let fits = row.as_ref().map_or(seen == 0, |row| row.votes.len() == seen && row.order == range.order());
        Ok(if fits { Ok(row) } else { Err(Refused::QuorumMoved) })
    }

    fn put_quorum(&mut self, key: Key, row: &QuorumRow) -> Result<(), StoreError> {
        self.rows.put(Quorums, &key, row)
    }

    /// Notes what the server hashed, and takes out votes that are wrong or do not count any more.
    fn rule(&mut self, row: &mut QuorumRow, ruling: &Ruling, at_ms: u64) -> Result<Vec<Voter>, StoreError> {
        for (place, hash) in &ruling.refereed {
            if row.refereed.iter().all(|(known, _)| known != place) {
                row.refereed.push((*place, *hash));
            }
        }
        let lies = row.votes.iter().filter(|vote| ruling.lies.contains(&vote.id));
        let liars: Vec<Voter> = lies.map(VoteRow::voter).collect();
        let mut kept = Vec::new();
        for vote in std::mem::take(&mut row.votes) {
            let out = ruling.lies.contains(&vote.id) || ruling.stale.contains(&vote.id);
            // Looked at again: a strike may have been written since.
            if out || self.client(vote.client)?.strikes != vote.strikes {
                self.rows.put(Consumed, &(vote.expires_ms, vote.id), &NO_ENTRY)?;
            } else {
                kept.push(vote);
            }
        }
        row.votes = kept;
        for Voter { client, .. } in &liars {
            self.head.totals.refused += 1;
            self.strike(*client, true, at_ms)?;
        }
        Ok(liars)
    }

    /// Changes the votes on a range without adding one.
    pub(super) fn amend(&mut self, amend: &Amend) -> Result<Outcome, StoreError> {
        let Amend { tree, range, ruling, work, at_ms } = amend;
        let place = self.account_place(*tree)?;
        self.account.count_server(place, HashReason::Referee, *work);
        if self.tree(*tree)?.is_none_or(|row| row.state != TreeState::Active) {
            return Ok(Outcome::Refused(Refused::TreeGone));
        }
        let key = (*tree, range.start());
        let mut row = match self.votes(key, range, ruling.votes_seen)? {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Outcome::Refused(Refused::QuorumMoved)),
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        let liars = self.rule(&mut row, ruling, *at_ms)?;
        if row.votes.is_empty() && row.refereed.is_empty() {
            self.rows.remove(Quorums, &key)?;
        } else {
            self.put_quorum(key, &row)?;
        }
        Ok(Outcome::Judged { corrected: Vec::new(), liars, first_leaf: false, leaves_complete: false })
    }

    /// The server's own hashes end the wait for a quorum: right votes are paid, wrong ones get a
    /// strike.
    pub(super) fn referee(&mut self, referee: &Referee) -> Result<Outcome, StoreError> {
        let Referee { tree, range, hashes, votes_seen, data_digest, work, at_ms } = referee;
        let place = self.account_place(*tree)?;
        self.account.count_server(place, HashReason::Referee, *work);
        if self.tree(*tree)?.is_none_or(|row| row.state != TreeState::Active) {
            return Ok(Outcome::Refused(Refused::TreeGone));
        }
        if let Err(refused) = self.all_pending(*tree, *range)? {
            return Ok(Outcome::Refused(refused));
        }
        let key = (*tree, range.start());
        let row = match self.votes(key, range, *votes_seen)? {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Outcome::Refused(Refused::QuorumMoved)),
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        self.rows.remove(Quorums, &key)?;
        self.set_states(*tree, *range, hashes, |_| LeafState::Verified)?;
        let mut liars = Vec::new();
        for vote in &row.votes {
            let honest = self.client(vote.client)?.strikes == vote.strikes;
            let right = vote.leaves == *hashes;
            if right && honest {
                self.pay_vote(*tree, range, vote, *at_ms)?;
                continue;
            }
            self.rows.put(Consumed, &(vote.expires_ms, vote.id), &NO_ENTRY)?;
            if !right && vote.data_digest == *data_digest {
                self.head.totals.refused += 1;
                self.strike(vote.client, true, *at_ms)?;
                liars.push(vote.voter());
            }
        }
        let progress = self.leaves_done(*tree, range.len())?.unwrap_or_default();
        let (first_leaf, leaves_complete) = (progress.first_leaf, progress.leaves_complete);
        Ok(Outcome::Judged { corrected: Vec::new(), liars, first_leaf, leaves_complete })
    }
}
