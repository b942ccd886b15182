//! `pouw demo`: runs the main job in a temporary directory and checks every result.

mod audit;
mod report;
mod sources;

use std::path::PathBuf;

use clap::Args;
use pouw::protocol::DifficultyTier;
use pouw::{Exposure, IngestError, IngestOptions, IngestReport, PouwEngine};

use crate::drain::{Client, drain};
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::{ingest, store, words};
use report::Table;

/// Run the main job in a temporary directory and check every result.
///
/// Ingests the files, each as its own tree and all as one tree. Eight concurrent clients of three
/// tiers hash all leaves. Then every root is computed again from the files, all exports are
/// compared, and all credits are added up. Prints the counts. Without a PATH it uses the sources of
/// this program.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Files and directories to use.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pouw demo
  pouw demo docs/ --json

Exit code 0 if everything matched, else 1. The directory is removed.";

/// Names of the trees: one for each file behind the prefix, and the one of all files.
const PREFIX: &str = "files/";
const ONE_TREE: &str = "all files as one tree";
/// Block sizes of the one tree, in the order they are tried.
const BLOCK_SIZES: [u64; 8] = [4_096, 2_048, 8_192, 1_024, 16_384, 512, 32_768, 65_536];
const CLIENTS: usize = 8;

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let folder = tempfile::Builder::new().prefix("pouw-demo-").tempdir()?;
    let paths = match options.paths.is_empty() {
        true => vec![sources::copy_own(&folder.path().join("sources"))?],
        false => options.paths.clone(),
    };
    let store = folder.path().join("store");
    std::fs::create_dir(&store)?;
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|e| Failure::failed(format!("the system gave no random bytes: {e}")))?;
    let engine = store::open_engine(&store, secret, true)?;

    let mut findings = Vec::new();
    let files = ingest_files(&engine, &paths)?;
    if !files.is_clean() {
        findings.push("some files were not ingested".to_owned());
    }
    let one_tree_block = ingest_one_tree(&engine, &paths)?;

    let tiers = DifficultyTier::ALL;
    let client = |at: usize| Client { key: format!("demo-{at}"), tier: tiers[at % tiers.len()] };
    let clients: Vec<Client> = (0..CLIENTS).map(client).collect();
    let pending = engine.stats().totals.pending;
    let bar = out.progress(Some(pending), "{bar:32} {human_pos}/{human_len} leaves {msg}");
    let drained = drain(&engine, &clients, &bar);
    bar.finish_and_clear();
    let drained = drained?;

    let mut audit = audit::Audit::new(&engine, &mut findings);
    audit.files(&paths, PREFIX, IngestOptions::new(Exposure::Public).block_size)?;
    if let Some(block_size) = one_tree_block {
        audit.one_tree(&paths, ONE_TREE, block_size)?;
    }
    audit.everything_was_compared(&drained)?;
    audit.credits(&clients, &drained)?;
    let counts = audit.counts;
    let table = Table::new(&drained, &engine.stats(), &counts, one_tree_block, pending);
    findings.extend(table.tiers_without_units());
    engine.close();
    let checked = PouwEngine::check_store(&store, &mut |_| {})?;
    findings.extend(checked.findings.into_iter().map(|finding| format!("check: {}", finding.what)));

    findings.iter().for_each(|finding| complain(finding));
    out.show(&table.document(&findings), |to| table.print(to, &findings))?;
    Ok(Verdict::of(findings.is_empty()))
}

fn ingest_files(engine: &PouwEngine, paths: &[PathBuf]) -> Result<IngestReport, Failure> {
    let options = IngestOptions::new(Exposure::Public).prefix(PREFIX);
    let report = engine.ingest_paths(&options, paths, &mut |_| std::ops::ControlFlow::Continue(()))?;
    ingest::report_problems(&report);
    Ok(report)
}

/// Puts all files into one tree and returns its block size. In a tree of mixed lengths a last block
/// of 64 or 128 bytes is refused, since it could be taken for hashes; then another block size is
/// tried.
fn ingest_one_tree(engine: &PouwEngine, paths: &[PathBuf]) -> Result<Option<u64>, Failure> {
    for block_size in BLOCK_SIZES {
        let options = IngestOptions::new(Exposure::Public).block_size(block_size).tree(ONE_TREE);
        match engine.ingest_paths(&options, paths, &mut |_| std::ops::ControlFlow::Continue(())) {
            Ok(_) => return Ok(Some(block_size)),
            Err(IngestError::AmbiguousLeaf { from, len, .. }) => {
                let from = words::printable(&from);
                complain(&format!("one tree, blocks of {block_size}: {from} ends in {len} bytes; trying another size"));
            }
            Err(other) => return Err(other.into()),
        }
    }
    complain("no block size fits all files; continuing without the one tree");
    Ok(None)
}
