//! One batch of commands as one durable transaction.

use std::collections::HashMap;

use super::open::{Store, WriterState};
use super::transaction::{Changing, NotCommitted, NotWritten, Open};
use crate::store::command::{Command, Outcome};
use crate::store::error::{CommitFailure, DbResult, StoreError};
use crate::store::records::{AccountRow, ClientRow, Head, MetaRow, TreeRow, UsefulnessAccount};
use crate::store::redb::tables::InRedb;
use crate::store::rules::ledger::Round;
use crate::store::schema::{
    Chores, Clients, Consumed, Debits, Handles, Hashes, Interior, Ledger, Lengths, Meta, Names, Ready, Receipts, Tiles,
    Trees,
};
use crate::store::table::Table;

type Rows<'t, K> = Open<'t, K, &'static [u8]>;

/// A durable batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Sequence number of the commit that holds it.
    pub commit_seq: u64,
    /// One outcome for each command, in order.
    pub outcomes: Vec<Outcome>,
}

impl Store {
    /// Applies `commands` in order and makes them durable together. `now_ms` becomes the persisted
    /// high-water mark of the clock.
    ///
    /// # Errors
    /// [`CommitFailure::RolledBack`] if nothing is stored; [`CommitFailure::Unknown`] if that is
    /// unknown. If redb panics, on a damaged page, the store stays closed.
    pub fn apply(&self, commands: &[Command], now_ms: u64) -> Result<Applied, CommitFailure> {
        let _one = self.applying.lock();
        let writer = self.writer.read();
        let quick_repair = self.file_bytes().0 > QUICK_REPAIR_FROM;
        let database = self.state_db().map_err(CommitFailure::RolledBack)?;
        let rolled_back = |not: NotWritten| match not {
            NotWritten::RolledBack(error) => CommitFailure::RolledBack(error),
            NotWritten::Broken(error) => {
                self.latch(error.to_string());
                CommitFailure::RolledBack(error)
            }
        };
        let txn = database.begin_write(quick_repair).map_err(rolled_back)?;
        let (txn, (outcomes, effects)) = txn.change(|txn| run(txn, &writer, commands, now_ms)).map_err(rolled_back)?;
        let commit_seq = effects.head.commit_seq;
        match txn.commit() {
            Ok(()) => {
                drop(writer);
                effects.merge_into(&mut self.writer.write());
                self.has_written();
                Ok(Applied { commit_seq, outcomes })
            }
            Err(NotCommitted::RolledBack(error)) => Err(CommitFailure::RolledBack(error)),
            Err(NotCommitted::Unknown(error)) => Err(CommitFailure::Unknown { commit_seq, outcomes, error }),
            Err(NotCommitted::Broken(error)) => {
                self.latch(error.to_string());
                Err(CommitFailure::Unknown { commit_seq, outcomes, error })
            }
        }
    }
}

fn run(
    txn: &Changing,
    writer: &WriterState,
    commands: &[Command],
    now_ms: u64,
) -> Result<(Vec<Outcome>, Effects), StoreError> {
    let mut batch = Batch::open(txn, writer)?;
    batch.head.clock_ms = batch.head.clock_ms.max(now_ms);
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        outcomes.push(batch.one(command)?);
    }
    Ok((outcomes, batch.finish()?))
}

/// What changes in memory once the commit is durable.
pub(in crate::store) struct Effects {
    head: Head,
    account: UsefulnessAccount,
    clients: HashMap<[u8; 16], ClientRow>,
    flushed: Vec<[u8; 16]>,
    round: Option<Round>,
}

impl Effects {
    fn merge_into(self, writer: &mut WriterState) {
        writer.head = self.head;
        writer.account = self.account;
        for key in self.flushed {
            writer.dirty.remove(&key);
        }
        writer.dirty.extend(self.clients);
        if self.round.is_some() {
            writer.round = self.round;
        }
    }
}

/// The open tables of one transaction, and what has changed so far.
pub(in crate::store) struct Batch<'t> {
    pub(in crate::store) txn: &'t Changing,
    pub(in crate::store) meta: Rows<'t, &'static str>,
    pub(in crate::store) trees: Rows<'t, u64>,
    pub(in crate::store) names: Open<'t, &'static str, u64>,
    pub(in crate::store) handles: Open<'t, [u8; 16], u64>,
    pub(in crate::store) hashes: Rows<'t, (u64, u64)>,
    pub(in crate::store) lengths: Rows<'t, (u64, u64)>,
    pub(in crate::store) tiles: Rows<'t, (u64, u64)>,
    pub(in crate::store) interior: Rows<'t, (u64, u8, u64)>,
    pub(in crate::store) ready: Open<'t, (u8, u64), u64>,
    pub(in crate::store) chores: Open<'t, (u8, u64), ()>,
    pub(in crate::store) consumed: Open<'t, (u64, [u8; 16]), u64>,
    pub(in crate::store) clients: Rows<'t, [u8; 16]>,
    pub(in crate::store) ledger: Rows<'t, u64>,
    pub(in crate::store) receipts: Open<'t, [u8; 16], u64>,
    pub(in crate::store) debits: Open<'t, [u8; 16], u64>,
    pub(in crate::store) head: Head,
    pub(in crate::store) account: UsefulnessAccount,
    pub(in crate::store) writer: &'t WriterState,
    pub(in crate::store) overlay: HashMap<[u8; 16], ClientRow>,
    pub(in crate::store) flushed: Vec<[u8; 16]>,
    pub(in crate::store) round: Option<Round>,
    // Trees touched by this batch; `true` when the row must be written back.
    rows: HashMap<u64, (TreeRow, bool)>,
}

impl<'t> Batch<'t> {
    fn open(txn: &'t Changing, writer: &'t WriterState) -> Result<Self, StoreError> {
        let mut head = writer.head.clone();
        head.commit_seq += 1;
        Ok(Self {
            txn,
            meta: txn.open_table(Meta::DEFINITION).db()?,
            trees: txn.open_table(Trees::DEFINITION).db()?,
            names: txn.open_table(Names::DEFINITION).db()?,
            handles: txn.open_table(Handles::DEFINITION).db()?,
            hashes: txn.open_table(Hashes::DEFINITION).db()?,
            lengths: txn.open_table(Lengths::DEFINITION).db()?,
            tiles: txn.open_table(Tiles::DEFINITION).db()?,
            interior: txn.open_table(Interior::DEFINITION).db()?,
            ready: txn.open_table(Ready::DEFINITION).db()?,
            chores: txn.open_table(Chores::DEFINITION).db()?,
            consumed: txn.open_table(Consumed::DEFINITION).db()?,
            clients: txn.open_table(Clients::DEFINITION).db()?,
            ledger: txn.open_table(Ledger::DEFINITION).db()?,
            receipts: txn.open_table(Receipts::DEFINITION).db()?,
            debits: txn.open_table(Debits::DEFINITION).db()?,
            head,
            account: writer.account,
            writer,
            overlay: HashMap::new(),
            flushed: Vec::new(),
            round: None,
            rows: HashMap::new(),
        })
    }

    fn one(&mut self, command: &Command) -> Result<Outcome, StoreError> {
        match command {
            Command::Settle(settle) => self.settle(settle),
            Command::Refuse(refuse) => self.refuse(refuse),
            Command::Debit(debit) => self.debit(debit),
            Command::BeginTree(begin) => self.begin_tree(begin),
            Command::AddGroups(groups) => self.add_groups(groups),
            Command::FinishTree(finish) => self.finish_tree(finish),
            Command::SetTreeState { tree, from, to, root } => self.set_tree_state(*tree, (*from, *to), *root),
            Command::DropData { tree, limit } => self.drop_data(*tree, *limit),
            Command::Forget { tree } => self.forget(*tree),
            Command::Purge { tree, limit } => self.purge_rows(*tree, *limit),
            Command::PruneConsumed { after, before_ms, limit } => self.prune_consumed(*after, *before_ms, *limit),
            Command::SealLedger { keep, limit } => self.seal_ledger(*keep, *limit),
            Command::PruneClients { before_ms, after, limit } => self.prune_clients(*before_ms, *after, *limit),
            Command::Checkpoint { limit } => self.checkpoint(*limit),
            Command::PutStandings(put) => self.put_standings(put),
            Command::PutScrub(row) => self.put_scrub(row),
            Command::Amend(amend) => self.amend(amend),
            Command::Referee(referee) => self.referee(referee),
            Command::Upgrade(upgrade) => self.upgrade(upgrade),
            Command::Repair(repair) => self.repair(repair),
            Command::Mend(mend) => self.mend(mend),
            Command::Damage(damage) => self.mark_damaged(damage),
            Command::Backtrack { client, limit } => self.backtrack(*client, *limit),
            Command::Release { tree } => self.release(*tree),
            Command::Count(account) => {
                self.account.add(account);
                Ok(Outcome::Done { rows: 0, more: false })
            }
            Command::SumRows(rows) => self.sum_rows(rows),
            Command::Touch => Ok(Outcome::Done { rows: 0, more: false }),
        }
    }

    /// The row of a tree, from this batch or the table.
    pub(in crate::store) fn tree(&mut self, tree: u64) -> Result<Option<&mut TreeRow>, StoreError> {
        if !self.rows.contains_key(&tree) {
            let Some(raw) = self.trees.get(tree).db()? else {
                return Ok(None);
            };
            let row: TreeRow = Trees::decode(&tree, raw.value())?;
            self.rows.insert(tree, (row, false));
        }
        Ok(self.rows.get_mut(&tree).map(|(row, _)| row))
    }

    /// Marks the row of `tree` for writing at the end of the batch.
    pub(in crate::store) fn tree_changed(&mut self, tree: u64) {
        if let Some((_, changed)) = self.rows.get_mut(&tree) {
            *changed = true;
        }
    }

    pub(in crate::store) fn put_tree(&mut self, tree: u64, row: TreeRow) {
        self.rows.insert(tree, (row, true));
    }

    pub(in crate::store) fn drop_tree(&mut self, tree: u64) -> Result<(), StoreError> {
        self.rows.remove(&tree);
        self.trees.remove(tree).db()?;
        Ok(())
    }

    fn finish(mut self) -> Result<Effects, StoreError> {
        let mut changed: Vec<_> = self.rows.drain().filter(|(_, (_, changed))| *changed).collect();
        changed.sort_unstable_by_key(|(tree, _)| *tree);
        for (tree, (row, _)) in changed {
            self.trees.insert(tree, Trees::encode(&tree, &row)?.as_slice()).db()?;
        }
        self.meta.insert("head", self.head.sealed()?.as_slice()).db()?;
        if self.account != self.writer.account {
            let row = AccountRow(self.account).sealed()?;
            self.meta.insert("account", row.as_slice()).db()?;
        }
        Ok(Effects {
            head: self.head,
            account: self.account,
            clients: self.overlay,
            flushed: self.flushed,
            round: self.round,
        })
    }
}

/// State file size from which the allocator state is saved with each commit, so that opening after
/// a crash need not walk the file.
const QUICK_REPAIR_FROM: u64 = 1 << 30;
