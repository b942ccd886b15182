//! Following redirects by the rules of browsers and reqwest, one request at a time.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method};
use reqwest::Request;

use crate::protocol::header;

/// Headers that describe the body, removed if the body is not sent again.
const OF_BODY: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING];
/// Headers that are not sent to another origin.
const OF_ORIGIN: [HeaderName; 7] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("cookie2"),
    PROXY_AUTHORIZATION,
    WWW_AUTHENTICATE,
    HOST,
    HeaderName::from_static(header::PASS),
];
/// Headers of an answer set by the caller; an answer counts once only.
const OF_ANSWER: [HeaderName; 2] = [HeaderName::from_static(header::RESPONSE), HeaderName::from_static(header::RESULT)];

/// A copy of a request, kept while it is in progress.
pub(super) struct Sent {
    request: Request,
    /// Whether the copy has the body.
    whole: bool,
}

impl Sent {
    pub(super) fn of(request: &Request) -> Self {
        let without_body = || {
            let mut copy = Request::new(request.method().clone(), request.url().clone());
            copy.headers_mut().clone_from(request.headers());
            (*copy.version_mut(), *copy.timeout_mut()) = (request.version(), request.timeout().copied());
            copy
        };
        let whole = request.try_clone();
        Self { whole: whole.is_some(), request: whole.unwrap_or_else(without_body) }
    }

    /// Returns the request that follows a response with `status` and `headers`. None if it is not a
    /// redirect, or leads to another origin although `across_origins` is false.
    pub(super) fn leads_to(self, status: u16, headers: &HeaderMap, across_origins: bool) -> Option<Request> {
        let Self { mut request, whole } = self;
        let bare = match status {
            301 | 302 => *request.method() == Method::POST,
            303 => true,
            307 | 308 => false,
            _ => return None,
        };
        if !bare && !whole {
            return None;
        }
        let location = std::str::from_utf8(headers.get(LOCATION)?.as_bytes()).ok()?;
        let mut url = request.url().join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        // Credentials in a redirect's address are ignored.
        url.set_username("").and_then(|()| url.set_password(None)).ok()?;
        let elsewhere = url.origin() != request.url().origin();
        if elsewhere && !across_origins {
            return None;
        }
        *request.url_mut() = url;
        if bare {
            *request.body_mut() = None;
            if *request.method() != Method::HEAD {
                *request.method_mut() = Method::GET;
            }
        }
        let unwanted = [(bare, &OF_BODY[..]), (elsewhere, &OF_ORIGIN), (true, &OF_ANSWER)];
        for name in unwanted.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, names)| names) {
            request.headers_mut().remove(name);
        }
        Some(request)
    }
}
