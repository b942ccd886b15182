//! The account of usefulness, by strategy: work sent to clients and accepted from them, hashing of
//! the server by reason.
//!
//! The work of a command is counted by its commit. Units sent, and hashing for refused answers, are
//! counted in memory first and written with the next commit, within about half a second; a crash
//! loses younger counts.

use crate::policy::ready::ReadyUnit;
use crate::store::rows::{HashReason, HashWork, UsefulnessAccount};

use super::state::Clients;
use crate::engine::handle::PouwEngine;
use crate::engine::work::unit_work;

impl PouwEngine {
    /// Totals of offloaded work since the store was created. Briefly after a commit, recent counts
    /// may be included twice.
    pub(in crate::engine) fn account(&self) -> UsefulnessAccount {
        let core = self.core();
        let waiting = core.clients.account.lock();
        let mut account = core.store.account();
        account.add(&waiting);
        account
    }
}

impl Clients {
    /// Counts a unit that is sent; one that is not `fresh` is sent again and adds no work.
    pub(in crate::engine) fn count_sent(&self, place: usize, unit: &ReadyUnit, fresh: bool) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.sent_units += 1;
        of.sent_bytes += unit.bytes().len() as u64;
        if fresh {
            of.asked.add(unit_work(&unit.range, unit.lengths().into_iter()));
        }
    }

    /// Counts a sent unit of another kind.
    pub(in crate::engine) fn count_asked(&self, place: usize, work: HashWork) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.asked.add(work);
        of.sent_units += 1;
    }

    /// Counts hashing of the server that no command counts.
    pub(in crate::engine) fn count_server(&self, place: usize, reason: HashReason, work: HashWork) {
        self.account.lock().count_server(place, reason, work);
    }
}
