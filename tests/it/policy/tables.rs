//! The state machines of `src/policy` against the text tables in `tests/data/policy`. The tables read as the
//! specification: a rule in prose, then commands, and below each what comes of it.
//!
//! `REWRITE=1 cargo test --all-features --test it policy::tables` writes what comes out into the tables; read the difference before you
//! keep it. Times are milliseconds, or have the unit `s` or `min`.

use std::collections::BTreeMap;
use std::num::ParseIntError;
use std::str::FromStr;

use datadriven::{DataDrivenError, TestCase, walk};
use pouw::Quota;
use pouw::internal::policy::alert::Failures;
use pouw::internal::policy::breaker::{Ask, Breaker, Transition};
use pouw::internal::policy::budget::ByteBudget;
use pouw::internal::policy::calibration::{Calibration, Observation, SizeRules};
use pouw::internal::policy::difficulty::{DifficultyRules, Standing};
use pouw::internal::policy::lease::{Claim, Lease, LeaseTable, Pin};
use pouw::internal::policy::reputation::{Effective, effective};
use pouw::internal::policy::window::{AdmissionLog, WindowRules};
use pouw::merkle::{AlignedRange, Shape};
use pouw::protocol::{DifficultyTier, WorkId};

type Outcome = Result<String, DataDrivenError>;

/// Runs every case of one table on one machine, in order.
fn run<M: Default>(table: &str, step: fn(&mut M, &mut TestCase) -> Outcome) {
    let mut cases = 0;
    walk(&format!("tests/data/policy/{table}.txt"), |file| {
        let mut machine = M::default();
        file.run(|case| {
            cases += 1;
            let outcome = step(&mut machine, case)?;
            case.expect_empty()?;
            Ok::<_, DataDrivenError>(outcome)
        });
    });
    assert!(cases > 3, "{table}.txt has {cases} cases");
}

#[test]
fn the_sliding_window_does_what_its_table_says() {
    run("window", window);
}

#[test]
fn difficulty_and_reputation_do_what_their_table_says() {
    run("difficulty", difficulty);
}

#[test]
fn the_circuit_breaker_does_what_its_table_says() {
    run("breaker", breaker);
}

#[test]
fn the_security_alert_does_what_its_table_says() {
    run("alert", alert);
}

#[test]
fn the_byte_budget_does_what_its_table_says() {
    run("budget", budget);
}

#[test]
fn calibration_does_what_its_table_says() {
    run("calibration", calibration);
}

#[test]
fn leases_do_what_their_table_says() {
    run("lease", lease);
}

/// Milliseconds.
struct Ms(u64);

impl FromStr for Ms {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let units = [("min", 60_000), ("ms", 1), ("s", 1_000), ("", 1)];
        let unit = units.into_iter().find_map(|(unit, ms)| text.strip_suffix(unit).map(|number| (number, ms)));
        let (number, ms) = unit.unwrap_or((text, 1));
        Ok(Self(number.parse::<u64>()? * ms))
    }
}

/// One line of output for each of the times in `at`.
fn each_time(case: &mut TestCase, mut line: impl FnMut(u64) -> String) -> Outcome {
    let times: Vec<Ms> = case.take_args("at")?;
    Ok(times.into_iter().map(|Ms(at)| format!("{at:>7} {}\n", line(at))).collect())
}

fn unknown(case: &TestCase) -> DataDrivenError {
    DataDrivenError::Parse(format!("no command {}", case.directive))
}

fn rules_of(case: &mut TestCase) -> Result<Option<WindowRules>, DataDrivenError> {
    Ok(WindowRules::new(case.take_arg("limit")?, case.take_arg::<Ms>("window")?.0))
}

/// Logs by name, under the rules of the last `rules`.
type Windows = Option<(WindowRules, BTreeMap<String, AdmissionLog>)>;

fn window(machine: &mut Windows, case: &mut TestCase) -> Outcome {
    if case.directive == "rules" {
        *machine = rules_of(case)?.map(|rules| (rules, BTreeMap::new()));
        return Ok(machine.as_ref().map_or("no such rules\n".into(), |(rules, _)| {
            format!("{} in {} ms, in ticks of {} ms\n", rules.limit(), rules.window_ms(), rules.tick_ms())
        }));
    }
    let (rules, logs) = machine.as_mut().ok_or_else(|| unknown(case))?;
    let (rules, name) = (*rules, case.try_take_arg("log")?.unwrap_or_else(|| String::from("a")));
    let quota = |quota: Quota| format!("{} left, {} ms to a free slot", quota.remaining, quota.reset_ms);
    match case.directive.as_str() {
        "admit" => {
            let (times, log) = (case.try_take_arg("times")?.unwrap_or(1), logs.entry(name).or_default());
            each_time(case, |at| {
                let mut last = log.look(&rules, at);
                let admitted = (0..times).filter(|_| {
                    let admitted;
                    (admitted, last) = log.admit(&rules, at);
                    admitted
                });
                match (admitted.count(), times) {
                    (1, 1) => format!("admitted, {}", quota(last)),
                    (0, 1) => format!("refused,  {}", quota(last)),
                    (some, all) => format!("{some} of {all} admitted, {}", quota(last)),
                }
            })
        }
        "look" => each_time(case, |at| quota(logs.entry(name.clone()).or_default().look(&rules, at))),
        "absorb" => {
            let other = logs.remove(&case.take_arg::<String>("from")?).unwrap_or_default();
            let at = case.take_arg::<Ms>("at")?.0;
            let log = logs.entry(name).or_default();
            log.absorb(other, &rules, at);
            Ok(format!("{at:>7} {}\n", quota(log.look(&rules, at))))
        }
        "state" => each_time(case, |at| {
            let log = logs.entry(name.clone()).or_default();
            match (log.is_idle(&rules, at), log.is_full(&rules, at)) {
                (true, false) => "idle".into(),
                (false, true) => "at the limit".into(),
                (false, false) => "in use".into(),
                (true, true) => "idle and at the limit".into(),
            }
        }),
        "heap" => Ok(format!("{} bytes\n", logs.entry(name).or_default().heap_bytes())),
        _ => Err(unknown(case)),
    }
}

fn tier_of(case: &mut TestCase, name: &str) -> Result<DifficultyTier, DataDrivenError> {
    let text: String = case.take_arg(name)?;
    let found = DifficultyTier::ALL.into_iter().find(|tier| tier.as_str() == text);
    found.ok_or_else(|| DataDrivenError::Argument(format!("no tier {text}")))
}

/// The rules, and the standing of the one client.
type Client = (Option<DifficultyRules>, Standing);

fn difficulty((rules, client): &mut Client, case: &mut TestCase) -> Outcome {
    match case.directive.as_str() {
        "rules" => {
            let (default, cap) = (tier_of(case, "default")?, tier_of(case, "cap")?);
            let (escalation, cool_down): (Ms, Ms) = (case.take_arg("escalation")?, case.take_arg("cool-down")?);
            *rules =
                Some(DifficultyRules { default, cap, escalation_window_ms: escalation.0, cool_down_ms: cool_down.0 });
            return Ok(String::new());
        }
        "new-client" => {
            *client = Standing::default();
            return Ok(String::new());
        }
        "reputation" => return reputation(case),
        _ => {}
    }
    let rules = rules.ok_or_else(|| unknown(case))?;
    let step = match case.directive.as_str() {
        "violated" => Standing::violated,
        "wrong" => Standing::wrong,
        "completed" => Standing::completed,
        "look" => Standing::look,
        "forgettable" => {
            return each_time(case, |at| if client.is_default(&rules, at) { "yes" } else { "no" }.into());
        }
        _ => return Err(unknown(case)),
    };
    let keep = case.directive != "look";
    each_time(case, |at| {
        let after = step(client, &rules, at);
        if keep {
            *client = after;
        }
        format!("{}, {} of 2 violations", after.tier, after.violations)
    })
}

fn reputation(case: &mut TestCase) -> Outcome {
    let stored = tier_of(case, "stored")?;
    let (difficulty, exemption): (f64, f64) = (case.take_arg("difficulty")?, case.take_arg("exemption")?);
    let scores: Vec<String> = case.take_args("score")?;
    let line = |score: String| match effective(stored, score.parse().ok(), difficulty, exemption) {
        Effective::Tier(tier) => format!("{score:>7} {tier}\n"),
        Effective::Exempt => format!("{score:>7} no work\n"),
    };
    Ok(scores.into_iter().map(line).collect())
}

fn breaker(machine: &mut Option<Breaker>, case: &mut TestCase) -> Outcome {
    if case.directive == "breaker" {
        *machine = Some(Breaker::new(case.take_arg("threshold")?, case.take_arg::<Ms>("interval")?.0));
        return Ok(String::new());
    }
    let breaker = machine.as_mut().ok_or_else(|| unknown(case))?;
    let state = |breaker: &Breaker, change: Option<Transition>| {
        let change = match change {
            Some(Transition::Opened) => "OPENED: ",
            Some(Transition::Closed) => "CLOSED: ",
            None => "",
        };
        let now = if breaker.is_open() { "open" } else { "closed" };
        format!("{change}{now}, {} in a row", breaker.failures())
    };
    match case.directive.as_str() {
        "failure" => each_time(case, |at| {
            let change = breaker.failure(at);
            state(breaker, change)
        }),
        "success" => {
            breaker.success();
            Ok(state(breaker, None) + "\n")
        }
        "ask" => each_time(case, |at| match breaker.ask(at) {
            Ask::Closed => "go on".into(),
            Ask::Open { retry_ms } => format!("no, next probe in {retry_ms} ms"),
            Ask::Probe => "go on as the probe".into(),
        }),
        "probe-succeeded" => {
            let change = breaker.probe_succeeded();
            Ok(state(breaker, change) + "\n")
        }
        "probe-failed" => each_time(case, |at| {
            breaker.probe_failed(at);
            state(breaker, None)
        }),
        _ => Err(unknown(case)),
    }
}

fn alert(failures: &mut Failures, case: &mut TestCase) -> Outcome {
    match case.directive.as_str() {
        "failures" => {
            let (times, threshold): (u32, u32) = (case.take_arg("times")?, case.take_arg("threshold")?);
            let alerts = (0..times).filter_map(|_| failures.record(threshold));
            let alerts: String = alerts.map(|in_a_row| format!("ALERT: {in_a_row} in a row\n")).collect();
            Ok(if alerts.is_empty() { "quiet\n".into() } else { alerts })
        }
        "accepted" => {
            failures.clear();
            Ok(String::new())
        }
        _ => Err(unknown(case)),
    }
}

fn budget(machine: &mut Option<ByteBudget>, case: &mut TestCase) -> Outcome {
    if case.directive == "budget" {
        *machine = Some(ByteBudget::new(case.take_arg("bytes")?, case.take_arg::<Ms>("interval")?.0));
        return Ok(String::new());
    }
    let budget = machine.as_mut().ok_or_else(|| unknown(case))?;
    let bytes: Option<u64> = case.try_take_arg("bytes")?;
    let directive = case.directive.clone();
    each_time(case, |at| {
        let what = match (directive.as_str(), bytes) {
            ("take", Some(bytes)) => ["refused, ", "taken, "][usize::from(budget.take(at, bytes))],
            ("give-back", Some(bytes)) => {
                budget.give_back(at, bytes);
                ""
            }
            _ => "",
        };
        let full = if budget.is_full(at) { ", full" } else { "" };
        format!("{what}{} left{full}", budget.available(at))
    })
}

/// Answers of the medium tier.
fn calibration(machine: &mut Option<Calibration>, case: &mut TestCase) -> Outcome {
    let tier = DifficultyTier::Medium;
    if case.directive == "calibration" {
        let target: Option<Ms> = case.try_take_arg("target")?;
        let rules = SizeRules {
            target_ms: [None, target.map(|target| target.0), None],
            bytes_max: [case.take_arg("max")?; 3],
            bytes_min: case.take_arg("min")?,
            settle_ms: case.take_arg::<Ms>("settle")?.0,
        };
        *machine = Some(Calibration::new(Some(rules), 0));
        return Ok(String::new());
    }
    let calibration = machine.as_mut().ok_or_else(|| unknown(case))?;
    let bytes = |calibration: &Calibration, at| format!("{} bytes", calibration.unit_bytes(tier, at).unwrap_or(0));
    match case.directive.as_str() {
        // So many clients, each once at each time, so late beyond a floor of 4 s.
        "answers" => {
            let (first, clients): (u64, u64) = (case.try_take_arg("first")?.unwrap_or(0), case.take_arg("clients")?);
            let beyond: Ms = case.take_arg("beyond")?;
            each_time(case, |answered_ms| {
                let not_before_ms = answered_ms - beyond.0;
                for client in first..first + clients {
                    let issued_ms = not_before_ms.saturating_sub(4_000);
                    calibration.observe(&Observation { tier, client, issued_ms, not_before_ms, answered_ms });
                }
                bytes(calibration, answered_ms)
            })
        }
        "size" => each_time(case, |at| bytes(calibration, at)),
        "record" => {
            let seen = calibration.look(tier, 0);
            Ok(format!(
                "{} answers, median {} ms, p90 {} ms; beyond the floor {} ms, {} ms\n",
                seen.answers, seen.median_ms, seen.p90_ms, seen.beyond_median_ms, seen.beyond_p90_ms
            ))
        }
        _ => Err(unknown(case)),
    }
}

fn claim_of(case: &mut TestCase) -> Result<Claim, DataDrivenError> {
    if case.take_flag("synthetic")? {
        return Ok(Claim::Synthetic);
    }
    let tree = case.take_arg("tree")?;
    if let Some(level) = case.try_take_arg("level")? {
        return Ok(Claim::Interior { tree, level, index: case.take_arg("index")? });
    }
    let shape = Shape::new(75).map_err(|error| DataDrivenError::Argument(error.to_string()))?;
    let range = AlignedRange::new(shape, case.take_arg("first")?, case.take_arg("order")?);
    Ok(Claim::Leaves { tree, range: range.map_err(|error| DataDrivenError::Argument(error.to_string()))? })
}

fn lease(machine: &mut Option<LeaseTable>, case: &mut TestCase) -> Outcome {
    if case.directive == "table" {
        *machine = Some(LeaseTable::new(case.take_arg("bound")?));
        return Ok(String::new());
    }
    let table = machine.as_mut().ok_or_else(|| unknown(case))?;
    let number: Option<u8> = case.try_take_arg("id")?;
    let id = WorkId::from_parts(0, [number.unwrap_or(0); 10]);
    let outcome = match case.directive.as_str() {
        "lease" => {
            let (expires_ms, claim) = (case.take_arg::<Ms>("expires")?.0, claim_of(case)?);
            let made = table.insert(Lease { id, claim, expires_ms, pinned: false, refusals: 0 });
            made.map_or_else(|refusal| format!("refused: {refusal}"), |()| "made".into())
        }
        "pin" => match table.pin(id) {
            Pin::Pinned(_) => "pinned".into(),
            Pin::Busy => "busy".into(),
            Pin::Unknown => "unknown".into(),
        },
        "unpin" => format!("{} refusals", table.unpin(id, case.take_flag("refused")?)),
        "release" => if table.release(id).is_some() { "released" } else { "unknown" }.into(),
        "release-tree" => format!("{} released", table.release_tree(case.take_arg("tree")?).len()),
        "expire" => {
            let gone = table.expire(case.take_arg::<Ms>("at")?.0, case.take_arg("limit")?);
            format!("{} ended", gone.len())
        }
        "is-out" => if table.is_out(&claim_of(case)?) { "out" } else { "not out" }.into(),
        _ => return Err(unknown(case)),
    };
    Ok(format!("{outcome}; {} out\n", table.len()))
}
