//! What an engine must do, as plain collections: trees of leaves, who holds what, what was paid.

use std::collections::{BTreeMap, BTreeSet};

use pouw::hash::{Checksum, sha3_512};
use pouw::protocol::{
    ChallengeToken, DifficultyTier, TokenPurpose, TreeHandle, WorkResult, WorkUnit, WorkUnitOperation,
};
use pouw::{EntryKind, TreeState};

use super::ops::{PER_HASH, Setup};

/// Everything remembered of one engine.
pub struct Oracle {
    pub setup: Setup,
    pub boot: u64,
    /// All trees ever ingested; forgotten ones are not `alive`.
    pub trees: Vec<Tree>,
    /// All tokens ever issued.
    pub tokens: Vec<Token>,
    pub entries: Vec<Entry>,
    pub balances: BTreeMap<u8, u64>,
    /// Idempotency keys: client, amount, ledger entry.
    pub debits: BTreeMap<u8, (u8, u64, u64)>,
    pub refused: u64,
}

/// What a tree was made of.
#[derive(Clone)]
pub enum Content {
    Bytes(Vec<u8>, u64),
    Blocks(Vec<Vec<u8>>),
}

/// A tree, with every node computed by the one-shot path.
pub struct Tree {
    pub name: String,
    pub content: Content,
    pub leaves: Vec<Vec<u8>>,
    /// Root first; the last level are the leaves.
    pub levels: Vec<Vec<Checksum>>,
    pub block_len: u64,
    pub done: Vec<bool>,
    /// Interior nodes taken from clients: level, index.
    pub nodes: BTreeSet<(u8, u64)>,
    pub state: TreeState,
    pub alive: bool,
    pub id: Option<u64>,
    pub handle: Option<TreeHandle>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Leaves { tree: usize, start: u64, end: u64 },
    Node { tree: usize, level: u8, index: u64 },
    MadeUp,
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has a lease in this boot.
    Live,
    /// It has none: another boot's, expired, or its work is gone.
    None,
    Accepted,
    /// Used up by a wrong answer; `true` once that is known to be durable.
    Refused(bool),
    /// Used up by a wrong answer that a power cut may have undone.
    Unsure,
}

pub struct Token {
    pub unit: WorkUnit,
    pub opened: ChallengeToken,
    pub client: u8,
    pub claim: Claim,
    pub standing: Standing,
    pub refusals: u32,
}

/// A ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub client: u8,
    pub kind: EntryKind,
    pub id: [u8; 16],
    pub amount: u64,
    pub leaves: u32,
    pub nodes: u32,
    pub tree: u64,
    pub start: u64,
    pub order: u8,
}

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    BadToken,
    Expired,
    OtherStore,
    OtherClient,
    OtherPolicy,
    Replayed,
    Withdrawn,
    TooEarly,
    Malformed,
    Wrong,
    Busy,
    Failed,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::BadToken => "bad_token",
            Self::Expired => "expired",
            Self::OtherStore => "other_store",
            Self::OtherClient => "other_client",
            Self::OtherPolicy => "other_policy",
            Self::Replayed => "replayed",
            Self::Withdrawn => "withdrawn",
            Self::TooEarly => "too_early",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong_result",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// Refused answers after which a challenge is closed.
const REFUSALS_MAX: u32 = 8;

impl Content {
    pub fn leaves(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Bytes(bytes, _) if bytes.is_empty() => vec![Vec::new()],
            Self::Bytes(bytes, block) => bytes.chunks(*block as usize).map(<[u8]>::to_vec).collect(),
            Self::Blocks(blocks) => blocks.clone(),
        }
    }

    fn block_len(&self) -> u64 {
        match self {
            Self::Bytes(_, block) => *block,
            Self::Blocks(blocks) => {
                let (last, others) = blocks.split_last().expect("a tree has a leaf");
                let len = others.first().unwrap_or(last).len();
                let uniform = others.iter().all(|block| block.len() == len) && (1..=len).contains(&last.len());
                if uniform { len as u64 } else { 0 }
            }
        }
    }
}

impl Tree {
    pub fn new(name: String, content: Content, send_cap: usize) -> Self {
        let leaves = content.leaves();
        let mut levels = vec![leaves.iter().map(|leaf| sha3_512(leaf)).collect::<Vec<_>>()];
        while levels[0].len() > 1 {
            let above = levels[0].chunks(2).map(|pair| {
                let children: Vec<u8> = pair.iter().flat_map(|child| *child.as_bytes()).collect();
                sha3_512(&children)
            });
            levels.insert(0, above.collect());
        }
        // No unit carries a leaf over the cap: the server has hashed it.
        let done: Vec<bool> = leaves.iter().map(|leaf| leaf.len() > send_cap).collect();
        let state = if done.iter().all(|done| *done) { TreeState::Assembling } else { TreeState::Active };
        let block_len = content.block_len();
        Self {
            name,
            content,
            leaves,
            levels,
            block_len,
            done,
            nodes: BTreeSet::new(),
            state,
            alive: true,
            id: None,
            handle: None,
        }
    }

    pub fn height(&self) -> u8 {
        (self.levels.len() - 1) as u8
    }

    pub fn root(&self) -> Checksum {
        self.levels[0][0]
    }

    pub fn total_bytes(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.len() as u64).sum()
    }

    pub fn pending(&self) -> u64 {
        self.done.iter().filter(|done| !**done).count() as u64
    }

    pub fn same_content(&self, other: &Self) -> bool {
        (self.leaves.len(), self.block_len, self.total_bytes(), self.root())
            == (other.leaves.len(), other.block_len, other.total_bytes(), other.root())
    }

    /// The level of the tiles' tops, if nodes are issued above it.
    pub fn tile_level(&self) -> Option<u8> {
        self.height().checked_sub(5).filter(|level| *level > 0)
    }

    /// Whether the children of a node are known.
    pub fn children_known(&self, level: u8, index: u64) -> bool {
        let below = level + 1;
        let count = self.levels[usize::from(below)].len() as u64;
        Some(below) == self.tile_level()
            || (index * 2..(index * 2 + 2).min(count)).all(|child| self.nodes.contains(&(below, child)))
    }
}

impl Token {
    /// Whether `result` names this token and has the parts its unit asks for.
    fn well_formed(&self, result: &WorkResult) -> bool {
        result.work_unit_id == self.unit.id
            && result.challenge_token == self.unit.challenge_token
            && result.leaf_hashes.len() == self.unit.listed_leaves()
    }

    fn leaves(&self) -> u64 {
        match self.claim {
            Claim::Leaves { start, end, .. } => end - start,
            Claim::Node { .. } => 1,
            Claim::MadeUp => 1 << self.opened.order,
        }
    }
}

impl Oracle {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            boot: 0,
            trees: Vec::new(),
            tokens: Vec::new(),
            entries: Vec::new(),
            balances: BTreeMap::new(),
            debits: BTreeMap::new(),
            refused: 0,
        }
    }

    pub fn alive(&self) -> impl Iterator<Item = (usize, &Tree)> {
        self.trees.iter().enumerate().filter(|(_, tree)| tree.alive)
    }

    pub fn named(&self, name: &str) -> Option<usize> {
        self.alive().find(|(_, tree)| tree.name == name).map(|(at, _)| at)
    }

    pub fn live(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| token.standing == Standing::Live)
    }

    /// Pending leaves nobody holds, and their bytes: what the ring may offer.
    pub fn free(&self) -> (u64, u64) {
        let mut free = (0, 0);
        for (at, tree) in self.alive().filter(|(_, tree)| tree.state == TreeState::Active) {
            let mut held = tree.done.clone();
            for token in self.live() {
                if let Claim::Leaves { tree: other, start, end } = token.claim
                    && other == at
                {
                    held[start as usize..end as usize].fill(true);
                }
            }
            for (leaf, _) in tree.leaves.iter().zip(held).filter(|(_, held)| !held) {
                free.0 += 1;
                free.1 += leaf.len() as u64;
            }
        }
        free
    }

    /// Whether all of the work of `claim` is pending in its tree, whoever holds it.
    pub fn is_pending(&self, claim: Claim) -> bool {
        match claim {
            Claim::Leaves { tree, start, end } => {
                let tree = &self.trees[tree];
                tree.alive
                    && tree.state == TreeState::Active
                    && tree.done[start as usize..end as usize].iter().all(|done| !done)
            }
            Claim::Node { tree, level, index } => {
                let tree = &self.trees[tree];
                tree.alive && tree.state == TreeState::Folding && !tree.nodes.contains(&(level, index))
            }
            Claim::MadeUp => true,
        }
    }

    /// Whether a live lease holds any part of `claim`.
    pub fn is_leased(&self, claim: Claim) -> bool {
        self.live().any(|token| match (token.claim, claim) {
            (Claim::Leaves { tree, start, end }, Claim::Leaves { tree: t, start: s, end: e }) => {
                tree == t && start < e && s < end
            }
            (Claim::Node { .. }, Claim::Node { .. }) => token.claim == claim,
            _ => false,
        })
    }

    /// The only verdict an answer may get; for a token whose refusal may be lost, the one it gets if
    /// that is so.
    pub fn judge(&self, at: usize, client: u8, policy: u64, result: &WorkResult, now: u64) -> Verdict {
        let token = &self.tokens[at];
        if now >= token.opened.expires_at.0 {
            return Verdict::Expired;
        }
        if client != token.client {
            return Verdict::OtherClient;
        }
        if policy != token.opened.policy {
            return Verdict::OtherPolicy;
        }
        if let Some(verdict) = self.judge_lease(token) {
            return verdict;
        }
        if now < token.opened.not_before.0 {
            return Verdict::TooEarly;
        }
        if !token.well_formed(result) {
            return Verdict::Malformed;
        }
        if self.is_right(token, result) { Verdict::Accepted } else { Verdict::Wrong }
    }

    /// Rule L: nothing to say if the token has a lease or gets one by being adopted, else the only verdict.
    pub fn judge_lease(&self, token: &Token) -> Option<Verdict> {
        match token.standing {
            Standing::Live => None,
            Standing::Accepted | Standing::Refused(_) => Some(Verdict::Replayed),
            Standing::None if token.opened.boot == self.boot => Some(Verdict::Withdrawn),
            Standing::None | Standing::Unsure if !self.is_pending(token.claim) => Some(Verdict::Withdrawn),
            _ if self.live().count() >= self.setup.leases_max => Some(Verdict::Busy),
            _ => self.is_leased(token.claim).then_some(Verdict::Withdrawn),
        }
    }

    fn is_right(&self, token: &Token, result: &WorkResult) -> bool {
        match token.claim {
            Claim::Leaves { tree, start, end } => {
                let tree = &self.trees[tree];
                let (level, index) = (usize::from(token.unit.tree_level), token.unit.tree_index as usize);
                let leaves = &tree.levels[usize::from(tree.height())][start as usize..end as usize];
                result.result_hash == tree.levels[level][index]
                    && (token.unit.operation == WorkUnitOperation::LeafHash || result.leaf_hashes == leaves)
            }
            Claim::Node { tree, level, index } => {
                result.result_hash == self.trees[tree].levels[usize::from(level)][index as usize]
            }
            Claim::MadeUp => {
                let right = super::super::work::solve(&token.unit);
                result.result_hash == right.result_hash && result.leaf_hashes == right.leaf_hashes
            }
        }
    }

    /// What `verdict` changes.
    pub fn answered(&mut self, at: usize, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.accept(at),
            Verdict::Replayed if self.tokens[at].standing == Standing::Unsure => {
                self.tokens[at].standing = Standing::Refused(true);
            }
            // The answer got as far as a lease: an adopted one stays.
            Verdict::TooEarly => self.tokens[at].standing = Standing::Live,
            Verdict::Malformed => {
                let token = &mut self.tokens[at];
                token.standing = Standing::Live;
                token.refusals += 1;
                if token.refusals >= REFUSALS_MAX {
                    self.refuse(at);
                }
            }
            Verdict::Wrong => self.refuse(at),
            _ => {}
        }
    }

    fn refuse(&mut self, at: usize) {
        self.tokens[at].standing = Standing::Refused(false);
        self.refused += 1;
    }

    fn accept(&mut self, at: usize) {
        self.committed();
        let token = &mut self.tokens[at];
        token.standing = Standing::Accepted;
        let (id, client, tier, nodes) =
            (*token.opened.id.as_bytes(), token.client, token.opened.tier, token.unit.node_count);
        let award = award(self.setup, tier, nodes, token.leaves());
        let (start, order) = (token.opened.start, token.opened.order);
        let mut entry = Entry {
            client,
            kind: EntryKind::Synthetic,
            id,
            amount: award,
            leaves: 0,
            nodes: nodes as u32,
            tree: 0,
            start: 0,
            order: 0,
        };
        match token.claim {
            Claim::Leaves { tree, start: from, end } => {
                let tree = &mut self.trees[tree];
                tree.done[from as usize..end as usize].fill(true);
                if tree.pending() == 0 {
                    tree.state = TreeState::Assembling;
                }
                let tree = tree.id.unwrap_or(u64::MAX);
                entry = Entry { kind: EntryKind::Leaves, leaves: (end - from) as u32, tree, start, order, ..entry };
            }
            Claim::Node { tree, level, index } => {
                let tree = &mut self.trees[tree];
                tree.nodes.insert((level, index));
                if level == 0 {
                    tree.state = TreeState::Assembling;
                }
                entry = Entry { kind: EntryKind::Interior, tree: tree.id.unwrap_or(u64::MAX), start, order, ..entry };
            }
            Claim::MadeUp => {}
        }
        *self.balances.entry(client).or_default() += award;
        self.entries.push(entry);
    }

    /// A commit has taken along what was waiting to be written behind.
    pub fn committed(&mut self) {
        for token in &mut self.tokens {
            if token.standing == Standing::Refused(false) {
                token.standing = Standing::Refused(true);
            }
        }
    }

    /// Ends leases whose token is past its expiry; returns how many.
    pub fn expire(&mut self, now: u64) -> usize {
        let mut ended = 0;
        for token in self.tokens.iter_mut().filter(|token| token.standing == Standing::Live) {
            if token.opened.expires_at.0 < now {
                token.standing = Standing::None;
                ended += 1;
            }
        }
        ended
    }

    pub fn forget(&mut self, at: usize) {
        self.trees[at].alive = false;
        for token in self.tokens.iter_mut().filter(|token| token.standing == Standing::Live) {
            let tree = match token.claim {
                Claim::Leaves { tree, .. } | Claim::Node { tree, .. } => Some(tree),
                Claim::MadeUp => None,
            };
            if tree == Some(at) {
                token.standing = Standing::None;
            }
        }
    }

    /// All leases are gone; after a power cut so may be what was written behind.
    pub fn restart(&mut self, power_cut: bool) {
        if !power_cut {
            self.committed();
        }
        for token in &mut self.tokens {
            token.refusals = 0;
            token.standing = match token.standing {
                Standing::Live => Standing::None,
                Standing::Refused(false) => Standing::Unsure,
                other => other,
            };
        }
    }

    /// One round of upkeep: trees whose leaves are done are folded, or their nodes issued.
    pub fn assemble(&mut self) {
        for tree in self.trees.iter_mut().filter(|tree| tree.alive) {
            let issue = self.setup.interior && tree.tile_level().is_some() && tree.nodes.is_empty();
            match tree.state {
                TreeState::Folding if !self.setup.interior => tree.state = TreeState::Complete,
                TreeState::Assembling if issue => tree.state = TreeState::Folding,
                TreeState::Assembling => tree.state = TreeState::Complete,
                _ => {}
            }
        }
    }

    /// The claim a new unit stands for: of the trees it can belong to, the only one.
    pub fn claim_of(&mut self, unit: &WorkUnit, opened: &ChallengeToken) -> Result<Claim, String> {
        if opened.purpose == TokenPurpose::Synthetic {
            return Ok(Claim::MadeUp);
        }
        let known = |tree: &Tree| tree.handle == Some(unit.tree_id);
        let candidates: Vec<usize> = match self.alive().find(|(_, tree)| known(tree)) {
            Some((at, _)) => vec![at],
            None => self
                .alive()
                .filter(|(_, tree)| tree.handle.is_none() && fits(tree, unit, opened))
                .map(|(at, _)| at)
                .collect(),
        };
        let [at] = candidates[..] else {
            return Err(format!("a unit of {} fits {} trees", unit.tree_id, candidates.len()));
        };
        let tree = &mut self.trees[at];
        if !fits(tree, unit, opened) {
            return Err(format!("the bytes or the place of {} are not those of tree {}", unit.id, tree.name));
        }
        tree.handle = Some(unit.tree_id);
        Ok(match opened.purpose {
            TokenPurpose::Interior => Claim::Node { tree: at, level: opened.order, index: opened.start },
            _ => Claim::Leaves { tree: at, start: opened.start, end: range_end(tree, opened) },
        })
    }
}

fn range_end(tree: &Tree, opened: &ChallengeToken) -> u64 {
    (tree.leaves.len() as u64).min(opened.start.saturating_add(1 << opened.order.min(40)))
}

/// Whether `unit` shows what stands at its place in `tree`.
fn fits(tree: &Tree, unit: &WorkUnit, opened: &ChallengeToken) -> bool {
    let (level, index) = (usize::from(unit.tree_level), unit.tree_index);
    if tree.levels.get(level).is_none_or(|nodes| index >= nodes.len() as u64) {
        return false;
    }
    if opened.purpose == TokenPurpose::Interior {
        let below = tree.levels.get(level + 1).into_iter().flatten();
        let children: Vec<u8> = below.skip(index as usize * 2).take(2).flat_map(|child| *child.as_bytes()).collect();
        return (opened.order, opened.start) == (unit.tree_level, index) && children == unit.input_data;
    }
    let (start, end, height) = (opened.start, range_end(tree, opened), tree.height());
    let steps = opened.order.min(height);
    let aligned = opened.order <= 5 && start % (1 << opened.order) == 0 && start < end;
    let top = (usize::from(height - steps), start >> steps);
    let nodes: u64 = (0..=steps).map(|step| (end - start.min(end)).div_ceil(1 << step)).sum();
    let leaves = || tree.leaves[start as usize..end as usize].iter();
    let lengths: Vec<u64> = if opened.order == 0 {
        Vec::new()
    } else if aligned {
        leaves().map(|leaf| leaf.len() as u64).collect()
    } else {
        return false;
    };
    aligned
        && (level, index) == top
        && unit.node_count == nodes
        && unit.fold_levels == steps
        && unit.leaf_lengths == lengths
        && tree.leaves[start as usize..end as usize].concat() == unit.input_data
}

/// Smallest and largest number of leaves a tier asks for.
pub fn wanted(tier: DifficultyTier) -> (u64, u64) {
    match tier {
        DifficultyTier::Low => (1, 1),
        DifficultyTier::Medium => (4, 8),
        DifficultyTier::High => (16, 32),
    }
}

pub fn award(setup: Setup, tier: DifficultyTier, nodes: u64, leaves: u64) -> u64 {
    let hashes = match tier {
        _ if !setup.tier_average || leaves < wanted(tier).0 => nodes,
        DifficultyTier::Low => 1,
        DifficultyTier::Medium => 10,
        DifficultyTier::High => 40,
    };
    hashes * PER_HASH
}
