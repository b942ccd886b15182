//! What the gate sends: its own response, and its headers on the response of the service.

use std::time::Duration;

use http::header::{CONNECTION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::gate::{Headers, Refusal};

use super::super::own_body::OwnBody;
use super::super::{Formed, known_names, names_and_values};
use super::body::ResponseBody;

known_names!(HeaderName);

/// The gate's own response. It `closes` the connection if the request's body was not read to its
/// end.
pub(super) fn refuse<R>(refusal: Formed, timeout: Duration, closes: bool) -> Response<ResponseBody<R>> {
    let Refusal { status, headers, body, flight, .. } = refusal.0;
    let mut response = Response::new(ResponseBody::own(OwnBody::new(body, flight, timeout)));
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
