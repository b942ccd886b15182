//! Judges answers and commits the right ones. Order of judgement: sizes and encoding, MAC, store,
//! purpose, expiry, client, policy, lease and consumed, floor, well-formed result, verification,
//! commit.

use crate::policy::calibration::Observation;
use crate::policy::lease::Claim;
use crate::policy::ready::wanted;
use crate::protocol::{DifficultyTier, MicroJoules, WorkId, WorkResult};
use crate::store::{Command, Outcome, Refused, Settle};

use super::held::HeldLease;
use super::token::Inspected;
use super::verdict::{Follows, Judged};
use crate::engine::answers::adopt;
use crate::engine::answers::compare;
use crate::engine::answers::settled;
use crate::engine::answers::token;
use crate::engine::backlog::damaged;
use crate::engine::clients::response_times;
use crate::engine::config::AwardBasis;
use crate::engine::core::Core;
use crate::engine::error::{SubmitError, WriteError};
use crate::engine::for_gate::ForGate;
use crate::engine::handle::PouwEngine;
#[cfg(feature = "testing")]
use crate::engine::mistake::Mistake;
use crate::engine::request::{Accepted, Answer};
use crate::engine::writer::job::Job;
use crate::engine::writer::reply::oneshot;

/// An answer found right, waiting for its commit.
struct Verified {
    settle: Settle,
    follows: Follows,
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
                let inspected = inspected.from_network(answer.network);
                self.for_gate().submit_inspected(&inspected, Some(answer.token), answer.result, done)
            }
        }
    }
}

impl ForGate<'_> {
    /// Judges the result for a token that has been inspected, as [`PouwEngine::submit_with`] does;
    /// `named` is the token's text, if the result may name another one.
    pub fn submit_inspected(
        &self,
        inspected: &Inspected,
        named: Option<&str>,
        result: &WorkResult,
        done: impl FnOnce(Result<Accepted, SubmitError>) + Send + 'static,
    ) {
        let core = self.core();
        match judge(core, inspected, named, result) {
            Err(error) => done(Err(error)),
            Ok((Verified { settle, follows }, held)) => {
                let (id, client) = (settle.id, settle.client);
                let (award, nodes) = (MicroJoules(settle.award), u64::from(settle.nodes));
                let seen = Observation::of(&inspected.opened, settle.at_ms);
                let held = held.until_commit(core.clone());
                let effect_core = core.clone();
                let job = Job::new(
                    vec![Command::Settle(settle)],
                    move |fate| {
                        response_times::observe(&effect_core, seen, fate);
                        settled::after_settle(&effect_core, held, &client, fate);
                        settled::follow(&effect_core, follows, fate);
                    },
                    move |written| done(verdict(written, id, award, nodes)),
                );
                if let Err((job, error)) = core.writer.write_soon(job) {
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
        if let Err((job, error)) = self.core().writer.write_soon(job) {
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

/// Does all checks that come before the commit. On success the lease is held, pinned.
fn judge<'c>(
    core: &'c Core,
    inspected: &Inspected,
    named: Option<&str>,
    result: &WorkResult,
) -> Result<(Verified, HeldLease<&'c Core>), SubmitError> {
    token::still_good(core, inspected)?;
    let token = &inspected.opened;
    let held = adopt::pin(core, token)?;
    let judged = match (judge_pinned(core, inspected, named, result, held.claim()), held.claim()) {
        // A row of the unit is damaged: no client can answer it now.
        (Err(SubmitError::Store(error)), Claim::Leaves { tree, range }) => {
            Err(damaged::row_at_fault(core, tree, &range, error))
        }
        (judged, _) => judged,
    };
    let error = match judged {
        Ok(verified) => return Ok((verified, held)),
        Err(error) => error,
    };
    if matches!(error, SubmitError::WrongResult { .. }) {
        let network = core.keys.network_of(&inspected.network);
        core.clients.heightened.lock().lied(network, core.time.now_ms());
    }
    settled::after_refusal(core, held, token, &error);
    if matches!(error, SubmitError::Withdrawn) {
        // No lock is held here: what was found damaged is reported at once.
        core.events.report_stored();
    }
    Err(error)
}

fn judge_pinned(
    core: &Core,
    inspected: &Inspected,
    named: Option<&str>,
    result: &WorkResult,
    claim: Claim,
) -> Result<Verified, SubmitError> {
    let token = &inspected.opened;
    let now = token::check_floor(core, token)?;
    #[cfg(feature = "testing")]
    let claim = claim_from_body(core, result, claim);
    compare::check_names(core, token, named, result)?;
    let Judged { kind, nodes, leaves, accepted, audit, referee, follows } =
        compare::verify(core, inspected, result, claim)?;
    Ok(Verified {
        settle: Settle {
            id: token.id,
            expires_ms: token.expires_at.0,
            client: token.client,
            handle: token.tree,
            kind,
            tier: token.tier as u8,
            nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
            award: award(core, token.tier, nodes, leaves),
            data_digest: token.data_digest,
            accepted,
            audit,
            referee,
            at_ms: now,
            #[cfg(feature = "testing")]
            skip_consumed_check: core.config.makes(Mistake::SkipConsumedCheck),
            #[cfg(feature = "testing")]
            skip_leaf_check: core.config.makes(Mistake::SkipLeafCheck),
        },
        follows,
    })
}

/// The claim to judge: the lease's, or with [`Mistake::UnitFromBody`] the one the body names.
#[cfg(feature = "testing")]
fn claim_from_body(core: &Core, result: &WorkResult, claim: Claim) -> Claim {
    if !core.config.makes(Mistake::UnitFromBody) {
        return claim;
    }
    core.queue.lock().leases.find(result.work_unit_id).map_or(claim, |lease| lease.claim)
}

/// Returns what a right answer earns.
fn award(core: &Core, tier: DifficultyTier, nodes: u64, leaves: u64) -> u64 {
    let settings = &core.config.settings;
    if !settings.award_joule_credits {
        return 0;
    }
    let met = leaves >= 1 << wanted(tier).last().copied().unwrap_or(0);
    let hashes = match settings.award_basis {
        AwardBasis::TierAverage if met => [1, 10, 40][tier as usize],
        _ => nodes,
    };
    hashes.saturating_mul(settings.micro_joules_per_hash)
}
