//! Reports failures of the background work.

use super::report::UpkeepError;
use crate::engine::core::Core;
use crate::engine::event::Event;

impl Core {
    /// Reports a failure of the background work. One that keeps the store closed is reported by the
    /// writer.
    pub(in crate::engine) fn upkeep_failed(&self, error: &UpkeepError) {
        let recovered = self.store.is_open();
        self.failed(format!("upkeep, {recovered}: {error}"), || Event::StorageFailed {
            what: error.to_string(),
            recovered,
        });
    }

    /// The same for a sweep of the background thread.
    pub(in crate::engine) fn sweep_failed(&self, what: String) {
        self.failed(format!("sweep: {what}"), || Event::SweepFailed { what });
    }

    fn failed(&self, key: String, event: impl FnOnce() -> Event) {
        let news = !self.takes_no_writes() && self.events.is_news(&key, self.now_ms());
        if news {
            self.events.emit(event());
        }
    }
}
