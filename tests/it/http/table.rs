//! Every row of the wire protocol's table of responses, over real sockets, by one table of cases for all servers.

use std::sync::Arc;
use std::time::Duration;

use crate::support::desk::WINDOW_MS;
use crate::support::http::client::{Reply, raw, try_raw};
use crate::support::http::{Kind, Setup, Site, solved};
use crate::support::patience::until;
use pouw::internal::gate::{Facts, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{ByTier, WorkResult, header};
use pouw::{
    Admission, ClientKey, Config, FallbackBehavior, GateRuntime, NetworkPrefix, Policy, Quota, SharedWindow,
    WindowError,
};

fn everywhere(setup: &Setup, case: impl Fn(&Site)) {
    for kind in Kind::ALL {
        case(&Site::new(kind, setup));
    }
}

/// The headers that every response through the gate has (property 18).
fn has_rate_headers(reply: &Reply) {
    let (limit, left) = (reply.number(header::RATELIMIT_LIMIT), reply.number(header::RATELIMIT_REMAINING));
    let reset = reply.number(header::RATELIMIT_RESET);
    assert!(left <= limit && reset <= WINDOW_MS / 1000 + 15, "{reply:?}");
    assert_eq!(reply.header(header::RATELIMIT_POLICY).unwrap(), format!("\"default\";q={limit};w=3600"));
    let plain = format!("pouw-limit={limit};pouw-remaining={left};pouw-reset={reset}");
    let standing = format!("\"default\";r={left};t={reset};a={left};w={reset};{plain}");
    assert_eq!(reply.header(header::RATELIMIT).unwrap(), standing);
}

/// A refusal of ours: its status and reason, and everything that is the same for all.
fn refused(reply: &Reply, status: u16, reason: &str) -> serde_json::Value {
    assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let document = reply.json();
    for member in ["type", "title", "detail", "error", "message"] {
        assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {document}");
    }
    assert_eq!((&document["status"], &document["statusCode"]), (&status.into(), &status.into()));
    // Every response that passes the gate says where the client stands (property 18), whatever its status.
    assert!(reply.number(header::RATELIMIT_REMAINING) <= reply.number(header::RATELIMIT_LIMIT));
    reply.number(header::RATELIMIT_RESET);
    document
}

fn plain(reply: &Reply, reason: &str) {
    let document = refused(reply, 429, reason);
    has_rate_headers(reply);
    assert_eq!(reply.number("retry-after"), reply.number(header::RATELIMIT_RESET).max(1));
    assert!(reply.header(header::CHALLENGE).is_none() && document.get("workUnit").is_none(), "{reply:?}");
}

fn challenged(reply: &Reply, reason: &str) {
    let document = refused(reply, 429, reason);
    has_rate_headers(reply);
    assert_eq!(reply.number("retry-after"), reply.number(header::RATELIMIT_RESET));
    assert_eq!(document["workUnit"]["challengeToken"].as_str(), reply.header(header::CHALLENGE));
    assert!(reply.header(header::CHALLENGE).is_some());
}

fn accepted(reply: &Reply, body: &[u8]) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header(header::ACCEPTED), Some("true"));
    assert!(reply.number(header::JOULE_AWARD) > 0);
    assert_eq!(reply.body, body);
    has_rate_headers(reply);
}

fn zero_floor() -> Setup {
    Setup { engine: |config| config.floor(ByTier::all(Duration::ZERO)), ..Setup::default() }
}

#[test]
fn under_the_limit_the_service_answers_with_rate_headers() {
    everywhere(&Setup::default(), |site| {
        let reply = site.send("POST", "/echo", &[], b"\x00any bytes\xff");
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"\x00any bytes\xff".as_slice()));
        assert!(reply.header(header::ACCEPTED).is_none() && reply.header("retry-after").is_none());
        has_rate_headers(&reply);
        assert_eq!(reply.number(header::RATELIMIT_REMAINING), 0);
    });
}

#[test]
fn over_the_limit_with_work_there_is_a_challenge() {
    everywhere(&Setup::default(), |site| challenged(&site.limited(), "work_required"));
}

#[test]
fn without_a_unit_there_is_a_plain_429() {
    let setup = Setup { gate: |config| config.synthetic(false), backlog: 0, ..Setup::default() };
    everywhere(&setup, |site| {
        assert_eq!(site.hello(&[]).status, 200);
        plain(&site.hello(&[]), "no_work");
    });
}

#[test]
fn made_up_work_stands_in_for_an_empty_backlog() {
    let setup = Setup { backlog: 0, ..zero_floor() };
    everywhere(&setup, |site| {
        let (unit, result) = solved(&site.limited());
        assert!(unit.synthetic);
        accepted(&site.answer(&result), b"hello\n");
    });
}

#[test]
fn an_exempt_reputation_a_budget_and_a_ceiling_are_plain_429s() {
    let exempt = Setup { parts: || GateRuntime::default().reputation(|_| Some(0.99)), ..Setup::default() };
    let budget = Setup { gate: |config| config.open_challenges(1, 1), ..Setup::default() };
    let ceiling = Setup { gate: |config| config.paid_admissions_per_window(0), ..Setup::default() };
    everywhere(&exempt, |site| {
        assert_eq!(site.hello(&[]).status, 200);
        plain(&site.hello(&[]), "exempt");
    });
    everywhere(&budget, |site| {
        site.limited();
        plain(&site.hello(&[]), "budget");
    });
    everywhere(&ceiling, |site| {
        assert_eq!(site.hello(&[]).status, 200);
        plain(&site.hello(&[]), "ceiling");
    });
}

#[test]
fn ten_thousand_addresses_of_one_network_share_a_window_in_the_end() {
    let setup = Setup { gate: |config| config.trusted_proxy("127.0.0.0/8"), ..Setup::default() };
    everywhere(&setup, |site| {
        let prefix = NetworkPrefix::of(Some("2001:db8:7::1".parse().unwrap()));
        for at in 0..10_000u32 {
            let client = ClientKey::of_address(format!("2001:db8:7:{at:x}::1").parse().unwrap(), 64);
            drop(decide(&site.gate, Facts::new(client, prefix)));
        }
        assert!(site.gate.stats().clients <= 1_025, "{:?}", site.gate.stats());
        plain(&site.hello(&[("X-Forwarded-For", "2001:db8:7:ffff::9")]), "crowded");
        assert_eq!(site.hello(&[("X-Forwarded-For", "2001:db8:8::9")]).status, 200);
    });
}

#[test]
fn a_right_answer_lets_the_request_through_in_either_form() {
    everywhere(&zero_floor(), |site| {
        let (_, result) = solved(&site.limited());
        accepted(&site.answer(&result), b"hello\n");
        // In the body, as an object and as text, beside the original payload, passed on byte for byte.
        for text in [false, true] {
            let (_, result) = solved(&site.hello(&[]));
            let inner = if text { serde_json::json!(result.to_json()).to_string() } else { result.to_json() };
            let body = format!("{{ \"order\": 7,\n\"workResult\":{inner} }}");
            let token = [("X-PoUW-Response", result.challenge_token.as_str())];
            accepted(&site.send("POST", "/echo", &token, body.as_bytes()), body.as_bytes());
        }
    });
}

#[test]
fn a_client_that_knows_only_the_paper_gets_through_at_low() {
    everywhere(&zero_floor(), |site| {
        let (_, result) = solved(&site.limited());
        let body = format!("{{\"workResult\":{{\"resultHash\":\"{}\"}}}}", result.result_hash);
        let token = [("X-PoUW-Response", result.challenge_token.as_str())];
        accepted(&site.send("POST", "/echo", &token, body.as_bytes()), body.as_bytes());
    });
}

#[test]
fn an_answer_before_the_floor_is_not_looked_at_and_costs_nothing() {
    everywhere(&Setup::default(), |site| {
        let (unit, result) = solved(&site.limited());
        let wrong = WorkResult { result_hash: pouw::hash::sha3_512(b"wrong"), ..result.clone() };
        let reply = site.answer(&wrong);
        let document = refused(&reply, 429, "too_early");
        has_rate_headers(&reply);
        assert_eq!(reply.number("retry-after"), 2);
        assert_eq!(reply.header(header::CHALLENGE), Some(unit.challenge_token.as_str()));
        assert_eq!(document["workUnit"]["id"], unit.id.to_string());
        // The data goes out once more, then the token alone.
        assert!(site.answer(&wrong).json().get("workUnit").is_none());
        site.clock.advance(Duration::from_millis(1_500));
        accepted(&site.answer(&result), b"hello\n");
    });
}

#[test]
fn a_wrong_result_brings_a_new_and_harder_challenge() {
    everywhere(&zero_floor(), |site| {
        let (unit, result) = solved(&site.limited());
        let wrong = WorkResult { result_hash: pouw::hash::sha3_512(b"wrong"), ..result.clone() };
        let reply = site.answer(&wrong);
        challenged(&reply, "wrong_result");
        let (harder, right) = solved(&reply);
        assert!(harder.difficulty > unit.difficulty && harder.id != unit.id);
        refused(&site.answer(&result), 403, "token_replayed");
        accepted(&site.answer(&right), b"hello\n");
    });
}

#[test]
fn a_token_that_does_not_count_is_as_none() {
    everywhere(&zero_floor(), |site| {
        let (_, result) = solved(&site.limited());
        site.clock.advance(Duration::from_millis(60_000));
        challenged(&site.answer(&result), "token_expired");
        // Of a store and a secret that nobody here knows.
        let other = crate::support::house::on_disk(
            &SimDisk::new(),
            &crate::support::house::clock(),
            Config::builder([8; 32]).background(false),
        );
        let request = pouw::IssueRequest::new(b"x", pouw::protocol::DifficultyTier::Low).synthetic(true);
        let foreign = other.issue(&request).unwrap().unit;
        let stranger =
            WorkResult { challenge_token: foreign.challenge_token, work_unit_id: foreign.id, ..result.clone() };
        challenged(&site.answer(&stranger), "token_expired");
        // Under the limit it does no harm.
        site.clock.advance(Duration::from_millis(WINDOW_MS + 60_000));
        assert_eq!(site.answer(&result).status, 200);
    });
}

#[test]
fn a_withdrawn_challenge_is_replaced_without_a_second_floor() {
    everywhere(&Setup::default(), |site| {
        let (_, result) = solved(&site.limited());
        site.engine.forget("tree").unwrap();
        site.clock.advance(Duration::from_millis(1_500));
        let reply = site.answer(&result);
        challenged(&reply, "withdrawn");
        let (unit, result) = solved(&reply);
        assert_eq!(unit.wait_ms, 0);
        accepted(&site.answer(&result), b"hello\n");
    });
}

#[test]
fn an_answer_that_cannot_be_stored_may_come_again_and_the_breaker_opens_and_closes() {
    let setup = Setup { gate: |config| config.circuit_breaker_threshold(1), ..zero_floor() };
    everywhere(&setup, |site| {
        let (unit, result) = solved(&site.limited());
        site.disk.set_full(true);
        let reply = site.answer(&result);
        refused(&reply, 429, "try_again");
        assert_eq!(reply.number("retry-after"), 1);
        assert_eq!(reply.header(header::CHALLENGE), Some(unit.challenge_token.as_str()));
        plain(&site.hello(&[]), "degraded");
        site.disk.set_full(false);
        accepted(&site.answer_until_stored(&result), b"hello\n");
        plain(&site.hello(&[]), "degraded");
        site.clock.advance(Duration::from_millis(30_000));
        challenged(&site.hello(&[]), "work_required");
        // The probe's verdict comes from the writer's thread.
        until(|| {
            site.engine.refill().unwrap();
            site.gate.health().overall() == pouw::HealthCondition::Healthy
        });
        challenged(&site.hello(&[]), "work_required");
    });
}

#[test]
fn a_token_that_is_not_ones_own_or_used_is_forbidden() {
    let setup = Setup {
        gate: |config| {
            config
                .trusted_proxy("127.0.0.0/8")
                .policy(Policy::new("other", 1, Duration::from_millis(WINDOW_MS)).route("/echo"))
        },
        ..zero_floor()
    };
    everywhere(&setup, |site| {
        let (_, result) = solved(&site.limited());
        let mut forged = result.challenge_token.clone().into_bytes();
        let at = forged.len() - 2;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = WorkResult { challenge_token: String::from_utf8(forged).unwrap(), ..result.clone() };
        let compact = result.to_compact();
        let own = [("X-PoUW-Response", result.challenge_token.as_str()), ("X-PoUW-Result", &compact)];
        refused(&site.answer(&forged), 403, "token_invalid");
        let elsewhere = [("X-Forwarded-For", "198.51.100.7")];
        assert_eq!(site.answer_as(&result, &elsewhere).status, 200, "it has a limit of its own");
        challenged(&site.answer_as(&result, &elsewhere), "client_mismatch");
        refused(&site.send("POST", "/echo", &own, b"{}"), 403, "policy_mismatch");
        accepted(&site.answer(&result), b"hello\n");
        refused(&site.answer(&result), 403, "token_replayed");
        assert_eq!(site.engine.stats().ledger_entries, 1);
    });
}

#[test]
fn what_is_not_well_formed_is_named_and_uses_nothing_up() {
    everywhere(&zero_floor(), |site| {
        let (_, result) = solved(&site.limited());
        let (token, compact) = (result.challenge_token.clone(), result.to_compact());
        let named = |reply: &Reply, what: &str| {
            let document = refused(reply, 400, "malformed");
            assert!(document["detail"].as_str().unwrap().contains(what), "{what}: {document}");
        };
        named(&site.hello(&[("X-PoUW-Response", "no token"), ("X-PoUW-Result", &compact)]), "x-pouw-response");
        named(&site.hello(&[("X-PoUW-Response", "abc"), ("X-PoUW-Result", &compact)]), "token");
        named(&site.hello(&[("X-PoUW-Response", &"A".repeat(513))]), "x-pouw-response");
        named(&site.hello(&[("X-PoUW-Response", &token), ("X-PoUW-Response", &token)]), "x-pouw-response");
        let twice = [("X-PoUW-Response", token.as_str()), ("X-PoUW-Result", &compact), ("X-PoUW-Result", &compact)];
        named(&site.hello(&twice), "x-pouw-result");
        named(&site.hello(&[("X-PoUW-Result", &compact)]), "x-pouw-response");
        named(&site.hello(&[("X-PoUW-Response", &token), ("X-PoUW-Result", "AQ")]), "");
        let json = result.to_json();
        for (body, what) in [
            (format!("{{\"workResult\":{json},\"workResult\":{json}}}"), "workResult"),
            ("{\"workResult\":7}".into(), "workResult"),
            ("{\"workResult\":{\"resultHash\":\"\"}}".into(), "resultHash"),
            (format!("{{\"workResult\":{}}}", json.to_uppercase()), ""),
            ("[]".into(), "body"),
        ] {
            named(&site.send("POST", "/echo", &[("X-PoUW-Response", &token)], body.as_bytes()), what);
        }
        // Where nothing is, the challenge is sent again: that is what a client that implements only the paper handles.
        for body in ["{\"workResult\":{}}", "{\"workResult\":null}", "{\"workResult\":\"\"}", "{}", ""] {
            let again = site.send("POST", "/echo", &[("X-PoUW-Response", &token)], body.as_bytes());
            refused(&again, 429, "work_required");
            assert_eq!(again.header(header::CHALLENGE), Some(token.as_str()), "{body}");
        }
        let empty = site.hello(&[("X-PoUW-Response", ""), ("X-PoUW-Result", "")]);
        challenged(&empty, "work_required");
        accepted(&site.answer(&result), b"hello\n");
    });
}

#[test]
fn a_header_that_is_no_utf8_is_refused_by_the_gate_or_by_the_server_before_it() {
    everywhere(&zero_floor(), |site| {
        site.limited();
        let request = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-PoUW-Response: \xff\xfe\r\n\r\n";
        match (site.kind, try_raw(site.server.address, request)) {
            // It hangs up by itself; the request never reaches the gate.
            (Kind::TinyHttp, None) => {}
            (_, reply) => drop(refused(&reply.expect("an answer"), 400, "malformed")),
        }
        assert_eq!(site.hello(&[]).status, 429);
    });
}

#[test]
fn a_body_over_the_buffer_limit_is_too_large_where_a_result_is_expected_in_it() {
    everywhere(&zero_floor(), |site| {
        let (_, result) = solved(&site.limited());
        let token = [("X-PoUW-Response", result.challenge_token.as_str())];
        let large = vec![b' '; (256 << 10) + 1];
        refused(&site.send("POST", "/echo", &token, &large), 413, "too_large");
        // Without a length, found out on the way.
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-PoUW-Response: {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            result.challenge_token,
            large.len()
        );
        refused(&raw(site.server.address, &[head.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat()), 413, "too_large");
        // In the header form the body is not looked at.
        let compact = result.to_compact();
        let both = [token[0], ("X-PoUW-Result", compact.as_str())];
        accepted(&site.send("POST", "/echo", &both, &large), &large);
    });
}

/// A window outside the process that never answers.
#[derive(Debug)]
pub(super) struct Unreachable;

impl SharedWindow for Unreachable {
    fn check(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Admission, WindowError> {
        Err(WindowError::new("unreachable"))
    }
    fn look(&self, _: &Policy, _: &ClientKey, _: NetworkPrefix, _: Duration) -> Result<Quota, WindowError> {
        Err(WindowError::new("unreachable"))
    }
}

#[test]
fn a_window_that_cannot_be_consulted_falls_back_as_configured() {
    let parts = || GateRuntime::default().window(Arc::new(Unreachable));
    let deny = Setup { gate: |config| config.fallback_behavior(FallbackBehavior::Deny), parts, ..Setup::default() };
    let allow = Setup { gate: |config| config.fallback_behavior(FallbackBehavior::Allow), parts, ..Setup::default() };
    everywhere(&deny, |site| {
        let reply = site.hello(&[]);
        refused(&reply, 503, "unavailable");
        assert_eq!(reply.number("retry-after"), 1);
        assert_eq!(site.gate.health().overall(), pouw::HealthCondition::Unavailable);
    });
    everywhere(&allow, |site| assert!((0..3).all(|_| site.hello(&[]).status == 200)));
    everywhere(&Setup { parts, ..Setup::default() }, |site| challenged(&site.limited(), "work_required"));
}

#[test]
fn in_shadow_everything_over_the_limit_is_counted_and_let_through() {
    let setup = Setup { gate: |config| config.shadow(true), ..Setup::default() };
    everywhere(&setup, |site| {
        assert!((0..5).all(|_| site.hello(&[]).status == 200));
        let stats = site.gate.stats();
        assert_eq!((stats.requests, stats.limited, stats.shadowed, stats.issued), (5, 4, 4, ByTier::all(0)));
    });
}
