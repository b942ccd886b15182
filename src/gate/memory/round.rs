//! Whether a client over its limit pays, waits, or keeps sending.
//!
//! The challenges that one client has open at the same time are one round. It begins with a
//! challenge and ends when that challenge expires. It is a violation if none of them was answered
//! and the client did not wait either: it sent a request before the time in an earlier
//! `Retry-After`, and not together with the refused one. The violation counts once, with the
//! client's next challenge.

use crate::gate::request::facts::PolicyId;

/// Requests within this time of the first refused one were sent together with it: no response
/// could have reached the client before.
const TOGETHER_MS: u64 = 1_000;
/// Maximum number of policies whose waiting times are remembered for one client. A request beyond
/// it counts as one that did not wait.
const WAITS_MAX: usize = 8;

/// The newest round of a client, and the times until which it was asked to wait.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// When it ends, engine time; 0 before the first challenge.
    ends_ms: u64,
    is_answered: bool,
    is_impatient: bool,
    waits: Vec<Wait>,
}

/// A series of refusals under one policy, in the time of windows.
#[derive(Debug, Clone, Copy)]
struct Wait {
    policy: PolicyId,
    since_ms: u64,
    until_ms: u64,
}

impl Round {
    /// Notes that a request was refused at `now_ms`, and that a repetition is admitted at
    /// `until_ms`; both in the time of windows.
    pub(super) fn refused(&mut self, policy: PolicyId, now_ms: u64, until_ms: u64) {
        self.waits.retain(|wait| wait.until_ms > now_ms);
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.policy == policy) {
            self.is_impatient |= now_ms >= wait.since_ms + TOGETHER_MS;
            wait.until_ms = until_ms;
        } else if self.waits.len() < WAITS_MAX {
            self.waits.push(Wait { policy, since_ms: now_ms, until_ms });
        } else {
            self.is_impatient = true;
        }
    }

    /// Returns whether a challenge begun now would be a violation, because of the round before.
    pub(super) fn is_violation(&self, now_ms: u64) -> bool {
        self.ends_ms > 0 && self.ends_ms <= now_ms && self.is_impatient && !self.is_answered
    }

    /// Notes a new challenge, in engine time. Returns whether it is a violation.
    pub(super) fn challenged(&mut self, now_ms: u64, expires_ms: u64) -> bool {
        let is_violation = self.is_violation(now_ms);
        if self.ends_ms <= now_ms {
            // A client that goes on sending does not wait, whichever round it began in.
            (self.ends_ms, self.is_answered) = (expires_ms, false);
            self.is_impatient = false;
        }
        is_violation
    }

    /// Notes an accepted answer.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.waits.capacity() * size_of::<Wait>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PolicyId = PolicyId(0);
    const B: PolicyId = PolicyId(1);

    /// A round that began at 1 000 ms and ends at 61 000 ms; a slot frees at 9 000 ms.
    fn begun() -> Round {
        let mut round = Round::default();
        round.refused(A, 1_000, 9_000);
        assert!(!round.challenged(1_000, 61_000), "the first challenge is no violation");
        round
    }

    #[test]
    fn who_waits_or_pays_violates_nothing_and_who_does_neither_does_once() {
        let mut waits = begun();
        waits.refused(A, 9_000, 20_000);
        assert!(!waits.challenged(9_000, 69_000) && !waits.challenged(61_000, 121_000));

        let mut pays = begun();
        pays.refused(A, 5_000, 9_000);
        pays.answered();
        assert!(!pays.challenged(61_000, 121_000));

        let mut keeps_sending = begun();
        keeps_sending.refused(A, 5_000, 9_000);
        assert!(!keeps_sending.challenged(60_999, 120_999), "it joins a round that is open");
        assert!(keeps_sending.challenged(61_000, 121_000));
        assert!(!keeps_sending.challenged(61_000, 121_000), "a round counts once");
        assert!(!keeps_sending.challenged(121_000, 181_000), "and after it the client waited");
    }

    #[test]
    fn requests_sent_together_are_not_impatient() {
        let mut round = begun();
        round.refused(A, 1_999, 9_000);
        assert!(!round.is_violation(61_000));
        round.refused(A, 2_000, 9_000);
        assert!(round.is_violation(61_000) && !round.is_violation(60_999));
    }

    #[test]
    fn each_policy_has_its_own_wait_and_alternating_between_them_hides_nothing() {
        let mut round = begun();
        round.refused(B, 5_000, 30_000);
        assert!(!round.is_violation(61_000), "under the other policy it is the first refusal");
        round.refused(A, 5_500, 9_000);
        assert!(round.is_violation(61_000));

        let mut many = begun();
        (1..WAITS_MAX as u16).for_each(|at| many.refused(PolicyId(at), 1_000, 9_000));
        assert!(!many.is_violation(61_000) && many.waits.len() == WAITS_MAX);
        many.refused(PolicyId(99), 1_000, 9_000);
        assert!(many.is_violation(61_000) && many.waits.len() == WAITS_MAX);
        many.refused(A, 9_000, 20_000);
        assert_eq!(many.waits.len(), 1, "what is over is forgotten");
    }
}
