//! An engine on storage in memory and a clock that moves when told, beside its oracle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pouw::hash::sha3_512;
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::sim::SimDisk;
use pouw::internal::store::{MemoryDatabase, check};
use pouw::protocol::{
    ChallengeToken, DifficultyTier, Keyring, MicroJoules, UnixMillis, WorkResult, WorkUnit, data_digest,
};
use pouw::{
    Answer, Clock, DebitError, EntryKind, EventSink, Exposure, FakeClock, IngestError, IngestOptions, Ingested,
    IssueError, IssueRequest, Issued, OpenError, PouwEngine, Runtime, StoreOptions, SubmitError, TreeError,
};

use super::super::disk::{after_power_cut, copy};
use super::super::work::solve;
use super::ensure;
use super::ops::{How, KINDS, MAX_AGE_MS, Op, Pick, SECRET, Setup, TTL_MS};
use super::oracle::{Claim, Content, Entry, Oracle, Standing, Token, Tree, Verdict, wanted};

/// What a run came to: how often each operation ended in each way.
pub type Tally = BTreeMap<(&'static str, &'static str), u64>;

/// `Err` is a contradiction between engine and oracle.
pub type Step<T = ()> = Result<T, String>;

pub struct World {
    pub oracle: Oracle,
    pub engine: PouwEngine,
    pub tally: Tally,
    pub(super) clock: Arc<FakeClock>,
    base: Base,
    keyring: Keyring,
    mistake: Option<Mistake>,
    /// Engine time at the last open, and the monotonic reading then.
    opened: (u64, u64),
    /// Engine time of the last commit that is known.
    committed_ms: u64,
}

/// Clients take part under these keys.
pub const CLIENTS: u8 = 4;
/// Time at which every run begins.
const START_MS: u64 = 1_700_000_000_000;
/// A wall clock this far ahead of the newest time in the store is refused.
const AHEAD_MS: u64 = 400 * 24 * 3_600_000;
const NAMES: u8 = 6;
/// Seconds of an hour.
const HOUR: u64 = 3_600;

/// What the store is on.
pub enum Base {
    /// The two files, on a disk in memory.
    Disk(SimDisk),
    /// Maps, without files.
    Memory(MemoryDatabase),
}

impl Base {
    pub fn disk() -> Self {
        Self::Disk(SimDisk::new())
    }

    pub fn memory() -> Self {
        Self::Memory(MemoryDatabase::new())
    }

    /// What is there after the power was cut now.
    fn after_power_cut(&self) -> Self {
        match self {
            Self::Disk(disk) => Self::Disk(after_power_cut(disk)),
            Self::Memory(database) => Self::Memory(database.copy()),
        }
    }

    fn runtime(&self) -> Runtime {
        match self {
            Self::Disk(disk) => Runtime::on(Arc::new(disk.clone())),
            Self::Memory(database) => Runtime::in_memory(database),
        }
    }

    /// The closed store, held against itself row by row. Looking at it may not change what comes
    /// next.
    fn check(&self) -> Step {
        let report = match self {
            Self::Disk(disk) => check(Arc::new(copy(disk)), &mut |_| {}),
            Self::Memory(database) => database.check(),
        };
        let report = report.map_err(|e| e.to_string())?;
        ensure!(report.is_clean(), "the offline check found {:?}", report.findings);
        Ok(())
    }
}

/// Takes all steps, then drains what is left; fails at the first contradiction.
pub fn run(base: Base, setup: Setup, ops: &[Op], mistake: Option<Mistake>) -> Step<Tally> {
    let mut world = World::new(base, setup, mistake)?;
    for (at, op) in ops.iter().enumerate() {
        world.step(*op).map_err(|what| format!("step {at}, {op:?}: {what}"))?;
    }
    world.drain().map_err(|what| format!("draining: {what}"))?;
    Ok(world.tally)
}

pub fn client_key(client: u8) -> [u8; 2] {
    [b'c', client % CLIENTS]
}

impl World {
    pub fn new(base: Base, setup: Setup, mistake: Option<Mistake>) -> Step<Self> {
        let clock = Arc::new(FakeClock::at(UnixMillis(START_MS)));
        let keyring = Keyring::new(&SECRET).map_err(|e| e.to_string())?;
        let oracle = Oracle::new(setup);
        let engine = open(&base, &clock, setup, mistake, false).map_err(|e| e.to_string())?;
        let tally = Tally::new();
        Ok(Self { oracle, engine, tally, clock, base, keyring, mistake, opened: (START_MS, 0), committed_ms: 0 })
    }

    /// Engine time.
    pub fn now(&self) -> u64 {
        self.opened.0 + monotonic_ms(&self.clock) - self.opened.1
    }

    /// Takes one step in the engine and in the oracle and compares.
    pub fn step(&mut self, op: Op) -> Step {
        let ended = match op {
            Op::IngestBytes { name, size, content } => self.ingest(name, bytes_of(name, size, content))?,
            Op::IngestBlocks { name, count, content } => self.ingest(name, blocks_of(name, count, content))?,
            Op::IngestAgain { tree, same } => self.ingest_again(tree, same)?,
            Op::IngestRefused { what } => self.ingest_refused(what)?,
            Op::Issue { client, tier, synthetic, refill, policy, floor } => {
                if refill {
                    self.refill()?;
                }
                self.issue(client % CLIENTS, tier, synthetic, policy, floor)?
            }
            Op::Reissue { token, other_client } => self.reissue(token, other_client)?,
            Op::Submit { token, how } => self.submit(token, how)?,
            Op::Advance { how, by } => self.advance(how, by),
            Op::StepWall { how } => {
                let year = 401 * 24 * HOUR;
                let steps =
                    [(false, 1), (true, 10), (false, HOUR), (true, HOUR), (false, 26 * HOUR), (true, 26 * HOUR)];
                let steps = [&steps[..], &[(false, year), (true, year)]].concat();
                match steps[usize::from(how) % steps.len()] {
                    (true, seconds) => self.clock.step_wall_forward(Duration::from_secs(seconds)),
                    (false, seconds) => self.clock.step_wall_back(Duration::from_secs(seconds)),
                }
                "done"
            }
            Op::Sweep => self.sweep()?,
            Op::Refill => self.refill()?,
            Op::Upkeep => self.upkeep()?,
            Op::Reopen { power_cut, switch_interior } => self.reopen(power_cut, switch_interior)?,
            Op::Forget { tree } => self.forget(tree)?,
            Op::Debit { client, key, amount } => self.debit(client % CLIENTS, key % 8, amount)?,
            Op::Check => self.check_all()?,
            Op::Prove { tree, leaf } => self.prove(tree, leaf)?,
            Op::Forge { token, at, by } => self.forge(token, at, by)?,
        };
        self.count(KINDS[op.kind()], ended);
        self.check_counters()
    }

    fn count(&mut self, op: &'static str, ended: &'static str) {
        *self.tally.entry((op, ended)).or_default() += 1;
    }

    /// Works off everything that is pending: at the end no leaf is lost.
    pub fn drain(&mut self) -> Step {
        // Tokens of before a power cut may be from the future: the wall clock was set back.
        let last = self.oracle.live().map(|token| token.opened.expires_at.0).max().unwrap_or(0);
        self.clock.advance(Duration::from_millis((last + 1).saturating_sub(self.now())));
        self.sweep()?;
        loop {
            self.upkeep()?;
            let before = self.oracle.tokens.len();
            for tier in [DifficultyTier::High, DifficultyTier::Low] {
                while self.oracle.tokens.len() < before + 8 {
                    if !matches!(self.issue(0, tier, false, 0, false)?, "real" | "node") {
                        break;
                    }
                    let at = self.oracle.tokens.len() - 1;
                    let result = solve(&self.oracle.tokens[at].unit);
                    let verdict = self.answer(at, 0, 0, &result)?;
                    ensure!(verdict == Verdict::Accepted, "a right answer came to {verdict:?}");
                }
            }
            if self.oracle.tokens.len() == before {
                break;
            }
        }
        self.upkeep()?;
        use pouw::TreeState;
        for (_, tree) in self.oracle.alive() {
            let pending = (0..).zip(&tree.done).filter(|(_, done)| !**done).map(|(leaf, _)| leaf).collect::<Vec<u64>>();
            ensure!(
                tree.state == TreeState::Complete,
                "tree {} stays {:?}, leaves {pending:?} are not handed out",
                tree.name,
                tree.state
            );
        }
        self.check_all()?;
        self.check_counters()?;
        self.engine.close();
        self.base.check()
    }

    fn ingest(&mut self, name: u8, content: Content) -> Step<&'static str> {
        self.ingest_as(&format!("tree {}", name % NAMES), content)
    }

    fn ingest_as(&mut self, name: &str, content: Content) -> Step<&'static str> {
        let tree = Tree::new(name.to_owned(), content, self.oracle.setup.unit_bytes[2]);
        let options = IngestOptions::new(Exposure::Public);
        let outcome = match &tree.content {
            Content::Bytes(bytes, block) => self.engine.ingest_bytes(&options.block_size(*block), name, bytes),
            Content::Blocks(blocks) => {
                let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
                self.engine.ingest_blocks(&options, name, &slices)
            }
        };
        let expected = match self.oracle.named(name) {
            Some(at) if self.oracle.trees[at].same_content(&tree) => "unchanged",
            Some(_) => "conflict",
            None => "added",
        };
        let found = match outcome {
            Ok(Ingested::Added) => "added",
            Ok(Ingested::Unchanged) => "unchanged",
            Err(IngestError::Conflict { name: named }) if named == name => "conflict",
            other => return Err(format!("ingesting came to {other:?}")),
        };
        ensure!(found == expected, "ingesting came to {found}, not {expected}");
        if found == "added" {
            self.committed();
            self.oracle.trees.push(tree);
            let info = self.engine.tree(name).map_err(|e| e.to_string())?;
            ensure!(
                self.oracle.trees.iter().all(|tree| tree.id != Some(info.id.get())),
                "tree number {} is used twice",
                info.id
            );
            self.oracle.trees.last_mut().expect("just pushed").id = Some(info.id.get());
        }
        Ok(found)
    }

    fn ingest_again(&mut self, tree: u8, same: bool) -> Step<&'static str> {
        let Some(at) = self.pick_tree(tree) else { return Ok("nothing") };
        let (name, mut content) = (self.oracle.trees[at].name.clone(), self.oracle.trees[at].content.clone());
        if !same {
            match &mut content {
                Content::Bytes(bytes, _) => bytes.push(0x55),
                Content::Blocks(blocks) => blocks.push(vec![0x55; 3]),
            }
        }
        let ended = self.ingest_as(&name, content)?;
        ensure!(ended == if same { "unchanged" } else { "conflict" }, "{ended} for same = {same}");
        Ok(ended)
    }

    fn ingest_refused(&mut self, what: u8) -> Step<&'static str> {
        let options = IngestOptions::new(Exposure::Ciphertext);
        let small = options.clone().block_size(511);
        let (name, hash, two) = ("refused", [1; 64], [2; 128]);
        let outcome = match what % 6 {
            0 => self.engine.ingest_blocks(&options, name, &[&hash, &[1, 2, 3], &[4; 5]]),
            1 => self.engine.ingest_blocks(&options, name, &[&[9; 300], &two, &[7; 400]]),
            2 => self.engine.ingest_blocks(&options, name, &[]),
            3 => self.engine.ingest_bytes(&small, name, b"bytes"),
            4 => self.engine.ingest_bytes(&options, "", b"bytes"),
            _ => self.engine.ingest_bytes(&options, "a\0b", b"bytes"),
        };
        match (what % 6, outcome) {
            (0, Err(IngestError::AmbiguousLeaf { leaf: 0, len: 64, .. })) => Ok("ambiguous"),
            (1, Err(IngestError::AmbiguousLeaf { leaf: 1, len: 128, .. })) => Ok("ambiguous"),
            (2, Err(IngestError::Empty { .. })) => Ok("empty"),
            (3, Err(IngestError::Option { field: "block_size", .. })) => Ok("option"),
            (4 | 5, Err(IngestError::Option { field: "name", .. })) => Ok("option"),
            (_, other) => Err(format!("it came to {other:?}")),
        }
    }

    /// The ring holds its minimum, or everything there is.
    fn refill(&mut self) -> Step<&'static str> {
        self.engine.refill().map_err(|e| e.to_string())?;
        let stats = self.engine.stats();
        if stats.ready_units >= self.oracle.setup.min_queue_depth {
            return Ok("full");
        }
        let (leaves, bytes) = self.oracle.free();
        ensure!(
            stats.ready_bytes as u64 == bytes && (stats.ready_units > 0) == (leaves > 0),
            "{} bytes in {} units are ready, {leaves} leaves of {bytes} bytes are free",
            stats.ready_bytes,
            stats.ready_units
        );
        Ok(if leaves == 0 { "empty" } else { "all" })
    }

    fn issue(
        &mut self,
        client: u8,
        tier: DifficultyTier,
        synthetic: bool,
        policy: u8,
        floor: bool,
    ) -> Step<&'static str> {
        let key = client_key(client);
        let request = IssueRequest::new(&key, tier).policy(policy.into()).synthetic(synthetic);
        let request = if floor { request } else { request.floor(Duration::ZERO) };
        let before = self.engine.stats();
        let made_up = self.oracle.live().filter(|token| token.claim == Claim::MadeUp).count();
        let setup = self.oracle.setup;
        let full = before.leases >= setup.leases_max;
        let nothing = before.ready_units == 0 && (tier != DifficultyTier::Low || before.ready_interior == 0);
        match self.engine.issue(&request) {
            Ok(issued) => {
                ensure!(!full, "{} units are out, at most {}", before.leases, setup.leases_max);
                ensure!(!issued.unit.synthetic || (synthetic && nothing), "made-up work beside {before:?}");
                ensure!(!issued.unit.synthetic || made_up < setup.synthetic_max, "made-up work beyond its bound");
                let floor = if floor { setup.floor_ms[tier as usize] } else { 0 };
                let kind = self.learn(issued, client, tier, policy, floor)?;
                Ok(kind)
            }
            Err(IssueError::NoWork) => {
                ensure!(!full && !synthetic && nothing, "no work beside {before:?}");
                Ok("no_work")
            }
            Err(IssueError::Crowded(bound)) => {
                let crowded = synthetic && nothing && made_up >= setup.synthetic_max && bound == setup.synthetic_max;
                ensure!((full && bound == setup.leases_max) || crowded, "crowded at {bound} beside {before:?}");
                Ok("crowded")
            }
            Err(other) => Err(format!("issuing came to {other}")),
        }
    }

    /// Checks a unit just handed out and remembers it.
    fn learn(
        &mut self,
        issued: Issued,
        client: u8,
        tier: DifficultyTier,
        policy: u8,
        floor: u64,
    ) -> Step<&'static str> {
        let (unit, now) = (issued.unit, self.now());
        unit.validate().map_err(|e| e.to_string())?;
        let opened = ChallengeToken::open(&unit.challenge_token, &self.keyring, TTL_MS).map_err(|e| e.to_string())?;
        let digest = self.engine.client_digest(&client_key(client));
        let times = (opened.issued_at.0, opened.not_before.0, opened.expires_at.0);
        ensure!(times == (now, now + floor, now + TTL_MS), "times {times:?} at {now}");
        ensure!(
            (unit.created_at, unit.not_before, unit.expires_at)
                == (opened.issued_at, opened.not_before, opened.expires_at),
            "the unit tells other times than its token"
        );
        ensure!((unit.wait_ms, unit.ttl_ms) == (floor, TTL_MS), "wait {} ttl {}", unit.wait_ms, unit.ttl_ms);
        ensure!((opened.client, opened.boot) == (digest, self.oracle.boot), "client or boot of {opened:?}");
        ensure!((opened.tier, opened.policy, opened.id) == (tier, policy.into(), unit.id), "{opened:?}");
        ensure!(self.oracle.tokens.iter().all(|token| token.opened.id != opened.id), "an id twice");
        let claim = self.oracle.claim_of(&unit, &opened)?;
        ensure!(self.oracle.is_pending(claim), "{claim:?} is done or gone");
        ensure!(!self.oracle.is_leased(claim), "{claim:?} is out already");
        let kind = match claim {
            Claim::MadeUp => "made_up",
            Claim::Node { tree, level, index } => {
                ensure!(tier == DifficultyTier::Low, "a node for {tier:?}");
                ensure!(self.oracle.trees[tree].children_known(level, index), "a child of {claim:?} is unknown");
                "node"
            }
            Claim::Leaves { start, end, .. } => {
                let (least, most) = wanted(tier);
                let cap = self.oracle.setup.unit_bytes[tier as usize];
                ensure!(end - start <= most, "{} leaves for {tier:?}", end - start);
                ensure!(
                    end - start == 1 || unit.input_data.len() <= cap,
                    "{} bytes for {tier:?}",
                    unit.input_data.len()
                );
                ensure!(issued.shortfall == (end - start < least), "shortfall {}", issued.shortfall);
                "real"
            }
        };
        let bytes_sent = if claim == Claim::MadeUp { 0 } else { data_digest(&unit.input_data) };
        ensure!(opened.data_digest == bytes_sent, "the token tells of other bytes");
        self.oracle.tokens.push(Token { unit, opened, client, claim, standing: Standing::Live, refusals: 0 });
        Ok(kind)
    }

    fn pick(&self, pick: Pick) -> Option<usize> {
        let (wanted, at): (fn(&Token, u64) -> bool, u8) = match pick {
            Pick::Live(at) => (|token, _| token.standing == Standing::Live, at),
            Pick::Dormant(at) => (
                |token, boot| token.opened.boot < boot && matches!(token.standing, Standing::None | Standing::Unsure),
                at,
            ),
            Pick::Used(at) => (|token, _| matches!(token.standing, Standing::Accepted | Standing::Refused(_)), at),
            Pick::Any(at) => (|_, _| true, at),
        };
        // Newest first, so that small numbers find tokens that have not expired.
        let found: Vec<usize> = (0..self.oracle.tokens.len())
            .rev()
            .filter(|at| wanted(&self.oracle.tokens[*at], self.oracle.boot))
            .collect();
        if found.is_empty() { None } else { Some(found[usize::from(at) % found.len()]) }
    }

    fn pick_tree(&self, tree: u8) -> Option<usize> {
        let alive: Vec<usize> = self.oracle.alive().map(|(at, _)| at).collect();
        if alive.is_empty() { None } else { Some(alive[usize::from(tree) % alive.len()]) }
    }

    fn submit(&mut self, pick: Pick, how: How) -> Step<&'static str> {
        let Some(at) = self.pick(pick) else { return Ok("nothing") };
        let (client, policy) = (self.oracle.tokens[at].client, self.oracle.tokens[at].opened.policy);
        let mut result = solve(&self.oracle.tokens[at].unit);
        let wrong = sha3_512(b"wrong");
        let (mut from, mut on) = (client, policy);
        match how {
            How::Right => {}
            How::RightInTime => {
                let not_before = self.oracle.tokens[at].opened.not_before.0;
                self.clock.advance(Duration::from_millis(not_before.saturating_sub(self.now())));
            }
            How::WrongLeaf(leaf) if !result.leaf_hashes.is_empty() => {
                let leaf = usize::from(leaf) % result.leaf_hashes.len();
                result.leaf_hashes[leaf] = wrong;
            }
            How::WrongLeaf(_) | How::WrongTop => result.result_hash = wrong,
            How::Permuted => result.leaf_hashes.reverse(),
            How::OneMissing => {
                result.leaf_hashes.pop();
            }
            How::OneTooMany => result.leaf_hashes.push(wrong),
            How::OtherClient => from = (client + 1) % CLIENTS,
            How::OtherPolicy => on += 1,
            How::OtherUnit(other) => {
                let other = usize::from(other) % self.oracle.tokens.len();
                let token = result.challenge_token;
                result = WorkResult { challenge_token: token, ..solve(&self.oracle.tokens[other].unit) };
            }
            How::OtherToken => result.challenge_token.push('A'),
        }
        Ok(self.answer(at, from, on, &result)?.name())
    }

    /// Gives an answer under token `at` and compares the verdict and what it says.
    pub(super) fn answer(&mut self, at: usize, client: u8, policy: u64, result: &WorkResult) -> Step<Verdict> {
        let expected = self.oracle.judge(at, client, policy, result, self.now());
        let token = &self.oracle.tokens[at];
        let unsure = token.standing == Standing::Unsure && expected != Verdict::Expired;
        let (key, text) = (client_key(client), token.unit.challenge_token.clone());
        let outcome = self.engine.submit(&Answer::new(&key, result).token(&text).policy(policy));
        let found = verdict_of(&outcome);
        let allowed = found == expected || (unsure && found == Verdict::Replayed);
        ensure!(allowed, "the answer came to {outcome:?}, not {expected:?}");
        self.oracle.answered(at, found);
        if let Ok(accepted) = outcome {
            self.committed();
            let (token, seq) = (&self.oracle.tokens[at], self.oracle.entries.len() as u64 - 1);
            let complete = match token.claim {
                Claim::Leaves { tree, .. } => self.oracle.trees[tree].pending() == 0,
                _ => false,
            };
            let award = self.oracle.entries.last().map_or(0, |entry| entry.amount);
            ensure!((accepted.id, accepted.seq) == (token.unit.id, Some(seq)), "{accepted:?}, not entry {seq}");
            ensure!((accepted.award.0, accepted.nodes) == (award, token.unit.node_count), "{accepted:?}");
            ensure!(accepted.leaves_complete == complete, "{accepted:?}");
        }
        Ok(found)
    }

    fn reissue(&mut self, pick: Pick, other_client: bool) -> Step<&'static str> {
        let Some(at) = self.pick(pick) else { return Ok("nothing") };
        let token = &self.oracle.tokens[at];
        let now = self.now();
        let client = if other_client { (token.client + 1) % CLIENTS } else { token.client };
        let outcome = for_gate(&self.engine).reissue(&client_key(client), &token.unit.challenge_token);
        let expected = match self.oracle.judge_lease(token) {
            _ if now >= token.opened.expires_at.0 => "expired",
            _ if other_client => "other_client",
            Some(verdict) => verdict.name(),
            None => "same",
        };
        let found = match &outcome {
            Ok(unit) => {
                let (wait_ms, ttl_ms) =
                    (token.opened.not_before.0.saturating_sub(now), token.opened.expires_at.0 - now);
                ensure!(*unit == WorkUnit { wait_ms, ttl_ms, ..token.unit.clone() }, "another unit came: {unit:?}");
                "same"
            }
            Err(_) => verdict_of(&outcome).name(),
        };
        let unsure = token.standing == Standing::Unsure && found == "replayed";
        ensure!(found == expected || unsure, "it came to {found}, not {expected}");
        match found {
            // It has a lease now, if it had none.
            "same" => self.oracle.tokens[at].standing = Standing::Live,
            "replayed" if unsure => self.oracle.tokens[at].standing = Standing::Refused(true),
            _ => {}
        }
        Ok(found)
    }

    /// A token with a character changed opens for nobody and changes nothing.
    fn forge(&mut self, pick: Pick, at: u8, by: u8) -> Step<&'static str> {
        let Some(token) = self.pick(pick) else { return Ok("nothing") };
        let token = &self.oracle.tokens[token];
        let mut text = token.unit.challenge_token.clone().into_bytes();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = usize::from(at) * text.len() / 256;
        let now = alphabet.iter().position(|c| *c == text[at]).ok_or("a token is not base64url")?;
        text[at] = alphabet[(now + 1 + usize::from(by) % 63) % 64];
        let text = String::from_utf8(text).map_err(|e| e.to_string())?;
        let result = WorkResult { challenge_token: text.clone(), ..solve(&token.unit) };
        let client = client_key(token.client);
        let answer = Answer::new(&client, &result).token(&text).policy(token.opened.policy);
        let outcome = self.engine.submit(&answer);
        ensure!(matches!(outcome, Err(SubmitError::Token(_))), "a forged token came to {outcome:?}");
        let outcome = for_gate(&self.engine).reissue(&client, &text);
        ensure!(matches!(outcome, Err(SubmitError::Token(_))), "a forged token came to {outcome:?}");
        Ok("refused")
    }

    fn advance(&mut self, how: u8, by: u8) -> &'static str {
        let by = u64::from(by);
        let expiry = self.oracle.live().map(|token| token.opened.expires_at.0).min();
        let ms = match how % 8 {
            0..=2 => by,
            3 | 4 => by * 20,
            5 => expiry.map_or(by, |at| (at + by % 3).saturating_sub(self.now() + 1)),
            6 => TTL_MS + 1,
            _ => MAX_AGE_MS + 1,
        };
        self.clock.advance(Duration::from_millis(ms));
        "done"
    }

    fn sweep(&mut self) -> Step<&'static str> {
        let report = self.engine.sweep().map_err(|e| e.to_string())?;
        // What was written behind is durable now; if a lease ended, so is a time at most a minute old.
        self.oracle.committed();
        if report.expired > 0 {
            self.committed_ms = self.committed_ms.max(self.now().saturating_sub(60_000));
        }
        let expired = self.oracle.expire(self.now());
        ensure!(report.expired == expired, "{} leases expired, not {expired}", report.expired);
        let unsure = self.oracle.tokens.iter().any(|token| token.standing == Standing::Unsure);
        let refused = self.engine.stats().totals.refused;
        ensure!(unsure || refused <= self.oracle.refused, "{refused} refused, not {}", self.oracle.refused);
        Ok(match (expired, report.aged) {
            (0, 0) => "nothing",
            (_, 0) => "expired",
            _ => "aged",
        })
    }

    fn upkeep(&mut self) -> Step<&'static str> {
        let before = self.oracle.alive().filter(|(_, tree)| tree.state == pouw::TreeState::Complete).count();
        let done = self.engine.upkeep().map_err(|e| e.to_string())?;
        self.oracle.assemble();
        self.refill()?;
        let after = self.oracle.alive().filter(|(_, tree)| tree.state == pouw::TreeState::Complete).count();
        ensure!(done.completed == after - before, "{} trees completed, not {}", done.completed, after - before);
        Ok(if after > before { "completed" } else { "done" })
    }

    /// Closes, or cuts the power, and opens again, perhaps with interior units switched.
    fn reopen(&mut self, power_cut: bool, switch_interior: bool) -> Step<&'static str> {
        let image = power_cut.then(|| self.base.after_power_cut());
        let newest = self.now();
        self.engine.close();
        match image {
            Some(image) => self.base = image,
            None => self.committed(),
        }
        self.base.check()?;
        self.oracle.restart(power_cut);
        self.oracle.setup.interior ^= switch_interior;
        let wall = self.clock.wall().0;
        let again = |accept| open(&self.base, &self.clock, self.oracle.setup, self.mistake, accept);
        let (engine, ended) = match again(false) {
            Ok(engine) => {
                let sure = self.committed_ms > 0 && wall > newest + AHEAD_MS;
                ensure!(!sure, "opened although the clock is {} ms ahead", wall - newest);
                (engine, if power_cut { "power_cut" } else { "closed" })
            }
            Err(OpenError::ClockAhead { .. }) => {
                ensure!(wall > self.committed_ms + AHEAD_MS, "refused although the clock shows {wall}");
                (again(true).map_err(|e| e.to_string())?, "clock_ahead")
            }
            Err(other) => return Err(format!("opening came to {other}")),
        };
        self.engine = engine;
        let boot = self.engine.stats().boot;
        ensure!(boot > self.oracle.boot, "boot {boot} after {}", self.oracle.boot);
        self.oracle.boot = boot;
        self.learn_time(wall, newest)?;
        Ok(ended)
    }

    /// Engine time stands in every unit: it may neither fall behind a commit nor run ahead of all clocks.
    fn learn_time(&mut self, wall: u64, newest: u64) -> Step {
        let key = client_key(0);
        let request = IssueRequest::new(&key, DifficultyTier::Low).floor(Duration::ZERO).synthetic(true);
        let issued = self.engine.issue(&request).map_err(|e| e.to_string())?;
        let now = issued.unit.created_at.0;
        let range = wall.max(self.committed_ms)..=wall.max(newest);
        ensure!(range.contains(&now), "engine time is {now} after a restart, not in {range:?}");
        self.opened = (now, monotonic_ms(&self.clock));
        ensure!(issued.unit.synthetic, "a unit was ready before the first refill");
        self.learn(issued, 0, DifficultyTier::Low, 0, 0).map(|_| ())
    }

    fn forget(&mut self, tree: u8) -> Step<&'static str> {
        let named = |name: &str| self.engine.forget(name);
        match self.pick_tree(tree) {
            Some(at) if tree % 8 != 7 => {
                named(&self.oracle.trees[at].name).map_err(|e| e.to_string())?;
                self.committed();
                self.oracle.forget(at);
                Ok("forgotten")
            }
            _ => match named("no tree has this name") {
                Err(TreeError::Unknown(_)) => Ok("unknown"),
                other => Err(format!("it came to {other:?}")),
            },
        }
    }

    fn debit(&mut self, client: u8, key: u8, amount: u8) -> Step<&'static str> {
        let balance = self.oracle.balances.get(&client).copied().unwrap_or(0);
        let amount = match amount % 8 {
            0 => 0,
            1 => balance,
            2 => balance + 1,
            3 => u64::MAX,
            4 | 5 => self.oracle.debits.get(&key).map_or(1, |(_, amount, _)| *amount),
            _ => balance / 3,
        };
        let outcome = self.engine.debit(&client_key(client), MicroJoules(amount), [key + 1; 16]);
        let known = self.oracle.debits.get(&key).copied();
        match (known, outcome) {
            (Some((who, what, seq)), Ok(debited)) => {
                let same = (who, what, seq, balance) == (client, amount, debited.seq, debited.balance.0);
                ensure!(same && debited.repeated, "{debited:?} repeats {known:?}");
                Ok("repeated")
            }
            (Some((who, what, _)), Err(DebitError::KeyConflict)) => {
                ensure!((who, what) != (client, amount), "a conflict with itself");
                Ok("key_conflict")
            }
            (None, Err(DebitError::Insufficient { balance: told, amount: asked })) => {
                ensure!(amount > balance && (told, asked) == (balance, amount), "{told} of {balance}");
                Ok("insufficient")
            }
            (None, Ok(debited)) => {
                let seq = self.oracle.entries.len() as u64;
                let told = (debited.seq, debited.balance.0, debited.repeated);
                ensure!(amount <= balance && told == (seq, balance - amount, false), "{debited:?}");
                self.committed();
                self.oracle.debits.insert(key, (client, amount, seq));
                self.oracle.balances.insert(client, balance - amount);
                self.oracle.entries.push(Entry {
                    client,
                    kind: EntryKind::Debit,
                    id: [key + 1; 16],
                    amount,
                    leaves: 0,
                    nodes: 0,
                    tree: 0,
                    start: 0,
                    order: 0,
                });
                Ok("debited")
            }
            (_, other) => Err(format!("it came to {other:?}")),
        }
    }

    fn committed(&mut self) {
        self.committed_ms = self.now();
        self.oracle.committed();
    }
}

fn open(
    base: &Base,
    clock: &Arc<FakeClock>,
    setup: Setup,
    mistake: Option<Mistake>,
    accept_clock_ahead: bool,
) -> Result<PouwEngine, OpenError> {
    let mut config = setup.config().accept_clock_ahead(accept_clock_ahead);
    if let Some(mistake) = mistake {
        config = config.mistake(mistake);
    }
    let parts = base
        .runtime()
        .clock(clock.clone())
        .events(EventSink::default())
        .options(StoreOptions::new().state_cache_bytes(4 << 20).blocks_cache_bytes(4 << 20));
    PouwEngine::open_with(parts, config.build()?)
}

/// What an answer, or a request for an open unit, came to.
pub fn verdict_of<T>(outcome: &Result<T, SubmitError>) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Accepted,
        Err(SubmitError::Token(_)) => Verdict::BadToken,
        Err(SubmitError::Expired { .. }) => Verdict::Expired,
        Err(SubmitError::OtherStore) => Verdict::OtherStore,
        Err(SubmitError::ClientMismatch) => Verdict::OtherClient,
        Err(SubmitError::PolicyMismatch) => Verdict::OtherPolicy,
        Err(SubmitError::Replayed) => Verdict::Replayed,
        Err(SubmitError::Withdrawn) => Verdict::Withdrawn,
        Err(SubmitError::TooEarly { .. }) => Verdict::TooEarly,
        Err(SubmitError::Malformed(_)) => Verdict::Malformed,
        Err(SubmitError::WrongResult { .. }) => Verdict::Wrong,
        Err(SubmitError::NotStored(_) | SubmitError::Unconfirmed { .. } | SubmitError::Busy | SubmitError::Closed) => {
            Verdict::Busy
        }
        Err(_) => Verdict::Failed,
    }
}

/// Bytes that show name, content and place, so that a unit tells which tree it is of. Only tree 0 may be
/// or hold an empty leaf, which shows nothing.
fn fill(len: usize, name: u8, content: u8, leaf: usize) -> Vec<u8> {
    let tag = (name % NAMES) * 16 + content % 16;
    let mut bytes = [tag, leaf as u8, (leaf >> 8) as u8, 0].repeat(len.div_ceil(4));
    bytes.truncate(len);
    bytes
}

fn bytes_of(name: u8, size: u8, content: u8) -> Content {
    let sizes = [0, 1, 511, 512, 513, 2_000, 8_191, 16_384, 16_385, 30_000, 40_000, 51_200];
    let mut size: usize = sizes[usize::from(size) % sizes.len()];
    if !name.is_multiple_of(NAMES) {
        size = size.max(1);
    }
    let block: usize = if content & 0x70 == 0x70 { 8_192 } else { 512 };
    let leaves = (0..size.div_ceil(block)).map(|leaf| fill(block.min(size - leaf * block), name, content, leaf));
    Content::Bytes(leaves.flatten().collect(), block as u64)
}

fn blocks_of(name: u8, count: u8, content: u8) -> Content {
    let lengths = [300, 1, 63, 65, 0, 127, 129, 512, 1_000, 6_000, 7, 2_500];
    let count = 1 + usize::from(count) % 70;
    let stride = 1 + usize::from(content) / 16 % 4;
    let uniform = content & 0x80 != 0;
    let blocks = (0..count).map(|leaf| {
        let at = if uniform { 0 } else { (leaf * stride + usize::from(content)) % lengths.len() };
        let len = if name.is_multiple_of(NAMES) { lengths[at] } else { lengths[at].max(1) };
        fill(len, name, content, leaf)
    });
    Content::Blocks(blocks.collect())
}

fn monotonic_ms(clock: &FakeClock) -> u64 {
    clock.monotonic().as_millis() as u64
}
