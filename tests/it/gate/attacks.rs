//! The attack table of `src/docs/verification.md`: one test for each row, which asserts the sentence that stands there.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::desk::{
    ADDRESS, Desk, WINDOW_MS, accepted, facts, ingest, passed, plain, refused, solved, unit_in,
};
use crate::support::house::{START_MS, clock, config, on_disk};
use crate::support::work::solve;
use crate::support::work::spoiled;
use data_encoding::BASE64URL_NOPAD;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::gate::{self, Facts, Presented, ResultText};
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::fold;
use pouw::protocol::{
    ByTier, ChallengeToken, DifficultyTier, Keyring, MicroJoules, Reason, UnixMillis, WorkId, WorkResult, WorkUnit,
};
use pouw::{ClientKey, Decision, Gate, GateConfig, IssueRequest, PouwEngine, Refusal, Verdict};

/// A gate before an engine of its own making, with a limit of one request.
fn gate_before(engine: &PouwEngine) -> Gate {
    let config =
        GateConfig::builder().rate_limit(1).window(Duration::from_millis(WINDOW_MS)).paid_admissions_per_window(1_000);
    Gate::new(engine.clone(), config.build().unwrap()).unwrap()
}

fn decide(gate: &Gate, facts: Facts) -> Decision {
    gate::decide(gate, facts).wait()
}

/// A request of `address` with this answer.
fn answering(address: &str, result: &WorkResult) -> Facts {
    let compact = ResultText::Compact(result.to_compact());
    Facts { answer: Some(Presented { token: result.challenge_token.clone(), result: Some(compact) }), ..facts(address) }
}

/// Why it is refused; an admission is not refused.
fn reason(decision: &Decision) -> Option<Reason> {
    match decision {
        Decision::Refuse(refusal) => Some(refusal.reason),
        _ => None,
    }
}

/// Tree indices of everything that can be handed out now, one leaf at a time.
fn hand_out(engine: &PouwEngine) -> Vec<u64> {
    let mut leaves = Vec::new();
    loop {
        engine.refill().unwrap();
        match engine.issue(&IssueRequest::new(b"somebody else", DifficultyTier::Low)) {
            Ok(issued) => leaves.push(issued.unit.tree_index),
            Err(_) => return leaves,
        }
    }
}

#[test]
fn forgery_a_token_that_the_server_did_not_seal_is_worth_nothing_whatever_answer_comes_with_it() {
    let desk = Desk::new();
    desk.use_up();
    let (unit, result) = desk.challenge();
    let with = |token: String| desk.answer(&WorkResult { challenge_token: token, ..result.clone() });
    // Any byte changed: fields, key id, MAC.
    let sealed = BASE64URL_NOPAD.decode(unit.challenge_token.as_bytes()).unwrap();
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        let told = reason(&with(BASE64URL_NOPAD.encode(&bytes))).unwrap_or_else(|| panic!("byte {at} got in"));
        match at {
            // Another version is no token at all.
            0 => assert_eq!(told, Reason::Malformed),
            // Under an unknown key it is as if none had come: a challenge, as long as there are any.
            1..9 => assert!([Reason::TokenExpired, Reason::Budget].contains(&told), "byte {at}: {told:?}"),
            _ => assert_eq!(told, Reason::TokenInvalid, "byte {at}"),
        }
    }
    // Everything right but the secret: sealed by the attacker, and then with the server's key id before it.
    let known = Keyring::new(&[7; 32]).unwrap();
    let fields = ChallengeToken::open(&unit.challenge_token, &known, 60_000).unwrap();
    let longer = ChallengeToken { not_before: UnixMillis(0), ..fields };
    let own = longer.seal(&Keyring::new(&[8; 32]).unwrap());
    assert!(accepted(with(own.clone())).is_none());
    let mut dressed = BASE64URL_NOPAD.decode(own.as_bytes()).unwrap();
    dressed[1..9].copy_from_slice(&sealed[1..9]);
    refused(with(BASE64URL_NOPAD.encode(&dressed)), "token_invalid");
    // None of it touched the challenge that was tried on.
    assert_eq!((desk.gate.stats().completed, desk.engine.stats().ledger_entries), (0, 0));
    assert!(accepted(desk.answer(&result)).is_some());
}

#[test]
fn replay_an_answer_that_took_effect_never_takes_effect_again() {
    let mut desk = Desk::new();
    desk.use_up();
    let (_, result) = desk.challenge();
    assert!(accepted(desk.answer(&result)).is_some());
    let balance = || desk.engine.balance(&facts(ADDRESS).client.to_bytes()).unwrap();
    let paid = balance();
    assert!(paid > MicroJoules(0));
    // At once, eight at a time.
    std::thread::scope(|scope| {
        let once = || refused(desk.answer(&result), "token_replayed").status;
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(once)).collect();
        assert!(asking.into_iter().all(|thread| thread.join().unwrap() == 403));
    });
    assert_eq!((desk.gate.stats().completed, desk.engine.stats().ledger_entries, balance()), (1, 1, paid));
    // After a restart, with a fresh window and with a clock set back; and after its time.
    desk.restart();
    refused(desk.answer(&result), "token_replayed");
    desk.clock.step_wall_back(Duration::from_secs(3_600));
    refused(desk.answer(&result), "token_replayed");
    desk.clock.advance(Duration::from_millis(60_000));
    assert!(accepted(desk.answer(&result)).is_none());
    assert_eq!((desk.gate.stats().completed, desk.engine.stats().ledger_entries), (0, 1));
}

#[test]
fn sharing_anybody_may_compute_for_a_client_and_only_that_client_may_hand_it_in() {
    let desk = Desk::new();
    let helper = "198.51.100.9";
    desk.use_up();
    passed(desk.ask_from(helper));
    // The helper gets the whole unit, and sends back what it computed: that is all the server can see of it.
    let [first, second] = [(); 2].map(|()| unit_in(&refused(desk.ask(), "work_required")).unwrap());
    let helps = |unit: &WorkUnit| solve(unit);
    let helped = helps(&first);
    assert!(accepted(desk.answer(&helped)).is_some());
    let balance = |address: &str| desk.engine.balance(&facts(address).client.to_bytes()).unwrap();
    assert_eq!((balance(ADDRESS), balance(helper)), (MicroJoules(100), MicroJoules(0)));
    // In its own name the helper gets nothing for it: not under the client's token,
    let done = helps(&second);
    let own = refused(desk.answer_from(helper, &done), "client_mismatch");
    let user = Facts { client: ClientKey::User("helper".into()), ..answering(ADDRESS, &done) };
    assert!(passed(decide(&desk.gate, user.clone())).accepted.is_none(), "its own slot");
    refused(decide(&desk.gate, user), "client_mismatch");
    // and not under one of its own, which is for another unit.
    let (own, _) = solved(&own);
    assert_ne!(own.input_data, second.input_data[..512]);
    let result_hash = sha3_512(&second.input_data[..512]);
    let moved = WorkResult { work_unit_id: own.id, challenge_token: own.challenge_token, result_hash, ..helped };
    refused(desk.answer_from(helper, &moved), "wrong_result");
    assert_eq!((balance(helper), desk.engine.stats().ledger_entries), (MicroJoules(0), 1));
    // Whom it was issued to has lost nothing.
    assert!(accepted(desk.answer(&done)).is_some());
}

#[test]
fn precomputation_knowing_every_block_saves_the_hashing_and_neither_token_nor_floor_nor_a_second_challenge() {
    const FLOOR_MS: u64 = 1_500;
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config().floor(ByTier::all(Duration::from_millis(FLOOR_MS))));
    let blocks = ingest(&engine, "tree", 640);
    let gate = gate_before(&engine);
    // All of it is known before the first request.
    let known: HashMap<&[u8], Checksum> = blocks.chunks(512).map(|block| (block, sha3_512(block))).collect();
    let answer = |unit: &WorkUnit| {
        let leaves: Vec<Checksum> = unit.input_data.chunks(512).map(|block| known[block]).collect();
        WorkResult {
            work_unit_id: unit.id,
            result_hash: fold(&leaves, unit.fold_levels).unwrap(),
            leaf_hashes: if leaves.len() > 1 { leaves } else { Vec::new() },
            challenge_token: unit.challenge_token.clone(),
            compute_time_ms: 0,
            completed_at: unit.created_at,
        }
    };
    passed(decide(&gate, facts(ADDRESS)));
    // Without a token, and with one to a unit nobody issued: no admission.
    let id = WorkId::from_parts(START_MS, [9; 10]);
    let nothing = WorkResult {
        work_unit_id: id,
        result_hash: known[&blocks[..512]],
        leaf_hashes: Vec::new(),
        challenge_token: "A".repeat(262),
        compute_time_ms: 0,
        completed_at: UnixMillis(START_MS),
    };
    assert!(accepted(decide(&gate, answering(ADDRESS, &nothing))).is_none());
    // Every challenge that can be had at once is answered at once: too early, to the last millisecond.
    let challenge = |gate: &Gate| unit_in(&refused(decide(gate, facts(ADDRESS)), "work_required")).unwrap();
    let units: Vec<WorkUnit> = (0..4).map(|_| challenge(&gate)).collect();
    plain(decide(&gate, facts(ADDRESS)), "budget");
    for wait_ms in [FLOOR_MS - 1, 1] {
        for unit in &units {
            refused(decide(&gate, answering(ADDRESS, &answer(unit))), "too_early");
        }
        clock.advance(Duration::from_millis(wait_ms));
    }
    // Then each is good for one admission, and not for another one.
    for unit in &units {
        assert!(accepted(decide(&gate, answering(ADDRESS, &answer(unit)))).is_some());
        refused(decide(&gate, answering(ADDRESS, &answer(unit))), "token_replayed");
    }
    // Nor can they be laid in: one that is kept past its time is none.
    let kept = challenge(&gate);
    clock.advance(Duration::from_millis(60_000));
    assert!(accepted(decide(&gate, answering(ADDRESS, &answer(&kept)))).is_none());
    assert_eq!((gate.stats().completed, engine.stats().ledger_entries), (4, 4));
}

#[test]
fn fabrication_made_up_hashes_are_refused_with_a_strike_and_the_work_is_pending_again() {
    let desk = Desk::new();
    desk.use_up();
    let client = facts(ADDRESS).client.to_bytes();
    let made_up = |at: usize| sha3_512(format!("made up {at}").as_bytes());
    let mut reply = refused(desk.ask(), "work_required");
    let mut tiers = Vec::new();
    for round in 0..6 {
        desk.engine.refill().unwrap();
        let (unit, right) = solved(&reply);
        tiers.push(unit.difficulty);
        let leaves = right.leaf_hashes.len();
        let lie = match round {
            // One leaf of many, folded as it should be; then a top that its leaves do not fold to.
            3 => {
                let mut leaf_hashes = right.leaf_hashes.clone();
                leaf_hashes[leaves - 1] = made_up(round);
                let result_hash = fold(&leaf_hashes, unit.fold_levels).unwrap();
                WorkResult { result_hash, leaf_hashes, ..right }
            }
            4 => spoiled(&right),
            _ => WorkResult { result_hash: made_up(99), leaf_hashes: (0..leaves).map(made_up).collect(), ..right },
        };
        reply = refused(desk.answer(&lie), "wrong_result");
        refused(desk.answer(&lie), "token_replayed");
        assert_eq!(desk.engine.stats().leases, 1, "the work of the lie is not out any more, the next one is");
    }
    // The strike: harder work at once, and an alert.
    assert_eq!(tiers[..3], DifficultyTier::ALL);
    assert_eq!(for_gate(&desk.engine).standing(&client).tier, DifficultyTier::High);
    assert!(!desk.events_named("security-alert").is_empty());
    // Nothing was taken, paid or lost: every leaf can be handed out once, but for those that are out.
    let stats = desk.engine.stats();
    assert_eq!((stats.ledger_entries, stats.totals.pending, desk.gate.stats().completed), (0, 640, 0));
    assert_eq!(desk.engine.balance(&client).unwrap(), MicroJoules(0));
    let mut leaves = hand_out(&desk.engine);
    let (out, _) = solved(&reply);
    assert_eq!(leaves.len() + out.leaf_lengths.len(), 640);
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len() + out.leaf_lengths.len(), 640);
}

#[test]
fn rotation_new_keys_of_one_network_share_its_ceiling_its_bytes_and_its_windows() {
    let desk = Desk::with(|config| config.paid_admissions_per_prefix(8));
    // A /48 has 65 536 keys. 1 024 of them have a window of their own, the others one together.
    let key = |number: u32| format!("2001:db8:7:{number:x}::1");
    let free = (0..3_000).filter(|number| matches!(desk.ask_from(&key(*number)), Decision::Pass(_))).count();
    assert_eq!(free, 1_025);
    plain(desk.ask_from(&key(2_999)), "crowded");
    // Work admits as many as the network may have, whichever key asks.
    let pay = |number: u32| {
        let Decision::Refuse(refusal) = desk.ask_from(&key(number)) else { panic!("it is over the limit") };
        let unit = unit_in(&refusal)?;
        assert_eq!(unit.difficulty, DifficultyTier::Low, "a new key has no history");
        let result = solve(&unit);
        accepted(desk.answer_from(&key(number), &result))
    };
    assert_eq!((0..200).filter_map(pay).count(), 8);
    plain(desk.ask_from(&key(500)), "ceiling");
    // Another network has its own.
    passed(desk.ask());
    let (_, result) = desk.challenge();
    assert!(accepted(desk.answer(&result)).is_some());

    // The same of bytes: keys that only fetch data empty the budget of their network.
    let desk = Desk::with(|config| config.prefix_bytes_per_minute(64 << 10));
    let fetched: Vec<Decision> = (0..200)
        .map(|number| {
            passed(desk.ask_from(&key(number)));
            desk.ask_from(&key(number))
        })
        .collect();
    let sent = |decision: &Decision| match decision {
        Decision::Refuse(Refusal { reason: Reason::WorkRequired, body, .. }) => body.len(),
        decision => {
            assert_eq!(reason(decision), Some(Reason::Budget));
            0
        }
    };
    let bytes: usize = fetched.iter().map(sent).sum();
    assert!((32 << 10..=64 << 10).contains(&bytes), "{bytes} bytes");
    plain(desk.ask_from(&key(0)), "budget");
    desk.use_up();
    desk.challenge();
}

#[test]
fn flood_of_wrong_answers_each_uses_a_challenge_up_and_none_waits_for_the_writer() {
    let desk = Desk::new();
    desk.use_up();
    let (_, honest) = desk.challenge();
    // The writer is kept busy, so that whatever needs it waits.
    let ((at_work, works), (let_go, wait)) = (channel(), channel::<()>());
    for_gate(&desk.engine).touch_with(move |written| {
        at_work.send(written).unwrap();
        let _ = wait.recv();
    });
    works.recv().unwrap().unwrap();
    let commits = desk.engine.stats().commits;
    let judged = |result: &WorkResult| {
        let (told, verdict) = channel();
        match gate::decide(&desk.gate, answering(ADDRESS, result)) {
            Verdict::Judge(pending) => pending.then(move |decision| drop(told.send(decision))),
            other => panic!("{other:?}"),
        }
        verdict.recv_timeout(Duration::from_secs(30)).expect("it waits for the writer")
    };
    let (mut reply, mut lies) = (refused(desk.ask(), "work_required"), 0);
    while let Some(unit) = unit_in(&reply) {
        desk.engine.refill().unwrap();
        let (_, right) = solved(&reply);
        let lie = spoiled(&right);
        let Decision::Refuse(next) = judged(&lie) else { panic!("a lie was admitted") };
        // However often it is sent, it is looked at once.
        for _ in 0..4 {
            refused(judged(&lie), "token_replayed");
        }
        lies += 1;
        assert!(lies < 1_000, "{} more", unit.id);
        reply = next;
    }
    // It ends where the data of challenges ends that one client may be sent: at most one leaf of each was hashed.
    assert_eq!(reply.reason, Reason::Budget);
    let (stats, of_engine) = (desk.gate.stats(), desk.engine.stats());
    assert!(stats.bytes_sent <= 2 << 20, "{stats:?}");
    assert_eq!((lies, of_engine.commits), (<[u64; 3]>::from(stats.issued).iter().sum::<u64>() - 1, commits));
    assert_eq!(
        of_engine.refused_waiting as u64, lies,
        "noted in memory, to be written with a commit that comes anyway"
    );
    let_go.send(()).unwrap();
    assert!(accepted(desk.answer(&honest)).is_some());
}

#[test]
fn flood_of_open_challenges_at_the_bound_nothing_is_issued_and_nobody_loses_a_challenge() {
    let (disk, clock) = (SimDisk::new(), clock());
    let engine = on_disk(&disk, &clock, config().leases_max(4).synthetic_max(4));
    ingest(&engine, "tree", 640);
    let gate = gate_before(&engine);
    let address = |number: u8| format!("198.51.{number}.7");
    let over = |number: u8| {
        passed(decide(&gate, facts(&address(number))));
        decide(&gate, facts(&address(number)))
    };
    let held: Vec<WorkResult> = (0..4).map(|number| solved(&refused(over(number), "work_required")).1).collect();
    for number in 4..40 {
        plain(over(number), "crowded");
    }
    assert_eq!((engine.stats().leases, gate.stats().issued), (4, ByTier { low: 4, medium: 0, high: 0 }));
    for (number, result) in (0..).zip(&held) {
        assert!(accepted(decide(&gate, answering(&address(number), result))).is_some(), "{number}");
    }
    refused(decide(&gate, facts(&address(9))), "work_required");
}

#[test]
fn failing_storage_opens_the_breaker_and_leaves_a_plain_rate_limit() {
    let desk = Desk::with(|config| config.circuit_breaker_threshold(2).rate_limit(2));
    desk.use_up();
    desk.use_up();
    let results = [(); 2].map(|()| desk.challenge().1);
    desk.disk.set_full(true);
    results.iter().for_each(|result| desk.fail(result));
    for _ in 0..20 {
        let refusal = plain(desk.ask(), "degraded");
        assert!(refusal.headers.find("retry-after").is_some());
    }
    // Who is under the limit notices nothing, and is limited as before.
    let other = "203.0.113.9";
    passed(desk.ask_from(other));
    passed(desk.ask_from(other));
    plain(desk.ask_from(other), "degraded");
    // The work that was out is still good.
    desk.disk.set_full(false);
    results.iter().for_each(|result| assert!(desk.answer_until_stored(result).accepted.is_some()));
}
