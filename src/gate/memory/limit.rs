//! The limits: each policy with its windows.

use crate::gate::config::builder::GateConfig;
use crate::gate::config::choices::{Policy, RateLimitDraft};
use crate::gate::config::routes::policy_digest;
use crate::gate::request::facts::PolicyId;
use crate::policy::window::WindowRules;

use super::digest::Digester;
use super::limiter::Limiter;

/// A policy and its windows.
#[derive(Debug)]
pub(in crate::gate) struct Limit {
    pub(in crate::gate) id: PolicyId,
    pub(in crate::gate) policy: Policy,
    pub(in crate::gate) digest: u64,
    pub(in crate::gate) draft: RateLimitDraft,
    pub(in crate::gate) limiter: Limiter,
}

/// The limits of all policies; that of the default policy is the first.
#[derive(Debug)]
pub(in crate::gate) struct Limits(Vec<Limit>);

impl Limits {
    pub(in crate::gate) fn new(config: &GateConfig, digests: Digester) -> Self {
        let GateConfig { settings, windows } = config;
        let limit = |(at, (policy, rules)): (usize, (&Policy, &WindowRules))| {
            let limiter = Limiter::new(*rules, settings.tracked_clients_max, digests);
            let id = PolicyId(u16::try_from(at).unwrap_or(0));
            let (digest, draft) = (policy_digest(&policy.name), settings.ratelimit_draft);
            Limit { id, digest, draft, policy: policy.clone(), limiter }
        };
        Self(settings.policies.iter().zip(windows).enumerate().map(limit).collect())
    }

    /// Returns the limit of a policy. Ids are from this gate's routes; an id of another gate falls
    /// back to the default policy.
    pub(in crate::gate) fn of(&self, policy: PolicyId) -> &Limit {
        self.0.get(usize::from(policy.0)).unwrap_or(&self.0[0])
    }

    pub(in crate::gate) fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.0.iter()
    }
}
