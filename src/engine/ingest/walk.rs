//! The source walker: every plain file under the given sources, in one fixed order, as a stream.
//!
//! Guarantee: the files come in bytewise order of their names over all sources together, each name
//! once, and two walks of unchanged sources give the same sequence. Nothing is left out silently:
//! what is not a readable plain file is reported as [`Skipped`] where the walk meets it, which can
//! be before files whose names sort earlier. After a [`WalkError`] the walk is over. It writes
//! nothing, so after a crash it is simply started again.
//!
//! Names. A file found in a directory source is named by its path relative to that source, with
//! `/` between the components on every platform; a source that is itself a plain file is named by
//! its file name. Bytes that are not valid UTF-8 become `%XX` (uppercase hexadecimal); all others,
//! `%` included, stay as they are. The prefix is put in front as given and no `/` is added to it:
//! `photos/` and `photos-` are both useful. Because `%` stays as it is, the file `%FF` and the file
//! whose only byte is 0xFF have one name; that is a [`WalkError::Conflict`] like any other.
//!
//! Order. A directory is compared as its name with `/` behind it, so that walking directory by
//! directory gives the order of whole names:
//!
//! ```text
//!  a-b        0x2d sorts before 0x2e and 0x2f
//!  a.txt      0x2e
//!  a/b        0x2f: the directory `a` comes after both, not before them
//! ```
//!
//! Memory. One listing per open directory level and source, and one file per source. The depth is
//! bounded by the longest path that the operating system accepts.
//!
//! Symbolic links are never followed, not even one that is named as a source (`link/` is the same
//! as `link`); links in the directories above a source are the operating system's business. A file
//! can change between this walk and its reading: `len` is what the walk saw, and whether a file
//! can be opened is found by its reader.

mod found;
mod source;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

pub use found::{NAME_LEN_MAX, SkipReason, Skipped, SourceFile, WalkError, WalkEvent};

use source::Source;

/// The files under several sources, merged into one ordered stream; see the [module](self).
#[derive(Debug)]
pub struct Walk {
    prefix: String,
    sources: Vec<Source>,
    /// Sources whose next file is not in `heads` yet, the one to ask first at the end.
    due: Vec<usize>,
    /// The next file of every source that is neither due nor exhausted.
    heads: BinaryHeap<Reverse<Head>>,
    /// Taken from `heads`, kept back until the name behind it is known to differ.
    held: Option<SourceFile>,
    failed: bool,
}

impl Walk {
    /// Prepares a walk over `sources`, each a directory or a plain file, in any order; no sources
    /// make an empty walk. `prefix` is put in front of every name as given.
    ///
    /// Only the sources themselves are looked at here; directories are read as the walk advances.
    ///
    /// # Errors
    ///
    /// [`WalkError::NoSuchSource`] or [`WalkError::Source`] for a source that does not exist or
    /// cannot be looked at, [`WalkError::Prefix`] for a prefix with a NUL or of more than
    /// [`NAME_LEN_MAX`] bytes.
    pub fn new(sources: &[PathBuf], prefix: Option<&str>) -> Result<Self, WalkError> {
        let prefix = checked_prefix(prefix.unwrap_or_default())?;
        let sources = sources.iter().map(|path| Source::new(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            prefix,
            due: (0..sources.len()).rev().collect(),
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            held: None,
            failed: false,
        })
    }

    fn step(&mut self) -> Result<Option<WalkEvent>, WalkError> {
        loop {
            if let Some(skipped) = self.refill()? {
                return Ok(Some(WalkEvent::Skipped(skipped)));
            }
            match (self.held.take(), self.take_least()) {
                (None, None) => return Ok(None),
                (None, next) => self.held = next,
                (Some(held), None) => return Ok(Some(WalkEvent::File(held))),
                (Some(held), Some(next)) if held.name == next.name => {
                    return Err(WalkError::Conflict { name: held.name, first: held.path, second: next.path });
                }
                (Some(held), next) => {
                    self.held = next;
                    return Ok(Some(WalkEvent::File(held)));
                }
            }
        }
    }

    /// Asks every due source for its next file, and stops at the first thing to report.
    fn refill(&mut self) -> Result<Option<Skipped>, WalkError> {
        while let Some(&index) = self.due.last() {
            match self.sources[index].advance(&self.prefix)? {
                Some(WalkEvent::Skipped(skipped)) => return Ok(Some(skipped)),
                Some(WalkEvent::File(SourceFile { name, path, len })) => {
                    self.heads.push(Reverse(Head { name, source: index, path, len }));
                }
                None => {}
            }
            self.due.pop();
        }
        Ok(None)
    }

    fn take_least(&mut self) -> Option<SourceFile> {
        let Reverse(Head { name, source, path, len }) = self.heads.pop()?;
        self.due.push(source);
        Some(SourceFile { name, path, len })
    }
}

impl Iterator for Walk {
    type Item = Result<WalkEvent, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

impl std::iter::FusedIterator for Walk {}

/// The next file of the source with index `source`; ordered by name, then as the sources were
/// given.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    name: String,
    source: usize,
    path: PathBuf,
    len: u64,
}

fn checked_prefix(prefix: &str) -> Result<String, WalkError> {
    // File systems keep NUL out of file names, so the prefix is the only way for one to get in.
    if prefix.len() > NAME_LEN_MAX || prefix.contains('\0') {
        return Err(WalkError::Prefix { len: prefix.len() });
    }
    Ok(prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    /// Creates the files, each holding its own path, and the directories above them.
    fn tree(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        root
    }

    fn walk(sources: &[&Path], prefix: Option<&str>) -> Walk {
        let sources: Vec<_> = sources.iter().map(|path| path.to_path_buf()).collect();
        Walk::new(&sources, prefix).unwrap()
    }

    /// Names and skipped entries of a walk that must not fail.
    fn outcome(walk: Walk) -> (Vec<String>, Vec<Skipped>) {
        let (mut names, mut skipped) = (Vec::new(), Vec::new());
        for event in walk {
            match event.unwrap() {
                WalkEvent::File(file) => names.push(file.name),
                WalkEvent::Skipped(entry) => skipped.push(entry),
            }
        }
        (names, skipped)
    }

    fn names(sources: &[&Path], prefix: Option<&str>) -> Vec<String> {
        let (names, skipped) = outcome(walk(sources, prefix));
        assert_eq!(skipped, []);
        names
    }

    /// The only things in `walk` that were skipped, with no file beside them.
    fn only_skipped(walk: Walk) -> Vec<(PathBuf, SkipReason)> {
        let (names, skipped) = outcome(walk);
        assert_eq!(names, [""; 0]);
        skipped.into_iter().map(|s| (s.path, s.why)).collect()
    }

    fn conflict(walk: Walk) -> (String, PathBuf, PathBuf) {
        match walk.last() {
            Some(Err(WalkError::Conflict { name, first, second })) => (name, first, second),
            other => panic!("expected a conflict, the walk ended with {other:?}"),
        }
    }

    #[test]
    fn files_come_in_bytewise_order_of_their_whole_names() {
        let root = tree(&["a/b", "a.txt", "a-b", "a/b.c/d", "a/b-c", "a0", "A", "z/y/x"]);
        assert_eq!(names(&[root.path()], None), ["A", "a-b", "a.txt", "a/b", "a/b-c", "a/b.c/d", "a0", "z/y/x"]);
    }

    #[test]
    fn several_sources_are_merged_into_one_order() {
        let (one, two) = (tree(&["a/b", "a/d", "z"]), tree(&["a/c", "a.txt"]));
        let three = tree(&["m"]);
        let file = three.path().join("m");
        let expected = ["a.txt", "a/b", "a/c", "a/d", "m", "z"];
        assert_eq!(names(&[one.path(), &file, two.path()], None), expected);
        assert_eq!(names(&[two.path(), one.path(), &file], None), expected);
    }

    #[test]
    fn a_file_event_carries_where_the_file_is_and_how_long() {
        let root = tree(&["sub/file"]);
        let events: Vec<_> = walk(&[root.path()], Some("p:")).map(Result::unwrap).collect();
        let file = SourceFile { name: "p:sub/file".into(), path: root.path().join("sub/file"), len: 8 };
        assert_eq!(events, [WalkEvent::File(file)]);
    }

    #[test]
    fn the_prefix_stands_in_front_as_given() {
        let root = tree(&["a", "b/c"]);
        assert_eq!(names(&[root.path()], Some("x/")), ["x/a", "x/b/c"]);
        assert_eq!(names(&[root.path()], Some("x-")), ["x-a", "x-b/c"]);
        assert_eq!(names(&[&root.path().join("a")], Some("x")), ["xa"]);
    }

    #[test]
    fn a_prefix_with_a_nul_or_too_long_is_refused() {
        for prefix in ["a\0b".to_owned(), "x".repeat(NAME_LEN_MAX + 1)] {
            let refused = Walk::new(&[], Some(&prefix)).unwrap_err();
            assert!(matches!(refused, WalkError::Prefix { len } if len == prefix.len()));
        }
    }

    #[test]
    fn a_name_longer_than_the_limit_is_skipped_and_one_at_the_limit_is_not() {
        let root = tree(&["a", "bb"]);
        let prefix = "x".repeat(NAME_LEN_MAX - 1);
        let (names, skipped) = outcome(walk(&[root.path()], Some(&prefix)));
        assert_eq!(names, [format!("{prefix}a")]);
        let why = SkipReason::NameTooLong { len: NAME_LEN_MAX + 1 };
        let path = root.path().join("bb");
        assert_eq!(skipped, [Skipped { path, why }]);
    }

    #[test]
    fn no_sources_and_empty_directories_make_an_empty_walk() {
        let root = tree(&[]);
        fs::create_dir_all(root.path().join("empty/inside")).unwrap();
        assert_eq!(names(&[], None), [""; 0]);
        assert_eq!(names(&[root.path(), root.path()], None), [""; 0]);
    }

    #[test]
    fn a_source_that_does_not_exist_is_refused_before_the_walk() {
        let root = tree(&["file"]);
        for missing in ["none", "file/below-a-file", ""] {
            let path = if missing.is_empty() { PathBuf::new() } else { root.path().join(missing) };
            let refused = Walk::new(&[root.path().to_owned(), path.clone()], None).unwrap_err();
            assert!(matches!(refused, WalkError::NoSuchSource { path: named } if named == path));
        }
        let refused = Walk::new(&[PathBuf::from("a\0b")], None).unwrap_err();
        assert!(matches!(refused, WalkError::Source { .. }), "{refused}");
    }

    #[test]
    fn two_sources_with_one_name_are_a_conflict_that_names_both_and_gives_out_neither() {
        let (one, two) = (tree(&["a", "dir/f"]), tree(&["b", "dir/f", "z"]));
        let mut events = walk(&[one.path(), two.path()], None);
        for expected in ["a", "b"] {
            match events.next() {
                Some(Ok(WalkEvent::File(file))) => assert_eq!(file.name, expected),
                other => panic!("{other:?}"),
            }
        }
        let Some(Err(error)) = events.next() else { panic!("the conflict was passed over") };
        for side in [&one, &two] {
            let path = side.path().join("dir/f");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert!(events.next().is_none(), "a failed walk is over");
    }

    #[test]
    fn a_directory_and_a_plain_file_with_one_name_are_a_conflict() {
        let (one, two) = (tree(&["sub/f"]), tree(&["f"]));
        let file = one.path().join("sub/f");
        let found = conflict(walk(&[two.path(), &file], None));
        assert_eq!(found, ("f".into(), two.path().join("f"), file));
    }

    #[test]
    fn a_file_and_a_directory_of_one_name_in_two_sources_are_no_conflict() {
        let (one, two) = (tree(&["a"]), tree(&["a/b"]));
        assert_eq!(names(&[one.path(), two.path()], None), ["a", "a/b"]);
    }

    #[test]
    fn a_directory_that_vanishes_during_the_walk_is_reported_and_the_walk_goes_on() {
        let root = tree(&["a", "b", "c/x", "d"]);
        let mut events = walk(&[root.path()], None);
        assert!(matches!(events.next(), Some(Ok(WalkEvent::File(f))) if f.name == "a"));
        fs::remove_dir_all(root.path().join("c")).unwrap();
        let (names, skipped) = outcome(events);
        assert_eq!(names, ["b", "d"]);
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].path, root.path().join("c"));
        assert!(matches!(&skipped[0].why, SkipReason::Unreadable(text) if !text.is_empty()));
    }

    #[test]
    fn a_file_or_source_that_vanishes_during_the_walk_is_reported() {
        let (one, two) = (tree(&["a", "b", "c"]), tree(&["x"]));
        let mut events = walk(&[one.path()], None);
        events.next();
        fs::remove_file(one.path().join("c")).unwrap();
        let (names, skipped) = outcome(events);
        assert_eq!(names, ["b"]);
        assert_eq!(skipped[0].path, one.path().join("c"));

        let gone = two.path().to_owned();
        let events = walk(&[&gone], None);
        drop(two);
        assert_eq!(only_skipped(events)[0].0, gone);
    }

    #[test]
    fn a_directory_replaced_by_a_file_during_the_walk_is_reported() {
        let root = tree(&["a", "b", "c/x"]);
        let mut events = walk(&[root.path()], None);
        events.next();
        fs::remove_dir_all(root.path().join("c")).unwrap();
        fs::write(root.path().join("c"), "now a file").unwrap();
        let (names, skipped) = outcome(events);
        assert_eq!(names, ["b"]);
        assert!(matches!(skipped[0].why, SkipReason::Unreadable(_)));
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_are_reported_and_never_followed() {
        use std::os::unix::fs::symlink;
        let (root, outside) = (tree(&["dir/f"]), tree(&["secret"]));
        let at = |name: &str| root.path().join(name);
        symlink(outside.path().join("secret"), at("file")).unwrap();
        symlink(outside.path(), at("far")).unwrap();
        symlink("..", at("dir/loop")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        let (names, skipped) = outcome(walk(&[root.path()], None));
        assert_eq!(names, ["dir/f"]);
        let expected =
            ["broken", "dir/loop", "far", "file"].map(|name| Skipped { path: at(name), why: SkipReason::Symlink });
        assert_eq!(skipped, expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_given_as_a_source_is_not_followed_either() {
        use std::os::unix::fs::symlink;
        let (root, outside) = (tree(&[]), tree(&["secret"]));
        let (to_dir, to_file) = (root.path().join("dir"), root.path().join("file"));
        symlink(outside.path(), &to_dir).unwrap();
        symlink(outside.path().join("secret"), &to_file).unwrap();
        let mut with_slash = to_dir.clone().into_os_string();
        with_slash.push("/");
        let sources = [to_dir.clone(), to_file.clone(), PathBuf::from(with_slash)];
        let expected = [&to_dir, &to_file, &to_dir].map(|p| (p.clone(), SkipReason::Symlink));
        assert_eq!(only_skipped(Walk::new(&sources, None).unwrap()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_reported_as_not_a_file() {
        let root = tree(&[]);
        let path = root.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let expected = [(path.clone(), SkipReason::NotAFile)];
        assert_eq!(only_skipped(walk(&[root.path()], None)), expected);
        assert_eq!(only_skipped(walk(&[&path], None)), expected);
    }

    #[cfg(target_os = "linux")]
    mod other_bytes {
        use super::*;
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        fn path(bytes: &[u8]) -> &Path {
            Path::new(OsStr::from_bytes(bytes))
        }

        fn write(root: &TempDir, bytes: &[u8]) -> PathBuf {
            let path = root.path().join(path(bytes));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }

        #[test]
        fn bytes_that_are_not_utf8_are_percent_encoded_and_sorted_as_encoded() {
            let root = tree(&["0", "100%", "caf\u{e9}", "%z", "tab\t"]);
            write(&root, b"\xff\xfe");
            write(&root, b"d\xc3/e\xe9f");
            // The first byte of a sequence whose second is missing, and a surrogate.
            write(&root, b"\xc3(");
            write(&root, b"\xed\xa0\x80");
            assert_eq!(
                names(&[root.path()], None),
                ["%C3(", "%ED%A0%80", "%FF%FE", "%z", "0", "100%", "caf\u{e9}", "d%C3/e%E9f", "tab\t",]
            );
        }

        #[test]
        fn an_encoded_and_a_literal_name_that_are_equal_are_a_conflict() {
            let root = tree(&["%FF", "a"]);
            let raw = write(&root, b"\xff");
            let expected = ("%FF".into(), root.path().join("%FF"), raw);
            assert_eq!(conflict(walk(&[root.path()], None)), expected);
        }

        #[test]
        fn two_directories_of_one_source_with_one_encoded_name_are_a_conflict() {
            let root = tree(&["%FF/b/c", "%FF/d"]);
            write(&root, b"\xff/a");
            let found = conflict(walk(&[root.path()], None));
            let raw = root.path().join(path(b"\xff"));
            assert_eq!(found, ("%FF/".into(), root.path().join("%FF"), raw));
        }

        /// Bytes that sort around the separator, are not ASCII, or are not UTF-8.
        const ALPHABET: [&[u8]; 8] = [b"a", b"b", b"-", b".a", b"0", b"/", b"\xff", b"\xc3\xa9"];

        /// Plans: which source, and the path spelled in `ALPHABET`.
        fn plant(roots: &[TempDir], plans: &[(u8, Vec<u8>)]) {
            for (source, letters) in plans.iter().take(24) {
                let letters = letters.iter().take(9);
                let bytes: Vec<u8> =
                    letters.flat_map(|&letter| ALPHABET[usize::from(letter) % ALPHABET.len()]).copied().collect();
                let relative: PathBuf =
                    path(&bytes).components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
                let file = roots[usize::from(*source) % roots.len()].path().join(relative);
                // A plan that collides with an earlier one is dropped.
                if file.parent().is_some_and(|dir| fs::create_dir_all(dir).is_ok()) {
                    let _ = fs::write(&file, b"");
                }
            }
        }

        /// Every file below `dir`, its whole path encoded at once.
        fn list(root: &Path, dir: &Path, found: &mut BTreeMap<String, usize>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    list(root, &path, found);
                } else {
                    let relative = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
                    let mut name = String::new();
                    for chunk in relative.utf8_chunks() {
                        name.push_str(chunk.valid());
                        for byte in chunk.invalid() {
                            name.push_str(&format!("%{byte:02X}"));
                        }
                    }
                    *found.entry(name).or_default() += 1;
                }
            }
        }

        #[test]
        fn any_trees_give_all_names_sorted_up_to_the_first_conflict() {
            fn property(plans: Vec<(u8, Vec<u8>)>) -> bool {
                let roots = [tree(&[]), tree(&[]), tree(&[])];
                plant(&roots, &plans);
                let mut found = BTreeMap::new();
                for root in &roots {
                    list(root.path(), root.path(), &mut found);
                }
                let twice = found.iter().find(|(_, count)| **count > 1);
                let twice = twice.map(|(name, _)| name.clone());
                let expected: BTreeSet<_> = found.into_keys().take_while(|name| Some(name) != twice.as_ref()).collect();

                let paths: Vec<_> = roots.iter().map(|root| root.path()).collect();
                let (mut given, mut refused) = (Vec::new(), None);
                for event in walk(&paths, None) {
                    match event {
                        Ok(WalkEvent::File(file)) => given.push(file.name),
                        Err(WalkError::Conflict { name, .. }) => refused = Some(name),
                        other => panic!("{other:?}"),
                    }
                }
                given.iter().eq(expected.iter()) && refused == twice
            }
            quickcheck::QuickCheck::new().tests(100).quickcheck(property as fn(Vec<(u8, Vec<u8>)>) -> bool);
        }
    }
}
