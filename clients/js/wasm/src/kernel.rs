//! SHA3-512 (FIPS 202) with the whole Keccak state in local variables, which is what engines of WebAssembly turn into
//! fast code: over twice as fast there as a permutation of a state in memory. Two messages side by side in 128-bit
//! registers would be slower again, because those have no rotation.

use pouw::hash::{Checksum, HashLanes};

/// Bytes that one permutation absorbs.
const RATE_BYTES: usize = 72;

/// The 25 lanes; column x of row y is lane `x + 5 * y`.
type State = [u64; 25];

/// One message after the other.
#[derive(Debug)]
pub struct Local;

impl HashLanes for Local {
    fn name(&self) -> &'static str {
        "local"
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
}

fn sha3_512(message: &[u8]) -> Checksum {
    let mut state = [0; 25];
    let (blocks, rest) = message.as_chunks::<RATE_BYTES>();
    for block in blocks {
        absorb(&mut state, block);
    }
    // The two bits 01 of SHA-3, then the padding 10*1.
    let mut last = [0; RATE_BYTES];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x06;
    last[RATE_BYTES - 1] |= 0x80;
    absorb(&mut state, &last);
    let mut hash = [0; Checksum::LEN];
    for (bytes, lane) in hash.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    Checksum::from_bytes(hash)
}

fn absorb(state: &mut State, block: &[u8; RATE_BYTES]) {
    for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        *lane ^= u64::from_le_bytes(*bytes);
    }
    // A copy, not the state behind the reference: only a local array becomes local variables.
    let mut local = *state;
    for pair in ROUND_CONSTANTS.as_chunks::<2>().0 {
        local = round(&round(&local, pair[0]), pair[1]);
    }
    *state = local;
}

/// One round (FIPS 202, 3.2). Theta gives each lane the parity of two columns, rho and pi turn it and move it, chi
/// mixes each row, iota adds the constant.
#[inline(always)]
fn round(from: &State, constant: u64) -> State {
    let parity: [u64; 5] = core::array::from_fn(|x| from[x] ^ from[x + 5] ^ from[x + 10] ^ from[x + 15] ^ from[x + 20]);
    let theta: [u64; 5] = core::array::from_fn(|x| parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1));
    let mut to = [0; 25];
    for y in 0..5 {
        // Pi brings column (x + 3 * y) of row x here.
        let row: [u64; 5] = core::array::from_fn(|x| {
            let column = (x + 3 * y) % 5;
            let lane = column + 5 * x;
            (from[lane] ^ theta[column]).rotate_left(OFFSETS[lane])
        });
        for x in 0..5 {
            to[x + 5 * y] = row[x] ^ (!row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
    }
    to[0] ^= constant;
    to
}

/// How far rho turns each lane (FIPS 202, 3.2.2).
const OFFSETS: [u32; 25] = {
    let mut offsets = [0; 25];
    let (mut x, mut y) = (1, 0);
    let mut t = 0;
    while t < 24 {
        offsets[x + 5 * y] = ((t + 1) * (t + 2) / 2) % 64;
        (x, y) = (y, (2 * x + 3 * y) % 5);
        t += 1;
    }
    offsets
};

/// What iota adds in each round (FIPS 202, 3.2.5): bit `2^j - 1` of round i is bit `j + 7 * i` of a shift register.
const ROUND_CONSTANTS: [u64; 24] = {
    let mut constants = [0; 24];
    let mut register: u16 = 1;
    let mut i = 0;
    while i < 24 {
        let mut j = 0;
        while j < 7 {
            constants[i] |= ((register & 1) as u64) << ((1 << j) - 1);
            register <<= 1;
            if register & 0x100 != 0 {
                register ^= 0x171;
            }
            j += 1;
        }
        i += 1;
    }
    constants
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_every_length_around_a_block_are_those_of_the_library() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * 7 + i / 256) as u8).collect();
        for length in (0..300).chain([575, 576, 577, 1000]) {
            assert_eq!(sha3_512(&bytes[..length]), pouw::hash::sha3_512(&bytes[..length]), "{length} bytes");
        }
    }
}
