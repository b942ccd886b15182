//! A request as a host describes it: its head, and its sender.

use std::net::IpAddr;

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

/// Returns whether this is a CORS preflight, which is not the request itself yet.
pub(in crate::gate) fn is_preflight(head: &dyn Head) -> bool {
    let mut asks = false;
    head.method() == "OPTIONS" && {
        head.header("access-control-request-method", &mut |_| asks = true);
        asks
    }
}

/// Returns the number in `Content-Length`, if there is one; the last if the header is repeated.
pub(in crate::gate) fn content_length(head: &dyn Head) -> Option<u64> {
    let mut length = None;
    head.header("content-length", &mut |value| {
        length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    });
    length
}

/// Returns whether the client waits for `100 Continue` before it sends its body.
pub(in crate::gate) fn expects_continue(head: &dyn Head) -> bool {
    let mut expects = false;
    head.header("expect", &mut |value| expects |= value.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
    expects
}
