//! Which policy of a server applies to a request, guessed from those of earlier requests.

use std::collections::VecDeque;

use http::Method;

/// Most requests of one origin that are remembered; beyond, the one seen longest ago is forgotten.
const REQUESTS_MAX: usize = 128;

/// The policies of an origin, by method and path.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// The request seen last is the last one.
    seen: VecDeque<Seen>,
}

#[derive(Debug)]
struct Seen {
    method: Method,
    path: String,
    policy: String,
}

impl Policies {
    /// Remembers the policy of a request.
    pub(super) fn learn(&mut self, method: &Method, path: &str, policy: &str) {
        self.seen.retain(|seen| seen.method != method || seen.path != path);
        if self.seen.len() == REQUESTS_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { method: method.clone(), path: path.to_owned(), policy: policy.to_owned() });
    }

    /// Guesses the policy of a request; `None` if no request was seen.
    ///
    /// It is the policy of the path with the most leading segments in common. Among equals, the
    /// same path goes first, then the same method, then a policy that is preferred, then the
    /// request seen last.
    pub(super) fn guess(&self, method: &Method, path: &str, is_preferred: impl Fn(&str) -> bool) -> Option<&str> {
        let rank = |seen: &&Seen| {
            let shared = shared(&seen.path, path);
            (shared, seen.path == path, seen.method == method, is_preferred(&seen.policy))
        };
        // The last one of the highest rank.
        self.seen.iter().max_by_key(rank).map(|seen| seen.policy.as_str())
    }
}

/// Counts the leading segments that two paths have in common.
fn shared(left: &str, right: &str) -> usize {
    left.split('/').zip(right.split('/')).take_while(|(left, right)| left == right).count()
}
