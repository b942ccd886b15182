//! Requests with a token: the engine judges the answer, in the order of the wire protocol.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Accepted, SubmitError, bump};
use crate::gate::event::GateEvent;
use crate::gate::memory::jobs::Job;
use crate::gate::memory::shared_window::Admission;
use crate::gate::reply::decision::{AcceptedWork, Decision};
use crate::gate::reply::problem::detail;
use crate::gate::reply::refusal::{NewRefusal, pass};
use crate::gate::request::facts::Facts;
use crate::gate::request::presented::{Presented, ResultText};
use crate::gate::state::Gate;
use crate::protocol::{DifficultyTier, Malformed, MicroJoules, Reason, WorkId, WorkResult};

use super::challenge::Because;
use super::token::{NotOpened, OpenedToken};

impl Gate {
    /// Judges an answer on this thread, up to the commit. If the decision needs no commit, `done`
    /// is called here. Otherwise the engine's writer passes a job that calls it to `hand_over`,
    /// since the writer must not wait for the host. A `token` that is open already is not opened
    /// again.
    pub(super) fn judge(
        &self,
        facts: Arc<Facts>,
        token: Option<Arc<OpenedToken>>,
        hand_over: impl FnOnce(Job) + Send + 'static,
        done: impl FnOnce(Decision) + Send + 'static,
    ) {
        let started = Instant::now();
        let Some(Presented { token: text, result }) = facts.answer.as_ref() else {
            return done(self.plain(&facts, None));
        };
        let token = match token.map_or_else(|| self.open_token(&facts, text), Ok) {
            Ok(token) => token,
            Err(not) => return done(self.not_opened(&facts, &not)),
        };
        let Some(result) = result else {
            return done(self.asked_again(&facts, &token));
        };
        // A result of the compact form names no token: that of the headers is not copied into it.
        let named = matches!(result, ResultText::Json(_)).then_some(text.as_str());
        match read(result, named.unwrap_or_default(), token.id()) {
            Err(malformed) => done(match self.inner.engine.for_gate().refuse_malformed(&token.inspected) {
                Ok(()) => self.malformed(&facts, Some(token.id()), &malformed),
                Err(error) => self.unanswered(&facts, Some(&token), &error),
            }),
            Ok(result) => {
                let (gate, opened, presented) = (self.clone(), token.clone(), facts.clone());
                self.inner.engine.for_gate().submit_inspected(&token.inspected, named, &result, move |verdict| {
                    gate.count_commit(&verdict);
                    hand_over(Box::new(move || {
                        gate.report_changes();
                        done(match verdict {
                            Ok(accepted) => gate.accepted(&presented, opened.tier(), accepted, started),
                            Err(error) => gate.unanswered(&presented, Some(&opened), &error),
                        });
                    }));
                });
            }
        }
    }

    fn accepted(&self, facts: &Facts, tier: DifficultyTier, accepted: Accepted, started: Instant) -> Decision {
        let now_ms = self.inner.engine.now().0;
        let Accepted { id, award, nodes, .. } = accepted;
        let limit = self.inner.limits.of(facts.policy);
        self.inner.challenges.paid(&facts.client, facts.prefix, id, now_ms);
        let latency = started.elapsed();
        metrics::histogram!("pouw_verification_seconds").record(latency.as_secs_f64());
        let counters = &self.inner.tallies;
        bump(&counters.completed, 1);
        bump(&counters.awarded, award.0);
        bump(&counters.hashes, nodes);
        let client = &facts.client;
        self.inner.events.emit(&GateEvent::WorkVerified {
            client: client.clone(),
            work_unit_id: id,
            verification_latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        });
        if award > MicroJoules(0) {
            self.inner.events.emit(&GateEvent::JouleCreditAwarded {
                client: client.clone(),
                work_unit_id: id,
                micro_joules: award,
                difficulty: tier,
            });
        }
        let bought = self.buy_pass(limit, facts, now_ms);
        pass(limit, self.standing(limit, facts), Some(AcceptedWork { id, award }), bought)
    }

    /// Decides on a request whose token is not good.
    pub(super) fn not_opened(&self, facts: &Facts, not: &NotOpened) -> Decision {
        self.unanswered(facts, not.foreign.as_deref(), &not.error)
    }

    /// Decides on an answer that was not accepted.
    pub(super) fn unanswered(&self, facts: &Facts, token: Option<&OpenedToken>, error: &SubmitError) -> Decision {
        let id = token.map(OpenedToken::id);
        let reason = error.reason();
        match error {
            SubmitError::TooEarly { wait_ms } => return self.too_early(facts, token, *wait_ms),
            // A failed commit was counted when the engine reported it.
            SubmitError::NotStored(_)
            | SubmitError::Unconfirmed { .. }
            | SubmitError::InFlight
            | SubmitError::Busy
            | SubmitError::Closed => return self.try_again(facts),
            SubmitError::Store(_) => {
                self.store_failed(self.inner.engine.now().0);
                return self.try_again(facts);
            }
            SubmitError::Malformed(malformed) => return self.malformed(facts, id, malformed),
            _ => {}
        }
        if let Some(id) = id {
            self.inner.challenges.closed(&facts.client, id);
        }
        if let Some(Presented { result: Some(ResultText::Unfinished(malformed)), .. }) = &facts.answer
            && matches!(reason, Reason::TokenExpired | Reason::Withdrawn | Reason::ClientMismatch)
        {
            // Without its token the request might be admitted, and the service would get an
            // incomplete body.
            return self.malformed(facts, id, malformed);
        }
        self.inner.events.emit(&GateEvent::WorkFailed { client: facts.client.clone(), work_unit_id: id, reason });
        match reason {
            Reason::TokenExpired => self.plain(facts, Some(reason.into())),
            Reason::Withdrawn => {
                self.plain(facts, Some(Because { reason, replaces: token.map(OpenedToken::withdrawn) }))
            }
            // The client's address may have changed since. The floor of a name is no address's.
            Reason::ClientMismatch => {
                let token = token.filter(|_| facts.client.is_address());
                let replaces = token.and_then(|token| token.moved(self));
                self.plain(facts, Some(Because { reason, replaces }))
            }
            Reason::WrongResult => {
                self.failed(facts);
                let limit = self.inner.limits.of(facts.policy);
                let quota = self.counted(limit, facts);
                self.challenge_or_short(limit, facts, quota, Some(Reason::WrongResult.into()))
            }
            Reason::Malformed => self.refused(facts, reason, &error.to_string()),
            _ => {
                // A person with two windows open is not an attacker.
                if !facts.by_cookie() {
                    self.failed(facts);
                }
                self.refused(facts, reason, detail(reason))
            }
        }
    }

    /// Counts a failure of this client and emits an alert at the threshold.
    fn failed(&self, facts: &Facts) {
        let threshold = self.inner.settings.security_alert_threshold;
        let now_ms = self.inner.engine.now().0;
        if let Some(consecutive_failures) = self.inner.challenges.failed(&facts.client, threshold, now_ms) {
            bump(&self.inner.tallies.alerts, 1);
            let client = facts.client.clone();
            self.inner.events.emit(&GateEvent::SecurityAlert { client, consecutive_failures, threshold });
        }
    }

    /// Refuses a malformed token or result; the token is not used up.
    pub(in crate::gate) fn malformed(&self, facts: &Facts, id: Option<WorkId>, malformed: &Malformed) -> Decision {
        let reason = Reason::Malformed;
        self.inner.events.emit(&GateEvent::WorkFailed { client: facts.client.clone(), work_unit_id: id, reason });
        self.refused(facts, reason, &malformed.to_string())
    }

    /// Refuses a request that waiting does not help. It counts as a request.
    pub(super) fn refused(&self, facts: &Facts, reason: Reason, detail: &str) -> Decision {
        if facts.by_cookie() {
            return self.plain(facts, None);
        }
        let limit = self.inner.limits.of(facts.policy);
        let quota = self.counted(limit, facts);
        self.inner.tallies.refused(reason);
        let refusal = NewRefusal { limit, quota, reason, detail, retry_ms: None, token: None, unit: None };
        refusal.refuse(None)
    }

    /// Decides on a token without a result. A used or withdrawn one is refused. With an open one
    /// the window decides on the request; over the limit, the challenge is sent again.
    fn asked_again(&self, facts: &Facts, token: &OpenedToken) -> Decision {
        let open = self.inner.engine.for_gate().check_open(&token.inspected);
        // If this cannot be checked now, a request under the limit is still admitted.
        if let Err(error) = &open
            && error.reason() != Reason::TryAgain
        {
            return self.unanswered(facts, Some(token), error);
        }
        let limit = self.inner.limits.of(facts.policy);
        match self.admission(limit, facts) {
            Some(Admission::Admitted(quota)) => pass(limit, quota, None, None),
            Some(Admission::Over(quota)) => {
                if let Some(passed) = self.passed_over(limit, facts, quota) {
                    return passed;
                }
                match open.and_then(|()| self.unit_again(facts, token)) {
                    Ok(sent) => {
                        // To ask for the unit once more is part of solving it, to go on asking is
                        // not.
                        if sent.is_none() {
                            self.note_refused(facts, quota);
                        }
                        self.with_token(facts, Reason::WorkRequired, None, sent)
                    }
                    Err(error) => self.unanswered(facts, Some(token), &error),
                }
            }
            otherwise => self.by_admission(limit, facts, otherwise, None),
        }
    }
}

fn read(result: &ResultText, token: &str, id: WorkId) -> Result<WorkResult, Malformed> {
    match result {
        ResultText::Json(json) => WorkResult::from_json_beside(json, token, id),
        ResultText::Compact(text) => {
            let result = WorkResult::from_compact(text, token)?;
            if result.work_unit_id == id {
                return Ok(result);
            }
            let found = result.work_unit_id.to_string();
            Err(Malformed::new("workUnitId", format!("the token's unit {id}"), found))
        }
        ResultText::Broken(malformed) | ResultText::Unfinished(malformed) => Err(malformed.clone()),
    }
}
