//! Opening an engine.

use std::path::Path;
use std::sync::Arc;

use crate::protocol::Keyring;

use super::checked::ConfigError;
use super::clock::{self, EngineTime};
use super::config::Config;
use super::core::Core;
use super::error::OpenError;
use super::event::Event;
use super::handle::{Inner, PouwEngine};
use super::keys::Keys;
use super::locks::{Rank, Ranked};
use super::runtime::Runtime;
use super::upkeep::thread::UpkeepThread;
use super::writer::Writer;
use super::{upkeep, writer};
use crate::engine::clients::difficulty;
use crate::engine::scrub;

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
        let store = runtime.open_store()?;
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
        let (writer, inbox) = Writer::new(store, config.settings.waiting_answers_max, time.now_ms());
        let (background, woken) = UpkeepThread::new(config.settings.background, time.now_ms());
        let core =
            Arc::new(Core::new(config, Keys::new(keyring, store_keyring), time, writer, background, runtime.events));
        difficulty::load_standings(&core)?;
        scrub::load_scrub(&core)?;
        if ahead_ms > clock::AHEAD_TOLD_MS {
            core.events.emit(Event::ClockAhead { wall_ms, high_water_ms });
        }
        let failed = |e: std::io::Error| OpenError::Thread(e.to_string());
        let mut threads = vec![writer::thread::start(core.clone(), inbox).map_err(failed)?];
        if core.background.pulse.is_some() {
            threads.push(upkeep::background::start(core.clone(), woken).map_err(failed)?);
            core.background.wake();
        }
        threads.extend(scrub::start(&core).map_err(failed)?);
        Ok(Self { inner: Arc::new(Inner { core, threads: Ranked::new(Rank::Threads, threads) }) })
    }
}
