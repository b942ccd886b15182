//! Events on their way to the host: at once, or once no lock is held that its subscriber may take.

use crate::guard::Panicked;
use crate::store::TreeNumber;

use super::event::{Event, EventSink};
use super::findings::Findings;
use super::locks::{Rank, Ranked};
use super::pulse::Pulse;
use super::repeats::Repeats;
use super::tree_id::TreeId;

#[derive(Debug)]
pub(super) struct Events {
    sink: EventSink,
    /// Emptied by the next upkeep at the latest.
    unreported: Ranked<Vec<Event>>,
    /// Damage that was reported in this boot.
    findings: Ranked<Findings>,
    /// Failures that were reported.
    repeats: Ranked<Repeats>,
}

impl Events {
    pub(super) fn new(sink: EventSink) -> Self {
        Self {
            sink,
            unreported: Ranked::new(Rank::Unreported, Vec::new()),
            findings: Ranked::new(Rank::Findings, Findings::default()),
            repeats: Ranked::new(Rank::Repeats, Repeats::default()),
        }
    }

    pub(super) fn emit(&self, event: Event) {
        self.sink.emit(event);
    }

    /// Stores an event, to be reported once no lock is held that its subscriber may take.
    pub(super) fn later(&self, event: Event) {
        self.unreported.lock().push(event);
    }

    /// Reports the stored events.
    pub(super) fn report_stored(&self) {
        // A statement of its own, so that the lock is not held while they are reported.
        let events = std::mem::take(&mut *self.unreported.lock());
        events.into_iter().for_each(|event| self.emit(event));
    }

    /// Reports damage of the store, unless the same was reported before.
    pub(super) fn corruption(&self, tree: Option<TreeNumber>, what: String) {
        if let Some(event) = self.corruption_news(tree, what) {
            self.emit(event);
        }
    }

    /// The same, once no lock is held that the subscriber may take.
    pub(super) fn corruption_later(&self, tree: Option<TreeNumber>, what: String) {
        if let Some(event) = self.corruption_news(tree, what) {
            self.later(event);
        }
    }

    fn corruption_news(&self, tree: Option<TreeNumber>, what: String) -> Option<Event> {
        let what = self.findings.lock().news(tree, what)?;
        Some(Event::CorruptionFound { tree: tree.map(TreeId::new), what })
    }

    /// The tree is gone, or its content was given again: damage found of it is new.
    pub(super) fn forget(&self, tree: TreeNumber) {
        self.findings.lock().forget(tree);
    }

    /// Returns whether a failure is to be reported now: the same one is once a minute.
    pub(super) fn is_news(&self, failure: &str, now_ms: u64) -> bool {
        self.repeats.lock().is_news(failure, now_ms)
    }

    /// Reports that a thread survived a panic.
    pub(super) fn survived(&self, pulse: &Pulse, now_ms: u64, Panicked(what): Panicked) {
        if pulse.survived(now_ms) {
            self.emit(Event::ThreadPanicked { thread: pulse.name().to_owned(), what });
        }
    }
}
