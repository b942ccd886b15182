//! Taking answers: consume the token, mark leaves or nodes, credit the client.

use redb::ReadableTable;

use crate::merkle::{AlignedRange, TILE_LEAVES};

use super::apply::Batch;
use super::commands::{Outcome, Refuse, Refused, Settle, SettleKind};
use super::error::StoreError;
use super::records::{EntryKind, LeafState, LedgerRow, TileRow, TreeState, seal};
use super::tables::{CHORE_ASSEMBLE, CHORE_FOLD, NO_ENTRY, PRIORITY_FRESH, PRIORITY_PARTIAL};

/// What an answer changed in its tree.
#[derive(Default)]
struct Progress {
    first_leaf: bool,
    leaves_complete: bool,
    interior_complete: bool,
}

impl Batch<'_> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Outcome, StoreError> {
        #[cfg(feature = "testing")]
        let check = !settle.skip_consumed_check;
        #[cfg(not(feature = "testing"))]
        let check = true;
        if check && self.consumed.get((settle.expires_ms, settle.id))?.is_some() {
            return Ok(Outcome::Refused(Refused::Consumed));
        }
        let progress = match settle.kind {
            SettleKind::Leaves { tree, range } => match self.settle_leaves(settle, tree, range)? {
                Ok(progress) => progress,
                Err(refused) => return Ok(Outcome::Refused(refused)),
            },
            SettleKind::Interior { tree, level, index, hash } => {
                match self.settle_interior(settle, tree, (level, index), &hash)? {
                    Ok(progress) => progress,
                    Err(refused) => return Ok(Outcome::Refused(refused)),
                }
            }
            SettleKind::Synthetic => Progress::default(),
        };
        let seq = self.credit(settle)?;
        self.consumed.insert((settle.expires_ms, settle.id), seq)?;
        self.receipts.insert(settle.id, seq)?;
        let Progress { first_leaf, leaves_complete, interior_complete } = progress;
        Ok(Outcome::Settled { seq, first_leaf, leaves_complete, interior_complete })
    }

    fn settle_leaves(
        &mut self,
        settle: &Settle,
        tree: u64,
        range: AlignedRange,
    ) -> Result<Result<Progress, Refused>, StoreError> {
        let (state, handle, order) = match self.tree(tree)? {
            Some(row) => (row.state, row.handle, row.order),
            None => return Ok(Err(Refused::TreeGone)),
        };
        if handle != settle.handle {
            return Ok(Err(Refused::TreeGone));
        }
        if state != TreeState::Active {
            return Ok(Err(Refused::TreeState(state)));
        }
        let key = (tree, range.tile());
        let mut tile = match self.tiles.get(key)? {
            Some(raw) => TileRow::decode(raw.value())?,
            None => TileRow::PENDING,
        };
        #[cfg(feature = "testing")]
        let check = !settle.skip_leaf_check;
        #[cfg(not(feature = "testing"))]
        let check = true;
        for leaf in range.start()..range.end() {
            if check && tile.state(leaf % TILE_LEAVES) != LeafState::Pending {
                return Ok(Err(Refused::LeafDone(leaf)));
            }
            tile.set(leaf % TILE_LEAVES, LeafState::Verified);
        }
        self.tiles.insert(key, tile.encode())?;
        let Some(row) = self.tree(tree)? else {
            return Ok(Err(Refused::TreeGone));
        };
        let was_fresh = row.done == 0;
        row.done += range.end() - range.start();
        let leaves_complete = row.done >= row.leaves;
        if leaves_complete {
            row.state = TreeState::Assembling;
        }
        self.tree_changed(tree);
        self.head.totals.pending = self.head.totals.pending.saturating_sub(range.end() - range.start());
        if leaves_complete {
            self.chores.insert((CHORE_ASSEMBLE, tree), ())?;
            self.ready.remove((PRIORITY_FRESH, order))?;
            self.ready.remove((PRIORITY_PARTIAL, order))?;
        } else if was_fresh {
            self.ready.remove((PRIORITY_FRESH, order))?;
            self.ready.insert((PRIORITY_PARTIAL, order), tree)?;
        }
        Ok(Ok(Progress { first_leaf: was_fresh, leaves_complete, interior_complete: false }))
    }

    fn settle_interior(
        &mut self,
        settle: &Settle,
        tree: u64,
        (level, index): (u8, u64),
        hash: &[u8; 64],
    ) -> Result<Result<Progress, Refused>, StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(Err(Refused::TreeGone));
        };
        if row.handle != settle.handle {
            return Ok(Err(Refused::TreeGone));
        }
        if row.state != TreeState::Folding {
            return Ok(Err(Refused::TreeState(row.state)));
        }
        if self.interior.get((tree, level, index))?.is_some() {
            return Ok(Err(Refused::NodeDone));
        }
        self.interior.insert((tree, level, index), &hash[..])?;
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
            self.chores.remove((CHORE_FOLD, tree))?;
            self.chores.insert((CHORE_ASSEMBLE, tree), ())?;
        }
        Ok(Ok(Progress { interior_complete, ..Progress::default() }))
    }

    fn credit(&mut self, settle: &Settle) -> Result<u64, StoreError> {
        let totals = &mut self.head.totals;
        let (kind, tree, start, order, leaves) = match settle.kind {
            SettleKind::Leaves { tree, range } => {
                let leaves = range.end() - range.start();
                totals.units += 1;
                totals.leaves += leaves;
                totals.nodes += u64::from(settle.nodes);
                (EntryKind::Leaves, tree, range.start(), range.order(), leaves as u32)
            }
            SettleKind::Interior { tree, level, index, .. } => {
                totals.interior += 1;
                totals.nodes += u64::from(settle.nodes);
                (EntryKind::Interior, tree, index, level, 0)
            }
            SettleKind::Synthetic => {
                totals.synthetic += 1;
                (EntryKind::Synthetic, 0, 0, 0, 0)
            }
        };
        totals.awarded = totals.awarded.saturating_add(settle.award);
        let mut client = self.client(settle.client)?;
        client.balance = client.balance.saturating_add(settle.award);
        client.accepted += 1;
        client.updated_ms = settle.at_ms;
        self.append(
            LedgerRow {
                id: settle.id,
                client: settle.client,
                tree,
                start,
                order,
                kind,
                tier: settle.tier,
                leaves,
                nodes: settle.nodes,
                amount: settle.award,
                at_ms: settle.at_ms,
                previous: client.last_seq,
                digest: [0; 32],
            },
            client,
        )
    }

    pub(super) fn refuse(&mut self, refuse: &Refuse) -> Result<Outcome, StoreError> {
        if self.consumed.get((refuse.expires_ms, refuse.id))?.is_some() {
            return Ok(Outcome::Refused(Refused::Consumed));
        }
        self.consumed.insert((refuse.expires_ms, refuse.id), NO_ENTRY)?;
        self.head.totals.refused += 1;
        let mut client = self.client(refuse.client)?;
        client.strikes = client.strikes.saturating_add(u64::from(refuse.strike));
        client.updated_ms = refuse.at_ms;
        // Written now: unlike a credit, a strike stands nowhere else.
        self.clients.insert(refuse.client, seal("clients-0", &client)?.as_slice())?;
        self.overlay.insert(refuse.client, client);
        Ok(Outcome::Done { rows: 1, more: false })
    }

    pub(super) fn prune_consumed(&mut self, before_ms: u64, limit: usize) -> Result<Outcome, StoreError> {
        let mut rows = 0;
        for row in self.consumed.extract_from_if(..(before_ms, [0; 16]), |_, _| true)?.take(limit) {
            row?;
            rows += 1;
        }
        let more = self.consumed.range(..(before_ms, [0; 16]))?.next().is_some();
        Ok(Outcome::Done { rows, more })
    }
}
