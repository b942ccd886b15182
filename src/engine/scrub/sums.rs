//! Checksums for the leaves of stores of the first build, which had none.
//!
//! Where the server knows the hash of a leaf, its bytes get a checksum if they hash to it. Where no
//! hash of its own is known, they get one as they are: what was damaged before stays unnoticed.

use crate::hash::hash_batch;
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::policy::ready::Loaded;
use crate::store::rows::{HashReason, HashWork, LeafState, ScrubPlace, SumRow, leaf_sum};
use crate::store::{BlocksWriter, LeafSum, Reader, StoreError, TreeNumber};

use super::data::{Tile, has_data};
use super::report::ScrubError;
use super::scrubber::TRIES;
use super::walk::Step;
use crate::engine::backlog::leaf_bytes::leaf_bytes;
use crate::engine::scrub::walk;

/// Rows of checksums that wait to be written, at most.
const ROWS_MAX: usize = 4_096;

impl Step<'_> {
    /// Makes checksums of leaves that have none. Returns the leaves that do not hash to what the
    /// server knows; their group gets none.
    pub(super) fn new_sums(&mut self, at: &Tile<'_>, mask: u32, data: &Loaded) -> Result<u32, ScrubError> {
        let count = mask.count_ones() as usize;
        if !self.core.store.leaf_sums(at.tree, data.first, count)?.contains(&LeafSum::Unknown) {
            return Ok(0);
        }
        let wrong = self.unlike_hashes(at, mask, data)?;
        if wrong == 0 {
            let sum =
                |(index, leaf): (usize, u64)| leaf_sum(at.tree, leaf, leaf_bytes(data, index).unwrap_or_default());
            let sums: Vec<u64> = (0..count).zip(data.first..).map(sum).collect();
            let group = data.first / GROUP_LEAVES;
            let in_group = at.row.leaves.saturating_sub(group * GROUP_LEAVES).min(GROUP_LEAVES);
            if !self.walk.sums.add(at.tree, data.first, &sums, in_group) {
                walk::leave_out(self.core, at.tree);
            }
        }
        Ok(wrong)
    }

    /// The leaves that do not hash to the hash that the server itself stored or was given as their
    /// address, one bit each.
    fn unlike_hashes(&self, at: &Tile<'_>, mask: u32, data: &Loaded) -> Result<u32, ScrubError> {
        let known =
            if at.row.strategy.knows_answers() { mask } else { mask & at.states(|state| state == LeafState::Verified) };
        let slot = |leaf: u64| leaf % TILE_LEAVES;
        let is_known = |(leaf, bytes): &(u64, &[u8])| known & (1 << slot(*leaf)) != 0 && !bytes.is_empty();
        let bytes = (0..data.ends.len()).map(|index| leaf_bytes(data, index).unwrap_or_default());
        let (leaves, bytes): (Vec<u64>, Vec<&[u8]>) = (data.first..).zip(bytes).filter(is_known).unzip();
        if leaves.is_empty() {
            return Ok(0);
        }
        let group = match at.reader.group(at.tree, data.first / GROUP_LEAVES) {
            Ok(group) => group,
            // The row is found among the rows; its leaves wait for it.
            Err(error) if error.is_of_the_place() => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let work = HashWork::of(bytes.iter().map(|leaf| leaf.len() as u64));
        self.core.clients.count_server(at.row.strategy.index(), HashReason::Referee, work);
        let unlike = leaves.into_iter().zip(hash_batch(&bytes));
        let unlike = unlike.filter(|(leaf, hash)| group.leaves.get((leaf % GROUP_LEAVES) as usize) != Some(hash));
        Ok(unlike.fold(0, |mask, (leaf, _)| mask | (1 << slot(leaf))))
    }

    /// Writes the checksums that wait, if there are many, or if the data of all trees was read.
    pub(super) fn flush_if_due(&mut self, place: &ScrubPlace) -> Result<(), ScrubError> {
        let rows = matches!(place, ScrubPlace::Rows { .. });
        if rows {
            self.drop_part();
        }
        if rows || self.walk.sums.rows.len() >= ROWS_MAX { self.flush_sums() } else { Ok(()) }
    }

    /// Gives up a group of which only the first leaves have new checksums.
    pub(super) fn drop_part(&mut self) {
        if let Some((tree, _, _)) = self.walk.sums.part.take() {
            walk::leave_out(self.core, tree);
        }
    }

    /// The group of this leaf gets no checksums in this pass, if it has none.
    pub(super) fn leave_out(&mut self, tree: TreeNumber, leaf: u64) {
        self.drop_part();
        let sums = self.core.store.leaf_sums(tree, leaf, 1);
        if sums.is_ok_and(|sums| sums.contains(&LeafSum::Unknown)) {
            walk::leave_out(self.core, tree);
        }
    }

    /// Writes the checksums that wait. Meanwhile no ingest writes, no tree is forgotten and no data
    /// dropped. Those that cannot be written are tried again, and then left to the next pass.
    pub(super) fn flush_sums(&mut self) -> Result<(), ScrubError> {
        let Some((first, _, _)) = self.walk.sums.rows.first() else { return Ok(()) };
        let first = *first;
        if !walk::progress_covers(self.core, first) {
            // First, so that a check knows why some groups of a tree have checksums and others not.
            walk::write_progress(self.core)?;
        }
        let rows = std::mem::take(&mut self.walk.sums.rows);
        let error = match self.write_sums(&rows) {
            Ok(added) => {
                self.report.sums_added += added;
                self.walk.sums.failed = 0;
                return Ok(());
            }
            Err(error) => error,
        };
        self.walk.sums.failed += 1;
        let damaged = error.is_of_the_place();
        if !damaged && (self.walk.sums.failed < TRIES || self.core.writer.takes_no_writes()) {
            self.walk.sums.rows = rows;
            return Err(error.into());
        }
        self.walk.sums.failed = 0;
        walk::leave_out(self.core, first);
        if damaged {
            self.damaged_row(None, ("sums-0", &[]), &error.to_string());
        }
        Ok(())
    }

    /// Returns how many were added.
    fn write_sums(&self, rows: &[(TreeNumber, u64, SumRow)]) -> Result<u64, StoreError> {
        let core = self.core;
        let _alone = core.turns.both_files.write();
        let reader = core.store.read()?;
        let mut writer = BlocksWriter::new(&*core.store);
        let mut added = 0;
        let mut of: Option<(TreeNumber, bool)> = None;
        for (tree, group, row) in rows {
            let there = match of {
                Some((known, there)) if known == *tree => there,
                _ => match has_data_still(&*reader, *tree) {
                    // What cannot be read of a tree is found among the rows.
                    Err(error) if error.is_of_the_place() => {
                        walk::leave_out(core, *tree);
                        false
                    }
                    there => there?,
                },
            };
            of = Some((*tree, there));
            let lacks = core.store.leaf_sums(*tree, group * GROUP_LEAVES, 1)?.contains(&LeafSum::Unknown);
            if there && lacks {
                writer.put_sums(*tree, *group, row.clone());
                added += row.leaves.len() as u64;
            }
        }
        writer.commit()?;
        Ok(added)
    }
}

fn has_data_still(reader: &dyn Reader, tree: TreeNumber) -> Result<bool, StoreError> {
    reader.tree(tree)?.map_or(Ok(false), |row| has_data(reader, tree, &row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ingest::IngestOptions;
    use crate::engine::scrub::ScrubBudget;
    use crate::engine::scrub::new_sums::NewSums;
    use crate::engine::{Config, ConfigBuilder, PouwEngine};
    use crate::store::plant_tree;
    use crate::store::rows::Exposure;

    fn config() -> ConfigBuilder {
        Config::builder([7; 32]).background(false)
    }

    #[test]
    fn checksums_of_a_tree_that_cannot_be_read_hold_up_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let engine = PouwEngine::open(directory.path(), config().build().unwrap()).unwrap();
        engine.ingest_bytes(&IngestOptions::new(Exposure::Public), "t", &[1; 5_000]).unwrap();
        engine.close();
        plant_tree(&directory.path().join("state.redb"), 5, &[9; 20]);
        let engine = PouwEngine::open(directory.path(), config().build().unwrap()).unwrap();
        let waiting = |tree| (tree, 0, SumRow { leaves: vec![1] });
        engine.core().scrub.walk.lock().sums.rows = vec![waiting(3), waiting(5)];
        let report = engine.scrub(ScrubBudget::bytes(1 << 20)).unwrap();
        assert_eq!((report.damaged, report.damaged_rows, report.pass_ended), (0, 1, true), "{report:?}");
        assert!(engine.core().scrub.walk.lock().sums.rows.is_empty());
        assert_eq!(engine.core().scrub.progress.lock().row().left_out, Some(5));
    }

    #[test]
    fn a_group_read_in_pieces_is_one_row_and_one_without_its_beginning_is_none() {
        let mut sums = NewSums::default();
        sums.add(3, 16, &[1, 2], 16);
        assert_eq!(sums.begin(), Some((3, 16)));
        sums.add(3, 18, &[3; 14], 16);
        assert!(sums.part.is_none() && sums.rows.len() == 1 && sums.rows[0].2.leaves.len() == 16);
        sums.add(3, 32, &[1], 2);
        sums.add(3, 34, &[1], 2);
        assert!(sums.part.is_none() && sums.rows.len() == 1);
        sums.add(4, 0, &[9], 1);
        assert_eq!((sums.rows.len(), sums.begin()), (2, Some((3, 16))));
    }
}
