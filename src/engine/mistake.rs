//! Planted mistakes. Each is caught by a named test; one that is not would mean the test cannot
//! fail.

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
    /// Accept answers without hashing a sample of them.
    SkipAudit,
    /// Let clients of one network vote on the same leaves.
    SameNetworkMayVote,
    /// Count votes when one is still missing.
    CountVoteEarly,
    /// Do not doubt the other answers of a liar.
    NoBacktrack,
    /// Export audited leaves under `Strict`.
    StrictTrustsAudited,
    /// Forget the work of an answer that is refused as withdrawn.
    WithdrawnIsLost,
    /// Give a unit back at once that is withdrawn by the server's own fault.
    FaultIsForgotten,
    /// Keep the lease of a token whose adoption failed.
    AdoptionKeepsLease,
    /// Take a standing as written that has changed while it was being written.
    StandingLost,
    /// Sweep once a second, however much is left.
    SweepOnce,
    /// Draw the samples of audits from a seed that everybody knows.
    AuditForeseen,
    /// Export a tree without folding it first.
    ExportUnvalidated,
    /// Leave the jobs that wait unanswered when the writer panics.
    PanicLeavesJobs,
    /// Leave out of health that the store stays closed.
    HealthIgnoresLatch,
    /// Issue units of a store that stays closed.
    LatchedIssues,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): for audits that come out the same every time.
#[derive(Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The seed of [`Mistake::AuditForeseen`].
pub const FORESEEN: u64 = 0;
