//! The ingestor: files, directories and bytes become trees of pending leaves.
//!
//! **Guarantee.** Memory does not grow with the input. Everything is committed in batches, block
//! data before the state that refers to it; a tree is handed out only when all of it is stored. The
//! same call again after a crash at any point continues from there: complete trees are compared and
//! skipped, an interrupted tree is continued after its stored groups, whose hashes are compared
//! first. Other content under a name in use is a conflict and changes nothing.
//!
//! Names, order and skipped files: see [`walk`].

mod against;
mod builder;
mod commit;
mod compare;
mod group;
mod intake;
mod options;
pub mod walk;

use std::ops::ControlFlow;
use std::path::PathBuf;

pub use options::{
    BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, INGEST_PROBLEMS_SHOWN, IngestError, IngestLayout, IngestOptions, IngestProblem,
    IngestProgress, IngestReport, Ingested, OnIngest, TREE_NAME_LEN_MAX,
};

use crate::hash::Checksum;
use crate::store::rows::Strategy;

use super::handle::PouwEngine;
use intake::Intake;
use options::check_name;
use walk::Walk;

impl PouwEngine {
    /// Ingests files and directories.
    ///
    /// Unreadable files, names of trees with other content, and trees with a damaged row are
    /// counted in the report, and the rest is ingested; with one tree for all, each of these ends
    /// the ingest.
    ///
    /// # Errors
    /// See [`IngestError`]. What was committed stays, and the same call continues from there.
    pub fn ingest_paths(
        &self,
        options: &IngestOptions,
        paths: &[PathBuf],
        progress: OnIngest<'_>,
    ) -> Result<IngestReport, IngestError> {
        options.check()?;
        let mut intake = Intake::new(self.core(), options, progress);
        match &options.tree {
            Some(name) => {
                let walk = || Walk::new(paths, options.prefix.as_deref());
                let ingested = intake.one_tree(name, &mut |intake, builder| intake.feed_walk(builder, walk()?))?;
                intake.tally(ingested);
            }
            None => intake.tree_for_each(Walk::new(paths, options.prefix.as_deref())?)?,
        }
        intake.commit()?;
        Ok(intake.report)
    }

    /// Ingests one file, or a directory and all that is below it, without reports of progress.
    ///
    /// # Errors
    /// Those of [`ingest_paths`](Self::ingest_paths).
    pub fn ingest_path(&self, options: &IngestOptions, path: impl Into<PathBuf>) -> Result<IngestReport, IngestError> {
        self.ingest_paths(options, &[path.into()], &mut |_| ControlFlow::Continue(()))
    }

    /// Ingests bytes from memory as one tree: cut into blocks, as a file would be.
    ///
    /// # Errors
    /// [`IngestError`]. What was committed stays; the same call again continues from there.
    pub fn ingest_bytes(&self, options: &IngestOptions, name: &str, bytes: &[u8]) -> Result<Ingested, IngestError> {
        IngestOptions { layout: IngestLayout::Files, ..options.clone() }.check()?;
        check_name(name)?;
        let mut quiet = |_: &IngestProgress| ControlFlow::Continue(());
        let copied = IngestOptions { by_reference: false, ..options.clone() };
        let mut intake = Intake::new(self.core(), &copied, &mut quiet);
        let ingested =
            intake.single_file(name, &mut |intake, builder| intake.feed(builder, &mut &bytes[..], name, None))?;
        intake.commit()?;
        Ok(ingested)
    }

    /// Ingests blocks from memory as one tree: each block is one leaf.
    ///
    /// # Errors
    /// [`IngestError`]. What was committed stays; the same call again continues from there.
    pub fn ingest_blocks(
        &self,
        options: &IngestOptions,
        name: &str,
        blocks: &[&[u8]],
    ) -> Result<Ingested, IngestError> {
        IngestOptions { layout: IngestLayout::Files, ..options.clone() }.check()?;
        self.ingest_named(options, name, blocks.iter().map(|block| (None, *block)))
    }

    /// Ingests blocks from memory with their addresses, the SHA3-512 of each. The strategy is
    /// [`Strategy::KnownAddress`], whatever the options say. The server hashes none of them;
    /// clients find the blocks that do not fit.
    ///
    /// Blocks that were found damaged are hashed when they are ingested again, and count if they
    /// are right then.
    ///
    /// # Errors
    /// [`IngestError`]. What was committed stays; the same call again continues from there.
    pub fn ingest_known_blocks(
        &self,
        options: &IngestOptions,
        name: &str,
        blocks: &[(Checksum, &[u8])],
    ) -> Result<Ingested, IngestError> {
        let options = IngestOptions { strategy: Strategy::KnownAddress, ..options.clone() };
        self.ingest_named(&options, name, blocks.iter().map(|(address, block)| (Some(*address), *block)))
    }

    fn ingest_named<'b>(
        &self,
        options: &IngestOptions,
        name: &str,
        blocks: impl Iterator<Item = (Option<Checksum>, &'b [u8])> + Clone,
    ) -> Result<Ingested, IngestError> {
        check_name(name)?;
        let mut quiet = |_: &IngestProgress| ControlFlow::Continue(());
        let copied = IngestOptions { by_reference: false, layout: IngestLayout::Blocks, ..options.clone() };
        let mut intake = Intake::new(self.core(), &copied, &mut quiet);
        let ingested = intake.one_tree(name, &mut |intake, builder| {
            blocks.clone().enumerate().try_for_each(|(index, (address, block))| {
                intake.feed(builder, &mut &block[..], &format!("block {index}"), address)
            })
        })?;
        intake.commit()?;
        Ok(ingested)
    }
}
