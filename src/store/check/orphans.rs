//! Rows of trees that neither exist nor are being removed.

use super::checker::{Checker, Files};
use super::report::CHECK_FINDINGS_SHOWN;
use crate::store::error::StoreError;
use crate::store::key::TreeKey;
use crate::store::port::{BlockView, Rows, View};
use crate::store::schema::{
    Blocks, CHORE_PURGE, Chores, Claims, Damaged, Doubted, Hashes, Interior, Lengths, Provenance, Quorums, Sources,
    Sums, Tiles, Trees,
};
use crate::store::table::Table;

/// A table, and trees with rows in it without an owner.
type Ownerless = (&'static str, Vec<u64>);

impl Checker<'_> {
    /// Jumps from tree to tree in each table, whatever the number of its rows.
    pub(super) fn orphans(&mut self, files: Files<'_, impl View, impl BlockView>) -> Result<(), StoreError> {
        let state = files.state;
        let mut found = vec![
            ownerless(state, (state, Hashes), u64::MAX)?,
            ownerless(state, (state, Lengths), u64::MAX)?,
            ownerless(state, (state, Tiles), u64::MAX)?,
            ownerless(state, (state, Interior), u64::MAX)?,
        ];
        if self.has_trust {
            found.push(ownerless(state, (state, Provenance), u64::MAX)?);
            found.push(ownerless(state, (state, Claims), u64::MAX)?);
            found.push(ownerless(state, (state, Quorums), u64::MAX)?);
            found.push(ownerless(state, (state, Doubted), u64::MAX)?);
            found.push(ownerless(state, (state, Damaged), u64::MAX)?);
        }
        if let Some(blocks) = files.blocks {
            // From the next number on it is data of a tree whose row was never written.
            let next = self.head.next_tree;
            found.push(ownerless(state, (blocks, Blocks), next)?);
            found.push(ownerless(state, (blocks, Sources), next)?);
            found.push(ownerless(state, (blocks, Sums), next)?);
        }
        for (table, trees) in found {
            for tree in trees {
                self.find(format!(
                    "{table} rows of tree {tree}: there is no such tree, and none is being removed; they are left over, \
                     run: pouw repair"
                ));
            }
        }
        Ok(())
    }
}

/// Trees below `end` with rows in `table` without an owner; at most [`CHECK_FINDINGS_SHOWN`].
fn ownerless<T: Table<Key: TreeKey>>(
    state: &impl View,
    (rows, table): (&impl Rows<T>, T),
    end: u64,
) -> Result<Ownerless, StoreError> {
    let mut out = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let Some(key) = rows.first_key(table, T::Key::first_of(at)..)? else {
            break;
        };
        let tree = key.tree();
        if tree >= end || out.len() == CHECK_FINDINGS_SHOWN {
            break;
        }
        let owned = state.has(Trees, &tree)? || state.has(Chores, &(CHORE_PURGE, tree))?;
        if !owned {
            out.push(tree);
        }
        from = tree.checked_add(1);
    }
    Ok((T::NAME, out))
}
