//! Passes: the requests that an answer bought beside its own, kept for the origin that gave them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Uri};
use reqwest::Url;
use tokio::time::Instant;

use crate::protocol::header;

use super::problem::is_problem;

/// Most origins remembered; beyond, the one used longest ago is forgotten.
const ORIGINS_MAX: usize = 64;
/// Most passes of one origin; beyond, the one that ends first is forgotten.
const PASSES_MAX: usize = 8;
/// Most paths of one origin whose policy is remembered; beyond, the oldest is forgotten.
const PATHS_MAX: usize = 32;
/// Longest path that is remembered.
const PATH_BYTES_MAX: usize = 256;
/// Longest name of a pass or of a policy.
const NAME_BYTES_MAX: usize = 64;
/// Most digits of a number in the header.
const DIGITS_MAX: usize = 9;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    origin: String,
    path: String,
}

/// The passes of a client and its clones. Requests that are sent at the same time share one.
pub(super) struct Passes {
    /// False if no pass is to be kept.
    keeps: bool,
    /// The origin used last is the last one.
    origins: Mutex<Vec<Known>>,
}

/// What is known of an origin that gave a pass.
struct Known {
    origin: String,
    passes: Vec<Pass>,
    /// Paths and the policies that apply to them.
    paths: Vec<(String, String)>,
}

struct Pass {
    name: String,
    /// The policy that it belongs to, if the response named it.
    policy: Option<String>,
    /// Requests that are left of it.
    left: u32,
    /// Requests with it that have no response yet.
    sending: u32,
    until: Instant,
}

/// A pass that a request is sent with. It counts as used unless a response shows otherwise.
pub(super) struct Departed {
    passes: Arc<Passes>,
    origin: String,
    name: String,
    policy: Option<String>,
    settled: bool,
}

/// What a response shows of the pass that its request was sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as good as before, or its use was counted.
    Kept,
    /// It belongs to another policy than the request.
    Elsewhere,
    /// It is used up or unknown to the server.
    Refused,
    /// The reason in the refusal decides.
    Unclear,
}

impl Place {
    /// Returns the place of a request; `None` if the address has no origin.
    pub(super) fn of_uri(uri: &Uri) -> Option<Self> {
        Url::parse(&uri.to_string()).ok().and_then(|url| Self::of_url(&url))
    }

    /// The same for the address of a request of reqwest.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let origin = url.origin();
        let path = url.path().to_owned();
        origin.is_tuple().then(|| Self { origin: origin.ascii_serialization(), path })
    }
}

impl Passes {
    pub(super) fn new(keeps: bool) -> Self {
        Self { keeps, origins: Mutex::default() }
    }

    /// Returns whether there is a pass for a request to this place.
    pub(super) fn has(&self, place: &Place) -> bool {
        let mut origins = self.lock();
        origins.iter_mut().find(|known| known.origin == place.origin).is_some_and(|known| known.best(place).is_some())
    }

    /// Takes a pass for a request to this place, if there is one.
    pub(super) fn depart(self: &Arc<Self>, place: &Place) -> Option<Departed> {
        let mut origins = self.lock();
        let at = origins.iter().position(|known| known.origin == place.origin)?;
        let mut known = origins.remove(at);
        let taken = known.best(place).map(|pass| {
            pass.sending += 1;
            (pass.name.clone(), pass.policy.clone())
        });
        origins.push(known);
        let (name, policy) = taken?;
        Some(Departed { passes: self.clone(), origin: place.origin.clone(), name, policy, settled: false })
    }

    /// Reads a response to a request to this place.
    pub(super) fn learn(&self, place: &Place, headers: &HeaderMap) {
        if !self.keeps {
            return;
        }
        let (given, policy) = (given(headers), policy_of(headers));
        let mut origins = self.lock();
        let at = match origins.iter().position(|known| known.origin == place.origin) {
            Some(at) => at,
            None if given.is_some_and(|(_, left, seconds)| left > 0 && seconds > 0) => {
                if origins.len() == ORIGINS_MAX {
                    origins.remove(0);
                }
                origins.push(Known { origin: place.origin.clone(), passes: Vec::new(), paths: Vec::new() });
                origins.len() - 1
            }
            None => return,
        };
        let known = &mut origins[at];
        if let Some(policy) = policy {
            known.note(&place.path, policy);
        }
        if let Some((name, left, seconds)) = given {
            known.given(name, policy, left, Instant::now() + Duration::from_secs(seconds.into()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        // No step leaves the list half changed.
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Returns the pass for a request to this place that ends first.
    fn best(&mut self, place: &Place) -> Option<&mut Pass> {
        let now = Instant::now();
        self.passes.retain(|pass| now < pass.until && pass.left > 0);
        let policy = self.paths.iter().find(|(path, _)| *path == place.path).map(|(_, policy)| policy);
        let fits = |pass: &Pass| pass.policy.is_none() || policy.is_none() || pass.policy.as_ref() == policy;
        let usable = self.passes.iter_mut().filter(|pass| pass.sending < pass.left && fits(pass));
        usable.min_by_key(|pass| pass.until)
    }

    /// Remembers the policy of a path.
    fn note(&mut self, path: &str, policy: &str) {
        if let Some((_, known)) = self.paths.iter_mut().find(|(own, _)| own == path) {
            if known != policy {
                policy.clone_into(known);
            }
        } else if path.len() <= PATH_BYTES_MAX {
            if self.paths.len() == PATHS_MAX {
                self.paths.remove(0);
            }
            self.paths.push((path.to_owned(), policy.to_owned()));
        }
    }

    /// Keeps a new pass, or what is left of an old one. Responses overtake each other, so what is
    /// left never becomes more.
    fn given(&mut self, name: &str, policy: Option<&str>, left: u32, until: Instant) {
        if let Some(pass) = self.passes.iter_mut().find(|pass| pass.name == name) {
            (pass.left, pass.until) = (pass.left.min(left), pass.until.min(until));
            return;
        }
        if self.passes.len() == PASSES_MAX {
            let first = self.passes.iter().enumerate().min_by_key(|(_, pass)| pass.until).map(|(at, _)| at);
            self.passes.swap_remove(first.unwrap_or(0));
        }
        let policy = policy.map(str::to_owned);
        self.passes.push(Pass { name: name.to_owned(), policy, left, sending: 0, until });
    }
}

impl Departed {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads from the head of a response what became of the pass.
    pub(super) fn fate(&self, status: u16, headers: &HeaderMap) -> Fate {
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        if status != 429 || !is_problem(content_type) || headers.contains_key(header::PASS) {
            return Fate::Kept;
        }
        match (policy_of(headers), self.policy.as_deref()) {
            (Some(policy), Some(own)) if policy != own => Fate::Elsewhere,
            _ if headers.contains_key(header::CHALLENGE) => Fate::Refused,
            _ => Fate::Unclear,
        }
    }

    /// Ends the use of a pass that is as good as before, or whose use [`Passes::learn`] has
    /// counted.
    pub(super) fn keep(mut self) {
        self.settled = true;
        self.change(|pass| pass.sending = pass.sending.saturating_sub(1));
    }

    /// Forgets a pass that the server refused.
    pub(super) fn forget(mut self) {
        self.settled = true;
        let mut origins = self.passes.lock();
        if let Some(known) = origins.iter_mut().find(|known| known.origin == self.origin) {
            known.passes.retain(|pass| pass.name != self.name);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Pass)) {
        let mut origins = self.passes.lock();
        let known = origins.iter_mut().find(|known| known.origin == self.origin);
        if let Some(pass) = known.and_then(|known| known.passes.iter_mut().find(|pass| pass.name == self.name)) {
            change(pass);
        }
    }
}

impl Drop for Departed {
    fn drop(&mut self) {
        if !self.settled {
            self.change(|pass| {
                pass.sending = pass.sending.saturating_sub(1);
                pass.left = pass.left.saturating_sub(1);
            });
        }
    }
}

impl fmt::Debug for Passes {
    /// Not the names: logs must not give a pass away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes").field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

/// Reads the pass in a response: its name, and the requests and seconds that are left.
fn given(headers: &HeaderMap) -> Option<(&str, u32, u32)> {
    let mut parts = headers.get(header::PASS)?.to_str().ok()?.split(';');
    let name = parts.next().filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))?;
    let is_base64 = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let mut number = |prefix| {
        let digits = parts.next()?.strip_prefix(prefix)?;
        let is_number = digits.len() <= DIGITS_MAX && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_: &u32| is_number)
    };
    let (left, seconds) = (number("r=")?, number("t=")?);
    (is_base64 && parts.next().is_none()).then_some((name, left, seconds))
}

/// Reads the name of the policy in `RateLimit-Policy`, if it has one.
fn policy_of(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::RATELIMIT_POLICY)?.to_str().ok()?.strip_prefix('"')?;
    text.split_once('"').map(|(name, _)| name).filter(|name| name.len() <= NAME_BYTES_MAX)
}
