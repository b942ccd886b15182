//! SHA3-512 of one message.

use core::fmt;

use sha3::{Digest as _, Sha3_512};

use super::checksum::Checksum;

/// Returns the SHA3-512 hash (FIPS 202, section 6.1) of `data`.
pub fn sha3_512(data: &[u8]) -> Checksum {
    Checksum::from_bytes(Sha3_512::digest(data).into())
}

/// Returns the hash of the node above `left` and `right`: SHA3-512 of their 128 bytes, or of the 64
/// bytes of `left` if the node has no right child.
///
/// There is no padding node and `left` is never repeated, so a list of leaves and the same list
/// with its last leaf doubled have different roots (CVE-2012-2459 cannot arise).
pub fn hash_parent(left: &Checksum, right: Option<&Checksum>) -> Checksum {
    let Some(right) = right else {
        return sha3_512(left.as_bytes());
    };
    let mut children = [0; 2 * Checksum::LEN];
    let (first, second) = children.split_at_mut(Checksum::LEN);
    first.copy_from_slice(left.as_bytes());
    second.copy_from_slice(right.as_bytes());
    sha3_512(&children)
}

/// Returns the number of Keccak-f\[1600\] permutations in SHA3-512 of `len` bytes:
/// `floor(len / 72) + 1` (rate 576 bits, FIPS 202 sections 4 and 6.1). It is the unit of hashing
/// effort.
pub const fn permutations(len: u64) -> u64 {
    len / RATE_BYTES + 1
}

/// SHA3-512 of a message that arrives in pieces.
///
/// ```
/// use pouw::hash::{sha3_512, StreamingHash};
///
/// let mut hash = StreamingHash::new();
/// hash.update(b"a");
/// hash.update(b"bc");
/// assert_eq!(hash.finish(), sha3_512(b"abc"));
/// ```
#[derive(Clone, Default)]
pub struct StreamingHash {
    sponge: Sha3_512,
}

impl StreamingHash {
    /// Starts an empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `data` to the message.
    pub fn update(&mut self, data: &[u8]) {
        self.sponge.update(data);
    }

    /// Ends the message and returns its hash.
    pub fn finish(self) -> Checksum {
        Checksum::from_bytes(self.sponge.finalize().into())
    }
}

/// Shows the type only, nothing of the message.
impl fmt::Debug for StreamingHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamingHash")
    }
}

/// Bytes of message that one permutation of SHA3-512 absorbs.
const RATE_BYTES: u64 = 72;

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn sha3_512_gives_the_answers_of_fips_202() {
        assert_eq!(
            sha3_512(b"").to_hex(),
            "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a6\
             15b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26"
        );
        assert_eq!(
            sha3_512(b"abc").to_hex(),
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e\
             10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"
        );
    }

    #[test]
    fn a_parent_hashes_its_children_side_by_side_and_a_lone_child_by_itself() {
        let (a, b) = (sha3_512(b"a"), sha3_512(b"b"));
        let joined = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_eq!(hash_parent(&a, Some(&b)), sha3_512(&joined));
        assert_eq!(hash_parent(&a, None), sha3_512(a.as_bytes()));
        assert_ne!(hash_parent(&a, Some(&a)), hash_parent(&a, None));
        assert_ne!(hash_parent(&a, Some(&b)), hash_parent(&b, Some(&a)));
    }

    #[test]
    fn permutations_step_at_every_72_bytes() {
        assert_eq!(permutations(0), 1);
        assert_eq!(permutations(71), 1);
        assert_eq!(permutations(72), 2);
        assert_eq!(permutations(128), 2);
        assert_eq!(permutations(4096), 57);
        assert_eq!(permutations(u64::MAX), u64::MAX / 72 + 1);
    }

    quickcheck! {
        fn pieces_of_any_size_hash_like_the_whole(data: Vec<u8>, piece: u8) -> bool {
            let mut hash = StreamingHash::new();
            for part in data.chunks(usize::from(piece).max(1)) {
                hash.update(part);
            }
            hash.finish() == sha3_512(&data)
        }
    }
}
