//! Quorums: distinct clients that return the same.
//!
//! An answer becomes a vote if its client and its network have none in the group yet. Votes that
//! stay are alike on every leaf; where a new one differs, the server hashes exactly those leaves,
//! and clients that are wrong there are out.

use crate::hash::Checksum;
use crate::protocol::ClientDigest;

/// Who answers: keyed digests of client and network prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voter {
    /// The client.
    pub client: ClientDigest,
    /// Its network prefix.
    pub network: [u8; 16],
}

/// Whether this client may join a group of these: neither it nor its network is in it.
pub fn admits(group: &[Voter], asker: &Voter) -> bool {
    group.iter().all(|voter| voter.client != asker.client && voter.network != asker.network)
}

/// The places at which `given` differs from any of the votes, or, where the server has hashed a
/// leaf, from that hash. Of the first kind the server has to hash the leaf; the second it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Places to be hashed.
    pub open: Vec<u8>,
    /// The answer differs from a hash of the server's.
    pub wrong: bool,
}

/// Compares an answer with the votes and with what the server has hashed.
pub fn differences(given: &[Checksum], votes: &[&[Checksum]], refereed: &[(u8, Checksum)]) -> Differences {
    let mut out = Differences::default();
    for (place, hash) in given.iter().enumerate() {
        let known = refereed.iter().find(|(at, _)| usize::from(*at) == place);
        if let Some((_, right)) = known {
            out.wrong |= hash != right;
        } else if votes.iter().any(|vote| vote.get(place).is_none_or(|other| other != hash)) {
            out.open.push(place as u8);
        }
    }
    out
}

/// Whether an answer is right at these places.
pub fn is_right(given: impl Fn(usize) -> Option<Checksum>, hashed: &[(u8, Checksum)]) -> bool {
    hashed.iter().all(|(place, right)| given(usize::from(*place)).is_some_and(|hash| hash == *right))
}

/// Chance that a vote is a lie on `wrong` of `leaves` leaves, when a share of the clients lies
/// alike and each vote is audited on `k` leaves: `share a / (share a + 1 - share)`, where `a` is
/// the chance to pass the audit.
pub fn lying_votes(share: f64, leaves: u64, wrong: u64, k: u64) -> f64 {
    let passed = share * (1.0 - super::audit::detection(leaves, wrong, k));
    passed / (passed + 1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> Checksum {
        Checksum::from_bytes([byte; 64])
    }

    #[test]
    fn neither_a_client_nor_a_network_is_twice_in_a_group() {
        let voter = |client, network| Voter { client: ClientDigest::from_bytes([client; 16]), network: [network; 16] };
        let group = [voter(1, 1), voter(2, 2)];
        assert!(admits(&group, &voter(3, 3)));
        assert!(!admits(&group, &voter(1, 3)));
        assert!(!admits(&group, &voter(3, 2)));
        assert!(admits(&[], &voter(1, 1)));
    }

    #[test]
    fn exactly_the_leaves_that_differ_are_to_be_hashed() {
        let (first, second) = ([hash(1), hash(2), hash(3)], [hash(1), hash(2), hash(3)]);
        let votes: [&[Checksum]; 2] = [&first, &second];
        let all_alike = differences(&[hash(1), hash(2), hash(3)], &votes, &[]);
        assert_eq!(all_alike, Differences::default());
        let one = differences(&[hash(1), hash(9), hash(3)], &votes, &[]);
        assert_eq!(one, Differences { open: vec![1], wrong: false });
        let known = differences(&[hash(1), hash(9), hash(3)], &votes, &[(1, hash(2))]);
        assert_eq!(known, Differences { open: vec![], wrong: true });
        assert!(is_right(|place| [hash(1), hash(2)].get(place).copied(), &[(1, hash(2))]));
        assert!(!is_right(|place| [hash(1), hash(2)].get(place).copied(), &[(1, hash(3))]));
        assert!(!is_right(|_| None, &[(0, hash(3))]));
    }

    #[test]
    fn without_an_audit_the_share_of_lying_votes_is_that_of_lying_clients() {
        assert!((lying_votes(0.3, 32, 1, 0) - 0.3).abs() < 1e-12);
        assert!(lying_votes(0.5, 32, 16, 2) < 0.2);
        assert_eq!(lying_votes(0.5, 32, 32, 1), 0.0);
    }
}
