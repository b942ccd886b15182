//! The surroundings of an engine: storage, clock, subscriber, cache sizes.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "testing")]
use crate::store::MemoryDatabase;
use crate::store::{RedbStore, StorageProvider, Store, StoreDirectory, StoreError, StoreOptions};

use super::clock::{Clock, SystemClock};
use super::event::EventSink;

/// The storage, the clock, the subscriber of events and the cache sizes of an engine. Used by
/// [`PouwEngine::open_with`](super::PouwEngine::open_with).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use pouw::{Config, FakeClock, PouwEngine, Runtime, StoreOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let runtime = Runtime::in_directory(directory.path())
///     .clock(Arc::new(FakeClock::default()))
///     .options(StoreOptions::new().state_cache_bytes(8 << 20));
/// let engine = PouwEngine::open_with(runtime, Config::new([7; 32])?)?;
/// assert_eq!(engine.now().0, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Runtime {
    pub(super) storage: Arc<dyn StorageProvider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: EventSink,
    pub(super) options: StoreOptions,
    /// Instead of the storage.
    #[cfg(feature = "testing")]
    pub(super) memory: Option<MemoryDatabase>,
}

impl Runtime {
    /// Storage in a directory that exists, the system's clock, no subscriber, default cache sizes.
    pub fn in_directory(path: impl AsRef<Path>) -> Self {
        Self::on(Arc::new(StoreDirectory::new(path)))
    }

    /// The same on this storage.
    pub fn on(storage: Arc<dyn StorageProvider>) -> Self {
        let (clock, events) = (Arc::new(SystemClock::new()), EventSink::default());
        Self {
            storage,
            clock,
            events,
            options: StoreOptions::default(),
            #[cfg(feature = "testing")]
            memory: None,
        }
    }

    /// Keeps the store in memory, without files.
    #[cfg(feature = "testing")]
    pub fn in_memory(database: &MemoryDatabase) -> Self {
        Self { memory: Some(database.clone()), ..Self::in_directory("") }
    }

    /// Opens the store.
    pub(super) fn open_store(&self) -> Result<Arc<dyn Store>, StoreError> {
        #[cfg(feature = "testing")]
        if let Some(database) = &self.memory {
            return Ok(Arc::new(database.open()?));
        }
        Ok(Arc::new(RedbStore::open(self.storage.clone(), self.options)?))
    }

    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sends events to `events`.
    pub fn events(mut self, events: EventSink) -> Self {
        self.events = events;
        self
    }

    /// Sets the cache sizes.
    pub fn options(mut self, options: StoreOptions) -> Self {
        self.options = options;
        self
    }
}
