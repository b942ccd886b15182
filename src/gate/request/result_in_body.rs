//! Finds the result in a body that contains other data too.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::Malformed;

use super::presented::ResultText;

/// Returns the member `workResult` of a JSON object: an object, or its JSON text. `None` for an
/// empty body, for an object without the member, and if the member is empty: `null`, `{}` or `""`.
///
/// # Errors
/// [`Malformed`] names the body if it is not a JSON object, and `workResult` if it is repeated or
/// is neither an object nor text.
pub(in crate::gate) fn find_result(body: &[u8]) -> Result<Option<ResultText>, Malformed> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_map(Search { found: &mut found }).and_then(|()| reader.end());
    if found.repeated {
        return Err(Malformed::new(MEMBER, "this member once", "this member twice"));
    }
    read.map_err(|error| Malformed::new("body", "a JSON object (RFC 8259)", error.to_string()))?;
    let Some(raw) = found.raw else {
        return Ok(None);
    };
    let text = raw.get();
    if is_empty(text) {
        return Ok(None);
    }
    match text.as_bytes().first() {
        Some(b'{') => Ok(Some(ResultText::Json(text.as_bytes().to_vec()))),
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(inner) => Ok((!is_empty(&inner)).then(|| ResultText::Json(inner.into_bytes()))),
            Err(error) => Err(Malformed::new(MEMBER, "an object or its JSON text", error.to_string())),
        },
        _ => Err(Malformed::new(MEMBER, "an object or its JSON text", "something else")),
    }
}

/// Returns whether this JSON text has nothing in it.
fn is_empty(json: &str) -> bool {
    let mut bare = json.bytes().filter(|byte| !byte.is_ascii_whitespace());
    matches!([bare.next(), bare.next(), bare.next()], [None, ..] | [Some(b'{'), Some(b'}'), None])
        || matches!(json.trim(), "null" | "\"\"")
}

const MEMBER: &str = "workResult";

#[derive(Default)]
struct Found<'a> {
    raw: Option<&'a RawValue>,
    repeated: bool,
}

struct Search<'f, 'a> {
    found: &'f mut Found<'a>,
}

impl<'de> Visitor<'de> for Search<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == MEMBER {
                self.found.repeated |= self.found.raw.is_some();
                self.found.raw = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Option<String> {
        find_result(body.as_bytes()).unwrap().map(|found| match found {
            ResultText::Json(json) => String::from_utf8(json).unwrap(),
            other => panic!("{other:?} is never found in a body"),
        })
    }

    #[test]
    fn a_result_is_found_as_an_object_and_as_its_text_beside_anything_else() {
        assert_eq!(text(r#"{"a":[1,{"workResult":2}],"workResult":{"x":1},"z":null}"#).unwrap(), r#"{"x":1}"#);
        assert_eq!(text(r#"{"workResult":"{\"x\":1}"}"#).unwrap(), r#"{"x":1}"#);
        assert_eq!(text(r#"{"work\u0052esult":{"x":1}}"#).unwrap(), r#"{"x":1}"#);
    }

    #[test]
    fn a_body_without_one_has_none() {
        for body in [
            "",
            " \r\n",
            "{}",
            r#"{"other":1}"#,
            r#"{"workResult":null}"#,
            r#"{"workResult":{ } ,"a":1}"#,
            r#"{"workResult":""}"#,
            r#"{"workResult":"null"}"#,
            r#"{"workResult":"{}"}"#,
        ] {
            assert_eq!(text(body), None, "{body:?}");
        }
    }

    #[test]
    fn anything_else_is_malformed_and_says_where() {
        for (body, member) in [
            ("[1]", "body"),
            ("name=value", "body"),
            (r#"{"a":1} {"#, "body"),
            (r#"{"a":1"#, "body"),
            ("\u{0}", "body"),
            (r#"{"workResult":1}"#, "workResult"),
            (r#"{"workResult":[]}"#, "workResult"),
            (r#"{"workResult":{},"workResult":{}}"#, "workResult"),
            (r#"{"workResult":"\ud800"}"#, "workResult"),
        ] {
            let error = find_result(body.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("invalid `{member}`: ")), "{body:?}: {error}");
        }
        assert!(find_result(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']).is_err());
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(find_result(deep.as_bytes()).is_err());
    }
}
