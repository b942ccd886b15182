//! `pouw tree`: one tree.

use clap::Args;
use indicatif::HumanCount;
use pouw::Provenance;
use pouw::hash::Checksum;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::store::TreeOf;
use crate::words::{TreeDocument, printable};

/// Show one tree.
///
/// Prints state, leaves, provenance of their hashes, height, root and commitment. Root and
/// commitment exist once the tree is complete. Publish the commitment: it covers the root, the
/// number of leaves and their lengths.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    of: TreeOf,
}

const EXAMPLES: &str = "\
Examples:
  pouw tree --db store --tree cat.jpg
  pouw tree --db store --tree cat.jpg --json";

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.of.store.look()?;
    let tree = TreeDocument::from(engine.tree(&options.of.tree)?);
    engine.close();
    out.show(&tree, |to| {
        writeln!(to, "name        {}", printable(&tree.name))?;
        writeln!(to, "state       {}", tree.state)?;
        writeln!(to, "leaves      {} ({} pending)", HumanCount(tree.leaves), HumanCount(tree.pending))?;
        if tree.damaged > 0 {
            writeln!(
                to,
                "damaged     {} (restore the files and run their `pouw ingest` again)",
                HumanCount(tree.damaged)
            )?;
        }
        writeln!(to, "strategy    {}", tree.strategy)?;
        writeln!(to, "provenance  {}", by_provenance(&tree))?;
        writeln!(to, "height      {}", tree.height)?;
        writeln!(to, "nodes       {}", HumanCount(tree.nodes))?;
        match tree.block_len {
            0 => writeln!(to, "block len   0 (leaves of mixed lengths)")?,
            len => writeln!(to, "block len   {len}")?,
        }
        writeln!(to, "total bytes {}", tree.total_bytes)?;
        writeln!(to, "data        {}, {}", tree.exposure, tree.data)?;
        let shown = |sum: Option<Checksum>| sum.map_or_else(|| "(when complete)".to_owned(), |sum| sum.to_string());
        writeln!(to, "root        {}", shown(tree.root))?;
        writeln!(to, "commitment  {}", shown(tree.commitment))
    })?;
    Ok(Verdict::Done)
}

/// `3 verified, 29 known; the weakest is known`, from the strongest to the weakest.
fn by_provenance(tree: &TreeDocument) -> String {
    let Some(weakest) = tree.weakest else { return "(no leaf is hashed)".to_owned() };
    let words = Provenance::ALL.into_iter().map(Provenance::as_str);
    let counts = words.filter_map(|word| Some((word, *tree.provenance.get(word)?))).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(word, count)| format!("{} {word}", HumanCount(count))).collect();
    format!("{}; the weakest is {weakest}", counts.join(", "))
}
