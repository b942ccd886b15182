//! The settings of scrubbing.

use std::time::Duration;

use crate::engine::checked::{ConfigError, MS_MAX, check_time};
use crate::engine::config::{Config, ConfigBuilder};

impl ConfigBuilder {
    /// Bytes a second that a background thread reads of what is stored, to find damage before the
    /// bytes are needed; default 1 MiB. 0: never. Without [`background`](Self::background) there is
    /// no such thread; call [`PouwEngine::scrub`](crate::engine::PouwEngine::scrub).
    pub fn scrub_bytes_per_second(mut self, bytes: u64) -> Self {
        self.scrub_bytes_per_second = bytes;
        self
    }

    /// Shortest time from the beginning of one full pass over everything that is stored to the
    /// beginning of the next, 1 minute or more; default 24 hours.
    pub fn scrub_every(mut self, time: Duration) -> Self {
        self.scrub_every = time;
        self
    }

    pub(in crate::engine) fn check_scrub(&self) -> Result<(), ConfigError> {
        check_time("scrub_every", self.scrub_every, 60_000..=MS_MAX, "it must be 60000 ms or more")
    }
}

impl Config {
    /// Bytes a second that scrubbing reads, see
    /// [`scrub_bytes_per_second`](ConfigBuilder::scrub_bytes_per_second); 0: never.
    pub fn scrub_bytes_per_second(&self) -> u64 {
        self.settings.scrub_bytes_per_second
    }
}
