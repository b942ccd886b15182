//! Trees for which something cannot be done now, and when it is tried again.

use std::collections::BTreeMap;

use crate::policy::backoff::Backoff;
use crate::store::TreeNumber;

/// Trees for which something cannot be done, the reason, and when that is tried again.
#[derive(Debug, Default)]
pub(in crate::engine) struct PutOff(BTreeMap<TreeNumber, (String, Backoff)>);

/// Most such trees that are remembered. Further ones are tried each time, and not reported.
const PUT_OFF_MAX: usize = 1_024;

impl PutOff {
    pub(in crate::engine) fn is_due(&self, tree: TreeNumber, now_ms: u64) -> bool {
        self.0.get(&tree).is_none_or(|(_, backoff)| backoff.is_due(now_ms))
    }

    /// It could be done, or a try is worth while: the content of the tree was given again.
    pub(in crate::engine) fn forget(&mut self, tree: TreeNumber) {
        self.0.remove(&tree);
    }

    /// Returns whether the reason is to be reported.
    pub(in crate::engine) fn failed(&mut self, tree: TreeNumber, why: &str, now_ms: u64) -> bool {
        if let Some((known, backoff)) = self.0.get_mut(&tree) {
            *backoff = backoff.failed_again(now_ms);
            let new = known != why;
            why.clone_into(known);
            return new;
        }
        let room = self.0.len() < PUT_OFF_MAX;
        if room {
            self.0.insert(tree, (why.to_owned(), Backoff::failed(now_ms)));
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_that_cannot_be_settled_are_tried_ever_more_rarely_and_reported_once() {
        let mut put_off = PutOff::default();
        let mut tries = Vec::new();
        for second in 0..40 {
            let now = second * 1_000;
            if put_off.is_due(1, now) {
                assert_eq!(put_off.failed(1, "gone", now), second == 0);
                tries.push(second);
            }
        }
        assert_eq!(tries, [0, 1, 2, 4, 8, 16, 32]);
        assert!(put_off.failed(1, "changed", 40_000), "another reason");
        for tree in 2..2_000 {
            assert_eq!(put_off.failed(tree, "gone", 0), tree <= PUT_OFF_MAX as u64);
        }
        assert!(put_off.is_due(2_000, 0));
    }
}
