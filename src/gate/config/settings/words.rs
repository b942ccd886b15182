//! Values of a document that are not plain numbers: routes with separate limits, the word for the
//! strategy, and secrets, which are refused.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use crate::engine::{ConfigError, whole_ms};
use crate::gate::config::choices::{AnswerBuys, NETWORK_RULE, Policy};
use crate::gate::request::identity::IdentifierStrategy;

/// A limit for some routes: a [`Policy`] as written in a file. Made from a [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteOverride {
    /// Name, as sent in `RateLimit-Policy`; not `default`.
    pub name: String,
    /// Admitted requests of one client in one window.
    pub rate_limit: u32,
    /// Length of the window, milliseconds.
    pub window_ms: u64,
    /// Its routes, as in [`Policy::routes`].
    pub routes: Vec<String>,
    /// What an answer buys, as in [`Policy::answer_buys`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_buys: Option<Bought>,
}

/// What an answer buys: an [`AnswerBuys`] as written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Bought {
    /// Requests, with the one that has the answer.
    pub requests: u32,
    /// The time for them, seconds.
    pub seconds: u64,
}

impl From<Bought> for AnswerBuys {
    fn from(Bought { requests, seconds }: Bought) -> Self {
        Self { requests, time: Duration::from_secs(seconds) }
    }
}

impl From<AnswerBuys> for Bought {
    fn from(AnswerBuys { requests, time }: AnswerBuys) -> Self {
        Self { requests, seconds: time.as_secs() }
    }
}

/// A network of proxies, written as `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyNetwork(IpNet);

impl ProxyNetwork {
    pub(super) fn new(network: IpNet) -> Self {
        Self(network)
    }

    pub(super) fn get(self) -> IpNet {
        self.0
    }
}

impl FromStr for ProxyNetwork {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let refused = |_| ConfigError { field: "trusted_proxies", value: text.to_owned(), rule: NETWORK_RULE };
        text.parse().map(Self).map_err(refused)
    }
}

impl fmt::Display for ProxyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The property of a request that identifies a client: an [`IdentifierStrategy`] as written in a
/// file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientIdentifier {
    /// The client's address.
    Ip,
    /// The authenticated user; all requests without one count as one client.
    User,
    /// The validated API key; all requests without one count as one client.
    ApiKey,
    /// The authenticated user, else the client's address.
    UserOrIp,
}

impl ClientIdentifier {
    /// Returns the word for a strategy; `None` for a function of the host.
    pub(super) fn of(strategy: &IdentifierStrategy) -> Option<Self> {
        Some(match strategy {
            IdentifierStrategy::Ip => Self::Ip,
            IdentifierStrategy::User => Self::User,
            IdentifierStrategy::ApiKey => Self::ApiKey,
            IdentifierStrategy::UserOrIp => Self::UserOrIp,
            IdentifierStrategy::Custom(_) => return None,
        })
    }
}

impl From<ClientIdentifier> for IdentifierStrategy {
    fn from(word: ClientIdentifier) -> Self {
        match word {
            ClientIdentifier::Ip => Self::Ip,
            ClientIdentifier::User => Self::User,
            ClientIdentifier::ApiKey => Self::ApiKey,
            ClientIdentifier::UserOrIp => Self::UserOrIp,
        }
    }
}

impl<'de> Deserialize<'de> for ClientIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "ip" => Ok(Self::Ip),
            "user" => Ok(Self::User),
            "api_key" => Ok(Self::ApiKey),
            "user_or_ip" => Ok(Self::UserOrIp),
            "custom" => Err(D::Error::custom(
                "`custom` is a function of the host and cannot be set in a file: set it on the builder, after the \
                 settings have been applied",
            )),
            other => Err(D::Error::invalid_value(Unexpected::Str(other), &"ip, user, api_key or user_or_ip")),
        }
    }
}

impl From<&RouteOverride> for Policy {
    fn from(from: &RouteOverride) -> Self {
        Self {
            routes: from.routes.clone(),
            answer_buys: from.answer_buys.map(AnswerBuys::from),
            ..Self::new(&*from.name, from.rate_limit, Duration::from_millis(from.window_ms))
        }
    }
}

impl From<Policy> for RouteOverride {
    fn from(Policy { name, rate_limit, window, routes, answer_buys }: Policy) -> Self {
        Self { name, rate_limit, window_ms: whole_ms(window), routes, answer_buys: answer_buys.map(Bought::from) }
    }
}

/// A secret in a configuration file. Reading one always fails, so no value of this type exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverInAFile(());

impl<'de> Deserialize<'de> for NeverInAFile {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "a secret must not be in a configuration file, since such files are copied, shown and kept under version \
             control: put it into a separate file that only its owner can read, and name that file in secret_file \
             (files with older secrets in previous_secret_files)",
        ))
    }
}
