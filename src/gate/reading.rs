//! From a request's head to facts: which headers count, and in which form.

use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};
use crate::protocol::{Malformed, header};

use super::facts::{Head, Presented, ResultText};

/// The token and result that the headers present.
///
/// # Errors
/// [`Malformed`] names the header that came twice, is too long or is no visible ASCII text, and the token's
/// header where a result came without one.
pub(super) fn presented(head: &dyn Head) -> Result<Option<Presented>, Malformed> {
    let token = single(head, header::RESPONSE, MAX_TOKEN_CHARS)?;
    let result = single(head, header::RESULT, MAX_RESULT_COMPACT_CHARS)?;
    match (token, result) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Malformed::new(header::RESPONSE, "the token that the result is for", "no such header")),
        (Some(token), result) => Ok(Some(Presented { token, result: result.map(ResultText::Compact) })),
    }
}

/// A CORS preflight: it carries no request yet.
pub(super) fn is_preflight(head: &dyn Head) -> bool {
    let mut asks = false;
    head.method() == "OPTIONS" && {
        head.header("access-control-request-method", &mut |_| asks = true);
        asks
    }
}

/// What `Content-Length` says, if it says one thing.
pub(super) fn content_length(head: &dyn Head) -> Option<u64> {
    let mut length = None;
    head.header("content-length", &mut |value| {
        length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    });
    length
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
