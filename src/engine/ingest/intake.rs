//! One ingest: walking sources, feeding builders, committing in batches.

use std::collections::HashSet;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::hash::Checksum;
use crate::protocol::TreeHandle;
use crate::store::rows::{DataPlace, HashesFrom, SourceRow, TreeRow, TreeState};
use crate::store::{BeginTree, BlocksWriter, Command, Renewal, StoreError, TreeNumber, random};

use super::builder::{self, TreeBuilder};
use super::options::{IngestError, IngestLayout, IngestOptions, IngestReport, Ingested, OnIngest, check_name};
use super::walk::{self, SkipReason, SourceFile, Walk, WalkEvent};
use crate::engine::backlog::leaf_bytes::{fingerprint, open_plain};
use crate::engine::core::Core;
use crate::engine::locks::Guard;

/// Why feeding a tree stopped.
pub(super) enum Stop {
    Error(IngestError),
    /// The stored part of an ingest cut short is of other content: start again.
    Differs,
}

impl<E: Into<IngestError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

pub(super) type Feed<'f, 'i> = &'f mut dyn FnMut(&mut Intake<'i>, &mut TreeBuilder) -> Result<(), Stop>;

/// One ingest: the commands that wait for the next commit, and the report.
pub(super) struct Intake<'i> {
    pub(super) core: &'i Core,
    pub(super) options: &'i IngestOptions,
    progress: OnIngest<'i>,
    pub(super) blocks: BlocksWriter<'i>,
    pub(super) commands: Vec<Command>,
    /// Bytes of hashes in `commands`, roughly.
    pub(super) command_bytes: usize,
    /// Trees with something waiting in `blocks` or `commands`, and their names.
    pub(super) waiting: Vec<(TreeNumber, String)>,
    /// The tree is only read, to be compared with the one of its name; by its files, if their bytes
    /// are not kept and their hashes not known.
    pub(super) comparing: Option<bool>,
    /// Trees with leaves that the next commit mends.
    pub(super) mended: Vec<TreeNumber>,
    /// Each file is a tree: a damaged row of one does not end the ingest of the others.
    pub(super) each: bool,
    /// The tree that is fed.
    pub(super) current: Option<TreeNumber>,
    /// Leaves of it that the next commit mends.
    pub(super) repaired: u64,
    /// Trees to be counted when the next commit has their rows, with the leaves it mends.
    pub(super) counted: Vec<(TreeNumber, Ingested, u64)>,
    /// Trees whose rows were not written, since one of them is damaged.
    pub(super) failed: HashSet<TreeNumber>,
    pub(super) report: IngestReport,
    _one: Guard<parking_lot::MutexGuard<'i, ()>>,
}

/// Block data and hashes gathered for one commit.
pub(super) const BLOCK_BYTES_PER_COMMIT: usize = 16 << 20;
pub(super) const HASH_BYTES_PER_COMMIT: usize = 1 << 20;
pub(super) const COMMANDS_PER_COMMIT: usize = 4_096;

impl<'i> Intake<'i> {
    pub(super) fn new(core: &'i Core, options: &'i IngestOptions, progress: OnIngest<'i>) -> Self {
        Self {
            _one: core.turns.ingest.lock(),
            core,
            options,
            progress,
            blocks: BlocksWriter::new(&*core.store),
            commands: Vec::new(),
            command_bytes: 0,
            waiting: Vec::new(),
            comparing: None,
            mended: Vec::new(),
            each: false,
            current: None,
            repaired: 0,
            counted: Vec::new(),
            failed: HashSet::new(),
            report: IngestReport::default(),
        }
    }

    /// Each file is a tree.
    pub(super) fn tree_for_each(&mut self, walk: Walk) -> Result<(), IngestError> {
        self.each = true;
        for event in walk {
            match event? {
                WalkEvent::Skipped(skipped) => self.skipped(&skipped),
                WalkEvent::File(file) => {
                    let fed = self.single_file(&file.name, &mut |intake, builder| intake.feed_file(builder, &file));
                    match fed {
                        Ok(ingested) => self.tally(ingested),
                        // Counted when its rows were not written.
                        Err(_) if self.current.is_some_and(|tree| self.failed.remove(&tree)) => {}
                        Err(IngestError::Store(error)) if error.is_of_the_place() => {
                            self.report.damaged_trees += 1;
                            self.report.problem(&file.name, error);
                        }
                        Err(IngestError::Read { path, what }) => {
                            self.report.unreadable += 1;
                            self.report.problem(path.display(), what);
                        }
                        Err(error @ (IngestError::Conflict { .. } | IngestError::Option { .. })) => {
                            self.report.conflicts += 1;
                            self.report.problem(file.path.display(), error);
                        }
                        Err(error) => return Err(error),
                    }
                    self.tick()?;
                }
            }
        }
        Ok(())
    }

    /// Has the tree that was fed counted with the commit of its rows.
    pub(super) fn tally(&mut self, ingested: Ingested) {
        if let Some(tree) = self.current {
            self.counted.push((tree, ingested, std::mem::take(&mut self.repaired)));
        }
    }

    fn skipped(&mut self, skipped: &walk::Skipped) {
        match skipped.why {
            SkipReason::Symlink | SkipReason::NotAFile => self.report.special += 1,
            _ => self.report.unreadable += 1,
        }
        self.report.problem(skipped.path.display(), &skipped.why);
    }

    pub(super) fn single_file(&mut self, name: &str, feed: Feed<'_, 'i>) -> Result<Ingested, IngestError> {
        self.tree_of(name, self.options.block_size, true, feed)
    }

    pub(super) fn one_tree(&mut self, name: &str, feed: Feed<'_, 'i>) -> Result<Ingested, IngestError> {
        let cut = if self.options.layout == IngestLayout::Blocks { 0 } else { self.options.block_size };
        self.tree_of(name, cut, false, feed)
    }

    /// A name that is new, in use, or was cut short.
    fn tree_of(&mut self, name: &str, cut: u64, single: bool, feed: Feed<'_, 'i>) -> Result<Ingested, IngestError> {
        check_name(name)?;
        (self.current, self.repaired) = (None, 0);
        let there = self.core.store.read()?.tree_named(name)?;
        self.current = there.as_ref().map(|(tree, _)| *tree);
        match there {
            Some((tree, row)) if row.state == TreeState::Ingesting => {
                self.commit()?;
                if self.can_resume(tree, &row, single)? {
                    let mut begin = self.begin(tree, name, row.handle);
                    begin.send_cap = row.send_cap;
                    let builder = TreeBuilder::new(begin, cut, single).resuming(row.groups);
                    match self.build(builder, feed) {
                        Ok(()) => return Ok(Ingested::Resumed),
                        Err(Stop::Error(error)) => return Err(error),
                        Err(Stop::Differs) => {}
                    }
                }
                self.forget(tree, name)?;
                self.add(name, cut, single, feed)
            }
            Some((tree, row)) => self.compare((tree, &row), cut, single, feed),
            None => self.add(name, cut, single, feed),
        }
    }

    fn can_resume(&self, tree: TreeNumber, row: &TreeRow, single: bool) -> Result<bool, IngestError> {
        let place = if self.options.by_reference { DataPlace::Referenced } else { DataPlace::Copied };
        // A tree of one file has no rows of lengths, so a tree over several cannot go on from it.
        let lengths = single || row.groups == 0 || self.core.store.read()?.has_lengths(tree)?;
        let same = row.exposure == self.options.exposure && row.strategy == self.options.strategy;
        // Without hashes it is unknown whether the stored part has the same content.
        let same = same && row.strategy.knows_answers();
        Ok(row.data == place && same && lengths)
    }

    pub(super) fn begin(&self, tree: TreeNumber, name: &str, handle: TreeHandle) -> BeginTree {
        BeginTree {
            tree,
            name: name.to_owned(),
            handle,
            block_len: 0,
            send_cap: self.core.config.send_cap() as u64,
            data: if self.options.by_reference { DataPlace::Referenced } else { DataPlace::Copied },
            strategy: self.options.strategy,
            exposure: self.options.exposure,
        }
    }

    fn add(&mut self, name: &str, cut: u64, single: bool, feed: Feed<'_, 'i>) -> Result<Ingested, IngestError> {
        let drawn = random().map(TreeHandle::from_bytes);
        let handle = drawn.map_err(|e| StoreError::Io { what: e.to_string() })?;
        let begin = self.begin(self.core.store.reserve_tree(), name, handle);
        self.current = Some(begin.tree);
        match self.build(TreeBuilder::new(begin, cut, single), feed) {
            Ok(()) => Ok(Ingested::Added),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Differs) => Err(IngestError::Conflict { name: name.to_owned() }),
        }
    }

    /// Feeds a builder to its end and queues its commands; cleans up if that fails.
    fn build(&mut self, mut builder: TreeBuilder, feed: Feed<'_, 'i>) -> Result<(), Stop> {
        let resumed = builder.begun;
        let fed = feed(self, &mut builder).and_then(|()| match builder.close(&*self.core.store)? {
            Ok(content) => Ok(content),
            Err(builder::Differs) => Err(Stop::Differs),
        });
        match fed {
            Ok(content) => {
                let rest = builder.take_rest(&content);
                self.queue(&builder.begin, rest)?;
                self.report.oversized += builder.oversized;
                for leaf in builder.damaged {
                    self.report.damaged += 1;
                    let what = format!("{}, leaf {leaf}", builder.begin.name);
                    self.report.problem(what, "the block does not hash to its address; repair it and ingest it again");
                }
                Ok(())
            }
            Err(stop) => {
                self.blocks.discard(builder.tree());
                // A tree begun in this run is of no use; one cut short earlier may still be
                // resumed.
                let keep = resumed
                    || matches!(
                        stop,
                        Stop::Error(
                            IngestError::Cancelled
                                | IngestError::Forgotten { .. }
                                | IngestError::Write(_)
                                | IngestError::Store(_)
                        )
                    );
                if builder.begun && !keep {
                    self.forget(builder.tree(), &builder.begin.name)?;
                }
                Err(stop)
            }
        }
    }

    pub(super) fn feed_walk(&mut self, builder: &mut TreeBuilder, walk: Walk) -> Result<(), Stop> {
        for event in walk {
            match event.map_err(IngestError::from)? {
                WalkEvent::Skipped(skipped) => {
                    self.skipped(&skipped);
                    if !matches!(skipped.why, SkipReason::Symlink | SkipReason::NotAFile) {
                        let what = skipped.why.to_string();
                        return Err(IngestError::Read { path: skipped.path, what }.into());
                    }
                }
                WalkEvent::File(file) => self.feed_file(builder, &file)?,
            }
        }
        Ok(())
    }

    fn feed_file(&mut self, builder: &mut TreeBuilder, file: &SourceFile) -> Result<(), Stop> {
        let fail = |what: String| IngestError::Read { path: file.path.clone(), what };
        let mut opened = open_plain(&file.path).map_err(|e| fail(e.to_string()))?;
        let before = fingerprint(&opened.metadata().map_err(|e| fail(e.to_string()))?);
        let first_leaf = builder.leaves;
        let named = self.options.strategy.hashes() == HashesFrom::Addresses;
        let address = if named { Some(address_of(file)?) } else { None };
        self.feed(builder, &mut opened, &file.name, address).map_err(|stop| match stop {
            Stop::Error(IngestError::Read { what, .. }) => Stop::Error(fail(what)),
            other => other,
        })?;
        let by_file = self.comparing == Some(true);
        if builder.begin.data == DataPlace::Referenced || by_file {
            let read = opened.stream_position().map_err(|e| fail(e.to_string()))?;
            let after = fingerprint(&opened.metadata().map_err(|e| fail(e.to_string()))?);
            if after != before || read != before.0 {
                return Err(fail("it changed while it was read; ingest it again".into()).into());
            }
            let (len, modified_ns, inode) = before;
            let leaves = builder.leaves - first_leaf;
            let cut = if self.options.layout == IngestLayout::Blocks { len } else { self.options.block_size };
            let path = absolute(&file.path).map_err(|e| fail(e.to_string()))?;
            let row = SourceRow { path, leaves, cut, len, modified_ns, inode };
            if self.comparing == Some(false) {
                self.blocks.renew(builder.tree(), Renewal::Source(first_leaf, row));
            } else if !by_file {
                self.blocks.put_source(builder.tree(), first_leaf, row);
            } else if self.core.store.source(builder.tree(), first_leaf)? != Some((first_leaf, row)) {
                return Err(Stop::Differs);
            }
        }
        Ok(())
    }

    /// Reads one source to its end.
    pub(super) fn feed(
        &mut self,
        builder: &mut TreeBuilder,
        source: &mut impl Read,
        from: &str,
        address: Option<Checksum>,
    ) -> Result<(), Stop> {
        let one_leaf = self.options.layout == IngestLayout::Blocks;
        let mut first = true;
        loop {
            if builder.group_is_full() {
                builder.close_full_group(&*self.core.store)?.map_err(|builder::Differs| Stop::Differs)?;
                // By reference only hashes wait, and they all go before an answer of a client.
                let by_reference = builder.begin.data == DataPlace::Referenced;
                let full = if by_reference { HASH_BYTES_PER_COMMIT } else { BLOCK_BYTES_PER_COMMIT };
                if builder.bytes_waiting() >= full && self.comparing.is_none() {
                    let part = builder.take_part();
                    self.queue(&builder.begin, part)?;
                    self.commit()?;
                }
                self.queue_renewals(builder)?;
                self.tick()?;
            }
            let read = builder.read_leaf(source, first, address);
            let len = read.map_err(|e| IngestError::Read { path: PathBuf::from(from), what: e.to_string() })?;
            let Some(len) = len else { break };
            builder.count_leaf(len, from);
            self.report.read.leaves += 1;
            self.report.read.bytes += len;
            first = false;
            if one_leaf {
                break;
            }
        }
        self.report.read.files += 1;
        Ok(())
    }

    fn tick(&mut self) -> Result<(), IngestError> {
        match (self.progress)(&self.report.read) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(IngestError::Cancelled),
        }
    }
}

/// The address that is the name of a file.
fn address_of(file: &SourceFile) -> Result<Checksum, IngestError> {
    let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse().map_err(|_| IngestError::Address { path: file.path.clone() })
}

#[cfg(unix)]
fn absolute(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::path::absolute(path)?.into_os_string().into_vec())
}

#[cfg(not(unix))]
fn absolute(path: &Path) -> std::io::Result<Vec<u8>> {
    Ok(std::path::absolute(path)?.to_string_lossy().into_owned().into_bytes())
}
