//! `pouw solve`: computes the unit in a 429, for requests made with curl.

use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use pouw::protocol::limits::MAX_UNIT_JSON_BYTES;
use pouw::protocol::{WorkResult, WorkUnit};
use pouw::solver::compute_work_unit_timed;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::words::count;

/// Compute the work in a 429 and print the result to send.
///
/// Prints the result as JSON, or in the form that an option names. stderr reports when to send it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// File with the body of a 429, or with only its work unit; - reads standard input.
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// Print the compact form, for the header X-PoUW-Result.
    #[arg(long, conflicts_with = "request")]
    compact: bool,
    /// Print an object with the member workResult, for the body of a request.
    #[arg(long)]
    request: bool,
}

const EXAMPLES: &str = "\
Examples:
  curl -s http://127.0.0.1:3000/hello -o limited.json
  pouw solve limited.json
  curl http://127.0.0.1:3000/hello -H \"X-PoUW-Response: $(jq -r .workUnit.challengeToken limited.json)\" \\
       -H \"X-PoUW-Result: $(pouw solve --compact limited.json)\"

The server accepts the answer after the unit's waitMs. This command does not wait; `pouw fetch` does.";

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let unit = unit(&read(options)?)?;
    let result = compute_work_unit_timed(&unit, |_| ControlFlow::Continue(()))
        .map_err(|error| Failure::failed(format!("the unit cannot be computed: {error}")))?;
    complain(&format!(
        "computed {} over {} of data; send the answer after {} ms and before {} ms",
        count(unit.node_count, "hash", "hashes"),
        count(unit.input_data.len() as u64, "byte", "bytes"),
        unit.wait_ms,
        unit.ttl_ms
    ));
    let text = text(options, &result);
    let mut to = out.stream();
    writeln!(to, "{text}").and_then(|()| to.flush())?;
    Ok(Verdict::Done)
}

fn text(options: &Options, result: &WorkResult) -> String {
    match (options.compact, options.request) {
        (true, _) => result.to_compact(),
        (_, true) => format!("{{\"workResult\":{}}}", result.to_json()),
        _ => result.to_json(),
    }
}

fn read(options: &Options) -> Result<Vec<u8>, Failure> {
    // A problem document has few bytes beside its unit.
    let bound = MAX_UNIT_JSON_BYTES as u64 + 65_536;
    let mut bytes = Vec::new();
    let name = options.from.display();
    let fail = |error: std::io::Error| Failure::failed(format!("{name}: {error}; name the file with the 429's body"));
    if options.from.as_os_str() == "-" {
        std::io::stdin().lock().take(bound + 1).read_to_end(&mut bytes).map_err(fail)?;
    } else {
        std::fs::File::open(&options.from)
            .and_then(|file| file.take(bound + 1).read_to_end(&mut bytes))
            .map_err(fail)?;
    }
    if bytes.len() as u64 > bound {
        return Err(Failure::failed(format!("{name} has more than {bound} bytes; name the file with the 429's body")));
    }
    Ok(bytes)
}

/// The unit in a problem document, or the unit that the document is.
fn unit(bytes: &[u8]) -> Result<WorkUnit, Failure> {
    let document: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| Failure::failed(format!("the input is not JSON: {error}; use the unchanged body of a 429")))?;
    let unit = match (document.get("workUnit"), document.get("reason").and_then(serde_json::Value::as_str)) {
        (Some(unit), _) => unit,
        (None, Some(reason)) => {
            return Err(Failure::failed(format!(
                "this response has no work (reason {reason}); wait for its Retry-After"
            )));
        }
        (None, None) => &document,
    };
    WorkUnit::from_json(unit.to_string().as_bytes()).map_err(|error| Failure::failed(error.to_string()))
}
