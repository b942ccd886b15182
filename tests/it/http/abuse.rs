//! What hostile and unlucky clients do to a service behind the gate: it goes on answering, and nothing is admitted
//! twice.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Barrier;
use std::time::Duration;

use crate::support::house::config;
use crate::support::http::client::{connect, parse, raw};
use crate::support::http::{Kind, Setup, Site, solved};
use crate::support::patience::until;
use pouw::hash::sha3_512;
use pouw::protocol::{ByTier, WorkResult, header};
use pouw::{Caller, Exposure, FakeClock, Head, IngestOptions, Receipt, Step};

fn zero_floor() -> Setup {
    Setup { engine: |config| config.floor(ByTier::all(Duration::ZERO)), ..Setup::default() }
}

#[test]
fn of_64_connections_with_the_same_right_answer_one_is_admitted_also_after_a_restart() {
    for kind in Kind::ALL {
        let mut site = Site::new(kind, &zero_floor());
        let (unit, result) = solved(&site.limited());
        let start = Barrier::new(64);
        let statuses: Vec<(u16, String)> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                let reply = site.answer(&result);
                (reply.status, if reply.status == 200 { String::new() } else { reply.reason() })
            };
            let asking: Vec<_> = (0..64).map(|_| scope.spawn(one)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|(status, _)| *status == 200).count(), 1, "{statuses:?}");
        let told = |(status, reason): &(u16, String)| {
            matches!((status, reason.as_str()), (200, _) | (403, "token_replayed") | (429, "try_again"))
        };
        assert!(statuses.iter().all(told), "{statuses:?}");
        assert_eq!(site.engine.stats().ledger_entries, 1);
        site.restart(config());
        assert!((0..4).all(|_| site.answer(&result).reason() == "token_replayed"));
        assert_eq!(site.engine.stats().ledger_entries, 1);
        assert!(matches!(site.engine.receipt(unit.id).unwrap(), Receipt::Accepted(_)));
    }
}

#[test]
fn a_forwarding_header_counts_only_from_a_trusted_proxy() {
    for kind in Kind::ALL {
        let trusting = Setup { gate: |config| config.trusted_proxy("127.0.0.0/8"), ..Setup::default() };
        let (plain, trusting) = (Site::new(kind, &Setup::default()), Site::new(kind, &trusting));
        for at in 0..4u8 {
            let claimed = format!("198.51.{at}.7");
            let expected = if at == 0 { 200 } else { 429 };
            assert_eq!(plain.hello(&[("X-Forwarded-For", &claimed)]).status, expected);
            assert_eq!(trusting.hello(&[("X-Forwarded-For", &claimed)]).status, 200);
            // What stands left of the client is the client's own word.
            let spoofed = format!("203.0.113.{at}, {claimed}");
            assert_eq!(trusting.hello(&[("X-Forwarded-For", &spoofed)]).status, 429);
            assert_eq!(trusting.hello(&[("Forwarded", &format!("for=\"{claimed}:80\""))]).status, 429);
        }
    }
}

#[test]
fn a_wall_clock_that_jumps_revives_nothing_and_freezes_nothing() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &zero_floor());
        let (_, first) = solved(&site.limited());
        assert_eq!(site.answer(&first).status, 200);
        let (_, second) = solved(&site.hello(&[]));
        let (_, third) = solved(&site.hello(&[]));
        let steps: [fn(&FakeClock); 2] = [
            |clock| clock.step_wall_back(Duration::from_secs(3_600)),
            |clock| clock.step_wall_forward(Duration::from_secs(7_200)),
        ];
        for (step, result) in steps.iter().zip([&second, &third]) {
            step(&site.clock);
            assert_eq!(site.answer(&first).reason(), "token_replayed");
            assert_eq!(site.answer(result).status, 200);
            assert_eq!(site.hello(&[]).status, 429);
        }
        let (_, late) = solved(&site.hello(&[]));
        site.clock.step_wall_back(Duration::from_secs(7_200));
        site.clock.advance(Duration::from_millis(60_000));
        assert_eq!(site.answer(&late).reason(), "token_expired");
    }
}

#[test]
fn a_store_that_closes_or_fails_under_load_leaves_plain_429s() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &zero_floor());
        let results: Vec<_> = std::iter::once(site.limited())
            .chain((0..3).map(|_| site.hello(&[])))
            .map(|reply| solved(&reply).1)
            .collect();
        std::thread::scope(|scope| {
            let asking: Vec<_> = results.iter().map(|result| scope.spawn(|| site.answer(result))).collect();
            site.engine.close();
            for reply in asking.into_iter().map(|thread| thread.join().unwrap()) {
                assert!([200, 429].contains(&reply.status), "{reply:?}");
            }
        });
        for _ in 0..20 {
            let reply = site.hello(&[]);
            // Whoever still holds challenges is told of those first.
            assert_eq!(reply.status, 429);
            assert!(["degraded", "budget"].contains(&reply.reason().as_str()), "{reply:?}");
        }
        assert_eq!(site.gate.health().overall(), pouw::HealthCondition::Unavailable);
    }
}

#[test]
fn after_a_failed_sync_the_service_stays_unavailable_and_says_so() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &zero_floor());
        let (_, result) = solved(&site.limited());
        site.disk.fail_sync(0, true);
        assert_eq!(site.answer(&result).reason(), "try_again");
        site.disk.heal();
        for _ in 0..12 {
            assert_eq!(site.hello(&[]).status, 429);
            assert_ne!(site.answer(&result).status, 200);
        }
        let health = site.gate.health();
        assert_eq!(health.overall(), pouw::HealthCondition::Unavailable);
        assert!(health.store.detail.contains("restarts"), "{health:?}");
    }
}

/// 2 000 clients behind a trusted proxy, twenty to a connection, each over its limit.
#[test]
fn clients_that_ask_and_do_not_read_hold_a_bounded_number_of_bytes_and_nobody_up() {
    const IN_FLIGHT_MAX: u64 = 1 << 20;
    for kind in [Kind::Axum, Kind::Hyper, Kind::Actix] {
        let setup = Setup {
            gate: |config| config.trusted_proxy("127.0.0.0/8").bytes_in_flight(IN_FLIGHT_MAX),
            backlog: 0,
            ..Setup::default()
        };
        let site = Site::new(kind, &setup);
        let large = IngestOptions::new(Exposure::Public).block_size(32 << 10);
        site.engine.ingest_bytes(&large, "large", &vec![7; 200 * large.block_size as usize]).unwrap();
        site.engine.refill().unwrap();
        let mut silent = Vec::new();
        for connection in 0..100u32 {
            let requests: String = (0..20)
                .map(|client| format!("198.{}.{connection}.7", client + 1))
                .map(|address| {
                    format!("GET /hello HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n").repeat(2)
                })
                .collect();
            let mut stream = connect(site.server.address);
            stream.write_all(requests.as_bytes()).unwrap();
            silent.push(stream);
            assert!(site.gate.stats().bytes_in_flight <= IN_FLIGHT_MAX);
        }
        let neighbour = [("X-Forwarded-For", "203.0.113.9")];
        assert_eq!(site.hello(&neighbour).status, 200);
        assert_eq!(site.hello(&neighbour).status, 429);
        assert!(<[u64; 3]>::from(site.gate.stats().issued).iter().sum::<u64>() > 100, "{:?}", site.gate.stats());
        drop(silent);
        // Each connection that broke gives back what it held.
        until(|| site.gate.stats().bytes_in_flight == 0);
    }
}

#[test]
fn an_upload_with_its_answer_in_the_header_arrives_byte_for_byte_and_is_not_buffered() {
    for kind in Kind::ALL {
        let setup =
            Setup { gate: |config| config.body_limit_bytes(16 << 10).buffered_bytes_max(16 << 10), ..zero_floor() };
        let site = Site::new(kind, &setup);
        let (_, result) = solved(&site.limited());
        let upload: Vec<u8> = (0..4_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let compact = result.to_compact();
        let headers = [("X-PoUW-Response", result.challenge_token.as_str()), ("X-PoUW-Result", &compact)];
        let reply = site.send("POST", "/echo", &headers, &upload);
        assert_eq!((reply.status, reply.header(header::ACCEPTED)), (200, Some("true")));
        assert_eq!(sha3_512(&reply.body), sha3_512(&upload));
        assert_eq!(site.gate.stats().bytes_buffered, 0);
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    for kind in [Kind::Axum, Kind::Hyper, Kind::Actix] {
        let setup = Setup { gate: |config| config.body_timeout(Duration::from_millis(50)), ..zero_floor() };
        let site = Site::new(kind, &setup);
        let (_, result) = solved(&site.limited());
        let mut stream = connect(site.server.address);
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\nX-PoUW-Response: {}\r\n\r\n{{",
            result.challenge_token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        let reply = parse(&text);
        assert_eq!((reply.status, reply.reason().as_str()), (400, "malformed"));
        assert!(reply.json()["detail"].as_str().unwrap().contains("`body`"), "{reply:?}");
        assert_eq!(site.gate.stats().bytes_buffered, 0);
        assert_eq!(site.answer(&result).status, 200);
    }
}

/// The head of an upload with a token, as the gate sees it.
struct Upload<'a>(&'a str);

impl Head for Upload<'_> {
    fn method(&self) -> &'static str {
        "POST"
    }

    fn path(&self) -> &'static str {
        "/echo"
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        if name == header::RESPONSE {
            each(self.0.as_bytes());
        }
    }

    fn has_body(&self) -> bool {
        true
    }
}

/// An answer in a body without a length, in two chunks, padded to `bytes`.
fn chunked(result: &WorkResult, bytes: usize) -> Vec<u8> {
    let body = format!("{{\"workResult\":{},\"pad\":\"", result.to_json());
    let pad = "p".repeat(bytes - body.len() - 2) + "\"}";
    let token = &result.challenge_token;
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-PoUW-Response: {token}\r\n");
    let chunks = format!("{:x}\r\n{body}\r\n{:x}\r\n{pad}\r\n0\r\n\r\n", body.len(), pad.len());
    format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
}

#[test]
fn a_body_books_what_has_arrived_and_one_is_read_at_a_time_for_each_challenge_in_every_server() {
    for kind in Kind::ALL {
        let setup =
            Setup { gate: |config| config.body_limit_bytes(16 << 10).buffered_bytes_max(16 << 10), ..zero_floor() };
        let site = Site::new(kind, &setup);
        let [(_, first), (_, second)] = [solved(&site.limited()), solved(&site.hello(&[]))];
        let caller = Caller::from_peer(IpAddr::from([127, 0, 0, 1]));
        let Step::Body(mut held) = site.gate.on_request(&Upload(&first.challenge_token), &caller) else {
            panic!("the result may be in the body")
        };
        let told = |result: &WorkResult, bytes| {
            let reply = raw(site.server.address, &chunked(result, bytes));
            assert_eq!((reply.status, reply.reason().as_str()), (429, "try_again"), "{kind:?}");
            assert_eq!(reply.header("x-pouw-challenge"), Some(result.challenge_token.as_str()));
            assert_eq!(reply.number("retry-after"), 1);
        };
        told(&first, 2_000);
        // 10 KiB are left for others, and what does not fit into them is noticed on the way.
        held.arrived(6 << 10).unwrap();
        told(&second, 12 << 10);
        assert_eq!(site.gate.stats().bytes_buffered, 6 << 10);
        let reply = raw(site.server.address, &chunked(&second, 9 << 10));
        assert_eq!((reply.status, reply.header("x-pouw-accepted"), reply.body.len()), (200, Some("true"), 9 << 10));
        drop(held);
        assert_eq!(raw(site.server.address, &chunked(&first, 16 << 10)).status, 200);
        assert_eq!(site.gate.stats().bytes_buffered, 0);
    }
}

/// Bodies without a length that never end, all with one token and then each with its own.
#[test]
fn connections_with_bodies_that_do_not_come_hold_nobody_up() {
    /// Bytes that come of each body, the last ones.
    const COME: usize = 1_500;
    for kind in [Kind::Axum, Kind::Hyper, Kind::Actix] {
        let setup = Setup {
            gate: |config| config.trusted_proxy("127.0.0.0/8").body_limit_bytes(16 << 10).buffered_bytes_max(64 << 10),
            ..zero_floor()
        };
        let site = Site::new(kind, &setup);
        let own = |client: u8| format!("198.51.{client}.7");
        let challenged = |client: u8| {
            let own = own(client);
            let own = [("X-Forwarded-For", own.as_str())];
            assert_eq!(site.hello(&own).status, 200);
            solved(&site.hello(&own)).1
        };
        let open = |client: u8, token: &str| {
            let mut stream = connect(site.server.address);
            let head = format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {}\r\n\
                 X-PoUW-Response: {token}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
                own(client),
                COME,
                "{".repeat(COME)
            );
            // A connection that is told to come again may be closed before all of it is sent.
            let _ = stream.write_all(head.as_bytes());
            stream
        };
        let token = challenged(0).challenge_token;
        let mut held: Vec<_> = (0..40).map(|_| open(0, &token)).collect();
        held.extend((1..30).map(|client| open(client, &challenged(client).challenge_token)));
        // What has come of the first and of each with a token of its own, and no more.
        until(|| site.gate.stats().bytes_buffered >= 30 * COME as u64);
        assert_eq!(site.gate.stats().bytes_buffered, 30 * COME as u64, "{kind:?}");
        let result = challenged(99);
        let body = format!("{{\"workResult\":{}}}", result.to_json());
        let headers = [("X-Forwarded-For", "198.51.99.7"), ("X-PoUW-Response", result.challenge_token.as_str())];
        let reply = site.send("POST", "/echo", &headers, body.as_bytes());
        assert_eq!((reply.status, reply.header("x-pouw-accepted")), (200, Some("true")), "{kind:?}: {reply:?}");
        drop(held);
        until(|| site.gate.stats().bytes_buffered == 0);
    }
}

#[test]
fn a_neighbour_behind_the_same_address_cannot_spoil_anothers_challenge() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &zero_floor());
        let (_, mine) = solved(&site.limited());
        // The neighbour takes every challenge it can get, answers some wrongly, and guesses at mine.
        for _ in 0..10 {
            let reply = site.hello(&[]);
            if reply.json().get("workUnit").is_some() {
                let (_, mut theirs) = solved(&reply);
                theirs.result_hash = sha3_512(b"wrong");
                assert_eq!(site.answer(&theirs).reason(), "wrong_result");
            }
            let mut guess = mine.clone();
            let other = if guess.challenge_token.ends_with("AA") { "BA" } else { "AA" };
            guess.challenge_token.replace_range(260.., other);
            assert_eq!(site.answer(&guess).reason(), "token_invalid");
        }
        assert_eq!(site.answer(&mine).status, 200);
    }
}
