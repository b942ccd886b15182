//! The sweep: ends expired leases, takes back old units, removes old rows. The work of one call is
//! bounded.

use std::sync::atomic::Ordering;

use crate::store::{Command, Outcome};

use super::PouwEngine;
use super::checked::whole_ms;
use super::core::{Core, bump};
use super::error::WriteError;
use super::event::Event;
use super::queue::Returned;
use super::upkeep::UpkeepError;

/// The counts of one sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Leases whose token expired unanswered; their work is pending again.
    pub expired: usize,
    /// Ready units taken back because of their age. They become ready again.
    pub aged: usize,
    /// Quorums that were not complete in time. The server hashed their leaves.
    pub refereed: usize,
    /// Consumed tokens removed, long past their expiry.
    pub consumed_pruned: u64,
    /// Ledger entries sealed.
    pub sealed: u64,
    /// Idle client rows removed.
    pub clients_pruned: u64,
    /// Clients forgotten because their difficulty is the default.
    pub standings_pruned: usize,
    /// There is more to do. Call again soon.
    pub more: bool,
}

/// Leases ended and rows removed in one sweep.
const LEASES_PER_SWEEP: usize = 4_096;
const ROWS_PER_SWEEP: usize = 2_048;
/// A client with nothing on its account is forgotten after a day.
const IDLE_CLIENT_MS: u64 = 24 * 3_600_000;

impl PouwEngine {
    /// Ends leases whose token has expired, takes back ready units past their age, and removes rows
    /// that are no longer needed. The background thread does the same about once a second; a host
    /// that turned it off calls this.
    ///
    /// # Errors
    /// A write failed, or the engine is closed. Leases are ended nevertheless; the rows are removed
    /// by a later sweep.
    pub fn sweep(&self) -> Result<SweepReport, WriteError> {
        self.core().sweep()
    }
}

impl Core {
    /// One sweep.
    pub(super) fn sweep(&self) -> Result<SweepReport, WriteError> {
        let core = self;
        let now = core.now_ms();
        let mut report = SweepReport::default();
        {
            let mut queue = core.queue.lock();
            #[cfg(feature = "testing")]
            let early =
                if core.config.makes(super::testing::Mistake::LeaseEndsEarly) { core.config.token_ttl_ms() } else { 0 };
            #[cfg(not(feature = "testing"))]
            let early = 0;
            let expired = queue.leases.expire(now + early, LEASES_PER_SWEEP);
            report.expired = expired.len();
            report.more = expired.len() == LEASES_PER_SWEEP;
            #[cfg(feature = "testing")]
            let expired = if core.config.makes(super::testing::Mistake::NoRequeue) { Vec::new() } else { expired };
            for lease in &expired {
                queue.give_back(lease);
            }
            let max_age = whole_ms(core.config.settings.work_unit_max_age);
            let aged = queue.ring.remove_if(|unit| now.saturating_sub(unit.since_ms) > max_age);
            report.aged = aged.len();
            for (unit, _) in aged {
                queue.returned.push_back(Returned::of(unit.tree, &unit.range));
            }
            // Sources that could not be read get another chance.
            queue.unblock();
        }
        bump(&core.tallies.expired, report.expired as u64);
        core.sweep_quorums(&mut report)?;
        report.standings_pruned = core.standings.lock().sweep(now, ROWS_PER_SWEEP);
        // A token is refused for its expiry from then on, so its consumption need not be kept; the
        // token's lifetime again is the margin for a clock that was set back before a restart.
        let before_ms = now.saturating_sub(core.config.token_ttl_ms());
        let after = *core.prune_after.lock();
        let commands = vec![
            Command::PruneConsumed { before_ms, limit: ROWS_PER_SWEEP },
            Command::SealLedger { keep: core.config.settings.ledger_entries_kept, limit: ROWS_PER_SWEEP },
            Command::PruneClients { before_ms: now.saturating_sub(IDLE_CLIENT_MS), after, limit: ROWS_PER_SWEEP },
        ];
        let outcomes = if core.closing.load(Ordering::SeqCst) {
            return Err(WriteError::Closed);
        } else {
            core.write_bulk(commands)?
        };
        for (at, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Done { rows, more } => {
                    report.more |= more;
                    *(if at == 0 { &mut report.consumed_pruned } else { &mut report.sealed }) = *rows;
                }
                Outcome::Scanned { rows, next } => {
                    report.clients_pruned = *rows;
                    *core.prune_after.lock() = next.unwrap_or([0; 16]);
                }
                _ => {}
            }
        }
        core.wake();
        Ok(report)
    }

    /// Ends quorums that wait too long, and lets leaves that could not be hashed be tried again.
    fn sweep_quorums(&self, report: &mut SweepReport) -> Result<(), WriteError> {
        *self.doubted_after.lock() = None;
        match self.referee_due() {
            Ok((refereed, more)) => {
                report.refereed = refereed;
                report.more |= more;
            }
            Err(UpkeepError::Write(WriteError::Closed)) => return Err(WriteError::Closed),
            // Rows are removed nevertheless.
            Err(error) => {
                self.emit(Event::StorageFailed { what: error.to_string(), recovered: true });
            }
        }
        Ok(())
    }
}
