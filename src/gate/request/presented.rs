//! The token and the result that a request presents in its headers.

use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};
use crate::protocol::{Malformed, header};

use super::head::Head;

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

/// Returns the token and result in the headers.
///
/// # Errors
/// [`Malformed`] names a header that is repeated, too long or not visible ASCII text. It names the
/// token's header if there is a result without a token.
pub(in crate::gate) fn presented(head: &dyn Head) -> Result<Option<Presented>, Malformed> {
    // A client without a token or result may send an empty header.
    let some = |text: &String| !text.is_empty();
    let token = single(head, header::RESPONSE, MAX_TOKEN_CHARS)?.filter(some);
    let result = single(head, header::RESULT, MAX_RESULT_COMPACT_CHARS)?.filter(some);
    match (token, result) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Malformed::new(header::RESPONSE, "the token that the result is for", "no such header")),
        (Some(token), result) => Ok(Some(Presented { token, result: result.map(ResultText::Compact) })),
    }
}

fn single(head: &dyn Head, name: &'static str, chars_max: usize) -> Result<Option<String>, Malformed> {
    let mut found: Option<Result<String, Malformed>> = None;
    head.header(name, &mut |value| {
        found = Some(match &found {
            Some(_) => Err(Malformed::new(name, "this header once", "this header twice")),
            None => text(name, value, chars_max),
        });
    });
    found.transpose()
}

fn text(name: &'static str, value: &[u8], chars_max: usize) -> Result<String, Malformed> {
    if value.len() > chars_max {
        return Err(Malformed::new(
            name,
            format!("at most {chars_max} characters"),
            format!("{} characters", value.len()),
        ));
    }
    match std::str::from_utf8(value) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        Ok(_) => Err(Malformed::new(name, "visible ASCII text", "other characters")),
        Err(_) => Err(Malformed::new(name, "visible ASCII text", "bytes that are no UTF-8")),
    }
}
