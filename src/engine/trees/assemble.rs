//! Finished trees: their parents are folded and compared with the root, and the verdict is stored.
//! A tree with a damaged row keeps no other tree.

use crate::hash::Checksum;
use crate::merkle::Shape;
use crate::store::rows::{HashReason, HashWork, TreeRow, TreeState};
use crate::store::{CHORE_ASSEMBLE, CHORE_FOLD, Command, Outcome, StoreError, TreeNumber};

use crate::engine::backlog::interior::tile_level;
use crate::engine::core::Core;
use crate::engine::error::{TreeError, WriteError};
use crate::engine::event::Event;
use crate::engine::tallies::bump;
use crate::engine::tree_id::TreeId;
use crate::engine::trees::stored;
use crate::engine::upkeep::chores;
use crate::engine::upkeep::report::UpkeepError;

/// Parents hashed (roughly) in one step.
const PARENTS_PER_ROUND: u64 = 1 << 20;

/// The new state of a tree, and its root if it was not known before.
type Judgement = (TreeState, Option<Checksum>);

/// What is to be stored of a tree whose leaves are all done.
struct Verdict {
    tree: TreeNumber,
    to: TreeState,
    root: Option<Checksum>,
    name: String,
}

/// Hands trees to the server's own folding whose interior nodes were being issued when
/// `interior_units` was turned off.
pub(in crate::engine) fn take_over_folding(core: &Core) -> Result<(), UpkeepError> {
    if core.config.settings.interior_units {
        return Ok(());
    }
    let trees = chores::chores_due(core, CHORE_FOLD, None, |_| true)?;
    let (from, to) = (TreeState::Folding, TreeState::Assembling);
    let command = |tree: &TreeNumber| Command::SetTreeState { tree: *tree, from, to, root: None };
    let commands: Vec<Command> = trees.iter().map(command).collect();
    let mut fates = Vec::new();
    let written = core.writer.write_each(&commands, &mut fates);
    for (tree, fate) in trees.into_iter().zip(fates) {
        if let Err(what) = fate {
            core.events.corruption_later(Some(tree), what);
        }
    }
    Ok(written?)
}

/// Folds and validates trees whose leaves are all done, and stores the verdicts together.
/// Returns how many became complete. Those whose leaves may be corrected wait while an export
/// verifies leaves.
pub(in crate::engine) fn assemble(core: &Core, free: bool, pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
    let mut verdicts = Vec::new();
    let mut parents = 0;
    let mut failure = None;
    let now_ms = core.time.now_ms();
    for tree in chores::chores_due(core, CHORE_ASSEMBLE, None, |tree| core.doubts.unstored.lock().is_due(tree, now_ms))?
    {
        if core.writer.is_closing() || parents > PARENTS_PER_ROUND || (!verdicts.is_empty() && pause()) {
            break;
        }
        let judged = core.store.read().and_then(|reader| reader.tree(tree)).and_then(|row| {
            let row = row.filter(|row| row.state == TreeState::Assembling);
            let row = row.filter(|row| free || row.strategy.knows_answers());
            row.map(|row| Ok((row.leaves, judge_tree(core, tree, &row)?, row.name))).transpose()
        });
        match judged {
            Ok(None) => {}
            Ok(Some((leaves, (to, root), name))) => {
                parents += leaves;
                verdicts.push(Verdict { tree, to, root, name });
            }
            // Its own row is damaged: this tree cannot be judged, the others go on.
            Err(error) if error.is_one_row() => {
                core.events.corruption(Some(tree), error.to_string());
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let completed = store_verdicts(core, verdicts)?;
    failure.map_or(Ok(completed), |error| Err(error.into()))
}

/// Stores verdicts. One that a row does not allow is put off, since judging the tree again
/// costs much, and keeps no other.
fn store_verdicts(core: &Core, verdicts: Vec<Verdict>) -> Result<usize, WriteError> {
    if verdicts.is_empty() {
        return Ok(0);
    }
    let from = TreeState::Assembling;
    let command =
        |verdict: &Verdict| Command::SetTreeState { tree: verdict.tree, from, to: verdict.to, root: verdict.root };
    let commands: Vec<Command> = verdicts.iter().map(command).collect();
    let mut fates = Vec::new();
    let written = core.writer.write_each(&commands, &mut fates);
    let mut completed = 0;
    for (Verdict { tree, to, name, .. }, fate) in verdicts.into_iter().zip(fates) {
        let outcome = match fate {
            Ok(outcome) => outcome,
            Err(what) => {
                core.doubts.unstored.lock().failed(tree, &what, core.time.now_ms());
                core.events.corruption_later(Some(tree), what);
                continue;
            }
        };
        core.doubts.unstored.lock().forget(tree);
        if to != TreeState::Folding {
            core.queue.lock().complete(tree);
        }
        if to == TreeState::Complete && matches!(outcome, Outcome::Done { .. }) {
            core.events.later(Event::TreeCompleted { tree: TreeId::new(tree), name });
            completed += 1;
        }
    }
    written.map(|()| completed)
}

/// Returns the new state of a tree whose leaves are all done.
fn judge_tree(core: &Core, tree: TreeNumber, row: &TreeRow) -> Result<Judgement, StoreError> {
    let upper = Shape::new(row.leaves).ok().and_then(tile_level);
    if core.config.settings.interior_units && upper.is_some() && row.interior_done == 0 {
        return Ok((TreeState::Folding, None));
    }
    match stored::validate_row(core, tree, row) {
        Ok((folds, root)) => {
            bump(&core.tallies.server_folds, folds);
            core.clients.count_server(row.strategy.index(), HashReason::Folding, HashWork::of_parents(folds, 0));
            Ok((TreeState::Complete, (!row.strategy.knows_answers()).then_some(root)))
        }
        Err(TreeError::Inconsistent { at, .. }) => {
            let what = format!("tree {:?} at level {}, index {}", row.name, at.level.0, at.index);
            core.events.corruption(Some(tree), what);
            Ok((TreeState::Inconsistent, None))
        }
        Err(TreeError::Store(error)) if error.is_one_row() => {
            core.events.corruption(Some(tree), error.to_string());
            Ok((TreeState::Inconsistent, None))
        }
        Err(TreeError::Store(error)) => Err(error),
        Err(other) => Err(StoreError::Contradiction { what: other.to_string() }),
    }
}
