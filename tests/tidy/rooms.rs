//! Order inside the folders: each has its modules in layers, and an import points down to a lower
//! layer. No files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{File, follow, mark_test_files, tree};

/// A folder of `src` and its layers, lowest first, each with the modules that are in it. `mod.rs` is
/// above all of them.
type Rooms = (&'static str, &'static [&'static [&'static str]]);

/// Folders whose layers are fixed.
const ROOMS: &[Rooms] = &[
    (
        "gate",
        &[
            &["error", "request", "self_check", "tallies"],
            &["config", "event"],
            &["memory"],
            &["runtime"],
            &["state"],
            &["reply", "report"],
            &["decide"],
        ],
    ),
    (
        "store",
        &[
            &["mistakes", "random", "rows", "storage"],
            &["key"],
            &["table"],
            &["schema"],
            &["block_changes", "command"],
            &["error"],
            &["copy", "port"],
            &["rules"],
            &["read"],
            &["contract"],
            &["blocks_writer", "check"],
            &["mend"],
            &["memory", "redb"],
        ],
    ),
];

#[test]
fn imports_inside_a_folder_only_point_down() {
    let house = House::of(tree());
    let findings: Vec<String> = ROOMS.iter().flat_map(|rooms| house.upward(rooms)).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let house = House::of(tree());
    let found: Vec<String> = FREE_OF_CIRCLES.iter().flat_map(|folder| house.circles(folder)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Folders without circles.
const FREE_OF_CIRCLES: &[&str] = &[
    "guard", "page", "policy", "solver", "client", "engine", "gate", "adapters", "docs", "store", "hash", "merkle",
    "protocol",
];

#[test]
fn an_import_that_points_up_inside_a_folder_is_found() {
    let rooms: Rooms = ("shop", &[&["words"], &["parts", "tools"], &["state"]]);
    let with = |path: &str, text: &str| {
        let mut texts = vec![
            (
                "src/shop/mod.rs",
                "mod parts;\nmod state;\nmod words;\npub use words::Word;\npub use self::state::{State as Own};\npub struct Shop;",
            ),
            ("src/shop/words.rs", "pub struct Word;"),
            ("src/shop/parts/mod.rs", "mod inner;\nuse super::words::Word;"),
            ("src/shop/parts/inner.rs", "use crate::shop::Word;"),
            ("src/shop/tools.rs", ""),
            ("src/shop/state.rs", "use super::{parts, tools, Word};"),
        ];
        texts.retain(|(known, _)| *known != path);
        texts.push((path, text));
        House::of(texts.iter().map(|(path, text)| File::new(path, text)).collect()).upward(&rooms)
    };
    assert_eq!(with("src/shop/words.rs", ""), [""; 0]);
    for (path, planted) in [
        ("src/shop/words.rs", "use super::parts::X;"),
        ("src/shop/words.rs", "fn f() { crate::shop::state::open(); }"),
        ("src/shop/words.rs", "use super::Own;"),
        ("src/shop/words.rs", "use crate::shop::Shop;"),
        ("src/shop/parts/inner.rs", "use super::super::state::X;"),
        ("src/shop/parts/inner.rs", "use crate::shop::tools::X;"),
        ("src/shop/tools.rs", "use super::{parts::{self, X}};"),
        ("src/shop/unknown.rs", ""),
    ] {
        assert!(!with(path, planted).is_empty(), "not found in {path}: {planted}");
    }
    let test = "#[cfg(test)]\nmod tests { use crate::shop::state::X; }";
    assert_eq!(with("src/shop/words.rs", test), [""; 0]);
}

#[test]
fn a_circle_of_files_is_found() {
    let circles = |texts: &[(&str, &str)]| {
        House::of(texts.iter().map(|(path, text)| File::new(path, text)).collect()).circles("shop")
    };
    let root = ("src/shop/mod.rs", "mod a;\nmod b;\nmod c;\npub use b::B;");
    let way =
        [root, ("src/shop/a.rs", "use super::b::B;"), ("src/shop/b.rs", "use super::c::C;"), ("src/shop/c.rs", "")];
    assert_eq!(circles(&way), [""; 0]);
    for last in ["use super::a::A;", "use crate::shop::B;", "fn f() { super::a::f() }"] {
        let mut planted = way.to_vec();
        planted[3].1 = last;
        let found = circles(&planted);
        assert_eq!(found.len(), 1, "{last}");
        assert!(found[0].contains("src/shop/b.rs") && found[0].contains("src/shop/c.rs"), "{found:?}");
    }
    let parent = [("src/shop/mod.rs", "mod a;\nuse a::A;\npub struct Shop;"), ("src/shop/a.rs", "use super::Shop;")];
    assert_eq!(circles(&parent).len(), 1);
    let test = [parent[0], ("src/shop/a.rs", "#[cfg(test)]\nmod tests { use super::super::Shop; }")];
    assert_eq!(circles(&test), [""; 0]);
}

/// The files of the library, and what each imports.
struct House {
    files: Vec<File>,
    /// Path of a module, and its file.
    modules: HashMap<Vec<String>, usize>,
    /// Names that a file imports, by their last segment, as it knows them.
    imported: Vec<HashMap<String, Vec<String>>>,
}

impl House {
    fn of(mut files: Vec<File>) -> Self {
        mark_test_files(&mut files);
        files.retain(|file| file.folder().is_some() && !file.is_test);
        let modules = files.iter().enumerate().map(|(at, file)| (file.module(), at)).collect();
        let imported = files.iter().map(|file| imports(file).into_iter().map(|(_, name, path)| (name, path)).collect());
        Self { imported: imported.collect(), files, modules }
    }

    /// The file that a path leads to, through imports that pass a name on; `None` beyond the library.
    fn file_of(&self, path: &[String]) -> Option<usize> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let len = (1..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len]))?;
            let file = self.modules[&path[..len]];
            let passed_on = path.get(len).and_then(|name| self.imported[file].get(name));
            match passed_on {
                Some(next) if *next != path => path = [next, &path[len + 1..]].concat(),
                _ => return Some(file),
            }
        }
        None
    }

    /// Lines of a file that lead to other files of the library, tests left out.
    fn leads(&self, from: usize) -> Vec<(usize, usize)> {
        let file = &self.files[from];
        let paths = file.crate_paths().into_iter().chain(imports(file).into_iter().map(|(line, _, path)| (line, path)));
        let paths = paths.filter(|(line, _)| !file.tests_cover(*line));
        let leads = paths.filter_map(|(line, path)| Some((line, self.file_of(&path)?)));
        leads.filter(|(_, to)| *to != from).collect()
    }

    fn upward(&self, (folder, layers): &Rooms) -> Vec<String> {
        let room = |file: &File| match file.module().get(1) {
            _ if file.folder() != Some(folder) => None,
            Some(room) => Some(room.clone()),
            None => Some("mod".to_owned()),
        };
        let rank = |room: &str| match room {
            "mod" => Some(layers.len()),
            room => layers.iter().position(|layer| layer.contains(&room)),
        };
        let mut findings = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            let Some(own) = room(file) else { continue };
            let Some(own_rank) = rank(&own) else {
                findings.push(format!("{}: {own} has no layer: give it one in tests/tidy/rooms.rs", file.path));
                continue;
            };
            for (line, to) in self.leads(at) {
                let Some(other) = room(&self.files[to]) else { continue };
                if other != own && rank(&other).is_none_or(|rank| rank >= own_rank) {
                    findings.push(format!("{}:{line}: {own} must not import {other}", file.path));
                }
            }
        }
        findings
    }

    /// Circles of files in a folder: each as its files.
    fn circles(&self, folder: &str) -> Vec<String> {
        let inside = |at: &usize| self.files[*at].folder() == Some(folder);
        let files: Vec<usize> = (0..self.files.len()).filter(inside).collect();
        let leads: BTreeMap<usize, BTreeSet<usize>> = files
            .iter()
            .map(|at| (*at, self.leads(*at).into_iter().map(|(_, to)| to).filter(inside).collect()))
            .collect();
        let reached = |from: usize| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                next.extend(leads[&at].iter().filter(|to| seen.insert(**to)));
            }
            seen
        };
        let reach: BTreeMap<usize, BTreeSet<usize>> = files.iter().map(|at| (*at, reached(*at))).collect();
        let mut circles = BTreeSet::new();
        for at in files.iter().filter(|at| reach[at].contains(at)) {
            let circle: Vec<&str> = (reach[at].iter())
                .filter(|to| reach[to].contains(at))
                .map(|to| self.files[*to].path.as_str())
                .collect();
            circles.insert(circle.join(" "));
        }
        circles.into_iter().collect()
    }
}

/// What the `use` items of a file import: line, name there, path from the root of the crate.
fn imports(file: &File) -> Vec<(usize, String, Vec<String>)> {
    let text = |at: usize| file.tokens.get(at).map_or("", |token| token.text.as_str());
    let children: BTreeSet<&str> =
        (0..file.tokens.len()).filter(|at| text(*at) == "mod" && text(at + 2) == ";").map(|at| text(at + 1)).collect();
    let mut found = Vec::new();
    // Those of inline modules pass no name on.
    let mut depth = 0;
    let outside = |at: &usize| {
        depth += i32::from(text(*at) == "{") - i32::from(text(*at) == "}");
        depth == 0
    };
    let places: Vec<usize> = (0..file.tokens.len()).filter(outside).collect();
    for at in places.into_iter().filter(|at| text(*at) == "use" && !file.tests_cover(file.tokens[*at].line)) {
        let base = match text(at + 1) {
            "self" | "super" => file.module(),
            "crate" => Vec::new(),
            child if children.contains(child) => file.module(),
            _ => continue,
        };
        let begin = at + 1 + if text(at + 1) == "crate" { 2 } else { 0 };
        let mut paths: Vec<Import> = Vec::new();
        follow(&file.tokens, begin, base, &mut paths);
        found.extend(paths.into_iter().filter_map(|(line, path)| Some((line, path.last()?.clone(), path))));
    }
    found
}

/// Line and path.
type Import = (usize, Vec<String>);
