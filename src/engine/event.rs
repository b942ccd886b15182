//! Events the engine reports to a subscriber.

use std::fmt;
use std::sync::Arc;

use crate::guard::contained;
use crate::hash::Checksum;

use super::tree_id::TreeId;

/// An event of the engine. Client keys, tree names and hashes never appear in one that concerns a
/// client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// All nodes of a tree are there and validated.
    TreeCompleted {
        /// The tree.
        tree: TreeId,
        /// Its name.
        name: String,
    },
    /// A tree contradicts itself and will not export, or stored bytes are not those that were
    /// ingested. Leaves with such bytes are neither handed out nor hashed until the same content is
    /// ingested again; they are reported once.
    CorruptionFound {
        /// The tree; `None` where the row belongs to none, or the tree is not known.
        tree: Option<TreeId>,
        /// What was found.
        what: String,
    },
    /// A file ingested by reference has changed, or data is not what was ingested or clients were
    /// sent. The leaves stay pending, and are kept back until the server finds them right. Reported
    /// once for as long as that lasts.
    SourceChanged {
        /// The tree.
        tree: TreeId,
        /// What was found.
        what: String,
    },
    /// A block does not hash to its address, or to the hash that was stored when it came in. Its
    /// leaf stays open, and its tree does not export, until the block is ingested again.
    BlockDamaged {
        /// The tree.
        tree: TreeId,
        /// Its name.
        name: String,
        /// The leaf.
        leaf: u64,
        /// The hash it should have.
        address: Checksum,
    },
    /// The server hashed a leaf that clients had returned, and they were wrong. It has the right
    /// hash now; if its tree was complete, its root has changed.
    LeafCorrected {
        /// The tree.
        tree: TreeId,
        /// Its name.
        name: String,
        /// The leaf.
        leaf: u64,
    },
    /// A read or a commit failed; `recovered` is whether the store is open. The same failure of
    /// upkeep or of a sweep is reported once a minute. If the store is not open, it stays
    /// closed until the process restarts once [`PouwEngine::failure`](super::PouwEngine::failure)
    /// has a reason, which is reported by one such event.
    StorageFailed {
        /// What failed.
        what: String,
        /// Whether the store is open and writing continues.
        recovered: bool,
    },
    /// A sweep of the background thread failed. The next one, about a second later, tries again;
    /// the same failure is reported once a minute.
    SweepFailed {
        /// The error.
        what: String,
    },
    /// At open the wall clock was more than a day ahead of the newest time in the store: it was not
    /// open for so long, or the clock is wrong. Engine time begins at the wall clock and does not
    /// go back behind it any more.
    ClockAhead {
        /// Wall clock, Unix milliseconds.
        wall_ms: u64,
        /// Newest time in the store until then, Unix milliseconds.
        high_water_ms: u64,
    },
    /// A thread of the engine or of a gate survived a panic and goes on. Each panic is counted in
    /// its [`ThreadStats`](super::ThreadStats); one in a minute is reported for each thread.
    ThreadPanicked {
        /// The name of the thread.
        thread: String,
        /// The message of the panic.
        what: String,
    },
    /// A callback given to the engine panicked. The write it was called for keeps its outcome, and
    /// the engine goes on.
    CallbackPanicked,
}

/// Where events go.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
///
/// use pouw::{Event, EventSink, Runtime};
///
/// let (sender, completed) = mpsc::channel();
/// let sink = EventSink::new(move |event| {
///     if let Event::TreeCompleted { name, .. } = event {
///         // Without a receiver no program waits for the name.
///         let _ = sender.send(name);
///     }
/// });
/// let runtime = Runtime::in_directory("store").events(sink);
/// # drop(completed);
/// ```
#[derive(Clone, Default)]
pub struct EventSink(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl EventSink {
    /// Calls `subscriber` for each event, on the thread where it happens: keep it short. One that
    /// panics loses that event; the engine goes on.
    pub fn new(subscriber: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(subscriber)))
    }

    pub(super) fn emit(&self, event: Event) {
        if let Some(subscriber) = &self.0 {
            // The event is lost; there is no other subscriber to report that to.
            let _ = contained(|| subscriber(event));
        }
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "EventSink(subscribed)" } else { "EventSink(none)" })
    }
}
