//! All sections together, as a document and as Markdown.

use indicatif::HumanCount;
use serde::Serialize;

use super::machine::Machine;
use super::rig::LEAF_BYTES;
use super::{Scale, comparison, throughput, verification};

/// What was measured; sections that were not asked for are absent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub machine: Machine,
    quick: bool,
    answers: u32,
    clients: Vec<u16>,
    rounds: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Vec<verification::Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throughput: Option<Vec<throughput::Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead: Option<comparison::Section>,
    /// What does not add up.
    pub findings: Vec<String>,
    pub seconds: f64,
}

impl Report {
    pub fn new(machine: Machine, quick: bool, scale: &Scale) -> Self {
        Self {
            machine,
            quick,
            answers: scale.answers,
            clients: scale.clients.clone(),
            rounds: scale.overhead.rounds,
            verification: None,
            throughput: None,
            overhead: None,
            findings: Vec::new(),
            seconds: 0.0,
        }
    }

    pub fn add_verification(&mut self, rows: Vec<verification::Row>) {
        self.findings.extend(rows.iter().filter_map(verification::Row::finding));
        self.verification = Some(rows);
    }

    pub fn add_throughput(&mut self, rows: Vec<throughput::Row>) {
        self.findings.extend(rows.iter().filter_map(throughput::Row::finding));
        self.throughput = Some(rows);
    }

    pub fn add_overhead(&mut self, section: comparison::Section) {
        self.findings.extend(section.findings());
        self.overhead = Some(section);
    }

    pub fn text(&self) -> String {
        let mut parts = vec![self.head()];
        parts.extend(self.verification.as_deref().map(verification::text));
        parts.extend(self.throughput.as_deref().map(throughput::text));
        parts.extend(self.overhead.as_ref().map(|section| section.text(self.rounds)));
        if !self.findings.is_empty() {
            let findings = self.findings.iter().map(|finding| format!("- {finding}\n"));
            parts.push(format!("## What does not add up\n\n{}", findings.collect::<String>()));
        }
        parts.join("\n")
    }

    fn head(&self) -> String {
        let mut text = format!("# The evaluation of section 9 of the paper\n\n{}\n\n", self.machine.line());
        if self.machine.unoptimised {
            text.push_str("**Built without optimisation: the figures mean nothing.**\n\n");
        }
        if self.quick {
            text.push_str("**A quick run: it shows that everything works, and its figures are coarse.**\n\n");
        }
        let answers = HumanCount(self.answers.into());
        text.push_str(&format!(
            "Real engine, real store, real tokens; leaves of {LEAF_BYTES} bytes, hashed at ingest and compared with what clients\n\
             answer; low units are one leaf, high ones 32 leaves (63 hashes). Up to {answers} answers in a part, at high a quarter\n\
             of that. For the bench the floor is 0, and ceilings, byte budgets and open challenges are raised so that they limit\n\
             no client. Took {:.0} s.\n",
            self.seconds
        ));
        text
    }
}
