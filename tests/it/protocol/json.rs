//! Units and results as JSON and in compact form: the identity when it is right, an error that names
//! the member when it is not.

use data_encoding::BASE64URL_NOPAD;
use pouw::hash::{Checksum, sha3_512};
use pouw::protocol::{
    DifficultyTier, JsonError, Reason, TreeHandle, UnitError, UnixMillis, WorkId, WorkResult, WorkUnit,
    WorkUnitOperation, limits, subtree_nodes,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use serde_json::{Value, json};

#[derive(Debug, Clone)]
struct AnyUnit(WorkUnit);

impl Arbitrary for AnyUnit {
    fn arbitrary(g: &mut Gen) -> Self {
        let operation = *g.choose(&WorkUnitOperation::ALL).unwrap();
        let mut unit = WorkUnit {
            id: WorkId::from_bytes(bytes(g)),
            tree_id: TreeHandle::from_bytes(bytes(g)),
            tree_level: u8::arbitrary(g) % (limits::MAX_FOLD_LEVELS + 1),
            tree_index: 0,
            operation,
            input_data: Vec::arbitrary(g),
            leaf_lengths: Vec::new(),
            fold_levels: 0,
            child_count: 0,
            node_count: 1,
            synthetic: bool::arbitrary(g),
            difficulty: *g.choose(&DifficultyTier::ALL).unwrap(),
            challenge_token: token(g),
            created_at: time(g),
            expires_at: time(g),
            not_before: time(g),
            wait_ms: number(g),
            ttl_ms: number(g),
        };
        unit.tree_index = u64::arbitrary(g) % (1 << unit.tree_level);
        match operation {
            WorkUnitOperation::LeafHash => {}
            WorkUnitOperation::InteriorHash => {
                unit.child_count = 1 + u32::arbitrary(g) % 2;
                unit.input_data = vec![u8::arbitrary(g); unit.child_count as usize * 64];
            }
            WorkUnitOperation::SubtreeHash => {
                let leaves = 1 + usize::arbitrary(g) % limits::MAX_UNIT_LEAVES;
                unit.leaf_lengths = (0..leaves).map(|_| u64::arbitrary(g) % 100).collect();
                let sum: u64 = unit.leaf_lengths.iter().sum();
                unit.input_data = (0..sum).map(|_| u8::arbitrary(g)).collect();
                let steps = leaves.next_power_of_two().trailing_zeros() as u8;
                unit.fold_levels = steps + u8::arbitrary(g) % (limits::MAX_FOLD_LEVELS + 1 - steps);
                unit.node_count = subtree_nodes(leaves as u64, unit.fold_levels);
            }
        }
        Self(unit)
    }
}

#[derive(Debug, Clone)]
struct AnyResult(WorkResult);

impl Arbitrary for AnyResult {
    fn arbitrary(g: &mut Gen) -> Self {
        let leaves = usize::arbitrary(g) % (limits::MAX_UNIT_LEAVES + 1);
        Self(WorkResult {
            work_unit_id: WorkId::from_bytes(bytes(g)),
            result_hash: Checksum::from_bytes(bytes(g)),
            leaf_hashes: (0..leaves).map(|_| Checksum::from_bytes(bytes(g))).collect(),
            challenge_token: token(g),
            compute_time_ms: number(g),
            completed_at: time(g),
        })
    }
}

fn bytes<const N: usize>(g: &mut Gen) -> [u8; N] {
    core::array::from_fn(|_| u8::arbitrary(g))
}

/// Not only base64url: whatever text stands there has to survive.
fn token(g: &mut Gen) -> String {
    String::arbitrary(g).chars().take(100).collect()
}

fn number(g: &mut Gen) -> u64 {
    match u8::arbitrary(g) % 8 {
        0 => 0,
        1 => limits::MAX_NUMBER,
        _ => u64::arbitrary(g) & limits::MAX_NUMBER,
    }
}

fn time(g: &mut Gen) -> UnixMillis {
    UnixMillis(u64::arbitrary(g) % (UnixMillis::MAX_TEXT.0 + 1))
}

fn sample_unit() -> WorkUnit {
    WorkUnit {
        id: WorkId::from_parts(1_700_000_000_123, [7; 10]),
        tree_id: TreeHandle::from_bytes([0x22; 16]),
        tree_level: 3,
        tree_index: 5,
        operation: WorkUnitOperation::SubtreeHash,
        input_data: b"abcdefgh".to_vec(),
        leaf_lengths: vec![3, 0, 5],
        fold_levels: 2,
        child_count: 0,
        node_count: 6,
        synthetic: false,
        difficulty: DifficultyTier::Medium,
        challenge_token: "the-token".into(),
        created_at: UnixMillis(1_700_000_000_123),
        expires_at: UnixMillis(1_700_000_060_123),
        not_before: UnixMillis(1_700_000_004_123),
        wait_ms: 4_000,
        ttl_ms: 60_000,
    }
}

fn sample_result(leaves: usize) -> WorkResult {
    WorkResult {
        work_unit_id: WorkId::from_parts(1_700_000_000_123, [7; 10]),
        result_hash: sha3_512(b"abc"),
        leaf_hashes: (0..leaves).map(|leaf| sha3_512(&[leaf as u8])).collect(),
        challenge_token: "the-token".into(),
        compute_time_ms: 2,
        completed_at: UnixMillis(1_700_000_002_000),
    }
}

fn object(json: &str) -> serde_json::Map<String, Value> {
    match serde_json::from_str(json).unwrap() {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

/// The error for `base` with `member` set to `value`, or without it.
fn error_with<T: std::fmt::Debug>(
    base: &str,
    member: &str,
    value: Option<Value>,
    read: impl Fn(&[u8]) -> Result<T, JsonError>,
) -> JsonError {
    let mut object = object(base);
    match value {
        Some(value) => object.insert(member.into(), value),
        None => object.remove(member),
    };
    let text = Value::Object(object).to_string();
    let error = read(text.as_bytes()).expect_err(&text);
    assert_eq!(error.reason(), Reason::Malformed);
    error
}

#[test]
fn property_10_work_unit_to_json_and_back_is_the_identity() {
    fn holds(AnyUnit(unit): AnyUnit) -> bool {
        unit.validate() == Ok(()) && WorkUnit::from_json(unit.to_json().as_bytes()) == Ok(unit)
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(AnyUnit) -> bool);
}

#[test]
fn property_11_work_result_to_json_and_back_is_the_identity() {
    fn holds(AnyResult(result): AnyResult) -> bool {
        WorkResult::from_json(result.to_json().as_bytes()) == Ok(result)
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(AnyResult) -> bool);
}

#[test]
fn property_11_work_result_to_compact_and_back_is_the_identity() {
    fn holds(AnyResult(result): AnyResult) -> bool {
        WorkResult::from_compact(&result.to_compact(), &result.challenge_token) == Ok(result)
    }
    QuickCheck::new().tests(500).quickcheck(holds as fn(AnyResult) -> bool);
}

#[test]
fn property_12_json_without_one_of_its_members_names_that_member() {
    fn unit(AnyUnit(unit): AnyUnit) -> bool {
        let json = unit.to_json();
        object(&json).keys().all(|member| {
            let optional = unit.operation != WorkUnitOperation::SubtreeHash
                && matches!(member.as_str(), "leafLengths" | "foldLevels");
            assert!(!optional, "{member} is written for subtree_hash only");
            let error = error_with(&json, member, None, WorkUnit::from_json);
            error.member() == member && error.found() == "no such member"
        })
    }
    fn result(AnyResult(result): AnyResult) -> bool {
        let json = result.to_json();
        object(&json).keys().filter(|member| *member != "leafHashes").all(|member| {
            let error = error_with(&json, member, None, WorkResult::from_json);
            error.member() == member && error.found() == "no such member"
        })
    }
    QuickCheck::new().quickcheck(unit as fn(AnyUnit) -> bool);
    QuickCheck::new().quickcheck(result as fn(AnyResult) -> bool);
}

#[test]
fn property_12_a_member_of_the_wrong_type_is_named() {
    let wrong = [
        Value::Null,
        json!(-1),
        json!(0.5),
        json!(1e300),
        json!({"deep": [[[]]]}),
        json!([{}]),
        json!([[]]),
        json!([null]),
        json!("\u{1f980} neither hex nor a date"),
    ];
    let unit = sample_unit().to_json();
    let result = sample_result(2).to_json();
    for value in wrong {
        for member in object(&unit).keys().filter(|name| *name != "challengeToken" || !value.is_string()) {
            let error = error_with(&unit, member, Some(value.clone()), WorkUnit::from_json);
            assert_eq!(error.member().split('[').next(), Some(member.as_str()), "{value}");
        }
        for member in object(&result).keys().filter(|name| *name != "challengeToken" || !value.is_string()) {
            if member == "computeTimeMs" && value == json!(0.5) {
                continue;
            }
            let error = error_with(&result, member, Some(value.clone()), WorkResult::from_json);
            assert_eq!(error.member().split('[').next(), Some(member.as_str()), "{value}");
        }
    }
}

#[test]
fn property_12_json_cut_short_anywhere_is_an_error() {
    let unit = sample_unit().to_json();
    let result = sample_result(2).to_json();
    for length in 0..unit.len() {
        assert!(WorkUnit::from_json(&unit.as_bytes()[..length]).is_err());
    }
    for length in 0..result.len() {
        assert!(WorkResult::from_json(&result.as_bytes()[..length]).is_err());
    }
}

#[test]
fn property_12_any_bytes_give_a_value_that_survives_or_an_error_that_names_something() {
    fn holds(junk: Vec<u8>, at: usize, AnyUnit(unit): AnyUnit) -> bool {
        let mut text = unit.to_json().into_bytes();
        let at = at % text.len();
        let end = text.len().min(at + junk.len());
        text.splice(at..end, junk.iter().copied());
        match (WorkUnit::from_json(&text), WorkUnit::from_json(&junk)) {
            (Ok(unit), Err(_)) => WorkUnit::from_json(unit.to_json().as_bytes()) == Ok(unit),
            (Err(error), Err(_)) => !error.member().is_empty() && !error.expected().is_empty(),
            (_, Ok(_)) => false,
        }
    }
    QuickCheck::new().tests(1000).quickcheck(holds as fn(Vec<u8>, usize, AnyUnit) -> bool);
}

#[test]
fn values_out_of_range_and_unknown_words_are_named() {
    let unit = sample_unit().to_json();
    let long_list = json!(vec![0; 33]);
    for (member, value, expected) in [
        ("id", json!("018BCFE5-687B-7707-8707-070707070707"), "lowercase"),
        ("id", json!("018bcfe5687b77078707070707070707"), "hyphenated"),
        ("id", json!("{018bcfe5-687b-7707-8707-070707070707}"), "36"),
        ("treeId", json!("2222222222222222222222222222222"), "32"),
        ("treeId", json!("2222222222222222222222222222222A"), "32"),
        ("treeLevel", json!(256), "255"),
        ("treeIndex", json!(limits::MAX_NUMBER + 1), "9007199254740991"),
        ("operation", json!("Leaf_Hash"), "leaf_hash"),
        ("operation", json!("mine_bitcoin"), "leaf_hash"),
        ("inputData", json!("YWJjZGVmZ2g"), "base64"),
        ("inputData", json!("YWJjZGVmZ2h="), "base64"),
        ("inputData", json!("YWJj ZGVm"), "base64"),
        ("inputData", json!("____"), "base64"),
        ("leafLengths", long_list, "at most 32"),
        ("foldLevels", json!(-1), "255"),
        ("childCount", json!(1u64 << 32), "4294967295"),
        ("difficulty", json!("extreme"), "low"),
        ("difficulty", json!("HIGH"), "low"),
        ("createdAt", json!("2023-11-14 22:13:20Z"), "RFC 3339"),
        ("createdAt", json!("2023-02-30T00:00:00Z"), "RFC 3339"),
        ("expiresAt", json!("1969-12-31T23:59:59.999Z"), "1970"),
        ("notBefore", json!("2023-11-14T22:13:20"), "RFC 3339"),
        ("notBefore", json!("2023-11-14T22:13:20.Z"), "RFC 3339"),
        ("waitMs", json!(1.5), "whole"),
        ("synthetic", json!("true"), "true or false"),
    ] {
        let error = error_with(&unit, member, Some(value.clone()), WorkUnit::from_json);
        assert_eq!(error.member(), member, "{value}");
        assert!(error.expected().contains(expected), "{value}: {error}");
    }
    let item = json!([3, "0", 5]);
    let error = error_with(&unit, "leafLengths", Some(item), WorkUnit::from_json);
    assert_eq!(error.member(), "leafLengths[1]");
    assert_eq!(error.found(), "text \"0\"");
}

#[test]
fn uppercase_hex_and_wrong_lengths_in_a_result_are_named() {
    let result = sample_result(2).to_json();
    let hex = sha3_512(b"abc").to_hex();
    for wrong in [hex.to_uppercase(), hex[1..].into(), format!("{hex}0"), format!("0x{}", &hex[2..])] {
        let error = error_with(&result, "resultHash", Some(json!(wrong)), WorkResult::from_json);
        assert_eq!(error.member(), "resultHash");
        assert_eq!(error.expected(), "128 lowercase hex digits");
        let list = Some(json!([hex, wrong]));
        let error = error_with(&result, "leafHashes", list, WorkResult::from_json);
        assert_eq!(error.member(), "leafHashes[1]");
    }
    let list = Some(json!(vec![hex; 33]));
    let error = error_with(&result, "leafHashes", list, WorkResult::from_json);
    assert_eq!((error.member(), error.found()), ("leafHashes", "a list of 33"));
    let long = Some(json!("A".repeat(513)));
    let error = error_with(&result, "challengeToken", long, WorkResult::from_json);
    assert_eq!((error.member(), error.found()), ("challengeToken", "513"));
}

#[test]
fn a_member_twice_is_an_error_even_when_its_name_is_escaped() {
    let json = sample_result(0).to_json();
    for again in [r#""resultHash""#, r#""\u0072esultHash""#] {
        let text = json.replacen('{', &format!("{{{again}:\"00\","), 1);
        let error = WorkResult::from_json(text.as_bytes()).unwrap_err();
        assert_eq!((error.member(), error.found()), ("resultHash", "two"));
    }
}

#[test]
fn unknown_members_are_ignored_however_deep() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let unit = sample_unit();
    let text = unit.to_json().replacen('{', &format!("{{\"x\":{deep},\"x\":{{\"y\":1}},"), 1);
    assert_eq!(WorkUnit::from_json(text.as_bytes()), Ok(unit));
    let result = sample_result(1);
    let text = result.to_json().replacen('{', &format!("{{\"x\":{deep},"), 1);
    assert_eq!(WorkResult::from_json(text.as_bytes()), Ok(result));
}

#[test]
fn a_known_member_nested_very_deep_is_an_error_and_not_a_stack_overflow() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let text = sample_unit().to_json().replace("[3,0,5]", &deep);
    let error = WorkUnit::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error.member(), "leafLengths[0]");
    let text = "{\"leafHashes\":".to_string() + &"[".repeat(10_000);
    assert!(WorkResult::from_json(text.as_bytes()).is_err());
}

#[test]
fn text_that_is_no_json_object_names_the_document() {
    for text in ["", " ", "null", "[]", "\"{}\"", "1", "{", "{}{}", "{\"a\":}", "\u{feff}{}", "{'a':1}"] {
        let error = WorkUnit::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(error.member(), "(document)"), "{text}: {error}");
    }
    assert_eq!(WorkUnit::from_json(b"{\"a\":\"\xff\"}").unwrap_err().member(), "operation");
    assert_eq!(WorkUnit::from_json(b"{\"id\":\"\xff\"}").unwrap_err().member(), "(document)");
    assert_eq!(WorkResult::from_json(b"{}").unwrap_err().member(), "workUnitId");
}

#[test]
fn input_over_the_size_limit_is_refused_and_input_at_the_limit_is_read() {
    let result = sample_result(32);
    let mut text = result.to_json();
    text.push_str(&" ".repeat(limits::MAX_RESULT_JSON_BYTES - text.len()));
    assert_eq!(WorkResult::from_json(text.as_bytes()), Ok(result));
    text.push(' ');
    let error = WorkResult::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error.member(), "(document)");
    assert_eq!(error.expected(), "at most 16384 bytes");
    let unit = WorkUnit {
        operation: WorkUnitOperation::LeafHash,
        input_data: vec![0xff; limits::MAX_UNIT_DATA_BYTES],
        leaf_lengths: Vec::new(),
        fold_levels: 0,
        node_count: 1,
        ..sample_unit()
    };
    assert_eq!(unit.validate(), Ok(()));
    let mut text = unit.to_json();
    assert_eq!(WorkUnit::from_json(text.as_bytes()), Ok(unit));
    text.push_str(&" ".repeat(limits::MAX_UNIT_JSON_BYTES));
    assert_eq!(WorkUnit::from_json(text.as_bytes()).unwrap_err().member(), "(document)");
}

#[test]
fn errors_quote_a_few_printable_characters_at_most() {
    let unit = sample_unit().to_json();
    let value = Some(json!(format!("\r\nX-Evil: 1{}", "\u{202e}".repeat(9_999))));
    let error = error_with(&unit, "treeId", value, WorkUnit::from_json).to_string();
    assert!(error.len() < 200, "{error}");
    assert!(error.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{error}");
}

#[test]
fn a_unit_has_the_golden_json() {
    let golden = concat!(
        r#"{"id":"018bcfe5-687b-7707-8707-070707070707","treeId":"22222222222222222222222222222222","#,
        r#""treeLevel":3,"treeIndex":5,"operation":"subtree_hash","inputData":"YWJjZGVmZ2g=","#,
        r#""leafLengths":[3,0,5],"foldLevels":2,"childCount":0,"nodeCount":6,"synthetic":false,"#,
        r#""difficulty":"medium","challengeToken":"the-token","createdAt":"2023-11-14T22:13:20.123Z","#,
        r#""expiresAt":"2023-11-14T22:14:20.123Z","notBefore":"2023-11-14T22:13:24.123Z","#,
        r#""waitMs":4000,"ttlMs":60000}"#
    );
    assert_eq!(sample_unit().to_json(), golden);
    assert_eq!(WorkUnit::from_json(golden.as_bytes()), Ok(sample_unit()));
}

#[test]
fn a_result_has_the_golden_json_and_the_golden_compact_form() {
    let abc = "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e\
               10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0";
    let golden = format!(
        r#"{{"workUnitId":"018bcfe5-687b-7707-8707-070707070707","resultHash":"{abc}","leafHashes":["{}"],"challengeToken":"the-token","computeTimeMs":2,"completedAt":"2023-11-14T22:13:22.000Z"}}"#,
        sha3_512(&[0]).to_hex()
    );
    assert_eq!(sample_result(1).to_json(), golden);
    assert_eq!(WorkResult::from_json(golden.as_bytes()), Ok(sample_result(1)));
    let compact = "AQGLz-Voe3cHhwcHBwcHBwe3UYULGlcWilaTzZJLawluCPYhgnRE9w2IT10CQNJxLhDhFukZKvPJGn7Fdkfj\
                   k0BXNAtM9AjVpWWS-CdO7FPwAgAAAAAAAADQb-XPiwEAAAA";
    assert_eq!(sample_result(0).to_compact(), compact);
    assert_eq!(WorkResult::from_compact(compact, "the-token"), Ok(sample_result(0)));
}

#[test]
fn telemetry_may_carry_a_fraction_and_any_offset() {
    let text = sample_result(0).to_json().replace(":2,", ":2.9,").replace("22:13:22.000Z", "23:13:22.0004+01:00");
    assert_eq!(WorkResult::from_json(text.as_bytes()), Ok(sample_result(0)));
}

#[test]
fn a_compact_result_of_32_leaves_stays_under_4_kib() {
    let compact = sample_result(32).to_compact();
    assert_eq!(compact.len(), 2862);
    assert!(compact.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
}

#[test]
fn a_compact_result_that_is_cut_padded_or_miscounted_is_an_error() {
    let read = |bytes: &[u8]| WorkResult::from_compact(&BASE64URL_NOPAD.encode(bytes), "t");
    let whole = BASE64URL_NOPAD.decode(sample_result(2).to_compact().as_bytes()).unwrap();
    assert!(read(&whole).is_ok());
    for length in 0..whole.len() {
        let member = read(&whole[..length]).unwrap_err().member().to_string();
        assert_eq!(member, if length < 98 { "(document)" } else { "leafHashes" });
    }
    let changed = |at: usize, to: u8| {
        let mut bytes = whole.clone();
        bytes[at] = to;
        read(&bytes).unwrap_err().to_string()
    };
    assert!(changed(0, 2).contains("version 2"));
    assert!(changed(88, 0xff).contains("computeTimeMs"));
    assert!(changed(96, 0xff).contains("completedAt"));
    assert!(changed(97, 1).contains("64 bytes after the head"));
    assert!(changed(97, 33).contains("from 0 to 32"));
    assert!(read(&[whole.as_slice(), &[0]].concat()).is_err());
    for text in ["=", "AQ==", "A", "AR", "A+/A", &"A".repeat(4097), &"A".repeat(1 << 20)] {
        let error = WorkResult::from_compact(text, "t").unwrap_err();
        assert_eq!(error.member(), "(document)", "{}", text.len());
    }
    let error = WorkResult::from_compact(&sample_result(0).to_compact(), &"t".repeat(513));
    assert_eq!(error.unwrap_err().member(), "challengeToken");
}

#[test]
fn beside_its_token_a_result_needs_only_its_hash_and_may_not_contradict() {
    let id = sample_result(0).work_unit_id;
    let read = |text: &str| WorkResult::from_json_beside(text.as_bytes(), "the-token", id);
    let hash = sha3_512(b"abc").to_hex();
    let bare = WorkResult { compute_time_ms: 0, completed_at: UnixMillis(0), ..sample_result(0) };
    assert_eq!(read(&format!(r#"{{"resultHash":"{hash}"}}"#)), Ok(bare));
    assert_eq!(read(&sample_result(3).to_json()), Ok(sample_result(3)));
    assert_eq!(read("{}").unwrap_err().member(), "resultHash");
    for (member, value) in [
        ("workUnitId", json!("018bcfe5-687b-7707-8707-070707070708")),
        ("challengeToken", json!("the-Token")),
        ("computeTimeMs", json!("2")),
        ("completedAt", json!(2)),
        ("workUnitId", Value::Null),
    ] {
        let error = error_with(&sample_result(0).to_json(), member, Some(value), |text| {
            WorkResult::from_json_beside(text, "the-token", id)
        });
        assert_eq!(error.member(), member);
    }
}

#[test]
fn a_result_with_another_number_of_leaf_hashes_than_the_unit_asks_for_is_malformed() {
    use WorkUnitOperation::{InteriorHash, LeafHash, SubtreeHash};
    for (listed, leaves, operation, fits) in [
        (0, 1, LeafHash, true),
        (1, 1, LeafHash, false),
        (0, 2, InteriorHash, true),
        (2, 2, InteriorHash, false),
        (1, 1, SubtreeHash, true),
        (0, 1, SubtreeHash, false),
        (31, 32, SubtreeHash, false),
        (32, 32, SubtreeHash, true),
    ] {
        let outcome = sample_result(listed).check_shape(leaves, operation);
        assert_eq!(outcome.is_ok(), fits, "{listed} of {leaves} for {operation}");
        if let Err(error) = outcome {
            assert_eq!((error.member(), error.reason()), ("leafHashes", Reason::Malformed));
        }
    }
}

#[test]
fn a_unit_that_does_not_add_up_names_the_member() {
    let rejected = |change: fn(&mut WorkUnit)| {
        let mut unit = sample_unit();
        change(&mut unit);
        match unit.validate().unwrap_err() {
            UnitError::Mismatch { member, .. } | UnitError::OutOfRange { member, .. } => member,
            UnitError::ManyTops { .. } => "foldLevels",
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sample_unit().validate(), Ok(()));
    assert_eq!(rejected(|unit| unit.leaf_lengths[1] = 1), "leafLengths");
    assert_eq!(rejected(|unit| unit.leaf_lengths = vec![3, u64::MAX, 5]), "leafLengths");
    assert_eq!(rejected(|unit| unit.leaf_lengths = Vec::new()), "leafLengths");
    assert_eq!(rejected(|unit| unit.leaf_lengths = vec![0; 33]), "leafLengths");
    assert_eq!(rejected(|unit| unit.fold_levels = 1), "foldLevels");
    assert_eq!(rejected(|unit| unit.fold_levels = 41), "foldLevels");
    assert_eq!(rejected(|unit| unit.fold_levels = 255), "foldLevels");
    assert_eq!(rejected(|unit| unit.node_count = 5), "nodeCount");
    assert_eq!(rejected(|unit| unit.child_count = 1), "childCount");
    assert_eq!(rejected(|unit| unit.tree_level = 41), "treeLevel");
    assert_eq!(rejected(|unit| unit.tree_index = 8), "treeIndex");
    assert_eq!(rejected(|unit| unit.input_data = vec![0; (2 << 20) + 1]), "inputData");
    assert_eq!(rejected(|unit| unit.challenge_token = "A".repeat(513)), "challengeToken");
    assert_eq!(rejected(|unit| unit.wait_ms = u64::MAX), "waitMs");
    assert_eq!(rejected(|unit| unit.operation = WorkUnitOperation::LeafHash), "leafLengths");
    assert_eq!(rejected(|unit| unit.operation = WorkUnitOperation::InteriorHash), "childCount");
    let interior = |children: u32, bytes: usize| WorkUnit {
        operation: WorkUnitOperation::InteriorHash,
        input_data: vec![0; bytes],
        leaf_lengths: Vec::new(),
        fold_levels: 0,
        child_count: children,
        node_count: 1,
        ..sample_unit()
    };
    assert_eq!(interior(1, 64).validate(), Ok(()));
    assert_eq!(interior(2, 128).validate(), Ok(()));
    for (children, bytes) in [(0, 0), (3, 192), (1, 128), (2, 64), (2, 127), (u32::MAX, 64)] {
        assert!(interior(children, bytes).validate().is_err(), "{children} of {bytes}");
    }
}

#[test]
fn leaves_are_the_data_cut_apart_in_order() {
    fn holds(AnyUnit(unit): AnyUnit) -> bool {
        let leaves: Vec<&[u8]> = unit.leaves().collect();
        match unit.operation {
            WorkUnitOperation::LeafHash => leaves == [unit.input_data.as_slice()],
            WorkUnitOperation::InteriorHash => leaves.is_empty(),
            WorkUnitOperation::SubtreeHash => {
                leaves.concat() == unit.input_data
                    && leaves.iter().map(|leaf| leaf.len() as u64).eq(unit.leaf_lengths.iter().copied())
                    && leaves.len() == unit.listed_leaves()
            }
        }
    }
    QuickCheck::new().quickcheck(holds as fn(AnyUnit) -> bool);
    let broken = WorkUnit { leaf_lengths: vec![3, u64::MAX, 5], ..sample_unit() };
    assert_eq!(broken.leaves().collect::<Vec<_>>(), [b"abc"]);
}

#[test]
fn subtree_nodes_matches_the_sum_written_out_and_the_geometry() {
    for leaves in 1..=300u64 {
        for fold_levels in 0..=40u8 {
            let sum: u64 = (0..=fold_levels).map(|step| leaves.div_ceil(1 << step)).sum();
            assert_eq!(subtree_nodes(leaves, fold_levels), sum);
        }
    }
    assert_eq!([1, 2, 3, 4, 5].map(|k| subtree_nodes(1 << k, k)), [3, 7, 15, 31, 63]);
    assert_eq!(subtree_nodes(u64::MAX, 255), u64::MAX);
    assert_eq!(subtree_nodes(0, 40), 0);
}

#[test]
fn the_longest_token_fits_inside_every_message_that_carries_it() {
    let challenge_token = "A".repeat(limits::MAX_TOKEN_CHARS);
    let result = WorkResult { challenge_token: challenge_token.clone(), ..sample_result(32) };
    assert_eq!(WorkResult::from_json(result.to_json().as_bytes()), Ok(result));
    let unit = WorkUnit { challenge_token, ..sample_unit() };
    assert_eq!(unit.validate(), Ok(()));
}
