//! Options, reports and errors of an ingest.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::Serialize;

use crate::store::StoreError;
use crate::store::rows::{Exposure, HashesFrom, Strategy};

use super::walk::{SourceFile, Walk, WalkError, WalkEvent};
use crate::engine::error::WriteError;

/// How files become trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestLayout {
    /// Each file is cut into blocks; the last may be short, an empty file is one empty leaf.
    Files,
    /// Each file is one leaf, in bytewise order of relative paths. Needs a tree name.
    Blocks,
}

/// How to ingest. The exposure has no default: it says why clients may see the data.
///
/// ```
/// use pouw::{Exposure, IngestOptions, Strategy};
/// let options = IngestOptions::new(Exposure::Public).block_size(65_536).strategy(Strategy::SampledAudit { k: 2 });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct IngestOptions {
    /// Why clients may see the data.
    pub exposure: Exposure,
    /// How files become trees; default [`IngestLayout::Files`].
    pub layout: IngestLayout,
    /// Bytes in a block, 512 to 268 435 456; default 4 096.
    pub block_size: u64,
    /// Put all leaves into one tree of this name; default one tree for each file.
    pub tree: Option<String>,
    /// Put in front of every file's name; default nothing.
    pub prefix: Option<String>,
    /// Leave the bytes in the files and read them when they are needed; default copy them.
    pub by_reference: bool,
    /// How the answers of clients are verified; default [`Strategy::Precomputed`].
    pub strategy: Strategy,
}

impl IngestOptions {
    /// Defaults for data that may be seen because of `exposure`.
    pub fn new(exposure: Exposure) -> Self {
        Self {
            exposure,
            layout: IngestLayout::Files,
            block_size: 4_096,
            tree: None,
            prefix: None,
            by_reference: false,
            strategy: Strategy::Precomputed,
        }
    }

    /// Sets how files become trees.
    pub fn layout(mut self, layout: IngestLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the bytes in a block, 512 to 268 435 456.
    pub fn block_size(mut self, bytes: u64) -> Self {
        self.block_size = bytes;
        self
    }

    /// Puts all leaves into one tree of this name.
    pub fn tree(mut self, name: impl Into<String>) -> Self {
        self.tree = Some(name.into());
        self
    }

    /// Puts `prefix` in front of every file's name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets whether the bytes stay in the files and are read when they are needed.
    pub fn by_reference(mut self, yes: bool) -> Self {
        self.by_reference = yes;
        self
    }

    /// Sets how the answers of clients are verified.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Opens the sources, and returns the files that an ingest of `paths` with these options reads,
    /// in its order. Also for a check of the paths before a store is made.
    ///
    /// # Errors
    /// [`WalkError`] if a source cannot be opened or the prefix is invalid; later, from the
    /// iterator, if two files have one name.
    pub fn files(
        &self,
        paths: &[PathBuf],
    ) -> Result<impl Iterator<Item = Result<SourceFile, WalkError>> + use<>, WalkError> {
        let walk = Walk::new(paths, self.prefix.as_deref())?;
        Ok(walk.filter_map(|event| match event {
            Ok(WalkEvent::File(file)) => Some(Ok(file)),
            Ok(WalkEvent::Skipped(_)) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    pub(super) fn check(&self) -> Result<(), IngestError> {
        if !(BLOCK_SIZE_MIN..=BLOCK_SIZE_MAX).contains(&self.block_size) {
            let value = self.block_size.to_string();
            return Err(IngestError::Option {
                field: "block_size",
                value,
                rule: "it must be from 512 to 268435456 bytes",
            });
        }
        if self.layout == IngestLayout::Blocks && self.tree.is_none() {
            return Err(IngestError::Option {
                field: "tree",
                value: "absent".into(),
                rule: "the `blocks` layout needs the name of the tree its leaves go into",
            });
        }
        if !self.strategy.is_valid() {
            return Err(IngestError::Option {
                field: "strategy",
                value: self.strategy.to_string(),
                rule: Strategy::RULE,
            });
        }
        if self.strategy.hashes() == HashesFrom::Addresses && self.layout != IngestLayout::Blocks {
            let value = self.strategy.to_string();
            let rule = "it needs the `blocks` layout, with the address of each block as the name of its file";
            return Err(IngestError::Option { field: "strategy", value, rule });
        }
        self.tree.as_deref().map_or(Ok(()), check_name)
    }
}

/// Most bytes of a tree's name.
pub const TREE_NAME_LEN_MAX: usize = super::walk::NAME_LEN_MAX;

/// Smallest and largest block, bytes.
pub const BLOCK_SIZE_MIN: u64 = 512;
/// See [`BLOCK_SIZE_MIN`].
pub const BLOCK_SIZE_MAX: u64 = 256 << 20;

pub(super) fn check_name(name: &str) -> Result<(), IngestError> {
    let rule = "it must have 1 to 4096 bytes and no NUL byte";
    if name.is_empty() || name.len() > super::walk::NAME_LEN_MAX || name.contains('\0') {
        let value = name.chars().take(64).collect();
        return Err(IngestError::Option { field: "name", value, rule });
    }
    Ok(())
}

/// The outcome for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingested {
    /// A new tree.
    Added,
    /// An interrupted ingest of this tree was completed.
    Resumed,
    /// The tree existed with the same content.
    Unchanged,
    /// The tree existed with the same content, and damaged blocks of it were repaired.
    Repaired,
}

/// Progress of an ingest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestProgress {
    /// Files read to their end.
    pub files: u64,
    /// Leaves hashed.
    pub leaves: u64,
    /// Bytes hashed.
    pub bytes: u64,
}

/// Something that was not ingested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IngestProblem {
    /// The file, or the name of the tree.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// The result of an ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "files that were not ingested are listed in `problems`"]
pub struct IngestReport {
    /// The amount read.
    pub read: IngestProgress,
    /// New trees.
    pub added: u64,
    /// Trees whose interrupted ingest was completed.
    pub resumed: u64,
    /// Trees that existed with the same content.
    pub unchanged: u64,
    /// Damaged blocks that were repaired.
    pub repaired: u64,
    /// Damaged blocks that still do not hash to their addresses; also in `problems`.
    pub damaged: u64,
    /// Leaves over the byte cap, hashed by the server.
    pub oversized: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Symbolic links, sockets and the like.
    pub special: u64,
    /// Names of trees that exist with other content.
    pub conflicts: u64,
    /// Trees of which a row is damaged, so that nothing of their files was stored; also in
    /// `problems`.
    pub damaged_trees: u64,
    /// The first [`INGEST_PROBLEMS_SHOWN`] of these, of damaged blocks, and of files that could not
    /// be read or are special.
    pub problems: Vec<IngestProblem>,
}

/// Most problems listed in a report; all are counted.
pub const INGEST_PROBLEMS_SHOWN: usize = 100;

impl IngestReport {
    pub(super) fn problem(&mut self, what: impl ToString, why: impl ToString) {
        if self.problems.len() < INGEST_PROBLEMS_SHOWN {
            self.problems.push(IngestProblem { what: what.to_string(), why: why.to_string() });
        }
    }

    pub(super) fn count(&mut self, ingested: Ingested) {
        match ingested {
            Ingested::Added => self.added += 1,
            Ingested::Resumed => self.resumed += 1,
            Ingested::Unchanged | Ingested::Repaired => self.unchanged += 1,
        }
    }

    /// Whether everything given is in the store now.
    pub fn is_clean(&self) -> bool {
        self.unreadable == 0 && self.conflicts == 0 && self.damaged == 0 && self.damaged_trees == 0
    }
}

/// An ingest ended early. What was committed stays; the same call again continues from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// An option is wrong.
    #[error("`{field}` is {value}: {rule}")]
    Option {
        /// Name of the option.
        field: &'static str,
        /// The value given.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A tree of this name exists with other content.
    #[error(
        "a tree named {name:?} already exists with different content; `pouw forget` it first, or ingest with a prefix"
    )]
    Conflict {
        /// The name.
        name: String,
    },
    /// A leaf that could be taken for two hashes, in a tree of mixed lengths.
    #[error(
        "leaf {leaf} of {name:?} ({from}) has {len} bytes, which could be taken for hashes of nodes in a tree of mixed \
         leaf lengths; use another block size, or a tree for each file"
    )]
    AmbiguousLeaf {
        /// The tree.
        name: String,
        /// The leaf.
        leaf: u64,
        /// Its bytes.
        len: u64,
        /// Where it came from.
        from: String,
    },
    /// The name of a file is not the address of its block.
    #[error("{path}: file name is not a block address; expected the block's SHA3-512 as 128 lowercase hex digits")]
    Address {
        /// The file.
        path: PathBuf,
    },
    /// There is no leaf for the tree.
    #[error("tree {name:?} would have no leaves; name at least one plain file")]
    Empty {
        /// The tree.
        name: String,
    },
    /// The sources cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file could not be read.
    #[error("{path}: {what}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The message of the operating system.
        what: String,
    },
    /// The tree was forgotten while it was ingested. Nothing more of it is stored; what was
    /// ingested of others stays.
    #[error("tree {name:?} was forgotten while it was ingested; ingest it again if it is wanted")]
    Forgotten {
        /// The tree.
        name: String,
    },
    /// The caller stopped it.
    #[error("stopped; the same call again continues from the last commit")]
    Cancelled,
    /// Block data or a read of the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// State was not stored.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl IngestError {
    /// Whether the same call can succeed a moment later, without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Walk(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Write(error) => error.is_retryable(),
            Self::Option { .. }
            | Self::Conflict { .. }
            | Self::AmbiguousLeaf { .. }
            | Self::Address { .. }
            | Self::Empty { .. }
            | Self::Forgotten { .. }
            | Self::Read { .. } => false,
        }
    }
}

/// Called repeatedly with the progress of an ingest; `Break` stops it.
pub type OnIngest<'p> = &'p mut dyn FnMut(&IngestProgress) -> ControlFlow<()>;
