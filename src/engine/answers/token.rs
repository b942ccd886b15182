//! Inspects a token, the first half of judging an answer. It needs no disk and no result: is the
//! token ours, in time, and this client's? The second half does not open the token again.

use crate::protocol::{ChallengeToken, ClientDigest, DifficultyTier, Malformed, UnixMillis, WorkId};

use crate::engine::answers::adopt;
use crate::engine::answers::settled;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::engine::for_gate::ForGate;

/// A token that passed every check that needs memory only. Its lease is checked when it is used.
/// The text of the token stays with the caller.
#[derive(Debug, Clone)]
pub struct Inspected {
    pub(in crate::engine) opened: ChallengeToken,
    /// Network prefix of the client. Its keyed digest is computed where needed: most answers need
    /// none.
    pub(in crate::engine) network: Box<[u8]>,
    seen_ms: u64,
}

impl Inspected {
    /// Sets the network prefix of the client; without it, the network is unknown.
    #[must_use]
    pub fn from_network(self, network: &[u8]) -> Self {
        Self { network: network.into(), ..self }
    }

    /// Returns whether the client it was issued to is an address.
    #[cfg(feature = "gate")]
    pub(crate) fn is_by_address(&self) -> bool {
        self.opened.by_address
    }

    /// Returns the challenge id.
    pub fn id(&self) -> WorkId {
        self.opened.id
    }

    /// Returns the tier the unit was issued for.
    pub fn tier(&self) -> DifficultyTier {
        self.opened.tier
    }

    /// Returns the milliseconds from the inspection until an answer counts; 0 if it counts already.
    pub fn wait_ms(&self) -> u64 {
        self.opened.not_before.0.saturating_sub(self.seen_ms)
    }

    /// Returns the milliseconds from the inspection until the token expires.
    pub fn ttl_ms(&self) -> u64 {
        self.opened.expires_at.0.saturating_sub(self.seen_ms)
    }
}

impl ForGate<'_> {
    /// Checks a token's MAC, store, expiry, client and policy, in this order. Reads no disk and
    /// changes nothing.
    ///
    /// # Errors
    /// The error an answer with this token gets from these five checks.
    pub fn inspect(&self, client: &[u8], token: &str, policy: u64) -> Result<Inspected, SubmitError> {
        Ok(inspect(self.core(), || self.core().keys.digest_of(client), token, Some(policy))?)
    }

    /// The same for a client whose digest is known or easily found: it is asked for only if the
    /// token is ours and in time.
    ///
    /// # Errors
    /// As there, with the token if it is another client's.
    #[cfg(feature = "gate")]
    pub(crate) fn inspect_for(
        &self,
        client: impl FnOnce() -> ClientDigest,
        token: &str,
        policy: u64,
    ) -> Result<Inspected, NotInspected> {
        inspect(self.core(), client, token, Some(policy))
    }

    /// Returns whether its challenge is known to be over: used, closed or withdrawn. Reads memory
    /// only, so the end of a challenge from before a restart is never known.
    pub fn is_over(&self, inspected: &Inspected) -> bool {
        let (core, token) = (self.core(), &inspected.opened);
        token.boot == core.identity.boot && core.queue.lock().leases.find(token.id).is_none()
    }

    /// Checks that its challenge is still open. A token from before a restart is adopted if it can
    /// be.
    ///
    /// # Errors
    /// The challenge was used or withdrawn, or it cannot be determined right now.
    pub fn check_open(&self, inspected: &Inspected) -> Result<(), SubmitError> {
        let core = self.core();
        still_good(core, inspected)?;
        adopt::open_claim(core, &inspected.opened).map(drop)
    }

    /// Counts an unreadable result against its challenge, as [`SubmitError::Malformed`] is counted:
    /// the eighth closes it.
    ///
    /// # Errors
    /// The checks before the well-formed result in the order of judgement: used, withdrawn, too
    /// early, or another copy is being judged. Then nothing is counted.
    pub fn refuse_malformed(&self, inspected: &Inspected) -> Result<(), SubmitError> {
        let core = self.core();
        still_good(core, inspected)?;
        let token = &inspected.opened;
        let held = adopt::pin(core, token)?;
        let malformed = SubmitError::Malformed(Malformed::new("workResult", "a work result", "something else"));
        let early = check_floor(core, token);
        settled::after_refusal(core, held, token, early.as_ref().err().unwrap_or(&malformed));
        early.map(drop)
    }
}

pub(in crate::engine) fn inspect(
    core: &Core,
    client: impl FnOnce() -> ClientDigest,
    text: &str,
    policy: Option<u64>,
) -> Result<Inspected, NotInspected> {
    let opened = open_token(core, text)?;
    let inspected = Inspected { opened, network: Box::default(), seen_ms: core.time.now_ms() };
    if opened.client != client() {
        return Err(NotInspected { error: SubmitError::ClientMismatch, foreign: Some(Box::new(inspected)) });
    }
    if policy.is_some_and(|policy| policy != opened.policy) {
        return Err(SubmitError::PolicyMismatch.into());
    }
    Ok(inspected)
}

/// A token that did not pass the checks.
#[derive(Debug)]
pub(crate) struct NotInspected {
    pub(crate) error: SubmitError,
    /// The token, if it is genuine and in time, but another client's.
    #[cfg_attr(not(feature = "gate"), expect(dead_code, reason = "only the gate looks at it"))]
    pub(crate) foreign: Option<Box<Inspected>>,
}

impl From<SubmitError> for NotInspected {
    fn from(error: SubmitError) -> Self {
        Self { error, foreign: None }
    }
}

impl From<NotInspected> for SubmitError {
    fn from(not: NotInspected) -> Self {
        not.error
    }
}

/// Checks again that it is valid: time may have passed since the inspection, and another engine
/// may have made it.
pub(in crate::engine) fn still_good(core: &Core, inspected: &Inspected) -> Result<(), SubmitError> {
    if inspected.opened.store != *core.identity.store.as_bytes() {
        return Err(SubmitError::OtherStore);
    }
    check_expiry(core, &inspected.opened)
}

/// Opens a token and checks MAC, store and expiry.
fn open_token(core: &Core, text: &str) -> Result<ChallengeToken, SubmitError> {
    let token =
        ChallengeToken::open(text, &core.keys.tokens, core.config.token_ttl_ms()).map_err(SubmitError::Token)?;
    if token.store != *core.identity.store.as_bytes() {
        return Err(SubmitError::OtherStore);
    }
    check_expiry(core, &token)?;
    Ok(token)
}

fn check_expiry(core: &Core, token: &ChallengeToken) -> Result<(), SubmitError> {
    let now = core.time.now_ms();
    if token.is_expired(UnixMillis(now)) {
        return Err(SubmitError::Expired { late_ms: now.saturating_sub(token.expires_at.0) });
    }
    Ok(())
}

/// Returns the time, if the floor has passed.
pub(in crate::engine) fn check_floor(core: &Core, token: &ChallengeToken) -> Result<u64, SubmitError> {
    let now = core.time.now_ms();
    if now < token.not_before.0 {
        return Err(SubmitError::TooEarly { wait_ms: token.not_before.0 - now });
    }
    Ok(now)
}
