//! Bad tokens, bad answers and bad questions: each gets a typed error that says what to do, and changes nothing.

use std::time::Duration;

use crate::support::house::{House, SECRET, config, config_with};
use crate::support::work::{cut, solve};
use data_encoding::BASE64URL_NOPAD;
use pouw::hash::sha3_512;
use pouw::merkle::LeafIndex;
use pouw::protocol::{ChallengeToken, DifficultyTier, Keyring, MicroJoules, TokenError, UnixMillis, WorkResult};
use pouw::{Answer, Config, DebitError, IssueRequest, Issued, Receipt, SubmitError, TreeError, TreeInfo};

const TTL_MS: u64 = 60_000;

/// An engine with one open unit of each tier, held by the client `own`.
struct Desk {
    house: House,
    units: [Issued; 3],
}

impl Desk {
    fn new() -> Self {
        let house = House::with(config());
        let engine = &house.engine;
        engine.ingest_bytes(&cut(), "tree", &(0..512 * 90).map(|at| (at / 512) as u8).collect::<Vec<_>>()).unwrap();
        engine.refill().unwrap();
        let units = DifficultyTier::ALL.map(|tier| engine.issue(&IssueRequest::new(b"own", tier)).unwrap());
        Self { house, units }
    }

    /// All that anybody can see, but the leases and what this boot counts.
    fn state(&self) -> (Vec<TreeInfo>, u64, u64, u64, Vec<Receipt>) {
        let totals = self.house.engine.stats().totals;
        let receipts = self.units.iter().map(|issued| self.house.engine.receipt(issued.unit.id).unwrap());
        let trees = self.house.engine.trees(None, 10).unwrap();
        let balance = self.house.engine.balance(b"own").unwrap().0;
        (trees, totals.pending, self.house.engine.stats().ledger_entries, balance, receipts.collect())
    }

    /// `attempt` is refused and changes nothing; the right answers still count afterwards.
    fn refuses(self, attempt: impl Fn(&Self, &Issued)) {
        let (before, leases) = (self.state(), self.house.engine.stats().leases);
        for issued in &self.units {
            attempt(&self, issued);
            assert_eq!(self.state(), before);
        }
        assert_eq!(self.house.engine.stats().leases, leases);
        for issued in &self.units {
            self.house.engine.submit(&Answer::new(b"own", &solve(&issued.unit))).unwrap();
        }
    }

    fn submit(&self, token: &str, result: &WorkResult) -> SubmitError {
        self.house.engine.submit(&Answer::new(b"own", result).token(token)).unwrap_err()
    }
}

/// The message tells a person what to do next.
fn advises(error: &SubmitError, advice: &str) {
    let text = error.to_string();
    assert!(text.contains(advice), "{text:?} does not say {advice:?}");
}

#[test]
fn a_token_with_any_one_bit_flipped_is_refused() {
    let desk = Desk::new();
    let one = desk.units[0].unit.challenge_token.clone();
    let bits = BASE64URL_NOPAD.decode(one.as_bytes()).unwrap().len() * 8;
    desk.refuses(|desk, issued| {
        let bytes = BASE64URL_NOPAD.decode(issued.unit.challenge_token.as_bytes()).unwrap();
        let right = solve(&issued.unit);
        for bit in 0..bits {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let token = BASE64URL_NOPAD.encode(&flipped);
            let error = desk.submit(&token, &WorkResult { challenge_token: token.clone(), ..right.clone() });
            // The first byte is the version, the next eight name the secret; the rest is under the MAC.
            match (bit / 8, &error) {
                (0, SubmitError::Token(TokenError::Malformed { what: "version", .. })) => {}
                (1..=8, SubmitError::Token(TokenError::UnknownKey { .. })) => {}
                (9.., SubmitError::Token(TokenError::BadMac)) => {}
                _ => panic!("bit {bit} came to {error:?}"),
            }
        }
    });
}

#[test]
fn a_token_cut_short_at_any_place_is_refused() {
    Desk::new().refuses(|desk, issued| {
        let (whole, right) = (&issued.unit.challenge_token, solve(&issued.unit));
        for len in 0..whole.len() {
            let error = desk.submit(&whole[..len], &right);
            assert!(matches!(error, SubmitError::Token(TokenError::Malformed { .. })), "{len} came to {error:?}");
            advises(&error, "send the token as it was issued");
        }
    });
}

#[test]
fn a_token_of_a_mebibyte_or_of_other_letters_is_refused_without_being_decoded() {
    Desk::new().refuses(|desk, issued| {
        let right = solve(&issued.unit);
        let own = &issued.unit.challenge_token;
        let long = own.repeat((1 << 20) / own.len() + 1);
        for text in [long, format!("{own}A"), format!("{own}="), format!(" {own}"), own.replace('A', "\u{c4}")] {
            let error = desk.submit(&text, &right);
            assert!(matches!(error, SubmitError::Token(TokenError::Malformed { .. })), "{error:?}");
            assert!(error.to_string().len() < 300, "the error quotes its input: {error}");
        }
    });
}

#[test]
fn an_answer_from_another_client_is_refused() {
    Desk::new().refuses(|desk, issued| {
        let right = solve(&issued.unit);
        for client in [&b"other"[..], b"", b"own ", b"Own"] {
            let error = desk.house.engine.submit(&Answer::new(client, &right)).unwrap_err();
            assert!(matches!(error, SubmitError::ClientMismatch), "{error:?}");
            advises(&error, "ask for a challenge of your own");
        }
    });
}

#[test]
fn an_answer_under_another_policy_is_refused() {
    Desk::new().refuses(|desk, issued| {
        let right = solve(&issued.unit);
        let error = desk.house.engine.submit(&Answer::new(b"own", &right).policy(1)).unwrap_err();
        assert!(matches!(error, SubmitError::PolicyMismatch), "{error:?}");
        advises(&error, "ask for a challenge on this route");
    });
}

#[test]
fn an_answer_with_one_hash_missing_one_too_many_or_to_another_unit_is_malformed_and_the_token_stays_good() {
    Desk::new().refuses(|desk, issued| {
        let (right, token) = (solve(&issued.unit), issued.unit.challenge_token.as_str());
        let listed = right.leaf_hashes.len();
        let other = desk.units.iter().find(|other| other.unit.id != issued.unit.id).unwrap();
        let mut bad = vec![
            (
                "leafHashes",
                WorkResult {
                    leaf_hashes: [right.leaf_hashes.clone(), vec![right.result_hash]].concat(),
                    ..right.clone()
                },
            ),
            ("leafHashes", WorkResult { leaf_hashes: vec![right.result_hash; 4_000], ..right.clone() }),
            ("workUnitId", WorkResult { work_unit_id: other.unit.id, ..right.clone() }),
            ("workUnitId", WorkResult { challenge_token: token.to_owned(), ..solve(&other.unit) }),
            ("challengeToken", WorkResult { challenge_token: other.unit.challenge_token.clone(), ..right.clone() }),
        ];
        if listed > 0 {
            let missing = right.leaf_hashes[1..].to_vec();
            bad.push(("leafHashes", WorkResult { leaf_hashes: missing, ..right.clone() }));
            bad.push(("leafHashes", WorkResult { leaf_hashes: Vec::new(), ..right.clone() }));
        }
        for (member, result) in bad {
            match desk.submit(token, &result) {
                SubmitError::Malformed(malformed) => assert_eq!(malformed.member(), member),
                other => panic!("{member} came to {other:?}"),
            }
        }
    });
}

#[test]
fn a_permuted_answer_is_wrong_ends_its_challenge_and_its_work_goes_to_the_next_client() {
    let desk = Desk::new();
    let issued = &desk.units[2];
    let before = desk.state();
    let mut permuted = solve(&issued.unit);
    permuted.leaf_hashes.swap(0, 1);
    let error = desk.submit(&issued.unit.challenge_token, &permuted);
    assert!(matches!(&error, SubmitError::WrongResult { what } if what == "leafHashes[0]"), "{error:?}");
    advises(&error, "ask for a new challenge");
    // The refusal tells no hash: neither the right one nor the one given.
    let text = error.to_string();
    assert!(
        !text.contains(&permuted.leaf_hashes[0].to_hex()[..8])
            && !text.contains(&permuted.leaf_hashes[1].to_hex()[..8])
    );
    let dead = desk.submit(&issued.unit.challenge_token, &solve(&issued.unit));
    assert!(matches!(dead, SubmitError::Replayed), "{dead:?}");
    let (trees, pending, entries, balance, _) = desk.state();
    assert_eq!((trees, pending, entries, balance), (before.0, before.1, before.2, before.3));
    desk.house.engine.refill().unwrap();
    let mut seen = Vec::new();
    while let Ok(next) = desk.house.engine.issue(&IssueRequest::new(b"next", DifficultyTier::High)) {
        desk.house.engine.submit(&Answer::new(b"next", &solve(&next.unit))).unwrap();
        seen.push(next.unit.input_data);
        desk.house.engine.refill().unwrap();
    }
    assert!(seen.concat().windows(512).any(|leaf| leaf == &issued.unit.input_data[..512]));
    assert_eq!(desk.house.engine.stats().totals.refused, 1);
}

#[test]
fn right_leaves_with_a_wrong_top_are_wrong_whichever_bit_it_is() {
    for bit in [0, 1, 255, 511] {
        let desk = Desk::new();
        let issued = &desk.units[1];
        let mut result = solve(&issued.unit);
        let mut top = *result.result_hash.as_bytes();
        top[bit / 8] ^= 1 << (bit % 8);
        result.result_hash = pouw::hash::Checksum::from_bytes(top);
        let error = desk.submit(&issued.unit.challenge_token, &result);
        assert!(matches!(&error, SubmitError::WrongResult { what } if what == "resultHash"), "{error:?}");
        assert_eq!(desk.house.engine.stats().ledger_entries, 0);
    }
}

#[test]
fn an_expired_token_is_refused_from_its_first_dead_millisecond() {
    let desk = Desk::new();
    desk.house.clock.advance(Duration::from_millis(TTL_MS - 1));
    desk.house.engine.submit(&Answer::new(b"own", &solve(&desk.units[0].unit))).unwrap();
    desk.house.clock.advance(Duration::from_millis(1));
    let before = desk.state();
    for (late_ms, issued) in [(0, &desk.units[1]), (7, &desk.units[2])] {
        desk.house.clock.advance(Duration::from_millis(late_ms));
        let error = desk.submit(&issued.unit.challenge_token, &solve(&issued.unit));
        assert!(matches!(error, SubmitError::Expired { late_ms: told } if told == late_ms), "{error:?}");
        advises(&error, "ask for a new challenge");
    }
    assert_eq!(desk.state(), before);
}

#[test]
fn a_replayed_token_is_refused_with_the_same_answer_and_with_any_other() {
    let desk = Desk::new();
    for issued in &desk.units {
        let right = solve(&issued.unit);
        desk.house.engine.submit(&Answer::new(b"own", &right)).unwrap();
        let before = desk.state();
        let wrong = WorkResult { result_hash: sha3_512(b"wrong"), ..right.clone() };
        for result in [&right, &wrong] {
            let error = desk.submit(&issued.unit.challenge_token, result);
            assert!(matches!(error, SubmitError::Replayed), "{error:?}");
            advises(&error, "ask for a new challenge");
        }
        assert_eq!(desk.state(), before);
    }
}

#[test]
fn a_genuine_token_of_another_store_with_the_same_secret_is_refused() {
    let elsewhere = Desk::new();
    Desk::new().refuses(|desk, _| {
        for issued in &elsewhere.units {
            let error = desk.submit(&issued.unit.challenge_token, &solve(&issued.unit));
            assert!(matches!(error, SubmitError::OtherStore), "{error:?}");
            advises(&error, "ask for a new challenge");
        }
    });
}

#[test]
fn a_store_opened_with_another_secret_refuses_the_tokens_that_are_out_and_nothing_else() {
    let Desk { mut house, units } = Desk::new();
    house.engine.submit(&Answer::new(b"own", &solve(&units[0].unit))).unwrap();
    house.reopen_as(config_with([8; 32]));
    let desk = Desk { house, units };
    let before = desk.state();
    for issued in &desk.units {
        let error = desk.submit(&issued.unit.challenge_token, &solve(&issued.unit));
        assert!(matches!(error, SubmitError::Token(TokenError::UnknownKey { .. })), "{error:?}");
        advises(&error, "request a new challenge");
    }
    assert_eq!(desk.state(), before);
    // The credit is there, the client is known, and all the rest of the work is done under the new secret.
    assert_eq!(desk.house.engine.balance(b"own").unwrap(), MicroJoules(100));
    desk.house.engine.upkeep().unwrap();
    while let Ok(issued) = desk.house.engine.issue(&IssueRequest::new(b"own", DifficultyTier::High)) {
        desk.house.engine.submit(&Answer::new(b"own", &solve(&issued.unit))).unwrap();
        desk.house.engine.upkeep().unwrap();
    }
    desk.house.engine.root("tree").unwrap();
}

#[test]
fn a_genuine_token_with_a_longer_life_than_is_configured_now_is_refused() {
    let Desk { mut house, units } = Desk::new();
    house.reopen_as(config().token_ttl(Duration::from_secs(59)));
    let desk = Desk { house, units };
    for issued in &desk.units {
        let error = desk.submit(&issued.unit.challenge_token, &solve(&issued.unit));
        assert!(matches!(error, SubmitError::Token(TokenError::Lifetime { lifetime_ms: TTL_MS, .. })), "{error:?}");
    }
}

#[test]
fn genuine_tokens_that_name_what_is_not_there_are_withdrawn() {
    let mut desk = Desk::new();
    let (before, keyring) = (desk.state(), Keyring::new(&SECRET).unwrap());
    desk.house.engine.close();
    desk.house.reopen();
    let issued = &desk.units[2];
    let real = ChallengeToken::open(&issued.unit.challenge_token, &keyring, TTL_MS).unwrap();
    let mut forged = vec![
        ChallengeToken { tree: pouw::protocol::TreeHandle::from_bytes([9; 16]), ..real },
        ChallengeToken { start: 96, order: 5, ..real },
        ChallengeToken { start: u64::MAX, order: 0, ..real },
        ChallengeToken { start: 1, order: 5, ..real },
        ChallengeToken { start: 0, order: 40, ..real },
        ChallengeToken { start: 0, order: 6, ..real },
        ChallengeToken { purpose: pouw::protocol::TokenPurpose::Interior, ..real },
    ];
    // A boot that is still to come is no earlier boot, but no lease of this one either.
    forged.push(ChallengeToken { boot: desk.house.engine.stats().boot, ..real });
    for token in forged {
        let text = token.seal(&keyring);
        let error = desk.submit(&text, &WorkResult { challenge_token: text.clone(), ..solve(&issued.unit) });
        assert!(matches!(error, SubmitError::Withdrawn), "{token:?} came to {error:?}");
        assert_eq!(desk.house.engine.stats().leases, 0);
        let (trees, pending, entries, balance, _) = desk.state();
        assert_eq!((trees, pending, entries, balance), (before.0.clone(), before.1, before.2, before.3));
    }
    let never = ChallengeToken { issued_at: UnixMillis(5), expires_at: UnixMillis(3), ..real }.seal(&keyring);
    let error = desk.submit(&never, &solve(&issued.unit));
    assert!(matches!(error, SubmitError::Expired { .. }), "{error:?}");
}

#[test]
fn unknown_trees_leaves_out_of_range_and_trees_that_are_not_complete_are_named_in_the_error() {
    let desk = Desk::new();
    let nobody = |outcome: Result<(), TreeError>| {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, TreeError::Unknown(name) if name == "nobody"), "{error:?}");
        assert!(error.to_string().contains("`trees` lists them"));
    };
    nobody(desk.house.engine.tree("nobody").map(|_| ()));
    nobody(desk.house.engine.root("nobody").map(|_| ()));
    nobody(desk.house.engine.validate("nobody"));
    nobody(desk.house.engine.commitment("nobody").map(|_| ()));
    nobody(desk.house.engine.prove("nobody", LeafIndex(0)).map(|_| ()));
    nobody(desk.house.engine.remaining_nodes("nobody", LeafIndex(0), 1).map(|_| ()));
    nobody(desk.house.engine.export_leaves("nobody", &mut |_| Ok(())).map(|_| ()));
    nobody(desk.house.engine.export_addresses("nobody", &mut |_| Ok(())).map(|_| ()));
    nobody(desk.house.engine.forget("nobody"));
    let pending = desk.house.engine.root("tree").unwrap_err();
    assert!(matches!(pending, TreeError::NotComplete { pending: 90, leaves: 90, .. }), "{pending:?}");
    assert_eq!(desk.house.engine.remaining_nodes("tree", LeafIndex(u64::MAX), 10).unwrap(), []);
    for issued in &desk.units {
        desk.house.engine.submit(&Answer::new(b"own", &solve(&issued.unit))).unwrap();
    }
    desk.house.engine.refill().unwrap();
    while let Ok(issued) = desk.house.engine.issue(&IssueRequest::new(b"own", DifficultyTier::High)) {
        desk.house.engine.submit(&Answer::new(b"own", &solve(&issued.unit))).unwrap();
        desk.house.engine.upkeep().unwrap();
    }
    for leaf in [90, 91, u64::MAX] {
        let error = desk.house.engine.prove("tree", LeafIndex(leaf)).unwrap_err();
        assert!(matches!(error, TreeError::LeafRange { leaf: told, leaves: 90, .. } if told == leaf), "{error:?}");
        assert!(error.to_string().contains("numbered from 0"));
    }
}

#[test]
fn a_debit_beyond_the_balance_or_under_a_used_key_is_refused() {
    let desk = Desk::new();
    desk.house.engine.submit(&Answer::new(b"own", &solve(&desk.units[0].unit))).unwrap();
    let error = desk.house.engine.debit(b"own", MicroJoules(101), [1; 16]).unwrap_err();
    assert!(matches!(error, DebitError::Insufficient { balance: 100, amount: 101 }), "{error:?}");
    let error = desk.house.engine.debit(b"nobody", MicroJoules(u64::MAX), [1; 16]).unwrap_err();
    assert!(matches!(error, DebitError::Insufficient { balance: 0, .. }), "{error:?}");
    assert!(!desk.house.engine.debit(b"own", MicroJoules(40), [1; 16]).unwrap().repeated);
    assert!(desk.house.engine.debit(b"own", MicroJoules(40), [1; 16]).unwrap().repeated);
    for (client, amount) in [(&b"own"[..], 41), (b"other", 40)] {
        let error = desk.house.engine.debit(client, MicroJoules(amount), [1; 16]).unwrap_err();
        assert!(matches!(error, DebitError::KeyConflict), "{error:?}");
        assert!(error.to_string().contains("use a new key"));
    }
    assert_eq!(desk.house.engine.balance(b"own").unwrap(), MicroJoules(60));
    assert_eq!(desk.house.engine.stats().ledger_entries, 2);
}

#[test]
fn a_secret_of_fewer_than_32_bytes_is_refused_by_name_and_never_shown() {
    for len in [0, 1, 31] {
        let error = Config::new(vec![0x5a; len]).unwrap_err();
        assert_eq!((error.field, error.value.as_str()), ("hmac_secret", format!("{len} bytes").as_str()));
        let error = Config::builder(SECRET).previous_secret(vec![0x5a; len]).build().unwrap_err();
        assert_eq!(error.field, "hmac_secret");
        assert!(!error.to_string().contains("ZZ") && error.to_string().contains("at least 32 bytes"));
    }
    Config::new(vec![0x5a; 32]).unwrap();
}
