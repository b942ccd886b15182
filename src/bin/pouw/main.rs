//! The `pouw` command: a backlog of files goes in, complete Merkle trees come out.
//!
//! A shell around the library: it parses, calls the engine and prints. One verb per file. Results
//! go to stdout (one JSON document with `--json`), everything else to stderr; exit 0 done, 1
//! failed, 2 usage.
#![forbid(unsafe_code)]

mod args;
mod backup;
mod check;
#[cfg(feature = "serve")]
mod check_config;
#[cfg(feature = "serve")]
mod config_file;
#[cfg(unix)]
mod control;
mod damage;
mod demo;
mod drain;
mod export;
mod failure;
#[cfg(feature = "fetch")]
mod fetch;
mod forget;
mod ingest;
mod ledger;
mod limited;
mod output;
mod prove;
mod repair;
mod scrub;
mod secret;
#[cfg(feature = "serve")]
mod serve;
mod solve;
mod status;
mod store;
mod survey;
mod temporary;
mod tree;
mod trees;
mod usefulness;
mod verify;
mod words;
mod work;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use failure::{Failure, Verdict};
use output::Output;

/// Turns files into Merkle trees whose hashes are computed by the clients of a rate limiter.
#[derive(Debug, Parser)]
#[command(name = "pouw", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    /// Print one JSON document instead of text, and no progress.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  pouw demo                                            run the whole job in a temporary directory
  pouw ingest --db store --exposure public photos/     put files into a store as pending work
  pouw work --db store --clients 8                     hash all pending work
  pouw export --db store --tree cat.jpg                print the hashes of one complete tree

Exit codes: 0 done, 1 failed (stderr says why), 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Verb {
    Ingest(ingest::Options),
    Work(work::Options),
    #[cfg(feature = "serve")]
    Serve(serve::Options),
    Solve(solve::Options),
    #[cfg(feature = "fetch")]
    Fetch(fetch::Options),
    Status(status::Options),
    Trees(trees::Options),
    Tree(tree::Options),
    Ledger(ledger::Options),
    Export(export::Options),
    Prove(prove::Options),
    Verify(verify::Options),
    Forget(forget::Options),
    Backup(backup::Options),
    Check(check::Options),
    Scrub(scrub::Options),
    Repair(repair::Options),
    #[cfg(feature = "serve")]
    CheckConfig(check_config::Options),
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let out = Output::new(cli.json);
    let ended = match &cli.verb {
        Verb::Ingest(options) => ingest::run(options, &out),
        Verb::Work(options) => work::run(options, &out),
        #[cfg(feature = "serve")]
        Verb::Serve(options) => serve::run(options, &out),
        Verb::Solve(options) => solve::run(options, &out),
        #[cfg(feature = "fetch")]
        Verb::Fetch(options) => fetch::run(options, &out),
        Verb::Status(options) => status::run(options, &out),
        Verb::Trees(options) => trees::run(options, &out),
        Verb::Tree(options) => tree::run(options, &out),
        Verb::Ledger(options) => ledger::run(options, &out),
        Verb::Export(options) => export::run(options, &out),
        Verb::Prove(options) => prove::run(options, &out),
        Verb::Verify(options) => verify::run(options, &out),
        Verb::Forget(options) => forget::run(options, &out),
        Verb::Backup(options) => backup::run(options, &out),
        Verb::Check(options) => check::run(options, &out),
        Verb::Scrub(options) => scrub::run(options, &out),
        Verb::Repair(options) => repair::run(options, &out),
        #[cfg(feature = "serve")]
        Verb::CheckConfig(options) => check_config::run(options, &out),
        Verb::Demo(options) => demo::run(options, &out),
    };
    match ended {
        // A reader that closes stdout early is no failure.
        Ok(Verdict::Done) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Err(Failure::Failed(what)) => {
            output::complain(&what);
            out.error_document(&what);
            ExitCode::from(1)
        }
        Err(Failure::Usage(what)) => {
            output::complain(&format!("{what}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
    }
}

/// Prints clap's help and version on stdout, and its errors on stderr in the form of all errors
/// here.
fn refused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed stdout is no reason to fail.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            output::complain(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
            ExitCode::from(2)
        }
    }
}
