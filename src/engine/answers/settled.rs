//! What follows in memory from the fate of an answer: from its commit, or from its refusal.

use std::sync::Arc;

use crate::policy::lease::Claim;
use crate::policy::quorum::Voter;
use crate::protocol::{ChallengeToken, ClientDigest};
use crate::store::{Outcome, Refuse};

use super::held::HeldLease;
use super::verdict::Follows;
use crate::engine::backlog::damaged;
use crate::engine::clients::difficulty;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::engine::writer::job::Fate;

/// Number of refused answers to one challenge, with the right token from the right client, that
/// close it.
const REFUSALS_MAX: u32 = 8;

/// Updates the memory after the commit of an answer.
pub(in crate::engine) fn after_settle(core: &Core, held: HeldLease<Arc<Core>>, client: &ClientDigest, fate: &Fate) {
    if let Fate::Stored(outcomes) = fate
        && matches!(outcomes.first(), Some(Outcome::Settled { .. } | Outcome::Voted))
    {
        difficulty::note_completed(core, client);
    }
    match fate {
        Fate::Stored(outcomes) => match outcomes.first() {
            Some(Outcome::Settled { first_leaf, leaves_complete, interior_complete, .. }) => {
                let more = *leaves_complete || *interior_complete || held.claim().is_interior();
                if held.end(|queue, lease| queue.settled(lease, *first_leaf)).is_some() && more {
                    core.background.wake();
                }
            }
            // Its leaves are pending still: another client gets them.
            Some(Outcome::Voted) => {
                if held.end(|queue, lease| queue.voted(lease)).is_some() {
                    core.background.wake();
                }
            }
            // A precondition did not hold: the work is done or gone.
            _ => held.withdraw(),
        },
        Fate::NotStored => held.keep(),
        // Its own client's row or the tree's: after a look another client may get the unit.
        Fate::RowDamaged(what) => {
            if let Claim::Leaves { tree, range } = held.claim() {
                damaged::block_later(core, tree, &range, what);
            }
            held.withdraw();
        }
        // The outcome is unknown: the lease stays pinned until the store has been read again.
        Fate::Unknown => held.leave(),
    }
}

/// Updates the memory after a durable answer.
pub(in crate::engine) fn follow(core: &Core, follows: Follows, fate: &Fate) {
    let Fate::Stored(outcomes) = fate else { return };
    if !matches!(outcomes.first(), Some(Outcome::Settled { .. } | Outcome::Voted)) {
        return;
    }
    note_liars(core, &follows.liars);
    if !follows.damaged.is_empty() {
        // Not reported here, on the writer's thread: a subscriber may ingest the damaged block
        // again.
        follows.damaged.into_iter().for_each(|event| core.events.later(event));
        core.background.wake();
    }
}

/// Counts wrong answers of clients caught in a lie after their request had been admitted.
pub(in crate::engine) fn note_liars(core: &Core, liars: &[Voter]) {
    for liar in liars {
        difficulty::note_wrong(core, &liar.client);
        core.clients.heightened.lock().lied(liar.network, core.time.now_ms());
    }
    if !liars.is_empty() {
        core.background.wake();
    }
}

/// Updates the lease after a refusal.
pub(in crate::engine) fn after_refusal(
    core: &Core,
    held: HeldLease<&Core>,
    token: &ChallengeToken,
    error: &SubmitError,
) {
    match error {
        SubmitError::WrongResult { .. } => {
            difficulty::note_wrong(core, &token.client);
            end_challenge(core, held, token, true);
        }
        SubmitError::Malformed(_) if held.refusals() + 1 >= REFUSALS_MAX => end_challenge(core, held, token, false),
        SubmitError::Malformed(_) => {
            held.refuse();
        }
        SubmitError::Withdrawn => held.withdraw(),
        _ => held.keep(),
    }
}

/// Closes the challenge and makes its work pending again. A later commit writes both to the
/// disk.
fn end_challenge(core: &Core, held: HeldLease<&Core>, token: &ChallengeToken, strike: bool) {
    // Stored before the lease ends: in between, a token from an earlier boot could be adopted
    // again.
    core.refused.push(Refuse {
        id: token.id,
        expires_ms: token.expires_at.0,
        client: token.client,
        strike,
        at_ms: core.time.now_ms(),
    });
    held.give_back();
}
