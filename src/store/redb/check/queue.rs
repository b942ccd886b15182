//! Names, handles, queue and chores against the trees they point to.

use super::checker::{Checker, hex};
use super::report::CheckPhase;
use crate::protocol::TreeHandle;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::RedbKey as _;
use crate::store::rows::{DataPlace, RowError, TreeRow, TreeState};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, PRIORITY_FRESH, PRIORITY_PARTIAL, Trees,
};
use crate::store::table::Table;
use redb::ReadableTableMetadata;

impl Checker<'_> {
    /// Every pointer to a tree points to one that points back.
    pub(super) fn queue(&mut self) -> Result<(), StoreError> {
        self.begin();
        let of = self.state.names.len().db()? + self.state.handles.len().db()? + self.state.ready.len().db()?;
        for entry in self.state.names.range::<&str>(..).db()? {
            let (name, tree) = entry.db()?;
            let (name, tree) = (name.value().to_owned(), tree.value());
            if !self.tree_row(tree)?.is_some_and(|row| row.is_ok_and(|row| row.name == name)) {
                self.find(format!("names-0 row {name:?}: tree {tree} has another name, or is not there"));
            }
            self.step(CheckPhase::Queue, of);
        }
        for entry in self.state.handles.range::<[u8; 16]>(..).db()? {
            let (handle, tree) = entry.db()?;
            let (handle, tree) = (TreeHandle::owned(handle.value()), tree.value());
            if !self.tree_row(tree)?.is_some_and(|row| row.is_ok_and(|row| row.handle == handle)) {
                let handle = hex(handle.as_bytes());
                self.find(format!("handles-0 row {handle}: tree {tree} has another handle, or is not there"));
            }
            self.step(CheckPhase::Queue, of);
        }
        for entry in self.state.ready.range::<(u8, u64)>(..).db()? {
            let (key, tree) = entry.db()?;
            let ((priority, order), tree) = (key.value(), tree.value());
            self.report.queue_rows += 1;
            let fits = self.tree_row(tree)?.is_some_and(|row| {
                row.is_ok_and(|row| {
                    row.state == TreeState::Active && row.order == order && priority == priority_of(&row)
                })
            });
            if !fits {
                self.find(format!("ready-0 row {:?}: tree {tree} does not belong there", (priority, order)));
            }
            self.step(CheckPhase::Queue, of);
        }
        self.chores()
    }

    fn chores(&mut self) -> Result<(), StoreError> {
        for entry in self.state.chores.range::<(u8, u64)>(..).db()? {
            let (kind, tree) = entry.db()?.0.value();
            self.report.chores += 1;
            let state = self.tree_row(tree)?.map(|row| row.map(|row| row.state));
            let fits = match (kind, state) {
                (CHORE_PURGE, None) => tree < self.head.next_tree,
                (CHORE_ASSEMBLE, Some(Ok(state))) => state == TreeState::Assembling,
                (CHORE_DROP, Some(Ok(state))) => state == TreeState::Complete,
                (CHORE_FOLD, Some(Ok(state))) => state == TreeState::Folding,
                // The tree's own finding says why.
                (CHORE_ASSEMBLE | CHORE_DROP | CHORE_FOLD, Some(Err(_))) => true,
                _ => false,
            };
            if !fits {
                self.find(format!("chores-0 row {:?}: the tree needs no such chore", (kind, tree)));
            }
        }
        Ok(())
    }

    /// The row of a tree that points to it: a name, a handle, a place in the queue, a chore.
    pub(super) fn pointers(&mut self, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        if self.state.names.get(row.name.as_str()).db()?.map(|raw| raw.value()) != Some(tree) {
            self.find(format!("trees-0 row {tree}: names-0 row {:?} does not lead to it", row.name));
        }
        if self.state.handles.get(row.handle.form()).db()?.map(|raw| raw.value()) != Some(tree) {
            self.find(format!("trees-0 row {tree}: handles-0 row {} does not lead to it", hex(row.handle.as_bytes())));
        }
        if tree >= self.head.next_tree {
            self.find(format!("trees-0 row {tree}: the next number is {}", self.head.next_tree));
        }
        if row.order >= self.head.next_order {
            self.find(format!("trees-0 row {tree}: order {} but the next is {}", row.order, self.head.next_order));
        }
        let queued = self.state.ready.get((priority_of(row), row.order)).db()?.map(|raw| raw.value()) == Some(tree);
        if row.state == TreeState::Active && !queued {
            let key = (priority_of(row), row.order);
            self.find(format!("trees-0 row {tree}: it is active, but ready-0 row {key:?} does not lead to it"));
        }
        let chore = match row.state {
            TreeState::Assembling => Some(CHORE_ASSEMBLE),
            TreeState::Folding => Some(CHORE_FOLD),
            TreeState::Complete if row.data != DataPlace::Dropped && !self.is_weak(tree) => Some(CHORE_DROP),
            _ => None,
        };
        if let Some(kind) = chore
            && self.state.chores.get((kind, tree)).db()?.is_none()
        {
            self.find(format!("trees-0 row {tree}: it is {:?}, but chores-0 lacks {:?}", row.state, (kind, tree)));
        }
        Ok(())
    }

    /// Whether some of its leaves are known from clients only, so that its data is kept.
    fn is_weak(&self, tree: u64) -> bool {
        self.state.provenance(tree).is_some_and(|row| row.weak() > 0)
    }

    pub(super) fn tree_row(&self, tree: u64) -> Result<Option<Result<TreeRow, RowError>>, StoreError> {
        Ok(self.state.trees.get(tree).db()?.map(|raw| Trees::decode(&tree, raw.value())))
    }
}

fn priority_of(row: &TreeRow) -> u8 {
    if row.done > 0 { PRIORITY_PARTIAL } else { PRIORITY_FRESH }
}
