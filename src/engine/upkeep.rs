//! What goes on beside requests: keeping the ring full, folding and validating finished trees, dropping
//! what nobody needs. On a thread of its own, or called by the host.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use crate::merkle::{Level, Shape};
use crate::store::records::TreeState;
use crate::store::{CHORE_ASSEMBLE, CHORE_DROP, CHORE_PURGE, Command, Outcome, StoreError, TreeId};

use super::PouwEngine;
use super::core::{Core, bump};
use super::error::{TreeError, WriteError};
use super::event::Event;
use super::interior::tile_level;

/// What one round of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Units that became ready.
    pub refilled: usize,
    /// Trees that became complete.
    pub completed: usize,
    /// Rows of block data and of forgotten trees removed.
    pub removed: usize,
}

/// Upkeep could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// A read failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Trees looked at, and rows removed, in one round.
const TREES_PER_ROUND: usize = 64;
const ROWS_PER_STEP: usize = 2_048;

impl PouwEngine {
    /// One bounded round of upkeep: refill, assemble, drop. The background thread does the same; a
    /// host that runs without it calls this about as often as it issues.
    pub fn upkeep(&self) -> Result<Upkeep, UpkeepError> {
        self.core().upkeep()
    }

    /// Refills the ready ring if it is below its minimum, and returns the units added.
    pub fn refill(&self) -> Result<usize, StoreError> {
        Ok(self.core().refill()? + self.core().refill_interior()?)
    }
}

impl Core {
    pub(super) fn upkeep(&self) -> Result<Upkeep, UpkeepError> {
        let _one = self.upkeeping.lock();
        let mut done = Upkeep { refilled: self.refill()?, ..Upkeep::default() };
        for tree in self.store.read()?.chores(CHORE_ASSEMBLE, None, TREES_PER_ROUND)? {
            done.completed += usize::from(self.assemble(tree)?);
            if self.stopping() {
                return Ok(done);
            }
        }
        done.refilled += self.refill_interior()?;
        for tree in self.store.read()?.chores(CHORE_DROP, None, TREES_PER_ROUND)? {
            done.removed += self.drop_data(tree)?;
        }
        for tree in self.store.read()?.chores(CHORE_PURGE, None, TREES_PER_ROUND)? {
            done.removed += self.purge(tree)?;
        }
        Ok(done)
    }

    fn stopping(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Folds and validates a tree whose leaves are all done; true if it is complete now.
    fn assemble(&self, tree: TreeId) -> Result<bool, UpkeepError> {
        let Some(row) = self.store.read()?.tree(tree)? else {
            return Ok(false);
        };
        if row.state != TreeState::Assembling {
            return Ok(false);
        }
        let upper = Shape::new(row.leaves).ok().and_then(tile_level);
        if self.config.settings.interior_units && upper.is_some() && row.interior_done == 0 {
            self.set_state(tree, TreeState::Assembling, TreeState::Folding)?;
            return Ok(false);
        }
        let to = match self.validate_row(tree, &row) {
            Ok(folds) => {
                bump(&self.tallies.server_folds, folds);
                TreeState::Complete
            }
            Err(TreeError::Inconsistent { at, .. }) => {
                let what = format!("tree {:?} at level {}, index {}", row.name, at.level.0, at.index);
                self.emit(Event::CorruptionFound { tree, what });
                TreeState::Inconsistent
            }
            Err(TreeError::Store(error)) => return Err(error.into()),
            Err(other) => {
                return Err(StoreError::Contradiction { what: other.to_string() }.into());
            }
        };
        let moved = self.set_state(tree, TreeState::Assembling, to)?;
        self.queue.lock().drop_tree(tree);
        if moved && to == TreeState::Complete {
            self.emit(Event::TreeCompleted { tree, name: row.name });
            return Ok(true);
        }
        Ok(false)
    }

    fn set_state(&self, tree: TreeId, from: TreeState, to: TreeState) -> Result<bool, WriteError> {
        let outcomes = self.write_bulk(vec![Command::SetTreeState { tree, from, to }])?;
        Ok(matches!(outcomes.first(), Some(Outcome::Done { .. })))
    }

    fn drop_data(&self, tree: TreeId) -> Result<usize, UpkeepError> {
        let mut removed = 0;
        loop {
            let rows = self.store.drop_blocks(tree, ROWS_PER_STEP)?;
            removed += rows;
            if rows < ROWS_PER_STEP {
                break;
            }
        }
        while !self.stopping() {
            let outcomes = self.write_bulk(vec![Command::DropData { tree, limit: ROWS_PER_STEP }])?;
            if !matches!(outcomes.first(), Some(Outcome::Done { more: true, .. })) {
                break;
            }
        }
        Ok(removed)
    }

    fn purge(&self, tree: TreeId) -> Result<usize, UpkeepError> {
        let mut removed = 0;
        loop {
            let rows = self.store.drop_blocks(tree, ROWS_PER_STEP)?;
            removed += rows;
            if rows < ROWS_PER_STEP {
                break;
            }
        }
        while !self.stopping() {
            let outcomes = self.write_bulk(vec![Command::Purge { tree, limit: ROWS_PER_STEP }])?;
            match outcomes.first() {
                Some(Outcome::Done { rows, more }) => {
                    removed += *rows as usize;
                    if !more {
                        break;
                    }
                }
                _ => break,
            }
        }
        Ok(removed)
    }

    /// The level of the groups' tops, if any level is above it.
    pub(super) fn group_level(shape: Shape) -> Level {
        Level(shape.height().saturating_sub(crate::merkle::GROUP_ORDER))
    }
}

/// Starts the background thread; it ends when the engine closes.
pub(super) fn start(core: Arc<Core>, wake: Receiver<()>) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("pouw-upkeep".into()).spawn(move || {
        while wake.recv().is_ok() {
            loop {
                if core.stopping() {
                    return;
                }
                match core.upkeep() {
                    Ok(done) if done.completed + done.removed > 0 => {}
                    Ok(_) => break,
                    Err(error) => {
                        if !core.stopping() {
                            core.emit(Event::StorageFailed { what: error.to_string(), recovered: true });
                        }
                        break;
                    }
                }
            }
        }
    })
}
