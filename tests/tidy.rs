//! Reads the source of the package and fails where it leaves the rules of the house.
//!
//! Each rule is a function from a file to findings. It is applied to the real tree by one test, and
//! to a planted violation by another, so that a rule which finds nothing any more is noticed. A
//! small lexer keeps comments and literals apart from code; paths are followed through groups,
//! `self` and `super`. What a macro puts together from pieces is beyond it.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/rooms.rs"]
mod rooms;

/// Folders of `src` and their ranks; imports go to a lower rank, or to a pair of [`SIDEWAYS`].
const RANKS: [(&str, u8); 13] = [
    ("guard", 0),
    ("page", 0),
    ("hash", 0),
    ("merkle", 0),
    ("protocol", 0),
    ("policy", 1),
    ("solver", 1),
    ("client", 2),
    ("store", 2),
    ("engine", 3),
    ("gate", 4),
    ("adapters", 5),
    ("docs", 5),
];

/// Imports within one rank that are part of the plan.
const SIDEWAYS: [(&str, &str); 3] = [("merkle", "hash"), ("protocol", "hash"), ("protocol", "merkle")];

/// Most lines of a file of the product, its test modules not counted.
const FILE_LINES_MAX: usize = 400;

/// Most lines of a file of tests, benchmarks or fuzz targets.
const TEST_FILE_LINES_MAX: usize = 900;

/// Most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Something that breaks a rule: line number from 1, and what to do about it.
type Finding = (usize, String);

type Rule = fn(&File) -> Vec<Finding>;

#[test]
fn imports_only_point_down() {
    expect_clean(upward_imports);
}

#[test]
fn an_upward_import_is_found() {
    for planted in [
        "use crate::engine::Engine;",
        "use crate::{hash::Checksum, engine::{self, Engine}};",
        "fn f() { crate::store::open(); }",
        "use super::super::gate::Gate;",
        "use super::super::{hash, engine};",
        "mod inner { use super::super::super::engine::Engine; }",
        "use self::super::super::engine::Engine;",
        "use super::{super::engine::Engine, window};",
        "use pouw::engine::Engine;",
        "use crate::solver;",
        "use crate::*;",
        "use super::super::*;",
        "use crate as root;",
        "use crate::{self as root};",
        "use crate::Engine;",
        "macro_rules! m { () => { $crate::engine::f() } }",
        "#[cfg(test)]\nmod tests { use crate::engine::Engine; }",
    ] {
        expect_found(upward_imports, "src/policy/lease.rs", planted);
    }
    expect_found(upward_imports, "src/policy/mod.rs", "use super::engine;");
    expect_found(upward_imports, "src/policy.rs", "use super::{engine, hash};");
    expect_found(upward_imports, "src/merkle/mod.rs", "use crate::protocol::X;");
    expect_found(upward_imports, "src/hash/mod.rs", "use crate::merkle::X;");
    expect_found(upward_imports, "src/solver/mod.rs", "use crate::policy::X;");
    expect_found(upward_imports, "src/client/pay.rs", "use crate::store::X;");
    expect_found(upward_imports, "src/client/pay.rs", "use crate::gate::X;");
    expect_found(upward_imports, "src/helpers/mod.rs", "use core::fmt;");
}

#[test]
fn a_downward_or_planned_import_is_not_found() {
    for clean in [
        "use crate::{hash::Checksum, merkle, protocol::{self, token::*}};",
        "use super::{super::hash::Checksum, window};",
        "use super::super::hash;\nuse super::*;\nuse self::inner::X;",
        "mod tests { use super::*; mod deep { use super::super::X; } }",
        "pub(crate) fn f() { crate::policy::g::<u8>() }",
        "// crate::engine\n/* use crate::engine; */\nconst C: &str = \"crate::engine\";",
        "const R: &str = r#\"\"crate::engine\"#; const Q: char = '\"'; fn f<'a>(_: &'a u8) {}",
    ] {
        expect_none(upward_imports, "src/policy/lease.rs", clean);
    }
    expect_none(upward_imports, "src/protocol/mod.rs", "use crate::merkle::X;");
    expect_none(upward_imports, "src/adapters/tower.rs", "use crate::gate::X;");
    expect_none(upward_imports, "src/client/pay.rs", "use crate::{protocol, solver::Progress};");
    expect_none(upward_imports, "src/bin/pouw/main.rs", "use crate::ingest::X;");
    expect_none(upward_imports, "src/lib.rs", "pub use crate::engine::X;");
    expect_none(upward_imports, "tests/gate.rs", "use pouw::gate::X;");
}

#[test]
fn only_the_store_names_redb() {
    expect_clean(redb_outside_the_store);
}

#[test]
fn redb_outside_the_store_is_found() {
    let planted = "fn f(_: redb::Database) {}";
    for path in [
        "src/engine/mod.rs",
        "src/store/rules/settle.rs",
        "src/store/redbird.rs",
        "src/bin/pouw/main.rs",
        "src/lib.rs",
        "tests/it/engine/trust.rs",
        "examples/serve.rs",
        "fuzz/fuzz_targets/token.rs",
    ] {
        expect_found(redb_outside_the_store, path, planted);
    }
    for path in [
        "src/store/redb/tables.rs",
        "tests/it/store/damage.rs",
        "tests/it/support/store_plant.rs",
        "fuzz/fuzz_targets/store_ops.rs",
        "benches/store.rs",
    ] {
        expect_none(redb_outside_the_store, path, planted);
    }
    expect_found(redb_outside_the_store, "src/store/port.rs", "use ::redb::Database;");
    expect_none(redb_outside_the_store, "src/store/mod.rs", "mod redb;\npub use self::redb::open::Store;");
    let mentioned = "//! Not redb.\nconst NAME: &str = \"redb\";";
    expect_none(redb_outside_the_store, "src/engine/mod.rs", mentioned);
}

#[test]
fn the_list_of_parts_has_no_verbs() {
    expect_clean(verbs_of_the_list);
}

#[test]
fn a_verb_of_the_list_of_parts_is_found() {
    for planted in ["impl Core { fn f(&self) {} }", "impl<'a> super::core::Core { fn f(&self) {} }"] {
        expect_found(verbs_of_the_list, "src/engine/answers/submit.rs", planted);
    }
    let constructor = "impl Core { pub(super) fn new() -> Self { Self }  }";
    expect_none(verbs_of_the_list, "src/engine/core.rs", constructor);
    expect_found(verbs_of_the_list, "src/engine/core.rs", "impl Core { fn new() {} fn f(&self) {} }");
    let over =
        "fn f(core: &Core) {} impl CoreReader { fn f(&self) {} } impl Drop for Held<Core> { fn drop(&mut self) {} }";
    expect_none(verbs_of_the_list, "src/engine/answers/submit.rs", over);
}

#[test]
fn the_command_uses_the_public_interface_only() {
    expect_clean(internals_in_the_command);
}

#[test]
fn an_internal_part_in_the_command_is_found() {
    for planted in [
        "use pouw::internal::store::Store;",
        "use pouw::{Config, internal::engine::ingest::walk::Walk};",
        "fn f() { pouw::internal::engine::for_gate(&engine); }",
    ] {
        expect_found(internals_in_the_command, "src/bin/pouw/demo/audit.rs", planted);
        expect_none(internals_in_the_command, "tests/it/store/check.rs", planted);
    }
    let test = "#[cfg(test)]\nmod tests { use pouw::internal::store::sim::SimDisk; }";
    expect_none(internals_in_the_command, "src/bin/pouw/serve/pages.rs", test);
}

#[test]
fn no_file_is_too_long() {
    expect_clean(long_file);
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let longest = "//\n".repeat(FILE_LINES_MAX);
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    let code = "fn g() {}\n";
    expect_none(long_file, "src/hash/mod.rs", &format!("{longest}{tests}"));
    expect_found(long_file, "src/hash/mod.rs", &format!("{longest}{tests}{code}"));
    expect_found(long_file, "src/hash/mod.rs", &format!("{longest}{code}"));
    expect_found(long_file, "src/hash/mod.rs", &format!("{longest}{}", tests.replace("test)", "not(test))")));
    expect_found(long_file, "examples/a.rs", &format!("{longest}{code}"));

    let longest = "//\n".repeat(TEST_FILE_LINES_MAX);
    for path in ["tests/a.rs", "benches/a.rs", "fuzz/fuzz_targets/a.rs"] {
        expect_none(long_file, path, &longest);
        expect_found(long_file, path, &format!("{longest}{code}"));
    }
}

#[test]
fn no_function_is_too_long() {
    expect_clean(long_functions);
}

#[test]
fn a_function_that_is_too_long_is_found() {
    let function = |lines: usize| format!("{{\n{}}}\n", "    g();\n".repeat(lines - 2));
    for signature in [
        "fn f() ",
        "impl A { pub const fn f<const N: usize>(a: [u8; N]) -> [u8; 4]\nwhere A: B, ",
        "#[cfg(test)]\nmod tests { #[test] fn f() ",
    ] {
        let own = &signature[signature.find("fn ").expect("a function")..];
        let lines = FUNCTION_LINES_MAX + 1 - own.lines().count();
        let at_limit = format!("{signature}{}", function(lines));
        expect_none(long_functions, "src/hash/mod.rs", &at_limit);
        let beyond = format!("{signature}{}", function(lines + 1));
        expect_found(long_functions, "src/hash/mod.rs", &beyond);
        expect_found(long_functions, "tests/a.rs", &beyond);
    }
    let braces = format!("fn f() {{ '{{'; \"{{\"; /* {{ */ }}\n{}", "//\n".repeat(99));
    expect_none(long_functions, "src/hash/mod.rs", &braces);
    let no_body = format!("trait T {{ fn f(&self, g: fn(u8)); {} }}", "\n".repeat(99));
    expect_none(long_functions, "src/hash/mod.rs", &no_body);
}

#[test]
fn all_source_is_ascii() {
    expect_clean(not_ascii);
}

#[test]
fn a_letter_that_is_not_ascii_is_found() {
    expect_found(not_ascii, "src/hash/mod.rs", "// caf\u{e9}");
    expect_found(not_ascii, "tests/a.rs", "const A: &str = \"\u{2192}\";");
    expect_none(not_ascii, "src/hash/mod.rs", "const A: char = '\\u{e9}';\n\t");
}

#[test]
fn nothing_is_left_unfinished() {
    expect_clean(unfinished);
}

#[test]
fn an_unfinished_place_is_found() {
    for planted in [
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"later\") }",
        "fn f() { dbg!(1); }",
        "// FIXME: later",
        "/* a\n * XXX */",
        "/// FIXME\nfn f() {}",
    ] {
        expect_found(unfinished, "src/hash/mod.rs", planted);
        expect_found(unfinished, "tests/a.rs", planted);
    }
    let clean = "// XXXX is no mark, todo neither\nfn todo() {} const A: &str = \"dbg!() FIXME\";";
    expect_none(unfinished, "src/hash/mod.rs", clean);
}

#[test]
fn the_product_unwraps_nothing() {
    expect_clean(unwrapped);
}

#[test]
fn an_unwrap_in_the_product_is_found() {
    for planted in [
        "fn f() { a.unwrap(); }",
        "fn f() { a\n        .unwrap\n        (); }",
        "fn f() { a.map(Option::unwrap); }",
        "#[cfg(test)]\nmod tests {}\nfn f() { a.unwrap(); }",
        "#[cfg(not(test))]\nfn f() { a.unwrap(); }",
        "#[cfg(any(test, feature = \"testing\"))]\nfn f() { a.unwrap(); }",
    ] {
        expect_found(unwrapped, "src/hash/mod.rs", planted);
        expect_found(unwrapped, "src/bin/pouw/main.rs", planted);
        expect_none(unwrapped, "tests/a.rs", planted);
    }
    for clean in [
        "/// a.unwrap()\nfn f() { a.unwrap_or(1); \"a.unwrap()\"; }",
        "#[cfg(test)]\nmod tests { fn f() { a.unwrap(); } }",
        "#[cfg(test)]\n#[allow(x)]\nfn f(a: [u8; 3]) { a.unwrap(); }",
        "#[cfg(all(test, unix))]\nmod tests { fn f() { a.unwrap(); } }",
    ] {
        expect_none(unwrapped, "src/hash/mod.rs", clean);
    }
}

#[test]
fn no_test_sleeps() {
    expect_clean(sleeping_tests);
}

#[test]
fn a_sleep_in_a_test_is_found() {
    for planted in [
        "fn f() { std::thread::sleep(d); }",
        "use std::thread::{self, sleep};",
        "async fn f() { tokio::time::sleep(d).await; }",
    ] {
        expect_found(sleeping_tests, "tests/a.rs", planted);
        expect_none(sleeping_tests, "src/bin/pouw/serve.rs", planted);
        let module = format!("#[cfg(test)]\nmod tests {{ {planted} }}");
        expect_found(sleeping_tests, "src/hash/mod.rs", &module);
    }
}

#[test]
fn the_drawing_of_the_ranks_is_in_the_design_and_names_every_folder() {
    let design =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/design.md")).expect("it is there");
    let drawing: Vec<_> = design.lines().skip_while(|line| !line.starts_with("```")).skip(1).collect();
    let end = drawing.iter().position(|line| line.starts_with("```")).expect("the drawing ends");
    for (folder, rank) in RANKS.iter().filter(|(folder, _)| *folder != "docs") {
        let mut below = drawing[..end].iter().skip_while(|line| !line.contains(&format!("rank {rank}")));
        assert!(below.any(|line| line.contains(folder)), "src/docs/design.md does not draw {folder} at rank {rank}");
    }
}

#[test]
fn a_test_module_in_a_file_of_its_own_counts_as_a_test() {
    let texts = [
        ("src/hash/mod.rs", "mod lanes;\n#[cfg(test)]\nmod tests;\n"),
        ("src/hash/tests.rs", "fn f() { a.unwrap(); }"),
        ("src/hash/tests/deep.rs", "fn f() { a.unwrap(); }"),
        ("src/hash/lanes.rs", "#[cfg(test)]\nmod checks;\n"),
        ("src/hash/lanes/checks.rs", "fn f() { a.unwrap(); }"),
        ("src/hash/tests_of_others.rs", "fn f() { a.unwrap(); }"),
    ];
    let mut files: Vec<_> = texts.iter().map(|(path, text)| File::new(path, text)).collect();
    mark_test_files(&mut files);
    let tests: Vec<_> = files.iter().filter(|file| file.is_test).collect();
    let paths: Vec<_> = tests.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, [texts[1].0, texts[2].0, texts[4].0]);
    assert!(tests.iter().all(|file| unwrapped(file).is_empty()));
}

fn expect_clean(rule: Rule) {
    let findings: Vec<String> = tree()
        .iter()
        .flat_map(|file| {
            let findings = rule(file).into_iter();
            findings.map(|(line, what)| format!("{}:{line}: {what}", file.path))
        })
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn expect_found(rule: Rule, path: &str, planted: &str) {
    let findings = rule(&File::new(path, planted));
    assert!(!findings.is_empty(), "not found in {path}:\n{planted}");
}

fn expect_none(rule: Rule, path: &str, clean: &str) {
    let findings = rule(&File::new(path, clean));
    assert!(findings.is_empty(), "{findings:?} in {path}:\n{clean}");
}

/// Every Rust file of the package.
fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for area in ["src", "tests", "benches", "fuzz", "examples"] {
        collect(root, area, &mut files);
    }
    for expected in ["src/lib.rs", "tests/tidy.rs"] {
        let found = files.iter().any(|file| file.path == expected);
        assert!(found, "the search below {root:?} missed {expected}");
    }
    mark_test_files(&mut files);
    files
}

/// Reads the Rust files in and below `folder`, which need not exist.
fn collect(root: &Path, folder: &str, files: &mut Vec<File>) {
    let Ok(listing) = fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in listing {
        let entry = entry.expect("the folder can be listed");
        let name = entry.file_name().into_string().expect("names are ASCII");
        let path = format!("{folder}/{name}");
        if entry.file_type().expect("the kind is known").is_dir() {
            if path != "fuzz/target" {
                collect(root, &path, files);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("source is UTF-8");
            files.push(File::new(&path, &text));
        }
    }
}

/// Marks the files that a `#[cfg(test)] mod name;` of another file declares.
fn mark_test_files(files: &mut [File]) {
    let declared: Vec<String> = files.iter().flat_map(File::test_module_files).collect();
    for file in files {
        let path = file.path.trim_end_matches(".rs");
        file.is_test |= declared.iter().any(|module| {
            let below = path.strip_prefix(module.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
}

fn upward_imports(file: &File) -> Vec<Finding> {
    let Some(from) = file.folder() else {
        return Vec::new();
    };
    let Some(from_rank) = rank(from) else {
        return vec![(1, format!("{from} has no rank: give it one in tests/tidy.rs"))];
    };
    let judge = |(line, path): (usize, Vec<String>)| {
        let to = path.first().map_or("", String::as_str);
        let Some(to_rank) = rank(to) else {
            let shown = path.join("::");
            let what = format!("crate::{shown} hides its rank: name the folder it comes from");
            return Some((line, what));
        };
        let down = to_rank < from_rank || from == to || SIDEWAYS.contains(&(from, to));
        let what = format!("{from} (rank {from_rank}) must not import {to} (rank {to_rank})");
        (!down).then_some((line, what))
    };
    file.crate_paths().into_iter().filter_map(judge).collect()
}

fn redb_outside_the_store(file: &File) -> Vec<Finding> {
    let mut parts = file.path.split('/');
    let area = parts.next();
    let allowed = match area {
        Some("src") => file.path.starts_with("src/store/redb/"),
        Some("benches") => true,
        _ => parts.any(|part| part.trim_end_matches(".rs") == "store" || part.starts_with("store_")),
    };
    if allowed {
        return Vec::new();
    }
    let what = "only src/store/redb names redb: go through the store";
    // The store's own folder of that name is named behind another word.
    let own = file.path.starts_with("src/store/");
    let before = |at: usize, words: usize| at.checked_sub(words).map_or("", |at| file.tokens[at].text.as_str());
    let folder = |at: usize| match before(at, 1) {
        "mod" => true,
        "::" => ["self", "super", "store"].contains(&before(at, 2)),
        _ => false,
    };
    let named = |at: &usize| file.tokens[*at].text == "redb" && !(own && folder(*at));
    (0..file.tokens.len()).filter(named).map(|at| (file.tokens[at].line, what.to_owned())).collect()
}

/// Methods of `Core` beside its constructor.
fn verbs_of_the_list(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("src/engine/") {
        return Vec::new();
    }
    let of_list = |tokens: &[Token]| {
        let head = tokens.iter().take_while(|token| token.text != "{");
        tokens[0].text == "impl" && head.last().is_some_and(|last| last.text == "Core")
    };
    if file.path != "src/engine/core.rs" {
        return file.find(of_list, "`Core` is a list of parts: write a function over `&Core`");
    }
    let method = |tokens: &[Token]| tokens[0].text == "fn" && tokens.get(1).is_some_and(|name| name.text != "new");
    file.find(method, "the list of parts has a constructor and nothing else")
}

fn internals_in_the_command(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("src/bin/") {
        return Vec::new();
    }
    let what = "the command shows what a program of users can do: it uses the public interface";
    let inner = |tokens: &[Token]| tokens[0].text == "internal" && tokens.get(1).is_some_and(|next| next.text == "::");
    let found = file.find(inner, what).into_iter();
    found.filter(|(line, _)| !file.tests_cover(*line)).collect()
}

fn long_file(file: &File) -> Vec<Finding> {
    let all = file.text.lines().count();
    let (lines, max) = match file.area() {
        "src" if !file.is_test => (all - file.test_lines.iter().map(line_count).sum::<usize>(), FILE_LINES_MAX),
        "examples" => (all, FILE_LINES_MAX),
        _ => (all, TEST_FILE_LINES_MAX),
    };
    let what = format!("{lines} lines, at most {max} are allowed: split the file");
    (lines > max).then_some((all, what)).into_iter().collect()
}

fn long_functions(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        let rest = &file.tokens[at + 1..];
        let name = rest.iter().find(|token| token.text != "$");
        let Some(name) = name.filter(|name| token.text == "fn" && name.is_word()) else {
            continue;
        };
        let lines = item_end(rest).map_or(1, |end| rest[end].line - token.line + 1);
        if lines > FUNCTION_LINES_MAX {
            let what = format!("{} has {lines} lines, at most {FUNCTION_LINES_MAX} are allowed: split it", name.text);
            findings.push((token.line, what));
        }
    }
    findings
}

fn not_ascii(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.is_ascii())
        .map(|(at, _)| (at + 1, "not ASCII: write it as an escape".to_owned()))
        .collect()
}

fn unfinished(file: &File) -> Vec<Finding> {
    let macros = ["todo", "unimplemented", "dbg"];
    let called =
        |tokens: &[Token]| macros.contains(&tokens[0].text.as_str()) && tokens.get(1).is_some_and(|t| t.text == "!");
    let mut findings = file.find(called, "left unfinished: finish it");
    for (line, comment) in &file.comments {
        let mut words = comment.split(|c: char| !c.is_alphanumeric());
        if words.any(|word| ["FIXME", "XXX"].contains(&word)) {
            findings.push((*line, "left unfinished: finish it".to_owned()));
        }
    }
    findings
}

fn unwrapped(file: &File) -> Vec<Finding> {
    if file.area() != "src" {
        return Vec::new();
    }
    let called = |tokens: &[Token]| {
        [".", "::"].contains(&tokens[0].text.as_str()) && tokens.get(1).is_some_and(|t| t.text == "unwrap")
    };
    let mut findings = file.find(called, "return an error instead of calling unwrap");
    findings.retain(|(line, _)| !file.tests_cover(*line));
    findings
}

fn sleeping_tests(file: &File) -> Vec<Finding> {
    let what = "a test must not sleep: wait for the event, or move the fake clock";
    let mut findings = file.find(|tokens| ["sleep", "sleep_ms"].contains(&tokens[0].text.as_str()), what);
    findings.retain(|(line, _)| file.area() == "tests" || file.tests_cover(*line));
    findings
}

fn rank(folder: &str) -> Option<u8> {
    let known = RANKS.iter().find(|(name, _)| *name == folder);
    known.map(|(_, rank)| *rank)
}

fn line_count(lines: &RangeInclusive<usize>) -> usize {
    lines.end() - lines.start() + 1
}

/// A source file, read once for all rules.
struct File {
    /// Relative to the package, with `/` between the components.
    path: String,
    text: String,
    tokens: Vec<Token>,
    /// Line and text of each comment, one entry per line.
    comments: Vec<(usize, String)>,
    /// Items under `#[cfg(test)]`, first line to last line.
    test_lines: Vec<RangeInclusive<usize>>,
    /// Whether another file declares all of it as a test.
    is_test: bool,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let (tokens, comments) = Lexer::new(text).run();
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            test_lines: test_items(&tokens).map(|(lines, _)| lines).collect(),
            tokens,
            comments,
            is_test: false,
        }
    }

    fn area(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Folder of the layer; none for what is above all ranks, or no part of the library.
    fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let folder = inside.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "main", "bin"].contains(&folder)).then_some(folder)
    }

    /// Path of the module that this file is.
    fn module(&self) -> Vec<String> {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<_> = inside.split('/').map(str::to_owned).collect();
        parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        parts
    }

    /// Paths without `.rs` of the modules that are declared here, in other files, for tests only.
    fn test_module_files(&self) -> Vec<String> {
        let mut folder = self.module();
        folder.insert(0, self.area().to_owned());
        let declared = test_items(&self.tokens).filter_map(|(_, item)| match item {
            [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => {
                Some(format!("{}/{}", folder.join("/"), name.text))
            }
            _ => None,
        });
        declared.collect()
    }

    fn tests_cover(&self, line: usize) -> bool {
        self.is_test || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// The places from which on the tokens are as `wanted`.
    fn find(&self, wanted: impl Fn(&[Token]) -> bool, what: &str) -> Vec<Finding> {
        let places = (0..self.tokens.len()).filter(|&at| wanted(&self.tokens[at..]));
        places.map(|at| (self.tokens[at].line, what.to_owned())).collect()
    }

    /// Every path that begins at the crate root, with `self` and `super` resolved.
    fn crate_paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let mut module = self.module();
        // Brace depth at which each inline module around the place was opened.
        let (mut depth, mut opened) = (0usize, Vec::new());
        let mut at = 0;
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        while at < self.tokens.len() {
            let starts_path = text(at + 1) == "::" && (at == 0 || text(at - 1) != "::");
            match text(at) {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if opened.pop_if(|open| *open == depth).is_some() {
                        module.pop();
                    }
                }
                "mod" if text(at + 2) == "{" => {
                    module.push(text(at + 1).to_owned());
                    opened.push(depth);
                }
                "crate" if text(at + 1) == "as" => {
                    found.push((self.tokens[at].line, Vec::new()));
                }
                // Who may see an item imports nothing.
                "crate" if at >= 3 && text(at - 1) == "in" && text(at - 2) == "(" && text(at - 3) == "pub" => {}
                "crate" | "pouw" if starts_path => {
                    at = follow(&self.tokens, at + 2, Vec::new(), &mut found);
                    continue;
                }
                "self" | "super" if starts_path => {
                    at = follow(&self.tokens, at, module.clone(), &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// Follows the path at `at`, which continues `base`, through its groups; returns the place behind.
fn follow(tokens: &[Token], mut at: usize, mut base: Vec<String>, found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("}", |token| token.text.as_str());
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while text(at) != "}" {
                    at = follow(tokens, at, base.clone(), found);
                    // A new name behind `as` changes nothing.
                    while ![",", "}"].contains(&text(at)) {
                        at += 1;
                    }
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "self" => {}
            "super" => {
                base.pop();
            }
            segment => base.push(segment.to_owned()),
        }
        if text(at + 1) != "::" {
            let line = tokens.get(at).map_or(0, |token| token.line);
            found.push((line, base));
            return at + 1;
        }
        at += 2;
    }
}

/// Items under a `cfg` that only holds in tests: their lines with the attribute, their tokens.
fn test_items(tokens: &[Token]) -> impl Iterator<Item = (RangeInclusive<usize>, &[Token])> {
    (0..tokens.len()).filter_map(|at| {
        let opening: Vec<_> = tokens[at..].iter().take(4).map(|t| &*t.text).collect();
        if opening != ["#", "[", "cfg", "("] {
            return None;
        }
        let close = at + tokens[at..].iter().position(|token| token.text == "]")?;
        let names = |wanted: &str| tokens[at..close].iter().any(|token| token.text == wanted);
        if !names("test") || names("any") || names("not") {
            return None;
        }
        let end = close + 1 + item_end(&tokens[close + 1..])?;
        Some((tokens[at].line..=tokens[end].line, &tokens[close + 1..=end]))
    })
}

/// Index of the `;` or the closing brace with which the item at the start of `tokens` ends.
fn item_end(tokens: &[Token]) -> Option<usize> {
    let (mut nested, mut braces) = (0usize, 0usize);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            "{" => braces += 1,
            "}" if braces <= 1 => return Some(at),
            "}" => braces -= 1,
            ";" if nested == 0 && braces == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// A word, `::`, or one character of punctuation. Literals and lifetimes are left out.
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

/// Splits source into tokens and comments.
struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<(usize, String)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1, tokens: Vec::new(), comments: Vec::new() }
    }

    fn run(mut self) -> (Vec<Token>, Vec<(usize, String)>) {
        while let Some(first) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                let len = self.rest.find('\n').unwrap_or(self.rest.len());
                self.comment(len);
            } else if self.rest.starts_with("/*") {
                self.comment(block_comment_len(self.rest));
            } else if let Some(len) = literal_len(self.rest) {
                self.advance(len);
            } else if let Some(raw) = self.rest.strip_prefix("r#") {
                self.advance(2);
                self.word(raw);
            } else if is_word_char(first) {
                self.word(self.rest);
            } else if self.rest.starts_with("::") {
                self.token(2);
            } else if first.is_whitespace() {
                self.advance(first.len_utf8());
            } else {
                self.token(first.len_utf8());
            }
        }
        (self.tokens, self.comments)
    }

    fn word(&mut self, text: &str) {
        let len = text.find(|c| !is_word_char(c)).unwrap_or(text.len());
        self.token(len.max(1));
    }

    fn token(&mut self, len: usize) {
        let line = self.line;
        let text = self.advance(len).to_owned();
        self.tokens.push(Token { text, line });
    }

    fn comment(&mut self, len: usize) {
        let first = self.line;
        let text = self.advance(len);
        let lines = text.lines().enumerate();
        let numbered = lines.map(|(at, line)| (first + at, line.to_owned()));
        self.comments.extend(numbered);
    }

    fn advance(&mut self, len: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(len);
        self.line += passed.matches('\n').count();
        self.rest = rest;
        passed
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of the block comment at the start of `text`, with those inside it.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of the string, character or lifetime at the start of `text`, if there is one.
fn literal_len(text: &str) -> Option<usize> {
    let prefix_len = text.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let (prefix, body) = text.split_at(prefix_len);
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    if prefix.ends_with('r') && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = &body[hashes + 1..];
        let len = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(prefix_len + hashes + 1 + len);
    }
    let quoted_len = match body.chars().next()? {
        '"' => quoted_len(body, '"'),
        '\'' if prefix.len() <= 1 && prefix != "r" => {
            let mut inside = body.chars().skip(1);
            let (first, second) = (inside.next()?, inside.next());
            if first == '\\' || second == Some('\'') {
                quoted_len(body, '\'')
            } else {
                // A lifetime: the quote goes, and the name with it.
                let name = &body[1..];
                1 + name.find(|c| !is_word_char(c)).unwrap_or(name.len())
            }
        }
        _ => return None,
    };
    Some(prefix_len + quoted_len)
}

/// Length of the literal at the start of `body` up to and with the closing `quote`.
fn quoted_len(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    body.len()
}
