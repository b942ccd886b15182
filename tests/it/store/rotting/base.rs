//! A small store of one strategy: a complete tree, one in work, entries, debits, clients; and what is right about it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, issue_to, names, options};
use crate::support::disk::{PAGE, copy};
use crate::support::house::{clock, on_disk, parts};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::StoreMistake;
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::root;
use pouw::protocol::{DifficultyTier, MicroJoules};
use pouw::{
    Answer, ConfigBuilder, EventSink, FakeClock, IngestLayout, LedgerEntry, PouwEngine, Runtime, StorageProvider,
    StoreFile, StoreOptions, Strategy,
};

/// A strategy, and whether its data is in the store or in files beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub strategy: Strategy,
    pub referenced: bool,
}

impl Kind {
    pub const ALL: [Self; 8] = {
        const fn of(strategy: Strategy, referenced: bool) -> Kind {
            Kind { strategy, referenced }
        }
        [
            of(Strategy::Precomputed, false),
            of(Strategy::Precomputed, true),
            of(Strategy::KnownAddress, false),
            of(Strategy::KnownAddress, true),
            of(Strategy::SampledAudit { k: 2 }, false),
            of(Strategy::SampledAudit { k: 2 }, true),
            of(Strategy::Redundant { quorum: 2 }, false),
            of(Strategy::Redundant { quorum: 2 }, true),
        ]
    };
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.strategy, if self.referenced { "by reference" } else { "copied" })
    }
}

/// A tree with its blocks and the hashes that it must have.
#[derive(Debug)]
pub struct Tree {
    pub name: &'static str,
    pub blocks: Vec<Vec<u8>>,
    pub leaves: Vec<Checksum>,
    pub root: Checksum,
}

/// What a client has: at least `sure`, and at most `maybe` more, for votes short of a quorum and for answers of which
/// the commit is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    pub sure: u64,
    pub maybe: u64,
}

pub type Accounts = BTreeMap<u64, Account>;

/// The clients of a base: of networks of their own.
pub const CLIENTS: [u64; 3] = [1_000, 2_000, 3_000];

#[derive(Debug)]
pub struct Base {
    pub kind: Kind,
    pub trees: [Tree; 2],
    pub accounts: Accounts,
    pub ledger: Vec<LedgerEntry>,
    /// Made by every engine on it.
    pub mistake: Option<StoreMistake>,
    /// Every block of both trees.
    known: HashSet<Vec<u8>>,
    disk: SimDisk,
    files: TempDir,
}

fn settings() -> ConfigBuilder {
    audited(7).ledger_entries_kept(1_000)
}

impl Base {
    pub fn new(kind: Kind) -> Self {
        let trees = [tree(kind, "done", 40, 1), tree(kind, "open", 70, 2)];
        let known = trees.iter().flat_map(|tree| tree.blocks.iter().cloned()).collect();
        let (disk, files) = (SimDisk::new(), tempfile::tempdir().unwrap());
        let mut base = Self {
            kind,
            trees,
            accounts: Accounts::new(),
            ledger: Vec::new(),
            mistake: None,
            known,
            disk: disk.clone(),
            files,
        };
        base.write_files();
        let engine = on_disk(&disk, &clock(), settings());
        base.give(&engine, &base.trees[0]).unwrap();
        base.drain(&engine, DifficultyTier::Low, 3);
        base.drain(&engine, HIGH, u64::MAX);
        base.give(&engine, &base.trees[1]).unwrap();
        base.drain(&engine, HIGH, 1);
        for (who, key) in CLIENTS.into_iter().zip(1u8..) {
            if let Ok(debit) = engine.debit(&names(who).0, MicroJoules(3), [key; 16]) {
                base.accounts.entry(who).or_default().sure = debit.balance.0;
            }
        }
        base.ledger = engine.ledger(0, 1_000).unwrap();
        engine.close();
        base
    }

    /// Honest clients answer up to `most` units.
    fn drain(&mut self, engine: &PouwEngine, tier: DifficultyTier, most: u64) {
        let (mut units, mut before) = (0, None);
        while before != Some(units) {
            before = Some(units);
            for who in CLIENTS {
                while units < most
                    && let Some(issued) = issue_to(engine, who, tier)
                {
                    let (client, network) = names(who);
                    let result = answer(&issued, |_| {});
                    let accepted = engine.submit(&Answer::new(&client, &result).network(&network)).unwrap();
                    let account = self.accounts.entry(who).or_default();
                    account.sure += accepted.award.0;
                    account.maybe += accepted.deferred.0;
                    units += 1;
                }
            }
        }
        // Votes that were paid meanwhile.
        for (who, account) in &mut self.accounts {
            let now = engine.balance(&names(*who).0).unwrap().0;
            *account = Account { maybe: account.sure + account.maybe - now, sure: now };
        }
        for _ in 0..2 {
            engine.upkeep().unwrap();
        }
    }

    /// A disk of its own with the closed store.
    pub fn disk(&self) -> SimDisk {
        copy(&self.disk)
    }

    /// An engine that keeps no page in memory: damage is read.
    pub fn open(
        &self,
        disk: &SimDisk,
        clock: &Arc<FakeClock>,
        events: EventSink,
    ) -> Result<PouwEngine, pouw::OpenError> {
        let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
        let options = self.mistake.into_iter().fold(options, StoreOptions::mistake);
        let runtime: Runtime = parts(Arc::new(disk.clone()), clock).events(events).options(options);
        PouwEngine::open_with(runtime, settings().build().unwrap())
    }

    pub fn is_known(&self, leaf: &[u8]) -> bool {
        self.known.contains(leaf)
    }

    fn write_files(&self) {
        for tree in self.trees.iter().filter(|_| self.kind.referenced) {
            let folder = self.files.path().join(tree.name);
            std::fs::create_dir_all(&folder).unwrap();
            if self.kind.strategy == Strategy::KnownAddress {
                let files = tree.blocks.iter().zip(&tree.leaves);
                files.for_each(|(block, leaf)| std::fs::write(folder.join(leaf.to_hex()), block).unwrap());
            } else {
                std::fs::write(folder.join(tree.name), tree.blocks.concat()).unwrap();
            }
        }
    }

    /// Ingests the content of a tree. An error says why that was refused.
    pub fn give(&self, engine: &PouwEngine, tree: &Tree) -> Result<(), String> {
        let options = options(self.kind.strategy);
        let said = |error: pouw::IngestError| error.to_string();
        let slices: Vec<&[u8]> = tree.blocks.iter().map(Vec::as_slice).collect();
        let known = self.kind.strategy == Strategy::KnownAddress;
        if self.kind.referenced {
            let options = options.by_reference(true);
            let options = if known { options.layout(IngestLayout::Blocks).tree(tree.name) } else { options };
            let folder = [self.files.path().join(tree.name)];
            let report = engine.ingest_paths(&options, &folder, &mut |_| ControlFlow::Continue(())).map_err(said)?;
            return if report.problems.is_empty() { Ok(()) } else { Err(format!("{:?}", report.problems)) };
        }
        if known {
            let given: Vec<(Checksum, &[u8])> = tree.leaves.iter().copied().zip(slices).collect();
            return engine.ingest_known_blocks(&options, tree.name, &given).map(drop).map_err(said);
        }
        engine.ingest_bytes(&options, tree.name, &tree.blocks.concat()).map(drop).map_err(said)
    }

    /// What may be damaged in a file: each used page as zeroes, and 200 bytes of them, a bit of each.
    pub fn damages(&self, file: StoreFile) -> Vec<Damage> {
        let bytes = self.disk.bytes(file);
        let pages: Vec<u64> = bytes
            .chunks(PAGE as usize)
            .zip(0..)
            .filter(|(page, _)| page.iter().any(|byte| *byte != 0))
            .map(|(_, at)| at)
            .collect();
        let mut random = pouw::internal::engine::testing::SplitMix64(file.file_name().len() as u64);
        let bits = (0..200).map(|_| {
            let page = pages[(random.next() % pages.len() as u64) as usize];
            let at = page * PAGE + random.next() % PAGE;
            Damage::Bit { file, at, bit: (random.next() % 8) as u8 }
        });
        let bits: Vec<Damage> = bits.collect();
        pages.into_iter().map(|page| Damage::Page { file, page }).chain(bits).collect()
    }
}

fn tree(kind: Kind, name: &'static str, count: u64, seed: u64) -> Tree {
    let mut blocks = blocks(count, seed);
    if kind.strategy == Strategy::KnownAddress {
        // Files are taken in the order of their names.
        blocks.sort_by_key(|block| sha3_512(block));
    }
    let leaves: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
    let root = root(&leaves).unwrap();
    Tree { name, blocks, leaves, root }
}

/// Damage to the bytes of a file.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    /// A page becomes zeroes.
    Page { file: StoreFile, page: u64 },
    /// One bit is flipped.
    Bit { file: StoreFile, at: u64, bit: u8 },
}

impl Damage {
    pub fn file(self) -> StoreFile {
        let (Self::Page { file, .. } | Self::Bit { file, .. }) = self;
        file
    }

    /// Changes the file below its users.
    pub fn happen(self, disk: &SimDisk) {
        let now = disk.bytes(self.file());
        let (file, at, bytes) = match self {
            Self::Page { file, page } => (file, page * PAGE, vec![0; PAGE as usize]),
            Self::Bit { file, at, bit } => {
                (file, at, now.get(at as usize).map(|old| old ^ (1 << bit)).into_iter().collect())
            }
        };
        // A file that an open engine has made shorter has fewer bytes to damage.
        if at + bytes.len() as u64 > now.len() as u64 || bytes.is_empty() {
            return;
        }
        let medium = disk.open(file).unwrap();
        medium.write(at, &bytes).unwrap();
        medium.sync_data().unwrap();
    }
}

/// One of the clients, by number from 0.
pub fn client(number: u64) -> u64 {
    apart(number % CLIENTS.len() as u64 + 1)
}
