use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::engine::{Config, PouwEngine};
use crate::gate::memory::self_checks::AGENTS_MANY;
use crate::gate::request::sample::Request;
use crate::gate::{Decision, GateConfig, GateConfigBuilder, GateEventSink, GateRuntime, IdentifierStrategy, Step};

type Lines<'a> = &'a [(&'static str, &'a str)];

/// A gate, and the events of its self-checks.
struct Scene {
    gate: Gate,
    reported: Arc<Mutex<Vec<(SelfCheck, &'static str)>>>,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn new(change: impl Fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open(directory.path(), config).unwrap();
        let reported = Arc::new(Mutex::new(Vec::new()));
        let reports = reported.clone();
        let runtime = GateRuntime::default().events(GateEventSink::new(move |event| {
            if let GateEvent::Misconfigured { check, advice } = event {
                assert_eq!(event.name(), "misconfigured");
                reports.lock().push((*check, *advice));
            }
        }));
        let config = change(GateConfig::builder().rate_limit(1_000_000)).build().unwrap();
        Self { gate: Gate::with_runtime(engine, config, runtime).unwrap(), reported, _directory: directory }
    }

    /// Returns the refusal of strict mode for a request; `None` if it passes.
    fn ask(&self, peer: Option<&str>, lines: Lines<'_>) -> Option<Refusal> {
        self.ask_as(Caller::from_peer(peer.map(|peer| peer.parse::<IpAddr>().unwrap())), lines)
    }

    fn ask_as(&self, caller: Caller<'_>, lines: Lines<'_>) -> Option<Refusal> {
        match self.gate.on_request(&Request::new("GET", lines), &caller) {
            Step::Decided(Decision::Pass(_)) => None,
            Step::Decided(Decision::Refuse(refusal)) => Some(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn reported(&self) -> Vec<SelfCheck> {
        let reported: Vec<SelfCheck> = self.reported.lock().iter().map(|(check, _)| *check).collect();
        let mut sorted = reported.clone();
        sorted.sort_by_key(|check| check.bit());
        assert_eq!(self.gate.misconfigurations(), sorted);
        reported
    }
}

fn strict(config: GateConfigBuilder) -> GateConfigBuilder {
    config.strict_checks(true)
}

fn plain(config: GateConfigBuilder) -> GateConfigBuilder {
    config
}

/// A 500 that names the check and says what to do.
fn assert_names(refusal: Option<Refusal>, check: SelfCheck) {
    let refusal = refusal.expect("a refusal of strict mode");
    assert_eq!((refusal.status, refusal.reason), (500, Reason::Misconfigured));
    let document: serde_json::Value = serde_json::from_slice(&refusal.body).unwrap();
    let detail = document["detail"].as_str().unwrap();
    assert!(detail.contains(check.as_str()) && detail.contains(check.advice()), "{detail}");
    assert_eq!((&document["reason"], &document["title"]), (&"misconfigured".into(), &"Internal Server Error".into()));
    assert_eq!(refusal.headers.find("content-type"), Some("application/problem+json"));
}

#[test]
fn a_request_without_a_peer_is_reported_once_unless_it_needs_none() {
    let scene = Scene::new(plain);
    assert!(scene.ask(Some("192.0.2.7"), &[]).is_none());
    assert!(scene.ask_as(Caller::default().user("ada"), &[]).is_none());
    assert_eq!(scene.reported(), []);
    for _ in 0..3 {
        assert!(scene.ask(None, &[]).is_none());
    }
    assert_eq!(scene.reported(), [SelfCheck::NoPeer]);
    let (_, advice) = scene.reported.lock()[0];
    assert!(advice.contains("into_make_service_with_connect_info"), "{advice}");
    let by_user = Scene::new(|config| config.identifier_strategy(IdentifierStrategy::User));
    assert!(by_user.ask(None, &[]).is_none());
    assert_eq!(by_user.reported(), []);
    // The host's own function may take clients together.
    let anonymous = IdentifierStrategy::custom(|head, _| (head.method() == "GET").then_some(ClientKey::Anonymous));
    let custom = Scene::new(|config| strict(config).identifier_strategy(anonymous.clone()));
    assert!(custom.ask(None, &[]).is_none());
    assert_eq!(custom.reported(), []);

    let scene = Scene::new(strict);
    assert_names(scene.ask(None, &[]), SelfCheck::NoPeer);
    assert_names(scene.ask(None, &[]), SelfCheck::NoPeer);
    assert!(scene.ask(Some("192.0.2.7"), &[]).is_none());
    assert_eq!(scene.reported(), [SelfCheck::NoPeer]);
    let refused = scene.gate.stats().refused;
    assert_eq!(refused, [(Reason::Misconfigured, 2)]);
}

#[test]
fn a_private_peer_that_forwards_and_is_not_named_is_reported() {
    let forwards = [("x-forwarded-for", "203.0.113.9")];
    let proxies = ["10.0.0.1", "127.0.0.1", "172.16.0.1", "100.64.0.1", "169.254.0.1", "::1", "fd00::1", "fe80::1"];
    for peer in proxies.into_iter().chain(["::ffff:192.168.0.1"]) {
        for name in FORWARDING {
            let scene = Scene::new(plain);
            assert!(scene.ask(Some(peer), &[]).is_none());
            assert_eq!(scene.reported(), [], "{peer}");
            assert!(scene.ask(Some(peer), &[(name, "203.0.113.9")]).is_none());
            assert!(scene.ask(Some(peer), &[(name, "203.0.113.9")]).is_none());
            assert_eq!(scene.reported(), [SelfCheck::UnnamedProxy], "{peer} {name}");
        }
    }
    let scene = Scene::new(strict);
    // A client from outside may send what it likes, and a proxy that is named sends what it should.
    for peer in ["203.0.113.7", "2001:db8::7", "100.128.0.1"] {
        assert!(scene.ask(Some(peer), &forwards).is_none(), "{peer}");
    }
    let caller = Caller::from_peer("10.0.0.1".parse::<IpAddr>().unwrap()).user("ada");
    assert!(scene.ask_as(caller, &forwards).is_none(), "a user is not identified by the address");
    assert!(Scene::new(|config| strict(config).trusted_proxy("10.0.0.0/8")).ask(Some("10.0.0.1"), &forwards).is_none());
    assert_eq!(scene.reported(), []);
    for _ in 0..2 {
        assert_names(scene.ask(Some("10.0.0.1"), &forwards), SelfCheck::UnnamedProxy);
    }
    assert_eq!(scene.reported(), [SelfCheck::UnnamedProxy]);
    let named = Scene::new(|config| strict(config).client_ip_header("fly-client-ip"));
    assert_names(named.ask(Some("10.0.0.1"), &[("fly-client-ip", "203.0.113.9")]), SelfCheck::UnnamedProxy);
}

#[test]
fn one_address_with_many_browsers_is_reported_unless_there_is_a_second_address() {
    let agents: Vec<String> = (0..AGENTS_MANY).map(|at| format!("browser {at}")).collect();
    let ask = |scene: &Scene, peer: &str, agent: &str| scene.ask(Some(peer), &[("user-agent", agent)]);
    let scene = Scene::new(plain);
    for agent in &agents {
        assert_eq!(scene.reported(), []);
        // The same browser again is no other one.
        assert!(ask(&scene, "203.0.113.7", agent).is_none() && ask(&scene, "203.0.113.7", agent).is_none());
    }
    assert_eq!(scene.reported(), [SelfCheck::OneClient]);

    let scene = Scene::new(plain);
    for (at, agent) in agents.iter().enumerate() {
        assert!(ask(&scene, "203.0.113.7", agent).is_none());
        if at == AGENTS_MANY - 2 {
            assert!(ask(&scene, "203.0.113.8", agent).is_none());
        }
    }
    assert_eq!(scene.reported(), [], "there is a second address");

    let scene = Scene::new(strict);
    let refused: Vec<Option<Refusal>> = agents.iter().map(|agent| ask(&scene, "203.0.113.7", agent)).collect();
    assert_eq!(refused.iter().filter(|refused| refused.is_some()).count(), 1);
    assert_names(refused.into_iter().flatten().next(), SelfCheck::OneClient);
    assert_names(ask(&scene, "203.0.113.7", "browser 1"), SelfCheck::OneClient);
    assert!(ask(&scene, "203.0.113.8", "browser 1").is_none(), "a second address ends the check");
    assert!(ask(&scene, "203.0.113.7", "browser 1").is_none());
}

#[test]
fn trusted_proxies_that_send_no_address_are_reported_unless_one_request_has_one() {
    let agents: Vec<String> = (0..AGENTS_MANY).map(|at| format!("browser {at}")).collect();
    let scene = || Scene::new(|config| plain(config).trusted_proxy("10.0.0.0/8").client_ip_header("x-real-ip"));
    let ask = |scene: &Scene, header: &'static str, agent: &str| {
        scene.ask(Some("10.0.0.1"), &[("user-agent", agent), (header, "203.0.113.9")])
    };
    let wrong = scene();
    assert!(agents.iter().all(|agent| ask(&wrong, "x-reel-ip", agent).is_none()));
    assert_eq!(wrong.reported(), [SelfCheck::OneClient]);
    let right = scene();
    assert!(ask(&right, "x-real-ip", "the first").is_none());
    assert!(agents.iter().all(|agent| ask(&right, "x-reel-ip", agent).is_none()));
    assert_eq!(right.reported(), [], "requests without the header, such as those for health, are no sign");
}

#[test]
fn a_response_that_shows_cors_or_a_smaller_body_limit_is_reported() {
    let look = |scene: &Scene, read, status, allows| scene.gate.response_check(read)?.look(status, allows);
    let scene = Scene::new(plain);
    for (read, status) in [(false, 200), (false, 413), (true, 200)] {
        assert!(look(&scene, read, status, false).is_none());
    }
    assert_eq!(scene.reported(), []);
    for _ in 0..2 {
        assert!(look(&scene, false, 200, true).is_none());
        assert!(look(&scene, true, 413, false).is_none());
    }
    assert_eq!(scene.reported(), [SelfCheck::CorsInside, SelfCheck::BodyLimit]);
    assert!(scene.gate.response_check(true).is_none(), "both checks have ended");

    let scene = Scene::new(strict);
    for _ in 0..2 {
        assert_names(look(&scene, false, 200, true), SelfCheck::CorsInside);
        assert_names(look(&scene, true, 413, false), SelfCheck::BodyLimit);
        assert!(look(&scene, true, 200, false).is_none());
    }
    assert_eq!(scene.reported(), [SelfCheck::CorsInside, SelfCheck::BodyLimit]);
}

#[test]
fn the_checks_end_after_ten_thousand_looks_except_in_strict_mode() {
    for (change, ends) in [(plain as fn(_) -> _, true), (strict, false)] {
        let scene = Scene::new(change);
        for _ in 0..10_000 {
            assert!(scene.gate.inner.checks.look_at_requests());
            assert!(scene.ask(Some("203.0.113.7"), &[]).is_none());
            assert!(scene.gate.response_check(false).expect("it looks").look(200, false).is_none());
        }
        assert_eq!(scene.gate.inner.checks.look_at_requests(), !ends);
        assert_eq!(scene.gate.response_check(false).is_none(), ends);
        assert!(!scene.gate.inner.checks.is_open(SelfCheck::OneClient));
        // That of the peer costs nothing, so it does not end.
        assert_eq!(scene.ask(None, &[]).is_some(), !ends);
        assert_eq!(scene.reported(), [SelfCheck::NoPeer]);
    }
}

#[test]
fn the_smallest_body_limit_holds_the_largest_result() {
    use crate::protocol::limits::{MAX_TOKEN_CHARS, MAX_UNIT_LEAVES};
    let hash = 2 * 64 + r#""",""#.len();
    let largest = hash * (1 + MAX_UNIT_LEAVES) + MAX_TOKEN_CHARS + 1_024;
    let least = (1..).map(|kib| kib << 10).find(|bytes| GateConfig::builder().body_limit_bytes(*bytes).build().is_ok());
    assert!(least.is_some_and(|least| least > 2 * largest), "{largest} bytes of a result in {least:?}");
}
