//! What is remembered of clients.

use crate::policy::audit::Heightened;
use crate::policy::calibration::Calibration;
use crate::store::rows::UsefulnessAccount;

use super::standings::Standings;
use crate::engine::config::Config;
use crate::engine::locks::{Rank, Ranked};

#[derive(Debug)]
pub(in crate::engine) struct Clients {
    /// The difficulty of each client.
    pub(in crate::engine) standings: Ranked<Standings>,
    /// Networks audited more than others for a while.
    pub(in crate::engine) heightened: Ranked<Heightened>,
    /// Response times, and the sizes of units that follow from them.
    pub(in crate::engine) calibration: Ranked<Calibration>,
    /// Counts that are not written yet.
    pub(in crate::engine) account: Ranked<UsefulnessAccount>,
}

impl Clients {
    pub(in crate::engine) fn new(config: &Config, now_ms: u64) -> Self {
        Self {
            standings: Ranked::new(Rank::Standings, Standings::new(config)),
            heightened: Ranked::new(Rank::Heightened, Heightened::default()),
            calibration: Ranked::new(Rank::Calibration, Calibration::new(config.size_rules(), now_ms)),
            account: Ranked::new(Rank::Account, UsefulnessAccount::default()),
        }
    }
}
