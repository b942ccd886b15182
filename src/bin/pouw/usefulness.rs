//! The account of usefulness: work requested from clients, accepted, and saved by the server.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::{HumanBytes, HumanCount};
use pouw::{HashReason, HashWork, StrategyAccount, UsefulnessAccount};
use serde::Serialize;

/// The whole account.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usefulness {
    /// Accepted permutations of real leaves and parents, as a share of those requested from
    /// clients.
    useful_fraction: Option<f64>,
    /// Accepted permutations minus those of the server, without made-up work.
    saved_permutations: i128,
    strategies: BTreeMap<&'static str, StrategyDocument>,
    synthetic: SyntheticDocument,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StrategyDocument {
    asked: HashWork,
    accepted: HashWork,
    server: BTreeMap<&'static str, HashWork>,
    saved_permutations: i128,
    sent_units: u64,
    sent_bytes: u64,
}

/// Made-up work: useless, so nothing is saved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SyntheticDocument {
    asked: HashWork,
    accepted: HashWork,
    sent_units: u64,
    sent_bytes: u64,
}

impl From<&StrategyAccount> for StrategyDocument {
    fn from(account: &StrategyAccount) -> Self {
        Self {
            asked: account.asked,
            accepted: account.accepted,
            server: HashReason::ALL.into_iter().map(|reason| (reason.as_str(), account.server(reason))).collect(),
            saved_permutations: account.saved(),
            sent_units: account.sent_units,
            sent_bytes: account.sent_bytes,
        }
    }
}

impl From<&UsefulnessAccount> for Usefulness {
    fn from(account: &UsefulnessAccount) -> Self {
        let made_up = account.synthetic();
        Self {
            useful_fraction: account.useful_fraction(),
            saved_permutations: account.strategies().map(|(_, account)| account.saved()).sum(),
            strategies: account.strategies().map(|(word, account)| (word, account.into())).collect(),
            synthetic: SyntheticDocument {
                asked: made_up.asked,
                accepted: made_up.accepted,
                sent_units: made_up.sent_units,
                sent_bytes: made_up.sent_bytes,
            },
        }
    }
}

/// Prints a table in Keccak permutations, with a line for each strategy that has counts.
pub fn print(to: &mut dyn Write, account: &UsefulnessAccount) -> io::Result<()> {
    if account.is_empty() {
        return Ok(());
    }
    match account.useful_fraction() {
        Some(fraction) => writeln!(to, "useful     {:.1} % of the hashing requested from clients", 100.0 * fraction)?,
        None => writeln!(to, "useful     (no work was sent to clients yet)")?,
    }
    writeln!(to)?;
    writeln!(to, "Keccak permutations: accepted from clients, computed by the server by reason, and saved")?;
    write!(to, "{:<13} {:>15}", "", "accepted")?;
    HashReason::ALL.iter().try_for_each(|reason| write!(to, " {:>13}", reason.as_str()))?;
    writeln!(to, " {:>15} {:>12} {:>11}", "saved", "units sent", "bytes sent")?;
    for (word, of) in account.named() {
        if *of != StrategyAccount::default() {
            // Made-up work saves nothing.
            let made_up = std::ptr::eq(of, account.synthetic());
            line(to, word, of, if made_up { "-".to_owned() } else { signed(of.saved()) })?;
        }
    }
    Ok(())
}

fn line(to: &mut dyn Write, word: &str, account: &StrategyAccount, saved: String) -> io::Result<()> {
    write!(to, "{word:<13} {:>15}", number(account.accepted.permutations))?;
    HashReason::ALL
        .into_iter()
        .try_for_each(|reason| write!(to, " {:>13}", number(account.server(reason).permutations)))?;
    let (units, bytes) = (number(account.sent_units), HumanBytes(account.sent_bytes).to_string());
    writeln!(to, " {saved:>15} {units:>12} {bytes:>11}")
}

fn number(value: u64) -> String {
    HumanCount(value).to_string()
}

fn signed(value: i128) -> String {
    let size = number(u64::try_from(value.unsigned_abs()).unwrap_or(u64::MAX));
    if value < 0 { format!("-{size}") } else { size }
}
