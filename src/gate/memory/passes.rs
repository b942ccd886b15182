//! Passes: the requests that are left of answers which buy more than one.
//!
//! A pass belongs to one client and one policy, and ends when its requests are used or its time is
//! over. At the bound no new one is made: an answer then buys only the request it came with. After
//! a restart there is none.

use parking_lot::Mutex;

use crate::gate::config::builder::GateConfigBuilder;
use crate::gate::request::client::ClientKey;
use crate::gate::request::facts::PolicyId;
use crate::gate::request::pass_id::PassId;
use crate::policy::clock_table::{ClockTable, Tracked};

use super::digest::Digester;

/// Number of locks that share the passes.
const SHARDS: usize = 16;

/// What is left of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct PassLeft {
    pub(in crate::gate) id: PassId,
    pub(in crate::gate) requests: u32,
    pub(in crate::gate) time_ms: u64,
}

/// All passes.
#[derive(Debug)]
pub(in crate::gate) struct Passes {
    digests: Digester,
    shards: Vec<Mutex<ClockTable<u128, Row>>>,
}

#[derive(Debug, Default)]
struct Row {
    client: u128,
    policy: PolicyId,
    requests: u32,
    ends_ms: u64,
}

impl Passes {
    pub(in crate::gate) fn new(settings: &GateConfigBuilder, digests: Digester) -> Self {
        let bound = (settings.tracked_clients_max / SHARDS).max(1);
        Self { digests, shards: (0..SHARDS).map(|_| Mutex::new(ClockTable::new(bound, ()))).collect() }
    }

    /// Makes a pass with a `random` name; `None` at the bound.
    pub(in crate::gate) fn make(
        &self,
        random: [u8; 16],
        (client, policy): (&ClientKey, PolicyId),
        (requests, time_ms): (u32, u64),
        now_ms: u64,
    ) -> Option<PassLeft> {
        let id = PassId::of(random);
        let client = self.digests.client(client);
        let mut table = self.shard(id).lock();
        let mut row = table.entry(id.number(), now_ms)?;
        *row = Row { client, policy, requests, ends_ms: now_ms.saturating_add(time_ms) };
        Some(PassLeft { id, requests, time_ms })
    }

    /// Takes a request from a pass of this client, if `admitted` agrees. Returns what is left of
    /// it.
    pub(in crate::gate) fn take(
        &self,
        id: PassId,
        (client, policy): (&ClientKey, PolicyId),
        now_ms: u64,
        admitted: impl FnOnce() -> bool,
    ) -> Option<PassLeft> {
        let client = self.digests.client(client);
        let mut table = self.shard(id).lock();
        let mut row = table.find(id.number())?;
        if row.client != client || row.policy != policy || row.ends_ms <= now_ms || row.requests == 0 || !admitted() {
            return None;
        }
        row.requests -= 1;
        Some(PassLeft { id, requests: row.requests, time_ms: row.ends_ms - now_ms })
    }

    /// Returns the number of passes remembered.
    pub(in crate::gate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Returns the bytes held in memory.
    pub(in crate::gate) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes()).sum()
    }

    fn shard(&self, id: PassId) -> &Mutex<ClockTable<u128, Row>> {
        &self.shards[(id.number() >> 64) as usize % SHARDS]
    }
}

impl Tracked for Row {
    type Rules = ();

    fn is_idle(&self, (): &(), now_ms: u64) -> bool {
        self.requests == 0 || self.ends_ms <= now_ms
    }

    fn may_go(&self, rules: &(), now_ms: u64) -> bool {
        self.is_idle(rules, now_ms)
    }

    fn touched_ms(&self, (): &()) -> u64 {
        self.ends_ms
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::GateConfig;

    fn passes() -> Passes {
        Passes::new(&GateConfig::builder().tracked_clients_max(1_000), Digester::new([7; 16]))
    }

    #[test]
    fn a_pass_admits_its_client_under_its_policy_as_often_and_as_long_as_it_lasts() {
        let (passes, user) = (passes(), ClientKey::User("a".into()));
        let (mine, policy) = ((&user, PolicyId(1)), PolicyId(2));
        let id = passes.make([1; 16], mine, (2, 1_000), 5_000).unwrap().id;
        let other = ClientKey::User("b".into());
        assert_eq!(passes.take(id, (&other, PolicyId(1)), 5_000, || true), None);
        assert_eq!(passes.take(id, (&user, policy), 5_000, || true), None);
        assert_eq!(passes.take(id, mine, 6_000, || true), None, "its time is over");
        assert_eq!(passes.take(id, mine, 5_999, || false), None, "a ceiling is reached");
        let left = |requests, time_ms| Some(PassLeft { id, requests, time_ms });
        assert_eq!(passes.take(id, mine, 5_400, || true), left(1, 600));
        assert_eq!(passes.take(id, mine, 5_999, || true), left(0, 1));
        assert_eq!(passes.take(id, mine, 5_999, || true), None, "its requests are used");
    }

    #[test]
    fn at_the_bound_there_is_no_new_pass_until_an_old_one_is_over() {
        let (passes, user) = (passes(), ClientKey::User("a".into()));
        let mine = (&user, PolicyId(0));
        let name = |at: u32| {
            let mut name = [0; 16];
            name[..4].copy_from_slice(&at.to_le_bytes());
            name
        };
        // All in one shard.
        let made = (0..200).filter(|at| passes.make(name(*at), mine, (1, 1_000), 0).is_some()).count();
        assert_eq!((made, passes.len()), (1_000 / SHARDS, 1_000 / SHARDS));
        assert!(passes.make(name(900), mine, (1, 1_000), 999).is_none());
        assert!(passes.make(name(900), mine, (1, 1_000), 1_000).is_some());
    }
}
