//! The hashing of one unit of work as a WebAssembly module with raw exports.
//!
//! The host writes data to [`input`] and the length of each leaf to [`lengths`], has the leaves hashed with
//! [`leaves`] in as many calls as it likes, then asks for the node above them with [`fold`]. The hashes lie one
//! after the other at [`hashes`]: first those of the leaves, behind them the top node. JSON and base64 are the
//! host's. One module instance works on one unit at a time.
#![deny(missing_docs)]

mod kernel;

use std::cell::RefCell;

use kernel::Local;
use pouw::hash::{Checksum, HashLanes};
use pouw::protocol::limits::{MAX_UNIT_DATA_BYTES, MAX_UNIT_LEAVES};

/// Bytes of one hash in the output.
const HASH_BYTES: usize = Checksum::LEN;

struct Work {
    input: Vec<u8>,
    lengths: Vec<u32>,
    hashes: [Checksum; MAX_UNIT_LEAVES],
    output: Vec<u8>,
}

thread_local! {
    static WORK: RefCell<Work> = const {
        RefCell::new(Work {
            input: Vec::new(),
            lengths: Vec::new(),
            hashes: [Checksum::ZERO; MAX_UNIT_LEAVES],
            output: Vec::new(),
        })
    };
}

/// Makes room for `bytes` bytes of data and returns its address; 0 if no unit has that many.
#[unsafe(no_mangle)]
pub extern "C" fn input(bytes: usize) -> *mut u8 {
    WORK.with_borrow_mut(|work| {
        if bytes > MAX_UNIT_DATA_BYTES {
            return std::ptr::null_mut();
        }
        work.input.resize(bytes, 0);
        work.input.as_mut_ptr()
    })
}

/// Makes room for the lengths of `count` leaves and returns its address; 0 if no unit has that many.
#[unsafe(no_mangle)]
pub extern "C" fn lengths(count: usize) -> *mut u32 {
    WORK.with_borrow_mut(|work| {
        if count > MAX_UNIT_LEAVES {
            return std::ptr::null_mut();
        }
        work.lengths.resize(count, 0);
        work.lengths.as_mut_ptr()
    })
}

/// Makes room for all hashes and returns its address.
#[unsafe(no_mangle)]
pub extern "C" fn hashes() -> *const u8 {
    WORK.with_borrow_mut(|work| {
        work.output.resize((MAX_UNIT_LEAVES + 1) * HASH_BYTES, 0);
        work.output.as_ptr()
    })
}

/// Hashes the leaves `first` to `first + count`. Returns how many: fewer when there are no more, or when their
/// lengths leave the data.
#[unsafe(no_mangle)]
pub extern "C" fn leaves(first: usize, count: usize) -> usize {
    WORK.with_borrow_mut(|work| {
        let Work { input, lengths, hashes, output } = work;
        let mut rest = input.as_slice();
        let mut leaves: [&[u8]; MAX_UNIT_LEAVES] = [&[]; MAX_UNIT_LEAVES];
        let mut known = 0;
        for (leaf, length) in leaves.iter_mut().zip(lengths.iter()) {
            let Some((bytes, after)) = rest.split_at_checked(*length as usize) else {
                break;
            };
            *leaf = bytes;
            rest = after;
            known += 1;
        }
        let last = first.saturating_add(count).min(known);
        let (Some(leaves), Some(hashes)) = (leaves.get(first..last), hashes.get_mut(first..last)) else {
            return 0;
        };
        Local.hash_many(leaves, hashes);
        for (place, hash) in output.chunks_exact_mut(HASH_BYTES).skip(first).zip(hashes.iter()) {
            place.copy_from_slice(hash.as_bytes());
        }
        leaves.len()
    })
}

/// Writes the node `levels` parent steps above all leaves behind their hashes. Returns 1, or 0 when the steps do
/// not lead to one node.
#[unsafe(no_mangle)]
pub extern "C" fn fold(levels: u32) -> u32 {
    WORK.with_borrow_mut(|work| {
        let count = work.lengths.len();
        let top = fold_leaves(&work.hashes[..count], levels);
        let place = work.output.chunks_exact_mut(HASH_BYTES).nth(count);
        let (Some(top), Some(place)) = (top, place) else {
            return 0;
        };
        place.copy_from_slice(top.as_bytes());
        1
    })
}

/// The node that is exactly `levels` parent steps above the leaves; a node without a sibling is hashed alone at each.
fn fold_leaves(leaves: &[Checksum], levels: u32) -> Option<Checksum> {
    let mut row = [Checksum::ZERO; MAX_UNIT_LEAVES];
    row.get_mut(..leaves.len())?.copy_from_slice(leaves);
    let mut width = leaves.len();
    for _ in 0..levels {
        let mut parents = [Checksum::ZERO; MAX_UNIT_LEAVES];
        let above = width.div_ceil(2);
        Local.hash_parents(&row[..width], &mut parents[..above]);
        (row, width) = (parents, above);
    }
    (width == 1).then_some(row[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_those_of_the_library() {
        let leaves: Vec<Checksum> = (0..MAX_UNIT_LEAVES as u8).map(|i| pouw::hash::sha3_512(&[i])).collect();
        for count in 0..=leaves.len() {
            for levels in 0..9u8 {
                let expected = pouw::merkle::fold(&leaves[..count], levels);
                assert_eq!(fold_leaves(&leaves[..count], levels.into()), expected, "{count} leaves, {levels} levels");
            }
        }
        assert_eq!(fold_leaves(&[leaves.as_slice(), &leaves].concat(), 7), None);
    }

    #[test]
    fn a_unit_is_hashed_through_the_exports_in_pieces() {
        assert!(input(MAX_UNIT_DATA_BYTES + 1).is_null() && lengths(MAX_UNIT_LEAVES + 1).is_null());
        WORK.with_borrow_mut(|work| {
            work.input = b"abcdefg".to_vec();
            work.lengths = vec![3, 0, 4];
        });
        assert!(!hashes().is_null());
        assert_eq!((leaves(0, 2), leaves(2, 30), leaves(3, 1), leaves(usize::MAX, 2)), (2, 1, 0, 0));
        assert_eq!((fold(1), fold(2), fold(300)), (0, 1, 1));
        fold(2);
        let sums = [&b"abc"[..], b"", b"defg"].map(pouw::hash::sha3_512);
        let top = pouw::merkle::fold(&sums, 2).unwrap();
        let expected: Vec<u8> = sums.iter().chain([&top]).flat_map(|sum| *sum.as_bytes()).collect();
        WORK.with_borrow(|work| assert_eq!(work.output[..expected.len()], expected));
        WORK.with_borrow_mut(|work| work.lengths[2] = 5);
        assert_eq!(leaves(0, 3), 2, "the last leaf leaves the data");
    }
}
