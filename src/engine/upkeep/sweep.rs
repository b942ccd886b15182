//! The sweep: ends expired leases, takes back old units, removes old rows. The work of one call is
//! bounded.

use std::sync::atomic::Ordering;

use super::report::{SweepReport, UpkeepError};
use crate::engine::backlog::queue::Returned;
use crate::engine::checked::whole_ms;
use crate::engine::core::Core;
use crate::engine::error::WriteError;
use crate::engine::handle::PouwEngine;
use crate::engine::tallies::bump;
use crate::engine::trees::quorums;
use crate::engine::upkeep::failures;
use crate::engine::upkeep::prune;

/// Leases ended, and standings looked at, in one sweep.
const LEASES_PER_SWEEP: usize = 4_096;
const STANDINGS_PER_SWEEP: usize = 2_048;

impl PouwEngine {
    /// Ends leases whose token has expired, takes back ready units past their age, and removes rows
    /// that are no longer needed. The background thread does the same about once a second; a host
    /// that turned it off calls this. A sweep that finds nothing to do writes nothing.
    ///
    /// # Errors
    /// A write failed, or the engine is closed. Leases are ended nevertheless; the rows are removed
    /// by a later sweep.
    pub fn sweep(&self) -> Result<SweepReport, WriteError> {
        let (report, _, swept) = sweep(self.core());
        swept.map(|()| report)
    }
}

/// One sweep. Returns its report; whether leases or rows are left, so that
/// [`sweep_rows`](sweep_rows) can be repeated at once; and the first failure, beside
/// which all other parts of the sweep were done.
pub(in crate::engine) fn sweep(core: &Core) -> (SweepReport, bool, Result<(), WriteError>) {
    let mut report = SweepReport::default();
    let quorums = sweep_quorums(core, &mut report);
    let quorums_left = report.more;
    let rows = sweep_rows(core, &mut report);
    let rows_left = report.more;
    report.more |= quorums_left;
    // No lock is held here that a subscriber may take.
    core.events.report_stored();
    // Also if nothing was taken back: commits of the writer may have left work to upkeep.
    core.background.wake();
    (report, rows_left, quorums.and(rows))
}

/// The part of a sweep that looks at leases, ready units, standings and old rows.
pub(in crate::engine) fn sweep_rows(core: &Core, report: &mut SweepReport) -> Result<(), WriteError> {
    let now = core.time.now_ms();
    {
        let mut queue = core.queue.lock();
        #[cfg(feature = "testing")]
        let early = if core.config.makes(crate::engine::mistake::Mistake::LeaseEndsEarly) {
            core.config.token_ttl_ms()
        } else {
            0
        };
        #[cfg(not(feature = "testing"))]
        let early = 0;
        let expired = queue.leases.expire(now + early, LEASES_PER_SWEEP);
        report.expired = expired.len();
        report.more = expired.len() == LEASES_PER_SWEEP;
        #[cfg(feature = "testing")]
        let expired = if core.config.makes(crate::engine::mistake::Mistake::NoRequeue) { Vec::new() } else { expired };
        for lease in &expired {
            queue.give_back(lease);
        }
        let max_age = whole_ms(core.config.settings.work_unit_max_age);
        let aged = queue.ring.remove_if(|unit| now.saturating_sub(unit.since_ms) > max_age);
        report.aged = aged.len();
        for (unit, _) in aged {
            queue.returned.push_back(Returned::of(unit.tree, &unit.range));
        }
        // What could not be read, or was not right, is looked at again.
        queue.look_at_blocked(now);
    }
    bump(&core.tallies.expired, report.expired as u64);
    *core.doubts.doubted_after.lock() = None;
    report.standings_pruned = core.clients.standings.lock().sweep(now, STANDINGS_PER_SWEEP);
    if report.expired > 0 {
        core.searches.lease_ended_ms.store(now, Ordering::SeqCst);
    }
    prune::prune(core, now, report)
}

/// Ends quorums that wait too long.
fn sweep_quorums(core: &Core, report: &mut SweepReport) -> Result<(), WriteError> {
    match quorums::referee_due(core) {
        Ok((refereed, more)) => {
            report.refereed = refereed;
            report.more |= more;
        }
        Err(UpkeepError::Write(WriteError::Closed)) => return Err(WriteError::Closed),
        // Rows are removed nevertheless.
        Err(error) => failures::upkeep_failed(core, &error),
    }
    Ok(())
}
