//! Names, handles, queue and chores against the trees they point to.

use std::ops::ControlFlow;

use super::checker::{Checker, provenance, tree_row};
use super::report::CheckPhase;
use crate::store::error::StoreError;
use crate::store::key::TableKey as _;
use crate::store::port::View;
use crate::store::rows::{TreeRow, TreeState};
use crate::store::rules::fits::{needed_chore, place_of};
use crate::store::schema::{CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, Chores, Handles, Names, Ready};

impl Checker<'_> {
    /// Every pointer to a tree points to one that points back.
    pub(super) fn queue(&mut self, state: &impl View) -> Result<(), StoreError> {
        self.begin();
        let of = state.len(Names)? + state.len(Handles)? + state.len(Ready)?;
        state.each(Names, .., |name, tree| {
            let tree = tree?;
            if !tree_row(state, tree)?.is_some_and(|row| row.is_ok_and(|row| row.name == name)) {
                self.find(format!("names-0 row {name:?}: tree {tree} has another name, or is not there"));
            }
            self.step(CheckPhase::Queue, of);
            Ok(ControlFlow::Continue(()))
        })?;
        state.each(Handles, .., |handle, tree| {
            let tree = tree?;
            if !tree_row(state, tree)?.is_some_and(|row| row.is_ok_and(|row| row.handle == handle)) {
                let handle = handle.text();
                self.find(format!("handles-0 row {handle}: tree {tree} has another handle, or is not there"));
            }
            self.step(CheckPhase::Queue, of);
            Ok(ControlFlow::Continue(()))
        })?;
        state.each(Ready, .., |(priority, order), tree| {
            let tree = tree?;
            self.report.queue_rows += 1;
            let fits = tree_row(state, tree)?.is_some_and(|row| {
                row.is_ok_and(|row| row.state == TreeState::Active && place_of(&row) == (priority, order))
            });
            if !fits {
                self.find(format!("ready-0 row {:?}: tree {tree} does not belong there", (priority, order)));
            }
            self.step(CheckPhase::Queue, of);
            Ok(ControlFlow::Continue(()))
        })?;
        self.chores(state)
    }

    fn chores(&mut self, state: &impl View) -> Result<(), StoreError> {
        state.each_stored(Chores, .., |(kind, tree), _| {
            self.report.chores += 1;
            let of_tree = tree_row(state, tree)?.map(|row| row.map(|row| row.state));
            let fits = match (kind, of_tree) {
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
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The row of a tree that points to it: a name, a handle, a place in the queue, a chore.
    pub(super) fn pointers(&mut self, state: &impl View, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        if state.get(Names, row.name.as_str())? != Some(tree) {
            self.find(format!("trees-0 row {tree}: names-0 row {:?} does not lead to it", row.name));
        }
        if state.get(Handles, &row.handle)? != Some(tree) {
            self.find(format!("trees-0 row {tree}: handles-0 row {} does not lead to it", row.handle.text()));
        }
        if tree >= self.head.next_tree {
            self.find(format!("trees-0 row {tree}: the next number is {}", self.head.next_tree));
        }
        if row.order >= self.head.next_order {
            self.find(format!("trees-0 row {tree}: order {} but the next is {}", row.order, self.head.next_order));
        }
        let key = place_of(row);
        if row.state == TreeState::Active && state.get(Ready, &key)? != Some(tree) {
            self.find(format!("trees-0 row {tree}: it is active, but ready-0 row {key:?} does not lead to it"));
        }
        if let Some(kind) = needed_chore(row, || is_weak(state, tree))
            && !state.has(Chores, &(kind, tree))?
        {
            self.find(format!("trees-0 row {tree}: it is {:?}, but chores-0 lacks {:?}", row.state, (kind, tree)));
        }
        Ok(())
    }
}

/// Whether some leaves of a tree are known from clients only, so that its data is kept.
fn is_weak(state: &impl View, tree: u64) -> bool {
    provenance(state, tree).is_some_and(|row| row.weak() > 0)
}
