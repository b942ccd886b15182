//! `pouw fetch`: an HTTP request that solves the challenge of a 429.

mod reporter;
mod request;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use pouw::client::Terms;
use pouw::client::reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain, write_file};
use crate::words::printable;

use reporter::Reporter;

/// Send an HTTP request, and do the work if the server requires it.
///
/// Prints the body of the response; stderr reports the progress. A limited request is sent once
/// more with the answer, after the wait that the server requires. Follows up to ten redirects; each
/// may be limited again, unless the answer bought more requests to that server.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Address of the request, http or https.
    #[arg(value_parser = request::url)]
    url: Url,
    /// Method [default: GET, with --data POST].
    #[arg(short = 'X', long = "request", value_name = "METHOD", value_parser = request::method)]
    method: Option<Method>,
    /// Header to send, as "Name: value"; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = request::header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Body to send; @FILE sends a file, @- standard input. Set its Content-Type with -H.
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,
    /// Write the body to this file, completely or not at all, instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Longest time to get past the limit, in seconds from the first request.
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    deadline: u64,
    /// Most bytes of data to hash [default: 2097152].
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Most hashes to compute [default: 98].
    #[arg(long, value_name = "N")]
    max_hashes: Option<u64>,
    /// Longest single wait to accept, in seconds [default: the deadline].
    #[arg(long, value_name = "SECS")]
    max_wait: Option<u64>,
    /// If the server offers no work, wait as long as it says and retry.
    #[arg(short, long)]
    wait: bool,
}

const EXAMPLES: &str = "\
Examples:
  pouw fetch http://127.0.0.1:3000/hello
  pouw fetch http://127.0.0.1:3000/echo -H \"Content-Type: application/json\" -d @order.json -o reply.json
  pouw fetch http://127.0.0.1:3000/hello --deadline 5 --max-bytes 65536     fail rather than wait or hash more
  pouw fetch http://127.0.0.1:3000/hello --json | jq .microJoules           print the credits earned

Exit codes: 0 the final status is 2xx, 1 it is another or there is no response, 2 wrong usage.";

/// Longest body in a JSON document.
const JSON_BODY_MAX: usize = 16 << 20;

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reporter = Reporter::new(out.json);
    let reporting = reporter.clone();
    // Only a user agent is sent to every origin.
    let client = Client::new(http(options), terms(options))?.across_origins();
    let client = client.on_report(move |report| reporting.report(report));
    let request = request::build(options, &client)?;
    let answered = runtime.block_on(client.execute(request));
    reporter.finish();
    match answered {
        Ok(response) => deliver(options, response, &runtime, &reporter, out),
        Err(error) => {
            complain(&chain(&error));
            if out.json {
                let mut document = reporter.document(None);
                document["error"] = chain(&error).into();
                document["code"] = error.code().into();
                document["receipt"] = error.receipt().map(|receipt| receipt.to_string()).into();
                out.show(&document, |_| Ok(()))?;
            }
            Ok(Verdict::Failed)
        }
    }
}

fn terms(options: &Options) -> Terms {
    let usual = Terms::default();
    usual
        .deadline(Duration::from_secs(options.deadline))
        .max_bytes(options.max_bytes.unwrap_or(usual.max_bytes))
        .max_hashes(options.max_hashes.unwrap_or(usual.max_hashes))
        .max_wait(options.max_wait.map_or(usual.max_wait, Duration::from_secs))
        .wait_when_limited(options.wait)
}

fn http(options: &Options) -> reqwest::ClientBuilder {
    // Fails only if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let silence = Duration::from_secs(options.deadline);
    let builder = reqwest::Client::builder().user_agent(concat!("pouw/", env!("CARGO_PKG_VERSION")));
    builder.connect_timeout(silence).read_timeout(silence)
}

/// Prints the body or the document, and returns the verdict.
fn deliver(
    options: &Options,
    response: Response,
    runtime: &Runtime,
    reporter: &Reporter,
    out: &Output,
) -> Result<Verdict, Failure> {
    let status = response.status();
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut document = reporter.document(Some(status.as_u16()));
    let received = receive(options, response, runtime, out, &mut document);
    if !status.is_success() {
        let wait = wait.map_or_else(String::new, |seconds| format!("; retry after {seconds} s"));
        complain(&format!("the server answered {status}{wait}"));
    }
    match received {
        // Even if the body is lost, the accepted work has a receipt.
        Err(Failure::Failed(what)) if out.json => {
            complain(&what);
            document["error"] = what.into();
            out.show(&document, |_| Ok(()))?;
            return Ok(Verdict::Failed);
        }
        received => received?,
    }
    if out.json {
        out.show(&document, |_| Ok(()))?;
    }
    Ok(Verdict::of(status.is_success()))
}

/// Writes the body to a file, to the document or to stdout.
fn receive(
    options: &Options,
    mut response: Response,
    runtime: &Runtime,
    out: &Output,
    document: &mut Value,
) -> Result<(), Failure> {
    let mut next = || runtime.block_on(response.chunk()).map_err(|error| Failure::failed(chain(&error)));
    let mut bytes = 0;
    let mut copy = |to: &mut dyn Write| -> Result<(), Failure> {
        while let Some(chunk) = next()? {
            // A slow body is printed as it arrives.
            to.write_all(&chunk).and_then(|()| to.flush())?;
            bytes += chunk.len() as u64;
        }
        Ok(())
    };
    if let Some(path) = &options.output {
        write_file(path, &mut copy)?;
        document["output"] = path.display().to_string().into();
        document["bytes"] = bytes.into();
        return Ok(());
    }
    if !out.json {
        return copy(&mut out.stream());
    }
    let mut body = Vec::new();
    while let Some(chunk) = next()? {
        body.extend_from_slice(&chunk);
        if body.len() > JSON_BODY_MAX {
            let what = format!("the body is longer than {JSON_BODY_MAX} bytes; write it to a file with -o");
            return Err(Failure::failed(what));
        }
    }
    match String::from_utf8(body) {
        Ok(text) => document["body"] = text.into(),
        Err(other) => document["bodyBase64"] = BASE64.encode(other.as_bytes()).into(),
    }
    Ok(())
}

/// Formats an error and its causes in one line, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    printable(&text)
}
