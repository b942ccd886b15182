//! The handle of an engine.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::protocol::UnixMillis;

use super::config::Config;
#[cfg(doc)]
use super::config::ConfigBuilder;
use super::core::Core;
#[cfg(doc)]
use super::error::SubmitError;
use super::event::Event;
use super::locks::Ranked;

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
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) core: Arc<Core>,
    pub(super) threads: Ranked<Vec<JoinHandle<()>>>,
}

impl PouwEngine {
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
        UnixMillis(self.core().time.now_ms())
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }
}

const _: fn() = || {
    fn is<T: Clone + Send + Sync>() {}
    is::<PouwEngine>();
};

impl Inner {
    fn close(&self) {
        self.core.writer.close();
        self.core.background.wake();
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
                self.core.events.emit(Event::ThreadPanicked { thread: name, what });
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
