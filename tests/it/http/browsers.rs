//! What a browser sends around a page, over real sockets in all servers: requests that cannot answer, passes, streams,
//! forms, and an address that changes.

use std::time::Duration;

use crate::support::desk::WINDOW_MS;
use crate::support::http::client::Reply;
use crate::support::http::{Kind, Setup, Site, solved};
use crate::support::work::solve;
use pouw::internal::engine::for_gate;
use pouw::protocol::{ByTier, DifficultyTier, WorkResult, WorkUnit, header};
use pouw::{ClientKey, Policy};

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const EVENTS: (&str, &str) = ("Accept", "text/event-stream");
const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "websocket")];

fn setup() -> Setup {
    Setup {
        engine: |config| config.floor(ByTier::all(Duration::ZERO)),
        gate: |config| config.challenge_page("/pouw/assets/").trusted_proxy("127.0.0.0/8"),
        ..Setup::default()
    }
}

fn everywhere(setup: &Setup, case: impl Fn(&Site)) {
    Kind::ALL.into_iter().for_each(|kind| case(&Site::new(kind, setup)));
}

fn visit(site: &Site, cookie: Option<&str>) -> Reply {
    let cookie = cookie.map(|cookie| ("Cookie", cookie));
    site.hello(&[HTML].into_iter().chain(cookie).collect::<Vec<_>>())
}

/// The unit in a page, and the cookie with its answer.
fn answered(page: &Reply) -> (WorkUnit, String) {
    assert_eq!((page.status, page.header("content-type")), (429, Some("text/html; charset=utf-8")), "{page:?}");
    let text = String::from_utf8(page.body.clone()).unwrap();
    let (_, rest) = text.split_once("id=\"given\">").expect("the data");
    let (json, _) = rest.split_once("</script>").expect("its end");
    let given: serde_json::Value = serde_json::from_str(json).unwrap();
    let unit = WorkUnit::from_json(given["problem"]["workUnit"].to_string().as_bytes()).unwrap();
    let result = solve(&unit);
    (unit, format!("{}.{}", result.challenge_token, result.to_compact()))
}

fn cookie_of_pass(reply: &Reply) -> Option<(String, String)> {
    let set = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pass = set.map(|(_, value)| value.as_str()).find(|value| value.contains("pouw-pass="))?;
    let (cookie, attributes) = pass.split_once("; ").unwrap();
    Some((cookie.to_owned(), attributes.to_owned()))
}

fn plain(reply: &Reply, reason: &str) {
    assert_eq!((reply.status, reply.reason().as_str()), (429, reason), "{reply:?}");
    assert!(reply.header(header::CHALLENGE).is_none() && reply.json().get("workUnit").is_none());
    assert_eq!(reply.number("retry-after"), reply.number(header::RATELIMIT_RESET));
}

fn image(site: &Site, more: &[(&str, &str)]) -> Reply {
    let image =
        [("Accept", "image/avif,image/webp,*/*;q=0.8"), ("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "no-cors")];
    site.hello(&[&image, more].concat())
}

#[test]
fn requests_that_cannot_answer_get_no_unit_take_no_challenge_and_are_no_violation() {
    everywhere(&setup(), |site| {
        site.hello(&[]);
        for _ in 0..12 {
            plain(&image(site, &[]), "cannot_answer");
        }
        for headers in [
            vec![EVENTS],
            UPGRADE.to_vec(),
            vec![HTML, ("Sec-Purpose", "prefetch;prerender")],
            vec![("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Mode", "navigate")],
            vec![("Sec-Fetch-Dest", "script"), ("X-PoUW-Pass", "no pass")],
        ] {
            plain(&site.hello(&headers), "cannot_answer");
        }
        let head = site.send("HEAD", "/hello", &[("X-PoUW-Accept", "subtree_hash")], b"");
        assert_eq!((head.status, head.header(header::CHALLENGE), head.body.len()), (429, None, 0), "{head:?}");
        assert_eq!(head.number("retry-after"), head.number(header::RATELIMIT_RESET));
        // The person follows a link: a challenge, of the lowest tier, and all four at that.
        for _ in 0..4 {
            assert_eq!(answered(&visit(site, None)).0.difficulty, DifficultyTier::Low);
        }
        assert_eq!(site.gate.stats().issued.low, 4);
        // An image of a client that says it can answer is asked as any other request.
        assert_eq!(image(site, &[("X-PoUW-Accept", "")]).reason(), "budget");
    });
}

#[test]
fn a_page_comes_with_its_images_after_one_challenge_and_nobody_else_can_use_its_pass() {
    everywhere(&setup(), |site| {
        site.hello(&[]);
        let (_, cookie) = answered(&visit(site, None));
        let page = visit(site, Some(&format!("pouw-answer={cookie}")));
        assert_eq!((page.status, page.header(header::ACCEPTED)), (200, Some("true")));
        assert_eq!(page.header(header::PASS), None, "it is in the cookie");
        let (pass, attributes) = cookie_of_pass(&page).expect("a pass");
        assert_eq!(attributes, "Path=/; Max-Age=120; SameSite=Lax");
        let cookie = [("Cookie", pass.as_str())];
        for _ in 0..40 {
            let image = image(site, &cookie);
            assert_eq!((image.status, image.header(header::ACCEPTED)), (200, None), "{image:?}");
        }
        plain(&image(site, &[]), "cannot_answer");
        // Another client, with the same cookie.
        let other = [cookie[0], ("X-Forwarded-For", "198.51.100.7")];
        assert_eq!(image(site, &other).status, 200, "it has a limit of its own");
        plain(&image(site, &other), "cannot_answer");
        // The next page, a stream and a web socket come by the pass too, until it is used up.
        for headers in [vec![HTML], vec![EVENTS], UPGRADE.to_vec()] {
            assert_eq!(site.hello(&[&headers[..], &cookie].concat()).status, 200);
        }
        for _ in 43..59 {
            assert_eq!(image(site, &cookie).status, 200);
        }
        plain(&image(site, &cookie), "cannot_answer");
        let stats = site.gate.stats();
        assert_eq!((stats.passes, stats.passed, stats.completed), (1, 59, 1));
        assert_eq!(site.engine.ledger(0, 100).unwrap().len(), 1, "one answer, one entry");
    });
}

#[test]
fn a_pass_ends_with_its_time_and_over_tls_it_is_a_secure_cookie() {
    everywhere(&setup(), |site| {
        site.hello(&[]);
        let (_, cookie) = answered(&visit(site, None));
        let page = visit(site, Some(&format!("__Host-pouw-answer={cookie}")));
        let (pass, attributes) = cookie_of_pass(&page).expect("a pass");
        assert!(pass.starts_with("__Host-pouw-pass="), "{pass}");
        assert_eq!(attributes, "Path=/; Max-Age=120; Secure; SameSite=Lax");
        site.clock.advance(Duration::from_millis(119_999));
        assert_eq!(image(site, &[("Cookie", &pass)]).status, 200);
        site.clock.advance(Duration::from_millis(1));
        plain(&image(site, &[("Cookie", &pass)]), "cannot_answer");
    });
}

#[test]
fn a_program_gets_its_pass_in_a_header_for_its_policy_and_inside_the_ceilings() {
    let setup = Setup {
        gate: |config| {
            let other = Policy::new("other", 1, Duration::from_millis(WINDOW_MS)).route("/echo");
            config
                .policy(other.answer_buys(9, Duration::from_secs(9)))
                .answer_buys(4, Duration::from_secs(30))
                .paid_admissions_per_window(4)
        },
        ..setup()
    };
    everywhere(&setup, |site| {
        let (_, result) = solved(&site.limited());
        let reply = site.answer(&result);
        let pass = reply.header(header::PASS).expect("a pass").to_owned();
        let (name, rest) = pass.split_once(';').unwrap();
        assert_eq!((name.len(), rest), (22, "r=3;t=30"));
        assert_eq!(cookie_of_pass(&reply), None);
        // It stands for this policy alone.
        assert_eq!(site.send("POST", "/echo", &[], b"").status, 200);
        assert_eq!(site.send("POST", "/echo", &[("X-PoUW-Pass", name)], b"").status, 429);
        // With or without what was said beside its name.
        let used = site.hello(&[("X-PoUW-Pass", name)]);
        assert_eq!((used.status, used.header(header::PASS)), (200, Some(format!("{name};r=2;t=30").as_str())));
        assert_eq!(site.hello(&[("X-PoUW-Pass", &pass)]).status, 200);
        // One paid, two by the pass, and an open challenge: the ceiling of four is reached, and the pass keeps what is left of it.
        assert_eq!(site.hello(&[("X-PoUW-Pass", name)]).reason(), "ceiling");
        assert_eq!((site.gate.stats().passes, site.gate.stats().passed), (1, 2));
    });
}

#[test]
fn by_default_an_answer_of_a_program_buys_the_one_request() {
    everywhere(&setup(), |site| {
        let (_, result) = solved(&site.limited());
        let reply = site.answer(&result);
        assert_eq!((reply.status, reply.header(header::PASS), cookie_of_pass(&reply)), (200, None, None));
        assert_eq!(site.gate.stats().passes, 0);
    });
}

#[test]
fn a_stream_or_a_web_socket_brings_its_answer_in_a_cookie() {
    everywhere(&setup(), |site| {
        site.limited();
        for headers in [vec![EVENTS], UPGRADE.to_vec()] {
            // A script fetches the challenge, and opens the stream with the answer.
            let (_, result) = solved(&site.hello(&[EVENTS, ("X-PoUW-Accept", "subtree_hash")]));
            let cookie = format!("pouw-answer={}.{}", result.challenge_token, result.to_compact());
            let reply = site.hello(&[&headers[..], &[("Cookie", &cookie)]].concat());
            assert_eq!((reply.status, reply.header(header::ACCEPTED)), (200, Some("true")), "{reply:?}");
            assert!(reply.headers.iter().any(|(name, value)| name == "set-cookie" && value.contains("Max-Age=0")));
            assert_eq!(cookie_of_pass(&reply), None, "it is no page");
            // The cookie has been used: an automatic reconnection is like one without it.
            plain(&site.hello(&[&headers[..], &[("Cookie", &cookie)]].concat()), "cannot_answer");
            // And it is not read from other requests.
            let (_, result) = solved(&site.hello(&[]));
            let cookie = format!("pouw-answer={}.{}", result.challenge_token, result.to_compact());
            assert_eq!(site.hello(&[("Cookie", &cookie)]).status, 429);
            assert!(site.answer(&result).status == 200);
        }
    });
}

#[test]
fn a_form_gets_a_page_and_is_sent_again_with_the_cookie() {
    everywhere(&setup(), |site| {
        site.hello(&[]);
        let form = [HTML, ("Sec-Fetch-Mode", "navigate"), ("Content-Type", "application/x-www-form-urlencoded")];
        let page = site.send("POST", "/echo", &form, b"text=typed");
        let (_, cookie) = answered(&page);
        let cookie = format!("pouw-answer={cookie}");
        let again = site.send("POST", "/echo", &[&form[..], &[("Cookie", &cookie)]].concat(), b"text=typed");
        assert_eq!((again.status, again.body.as_slice()), (200, b"text=typed".as_slice()), "{again:?}");
        assert_eq!(again.header(header::ACCEPTED), Some("true"));
    });
}

#[test]
fn an_address_that_changes_costs_neither_an_error_nor_a_second_floor_and_pays_nobody_else() {
    let setup = Setup { engine: |config| config.floor(ByTier::all(Duration::from_secs(10))), ..setup() };
    everywhere(&setup, |site| {
        let (mobile, third) = [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "203.0.113.9")].into();
        let (unit, result) = solved(&site.limited());
        assert_eq!(unit.wait_ms, 10_000);
        site.clock.advance(Duration::from_secs(7));
        // Under its limit the request passes, and the answer counts for nobody.
        let passed = site.answer_as(&result, &[mobile]);
        assert_eq!((passed.status, passed.header(header::ACCEPTED)), (200, None), "{passed:?}");
        // Over it there is a challenge, with what is left of the floor; once.
        let refused = site.answer_as(&result, &[mobile]);
        assert_eq!((refused.status, refused.reason().as_str()), (429, "client_mismatch"), "{refused:?}");
        let (own, own_result) = solved(&refused);
        assert_eq!(own.wait_ms, 3_000);
        assert_eq!(solved(&site.answer_as(&result, &[mobile])).0.wait_ms, 10_000);
        assert_eq!(site.answer_as(&result, &[third]).status, 200);
        assert_eq!(solved(&site.answer_as(&result, &[third])).0.wait_ms, 10_000);
        // Nobody passes on what it did not wait for.
        assert_eq!(solved(&site.answer_as(&own_result, &[third])).0.wait_ms, 10_000);
        assert_eq!(site.gate.stats().alerts, 0);
        // Each is paid for its own challenge, and for no other.
        site.clock.advance(Duration::from_secs(3));
        assert_eq!(site.answer_as(&own_result, &[mobile]).header(header::ACCEPTED), Some("true"));
        assert_eq!(site.answer(&result).header(header::ACCEPTED), Some("true"));
        for used in [&result, &own_result] {
            assert_eq!(solved(&site.answer_as(used, &[third])).0.wait_ms, 10_000, "what is over is worth nothing");
        }
        let balance = |address: [u8; 4]| {
            let client = ClientKey::of_address(address.into(), 64);
            (
                site.engine.balance(&client.to_bytes()).unwrap().0,
                for_gate(&site.engine).standing(&client.to_bytes()).tier,
            )
        };
        let paid = balance([127, 0, 0, 1]);
        assert!(paid.0 > 0 && paid.1 == DifficultyTier::Low);
        assert_eq!([balance([198, 51, 100, 7]), balance([203, 0, 113, 9])], [paid, (0, DifficultyTier::Low)]);
    });
}

#[test]
fn who_does_not_say_so_gets_no_unit_of_several_leaves_at_any_tier() {
    everywhere(&setup(), |site| {
        let subtree = [("X-PoUW-Accept", "subtree_hash")];
        let mut reply = site.limited();
        for tier in [DifficultyTier::Low, DifficultyTier::Medium, DifficultyTier::High] {
            let (unit, result) = solved(&reply);
            assert_eq!((unit.difficulty, unit.leaf_lengths.len(), unit.node_count), (tier, 0, 1), "{unit:?}");
            let wrong = WorkResult { result_hash: pouw::hash::sha3_512(b"wrong"), ..result };
            reply = site.answer(&wrong);
        }
        // The same client, with a program that can do more.
        let (unit, result) = solved(&site.hello(&subtree));
        assert_eq!(unit.difficulty, DifficultyTier::High);
        assert!(unit.leaf_lengths.len() >= 16 && site.answer(&result).status == 200);
    });
}
