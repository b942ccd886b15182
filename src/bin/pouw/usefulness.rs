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
    /// Accepted permutations of real leaves and parents, as a share of those requested from clients.
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
        let by_reason = HashReason::ALL.iter().zip(account.server);
        Self {
            asked: account.asked,
            accepted: account.accepted,
            server: by_reason.map(|(reason, work)| (reason.as_str(), work)).collect(),
            saved_permutations: account.saved(),
            sent_units: account.sent_units,
            sent_bytes: account.sent_bytes,
        }
    }
}

impl From<&UsefulnessAccount> for Usefulness {
    fn from(account: &UsefulnessAccount) -> Self {
        let made_up = &account.by[UsefulnessAccount::SYNTHETIC];
        Self {
            useful_fraction: account.useful_fraction(),
            saved_permutations: real(account).map(|(_, account)| account.saved()).sum(),
            strategies: real(account).map(|(word, account)| (word, account.into())).collect(),
            synthetic: SyntheticDocument {
                asked: made_up.asked,
                accepted: made_up.accepted,
                sent_units: made_up.sent_units,
                sent_bytes: made_up.sent_bytes,
            },
        }
    }
}

/// The strategies with their words.
fn real(account: &UsefulnessAccount) -> impl Iterator<Item = (&'static str, &StrategyAccount)> {
    account.named().take(UsefulnessAccount::SYNTHETIC)
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
    for (word, account) in account.named() {
        if *account != StrategyAccount::default() {
            line(to, word, account)?;
        }
    }
    Ok(())
}

fn line(to: &mut dyn Write, word: &str, account: &StrategyAccount) -> io::Result<()> {
    write!(to, "{word:<13} {:>15}", number(account.accepted.permutations))?;
    account.server.iter().try_for_each(|work| write!(to, " {:>13}", number(work.permutations)))?;
    // Made-up work saves nothing.
    let saved = if word == UsefulnessAccount::NAMES[UsefulnessAccount::SYNTHETIC] {
        "-".to_owned()
    } else {
        signed(account.saved())
    };
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
