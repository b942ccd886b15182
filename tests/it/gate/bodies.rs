//! Bodies that a result may be in: what is held of them, for whom, how long, and what becomes of broken ones.

use std::io::{Error, ErrorKind, Read};
use std::net::IpAddr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::desk;
use crate::support::desk::{ADDRESS, Desk, accepted, facts, passed, refused, unit_in};
use crate::support::work::solve;
use pouw::internal::gate::{Facts, Presented, decide};
use pouw::protocol::{WorkResult, header};
use pouw::{BodyRead, Caller, Decision, Head, NeedsBody, Refusal, Step, Verdict};

const LIMIT: usize = 16 << 10;
/// Booked for a body before any of it has arrived.
const FIRST: u64 = 1 << 10;

/// A request with a token and a body that may hold its result.
struct Upload<'a>(&'a str, Option<usize>);

impl Head for Upload<'_> {
    fn method(&self) -> &'static str {
        "POST"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        match (name, self.1) {
            (header::RESPONSE, _) => each(self.0.as_bytes()),
            ("content-length", Some(length)) => each(length.to_string().as_bytes()),
            _ => {}
        }
    }

    fn has_body(&self) -> bool {
        true
    }
}

/// A desk where bodies together have room for one of the largest.
fn tight() -> Desk {
    let desk = Desk::with(|config| config.body_limit_bytes(LIMIT).buffered_bytes_max(LIMIT));
    desk.use_up();
    desk
}

fn step(desk: &Desk, token: &str, length: Option<usize>) -> Step {
    let caller = Caller::from_peer(ADDRESS.parse::<IpAddr>().unwrap());
    desk.gate.on_request(&Upload(token, length), &caller)
}

fn needs(desk: &Desk, result: &WorkResult) -> NeedsBody {
    match step(desk, &result.challenge_token, None) {
        Step::Body(needs) => needs,
        other => panic!("the result may be in the body: {other:?}"),
    }
}

/// The verdict without a body.
fn decided(step: Step) -> Decision {
    match step {
        Step::Decided(decision) => decision,
        Step::Judge(pending) => pending.wait(),
        other => panic!("no body is needed for that: {other:?}"),
    }
}

fn judged(needs: NeedsBody, body: BodyRead<'_>) -> Decision {
    needs.complete(body).wait()
}

/// A body of exactly that many bytes, with the result in it.
fn body(result: &WorkResult, bytes: usize) -> Vec<u8> {
    let inner = format!("{{\"workResult\":{},\"pad\":\"\"}}", result.to_json());
    format!("{}{}\"}}", &inner[..inner.len() - 2], "p".repeat(bytes - inner.len())).into_bytes()
}

/// The answer may come again: the same challenge, in a second.
fn once_more(refusal: &Refusal, result: &WorkResult) {
    assert_eq!((refusal.status, refusal.headers.find("retry-after")), (429, Some("1")));
    assert_eq!(refusal.token(), Some(result.challenge_token.as_str()));
    assert!(unit_in(refusal).is_none());
}

#[test]
fn a_body_keeps_its_room_until_the_answer_in_it_is_judged() {
    let desk = tight();
    let [(_, mine), (_, other)] = [(); 2].map(|()| desk.challenge());
    let waiting = needs(&desk, &mine);
    assert_eq!(desk.gate.stats().bytes_buffered, FIRST);
    let Verdict::Judge(pending) = waiting.complete(BodyRead::Whole(&body(&mine, LIMIT))) else {
        panic!("an answer is judged")
    };
    assert_eq!(desk.gate.stats().bytes_buffered, LIMIT as u64);
    once_more(&refused(decided(step(&desk, &other.challenge_token, None)), "try_again"), &other);
    assert!(accepted(pending.wait()).is_some());
    assert_eq!(desk.gate.stats().bytes_buffered, 0);
}

#[test]
fn a_body_keeps_its_room_while_its_answer_waits_for_a_judge() {
    let desk = Desk::with(|config| config.judge_threads(1));
    desk.use_up();
    let [(_, first), (_, second)] = [(); 2].map(|()| desk.challenge());
    let pending = |result, bytes| match needs(&desk, result).complete(BodyRead::Whole(&body(result, bytes))) {
        Verdict::Judge(pending) => pending,
        other => panic!("an answer is judged: {other:?}"),
    };
    // The only judge hands over the verdict of an asker without a result, and waits.
    let asker = Presented { token: first.challenge_token.clone(), result: None };
    let Verdict::Judge(asker) = decide(&desk.gate, Facts { answer: Some(asker), ..facts(ADDRESS) }) else {
        panic!("a token needs the store")
    };
    let ((at_work, works), (let_go, wait)) = (channel(), channel::<()>());
    asker.then(move |_| {
        at_work.send(()).unwrap();
        wait.recv().unwrap();
    });
    works.recv().unwrap();
    let (done, seen) = channel();
    let gate = desk.gate.clone();
    pending(&second, 3_000).then(move |decision| done.send((gate.stats().bytes_buffered, decision)).unwrap());
    assert_eq!(desk.gate.stats().bytes_buffered, 3_000);
    once_more(&refused(decided(step(&desk, &second.challenge_token, None)), "try_again"), &second);
    let_go.send(()).unwrap();
    let (buffered, decision) = seen.recv().unwrap();
    assert!(buffered == 0 && accepted(decision).is_some());
}

#[test]
fn of_many_bodies_with_the_same_token_one_is_read_at_a_time_and_none_stands_in_anothers_way() {
    let desk = Desk::new();
    desk.use_up();
    let [(_, mine), (_, other)] = [(); 2].map(|()| desk.challenge());
    let first = needs(&desk, &mine);
    for length in [None, Some(256 << 10)].into_iter().cycle().take(600) {
        once_more(&refused(decided(step(&desk, &mine.challenge_token, length)), "try_again"), &mine);
    }
    assert_eq!(desk.gate.stats().bytes_buffered, FIRST);
    assert!(accepted(judged(needs(&desk, &other), BodyRead::Whole(&body(&other, 2_000)))).is_some());
    // Also while the answer of the first is being judged, and not after it.
    let Verdict::Judge(pending) = first.complete(BodyRead::Whole(b"[]")) else { panic!("an answer is judged") };
    once_more(&refused(decided(step(&desk, &mine.challenge_token, None)), "try_again"), &mine);
    refused(pending.wait(), "malformed");
    // A request that was given up before its end counts for nothing.
    (0..20).for_each(|_| drop(needs(&desk, &mine)));
    assert!(accepted(judged(needs(&desk, &mine), BodyRead::Whole(&body(&mine, 2_000)))).is_some());
}

#[test]
fn a_body_books_what_has_arrived_and_where_the_room_runs_out_its_answer_may_come_again() {
    let desk = tight();
    let [(_, slow), (_, late), (_, whole)] = [(); 3].map(|()| desk.challenge());
    // What was announced is not booked before it comes.
    let Step::Body(mut first) = step(&desk, &slow.challenge_token, Some(LIMIT)) else { panic!("it fits") };
    for arrived in [0, 1, 1_024] {
        first.arrived(arrived).unwrap();
        assert_eq!(desk.gate.stats().bytes_buffered, FIRST);
    }
    first.arrived(12 << 10).unwrap();
    let mut second = needs(&desk, &late);
    second.arrived(4 << 10).unwrap();
    assert_eq!(desk.gate.stats().bytes_buffered, LIMIT as u64);
    assert_eq!(second.arrived((4 << 10) + 1), Err(BodyRead::NoRoom));
    once_more(&refused(judged(second, BodyRead::NoRoom), "try_again"), &late);
    // One that is there at once is booked like any other, whether or not its host asked.
    once_more(&refused(judged(needs(&desk, &whole), BodyRead::Whole(&body(&whole, 5_000))), "try_again"), &whole);
    assert_eq!(desk.gate.stats().bytes_buffered, 12 << 10);
    assert_eq!(first.arrived(LIMIT + 1), Err(BodyRead::TooLarge));
    assert_eq!(refused(judged(first, BodyRead::TooLarge), "too_large").status, 413);
    let larger = body(&whole, LIMIT + 1);
    refused(judged(needs(&desk, &whole), BodyRead::Whole(&larger)), "too_large");
    refused(decided(step(&desk, &whole.challenge_token, Some(LIMIT + 1))), "too_large");
    // Neither used anything up.
    for result in [&slow, &late, &whole] {
        assert!(accepted(judged(needs(&desk, result), BodyRead::Whole(&body(result, LIMIT)))).is_some());
    }
    assert_eq!(desk.gate.stats().bytes_buffered, 0);
}

#[test]
fn for_a_challenge_that_is_over_no_body_is_read() {
    let desk = Desk::with(|config| config.rate_limit(2));
    desk.use_up();
    desk.use_up();
    let [(_, used), (_, withdrawn)] = [(); 2].map(|()| desk.challenge());
    assert!(accepted(desk.answer(&used)).is_some());
    desk.engine.forget("tree").unwrap();
    for _ in 0..3 {
        refused(decided(step(&desk, &used.challenge_token, None)), "token_replayed");
        refused(decided(step(&desk, &withdrawn.challenge_token, None)), "withdrawn");
    }
}

/// Bodies that no result can be read from.
const BROKEN: [BodyRead<'static>; 4] = [
    BodyRead::Whole(b"name=value"),
    BodyRead::Whole(b"{\"workResult\":{},\"workResult\":{}}"),
    BodyRead::Whole(b"{\"workResult\":7}"),
    BodyRead::Incomplete,
];

#[test]
fn eight_broken_bodies_close_their_challenge_as_any_other_malformed_answer_does() {
    let desk = Desk::new();
    desk.use_up();
    for (broken, closes) in [(7, false), (8, true)] {
        let (unit, result) = desk.challenge();
        desk.events();
        for read in BROKEN.into_iter().cycle().take(broken) {
            let refusal = refused(judged(needs(&desk, &result), read), "malformed");
            assert_eq!((refusal.status, refusal.token()), (400, None));
            let named = desk.events_named("work-failed");
            assert!(format!("{named:?}").contains(&unit.id.to_string()), "{named:?}");
        }
        // Those that are too large or have no room count for nothing: they were not looked at.
        if !closes {
            refused(judged(needs(&desk, &result), BodyRead::TooLarge), "too_large");
            refused(judged(needs(&desk, &result), BodyRead::NoRoom), "try_again");
            assert!(accepted(judged(needs(&desk, &result), BodyRead::Whole(&body(&result, 900)))).is_some());
        } else {
            refused(decided(step(&desk, &result.challenge_token, None)), "token_replayed");
            refused(desk.answer(&result), "token_replayed");
        }
    }
    assert_eq!((desk.engine.stats().leases, desk.engine.stats().ledger_entries), (0, 1));
}

#[test]
fn a_broken_body_before_the_floor_is_not_looked_at_and_one_of_a_challenge_that_ended_meanwhile_is_told_so() {
    let desk = Desk::new();
    desk.use_up();
    let client = desk::facts(ADDRESS).client.to_bytes();
    let issue = |floor_ms| {
        let low = pouw::protocol::DifficultyTier::Low;
        let request = pouw::IssueRequest::new(&client, low).floor(Duration::from_millis(floor_ms));
        // Under the same policy as the gate's own challenges.
        let policy = request.policy(policy_of(&desk));
        desk.engine.issue(&policy).unwrap().unit
    };
    let unit = issue(5_000);
    let result = solve(&unit);
    for read in BROKEN.into_iter().cycle().take(12) {
        refused(judged(needs(&desk, &result), read), "too_early");
    }
    desk.clock.advance(Duration::from_millis(5_000));
    let late = needs(&desk, &result);
    assert!(accepted(desk.answer(&result)).is_some());
    refused(judged(late, BROKEN[0]), "token_replayed");
}

/// Digest of the default policy, as a token of the gate's has it.
fn policy_of(desk: &Desk) -> u64 {
    use pouw::protocol::{ChallengeToken, Keyring};
    let (unit, _) = desk.challenge();
    let keys = Keyring::new(&[7; 32]).unwrap();
    ChallengeToken::open(&unit.challenge_token, &keys, 60_000).unwrap().policy
}

#[test]
fn a_request_whose_body_did_not_arrive_whole_is_never_let_through() {
    let desk = Desk::with(|config| config.window(Duration::from_millis(10_000)));
    for ends in [
        |desk: &Desk| desk.clock.advance(Duration::from_millis(60_000)),
        |desk: &Desk| desk.engine.forget("tree").unwrap(),
    ] {
        desk.clock.advance(Duration::from_millis(20_000));
        desk.use_up();
        let results = [(); 2].map(|()| desk.challenge().1);
        let [cut, broken] = [&results[0], &results[1]].map(|result| needs(&desk, result));
        // Under the limit again, with a token that counts as none by now.
        desk.clock.advance(Duration::from_millis(20_000));
        ends(&desk);
        refused(judged(cut, BodyRead::Incomplete), "malformed");
        // The refused answer took the slot. With the next one, all of the body is there for the service.
        desk.clock.advance(Duration::from_millis(20_000));
        assert!(passed(judged(broken, BodyRead::Whole(b"name=value"))).accepted.is_none());
    }
}

/// Hands out these pieces, one with each read.
struct Pieces(Vec<Result<Vec<u8>, ErrorKind>>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.is_empty() {
            true => Ok(0),
            false => {
                let piece = self.0.remove(0).map_err(Error::from)?;
                into[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
        }
    }
}

#[test]
fn a_host_that_blocks_has_the_body_read_piece_by_piece_and_the_bytes_back() {
    let desk = tight();
    let [(_, first), (_, second)] = [(); 2].map(|()| desk.challenge());
    let mut held = b"something else".to_vec();
    let read = |result: &WorkResult, pieces: Vec<Result<Vec<u8>, ErrorKind>>, held: &mut Vec<u8>| {
        needs(&desk, result).read(&mut Pieces(pieces), held).wait()
    };
    let text = body(&first, LIMIT);
    let pieces = |text: &[u8]| text.chunks(5_000).map(|piece| Ok(piece.to_vec())).collect::<Vec<_>>();
    let mut interrupted = pieces(&text);
    interrupted.insert(1, Err(ErrorKind::Interrupted));
    assert!(accepted(read(&first, interrupted, &mut held)).is_some());
    assert_eq!(held, text);
    let mut broken = pieces(&body(&second, LIMIT));
    broken.insert(2, Err(ErrorKind::ConnectionReset));
    refused(read(&second, broken, &mut held), "malformed");
    refused(read(&second, pieces(&body(&second, LIMIT + 1)), &mut held), "too_large");
    assert!(held.len() <= LIMIT);
    let (_, third) = desk.challenge();
    let other = needs(&desk, &third);
    once_more(&refused(read(&second, pieces(&body(&second, LIMIT)), &mut held), "try_again"), &second);
    drop(other);
    // One that says what it is after the other has stopped asking is read again.
    assert!(accepted(read(&second, pieces(&body(&second, LIMIT)), &mut held)).is_some());
}

/// Hands out a KiB with each read, and takes its time.
struct Slow;

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        into[..1 << 10].fill(b' ');
        Ok(1 << 10)
    }
}

#[test]
fn a_body_that_comes_in_small_pieces_for_too_long_is_given_up() {
    let desk = Desk::with(|config| config.body_timeout(Duration::from_millis(10)).body_limit_bytes(LIMIT));
    desk.use_up();
    let (_, result) = desk.challenge();
    let refusal = refused(needs(&desk, &result).read(&mut Slow, &mut Vec::new()).wait(), "malformed");
    assert!(String::from_utf8_lossy(&refusal.body).contains("within 10 ms"));
}
