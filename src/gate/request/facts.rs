//! The facts of a request as plain values: everything that a decision depends on, except the time
//! and the gate's own state.

use std::sync::OnceLock;

use crate::engine::PouwEngine;
use crate::protocol::{ClientDigest, header};

use super::client::{ClientKey, NetworkPrefix};
use super::cookies::{self, AnswerCookie};
use super::head::Head;
use super::language::language;
use super::navigation::Navigation;
use super::pass_id::PassId;
use super::presented::Presented;

/// Index of a policy in the configuration; 0 is the default policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PolicyId(pub(in crate::gate) u16);

/// Everything that a decision depends on, except the time and the gate's own state.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The client that the request counts for.
    pub client: ClientKey,
    /// The network that client is in.
    pub prefix: NetworkPrefix,
    /// The policy of the route.
    pub policy: PolicyId,
    /// The token and result, if the request has any.
    pub answer: Option<Presented>,
    /// The client's reputation, 0 to 1, if the host knows it. Other values have no effect.
    pub reputation: Option<f64>,
    /// Set for a browser's navigation, which is answered with pages.
    pub navigation: Option<Navigation>,
    /// The cookie that may hold the answer.
    pub cookie: AnswerCookie,
    /// The names of passes that the request presents, once they are needed.
    pub passes: Vec<PassPresented>,
    /// Whether the client could send the answer of a unit in a refusal.
    pub can_answer: bool,
    /// Whether a refusal has metadata and no body, as in gRPC, so that only a short unit fits.
    pub by_metadata: bool,
    /// Whether the client can answer units of more than one leaf.
    pub takes_subtrees: bool,
    /// The engine's digest of the client, once it was needed.
    pub digest: OnceDigest,
}

/// A pass that a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassPresented {
    pub(in crate::gate) id: PassId,
    /// Whether it is in a cookie, and not in a header.
    pub(in crate::gate) by_cookie: bool,
}

impl PassPresented {
    /// Reads a pass as a header has it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self { id: PassId::parse(text.as_bytes())?, by_cookie: false })
    }
}

/// A keyed digest of a client, computed when it is first needed. It follows from the client, so all
/// are equal.
#[derive(Debug, Clone, Default)]
pub struct OnceDigest(OnceLock<ClientDigest>);

impl PartialEq for OnceDigest {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Facts {
    /// Returns whether the answer is in a cookie: then an invalid answer counts as none.
    pub(in crate::gate) fn by_cookie(&self) -> bool {
        self.cookie.used
    }

    /// Returns the facts of a request without a token, under the default policy, from a client that
    /// can answer every unit.
    pub fn new(client: ClientKey, prefix: NetworkPrefix) -> Self {
        Self {
            client,
            prefix,
            policy: PolicyId::default(),
            answer: None,
            reputation: None,
            navigation: None,
            cookie: AnswerCookie::default(),
            passes: Vec::new(),
            can_answer: true,
            by_metadata: false,
            takes_subtrees: true,
            digest: OnceDigest::default(),
        }
    }

    /// Reads from the head what matters only over the limit.
    pub(in crate::gate) fn read_over_limit(&mut self, head: &dyn Head) {
        if let Some(navigation) = &mut self.navigation {
            navigation.language = language(head);
        }
        self.read_abilities(head);
        let mut passes = Vec::new();
        // The first one in a header only.
        head.header(header::PASS, &mut |value| {
            let pass = std::str::from_utf8(value).ok().and_then(PassPresented::parse);
            passes.extend(pass.filter(|_| passes.is_empty()));
        });
        passes.extend(cookies::passes(head).map(|id| PassPresented { id, by_cookie: true }));
        self.passes = passes;
    }

    /// Returns the engine's digest of the client. Facts belong to one gate, so it is always the
    /// same engine.
    pub(in crate::gate) fn client_digest(&self, engine: &PouwEngine) -> ClientDigest {
        *self.digest.0.get_or_init(|| self.client.with_bytes(|key| engine.client_digest(key)))
    }
}
