//! Whether a request can bring an answer, and which units its client can compute.
//!
//! A browser loads images, scripts and styles, prefetches, opens event streams and web sockets
//! without any script seeing the response: no client would compute a unit in it. Such requests are
//! recognized by their head. The clients of gRPC get units in metadata, which most of them do not
//! know and which has little room. A client that names its abilities in `X-PoUW-Accept` can answer
//! whatever it asks for, unless the response has neither body nor metadata.

use crate::protocol::grpc::is_grpc;
use crate::protocol::{WorkUnitOperation, header};

use super::facts::Facts;
use super::head::Head;

impl Facts {
    /// Reads from the head what the client can answer.
    pub(super) fn read_abilities(&mut self, head: &dyn Head) {
        let named = abilities(head);
        let has_page = self.navigation.is_some();
        self.takes_subtrees = has_page || named == Some(Abilities { subtrees: true });
        self.by_metadata = false;
        head.header("content-type", &mut |content_type| self.by_metadata |= is_grpc(content_type));
        let asks_without = has_page || !(self.by_metadata || is_deaf(head));
        self.can_answer = head.method() != "HEAD" && (named.is_some() || asks_without);
    }
}

/// The operations named in `X-PoUW-Accept`. Unknown words are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Abilities {
    subtrees: bool,
}

fn abilities(head: &dyn Head) -> Option<Abilities> {
    let subtree = WorkUnitOperation::SubtreeHash.as_str().as_bytes();
    let mut found = None;
    head.header(header::ACCEPT, &mut |line| {
        let abilities = found.get_or_insert(Abilities { subtrees: false });
        abilities.subtrees |= line.split(|byte| *byte == b',').any(|word| word.trim_ascii() == subtree);
    });
    found
}

/// Returns whether no program that could compute a unit sees the response.
fn is_deaf(head: &dyn Head) -> bool {
    let has = |name: &str, matches: &dyn Fn(&[u8]) -> bool| {
        let mut found = false;
        head.header(name, &mut |value| found |= matches(value.trim_ascii()));
        found
    };
    opens_stream(head)
        // A script's own requests have the destination `empty`.
        || has("sec-fetch-dest", &|dest| dest != b"empty")
        || has("sec-fetch-mode", &|mode| mode == b"navigate" || mode == b"websocket")
        || has("sec-purpose", &|purpose| purpose.starts_with(b"prefetch"))
        || has("purpose", &|purpose| purpose == b"prefetch")
}

/// Returns whether the request opens a stream that is not a response as usual: of events, or of
/// another protocol.
pub(in crate::gate) fn opens_stream(head: &dyn Head) -> bool {
    let mut upgrades = head.method() == "CONNECT";
    // Clients that offer HTTP/2 over plain text go on as usual.
    head.header("upgrade", &mut |protocol| upgrades |= !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    upgrades || (head.method() == "GET" && wants_events_only(head))
}

/// Returns whether the request is for an event stream and nothing else, as `EventSource` sends it.
fn wants_events_only(head: &dyn Head) -> bool {
    let (mut events, mut others) = (false, false);
    head.header("accept", &mut |line| {
        for range in line.split(|byte| *byte == b',') {
            let media = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if media.is_empty() {
                continue;
            }
            let is_events = media.eq_ignore_ascii_case(b"text/event-stream");
            (events, others) = (events | is_events, others | !is_events);
        }
    });
    events && !others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::request::client::{ClientKey, NetworkPrefix};
    use crate::gate::request::navigation::Navigation;
    use crate::gate::request::sample::Request;

    fn read(request: Request, page: bool) -> (bool, bool) {
        let mut facts = Facts::new(ClientKey::Anonymous, NetworkPrefix::default());
        facts.navigation = page.then(|| Navigation { form: false, language: Default::default() });
        facts.read_abilities(&request);
        (facts.can_answer, facts.takes_subtrees)
    }

    #[test]
    fn a_request_can_answer_if_a_program_sees_its_response() {
        for (method, headers, expected) in [
            ("GET", vec![], true),
            ("POST", vec![("accept", "text/event-stream, application/json")], true),
            ("POST", vec![("accept", "text/event-stream")], true),
            ("GET", vec![("accept", "text/event-stream, application/json")], true),
            ("GET", vec![("accept", "Text/Event-Stream;q=1, ")], false),
            ("GET", vec![("accept", "text/event-stream")], false),
            ("HEAD", vec![], false),
            ("CONNECT", vec![], false),
            ("GET", vec![("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")], true),
            ("GET", vec![("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")], false),
            ("GET", vec![("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")], false),
            ("GET", vec![("sec-fetch-dest", "document")], false),
            ("GET", vec![("sec-fetch-dest", "empty"), ("sec-fetch-mode", "websocket")], false),
            ("GET", vec![("sec-purpose", "prefetch;prerender")], false),
            ("GET", vec![("purpose", "prefetch")], false),
            ("GET", vec![("upgrade", "websocket")], false),
            ("GET", vec![("upgrade", "H2C")], true),
            ("GET", vec![("upgrade-insecure-requests", "1")], true),
        ] {
            assert_eq!(read(Request::new(method, &headers), false).0, expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_grpc_client_is_asked_if_it_names_its_abilities() {
        for (content_type, grpc) in [
            ("application/grpc", true),
            ("Application/gRPC-Web+proto", true),
            ("application/json", false),
            ("application/grp", false),
        ] {
            let content_type = ("content-type", content_type);
            let mut facts = Facts::new(ClientKey::Anonymous, NetworkPrefix::default());
            facts.read_abilities(&Request::new("POST", &[content_type]));
            assert_eq!((facts.can_answer, facts.by_metadata), (!grpc, grpc), "{content_type:?}");
            facts.read_abilities(&Request::new("POST", &[content_type, (header::ACCEPT, "")]));
            assert_eq!((facts.can_answer, facts.by_metadata), (true, grpc), "{content_type:?}");
        }
    }

    #[test]
    fn a_page_and_a_client_that_names_its_abilities_are_asked_unless_the_response_has_no_body() {
        let events = ("accept", "text/event-stream");
        assert_eq!(read(Request::new("GET", &[events, (header::ACCEPT, "subtree_hash")]), false), (true, true));
        assert_eq!(read(Request::new("GET", &[events, (header::ACCEPT, "")]), false), (true, false));
        assert_eq!(read(Request::new("GET", &[("sec-fetch-dest", "document")]), true), (true, true));
        for (words, subtrees) in [("x, subtree_hash ", true), ("subtree_hashes", false), ("leaf_hash", false)] {
            assert_eq!(read(Request::new("GET", &[(header::ACCEPT, words)]), false).1, subtrees, "{words}");
        }
        assert_eq!(read(Request::new("HEAD", &[(header::ACCEPT, "subtree_hash")]), false), (false, true));
        assert_eq!(read(Request::new("GET", &[]), false), (true, false));
    }
}
