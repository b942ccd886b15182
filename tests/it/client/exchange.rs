//! The client's state machine without a network: what each response leads to, and that everything ends.

use std::time::Duration;

use crate::support::scripted::{TOKEN, id, problem, refusal, unit};
use crate::support::work::solve;
use pouw::client::{ClientError, Cost, Exchange, InvalidUnit, Pause, REQUESTS_MAX, Step, Terms};
use pouw::protocol::{MicroJoules, Reason, WorkUnit, WorkUnitOperation};
use quickcheck::{Arbitrary, Gen, QuickCheck};

const PROBLEM: &str = "application/problem+json";
const WORK: [(&str, &str); 2] = [("content-type", PROBLEM), ("x-pouw-challenge", TOKEN)];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Tells a whole response that came at `elapsed`.
fn tell(
    exchange: &mut Exchange,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
    elapsed: Duration,
) -> Result<Step, ClientError> {
    let find = |name| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
    match exchange.head(status, find, elapsed)? {
        Step::Read { .. } => exchange.body(body.as_bytes(), elapsed),
        other => Ok(other),
    }
}

fn challenged(exchange: &mut Exchange, unit: &WorkUnit, elapsed: Duration) -> Result<Step, ClientError> {
    tell(exchange, 429, &WORK, &problem("work_required", unit), elapsed)
}

/// An exchange whose answer is on its way since `elapsed`.
fn answered(terms: Terms) -> Exchange {
    let mut exchange = Exchange::new(terms);
    let step = challenged(&mut exchange, &unit(0), ms(10)).unwrap();
    assert!(matches!(step, Step::Work(_)), "{step:?}");
    let step = exchange.solved(&solve(&unit(0)), ms(20)).unwrap();
    assert_eq!(step, Step::Send { after: Duration::ZERO, pause: Pause::Floor });
    exchange
}

fn again(exchange: &mut Exchange, reason: &str, retry: &str, elapsed: Duration) -> Result<Step, ClientError> {
    let headers = [WORK[0], WORK[1], ("retry-after", retry)];
    tell(exchange, 429, &headers, &refusal(reason, "later"), elapsed)
}

#[test]
fn what_has_no_challenge_is_handed_back_and_its_body_not_asked_for() {
    for (status, headers) in [
        (200, &[][..]),
        (404, &[("content-type", PROBLEM)]),
        (403, &WORK),
        (503, &WORK),
        (429, &[]),
        (429, &[("content-type", "text/html"), ("x-pouw-challenge", TOKEN)]),
        (429, &[("content-type", PROBLEM), ("retry-after", "1")]),
        (429, &[("x-pouw-challenge", TOKEN)]),
    ] {
        let mut exchange = Exchange::new(Terms::default());
        let find = |name| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        assert_eq!(exchange.head(status, find, ms(5)).unwrap(), Step::Done, "{status} {headers:?}");
        assert_eq!((exchange.answer(), exchange.accepted()), (None, None));
    }
    // A document that looks like ours and brings no work.
    let mut exchange = Exchange::new(Terms::default());
    assert_eq!(tell(&mut exchange, 429, &WORK, &refusal("no_work", "no"), ms(5)).unwrap(), Step::Done);
}

#[test]
fn a_challenge_is_solved_the_floor_waited_from_receipt_and_the_answer_sent_in_headers() {
    let mut exchange = Exchange::new(Terms::default());
    let given = unit(1_500);
    assert_eq!(challenged(&mut exchange, &given, ms(5_000)).unwrap(), Step::Work(Box::new(given.clone())));
    assert_eq!(exchange.answer(), None);
    let result = solve(&given);
    let step = exchange.solved(&result, ms(5_700)).unwrap();
    assert_eq!(step, Step::Send { after: ms(800), pause: Pause::Floor });
    let compact = result.to_compact();
    assert_eq!(exchange.answer(), Some([("x-pouw-response", TOKEN), ("x-pouw-result", compact.as_str())]));
    let headers = [("x-pouw-accepted", "true"), ("x-pouw-joule-award", "42")];
    assert_eq!(tell(&mut exchange, 200, &headers, "", ms(6_600)).unwrap(), Step::Done);
    let accepted = exchange.accepted().unwrap();
    assert_eq!((accepted.receipt, accepted.award), (given.id, Some(MicroJoules(42))));
}

#[test]
fn a_parameter_of_the_media_type_changes_nothing() {
    let mut exchange = Exchange::new(Terms::default());
    let headers = [("content-type", "Application/Problem+JSON; charset=utf-8"), WORK[1]];
    let step = tell(&mut exchange, 429, &headers, &problem("work_required", &unit(0)), ms(5)).unwrap();
    assert!(matches!(step, Step::Work(_)), "{step:?}");
}

#[test]
fn a_floor_beyond_the_deadline_is_told_before_anything_is_hashed() {
    for (deadline, wait, at) in [(1_000, 1_500, 0), (60_000, 59_000, 1_001), (10, 0, 11), (60_000, 299_999, 0)] {
        let mut exchange = Exchange::new(Terms::default().deadline(ms(deadline)));
        let error = challenged(&mut exchange, &unit(wait), ms(at)).unwrap_err();
        assert_eq!(error.code(), "deadline");
        let ClientError::Deadline { needed, receipt, .. } = error else { panic!("{error}") };
        assert_eq!((needed, receipt), (Some(ms(wait + at)), None));
    }
    // Exactly in time is in time; hashing may use it up.
    let mut exchange = Exchange::new(Terms::default().deadline(ms(1_500)));
    let step = challenged(&mut exchange, &unit(1_500), ms(0)).unwrap();
    assert!(matches!(step, Step::Work(_)), "{step:?}");
    let error = exchange.solved(&solve(&unit(1_500)), ms(1_501)).unwrap_err();
    assert_eq!((error.code(), exchange.answer()), ("deadline", None));
}

#[test]
fn what_costs_more_than_the_terms_allow_is_not_taken_on() {
    let usual = Terms::default();
    for (terms, cost, sum) in [
        (usual.max_bytes(511), Cost::Bytes, 512),
        (usual.max_hashes(62), Cost::Hashes, 63),
        (usual.max_wait(ms(1_499)), Cost::WaitMs, 1_500),
    ] {
        let error = challenged(&mut Exchange::new(terms), &unit(1_500), ms(0)).unwrap_err();
        let ClientError::TooExpensive { what, asked, allowed } = &error else { panic!("{error}") };
        assert_eq!((*what, *asked, *allowed), (cost, sum, sum - 1));
        assert!(!error.is_retryable(), "it costs as much the next time");
    }
    let just = usual.max_bytes(512).max_hashes(63).max_wait(ms(1_500));
    assert!(challenged(&mut Exchange::new(just), &unit(1_500), ms(0)).is_ok());
}

#[test]
fn a_unit_that_does_not_add_up_is_refused_before_anything_is_hashed() {
    let change = |change: fn(&mut WorkUnit)| {
        let mut unit = unit(100);
        change(&mut unit);
        problem("work_required", &unit)
    };
    let text = |from: &str, to: &str| problem("work_required", &unit(100)).replace(from, to);
    for (what, body) in [
        ("leafLengths", change(|unit| unit.leaf_lengths[3] = 17)),
        ("leafLengths", change(|unit| unit.leaf_lengths.clear())),
        ("nodeCount", change(|unit| unit.node_count = 1)),
        ("nodeCount", change(|unit| unit.fold_levels = 40)),
        ("foldLevels", change(|unit| unit.fold_levels = 200)),
        ("childCount", change(|unit| unit.operation = WorkUnitOperation::InteriorHash)),
        ("waitMs", change(|unit| unit.wait_ms = 300_000)),
        ("waitMs", change(|unit| unit.wait_ms = 9_007_199_254_740_991)),
        ("challengeToken", change(|unit| unit.challenge_token = "another".into())),
        ("operation", text("subtree_hash", "prime_search")),
        ("waitMs", text("\"waitMs\":100", "\"waitMs\":-1")),
        ("id", text("\"id\":", "\"ID\":")),
        ("(document)", "<html>".into()),
        ("(document)", r#"{"workUnit":"#.into()),
        ("(document)", r#"{"workUnit":7}"#.into()),
    ] {
        let mut exchange = Exchange::new(Terms::default());
        let error = tell(&mut exchange, 429, &WORK, &body, ms(0)).unwrap_err();
        assert!(matches!(error, ClientError::InvalidUnit(InvalidUnit::Unreadable(_) | InvalidUnit::Unsound(_))));
        assert!(error.to_string().contains(&format!("`{what}`")), "{error} does not name {what}");
        assert_eq!(exchange.answer(), None);
    }
    // What cannot be a header's value never becomes one.
    for token in ["", "a b", "a\r\nb", "\u{e9}"] {
        let (mut exchange, mut unit) = (Exchange::new(Terms::default()), unit(0));
        unit.challenge_token = token.into();
        let headers = [WORK[0], ("x-pouw-challenge", token)];
        let error = tell(&mut exchange, 429, &headers, &problem("work_required", &unit), ms(0)).unwrap_err();
        assert_eq!(error.code(), "invalid_unit", "{token:?}");
    }
}

#[test]
fn a_document_longer_than_any_unit_is_not_read() {
    let mut exchange = Exchange::new(Terms::default());
    let find = |name| WORK.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
    let Ok(Step::Read { limit_bytes }) = exchange.head(429, find, ms(0)) else { panic!("it is not read") };
    let error = exchange.body(&vec![b' '; limit_bytes + 1], ms(0)).unwrap_err();
    assert_eq!(error.code(), "body_too_large");
}

#[test]
fn an_answer_that_did_not_count_yet_is_sent_again_three_times() {
    for reason in ["try_again", "too_early"] {
        let mut exchange = answered(Terms::default());
        let sent = exchange.answer().map(|headers| headers.map(|(_, value)| value.to_owned()));
        for at in 1..=3 {
            let step = again(&mut exchange, reason, "2", ms(100 * at)).unwrap();
            assert_eq!(step, Step::Send { after: ms(2_000), pause: Pause::SameAnswer });
            let next = exchange.answer().map(|headers| headers.map(|(_, value)| value.to_owned()));
            assert_eq!(next, sent);
        }
        let error = again(&mut exchange, reason, "2", ms(500)).unwrap_err();
        assert_eq!(error.receipt(), Some(id(7)));
        assert!(!error.is_retryable(), "it would pay twice");
        let ClientError::GaveUp { requests, reason: last, .. } = error else { panic!("{error}") };
        assert_eq!((requests, last.map(|reason| reason.to_string())), (5, Some(reason.to_owned())));
    }
    // A unit that comes along is the same one: nothing is hashed again.
    let mut exchange = answered(Terms::default());
    let step = tell(&mut exchange, 429, &WORK, &problem("too_early", &unit(0)), ms(30)).unwrap();
    assert_eq!(step, Step::Send { after: ms(1_000), pause: Pause::SameAnswer });
    // Its outcome may be unknown to the server too, so the receipt is told.
    let mut exchange = answered(Terms::default());
    let error = again(&mut exchange, "try_again", "60", ms(30)).unwrap_err();
    assert_eq!((error.code(), error.receipt()), ("deadline", Some(id(7))));
    assert_eq!(exchange.late().receipt(), Some(id(7)));
}

#[test]
fn a_challenge_that_was_taken_back_is_replaced_once() {
    for reason in ["withdrawn", "token_expired", "work_required"] {
        let mut exchange = answered(Terms::default());
        let mut next = unit(0);
        (next.id, next.challenge_token) = (id(8), "the-second".into());
        let headers = [WORK[0], ("x-pouw-challenge", "the-second")];
        let step = tell(&mut exchange, 429, &headers, &problem(reason, &next), ms(30)).unwrap();
        assert_eq!(step, Step::Work(Box::new(next.clone())));
        let step = exchange.solved(&solve(&next), ms(40)).unwrap();
        assert!(matches!(step, Step::Send { .. }), "{step:?}");
        assert_eq!(exchange.answer().unwrap()[0].1, "the-second");
        let error = tell(&mut exchange, 429, &headers, &problem(reason, &next), ms(50)).unwrap_err();
        assert!(matches!(error, ClientError::GaveUp { requests: 3, receipt: None, .. }), "{error}");
        assert!(error.is_retryable(), "no answer was left that may have counted");
    }
}

#[test]
fn a_refused_answer_is_an_error_with_the_servers_words() {
    for (status, reason) in [
        (429, "wrong_result"),
        (403, "token_replayed"),
        (403, "token_invalid"),
        (403, "client_mismatch"),
        (400, "malformed"),
        (413, "too_large"),
        (503, "unavailable"),
    ] {
        let mut exchange = answered(Terms::default());
        let headers = if status == 429 { &WORK[..] } else { &WORK[..1] };
        let error = tell(&mut exchange, status, headers, &refusal(reason, "so \u{1b}[2J it is"), ms(30)).unwrap_err();
        assert_eq!((error.code(), error.receipt().is_some()), ("refused", reason == "token_replayed"));
        let ClientError::Refused { reason: read, status: told, detail, id: of } = error else { panic!("{error}") };
        assert_eq!((told, read.as_str(), detail.as_str(), of), (status, reason, "so ?[2J it is", id(7)));
    }
    let long = refusal("malformed", &"x".repeat(9_999));
    let error = tell(&mut answered(Terms::default()), 400, &WORK[..1], &long, ms(30)).unwrap_err();
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn the_services_own_answer_is_handed_back_whatever_it_is() {
    let accepted = [("content-type", PROBLEM), ("x-pouw-accepted", "true")];
    for (status, headers, body, paid) in [
        (403, &accepted[..], refusal("token_replayed", "the service's own"), true),
        (500, &accepted[..], String::new(), true),
        // A slot was free by then, so that the answer was not needed.
        (200, &[], String::new(), false),
        (502, &[("content-type", "text/html")], "<html>".into(), false),
        (403, &[("content-type", PROBLEM)], refusal("not_yours", ""), false),
        (403, &[("content-type", PROBLEM)], "{".into(), false),
        (403, &[("content-type", PROBLEM)], " ".repeat((64 << 10) + 1), false),
        (429, &[("content-type", PROBLEM)], refusal("budget", ""), false),
    ] {
        let mut exchange = answered(Terms::default());
        assert_eq!(tell(&mut exchange, status, headers, &body, ms(30)).unwrap(), Step::Done, "{status} {body}");
        assert_eq!(exchange.accepted().is_some(), paid);
    }
}

#[test]
fn waiting_without_work_is_the_callers_wish_and_bounded() {
    let wish = Terms::default().wait_when_limited(true).max_wait(ms(20_000));
    let limited = |exchange: &mut Exchange, retry: &str| tell(exchange, 429, &[("retry-after", retry)], "", ms(0));
    for (terms, retry, wait) in [
        (Terms::default(), "1", None),
        (wish, "5", Some(5_000)),
        (wish, "0", Some(1_000)),
        (wish, "21", None),
        (wish, "99999999999999999999999", None),
        (wish, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (wish, "-1", None),
        (wish, "", None),
        (wish.deadline(ms(4_999)), "5", None),
    ] {
        let step = limited(&mut Exchange::new(terms), retry).unwrap();
        let sent = wait.map(|wait| Step::Send { after: ms(wait), pause: Pause::Limited });
        assert_eq!(step, sent.unwrap_or(Step::Done), "{retry:?}");
    }
    let mut exchange = Exchange::new(wish);
    let waited = (0..20).take_while(|_| limited(&mut exchange, "1").unwrap() != Step::Done).count();
    assert_eq!(waited, 8);
    // What comes after it is a plain request.
    let mut exchange = answered(wish);
    let step = limited(&mut exchange, "1").unwrap();
    assert!(matches!(step, Step::Send { .. }), "{step:?}");
    assert_eq!(exchange.answer(), None);
}

#[test]
fn a_connection_that_breaks_says_whether_an_answer_was_on_it() {
    let error = Exchange::new(Terms::default()).failed("gone".into());
    assert_eq!((error.code(), error.receipt(), error.to_string().as_str()), ("transport", None, "gone"));
    let error = answered(Terms::default()).failed("gone".into());
    assert_eq!((error.code(), error.receipt()), ("connection_lost", Some(id(7))));
    assert!(error.to_string().contains(&id(7).to_string()));
}

/// A response, any response, and how long it takes.
#[derive(Debug, Clone)]
struct Any {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    takes: Duration,
}

impl Arbitrary for Any {
    fn arbitrary(g: &mut Gen) -> Self {
        let reasons: Vec<String> = Reason::ALL.iter().map(ToString::to_string).chain(["other".into()]).collect();
        let reason = g.choose(&reasons).unwrap();
        let unit = unit(*g.choose(&[0, 1, 100, 1_500, 70_000, 299_999]).unwrap());
        let bodies = [problem(reason, &unit), problem(reason, &unit), refusal(reason, "x"), "<html>".into()];
        let mut headers = Vec::new();
        for choices in [
            &[("content-type", PROBLEM), ("content-type", PROBLEM), ("content-type", "text/html")][..],
            &[("x-pouw-challenge", TOKEN), ("x-pouw-challenge", TOKEN), ("x", "")],
            &[("retry-after", "0"), ("retry-after", "1"), ("retry-after", "3"), ("retry-after", "soon"), ("x", "")],
            &[("x-pouw-accepted", "true"), ("x", ""), ("x", ""), ("x", ""), ("x", "")],
        ] {
            headers.push(*g.choose(choices).unwrap());
        }
        Self {
            status: *g.choose(&[429, 429, 429, 429, 429, 200, 400, 403, 413, 500, 503]).unwrap(),
            headers,
            body: g.choose(&bodies).unwrap().clone(),
            takes: ms(*g.choose(&[0, 1, 10, 1_000]).unwrap()),
        }
    }
}

/// Plays `responses`, over and over; requests made, units solved, and the time after the last thing that was asked for.
fn play(terms: Terms, responses: &[Any]) -> (u32, u32, Duration) {
    let (mut exchange, mut now) = (Exchange::new(terms), Duration::ZERO);
    let (mut requests, mut solved, mut asked) = (0, 0, Duration::ZERO);
    for response in responses.iter().cycle().take(1_000) {
        requests += 1;
        now += response.takes;
        let mut step = tell(&mut exchange, response.status, &response.headers, &response.body, now);
        if let Ok(Step::Work(unit)) = step {
            solved += 1;
            step = exchange.solved(&solve(&unit), now);
        }
        match step {
            Ok(Step::Send { after, .. }) => now += after,
            _ => return (requests, solved, asked),
        }
        asked = now;
    }
    panic!("no end after {requests} requests");
}

#[test]
fn every_exchange_ends_whatever_the_server_says() {
    fn ends(responses: Vec<Any>, wait: bool) -> bool {
        let terms = Terms::default().wait_when_limited(wait);
        let (requests, solved, asked) = play(terms, &responses);
        requests <= REQUESTS_MAX && solved <= 2 && asked <= terms.deadline
    }
    // Short ones, told over and over, lead further than long ones.
    fn holds(first: Any, mut more: Vec<Any>, wait: bool) -> bool {
        more.truncate(more.len() % 4);
        ends([vec![first], more].concat(), wait)
    }
    QuickCheck::new().tests(2_000).quickcheck(holds as fn(Any, Vec<Any>, bool) -> bool);
}

#[test]
fn a_server_that_asks_for_work_for_ever_is_asked_three_times() {
    let body = problem("work_required", &unit(0));
    let response = Any { status: 429, headers: WORK.to_vec(), body, takes: ms(1) };
    let (requests, solved, _) = play(Terms::default(), &[response]);
    assert_eq!((requests, solved), (3, 2));
}
