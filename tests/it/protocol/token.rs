//! Challenge tokens: what is sealed opens, and nothing else does.

use data_encoding::BASE64URL_NOPAD;
use pouw::protocol::{
    ChallengeToken, ClientDigest, DifficultyTier, KeyId, Keyring, Reason, SecretError, TokenError, TokenPurpose,
    TreeHandle, UnixMillis, WorkId, data_digest, limits,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

const MAX_LIFETIME_MS: u64 = 600_000;

#[derive(Debug, Clone)]
struct AnyToken(ChallengeToken);

impl Arbitrary for AnyToken {
    fn arbitrary(g: &mut Gen) -> Self {
        let issued_at = u64::arbitrary(g) >> 16;
        let lifetime = u64::arbitrary(g) % (MAX_LIFETIME_MS + 1);
        Self(ChallengeToken {
            purpose: *g.choose(&[TokenPurpose::Work, TokenPurpose::Interior, TokenPurpose::Synthetic]).unwrap(),
            store: bytes(g),
            boot: u64::arbitrary(g),
            id: WorkId::from_bytes(bytes(g)),
            client: ClientDigest::from_bytes(bytes(g)),
            by_address: bool::arbitrary(g),
            tree: TreeHandle::from_bytes(bytes(g)),
            start: u64::arbitrary(g),
            order: u8::arbitrary(g) % (limits::MAX_FOLD_LEVELS + 1),
            data_digest: u64::arbitrary(g),
            tier: *g.choose(&DifficultyTier::ALL).unwrap(),
            policy: u64::arbitrary(g),
            issued_at: UnixMillis(issued_at),
            not_before: UnixMillis(u64::arbitrary(g)),
            expires_at: UnixMillis(issued_at + lifetime),
        })
    }
}

fn bytes<const N: usize>(g: &mut Gen) -> [u8; N] {
    core::array::from_fn(|_| u8::arbitrary(g))
}

fn keyring() -> Keyring {
    Keyring::new(&[0x5a; 32]).unwrap()
}

fn sample() -> ChallengeToken {
    ChallengeToken {
        purpose: TokenPurpose::Work,
        store: [0x11; 16],
        boot: 3,
        id: WorkId::from_parts(1_700_000_000_123, [7; 10]),
        client: ClientDigest::of(&keyring(), b"192.0.2.1"),
        by_address: false,
        tree: TreeHandle::from_bytes([0x22; 16]),
        start: 64,
        order: 5,
        data_digest: 0x0102_0304_0506_0708,
        tier: DifficultyTier::High,
        policy: 9,
        issued_at: UnixMillis(1_700_000_000_123),
        not_before: UnixMillis(1_700_000_007_623),
        expires_at: UnixMillis(1_700_000_060_123),
    }
}

fn open(text: &str) -> Result<ChallengeToken, TokenError> {
    ChallengeToken::open(text, &keyring(), MAX_LIFETIME_MS)
}

fn malformed_part(text: &str) -> &'static str {
    match open(text) {
        Err(error @ TokenError::Malformed { what, .. }) => {
            assert_eq!(error.reason(), Reason::Malformed);
            what
        }
        other => panic!("{} characters gave {other:?}", text.len()),
    }
}

#[test]
fn what_is_sealed_opens_and_sealing_again_gives_the_same_bytes() {
    fn holds(AnyToken(token): AnyToken) -> bool {
        let text = token.seal(&keyring());
        text.len() <= limits::MAX_TOKEN_CHARS && text == token.seal(&keyring()) && open(&text) == Ok(token)
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(AnyToken) -> bool);
}

#[test]
fn property_02_a_token_past_its_expiry_is_rejected_whatever_else_is_right() {
    fn holds(AnyToken(token): AnyToken, later: u64) -> bool {
        let opened = open(&token.seal(&keyring())).unwrap();
        let before = UnixMillis(token.expires_at.0.saturating_sub(1));
        opened.is_expired(token.expires_at)
            && opened.is_expired(token.expires_at.saturating_add(later))
            && (before == token.expires_at || !opened.is_expired(before))
    }
    QuickCheck::new().quickcheck(holds as fn(AnyToken, u64) -> bool);
}

#[test]
fn property_03_a_token_with_any_single_bit_changed_is_rejected() {
    fn holds(AnyToken(token): AnyToken) -> bool {
        let sealed = BASE64URL_NOPAD.decode(token.seal(&keyring()).as_bytes()).unwrap();
        (0..sealed.len() * 8).all(|bit| {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = open(&BASE64URL_NOPAD.encode(&changed)).unwrap_err();
            // Only version and key id may be told apart from a bad MAC.
            match bit / 8 {
                0 => matches!(error, TokenError::Malformed { what: "version", .. }),
                1..9 => matches!(error, TokenError::UnknownKey { .. }),
                _ => error == TokenError::BadMac && error.reason() == Reason::TokenInvalid,
            }
        })
    }
    QuickCheck::new().tests(10).quickcheck(holds as fn(AnyToken) -> bool);
}

#[test]
fn property_03_a_token_with_any_single_character_changed_is_rejected() {
    let text = sample().seal(&keyring());
    for at in 0..text.len() {
        for other in 0..=127u8 {
            let mut changed = text.clone().into_bytes();
            if std::mem::replace(&mut changed[at], other) == other {
                continue;
            }
            let changed = String::from_utf8(changed).unwrap();
            assert!(open(&changed).is_err(), "character {at} changed to {other}");
        }
    }
}

#[test]
fn property_04_a_token_issued_to_one_client_is_rejected_from_any_other() {
    fn holds(AnyToken(token): AnyToken, client: Vec<u8>, other: Vec<u8>) -> bool {
        let token = ChallengeToken { client: ClientDigest::of(&keyring(), &client), ..token };
        let opened = open(&token.seal(&keyring())).unwrap();
        opened.is_for(&keyring(), &client) && opened.is_for(&keyring(), &other) == (client == other)
    }
    QuickCheck::new().quickcheck(holds as fn(AnyToken, Vec<u8>, Vec<u8>) -> bool);
}

/// Computed with Python's hmac, hashlib, struct and base64 from the layout in the documentation.
#[test]
fn a_fixed_keyring_and_fixed_contents_give_the_golden_text() {
    assert_eq!(keyring().key_id().to_string(), "545e843b9d4a41b9");
    assert_eq!(sample().client.to_string(), "36c62179967d5dfc2a5efd1be781fd4d");
    let golden = "AVRehDudSkG5AREREREREREREREREREREREDAAAAAAAAAAGLz-Voe3cHhwcHBwcHBwc2xiF5ln1d_Cpe_Rvngf1NIiIiIiIiIiIiIiIiIiIiIkAAAAAAAAAABQgHBgUEAwIBAwkAAAAAAAAAe2jlz4sBAADHheXPiwEAANtS5s-LAQAAqwCqVWtldk6F0ImQa-xqS86IX5OEze92QXtvwpo2FFBVnYQdoQOYlmeKfHfOLb6NwKp8ICo1e-W9Pq5sQJ9O3g";
    assert_eq!(sample().seal(&keyring()), golden);
    assert_eq!(open(golden), Ok(sample()));
}

#[test]
fn a_token_cut_short_at_any_length_is_malformed() {
    let text = sample().seal(&keyring());
    for length in 0..text.len() {
        let what = malformed_part(&text[..length]);
        assert!(matches!(what, "length" | "encoding"), "{length}: {what}");
    }
    assert_eq!(malformed_part(&format!("{text}A")), "length");
    assert_eq!(malformed_part(&format!("{text}AAAA")), "length");
}

#[test]
fn text_that_is_no_token_is_malformed_and_says_which_part() {
    let text = sample().seal(&keyring());
    assert_eq!(text.len(), 262);
    let with_last = |last: &str| format!("{}{last}", &text[..261]);
    // The last character carries two bits; the four below them are to be zero.
    assert!(matches!(text.as_bytes()[261], b'A' | b'Q' | b'g' | b'w'));
    for last in ["B", "C", "E", "I", "R", "_"] {
        assert_eq!(malformed_part(&with_last(last)), "encoding");
    }
    for wrong in ["=", "+", "/", " ", "\n", "\0", "\u{e9}"] {
        assert_eq!(malformed_part(&with_last(wrong)), "encoding", "{wrong:?}");
    }
    assert_eq!(malformed_part(&text.replace('-', "+").replace('_', "/")), "encoding");
    assert_eq!(malformed_part(&format!("{text}==")), "encoding");
    assert_eq!(malformed_part(""), "length");
    assert_eq!(malformed_part(&"A".repeat(513)), "length");
    assert_eq!(malformed_part(&"A".repeat(1 << 20)), "length");
    assert_eq!(malformed_part(&"A".repeat(262)), "version");
    assert_eq!(malformed_part("Ag"), "version");
    let mut long = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    long.push(0);
    assert_eq!(malformed_part(&BASE64URL_NOPAD.encode(&long)), "length");
}

#[test]
fn a_lifetime_over_the_maximum_is_refused_and_one_at_the_maximum_is_not() {
    let text = sample().seal(&keyring());
    assert!(ChallengeToken::open(&text, &keyring(), 60_000).is_ok());
    let error = ChallengeToken::open(&text, &keyring(), 59_999).unwrap_err();
    assert_eq!(error, TokenError::Lifetime { lifetime_ms: 60_000, max_lifetime_ms: 59_999 });
    assert_eq!(error.reason(), Reason::TokenExpired);
}

#[test]
fn a_range_too_wide_for_any_tree_is_refused_even_under_a_good_mac() {
    let token = ChallengeToken { order: limits::MAX_FOLD_LEVELS + 1, ..sample() };
    assert_eq!(malformed_part(&token.seal(&keyring())), "fields");
}

#[test]
fn old_secrets_open_old_tokens_and_clients_stay_who_they_are() {
    let text = sample().seal(&keyring());
    let rotated = Keyring::new(&[0xa5; 64]).unwrap().with_previous(&[0x5a; 32]).unwrap();
    let opened = ChallengeToken::open(&text, &rotated, MAX_LIFETIME_MS).unwrap();
    assert_eq!(opened, sample());
    assert!(opened.is_for(&rotated, b"192.0.2.1"));
    assert!(!opened.is_for(&rotated, b"192.0.2.2"));
    let renewed = opened.seal(&rotated);
    assert_ne!(renewed, text);
    let error = open(&renewed).unwrap_err();
    assert_eq!(error, TokenError::UnknownKey { key_id: rotated.key_id() });
    assert_eq!(error.reason(), Reason::TokenExpired);
}

#[test]
fn a_secret_that_is_short_repeated_or_one_too_many_is_refused() {
    assert_eq!(Keyring::new(&[1; 31]).unwrap_err(), SecretError::TooShort { length: 31 });
    let key_id: KeyId = keyring().key_id();
    assert_eq!(keyring().with_previous(&[0x5a; 32]).unwrap_err(), SecretError::Repeated { key_id });
    assert_eq!(keyring().with_previous(b"short").unwrap_err(), SecretError::TooShort { length: 5 });
    let mut full = keyring();
    for secret in 1..limits::MAX_SECRETS {
        full = full.with_previous(&[secret as u8; 32]).unwrap();
    }
    assert_eq!(full.with_previous(&[99; 32]).unwrap_err(), SecretError::TooMany);
}

#[test]
fn a_keyring_shows_key_ids_and_never_a_secret() {
    let keyring = Keyring::new(b"correct horse battery staple, twice over").unwrap();
    let shown = format!("{keyring:?} {keyring:#?}");
    assert!(shown.contains(&keyring.key_id().to_string()));
    assert!(!shown.contains("correct horse"));
    assert!(!shown.contains("99, 111, 114, 114"));
}

#[test]
fn derivations_depend_on_secret_label_data_and_where_they_part() {
    let one = keyring();
    let other = Keyring::new(&[0xa5; 32]).unwrap();
    let base = one.derive(b"label", b"data");
    assert_eq!(base, one.derive(b"label", b"data"));
    for different in [
        one.derive(b"labeld", b"ata"),
        one.derive(b"", b"labeldata"),
        one.derive(b"label", b"data\0"),
        one.derive(b"Label", b"data"),
        other.derive(b"label", b"data"),
    ] {
        assert_ne!(base, different);
    }
    let rotated = other.with_previous(&[0x5a; 32]).unwrap();
    let all: Vec<_> = rotated.derivations(b"label", b"data").collect();
    assert_eq!(all, [rotated.derive(b"label", b"data"), base]);
}

#[test]
fn the_data_digest_notices_any_changed_byte_and_any_changed_length() {
    fn holds(data: Vec<u8>, at: usize, change: u8) -> bool {
        let mut other = data.clone();
        match data.len() {
            0 => other.push(change),
            length => other[at % length] ^= change.max(1),
        }
        let mut longer = data.clone();
        longer.push(0);
        data_digest(&data) == data_digest(&data.clone())
            && data_digest(&data) != data_digest(&other)
            && data_digest(&data) != data_digest(&longer)
    }
    QuickCheck::new().quickcheck(holds as fn(Vec<u8>, usize, u8) -> bool);
}
