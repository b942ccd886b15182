//! Reports failures of the background work.

use super::report::UpkeepError;
use crate::engine::core::Core;
use crate::engine::event::Event;

/// Reports a failure of the background work. One that keeps the store closed is reported by the
/// writer.
pub(in crate::engine) fn upkeep_failed(core: &Core, error: &UpkeepError) {
    let recovered = core.store.is_open();
    failed(core, format!("upkeep, {recovered}: {error}"), || Event::StorageFailed {
        what: error.to_string(),
        recovered,
    });
}

/// The same for a sweep of the background thread.
pub(in crate::engine) fn sweep_failed(core: &Core, what: String) {
    failed(core, format!("sweep: {what}"), || Event::SweepFailed { what });
}

fn failed(core: &Core, key: String, event: impl FnOnce() -> Event) {
    let news = !core.writer.takes_no_writes() && core.events.is_news(&key, core.time.now_ms());
    if news {
        core.events.emit(event());
    }
}
