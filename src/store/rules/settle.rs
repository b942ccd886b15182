//! Taking answers: consume the token, mark leaves or nodes, credit the client.

use std::ops::Bound;

use crate::hash::Checksum;
use crate::merkle::{AlignedRange, TILE_LEAVES};
use crate::protocol::{ClientDigest, WorkId};
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::command::{Refuse, Settle, SettleKind};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{
    EntryKind, HashReason, HashesFrom, LeafState, LedgerRow, NodeRow, Strategy, TreeState, UsefulnessAccount,
};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_FOLD, Chores, Consumed, Damaged, FIRST_ID, Interior, NO_ENTRY, PRIORITY_FRESH,
    PRIORITY_PARTIAL, Ready, Receipts, TokenKey, VOTED,
};

use super::batch::Batch;

/// What an answer changed in its tree.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) first_leaf: bool,
    pub(super) leaves_complete: bool,
    pub(super) interior_complete: bool,
}

/// A ledger entry for work: kind, tree, start, order, leaves credited.
pub(super) type Entry = (EntryKind, u64, u64, u8, u32);

/// What to do with an answer whose preconditions hold.
pub(super) enum Taken {
    /// It counts, with this entry.
    Counts(Progress, Entry),
    /// It waits for equal answers of other clients.
    AwaitsQuorum,
}

impl<R: Txn> Batch<'_, R> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Outcome, StoreError> {
        #[cfg(feature = "testing")]
        let check = !settle.skip_consumed_check;
        #[cfg(not(feature = "testing"))]
        let check = true;
        if check && self.is_consumed(settle.expires_ms, settle.id)? {
            return Ok(Outcome::Refused(Refused::Consumed));
        }
        let taken = match &settle.kind {
            SettleKind::Leaves { tree, range, damaged } => self.settle_leaves(settle, *tree, *range, *damaged)?,
            SettleKind::Audited(audited) => self.settle_audited(settle, audited)?,
            SettleKind::Vote(vote) => self.settle_vote(settle, vote)?,
            SettleKind::Interior { tree, level, index, hash } => {
                self.settle_interior(settle, *tree, (*level, *index), *hash)?
            }
            SettleKind::Synthetic => Ok(Taken::Counts(Progress::default(), (EntryKind::Synthetic, 0, 0, 0, 0))),
        };
        let (progress, entry) = match taken {
            Err(refused) => return Ok(Outcome::Refused(refused)),
            Ok(Taken::AwaitsQuorum) => {
                self.count_work(settle, entry_tree(&settle.kind), false)?;
                self.rows.put(Consumed, &(settle.expires_ms, settle.id), &VOTED)?;
                return Ok(Outcome::Voted);
            }
            Ok(Taken::Counts(progress, entry)) => (progress, entry),
        };
        self.count_work(settle, entry_tree(&settle.kind), true)?;
        let seq = self.credit(settle, entry)?;
        self.rows.put(Consumed, &(settle.expires_ms, settle.id), &seq)?;
        let Progress { first_leaf, leaves_complete, interior_complete } = progress;
        Ok(Outcome::Settled { seq, first_leaf, leaves_complete, interior_complete })
    }

    /// The state, handle and strategy of the tree must be right, and all leaves of the range
    /// pending.
    pub(super) fn check_range(
        &mut self,
        settle: &Settle,
        tree: u64,
        range: AlignedRange,
    ) -> Result<Result<Strategy, Refused>, StoreError> {
        let (state, handle, strategy) = match self.tree(tree)? {
            Some(row) => (row.state, row.handle, row.strategy),
            None => return Ok(Err(Refused::TreeGone)),
        };
        if handle != settle.handle {
            return Ok(Err(Refused::TreeGone));
        }
        if state != TreeState::Active {
            return Ok(Err(Refused::TreeState(state)));
        }
        #[cfg(feature = "testing")]
        if settle.skip_leaf_check {
            return Ok(Ok(strategy));
        }
        Ok(self.all_pending(tree, range)?.map(|()| strategy))
    }

    pub(super) fn all_pending(&mut self, tree: u64, range: AlignedRange) -> Result<Result<(), Refused>, StoreError> {
        let tile = self.tile((tree, range.tile()))?;
        let done = (range.start()..range.end()).find(|leaf| tile.state(leaf % TILE_LEAVES) != LeafState::Pending);
        Ok(done.map_or(Ok(()), |leaf| Err(Refused::LeafDone(leaf))))
    }

    fn settle_leaves(
        &mut self,
        settle: &Settle,
        tree: u64,
        range: AlignedRange,
        damaged: u32,
    ) -> Result<Result<Taken, Refused>, StoreError> {
        let strategy = match self.check_range(settle, tree, range)? {
            Ok(strategy) => strategy,
            Err(refused) => return Ok(Err(refused)),
        };
        let good = if strategy.hashes() == HashesFrom::Addresses { LeafState::Known } else { LeafState::Verified };
        self.edit_tile(tree, range.tile(), |tile| {
            for slot in (range.start()..range.end()).map(|leaf| leaf % TILE_LEAVES) {
                tile.set(slot, if damaged & (1 << slot) != 0 { LeafState::Damaged } else { good });
            }
        })?;
        let lost = damaged.count_ones();
        if lost > 0 {
            for leaf in (range.start()..range.end()).filter(|leaf| damaged & (1 << (leaf % TILE_LEAVES)) != 0) {
                self.rows.put(Damaged, &(tree, leaf), &())?;
            }
        }
        self.head.totals.pending = self.head.totals.pending.saturating_sub(u64::from(lost));
        let leaves = range.len() as u32 - lost;
        let Some(progress) = self.leaves_done(tree, u64::from(leaves))? else {
            return Ok(Err(Refused::TreeGone));
        };
        let kind = if lost == 0 { EntryKind::Leaves } else { EntryKind::Part };
        Ok(Ok(Taken::Counts(progress, (kind, tree, range.start(), range.order(), leaves))))
    }

    /// Marks `leaves` more leaves as done: updates the counters, the queue and the chores.
    pub(super) fn leaves_done(&mut self, tree: u64, leaves: u64) -> Result<Option<Progress>, StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(None);
        };
        if row.done.saturating_add(leaves) > row.leaves {
            let what = format!("tree {tree} would have more leaves done than it has");
            return Err(StoreError::Contradiction { what });
        }
        let order = row.order;
        let was_fresh = row.done == 0 && leaves > 0;
        row.done += leaves;
        let leaves_complete = row.done >= row.leaves;
        if leaves_complete {
            row.state = TreeState::Assembling;
        }
        self.tree_changed(tree);
        self.head.totals.pending = self.head.totals.pending.saturating_sub(leaves);
        if leaves_complete {
            self.rows.put(Chores, &(CHORE_ASSEMBLE, tree), &())?;
            self.rows.remove(Ready, &(PRIORITY_FRESH, order))?;
            self.rows.remove(Ready, &(PRIORITY_PARTIAL, order))?;
        } else if was_fresh {
            self.rows.remove(Ready, &(PRIORITY_FRESH, order))?;
            self.rows.put(Ready, &(PRIORITY_PARTIAL, order), &tree)?;
        }
        Ok(Some(Progress { first_leaf: was_fresh, leaves_complete, interior_complete: false }))
    }

    /// Counts what the answer is worth, if it counts, and what it cost.
    fn count_work(&mut self, settle: &Settle, tree: Option<u64>, counts: bool) -> Result<(), StoreError> {
        let place = match tree {
            Some(tree) => self.account_place(tree)?,
            None => UsefulnessAccount::SYNTHETIC,
        };
        if counts {
            self.account.by[place].accepted.add(settle.accepted);
        }
        self.account.count_server(place, HashReason::Audit, settle.audit);
        self.account.count_server(place, HashReason::Referee, settle.referee);
        Ok(())
    }

    /// Where the work on a tree is counted.
    pub(super) fn account_place(&mut self, tree: u64) -> Result<usize, StoreError> {
        Ok(self.tree(tree)?.map_or(0, |row| row.strategy.index()))
    }

    fn settle_interior(
        &mut self,
        settle: &Settle,
        tree: u64,
        (level, index): (u8, u64),
        hash: Checksum,
    ) -> Result<Result<Taken, Refused>, StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(Err(Refused::TreeGone));
        };
        if row.handle != settle.handle {
            return Ok(Err(Refused::TreeGone));
        }
        if row.state != TreeState::Folding {
            return Ok(Err(Refused::TreeState(row.state)));
        }
        let key = (tree, level, index);
        if self.rows.has(Interior, &key)? {
            return Ok(Err(Refused::NodeDone));
        }
        self.rows.put(Interior, &key, &NodeRow(hash))?;
        let Some(row) = self.tree(tree)? else {
            return Ok(Err(Refused::TreeGone));
        };
        row.interior_done += 1;
        let interior_complete = level == 0;
        if interior_complete {
            row.state = TreeState::Assembling;
        }
        self.tree_changed(tree);
        if interior_complete {
            self.rows.remove(Chores, &(CHORE_FOLD, tree))?;
            self.rows.put(Chores, &(CHORE_ASSEMBLE, tree), &())?;
        }
        let progress = Progress { interior_complete, ..Progress::default() };
        Ok(Ok(Taken::Counts(progress, (EntryKind::Interior, tree, index, level, 0))))
    }

    fn credit(&mut self, settle: &Settle, entry: Entry) -> Result<u64, StoreError> {
        self.pay(
            entry,
            &Payee {
                id: settle.id,
                client: settle.client,
                tier: settle.tier,
                nodes: settle.nodes,
                award: settle.award,
                at_ms: settle.at_ms,
            },
        )
    }

    /// Writes the entry and the receipt of an answer that counts.
    pub(super) fn pay(&mut self, entry: Entry, payee: &Payee) -> Result<u64, StoreError> {
        let (kind, tree, start, order, leaves) = entry;
        let totals = &mut self.head.totals;
        match kind {
            EntryKind::Interior => totals.interior += 1,
            EntryKind::Synthetic => totals.synthetic += 1,
            _ => totals.units += 1,
        }
        totals.leaves += u64::from(leaves);
        if kind != EntryKind::Synthetic {
            totals.nodes += u64::from(payee.nodes);
        }
        totals.awarded = totals.awarded.saturating_add(payee.award);
        let mut client = self.client(payee.client)?;
        client.balance = client.balance.saturating_add(payee.award);
        client.accepted += 1;
        client.updated_ms = payee.at_ms;
        let previous = client.last_seq;
        let Payee { id, client: digest, tier, nodes, award: amount, at_ms } = *payee;
        let row = LedgerRow {
            id,
            client: digest,
            tree,
            start,
            order,
            kind,
            tier,
            leaves,
            nodes,
            amount,
            at_ms,
            previous,
            digest: [0; 32],
        };
        let seq = self.append(row, client)?;
        self.rows.put(Receipts, &id, &seq)?;
        Ok(seq)
    }

    pub(super) fn refuse(&mut self, refuse: &Refuse) -> Result<Outcome, StoreError> {
        if self.is_consumed(refuse.expires_ms, refuse.id)? {
            return Ok(Outcome::Refused(Refused::Consumed));
        }
        self.rows.put(Consumed, &(refuse.expires_ms, refuse.id), &NO_ENTRY)?;
        self.head.totals.refused += 1;
        self.strike(refuse.client, refuse.strike, refuse.at_ms)?;
        Ok(Outcome::Done { rows: 1, more: false })
    }

    pub(super) fn prune_consumed(
        &mut self,
        after: TokenKey,
        before_ms: u64,
        limit: usize,
    ) -> Result<Outcome, StoreError> {
        let old = (Bound::Excluded(after), Bound::Excluded((before_ms, FIRST_ID)));
        let rows = self.rows.extract(Consumed, old, limit)? as u64;
        let more = self.rows.any(Consumed, old)?;
        Ok(Outcome::Done { rows, more })
    }
}

/// Whom a ledger entry pays.
pub(super) struct Payee {
    pub(super) id: WorkId,
    pub(super) client: ClientDigest,
    pub(super) tier: u8,
    pub(super) nodes: u32,
    pub(super) award: u64,
    pub(super) at_ms: u64,
}

fn entry_tree(kind: &SettleKind) -> Option<u64> {
    match kind {
        SettleKind::Leaves { tree, .. } | SettleKind::Interior { tree, .. } => Some(*tree),
        SettleKind::Audited(audited) => Some(audited.tree),
        SettleKind::Vote(vote) => Some(vote.tree),
        SettleKind::Synthetic => None,
    }
}
