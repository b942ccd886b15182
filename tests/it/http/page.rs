//! The page that browsers get when they are over the limit, over real sockets in all servers: what is in it, how its
//! answer comes back, and that nobody else notices.

use std::time::Duration;

use crate::support::http::client::Reply;
use crate::support::http::{Kind, Setup, Site};
use crate::support::patience::until;
use crate::support::work::solve;
use pouw::Policy;
use pouw::protocol::{ByTier, WorkResult, WorkUnit, header};

const ACCEPT: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const CLEARED: [&str; 2] = [
    "__Host-pouw-answer=; Path=/; Max-Age=0; Secure; SameSite=Strict",
    "pouw-answer=; Path=/; Max-Age=0; SameSite=Strict",
];

/// What a response says of cookies with an answer.
fn cookies(reply: &Reply) -> Vec<&str> {
    let set = reply.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| &**value);
    set.filter(|value| !value.contains("pouw-pass=")).collect()
}

fn setup() -> Setup {
    Setup {
        engine: |config| config.floor(ByTier::all(Duration::ZERO)),
        gate: |config| config.challenge_page("/pouw/assets/"),
        ..Setup::default()
    }
}

fn everywhere(case: impl Fn(&Site)) {
    Kind::ALL.into_iter().for_each(|kind| case(&Site::new(kind, &setup())));
}

fn visit(site: &Site, headers: &[(&str, &str)]) -> Reply {
    site.hello(&[&[ACCEPT], headers].concat())
}

fn visit_with(site: &Site, cookie: &str) -> Reply {
    visit(site, &[("Cookie", &format!("theme=dark; pouw-answer={cookie}"))])
}

/// The document in a page.
fn given(reply: &Reply) -> serde_json::Value {
    assert_eq!((reply.status, reply.header("content-type")), (429, Some("text/html; charset=utf-8")), "{reply:?}");
    let policy = reply.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval'") && policy.contains("default-src 'none'"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.number(header::RATELIMIT_LIMIT);
    let text = String::from_utf8(reply.body.clone()).unwrap();
    for file in ["challenge.js", "page.css", "icon.svg"] {
        assert!(text.contains(&format!("\"/pouw/assets/{file}\"")) && pouw::page::asset(file).is_some(), "{file}");
    }
    let (_, rest) = text.split_once("id=\"given\">").expect("the data");
    let (json, _) = rest.split_once("</script>").expect("its end");
    let given: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(given["retryAfter"], reply.number("retry-after"));
    given["problem"].clone()
}

fn solved(reply: &Reply) -> WorkResult {
    let problem = given(reply);
    let unit = WorkUnit::from_json(problem["workUnit"].to_string().as_bytes()).unwrap();
    assert_eq!(reply.header(header::CHALLENGE), Some(&*unit.challenge_token));
    solve(&unit)
}

fn cookie(result: &WorkResult) -> String {
    format!("{}.{}", result.challenge_token, result.to_compact())
}

fn entries(site: &Site) -> usize {
    site.engine.ledger(0, 100).unwrap().len()
}

#[test]
fn a_navigation_gets_a_page_and_its_cookie_lets_it_through_once() {
    everywhere(|site| {
        let free = visit(site, &[]);
        assert_eq!((free.status, cookies(&free)), (200, vec![]));
        let page = visit(site, &[]);
        assert_eq!((&given(&page)["reason"], cookies(&page)), (&"work_required".into(), vec![]));
        let cookie = cookie(&solved(&page));
        let through = visit_with(site, &cookie);
        assert_eq!((through.status, through.header(header::ACCEPTED)), (200, Some("true")), "{through:?}");
        assert_eq!(cookies(&through), CLEARED);
        assert_eq!(entries(site), 1);
        // Another window with the same cookie: the page again, and no error.
        let again = visit_with(site, &cookie);
        assert_eq!(given(&again)["reason"], "work_required");
        assert_eq!(cookies(&again), CLEARED);
        assert_eq!(entries(site), 1);
    });
}

#[test]
fn a_cookie_that_does_not_count_is_as_good_as_none() {
    everywhere(|site| {
        // Under the limit it is an ordinary request that forgets its cookie.
        let free = visit_with(site, "no.answer");
        assert_eq!((free.status, cookies(&free)), (200, CLEARED.to_vec()));
        let result = solved(&visit(site, &[]));
        let wrong = WorkResult { result_hash: pouw::hash::sha3_512(b"wrong"), ..result.clone() };
        let (token, compact) = (&result.challenge_token, result.to_compact());
        let flipped = token.char_indices().map(|(at, c)| {
            if at == 9 && c == 'A' {
                'B'
            } else if at == 9 {
                'A'
            } else {
                c
            }
        });
        for value in [
            "no.answer".to_owned(),
            String::new(),
            token.clone(),
            format!("{token}.{compact}.x"),
            format!("{}.{compact}", flipped.collect::<String>()),
            format!("{token}.{}", &compact[..compact.len() - 4]),
            cookie(&wrong),
        ] {
            let reply = visit_with(site, &value);
            assert!(given(&reply)["workUnit"].is_object() || given(&reply)["reason"] == "budget", "{value}");
            assert_eq!(cookies(&reply), CLEARED, "{value}");
        }
        assert_eq!(entries(site), 0);
    });
}

#[test]
fn planted_cookies_do_not_hide_the_answer_and_raise_no_alarm() {
    everywhere(|site| {
        assert_eq!(visit(site, &[]).status, 200);
        let results: Vec<WorkResult> = (0..3).map(|_| solved(&visit(site, &[]))).collect();
        let [used, own, late] = [0, 1, 2].map(|at| cookie(&results[at]));
        assert_eq!(visit_with(site, &used).status, 200);
        let lines = format!("pouw-answer=x.y; pouw-answer=; __Host-pouw-answer={own}; pouw-answer=z.z");
        let through = visit(site, &[("Cookie", &lines)]);
        assert_eq!((through.status, through.header(header::ACCEPTED)), (200, Some("true")), "{through:?}");
        // A used one stands before nothing but itself, and is no offence however often it comes.
        for _ in 0..8 {
            assert_eq!(visit_with(site, &used).status, 429);
        }
        assert_eq!(site.gate.stats().alerts, 0);
        assert_eq!(visit_with(site, &late).header(header::ACCEPTED), Some("true"));
    });
}

#[test]
fn an_answer_that_is_to_come_again_keeps_its_cookie() {
    everywhere(|site| {
        assert_eq!(visit(site, &[]).status, 200);
        let result = solved(&visit(site, &[]));
        site.disk.fail_io(0, true);
        let failed = visit_with(site, &cookie(&result));
        assert_eq!((&given(&failed)["reason"], cookies(&failed)), (&"try_again".into(), vec![]));
        site.disk.heal();
        let mut stored = failed;
        until(|| {
            stored = visit_with(site, &cookie(&result));
            stored.status != 429 || given(&stored)["reason"] != "try_again"
        });
        assert_eq!(stored.header(header::ACCEPTED), Some("true"), "{stored:?}");
        assert_eq!(cookies(&stored), CLEARED);
    });
}

#[test]
fn a_page_with_another_limit_leaves_the_answer_for_the_one_it_belongs_to() {
    let gate = |config: pouw::GateConfigBuilder| {
        let other = Policy::new("other", 1, Duration::from_millis(crate::support::desk::WINDOW_MS)).route("/other");
        config.challenge_page("/pouw/assets/").policy(other)
    };
    for kind in Kind::ALL {
        let site = Site::new(kind, &Setup { gate, ..setup() });
        assert_eq!(visit(&site, &[]).status, 200);
        let answer = cookie(&solved(&visit(&site, &[])));
        let other = |value: &str| {
            let headers = [ACCEPT, ("Cookie", &*format!("pouw-answer={value}"))];
            site.send("GET", "/other", &headers, b"")
        };
        // Under the other limit, and over it.
        let free = other(&answer);
        assert_eq!((free.header(header::RATELIMIT_REMAINING), cookies(&free)), (Some("0"), vec![]), "{free:?}");
        let page = other(&answer);
        assert_eq!((&given(&page)["reason"], cookies(&page)), (&"work_required".into(), vec![]));
        // What is no answer is cleared there too.
        assert_eq!(cookies(&other("x.y")), CLEARED);
        let through = visit_with(&site, &answer);
        assert_eq!((through.status, through.header(header::ACCEPTED)), (200, Some("true")), "{through:?}");
        assert_eq!(cookies(&through), CLEARED);
    }
}

#[test]
fn a_cookie_opens_no_way_around_the_body_or_the_headers() {
    everywhere(|site| {
        let (_, result) = crate::support::http::solved(&site.limited());
        // Free again, so that whatever is taken for a request without an answer would pass.
        site.clock.advance(Duration::from_millis(2 * crate::support::desk::WINDOW_MS));
        let token = [("X-PoUW-Response", &*result.challenge_token), ("Cookie", "pouw-answer=x.y"), ACCEPT];
        let large = site.send("GET", "/hello", &token, &vec![b' '; 300 << 10]);
        assert_eq!(large.status, 413, "{large:?}");
        let bad = site.send("GET", "/hello", &[("X-PoUW-Response", "?"), ("Cookie", "pouw-answer=x.y"), ACCEPT], b"");
        assert_eq!(bad.status, 400, "{bad:?}");
    });
}

#[test]
fn programs_get_problem_documents_and_their_cookies_are_not_looked_at() {
    everywhere(|site| {
        assert_eq!(site.hello(&[]).status, 200);
        let cookie = format!("pouw-answer={}", cookie(&solved(&visit(site, &[]))));
        for headers in [
            vec![("Accept", "application/json, text/plain, */*")],
            vec![("Accept", "*/*")],
            vec![ACCEPT, ("Sec-Fetch-Mode", "cors")],
        ] {
            let reply = site.hello(&[&headers[..], &[("Cookie", &cookie)]].concat());
            assert_eq!((reply.status, reply.header("content-type")), (429, Some("application/problem+json")));
            assert_eq!((cookies(&reply), entries(site)), (vec![], 0));
        }
        let posted = site.send("POST", "/hello", &[ACCEPT, ("Cookie", &cookie)], b"x");
        assert_eq!(posted.header("content-type"), Some("application/problem+json"), "{posted:?}");
        // A header goes before the cookie.
        let refused = visit(site, &[("X-PoUW-Response", "?"), ("Cookie", &cookie)]);
        assert_eq!(refused.header(header::ACCEPTED), None);
        let through = visit(site, &[("Cookie", &cookie)]);
        assert_eq!((through.status, through.header(header::ACCEPTED)), (200, Some("true")));
    });
}

#[test]
fn without_work_the_page_says_when_to_ask_again() {
    for kind in Kind::ALL {
        let setup =
            Setup { gate: |config| config.challenge_page("/pouw/assets/").synthetic(false), backlog: 0, ..setup() };
        let site = Site::new(kind, &setup);
        assert_eq!(visit(&site, &[]).status, 200);
        let page = visit(&site, &[]);
        assert_eq!(given(&page)["reason"], "no_work");
        assert!(page.number("retry-after") > 60);
    }
}

#[test]
fn the_page_is_in_the_language_that_the_browser_asks_for_and_the_document_is_not() {
    everywhere(|site| {
        assert_eq!(visit(site, &[]).status, 200);
        for (asked, tag, start) in [
            ("de-CH, fr;q=0.5", "de", "<html lang=\"de\" dir=\"ltr\">"),
            ("ar", "ar", "<html lang=\"ar\" dir=\"rtl\">"),
        ] {
            let page = visit(site, &[("Accept-Language", asked)]);
            assert!(given(&page)["detail"].as_str().unwrap().starts_with("Over the limit."));
            assert_eq!(page.header("content-language"), Some(tag));
            assert!(String::from_utf8_lossy(&page.body).contains(start), "{page:?}");
        }
    });
}

#[test]
fn without_a_page_in_the_configuration_browsers_get_problem_documents_too() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &Setup::default());
        assert_eq!(visit(&site, &[]).status, 200);
        assert_eq!(visit_with(&site, "a.b").header("content-type"), Some("application/problem+json"));
    }
}
