//! The gate in front of a server without any async runtime.
//!
//! cargo run --release --features gate --example tiny_http -- DIR 127.0.0.1:3000

use pouw::{Caller, Decision, Exposure, Gate, Head, Headers, IngestOptions, Step};
use tiny_http::{Header, Request, Response, Server};

struct Seen<'a>(&'a Request, String);

impl Head for Seen<'_> {
    fn method(&self) -> &str {
        &self.1
    }
    fn path(&self) -> &str {
        self.0.url().split('?').next().unwrap_or("/")
    }
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let found = self.0.headers().iter().filter(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name));
        found.for_each(|header| each(header.value.as_str().as_bytes()));
    }
    fn has_body(&self) -> bool {
        self.0.body_length() != Some(0)
    }
}

fn answer(request: Request, status: u16, body: Vec<u8>, headers: &Headers) -> std::io::Result<()> {
    let mut response = Response::from_data(body).with_status_code(status).with_chunked_threshold(usize::MAX);
    headers.iter().filter_map(|(n, v)| Header::from_bytes(n, v).ok()).for_each(|header| response.add_header(header));
    request.respond(response)
}

fn one(mut request: Request, gate: &Gate) -> std::io::Result<()> {
    let caller = Caller::from_peer(request.remote_addr().map(std::net::SocketAddr::ip));
    let mut body = Vec::new();
    let decision = match gate.on_request(&Seen(&request, request.method().to_string()), &caller) {
        Step::Exempt => return answer(request, 404, body, &Headers::default()),
        Step::Decided(decision) => decision,
        Step::Judge(pending) => pending.wait(),
        Step::Body(needs) => needs.read(request.as_reader(), &mut body).wait(),
    };
    match decision {
        Decision::Pass(pass) if request.url() == "/echo" => {
            request.as_reader().read_to_end(&mut body)?;
            answer(request, 200, body, &pass.headers(gate))
        }
        Decision::Pass(pass) => answer(request, 200, b"hello\n".to_vec(), &pass.headers(gate)),
        Decision::Refuse(refusal) => {
            // A client that sends all of its body first would not read a response before that.
            if let Some(drain) = gate.drain(&Seen(&request, request.method().to_string())) {
                drain.read(request.as_reader());
            }
            answer(request, refusal.status, refusal.body, &refusal.headers)
        }
    }
}

/// Serves on this thread until the server is unblocked. tiny_http has no timeouts: put a proxy in
/// front.
pub fn serve(server: &Server, gate: &Gate) {
    for request in server.incoming_requests() {
        one(request, gate).unwrap_or_else(|error| eprintln!("a response was not sent: {error}"));
    }
}

#[allow(dead_code, reason = "tests use what is above only")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: tiny_http DIRECTORY ADDRESS, like: tiny_http pouw-data 127.0.0.1:3000".into());
    };
    // A real service keeps its secret outside the program.
    let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
    gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
    serve(&Server::http(address)?, &gate);
    Ok(())
}
