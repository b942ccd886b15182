//! What the gate sends: its own response, and its headers on the response of the service.

use std::time::Duration;

use http::header::{CONNECTION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::gate::{Headers, Refusal};

use super::super::own_body::OwnBody;
use super::super::{Formed, known_names, names_and_values};
use super::body::ResponseBody;
use super::lingering::Lingering;

known_names!(HeaderName);

/// What is left of a refused request's body, and what becomes of it.
pub(super) enum Unread {
    Nothing,
    /// The response asks for the end of the connection.
    Closes,
    /// The response ends after it.
    Lingers(Lingering),
}

/// The gate's own response. `unread` is what is left of the request's body.
pub(super) fn refuse<R>(refusal: Formed, timeout: Duration, unread: Unread) -> Response<ResponseBody<R>> {
    let Refusal { status, headers, body, flight, .. } = refusal.0;
    let closes = matches!(unread, Unread::Closes);
    // A response of headers only is complete with them.
    let lingering = match unread {
        Unread::Lingers(lingering) if !body.is_empty() => Some(lingering),
        _ => None,
    };
    let mut response = Response::new(ResponseBody::own(OwnBody::new(body, flight, timeout), lingering));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    write_headers(headers, response.headers_mut());
    if closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(super) fn write_headers(headers: Headers, into: &mut HeaderMap) {
    into.reserve(8);
    for (name, value) in names_and_values(headers) {
        // The gate's values are visible ASCII, so this never fails.
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            let name = known(name).cloned().unwrap_or_else(|| HeaderName::from_static(name));
            // The service's own cookies are kept.
            match name == SET_COOKIE {
                true => drop(into.append(name, value)),
                false => drop(into.insert(name, value)),
            }
        }
    }
}
