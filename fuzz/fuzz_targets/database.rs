//! A damaged store: whatever stands in the two files, checking and using it comes back, without a panic.
//!
//! An input names the damage: bytes of pages, or rows in a transaction of redb's. A panic inside redb is
//! told once for each place, and for what was done, and passed over, as the damage is below what this crate can see; one of
//! this crate's own ends the run.
#![no_main]

mod store_rows;

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::store::check;
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::{LeafIndex, fold};
use pouw::protocol::{ByTier, DifficultyTier, MicroJoules, UnixMillis};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, EventSink, ExportPolicy, Exposure, FakeClock, IngestOptions, IssueRequest, Issued, PouwEngine,
    Runtime, StoreFile, StoreOptions, Strategy,
};

use store_rows::EDIT;

fuzz_target!(|data: &[u8]| {
    static HOOK: Once = Once::new();
    HOOK.call_once(pass_over_redb);
    let Some((how, edits)) = data.split_first() else {
        return;
    };
    *INPUT.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
    let edits = edits.as_chunks::<EDIT>().0;
    let disk = match how % 4 {
        0 => patched(StoreFile::State, edits),
        1 => patched(StoreFile::Blocks, edits),
        _ => {
            let disk = SimDisk::with_files(SOUND.state.clone(), SOUND.blocks.clone());
            store_rows::damage(&disk, edits).expect("the store is sound before the first edit");
            disk
        }
    };
    disk.set_quota(Some(QUOTA));
    // Mending a file on one disk may hide from the engine what the check has seen.
    let copy = SimDisk::with_files(disk.bytes(StoreFile::State), disk.bytes(StoreFile::Blocks));
    copy.set_quota(Some(QUOTA));
    tolerate("checking", || drop(check(Arc::new(copy), &mut |_| {})));
    tolerate("using", || use_it(&disk));
    tolerate("checking again", || drop(check(Arc::new(disk), &mut |_| {})));
});

/// Everything an engine does, whatever it comes to.
fn use_it(disk: &SimDisk) {
    let clock = Arc::new(FakeClock::at(UnixMillis(START_MS)));
    let Ok(engine) = open(disk, &clock) else { return };
    let mut issued: Vec<Issued> = Vec::new();
    for round in 0..2 {
        let _ = engine.upkeep();
        for tier in DifficultyTier::ALL {
            issued.extend(engine.issue(&IssueRequest::new(b"anna", tier).network(b"north")));
        }
        for unit in issued.drain(..) {
            let _ = for_gate(&engine).reissue(b"anna", &unit.unit.challenge_token);
            if let Ok(result) = compute_work_unit(&unit.unit) {
                let _ = engine.submit(&Answer::new(b"anna", &result).network(b"north"));
            }
            let _ = engine.receipt(unit.unit.id);
        }
        look(&engine);
        let _ = engine.debit(b"anna", MicroJoules(1), [round; 16]);
        let _ = engine.forget("cut");
        let _ = engine.sweep();
        ingest(&engine, "new", 30);
        give_known(&engine, 99);
        // Quorums have waited too long in the second round.
        clock.advance(Duration::from_millis(600_001));
    }
    let _ = engine.upkeep();
    let _ = engine.stats();
    engine.close();
}

fn look(engine: &PouwEngine) {
    let _ = engine.trees(None, 100);
    let _ = engine.partial_trees(None, 100);
    for name in NAMES {
        let _ = engine.tree(name);
        let _ = engine.remaining_nodes(name, LeafIndex(0), 1_000);
        let _ = engine.validate(name);
        for policy in [ExportPolicy::Attested, ExportPolicy::Statistical { epsilon: 0.3, delta: 0.3 }] {
            let _ = engine.export_leaves_under(policy, name, &mut |_| Ok(()));
        }
        let _ = engine.commitment(name);
        let _ = engine.export_addresses(name, &mut |_| Ok(()));
        let _ = engine.export_leaves(name, &mut |_| Ok(()));
        for leaf in [0, 17, u64::MAX] {
            let _ = engine.leaf(name, LeafIndex(leaf));
            let _ = engine.provenance(name, LeafIndex(leaf));
            let _ = engine.prove(name, LeafIndex(leaf));
        }
    }
    let _ = engine.damaged(None, 1_000);
    let _ = engine.stats().account;
    let _ = engine.ledger(0, 1_000);
    let _ = engine.ledger_of(b"anna", None, 1_000);
    let _ = engine.balance(b"berta");
}

/// Files of a sound store, with trees in every state and entries of every kind.
struct Sound {
    state: Vec<u8>,
    blocks: Vec<u8>,
    /// Offsets of the pages that hold anything, by file.
    pages: [Vec<usize>; 2],
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let engine = open(&disk, &Arc::new(FakeClock::at(UnixMillis(START_MS)))).expect("an empty disk");
    for (name, leaves, units) in [("folding", 130, 8), ("whole", 20, 3), ("cut", 90, 3)] {
        ingest(&engine, name, leaves);
        for unit in 0..units {
            engine.upkeep().expect("sound");
            let tier = if unit % 3 == 2 { DifficultyTier::Low } else { DifficultyTier::High };
            let Ok(issued) = engine.issue(&IssueRequest::new(b"anna", tier)) else { break };
            let result = compute_work_unit(&issued.unit).expect("it adds up");
            engine.submit(&Answer::new(b"anna", &result)).expect("it is right");
        }
    }
    let blocks: Vec<Vec<u8>> = (0..40).map(|leaf| vec![leaf; 100 + usize::from(leaf) * 20]).collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    engine.ingest_blocks(&IngestOptions::new(Exposure::Public), "mixed", &blocks).expect("sound");
    ingest(&engine, "gone", 20);
    engine.forget("gone").expect("sound");
    engine.debit(b"anna", MicroJoules(0), [9; 16]).expect("sound");
    trusted(&engine);
    engine.close();
    let (state, blocks) = (disk.bytes(StoreFile::State), disk.bytes(StoreFile::Blocks));
    let pages = [&state, &blocks].map(|bytes| {
        let pages = bytes.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        pages.map(|(at, _)| at * PAGE).collect()
    });
    Sound { state, blocks, pages }
});

/// Trees verified in other ways, with claims, votes, damage, and a lie that has not been looked into yet.
fn trusted(engine: &PouwEngine) {
    for (name, strategy) in [("audited", Strategy::SampledAudit { k: 1 }), ("voted", Strategy::Redundant { quorum: 3 })]
    {
        let options = IngestOptions::new(Exposure::Public).block_size(512).strategy(strategy);
        let bytes: Vec<u8> = (0..70 * 512).map(|at| (at % 249) as u8).collect();
        engine.ingest_bytes(&options, name, &bytes).expect("sound");
    }
    give_known(engine, 7);
    for (client, network, lies) in
        [(b"anna", b"north", 0), (b"bert", b"south", 1), (b"carl", b"west ", 0), (b"bert", b"south", 32)]
    {
        engine.upkeep().expect("sound");
        let request = IssueRequest::new(client, DifficultyTier::High).network(network);
        let units: Vec<Issued> = std::iter::from_fn(|| engine.issue(&request).ok()).take(8).collect();
        for unit in units {
            let mut result = compute_work_unit(&unit.unit).expect("it adds up");
            result.leaf_hashes.iter_mut().take(lies).for_each(|leaf| *leaf = Checksum::ZERO);
            if let (true, Some(top)) = (lies > 0, fold(&result.leaf_hashes, unit.unit.fold_levels)) {
                result.result_hash = top;
            }
            let _ = engine.submit(&Answer::new(client, &result).network(network));
        }
    }
    engine.sweep().expect("sound");
}

/// Blocks with known addresses, one of them damaged.
fn give_known(engine: &PouwEngine, damaged: u8) {
    let blocks: Vec<Vec<u8>> = (0..40).map(|leaf| vec![leaf; 512]).collect();
    let given: Vec<Vec<u8>> = (0..40).map(|leaf| vec![leaf ^ u8::from(leaf == damaged); 512]).collect();
    let given: Vec<(Checksum, &[u8])> =
        blocks.iter().zip(&given).map(|(block, given)| (sha3_512(block), given.as_slice())).collect();
    let options = IngestOptions::new(Exposure::Public).strategy(Strategy::KnownAddress);
    let _ = engine.ingest_known_blocks(&options, "known", &given);
}

fn open(disk: &SimDisk, clock: &Arc<FakeClock>) -> Result<PouwEngine, pouw::OpenError> {
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .background(false)
        .interior_units(true)
        .audit_seed(5)
        .build()?;
    let parts = Runtime::on(Arc::new(disk.clone()))
        .clock(clock.clone())
        .events(EventSink::default())
        .options(StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20));
    PouwEngine::open_with(parts, config)
}

fn ingest(engine: &PouwEngine, name: &str, leaves: usize) {
    let bytes: Vec<u8> = (0..leaves * 512).map(|at| ((at * 31 + leaves) % 251) as u8).collect();
    let options = IngestOptions::new(Exposure::Public).block_size(512);
    let _ = engine.ingest_bytes(&options, name, &bytes);
}

/// The sound files with bytes of one changed: page, place in the page, how, value.
fn patched(file: StoreFile, edits: &[[u8; EDIT]]) -> SimDisk {
    let (mut state, mut blocks) = (SOUND.state.clone(), SOUND.blocks.clone());
    let (bytes, pages) = match file {
        StoreFile::State => (&mut state, &SOUND.pages[0]),
        _ => (&mut blocks, &SOUND.pages[1]),
    };
    for [page, place, high, how, value, times] in edits {
        let page = pages[usize::from(*page) % pages.len()];
        let at = page + (usize::from(*place) + usize::from(*high) * 256) % PAGE;
        let at = at.min(bytes.len() - 1);
        match how % 8 {
            0..=4 => bytes[at] ^= value,
            5 => bytes[at..].iter_mut().take(usize::from(*times)).for_each(|byte| *byte = *value),
            6 => bytes[at] = 0,
            _ if *times == 0 => bytes.truncate(at.max(1)),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    SimDisk::with_files(state, blocks)
}

/// Runs what may panic inside redb. Other panics never come back from the hook.
fn tolerate(what: &'static str, run: impl FnOnce()) {
    *DOING.lock().unwrap_or_else(PoisonError::into_inner) = what;
    let _ = catch_unwind(AssertUnwindSafe(run));
}

fn pass_over_redb() {
    let fatal = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_of_redb(info) {
            fatal(info);
            return;
        }
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let place = place.rsplit_once("/redb-").map_or(place.clone(), |(_, inside)| inside.to_owned());
        let doing = *DOING.lock().unwrap_or_else(PoisonError::into_inner);
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert((doing, place.clone())) {
            let input = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
            let what = info.payload_as_str().unwrap_or_default();
            eprintln!("redb panics while {doing}, at {place}: {what}; input {input:?}");
        }
    }));
}

/// Whether the panic is redb's: raised in its source, or by the standard library for it.
fn is_of_redb(info: &PanicHookInfo<'_>) -> bool {
    let Some(place) = info.location() else {
        return false;
    };
    if !place.file().contains("/rustc/") && !place.file().contains("/library/") {
        return place.file().contains("/redb-");
    }
    let trace = Backtrace::force_capture().to_string();
    let mut places = trace.lines().map(str::trim_start).filter(|line| line.starts_with("at "));
    let caller = places.find(|at| !["/rustc/", "/library/", "/fuzz_targets/"].iter().any(|part| at.contains(part)));
    caller.is_some_and(|at| at.contains("/redb-"))
}

/// Places told already, with what was done then.
static TOLD: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());
/// What is being done to the store.
static DOING: Mutex<&str> = Mutex::new("");
/// The input that is running.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

const NAMES: [&str; 9] = ["folding", "whole", "cut", "mixed", "gone", "new", "audited", "voted", "known"];
const START_MS: u64 = 1_700_000_000_000;
const PAGE: usize = 4_096;
/// Bytes both files may grow to together.
const QUOTA: u64 = 64 << 20;
