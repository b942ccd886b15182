//! A request as a host describes it, and its facts as plain values.

use std::net::IpAddr;

use crate::protocol::Malformed;

use super::identity::{ClientKey, NetworkPrefix};

/// A request line and its headers, as an adapter sees them. The gate reads only what it needs.
///
/// # Examples
///
/// ```
/// use pouw::Head;
///
/// /// A request of a server that is not known to this package.
/// struct Request {
///     method: String,
///     path: String,
///     headers: Vec<(String, Vec<u8>)>,
///     length: u64,
/// }
///
/// impl Head for Request {
///     fn method(&self) -> &str {
///         &self.method
///     }
///
///     fn path(&self) -> &str {
///         &self.path
///     }
///
///     fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
///         let named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
///         named.for_each(|(_, value)| each(value));
///     }
///
///     fn has_body(&self) -> bool {
///         self.length > 0
///     }
/// }
/// ```
pub trait Head {
    /// Returns the method, in upper case.
    fn method(&self) -> &str;

    /// Returns the path, without the query.
    fn path(&self) -> &str;

    /// Calls `each` with every value of the header `name` (lower case), in the order received.
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// Returns whether a body follows; `true` if the head does not show it.
    fn has_body(&self) -> bool;
}

/// The sender of a request, as known to the host. No value in it is a claim of the client.
///
/// # Examples
///
/// ```
/// use std::net::IpAddr;
///
/// use pouw::Caller;
///
/// let caller = Caller::from_peer(IpAddr::from([192, 0, 2, 7])).user("ada");
/// assert_eq!((caller.peer, caller.user), (Some(IpAddr::from([192, 0, 2, 7])), Some("ada")));
/// assert_eq!(Caller::from_peer(None), Caller::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller<'a> {
    /// Address of the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Name of the user, after the host authenticated it.
    pub user: Option<&'a str>,
    /// The API key, after the host validated it.
    pub api_key: Option<&'a str>,
}

impl<'a> Caller<'a> {
    /// Returns a caller with this address at the other end of the connection, if it is known.
    #[must_use]
    pub fn from_peer(peer: impl Into<Option<IpAddr>>) -> Self {
        Self { peer: peer.into(), ..Self::default() }
    }

    /// Adds the name of the user, after the host authenticated it.
    #[must_use]
    pub fn user(self, user: &'a str) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Adds the API key, after the host validated it.
    #[must_use]
    pub fn api_key(self, api_key: &'a str) -> Self {
        Self { api_key: Some(api_key), ..self }
    }
}

/// Index of a policy in the configuration; 0 is the default policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PolicyId(pub(super) u16);

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
}

/// A browser's navigation, if the configuration has a challenge page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Navigation {
    /// Whether it has a cookie with the name for answers; the response then clears the cookie.
    pub cookie: bool,
    /// Whether [`Facts::answer`] came in that cookie.
    pub answered: bool,
}

impl Facts {
    /// Returns whether the answer is in a cookie: then an invalid answer counts as none.
    pub(super) fn by_cookie(&self) -> bool {
        self.navigation.is_some_and(|navigation| navigation.answered)
    }

    /// Returns the facts of a request without a token, under the default policy.
    pub fn new(client: ClientKey, prefix: NetworkPrefix) -> Self {
        Self { client, prefix, policy: PolicyId::default(), answer: None, reputation: None, navigation: None }
    }
}

/// A token with its result, or without one if the client only requests its challenge again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The token, byte for byte.
    pub token: String,
    /// The result, not yet read.
    pub result: Option<ResultText>,
}

/// A result in one of its two forms on the wire, or the error in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultText {
    /// JSON, from the body member `workResult`.
    Json(Vec<u8>),
    /// The compact form, from the header `X-PoUW-Result`.
    Compact(String),
    /// A body without a readable result, and the error. The request is refused with it after the
    /// token has been checked, and this counts against the challenge.
    Broken(Malformed),
    /// A body that did not arrive completely. It is handled like a broken one, and its request is
    /// never let through.
    Unfinished(Malformed),
}

/// The outcome of buffering a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyRead<'a> {
    /// The body arrived completely.
    Whole(&'a [u8]),
    /// It is longer than the limit.
    TooLarge,
    /// There is no room for more of it, as [`NeedsBody::arrived`](super::NeedsBody::arrived)
    /// reported.
    NoRoom,
    /// It did not arrive in time, or the connection broke.
    Incomplete,
}
