//! The location of the store, and opening it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use pouw::protocol::ByTier;
use pouw::{Config, ConfigBuilder, Event, EventSink, PouwEngine, Runtime, StoreFile};

use crate::failure::Failure;
use crate::limited::{Burst, Limited};
use crate::output::complain;
use crate::secret;
use crate::temporary;
use crate::words::{count, printable};

/// The store that a verb works on.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    pub db: PathBuf,
    /// Sign challenges with the secret in this file, at least 32 bytes, instead of DIR/secret.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// One tree of a store.
#[derive(Debug, Args)]
pub struct TreeOf {
    #[command(flatten)]
    pub store: StoreArguments,
    /// Name of the tree, as `pouw trees` lists it.
    #[arg(long, value_name = "NAME")]
    pub tree: String,
}

impl StoreArguments {
    /// Opens the store to be read: nothing is written, and no secret is needed or made.
    pub fn look(&self) -> Result<PouwEngine, Failure> {
        expect_store(&self.db)?;
        if let Some(path) = &self.secret_file {
            // It is not used, but a wrong path is a mistake all the same.
            secret::of_file(path)?;
        }
        Ok(PouwEngine::open_read_only_with(Runtime::in_directory(&self.db).events(reports(false)))?)
    }

    /// Opens the store without background work.
    pub fn open(&self) -> Result<PouwEngine, Failure> {
        expect_store(&self.db)?;
        self.start(false)
    }

    /// Opens the store without background work, for a verb that reports itself what is damaged.
    pub fn open_to_scrub(&self) -> Result<PouwEngine, Failure> {
        expect_store(&self.db)?;
        let settings = Config::builder(self.secret()?).accept_clock_ahead(true).background(false);
        Ok(PouwEngine::open_with(Runtime::in_directory(&self.db), settings.build()?)?)
    }

    /// Opens the store to work on it: a background thread of the engine keeps units ready.
    pub fn open_to_work(&self) -> Result<PouwEngine, Failure> {
        expect_store(&self.db)?;
        self.start(true)
    }

    /// Opens the store, or creates it.
    pub fn open_or_make(&self) -> Result<PouwEngine, Failure> {
        self.make_directory()?;
        self.start(false)
    }

    /// Opens the store, or creates it, to serve from it with the caller's settings.
    #[cfg(feature = "serve")]
    pub fn open_to_serve(&self, settings: impl FnOnce(Vec<u8>) -> ConfigBuilder) -> Result<PouwEngine, Failure> {
        self.make_directory()?;
        start_engine(&self.db, settings(self.secret()?).accept_clock_ahead(true), true)
    }

    /// Makes the directory of the store. Not before the secret was read: a wrong path must not
    /// leave a store behind.
    fn make_directory(&self) -> Result<(), Failure> {
        if let Some(path) = &self.secret_file {
            secret::of_file(path)?;
        }
        std::fs::create_dir_all(&self.db).map_err(|e| {
            Failure::Failed(format!(
                "{}: {e}; check the path, and that this process may write to it",
                self.db.display()
            ))
        })
    }

    fn start(&self, background: bool) -> Result<PouwEngine, Failure> {
        open_engine(&self.db, self.secret()?, background)
    }

    fn secret(&self) -> Result<Vec<u8>, Failure> {
        temporary::clear(&self.db);
        match &self.secret_file {
            Some(path) => secret::of_file(path),
            None => secret::of_store(&self.db),
        }
    }
}

/// Fails if there is no store, so that a mistyped path does not create one.
pub fn expect_store(dir: &Path) -> Result<(), Failure> {
    let found = |file: StoreFile| dir.join(file.file_name()).exists();
    if found(StoreFile::State) || found(StoreFile::Blocks) {
        return Ok(());
    }
    let db = dir.display();
    Err(Failure::Failed(format!(
        "there is no store in {db}; check the path, or create one with: pouw ingest --db {db} --exposure public PATH"
    )))
}

/// Opens a store for a command: without a floor, since its user owns the backlog, and at any clock,
/// since the store may not have been used for a long time.
pub fn open_engine(dir: &Path, secret: Vec<u8>, background: bool) -> Result<PouwEngine, Failure> {
    start_engine(
        dir,
        Config::builder(secret).floor(ByTier::all(Duration::ZERO)).accept_clock_ahead(true).background(background),
        false,
    )
}

/// A server reports damaged blocks as they are found; other verbs report them at their end.
fn start_engine(dir: &Path, settings: ConfigBuilder, serving: bool) -> Result<PouwEngine, Failure> {
    Ok(PouwEngine::open_with(Runtime::in_directory(dir).events(reports(serving)), settings.build()?)?)
}

/// Prints what an engine reports on stderr.
fn reports(serving: bool) -> EventSink {
    let reported = AtomicU64::new(0);
    let (storage, sweeps, threads, damage) = (Limited::new(), Limited::new(), Limited::new(), Burst::new());
    EventSink::new(move |event| match event {
        Event::CorruptionFound { what, .. } => {
            damage.complain(&format!("damage found: {what}; run: pouw check"));
        }
        Event::StorageFailed { what, recovered } => {
            let then = if recovered { "continuing" } else { "nothing more is written: check the disk, then restart" };
            storage.complain(recovered, &format!("storage failed: {what}; {then}"));
        }
        Event::SweepFailed { what } => {
            sweeps.complain((), &format!("a sweep failed: {what}; the next one tries again"))
        }
        Event::ThreadPanicked { thread, what } => {
            let line = format!("{thread} survived a panic: {what}; please report this as a mistake of pouw");
            threads.complain(thread, &line);
        }
        Event::BlockDamaged { name, leaf, address, .. } if serving => {
            let name = printable(&name);
            bounded(
                &reported,
                &format!("leaf {leaf} of tree {name:?} is damaged: its block does not hash to {address}"),
            );
        }
        Event::LeafCorrected { name, leaf, .. } => {
            let name = printable(&name);
            bounded(
                &reported,
                &format!("leaf {leaf} of tree {name:?} had a wrong hash from a client and was corrected"),
            );
        }
        Event::ClockAhead { wall_ms, high_water_ms } if serving => {
            let days = wall_ms.saturating_sub(high_water_ms) / DAY_MS;
            complain(&format!(
                "the clock is {} ahead of the newest time in the store; if the service was not off for so long, stop \
                 it and check the clock",
                count(days, "day", "days")
            ));
        }
        // The verbs report the others themselves.
        _ => {}
    })
}

const DAY_MS: u64 = 24 * 3_600_000;

/// Most reports of one kind; `pouw status` and `pouw ledger` list them all.
const REPORTS_MAX: u64 = 20;

fn bounded(reported: &AtomicU64, what: &str) {
    match reported.fetch_add(1, Ordering::Relaxed) {
        0..REPORTS_MAX => complain(what),
        REPORTS_MAX => complain("more reports like this are omitted; see `pouw status` and `pouw ledger`"),
        _ => {}
    }
}
