//! Rules for prose: plain words, lines that fit.

use crate::{File, Finding, is_word_char, tree};

use super::documents::{documents, read};

/// Most characters of a line of prose in a document, and of a line that is only a comment.
const PROSE_LINE_MAX: usize = 100;

/// Words of a private dialect, and the plain ones for them.
const DIALECT: [(&str, &str); 18] = [
    ("anew", "again"),
    ("nobody", "no client, no thread"),
    ("whoever", "any client that"),
    ("so many", "n"),
    ("that many", "n"),
    ("of before", "from before"),
    ("come to", "is, total"),
    ("comes to", "is, total"),
    ("tell", "report, show, distinguish"),
    ("tells", "reports, shows, distinguishes"),
    ("told", "reported, notified"),
    ("none the wiser", "unchanged"),
    ("what is asked for", "the request, the unit"),
    ("stands for", "is, represents"),
    ("stands alone", "has no imports, needs nothing else"),
    ("stands in", "is in"),
    ("dear", "expensive"),
    ("second thought", "a warning"),
];

#[test]
fn prose_is_plain_and_its_lines_are_short() {
    let mut findings = Vec::new();
    for path in documents() {
        findings.extend(prose(&read(&path)).into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
    }
    for file in tree().iter().filter(|file| ["src", "examples"].contains(&file.area())) {
        findings.extend(comments(file).into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.path)));
    }
    assert!(findings.is_empty(), "{}: \n{}\n", findings.len(), findings.join("\n"));
}

#[test]
fn prose_that_is_not_plain_is_found() {
    let long = "word ".repeat(21);
    assert_eq!(prose(&long).len(), 1, "a long line");
    assert_eq!(prose("Whoever asks is told so.\nIt begins\nanew.").len(), 2);
    let clean = format!("| {long} |\n```text\n{long}\n```\n[name]: {}\nNobodyish.", "x".repeat(120));
    assert_eq!(prose(&clean), []);
}

#[test]
fn a_comment_that_is_long_or_not_plain_is_found() {
    let (long, name) = ("word ".repeat(20), "x".repeat(100));
    for planted in [
        format!("//! {long}"),
        format!("    /// {long}\nfn f() {{}}"),
        format!("fn f() {{\n    // {long}\n}}"),
        format!("/// ```text\nfn f() {{}}\n// {long}"),
        "/// Whoever asks.\nfn f() {}".to_owned(),
        "fn f() {} // is told".to_owned(),
    ] {
        assert_eq!(comments(&File::new("src/hash/mod.rs", &planted)).len(), 1, "{planted}");
    }
    for clean in [
        format!("/// | {long} |\nfn f() {{}}"),
        format!("// https://{name}"),
        format!("//! [name]: {name}"),
        format!("/// ```text\n/// {long}\n/// ```\nfn f() {{}}"),
        format!("const A: &str = \"{long}\"; // short"),
    ] {
        assert_eq!(comments(&File::new("src/hash/mod.rs", &clean)), [], "{clean}");
    }
}

/// Lines of a document that are too long or not plain. Tables, code and link targets may be long.
fn prose(text: &str) -> Vec<Finding> {
    let (mut findings, mut in_code) = (Vec::new(), false);
    for (line, text) in (1..).zip(text.lines()) {
        in_code ^= text.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        if text.chars().count() > PROSE_LINE_MAX && !may_be_long(text) {
            findings.push((line, format!("at most {PROSE_LINE_MAX} characters in a line of prose")));
        }
        findings.extend(dialect(text).map(|what| (line, what)));
    }
    findings
}

/// Comments of a file that are not plain, and lines with nothing but a comment that are too long.
fn comments(file: &File) -> Vec<Finding> {
    let (mut findings, mut in_code, mut last) = (Vec::new(), false, 0);
    let lines: Vec<_> = file.text.lines().collect();
    for (line, comment) in &file.comments {
        // A block of code ends with its comment at the latest.
        in_code &= *line == last + 1;
        last = *line;
        findings.extend(dialect(comment).map(|what| (*line, what)));
        let text = comment.trim_start_matches(['/', '!', '*']).trim_start();
        in_code ^= text.starts_with("```");
        let whole = lines.get(line - 1).copied().unwrap_or_default();
        let is_alone = whole.trim_start().starts_with(comment.trim_start());
        let is_long = whole.chars().count() > PROSE_LINE_MAX;
        if is_alone && is_long && !in_code && !may_be_long(text) {
            findings.push((*line, format!("at most {PROSE_LINE_MAX} characters in a line with a comment")));
        }
    }
    findings
}

/// Whether a line is a row of a table, the target of a link, or one address, which cannot be broken.
fn may_be_long(text: &str) -> bool {
    let is_target = text.starts_with('[') && text.contains("]: ");
    let is_address = text.contains("://") && !text.trim().contains(' ');
    text.starts_with('|') || is_target || is_address
}

/// What to say instead of the first word of [`DIALECT`] in a line.
fn dialect(line: &str) -> Option<String> {
    let words: Vec<String> = line.split(|c: char| !is_word_char(c)).map(str::to_lowercase).collect();
    let line = format!(" {} ", words.join(" "));
    let (word, plain) = DIALECT.iter().find(|(word, _)| line.contains(&format!(" {word} ")))?;
    Some(format!("{word:?} is not plain: {plain}"))
}
