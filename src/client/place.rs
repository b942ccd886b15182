//! Where a request goes, and with whose credentials.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use reqwest::Url;

use crate::protocol::header;

/// Longest part of a path that is compared.
const PATH_BYTES_MAX: usize = 256;

/// The keys are random, so that no value can be chosen to share the hash of another one.
static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Where a request goes, and with whose credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) home: Home,
    pub(super) method: Method,
    /// The start of the path.
    pub(super) path: String,
}

/// An origin, for requests with the same credentials. A server counts others apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    origin: String,
    /// A hash of `Authorization` and `Cookie`.
    credentials: u64,
}

impl Place {
    /// Returns the place of a request; `None` if the address has no origin, or the request has a
    /// pass of the caller.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let url = |uri: &Uri| Url::parse(&uri.to_string()).ok();
        url(request.uri()).and_then(|url| Self::new(request.method(), &url, request.headers()))
    }

    /// The same for a request of reqwest.
    pub(super) fn of_reqwest(request: &reqwest::Request) -> Option<Self> {
        Self::new(request.method(), request.url(), request.headers())
    }

    fn new(method: &Method, url: &Url, headers: &HeaderMap) -> Option<Self> {
        let origin = url.origin();
        if !origin.is_tuple() || headers.contains_key(header::PASS) {
            return None;
        }
        let home = Home { origin: origin.ascii_serialization(), credentials: credentials(headers) };
        let path = url.path();
        // It is ASCII.
        let path = path.get(..PATH_BYTES_MAX).unwrap_or(path).to_owned();
        Some(Self { home, method: method.clone(), path })
    }
}

fn credentials(headers: &HeaderMap) -> u64 {
    let values = |name: HeaderName| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    KEYS.hash_one([values(AUTHORIZATION), values(COOKIE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut() {
        let place = |path: &str| Place::of(&Request::get(format!("http://a{path}")).body(()).unwrap()).unwrap().path;
        let long = format!("/{}", "x".repeat(254));
        assert_eq!(place(&format!("{long}y")), format!("{long}y"));
        assert_eq!(place(&format!("{long}yz?q")), format!("{long}y"));
    }
}
