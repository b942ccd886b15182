//! The settings of calibration.

use std::time::Duration;

use crate::policy::calibration::SizeRules;

use crate::engine::checked::{ConfigError, check, check_time, whole_ms};
use crate::engine::config::{Config, ConfigBuilder};

impl ConfigBuilder {
    /// Sets whether units of the medium and high tier become smaller when answers take too long,
    /// and larger again, up to [`unit_bytes`](Self::unit_bytes), when they do not; default false.
    /// See [`docs::configuration`](crate::docs::configuration).
    pub fn calibrate(mut self, calibrate: bool) -> Self {
        self.calibrate = calibrate;
        self
    }

    /// Sets the wanted median time beyond the floor, 1 ms to 1 hour; default 1 s for medium and 2.5
    /// s for high, which with the default floors are the paper's 5 and 10 seconds. A low unit is a
    /// single leaf already.
    pub fn calibrate_target(mut self, medium: Duration, high: Duration) -> Self {
        self.calibrate_target = [medium, high];
        self
    }

    /// Sets the least bytes of a unit under calibration, 1 KiB to 1 MiB; default 4 KiB. A cap below
    /// it stays unchanged.
    pub fn calibrate_bytes_min(mut self, bytes: usize) -> Self {
        self.calibrate_bytes_min = bytes;
        self
    }

    pub(in crate::engine) fn check_calibration(&self) -> Result<(), ConfigError> {
        for target in self.calibrate_target {
            check_time("calibrate_target", target, 1..=3_600_000, "it must be from 1 ms to 1 hour")?;
        }
        let least = self.calibrate_bytes_min;
        let fits = (1 << 10..=1 << 20).contains(&least);
        check("calibrate_bytes_min", least, fits, "it must be from 1024 to 1048576")
    }
}

impl Config {
    /// Returns the rules for the size of units; `None` if they are not calibrated.
    pub(in crate::engine) fn size_rules(&self) -> Option<SizeRules> {
        let settings = &self.settings;
        let [medium, high] = settings.calibrate_target.map(whole_ms);
        settings.calibrate.then(|| SizeRules {
            target_ms: [None, Some(medium), Some(high)],
            bytes_max: settings.unit_bytes.into(),
            bytes_min: settings.calibrate_bytes_min,
            settle_ms: self.token_ttl_ms(),
        })
    }
}
