//! Damage that was found before in this boot: each is reported and counted once.

use std::collections::{BTreeMap, HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::store::TreeNumber;

/// Most tiles with damaged leaves that are remembered. Leaves of further ones are counted each
/// time, and are one event together.
const TILES_MAX: usize = 4_096;
/// Most damaged rows that are remembered; further ones likewise.
const ROWS_MAX: usize = 1_024;
/// Most other findings that are remembered; further ones likewise.
const OTHERS_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Known {
    tiles: BTreeMap<(TreeNumber, u64), u32>,
    /// Damaged rows by the digest of table and key, and whether this pass found them.
    rows: HashMap<u64, bool>,
    others: HashSet<u64>,
    /// It was reported that there is more than is remembered.
    full: bool,
}

/// A finding that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is remembered from now on.
    New,
    /// There is no room to remember it.
    Beyond,
}

impl Known {
    /// Remembers damaged leaves of a tile. Returns those that were not known.
    pub(super) fn add(&mut self, tree: TreeNumber, tile: u64, mask: u32) -> (u32, News) {
        if self.tiles.len() >= TILES_MAX && !self.tiles.contains_key(&(tree, tile)) {
            return (mask, News::Beyond);
        }
        let known = self.tiles.entry((tree, tile)).or_default();
        let news = mask & !*known;
        *known |= mask;
        (news, News::New)
    }

    /// These leaves are right: other damage to them is reported again.
    pub(super) fn forget(&mut self, tree: TreeNumber, tile: u64, mask: u32) {
        if let Some(known) = self.tiles.get_mut(&(tree, tile)) {
            *known &= !mask;
            if *known == 0 {
                self.tiles.remove(&(tree, tile));
                self.full = false;
            }
        }
    }

    /// A walk through all rows begins.
    pub(super) fn begin_rows(&mut self) {
        self.rows.values_mut().for_each(|found| *found = false);
    }

    /// Remembers a damaged row by its table and its key. `None` if it is known.
    pub(super) fn add_row(&mut self, (table, key): (&str, &[u8])) -> Option<News> {
        let digest = xxh3_64(&[table.as_bytes(), &[0], key].concat());
        if let Some(found) = self.rows.get_mut(&digest) {
            *found = true;
            return None;
        }
        if self.rows.len() >= ROWS_MAX {
            return Some(News::Beyond);
        }
        self.rows.insert(digest, true);
        Some(News::New)
    }

    /// All rows were read: those that were not found damaged are right, or gone. Other damage to
    /// them is reported again.
    pub(super) fn end_rows(&mut self) {
        let known = self.rows.len();
        self.rows.retain(|_, found| *found);
        self.full &= self.rows.len() == known;
    }

    /// Remembers another finding by its text. `None` if it is known.
    pub(super) fn add_other(&mut self, what: &str) -> Option<News> {
        let digest = xxh3_64(what.as_bytes());
        if self.others.contains(&digest) {
            return None;
        }
        if self.others.len() >= OTHERS_MAX {
            return Some(News::Beyond);
        }
        self.others.insert(digest);
        Some(News::New)
    }

    /// The text of the event of a finding; `None` if it gets none.
    pub(super) fn text(&mut self, news: News, what: &str) -> Option<String> {
        match news {
            News::New => Some(what.to_owned()),
            News::Beyond if std::mem::replace(&mut self.full, true) => None,
            News::Beyond => Some(format!(
                "{what}; more damage than scrubbing reports singly: `pouw scrub` and `pouw_scrub_damaged_total` count it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(known: &mut Known, at: usize) -> Option<News> {
        known.add_row(("t-0", &at.to_le_bytes()))
    }

    #[test]
    fn a_leaf_is_news_once_until_it_is_right_again_and_memory_is_bounded() {
        let mut known = Known::default();
        let added = [known.add(1, 2, 0b11), known.add(1, 2, 0b110), known.add(1, 2, 0b111)];
        assert_eq!(added, [0b11, 0b100, 0].map(|news| (news, News::New)));
        known.forget(1, 2, 0b10);
        known.forget(1, 3, u32::MAX);
        assert_eq!(known.add(1, 2, 0b111).0, 0b10);
        known.forget(1, 2, u32::MAX);
        for tile in 0..TILES_MAX as u64 {
            assert_eq!(known.add(7, tile, 1), (1, News::New));
        }
        assert_eq!([known.add(8, 0, 1), known.add(7, 0, 2)], [(1, News::Beyond), (2, News::New)]);
        assert_eq!([known.add_other("a"), known.add_other("a")], [Some(News::New), None]);
        let new = (0..OTHERS_MAX * 2).filter(|at| known.add_other(&at.to_string()) == Some(News::New));
        assert_eq!(new.count(), OTHERS_MAX - 1);
    }

    #[test]
    fn a_row_is_news_until_a_walk_through_all_rows_does_not_find_it() {
        let mut known = Known::default();
        assert_eq!([1, 1, 2].map(|at| row(&mut known, at)), [Some(News::New), None, Some(News::New)]);
        known.begin_rows();
        assert_eq!(row(&mut known, 2), None);
        known.end_rows();
        assert_eq!([2, 1].map(|at| row(&mut known, at)), [None, Some(News::New)]);
        assert_eq!((3..=ROWS_MAX).filter(|at| row(&mut known, *at) == Some(News::New)).count(), ROWS_MAX - 2);
        assert_eq!([5_000, 5_000].map(|at| row(&mut known, at)), [Some(News::Beyond); 2]);
    }

    #[test]
    fn damage_beyond_the_bounds_is_one_event_until_there_is_room() {
        let mut known = Known::default();
        (0..ROWS_MAX).for_each(|at| assert_eq!(row(&mut known, at), Some(News::New)));
        assert_eq!(known.text(News::New, "x"), Some("x".to_owned()));
        assert!(known.text(News::Beyond, "x").is_some_and(|text| text.starts_with("x; more damage")));
        assert_eq!(known.text(News::Beyond, "x"), None);
        known.begin_rows();
        known.end_rows();
        assert!(known.text(News::Beyond, "x").is_some());
    }
}
