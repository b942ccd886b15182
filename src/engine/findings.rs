//! Damage that each round of the background work meets again: one event for each finding until it
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::store::TreeNumber;

/// Most findings that are remembered. Further ones are one event together.
const FINDINGS_MAX: usize = 1_024;

/// What was reported in this boot, by tree; 8 bytes for each text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    known: BTreeMap<Option<TreeNumber>, BTreeSet<u64>>,
    len: usize,
    full: bool,
}

impl Findings {
    /// Returns the sentence to be reported, if any.
    pub(super) fn news(&mut self, tree: Option<TreeNumber>, what: String) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let digest = hasher.finish();
        if self.known.get(&tree).is_some_and(|known| known.contains(&digest)) {
            return None;
        }
        if self.len < FINDINGS_MAX {
            self.len += 1;
            self.known.entry(tree).or_default().insert(digest);
            return Some(what);
        }
        let first = !std::mem::replace(&mut self.full, true);
        first.then(|| format!("{what}; more damage than {FINDINGS_MAX} findings, which are the last reported singly"))
    }

    /// The tree is gone, or its content was given again: what is found of it from now on is new.
    pub(super) fn forget(&mut self, tree: TreeNumber) {
        if let Some(known) = self.known.remove(&Some(tree)) {
            self.len -= known.len();
            self.full = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_reported_once_until_it_changes_or_its_tree_is_given_again() {
        let mut findings = Findings::default();
        let mut new = |tree, what: &str| findings.news(tree, what.to_owned()).is_some();
        let told = [new(Some(1), "a"), new(Some(1), "a"), new(Some(1), "b"), new(Some(2), "a"), new(None, "a")];
        assert_eq!(told, [true, false, true, true, true]);
        assert!(!new(Some(1), "a") && !new(None, "a"));
        findings.forget(1);
        assert!(findings.news(Some(1), "a".into()).is_some());
        assert!(findings.news(Some(2), "a".into()).is_none());
    }

    #[test]
    fn findings_beyond_the_bound_are_one_event_until_there_is_room() {
        let mut findings = Findings::default();
        let mut new = |tree: u64| findings.news(Some(tree), "row".to_owned());
        assert!((0..FINDINGS_MAX as u64).all(|tree| new(tree) == Some("row".to_owned())));
        assert!(new(5_000).is_some_and(|text| text.starts_with("row; more damage")));
        assert_eq!((new(5_000), new(5_001)), (None, None));
        findings.forget(7);
        assert_eq!(findings.news(Some(5_001), "row".into()), Some("row".to_owned()));
    }
}
