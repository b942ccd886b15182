//! Commands about votes, strikes and walks back, given to the store itself: what it refuses, and what it leaves out.

use crate::support::clients::wrong;
use crate::support::house::House;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::{
    Amend, Audited, Command, NO_ENTRY, Outcome, RedbStore, Referee, Refuse, Refused, Ruling, Settle, SettleKind,
    Store as _, Upgrade, VOTED, Vote,
};
use pouw::merkle::{AlignedRange, Shape};
use pouw::protocol::{ClientDigest, TreeHandle, WorkId};
use pouw::{HashWork, StoreOptions, Strategy};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const LEAVES: u64 = 32;

fn digest(client: u8) -> ClientDigest {
    ClientDigest::from_bytes([client; 16])
}

/// A store with one tree, of 16-byte blocks, and commands about it.
struct Bench {
    house: House,
    store: RedbStore,
    shape: Shape,
    handle: TreeHandle,
    leaves: Vec<Checksum>,
    now_ms: u64,
    next_id: u64,
}

impl Bench {
    fn new(strategy: Strategy, leaves: u64) -> Self {
        let house = House::in_memory(1);
        let data: Vec<Vec<u8>> = (0..leaves).map(|number| number.to_le_bytes().repeat(2)).collect();
        house.ingest(strategy, "t", &data);
        house.engine.close();
        let store = RedbStore::open(house.storage(), StoreOptions::default()).unwrap();
        let handle = store.read().unwrap().tree(0).unwrap().unwrap().handle;
        let leaves = data.iter().map(|block| sha3_512(block)).collect();
        let (shape, now_ms) = (Shape::new(data.len() as u64).unwrap(), store.head().clock_ms);
        Self { house, store, shape, handle, leaves, now_ms, next_id: 1 }
    }

    fn range(&self, start: u64, order: u8) -> AlignedRange {
        AlignedRange::new(self.shape, start, order).unwrap()
    }

    fn right(&self, range: &AlignedRange) -> Vec<Checksum> {
        self.leaves[range.start() as usize..range.end() as usize].to_vec()
    }

    fn apply(&self, commands: &[Command]) -> Vec<Outcome> {
        self.store.apply(commands, self.now_ms).unwrap().outcomes
    }

    fn settle(&mut self, client: u8, range: AlignedRange, kind: SettleKind) -> Settle {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_id.to_le_bytes());
        self.next_id += 1;
        Settle {
            id: WorkId::from_bytes(id),
            expires_ms: self.now_ms + 60_000,
            client: digest(client),
            handle: self.handle,
            kind,
            tier: 2,
            nodes: range.node_count() as u32,
            award: 100,
            data_digest: range.start(),
            accepted: HashWork::default(),
            audit: HashWork::default(),
            referee: HashWork::default(),
            at_ms: self.now_ms,
            skip_consumed_check: false,
            skip_leaf_check: false,
        }
    }

    /// A right vote of a client that had been caught in no lie when it was judged.
    fn vote(&mut self, client: u8, range: AlignedRange, votes_seen: usize) -> Settle {
        let ruling = Ruling { votes_seen, ..Ruling::default() };
        let (hashes, network) = (self.right(&range), [client; 16]);
        let vote = Vote { tree: 0, range, hashes, network, quorum: 2, strikes: 0, ruling };
        self.settle(client, range, SettleKind::Vote(Box::new(vote)))
    }

    fn strike(&mut self, client: u8) -> Command {
        let mut id = [255; 16];
        id[0] = client;
        let (id, client, at_ms) = (WorkId::from_bytes(id), digest(client), self.now_ms);
        Command::Refuse(Refuse { id, expires_ms: at_ms + 60_000, client, strike: true, at_ms })
    }

    fn votes(&self, start: u64) -> Vec<u8> {
        let row = self.store.read().unwrap().quorum(0, start).unwrap();
        row.iter().flat_map(|row| &row.votes).map(|vote| vote.client.as_bytes()[0]).collect()
    }

    fn balance(&self, client: u8) -> u64 {
        self.store.client(digest(client)).unwrap().balance
    }

    fn consumed(&self, settle: &Settle) -> Option<u64> {
        self.store.read().unwrap().consumed(settle.expires_ms, settle.id).unwrap()
    }

    /// An audited answer on a tile by client 1, wrong at its leaf 3 if it is a lie.
    fn audited(&mut self, tile: u64, lie: bool) -> Command {
        let range = self.range(tile * LEAVES, 5);
        let mut hashes = self.right(&range);
        hashes[3] = if lie { wrong(&hashes[3]) } else { hashes[3] };
        let audited = Audited { tree: 0, range, hashes, network: [1; 16], whole: false };
        Command::Settle(self.settle(1, range, SettleKind::Audited(Box::new(audited))))
    }

    /// The server hashes leaf 3 of a tile, over the data that was sent.
    fn finds(&self, tile: u64) {
        let first = tile * LEAVES;
        let hashes = vec![(3, self.leaves[first as usize + 3])];
        let (digests, work) = (vec![(first, first)], HashWork::default());
        let upgrade = Upgrade { tree: 0, tile, hashes, digests, work, at_ms: self.now_ms };
        let outcomes = self.apply(&[Command::Upgrade(upgrade)]);
        assert!(matches!(&outcomes[0], Outcome::Judged { corrected, .. } if *corrected == [first + 3]), "{outcomes:?}");
    }

    /// Entries looked at in one step back, and whether there are more.
    fn step_back(&self, limit: usize) -> (u64, bool) {
        let outcomes = self.apply(&[Command::Backtrack { client: digest(1), limit }]);
        let Outcome::Walked { rows, .. } = outcomes[0] else { panic!("{outcomes:?}") };
        (rows, !self.store.read().unwrap().suspects(1).unwrap().is_empty())
    }

    fn all_the_way_back(&self) -> u64 {
        let mut sum = 0;
        loop {
            let (rows, more) = self.step_back(64);
            sum += rows;
            if !more {
                return sum;
            }
        }
    }

    fn checked(mut self) {
        self.store.close();
        self.house.checked();
    }
}

#[test]
fn a_vote_whose_client_is_caught_before_the_next_one_is_written_does_not_count() {
    let mut bench = Bench::new(PAIR, LEAVES);
    let range = bench.range(0, 5);
    let [first, second, third] = [(1, 0), (2, 1), (3, 1)].map(|(client, seen)| bench.vote(client, range, seen));
    assert_eq!(bench.apply(&[Command::Settle(first.clone())]), [Outcome::Voted]);
    let strike = bench.strike(1);
    let outcomes = bench.apply(&[strike, Command::Settle(second.clone())]);
    assert_eq!(outcomes[1], Outcome::Voted, "it does not complete the quorum");
    assert_eq!((bench.votes(0), bench.balance(1), bench.balance(2)), (vec![2], 0, 0));
    assert_eq!((bench.consumed(&first), bench.consumed(&second)), (Some(NO_ENTRY), Some(VOTED)));
    let outcomes = bench.apply(&[Command::Settle(third)]);
    assert!(matches!(outcomes[0], Outcome::Settled { leaves_complete: true, .. }), "{outcomes:?}");
    assert_eq!([1, 2, 3].map(|client| bench.balance(client)), [0, 100, 100]);
    bench.checked();
}

#[test]
fn the_referee_pays_no_vote_whose_client_has_been_caught_since() {
    let mut bench = Bench::new(Strategy::Redundant { quorum: 3 }, LEAVES);
    let range = bench.range(0, 5);
    for (client, seen) in [(1, 0), (2, 1)] {
        let mut settle = bench.vote(client, range, seen);
        let SettleKind::Vote(vote) = &mut settle.kind else { unreachable!("a vote") };
        vote.quorum = 3;
        assert_eq!(bench.apply(&[Command::Settle(settle)]), [Outcome::Voted]);
    }
    let (hashes, at_ms) = (bench.right(&range), bench.now_ms);
    let referee = Referee { tree: 0, range, hashes, votes_seen: 2, data_digest: 0, work: HashWork::default(), at_ms };
    let strike = bench.strike(1);
    let outcomes = bench.apply(&[strike, Command::Referee(referee)]);
    assert!(matches!(&outcomes[1], Outcome::Judged { liars, .. } if liars.is_empty()), "{outcomes:?}");
    assert_eq!([1, 2].map(|client| bench.balance(client)), [0, 100]);
    assert_eq!(bench.store.client(digest(1)).unwrap().strikes, 1, "its vote was right");
    bench.checked();
}

#[test]
fn groups_of_votes_never_overlap() {
    for (start, order) in [(8, 3), (0, 5), (31, 0)] {
        let mut bench = Bench::new(PAIR, 2 * LEAVES);
        let group = bench.range(start, order);
        let vote = bench.vote(1, group, 0);
        assert_eq!(bench.apply(&[Command::Settle(vote)]), [Outcome::Voted]);
        let (head, account) = (bench.store.head(), bench.store.account());
        let every = (0..=5_u8).flat_map(|order| (0..LEAVES >> order).map(move |at| (at << order, order)));
        let every: Vec<AlignedRange> = every.map(|(start, order)| bench.range(start, order)).collect();
        let overlaps = |range: &AlignedRange| range.start() < group.end() && group.start() < range.end();
        for range in every.into_iter().filter(|range| *range != group && overlaps(range)) {
            for seen in [0, 1] {
                let vote = bench.vote(2, range, seen);
                let at_ms = bench.now_ms;
                let (work, hashes) = (HashWork::default(), bench.right(&range));
                let ruling = Ruling { votes_seen: seen, ..Ruling::default() };
                let referee = Referee { tree: 0, range, hashes, votes_seen: seen, data_digest: 0, work, at_ms };
                let amend = Amend { tree: 0, range, ruling, work, at_ms };
                let id = vote.clone();
                let outcomes = bench.apply(&[Command::Settle(vote), Command::Referee(referee), Command::Amend(amend)]);
                let refused = Outcome::Refused(Refused::QuorumMoved);
                assert!(outcomes.iter().all(|outcome| *outcome == refused), "{range:?}: {outcomes:?}");
                assert_eq!(bench.consumed(&id), None);
            }
        }
        assert_eq!((bench.votes(start), bench.store.account()), (vec![1], account));
        assert_eq!((bench.store.head().totals, bench.store.head().next_ledger), (head.totals, head.next_ledger));
        let beside = bench.range(LEAVES, 5);
        let vote = bench.vote(2, beside, 0);
        assert_eq!(bench.apply(&[Command::Settle(vote)]), [Outcome::Voted], "the next tile is free");
        bench.checked();
    }
}

#[test]
fn walks_back_from_many_lies_meet_no_entry_twice() {
    const UNITS: u64 = 600;
    const LIES: u64 = 100;
    // In the midst of a walk or at its end, the next lie is found.
    for steps_between in [0, 1, usize::MAX] {
        let mut bench = Bench::new(AUDIT, (UNITS + 4) * LEAVES);
        let is_lie = |tile: u64| tile.is_multiple_of(UNITS / LIES);
        let answers: Vec<Command> = (0..UNITS).map(|tile| bench.audited(tile, is_lie(tile))).collect();
        bench.apply(&answers);
        let mut met = 0;
        for tile in (0..UNITS).filter(|tile| is_lie(*tile)) {
            bench.finds(tile);
            met += match steps_between {
                usize::MAX => bench.all_the_way_back(),
                steps => (0..steps).map(|_| bench.step_back(64).0).sum(),
            };
        }
        met += bench.all_the_way_back();
        assert_eq!(met, UNITS + LIES, "answers and corrections, each once");
        let left = bench.store.read().unwrap().provenance(0).unwrap();
        assert_eq!((left.audited, left.doubted), (0, UNITS * LEAVES - LIES), "nothing was passed over");
        // What comes later is all that the next walk meets.
        let answers: Vec<Command> = (UNITS..UNITS + 4).map(|tile| bench.audited(tile, tile == UNITS)).collect();
        bench.apply(&answers);
        bench.finds(UNITS);
        assert_eq!(bench.all_the_way_back(), 4 + 1);
        let left = bench.store.read().unwrap().provenance(0).unwrap();
        assert_eq!((left.audited, left.doubted), (0, (UNITS + 4) * LEAVES - LIES - 1));
        bench.checked();
    }
}
