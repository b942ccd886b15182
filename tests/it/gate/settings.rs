//! Settings as a document: every key known, documented and effective, and everything wrong named at once.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pouw::settings::{KEYS, Settings, Weight};
use pouw::{Config, GateConfig};
use serde_json::{Map, Value, json};

fn read(document: &Value) -> Settings {
    serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn refused(document: Value) -> String {
    let read = serde_json::from_value::<Settings>(document.clone());
    read.expect_err(&document.to_string()).to_string()
}

fn with(key: &str, value: Value) -> Settings {
    read(&json!({ key: value }))
}

fn members(settings: &Settings) -> Map<String, Value> {
    serde_json::to_value(settings).unwrap().as_object().unwrap().clone()
}

/// What is wrong, as `key field value`.
fn problems(document: Value) -> Vec<String> {
    let found = read(&document).problems();
    found.iter().map(|problem| format!("{} {} {}", problem.key, problem.error.field, problem.error.value)).collect()
}

/// Keys that no builder has: the host reads these files and hands on what is in them.
const FILES: [&str; 2] = ["secret_file", "previous_secret_files"];

/// A value for each key that is allowed and not its default: reckoned from the default, or by hand.
fn others() -> Value {
    let by_hand = json!({
        "route_overrides": [{ "name": "up", "rate_limit": 5, "window_ms": 1000, "routes": ["POST /up"],
            "answer_buys": { "requests": 3, "seconds": 10 } }],
        "exempt_routes": ["/healthz", "GET /feed/*"], "ratelimit_draft": "draft7", "challenge_page": "/pouw/assets/",
        "site_name": "Example", "site_color": "#2457c5", "site_contact": "mailto:help@site.example",
        "identifier_strategy": "api_key", "trusted_proxies": ["10.0.0.0/8", "fd00::/16"],
        "nat64_prefixes": ["2001:db8:64::/96"], "client_ip_header": "x-real-ip",
        "default_difficulty": "medium", "max_difficulty": "medium", "award_basis": "tier_average",
        "fallback_behavior": "deny", "answer_buys": { "requests": 20, "seconds": 30 }, "secret_file": "secret", "previous_secret_files": ["older"],
    });
    let defaults = members(&Settings::default().effective());
    let other = |key: &str| by_hand.get(key).cloned().unwrap_or_else(|| another(key, &defaults[key]));
    KEYS.iter().map(|key| (key.name.to_owned(), other(key.name))).collect()
}

fn another(key: &str, default: &Value) -> Value {
    match default {
        Value::Bool(default) => json!(!default),
        Value::Number(number) => match number.as_u64() {
            // At the maximum, or below it.
            Some(number) if with(key, json!(number + 1)).problems().is_empty() => json!(number + 1),
            Some(number) => json!(number - 1),
            None => json!(number.as_f64().unwrap() + 0.5),
        },
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|default| json!(default.as_u64().unwrap() + 1)).collect()
        }
        _ => panic!("{key}: give it another value than {default} by hand"),
    }
}

#[test]
fn every_key_changes_its_setting_and_no_other() {
    let others = others();
    let defaults = members(&Settings::default().effective());
    for (key, value) in others.as_object().unwrap() {
        let settings = with(key, value.clone());
        assert!(settings.is_set(key) && settings.problems().is_empty(), "{key}: {:?}", settings.problems());
        settings.engine(Config::builder([7; 32])).build().unwrap();
        settings.gate(GateConfig::builder()).build().unwrap();
        let mut effective = members(&settings.effective());
        assert_eq!(effective.remove(key).as_ref(), Some(value), "{key}");
        assert_ne!(defaults.get(key), Some(value), "{key}: this is the default");
        for (other, value) in &defaults {
            // Two defaults are reckoned from another setting.
            let follows = match key.as_str() {
                "rate_limit" | "challenge_page" | "answer_buys" | "route_overrides" => {
                    other.starts_with("paid_admissions_per_")
                }
                "paid_admissions_per_window" => other == "paid_admissions_per_prefix",
                _ => false,
            };
            assert!(other == key || follows || effective.get(other) == Some(value), "{key} changed {other}");
        }
    }
    // All at once, there and back.
    assert_eq!(serde_json::to_value(read(&others).effective()).unwrap(), others);
}

#[test]
fn what_is_left_away_has_the_default_of_the_protocol() {
    let mut defaults = members(&Settings::default().effective());
    for (key, value) in json!({
        "rate_limit": 100, "window_ms": 60_000, "route_overrides": [], "identifier_strategy": "user_or_ip",
        "ratelimit_draft": "compatible", "challenge_page": "", "site_name": "", "site_color": "", "site_contact": "",
        "token_ttl_seconds": 60, "default_difficulty": "low", "max_difficulty": "high",
        "escalation_window_ms": 300_000, "cool_down_ms": 600_000, "circuit_breaker_threshold": 10,
        "circuit_breaker_probe_interval_ms": 30_000, "min_queue_depth": 100, "work_unit_max_age_ms": 3_600_000,
        "fallback_behavior": "in_memory", "security_alert_threshold": 5, "reputation_difficulty_threshold": 0.7,
        "reputation_exemption_threshold": 0.95, "award_joule_credits": true, "micro_joules_per_hash": 100,
        "award_basis": "actual", "floor_ms": [1_500, 4_000, 7_500], "unit_bytes": [32_768, 65_536, 131_072], "calibrate": false,
        "paid_admissions_per_window": 100, "paid_admissions_per_prefix": 800, "bytes_per_minute": 2 << 20,
        "prefix_bytes_per_minute": 16 << 20, "bytes_per_second": 16 << 20, "bytes_in_flight": 64 << 20,
        "open_challenges": [4, 4], "tracked_clients_max": 1_000_000,
    })
    .as_object()
    .unwrap()
    {
        assert_eq!(defaults.remove(key).as_ref(), Some(value), "{key}");
    }
    let known: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert!(defaults.keys().all(|key| known.contains(key.as_str())));
    assert_eq!(read(&json!({})), Settings::default());
    assert!(Settings::default().problems().is_empty());
}

#[test]
fn no_setter_of_the_builders_is_forgotten() {
    // The lists of the document that a builder takes one by one, and a setting with another name.
    let known = [
        ("ConfigBuilder::previous_secret", "previous_secret_files"),
        ("ConfigBuilder::waiting_answers_max", "waiting_commits_max"),
        ("GateConfigBuilder::policy", "route_overrides"),
        ("GateConfigBuilder::exempt_route", "exempt_routes"),
        ("GateConfigBuilder::trusted_proxy", "trusted_proxies"),
        ("GateConfigBuilder::nat64_prefix", "nat64_prefixes"),
    ];
    let left_out = ["accept_clock_ahead", "background", "build"];
    let public = include_str!("../../data/public_api.txt").lines();
    let methods = public.filter_map(|line| line.strip_prefix("pub fn pouw::")?.split_once("(self"));
    let of_builders = |name: &&str| name.starts_with("ConfigBuilder::") || name.starts_with("GateConfigBuilder::");
    let setters: Vec<&str> = methods.map(|(name, _)| name).filter(of_builders).collect();
    assert!(setters.len() > 45, "the search for setters no longer finds them: {setters:?}");
    for setter in setters {
        let (_, name) = setter.split_once("::").unwrap();
        let key = known.iter().find(|(known, _)| *known == setter).map_or(name, |(_, key)| key);
        // The key of a time ends in its unit.
        let keys = [key.to_owned(), format!("{key}_ms"), format!("{key}_seconds")];
        let there = KEYS.iter().any(|key| keys.iter().any(|name| name == key.name)) || left_out.contains(&name);
        assert!(there, "the builders have {setter}, the document has not: give it a key, or leave it out on purpose");
    }
}

#[test]
fn the_rules_that_are_told_are_those_the_builders_keep() {
    let fits = |key: &str, value: &Value| with(key, value.clone()).problems();
    for key in KEYS.iter().filter(|key| !FILES.contains(&key.name)) {
        let name = key.name;
        let shape = |number: u64| match name {
            "open_challenges" | "calibrate_target_ms" => json!([number, number]),
            "unit_bytes" => json!([number, number, number]),
            _ => json!(number),
        };
        let rule = key
            .rule
            .rsplit_once("each ")
            .map_or(key.rule, |(_, each)| each.trim_end_matches(", none smaller than the one before"));
        let low_high = rule.split_once(" to ").and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse().ok()?)));
        let low = rule.strip_suffix(" or more").and_then(|low| low.parse::<u64>().ok());
        if let Some((low, high)) = low_high.or(low.map(|low| (low, u64::MAX))) {
            // A limit on buffers is judged together with that on one body.
            assert!(fits(name, &shape(low)).iter().all(|problem| problem.error.field != name), "{name} at {low}");
            if high < u64::MAX {
                assert!(fits(name, &shape(high)).iter().all(|problem| problem.error.field != name), "{name} at {high}");
                assert_refused(name, shape(high + 1));
            }
            if low > 0 {
                assert_refused(name, shape(low - 1));
            }
        } else if let Some(words) = rule.strip_prefix("one of ") {
            for word in words.trim_end_matches(", not below default_difficulty").split(", ") {
                assert!(fits(name, &json!(word)).is_empty(), "{name} {word}");
            }
            assert!(refused(json!({ name: "nonsense" })).contains("nonsense"), "{name}");
        } else if rule == "true or false" {
            assert!(fits(name, &json!(true)).is_empty() && fits(name, &json!(false)).is_empty());
            refused(json!({ name: "yes" }));
        } else if rule == "a finite number, 0 or more" {
            assert!(fits(name, &json!(0)).is_empty() && fits(name, &json!(1e9)).is_empty());
            assert_refused(name, json!(-0.001));
        } else if let Some(most) = rule.strip_prefix("empty, or a path of at most ") {
            let most: usize = most.split(' ').next().unwrap().parse().unwrap();
            for path in ["", "/", "/a-b_c.d/9/", &format!("/{}/", "a".repeat(most - 2))] {
                assert!(fits(name, &json!(path)).is_empty(), "{name} {path}");
            }
            for path in
                ["a/", "/a", "/a b/", "/\"/", "/<x>/", "/?/", "/\u{e9}/", &format!("/{}/", "a".repeat(most - 1))]
            {
                assert_refused(name, json!(path));
            }
        } else if name == "answer_buys" {
            the_rule_of_passes_is_kept(name);
        } else if let Some(most) = rule.strip_prefix("empty, or a text of at most ") {
            let most: usize = most.split(' ').next().unwrap().parse().unwrap();
            for text in ["", &*"\u{e9}".repeat(most)] {
                assert!(fits(name, &json!(text)).is_empty(), "{name} {text}");
            }
            assert_refused(name, json!("\u{e9}".repeat(most + 1)));
            assert_refused(name, json!("a\u{7}b"));
        } else if rule == "empty, or a colour as #RGB or #RRGGBB" {
            for color in ["", "#a1B", "#a1b2C3"] {
                assert!(fits(name, &json!(color)).is_empty(), "{name} {color}");
            }
            for color in ["#", "a1b", "#a1b2", "#ggg", "red"] {
                assert_refused(name, json!(color));
            }
        } else {
            let own = ["route_overrides", "exempt_routes", "trusted_proxies", "floor_ms", "synthetic_max"];
            let own_too = ["buffered_bytes_max", "bytes_in_flight", "nat64_prefixes", "client_ip_header"];
            assert!(own.contains(&name) || own_too.contains(&name), "{name}: no test reads the rule {rule:?}");
        }
    }
}

fn the_rule_of_passes_is_kept(name: &str) {
    let fits = |value: Value| with(name, value).problems();
    let bought = |requests: u64, seconds: u64| json!({ "requests": requests, "seconds": seconds });
    for (requests, seconds) in [(1, 1), (1_000_000, 86_400)] {
        assert!(fits(bought(requests, seconds)).is_empty(), "{requests} in {seconds}");
    }
    for (requests, seconds, part) in
        [(0, 1, "requests"), (1_000_001, 1, "requests"), (1, 0, "seconds"), (1, 86_401, "seconds")]
    {
        let problems = fits(bought(requests, seconds));
        assert!(problems.iter().any(|problem| problem.error.field == format!("answer_buys.{part}")), "{problems:?}");
    }
    refused(json!({ name: { "requests": 3 } }));
}

/// A number that the type has room for is refused by the builder, under its own name; else by the type.
fn assert_refused(name: &str, value: Value) {
    let document = json!({ name: value });
    match serde_json::from_value::<Settings>(document.clone()) {
        Ok(settings) => {
            let found = settings.problems();
            assert!(found.iter().any(|problem| problem.key == name && !problem.error.rule.is_empty()), "{document}");
        }
        Err(error) => assert!(error.to_string().contains("expected"), "{document}: {error}"),
    }
}

#[test]
fn what_is_no_setting_or_of_another_type_is_refused() {
    assert!(refused(json!({ "rate_limits": 5 })).contains("rate_limits"));
    for key in ["accept_clock_ahead", "background", "listen", "policies"] {
        assert!(refused(json!({ key: true })).contains("unknown field"), "{key}");
    }
    for (key, value, says) in [
        ("rate_limit", json!("5"), "expected u32"),
        ("rate_limit", json!(-1), "expected u32"),
        ("rate_limit", json!(1.5), "expected u32"),
        ("rate_limit", json!(5_000_000_000u64), "expected u32"),
        ("floor_ms", json!([1, 2]), "3"),
        ("floor_ms", json!(1_500), "array"),
        ("trusted_proxies", json!(["proxy.example"]), "invalid"),
        ("trusted_proxies", json!(["10.0.0.1/33"]), "invalid"),
        ("identifier_strategy", json!("cookie"), "user_or_ip"),
        ("identifier_strategy", json!("custom"), "set it on the builder"),
        ("route_overrides", json!([{ "name": "up", "rate_limit": 1, "window_ms": 1 }]), "routes"),
        ("route_overrides", json!([{ "name": "up", "limit": 1 }]), "limit"),
    ] {
        let said = refused(json!({ key: value }));
        assert!(said.contains(says), "{key}: {said:?} does not say {says:?}");
    }
}

#[test]
fn a_secret_in_a_document_is_refused_and_not_repeated() {
    for key in ["hmac_secret", "previous_secrets"] {
        let said = refused(json!({ key: "correct horse battery staple and more" }));
        assert!(said.contains("secret_file") && said.contains("its owner"), "{said}");
        assert!(!said.contains("horse"), "{said}");
    }
    let shown = format!("{:?}", with("secret_file", json!("k")));
    assert!(!shown.contains("horse"));
}

#[test]
fn everything_wrong_is_told_with_its_place() {
    assert_eq!(
        problems(json!({
            "rate_limit": 0, "window_ms": 0, "token_ttl_seconds": 3_601, "judge_threads": 65,
            "waiting_answers_max": 0, "waiting_commits_max": 0,
            "route_overrides": [
                { "name": "Up", "rate_limit": 0, "window_ms": 1, "routes": ["/a", "b"] },
                { "name": "default", "rate_limit": 1, "window_ms": 86_400_001, "routes": ["/c", "/a"] },
                { "name": "twice", "rate_limit": 1, "window_ms": 1, "routes": ["/d"] },
                { "name": "twice", "rate_limit": 1, "window_ms": 1, "routes": ["/e"] },
            ],
            "exempt_routes": ["/f", "/d", "health"],
        })),
        [
            "route_overrides[0].name policies.name Up",
            "route_overrides[0].rate_limit rate_limit 0",
            "route_overrides[0].routes[1] routes b",
            "route_overrides[1].name policies.name default",
            "route_overrides[1].window_ms window_ms 86400001",
            "exempt_routes[2] routes health",
            "route_overrides[3].name policies.name twice",
            "route_overrides[1].routes[1] routes /a",
            "exempt_routes[1] routes /d",
            "token_ttl_seconds token_ttl_seconds 3601",
            "waiting_commits_max waiting_commits_max 0",
            "rate_limit rate_limit 0",
            "window_ms window_ms 0",
            "judge_threads judge_threads 65",
            "waiting_answers_max waiting_answers_max 0",
        ]
    );
}

#[test]
fn a_default_that_no_longer_fits_is_the_doing_of_the_key_that_is_set() {
    assert_eq!(problems(json!({ "token_ttl_seconds": 5 })), ["token_ttl_seconds floor_ms 7500"]);
    assert_eq!(problems(json!({ "leases_max": 100 })), ["leases_max synthetic_max 4096"]);
    assert_eq!(problems(json!({ "leases_max": 100, "synthetic_max": 101 })), ["synthetic_max synthetic_max 101"]);
    let high = json!({ "default_difficulty": "high", "max_difficulty": "low" });
    assert_eq!(problems(high), ["max_difficulty max_difficulty low"]);
    let said = read(&json!({ "token_ttl_seconds": 5 })).problems()[0].to_string();
    assert_eq!(
        said,
        "`token_ttl_seconds` does not fit `floor_ms`, which is 7500: it must be below the token's lifetime"
    );
    let said = with("rate_limit", json!(0)).problems()[0].to_string();
    assert_eq!(said, "`rate_limit` is 0: it must be from 1 to 1000000");
    // What is judged by a setting that is wrong itself is not told.
    let both = json!({ "token_ttl_seconds": 9_999, "floor_ms": [0, 0, 100_000] });
    assert_eq!(problems(both), ["token_ttl_seconds token_ttl_seconds 9999"]);
    let body = json!({ "body_limit_bytes": 1 << 20, "buffered_bytes_max": 1 << 19 });
    assert_eq!(problems(body), ["buffered_bytes_max buffered_bytes_max 524288"]);
    // A challenge of the largest unit has to fit into what may be on its way.
    assert_eq!(problems(json!({ "bytes_in_flight": 177_835 })), ["bytes_in_flight bytes_in_flight 177835"]);
    assert_eq!(problems(json!({ "bytes_in_flight": 177_836 })), [""; 0]);
    let units = |high: u64| json!({ "bytes_in_flight": 200_000, "unit_bytes": [1_024, 1_024, high] });
    assert_eq!(problems(units(1 << 20)), ["bytes_in_flight bytes_in_flight 200000"]);
    assert_eq!(problems(units(1_024)), [""; 0]);
}

#[test]
fn there_are_bounds_on_policies_secrets_and_what_is_told() {
    let policies = |count: usize| {
        let entry = |at| json!({ "name": format!("p{at}"), "rate_limit": 1, "window_ms": 1, "routes": [] });
        json!({ "route_overrides": (0..count).map(entry).collect::<Vec<_>>() })
    };
    assert!(problems(policies(999)).is_empty());
    assert_eq!(problems(policies(1_000)), ["route_overrides policies 1000"]);
    let files = |count: usize| json!({ "previous_secret_files": vec!["old"; count] });
    assert!(problems(files(7)).is_empty());
    assert_eq!(problems(files(8)), ["previous_secret_files previous_secret_files 8"]);
    assert_eq!(problems(json!({ "exempt_routes": vec!["/a"; 500] })).len(), 100);
    assert_eq!(problems(json!({ "exempt_routes": vec!["a"; 500] })).len(), 100);
}

/// The keys of the risks of this weight.
fn found(document: Value, weight: Weight) -> Vec<&'static str> {
    let document = read(&document);
    assert!(document.problems().is_empty(), "{document:?}");
    document.risks().iter().filter(|risk| risk.weight == weight).map(|risk| risk.key).collect()
}

#[test]
fn the_defaults_carry_no_warning_and_risky_combinations_do() {
    assert_eq!(found(json!({}), Weight::Warning), [""; 0]);
    assert_eq!(found(json!({}), Weight::Note), ["trusted_proxies"]);
    assert_eq!(found(json!({ "trusted_proxies": ["10.0.0.0/8"] }), Weight::Note), [""; 0]);
    let login = |limit| json!({ "name": "login", "rate_limit": limit, "window_ms": 60_000, "routes": ["/login"] });
    assert_eq!(found(json!({ "route_overrides": [login(10)] }), Weight::Warning), [""; 0]);
    let up = json!({ "name": "up", "rate_limit": 9_000, "window_ms": 1, "routes": [] });
    for (document, key) in [
        (json!({ "floor_ms": [0, 4_000, 7_500] }), "floor_ms"),
        (json!({ "token_ttl_seconds": 17 }), "token_ttl_seconds"),
        (json!({ "calibrate": true, "calibrate_target_ms": [56_000, 1] }), "calibrate_target_ms"),
        (json!({ "calibrate": true, "calibrate_target_ms": [1, 52_500] }), "calibrate_target_ms"),
        (json!({ "paid_admissions_per_window": 1_001 }), "paid_admissions_per_window"),
        (json!({ "paid_admissions_per_window": 0 }), "paid_admissions_per_window"),
        (json!({ "paid_admissions_in_all": 0 }), "paid_admissions_per_window"),
        (json!({ "paid_admissions_per_prefix": 99 }), "paid_admissions_per_prefix"),
        (json!({ "paid_admissions_in_all": 99 }), "paid_admissions_in_all"),
        (json!({ "default_difficulty": "high" }), "default_difficulty"),
        (json!({ "escalation_window_ms": 59_999 }), "escalation_window_ms"),
        (
            json!({ "answer_buys": { "requests": 9, "seconds": 9 }, "paid_admissions_per_window": 8 }),
            "paid_admissions_per_window",
        ),
        (json!({ "reputation_exemption_threshold": 0.7 }), "reputation_exemption_threshold"),
        (json!({ "bytes_per_minute": 3_755 }), "bytes_per_minute"),
        (json!({ "bytes_per_minute": 3_756 }), "bytes_per_minute"),
        (json!({ "prefix_bytes_per_minute": 0 }), "prefix_bytes_per_minute"),
        (json!({ "bytes_per_second": 100_000 }), "bytes_per_second"),
        (json!({ "ipv6_prefix": 65 }), "ipv6_prefix"),
        (json!({ "identifier_strategy": "ip", "ipv6_prefix": 128 }), "ipv6_prefix"),
        (json!({ "trusted_proxies": ["10.0.0.0/8", "0.0.0.0/0"] }), "trusted_proxies"),
        (json!({ "trusted_proxies": ["::/0"] }), "trusted_proxies"),
        (json!({ "client_ip_header": "X-Real-IP" }), "client_ip_header"),
        (json!({ "trusted_proxies": ["10.0.0.0/7"] }), "trusted_proxies"),
        (json!({ "trusted_proxies": ["2000::/3"] }), "trusted_proxies"),
        (json!({ "open_challenges": [1, 1] }), "open_challenges"),
        (json!({ "route_overrides": [up] }), "route_overrides"),
        (json!({ "exempt_routes": ["/*"] }), "exempt_routes"),
        (json!({ "route_overrides": [login(9)] }), "route_overrides"),
    ] {
        assert_eq!(found(document.clone(), Weight::Warning), [key], "{document}");
    }
    for (document, key) in [
        (json!({ "shadow": true }), "shadow"),
        (json!({ "calibrate_target_ms": [1, 60_000] }), "calibrate"),
        (json!({ "calibrate_bytes_min": 2_048 }), "calibrate"),
        (json!({ "max_difficulty": "low" }), "max_difficulty"),
        (json!({ "ipv6_prefix": 47 }), "ipv6_prefix"),
        (json!({ "ready_bytes_max": 12 << 20 }), "ready_bytes_max"),
    ] {
        assert!(found(document.clone(), Weight::Note).contains(&key), "{document}");
        assert_eq!(found(document.clone(), Weight::Warning), [""; 0], "{document}");
    }
}

#[test]
fn at_the_edge_of_a_rule_there_is_no_risk() {
    for quiet in [
        json!({ "token_ttl_seconds": 18 }),
        json!({ "calibrate": true, "calibrate_target_ms": [55_999, 52_499] }),
        json!({ "paid_admissions_per_window": 1_000 }),
        json!({ "escalation_window_ms": 60_000 }),
        json!({ "answer_buys": { "requests": 9, "seconds": 9 }, "paid_admissions_per_window": 9 }),
        json!({ "identifier_strategy": "user", "ipv6_prefix": 128, "open_challenges": [1, 1] }),
        json!({ "bytes_in_flight": 177_836, "bytes_per_minute": 177_836 }),
        json!({ "trusted_proxies": ["10.0.0.0/8", "fd00::/16"] }),
    ] {
        assert_eq!(found(quiet.clone(), Weight::Warning), [""; 0], "{quiet}");
    }
}

const PAGE: &str = include_str!("../../../src/docs/configuration.md");
const HEADING: &str = "## Every key\n";

/// With `POUW_WRITE_PAGES` set, as by `.ci/run configuration_update`, the tables of the page are written anew.
#[test]
fn the_page_names_every_key_with_its_true_default() {
    let defaults = members(&Settings::default().effective());
    let mut expected = Vec::new();
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            expected.push(format!("\n### {group}\n\n| key | default | unit | allowed | what it does |"));
            expected.push("|---|---|---|---|---|".to_owned());
        }
        let default = defaults.get(key.name).map_or("none".to_owned(), Value::to_string);
        let (name, unit, rule, meaning) = (key.name, key.unit, key.rule, key.meaning);
        expected.push(format!("| `{name}` | `{default}` | {unit} | {rule} | {meaning} |"));
    }
    let expected = expected.join("\n");
    let (above, tables) = PAGE.split_once(HEADING).unwrap();
    if std::env::var_os("POUW_WRITE_PAGES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/configuration.md");
        fs::write(path, format!("{above}{HEADING}{expected}\n")).unwrap();
        return;
    }
    let differ = tables.lines().zip(expected.lines()).find(|(is, has_to_be)| is != has_to_be);
    assert!(tables.trim_end() == expected, "run `.ci/run configuration_update`; the first difference: {differ:?}");
}

#[test]
fn the_example_of_the_page_is_valid_and_carries_no_warning() {
    let example = PAGE.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let settings: Settings = toml::from_str(example).unwrap();
    assert!(settings.problems().is_empty(), "{:?}", settings.problems());
    assert!(settings.risks().is_empty(), "{:?}", settings.risks());
    let effective = settings.effective();
    assert_eq!((effective.rate_limit, effective.paid_admissions_per_prefix), (Some(60), Some(240)));
    assert_eq!(effective.route_overrides.unwrap()[1].routes, ["/search"]);
}

#[test]
fn every_configuration_in_the_guides_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            let blocks = toml_blocks(&text).into_iter();
            found.extend(blocks.map(|block| (path.file_name().unwrap().to_owned(), block.to_owned())));
        }
    }
    for page in ["configuration.md", "operator.md"] {
        assert!(found.iter().any(|(name, _)| name == page), "no block of {page} was found");
    }
    for (name, block) in found {
        assert_eq!(mistakes(&block), [""; 0], "{name:?}:\n{block}");
    }
}

#[test]
fn a_wrong_configuration_in_a_guide_is_found() {
    let text = "A\n```toml\nrate_limit = 0\n```\n* B\n  ```toml\n  rate_limit 1\n  ```\n```toml\nlisten = 1\n```\n";
    let text = format!("{text}```toml\nrate_limt = 1\n```\n```toml\nlisten = \"127.0.0.1:1\"\n```\n");
    let counts: Vec<_> = toml_blocks(&text).into_iter().map(|block| mistakes(block).len()).collect();
    assert_eq!(counts, [1, 1, 1, 1, 0]);
}

/// The blocks of a document that are marked `toml`.
fn toml_blocks(text: &str) -> Vec<&str> {
    let from_marks = text.split("```toml\n").skip(1);
    from_marks.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// What is wrong with a configuration file. `listen` is read by `pouw serve` itself.
fn mistakes(text: &str) -> Vec<String> {
    let mut table: toml::Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => return vec![error.to_string()],
    };
    let mut found = Vec::new();
    if let Some(listen) = table.remove("listen") {
        let address = listen.as_str().map(str::parse::<std::net::SocketAddr>);
        if !matches!(address, Some(Ok(_))) {
            found.push(format!("`listen` is {listen:?}"));
        }
    }
    match table.try_into::<Settings>() {
        Ok(settings) => found.extend(settings.problems().iter().map(ToString::to_string)),
        Err(error) => found.push(error.to_string()),
    }
    found
}
