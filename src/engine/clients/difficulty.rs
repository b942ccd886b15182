//! The difficulty of a client: it changes with a violation, and with the verdict on its answer.

use crate::policy::difficulty::Standing;
use crate::protocol::{ClientDigest, DifficultyTier};
use crate::store::StoreError;

use super::standings::Key;
use crate::engine::core::Core;
use crate::engine::event::Event;
use crate::engine::for_gate::ForGate;

/// Rows read at once at open.
const LOAD_PAGE: usize = 4_096;

impl ForGate<'_> {
    /// Returns the tier of a challenge issued to this client now, if it is a violation.
    pub fn next_tier(&self, client: &[u8]) -> DifficultyTier {
        self.tier_for(self.core().keys.digest_of(client), true)
    }

    /// Returns the tier of a challenge issued to this client now, after one more violation if it is
    /// `violating`. Changes nothing.
    pub(crate) fn tier_for(&self, client: ClientDigest, violating: bool) -> DifficultyTier {
        let (core, now_ms) = (self.core(), self.core().time.now_ms());
        core.clients.standings.lock().next_tier(&client, violating, now_ms)
    }

    /// Counts a violation of this client.
    pub fn note_violation(&self, client: &[u8]) {
        self.violated(self.core().keys.digest_of(client));
    }

    /// The same for a client whose digest is known.
    pub(crate) fn violated(&self, client: ClientDigest) {
        let (core, now_ms) = (self.core(), self.core().time.now_ms());
        core.clients.standings.lock().violated(&client, now_ms);
    }

    /// Returns this client's standing now.
    pub fn standing(&self, client: &[u8]) -> Standing {
        let core = self.core();
        let (client, now_ms) = (core.keys.digest_of(client), core.time.now_ms());
        core.clients.standings.lock().look(&client, now_ms)
    }
}

/// Reads all rows of the store, page by page. One that is damaged is dropped, with an event.
pub(in crate::engine) fn load_standings(core: &Core) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = core.store.standings(after, LOAD_PAGE)?;
        after = page.last().map(|(client, _)| *client);
        let (full, now_ms) = (page.len() == LOAD_PAGE, core.time.now_ms());
        for (client, row) in page {
            let mut standings = core.clients.standings.lock();
            match row {
                Ok(row) => standings.load(&client, &row, now_ms),
                Err(error) => {
                    standings.drop_stored(&client);
                    drop(standings);
                    core.events.emit(Event::CorruptionFound { tree: None, what: error.to_string() });
                }
            }
        }
        if !full {
            return Ok(());
        }
    }
}

/// Counts a client's wrong answer.
pub(in crate::engine) fn note_wrong(core: &Core, client: &Key) {
    let now_ms = core.time.now_ms();
    core.clients.standings.lock().wrong(client, now_ms);
}

/// Counts a client's accepted answer, once it is durable.
pub(in crate::engine) fn note_completed(core: &Core, client: &Key) {
    let now_ms = core.time.now_ms();
    core.clients.standings.lock().completed(client, now_ms);
}
