//! The state that all handles of one engine share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError};

use crate::store::{Identity, Store};

use super::backlog::found::Found;
use super::backlog::queue::Queue;
use super::clients::state::Clients;
use super::clock::EngineTime;
use super::config::Config;
use super::event::EventSink;
use super::events::Events;
use super::keys::Keys;
use super::locks::{Rank, Ranked, RankedRw};
use super::pulse::Pulse;
use super::refused::RefusedLater;
use super::scrub::scrubber::Scrubber;
use super::tallies::Tallies;
use super::trees::put_off::Doubts;
use super::upkeep::search::Searches;
use super::writer::job::Lane;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) keys: Keys,
    pub(super) identity: Identity,
    pub(super) store: Arc<Store>,
    pub(super) time: EngineTime,
    pub(super) queue: Ranked<Queue>,
    /// One refill at a time.
    pub(super) refilling: Ranked<()>,
    /// One upkeep at a time.
    pub(super) upkeeping: Ranked<()>,
    /// One ingest at a time, so that tree numbers are begun in the order they were reserved.
    pub(super) ingesting: Ranked<()>,
    /// Held for writing by an ingest from its look at trees until data and rows are durable, for
    /// reading by what removes trees or data. Each writes a bounded piece; the writer never waits.
    pub(super) both_files: RankedRw<()>,
    pub(super) refused: RefusedLater,
    pub(super) clients: Clients,
    pub(super) found: Found,
    pub(super) doubts: Doubts,
    pub(super) searches: Searches,
    /// One verification of stored leaves at a time. Folding a tree that it may correct takes this
    /// lock too.
    pub(super) auditing: Ranked<()>,
    #[cfg(feature = "testing")]
    pub(super) seeded: Option<Ranked<super::mistake::SplitMix64>>,
    pub(super) events: Events,
    pub(super) tallies: Tallies,
    pub(super) closing: AtomicBool,
    /// When a sweep last ended a lease, engine time.
    pub(super) lease_ended_ms: AtomicU64,
    pub(super) lanes: Lane,
    pub(super) writer_pulse: Pulse,
    /// Of the background thread, if there is one.
    pub(super) upkeep_pulse: Option<Pulse>,
    pub(super) scrub: Scrubber,
    wake: Sender<()>,
}

impl Core {
    pub(super) fn new(
        config: Config,
        keys: Keys,
        store: Arc<Store>,
        time: EngineTime,
        lanes: Lane,
        wake: Sender<()>,
        events: EventSink,
    ) -> Self {
        let queue = Queue::new(&config);
        #[cfg(feature = "testing")]
        let seeded = config.settings.audit_seed.map(|seed| Ranked::new(Rank::Seeded, super::mistake::SplitMix64(seed)));
        let now_ms = time.now_ms();
        let clients = Clients::new(&config, now_ms);
        Self {
            writer_pulse: Pulse::new("pouw-writer", now_ms),
            upkeep_pulse: config.settings.background.then(|| Pulse::new("pouw-upkeep", now_ms)),
            scrub: Scrubber::new(&config, now_ms),
            identity: store.identity(),
            config,
            keys,
            store,
            time,
            queue: Ranked::new(Rank::Queue, queue),
            refilling: Ranked::new(Rank::Refilling, ()),
            upkeeping: Ranked::new(Rank::Upkeeping, ()),
            ingesting: Ranked::new(Rank::Ingesting, ()),
            both_files: RankedRw::new(Rank::BothFiles, ()),
            refused: RefusedLater::default(),
            clients,
            found: Found::default(),
            doubts: Doubts::default(),
            searches: Searches::default(),
            auditing: Ranked::new(Rank::Auditing, ()),
            #[cfg(feature = "testing")]
            seeded,
            events: Events::new(events),
            tallies: Tallies::default(),
            closing: AtomicBool::new(false),
            lease_ended_ms: AtomicU64::new(0),
            lanes,
            wake,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.time.now_ms()
    }

    #[cfg(feature = "gate")]
    pub(super) fn window_ms(&self) -> u64 {
        self.time.window_ms()
    }

    /// Wakes the background thread, if there is one.
    pub(super) fn wake(&self) {
        match self.wake.try_send(()) {
            // A full channel: an earlier wake has not been handled yet.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Stops taking writes. The writer ends after the jobs already handed in.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.lanes.close();
        if self.store.is_read_only() {
            // It has no writer that would do so.
            self.store.close();
        }
        self.wake();
    }
}
