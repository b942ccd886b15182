//! Property 17: what makes the leaves of a unit count under redundant verification, over random histories.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::clients::{HIGH, answer, blocks, wrong};
use crate::support::house::House;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::SplitMix64;
use pouw::internal::policy::audit::{HEIGHTENED, HEIGHTENED_MS, VOTE_SAMPLE, draw};
use pouw::merkle::LeafIndex;
use pouw::{HashReason, Provenance, Strategy, SubmitError};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// Leaves of the one unit.
const LEAVES: usize = 8;
/// Ten clients of seven networks.
const CLIENTS: [u64; 10] = [1_000, 1_001, 2_000, 2_001, 2_002, 3_000, 4_000, 5_000, 6_000, 7_000];
/// Half of what votes wait for others, and of what a network is audited more for.
const PAUSE_MS: u64 = 300_000;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A client asks, and answers what it gets: right, or one of the lies.
    Asks { client: usize, says: usize },
    /// Time passes, and the engine sweeps.
    Pause,
}

#[derive(Debug, Clone)]
struct History {
    quorum: u8,
    seed: u64,
    steps: Vec<Step>,
}

impl Arbitrary for History {
    fn arbitrary(g: &mut Gen) -> Self {
        let liars = u8::arbitrary(g) % 3;
        let step = |g: &mut Gen| {
            if u8::arbitrary(g).is_multiple_of(16) {
                return Step::Pause;
            }
            let client = usize::arbitrary(g) % CLIENTS.len();
            // From nobody to most lie, mostly alike.
            let lies = u8::arbitrary(g) % 3 < liars;
            let says = if lies { *g.choose(&[1, 1, 1, 1, 2, 3, 3, 3]).unwrap() } else { 0 };
            Step::Asks { client, says }
        };
        let count = 1 + usize::arbitrary(g) % 30;
        Self { quorum: 2 + u8::arbitrary(g) % 3, seed: u64::arbitrary(g), steps: (0..count).map(|_| step(g)).collect() }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let whole = self.clone();
        Box::new((0..self.steps.len()).map(move |gone| {
            let mut less = whole.clone();
            less.steps.remove(gone);
            less
        }))
    }
}

/// What a client may say about the unit: the truth, and three lies, two of which differ on the same leaf.
fn sayings(data: &[Vec<u8>]) -> [Vec<Checksum>; 4] {
    let right: Vec<Checksum> = data.iter().map(|block| sha3_512(block)).collect();
    let with = |places: &[usize], times: usize| {
        let mut lie = right.clone();
        places.iter().for_each(|at| (0..times).for_each(|_| lie[*at] = wrong(&lie[*at])));
        lie
    };
    let lies = [with(&[2], 1), with(&[2], 2), with(&[0, 3], 1)];
    let [first, second, third] = lies;
    [right, first, second, third]
}

/// The rules in plain words: who stands in the group with what, and which leaves the server has hashed.
#[derive(Default)]
struct Model {
    /// Client, and which of the sayings.
    votes: Vec<(u64, usize)>,
    refereed: Vec<usize>,
    /// When the first thing became known about the unit.
    since_ms: Option<u64>,
    /// Networks that a lie came from, until when.
    lied: HashMap<u64, u64>,
    referee_hashes: u64,
    accepted: Option<By>,
}

/// Why the leaves count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// These clients said this.
    Quorum(usize),
    Referee,
}

fn network(client: u64) -> u64 {
    client / 1_000
}

impl Model {
    fn may_vote(&self, client: u64) -> bool {
        self.accepted.is_none() && self.votes.iter().all(|(voter, _)| network(*voter) != network(client))
    }

    fn lies(&mut self, client: u64, now_ms: u64) {
        self.lied.insert(network(client), now_ms + HEIGHTENED_MS);
    }

    /// Whether the answer is taken.
    fn answer(
        &mut self,
        says: &[Vec<Checksum>; 4],
        quorum: u8,
        (client, said): (u64, usize),
        audited: u32,
        now: u64,
    ) -> bool {
        let is_wrong = |said: usize, place: usize| says[said][place] != says[0][place];
        let is_audited = |place: usize| audited & 1 << place != 0;
        if (0..LEAVES).any(|place| is_audited(place) && is_wrong(said, place)) {
            self.lies(client, now);
            return false;
        }
        let differs = |place: &usize| self.votes.iter().any(|(_, other)| says[*other][*place] != says[said][*place]);
        let open: Vec<usize> = (0..LEAVES).filter(|place| !self.refereed.contains(place)).filter(differs).collect();
        self.referee_hashes += open.len() as u64;
        let (stay, out): (Vec<_>, Vec<_>) =
            self.votes.iter().copied().partition(|(_, other)| !open.iter().any(|place| is_wrong(*other, *place)));
        out.iter().for_each(|(liar, _)| self.lies(*liar, now));
        self.votes = stay;
        self.refereed.extend(open);
        if self.refereed.iter().any(|place| is_wrong(said, *place)) {
            self.lies(client, now);
            return false;
        }
        self.since_ms.get_or_insert(now);
        self.votes.push((client, said));
        if self.votes.len() == usize::from(quorum) {
            self.accepted = Some(By::Quorum(said));
        }
        true
    }

    /// Votes have waited for so long that the server hashes the leaves.
    fn pause(&mut self, says: &[Vec<Checksum>; 4], now: u64) {
        if self.accepted.is_none() && self.since_ms.is_some_and(|since| now - since >= 2 * PAUSE_MS) {
            self.accepted = Some(By::Referee);
            self.referee_hashes += LEAVES as u64;
            let liars: Vec<u64> = self.votes.iter().filter(|vote| says[vote.1] != says[0]).map(|vote| vote.0).collect();
            liars.into_iter().for_each(|liar| self.lies(liar, now));
        }
    }

    fn audit(&self, client: u64, now: u64) -> u32 {
        let more = self.lied.get(&network(client)).is_some_and(|until| now < *until);
        u32::from(VOTE_SAMPLE) * if more { HEIGHTENED } else { 1 }
    }
}

/// Every leaf counts for the reason the model gives, with the hash it gives, and as long as it gives none, not at all.
fn assert_leaves(house: &House, model: &Model, says: &[Vec<Checksum>; 4]) {
    for place in 0..LEAVES {
        let expected = match model.accepted {
            None => None,
            Some(By::Quorum(_)) if !model.refereed.contains(&place) => Some(Provenance::Agreed),
            Some(_) => Some(Provenance::Verified),
        };
        let found = house.engine.provenance("t", LeafIndex(place as u64)).unwrap();
        assert_eq!(found, expected, "leaf {place}, votes {:?}, hashed {:?}", model.votes, model.refereed);
    }
    let Some(by) = model.accepted else { return };
    if let By::Quorum(said) = by {
        let networks: std::collections::HashSet<u64> = model.votes.iter().map(|(client, _)| network(*client)).collect();
        assert_eq!(networks.len(), model.votes.len(), "no network has two votes");
        let agree = |place: usize| model.votes.iter().all(|(_, other)| says[*other][place] == says[said][place]);
        assert!((0..LEAVES).filter(|place| !model.refereed.contains(place)).all(agree));
    }
    house.settle();
    for (place, right) in says[0].iter().enumerate() {
        let expected = match by {
            By::Quorum(said) if !model.refereed.contains(&place) => says[said][place],
            _ => *right,
        };
        assert_eq!(house.engine.leaf("t", LeafIndex(place as u64)).unwrap(), expected, "leaf {place}");
    }
}

/// Why the leaves were accepted in the end, if they were.
fn follows(history: &History) -> Option<By> {
    let house = House::in_memory(history.seed);
    let data = blocks(LEAVES as u64, history.seed);
    let strategy = Strategy::Redundant { quorum: history.quorum };
    house.ingest(strategy, "t", &data);
    let says = sayings(&data);
    let (mut model, mut audits) = (Model::default(), SplitMix64(history.seed));
    for step in &history.steps {
        match *step {
            Step::Pause => {
                house.clock.advance(Duration::from_millis(PAUSE_MS));
                house.engine.sweep().unwrap();
                model.pause(&says, house.engine.now().0);
            }
            Step::Asks { client, says: said } => {
                let client = CLIENTS[client];
                let issued = house.issue(client, HIGH);
                assert_eq!(issued.is_some(), model.may_vote(client), "client {client}, votes {:?}", model.votes);
                let Some(issued) = issued else { continue };
                let now = house.engine.now().0;
                let audited = draw(LEAVES as u32, model.audit(client, now), &mut || audits.next());
                let expected = model.answer(&says, history.quorum, (client, said), audited, now);
                match house.submit(client, &answer(&issued, |leaves| leaves.clone_from(&says[said]))) {
                    Ok(accepted) => {
                        assert!(expected);
                        assert_eq!(accepted.seq.is_some(), model.accepted.is_some(), "it is paid when it counts");
                    }
                    Err(SubmitError::WrongResult { .. }) => assert!(!expected),
                    Err(other) => panic!("{other}"),
                }
                house.written();
            }
        }
        assert_leaves(&house, &model, &says);
        let referee = house.engine.stats().account.of(strategy).server(HashReason::Referee);
        assert_eq!(referee.hashes, model.referee_hashes);
        if model.accepted.is_some() {
            break;
        }
    }
    model.accepted
}

#[test]
fn property_17_under_redundant_verification_a_leaf_is_accepted_from_clients_exactly_when_the_quorum_agrees() {
    /// Histories that ended right, with a lie, by the referee, open.
    static ENDED: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
    fn property(history: History) -> bool {
        let ended = match follows(&history) {
            Some(By::Quorum(0)) => 0,
            Some(By::Quorum(_)) => 1,
            Some(By::Referee) => 2,
            None => 3,
        };
        ENDED[ended].fetch_add(1, Ordering::Relaxed);
        true
    }
    QuickCheck::new().rng(Gen::from_size_and_seed(64, 17)).tests(250).quickcheck(property as fn(History) -> bool);
    let ended = ENDED.each_ref().map(|count| count.load(Ordering::Relaxed));
    println!("right, a lie, by the referee, open: {ended:?}");
    assert!(ended.iter().all(|count| *count > 0), "{ended:?}");
}
