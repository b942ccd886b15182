//! The lease of a token. A restart forgets leases, so a token from before it is adopted as a lease
//! again: rule L, see [`policy::lease`](crate::policy::lease).

use crate::merkle::{AlignedRange, Shape};
use crate::policy::lease::{Claim, Lease, LeaseRefusal, Pin};
use crate::protocol::{ChallengeToken, TokenPurpose};
use crate::store::rows::{QuorumRow, TreeState, range_end};

use super::held::{self, HeldLease};
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::engine::tallies::bump;

/// Pins the lease of a token. Rule L: a token is honoured only through a lease, its own or an
/// adopted one.
pub(in crate::engine) fn pin<'c>(core: &'c Core, token: &ChallengeToken) -> Result<HeldLease<&'c Core>, SubmitError> {
    // A statement of its own, so that the lock is not held while the store is read.
    let pin = core.queue.lock().leases.pin(token.id);
    match pin {
        Pin::Pinned(claim) => return Ok(held::hold_pinned(core, token.id, claim)),
        Pin::Busy => return Err(SubmitError::InFlight),
        Pin::Unknown => {}
    }
    if token.boot == core.identity.boot {
        return Err(no_lease(core, token)?);
    }
    adopt(core, token)
}

/// Returns why a token has no lease: it was used, or another client got its work.
pub(in crate::engine) fn no_lease(core: &Core, token: &ChallengeToken) -> Result<SubmitError, SubmitError> {
    let id = token.id;
    let used = core.refused.contains(&id) || core.store.read()?.consumed(token.expires_at.0, id)?.is_some();
    if !used {
        bump(&core.tallies.withdrawn, 1);
    }
    Ok(if used { SubmitError::Replayed } else { SubmitError::Withdrawn })
}

/// Makes a lease of a token from an earlier boot, if none of its work is done or leased.
pub(in crate::engine) fn adopt<'c>(core: &'c Core, token: &ChallengeToken) -> Result<HeldLease<&'c Core>, SubmitError> {
    let id = token.id;
    let reader = core.store.read()?;
    if core.refused.contains(&id) || reader.consumed(token.expires_at.0, id)?.is_some() {
        return Err(SubmitError::Replayed);
    }
    let claim = match token.purpose {
        TokenPurpose::Synthetic => Claim::Synthetic,
        TokenPurpose::Work => {
            let (tree, row) = reader.tree_of_handle(token.tree)?.ok_or(SubmitError::Withdrawn)?;
            let shape = Shape::new(row.leaves).map_err(|_| SubmitError::Withdrawn)?;
            let range = AlignedRange::new(shape, token.start, token.order).map_err(|_| SubmitError::Withdrawn)?;
            let votes = reader.quorums_of_tile(tree, range.tile())?;
            if row.state != TreeState::Active || !reader.range_pending(tree, &range)? || splits_group(&votes, &range) {
                return Err(SubmitError::Withdrawn);
            }
            Claim::Leaves { tree, range }
        }
        TokenPurpose::Interior => {
            let (tree, row) = reader.tree_of_handle(token.tree)?.ok_or(SubmitError::Withdrawn)?;
            let (level, index) = (token.order, token.start);
            if row.state != TreeState::Folding || reader.interior(tree, level, index)?.is_some() {
                return Err(SubmitError::Withdrawn);
            }
            Claim::Interior { tree, level, index }
        }
    };
    drop(reader);
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::NoAdoptionCheck) {
        return Ok(held::hold_pinned(core, token.id, claim));
    }
    let held = hold_adopted(core, token, claim)?;
    if let Claim::Leaves { tree, range } = claim
        && splits_group(&core.store.read()?.quorums_of_tile(tree, range.tile())?, &range)
    {
        // Voted on, in part, since the first look.
        return Err(SubmitError::Withdrawn);
    }
    if core.refused.contains(&id) {
        // Judged wrong by another copy between the first look and the lease.
        return Err(SubmitError::Replayed);
    }
    Ok(held.of_token())
}

/// Inserts the lease of a token from an earlier boot. Its work is not ready from then on.
fn hold_adopted<'c>(core: &'c Core, token: &ChallengeToken, claim: Claim) -> Result<HeldLease<&'c Core>, SubmitError> {
    let lease = Lease { id: token.id, claim, expires_ms: token.expires_at.0, pinned: true, refusals: 0 };
    let mut queue = core.queue.lock();
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
    Ok(held::hold_new(core, &lease))
}

/// Returns the work of an open challenge. Rule L: a token from an earlier boot is adopted when
/// it arrives, with a result or without.
pub(in crate::engine) fn open_claim(core: &Core, token: &ChallengeToken) -> Result<Claim, SubmitError> {
    // A statement of its own, so that the lock is not held while `no_lease` reads the store.
    let claim = core.queue.lock().leases.find(token.id).map(|lease| lease.claim);
    match claim {
        Some(claim) => Ok(claim),
        None if token.boot == core.identity.boot => Err(no_lease(core, token)?),
        None => {
            let held = adopt(core, token)?;
            let claim = held.claim();
            held.keep();
            Ok(claim)
        }
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
