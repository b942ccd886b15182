//! The pauses of a thread in the background.

/// Engine time between two sweeps.
pub(in crate::engine) const SWEEP_EVERY_MS: u64 = 1_000;
/// Longest pause after rounds that panicked.
const REST_MAX_MS: u64 = 60_000;

/// The pause after a round that panicked. It doubles while further rounds do.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rest {
    /// Engine time at which it ends.
    until_ms: u64,
    last_ms: u64,
}

impl Rest {
    pub(in crate::engine) fn begin(&mut self, now_ms: u64) {
        self.last_ms = (self.last_ms * 2).clamp(SWEEP_EVERY_MS, REST_MAX_MS);
        self.until_ms = now_ms.saturating_add(self.last_ms);
    }

    pub(in crate::engine) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    pub(in crate::engine) fn end(&mut self) {
        self.last_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_panic_in_a_row_are_further_and_further_apart_up_to_a_minute() {
        let mut rest = Rest::default();
        assert!(rest.is_over(0));
        let mut now_ms = 5;
        for pause_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            rest.begin(now_ms);
            assert!(!rest.is_over(now_ms + pause_ms - 1) && rest.is_over(now_ms + pause_ms), "{pause_ms}");
            now_ms += pause_ms;
        }
        rest.end();
        rest.begin(now_ms);
        assert!(rest.is_over(now_ms + 1_000));
    }
}
