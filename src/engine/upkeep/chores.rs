//! Chores of trees that are due.

use crate::engine::core::Core;
use crate::store::{StoreError, TreeNumber};

/// Most trees returned at once.
pub(super) const TREES_PER_ROUND: usize = 256;

/// The first trees behind `after` that `wanted` takes, up to a bound, with a chore of this kind
/// that they need. Chores that a tree does not need, and trees with a row that does not decode,
/// are passed over and reported once.
pub(in crate::engine) fn chores_due(
    core: &Core,
    kind: u8,
    mut after: Option<TreeNumber>,
    wanted: impl Fn(TreeNumber) -> bool,
) -> Result<Vec<TreeNumber>, StoreError> {
    let reader = core.store.read()?;
    let mut due = Vec::new();
    while due.len() < TREES_PER_ROUND && !core.writer.is_closing() {
        let page = reader.chores(kind, after, TREES_PER_ROUND)?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for tree in page.into_iter().filter(|tree| wanted(*tree)) {
            match reader.check_chore(kind, tree) {
                Ok(()) => due.push(tree),
                // Nothing is done because of a row that the tree contradicts.
                Err(error @ StoreError::Record { table: "chores-0", .. }) => {
                    core.events.corruption_later(None, error.to_string())
                }
                Err(error) if error.is_one_row() => core.events.corruption_later(Some(tree), error.to_string()),
                Err(error) => return Err(error),
            }
        }
    }
    due.truncate(TREES_PER_ROUND);
    Ok(due)
}
