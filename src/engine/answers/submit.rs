//! Judges answers and commits the right ones. Order of judgement: sizes and encoding, MAC, store,
//! purpose, expiry, client, policy, lease and consumed, floor, well-formed result, verification,
//! commit.

use crate::merkle::AlignedRange;
use crate::policy::calibration::Observation;
use crate::policy::lease::{Claim, Lease, LeaseRefusal, Pin};
use crate::policy::quorum::Voter;
use crate::protocol::{ChallengeToken, MicroJoules, TokenPurpose, WorkId, WorkResult};
use crate::store::records::{QuorumRow, TreeState, range_end};
use crate::store::{Command, Outcome, Refuse, Refused, Settle};

use super::compare::Judged;
use super::held::HeldLease;
use super::token::Inspected;
use crate::engine::PouwEngine;
use crate::engine::core::{Core, bump};
use crate::engine::error::{SubmitError, WriteError};
use crate::engine::event::Event;
use crate::engine::for_gate::ForGate;
use crate::engine::request::{Accepted, Answer};
use crate::engine::writer::job::{Fate, Job};
use crate::engine::writer::reply::oneshot;

/// Number of refused answers to one challenge, with the right token from the right client, that
/// close it.
const REFUSALS_MAX: u32 = 8;

/// An answer found right, waiting for its commit.
struct Verified {
    settle: Settle,
    follows: Follows,
}

/// Changes in memory that an answer causes once it is durable.
#[derive(Debug, Default)]
pub(in crate::engine) struct Follows {
    /// Clients with votes that it proved wrong, and their networks.
    pub(in crate::engine) liars: Vec<Voter>,
    /// Damaged blocks it found.
    pub(in crate::engine) damaged: Vec<Event>,
}

impl PouwEngine {
    /// Checks an answer and, if it is right, waits until it is durable.
    ///
    /// # Errors
    /// See [`SubmitError`]: it says what each error means for the token. Each has a reason on the
    /// wire.
    pub fn submit(&self, answer: &Answer<'_>) -> Result<Accepted, SubmitError> {
        let (sender, receiver) = oneshot();
        self.submit_with(answer, move |verdict| sender.send(verdict));
        receiver.wait().unwrap_or(Err(SubmitError::Closed))
    }

    /// Judges an answer on this thread and calls `done` with the verdict: at once if it is refused,
    /// on the writer's thread after the commit if it is right. It never waits for a commit: it is
    /// for callers with an event loop. Keep `done` short.
    pub fn submit_with(&self, answer: &Answer<'_>, done: impl FnOnce(Result<Accepted, SubmitError>) + Send + 'static) {
        match self.for_gate().inspect(answer.client, answer.token, answer.policy) {
            Err(error) => done(Err(error)),
            Ok(inspected) => {
                self.for_gate().submit_inspected(inspected.from_network(answer.network), answer.result, done)
            }
        }
    }
}

impl ForGate<'_> {
    /// Judges the result for a token that has been inspected, as [`PouwEngine::submit_with`] does.
    pub fn submit_inspected(
        &self,
        inspected: Inspected,
        result: &WorkResult,
        done: impl FnOnce(Result<Accepted, SubmitError>) + Send + 'static,
    ) {
        let core = self.core();
        match core.judge(&inspected, result) {
            Err(error) => done(Err(error)),
            Ok((Verified { settle, follows }, held)) => {
                let (id, client) = (WorkId::from_bytes(settle.id), settle.client);
                let (award, nodes) = (MicroJoules(settle.award), u64::from(settle.nodes));
                let seen = Observation::of(&inspected.opened, settle.at_ms);
                let held = held.until_commit(core.clone());
                let effect_core = core.clone();
                let job = Job::new(
                    vec![Command::Settle(settle)],
                    move |fate| {
                        effect_core.observe(seen, fate);
                        effect_core.after_settle(held, &client, fate);
                        effect_core.follow(follows, fate);
                    },
                    move |written| done(verdict(written, id, award, nodes)),
                );
                if let Err((job, error)) = core.write_soon(job) {
                    job.fail(error);
                }
            }
        }
    }
}

impl ForGate<'_> {
    /// Checks that the storage works: makes a durable commit that changes nothing, in the lane of
    /// answers. Calls `done` on the writer's thread, or at once if too many writes are waiting.
    /// Never blocks.
    pub fn touch_with(&self, done: impl FnOnce(Result<(), WriteError>) + Send + 'static) {
        let job = Job::new(vec![Command::Touch], |_| {}, move |written| done(written.map(drop)));
        if let Err((job, error)) = self.core().write_soon(job) {
            job.fail(error);
        }
    }
}

fn verdict(
    written: Result<Vec<Outcome>, WriteError>,
    id: WorkId,
    award: MicroJoules,
    nodes: u64,
) -> Result<Accepted, SubmitError> {
    match written?.first() {
        Some(Outcome::Settled { seq, leaves_complete, .. }) => {
            let deferred = MicroJoules(0);
            Ok(Accepted { id, seq: Some(*seq), award, deferred, nodes, leaves_complete: *leaves_complete })
        }
        Some(Outcome::Voted) => {
            let (award, deferred) = (MicroJoules(0), award);
            Ok(Accepted { id, seq: None, award, deferred, nodes, leaves_complete: false })
        }
        Some(Outcome::Refused(Refused::Consumed)) => Err(SubmitError::Replayed),
        _ => Err(SubmitError::Withdrawn),
    }
}

impl Core {
    /// Does all checks that come before the commit. On success the lease is held, pinned.
    fn judge(&self, inspected: &Inspected, result: &WorkResult) -> Result<(Verified, HeldLease<&Self>), SubmitError> {
        self.still_good(inspected)?;
        let token = &inspected.opened;
        let held = self.pin(token)?;
        let judged = match (self.judge_pinned(inspected, result, held.claim()), held.claim()) {
            // A row of the unit is damaged: no client can answer it now.
            (Err(SubmitError::Store(error)), Claim::Leaves { tree, range }) => {
                Err(self.row_at_fault(tree, &range, error))
            }
            (judged, _) => judged,
        };
        let error = match judged {
            Ok(verified) => return Ok((verified, held)),
            Err(error) => error,
        };
        if matches!(error, SubmitError::WrongResult { .. }) {
            let network = self.network_of(&inspected.network);
            self.heightened.lock().lied(network, self.now_ms());
        }
        self.after_refusal(held, token, &error);
        if matches!(error, SubmitError::Withdrawn) {
            // No lock is held here: what was found damaged is reported at once.
            self.report_stored();
        }
        Err(error)
    }

    /// Updates the memory after a durable answer.
    fn follow(&self, follows: Follows, fate: &Fate) {
        let Fate::Stored(outcomes) = fate else { return };
        if !matches!(outcomes.first(), Some(Outcome::Settled { .. } | Outcome::Voted)) {
            return;
        }
        self.note_liars(&follows.liars);
        if !follows.damaged.is_empty() {
            // Not reported here, on the writer's thread: a subscriber may ingest the damaged block
            // again.
            follows.damaged.into_iter().for_each(|event| self.later(event));
            self.wake();
        }
    }

    /// Counts wrong answers of clients caught in a lie after their request had been admitted.
    pub(in crate::engine) fn note_liars(&self, liars: &[Voter]) {
        for liar in liars {
            self.note_wrong(&liar.client);
            self.heightened.lock().lied(liar.network, self.now_ms());
        }
        if !liars.is_empty() {
            self.wake();
        }
    }

    /// Pins the lease of a token. Rule L: a token is honoured only through a lease, its own or an
    /// adopted one.
    pub(in crate::engine) fn pin(&self, token: &ChallengeToken) -> Result<HeldLease<&Self>, SubmitError> {
        // A statement of its own, so that the lock is not held while the store is read.
        let pin = self.queue.lock().leases.pin(token.id);
        match pin {
            Pin::Pinned(claim) => return Ok(self.hold_pinned(token.id, claim)),
            Pin::Busy => return Err(SubmitError::InFlight),
            Pin::Unknown => {}
        }
        if token.boot == self.identity.boot {
            return Err(self.no_lease(token)?);
        }
        self.adopt(token)
    }

    /// Returns why a token has no lease: it was used, or another client got its work.
    pub(in crate::engine) fn no_lease(&self, token: &ChallengeToken) -> Result<SubmitError, SubmitError> {
        let id = *token.id.as_bytes();
        let used = self.is_refused(&id) || self.store.read()?.consumed(token.expires_at.0, id)?.is_some();
        if !used {
            bump(&self.tallies.withdrawn, 1);
        }
        Ok(if used { SubmitError::Replayed } else { SubmitError::Withdrawn })
    }

    /// Makes a lease of a token from an earlier boot, if none of its work is done or leased.
    pub(in crate::engine) fn adopt(&self, token: &ChallengeToken) -> Result<HeldLease<&Self>, SubmitError> {
        let id = *token.id.as_bytes();
        let reader = self.store.read()?;
        if self.is_refused(&id) || reader.consumed(token.expires_at.0, id)?.is_some() {
            return Err(SubmitError::Replayed);
        }
        let claim = match token.purpose {
            TokenPurpose::Synthetic => Claim::Synthetic,
            TokenPurpose::Work => {
                let (tree, row) = reader.tree_of_handle(*token.tree.as_bytes())?.ok_or(SubmitError::Withdrawn)?;
                let shape = crate::merkle::Shape::new(row.leaves).map_err(|_| SubmitError::Withdrawn)?;
                let range = crate::merkle::AlignedRange::new(shape, token.start, token.order)
                    .map_err(|_| SubmitError::Withdrawn)?;
                let votes = reader.quorums_of_tile(tree, range.tile())?;
                if row.state != TreeState::Active
                    || !reader.range_pending(tree, &range)?
                    || splits_group(&votes, &range)
                {
                    return Err(SubmitError::Withdrawn);
                }
                Claim::Leaves { tree, range }
            }
            TokenPurpose::Interior => {
                let (tree, row) = reader.tree_of_handle(*token.tree.as_bytes())?.ok_or(SubmitError::Withdrawn)?;
                let (level, index) = (token.order, token.start);
                if row.state != TreeState::Folding || reader.interior(tree, level, index)?.is_some() {
                    return Err(SubmitError::Withdrawn);
                }
                Claim::Interior { tree, level, index }
            }
        };
        drop(reader);
        #[cfg(feature = "testing")]
        if self.config.makes(crate::engine::testing::Mistake::NoAdoptionCheck) {
            return Ok(self.hold_pinned(token.id, claim));
        }
        let held = self.hold_adopted(token, claim)?;
        if let Claim::Leaves { tree, range } = claim
            && splits_group(&self.store.read()?.quorums_of_tile(tree, range.tile())?, &range)
        {
            // Voted on, in part, since the first look.
            return Err(SubmitError::Withdrawn);
        }
        if self.is_refused(&id) {
            // Judged wrong by another copy between the first look and the lease.
            return Err(SubmitError::Replayed);
        }
        Ok(held.of_token())
    }

    /// Inserts the lease of a token from an earlier boot. Its work is not ready from then on.
    fn hold_adopted(&self, token: &ChallengeToken, claim: Claim) -> Result<HeldLease<&Self>, SubmitError> {
        let lease = Lease { id: token.id, claim, expires_ms: token.expires_at.0, pinned: true, refusals: 0 };
        let mut queue = self.queue.lock();
        if queue.leases.find(token.id).is_some() {
            // Another copy was adopted since the first look.
            return Err(SubmitError::InFlight);
        }
        queue.leases.insert(lease.clone()).map_err(|refusal| match refusal {
            LeaseRefusal::Overlap => SubmitError::Withdrawn,
            LeaseRefusal::Full(_) => SubmitError::Busy,
        })?;
        match claim {
            // Returned work that waits for a refill stays listed: the refill leaves out leased
            // leaves.
            Claim::Leaves { tree, range } => queue.adopted(tree, &range),
            Claim::Interior { tree, level, index } => queue.interior.withdraw(tree, level, index),
            Claim::Synthetic => {}
        }
        drop(queue);
        Ok(self.hold_new(&lease))
    }

    fn judge_pinned(&self, inspected: &Inspected, result: &WorkResult, claim: Claim) -> Result<Verified, SubmitError> {
        let token = &inspected.opened;
        let now = self.check_floor(token)?;
        #[cfg(feature = "testing")]
        let claim = self.claim_from_body(result, claim);
        self.check_names(inspected, result)?;
        let Judged { kind, nodes, leaves, accepted, audit, referee, follows } =
            self.verify(inspected, result, claim)?;
        Ok(Verified {
            settle: Settle {
                id: *token.id.as_bytes(),
                expires_ms: token.expires_at.0,
                client: *token.client.as_bytes(),
                handle: *token.tree.as_bytes(),
                kind,
                tier: token.tier as u8,
                nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
                award: self.award(token.tier, nodes, leaves),
                data_digest: token.data_digest,
                accepted,
                audit,
                referee,
                at_ms: now,
                #[cfg(feature = "testing")]
                skip_consumed_check: self.config.makes(crate::engine::testing::Mistake::SkipConsumedCheck),
                #[cfg(feature = "testing")]
                skip_leaf_check: self.config.makes(crate::engine::testing::Mistake::SkipLeafCheck),
            },
            follows,
        })
    }

    /// Updates the lease after a refusal.
    pub(in crate::engine) fn after_refusal(&self, held: HeldLease<&Self>, token: &ChallengeToken, error: &SubmitError) {
        match error {
            SubmitError::WrongResult { .. } => {
                self.note_wrong(token.client.as_bytes());
                self.end_challenge(held, token, true);
            }
            SubmitError::Malformed(_) if held.refusals() + 1 >= REFUSALS_MAX => self.end_challenge(held, token, false),
            SubmitError::Malformed(_) => {
                held.refuse();
            }
            SubmitError::Withdrawn => held.withdraw(),
            _ => held.keep(),
        }
    }

    /// Closes the challenge and makes its work pending again. A later commit writes both to the
    /// disk.
    fn end_challenge(&self, held: HeldLease<&Self>, token: &ChallengeToken, strike: bool) {
        // Stored before the lease ends: in between, a token from an earlier boot could be adopted
        // again.
        self.refuse_later(Refuse {
            id: *token.id.as_bytes(),
            expires_ms: token.expires_at.0,
            client: *token.client.as_bytes(),
            strike,
            at_ms: self.now_ms(),
        });
        held.give_back();
    }
}

/// Returns whether a range overlaps a group of votes without being equal to it: a group is issued
/// whole or not at all.
fn splits_group(votes: &[(u64, QuorumRow)], range: &AlignedRange) -> bool {
    votes.iter().any(|(start, row)| {
        let end = range_end(*start, row.order);
        let overlaps = *start < range.end() && range.start() < end;
        overlaps && (*start, row.order) != (range.start(), range.order())
    })
}
