//! Names, instants and word lists: one text for each value, and no other text read.

use std::collections::BTreeSet;

use pouw::protocol::{
    ClientDigest, DifficultyTier, MicroJoules, Reason, TreeHandle, UnixMillis, WorkId, WorkUnitOperation, header,
};
use quickcheck::QuickCheck;

#[test]
fn a_work_id_is_a_uuid_of_version_7_that_tells_its_time_of_issue() {
    fn holds(millis: u64, random: Vec<u8>) -> bool {
        let random: [u8; 10] = core::array::from_fn(|at| random.get(at).copied().unwrap_or(at as u8));
        let millis = millis >> 16;
        let id = WorkId::from_parts(millis, random);
        let bytes = id.as_bytes();
        let text = id.to_string();
        id.unix_millis() == UnixMillis(millis)
            && bytes[6] >> 4 == 7
            && bytes[8] >> 6 == 0b10
            && text.len() == 36
            && text == text.to_lowercase()
            && text.parse() == Ok(id)
            && WorkId::from_bytes(*bytes) == id
            && serde_json::from_str::<WorkId>(&serde_json::to_string(&id).unwrap()).unwrap() == id
    }
    QuickCheck::new().quickcheck(holds as fn(u64, Vec<u8>) -> bool);
}

#[test]
fn a_work_id_keeps_74_random_bits() {
    let differing: u32 = WorkId::from_parts(0, [0; 10])
        .as_bytes()
        .iter()
        .zip(WorkId::from_parts(0, [0xff; 10]).as_bytes())
        .map(|(one, other)| (one ^ other).count_ones())
        .sum();
    assert_eq!(differing, 74);
}

#[test]
fn work_ids_are_ordered_by_time_of_issue() {
    fn holds(one: u64, other: u64) -> bool {
        let (one, other) = (one >> 16, other >> 16);
        let ids = (WorkId::from_parts(one, [0xff; 10]), WorkId::from_parts(other, [0; 10]));
        one >= other || ids.0 < ids.1
    }
    QuickCheck::new().quickcheck(holds as fn(u64, u64) -> bool);
}

#[test]
fn only_the_one_text_of_a_name_is_read() {
    for text in [
        "",
        "018bcfe5687b77078707070707070707",
        "018BCFE5-687B-7707-8707-070707070707",
        "{018bcfe5-687b-7707-8707-070707070707}",
        "urn:uuid:018bcfe5-687b-7707-8707-070707070707",
        "018bcfe5-687b-7707-8707-07070707070",
        "018bcfe5-687b-7707-8707-07070707070g",
        " 018bcfe5-687b-7707-8707-070707070707",
    ] {
        assert!(text.parse::<WorkId>().is_err(), "{text}");
    }
    for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(34)] {
        assert!(text.parse::<TreeHandle>().is_err(), "{text}");
        assert!(text.parse::<ClientDigest>().is_err(), "{text}");
    }
    let handle = TreeHandle::from_bytes([0xa0; 16]);
    assert_eq!(handle.to_string(), "a0".repeat(16));
    assert_eq!(handle.to_string().parse(), Ok(handle));
    let client = ClientDigest::from_bytes([0x0a; 16]);
    assert_eq!(client.to_string().parse(), Ok(client));
    assert_eq!(format!("{client:?}"), format!("ClientDigest({client})"));
    assert!(serde_json::from_str::<TreeHandle>("\"A0\"").is_err());
    assert!(serde_json::from_str::<TreeHandle>("7").is_err());
}

#[test]
fn an_instant_to_rfc_3339_and_back_is_the_identity() {
    fn holds(millis: u64) -> bool {
        let at = UnixMillis(millis % (UnixMillis::MAX_TEXT.0 + 1));
        let text = at.to_rfc3339();
        text.len() == 24 && text.ends_with('Z') && UnixMillis::from_rfc3339(&text) == Ok(at)
    }
    QuickCheck::new().tests(1000).quickcheck(holds as fn(u64) -> bool);
    assert_eq!(UnixMillis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
    let last = UnixMillis::MAX_TEXT;
    assert_eq!(last.to_rfc3339(), "9999-12-30T21:59:59.999Z");
    assert_eq!(UnixMillis::from_rfc3339(&last.to_rfc3339()), Ok(last));
    assert_eq!(UnixMillis(u64::MAX).to_rfc3339(), last.to_rfc3339());
}

#[test]
fn rfc_3339_text_is_read_in_every_offset_and_other_text_is_not() {
    let at = UnixMillis(1_700_000_000_000);
    for text in [
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.0Z",
        "2023-11-14T22:13:20.000999999Z",
        "2023-11-15T00:13:20+02:00",
        "2023-11-14T16:43:20-05:30",
        "2023-11-14T22:13:20-00:00",
    ] {
        assert_eq!(UnixMillis::from_rfc3339(text), Ok(at), "{text}");
    }
    for text in [
        "",
        "Z",
        "1700000000000",
        "2023-11-14",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20",
        "2023-11-14t22:13:20z",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20,5Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20+02",
        "2023-11-14T22:13:20+0200",
        "2023-11-14T22:13:20+02:00[Europe/Berlin]",
        "2023-13-14T22:13:20Z",
        "2023-11-31T22:13:20Z",
        "2023-11-14T25:13:20Z",
        "+002023-11-14T22:13:20Z",
        "1969-12-31T23:59:59.9999Z",
        "1970-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
        "9999-12-30T22:00:00Z",
        "9999-12-30T22:00:00.999Z",
        "9999-12-31T23:59:59Z",
        "2023-11-14T22:13:2\u{661}Z",
        &format!("2023-11-14T22:13:20.{}Z", "0".repeat(99)),
    ] {
        assert!(UnixMillis::from_rfc3339(text).is_err(), "{text}");
    }
}

#[test]
fn instants_never_wrap() {
    assert_eq!(UnixMillis(5).saturating_add(u64::MAX), UnixMillis(u64::MAX));
    assert_eq!(UnixMillis(5).saturating_since(UnixMillis(7)), 0);
    assert_eq!(UnixMillis(7).saturating_since(UnixMillis(5)), 2);
    assert_eq!(serde_json::to_string(&UnixMillis(7)).unwrap(), "7");
    assert_eq!(serde_json::to_string(&MicroJoules(7)).unwrap(), "7");
    assert_eq!(MicroJoules(6_300).to_string(), "6300");
}

#[test]
fn tiers_are_ordered_and_their_steps_stay_inside() {
    use DifficultyTier::{High, Low, Medium};
    assert!(Low < Medium && Medium < High);
    assert_eq!([Low, Medium, High].map(DifficultyTier::harder), [Medium, High, High]);
    assert_eq!([Low, Medium, High].map(DifficultyTier::softer), [Low, Low, Medium]);
    assert_eq!(DifficultyTier::default(), Low);
}

#[test]
fn every_word_reads_back_serde_agrees_and_no_two_are_the_same() {
    fn check<T>(all: &[T])
    where
        T: Copy + PartialEq + std::fmt::Debug + std::fmt::Display + std::str::FromStr,
        T: serde::Serialize + serde::de::DeserializeOwned,
        T::Err: std::fmt::Debug,
    {
        let words: BTreeSet<String> = all.iter().map(T::to_string).collect();
        assert_eq!(words.len(), all.len());
        for word in all {
            let json = format!("\"{word}\"");
            assert_eq!(word.to_string().parse::<T>().unwrap(), *word);
            assert_eq!(serde_json::to_string(word).unwrap(), json);
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *word);
            assert!(word.to_string().to_uppercase().parse::<T>().is_err());
        }
        assert!("".parse::<T>().is_err());
    }
    check(&DifficultyTier::ALL);
    check(&WorkUnitOperation::ALL);
    check(&Reason::ALL);
}

#[test]
fn header_names_are_lower_case_tokens_and_exposed_ones_are_ours_to_send() {
    for name in header::EXPOSED {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
    }
    assert!(!header::EXPOSED.contains(&header::RESPONSE));
    assert!(!header::EXPOSED.contains(&header::RESULT));
}
