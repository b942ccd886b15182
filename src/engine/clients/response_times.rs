//! Calibration of unit sizes from observed response times: observations and report.

use crate::policy::calibration::Observation;
use crate::protocol::{ByTier, DifficultyTier};
use crate::store::Outcome;

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

/// Counts an answer that was found right, once it is durable.
pub(in crate::engine) fn observe(core: &Core, seen: Option<Observation>, fate: &Fate) {
    if let (Some(seen), Fate::Stored(outcomes)) = (seen, fate)
        && matches!(outcomes.first(), Some(Outcome::Settled { .. } | Outcome::Voted))
    {
        core.clients.calibration.lock().observe(&seen);
    }
}

/// Returns the bytes a new unit may carry under calibration. The limits of its tier and its
/// request apply as well.
pub(in crate::engine) fn calibrated_bytes(core: &Core, tier: DifficultyTier) -> usize {
    if !core.config.settings.calibrate {
        return usize::MAX;
    }
    core.clients.calibration.lock().unit_bytes(tier, core.time.now_ms()).unwrap_or(usize::MAX)
}

/// Returns the response times of each tier.
pub(in crate::engine) fn response_times(core: &Core) -> ByTier<ResponseTimes> {
    let (calibration, now_ms) = (core.clients.calibration.lock(), core.time.now_ms());
    let times = DifficultyTier::ALL.map(|tier| {
        let seen = calibration.look(tier, now_ms);
        ResponseTimes {
            observations: seen.answers,
            median_ms: seen.median_ms,
            p90_ms: seen.p90_ms,
            beyond_floor_median_ms: seen.beyond_median_ms,
            beyond_floor_p90_ms: seen.beyond_p90_ms,
            unit_bytes: calibration.unit_bytes(tier, now_ms).unwrap_or(core.config.unit_bytes(tier)),
            unit_bytes_divisor: 1 << seen.step,
        }
    });
    times.into()
}
