use std::sync::Arc;
use std::time::Duration;

use crate::engine::ingest::{IngestLayout, IngestOptions};
use crate::engine::{Config, FakeClock, IssueRequest, Runtime};
use crate::protocol::UnixMillis;
use crate::store::rows::Exposure;

use super::round::ROWS_PER_STEP;
use crate::engine::PouwEngine;
use crate::engine::upkeep::round;
use crate::store::CHORE_PURGE;

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
        assert!(round::upkeep(core, true, &|| true).unwrap().removed > 0);
        assert_eq!(purges(), 1, "one step removed all");
    }
    let mut swept_ms = core.time.now_ms();
    clock.advance(Duration::from_millis(engine.config().token_ttl_ms() + 1));
    assert_eq!(leases(), 1);
    assert!(round::catch_up(core, true, &mut swept_ms));
    assert_eq!((purges(), leases(), swept_ms), (0, 0, core.time.now_ms()));
}

/// Rows of used tokens after six seconds with this many answers and a sweep in each.
#[cfg(feature = "testing")]
fn used_tokens(answers: usize, mistake: Option<crate::engine::testing::Mistake>) -> u64 {
    use crate::engine::Answer;
    use crate::protocol::{ByTier, DifficultyTier};
    use crate::solver::compute_work_unit;
    use crate::store::sim::SimDisk;

    let clock = Arc::new(FakeClock::at(UnixMillis(1_700_000_000_000)));
    let config = Config::builder([7; 32]).background(false).token_ttl(Duration::from_secs(1));
    let config = mistake.into_iter().fold(config, |config, mistake| config.mistake(mistake));
    let config = config.floor(ByTier::all(Duration::ZERO)).build().unwrap();
    let disk = Arc::new(SimDisk::new());
    let engine = PouwEngine::open_with(Runtime::on(disk.clone()).clock(clock.clone()), config).unwrap();
    let core = engine.core();
    let mut swept_ms = core.time.now_ms();
    let (done, verdicts) = std::sync::mpsc::channel();
    for _ in 0..6 {
        for _ in 0..answers / 250 {
            for _ in 0..250 {
                let request = IssueRequest::new(b"client", DifficultyTier::Low).synthetic(true);
                let unit = engine.issue(&request).unwrap().unit;
                let done = done.clone();
                let verdict = move |verdict: Result<_, _>| done.send(verdict.map(drop)).unwrap();
                engine.submit_with(&Answer::new(b"client", &compute_work_unit(&unit).unwrap()), verdict);
            }
            verdicts.iter().take(250).for_each(|verdict| verdict.unwrap());
        }
        clock.advance(Duration::from_secs(1));
        assert!(round::sweep_if_due(core, &mut swept_ms));
    }
    engine.close();
    crate::store::check(disk, &mut |_| {}).unwrap().consumed
}

#[cfg(feature = "testing")]
#[test]
fn used_tokens_of_5_000_answers_a_second_stay_within_two_lifetimes() {
    use crate::engine::testing::Mistake;

    assert_eq!(used_tokens(5_000, None), 10_000);
    assert!(used_tokens(5_000, Some(Mistake::SweepOnce)) > 20_000, "the mistake was not caught");
}
