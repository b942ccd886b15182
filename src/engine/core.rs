//! The parts of one engine. A part has its own lock and its own methods, and knows neither this
//! list nor the handle. Verbs are functions over the list.

use std::sync::Arc;

use crate::store::{Identity, Store};

use super::backlog::found::Found;
use super::backlog::queue::WorkQueue;
use super::clients::state::Clients;
use super::clock::EngineTime;
use super::config::Config;
use super::event::EventSink;
use super::events::Events;
use super::keys::Keys;
#[cfg(feature = "testing")]
use super::locks::{Rank, Ranked};
#[cfg(feature = "testing")]
use super::mistake::SplitMix64;
use super::refused::RefusedLater;
use super::scrub::scrubber::Scrubber;
use super::tallies::Tallies;
use super::trees::doubts::Doubts;
use super::turns::Turns;
use super::upkeep::search::Searches;
use super::upkeep::thread::UpkeepThread;
use super::writer::Writer;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) keys: Keys,
    pub(super) identity: Identity,
    pub(super) store: Arc<dyn Store>,
    pub(super) time: EngineTime,
    pub(super) queue: WorkQueue,
    pub(super) refused: RefusedLater,
    pub(super) clients: Clients,
    pub(super) found: Found,
    pub(super) doubts: Doubts,
    pub(super) searches: Searches,
    pub(super) turns: Turns,
    pub(super) events: Events,
    pub(super) tallies: Tallies,
    pub(super) writer: Writer,
    pub(super) background: UpkeepThread,
    pub(super) scrub: Scrubber,
    #[cfg(feature = "testing")]
    pub(super) seeded: Option<Ranked<SplitMix64>>,
}

impl Core {
    pub(super) fn new(
        config: Config,
        keys: Keys,
        time: EngineTime,
        writer: Writer,
        background: UpkeepThread,
        events: EventSink,
    ) -> Self {
        let (now_ms, store) = (time.now_ms(), writer.store().clone());
        #[cfg(feature = "testing")]
        let seeded = config.settings.audit_seed.map(|seed| Ranked::new(Rank::Seeded, SplitMix64(seed)));
        Self {
            identity: store.identity(),
            queue: WorkQueue::new(&config),
            refused: RefusedLater::default(),
            clients: Clients::new(&config, now_ms),
            found: Found::default(),
            doubts: Doubts::default(),
            searches: Searches::default(),
            turns: Turns::default(),
            events: Events::new(events),
            tallies: Tallies::default(),
            scrub: Scrubber::new(&config, now_ms),
            #[cfg(feature = "testing")]
            seeded,
            config,
            keys,
            store,
            time,
            writer,
            background,
        }
    }
}
