//! Issuing: a unit from the ring, a lease, a signed token. Waits for no disk.

use std::time::Duration;

use crate::merkle::{AlignedRange, Shape};
use crate::policy::lease::{Claim, Lease, LeaseRefusal, Pin};
use crate::policy::quorum::Voter;
use crate::policy::ready::{ReadyUnit, Take};
use crate::protocol::{
    ChallengeToken, DifficultyTier, TokenPurpose, TreeHandle, UnixMillis, WorkId, WorkUnit, WorkUnitOperation,
    data_digest,
};

use crate::store::rows::{HashWork, TreeState, UsefulnessAccount};
use crate::store::{Reader, TreeNumber, random};

use super::answers::token::Inspected;
use super::backlog::interior::{ReadyNode, interior_node};
use super::backlog::queue::Returned;
use super::checked::whole_ms;
use super::core::Core;
use super::error::{IssueError, SubmitError};
use super::for_gate::ForGate;
use super::handle::PouwEngine;
use super::request::{Asked, IssueRequest, Issued};
use super::tallies::bump;
use super::work::unit_work;
use crate::engine::answers::adopt;
use crate::engine::answers::again;
use crate::engine::answers::held;
use crate::engine::answers::token;
use crate::engine::backlog::synthetic;
use crate::engine::clients::response_times;

impl PouwEngine {
    /// Hands out a ready unit under a signed challenge bound to the client.
    ///
    /// Takes from memory only: an empty ring is [`IssueError::NoWork`], or made-up work if the
    /// request allows it. If the lease table is full nothing is issued, and no lease is evicted.
    /// Units that are ready but over [`IssueRequest::bytes_max`] stay ready, and made-up work does
    /// not take their place.
    ///
    /// # Errors
    /// See [`IssueError`]; each has a reason on the wire.
    pub fn issue(&self, request: &IssueRequest<'_>) -> Result<Issued, IssueError> {
        self.for_gate().issue(&Asked::of(self.client_digest(request.client), request))
    }
}

impl ForGate<'_> {
    /// Hands out a unit as [`PouwEngine::issue`] does.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn issue(&self, request: &Asked<'_>) -> Result<Issued, IssueError> {
        let core = self.core();
        let stays_closed = core.store.is_closed();
        #[cfg(feature = "testing")]
        let stays_closed = stays_closed && !core.config.makes(super::mistake::Mistake::LatchedIssues);
        if core.writer.is_closing() || stays_closed {
            return Err(IssueError::Closed);
        }
        if core.store.is_read_only() {
            return Err(IssueError::ReadOnly);
        }
        let id = WorkId::from_parts(core.time.now_ms(), random().map_err(|e| IssueError::Random(e.to_string()))?);
        if let Some(taken) = take(core, request, id)? {
            return Ok(taken);
        }
        core.background.wake();
        if request.synthetic { issue_synthetic(core, request, id) } else { Err(IssueError::NoWork) }
    }
}

impl ForGate<'_> {
    /// Sends the unit of an open challenge again, with the same token byte for byte.
    ///
    /// # Errors
    /// As for an answer with this token: expired, of another client, used, withdrawn.
    pub fn reissue(&self, client: &[u8], token: &str) -> Result<WorkUnit, SubmitError> {
        let core = self.core();
        self.reissue_inspected(&token::inspect(core, || core.keys.digest_of(client), token, None)?, token)
    }

    /// The same for a token that has been inspected; `token` is its text.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn reissue_inspected(&self, inspected: &Inspected, token: &str) -> Result<WorkUnit, SubmitError> {
        let core = self.core();
        token::still_good(core, inspected)?;
        let opened = &inspected.opened;
        let claim = adopt::open_claim(core, opened)?;
        let reader = core.store.read()?;
        let unit = match claim {
            Claim::Synthetic => synthetic_unit(core, opened),
            Claim::Leaves { tree, range } => {
                let ready = match ready_again(core, &*reader, opened, tree, range) {
                    Err(SubmitError::Withdrawn) => {
                        withdraw_open(core, opened.id);
                        return Err(SubmitError::Withdrawn);
                    }
                    other => other?,
                };
                core.clients.count_sent(ready.account, &ready, false);
                leaf_unit(&ready, opened)
            }
            Claim::Interior { tree, level, index } => {
                let node = interior_node(&*reader, tree, level, index)?.ok_or(SubmitError::Withdrawn)?;
                interior_unit(&node, opened)
            }
        };
        Ok(WorkUnit { challenge_token: token.to_owned(), ..timed(core, unit, opened) })
    }
}

/// The unit of an open challenge with the bytes that were sent.
fn ready_again(
    core: &Core,
    reader: &dyn Reader,
    token: &ChallengeToken,
    tree: TreeNumber,
    range: AlignedRange,
) -> Result<ReadyUnit, SubmitError> {
    let row = reader.tree(tree)?.filter(|row| row.state == TreeState::Active).ok_or(SubmitError::Withdrawn)?;
    let shape = Shape::new(row.leaves).map_err(|_| SubmitError::Withdrawn)?;
    let data = again::sent_again(core, token, (tree, &row), &range)?.into();
    let (handle, since_ms) = (row.handle, token.issued_at.0);
    let account = row.strategy.index();
    Ok(ReadyUnit { tree, handle, shape, range, data, since_ms, account, votes: None })
}

/// Ends an open challenge by the server's own fault, unless an answer to it is being judged:
/// that decides.
fn withdraw_open(core: &Core, id: WorkId) {
    let pin = core.queue.lock().leases.pin(id);
    if let Pin::Pinned(claim) = pin {
        held::hold_pinned(core, id, claim).withdraw();
    }
    core.events.report_stored();
}

/// A real unit, leased; `None` if nothing is ready.
fn take(core: &Core, request: &Asked<'_>, id: WorkId) -> Result<Option<Issued>, IssueError> {
    let expires_ms = id.unix_millis().0 + core.config.token_ttl_ms();
    let lease = |claim| Lease { id, claim, expires_ms, pinned: false, refusals: 0 };
    let bytes_max = request.bytes_max.unwrap_or(usize::MAX);
    let cap = response_times::calibrated_bytes(core, request.size);
    let asker = asker(core, request);
    let mut queue = core.queue.lock();
    if queue.leases.len() >= core.config.settings.leases_max {
        return Err(IssueError::Crowded(core.config.settings.leases_max));
    }
    if request.size == DifficultyTier::Low
        && bytes_max >= INTERIOR_BYTES
        && let Some(node) = queue.interior.ready.pop_front()
    {
        let claim = Claim::Interior { tree: node.tree, level: node.level, index: node.index };
        if queue.leases.insert(lease(claim)).is_ok() {
            drop(queue);
            return Ok(Some(issued_interior(core, request, id, &node)));
        }
    }
    loop {
        let taken = match &asker {
            Some(asker) => queue.ring.take_for(request.size, bytes_max, cap, asker),
            None => queue.ring.take_cut(request.size, bytes_max, cap),
        };
        let taken = match taken {
            Take::Unit(taken) => taken,
            Take::Empty => {
                queue.rotate_votes(request.size, id.unix_millis().0);
                return Ok(None);
            }
            Take::TooBig => return Err(IssueError::TooBig { bytes_max }),
        };
        let claim = Claim::Leaves { tree: taken.unit.tree, range: taken.unit.range };
        match queue.leases.insert(lease(claim)) {
            Ok(()) => {
                let low = queue.ring.open_len() < core.config.settings.min_queue_depth;
                drop(queue);
                if low {
                    core.background.wake();
                }
                return Ok(Some(issued_leaves(core, request, id, &taken.unit, taken.shortfall)));
            }
            // Some of the leaves are out under another token: not ready after all. The refill
            // brings the others.
            Err(LeaseRefusal::Overlap) => {
                queue.returned.push_back(Returned::of(taken.unit.tree, &taken.unit.range));
            }
            Err(LeaseRefusal::Full(bound)) => return Err(IssueError::Crowded(bound)),
        }
    }
}

/// Who asks, if any unit has votes: only then it matters, and it costs a keyed hash.
fn asker(core: &Core, request: &Asked<'_>) -> Option<Voter> {
    let any = core.queue.lock().ring.voted().0 > 0;
    any.then(|| {
        let (client, network) = (request.client, core.keys.network_of(request.network));
        Voter { client, network }
    })
}

fn issued_leaves(core: &Core, request: &Asked<'_>, id: WorkId, ready: &ReadyUnit, shortfall: bool) -> Issued {
    let token = ChallengeToken {
        tree: ready.handle,
        start: ready.range.start(),
        order: ready.range.order(),
        data_digest: data_digest(ready.bytes()),
        ..token(core, request, id, TokenPurpose::Work)
    };
    let unit = sealed(core, leaf_unit(ready, &token), &token);
    bump(&core.tallies.issued[request.tier as usize], 1);
    bump(&core.tallies.bytes_issued, unit.input_data.len() as u64);
    core.clients.count_sent(ready.account, ready, true);
    if shortfall {
        bump(&core.tallies.shortfalls[request.tier as usize], 1);
    }
    Issued { unit, shortfall }
}

fn issued_interior(core: &Core, request: &Asked<'_>, id: WorkId, node: &ReadyNode) -> Issued {
    let token = ChallengeToken {
        tree: node.handle,
        start: node.index,
        order: node.level,
        data_digest: data_digest(&node.bytes()),
        ..token(core, request, id, TokenPurpose::Interior)
    };
    bump(&core.tallies.interior_issued, 1);
    core.clients.count_asked(node.account, HashWork::of([node.bytes().len() as u64]));
    Issued { unit: sealed(core, interior_unit(node, &token), &token), shortfall: false }
}

fn issue_synthetic(core: &Core, request: &Asked<'_>, id: WorkId) -> Result<Issued, IssueError> {
    let wanted = synthetic_order(request.size);
    let bytes_max = request.bytes_max.unwrap_or(usize::MAX);
    let fitting = (0..=wanted).rev().find(|order| SYNTHETIC_LEAF_BYTES << *order <= bytes_max);
    let order = fitting.ok_or(IssueError::TooBig { bytes_max })?;
    let token = ChallengeToken { order, ..token(core, request, id, TokenPurpose::Synthetic) };
    let expires_ms = token.expires_at.0;
    let mut queue = core.queue.lock();
    if queue.leases.synthetic() >= core.config.settings.synthetic_max {
        return Err(IssueError::Crowded(core.config.settings.synthetic_max));
    }
    let claim = Claim::Synthetic;
    let lease = Lease { id, claim, expires_ms, pinned: false, refusals: 0 };
    if let Err(LeaseRefusal::Full(bound)) = queue.leases.insert(lease) {
        return Err(IssueError::Crowded(bound));
    }
    drop(queue);
    bump(&core.tallies.synthetic_issued, 1);
    core.clients.count_asked(UsefulnessAccount::SYNTHETIC, synthetic_work(order));
    Ok(Issued { unit: sealed(core, synthetic_unit(core, &token), &token), shortfall: order < wanted })
}

fn token(core: &Core, request: &Asked<'_>, id: WorkId, purpose: TokenPurpose) -> ChallengeToken {
    // The moment the id was made: lease and token end together, and the id contains the time.
    let now = id.unix_millis().0;
    let floor = request.floor.unwrap_or_else(|| core.config.floor(request.tier));
    let floor = whole_ms(floor.saturating_add(Duration::from_nanos(999_999)));
    let ttl = core.config.token_ttl_ms();
    ChallengeToken {
        purpose,
        store: *core.identity.store.as_bytes(),
        boot: core.identity.boot,
        id,
        client: request.client,
        by_address: request.by_address,
        tree: TreeHandle::from_bytes([0; 16]),
        start: 0,
        order: 0,
        data_digest: 0,
        tier: request.tier,
        policy: request.policy,
        issued_at: UnixMillis(now),
        not_before: UnixMillis(now + floor.min(ttl - 1)),
        expires_at: UnixMillis(now + ttl),
    }
}

fn sealed(core: &Core, unit: WorkUnit, token: &ChallengeToken) -> WorkUnit {
    WorkUnit { challenge_token: token.seal(&core.keys.tokens), ..timed(core, unit, token) }
}

fn timed(core: &Core, unit: WorkUnit, token: &ChallengeToken) -> WorkUnit {
    let now = core.time.now_ms();
    WorkUnit { wait_ms: token.not_before.0.saturating_sub(now), ttl_ms: token.expires_at.0.saturating_sub(now), ..unit }
}

fn leaf_unit(ready: &ReadyUnit, token: &ChallengeToken) -> WorkUnit {
    let range = ready.range;
    let single = range.order() == 0;
    let top = range.top();
    WorkUnit {
        tree_level: top.level.0,
        tree_index: top.index,
        operation: if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash },
        input_data: ready.bytes().to_vec(),
        leaf_lengths: if single { Vec::new() } else { ready.lengths() },
        fold_levels: range.fold_levels(),
        node_count: range.node_count(),
        ..blank(token)
    }
}

fn synthetic_unit(core: &Core, token: &ChallengeToken) -> WorkUnit {
    let leaves = synthetic::synthetic_leaves(core, token);
    let single = leaves.len() == 1;
    let range = synthetic_range(token.order);
    WorkUnit {
        operation: if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash },
        input_data: leaves.concat(),
        leaf_lengths: if single { Vec::new() } else { leaves.iter().map(|leaf| leaf.len() as u64).collect() },
        fold_levels: token.order.min(4),
        node_count: range.map_or(1, |range| range.node_count()),
        synthetic: true,
        ..blank(token)
    }
}

fn interior_unit(node: &ReadyNode, token: &ChallengeToken) -> WorkUnit {
    WorkUnit {
        tree_level: node.level,
        tree_index: node.index,
        operation: WorkUnitOperation::InteriorHash,
        input_data: node.bytes(),
        child_count: if node.right.is_some() { 2 } else { 1 },
        ..blank(token)
    }
}

fn blank(token: &ChallengeToken) -> WorkUnit {
    WorkUnit {
        id: token.id,
        tree_id: token.tree,
        tree_level: 0,
        tree_index: 0,
        operation: WorkUnitOperation::LeafHash,
        input_data: Vec::new(),
        leaf_lengths: Vec::new(),
        fold_levels: 0,
        child_count: 0,
        node_count: 1,
        synthetic: false,
        difficulty: token.tier,
        challenge_token: String::new(),
        created_at: token.issued_at,
        expires_at: token.expires_at,
        not_before: token.not_before,
        wait_ms: 0,
        ttl_ms: 0,
    }
}

/// Two child hashes.
const INTERIOR_BYTES: usize = 128;
/// A made-up leaf.
const SYNTHETIC_LEAF_BYTES: usize = 64;

/// Size of made-up work: 1, 4 or 16 leaves of 64 bytes.
fn synthetic_order(tier: DifficultyTier) -> u8 {
    [0, 2, 4][tier as usize]
}

/// What made-up work of this size asks for.
pub(super) fn synthetic_work(order: u8) -> HashWork {
    let lengths = vec![SYNTHETIC_LEAF_BYTES as u64; 1 << order.min(4)];
    synthetic_range(order).map_or(HashWork::default(), |range| unit_work(&range, lengths.into_iter()))
}

/// A made-up unit as a tree of its own.
pub(super) fn synthetic_range(order: u8) -> Option<AlignedRange> {
    let order = order.min(4);
    AlignedRange::new(Shape::new(1 << order).ok()?, 0, order).ok()
}

impl ReadyNode {
    /// The children's hashes, one after the other.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.left.as_bytes().to_vec();
        out.extend(self.right.iter().flat_map(|right| right.as_bytes().iter().copied()));
        out
    }
}
