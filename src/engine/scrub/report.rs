//! What scrubbing may read, and what it has read and found.

use std::ops::ControlFlow;

use crate::merkle::LeafIndex;
use crate::protocol::UnixMillis;
use crate::store::StoreError;
use crate::store::rows::ScrubPlace;

use crate::engine::error::WriteError;
use crate::engine::tree_id::TreeId;

/// How much one step of scrubbing may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubBudget {
    /// Bytes; a step reads at most one leaf or row more. A row counts as 256 at least, and as 4
    /// KiB more for each row at another place that it is compared with.
    pub bytes: u64,
}

impl ScrubBudget {
    /// A budget of this many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self { bytes }
    }
}

/// Why a step of scrubbing failed. The next one goes on from the same place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// A read failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed, the engine is closed, or it was opened to be read only.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another call makes a full pass.
    #[error("another call makes a full pass; wait until it has ended")]
    Busy,
}

impl ScrubError {
    /// Whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Write(error) => error.is_retryable(),
            Self::Busy => true,
        }
    }
}

/// Called after each step of a full pass with what the pass has read and found so far;
/// [`ControlFlow::Break`] ends the pass early.
pub type OnScrub<'p> = &'p mut dyn FnMut(&ScrubReport) -> ControlFlow<()>;

/// Findings listed one by one in a report; all are counted.
pub const SCRUB_FINDINGS_SHOWN: usize = 100;

/// Damage that scrubbing found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubFinding {
    /// Name of the tree; `None` where a row belongs to none, or its tree is not known.
    pub tree: Option<String>,
    /// The leaf; `None` for a row.
    pub leaf: Option<LeafIndex>,
    /// What is wrong.
    pub what: String,
}

/// Where a pass is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScrubPosition {
    /// No pass is in progress.
    #[default]
    Idle,
    /// Block data, at this leaf.
    Data {
        /// The tree.
        tree: TreeId,
        /// The leaf.
        leaf: LeafIndex,
    },
    /// The rows of the state file.
    Rows,
}

/// What one step or one full pass of scrubbing has read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubReport {
    /// Bytes read: block data, and keys and values of rows.
    pub bytes: u64,
    /// What was spent of the [budget](super::ScrubBudget): what reading this costs the disk, bytes.
    pub spent: u64,
    /// Leaves whose bytes were read.
    pub leaves: u64,
    /// Rows read.
    pub rows: u64,
    /// Leaves whose bytes are not those that came in, known ones too.
    pub damaged: u64,
    /// Leaves whose file is missing or was changed; trees by reference only.
    pub unreadable: u64,
    /// Damaged rows.
    pub damaged_rows: u64,
    /// Pages that cannot be read: the rows on them, and the data that these lead to, were not read.
    /// They count among the damaged rows.
    pub passed_over: u64,
    /// The first [`SCRUB_FINDINGS_SHOWN`] of these.
    pub findings: Vec<ScrubFinding>,
    /// Checksums added to leaves and rows of an older store.
    pub sums_added: u64,
    /// The pass has ended: everything was read once.
    pub pass_ended: bool,
    /// Where the next step begins.
    pub position: ScrubPosition,
    /// Bytes that the pass has read by now.
    pub pass_bytes: u64,
    /// Bytes that it will read, estimated by the last full pass, or else the sizes of the files.
    pub pass_bytes_expected: u64,
}

impl ScrubReport {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.found() == 0
    }

    /// Damaged leaves and rows, and leaves that cannot be read.
    pub fn found(&self) -> u64 {
        self.damaged + self.unreadable + self.damaged_rows
    }

    pub(super) fn find(&mut self, tree: Option<&str>, leaf: Option<u64>, what: impl Into<String>) {
        if self.findings.len() < SCRUB_FINDINGS_SHOWN {
            let (tree, leaf) = (tree.map(str::to_owned), leaf.map(LeafIndex));
            self.findings.push(ScrubFinding { tree, leaf, what: what.into() });
        }
    }

    /// Adds the next step of the same pass.
    pub(super) fn add(&mut self, step: Self) {
        self.bytes += step.bytes;
        self.spent += step.spent;
        self.passed_over += step.passed_over;
        self.leaves += step.leaves;
        self.rows += step.rows;
        self.damaged += step.damaged;
        self.unreadable += step.unreadable;
        self.damaged_rows += step.damaged_rows;
        let room = SCRUB_FINDINGS_SHOWN.saturating_sub(self.findings.len());
        self.findings.extend(step.findings.into_iter().take(room));
        self.sums_added += step.sums_added;
        self.pass_ended = step.pass_ended;
        self.position = step.position;
        self.pass_bytes = step.pass_bytes;
        self.pass_bytes_expected = step.pass_bytes_expected;
    }
}

/// Scrubbing, as [`Stats`](crate::engine::Stats) shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubStats {
    /// Bytes read this boot.
    pub bytes_this_boot: u64,
    /// Rows read this boot.
    pub rows_this_boot: u64,
    /// Damaged leaves and rows found this boot, and leaves that cannot be read, each once. Of very
    /// many, those that are not remembered count in each pass.
    pub damaged_this_boot: u64,
    /// Checksums added to an older store this boot.
    pub sums_added_this_boot: u64,
    /// When the newest pass began, engine time.
    pub began: Option<UnixMillis>,
    /// Where it is.
    pub position: ScrubPosition,
    /// Bytes that it has read, 0 if none is in progress.
    pub pass_bytes: u64,
    /// Bytes that it will read, estimated by the last full pass, or else the sizes of the files.
    pub pass_bytes_expected: u64,
    /// Damaged leaves and rows that it has found, and leaves that it could not read; 0 if none is
    /// in progress.
    pub pass_found: u64,
    /// When the last full pass ended, engine time.
    pub last_full_pass: Option<UnixMillis>,
    /// Damaged leaves and rows that it found, and leaves that it could not read.
    pub last_full_pass_found: u64,
    /// Pages that it could not read; the rows on them, and the data that these lead to, were not
    /// read.
    pub last_full_pass_passed_over: u64,
}

impl ScrubStats {
    /// The part of the pass in progress that is done, 0 to 1; 0 if none is.
    pub fn progress(&self) -> f64 {
        if self.pass_bytes_expected == 0 { 0.0 } else { self.pass_bytes as f64 / self.pass_bytes_expected as f64 }
    }
}

pub(super) fn position_of(at: Option<&ScrubPlace>) -> ScrubPosition {
    match at {
        None => ScrubPosition::Idle,
        Some(ScrubPlace::Data { tree, leaf }) => {
            ScrubPosition::Data { tree: TreeId::new(*tree), leaf: LeafIndex(*leaf) }
        }
        Some(ScrubPlace::Rows { .. }) => ScrubPosition::Rows,
    }
}
