//! Failures that each round of the background work meets again: the same one is an event once a
//! minute.

use std::collections::BTreeMap;

/// Shortest engine time between two reports of the same failure.
const REPORT_EVERY_MS: u64 = 60_000;
/// Most failures that are remembered. At the bound the oldest is forgotten.
const REMEMBERED_MAX: usize = 16;

/// When failures were reported, engine time; by their text.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<String, u64>);

impl Repeats {
    /// Returns whether a failure is to be reported now.
    pub(super) fn is_news(&mut self, what: &str, now_ms: u64) -> bool {
        self.0.retain(|_, told_ms| now_ms.saturating_sub(*told_ms) < REPORT_EVERY_MS);
        if self.0.contains_key(what) {
            return false;
        }
        if self.0.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, told_ms)| **told_ms).map(|(what, _)| what.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(what.to_owned(), now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_is_reported_once_a_minute_and_another_one_at_once() {
        let mut repeats = Repeats::default();
        let mut told = |what, ms| repeats.is_news(what, ms);
        let first = [told("a", 5), told("a", 5), told("b", 6), told("a", 60_004), told("b", 60_005)];
        assert_eq!(first, [true, false, true, false, false]);
        assert_eq!([told("a", 60_005), told("a", 60_006), told("b", 60_006)], [true, false, true]);
    }

    #[test]
    fn the_oldest_failure_is_forgotten_at_the_bound() {
        let mut repeats = Repeats::default();
        for ms in 0..=REMEMBERED_MAX as u64 {
            assert!(repeats.is_news(&ms.to_string(), ms));
        }
        assert_eq!(repeats.0.len(), REMEMBERED_MAX);
        assert!(!repeats.is_news("1", 50) && repeats.is_news("0", 50));
    }
}
