//! Opening a token: no text panics, what opens is what would be sealed, and a sealed token with one
//! bit changed never opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pouw::protocol::{
    ChallengeToken, ClientDigest, DifficultyTier, Keyring, TokenPurpose, TreeHandle, UnixMillis, WorkId, limits,
};

fuzz_target!(|data: &[u8]| {
    let keyring = Keyring::new(&[0x5a; 32]).expect("32 bytes");
    let text = String::from_utf8_lossy(data);
    if let Ok(token) = ChallengeToken::open(&text, &keyring, u64::MAX) {
        assert_eq!(token.seal(&keyring), text);
    }

    let mut source = data.iter().copied().chain(core::iter::repeat(0));
    let mut byte = || source.next().unwrap_or_default();
    let flip = usize::from(byte()) * 8 + usize::from(byte());
    let token = token(&mut byte);
    let sealed = token.seal(&keyring);
    assert!(sealed.len() <= limits::MAX_TOKEN_CHARS);
    assert_eq!(ChallengeToken::open(&sealed, &keyring, u64::MAX), Ok(token));

    let mut changed = sealed.into_bytes();
    let at = flip / 7 % changed.len();
    changed[at] ^= 1 << (flip % 7);
    let changed = String::from_utf8(changed).expect("seven bits are ASCII");
    assert!(ChallengeToken::open(&changed, &keyring, u64::MAX).is_err());
});

fn token(byte: &mut impl FnMut() -> u8) -> ChallengeToken {
    ChallengeToken {
        purpose: [TokenPurpose::Work, TokenPurpose::Interior, TokenPurpose::Synthetic][usize::from(byte() % 3)],
        store: bytes(byte),
        boot: number(byte),
        id: WorkId::from_bytes(bytes(byte)),
        client: ClientDigest::from_bytes(bytes(byte)),
        by_address: byte() % 2 == 1,
        tree: TreeHandle::from_bytes(bytes(byte)),
        start: number(byte),
        order: byte() % (limits::MAX_FOLD_LEVELS + 1),
        data_digest: number(byte),
        tier: DifficultyTier::ALL[usize::from(byte() % 3)],
        policy: number(byte),
        issued_at: UnixMillis(number(byte)),
        not_before: UnixMillis(number(byte)),
        expires_at: UnixMillis(number(byte)),
    }
}

fn bytes<const N: usize>(byte: &mut impl FnMut() -> u8) -> [u8; N] {
    core::array::from_fn(|_| byte())
}

fn number(byte: &mut impl FnMut() -> u8) -> u64 {
    u64::from_le_bytes(bytes(byte))
}
