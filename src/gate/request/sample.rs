//! Requests for the tests of the gate.

use super::head::Head;

/// A request without a body, with these headers.
pub(in crate::gate) struct Request(&'static str, Vec<(&'static str, String)>);

impl Request {
    pub(in crate::gate) fn new(method: &'static str, headers: &[(&'static str, &str)]) -> Self {
        Self(method, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    /// A `GET` in which the header `name` has these lines.
    pub(in crate::gate) fn with_lines(name: &'static str, lines: &[&str]) -> Self {
        Self("GET", lines.iter().map(|line| (name, (*line).to_owned())).collect())
    }
}

impl Head for Request {
    fn method(&self) -> &str {
        self.0
    }

    fn path(&self) -> &str {
        "/"
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.1.iter().filter(|(own, _)| *own == name).for_each(|(_, value)| each(value.as_bytes()));
    }

    fn has_body(&self) -> bool {
        false
    }
}
