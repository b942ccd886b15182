//! Passes: the requests that an answer bought beside its own, kept for the origin that gave them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::protocol::header;

use super::place::{Home, Place};
use super::policies::Policies;
use super::problem::is_problem;

/// Most homes remembered; beyond, the one used longest ago is forgotten.
const HOMES_MAX: usize = 64;
/// Most passes of one home; beyond, the one that ends first is forgotten.
const PASSES_MAX: usize = 8;
/// Longest name of a pass or of a policy.
const NAME_BYTES_MAX: usize = 64;
/// Most digits of a number in the header.
const DIGITS_MAX: usize = 9;

/// The passes of a client and its clones. Requests that are sent at the same time share one.
pub(super) struct Passes {
    /// False if no pass is to be kept.
    keeps: bool,
    /// The home used last is the last one.
    homes: Mutex<Vec<Known>>,
}

/// What is known of an origin that gave a pass, for requests with the same credentials.
struct Known {
    home: Home,
    passes: Vec<Pass>,
    policies: Policies,
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
    home: Home,
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
}

impl Passes {
    pub(super) fn new(keeps: bool) -> Self {
        Self { keeps, homes: Mutex::default() }
    }

    /// Returns whether there is a pass for a request to this place, apart from the `refused` ones.
    pub(super) fn has(&self, place: &Place, refused: &[String]) -> bool {
        let mut homes = self.lock();
        let known = homes.iter_mut().find(|known| known.home == place.home);
        known.is_some_and(|known| known.best(place, refused).is_some())
    }

    /// Takes a pass for a request to this place, if there is one apart from the `refused` ones.
    pub(super) fn depart(self: &Arc<Self>, place: &Place, refused: &[String]) -> Option<Departed> {
        let mut homes = self.lock();
        let at = homes.iter().position(|known| known.home == place.home)?;
        let mut known = homes.remove(at);
        let taken = known.best(place, refused).map(|pass| {
            pass.sending += 1;
            (pass.name.clone(), pass.policy.clone())
        });
        homes.push(known);
        let (name, policy) = taken?;
        Some(Departed { passes: self.clone(), home: place.home.clone(), name, policy, settled: false })
    }

    /// Reads a response to a request to this place.
    pub(super) fn learn(&self, place: &Place, headers: &HeaderMap) {
        if !self.keeps {
            return;
        }
        let (given, policy) = (given(headers), policy_of(headers));
        let mut homes = self.lock();
        let at = match homes.iter().position(|known| known.home == place.home) {
            Some(at) => at,
            None if given.is_some_and(|(_, left, seconds)| left > 0 && seconds > 0) => {
                if homes.len() == HOMES_MAX {
                    homes.remove(0);
                }
                let policies = Policies::default();
                homes.push(Known { home: place.home.clone(), passes: Vec::new(), policies });
                homes.len() - 1
            }
            None => return,
        };
        let known = &mut homes[at];
        if let Some(policy) = policy {
            known.policies.learn(&place.method, &place.path, policy);
        }
        if let Some((name, left, seconds)) = given {
            known.given(name, policy, left, Instant::now() + Duration::from_secs(seconds.into()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        // No step leaves the list half changed.
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Returns the pass for a request to this place that ends first, apart from the `refused`
    /// ones.
    fn best(&mut self, place: &Place, refused: &[String]) -> Option<&mut Pass> {
        let now = Instant::now();
        self.drop_ended(now);
        let Self { passes, policies, .. } = self;
        let usable = |pass: &Pass| pass.is_usable(now) && !refused.contains(&pass.name);
        let has_pass = |policy: &str| passes.iter().any(|pass| usable(pass) && pass.policy.as_deref() == Some(policy));
        let guess = policies.guess(&place.method, &place.path, has_pass);
        let fits = |pass: &Pass| pass.policy.is_none() || guess.is_none() || pass.policy.as_deref() == guess;
        passes.iter_mut().filter(|pass| usable(pass) && fits(pass)).min_by_key(|pass| pass.until)
    }

    /// Forgets the passes that are over. While a request with one has no response, it stays: the
    /// response may say that some of it is left, which was true when it was written.
    fn drop_ended(&mut self, now: Instant) {
        self.passes.retain(|pass| pass.sending > 0 || pass.is_usable(now));
    }

    /// Keeps a new pass, or what is left of an old one. Responses overtake each other, so what is
    /// left never becomes more.
    fn given(&mut self, name: &str, policy: Option<&str>, left: u32, until: Instant) {
        if let Some(pass) = self.passes.iter_mut().find(|pass| pass.name == name) {
            (pass.left, pass.until) = (pass.left.min(left), pass.until.min(until));
            return;
        }
        self.drop_ended(Instant::now());
        if self.passes.len() == PASSES_MAX {
            let order = |(_, pass): &(usize, &Pass)| (pass.sending > 0, pass.until);
            let first = self.passes.iter().enumerate().min_by_key(order).map(|(at, _)| at);
            self.passes.swap_remove(first.unwrap_or(0));
        }
        let policy = policy.map(str::to_owned);
        self.passes.push(Pass { name: name.to_owned(), policy, left, sending: 0, until });
    }
}

impl Pass {
    /// Returns whether one more request can be sent with it.
    fn is_usable(&self, now: Instant) -> bool {
        self.sending < self.left && now < self.until
    }
}

impl Departed {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Ends the use of the pass as the head of the response shows, which [`Passes::learn`] has
    /// read.
    pub(super) fn settle(self, status: u16, headers: &HeaderMap) -> Fate {
        let fate = self.fate(status, headers);
        match fate {
            Fate::Kept | Fate::Elsewhere => self.keep(),
            Fate::Refused => self.forget(),
        }
        fate
    }

    /// Reads from the head of a response what became of the pass.
    fn fate(&self, status: u16, headers: &HeaderMap) -> Fate {
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        if status != 429 || !is_problem(content_type) || headers.contains_key(header::PASS) {
            return Fate::Kept;
        }
        match (policy_of(headers), self.policy.as_deref()) {
            (Some(policy), Some(own)) if policy != own => Fate::Elsewhere,
            _ if headers.contains_key(header::CHALLENGE) => Fate::Refused,
            // A ceiling, or a server without work for now. The pass is good for a later request.
            _ => Fate::Kept,
        }
    }

    /// Ends the use of a pass that is as good as before, or whose use [`Passes::learn`] has
    /// counted.
    pub(super) fn keep(mut self) {
        self.settled = true;
        self.change(|pass| pass.sending = pass.sending.saturating_sub(1));
    }

    /// Ends the use of a pass that the server refused, and the pass itself.
    fn forget(mut self) {
        self.settled = true;
        self.change(|pass| (pass.sending, pass.left) = (pass.sending.saturating_sub(1), 0));
    }

    fn change(&self, change: impl FnOnce(&mut Pass)) {
        let mut homes = self.passes.lock();
        let known = homes.iter_mut().find(|known| known.home == self.home);
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
