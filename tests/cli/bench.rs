//! `cargo bench --bench paper` measures what it says it measures: every count adds up, and the file has the printed
//! tables. How long anything took is not checked here.

use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use crate::paper;
use crate::support::cli;
use crate::support::cli::Sandbox;
use serde_json::Value;

/// How a run of the bench ended, and its output.
struct Ended {
    code: ExitCode,
    stdout: String,
    stderr: String,
}

/// Runs the bench in this process. Arguments are separated by spaces; `--dir` and `-o` are below the sandbox.
fn run(sandbox: &Sandbox, arguments: &str) -> Ended {
    let mut arguments: Vec<OsString> = format!("paper {arguments}").split_whitespace().map(OsString::from).collect();
    for at in 1..arguments.len() {
        if ["--dir", "-o"].iter().any(|option| arguments[at - 1] == *option) {
            let path = sandbox.path(arguments[at].to_str().unwrap());
            arguments[at] = path.into();
        }
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = paper::run(arguments, &mut stdout, &mut stderr);
    Ended { code, stdout: cli::text(&stdout), stderr: cli::text(&stderr) }
}

/// Runs it to a good end and returns its JSON document.
fn json(sandbox: &Sandbox, arguments: &str) -> Value {
    let Ended { code, stdout, stderr } = run(sandbox, &format!("{arguments} --json"));
    assert_eq!(code, ExitCode::SUCCESS, "{arguments}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{arguments} printed no JSON document: {e}\n{stdout}"))
}

/// Runs it to a bad end; stderr contains all of `says`.
fn refused(sandbox: &Sandbox, code: u8, arguments: &str, says: &[&str]) {
    let ended = run(sandbox, arguments);
    let Ended { stdout, stderr, .. } = &ended;
    assert_eq!((ended.code, stdout.as_str()), (ExitCode::from(code), ""), "{arguments}: {stderr}");
    assert!(stderr.starts_with("paper: "), "{arguments}: {stderr}");
    for word in says {
        assert!(stderr.contains(word), "{arguments} does not say {word:?}: {stderr}");
    }
}

fn rows<'d>(document: &'d Value, section: &str) -> &'d Vec<Value> {
    document[section].as_array().unwrap_or_else(|| panic!("no rows in {section}: {document}"))
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {row}"))
}

/// The times of a row are in order, and are positive.
fn expect_times(row: &Value) {
    let [p50, p99, max] = ["p50Us", "p99Us", "maxUs"].map(|name| number(row, name));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{row}");
}

/// Hashes in a unit: one leaf, or 32 leaves and the 31 nodes above them.
fn hashes_of(row: &Value) -> f64 {
    match row["tier"].as_str() {
        Some("low") => 1.0,
        Some("high") => 63.0,
        _ => panic!("a tier: {row}"),
    }
}

#[test]
fn a_quick_run_measures_every_section_and_every_count_adds_up() {
    let sandbox = Sandbox::new();
    let document = json(&sandbox, "--quick --dir . -o pouw-bench.md");
    assert_eq!((&document["findings"], &document["quick"]), (&serde_json::json!([]), &true.into()));
    assert_eq!(document["machine"]["version"], env!("CARGO_PKG_VERSION"));
    for name in ["cores", "diskSyncUs", "diskSyncAfterUs"] {
        assert!(number(&document["machine"], name) > 0.0, "{name}");
    }

    let verification = rows(&document, "verification");
    for row in verification {
        expect_times(row);
        let answers = if row["tier"] == "low" { 100.0 } else { 25.0 };
        assert_eq!((number(row, "answers"), number(row, "accepted")), (answers, answers), "{row}");
        assert_eq!(number(row, "hashes"), answers * hashes_of(row), "{row}");
        assert!(number(row, "overTarget") <= answers, "{row}");
    }
    let kinds: Vec<_> = verification.iter().map(|row| (&row["tier"], &row["path"], &row["atOnce"])).collect();
    let expected = ["low", "high"].map(Value::from);
    let paths = [("gate", 1), ("gate", 64), ("judged", 1)].map(|(path, many)| (Value::from(path), Value::from(many)));
    let expected = expected.iter().flat_map(|tier| paths.iter().map(move |(path, many)| (tier, path, many)));
    assert_eq!(kinds, expected.collect::<Vec<_>>());

    let throughput = rows(&document, "throughput");
    for row in throughput {
        expect_times(row);
        let answers = number(row, "answers");
        assert_eq!(number(row, "accepted"), answers, "{row}");
        assert_eq!(number(row, "hashes"), answers * hashes_of(row), "{row}");
        assert_eq!(number(row, "hashesAsked"), number(row, "hashes"), "{row}");
        // The engine's own sweep commits once a second.
        let sweeps = number(row, "seconds").ceil();
        assert!((1.0..=answers + sweeps).contains(&number(row, "commits")), "{row}");
        assert!(number(row, "hashesPerSecond") > 0.0, "{row}");
    }
    let sets: Vec<_> = throughput.iter().map(|row| (row["tier"].as_str().unwrap(), number(row, "clients"))).collect();
    assert_eq!(sets, [("low", 1.0), ("low", 4.0), ("low", 16.0), ("high", 1.0), ("high", 4.0), ("high", 16.0)]);
    expect_overhead(&document["overhead"]);
    assert!(sandbox.path("pouw-bench.md").is_file());
    assert_eq!(fs::read_dir(sandbox.path(".")).unwrap().count(), 1, "the stores are gone");
}

fn expect_overhead(overhead: &Value) {
    // Three rounds and one that does not count, each with 25 answers one by one and 25 at once.
    assert_eq!((number(overhead, "answers"), number(overhead, "accepted")), (200.0, 200.0));
    let cases = rows(overhead, "cases");
    for row in cases {
        expect_times(row);
        assert!(number(row, "cpuUs") > 0.0, "{row}");
        let compared =
            row["name"].as_str().is_some_and(|name| name.starts_with("gate") || name.starts_with("the same"));
        assert_eq!(row["cpuRatio"].is_number(), compared, "{row}");
    }
    let requests: Vec<_> = cases.iter().map(|row| number(row, "requests")).collect();
    assert_eq!(requests, [1000.0, 1000.0, 1000.0, 1000.0, 1000.0, 50.0, 25.0, 25.0]);
    let memory = rows(overhead, "memory");
    assert_eq!(memory.len(), 5);
    for row in memory.iter().filter(|row| row["limiter"] != "plain limiter") {
        assert_eq!(row["tracked"], row["clients"], "{row}");
        assert!(number(row, "heldBytesPerClient") > 0.0, "{row}");
    }
}

#[test]
fn the_file_has_what_was_printed_and_only_the_sections_asked_for() {
    let sandbox = Sandbox::new();
    let arguments = "--quick --only 9.2 --clients 2,3 --answers 20 -o own.md --dir .";
    let Ended { code, stdout: printed, stderr: said } = run(&sandbox, arguments);
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    assert!(said.contains(&format!("the tables are in {}", sandbox.path("own.md").display())), "{said}");
    assert_eq!(fs::read_to_string(sandbox.path("own.md")).unwrap(), printed);
    assert!(printed.contains("## 9.2") && !printed.contains("## 9.1") && !printed.contains("## 9.4"), "{printed}");
    assert!(printed.contains("A quick run"), "{printed}");
    for row in ["| low  |       2 |      20 |", "| high |       3 |       5 |"] {
        assert!(printed.contains(row), "no {row} in {printed}");
    }

    let document = json(&sandbox, "--quick --only 9.1 --answers 8 -o own.md --dir .");
    let sections = ["verification", "throughput", "overhead"].map(|section| document.get(section).is_some());
    assert_eq!(sections, [true, false, false]);
    assert_eq!(number(&rows(&document, "verification")[0], "accepted"), 8.0);
    assert!(fs::read_to_string(sandbox.path("own.md")).unwrap().contains("## 9.1"), "the file is replaced");
}

#[test]
fn options_that_cannot_be_meant_are_refused_before_anything_is_measured() {
    let sandbox = Sandbox::new();
    sandbox.write("a-file", "");
    for (arguments, says) in [
        ("--answers 0", "--answers"),
        ("--answers 100001", "1..=100000"),
        ("--clients 0", "--clients"),
        ("--clients 1,2000", "1..=1024"),
        ("--clients 4,,8", "--clients"),
        ("--clients 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most 16"),
        ("--rounds 0", "--rounds"),
        ("--only 9.3", "9.1, 9.2, 9.4"),
        ("--only all", "--only"),
        ("elsewhere", "elsewhere"),
    ] {
        refused(&sandbox, 2, &format!("--quick {arguments}"), &[says]);
    }
    for (arguments, says) in [
        ("--dir nowhere", ["--dir", "nowhere is not a directory"]),
        ("--dir a-file", ["--dir", "a-file is not a directory"]),
        ("-o .", ["-o", "name a file"]),
        ("-o nowhere/bench.md", ["-o", "nowhere is not a directory"]),
    ] {
        refused(&sandbox, 1, &format!("--quick {arguments}"), &says);
    }
    let left: Vec<_> = fs::read_dir(sandbox.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a-file"]);
}
