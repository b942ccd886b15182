//! Whether a client over its limit pays, waits, or keeps sending.
//!
//! The challenges that one client has open at the same time are one round. It begins with a
//! challenge, and takes others until that one expires. It ends when the last of them expires. It is
//! a violation if none was answered and the client did not wait either. The violation counts once,
//! with the client's next challenge.
//!
//! A client does not wait if it is refused again under the same policy although
//!
//! * it could have read an earlier `Retry-After`, which is not over yet, and no other one has come
//!   due: each refused request may come back once when its time is over, so several that wait side
//!   by side are no violation; or
//! * [`TOGETHER_MAX`] of its requests are waiting already, or [`WAITS_MAX`] under all policies
//!   together.

use crate::gate::request::facts::PolicyId;

/// Time within which no response can have been read: what is sent within it was sent together.
const TOGETHER_MS: u64 = 1_000;
/// Maximum number of requests of one client that wait side by side under one policy.
const TOGETHER_MAX: usize = 8;
/// Maximum number of waits remembered for one client. Above it the one that ends first is
/// forgotten; if it is not over, the client does not wait.
const WAITS_MAX: usize = 16;
/// Time for a request to come back after its wait is over.
const BACK_MS: u64 = 300_000;
/// Time for which a round that is over can still become a violation.
const KEPT_MS: u64 = 300_000;

/// The newest round of a client, and its requests that wait.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// When its first challenge expires, engine time; 0 before it.
    joins_ms: u64,
    /// When the last challenge that began before that expires.
    ends_ms: u64,
    is_answered: bool,
    is_impatient: bool,
    waits: Vec<Wait>,
    /// When the last of the waits is over, engine time.
    waits_ms: u64,
}

/// A refused request, in the time of windows.
#[derive(Debug, Clone, Copy)]
struct Wait {
    refused_ms: u64,
    until_ms: u64,
    policy: PolicyId,
}

impl Round {
    /// Notes that a request was refused at `now_ms`, and that a repetition is admitted at
    /// `until_ms`; both in the time of windows.
    pub(super) fn refused(&mut self, policy: PolicyId, now_ms: u64, until_ms: u64) {
        self.waits.retain(|wait| wait.until_ms.saturating_add(BACK_MS) > now_ms);
        let own = |wait: &&Wait| wait.policy == policy;
        let due = self.waits.iter().position(|wait| own(&wait) && wait.until_ms <= now_ms);
        match due {
            Some(at) => drop(self.waits.swap_remove(at)),
            None => {
                let read = |wait: &Wait| now_ms >= wait.refused_ms + TOGETHER_MS;
                let waiting = self.waits.iter().filter(own).count();
                self.is_impatient |= waiting >= TOGETHER_MAX || self.waits.iter().filter(own).any(read);
            }
        }
        if self.waits.len() >= WAITS_MAX
            && let Some(first) = (0..self.waits.len()).min_by_key(|at| self.waits[*at].until_ms)
        {
            // A client with more requests that wait than are remembered does not wait.
            self.is_impatient |= self.waits.swap_remove(first).until_ms > now_ms;
        }
        self.waits.push(Wait { refused_ms: now_ms, until_ms, policy });
    }

    /// Returns whether a challenge begun now would be a violation, because of the round before.
    pub(super) fn is_violation(&self, now_ms: u64) -> bool {
        self.ends_ms <= now_ms && self.is_pending(now_ms)
    }

    /// Returns whether this round may become a violation.
    pub(super) fn is_pending(&self, now_ms: u64) -> bool {
        let is_kept = self.ends_ms > 0 && self.ends_ms.saturating_add(KEPT_MS) > now_ms;
        is_kept && self.is_impatient && !self.is_answered
    }

    /// Notes that a request waits until `engine_ms`.
    pub(super) fn waits_until(&mut self, engine_ms: u64) {
        self.waits_ms = self.waits_ms.max(engine_ms);
    }

    /// Returns whether a request of the client still waits: what it does next may be impatient.
    pub(super) fn is_waiting(&self, now_ms: u64) -> bool {
        self.waits_ms > now_ms
    }

    /// Notes a new challenge, in engine time. Returns whether it is a violation.
    pub(super) fn challenged(&mut self, now_ms: u64, expires_ms: u64) -> bool {
        let is_violation = self.is_violation(now_ms);
        if self.ends_ms <= now_ms {
            (self.joins_ms, self.ends_ms) = (expires_ms, expires_ms);
            (self.is_answered, self.is_impatient) = (false, false);
        } else if self.joins_ms > now_ms {
            self.ends_ms = self.ends_ms.max(expires_ms);
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
    fn a_client_that_waits_or_pays_violates_nothing_and_one_that_does_neither_does_once() {
        let mut waits = begun();
        waits.refused(A, 9_000, 20_000);
        assert!(!waits.challenged(9_000, 69_000) && !waits.challenged(61_000, 121_000));

        let mut pays = begun();
        pays.refused(A, 5_000, 9_000);
        pays.answered();
        assert!(!pays.challenged(61_000, 121_000));

        let mut keeps_sending = begun();
        keeps_sending.refused(A, 5_000, 9_000);
        assert!(keeps_sending.challenged(61_000, 121_000));
        assert!(!keeps_sending.challenged(61_000, 121_000), "a round counts once");
        assert!(!keeps_sending.challenged(121_000, 181_000), "and after it the client waited");
    }

    #[test]
    fn a_round_ends_with_the_last_challenge_that_joined_it() {
        let joined = || {
            let mut round = begun();
            round.refused(A, 5_000, 9_000);
            assert!(!round.challenged(41_000, 101_000) && !round.challenged(60_999, 120_999));
            assert!(!round.challenged(61_000, 121_000), "the other two may still be answered");
            round
        };
        let mut pays = joined();
        pays.answered();
        assert!(!pays.challenged(120_999, 180_999));

        let mut keeps_sending = joined();
        assert!(!keeps_sending.challenged(120_998, 180_998), "what comes after the first expired joins nothing");
        assert!(keeps_sending.challenged(120_999, 180_999));
    }

    #[test]
    fn a_client_waits_until_its_last_request_may_come_back() {
        let mut round = begun();
        assert!(!round.is_waiting(0));
        round.waits_until(9_000);
        round.waits_until(8_000);
        assert!(round.is_waiting(8_999) && !round.is_waiting(9_000));
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
    fn each_request_that_waited_may_come_back_and_no_other() {
        let mut round = begun();
        round.refused(A, 1_200, 9_000);
        round.refused(A, 1_900, 9_500);
        // One gets the slot. The other two come back, one of them late, and are refused again.
        round.refused(A, 9_001, 18_000);
        round.refused(A, 11_500, 18_500);
        assert!(!round.is_violation(61_000));
        round.refused(A, 11_600, 19_000);
        assert!(!round.is_violation(61_000), "the third of them");
        round.refused(A, 11_700, 19_500);
        assert!(round.is_violation(61_000), "one more has nothing to wait for");
    }

    #[test]
    fn a_flood_is_impatient_however_soon_slots_free() {
        let mut round = begun();
        for at in 0..TOGETHER_MAX as u64 {
            assert!(!round.is_violation(61_000), "{at}");
            round.refused(A, 20_000 + at, 20_600);
        }
        round.refused(A, 20_020, 20_600);
        assert!(round.is_violation(61_000));
    }

    #[test]
    fn each_policy_has_its_own_waits_and_alternating_between_them_hides_nothing() {
        let mut round = begun();
        round.refused(B, 5_000, 30_000);
        assert!(!round.is_violation(61_000), "under the other policy it is the first refusal");
        round.refused(A, 5_500, 9_000);
        assert!(round.is_violation(61_000));

        let mut many = begun();
        (1..WAITS_MAX as u16).for_each(|at| many.refused(PolicyId(at), 1_000 + u64::from(at), 9_000));
        assert!(!many.is_violation(61_000), "one request under each policy");
        many.refused(PolicyId(99), 1_100, 9_000);
        assert!(many.is_violation(61_000), "one more than are remembered");
        assert_eq!(many.waits.len(), WAITS_MAX);
        many.refused(A, 9_000 + BACK_MS, 80_000);
        assert_eq!(many.waits.len(), 1, "what is long over is forgotten");
    }

    #[test]
    fn what_a_client_did_not_wait_for_is_forgotten_after_five_minutes() {
        let mut round = begun();
        round.refused(A, 5_000, 9_000);
        assert!(round.is_pending(2_000) && round.is_violation(61_000 + KEPT_MS - 1));
        assert!(!round.is_pending(61_000 + KEPT_MS) && !round.is_violation(61_000 + KEPT_MS));
    }
}
