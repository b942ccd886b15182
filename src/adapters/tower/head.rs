//! A request as the gate sees it.

use http::{HeaderMap, Method, Request, Uri, request};
use http_body::Body;

use crate::gate::Head;

use super::answer::known;

/// The head of a request.
pub(super) struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    has_body: bool,
}

impl<'a> RequestHead<'a> {
    pub(super) fn of<B: Body>(request: &'a Request<B>) -> Self {
        let has_body = !request.body().is_end_stream();
        Self { method: request.method(), uri: request.uri(), headers: request.headers(), has_body }
    }

    pub(super) fn of_parts(head: &'a request::Parts, has_body: bool) -> Self {
        Self { method: &head.method, uri: &head.uri, headers: &head.headers, has_body }
    }
}

impl Head for RequestHead<'_> {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let values = match known(name) {
            Some(name) => self.headers.get_all(name),
            None => self.headers.get_all(name),
        };
        values.iter().for_each(|value| each(value.as_bytes()));
    }

    fn has_body(&self) -> bool {
        self.has_body
    }
}
