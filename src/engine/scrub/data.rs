//! Block data: a part of a group of leaves at a time, compared with the checksums of its ingest.

use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::policy::ready::Loaded;
use crate::store::rows::{DataPlace, LeafState, ScrubPlace, TileRow, TreeRow, TreeState};
use crate::store::{CHORE_DROP, Reader, StoreError, TreeNumber};

use super::known::News;
use super::report::ScrubError;
use super::walk::{LEAST_COST, Step};
use crate::engine::backlog::damaged;
use crate::engine::backlog::leaf_bytes::{LoadError, damage_text, first_run, load_tile, stored_lengths};
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;

/// A tile of a tree that is being read.
pub(super) struct Tile<'t> {
    pub(super) reader: &'t dyn Reader,
    pub(super) tree: TreeNumber,
    pub(super) row: &'t TreeRow,
    pub(super) tile: u64,
    /// `None` if its row cannot be read.
    pub(super) states: Option<TileRow>,
    /// Stored bytes of each leaf.
    pub(super) lengths: Vec<u64>,
}

impl Tile<'_> {
    /// Stored bytes of the leaves from the first to the last one set in `mask`.
    fn bytes(&self, mask: u32) -> u64 {
        let (from, to) = (mask.trailing_zeros() as usize, (u32::BITS - mask.leading_zeros()) as usize);
        self.lengths.iter().take(to).skip(from).sum()
    }

    /// The leaves whose state is `right`, one bit each; none if the states cannot be read.
    pub(super) fn states(&self, right: impl Fn(LeafState) -> bool) -> u32 {
        self.states.as_ref().map_or(0, |states| states.mask(TILE_LEAVES, right))
    }
}

/// Whether the tree has data that is meant to stay. A tree that is coming in is compared when its
/// ingest goes on.
pub(super) fn has_data(reader: &dyn Reader, tree: TreeNumber, row: &TreeRow) -> Result<bool, StoreError> {
    let there = row.data != DataPlace::Dropped && row.state != TreeState::Ingesting;
    Ok(there && !reader.has_chore(CHORE_DROP, tree)?)
}

impl Step<'_> {
    /// Reads some leaves from this one on. Returns where to go on.
    pub(super) fn data(&mut self, tree: TreeNumber, leaf: u64) -> Result<Option<ScrubPlace>, ScrubError> {
        match self.try_data(tree, leaf) {
            Ok(next) => Ok(Some(next)),
            Err(ScrubError::Store(error)) if error.is_of_the_place() => {
                Ok(self.pass_over(&ScrubPlace::Data { tree, leaf }, &error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    fn try_data(&mut self, tree: TreeNumber, leaf: u64) -> Result<ScrubPlace, ScrubError> {
        let reader = self.core.store.read()?;
        let Some((number, row)) = reader.next_tree(tree)? else {
            return Ok(ScrubPlace::Rows { table: 0, key: Vec::new() });
        };
        let leaf = if number == tree { leaf } else { 0 };
        // A row that does not decode is found among the rows; without it nothing says where its
        // data is.
        let row = row.ok().filter(|row| leaf < row.leaves);
        let row = match row {
            Some(row) if has_data(&*reader, number, &row)? => row,
            _ => {
                self.spend(LEAST_COST);
                return Ok(behind_tree(number));
            }
        };
        let tile = leaf / TILE_LEAVES;
        let states = match reader.tile(number, tile) {
            Ok(states) => Some(states),
            Err(error) if error.is_of_the_place() => None,
            Err(error) => return Err(error.into()),
        };
        let lengths = stored_lengths(&*reader, number, &row, tile)?;
        let at = Tile { reader: &*reader, tree: number, row: &row, tile, states, lengths };
        let mask = self.within_budget(&at, leaf % TILE_LEAVES);
        self.read(&at, mask)?;
        self.report.leaves += u64::from(mask.count_ones());
        Ok(behind(number, &row, leaf + u64::from(mask.count_ones())))
    }

    /// Leaves from `slot` on, at least one, of the same group, as far as the budget allows.
    fn within_budget(&self, at: &Tile<'_>, slot: u64) -> u32 {
        let end = (slot / GROUP_LEAVES + 1) * GROUP_LEAVES;
        let (mut mask, mut bytes) = (0, 0);
        for (slot, length) in (0..end).zip(&at.lengths).skip(slot as usize) {
            bytes += length;
            if mask != 0 && bytes > self.left {
                break;
            }
            mask |= 1 << slot;
        }
        // A layout that is shorter than the tree says would not move on.
        if mask == 0 { 1 << slot } else { mask }
    }

    /// Reads neighbouring leaves. What cannot be read is read in halves, so that one bad file or
    /// row affects its own leaves only.
    fn read(&mut self, at: &Tile<'_>, mask: u32) -> Result<(), ScrubError> {
        let mut loaded = self.load(at, mask);
        if matches!(loaded, Err(LoadError::Damaged { .. })) {
            // The same content may have been given again between two reads of it.
            loaded = self.load(at, mask);
        }
        match loaded {
            Ok(data) => self.right(at, mask, &data),
            Err(LoadError::Damaged { mask: damaged, .. }) => {
                self.walk.known.forget(at.tree, at.tile, mask & !damaged);
                let text = |leaf: u64| damage_text(&at.row.name, at.tile, 1 << (leaf % TILE_LEAVES));
                self.wrong(at, damaged, &damage_text(&at.row.name, at.tile, damaged), text)
            }
            Err(LoadError::Store(error)) if !error.is_of_the_place() => Err(error.into()),
            Err(error) if mask.is_power_of_two() => match error {
                LoadError::Source(what) => self.unreadable(at, mask, &what),
                LoadError::Store(_) | LoadError::Damaged { .. } => {
                    let text = error.to_string();
                    self.wrong(at, mask, &text, |_| text.clone())
                }
            },
            Err(_) => {
                let low = mask & ((1 << (mask.trailing_zeros() + mask.count_ones() / 2)) - 1);
                self.read(at, low)?;
                self.read(at, mask & !low)
            }
        }
    }

    fn load(&mut self, at: &Tile<'_>, mask: u32) -> Result<Loaded, LoadError> {
        let bytes = at.bytes(mask);
        self.report.bytes += bytes;
        self.spend(bytes);
        load_tile(&*self.core.store, at.reader, at.tree, at.row, at.tile, mask)
    }

    /// These leaves are as they came in, as far as checksums say.
    fn right(&mut self, at: &Tile<'_>, mask: u32, data: &Loaded) -> Result<(), ScrubError> {
        let wrong = self.new_sums(at, mask, data)?;
        self.walk.known.forget(at.tree, at.tile, mask & !wrong);
        let text = |leaf: u64| format!("leaf {leaf} of tree {:?} does not hash to the stored answer", at.row.name);
        let mut left = wrong;
        while left != 0 {
            let (run, rest) = first_run(left);
            left = rest;
            let first = at.tile * TILE_LEAVES + u64::from(run.trailing_zeros());
            self.wrong(at, run, &text(first), text)?;
        }
        Ok(())
    }

    /// Counts and reports damaged leaves. Pending ones are taken out of the queue and marked.
    fn wrong(&mut self, at: &Tile<'_>, mask: u32, why: &str, text: impl Fn(u64) -> String) -> Result<(), ScrubError> {
        if mask == 0 || self.is_gone(at)? {
            return Ok(());
        }
        self.leave_out(at.tree, at.tile * TILE_LEAVES + u64::from(mask.trailing_zeros()));
        self.report.damaged += u64::from(mask.count_ones());
        for leaf in leaves(at.tile, mask) {
            self.report.find(Some(&at.row.name), Some(leaf), text(leaf));
        }
        // A client that has a leaf was sent the right bytes, and may bring its hash.
        let out = self.core.queue.lock().leases.tile_mask(at.tree, at.tile);
        let pending = at.states(|state| state == LeafState::Pending) & mask;
        let (news, kind) = self.walk.known.add(at.tree, at.tile, mask & !(pending & out));
        self.core.scrub.count_news(news.count_ones().into());
        if pending & !out != 0 {
            damaged::damaged(self.core, at.tree, at.tile, pending & !out, why);
        }
        // Marked ones were reported when they were marked.
        let done = news & !pending & !at.states(|state| state == LeafState::Damaged);
        let what = if done == mask { why.to_owned() } else { damage_text(&at.row.name, at.tile, done) };
        if done != 0
            && let Some(what) = self.walk.known.text(kind, &what)
        {
            self.core.events.later(Event::CorruptionFound { tree: Some(TreeId::new(at.tree)), what });
        }
        Ok(())
    }

    /// The same for leaves whose file is missing or was changed.
    fn unreadable(&mut self, at: &Tile<'_>, mask: u32, what: &str) -> Result<(), ScrubError> {
        if self.is_gone(at)? {
            return Ok(());
        }
        self.leave_out(at.tree, at.tile * TILE_LEAVES + u64::from(mask.trailing_zeros()));
        self.report.unreadable += u64::from(mask.count_ones());
        leaves(at.tile, mask).for_each(|leaf| self.report.find(Some(&at.row.name), Some(leaf), what));
        let now_ms = self.core.time.now_ms();
        let pending = at.states(|state| state == LeafState::Pending) & mask;
        let (news, kind) = self.walk.known.add(at.tree, at.tile, mask);
        self.core.scrub.count_news(news.count_ones().into());
        let blocked = {
            let mut queue = self.core.queue.lock();
            let pending = pending & !queue.leases.tile_mask(at.tree, at.tile);
            pending != 0 && queue.block(at.tree, at.tile, pending, what, now_ms)
        };
        let known = &mut self.walk.known;
        // One file may be to blame for many leaves.
        let other = if pending != mask && news != 0 { known.add_other(&format!("{} {what}", at.tree)) } else { None };
        let told = match other {
            _ if blocked => Some(what.to_owned()),
            Some(News::New) => known.text(kind, what),
            Some(News::Beyond) => known.text(News::Beyond, what),
            None => None,
        };
        if let Some(what) = told {
            self.core.events.later(Event::SourceChanged { tree: TreeId::new(at.tree), what });
        }
        Ok(())
    }

    /// Whether the tree was forgotten, or its data given up, while it was read.
    fn is_gone(&self, at: &Tile<'_>) -> Result<bool, ScrubError> {
        let reader = self.core.store.read()?;
        let row = match reader.tree(at.tree) {
            Err(error) if error.is_of_the_place() => return Ok(false),
            row => row?,
        };
        Ok(match row {
            Some(row) => !has_data(&*reader, at.tree, &row)?,
            None => true,
        })
    }

    /// Goes on behind a place that cannot be read, and counts it as damaged. Returns `None` if that
    /// was the last one.
    pub(super) fn pass_over(&mut self, place: &ScrubPlace, what: &str) -> Option<ScrubPlace> {
        self.spend(LEAST_COST);
        self.drop_part();
        let &ScrubPlace::Data { tree, leaf } = place else {
            let ScrubPlace::Rows { table, key } = place else { return None };
            self.damaged_row(None, (&format!("table {table}"), key), what);
            self.pass_by(1);
            return Some(ScrubPlace::Rows { table: table.checked_add(1)?, key: Vec::new() });
        };
        let found = self.core.store.read().and_then(|reader| reader.next_tree(tree));
        let Ok(Some((number, Ok(row)))) = found else {
            // Without their rows nothing says where the data of trees is.
            self.damaged_row(None, ("trees-0", &tree.to_le_bytes()), what);
            self.pass_by(1);
            let next = self.core.store.read().and_then(|reader| reader.next_readable_tree(tree));
            return Some(match next {
                Ok(Some(tree)) => ScrubPlace::Data { tree, leaf: 0 },
                _ => ScrubPlace::Rows { table: 0, key: Vec::new() },
            });
        };
        let leaf = if number == tree { leaf } else { 0 };
        if leaf < row.leaves {
            self.leave_out(number, leaf);
            self.report.damaged += 1;
            self.report.find(Some(&row.name), Some(leaf), what);
            if let Some(news) = self.walk.known.add_other(&format!("{number} {what}")) {
                self.report_row(Some(number), news, what);
            }
        }
        Some(behind(number, &row, leaf + 1))
    }

    /// Counts pages that were passed over.
    pub(super) fn pass_by(&mut self, pages: u64) {
        self.report.passed_over += pages;
        self.core.scrub.progress.lock().edit().passed_over += pages;
    }

    /// Counts a damaged row, and reports it unless it is known. `row` is its table and its key.
    pub(super) fn damaged_row(&mut self, tree: Option<TreeNumber>, row: (&str, &[u8]), what: &str) {
        self.report.damaged_rows += 1;
        let of = tree.and_then(|tree| self.core.store.read().ok()?.tree(tree).ok()?);
        self.report.find(of.as_ref().map(|row| &*row.name), None, what);
        if let Some(news) = self.walk.known.add_row(row) {
            self.report_row(tree, news, what);
        }
    }

    fn report_row(&mut self, tree: Option<TreeNumber>, news: News, what: &str) {
        self.core.scrub.count_news(1);
        if let Some(what) = self.walk.known.text(news, what) {
            self.core.events.later(Event::CorruptionFound { tree: tree.map(TreeId::new), what });
        }
    }
}

/// The place of the next leaf.
fn behind(tree: TreeNumber, row: &TreeRow, leaf: u64) -> ScrubPlace {
    if leaf < row.leaves { ScrubPlace::Data { tree, leaf } } else { behind_tree(tree) }
}

/// The first leaf of the next tree; the rows, if no number is higher.
fn behind_tree(tree: TreeNumber) -> ScrubPlace {
    match tree.checked_add(1) {
        Some(tree) => ScrubPlace::Data { tree, leaf: 0 },
        None => ScrubPlace::Rows { table: 0, key: Vec::new() },
    }
}

/// Numbers of the leaves of a tile that are set in `mask`.
fn leaves(tile: u64, mask: u32) -> impl Iterator<Item = u64> {
    (0..TILE_LEAVES).filter(move |slot| mask & (1 << slot) != 0).map(move |slot| tile * TILE_LEAVES + slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_highest_number_of_a_tree_are_the_rows() {
        assert_eq!(behind_tree(7), ScrubPlace::Data { tree: 8, leaf: 0 });
        assert_eq!(behind_tree(u64::MAX), ScrubPlace::Rows { table: 0, key: Vec::new() });
    }
}
