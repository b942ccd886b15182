//! Threads that hang: health says which, and for how long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::desk;
use crate::support::disk::{Access, Hooked};
use crate::support::house::{clock, config, on_disk, open, parts};
use crate::support::patience::{PATIENCE, ended, until};
use crate::support::work::cut;
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::{Gate, GateConfig, GateRuntime, HealthCondition, StoreFile, StoreOptions, Verdict};

/// Holds one thread within its next read of one file.
#[derive(Default)]
struct Hold {
    read: Mutex<Option<(&'static str, StoreFile)>>,
    held: AtomicBool,
    changed: Condvar,
}

impl Hold {
    fn hook(&self, access: Access) {
        let read = self.read.lock().unwrap();
        let held = |(thread, file)| access == Access::Read(file) && std::thread::current().name() == Some(thread);
        if read.is_some_and(held) {
            self.held.store(true, Ordering::SeqCst);
            drop(self.changed.wait_timeout_while(read, PATIENCE, |read| read.is_some()).unwrap());
        }
    }

    fn take(&self, thread: &'static str, file: StoreFile) {
        *self.read.lock().unwrap() = Some((thread, file));
    }

    fn release(&self) {
        *self.read.lock().unwrap() = None;
        self.changed.notify_all();
    }
}

#[test]
fn a_judge_and_a_round_of_upkeep_that_hang_make_health_degraded() {
    let cases = [
        ("pouw-judge-0", StoreFile::State, 60),
        ("pouw-upkeep", StoreFile::State, 300),
        ("pouw-upkeep", StoreFile::Blocks, 300),
    ];
    for (thread, file, seconds) in cases {
        let hold = Arc::new(Hold::default());
        let hook = hold.clone();
        let disk = SimDisk::new();
        let before = on_disk(&disk, &clock(), config());
        desk::ingest(&before, "tree", 64);
        before.close();
        let storage = Hooked::new(Arc::new(disk), move |access| hook.hook(access));
        let time = clock();
        let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
        // Scrubbing would wait for what the thread holds.
        let config = config().background(thread == "pouw-upkeep").scrub_bytes_per_second(0);
        let engine = open(parts(Arc::new(storage), &time).options(options), config);
        engine.refill().unwrap();
        let settings = GateConfig::builder().rate_limit(1).judge_threads(1).build().unwrap();
        let gate = Gate::with_runtime(engine.clone(), settings, GateRuntime::default().ticked_by_host()).unwrap();
        let ask = || decide(&gate, desk::facts(desk::ADDRESS)).wait();
        desk::passed(ask());
        let (_, result) = desk::solved(&desk::refused(ask(), "work_required"));
        hold.take(thread, file);
        let compact = Some(ResultText::Compact(result.to_compact()));
        let answer = Some(Presented { token: result.challenge_token.clone(), result: compact });
        let (verdict, judged) = std::sync::mpsc::channel();
        match decide(&gate, Facts { answer, ..desk::facts(desk::ADDRESS) }) {
            Verdict::Judge(pending) => pending.then(move |decision| verdict.send(decision).unwrap()),
            other => panic!("{other:?}"),
        }
        // This wakes the thread.
        engine.ingest_bytes(&cut(), "more", &[7; 512]).unwrap();
        until(|| hold.held.load(Ordering::SeqCst));
        time.advance(Duration::from_secs(seconds));
        // The writer may be about to end its commit.
        until(|| gate.health().threads.condition == HealthCondition::Healthy);
        time.advance(Duration::from_secs(1));
        let health = gate.health();
        assert_eq!(health.threads.condition, HealthCondition::Degraded, "{thread}");
        let expected = format!("{thread} has been busy with one");
        assert!(health.threads.detail.starts_with(&expected), "{}", health.threads.detail);
        assert!(health.threads.detail.contains(&format!("{} s", seconds + 1)), "{}", health.threads.detail);
        assert_eq!(health.overall(), HealthCondition::Degraded);
        hold.release();
        ended("the verdict", move || drop(judged.recv().unwrap()));
        until(|| gate.health().threads.condition == HealthCondition::Healthy);
        ended("close", move || engine.close());
    }
}
