//! What mending did.

use serde::Serialize;

/// What mending did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MendReport {
    /// Nothing was changed: the numbers say what would be done.
    pub dry_run: bool,
    /// Trees whose block data was left over.
    pub leftover_data: u64,
    /// Trees of which only rows were left, without a note that they are to be removed.
    pub leftover_rows: u64,
    /// Trees whose removal, or the removal of whose data, had not been finished.
    pub removals: u64,
    /// Rows that follow from others and did not fit these: removed, or written again.
    pub derived: u64,
    /// Sums in the head that did not fit the rows, and rows that led to entries it no longer has.
    pub sums: u64,
    /// Rows removed; 0 in a dry run.
    pub rows_removed: u64,
    /// Trees of which rows are left that something refers to, trees with counts and states that are
    /// both damaged, two trees of one name, and block data on or beside a page that cannot be read:
    /// the steps say what to do.
    pub not_mended: u64,
    /// The first [`MEND_STEPS_SHOWN`] steps: what is not mended, then what is.
    pub steps: Vec<MendStep>,
}

/// Something mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct MendStep {
    /// The tree, and what was wrong with it.
    pub what: String,
}

/// Steps listed one by one; all are counted.
pub const MEND_STEPS_SHOWN: usize = 100;

impl MendReport {
    /// Whether there was nothing to mend.
    pub fn is_clean(&self) -> bool {
        self.leftover_data + self.leftover_rows + self.removals + self.derived + self.sums + self.not_mended == 0
    }

    /// What is not mended comes before what is.
    pub(super) fn stays(&mut self, what: String) {
        let at = usize::try_from(self.not_mended).unwrap_or(usize::MAX);
        self.not_mended += 1;
        if at < MEND_STEPS_SHOWN {
            self.steps.insert(at.min(self.steps.len()), MendStep { what });
            self.steps.truncate(MEND_STEPS_SHOWN);
        }
    }

    pub(super) fn step(&mut self, what: String) {
        if self.steps.len() < MEND_STEPS_SHOWN {
            self.steps.push(MendStep { what });
        }
    }
}
