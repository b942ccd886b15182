//! Planted mistakes. Each is caught by a named test; one that is not would mean the test cannot fail.

/// A mistake real systems have shipped, switched on by a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// Answer before the commit.
    AcknowledgeEarly,
    /// Leave the consumed check out of the commit.
    SkipConsumedCheck,
    /// Leave the leaf state check out of the commit.
    SkipLeafCheck,
    /// Forget the work of an expired lease.
    NoRequeue,
    /// Take the unit from the body instead of the token.
    UnitFromBody,
    /// Honour a token of an earlier boot without adopting it as a lease.
    NoAdoptionCheck,
    /// End leases before their token.
    LeaseEndsEarly,
}

impl super::core::Core {
    /// The claim to judge: the lease's, or with [`Mistake::UnitFromBody`] the one the body names.
    pub(super) fn claim_from_body(
        &self,
        result: &crate::protocol::WorkResult,
        claim: crate::policy::lease::Claim,
    ) -> crate::policy::lease::Claim {
        if !self.config.makes(Mistake::UnitFromBody) {
            return claim;
        }
        self.queue.lock().leases.find(result.work_unit_id).map_or(claim, |lease| lease.claim)
    }
}
