//! The rules give the same over redb and over memory: random commands, also on damaged rows, have
//! the same outcomes, and leave the same rows byte for byte.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use redb::{Database, ReadableDatabase, Value};

use crate::hash::Checksum;
use crate::merkle::{AlignedRange, GROUP_LEAVES, Shape, TILE_LEAVES};
use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::command::claims::{Amend, Audited, Damage, Referee, Repair, Ruling, Upgrade, Vote};
use crate::store::command::mend::{Derived, Mend, Regroup};
use crate::store::command::older::OlderRow;
use crate::store::command::standings::PutStandings;
use crate::store::command::{AddGroups, BeginTree, Command, Debit, FinishTree, Refuse, Settle, SettleKind};
use crate::store::memory::{InMemory, Tables};
use crate::store::port::{Rows, View};
use crate::store::rows::{
    DataPlace, DebitKey, Exposure, GroupRow, HashWork, Head, LengthRow, ScrubRow, StandingRow, Strategy, TreeRow,
    TreeState,
};
use crate::store::rules::run;
use crate::store::rules::state::{Effects, WriterState};
use crate::store::schema::{
    self, Claims, Clients, Hashes, Ledger, Lengths, Meta, Provenance, Quorums, Tiles, Trees, each_state_table,
};
use crate::store::table::Table as _;

use super::tables::{InRedb, RedbKey};
use super::transaction::{Changing, NotWritten};
use super::view::{Kept, RedbTxn, RedbView};
use crate::store::storage::StoreFile;

/// SplitMix64, from a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn id(&mut self) -> WorkId {
        WorkId::from_bytes([self.below(200) as u8; 16])
    }

    fn client(&mut self) -> ClientDigest {
        ClientDigest::from_bytes([self.below(4) as u8; 16])
    }

    fn key(&mut self, kinds: u64) -> DebitKey {
        DebitKey::from_bytes([self.below(kinds) as u8; 16])
    }

    fn work(&mut self) -> HashWork {
        HashWork::of_parents(self.below(4), self.below(4))
    }
}

/// The same store twice.
struct Both {
    database: Database,
    tables: Tables,
    writers: [WriterState; 2],
}

impl Both {
    fn new() -> Self {
        let database = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let both = Self { database, tables: Tables::default(), writers: Default::default() };
        // As when a store is made.
        let txn = Changing::of(&both.database, StoreFile::State, false).ok().unwrap();
        macro_rules! make {
            ($($table:ident $name:ident),+) => { $(drop(txn.open_table(schema::$table::DEFINITION).unwrap());)+ };
        }
        each_state_table!(make);
        drop(txn.open_table(Meta::DEFINITION).unwrap());
        txn.commit().ok().unwrap();
        both
    }

    /// Runs a batch on both, and compares. Returns its outcomes as text.
    fn run(&mut self, commands: &[Command], now_ms: u64) -> Vec<String> {
        let [of_redb, of_memory] = &mut self.writers;
        let txn = Changing::of(&self.database, StoreFile::State, false).ok().unwrap();
        let over_redb = match txn.change(|txn| run(&mut RedbTxn::of(txn), of_redb, commands, now_ms)) {
            Ok((txn, done)) => {
                txn.commit().ok().unwrap();
                Ok(done)
            }
            Err(NotWritten::RolledBack(error) | NotWritten::Broken(error)) => Err(error),
        };
        let mut changed = self.tables.clone();
        let over_memory = run(&mut changed, of_memory, commands, now_ms);
        if over_memory.is_ok() {
            self.tables = changed;
        }
        let outcomes = merged(over_redb, of_redb);
        assert_eq!(outcomes, merged(over_memory, of_memory), "{commands:?}");
        let state = |of: &WriterState| (of.head.clone(), of.account, of.dirty.clone(), format!("{:?}", of.round));
        assert_eq!(state(of_redb), state(of_memory), "{commands:?}");
        self.compare(&format!("{commands:?}"));
        outcomes
    }

    fn compare(&self, after: &str) {
        let txn = self.database.begin_read().unwrap();
        assert!(tables_of(&RedbView::of(txn)) == self.tables, "the rows differ after {after}");
    }

    /// Damages a row of a table in both: it is cut short, or a bit is another.
    fn damage<T: Kept + InMemory>(&mut self, table: T, draw: &mut Draw) {
        let rows = T::rows_mut(&mut self.tables);
        let at = draw.below(rows.len() as u64) as usize;
        let Some((key, bytes)) = rows.iter_mut().nth(at) else { return };
        match draw.below(3) {
            // As older stores have the rows of fixed bytes.
            0 => bytes.truncate(bytes.len().saturating_sub(9)),
            1 => bytes.truncate(bytes.len() / 2),
            _ => bytes[0] ^= 1 << draw.below(8),
        }
        let (key, bytes) = (key.clone(), bytes.clone());
        let txn = Changing::of(&self.database, StoreFile::State, false).ok().unwrap();
        let changed = txn.change(|txn| {
            let mut open = txn.open_table(T::DEFINITION)?;
            let key: &T::Key = std::borrow::Borrow::borrow(&key);
            open.insert(key.form(), T::Values::from_bytes(&bytes)).unwrap();
            Ok(())
        });
        changed.ok().unwrap().0.commit().ok().unwrap();
        let _ = table;
    }
}

fn merged(
    done: Result<(Vec<crate::store::Outcome>, Effects), crate::store::StoreError>,
    writer: &mut WriterState,
) -> Vec<String> {
    match done {
        Ok((outcomes, effects)) => {
            effects.merge_into(writer);
            outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
        }
        Err(error) => vec![format!("failed: {error}")],
    }
}

/// The rows of a view, by their stored bytes.
fn tables_of(view: &impl View) -> Tables {
    fn copy<T: InMemory>(view: &impl Rows<T>, table: T, to: &mut Tables) {
        let mut keys = Vec::new();
        view.each(table, .., |key, _| {
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        for key in keys {
            let bytes = view.bytes(table, std::borrow::Borrow::borrow(&key)).unwrap().unwrap();
            T::rows_mut(to).insert(key, bytes);
        }
    }
    let mut out = Tables::default();
    copy(view, Meta, &mut out);
    macro_rules! copied {
        ($($table:ident $name:ident),+) => { $(copy(view, schema::$table, &mut out);)+ };
    }
    each_state_table!(copied);
    out
}

const TREES: u64 = 3;

fn leaves_of(tree: u64) -> u64 {
    if tree.is_multiple_of(2) { 40 } else { 20 }
}

fn strategy_of(tree: u64) -> Strategy {
    match tree % 4 {
        0 => Strategy::Redundant { quorum: 2 },
        1 => Strategy::SampledAudit { k: 1 },
        2 => Strategy::Precomputed,
        _ => Strategy::KnownAddress,
    }
}

fn hash_of(tree: u64, leaf: u64, lie: bool) -> Checksum {
    Checksum::from_bytes([(1 + tree * 50 + leaf) as u8 ^ if lie { 0x80 } else { 0 }; 64])
}

/// Draws commands that fit the rows as they are, for the most part.
struct Commands<'d> {
    draw: &'d mut Draw,
    tables: &'d Tables,
    now_ms: u64,
}

impl Commands<'_> {
    fn head(&self) -> Head {
        self.tables.meta().unwrap().unwrap_or_default()
    }

    fn tree(&mut self) -> u64 {
        let next = self.head().next_tree;
        next.saturating_sub(1 + self.draw.below(TREES))
    }

    fn row(&self, tree: u64) -> Option<TreeRow> {
        self.tables.get(Trees, &tree).ok().flatten()
    }

    fn range(&mut self, tree: u64) -> AlignedRange {
        let shape = Shape::new(leaves_of(tree)).unwrap();
        loop {
            let order = self.draw.below(3) as u8;
            let start = self.draw.below(leaves_of(tree)) >> order << order;
            if let Ok(range) = AlignedRange::new(shape, start, order) {
                return range;
            }
        }
    }

    fn hashes(&mut self, tree: u64, range: AlignedRange) -> Vec<Checksum> {
        let lie = self.draw.one_in(4);
        (range.start()..range.end()).map(|leaf| hash_of(tree, leaf, lie)).collect()
    }

    fn ruling(&mut self, tree: u64, range: AlignedRange) -> Ruling {
        let row = self.tables.get(Quorums, &(tree, range.start())).ok().flatten();
        let votes = row.map_or(Vec::new(), |row| row.votes);
        let (lie, stale, referee) = (self.draw.one_in(3), self.draw.one_in(6), self.draw.one_in(3));
        let first = |wanted: bool| votes.first().filter(|_| wanted).map(|vote| vote.id).into_iter().collect();
        Ruling {
            votes_seen: votes.len(),
            refereed: if referee { vec![(0, hash_of(tree, range.start(), false))] } else { Vec::new() },
            lies: first(lie),
            stale: first(stale),
        }
    }

    fn settle(&mut self) -> Command {
        let tree = self.tree();
        let range = self.range(tree);
        let (id, client) = (self.draw.id(), self.draw.client());
        let kind = match (self.draw.below(8), strategy_of(tree)) {
            (0, _) => SettleKind::Synthetic,
            (1, _) => SettleKind::Interior {
                tree,
                level: self.draw.below(2) as u8,
                index: self.draw.below(2),
                hash: Checksum::from_bytes([7; 64]),
            },
            (_, Strategy::Redundant { quorum }) => SettleKind::Vote(Box::new(Vote {
                tree,
                range,
                hashes: self.hashes(tree, range),
                network: *client.as_bytes(),
                quorum,
                strikes: self.tables.get(Clients, &client).ok().flatten().map_or(0, |row| row.strikes),
                ruling: self.ruling(tree, range),
            })),
            (_, Strategy::SampledAudit { .. }) => SettleKind::Audited(Box::new(Audited {
                tree,
                range,
                hashes: self.hashes(tree, range),
                network: *client.as_bytes(),
                whole: self.draw.one_in(4),
            })),
            _ => {
                let bits = (range.start()..range.end()).fold(0, |bits, leaf| bits | (1_u32 << (leaf % 32)));
                SettleKind::Leaves { tree, range, damaged: if self.draw.one_in(4) { bits } else { 0 } }
            }
        };
        Command::Settle(Settle {
            id,
            expires_ms: 1_000 + u64::from(id.as_bytes()[0]) * 10,
            client,
            handle: TreeHandle::from_bytes([if self.draw.one_in(30) { 0xff } else { tree as u8 }; 16]),
            kind,
            tier: self.draw.below(3) as u8,
            nodes: range.len() as u32,
            award: self.draw.below(50),
            data_digest: self.draw.below(2),
            accepted: self.draw.work(),
            audit: self.draw.work(),
            referee: HashWork::default(),
            at_ms: self.now_ms,
            #[cfg(feature = "testing")]
            skip_consumed_check: false,
            #[cfg(feature = "testing")]
            skip_leaf_check: false,
        })
    }

    fn ingest(&mut self) -> Command {
        let tree = self.tree();
        let Some(row) = self.row(tree).filter(|row| row.state == TreeState::Ingesting) else {
            // Few trees, so that much happens to each.
            if self.head().next_tree >= TREES && !self.draw.one_in(16) {
                return self.settle();
            }
            let tree = self.head().next_tree + u64::from(self.draw.one_in(4));
            return Command::BeginTree(BeginTree {
                tree,
                name: if self.draw.one_in(6) { "tree 0".into() } else { format!("tree {tree}") },
                handle: TreeHandle::from_bytes([tree as u8; 16]),
                block_len: 8,
                send_cap: 1 << 20,
                data: DataPlace::Copied,
                strategy: strategy_of(tree),
                exposure: Exposure::Public,
            });
        };
        let leaves = leaves_of(tree);
        if row.groups == leaves.div_ceil(GROUP_LEAVES) || self.draw.one_in(10) {
            return Command::FinishTree(FinishTree {
                tree,
                leaves,
                block_len: 8,
                total_bytes: leaves * 8,
                root: Checksum::from_bytes([9; 64]),
            });
        }
        let first_group = if self.draw.one_in(10) { self.draw.below(3) } else { row.groups };
        let first = first_group * GROUP_LEAVES;
        let count = leaves.saturating_sub(first).clamp(1, GROUP_LEAVES);
        let oversized: Vec<u64> = if self.draw.one_in(2) { vec![first] } else { Vec::new() };
        let damaged = if self.draw.one_in(2) { oversized.clone() } else { Vec::new() };
        let known = |leaf: &u64| row.strategy.knows_answers() || (oversized.contains(leaf) && damaged.is_empty());
        let hash = |leaf: u64| if known(&leaf) { hash_of(tree, leaf, false) } else { Checksum::ZERO };
        let group = GroupRow { leaves: (first..first + count).map(hash).collect(), top: Checksum::ZERO };
        let lengths = if self.draw.one_in(2) {
            vec![LengthRow { offset: first * 8, lengths: vec![8; count as usize] }]
        } else {
            Vec::new()
        };
        let work = [self.draw.work(), self.draw.work()];
        Command::AddGroups(AddGroups { tree, first_group, groups: vec![group], lengths, oversized, damaged, work })
    }

    fn change_tree(&mut self) -> Command {
        let tree = self.tree();
        let limit = self.draw.below(6) as usize;
        match self.draw.below(8) {
            0 => Command::Forget { tree },
            1 | 2 => Command::Purge { tree: self.draw.below(self.head().next_tree + 1), limit },
            3 => Command::DropData { tree, limit },
            4 => Command::Release { tree },
            _ => {
                let from = self.row(tree).map_or(TreeState::Active, |row| row.state);
                let to = match from {
                    TreeState::Assembling if self.draw.one_in(3) => TreeState::Folding,
                    TreeState::Assembling | TreeState::Folding => TreeState::Complete,
                    _ => TreeState::Assembling,
                };
                // A tree whose leaves are not done stays as it is.
                let from = if matches!(from, TreeState::Active | TreeState::Ingesting) { to } else { from };
                Command::SetTreeState {
                    tree,
                    from,
                    to,
                    root: self.draw.one_in(2).then_some(Checksum::from_bytes([3; 64])),
                }
            }
        }
    }

    fn look_again(&mut self) -> Command {
        let tree = self.tree();
        let range = self.range(tree);
        let (work, at_ms) = (self.draw.work(), self.now_ms);
        match self.draw.below(7) {
            0 => Command::Amend(Amend { tree, range, ruling: self.ruling(tree, range), work, at_ms }),
            1 => Command::Referee(Referee {
                tree,
                range,
                hashes: (range.start()..range.end()).map(|leaf| hash_of(tree, leaf, false)).collect(),
                votes_seen: self.ruling(tree, range).votes_seen,
                data_digest: self.draw.below(2),
                work,
                at_ms,
            }),
            2 | 3 => {
                let first = range.tile() * TILE_LEAVES;
                let leaves: Vec<u64> = (first..leaves_of(tree).min(first + TILE_LEAVES)).collect();
                let digest = self.draw.below(2);
                Command::Upgrade(Upgrade {
                    tree,
                    tile: range.tile(),
                    hashes: leaves.iter().map(|leaf| ((leaf % 32) as u8, hash_of(tree, *leaf, false))).collect(),
                    digests: leaves.iter().map(|leaf| (*leaf, digest)).collect(),
                    work,
                    at_ms,
                })
            }
            4 => Command::Repair(Repair { tree, leaves: (range.start()..range.end()).collect(), work }),
            5 => Command::Damage(Damage { tree, tile: range.tile(), mask: self.draw.next() as u32 & 0x0f0f }),
            _ => Command::Backtrack { client: self.draw.client(), limit: self.draw.below(4) as usize },
        }
    }

    fn mend(&mut self) -> Command {
        let (tree, there) = (self.tree(), self.draw.one_in(2));
        let id = self.draw.id();
        Command::Mend(match self.draw.below(6) {
            0 => Mend::Removal(tree),
            1 => Mend::Recount(tree),
            2 => Mend::Pointers { receipts: vec![id], debits: vec![self.draw.key(4)] },
            3 => Mend::Totals(self.head().totals),
            4 => Mend::Derived(vec![
                Derived::Name(format!("tree {tree}"), Some(tree)),
                Derived::Name("nobody".into(), there.then_some(tree)),
                Derived::Handle(TreeHandle::from_bytes([0xee; 16]), there.then_some(tree)),
                Derived::Place((1, 900), there.then_some(tree)),
                Derived::Chore((0, 900), there),
                Derived::Damaged((900, 1), there),
                Derived::Doubted((900, 1), there),
                Derived::Receipt(WorkId::from_bytes([0xee; 16]), there.then_some(1)),
                Derived::Debit(DebitKey::from_bytes([0xee; 16]), there.then_some(1)),
            ]),
            _ => {
                let group = self.draw.below(3);
                let first = group * GROUP_LEAVES;
                let count = leaves_of(tree).saturating_sub(first).clamp(1, GROUP_LEAVES);
                let leaves = (first..first + count).map(|leaf| hash_of(tree, leaf, false)).collect();
                Mend::Group(Regroup { tree, group, leaves, rooted: there })
            }
        })
    }

    fn chore(&mut self) -> Command {
        let limit = self.draw.below(5) as usize;
        let (client, at_ms) = (self.draw.client(), self.now_ms);
        match self.draw.below(11) {
            0 => Command::PruneConsumed {
                after: (self.draw.below(2_000), WorkId::from_bytes(*client.as_bytes())),
                before_ms: self.draw.below(3_000),
                limit,
            },
            1 => Command::SealLedger { keep: self.draw.below(20), limit },
            2 => {
                let after = if self.draw.one_in(2) { ClientDigest::from_bytes([0; 16]) } else { client };
                Command::PruneClients { before_ms: at_ms, after, limit }
            }
            3 | 4 => Command::Checkpoint { limit },
            5 => {
                let tier = self.draw.below(3) as u8;
                let row = StandingRow { tier, violations: 1, first_violation_ms: 2, last_ms: at_ms };
                Command::PutStandings(PutStandings { rows: vec![(client, Some(row)), (self.draw.client(), None)] })
            }
            6 => Command::PutScrub(Box::new(ScrubRow { began_ms: at_ms, ..ScrubRow::default() })),
            7 => Command::Count(Box::default()),
            8 => {
                let tree = self.tree();
                let pair = [tree.to_le_bytes(), 0_u64.to_le_bytes()].concat();
                let row = |table, key: &[u8]| OlderRow { table, key: key.to_vec() };
                Command::SumRows(vec![
                    row(schema::Meta::NAME, b"account"),
                    row(schema::Meta::NAME, b"copy-of"),
                    row(schema::Trees::NAME, &tree.to_le_bytes()),
                    row(schema::Tiles::NAME, &pair),
                    row(schema::Hashes::NAME, &pair),
                    row(schema::Lengths::NAME, &pair),
                    row(schema::Claims::NAME, &pair),
                    row(schema::Quorums::NAME, &pair),
                    row(schema::Provenance::NAME, &tree.to_le_bytes()),
                    row(schema::Clients::NAME, client.as_bytes()),
                    row(schema::Standings::NAME, client.as_bytes()),
                    row(schema::Ledger::NAME, &self.draw.below(40).to_le_bytes()),
                    row(schema::Interior::NAME, &[&tree.to_le_bytes()[..], &[0], &[0; 8]].concat()),
                    row(schema::Tiles::NAME, b"no key"),
                ])
            }
            9 => Command::Refuse(Refuse {
                id: self.draw.id(),
                expires_ms: 1_000,
                client,
                strike: self.draw.one_in(2),
                at_ms,
            }),
            _ => Command::Debit(Debit { key: self.draw.key(9), client, amount: self.draw.below(40), at_ms }),
        }
    }

    fn one(&mut self) -> Command {
        match self.draw.below(16) {
            0..=2 => self.ingest(),
            3..=9 => self.settle(),
            10 => self.change_tree(),
            11 | 12 => self.look_again(),
            13 if self.draw.one_in(2) => self.mend(),
            13 | 14 => self.chore(),
            _ => Command::Touch,
        }
    }
}

/// Damages rows of any table that has a checksum.
fn damage(both: &mut Both, draw: &mut Draw) {
    match draw.below(8) {
        0 => both.damage(Trees, draw),
        1 => both.damage(Tiles, draw),
        2 => both.damage(Hashes, draw),
        3 => both.damage(Provenance, draw),
        4 => both.damage(Claims, draw),
        5 => both.damage(Quorums, draw),
        6 => both.damage(Ledger, draw),
        _ => both.damage(Lengths, draw),
    }
}

/// A store's life: batches of one to four commands, and damage in every second life. Returns the
/// kinds of outcomes.
fn life(seed: u64, batches: u64) -> BTreeSet<String> {
    let mut draw = Draw(seed);
    let mut both = Both::new();
    let mut kinds = BTreeSet::new();
    for at in 0..batches {
        let now_ms = 1_000 + at * 10;
        let size = 1 + draw.below(4);
        let mut commands = Commands { draw: &mut draw, tables: &both.tables, now_ms };
        let batch: Vec<Command> = (0..size).map(|_| commands.one()).collect();
        for outcome in both.run(&batch, now_ms) {
            kinds.insert(outcome.split([' ', ':']).next().unwrap_or_default().to_owned());
            if outcome.starts_with("Judged") && !outcome.contains("corrected: []") {
                kinds.insert("Judged wrong".to_owned());
            }
        }
        if seed % 2 == 1 && draw.one_in(20) {
            damage(&mut both, &mut draw);
        }
    }
    kinds
}

#[test]
fn random_commands_do_the_same_over_redb_and_over_memory() {
    let kinds: BTreeSet<String> = (0..12).flat_map(|seed| life(seed, 200)).collect();
    for kind in
        ["Settled", "Voted", "Judged", "Judged wrong", "Marked", "Debited", "Done", "Walked", "Scanned", "failed"]
    {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    assert!(kinds.iter().any(|kind| kind.starts_with("Refused")), "{kinds:?}");
}

#[test]
fn a_row_that_differs_is_noticed() {
    let mut both = Both::new();
    both.run(&[Command::Touch], 1);
    Meta::rows_mut(&mut both.tables).insert("head".into(), Vec::new());
    let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| both.compare("a change")));
    assert!(compared.is_err());
}
