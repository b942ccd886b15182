//! The facts of a request, as plain values.

use std::net::IpAddr;

use crate::protocol::Malformed;

use super::identity::{ClientKey, NetworkPrefix};

/// A request line and its headers, as an adapter sees them. The gate reads only what it has to.
pub trait Head {
    /// The method, in upper case.
    fn method(&self) -> &str;

    /// The path, without the query.
    fn path(&self) -> &str;

    /// Calls `each` with every value of the header `name` (lower case), in the order they came.
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// Whether a body follows, as far as the head tells; `true` where it does not tell.
    fn has_body(&self) -> bool;
}

/// The sender of a request, as far as the host knows it. Nothing here is claimed by the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Address of the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Name of the user, after the host authenticated it.
    pub user: Option<&'a str>,
    /// The API key, after the host validated it.
    pub api_key: Option<&'a str>,
}

/// Index of a policy in the configuration; 0 is the default policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PolicyId(pub(super) u16);

/// Everything a decision depends on, beside the time and what the gate remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The client that the request counts for.
    pub client: ClientKey,
    /// The network that client is in.
    pub prefix: NetworkPrefix,
    /// The policy of the route.
    pub policy: PolicyId,
    /// The token and result, if the request presents any.
    pub answer: Option<Presented>,
    /// The client's reputation, 0 to 1, if the host knows it. Anything else changes nothing.
    pub reputation: Option<f64>,
    /// Set for a navigation of a browser's, which is answered with pages.
    pub navigation: Option<Navigation>,
}

/// A navigation of a browser's, where the configuration has a page for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Navigation {
    /// Whether it brought a cookie of the name that an answer has: the response takes it away again.
    pub cookie: bool,
    /// Whether [`Facts::answer`] came in that cookie.
    pub answered: bool,
}

impl Facts {
    /// Whether the answer came in a cookie: then one that does not count is as good as none.
    pub(super) fn by_cookie(&self) -> bool {
        self.navigation.is_some_and(|navigation| navigation.answered)
    }

    /// A request that presents nothing, under the default policy.
    pub fn new(client: ClientKey, prefix: NetworkPrefix) -> Self {
        Self { client, prefix, policy: PolicyId::default(), answer: None, reputation: None, navigation: None }
    }
}

/// A token, and the result it was computed for unless the client only asks for its challenge again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The token, byte for byte.
    pub token: String,
    /// The result, not yet read.
    pub result: Option<ResultText>,
}

/// A result in one of its two forms on the wire, or what came in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultText {
    /// JSON, from the body member `workResult`.
    Json(Vec<u8>),
    /// The compact form, from the header `X-PoUW-Result`.
    Compact(String),
    /// A body that no result can be read from, and why. Refused as that says when its turn in the order of
    /// judgement comes, and counted against the challenge.
    Broken(Malformed),
    /// A body that did not arrive whole: as if broken, and its request is never let through.
    Unfinished(Malformed),
}

/// The outcome of buffering a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRead<'a> {
    /// All of it is here.
    Whole(&'a [u8]),
    /// It is longer than the limit.
    TooLarge,
    /// There is no room for more of it, as [`NeedsBody::arrived`](super::NeedsBody::arrived) says.
    NoRoom,
    /// It did not arrive in time, or the connection broke.
    Incomplete,
}
