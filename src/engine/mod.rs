//! The engine: a real backlog goes in, crash-safe Merkle trees come out.
//!
//! **Guarantee.** A call reports success only after the commit that holds its effects is durable.
//! Each token takes effect at most once, no leaf is lost or credited twice, and a tree exports only
//! when it is complete and every parent fits its children.
//!
//! **After a crash**, at any point, [`PouwEngine::open`] finds everything acknowledged. Leases are
//! gone; a token from before the crash is honoured if none of its work was done or issued again
//! meanwhile.
//!
//! ```text
//! ingest -> pending leaves -> ready ring -> issue -> (client) -> submit -> commit -> done leaves
//!                 ^                           |                                          |
//!                 +----- expiry, refusal -----+            last leaf: fold, validate, export
//! ```

mod answers;
mod backlog;
mod backup;
mod check;
mod checked;
mod clients;
mod clock;
mod config;
mod core;
mod error;
mod event;
mod findings;
mod for_gate;
pub mod ingest;
mod issue;
mod ledger;
mod pulse;
mod read_only;
mod request;
mod runtime;
mod scrub;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod tree_id;
mod trees;
mod upkeep;
mod work;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::bounded;
use parking_lot::Mutex;

use crate::protocol::{Keyring, UnixMillis};
use crate::store::Store;

pub use crate::store::{BackupProgress, OnBackup};
pub use crate::store::{CheckFinding, CheckPhase, CheckProgress, CheckReport, MendReport, MendStep};

pub use answers::token::Inspected;
pub use backup::{BackupError, BackupReport, CopyOf};
pub use checked::ConfigError;
#[cfg(feature = "gate")]
pub(crate) use checked::{MS_MAX, POSITIVE, check as check_setting, check_time, whole_ms};
pub use clients::response_times::ResponseTimes;
pub use clock::{Clock, FakeClock, SystemClock};
pub use config::{AwardBasis, Config, ConfigBuilder};
pub use error::{DebitError, IssueError, OpenError, SubmitError, TreeError, WriteError};
pub use event::{Event, EventSink};
pub use for_gate::{ForGate, for_gate};
pub use ledger::{Debit, LedgerEntry, Receipt, WorkProof};
pub use pulse::ThreadStats;
pub use request::{Accepted, Answer, IssueRequest, Issued};
pub use runtime::Runtime;
pub use scrub::{
    OnScrub, SCRUB_FINDINGS_SHOWN, ScrubBudget, ScrubError, ScrubFinding, ScrubPosition, ScrubReport, ScrubStats,
};
pub use stats::{BlockedTree, FileBytes, Stats};
pub use tree_id::TreeId;
pub use trees::assure::{OnVerify, VerifyProgress};
pub use trees::export::{ExportReport, NodeSink};
pub use trees::export_policy::{ExportPolicy, UnknownPolicy};
pub use trees::info::TreeInfo;
pub use trees::progress::TreeProgress;
pub use trees::provenance::{DamageCursor, DamagedBlock, Provenance, Provenances};
pub use trees::quorums::OpenQuorums;
pub use upkeep::report::{SweepReport, UpkeepError, UpkeepReport};

#[cfg(feature = "gate")]
pub(crate) use self::core::bump;
#[cfg(feature = "gate")]
pub(crate) use pulse::{Pulse, Reporter};

use self::core::Core;
use clock::EngineTime;

/// The embedded engine: it stores leaves, issues their hashing to clients, and builds crash-safe
/// Merkle trees. Cheap to clone. All clones share one store, which closes when the last clone is
/// dropped or [`close`](Self::close) is called.
///
/// **Guarantee.** A call reports success only after the commit that holds its effects is durable.
/// Each token takes effect at most once, no leaf is lost or credited twice, and a tree exports only
/// when it is complete and every parent fits its children.
///
/// **After a crash**, at any point, [`open`](Self::open) finds everything acknowledged. Leases are
/// gone; a token from before the crash is honoured if none of its work was done or issued again
/// meanwhile.
///
/// **Bounds.** Every map, queue and buffer has a bound: ready units
/// ([`ready_bytes_max`](ConfigBuilder::ready_bytes_max); refilling stops), leases
/// ([`leases_max`](ConfigBuilder::leases_max); nothing is issued), answers waiting for a commit
/// ([`waiting_answers_max`](ConfigBuilder::waiting_answers_max); [`SubmitError::Busy`]), and
/// clients with a difficulty ([`difficulty_clients_max`](ConfigBuilder::difficulty_clients_max);
/// the least recently used start again from the default). [`docs::design`](crate::docs::design)
/// lists all of them.
///
/// # Examples
///
/// A client hashes a tree of one leaf:
///
/// ```
/// use std::time::Duration;
///
/// use pouw::protocol::{ByTier, DifficultyTier};
/// use pouw::solver::compute_work_unit;
/// use pouw::{Answer, Config, Exposure, IngestOptions, IssueRequest, PouwEngine};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let config = Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).build()?;
/// let engine = PouwEngine::open(directory.path(), config)?;
/// engine.ingest_bytes(&IngestOptions::new(Exposure::Public), "greeting", b"hello, world")?;
/// engine.upkeep()?;
///
/// let issued = engine.issue(&IssueRequest::new(b"anna", DifficultyTier::Low))?;
/// let result = compute_work_unit(&issued.unit)?;
/// engine.submit(&Answer::new(b"anna", &result))?;
///
/// engine.upkeep()?;
/// assert!(engine.tree("greeting")?.root.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PouwEngine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl PouwEngine {
    /// Opens the store in the directory `path`, making both if need be.
    ///
    /// # Errors
    /// [`OpenError`] for a foreign or damaged file, another format, a second process, or a wall
    /// clock more than 400 days ahead of the newest time in the store. Its text says what to do;
    /// nothing was changed.
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, OpenError> {
        let path = path.as_ref();
        std::fs::create_dir_all(path)
            .map_err(|e| OpenError::Directory { path: path.to_owned(), what: e.to_string() })?;
        // The name of a directory just made must be as durable as what will be in it.
        if let Some(parent) = std::path::absolute(path).ok().as_deref().and_then(Path::parent) {
            std::fs::File::open(parent)
                .and_then(|directory| directory.sync_all())
                .map_err(|e| OpenError::Directory { path: parent.to_owned(), what: e.to_string() })?;
        }
        Self::open_with(Runtime::in_directory(path), config)
    }

    /// Opens the store on the storage, clock and subscriber of `runtime`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(runtime: Runtime, config: Config) -> Result<Self, OpenError> {
        let secret_error = |_| ConfigError {
            field: "hmac_secret",
            value: format!("{} bytes", config.settings.hmac_secret.len()),
            rule: "it must have at least 32 bytes",
        };
        let mut keyring = Keyring::new(&config.settings.hmac_secret).map_err(secret_error)?;
        for previous in &config.settings.previous_secrets {
            keyring = keyring.with_previous(previous).map_err(secret_error)?;
        }
        let store = Arc::new(Store::open(runtime.storage, runtime.options)?);
        let high_water_ms = store.head().clock_ms;
        let wall_ms = runtime.clock.wall().0;
        if high_water_ms > 0
            && wall_ms.saturating_sub(high_water_ms) > clock::AHEAD_MAX_MS
            && !config.settings.accept_clock_ahead
        {
            return Err(OpenError::ClockAhead { wall_ms, high_water_ms });
        }
        let ahead_ms = if high_water_ms > 0 { wall_ms.saturating_sub(high_water_ms) } else { 0 };
        let store_keyring = Keyring::new(&store.identity().digest_key).map_err(secret_error)?;
        let time = EngineTime::start(runtime.clock, high_water_ms);
        let (lanes, inbox) = writer::job::lanes(config.settings.waiting_answers_max);
        let (wake, woken) = bounded(1);
        let background = config.settings.background;
        let core = Arc::new(Core::new(config, keyring, store_keyring, store, time, lanes, wake, runtime.events));
        core.load_standings()?;
        core.load_scrub()?;
        if ahead_ms > clock::AHEAD_TOLD_MS {
            core.emit(Event::ClockAhead { wall_ms, high_water_ms });
        }
        let failed = |e: std::io::Error| OpenError::Thread(e.to_string());
        let mut threads = vec![writer::thread::start(core.clone(), inbox).map_err(failed)?];
        if background {
            threads.push(upkeep::background::start(core.clone(), woken).map_err(failed)?);
            core.wake();
        }
        threads.extend(scrub::start(&core).map_err(failed)?);
        Ok(Self { inner: Arc::new(Inner { core, threads: Mutex::new(threads) }) })
    }

    /// Stops taking requests, finishes waiting jobs, writes deferred rows, and closes the files.
    /// Returns when that is done, unless it is called inside a callback, where it only begins it.
    /// Other clones answer `Closed` from then on.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Why nothing can be read or written until the process restarts: a sync failed, a page of the
    /// store is damaged, or the thread that writes gave up. `None` while the engine works, and
    /// after [`close`](Self::close).
    pub fn failure(&self) -> Option<&str> {
        self.core().store.failure()
    }

    /// The configuration it was opened with.
    pub fn config(&self) -> &Config {
        &self.core().config
    }

    /// Engine time, by which tokens expire, for hosts that compare with it: at open the later of
    /// the wall clock and the newest time in the store, from then on a monotonic clock's. It never
    /// falls, whatever happens to the wall clock.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.core().now_ms())
    }

    fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }
}

const _: fn() = || {
    fn is<T: Clone + Send + Sync>() {}
    is::<PouwEngine>();
};

impl Inner {
    fn close(&self) {
        self.core.close();
        self.core.scrub.end();
        // A statement of its own, so that the threads are not joined with the lock held.
        let threads = std::mem::take(&mut *self.threads.lock());
        let own = std::thread::current().id();
        if threads.iter().any(|thread| thread.thread().id() == own) {
            // The last handle went inside a callback, on one of these very threads: they end by
            // themselves.
            return;
        }
        for thread in threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                let what = "it ended by a panic".to_owned();
                self.core.emit(Event::ThreadPanicked { thread: name, what });
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
