//! redb alone: the same batches without an engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use redb::{Database, Durability, TableDefinition};

use crate::work::Slot;

const TILES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("tiles-0");

/// redb with one table and nothing else.
pub struct RawStore(Database);

impl RawStore {
    pub fn open(path: &Path) -> Self {
        let mut builder = Database::builder();
        builder.set_cache_size(48 << 20);
        Self(builder.create(path).expect("the raw store opens"))
    }

    fn write(&self, tiles: &[u64]) {
        let mut txn = self.0.begin_write().expect("a transaction begins");
        txn.set_durability(Durability::Immediate).expect("no savepoint is in the way");
        txn.set_two_phase_commit(true);
        {
            let mut table = txn.open_table(TILES).expect("the table opens");
            for tile in tiles {
                table.insert((0, *tile), &[0x11; 16][..]).expect("there is room");
            }
        }
        txn.commit().expect("the commit is durable");
    }

    pub fn replay(&self, batches: &[Vec<u64>]) -> Duration {
        let started = Instant::now();
        batches.iter().for_each(|batch| self.write(batch));
        started.elapsed()
    }
}

/// The engine's loop without the engine: first of the queue, then what else is there, one commit.
pub fn group_commit(store: &Arc<RawStore>, first: usize, units: usize, submitters: usize) -> Duration {
    let (jobs_in, jobs) = bounded::<(u64, Slot)>(4_096);
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = jobs.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(jobs.try_iter().take(255)).collect();
                let tiles: Vec<u64> = batch.iter().map(|(tile, _)| *tile).collect();
                store.write(&tiles);
                batch.iter().for_each(|(tile, done)| done.put(*tile));
            }
        });
        for _ in 0..submitters {
            let (jobs_in, next) = (jobs_in.clone(), &next);
            scope.spawn(move || {
                let slot = Slot::default();
                loop {
                    let tile = next.fetch_add(1, Ordering::Relaxed);
                    if tile >= units {
                        return;
                    }
                    jobs_in.send(((first + tile) as u64, slot.clone())).expect("the writer runs");
                    slot.take();
                }
            });
        }
        drop(jobs_in);
    });
    started.elapsed()
}
