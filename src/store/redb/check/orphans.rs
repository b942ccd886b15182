//! Rows of trees that neither exist nor are being removed.

use redb::{Key, ReadOnlyTable, Value};

use super::checker::Checker;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::schema::{
    Blocks, CHORE_PURGE, Claims, Damaged, Doubted, Hashes, Interior, Lengths, Provenance, Quorums, Sources, Sums, Tiles,
};
use crate::store::table::Table;

impl Checker<'_> {
    /// Jumps from tree to tree in each table, whatever the number of its rows.
    pub(super) fn orphans(&mut self) -> Result<(), StoreError> {
        let state = &self.state;
        let pair = |tree| (tree, 0_u64);
        let mut found = vec![
            (Hashes::NAME, self.ownerless(&state.hashes, u64::MAX, pair, |key| key.0)?),
            (Lengths::NAME, self.ownerless(&state.lengths, u64::MAX, pair, |key| key.0)?),
            (Tiles::NAME, self.ownerless(&state.tiles, u64::MAX, pair, |key| key.0)?),
            (Interior::NAME, self.ownerless(&state.interior, u64::MAX, |tree| (tree, 0, 0), |key| key.0)?),
        ];
        if let Some(trust) = &state.trust {
            found.push((Provenance::NAME, self.ownerless(&trust.provenance, u64::MAX, |tree| tree, |key| key)?));
            found.push((Claims::NAME, self.ownerless(&trust.claims, u64::MAX, pair, |key| key.0)?));
            found.push((Quorums::NAME, self.ownerless(&trust.quorums, u64::MAX, pair, |key| key.0)?));
            found.push((Doubted::NAME, self.ownerless(&trust.doubted, u64::MAX, pair, |key| key.0)?));
            found.push((Damaged::NAME, self.ownerless(&trust.damaged, u64::MAX, pair, |key| key.0)?));
        }
        if let Some(file) = &self.blocks {
            // From the next number on it is data of a tree whose row was never written.
            let next = self.head.next_tree;
            found.push((Blocks::NAME, self.ownerless(&file.blocks, next, |tree| (tree, 0), |key| key.0)?));
            found.push((Sources::NAME, self.ownerless(&file.sources, next, pair, |key| key.0)?));
            if let Some(sums) = &file.sums {
                found.push((Sums::NAME, self.ownerless(sums, next, pair, |key| key.0)?));
            }
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

    /// Trees below `end` with rows in `table` without an owner; at most
    /// [`super::report::CHECK_FINDINGS_SHOWN`].
    fn ownerless<K, V>(
        &self,
        table: &ReadOnlyTable<K, V>,
        end: u64,
        first_of: fn(u64) -> K,
        tree_of: fn(K) -> u64,
    ) -> Result<Vec<u64>, StoreError>
    where
        K: Key + for<'a> Value<SelfType<'a> = K> + 'static,
        V: Value + 'static,
    {
        let mut out = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let Some(entry) = table.range(first_of(at)..).db()?.next() else {
                break;
            };
            let tree = tree_of(entry.db()?.0.value());
            if tree >= end || out.len() == super::report::CHECK_FINDINGS_SHOWN {
                break;
            }
            let owned = self.state.trees.get(tree).db()?.is_some()
                || self.state.chores.get((CHORE_PURGE, tree)).db()?.is_some();
            if !owned {
                out.push(tree);
            }
            from = tree.checked_add(1);
        }
        Ok(out)
    }
}
