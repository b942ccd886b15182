//! Hashing many messages at once.
//!
//! SHA3-512 of one message is sequential, so wide registers only help if several messages are
//! hashed side by side. Callers batch messages, [`best_lanes`] selects a kernel that implements
//! [`HashLanes`]. Every kernel returns the bytes of [`sha3_512`].

use alloc::{vec, vec::Vec};
use core::fmt;

use super::checksum::Checksum;
use super::scalar::{hash_parent, sha3_512};

/// A kernel that hashes several messages side by side.
pub trait HashLanes: fmt::Debug + Send + Sync {
    /// Returns the kernel's name for logs and benchmarks, such as `scalar`.
    fn name(&self) -> &'static str;

    /// Returns the number of messages hashed side by side. Multiples of it are the most efficient
    /// batches.
    fn lanes(&self) -> usize;

    /// Writes SHA3-512 of `messages[i]` to `out[i]`. The messages may differ in length.
    ///
    /// # Panics
    ///
    /// If the two slices differ in length.
    fn hash_many(&self, messages: &[&[u8]], out: &mut [Checksum]);

    /// Writes the parents of one level of nodes to `out`: [`hash_parent`] of each pair, and of the
    /// last node alone if their number is odd.
    ///
    /// # Panics
    ///
    /// If `out.len()` is not `ceil(nodes.len() / 2)`.
    fn hash_parents(&self, nodes: &[Checksum], out: &mut [Checksum]) {
        assert_level_lengths(nodes, out);
        let level = nodes.chunks(2 * PARENTS_AT_ONCE).zip(out.chunks_mut(PARENTS_AT_ONCE));
        for (nodes, out) in level {
            let mut children = [0; 2 * PARENTS_AT_ONCE * Checksum::LEN];
            for (bytes, node) in children.chunks_exact_mut(Checksum::LEN).zip(nodes) {
                bytes.copy_from_slice(node.as_bytes());
            }
            let mut messages = [[].as_slice(); PARENTS_AT_ONCE];
            let used = &children[..nodes.len() * Checksum::LEN];
            for (message, pair) in messages.iter_mut().zip(used.chunks(2 * Checksum::LEN)) {
                *message = pair;
            }
            self.hash_many(&messages[..out.len()], out);
        }
    }
}

/// Returns the fastest kernel for this processor.
pub fn best_lanes() -> &'static dyn HashLanes {
    &Scalar
}

/// Returns SHA3-512 of each message, in order.
pub fn hash_batch(messages: &[&[u8]]) -> Vec<Checksum> {
    let mut out = vec![Checksum::ZERO; messages.len()];
    best_lanes().hash_many(messages, &mut out);
    out
}

/// Writes SHA3-512 of `messages[i]` to `out[i]`, without allocating.
///
/// # Panics
///
/// If the two slices differ in length.
pub fn hash_batch_into(messages: &[&[u8]], out: &mut [Checksum]) {
    best_lanes().hash_many(messages, out);
}

/// A kernel that hashes one message after the other with the `sha3` crate. It works on any
/// processor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scalar;

impl HashLanes for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn lanes(&self) -> usize {
        1
    }

    fn hash_many(&self, messages: &[&[u8]], out: &mut [Checksum]) {
        assert_eq!(messages.len(), out.len(), "one checksum of room for each message");
        for (message, out) in messages.iter().zip(out) {
            *out = sha3_512(message);
        }
    }

    fn hash_parents(&self, nodes: &[Checksum], out: &mut [Checksum]) {
        assert_level_lengths(nodes, out);
        for (pair, out) in nodes.chunks(2).zip(out) {
            *out = hash_parent(&pair[0], pair.get(1));
        }
    }
}

fn assert_level_lengths(nodes: &[Checksum], out: &[Checksum]) {
    assert_eq!(nodes.len().div_ceil(2), out.len(), "one checksum of room for each parent");
}

/// Parents that the default [`HashLanes::hash_parents`] hands to a kernel at once: half a tile, 2
/// KiB of stack.
const PARENTS_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    /// A kernel that leaves everything to the defaults of the trait.
    #[derive(Debug)]
    struct Plain;

    impl HashLanes for Plain {
        fn name(&self) -> &'static str {
            "plain"
        }

        fn lanes(&self) -> usize {
            1
        }

        fn hash_many(&self, messages: &[&[u8]], out: &mut [Checksum]) {
            Scalar.hash_many(messages, out);
        }
    }

    #[test]
    fn every_kernel_folds_a_level_of_any_width_to_the_same_parents() {
        let nodes: Vec<Checksum> = (0..100_u8).map(|i| sha3_512(&[i])).collect();
        for width in 0..=nodes.len() {
            let nodes = &nodes[..width];
            let one_by_one: Vec<Checksum> = nodes.chunks(2).map(|pair| hash_parent(&pair[0], pair.get(1))).collect();
            for kernel in [&Plain as &dyn HashLanes, &Scalar, best_lanes()] {
                let mut parents = vec![Checksum::ZERO; width.div_ceil(2)];
                kernel.hash_parents(nodes, &mut parents);
                assert_eq!(parents, one_by_one, "{} at width {width}", kernel.name());
            }
        }
    }

    #[test]
    #[should_panic(expected = "one checksum of room for each message")]
    fn a_batch_without_room_for_every_answer_is_a_bug_of_the_caller() {
        hash_batch_into(&[b"a", b"b"], &mut [Checksum::ZERO]);
    }

    quickcheck! {
        fn a_batch_gives_the_hash_of_each_message_in_order(messages: Vec<Vec<u8>>) -> bool {
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let one_by_one: Vec<Checksum> = messages.iter().map(|data| sha3_512(data)).collect();
            let mut out = vec![Checksum::ZERO; messages.len()];
            hash_batch_into(&messages, &mut out);
            hash_batch(&messages) == one_by_one && out == one_by_one
        }
    }
}
