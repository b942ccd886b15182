//! Damage that was found before in this boot: each is reported and counted once.

use std::collections::{BTreeMap, HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::store::TreeNumber;

/// Most tiles with damaged leaves that are remembered. Leaves of further ones are in the reports of
/// their steps, and in no event.
const TILES_MAX: usize = 4_096;
/// Most damaged rows that are remembered.
const ROWS_MAX: usize = 1_024;
/// Most other findings that are remembered.
const OTHERS_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Known {
    tiles: BTreeMap<(TreeNumber, u64), u32>,
    /// Damaged rows by the digest of table and key, and whether this pass found them.
    rows: HashMap<u64, bool>,
    others: HashSet<u64>,
}

impl Known {
    /// Remembers damaged leaves of a tile. Returns those that were not known.
    pub(super) fn add(&mut self, tree: TreeNumber, tile: u64, mask: u32) -> u32 {
        if self.tiles.len() >= TILES_MAX && !self.tiles.contains_key(&(tree, tile)) {
            return 0;
        }
        let known = self.tiles.entry((tree, tile)).or_default();
        let news = mask & !*known;
        *known |= mask;
        news
    }

    /// These leaves are right: other damage to them is reported again.
    pub(super) fn forget(&mut self, tree: TreeNumber, tile: u64, mask: u32) {
        if let Some(known) = self.tiles.get_mut(&(tree, tile)) {
            *known &= !mask;
            if *known == 0 {
                self.tiles.remove(&(tree, tile));
            }
        }
    }

    /// A walk through all rows begins.
    pub(super) fn begin_rows(&mut self) {
        self.rows.values_mut().for_each(|found| *found = false);
    }

    /// Remembers a damaged row by its table and its key. Returns whether it was not known.
    pub(super) fn add_row(&mut self, (table, key): (&str, &[u8])) -> bool {
        let digest = xxh3_64(&[table.as_bytes(), &[0], key].concat());
        match self.rows.get_mut(&digest) {
            Some(found) => {
                *found = true;
                false
            }
            None => self.rows.len() < ROWS_MAX && self.rows.insert(digest, true).is_none(),
        }
    }

    /// All rows were read: those that were not found damaged are right, or gone. Other damage to
    /// them is reported again.
    pub(super) fn end_rows(&mut self) {
        self.rows.retain(|_, found| *found);
    }

    /// Remembers another finding by its text. Returns whether it was not known.
    pub(super) fn is_news(&mut self, what: &str) -> bool {
        self.others.len() < OTHERS_MAX && self.others.insert(xxh3_64(what.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_news_once_until_it_is_right_again_and_memory_is_bounded() {
        let mut known = Known::default();
        assert_eq!([known.add(1, 2, 0b11), known.add(1, 2, 0b110), known.add(1, 2, 0b111)], [0b11, 0b100, 0]);
        known.forget(1, 2, 0b10);
        known.forget(1, 3, u32::MAX);
        assert_eq!(known.add(1, 2, 0b111), 0b10);
        known.forget(1, 2, u32::MAX);
        for tile in 0..TILES_MAX as u64 {
            assert_eq!(known.add(7, tile, 1), 1);
        }
        assert_eq!((known.add(8, 0, 1), known.add(7, 0, 2)), (0, 2));
        let row = |at: u64| ("t-0", at.to_le_bytes());
        let mut add = |at: u64| known.add_row((row(at).0, &row(at).1));
        assert_eq!([add(1), add(1), add(2)], [true, false, true]);
        known.begin_rows();
        assert!(!known.add_row((row(2).0, &row(2).1)));
        known.end_rows();
        let mut add = |at: u64| known.add_row((row(at).0, &row(at).1));
        assert_eq!([add(2), add(1)], [false, true]);
        assert_eq!((3..ROWS_MAX as u64 * 2).filter(|at| add(*at)).count(), ROWS_MAX - 2);
        assert_eq!([known.is_news("a"), known.is_news("a")], [true, false]);
        let news = (0..OTHERS_MAX * 2).filter(|at| known.is_news(&at.to_string())).count();
        assert_eq!(news, OTHERS_MAX - 1);
    }
}
