//! An engine that only looks: no thread, no secret, and not a byte is written.

use std::path::Path;
use std::sync::Arc;

use crate::protocol::Keyring;
use crate::store::{RedbStore, Store, StoreError, random};

use super::checked::ConfigError;
use super::clock::EngineTime;
use super::config::Config;
use super::core::Core;
use super::error::OpenError;
use super::handle::{Inner, PouwEngine};
use super::keys::Keys;
use super::locks::{Rank, Ranked};
use super::runtime::Runtime;
use super::upkeep::thread::UpkeepThread;
use super::writer::Writer;
use crate::engine::clients::difficulty;
use crate::engine::scrub;

impl PouwEngine {
    /// Opens the store in the directory `path` to be read: its trees, ledger, counters, exports and
    /// proofs. Nothing is written or made, so files and medium may be read-only, and no secret is
    /// needed. A store left by a crash is mended in memory.
    ///
    /// Every call that would write fails: [`WriteError::ReadOnly`](super::WriteError::ReadOnly),
    /// [`IssueError::ReadOnly`](super::IssueError::ReadOnly), or
    /// [`StoreError::ReadOnly`](crate::StoreError::ReadOnly). An export whose policy needs no more
    /// leaves hashed writes nothing and succeeds.
    ///
    /// Several processes may read a store at once. While one of them has it open for writing, this
    /// is refused, and while one reads it, opening it for writing is.
    ///
    /// # Errors
    /// [`OpenError::Store`]: there is no store, it is foreign or damaged or of another format, it
    /// is in use, or it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use pouw::{Config, Exposure, IngestOptions, PouwEngine};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let directory = tempfile::tempdir()?;
    /// let engine = PouwEngine::open(directory.path(), Config::new([7; 32])?)?;
    /// engine.ingest_bytes(&IngestOptions::new(Exposure::Public), "greeting", b"hello, world")?;
    /// engine.close();
    ///
    /// let reader = PouwEngine::open_read_only(directory.path())?;
    /// assert_eq!(reader.tree("greeting")?.pending, 1);
    /// assert!(reader.forget("greeting").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_read_only_with(Runtime::in_directory(path))
    }

    /// The same on the storage, clock and subscriber of `runtime`.
    ///
    /// # Errors
    /// As for [`open_read_only`](Self::open_read_only).
    pub fn open_read_only_with(runtime: Runtime) -> Result<Self, OpenError> {
        // It signs nothing; no token of anybody's opens with it.
        let secret = random::<32>().map_err(|e| StoreError::Io { what: e.to_string() })?;
        let config = Config::builder(secret).background(false).build()?;
        let no_keys = |_| ConfigError {
            field: "hmac_secret",
            value: format!("{} bytes", secret.len()),
            rule: "it must have at least 32 bytes",
        };
        let keyring = Keyring::new(&secret).map_err(no_keys)?;
        let store = Arc::new(RedbStore::open_read_only(runtime.storage, runtime.options)?);
        let store_keyring = Keyring::new(&store.identity().digest_key).map_err(no_keys)?;
        let time = EngineTime::start(runtime.clock, store.head().clock_ms);
        // Nothing is ever sent to either: what would be is refused before.
        let (writer, _) = Writer::new(store, 1, time.now_ms());
        let (background, _) = UpkeepThread::new(false, time.now_ms());
        let core =
            Arc::new(Core::new(config, Keys::new(keyring, store_keyring), time, writer, background, runtime.events));
        difficulty::load_standings(&core)?;
        scrub::load_scrub(&core)?;
        Ok(Self { inner: Arc::new(Inner { core, threads: Ranked::new(Rank::Threads, Vec::new()) }) })
    }
}
