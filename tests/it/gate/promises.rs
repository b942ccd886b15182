//! What this implementation promises where the one before it, in TypeScript, failed: each promise by name, shown through
//! the gate as a client meets it.

use std::time::Duration;

use crate::support::desk::{ADDRESS, Desk, accepted, facts, ingest, passed, refused, solved, unit_in};
use crate::support::work::solve;
use crate::support::work::spoiled;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::gate::ResultText;
use pouw::internal::store::sim::Loss;
use pouw::merkle::{Shape, root};
use pouw::protocol::{DifficultyTier, MicroJoules, WorkResult, WorkUnit};
use pouw::{Decision, GateConfigBuilder, IssueRequest, Receipt, TreeState};

fn json(result: &WorkResult) -> Option<ResultText> {
    Some(ResultText::Json(result.to_json().into_bytes()))
}

#[test]
fn the_unit_is_the_one_in_the_token_and_never_one_named_by_the_body() {
    let desk = Desk::new();
    desk.use_up();
    let (cheap, valuable) = (desk.challenge(), desk.challenge());
    // The right answer to one unit under the token of another, and the other way round.
    for ((_, result), (unit, right)) in [(&cheap, &valuable), (&valuable, &cheap)] {
        refused(desk.present(ADDRESS, &unit.challenge_token, json(result)), "malformed");
        // Without naming a unit it is just an answer to the token's own, and a wrong one if the work differs.
        let bare =
            WorkResult { work_unit_id: unit.id, challenge_token: unit.challenge_token.clone(), ..result.clone() };
        assert_ne!(bare.result_hash, right.result_hash);
        assert!(accepted(desk.present(ADDRESS, &unit.challenge_token, json(&bare))).is_none());
    }
    assert_eq!((desk.engine.stats().ledger_entries, desk.gate.stats().completed), (0, 0));
}

#[test]
fn a_harder_tier_asks_for_more_hashes_and_not_only_for_another_label() {
    let desk = Desk::new();
    desk.use_up();
    let mut asked = Vec::new();
    let mut reply = refused(desk.ask(), "work_required");
    for _ in DifficultyTier::ALL {
        let (unit, result) = solved(&reply);
        assert_eq!(unit.leaf_lengths.len().max(1), result.leaf_hashes.len().max(1));
        asked.push((unit.difficulty, unit.node_count));
        reply = refused(desk.answer(&spoiled(&result)), "wrong_result");
    }
    assert_eq!(asked.iter().map(|(tier, _)| *tier).collect::<Vec<_>>(), DifficultyTier::ALL);
    let [low, medium, high] = [0, 1, 2].map(|at: usize| asked[at].1);
    assert!(low == 1 && (7..=15).contains(&medium) && (31..=63).contains(&high), "{asked:?}");
}

/// Over the limit again and again, until nothing is left to do.
fn work_until_done(desk: &Desk, name: &str) -> u64 {
    let mut credit = 0;
    for _ in 0..10_000 {
        if desk.engine.tree(name).unwrap().state == TreeState::Complete {
            return credit;
        }
        desk.engine.upkeep().unwrap();
        let Decision::Refuse(refusal) = desk.ask() else { panic!("it is over the limit") };
        let Some(unit) = unit_in(&refusal).filter(|unit| !unit.synthetic) else { continue };
        let result = solve(&unit);
        credit += accepted(desk.answer(&result)).unwrap().accepted.unwrap().award.0;
    }
    panic!("the tree is not complete");
}

#[test]
fn trees_are_completed_by_the_clients_of_the_gate_and_have_the_right_root() {
    let desk = Desk::with(|config| config.paid_admissions_per_window(1_000_000));
    desk.engine.forget("tree").unwrap();
    let bytes = ingest(&desk.engine, "small", 75);
    desk.use_up();
    let credit = work_until_done(&desk, "small");
    let leaves: Vec<Checksum> = bytes.chunks(512).map(sha3_512).collect();
    assert_eq!(desk.engine.root("small").unwrap(), root(&leaves).unwrap());
    let mut exported = Vec::new();
    desk.engine
        .export_leaves("small", &mut |leaf| {
            exported.push(*leaf);
            Ok(())
        })
        .unwrap();
    assert_eq!(exported, leaves);
    // And a client can see that its work is part of it.
    let entry = desk.engine.ledger(0, 1).unwrap().remove(0);
    let found = desk.engine.proof_of(&entry).unwrap().unwrap();
    let shape = Shape::new(75).unwrap();
    found.proof.verify(shape, found.leaf, &leaves[found.leaf.0 as usize], &found.commitment.root).unwrap();
    assert_eq!(desk.engine.balance(&facts(ADDRESS).client.to_bytes()).unwrap(), MicroJoules(credit));
}

/// Leaves of everything that can be handed out now.
fn hand_out(desk: &Desk) -> usize {
    let mut leaves = 0;
    loop {
        desk.engine.refill().unwrap();
        let Ok(issued) = desk.engine.issue(&IssueRequest::new(b"somebody", DifficultyTier::High)) else {
            return leaves;
        };
        leaves += issued.unit.input_data.len() / 512;
    }
}

#[test]
fn work_that_is_abandoned_answered_wrongly_or_lost_in_a_crash_comes_back() {
    let mut desk = Desk::new();
    let pending = desk.engine.stats().totals.pending;
    assert_eq!(pending, 640);
    desk.use_up();
    // One is left lying, one answered wrongly, one is out when the power fails.
    let (abandoned, _) = desk.challenge();
    desk.clock.advance(Duration::from_millis(60_001));
    desk.engine.sweep().unwrap();
    let (_, result) = desk.challenge();
    let (harder, _) = solved(&refused(desk.answer(&spoiled(&result)), "wrong_result"));
    assert_eq!(desk.engine.receipt(abandoned.id).unwrap(), Receipt::Unknown);
    // All of it is there to be handed out, every leaf once, but for what is out.
    assert_eq!(hand_out(&desk) + harder.input_data.len() / 512, 640);
    desk.engine.close();
    desk.disk.crash(Loss::Everything);
    desk.restart();
    assert_eq!((hand_out(&desk), desk.engine.stats().totals.pending), (640, pending));
}

#[test]
fn credit_is_for_the_hashes_a_unit_asked_for_and_not_forty_for_one() {
    let desk = Desk::new();
    desk.engine.forget("tree").unwrap();
    // All that is left is one leaf, for a client that has earned itself the highest tier.
    ingest(&desk.engine, "one", 1);
    desk.use_up();
    let client = facts(ADDRESS).client.to_bytes();
    (0..4).for_each(|_| for_gate(&desk.engine).note_violation(&client));
    let (unit, result) = desk.challenge();
    assert_eq!((unit.difficulty, unit.node_count), (DifficultyTier::High, 1));
    let award = accepted(desk.answer(&result)).unwrap().accepted.unwrap().award;
    assert_eq!((award, desk.gate.stats().hashes), (MicroJoules(100), 1));
    assert_eq!(desk.engine.balance(&client).unwrap(), MicroJoules(100));
}

#[test]
fn no_map_grows_without_bound_whoever_comes() {
    let few = |config: GateConfigBuilder| config.tracked_clients_max(1_000).bytes_in_flight(1 << 20);
    let desk = Desk::with(few);
    let mut after = Vec::new();
    for round in 0..12u32 {
        for at in 0..2_000 {
            let number = round * 2_000 + at;
            let address = format!("10.{}.{}.7", number >> 8, number & 255);
            drop(desk.ask_from(&address));
            drop(desk.ask_from(&address));
            drop(desk.present(&address, &"A".repeat(400), None));
        }
        let stats = desk.gate.stats();
        assert!(stats.clients <= 1_000 && stats.accounts <= 1_000, "{stats:?}");
        assert_eq!((stats.bytes_in_flight, stats.bytes_buffered, stats.waiting_answers), (0, 0, 0));
        let engine = desk.engine.stats();
        assert!(engine.leases <= 100_000, "{engine:?}");
        after.push(stats.memory_bytes);
    }
    assert!(after[11] <= after[3] + after[3] / 20, "{after:?}");
}

#[test]
fn a_restart_loses_nothing_but_windows() {
    let mut desk = Desk::new();
    let client = facts(ADDRESS).client.to_bytes();
    desk.use_up();
    let (used, used_result) = desk.challenge();
    assert!(accepted(desk.answer(&used_result)).is_some());
    let (_, wrong_result) = desk.challenge();
    let (open, open_result) = solved(&refused(desk.answer(&spoiled(&wrong_result)), "wrong_result"));
    let before = (desk.engine.balance(&client).unwrap(), for_gate(&desk.engine).standing(&client).tier);
    let work = |desk: &Desk| {
        let totals = desk.engine.stats().totals;
        (totals.trees, totals.pending, totals.leaves, totals.nodes, totals.awarded)
    };
    let work_before = work(&desk);
    assert!(before.0 > MicroJoules(0) && before.1 > DifficultyTier::Low);
    desk.restart();
    assert_eq!((desk.engine.balance(&client).unwrap(), for_gate(&desk.engine).standing(&client).tier), before);
    assert_eq!(work(&desk), work_before);
    assert!(matches!(desk.engine.receipt(used.id).unwrap(), Receipt::Accepted(_)));
    refused(desk.answer(&used_result), "token_replayed");
    refused(desk.answer(&wrong_result), "token_replayed");
    assert!(accepted(desk.answer(&open_result)).is_some(), "what was out goes on: {}", open.id);
    // Those two took the one slot of the new window.
    assert!(matches!(desk.ask(), Decision::Refuse(refusal) if refusal.status == 429));
    // A window is in memory: another restart gives a fresh one, and nothing else.
    desk.restart();
    assert!(passed(desk.ask()).accepted.is_none());
    refused(desk.answer(&open_result), "token_replayed");
    assert_eq!(desk.engine.stats().ledger_entries, 2);
}

#[test]
fn a_unit_says_nothing_about_its_tree_name_its_client_or_its_answer() {
    let desk = Desk::new();
    desk.use_up();
    let refusal = refused(desk.ask(), "work_required");
    let (unit, result) = solved(&refusal);
    let body = String::from_utf8(refusal.body.clone()).unwrap();
    let without_data = body.replace(&data_encoding::BASE64.encode(&unit.input_data), "");
    for secret in ["\"tree\"", ADDRESS, &result.result_hash.to_string()] {
        assert!(!without_data.contains(secret), "{secret} in {without_data}");
    }
    let same: WorkUnit = unit_in(&refusal).unwrap();
    assert_eq!(same, unit);
}
