//! Pages of old rows that cannot be read: a sweep writes nothing near them, removes the rows before and behind them,
//! and reports them once.

use std::sync::Arc;
use std::time::Duration;

use crate::support::disk::PAGE;
use crate::support::house::{House, START_MS, config, open, parts};
use crate::support::store_plant::{CLIENTS, CONSUMED, LEDGER, Planted, ReadableTable, plant};
use crate::support::work::cut;
use pouw::internal::store::NO_ENTRY;
use pouw::internal::store::rows::{ClientRow, seal};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{ClientDigest, MicroJoules};
use pouw::{ConfigBuilder, Event, EventSink, StorageProvider, StoreFile, StoreOptions, SweepReport};

/// Used tokens and clients where their pages are damaged, and where those of the others are.
const TOKENS: u64 = 40_000;
const MANY: u64 = 20_000;
const FEW: u64 = 1_000;
/// Rows on a damaged page, and those beside it: 128 pages of the smallest rows.
const KEPT_TOKENS_MAX: u64 = 128 + 2 * 16_384;
const KEPT_CLIENTS_MAX: u64 = 128 + 2 * 8_192;
const DAY: Duration = Duration::from_secs(24 * 3_600 + 1);

/// What is reported of pages of a table.
fn told(house: &House, table: &str) -> usize {
    let says = |event: &&Event| match event {
        Event::CorruptionFound { what, .. } => what.contains(&format!("rows of {table} cannot be read")),
        _ => false,
    };
    house.events.lock().iter().filter(says).count()
}

/// Sweeps of half a day, a second apart. The sums of what was removed: tokens, entries, clients.
fn sweep(house: &House) -> [u64; 3] {
    let mut sums = [0; 3];
    for _ in 0..60 {
        house.clock.advance(Duration::from_secs(720));
        let SweepReport { consumed_pruned, sealed, clients_pruned, .. } = house.engine.sweep().unwrap();
        sums = [sums[0] + consumed_pruned, sums[1] + sealed, sums[2] + clients_pruned];
    }
    assert_eq!(house.engine.failure(), None);
    // It is written to still. Not a client, whose row may be on a damaged page.
    house.engine.ingest_bytes(&cut(), "late", &[1; 512]).unwrap();
    sums
}

fn token(at: u64) -> (u64, [u8; 16]) {
    (START_MS + at, [at as u8; 16])
}

fn token_bytes(at: u64) -> Vec<u8> {
    let (expiry, id) = token(at);
    [&expiry.to_le_bytes()[..], &id].concat()
}

fn client(at: u64) -> [u8; 16] {
    let mut key = [0x5a; 16];
    key[..8].copy_from_slice(&(at * (u64::MAX / MANY)).to_be_bytes());
    key
}

/// Closes the store, changes its rows, and opens it without a cache. Then each leaf of redb's is filled with zeroes that
/// has one of the keys returned. Pages that are free may be among them, which does no harm.
fn damage(house: &mut House, config: ConfigBuilder, change: impl FnOnce(&Planted) -> Vec<Vec<u8>>) {
    house.engine.close();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), house.disk.bytes(StoreFile::State)).unwrap();
    let mut keys = Vec::new();
    plant(file.path(), |txn| keys = change(txn));
    let bytes = std::fs::read(file.path()).unwrap();
    house.disk = SimDisk::with_files(bytes.clone(), house.disk.bytes(StoreFile::Blocks));
    let events = house.events.clone();
    let parts = parts(Arc::new(house.disk.clone()), &house.clock)
        .options(StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0))
        .events(EventSink::new(move |event| events.lock().push(event)));
    house.engine = open(parts, config);
    let state = house.disk.open(StoreFile::State).unwrap();
    for key in keys {
        let has = |page: &[u8]| page[0] == 1 && page.windows(key.len()).any(|part| part == key);
        let pages: Vec<_> = (0..).zip(bytes.chunks(PAGE as usize)).filter(|(_, page)| has(page)).collect();
        assert!(!pages.is_empty(), "no page has the key");
        pages.iter().for_each(|(at, _)| state.write(at * PAGE, &[0; PAGE as usize]).unwrap());
    }
}

/// A store with used tokens and idle clients, with zeroes in the pages of these.
fn damaged(tokens: &[u64], clients: &[u64]) -> House {
    let mut house = House::with(config());
    damage(&mut house, config(), |txn| {
        let mut table = txn.open_table(CONSUMED).unwrap();
        let rows = if tokens.is_empty() { FEW } else { TOKENS };
        (0..rows).for_each(|at| drop(table.insert(token(at), NO_ENTRY).unwrap()));
        let mut table = txn.open_table(CLIENTS).unwrap();
        let rows = if clients.is_empty() { FEW } else { MANY };
        for key in (0..rows).map(client) {
            let row = seal("clients-0", ClientDigest::from_bytes(key), &ClientRow::default()).unwrap();
            table.insert(key, row.as_slice()).unwrap();
        }
        let tokens = tokens.iter().map(|at| token_bytes(*at));
        tokens.chain(clients.iter().map(|at| client(*at).to_vec())).collect()
    });
    house.clock.advance(DAY);
    house
}

#[test]
fn used_tokens_before_and_behind_a_damaged_page_are_removed_and_the_store_stays_open() {
    for pages in [&[0][..], &[20_000], &[0, 200, 400], &[39_999]] {
        let house = damaged(pages, &[]);
        let [removed, _, clients] = sweep(&house);
        let kept = TOKENS - removed;
        assert!(removed < TOKENS && kept <= KEPT_TOKENS_MAX + 1_000, "{pages:?}: {kept} are left");
        assert_eq!((told(&house, "consumed-0"), clients), (1, FEW), "{pages:?}: {:?}", house.events.lock());
    }
}

#[test]
fn used_tokens_that_cannot_be_read_at_all_stay_and_the_time_is_written() {
    let every: Vec<u64> = (0..3_000).step_by(20).collect();
    let mut house = House::with(config());
    damage(&mut house, config(), |txn| {
        let mut table = txn.open_table(CONSUMED).unwrap();
        every.iter().for_each(|at| drop(table.insert(token(*at), NO_ENTRY).unwrap()));
        [0, every.len() - 1].map(|at| token_bytes(every[at])).to_vec()
    });
    let commits = house.engine.stats().commits;
    assert_eq!(sweep(&house)[0], 0);
    assert!((5..20).contains(&(house.engine.stats().commits - commits)));
    assert_eq!(told(&house, "consumed-0"), 1);
}

#[test]
fn idle_clients_before_and_behind_a_damaged_page_are_forgotten() {
    for pages in [&[0][..], &[10_000], &[0, 100, 200], &[19_999]] {
        let house = damaged(&[], pages);
        let [tokens, _, forgotten] = sweep(&house);
        let kept = MANY - forgotten;
        assert!(forgotten < MANY && kept <= KEPT_CLIENTS_MAX + 1_000, "{pages:?}: {kept} are left");
        assert_eq!((told(&house, "clients-0"), tokens), (1, FEW), "{pages:?}: {:?}", house.events.lock());
    }
}

#[test]
fn the_ledger_is_sealed_up_to_a_damaged_page() {
    let mut house = House::with(config().ledger_entries_kept(1_000));
    for at in 0..6_500u32 {
        let mut key = [1; 16];
        key[..4].copy_from_slice(&at.to_le_bytes());
        house.engine.debit(b"debtor", MicroJoules(0), key).unwrap();
    }
    damage(&mut house, config().ledger_entries_kept(1_000), |txn| {
        vec![txn.open_table(LEDGER).unwrap().get(5_000).unwrap().unwrap().value().to_vec()]
    });
    let [_, sealed, _] = sweep(&house);
    assert!((500..5_000).contains(&sealed), "{sealed} are sealed");
    assert_eq!(told(&house, "ledger-0"), 1, "{:?}", house.events.lock());
}
