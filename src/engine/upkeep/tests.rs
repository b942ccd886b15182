use std::sync::Arc;

use crate::engine::ingest::{IngestLayout, IngestOptions};
use crate::engine::{Config, FakeClock, IssueRequest, Runtime};
use crate::protocol::UnixMillis;
use crate::store::records::Exposure;

use super::*;

#[test]
fn removing_a_large_tree_stops_for_a_sweep_and_continues_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(UnixMillis(1_700_000_000_000)));
    let config = Config::builder([7; 32]).background(false).build().unwrap();
    let engine = PouwEngine::open_with(Runtime::in_directory(directory.path()).clock(clock.clone()), config).unwrap();
    // Rows of leaf hashes for more than two steps.
    let blocks = vec![&[1_u8][..]; 5 * ROWS_PER_STEP * 8];
    let options = IngestOptions::new(Exposure::Public).layout(IngestLayout::Blocks);
    engine.issue(&IssueRequest::new(b"client", crate::protocol::DifficultyTier::Low).synthetic(true)).unwrap();
    engine.ingest_blocks(&options, "large", &blocks).unwrap();
    engine.forget("large").unwrap();
    let core = engine.core();
    let purges = || core.store.read().unwrap().chores(CHORE_PURGE, None, 1).unwrap().len();
    let leases = || core.queue.lock().leases.len();
    for _ in 0..2 {
        assert!(core.upkeep(true, &|| true).unwrap().removed > 0);
        assert_eq!(purges(), 1, "one step removed all");
    }
    let mut swept_ms = core.now_ms();
    clock.advance(Duration::from_millis(engine.config().token_ttl_ms() + 1));
    assert_eq!(leases(), 1);
    assert!(core.catch_up(true, &mut swept_ms));
    assert_eq!((purges(), leases(), swept_ms), (0, 0, core.now_ms()));
}
