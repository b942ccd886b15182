//! Bodies of requests: buffered for the gate, or read and dropped before a refusal.

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::Version;
use bytes::BytesMut;
use futures_util::StreamExt;

use crate::gate::{BodyRead, Drain, Gate, NeedsBody, Verdict};

use super::head::RequestHead;

pub(super) fn has_body(request: &mut ServiceRequest) -> bool {
    let payload = request.take_payload();
    let has_body = !matches!(payload, Payload::None);
    request.set_payload(payload);
    has_body
}

/// Buffers the body for the gate, and puts it back into the request. Returns also what
/// became of it.
pub(super) async fn read_body(request: &mut ServiceRequest, mut needs: NeedsBody) -> (Verdict, Body) {
    let mut payload = request.take_payload();
    let mut read = BytesMut::new();
    let timeout = needs.timeout;
    let reading = async {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| BodyRead::Incomplete)?;
            needs.arrived(read.len() + chunk.len())?;
            read.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let became = tokio::time::timeout(timeout, reading).await.unwrap_or(Err(BodyRead::Incomplete));
    let read = read.freeze();
    match became {
        Ok(()) => {
            request.set_payload(Payload::from(read.clone()));
            (needs.complete(BodyRead::Whole(&read)), Body::Whole)
        }
        Err(cut) => {
            // The request is refused; the rest of the body is dropped.
            request.set_payload(payload);
            let body = if cut == BodyRead::Incomplete { Body::Late } else { Body::Unread };
            (needs.complete(cut), body)
        }
    }
}

/// What has become of a request's body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// It is unread, or its rest is.
    Unread,
    /// It was read to its end.
    Whole,
    /// It did not come in time, or not at all.
    Late,
}

/// The unread part of a refused request's body.
pub(super) enum Unread {
    /// There is none, or its end does not end the connection.
    No,
    /// It is left unread, and the connection closes.
    Left,
    Drain(Drain),
}

pub(super) fn drain(gate: &Gate, request: &mut ServiceRequest, body: Body) -> Unread {
    let has_body = body != Body::Whole && has_body(request);
    if !has_body || request.version() >= Version::HTTP_2 {
        return Unread::No;
    }
    if body == Body::Late {
        return Unread::Left;
    }
    gate.drain(&RequestHead { request, has_body }).map_or(Unread::Left, Unread::Drain)
}

/// Reads and drops the body; returns whether it ended.
pub(super) async fn drop_body(request: &mut ServiceRequest, mut drain: Drain) -> bool {
    let mut payload = request.take_payload();
    let timeout = drain.timeout;
    let reading = async {
        while let Some(chunk) = payload.next().await {
            if !chunk.is_ok_and(|chunk| drain.arrived(chunk.len())) {
                return false;
            }
        }
        true
    };
    let ended = tokio::time::timeout(timeout, reading).await.unwrap_or(false);
    request.set_payload(payload);
    ended
}
