//! Clients that were caught lying, and trees whose doubted leaves cannot be hashed now.

use crate::engine::core::Core;
use crate::engine::event::Event;
use crate::engine::upkeep::prune;
use crate::engine::upkeep::report::UpkeepError;
use crate::store::{Command, TreeNumber};

/// Clients followed back, and entries of each looked at, in one step.
const SUSPECTS_PER_STEP: usize = 16;
const ENTRIES_PER_STEP: usize = 256;

/// Takes one bounded step back along the answers of clients caught lying. Returns the number of
/// clients.
pub(in crate::engine) fn follow_suspects(core: &Core) -> Result<usize, UpkeepError> {
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::NoBacktrack) {
        return Ok(0);
    }
    let suspects = core.store.read()?.suspects(SUSPECTS_PER_STEP)?;
    if !suspects.is_empty() {
        let limit = ENTRIES_PER_STEP;
        let back = suspects.iter().map(|client| Command::Backtrack { client: *client, limit });
        for outcome in core.writer.write_bulk(back.collect())? {
            prune::report_skipped(core, &outcome);
        }
    }
    Ok(suspects.len())
}

/// Doubted leaves of a tree cannot be hashed now: the next try is after a pause, and a new
/// reason is reported.
pub(in crate::engine) fn put_off(core: &Core, tree: TreeNumber, why: String, event: impl FnOnce(String) -> Event) {
    let new = core.doubts.put_off.lock().failed(tree, &why, core.time.now_ms());
    if new {
        core.events.later(event(why));
    }
}
