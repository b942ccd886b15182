//! Growing pauses between tries of what failed.

/// When something that failed may be tried again, engine time in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    tries: u32,
    until_ms: u64,
}

/// The second failure in a row costs this pause, each further one twice the last.
const FIRST_PAUSE_MS: u64 = 1_000;
/// Longest pause: 10 minutes.
pub const PAUSE_MAX_MS: u64 = 600_000;

impl Backoff {
    /// After the first failure: it may be tried again at once, which is with the next sweep.
    pub fn failed(now_ms: u64) -> Self {
        Self { tries: 0, until_ms: now_ms }
    }

    /// After one more failure in a row.
    #[must_use]
    pub fn failed_again(self, now_ms: u64) -> Self {
        let pause = FIRST_PAUSE_MS.saturating_mul(1 << self.tries.min(16)).min(PAUSE_MAX_MS);
        Self { tries: self.tries.saturating_add(1), until_ms: now_ms.saturating_add(pause) }
    }

    /// Whether the pause is over.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_ten_minutes() {
        let mut now = 5_000;
        let mut backoff = Backoff::failed(now);
        assert!(backoff.is_due(now), "the first try is not put off");
        let mut pauses = Vec::new();
        for _ in 0..40 {
            backoff = backoff.failed_again(now);
            let pause = (0..=PAUSE_MAX_MS / 1_000).find(|s| backoff.is_due(now + s * 1_000)).unwrap() * 1_000;
            assert!(!backoff.is_due(now + pause - 1));
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600].map(|s| s * 1_000));
        assert!(pauses[11..].iter().all(|pause| *pause == PAUSE_MAX_MS));
        assert!(!Backoff::failed(0).failed_again(u64::MAX).is_due(u64::MAX - 1), "at the end of time");
    }
}
