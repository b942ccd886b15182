//! Calibration of unit sizes from observed response times: its settings, observations and report.

use std::time::Duration;

use crate::policy::calibration::{Observation, SizeRules};
use crate::protocol::{ByTier, DifficultyTier};
use crate::store::Outcome;

use crate::engine::checked::{ConfigError, check, check_time, whole_ms};
use crate::engine::config::{Config, ConfigBuilder};
use crate::engine::core::Core;
use crate::engine::writer::job::Fate;

/// Response times of right answers to units of one tier, by the server's clock: from issue until
/// the answer's floor was checked. Synthetic units and interior nodes are left out. A client counts
/// once a minute. Times are exact to 3 %, of the last one or two thousand answers, and 0 if there
/// was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseTimes {
    /// Answers counted this boot.
    pub observations: u64,
    /// Median, milliseconds: network both ways, waiting for the floor, and computing.
    pub median_ms: u64,
    /// 90th percentile, milliseconds.
    pub p90_ms: u64,
    /// Median of the time beyond the floor, milliseconds.
    pub beyond_floor_median_ms: u64,
    /// 90th percentile of the time beyond the floor, milliseconds.
    pub beyond_floor_p90_ms: u64,
    /// Bytes a unit may carry now: the configured ones, or less if the engine calibrates.
    pub unit_bytes: usize,
    /// Divisor of the configured bytes: 1, 2, 4 or 8. A unit keeps at least `calibrate_bytes_min`.
    pub unit_bytes_divisor: u32,
}

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

impl Core {
    /// Counts an answer that was found right, once it is durable.
    pub(in crate::engine) fn observe(&self, seen: Option<Observation>, fate: &Fate) {
        if let (Some(seen), Fate::Stored(outcomes)) = (seen, fate)
            && matches!(outcomes.first(), Some(Outcome::Settled { .. } | Outcome::Voted))
        {
            self.calibration.lock().observe(&seen);
        }
    }

    /// Returns the bytes a new unit may carry under calibration. The limits of its tier and its
    /// request apply as well.
    pub(in crate::engine) fn calibrated_bytes(&self, tier: DifficultyTier) -> usize {
        if !self.config.settings.calibrate {
            return usize::MAX;
        }
        self.calibration.lock().unit_bytes(tier, self.now_ms()).unwrap_or(usize::MAX)
    }

    /// Returns the response times of each tier.
    pub(in crate::engine) fn response_times(&self) -> ByTier<ResponseTimes> {
        let (calibration, now_ms) = (self.calibration.lock(), self.now_ms());
        let times = DifficultyTier::ALL.map(|tier| {
            let seen = calibration.look(tier, now_ms);
            ResponseTimes {
                observations: seen.answers,
                median_ms: seen.median_ms,
                p90_ms: seen.p90_ms,
                beyond_floor_median_ms: seen.beyond_median_ms,
                beyond_floor_p90_ms: seen.beyond_p90_ms,
                unit_bytes: calibration.unit_bytes(tier, now_ms).unwrap_or(self.config.unit_bytes(tier)),
                unit_bytes_divisor: 1 << seen.step,
            }
        });
        times.into()
    }
}
