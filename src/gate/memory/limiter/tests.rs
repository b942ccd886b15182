//! The limiter at its bounds: a limited client stays limited, no client gains by being evicted, and
//! memory stays bounded.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use quickcheck::{Gen, QuickCheck};

use super::Limiter;
use crate::gate::memory::digest::Digester;
use crate::gate::memory::shared_window::Admission;
use crate::gate::request::client::{ClientKey, NetworkPrefix};
use crate::policy::window::WindowRules;

const START_MS: u64 = 1_700_000_000_000;
const WINDOW_MS: u64 = 10_000;
/// A window and its tick: older admissions do not count any more.
const FORGOTTEN_MS: u64 = WINDOW_MS + WINDOW_MS / 250;
/// The smallest possible limiter: one client in each shard.
const TINY: usize = 64;
/// Clients of one network that have a window of their own.
const KEYS_PER_PREFIX_MAX: u32 = 1_024;

fn limiter(limit: u32, tracked_max: usize) -> Limiter {
    Limiter::new(WindowRules::new(limit, WINDOW_MS).unwrap(), tracked_max, Digester::new([1; 16]))
}

/// Returns client number `number` of network number `network`.
fn client(network: u32, number: u32) -> (ClientKey, NetworkPrefix) {
    let address = Ipv6Addr::from_bits(0x2001 << 112 | u128::from(network) << 80 | u128::from(number) << 64);
    let address = IpAddr::V6(address);
    // A network can have more than 65 536 clients here, because each has a key of its own, like a
    // user.
    let key = ClientKey::User(format!("{network}/{number}").into());
    (key, NetworkPrefix::of(Some(address)))
}

impl Limiter {
    fn ask(&self, (network, number): (u32, u32), now_ms: u64) -> Admission {
        let (client, prefix) = client(network, number);
        self.check(&client, prefix, now_ms)
    }

    fn has_window(&self, (network, number): (u32, u32)) -> bool {
        let digest = self.digests.client(&client(network, number).0);
        self.shard(digest).lock().find(digest).is_some()
    }

    fn admits(&self, who: (u32, u32), now_ms: u64) -> bool {
        matches!(self.ask(who, now_ms), Admission::Admitted(_))
    }
}

#[test]
fn a_client_at_its_limit_stays_limited_while_ten_thousand_others_make_room() {
    let limiter = limiter(2, TINY);
    let (limited, other) = ((1, 1), |at: u32| (1 + at % 400, 2 + at));
    assert!(limiter.admits(limited, START_MS) && limiter.admits(limited, START_MS));
    for at in 0..10_000u32 {
        let now = START_MS + u64::from(at) * WINDOW_MS / 10_000;
        limiter.ask(other(at), now);
        assert!(matches!(limiter.ask(limited, now), Admission::Over(_)), "after {at} others");
    }
    assert!(limiter.clients() <= TINY);
    assert!(limiter.admits(limited, START_MS + FORGOTTEN_MS));
}

#[test]
fn an_evicted_count_joins_its_networks_window_for_one_window() {
    let limiter = limiter(3, 5 * TINY);
    let evicted = (7, 1);
    assert!(limiter.admits(evicted, START_MS) && limiter.admits(evicted, START_MS));
    // Clients of other networks send requests until it is evicted.
    let forgotten = (0..10_000).any(|other| {
        limiter.ask((100 + other, 1), START_MS + 1);
        !limiter.has_window(evicted)
    });
    assert!(forgotten, "it never made room");
    // A new client of that network may be the evicted one: each starts with two of three used.
    for newcomer in [evicted, (7, 2), (7, 3)] {
        assert!(limiter.admits(newcomer, START_MS + 2), "{newcomer:?}");
        assert!(matches!(limiter.ask(newcomer, START_MS + 2), Admission::Over(_)), "{newcomer:?}");
    }
    // One window later this is forgotten.
    let later = START_MS + 2 + FORGOTTEN_MS;
    assert!((0..3).all(|_| limiter.admits(evicted, later)));
    assert!(matches!(limiter.ask(evicted, later), Admission::Over(_)));
    assert!(limiter.admits((7, 2), later));
}

#[test]
fn a_busy_network_gets_windows_of_its_own_again_a_window_after_an_eviction() {
    let limiter = limiter(200, 20 * TINY);
    limiter.ask((7, 0), START_MS);
    let forgotten = (0..10_000).any(|other| {
        limiter.ask((100 + other, 1), START_MS + 100);
        !limiter.has_window((7, 0))
    });
    assert!(forgotten, "it never made room");
    // New clients keep arriving, a few in every tick.
    let arrivals = (0..2 * FORGOTTEN_MS).step_by(50).zip(1..);
    let mut admissions = arrivals.map(|(at, number)| (at, limiter.ask((7, number), START_MS + 100 + at)));
    assert!(admissions.all(|(at, one)| match one {
        // Evicted admissions count for one window, for every client of the network.
        Admission::Admitted(quota) => at >= FORGOTTEN_MS || quota.remaining <= 198,
        _ => false,
    }));
    let later = START_MS + 100 + 2 * FORGOTTEN_MS;
    assert!((0..200).all(|_| limiter.admits((7, 9_999), later)));
}

/// Admits in any order, at bounds where most clients are evicted at once; counts the admissions of
/// each client in its last window.
fn nobody_gets_more_than(limit: u32, networks: u32, bound: usize, history: Vec<(u16, u16)>) -> bool {
    let limiter = limiter(limit, bound);
    let mut admitted: HashMap<(u32, u32), VecDeque<u64>> = HashMap::new();
    let mut now = START_MS;
    for (who, pause) in history {
        now += match pause % 64 {
            0 => u64::from(pause) % (2 * WINDOW_MS),
            _ => u64::from(pause) % 40,
        };
        // Half of the requests are from a few clients, which so reach their limit.
        let number = if who % 2 == 0 { u32::from(who / 2 % 16) } else { u32::from(who / 2 % 600) };
        let who = (number % networks, number);
        let own = admitted.entry(who).or_default();
        while own.front().is_some_and(|at| now - at >= WINDOW_MS) {
            own.pop_front();
        }
        if limiter.admits(who, now) {
            own.push_back(now);
        }
        if own.len() > limit as usize || limiter.clients() > bound {
            return false;
        }
    }
    true
}

#[test]
fn a_client_is_never_admitted_more_often_than_its_limit_however_often_it_is_forgotten() {
    fn holds(limit: u8, networks: u8, history: Vec<(u16, u16)>) -> bool {
        let limit = 1 + u32::from(limit % 6);
        // Room for every network, in any shard, and for half of the clients.
        nobody_gets_more_than(limit, 1 + u32::from(networks % 5), 5 * TINY, history)
    }
    QuickCheck::new().rng(Gen::new(4_000)).tests(60).quickcheck(holds as fn(u8, u8, Vec<(u16, u16)>) -> bool);
}

#[test]
fn with_more_networks_than_are_remembered_forgetting_gains_nothing_either() {
    fn holds(limit: u8, networks: u16, history: Vec<(u16, u16)>) -> bool {
        let limit = 1 + u32::from(limit % 6);
        nobody_gets_more_than(limit, 100 + u32::from(networks % 500), TINY, history)
    }
    QuickCheck::new().rng(Gen::new(4_000)).tests(60).quickcheck(holds as fn(u8, u16, Vec<(u16, u16)>) -> bool);
}

#[test]
fn nobody_gets_more_than_the_limit_when_many_ask_at_once() {
    const LIMIT: u32 = 200;
    const CLIENTS: usize = 160;
    for _ in 0..60 {
        let limiter = limiter(LIMIT, TINY);
        let admitted: Vec<AtomicU32> = (0..CLIENTS).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in (0..40_000usize).map(|at| at * 37 % CLIENTS) {
                        // More networks than rows: some use the shared window.
                        if limiter.admits((number as u32, number as u32), START_MS) {
                            admitted[number].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(limiter.clients() <= TINY);
        for (number, admitted) in admitted.iter().enumerate() {
            let admitted = admitted.load(Ordering::Relaxed);
            assert!(admitted <= LIMIT, "client {number} was admitted {admitted} times");
        }
    }
}

#[test]
fn more_than_1024_clients_of_one_network_share_its_window() {
    let limiter = limiter(3, 1_000_000);
    assert!((0..KEYS_PER_PREFIX_MAX).all(|number| limiter.admits((1, number), START_MS)));
    let beyond = |number| limiter.ask((1, KEYS_PER_PREFIX_MAX + number), START_MS);
    let all: Vec<Admission> = (0..1_000).map(beyond).collect();
    assert!(all[..3].iter().all(|one| matches!(one, Admission::Admitted(_))), "{:?}", &all[..3]);
    assert!(all[3..].iter().all(|one| matches!(one, Admission::Crowded(quota) if quota.remaining == 0)));
    assert_eq!(limiter.clients(), KEYS_PER_PREFIX_MAX as usize);
    // Clients with a window keep it, and other networks are not affected.
    assert!((0..KEYS_PER_PREFIX_MAX).all(|number| limiter.admits((1, number), START_MS)));
    assert!(limiter.admits((2, 0), START_MS));
    // `look` returns the same, and takes no slot.
    let (crowded, prefix) = client(1, 5_000);
    assert_eq!(limiter.look(&crowded, prefix, START_MS).remaining, 0);
    let (fresh, prefix) = client(3, 0);
    assert!((0..9).all(|_| limiter.look(&fresh, prefix, START_MS).remaining == 3));
}

#[test]
fn where_nobody_may_make_room_new_clients_are_judged_by_their_networks_window() {
    // With a limit of one, every admitted client is at the limit.
    let limiter = limiter(1, TINY);
    let all: Vec<Admission> = (0..1_000).map(|number| limiter.ask((1, number), START_MS)).collect();
    let admitted = all.iter().filter(|one| matches!(one, Admission::Admitted(_))).count();
    // One for each client with a window, and one by the window of the network.
    assert_eq!(admitted, limiter.clients() + 1);
    assert!(all.iter().all(|one| !matches!(one, Admission::Over(_))), "each asked once");
    // No client with a window has lost it.
    assert!((0..1_000).all(|number| !limiter.admits((1, number), START_MS + WINDOW_MS)));
}

#[test]
fn networks_for_which_there_is_no_room_share_one_window() {
    let limiter = limiter(1, TINY);
    let all: Vec<Admission> = (0..20_000).map(|network| limiter.ask((network, 1), START_MS)).collect();
    let admitted = all.iter().filter(|one| matches!(one, Admission::Admitted(_))).count();
    // Clients with a window, networks with a window, and the one shared window.
    assert!(admitted <= 2 * TINY + 1, "{admitted} were admitted");
    assert!(all[10_000..].iter().all(|one| matches!(one, Admission::Crowded(_))));
    // A window later there is room again.
    assert!(limiter.admits((30_000, 1), START_MS + FORGOTTEN_MS));
}

#[test]
fn memory_stops_growing_at_the_bound() {
    // A row is at most 128 bytes, a table may have twice the room it needs, and each client may be
    // in a network of its own.
    const TRACKED: u32 = 6_400;
    for (limit, heap) in [(10, 0), (100, 128), (5_000, 1_024)] {
        let limiter = limiter(limit, TRACKED as usize);
        let bound = TRACKED as usize * (2 * 2 * 128 + 2 * heap);
        for at in 0..10 * TRACKED {
            let who = (at % 60_000, at);
            let now = START_MS + u64::from(at) / 100;
            for _ in 0..if at % 50 == 0 { limit.min(200) } else { 1 } {
                limiter.ask(who, now);
            }
        }
        assert!(limiter.clients() <= TRACKED as usize);
        assert!(limiter.bytes() <= bound, "{} bytes at a limit of {limit}, more than {bound}", limiter.bytes());
    }
}

#[test]
fn what_large_windows_hold_is_counted_out_again_when_they_go() {
    let limiter = limiter(100, 100 * TINY);
    let mut now = START_MS;
    let mut fifty_and_then_others = |requests: u32| {
        for number in 0..50 {
            assert!((0..requests).all(|_| limiter.admits((number, number), now)));
        }
        let held = limiter.bytes();
        for number in 0..2_000 {
            now += 2 * WINDOW_MS;
            limiter.ask((1_000 + number, number), now);
        }
        (held, limiter.bytes())
    };
    // Twice, so that the tables reach their full size.
    fifty_and_then_others(1);
    let (_, idle) = fifty_and_then_others(1);
    let (held, idle_again) = fifty_and_then_others(40);
    assert!(held >= idle + 50 * 40, "{held} and {idle}");
    // The bound allows for one more slot in a few shards, but not for fifty rings.
    assert!(idle_again < idle + 50 * 40, "{idle_again} and {idle}");
}

#[test]
fn a_network_whose_clients_have_all_gone_gives_new_ones_windows_of_their_own() {
    let limiter = limiter(2, 64_000);
    for number in 0..3 * KEYS_PER_PREFIX_MAX {
        limiter.ask((1, number), START_MS);
    }
    assert!(matches!(limiter.ask((1, 99_999), START_MS), Admission::Crowded(_)));
    // Idle windows are removed as new clients arrive, here in all shards.
    let later = START_MS + 2 * FORGOTTEN_MS;
    for number in 0..4 * KEYS_PER_PREFIX_MAX {
        limiter.ask((2 + number, number), later);
    }
    for number in 0..KEYS_PER_PREFIX_MAX {
        let who = (1, 100_000 + number);
        assert!(limiter.admits(who, later) && limiter.admits(who, later), "number {number}");
        assert!(matches!(limiter.ask(who, later), Admission::Over(_)), "number {number}");
    }
    assert!(limiter.admits((1, 999_999), later), "the network's own window");
}

#[test]
fn the_bytes_told_are_those_a_walk_finds_whatever_clients_do() {
    fn holds(limit: u16, history: Vec<(u16, u16)>) -> bool {
        // Logs below, at and above the size that fits into a slot, and that is listed one by one.
        let limiter = limiter([3, 40, 600][usize::from(limit % 3)], 3 * TINY);
        let mut now = START_MS;
        history.into_iter().all(|(who, pause)| {
            now += u64::from(pause % 8) * u64::from(pause % 500);
            let number = u32::from(if who % 2 == 0 { who % 3 } else { who % 2_000 });
            for _ in 0..who % 50 {
                limiter.ask((number % 30, number), now);
            }
            let (key, prefix) = client(number % 30, number + 1);
            limiter.look(&key, prefix, now);
            let own = limiter.shards.iter().all(|shard| shard.0.lock().sums_up());
            own && limiter.networks.iter().all(|shard| shard.lock().sums_up())
        })
    }
    QuickCheck::new().rng(Gen::new(300)).tests(40).quickcheck(holds as fn(u16, Vec<(u16, u16)>) -> bool);
}

#[test]
fn it_was_full_as_long_as_somebody_shares_a_window_for_lack_of_room() {
    // At a limit of one no client is evicted, at three the least recently seen is.
    for limit in [1, 3] {
        let limiter = limiter(limit, 2 * TINY);
        (0..16).for_each(|at| _ = limiter.ask((at, at), START_MS));
        assert!(!limiter.was_full(START_MS));
        (0..2_000).for_each(|at| _ = limiter.ask((at, at), START_MS + 1));
        assert!(limiter.clients() <= 2 * TINY && limiter.was_full(START_MS + 1));
        assert!(limiter.was_full(START_MS + 1 + WINDOW_MS));
        let later = START_MS + 2 + FORGOTTEN_MS;
        assert!(!limiter.was_full(later));
        // The earlier clients are idle now: others take their places, and no client loses anything.
        (0..16).for_each(|at| _ = limiter.ask((5_000 + at, at), later));
        assert!(!limiter.was_full(later));
    }
    // A network with more than `KEYS_PER_PREFIX_MAX` clients is not a lack of room.
    let limiter = limiter(3, 100_000);
    (0..2 * KEYS_PER_PREFIX_MAX).for_each(|at| _ = limiter.ask((1, at), START_MS));
    assert!(!limiter.was_full(START_MS));
}
