//! The security alert: failures of one client in a row (paper, event security-alert).

/// Failures of one client in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures(u32);

impl Failures {
    /// One more. How many in a row there are, when that is `threshold` or a multiple of it; a
    /// threshold of 0 never alerts.
    pub fn record(&mut self, threshold: u32) -> Option<u32> {
        self.0 = self.0.saturating_add(1);
        (threshold > 0 && self.0.is_multiple_of(threshold)).then_some(self.0)
    }

    /// An answer was accepted.
    pub fn clear(&mut self) {
        self.0 = 0;
    }
}
