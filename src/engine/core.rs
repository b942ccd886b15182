//! The state that all handles of one engine share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError};

use crate::policy::audit::Heightened;
use crate::policy::calibration::Calibration;
use crate::store::records::UsefulnessAccount;
use crate::store::{Damage, Identity, RangeKey, Store};

use super::backlog::queue::Queue;
use super::clients::standings::Standings;
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
use super::trees::put_off::PutOff;
use super::upkeep::search::{ClientSearch, OldSearch};
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
    /// The next tree to look at in the search for left-over block data; `None` when it is through.
    pub(super) leftover_from: Ranked<Option<u64>>,
    pub(super) refused: RefusedLater,
    /// The difficulty of each client.
    pub(super) standings: Ranked<Standings>,
    /// Networks audited more than others for a while.
    pub(super) heightened: Ranked<Heightened>,
    /// Counts that are not written yet.
    pub(super) account: Ranked<UsefulnessAccount>,
    /// One verification of stored leaves at a time. Folding a tree that it may correct takes this
    /// lock too.
    pub(super) auditing: Ranked<()>,
    /// Damaged leaves that are not marked in the store yet, at most
    /// [`FOUND_MAX`](super::backlog::damaged::FOUND_MAX) tiles.
    pub(super) found: Ranked<Vec<Damage>>,
    /// How far doubted tiles have been hashed since the last sweep.
    pub(super) doubted_after: Ranked<Option<RangeKey>>,
    /// Trees with doubted leaves that could not be hashed, and when that is tried again.
    pub(super) put_off: Ranked<PutOff>,
    /// Trees whose verdict could not be stored because of a row, and when that is tried again.
    pub(super) unstored: Ranked<PutOff>,
    /// How far the search for open quorums that wait too long has got.
    pub(super) quorum_after: Ranked<Option<RangeKey>>,
    #[cfg(feature = "testing")]
    pub(super) seeded: Option<Ranked<super::mistake::SplitMix64>>,
    /// Response times, and the sizes of units that follow from them.
    pub(super) calibration: Ranked<Calibration>,
    pub(super) events: Events,
    pub(super) tallies: Tallies,
    pub(super) closing: AtomicBool,
    /// When a sweep last ended a lease, engine time.
    pub(super) lease_ended_ms: AtomicU64,
    pub(super) client_search: Ranked<ClientSearch>,
    pub(super) old_search: Ranked<OldSearch>,
    pub(super) lanes: Lane,
    pub(super) writer_pulse: Pulse,
    /// Of the background thread, if there is one.
    pub(super) upkeep_pulse: Option<Pulse>,
    pub(super) scrub: Scrubber,
    wake: Sender<()>,
}

impl Core {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        config: Config,
        keys: Keys,
        store: Arc<Store>,
        time: EngineTime,
        lanes: Lane,
        wake: Sender<()>,
        events: EventSink,
    ) -> Self {
        let (queue, standings) = (Queue::new(&config), Standings::new(&config));
        #[cfg(feature = "testing")]
        let seeded = config.settings.audit_seed.map(|seed| Ranked::new(Rank::Seeded, super::mistake::SplitMix64(seed)));
        let now_ms = time.now_ms();
        let calibration = Calibration::new(config.size_rules(), now_ms);
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
            leftover_from: Ranked::new(Rank::LeftoverFrom, Some(0)),
            refused: RefusedLater::default(),
            standings: Ranked::new(Rank::Standings, standings),
            heightened: Ranked::new(Rank::Heightened, Heightened::default()),
            account: Ranked::new(Rank::Account, UsefulnessAccount::default()),
            auditing: Ranked::new(Rank::Auditing, ()),
            found: Ranked::new(Rank::Found, Vec::new()),
            doubted_after: Ranked::new(Rank::DoubtedAfter, None),
            put_off: Ranked::new(Rank::PutOff, PutOff::default()),
            unstored: Ranked::new(Rank::Unstored, PutOff::default()),
            quorum_after: Ranked::new(Rank::QuorumAfter, None),
            #[cfg(feature = "testing")]
            seeded,
            calibration: Ranked::new(Rank::Calibration, calibration),
            events: Events::new(events),
            tallies: Tallies::default(),
            closing: AtomicBool::new(false),
            lease_ended_ms: AtomicU64::new(0),
            client_search: Ranked::new(Rank::ClientSearch, ClientSearch::default()),
            old_search: Ranked::new(Rank::OldSearch, OldSearch::default()),
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
