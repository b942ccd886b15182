//! A request as the gate sees it, and the gate's header names as actix-web has them.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderName;

use crate::gate::Head;

use super::super::known_names;

known_names!(HeaderName);

/// A request as the gate sees it.
pub(super) struct RequestHead<'a> {
    pub(super) request: &'a ServiceRequest,
    pub(super) has_body: bool,
}

impl Head for RequestHead<'_> {
    fn method(&self) -> &str {
        self.request.method().as_str()
    }

    fn path(&self) -> &str {
        // The decoded path that the router uses, so another spelling of a route has the same
        // policy.
        self.request.match_info().as_str()
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        // actix-web has sent `100 Continue` already, so no client waits for it.
        if name == "expect" {
            return;
        }
        let headers = self.request.headers();
        match known(name) {
            Some(name) => headers.get_all(name).for_each(|value| each(value.as_bytes())),
            None => headers.get_all(name).for_each(|value| each(value.as_bytes())),
        }
    }

    fn has_body(&self) -> bool {
        self.has_body
    }
}
