//! A byte budget: a token bucket in integer arithmetic.

/// Up to `capacity` bytes at once, filled evenly within `interval_ms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteBudget {
    capacity: u64,
    interval_ms: u64,
    /// Bytes times `interval_ms`, so that nothing is lost to rounding.
    level: u128,
    at_ms: u64,
}

impl ByteBudget {
    /// A full budget. An interval of 0 counts as 1 ms.
    pub fn new(capacity: u64, interval_ms: u64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { capacity, interval_ms, level: u128::from(capacity) * u128::from(interval_ms), at_ms: 0 }
    }

    /// Bytes that may be sent now.
    pub fn available(&mut self, now_ms: u64) -> u64 {
        self.fill(now_ms);
        u64::try_from(self.level / u128::from(self.interval_ms)).unwrap_or(u64::MAX)
    }

    /// Takes `bytes`, if that much is left.
    pub fn take(&mut self, now_ms: u64, bytes: u64) -> bool {
        let there = self.available(now_ms) >= bytes;
        if there {
            self.level -= u128::from(bytes) * u128::from(self.interval_ms);
        }
        there
    }

    /// Puts bytes back that were not sent after all.
    pub fn give_back(&mut self, now_ms: u64, bytes: u64) {
        self.fill(now_ms);
        self.level = (self.level + u128::from(bytes) * u128::from(self.interval_ms)).min(self.full());
    }

    /// Whether nothing of it is used.
    pub fn is_full(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level == self.full()
    }

    fn fill(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.level = (self.level + u128::from(self.capacity) * u128::from(passed_ms)).min(self.full());
    }

    fn full(&self) -> u128 {
        u128::from(self.capacity) * u128::from(self.interval_ms)
    }
}
