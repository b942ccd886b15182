//! The self-checks of a gate: requests and responses that show a mistake in how it is set up.

use std::net::IpAddr;

use crate::gate::event::GateEvent;
use crate::gate::reply::decision::Refusal;
use crate::gate::reply::refusal::misconfigured;
use crate::gate::request::client::ClientKey;
use crate::gate::request::head::{Caller, Head};
use crate::gate::request::identity::{Identity, is_trusted};
use crate::gate::self_check::SelfCheck;
use crate::gate::state::Gate;
use crate::protocol::Reason;

/// Headers in which proxies send the client's address.
const FORWARDING: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"];

impl Gate {
    /// Looks at a request and the client it counts for. Returns the refusal of strict mode.
    #[cold]
    pub(in crate::gate) fn check_request(
        &self,
        head: &dyn Head,
        caller: &Caller<'_>,
        identity: &Identity,
    ) -> Option<Refusal> {
        let checks = &self.inner.checks;
        let found = match caller.peer {
            _ if !identity.by_address => None,
            None => Some(SelfCheck::NoPeer),
            Some(peer) => {
                let shows = |check| checks.is_open(check) && self.shows(check, head, peer, &identity.client);
                [SelfCheck::UnnamedProxy, SelfCheck::OneClient].into_iter().find(|check| shows(*check))
            }
        };
        if checks.look_at_requests() {
            checks.request_seen();
        }
        let refusal = self.report_misconfigured(found?)?;
        self.inner.tallies.requests.bump();
        Some(refusal)
    }

    fn shows(&self, check: SelfCheck, head: &dyn Head, peer: IpAddr, client: &ClientKey) -> bool {
        if check == SelfCheck::OneClient {
            let mut agent = None;
            head.header("user-agent", &mut |value| agent = Some(value.to_vec()));
            return self.inner.checks.is_one_of_many(client, agent.as_deref());
        }
        let settings = &self.inner.settings;
        let mut forwards = false;
        let mut look = |name| head.header(name, &mut |_| forwards = true);
        if is_private(peer) && !is_trusted(peer, &settings.trusted_proxies) {
            FORWARDING.into_iter().for_each(&mut look);
            if !settings.client_ip_header.is_empty() {
                look(&settings.client_ip_header);
            }
        }
        forwards
    }

    /// Reports the first finding of a check. Returns the refusal of strict mode.
    pub(super) fn report_misconfigured(&self, check: SelfCheck) -> Option<Refusal> {
        let inner = &*self.inner;
        if inner.checks.record(check) {
            inner.events.emit(&GateEvent::Misconfigured { check, advice: check.advice() });
        }
        inner.checks.strict.then(|| {
            inner.tallies.refused(Reason::Misconfigured);
            misconfigured(check)
        })
    }

    /// Returns a check for the response of the service to a request that passed; `None` when the
    /// checks of responses have ended. `body_read` is whether the gate read the body
    /// ([`Step::Body`](crate::Step::Body)). Adapters call this; a host that calls
    /// [`Gate::on_request`] itself may do so.
    pub fn response_check(&self, body_read: bool) -> Option<ResponseCheck> {
        self.inner.checks.look_at_responses().then(|| ResponseCheck { gate: self.clone(), body_read })
    }
}

/// A check of one response of the service, from [`Gate::response_check`].
#[derive(Debug)]
#[must_use]
pub struct ResponseCheck {
    gate: Gate,
    body_read: bool,
}

impl ResponseCheck {
    /// Looks at the response, before the gate's headers are added: its status code, and whether it
    /// has the header `Access-Control-Allow-Origin`. Returns the response to send in its place, in
    /// strict mode only.
    pub fn look(self, status: u16, allows_origin: bool) -> Option<Refusal> {
        let checks = &self.gate.inner.checks;
        checks.response_seen();
        let shown = [(SelfCheck::CorsInside, allows_origin), (SelfCheck::BodyLimit, self.body_read && status == 413)];
        let found = shown.into_iter().find(|(check, shown)| *shown && checks.is_open(*check));
        self.gate.report_misconfigured(found?.0)
    }

    /// Returns the gate.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

/// Returns whether an address is one that a proxy of the same network has, and no client from
/// outside: private, shared by a provider (RFC 6598), loopback, link-local or unique local.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
