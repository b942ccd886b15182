//! Challenges that were replaced by one without a second floor: withdrawn ones, and those of a
//! client whose address changed.

use std::collections::{BTreeSet, HashSet};

use parking_lot::Mutex;

use crate::protocol::WorkId;

/// Maximum number remembered. Above it, a replacement has the floor of its tier.
const REPLACED_MAX: usize = 65_536;

/// The ids of these challenges, each until its token expires.
#[derive(Debug, Default)]
pub(in crate::gate) struct Replaced(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    known: HashSet<WorkId>,
    by_expiry: BTreeSet<(u64, WorkId)>,
}

impl Replaced {
    /// Remembers a challenge; returns whether it is new and there was room for it.
    pub(in crate::gate) fn insert(&self, id: WorkId, expires_ms: u64, now_ms: u64) -> bool {
        self.0.lock().insert(id, expires_ms, now_ms)
    }

    /// Forgets a challenge in whose place none was issued.
    pub(in crate::gate) fn remove(&self, id: WorkId, expires_ms: u64) {
        self.0.lock().remove(id, expires_ms);
    }
}

impl Ids {
    fn remove(&mut self, id: WorkId, expires_ms: u64) {
        if self.known.remove(&id) {
            self.by_expiry.remove(&(expires_ms, id));
        }
    }

    fn insert(&mut self, id: WorkId, expires_ms: u64, now_ms: u64) -> bool {
        while let Some(oldest) = self.by_expiry.first().copied()
            && oldest.0 <= now_ms
        {
            self.by_expiry.remove(&oldest);
            self.known.remove(&oldest.1);
        }
        let is_new = self.known.len() < REPLACED_MAX && self.known.insert(id);
        if is_new {
            self.by_expiry.insert((expires_ms, id));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> WorkId {
        let [a, b] = [number.to_be_bytes(), [0x80; 8]];
        let mut text = String::new();
        for byte in a.into_iter().chain(b) {
            text.push_str(&format!("{byte:02x}"));
        }
        let parts = [&text[..8], &text[8..12], "7000", "8000", &text[..12]].join("-");
        parts.parse().unwrap()
    }

    #[test]
    fn each_is_new_once_until_it_expires_and_at_the_bound_none_is() {
        let replaced = Replaced::default();
        assert!(replaced.insert(id(1 << 32), 1_000, 0));
        assert!(!replaced.insert(id(1 << 32), 1_000, 999));
        assert!(replaced.insert(id(1 << 32), 2_000, 1_000));
        replaced.remove(id(1 << 32), 2_000);
        assert!(replaced.insert(id(1 << 32), 2_000, 1_000) && !replaced.insert(id(1 << 32), 2_000, 1_000));
        for number in 2..=REPLACED_MAX as u64 {
            assert!(replaced.insert(id(number << 32), 2_000, 1_000), "{number}");
        }
        assert!(!replaced.insert(id(1 << 60), 2_000, 1_999));
        assert!(replaced.insert(id(1 << 60), 3_000, 2_000));
        let ids = replaced.0.lock();
        assert_eq!((ids.known.len(), ids.by_expiry.len()), (1, 1));
    }
}
