//! One batch of commands on one transaction.

use std::collections::HashMap;

use crate::protocol::ClientDigest;
use crate::store::command::Command;
use crate::store::command::outcome::Outcome;
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{AccountRow, ClientRow, Head, TreeRow, UsefulnessAccount};
use crate::store::schema::Trees;

use super::state::{Effects, Round, WriterState};

/// Runs `commands` in order on `rows`. A refused command has written nothing. `now_ms` becomes the
/// high-water mark of the clock.
///
/// # Errors
/// [`StoreError`] if the database fails, or a row on the way is damaged: the transaction must not
/// be committed then.
pub(in crate::store) fn run(
    rows: &mut impl Txn,
    writer: &WriterState,
    commands: &[Command],
    now_ms: u64,
) -> Result<(Vec<Outcome>, Effects), StoreError> {
    let mut batch = Batch::of(rows, writer);
    batch.head.clock_ms = batch.head.clock_ms.max(now_ms);
    let mut outcomes = Vec::with_capacity(commands.len());
    for command in commands {
        outcomes.push(batch.one(command)?);
    }
    Ok((outcomes, batch.finish()?))
}

/// The transaction, and what has changed so far.
pub(super) struct Batch<'w, R> {
    pub(super) rows: &'w mut R,
    pub(super) head: Head,
    pub(super) account: UsefulnessAccount,
    pub(super) writer: &'w WriterState,
    pub(super) overlay: HashMap<ClientDigest, ClientRow>,
    pub(super) flushed: Vec<ClientDigest>,
    pub(super) round: Option<Round>,
    // Trees touched by this batch; `true` when the row must be written back.
    trees: HashMap<u64, (TreeRow, bool)>,
}

impl<'w, R: Txn> Batch<'w, R> {
    fn of(rows: &'w mut R, writer: &'w WriterState) -> Self {
        let mut head = writer.head.clone();
        head.commit_seq += 1;
        Self {
            rows,
            head,
            account: writer.account,
            writer,
            overlay: HashMap::new(),
            flushed: Vec::new(),
            round: None,
            trees: HashMap::new(),
        }
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
    pub(super) fn tree(&mut self, tree: u64) -> Result<Option<&mut TreeRow>, StoreError> {
        if !self.trees.contains_key(&tree) {
            let Some(row) = self.rows.get(Trees, &tree)? else { return Ok(None) };
            self.trees.insert(tree, (row, false));
        }
        Ok(self.trees.get_mut(&tree).map(|(row, _)| row))
    }

    /// Marks the row of `tree` for writing at the end of the batch.
    pub(super) fn tree_changed(&mut self, tree: u64) {
        if let Some((_, changed)) = self.trees.get_mut(&tree) {
            *changed = true;
        }
    }

    pub(super) fn put_tree(&mut self, tree: u64, row: TreeRow) {
        self.trees.insert(tree, (row, true));
    }

    pub(super) fn drop_tree(&mut self, tree: u64) -> Result<(), StoreError> {
        self.trees.remove(&tree);
        self.rows.remove(Trees, &tree)
    }

    #[cfg(feature = "testing")]
    pub(super) fn makes(&self, mistake: crate::store::mistakes::StoreMistake) -> bool {
        self.writer.mistake == Some(mistake)
    }

    fn finish(mut self) -> Result<Effects, StoreError> {
        let mut changed: Vec<_> = self.trees.drain().filter(|(_, (_, changed))| *changed).collect();
        changed.sort_unstable_by_key(|(tree, _)| *tree);
        for (tree, (row, _)) in changed {
            self.rows.put(Trees, &tree, &row)?;
        }
        self.rows.put_meta(&self.head)?;
        if self.account != self.writer.account {
            self.rows.put_meta(&AccountRow(self.account))?;
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
