//! Rows that other rows contradict: each is reported once.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::core::Core;
use super::event::Event;

/// Most of them remembered in one boot. Beyond, they are not reported; nothing is believed either
/// way.
const ODD_ROWS_MAX: usize = 256;

/// What was reported.
#[derive(Debug, Default)]
pub(super) struct OddRows(Mutex<BTreeSet<String>>);

impl Core {
    /// Reports a row that is not believed, if it was not reported before.
    pub(super) fn odd_row(&self, what: String) {
        let mut reported = self.odd_rows.0.lock();
        if reported.len() < ODD_ROWS_MAX && reported.insert(what.clone()) {
            drop(reported);
            self.later(Event::CorruptionFound { tree: None, what });
        }
    }
}
