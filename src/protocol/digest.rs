//! A short digest of the bytes of a unit, to detect that their source has changed.

/// Returns a 64-bit digest of the bytes sent with a unit: SipHash-2-4 (Aumasson and Bernstein,
/// 2012) under a fixed key.
///
/// It shows, when a source is read again, whether it still has the bytes that were sent. A file
/// that changed by accident is missed with probability 2^-64. It is not a commitment: an attacker
/// who chooses both versions of a source can make them collide, but gains only an answer that
/// verification then rejects. SipHash costs a thirteenth of hashing the unit (128 KiB on one core:
/// 49 us, SHA-512 212 us, SHA3-512 622 us) and, unlike a truncated SHA3-512, reveals nothing about
/// a leaf hash.
///
/// ```
/// assert_ne!(pouw::protocol::data_digest(b"before"), pouw::protocol::data_digest(b"after"));
/// ```
pub fn data_digest(bytes: &[u8]) -> u64 {
    siphash_2_4(DATA_DIGEST_KEY, bytes)
}

fn siphash_2_4(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut v, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    last[7] = bytes.len() as u8;
    absorb(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

const fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// The bytes of "pouw-data-digest" read as two little-endian words.
const DATA_DIGEST_KEY: [u64; 2] = [u64::from_le_bytes(*b"pouw-dat"), u64::from_le_bytes(*b"a-digest")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_matches_the_published_vectors() {
        // Key 00..0f, input 00, 01, ... (Aumasson and Bernstein, reference vectors).
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: [u8; 15] = core::array::from_fn(|at| at as u8);
        assert_eq!(siphash_2_4(key, &input[..0]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash_2_4(key, &input[..1]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(siphash_2_4(key, &input[..8]), 0x93f5_f579_9a93_2462);
        assert_eq!(siphash_2_4(key, &input), 0xa129_ca61_49be_45e5);
    }
}
