//! All problems of a document, not only the first one that a builder refuses.
//!
//! The rules are in the builders only. A refused value is removed and the rest is checked again,
//! until the builders accept it. Each entry of a list is checked alone, then the good entries
//! together.

use std::fmt;
use std::time::Duration;

use crate::engine::{Config, ConfigError};
use crate::gate::config::builder::{GateConfig, GateConfigBuilder};
use crate::gate::config::choices::Policy;

use super::keys::{ENGINE_FIELDS, Field, GATE_FIELDS, Settings};

/// A setting that a builder refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is in the document, like `rate_limit` or `route_overrides[1].routes[0]`.
    pub key: String,
    /// The builder's error. Its field differs from `key` if the key only made a default invalid.
    pub error: ConfigError,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, error: ConfigError { field, value, rule } } = self;
        if GROUNDS.iter().any(|(other, ground)| field == other && key == ground) {
            return write!(f, "`{key}` does not fit `{field}`, which is {value}: {rule}");
        }
        write!(f, "`{key}` is {value}: {rule}")
    }
}

impl std::error::Error for Problem {}

/// Settings whose rule depends on another one.
const GROUNDS: [(&str, &str); 5] = [
    ("floor_ms", "token_ttl_seconds"),
    ("synthetic_max", "leases_max"),
    ("max_difficulty", "default_difficulty"),
    ("buffered_bytes_max", "body_limit_bytes"),
    ("bytes_in_flight", "unit_bytes"),
];

/// Settings whose key has another name, without an entry in the table of the keys that names the
/// field.
const BY_HAND: [Field; 2] = [
    Field { name: "previous_secrets", key: "previous_secret_files", unit: "" },
    Field { name: "window", key: "window_ms", unit: "ms" },
];

/// Returns a builder's error with the name and value that the document has.
fn in_document(error: ConfigError, fields: &[Field]) -> ConfigError {
    let Some(Field { key, unit, .. }) = fields.iter().chain(&BY_HAND).find(|field| field.name == error.field) else {
        return error;
    };
    let unit_ms = match *unit {
        "s" => 1_000,
        "ms" => 1,
        _ => return ConfigError { field: key, ..error },
    };
    let ms = error.value.strip_suffix(" ms").and_then(|number| number.parse::<u128>().ok());
    let value = ms.map_or(error.value, |ms| (ms / unit_ms).to_string());
    ConfigError { field: key, value, rule: error.rule }
}

/// Maximum number of problems reported. It bounds the time for a file with nothing but problems.
const PROBLEMS_MAX: usize = 100;

impl Settings {
    /// Returns everything that the builders would refuse, at most 100 problems. The files with
    /// secrets are not read.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        self.route_problems(&mut found);
        let of_lists = found.len();
        let mut rest = self.clone();
        (rest.route_overrides, rest.exempt_routes) = (None, None);
        while let Some(error) = rest.first_refused() {
            let ground = GROUNDS.iter().find(|(field, _)| *field == error.field).map(|(_, ground)| *ground);
            // If a default is refused, the setting that its rule depends on is at fault.
            let key = if rest.is_set(error.field) { error.field } else { ground.unwrap_or(error.field) };
            let forgotten = rest.forget(key);
            // Skip a setting whose rule depends on a wrong setting: its own state is unknown. Skip
            // a default that replaced a refused value: the operator did not choose it.
            let reported = |problem: &Problem| Some(&*problem.key) == ground || problem.error.field == error.field;
            if !found.iter().skip(of_lists).any(reported) {
                found.push(Problem { key: key.to_owned(), error });
            }
            if !forgotten {
                break;
            }
        }
        found.truncate(PROBLEMS_MAX);
        found
    }

    /// Returns the error for the first setting that a builder refuses, by its name in the document.
    fn first_refused(&self) -> Option<ConfigError> {
        // One secret for each file, all different.
        let previous = self.previous_secret_files.iter().flatten().zip(1..=u8::MAX);
        let builder =
            previous.fold(Config::builder([0; 32]), |builder, (_, other)| builder.previous_secret([other; 32]));
        let engine = match self.engine(builder).build() {
            Ok(engine) => engine,
            Err(error) => return Some(in_document(error, ENGINE_FIELDS)),
        };
        let gate = self.gate(GateConfig::builder()).build().and_then(|gate| gate.fits(&engine));
        gate.err().map(|error| in_document(error, GATE_FIELDS))
    }

    fn route_problems(&self, found: &mut Vec<Problem>) {
        let overrides = self.route_overrides.as_deref().unwrap_or_default();
        let mut places = Places::default();
        for (at, entry) in overrides.iter().enumerate() {
            let key = |part: &str| format!("route_overrides[{at}].{part}");
            if check(found, key("name"), |builder| builder.policy(Policy::new(&*entry.name, 1, Duration::from_secs(1))))
            {
                places.names.push((key("name"), &entry.name));
            }
            check(found, key("rate_limit"), |builder| builder.rate_limit(entry.rate_limit));
            check(found, key("window_ms"), |builder| builder.window(Duration::from_millis(entry.window_ms)));
            places.add_routes(found, &key("routes"), &entry.routes);
        }
        places.add_routes(found, "exempt_routes", self.exempt_routes.as_deref().unwrap_or_default());
        while found.len() < PROBLEMS_MAX
            && let Some(error) = places.first_refused()
        {
            let list = match error.field {
                "policies.name" => &mut places.names,
                "routes" => &mut places.routes,
                _ => {
                    found.push(Problem { key: "route_overrides".to_owned(), error });
                    break;
                }
            };
            // Each is good alone, so the error is about the later one of two equal entries.
            let Some(at) = list.iter().rposition(|(_, value)| *value == error.value) else {
                break;
            };
            let (key, _) = list.remove(at);
            found.push(Problem { key, error });
        }
    }
}

/// Names and routes that are each good alone, with their places in the document.
#[derive(Default)]
struct Places<'a> {
    names: Vec<(String, &'a str)>,
    routes: Vec<(String, &'a str)>,
}

impl<'a> Places<'a> {
    fn add_routes(&mut self, found: &mut Vec<Problem>, key: &str, routes: &'a [String]) {
        for (at, route) in routes.iter().enumerate() {
            let key = format!("{key}[{at}]");
            if check(found, key.clone(), |builder| builder.exempt_route(route)) {
                self.routes.push((key, route));
            }
        }
    }

    /// Returns the first error of all of them together.
    fn first_refused(&self) -> Option<ConfigError> {
        let names = self.names.iter().map(|(_, name)| Policy::new(*name, 1, Duration::from_secs(1)));
        let builder = names.fold(GateConfig::builder(), GateConfigBuilder::policy);
        let routes = self.routes.iter().map(|(_, route)| *route);
        routes.fold(builder, GateConfigBuilder::exempt_route).build().err()
    }
}

/// Returns whether the builder accepts this alone; if not, records a problem.
fn check(found: &mut Vec<Problem>, key: String, change: impl FnOnce(GateConfigBuilder) -> GateConfigBuilder) -> bool {
    match change(GateConfig::builder()).build() {
        Ok(_) => true,
        Err(error) => {
            found.push(Problem { key, error: in_document(error, GATE_FIELDS) });
            false
        }
    }
}
