//! 9.4 as a table: medians over the rounds, beside the plain limiter doing the same.

use serde::Serialize;

use super::memory;
use super::overhead::{AT_ONCE, Case, Measured, Rounds};
use super::statistics::{Spread, median};
use super::table::{Table, figure};

/// The whole section.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    cases: Vec<Row>,
    answers: u64,
    accepted: u64,
    memory: Vec<memory::Row>,
}

/// One case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    /// In each round.
    requests: u64,
    cpu_us: f64,
    #[serde(flatten)]
    spread: Spread,
    /// What it is compared with, and how many times its CPU time and its p50 this is.
    beside: Option<String>,
    cpu_ratio: Option<f64>,
    p50_ratio: Option<f64>,
}

impl Section {
    pub fn new(rounds: &Rounds, memory: Vec<memory::Row>) -> Self {
        let cases = Case::ALL.map(|case| Row::new(case, &rounds.measured)).into();
        Self { cases, answers: rounds.answers, accepted: rounds.accepted, memory }
    }

    /// What does not add up.
    pub fn findings(&self) -> Vec<String> {
        let Self { answers, accepted, .. } = self;
        let lost = (answers != accepted).then(|| format!("9.4: {accepted} of {answers} answers were stored"));
        lost.into_iter().chain(self.memory.iter().filter_map(memory::Row::finding)).collect()
    }

    pub fn text(&self, rounds: u16) -> String {
        let head = ["request", "in a round", "CPU us", "p50 us", "p99 us", "CPU ratio", "p50 ratio", "beside"];
        let mut table = Table::new(head);
        for row in &self.cases {
            let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), figure);
            table.row([
                row.name.clone(),
                row.requests.to_string(),
                figure(row.cpu_us),
                figure(row.spread.p50_us),
                figure(row.spread.p99_us),
                ratio(row.cpu_ratio),
                ratio(row.p50_ratio),
                row.beside.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        format!(
            "## 9.4 Overhead beside traditional rate limiting\n\n{}\n\
             The same in-process call of a tower service each time; medians of {rounds} rounds, alternating. The plain limiter is\n\
             a map of queues of moments behind a lock; its 429 has none of the rate limit headers that the gate sends. CPU time\n\
             is of all threads of the process; answers pay for their commits.\n\
             \n{}",
            table.text(),
            memory::text(&self.memory)
        )
    }
}

impl Row {
    fn new(case: Case, measured: &[Measured]) -> Self {
        let own = Medians::of(case, measured);
        let peer = beside(case);
        let ratio = |pick: fn(&Medians) -> f64| {
            let peer = pick(&Medians::of(peer?, measured));
            (peer > 0.0).then(|| pick(&own) / peer)
        };
        Self {
            name: name(case),
            requests: own.requests,
            cpu_us: own.cpu_us,
            spread: own.spread,
            beside: peer.map(name),
            cpu_ratio: ratio(|medians| medians.cpu_us),
            p50_ratio: ratio(|medians| medians.spread.p50_us),
        }
    }
}

/// One case over all rounds.
struct Medians {
    requests: u64,
    cpu_us: f64,
    spread: Spread,
}

impl Medians {
    fn of(case: Case, measured: &[Measured]) -> Self {
        let own = || measured.iter().filter(move |measured| measured.case == case);
        let middle = |pick: fn(&Measured) -> f64| median(own().map(pick));
        Self {
            requests: own().next().map_or(0, |measured| measured.requests),
            cpu_us: middle(|measured| measured.cpu_us),
            spread: Spread {
                p50_us: middle(|measured| measured.spread.p50_us),
                p99_us: middle(|measured| measured.spread.p99_us),
                max_us: middle(|measured| measured.spread.max_us),
            },
        }
    }
}

fn name(case: Case) -> String {
    match case {
        Case::Bare => "no limiter".to_owned(),
        Case::PlainUnder => "plain limiter, under the limit".to_owned(),
        Case::PlainOver => "plain limiter, 429".to_owned(),
        Case::GateUnder => "gate, under the limit".to_owned(),
        Case::GateOver => "gate, plain 429".to_owned(),
        Case::Challenge => "gate, 429 with challenge".to_owned(),
        Case::Answer => "gate, answer accepted, durable".to_owned(),
        Case::AnswersAtOnce => format!("the same, {AT_ONCE} at once"),
    }
}

/// What the plain limiter does with such a request.
fn beside(case: Case) -> Option<Case> {
    match case {
        Case::GateUnder | Case::Answer | Case::AnswersAtOnce => Some(Case::PlainUnder),
        Case::GateOver | Case::Challenge => Some(Case::PlainOver),
        Case::Bare | Case::PlainUnder | Case::PlainOver => None,
    }
}

#[cfg(test)]
#[allow(unused, reason = "run by tests/cli")]
mod tests {
    use super::*;

    fn measured(case: Case, cpu_us: f64) -> Measured {
        Measured { case, requests: 10, cpu_us, spread: Spread { p50_us: cpu_us * 2.0, ..Spread::default() } }
    }

    #[test]
    fn a_case_is_compared_with_the_medians_of_the_plain_limiter() {
        let mut all: Vec<Measured> = [4.0, 90.0, 5.0].map(|us| measured(Case::GateUnder, us)).into();
        all.extend([2.0, 2.5, 70.0].map(|us| measured(Case::PlainUnder, us)));
        all.push(measured(Case::PlainOver, 1_000.0));
        let row = Row::new(Case::GateUnder, &all);
        assert_eq!((row.cpu_us, row.cpu_ratio, row.p50_ratio), (5.0, Some(2.0), Some(2.0)));
        assert_eq!(row.beside.as_deref(), Some("plain limiter, under the limit"));
        assert_eq!(Row::new(Case::Bare, &all).cpu_ratio, None);
    }
}
