//! `pouw check-config`: explains a configuration file, or lists everything that is wrong with it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use pouw::Config;
use pouw::settings::{ClientIdentifier, KEYS, Key, Risk, Settings, Weight};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config_file::{self, ConfigFile, LISTEN, ON_STORE_FAILURE, OnStoreFailure, Position, Wrong};
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::secret;
use crate::serve;
use crate::words::printable;

/// Explain a configuration file of `pouw serve`.
///
/// Prints every setting with its value, meaning and range, and warnings. If the file is wrong,
/// lists every mistake.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The file, in TOML. An empty file has all settings at their defaults.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  pouw check-config pouw.toml
  pouw serve --db store --config pouw.toml

A file, pouw.toml. Every line is optional:
  listen = \"127.0.0.1:3000\"
  rate_limit = 60                          # requests of one client in a window
  window_ms = 60_000                       # length of the window
  paid_admissions_per_window = 30          # additional requests admitted by work
  floor_ms = [1_500, 4_000, 7_500]         # wait before an answer counts: low, medium, high
  trusted_proxies = [\"10.0.0.0/8\"]
  exempt_routes = [\"/health\", \"GET /feed/*\"]
  secret_file = \"pouw.secret\"              # relative to this file; chmod 600

  [[route_overrides]]
  name = \"upload\"
  rate_limit = 5
  window_ms = 60_000
  routes = [\"POST /echo\"]

Exit codes: 0 the file can be served (also with warnings), 1 it cannot. stderr has one line for each mistake, with
FILE:LINE:COLUMN, key, value and rule.";

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let path = &options.file;
    let text = config_file::load(path)?;
    let read = ConfigFile::parse(path, &text).and_then(|file| {
        let wrong = wrong_secrets(&file);
        if wrong.is_empty() { Ok(file) } else { Err(wrong) }
    });
    let file = match read {
        Ok(file) => file,
        Err(wrong) => return report(path, &wrong, out),
    };
    let rows = rows(&file);
    let risks = risks(&file.settings);
    out.show(&document(path, &rows, &risks), |to| human(to, path, &rows, &risks))?;
    Ok(Verdict::Done)
}

/// Reports the mistakes: as lines on stderr, and with `--json` as a document.
fn report(path: &Path, wrong: &[Wrong], out: &Output) -> Result<Verdict, Failure> {
    let failure = config_file::refuse(path, wrong);
    if !out.json {
        return Err(failure);
    }
    if let Failure::Failed(lines) = failure {
        complain(&lines);
    }
    let document = json!({ "file": path.display().to_string(), "valid": false, "wrong": wrong });
    out.show(&document, |_| Ok(()))?;
    Ok(Verdict::Failed)
}

/// Returns the errors of the secret files that the file names.
fn wrong_secrets(file: &ConfigFile) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut complain_of = |key: &str, name: &Path, failure: Failure| {
        let position = file.position(key).unwrap_or(Position { line: 1, column: 1 });
        let message = match failure {
            Failure::Failed(what) | Failure::Usage(what) => what,
            Failure::ReaderGone => "it cannot be read".to_owned(),
        };
        let value = Some(printable(&name.display().to_string()));
        wrong.push(Wrong { position, key: Some(key.to_owned()), value, message });
    };
    let mut secrets = Vec::new();
    let newest = file.secret_file();
    let named = newest.iter().map(|file| ("secret_file", file.clone()));
    let older = file.previous_secret_files().into_iter().map(|file| ("previous_secret_files", file));
    for (key, name) in named.chain(older) {
        match secret::of_file(&name) {
            Ok(secret) => secrets.push((key, name, secret)),
            Err(failure) => complain_of(key, &name, failure),
        }
    }
    // A secret in the store's directory is not known here; a placeholder takes its place.
    let own = secrets.iter().find(|(key, ..)| *key == "secret_file").map_or(vec![0; 32], |(.., own)| own.clone());
    let mut builder = Config::builder(own);
    for (key, name, secret) in secrets.into_iter().filter(|(key, ..)| *key != "secret_file") {
        let with = builder.clone().previous_secret(secret);
        match with.clone().build() {
            Ok(_) => builder = with,
            Err(error) => complain_of(key, &name, Failure::Failed(error.rule.to_owned())),
        }
    }
    wrong
}

/// A setting, its value, and the origin of the value.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    value: Value,
    default: Value,
    /// `file` or `default`.
    source: &'static str,
    line: Option<usize>,
    unit: &'static str,
    rule: &'static str,
    meaning: &'static str,
    group: &'static str,
}

fn rows(file: &ConfigFile) -> Vec<Row> {
    let members = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let values = members(&file.settings.effective());
    let defaults = members(&Settings::default().effective());
    let row = |key: &Key| {
        let line = file.position(key.name).map(|position| position.line);
        Row {
            name: key.name,
            value: values.get(key.name).cloned().unwrap_or(Value::Null),
            default: defaults.get(key.name).cloned().unwrap_or(Value::Null),
            source: if line.is_some() { "file" } else { "default" },
            line,
            unit: key.unit,
            rule: key.rule,
            meaning: key.meaning,
            group: key.group,
        }
    };
    let line = file.position(LISTEN).map(|position| position.line);
    let listen = Row {
        name: LISTEN,
        value: file.listen.unwrap_or(serve::LISTEN).to_string().into(),
        default: serve::LISTEN.to_string().into(),
        source: if line.is_some() { "file" } else { "default" },
        line,
        unit: "",
        rule: "an address with a port",
        meaning: "Where pouw serve listens; port 0 chooses a free port.",
        group: "The server",
    };
    let line = file.position(ON_STORE_FAILURE).map(|position| position.line);
    let on_store_failure = Row {
        name: ON_STORE_FAILURE,
        value: file.on_store_failure.unwrap_or_default().as_str().into(),
        default: OnStoreFailure::default().as_str().into(),
        source: if line.is_some() { "file" } else { "default" },
        line,
        unit: "",
        rule: "one of refuse, exit",
        meaning: "What pouw serve does once its store stays closed until a restart: refuse answers requests over the \
                  limit with plain 429s, exit ends it with exit code 1.",
        group: "The server",
    };
    [listen, on_store_failure].into_iter().chain(KEYS.iter().map(row)).collect()
}

/// Returns the library's warnings and notes, and those of this server.
fn risks(settings: &Settings) -> Vec<(Weight, &'static str, String)> {
    let strategy = settings.identifier_strategy;
    let unauthenticated = matches!(strategy, Some(ClientIdentifier::User | ClientIdentifier::ApiKey));
    let what = "pouw serve does not authenticate users: with this strategy all its clients are one".to_owned();
    let own = unauthenticated.then_some((Weight::Warning, "identifier_strategy", what));
    let of_library = settings.risks().into_iter().map(|Risk { weight, key, what, .. }| (weight, key, what));
    own.into_iter().chain(of_library).collect()
}

fn document(path: &Path, rows: &[Row], risks: &[(Weight, &'static str, String)]) -> Value {
    let of = |wanted: Weight| -> Vec<Value> {
        let those = risks.iter().filter(|(weight, ..)| *weight == wanted);
        those.map(|(_, key, what)| json!({ "key": key, "message": what })).collect()
    };
    json!({
        "file": path.display().to_string(),
        "valid": true,
        "settings": rows,
        "warnings": of(Weight::Warning),
        "notes": of(Weight::Note),
    })
}

fn human(to: &mut dyn Write, path: &Path, rows: &[Row], risks: &[(Weight, &'static str, String)]) -> io::Result<()> {
    let own = rows.iter().filter(|row| row.line.is_some()).count();
    let shown = printable(&path.display().to_string());
    writeln!(to, "{shown} can be served: {own} of {} settings are set, the others are defaults", rows.len())?;
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            writeln!(to, "\n{group}")?;
        }
        let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
        let from = match row.line {
            Some(line) => format!("line {line}; default {}", toml_text(&row.default)),
            None => "default".to_owned(),
        };
        writeln!(to, "  {} = {}{unit}  ({from})", row.name, toml_text(&row.value))?;
        writeln!(to, "      {} Allowed: {}.", row.meaning, row.rule)?;
    }
    if !risks.is_empty() {
        writeln!(to)?;
    }
    for (weight, key, what) in risks {
        let word = if *weight == Weight::Warning { "warning" } else { "note" };
        writeln!(to, "{word}: {key}: {what}")?;
    }
    Ok(())
}

/// Formats a value as in the file.
fn toml_text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Array(entries) => format!("[{}]", entries.iter().map(toml_text).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name} = {}", toml_text(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        plain => printable(&plain.to_string()),
    }
}
