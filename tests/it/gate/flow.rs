//! What clients get from the gate while everything works: several challenges at once, neighbours behind one address,
//! what a refused answer costs, what goes out twice, shadow mode, preflights, and the events of all that.

use std::time::Duration;

use std::sync::Barrier;

use crate::support::desk;
use crate::support::desk::{ADDRESS, Desk, accepted, facts, passed, plain, refused, solved, unit_in};
use crate::support::work::spoiled;
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::protocol::{ByTier, DifficultyTier, MicroJoules, Reason, header};
use pouw::{Caller, Decision, GateConfigBuilder, GateEvent, Head, IssueRequest, RateLimitDraft, Step, Verdict};

#[test]
fn parallel_requests_of_one_client_do_not_fight_each_is_admitted_by_a_challenge_of_its_own() {
    let desk = Desk::with(|config| config.open_challenges(6, 6));
    desk.use_up();
    // Asked for all at once: six different challenges.
    let start = Barrier::new(6);
    let results: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            start.wait();
            desk.challenge().1
        };
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(one)).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    plain(desk.ask(), "budget");
    // Answered all at once, each twice: six are admitted, and nobody is told that somebody else was faster.
    let admitted: usize = std::thread::scope(|scope| {
        let once = |result| {
            let desk = &desk;
            move || accepted(desk.answer(result)).map_or(0, |_| 1)
        };
        let asking: Vec<_> = results.iter().chain(&results).map(|result| scope.spawn(once(result))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((admitted, desk.engine.stats().ledger_entries), (6, 6));
    // And there is room for new ones.
    desk.challenge();
}

#[test]
fn eight_broken_answers_close_the_challenge_whose_token_came_with_them_and_no_other_of_the_same_address() {
    let desk = Desk::new();
    desk.use_up();
    let [(_, mine), (closed, theirs)] = [(); 2].map(|()| desk.challenge());
    let broken = || Some(ResultText::Json(b"{\"resultHash\":7}".to_vec()));
    // Nothing but a token that was seen spoils anything: guesses at it fail, however many.
    for _ in 0..50 {
        let mut guess = mine.challenge_token.clone();
        guess.replace_range(200..204, "AAAA");
        refused(desk.present(ADDRESS, &guess, broken()), "token_invalid");
    }
    for _ in 0..8 {
        refused(desk.present(ADDRESS, &theirs.challenge_token, broken()), "malformed");
    }
    refused(desk.answer(&theirs), "token_replayed");
    // The leaves of the closed challenge are work for somebody else, those of the open one are not.
    assert_eq!((desk.engine.stats().leases, desk.engine.stats().totals.pending), (1, 640));
    let request = IssueRequest::new(b"somebody else", DifficultyTier::Low);
    let mut out: Vec<u64> = Vec::new();
    while let Ok(issued) = desk.engine.issue(&request) {
        out.push(issued.unit.tree_index);
        desk.engine.refill().unwrap();
    }
    assert_eq!((out.len(), out.iter().filter(|leaf| **leaf == closed.tree_index).count()), (639, 1));
    assert!(accepted(desk.answer(&mine)).is_some());
}

#[test]
fn open_challenges_are_counted_for_each_name_and_those_of_neighbours_do_not_count() {
    let desk = Desk::with(|config| config.open_challenges(4, 1));
    let ask = |name: &str| {
        let client = pouw::ClientKey::User(name.into());
        decide(&desk.gate, Facts { client, ..facts(ADDRESS) }).wait()
    };
    for name in ["anna", "berta"] {
        passed(ask(name));
        let refusal = refused(ask(name), "work_required");
        plain(ask(name), "budget");
        assert!(unit_in(&refusal).is_some());
    }
}

#[test]
fn an_admitted_answer_takes_no_slot_and_a_refused_one_does() {
    let desk = Desk::with(|config| config.rate_limit(4));
    for _ in 0..4 {
        passed(desk.ask());
    }
    let (_, expired) = desk.challenge();
    desk.clock.advance(Duration::from_millis(desk::WINDOW_MS + desk::WINDOW_MS / 250));
    // Under the limit again, with a token that has expired: as if none had come, so that takes one of four.
    assert_eq!(passed(desk.answer(&expired)).quota.remaining, 3);
    for _ in 0..3 {
        passed(desk.ask());
    }
    let [good, foreign] = [(); 2].map(|()| desk.challenge().1);
    // Over the limit, a right answer is admitted and leaves the window as it is.
    let pass = accepted(desk.answer(&good)).unwrap();
    assert_eq!(pass.quota.remaining, 0);
    let left = |decision: Decision| match decision {
        Decision::Pass(pass) => pass.quota.remaining.to_string(),
        Decision::Refuse(refusal) => refusal.headers.find(header::RATELIMIT_REMAINING).unwrap().to_owned(),
    };
    // The answer of another client counts as none: it takes a slot of the one who sent it.
    assert_eq!(left(desk.answer_from("198.51.100.1", &foreign)), "3");
    assert_eq!(left(desk.ask_from("198.51.100.1")), "2");
}

#[test]
fn an_answer_under_the_limit_is_judged_the_same_way_and_uses_its_token_up() {
    let desk = Desk::with(|config| config.window(Duration::from_millis(10_000)));
    desk.use_up();
    let (_, result) = desk.challenge();
    desk.clock.advance(Duration::from_millis(20_000));
    let pass = accepted(desk.answer(&result)).unwrap();
    assert_eq!(pass.quota.remaining, 1, "it took no slot");
    assert!(pass.accepted.unwrap().award > MicroJoules(0));
    refused(desk.answer(&result), "token_replayed");
    assert_eq!(desk.engine.stats().ledger_entries, 1);
}

#[test]
fn the_data_of_a_unit_goes_out_once_more_on_request_with_its_token_and_then_the_token_alone() {
    let desk = Desk::new();
    desk.use_up();
    let (unit, result) = desk.challenge();
    let (other, _) = desk.challenge();
    let ask = |token: &str| refused(desk.present(ADDRESS, token, None), "work_required");
    let again = ask(&unit.challenge_token);
    let sent = unit_in(&again).unwrap();
    assert_eq!((sent.id, &sent.input_data, &sent.challenge_token), (unit.id, &unit.input_data, &unit.challenge_token));
    for _ in 0..5 {
        let bare = ask(&unit.challenge_token);
        assert_eq!((bare.token(), unit_in(&bare)), (Some(unit.challenge_token.as_str()), None));
        assert_eq!(bare.headers.find("retry-after"), bare.headers.find(header::RATELIMIT_RESET));
        assert!(bare.body.len() < 1_000 && bare.flight.is_none());
    }
    // Each challenge has its own count, and asking for data costs a challenge nothing.
    assert!(unit_in(&ask(&other.challenge_token)).is_some());
    assert_eq!(desk.gate.stats().resent, 2);
    assert!(accepted(desk.answer(&result)).is_some());
}

#[test]
fn a_token_that_is_over_is_told_so_however_often_it_is_asked_for_and_not_sent_again() {
    let desk = Desk::new();
    desk.use_up();
    let (used, result) = desk.challenge();
    let (withdrawn, _) = desk.challenge();
    let ask = |token: &str| desk.present(ADDRESS, token, None);
    // Both have been sent as often as they may be: asking again brings the token alone.
    for token in [&used.challenge_token, &withdrawn.challenge_token] {
        assert!((0..3).all(|_| refused(ask(token), "work_required").token() == Some(token)));
    }
    assert!(accepted(desk.answer(&result)).is_some());
    desk.engine.forget("tree").unwrap();
    for _ in 0..4 {
        let refusal = refused(ask(&used.challenge_token), "token_replayed");
        assert_eq!((refusal.status, refusal.token()), (403, None));
        let refusal = refused(ask(&withdrawn.challenge_token), "withdrawn");
        assert!(refusal.token().is_some_and(|token| token != withdrawn.challenge_token));
        assert!(accepted(desk.answer(&solved(&refusal).1)).is_some());
    }
    // Under the limit a used token is a used token, and one that was taken back is as none.
    desk.clock.advance(Duration::from_millis(30_000));
    let roomy = pouw::GateConfig::builder().rate_limit(100).build().unwrap();
    let roomy = pouw::Gate::new(desk.engine.clone(), roomy).unwrap();
    let ask = |unit: &pouw::protocol::WorkUnit| {
        let answer = Some(Presented { token: unit.challenge_token.clone(), result: None });
        match decide(&roomy, Facts { answer, ..facts(ADDRESS) }) {
            Verdict::Judge(pending) => pending.wait(),
            other => panic!("{other:?}"),
        }
    };
    refused(ask(&used), "token_replayed");
    assert!(passed(ask(&withdrawn)).accepted.is_none());
}

#[test]
fn while_the_store_cannot_be_read_a_token_without_a_result_does_not_keep_anybody_from_a_free_slot() {
    let desk = Desk::with(|config| config.window(Duration::from_millis(10_000)));
    desk.use_up();
    let (unit, result) = desk.challenge();
    assert!(accepted(desk.answer(&result)).is_some());
    desk.clock.advance(Duration::from_millis(20_000));
    // Whether it was used stands in the store alone.
    desk.engine.close();
    assert!(passed(desk.present(ADDRESS, &unit.challenge_token, None)).accepted.is_none());
    refused(desk.present(ADDRESS, &unit.challenge_token, None), "try_again");
}

/// A token of an earlier boot is adopted when it arrives, not only with a result. Were it taken for withdrawn, asking
/// again would bring a new challenge without a floor, as often as somebody likes.
#[test]
fn asking_again_after_a_restart_brings_the_same_challenge_and_not_one_without_a_floor() {
    let mut desk = Desk::new();
    desk.use_up();
    let (unit, result) = desk.challenge();
    desk.restart();
    desk.use_up();
    let ask = || refused(desk.present(ADDRESS, &unit.challenge_token, None), "work_required");
    let again = unit_in(&ask());
    assert!(again.is_none_or(|again| again.id == unit.id));
    assert!((0..5).all(|_| ask().token() == Some(unit.challenge_token.as_str())));
    assert_eq!((desk.gate.stats().issued, desk.engine.stats().leases), (ByTier::all(0), 1));
    assert!(accepted(desk.answer(&result)).is_some());
}

#[test]
fn challenge_bytes_in_flight_are_bounded_and_come_back_when_a_body_is_let_go() {
    let desk = Desk::with(|config| config.bytes_in_flight(200_000));
    let mut held = Vec::new();
    for client in 0..255u8 {
        let address = format!("198.51.{client}.1");
        passed(desk.ask_from(&address));
        let decision = desk.ask_from(&address);
        match decision {
            Decision::Refuse(refusal) if refusal.reason == Reason::WorkRequired => held.push(refusal),
            decision => {
                plain(decision, "budget");
                break;
            }
        }
    }
    let bytes: usize = held.iter().map(|refusal| refusal.body.len()).sum();
    let stats = desk.gate.stats();
    assert!(held.len() > 1 && (bytes as u64..=200_000).contains(&stats.bytes_in_flight), "{stats:?}");
    // A token that asks for its data again gets no data either.
    let token = held[0].token().unwrap().to_owned();
    assert!(unit_in(&refused(desk.present("198.51.0.1", &token, None), "work_required")).is_none());
    held.clear();
    assert_eq!(desk.gate.stats().bytes_in_flight, 0);
    desk.use_up();
    desk.challenge();
}

#[test]
fn in_shadow_a_token_changes_nothing_about_who_is_let_through_and_is_counted() {
    let desk = Desk::with(|config| config.shadow(true));
    // Issued before shadow mode was switched on: by the same engine, to the same client.
    let before = pouw::GateConfig::builder().rate_limit(1).build().unwrap();
    let before = pouw::Gate::new(desk.engine.clone(), before).unwrap();
    passed(decide(&before, facts(ADDRESS)).wait());
    let Decision::Refuse(refusal) = decide(&before, facts(ADDRESS)).wait() else { panic!("it is over the limit") };
    let (unit, result) = solved(&refusal);
    desk.use_up();
    for at in 1..=3u64 {
        passed(desk.present(ADDRESS, &unit.challenge_token, None));
        let stats = desk.gate.stats();
        assert_eq!((stats.limited, stats.shadowed, stats.issued), (at, at, ByTier::all(0)));
    }
    assert_eq!(desk.events_named("rate-limited").len(), 3);
    // An answer is an answer.
    assert!(accepted(desk.answer(&result)).is_some());
    refused(desk.answer(&result), "token_replayed");
    desk.clock.advance(Duration::from_millis(60_000));
    assert!(passed(desk.answer(&result)).accepted.is_none(), "it has expired: as a request without a token");
    assert_eq!(desk.gate.stats().shadowed, 4);
}

#[test]
fn the_events_of_a_way_past_the_limit_come_in_order_and_name_the_same_unit() {
    let desk = Desk::new();
    desk.use_up();
    assert_eq!(desk.events(), []);
    let (unit, result) = desk.challenge();
    let client = facts(ADDRESS).client;
    let (limit, remaining, reset_ms) = (1, 0, desk::WINDOW_MS + desk::WINDOW_MS / 250);
    let told = desk.events();
    let GateEvent::RateLimited { reset_ms: reset, .. } = told[0] else { panic!("{told:?}") };
    assert!((reset_ms - 14_400..=reset_ms).contains(&reset));
    assert_eq!(
        told,
        [
            GateEvent::RateLimited { client: client.clone(), limit, remaining, reset_ms: reset },
            GateEvent::WorkIssued {
                client: client.clone(),
                work_unit_id: unit.id,
                difficulty: DifficultyTier::Low,
                is_probe: false
            },
        ]
    );
    let (worse, _) = solved(&refused(desk.answer(&spoiled(&result)), "wrong_result"));
    let told = desk.events();
    let failed =
        GateEvent::WorkFailed { client: client.clone(), work_unit_id: Some(unit.id), reason: Reason::WrongResult };
    assert_eq!(told[0], failed);
    let difficulty = worse.difficulty;
    let issued = GateEvent::WorkIssued { client: client.clone(), work_unit_id: worse.id, difficulty, is_probe: false };
    assert_eq!(told[1..], [issued]);
    let again = solved(&refused(desk.ask(), "work_required"));
    desk.events();
    let award = accepted(desk.answer(&again.1)).unwrap().accepted.unwrap().award;
    let told = desk.events();
    assert!(matches!(told[0], GateEvent::WorkVerified { work_unit_id, .. } if work_unit_id == again.0.id), "{told:?}");
    let difficulty = again.0.difficulty;
    let credit = GateEvent::JouleCreditAwarded { client, work_unit_id: again.0.id, micro_joules: award, difficulty };
    assert_eq!(told[1..], [credit]);
    let names: Vec<&str> = told.iter().map(GateEvent::name).collect();
    assert_eq!(names, ["work-verified", "joule-credit-awarded"]);
}

/// A request without a body.
struct Line(&'static str, &'static str, Vec<(&'static str, &'static str)>);

impl Head for Line {
    fn method(&self) -> &str {
        self.0
    }

    fn path(&self) -> &str {
        self.1
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.2.iter().filter(|(own, _)| *own == name).for_each(|(_, value)| each(value.as_bytes()));
    }

    fn has_body(&self) -> bool {
        false
    }
}

#[test]
fn preflights_and_exempt_routes_are_let_through_untouched_and_take_no_slot() {
    let desk = Desk::with(|config| config.exempt_route("/assets/*").exempt_route("GET /free"));
    let send =
        |method, path, headers: &[_]| desk.gate.on_request(&Line(method, path, headers.to_vec()), &Caller::default());
    let asks = ("access-control-request-method", "POST");
    for _ in 0..5 {
        assert!(matches!(send("OPTIONS", "/hello", &[asks]), Step::Exempt));
        assert!(matches!(send("GET", "/assets/a/b.css", &[]), Step::Exempt));
        assert!(matches!(send("GET", "/free", &[]), Step::Exempt));
        // Not even a broken token makes a difference there.
        assert!(matches!(send("GET", "/free", &[(header::RESPONSE, "?")]), Step::Exempt));
    }
    let stats = desk.gate.stats();
    assert_eq!((stats.requests, stats.exempt_routes, stats.clients), (0, 20, 0));
    // Without that header it is a request like any other, and so is another method.
    assert!(matches!(send("OPTIONS", "/hello", &[]), Step::Decided(Decision::Pass(_))));
    assert!(matches!(send("POST", "/free", &[asks]), Step::Decided(Decision::Refuse(_))));
}

#[test]
fn a_token_without_a_result_under_the_limit_is_an_ordinary_request() {
    let desk = Desk::with(|config| config.window(Duration::from_millis(10_000)));
    desk.use_up();
    let (unit, result) = desk.challenge();
    desk.clock.advance(Duration::from_millis(20_000));
    let facts = Facts { answer: Some(Presented { token: unit.challenge_token, result: None }), ..facts(ADDRESS) };
    let Verdict::Judge(pending) = decide(&desk.gate, facts) else { panic!("a token is looked at first") };
    let pass = passed(pending.wait());
    assert_eq!((pass.accepted, pass.quota.remaining), (None, 0));
    assert!(accepted(desk.answer(&result)).is_some(), "it is still open");
}

#[test]
fn the_headers_of_the_draft_have_the_form_that_is_asked_for() {
    // A slot frees when the tick it was taken in, a 250th of the window, is a window old.
    type Form = (fn(GateConfigBuilder) -> GateConfigBuilder, Option<&'static str>, Option<&'static str>);
    let forms: [Form; 5] = [
        (|config| config.ratelimit_draft(RateLimitDraft::None), None, None),
        (
            |config| config.ratelimit_draft(RateLimitDraft::Draft7),
            Some("1;w=3600"),
            Some("limit=1, remaining=0, reset=3607"),
        ),
        (
            |config| config.ratelimit_draft(RateLimitDraft::Draft8),
            Some("\"default\";q=1;w=3600"),
            Some("\"default\";r=0;t=3607"),
        ),
        (
            |config| config.ratelimit_draft(RateLimitDraft::Draft12),
            Some("\"default\";q=1;w=3600"),
            Some("\"default\";a=0;w=3607"),
        ),
        (
            |config| config,
            Some("\"default\";q=1;w=3600"),
            Some("\"default\";r=0;t=3607;a=0;w=3607;pouw-limit=1;pouw-remaining=0;pouw-reset=3607"),
        ),
    ];
    for (change, policy, standing) in forms {
        let desk = Desk::with(change);
        let passed = passed(desk.ask()).headers(&desk.gate);
        for headers in [passed, refused(desk.ask(), "work_required").headers] {
            assert_eq!(headers.find(header::RATELIMIT_POLICY), policy);
            assert_eq!(headers.find(header::RATELIMIT), standing);
            assert_eq!(headers.find(header::RATELIMIT_LIMIT), Some("1"));
        }
    }
}
