//! Finds the policy of a route.
//!
//! Paths are compared byte for byte, as received: no percent escape is decoded and no `..` is
//! resolved. A host that rewrites paths has to do so before the gate.

use std::collections::HashMap;

use crate::gate::request::facts::PolicyId;
use crate::hash::sha3_512;

use super::choices::Policy;

/// The result of matching a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum RouteMatch {
    /// Not limited.
    Exempt,
    /// Limited by this policy.
    Policy(PolicyId),
}

/// One route: `/path`, or `/path/*` for all paths below it, optionally for one method only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gate) struct Pattern {
    method: Option<String>,
    path: String,
    below: bool,
}

impl Pattern {
    pub(in crate::gate) fn parse(text: &str) -> Option<Self> {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (Some(method), path),
            None => (None, text),
        };
        if method.is_some_and(|method| method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return None;
        }
        let (path, below) = match path.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?#".contains(&byte));
        let rooted = path.starts_with('/') || (below && path.is_empty());
        (plain && rooted).then(|| Self { method: method.map(str::to_owned), path: path.to_owned(), below })
    }
}

/// All routes, by path.
#[derive(Debug, Default)]
pub(in crate::gate) struct Routes {
    exact: HashMap<String, Vec<(Option<String>, RouteMatch)>>,
    below: HashMap<String, Vec<(Option<String>, RouteMatch)>>,
    // Length of the longest path in `below`. Longer prefixes of a path are not looked up, which
    // bounds the cost of a path with many slashes.
    below_bytes_max: usize,
}

impl Routes {
    pub(in crate::gate) fn new(policies: &[Policy], exempt: &[String]) -> Self {
        let mut routes = Self::default();
        for (at, policy) in policies.iter().enumerate() {
            let id = PolicyId(u16::try_from(at).unwrap_or(0));
            for route in &policy.routes {
                routes.add(route, RouteMatch::Policy(id));
            }
        }
        for route in exempt {
            routes.add(route, RouteMatch::Exempt);
        }
        routes
    }

    fn add(&mut self, route: &str, to: RouteMatch) {
        if let Some(Pattern { method, path, below }) = Pattern::parse(route) {
            if below {
                self.below_bytes_max = self.below_bytes_max.max(path.len());
            }
            let side = if below { &mut self.below } else { &mut self.exact };
            side.entry(path).or_default().push((method, to));
        }
    }

    /// Returns the longest match, else the default policy. Among equal paths, one for this method
    /// is preferred to one for any method.
    pub(in crate::gate) fn policy_of(&self, method: &str, path: &str) -> RouteMatch {
        let default = RouteMatch::Policy(PolicyId::default());
        if self.exact.is_empty() && self.below.is_empty() {
            return default;
        }
        if let Some(found) = self.exact.get(path).and_then(|rules| best(rules, method)) {
            return found;
        }
        let mut rest = path;
        while let Some(at) = rest.rfind('/') {
            rest = &rest[..at];
            if rest.len() > self.below_bytes_max {
                continue;
            }
            if let Some(found) = self.below.get(rest).and_then(|rules| best(rules, method)) {
                return found;
            }
        }
        default
    }
}

fn best(rules: &[(Option<String>, RouteMatch)], method: &str) -> Option<RouteMatch> {
    let own = rules.iter().find(|(rule, _)| rule.as_deref() == Some(method));
    own.or_else(|| rules.iter().find(|(rule, _)| rule.is_none())).map(|(_, to)| *to)
}

/// Returns the policy's digest for tokens. It depends on the name only, so it is the same in every
/// process.
pub(in crate::gate) fn policy_digest(name: &str) -> u64 {
    let digest = sha3_512(format!("pouw-policy-v1\0{name}").as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: std::time::Duration = std::time::Duration::from_millis(1);

    fn routes() -> Routes {
        let policies = [
            Policy::new("default", 1, MS),
            Policy::new("api", 1, MS).route("/api/*"),
            Policy::new("upload", 1, MS).route("POST /api/files/*").route("/api/exact"),
        ];
        Routes::new(&policies, &["/healthz".into(), "GET /api/files/free".into()])
    }

    #[test]
    fn the_longest_match_counts_and_one_for_the_method_goes_first() {
        let routes = routes();
        let policy = |id| RouteMatch::Policy(PolicyId(id));
        for (method, path, expected) in [
            ("GET", "/", policy(0)),
            ("GET", "/apix", policy(0)),
            ("GET", "/api", policy(0)),
            ("GET", "/api/", policy(1)),
            ("GET", "/api/x/y", policy(1)),
            ("GET", "/api/files/x", policy(1)),
            ("POST", "/api/files/x", policy(2)),
            ("PUT", "/api/exact", policy(2)),
            ("GET", "/api/exact/more", policy(1)),
            ("GET", "/healthz", RouteMatch::Exempt),
            ("GET", "/healthz/", policy(0)),
            ("GET", "/api/files/free", RouteMatch::Exempt),
            ("DELETE", "/api/files/free", policy(1)),
            ("GET", "", policy(0)),
            ("GET", "*", policy(0)),
        ] {
            assert_eq!(routes.policy_of(method, path), expected, "{method} {path}");
        }
        let deep = format!("/api/files{}", "/".repeat(100_000));
        assert_eq!(routes.policy_of("POST", &deep), policy(2));
        assert_eq!(routes.policy_of("POST", &deep[4..]), policy(0));
    }

    #[test]
    fn what_is_no_route_is_refused() {
        for bad in ["", "path", "get /x", "GET", "GET  /x", "/a*b", "/a?b", " /x", "/x y", "GET x"] {
            assert_eq!(Pattern::parse(bad), None, "{bad:?}");
        }
        assert!(["/*", "/", "GET /*", "/a/b"].into_iter().all(|good| Pattern::parse(good).is_some()));
    }
}
