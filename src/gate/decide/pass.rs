//! Passes: an answer that buys more than one request, and the requests that it bought.

use crate::engine::{bump, whole_ms};
use crate::gate::config::choices::AnswerBuys;
use crate::gate::memory::limit::Limit;
use crate::gate::reply::bought::{Bought, Carrier};
use crate::gate::reply::decision::Decision;
use crate::gate::reply::refusal::pass;
use crate::gate::request::facts::Facts;
use crate::gate::state::Gate;
use crate::policy::window::Quota;
use crate::store::random;

impl Gate {
    /// Returns the pass that an accepted answer buys beside its own request; `None` if it buys
    /// nothing more, or there is no room for a pass.
    pub(super) fn buy_pass(&self, limit: &Limit, facts: &Facts, now_ms: u64) -> Option<Bought> {
        let inner = &*self.inner;
        let AnswerBuys { requests, time } =
            inner.settings.answer_buys_of(&limit.policy, facts.navigation.is_some() && facts.cookie.used);
        let more = requests.checked_sub(1).filter(|more| *more > 0)?;
        // Without random bytes there is no pass; the request itself is admitted.
        let name = random().ok()?;
        let left = inner.passes.make(name, (&facts.client, facts.policy), (more, whole_ms(time)), now_ms)?;
        bump(&inner.tallies.passes, 1);
        let carrier = match facts.cookie {
            cookie if cookie.used => Carrier::NewCookie { secure: cookie.secure },
            _ => Carrier::Header,
        };
        Some(Bought { left, carrier })
    }

    /// Admits a request over its limit by a pass of its client, inside the ceilings.
    pub(super) fn by_pass(&self, limit: &Limit, facts: &Facts, quota: Quota) -> Option<Decision> {
        let inner = &*self.inner;
        if facts.passes.is_empty() {
            return None;
        }
        let now_ms = inner.engine.now().0;
        let (client, prefix) = (&facts.client, facts.prefix);
        let taken = facts.passes.iter().find_map(|presented| {
            let admitted = || inner.challenges.paid_by_pass(client, prefix, now_ms);
            let left = inner.passes.take(presented.id, (client, facts.policy), now_ms, admitted)?;
            let carrier = if presented.by_cookie { Carrier::OldCookie } else { Carrier::Header };
            Some(Bought { left, carrier })
        })?;
        bump(&inner.tallies.passed, 1);
        Some(pass(limit, quota, None, Some(taken)))
    }
}
