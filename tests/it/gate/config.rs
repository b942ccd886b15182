//! Settings of the gate: defaults that stand, and refusals that name field, value and rule.
use std::time::Duration;

use pouw::internal::gate::{Facts, decide};
use pouw::protocol::{ByTier, DifficultyTier, Reason};
use pouw::{
    ClientKey, Config, Decision, Gate, GateConfig, GateConfigBuilder, GateError, NetworkPrefix, Policy, PouwEngine,
};

type Change = fn(GateConfigBuilder) -> GateConfigBuilder;

fn refused(change: Change, field: &str, value: &str) {
    let error = change(GateConfig::builder()).build().expect_err(field);
    assert_eq!((error.field, error.value.as_str()), (field, value));
    assert!(error.rule.len() > 10, "{field} says what would be right: {}", error.rule);
}

#[test]
fn the_defaults_are_valid() {
    GateConfig::builder().build().unwrap();
    assert_eq!(format!("{:?}", GateConfig::default()), format!("{:?}", GateConfig::builder().build().unwrap()));
}

#[test]
fn what_breaks_a_rule_is_refused_by_field_value_and_rule() {
    let cases: [(Change, &str, &str); 33] = [
        (|c| c.rate_limit(0), "rate_limit", "0"),
        (|c| c.rate_limit(1_000_001), "rate_limit", "1000001"),
        (|c| c.window(Duration::from_millis(0)), "window", "0 ms"),
        (|c| c.window(Duration::from_millis(86_400_001)), "window", "86400001 ms"),
        (|c| c.ipv6_prefix(15), "ipv6_prefix", "15"),
        (|c| c.ipv6_prefix(129), "ipv6_prefix", "129"),
        (|c| c.circuit_breaker_threshold(0), "circuit_breaker_threshold", "0"),
        (|c| c.circuit_breaker_probe_interval(Duration::from_millis(0)), "circuit_breaker_probe_interval", "0 ms"),
        (|c| c.reputation_difficulty_threshold(-0.1), "reputation_difficulty_threshold", "-0.1"),
        (|c| c.reputation_exemption_threshold(f64::NAN), "reputation_exemption_threshold", "NaN"),
        (|c| c.reputation_exemption_threshold(f64::INFINITY), "reputation_exemption_threshold", "inf"),
        (|c| c.paid_admissions_per_window(1_000_001), "paid_admissions_per_window", "1000001"),
        (|c| c.paid_admissions_per_prefix(1_000_001), "paid_admissions_per_prefix", "1000001"),
        (|c| c.paid_admissions_in_all(1_000_001), "paid_admissions_in_all", "1000001"),
        (|c| c.trusted_proxy("10.0.0.0/8").trusted_proxy("10.0.0.0/33"), "trusted_proxies", "10.0.0.0/33"),
        (|c| c.nat64_prefix("2001:db8::/96").nat64_prefix("2001:db8::/64"), "nat64_prefixes", "2001:db8::/64"),
        (|c| c.nat64_prefix("2001:db8::1/96"), "nat64_prefixes", "2001:db8::1/96"),
        (|c| c.client_ip_header("X-Forwarded-For"), "client_ip_header", "x-forwarded-for"),
        (|c| c.client_ip_header("real_ip"), "client_ip_header", "real_ip"),
        (|c| c.nat64_prefix("192.0.2.0/24"), "nat64_prefixes", "192.0.2.0/24"),
        (|c| c.trusted_proxy("proxy.example").trusted_proxy("10.0.0.0/8"), "trusted_proxies", "proxy.example"),
        (|c| c.open_challenges(4, 0), "open_challenges", "0"),
        (|c| c.open_challenges(65, 1), "open_challenges", "65"),
        (|c| c.tracked_clients_max(999), "tracked_clients_max", "999"),
        (|c| c.tracked_clients_max(16_777_217), "tracked_clients_max", "16777217"),
        (|c| c.body_limit_bytes(16_383), "body_limit_bytes", "16383"),
        (|c| c.buffered_bytes_max(262_143), "buffered_bytes_max", "262143"),
        (|c| c.body_timeout(Duration::from_millis(0)), "body_timeout", "0 ms"),
        (|c| c.write_timeout(Duration::from_millis(0)), "write_timeout", "0 ms"),
        (|c| c.judge_threads(0), "judge_threads", "0"),
        (|c| c.judge_threads(65), "judge_threads", "65"),
        (|c| c.waiting_answers_max(0), "waiting_answers_max", "0"),
        (|c| c.waiting_answers_max(65_537), "waiting_answers_max", "65537"),
    ];
    for (change, field, value) in cases {
        refused(change, field, value);
    }
}

#[test]
fn the_bounds_themselves_are_allowed() {
    let low =
        GateConfig::builder().rate_limit(1).window(Duration::from_millis(1)).ipv6_prefix(16).open_challenges(1, 1);
    let low = low.tracked_clients_max(1_000).body_limit_bytes(16_384).buffered_bytes_max(16_384).judge_threads(1);
    low.paid_admissions_per_window(0).reputation_exemption_threshold(0.0).security_alert_threshold(0).build().unwrap();
    let high = GateConfig::builder().rate_limit(1_000_000).window(Duration::from_millis(86_400_000)).ipv6_prefix(128);
    let high = high.open_challenges(64, 64).tracked_clients_max(16_777_216).judge_threads(64);
    high.reputation_exemption_threshold(1.1).waiting_answers_max(65_536).build().unwrap();
}

#[test]
fn a_gate_through_which_no_challenge_would_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::builder([7; 32])
        .background(false)
        .unit_bytes(ByTier { low: 1_024, medium: 2_048, high: 4_096 })
        .build()
        .unwrap();
    let engine = PouwEngine::open(directory.path(), config).unwrap();
    let gate = |bytes| Gate::new(engine.clone(), GateConfig::builder().bytes_in_flight(bytes).build().unwrap());
    // 4 096 bytes in base64, and what stands around them.
    gate(5_464 + 3_072).unwrap();
    for bytes in [0, 5_464 + 3_071] {
        let Err(GateError::Config(error)) = gate(bytes) else { panic!("{bytes} bytes hold no challenge") };
        assert_eq!((error.field, error.value), ("bytes_in_flight", bytes.to_string()));
        assert!(error.rule.contains("unit_bytes"), "{}", error.rule);
    }
}

#[test]
fn policies_have_names_of_their_own_and_limits_like_the_default() {
    refused(|c| c.policy(Policy::new("default", 5, Duration::from_millis(1_000))), "policies.name", "default");
    refused(|c| c.policy(Policy::new("", 5, Duration::from_millis(1_000))), "policies.name", "");
    refused(|c| c.policy(Policy::new("Upload", 5, Duration::from_millis(1_000))), "policies.name", "Upload");
    refused(|c| c.policy(Policy::new("a b", 5, Duration::from_millis(1_000))), "policies.name", "a b");
    refused(|c| c.policy(Policy::new("up", 0, Duration::from_millis(1_000))), "rate_limit", "0");
    refused(|c| c.policy(Policy::new("up", 5, Duration::from_millis(0))), "window", "0 ms");
    let named = |name: String| GateConfig::builder().policy(Policy::new(name, 5, Duration::from_millis(1_000))).build();
    assert!(named("x".repeat(64)).is_ok() && named("x".repeat(65)).is_err());
    let many = |count| {
        (0..count)
            .fold(GateConfig::builder(), |c, at| c.policy(Policy::new(format!("p{at}"), 1, Duration::from_millis(1))))
    };
    assert!(many(999).build().is_ok());
    assert_eq!(many(1_000).build().unwrap_err().field, "policies");
}

#[test]
fn routes_are_well_formed_and_stand_once() {
    let with = |route: &'static str| {
        GateConfig::builder().policy(Policy::new("up", 5, Duration::from_millis(1_000)).route(route)).build()
    };
    for good in ["/", "/*", "/files", "/files/*", "POST /files/*", "/%61"] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in ["", "files", "/files*", "post /files", "POST", "/a b", "/caf\u{e9}", "/a?b=1"] {
        assert_eq!(with(bad).unwrap_err().field, "routes", "{bad}");
    }
    refused(|c| c.exempt_route("healthz"), "routes", "healthz");
    refused(|c| c.exempt_route("/x").exempt_route("/x"), "routes", "/x");
    refused(
        |c| c.policy(Policy::new("up", 5, Duration::from_millis(1_000)).route("/x/*")).exempt_route("/x/*"),
        "routes",
        "/x/*",
    );
    let apart = Policy::new("up", 5, Duration::from_millis(1_000)).route("/x").route("/x/*").route("GET /x");
    GateConfig::builder().policy(apart).build().unwrap();
}

#[test]
fn debug_shows_no_more_than_the_policies() {
    let shown = format!("{:?} {:?}", GateConfig::builder(), GateConfig::default());
    assert!(shown.contains("default") && !shown.contains("proxies"), "{shown}");
}

#[test]
fn a_gate_opened_by_directory_and_secret_has_the_defaults_of_engine_and_gate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let gate = Gate::open(&path, [7; 32]).unwrap();
    let facts = || Facts::new(ClientKey::User("u".into()), NetworkPrefix::of(None));
    for admitted in 1..=100 {
        let Decision::Pass(pass) = decide(&gate, facts()).wait() else {
            panic!("request {admitted} is under the limit")
        };
        assert_eq!(pass.quota.remaining, 100 - admitted);
    }
    let Decision::Refuse(refusal) = decide(&gate, facts()).wait() else { panic!("request 101 is over the limit") };
    assert_eq!((refusal.status, refusal.reason), (429, Reason::WorkRequired));
    assert_eq!(gate.engine().config().floor(DifficultyTier::Low), Duration::from_millis(1_500));
    // The store is locked while it is open, and a secret has 32 bytes.
    assert!(matches!(Gate::open(&path, [7; 32]), Err(GateError::Open(_))));
    let error = Gate::open(&path, "short").unwrap_err();
    assert!(matches!(&error, GateError::Config(refused) if refused.field == "hmac_secret"), "{error}");
}
