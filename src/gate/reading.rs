//! Reads the facts from a request's head: the relevant headers and their forms.

use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};
use crate::protocol::{Malformed, header};

use super::facts::{Head, Presented, ResultText};

/// Returns the token and result in the headers.
///
/// # Errors
/// [`Malformed`] names a header that is repeated, too long or not visible ASCII text. It names the
/// token's header if there is a result without a token.
pub(super) fn presented(head: &dyn Head) -> Result<Option<Presented>, Malformed> {
    let token = single(head, header::RESPONSE, MAX_TOKEN_CHARS)?;
    let result = single(head, header::RESULT, MAX_RESULT_COMPACT_CHARS)?;
    match (token, result) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Malformed::new(header::RESPONSE, "the token that the result is for", "no such header")),
        (Some(token), result) => Ok(Some(Presented { token, result: result.map(ResultText::Compact) })),
    }
}

/// Returns whether this is a CORS preflight, which is not the request itself yet.
pub(super) fn is_preflight(head: &dyn Head) -> bool {
    let mut asks = false;
    head.method() == "OPTIONS" && {
        head.header("access-control-request-method", &mut |_| asks = true);
        asks
    }
}

/// Returns the number in `Content-Length`, if there is one; the last if the header is repeated.
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
