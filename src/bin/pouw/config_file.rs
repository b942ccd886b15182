//! A configuration file: TOML with the keys of [`Settings`], and `listen` and `on_store_failure`,
//! which are the server's alone.
//!
//! All mistakes are reported at once, with line, column, key, value and rule. A value that may be a
//! secret is never repeated.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pouw::settings::{KEYS, Key, Settings};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use crate::failure::Failure;
use crate::words::printable;

/// A parsed and checked file.
#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub settings: Settings,
    pub listen: Option<SocketAddr>,
    pub on_store_failure: Option<OnStoreFailure>,
    /// The keys that are set, and where their values are.
    positions: Vec<(String, Position)>,
}

/// A line and a column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Something wrong in a file.
#[derive(Debug, Serialize)]
pub struct Wrong {
    #[serde(flatten)]
    pub position: Position,
    /// Like `route_overrides[1].routes[0]`; `None` if the file is not TOML.
    pub key: Option<String>,
    pub value: Option<String>,
    /// What is wrong, with the rule.
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position: Position { line, column }, key, message, .. } = self;
        write!(f, "{line}:{column}: ")?;
        match (key, &self.value) {
            (Some(key), Some(value)) => write!(f, "`{key}` is {value}: {message}"),
            (Some(key), None) => write!(f, "`{key}`: {message}"),
            (None, _) => f.write_str(message),
        }
    }
}

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most mistakes that are reported.
const WRONG_MAX: usize = 100;
/// Longer values are cut in messages.
const SHOWN_CHARS_MAX: usize = 60;

/// Similarity from which a name is suggested for an unknown one.
const CLOSE: f64 = 0.88;

/// The server's own keys, explained like the others.
pub const LISTEN: &str = "listen";
pub const ON_STORE_FAILURE: &str = "on_store_failure";

/// What the server does once its store stays closed until a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// It goes on: requests over the limit get plain 429s.
    #[default]
    Refuse,
    /// It ends with exit code 1, for a supervisor that starts it again.
    Exit,
}

impl OnStoreFailure {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Exit => "exit",
        }
    }
}

/// Keys whose value is a secret, put where it must not be.
const SECRETS: [&str; 2] = ["hmac_secret", "previous_secrets"];

/// The text of a file.
pub fn load(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let fail = |what: String| Failure::Failed(format!("{shown}: {what}"));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| fail(format!("{error}; name a configuration file that can be read")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("longer than {FILE_BYTES_MAX} bytes, so not a configuration file; check the path")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
        fail(format!("line {line} is not UTF-8; save the file as UTF-8 text"))
    })
}

/// Reads a file, and fails on any mistake.
pub fn open(path: &Path) -> Result<ConfigFile, Failure> {
    ConfigFile::parse(path, &load(path)?).map_err(|wrong| refuse(path, &wrong))
}

/// Formats the mistakes of a file, one line each.
pub fn refuse(path: &Path, wrong: &[Wrong]) -> Failure {
    let shown = printable(&path.display().to_string());
    let mut lines: Vec<String> = wrong.iter().map(|wrong| format!("{shown}:{wrong}")).collect();
    if lines.len() >= WRONG_MAX {
        lines.push(format!("{shown}: only the first {WRONG_MAX} mistakes are listed; there may be more"));
    }
    Failure::Failed(lines.join("\n"))
}

impl ConfigFile {
    /// Reads the settings, or returns all mistakes in the order of the file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Wrong>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut wrong: Vec<Wrong> = errors.iter().take(WRONG_MAX).map(|error| malformed(text, error)).collect();
            wrong.sort_by_key(|wrong| wrong.position);
            return Err(wrong);
        }
        let mut reader = Reader {
            text,
            wrong: Vec::new(),
            good: DeTable::new(),
            kept: Vec::new(),
            listen: None,
            on_store_failure: None,
        };
        for (key, value) in table.get_ref() {
            if reader.wrong.len() < WRONG_MAX {
                reader.entry(key, value);
            }
        }
        let Reader { mut wrong, good, kept, listen, on_store_failure, .. } = reader;
        let settings = match Settings::deserialize(Deserializer::from(Spanned::new(0..text.len(), good))) {
            Ok(settings) => settings,
            // Each entry was read by itself before, so this is not expected.
            Err(error) => return Err(vec![malformed(text, &error)]),
        };
        for problem in settings.problems() {
            let key = in_file(&problem.key, &kept);
            let span = span_of(table.get_ref(), &key).unwrap_or(0..0);
            let said = problem.to_string();
            let own = format!("`{}` is {}: ", problem.key, problem.error.value);
            let (value, message) = match said.strip_prefix(&own) {
                Some(rule) => (problem.error.value.clone(), rule.to_owned()),
                None => {
                    let rest = said.split_once(" does not fit ").map_or(said.as_str(), |(_, rest)| rest);
                    (excerpt(text, &span), format!("it does not fit {rest}"))
                }
            };
            wrong.push(Wrong { position: position(text, &span), key: Some(key), value: Some(value), message });
        }
        wrong.sort_by_key(|wrong| wrong.position);
        wrong.truncate(WRONG_MAX);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let positions = table.get_ref().iter();
        let positions =
            positions.map(|(key, value)| (key.get_ref().to_string(), position(text, &value.span()))).collect();
        Ok(Self { path: path.to_owned(), settings, listen, on_store_failure, positions })
    }

    /// Returns where a key is set.
    pub fn position(&self, key: &str) -> Option<Position> {
        self.positions.iter().find(|(name, _)| name == key).map(|(_, position)| *position)
    }

    /// Returns the path of the secret's file, which is relative to this file.
    pub fn secret_file(&self) -> Option<PathBuf> {
        self.settings.secret_file.as_ref().map(|file| self.beside(file))
    }

    /// Files of older secrets.
    pub fn previous_secret_files(&self) -> Vec<PathBuf> {
        self.settings.previous_secret_files.iter().flatten().map(|file| self.beside(file)).collect()
    }

    fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }
}

/// Reads a table entry by entry, so that one mistake hides no other.
struct Reader<'t> {
    text: &'t str,
    wrong: Vec<Wrong>,
    good: DeTable<'t>,
    /// Which of the file's `route_overrides` are among the good ones.
    kept: Vec<usize>,
    listen: Option<SocketAddr>,
    on_store_failure: Option<OnStoreFailure>,
}

type Name<'t> = Spanned<std::borrow::Cow<'t, str>>;

impl<'t> Reader<'t> {
    fn entry(&mut self, key: &Name<'t>, value: &Spanned<DeValue<'t>>) {
        let name = key.get_ref().as_ref();
        let known = KEYS.iter().find(|known| known.name == name);
        match (value.get_ref(), known) {
            (value, None) if name == LISTEN => self.listen(key, value),
            (value, None) if name == ON_STORE_FAILURE => self.on_store_failure(key, value),
            (_, None) if !SECRETS.contains(&name) => self.unknown(key),
            (DeValue::Array(entries), Some(known)) if name == "route_overrides" => self.overrides(key, known, entries),
            (_, known) => {
                if self.reads(key, value, name, known) {
                    self.good.insert(key.clone(), value.clone());
                }
            }
        }
    }

    /// Returns whether this entry can be read alone; if not, records the mistake.
    fn reads(&mut self, key: &Name<'t>, value: &Spanned<DeValue<'t>>, path: &str, known: Option<&Key>) -> bool {
        let mut table = DeTable::new();
        table.insert(key.clone(), value.clone());
        let Err(error) = Settings::deserialize(Deserializer::from(Spanned::new(0..self.text.len(), table))) else {
            return true;
        };
        let span = error.span().unwrap_or(value.span());
        // A name without an entry among the keys is a secret.
        let value = known.map(|_| excerpt(self.text, &span));
        let allowed = known.map_or(String::new(), |known| format!("; allowed: {}", known.rule));
        let message = format!("{}{allowed}", error.message().trim_end());
        self.wrong.push(Wrong { position: position(self.text, &span), key: Some(path.to_owned()), value, message });
        false
    }

    fn overrides(&mut self, key: &Name<'t>, known: &Key, entries: &DeArray<'t>) {
        let mut good = DeArray::new();
        for (at, entry) in entries.iter().enumerate() {
            if self.wrong.len() >= WRONG_MAX {
                break;
            }
            let mut alone = DeArray::new();
            alone.push(entry.clone());
            let alone = Spanned::new(entry.span(), DeValue::Array(alone));
            if self.reads(key, &alone, &format!("{}[{at}]", known.name), Some(known)) {
                good.push(entry.clone());
                self.kept.push(at);
            }
        }
        self.good.insert(key.clone(), Spanned::new(key.span(), DeValue::Array(good)));
    }

    fn listen(&mut self, key: &Name<'t>, value: &DeValue<'t>) {
        match value.as_str().and_then(|address| address.parse().ok()) {
            Some(address) => self.listen = Some(address),
            None => {
                let message = "expected a quoted address with a port, like \"127.0.0.1:3000\"".to_owned();
                self.wrong_key(key, LISTEN.to_owned(), message);
            }
        }
    }

    fn on_store_failure(&mut self, key: &Name<'t>, value: &DeValue<'t>) {
        let known = [OnStoreFailure::Refuse, OnStoreFailure::Exit];
        match known.into_iter().find(|known| value.as_str() == Some(known.as_str())) {
            Some(known) => self.on_store_failure = Some(known),
            None => {
                let message = "expected \"refuse\" or \"exit\"".to_owned();
                self.wrong_key(key, ON_STORE_FAILURE.to_owned(), message);
            }
        }
    }

    fn unknown(&mut self, key: &Name<'t>) {
        let name = key.get_ref().as_ref();
        let names = KEYS.iter().map(|known| known.name).chain([LISTEN, ON_STORE_FAILURE]);
        let close = names.map(|known| (strsim::jaro_winkler(known, name), known));
        let closest = close.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(score, _)| *score > CLOSE);
        let then =
            closest.map_or("see: pouw check-config --help".to_owned(), |(_, known)| format!("did you mean `{known}`?"));
        self.wrong_key(key, printable(name), format!("unknown setting; {then}"));
    }

    fn wrong_key(&mut self, key: &Name<'t>, shown: String, message: String) {
        let position = position(self.text, &key.span());
        self.wrong.push(Wrong { position, key: Some(shown), value: None, message });
    }
}

/// A file that is not TOML. Only the key on that line is repeated of its text.
fn malformed(text: &str, error: &toml::de::Error) -> Wrong {
    let span = error.span().unwrap_or(0..0);
    let start = text[..floor(text, span.start)].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim());
    let plain = |key: &&str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let message = printable(error.message().trim_end());
    Wrong { position: position(text, &span), key: key.filter(plain).map(str::to_owned), value: None, message }
}

fn position(text: &str, span: &Range<usize>) -> Position {
    let before = &text[..floor(text, span.start)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
}

/// Returns the nearest character boundary at or before this position.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Returns the text of a value, cut to fit one line.
fn excerpt(text: &str, span: &Range<usize>) -> String {
    let value = text.get(span.clone()).unwrap_or_default();
    let mut shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push_str("...");
    }
    printable(&shown)
}

/// Translates the index of a problem to the file's: unreadable entries are not among the settings.
fn in_file(key: &str, kept: &[usize]) -> String {
    let inside = key.strip_prefix("route_overrides[").and_then(|rest| rest.split_once(']'));
    let found = inside.and_then(|(at, rest)| Some((kept.get(at.parse::<usize>().ok()?)?, rest)));
    found.map_or(key.to_owned(), |(at, rest)| format!("route_overrides[{at}]{rest}"))
}

/// Where the value of a key like `route_overrides[1].routes[0]` is.
fn span_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut steps = key.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    let first = steps.next()?;
    let (_, mut value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    for step in steps {
        let found = match value.get_ref() {
            DeValue::Array(entries) => entries.get(step.parse::<usize>().ok()?)?,
            DeValue::Table(inner) => inner.iter().find(|(name, _)| name.get_ref() == step)?.1,
            _ => return None,
        };
        value = found;
    }
    Some(value.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "listen = \"127.0.0.1:0\" # \u{e9}\nrate_limit = 5\nfloor_ms = [1, 2, 3]\n\n[[route_overrides]]\n\
                        name = \"up\"\nrate_limit = 1\nwindow_ms = 1\nroutes = [\"/a\"]\n";

    #[test]
    fn any_damage_is_read_or_told_with_a_position_in_the_file() {
        let mut refused = 0;
        let cuts = TEXT.char_indices().map(|(at, _)| at);
        for at in cuts {
            for (before, after) in [(at, TEXT.len()), (at, at), (0, at)] {
                for put in ["", "[", "\"", "]", "=", "\n", "\u{e9}", "9", "[[", "\"\"\"", "{", ".", "\u{1}"] {
                    let text = [&TEXT[..before], put, &TEXT[after..]].concat();
                    let Err(wrong) = ConfigFile::parse(Path::new("f"), &text) else {
                        continue;
                    };
                    refused += 1;
                    let lines = text.matches('\n').count() + 1;
                    for Wrong { position, .. } in &wrong {
                        assert!((1..=lines).contains(&position.line) && position.column >= 1, "{text:?}: {wrong:?}");
                    }
                    assert!(!wrong.is_empty() && wrong.is_sorted_by_key(|wrong| wrong.position), "{text:?}: {wrong:?}");
                }
            }
        }
        assert!(refused > 1_000, "{refused}");
        assert!(ConfigFile::parse(Path::new("f"), TEXT).is_ok());
    }

    #[test]
    fn a_place_counts_characters_of_its_line() {
        let at = |span: Range<usize>| position("a\n\u{e9}\u{e9}x\n", &span);
        assert_eq!(at(0..1), Position { line: 1, column: 1 });
        assert_eq!(at(6..7), Position { line: 2, column: 3 });
        // Within a character, and beyond the end.
        assert_eq!(at(3..4), Position { line: 2, column: 1 });
        assert_eq!(at(99..100), Position { line: 3, column: 1 });
    }
}
