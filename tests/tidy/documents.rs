//! Rules for documents: links that lead somewhere, and one first screen in three places.

use std::fs;
use std::path::Path;

use crate::Finding;

/// The front page of the crate. It is read in rustdoc only, so it links to items.
const FRONT: &str = "src/docs/front.md";

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let findings: Vec<_> = documents()
        .iter()
        .flat_map(|path| {
            let findings = dead_links(path, &read(path)).into_iter();
            findings.map(|(line, what)| format!("{path}:{line}: {what}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_dead_link_is_found() {
    for (path, planted) in [
        ("README.md", "[a](src/docs/none.md)"),
        ("README.md", "A [name that\ngoes on](src/docs/none.md)."),
        ("README.md", "[a](src/docs/web_service.md#no-such-heading)"),
        ("README.md", "[a](#no-such-heading)\n\n## A heading"),
        ("README.md", "![a](src/none.png)"),
        ("src/docs/cli.md", "[a](README.md)"),
        ("src/docs/cli.md", "[a][a]\n\n[a]: none.md"),
        ("src/docs/cli.md", "[a][b]\n\n[a]: design.md"),
        ("src/docs/cli.md", "[`Gate`] decides."),
        ("src/docs/cli.md", "[`Gate`](crate::Gate) decides."),
        ("src/docs/cli.md", "[a][a]\n\n[a]: crate::Gate"),
        ("src/docs/front.md", "[a](crate::Gate)"),
    ] {
        assert_eq!(dead_links(path, planted).len(), 1, "{planted}");
    }
}

#[test]
fn a_link_that_leads_somewhere_is_not_found() {
    for (path, clean) in [
        ("README.md", "[a](src/docs/web_service.md#callers-in-rust) [b](https://example.com/none)"),
        ("README.md", "[a](#a-headings-name) [b](CHANGELOG.md)\n\n## A `heading's` name"),
        ("src/docs/cli.md", "[a][a] of `a[0](b)` and [3, 4](\n\n```text\n[a](none.md)\n```\n\n[a]: design.md"),
        ("clients/js/README.md", "[a](../../README.md)"),
        ("src/docs/front.md", "[`Gate`] decides."),
    ] {
        assert_eq!(dead_links(path, clean), [], "{clean}");
    }
}

#[test]
fn the_readme_the_front_page_and_the_manifest_begin_alike() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    assert_eq!(unlike(&readme, &read(FRONT), &manifest), None);
}

#[test]
fn beginnings_that_differ_are_found() {
    let code = "```rust,no_run\nfn main() {}\n```\n";
    let readme = format!("# pouw\n\nOne\nline. Two.\n\n## Code\n\n{code}\n```rust\n1\n```\n");
    let front = format!("One\nline. Two.\n\n{code}\nMore.\n");
    let manifest = "name = \"pouw\"\ndescription = \"One line.\"\n";
    assert_eq!(unlike(&readme, &front, manifest), None);
    assert!(unlike(&readme, &front.replace("Two", "Three"), manifest).is_some());
    assert!(unlike(&readme, &front.replace("fn main", "fn other"), manifest).is_some());
    assert!(unlike(&readme, &front.replace("```rust,no_run", "```text"), manifest).is_some());
    assert!(unlike(&readme, &front, &manifest.replace("One", "A")).is_some());
}

/// Paths of all documents that a reader is sent to.
pub(crate) fn documents() -> Vec<String> {
    let mut paths: Vec<_> =
        ["README.md", "BENCHMARKS.md", "CHANGELOG.md", "clients/js/README.md", "clients/js/DETAILS.md"]
            .map(str::to_owned)
            .into();
    for entry in fs::read_dir(root().join("src/docs")).expect("the folder can be listed") {
        let name = entry.expect("the folder can be listed").file_name().into_string().expect("names are ASCII");
        if name.ends_with(".md") {
            paths.push(format!("src/docs/{name}"));
        }
    }
    assert!(paths.iter().any(|path| path == FRONT), "the search missed {FRONT}");
    paths
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What differs between the first screens.
fn unlike(readme: &str, front: &str, manifest: &str) -> Option<&'static str> {
    let after_title = readme.split_once("\n\n").map(|(_, rest)| rest)?;
    let (of_readme, of_front) = (first_paragraph(after_title), first_paragraph(front));
    let sentence = of_readme.replace('\n', " ");
    let sentence = sentence.split_once(". ").map_or(sentence.trim_end_matches('.'), |(first, _)| first);
    if of_readme != of_front {
        Some("the first paragraph of README.md is not that of src/docs/front.md")
    } else if first_code(readme).is_none() || first_code(readme) != first_code(front) {
        Some("the first rust block of README.md is not that of src/docs/front.md")
    } else if !manifest.contains(&format!("\ndescription = \"{sentence}.\"\n")) {
        Some("the description in Cargo.toml is not the first sentence of README.md")
    } else {
        None
    }
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or_default()
}

fn first_code(text: &str) -> Option<&str> {
    let from = &text[text.find("```rust")?..];
    from.find("\n```\n").map(|end| &from[..end])
}

/// Links of the document at `path` to files, headings and definitions that do not exist.
fn dead_links(path: &str, text: &str) -> Vec<Finding> {
    let plain = without_code(text);
    let mut findings = Vec::new();
    for (at, _) in plain.match_indices(']') {
        let line = plain[..at].matches('\n').count() + 1;
        let rest = &plain[at + 1..];
        let what = if let Some(target) = enclosed(rest, '(', ')') {
            dead_target(path, text, target)
        } else if let Some(name) = enclosed(rest, '[', ']') {
            (!defines(&plain, name)).then(|| format!("[{name}] is not defined in this document"))
        } else if rest.starts_with(": ") && plain[..at].rsplit('\n').next().is_some_and(|l| l.starts_with('[')) {
            dead_target(path, text, rest[2..].lines().next().unwrap_or_default())
        } else {
            let name = plain[..at].rsplit('[').next().unwrap_or_default();
            let is_code = name.starts_with('\u{1}') && name.ends_with('\u{1}');
            (is_code && path != FRONT)
                .then(|| "a link to an item is dead outside rustdoc: drop its brackets".to_owned())
        };
        findings.extend(what.map(|what| (line, what)));
    }
    findings
}

/// The text in brackets at the start of `text`.
fn enclosed(text: &str, open: char, close: char) -> Option<&str> {
    let inside = text.strip_prefix(open)?;
    inside.split_once(close).map(|(inside, _)| inside)
}

fn defines(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(&format!("[{name}]: ")).is_some())
}

fn dead_target(path: &str, text: &str, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    if target.contains("::") {
        return Some(format!("{target} is dead outside rustdoc: name a file"));
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let place = root().join(path).parent()?.join(file);
    if !file.is_empty() && !place.is_file() {
        return Some(format!("there is no {file}"));
    }
    let other = if file.is_empty() { None } else { fs::read_to_string(place).ok() };
    let is_found = heading.is_empty() || has_heading(other.as_deref().unwrap_or(text), heading);
    (!is_found).then(|| format!("{target}: no such heading"))
}

/// Whether the document has a heading with this anchor, as GitHub makes it.
fn has_heading(text: &str, anchor: &str) -> bool {
    let mut headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.any(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).eq(anchor.chars())
    })
}

/// The document with blocks of code emptied and code spans replaced by a mark, line by line.
fn without_code(text: &str) -> String {
    let (mut plain, mut in_code) = (String::new(), false);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if !in_code && !is_fence {
            plain += line;
        }
        in_code ^= is_fence;
        plain.push('\n');
    }
    // Between two marks of a span, so every second piece.
    let pieces = plain.split('`').enumerate();
    pieces
        .map(|(at, piece)| {
            if at % 2 == 1 {
                format!("\u{1}{}\u{1}", "\n".repeat(piece.matches('\n').count()))
            } else {
                piece.to_owned()
            }
        })
        .collect()
}
