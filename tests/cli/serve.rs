//! The reference server as a person uses it: limited, unit, `pouw solve`, accepted, receipt; and stopped by a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::http::client;
use crate::support::http::client::{Reply, request};
use crate::support::patience::PATIENCE;
#[cfg(target_os = "linux")]
use crate::support::patience::until;
use serde_json::Value;

fn pouw(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pouw"));
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

pub fn done(args: &[&str], input: &[u8]) -> String {
    let output = pouw(args, input);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(db: &Path, more: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_pouw")), db, more)
    }

    fn run(mut command: Command, db: &Path, more: &[&str]) -> Self {
        command.args(["--json", "serve", "--listen", "127.0.0.1:0", "--db"]).arg(db).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut document = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !document.ends_with("}\n") {
            document.push_str(&lines.next().expect("it says where it listens").unwrap());
            document.push('\n');
        }
        let document: Value = serde_json::from_str(&document).unwrap();
        let address = document["listening"].as_str().unwrap().parse().unwrap();
        Self { child, address }
    }

    pub fn hello(&self, headers: &[(&str, &str)]) -> Reply {
        request(self.address, "GET", "/hello", headers, b"")
    }

    fn page(&self, path: &str) -> Reply {
        request(self.address, "GET", path, &[], b"")
    }

    /// The value of a sample in the Prometheus text.
    fn metric(&self, sample: &str) -> f64 {
        let text = String::from_utf8(self.page("/metrics").body).unwrap();
        let line = text.lines().find(|line| line.starts_with(sample) && line.as_bytes()[sample.len()] == b' ');
        line.unwrap_or_else(|| panic!("no {sample} in {text}"))[sample.len() + 1..].parse().unwrap()
    }

    /// Ends it as a service manager does; what it said on stderr.
    pub fn stop(self) -> String {
        let (code, said) = self.ended(true);
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// Waits for its end, which `asked` asks for. Its exit code, and what it said on stderr.
    fn ended(mut self, asked: bool) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        if asked {
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

pub fn store(directory: &Path) -> String {
    store_of(directory, 400_000)
}

/// A store with one file of this many bytes.
fn store_of(directory: &Path, bytes: u32) -> String {
    let (source, db) = (directory.join("source"), directory.join("db"));
    std::fs::write(&source, (0..bytes).map(|at| (at / 4_096) as u8).collect::<Vec<_>>()).unwrap();
    let db = db.to_str().unwrap().to_owned();
    done(&["ingest", "--db", &db, "--exposure", "public", source.to_str().unwrap()], b"");
    db
}

#[test]
fn the_whole_flow_works_with_the_tools_a_person_has() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let server = Server::start(Path::new(&db), &["--rate", "3", "--floor", "0,0,0"]);
    assert!((0..3).all(|_| server.hello(&[]).body == b"hello\n"));
    let limited = server.hello(&[]);
    assert_eq!((limited.status, limited.reason().as_str()), (429, "work_required"));

    // Once in the header, once in the body.
    let unit = limited.json()["workUnit"].clone();
    let token = unit["challengeToken"].as_str().unwrap();
    let compact = done(&["solve", "--compact", "-"], &limited.body);
    let reply = server.hello(&[("X-PoUW-Response", token), ("X-PoUW-Result", &compact)]);
    assert_eq!((reply.status, reply.header("x-pouw-accepted")), (200, Some("true")));
    let award = reply.number("x-pouw-joule-award");
    let next = server.hello(&[]).json()["workUnit"].clone();
    let body = done(&["solve", "--request", "-"], next.to_string().as_bytes());
    let token = [("X-PoUW-Response", next["challengeToken"].as_str().unwrap())];
    let reply = request(server.address, "POST", "/echo", &token, body.as_bytes());
    assert_eq!((reply.status, reply.body.as_slice()), (200, body.as_bytes()));

    let path = format!("/pouw/receipt/{}", unit["id"].as_str().unwrap());
    let receipt = server.page(&path).json();
    assert_eq!((&receipt["state"], &receipt["microJoules"]), (&"accepted".into(), &award.into()));
    assert_eq!(receipt["provenance"], "verified");
    assert_eq!(server.page("/pouw/receipt/nonsense").status, 400);
    assert_eq!(server.page("/pouw/receipt/018bcfe5-687b-7707-8707-070707070707").status, 404);
    assert_eq!(server.page("/health").json()["status"], "healthy");
    assert_eq!(server.metric("pouw_completed_total"), 2.0);
    assert_eq!(server.metric("pouw_requests_total"), 7.0);
    assert_eq!(server.metric("pouw_refused_total{reason=\"work_required\"}"), 2.0);
    assert_eq!(server.metric("pouw_verification_seconds_count"), 2.0);
    // One client, which counts once a minute; two if one began between its answers.
    let (low, high) = ("tier=\"low\"", "tier=\"high\"");
    assert!((1.0..=2.0).contains(&server.metric(&format!("pouw_responses_observed_total{{{low}}}"))));
    let whole = server.metric(&format!("pouw_response_seconds{{{low},quantile=\"0.9\"}}"));
    let beyond = server.metric(&format!("pouw_response_beyond_floor_seconds{{{low},quantile=\"0.9\"}}"));
    assert!(whole == beyond && whole < 60.0, "without a floor, {whole} and {beyond}");
    assert_eq!(server.metric(&format!("pouw_unit_max_bytes{{{high}}}")), 131_072.0);
    assert!(server.metric("pouw_commit_seconds_count") >= 2.0);
    let work = |kind| server.metric(&format!("pouw_work_permutations{{strategy=\"precomputed\",kind=\"{kind}\"}}"));
    assert!(work("accepted") > 0.0 && work("asked") >= work("accepted") && work("ingest") > 0.0);
    assert_eq!((work("audit"), work("referee"), work("export")), (0.0, 0.0, 0.0));
    assert!(server.metric("pouw_data_sent_bytes{strategy=\"precomputed\"}") > 0.0);
    assert_eq!(server.metric("pouw_data_sent_units{strategy=\"synthetic\"}"), 0.0);
    assert!((0.0..=1.0).contains(&server.metric("pouw_useful_fraction")));
    assert_eq!(server.metric("pouw_damaged_blocks"), 0.0);
    assert!(server.stop().contains("stopping"));
    let ledger: Value = serde_json::from_str(&done(&["--json", "ledger", "--db", &db], b"")).unwrap();
    assert_eq!(ledger["entries"].as_array().map(Vec::len), Some(2), "{ledger}");
    done(&["check", "--db", &db], b"");
}

#[test]
fn a_signal_under_load_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let proxy = ["--rate", "1", "--floor", "0,0,0", "--trusted-proxy", "127.0.0.0/8"];
    let server = Server::start(Path::new(&db), &proxy);
    let answers: Vec<(String, String, String)> = (0..24u32)
        .map(|at| {
            let client = format!("198.51.{at}.7");
            let own = [("X-Forwarded-For", client.as_str())];
            server.hello(&own);
            let limited = server.hello(&own);
            let token = limited.header("x-pouw-challenge").unwrap().to_owned();
            (client, token, done(&["solve", "--compact", "-"], &limited.body))
        })
        .collect();
    let address = server.address;
    let accepted = std::thread::scope(|scope| {
        let send = |(client, token, result): &(String, String, String)| {
            let headers = [("X-Forwarded-For", client), ("X-PoUW-Response", token), ("X-PoUW-Result", result)];
            let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let text = format!("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
            // The listener may be gone, or go before the request is taken.
            let Ok(mut stream) = std::net::TcpStream::connect(address) else {
                return 0;
            };
            let mut reply = Vec::new();
            let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.read_to_end(&mut reply));
            usize::from(reply.starts_with(b"HTTP/1.1 200"))
        };
        let (first, rest) = answers.split_at(8);
        let before: usize = first.iter().map(send).sum();
        assert_eq!(before, 8);
        let sending: Vec<_> = rest.iter().map(|answer| scope.spawn(move || send(answer))).collect();
        server.stop();
        before + sending.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    let ledger: Value = serde_json::from_str(&done(&["--json", "ledger", "--db", &db], b"")).unwrap();
    let entries = ledger["entries"].as_array().map_or(0, Vec::len);
    // One that was stored may have lost its reply with its connection, never the other way round.
    assert!((accepted..=24).contains(&entries), "{accepted} accepted, {entries} entries");
    done(&["check", "--db", &db], b"");
}

#[test]
fn a_file_sets_limits_and_the_command_line_goes_before_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let file = directory.path().join("pouw.toml");
    let text = "rate_limit = 3\nfloor_ms = [0, 0, 0]\nshadow = true\nsecret_file = \"own\"\nlisten = \"127.0.0.1:1\"\n\
                exempt_routes = [\"GET /echo\"]\n[[route_overrides]]\nname = \"echo\"\nrate_limit = 1\n\
                window_ms = 60_000\nroutes = [\"POST /echo\"]\n";
    std::fs::write(&file, text).unwrap();
    let own = directory.path().join("own");
    std::fs::write(&own, "o".repeat(32)).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = ["--config", file.to_str().unwrap(), "--shadow=false"];
    // The address is the command line's, not the file's.
    let server = Server::start(Path::new(&db), &config);
    assert_ne!(server.address.port(), 1);
    let echo = |method| request(server.address, method, "/echo", &[], b"");
    assert_eq!((echo("POST").status, echo("POST").header("ratelimit-policy").unwrap()), (200, "\"echo\";q=1;w=60"));
    let statuses: Vec<u16> = (0..4).map(|_| server.hello(&[]).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    let exempt = echo("GET");
    assert_eq!((exempt.status, exempt.header("ratelimit-policy")), (405, None));
    let limited = echo("POST");
    assert_eq!((limited.status, limited.reason().as_str()), (429, "work_required"));
    assert_eq!(limited.json()["workUnit"]["waitMs"], 0);
    server.stop();

    // What is signed with the file's secret counts after a restart under another that honours the older one.
    let token = limited.header("x-pouw-challenge").unwrap().to_owned();
    let result = done(&["solve", "--compact", "-"], &limited.body);
    let newer = text.replace("= \"own\"", "= \"newer\"\nprevious_secret_files = [\"own\"]");
    std::fs::write(&file, newer).unwrap();
    std::fs::rename(&own, directory.path().join("kept")).unwrap();
    let output = pouw(&["serve", "--db", &db, "--config", file.to_str().unwrap()], b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("own does not exist"), "{output:?}");
    std::fs::rename(directory.path().join("kept"), &own).unwrap();
    std::fs::write(directory.path().join("newer"), "n".repeat(32)).unwrap();
    std::fs::set_permissions(directory.path().join("newer"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(Path::new(&db), &[&config[..2], &["--rate", "1"]].concat());
    let answer = [("X-PoUW-Response", token.as_str()), ("X-PoUW-Result", result.as_str())];
    let reply = request(server.address, "POST", "/echo", &answer, b"x");
    assert_eq!((reply.status, reply.header("x-pouw-accepted")), (200, Some("true")), "{:?}", reply.body);
    // The rate is the command line's now, and the file's shadow lets all through.
    let replies: Vec<Reply> = (0..3).map(|_| server.hello(&[])).collect();
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.header("x-ratelimit-limit") == Some("1")));
    assert!(server.metric("pouw_limited_total") > 0.0);
    server.stop();
}

#[test]
fn an_upload_that_stops_arriving_is_cut_off_and_one_that_goes_on_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let file = directory.path().join("pouw.toml");
    std::fs::write(&file, "body_timeout_ms = 200\n").unwrap();
    let server = Server::start(Path::new(&db), &["--config", file.to_str().unwrap()]);
    let whole = vec![b'x'; 3 << 20];
    let reply = request(server.address, "POST", "/echo", &[], &whole);
    assert_eq!((reply.status, reply.body.len()), (200, whole.len()));
    let started = std::time::Instant::now();
    for length in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut stream = client::connect(server.address);
        let text = format!("POST /echo HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n5\r\nhello\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut reply = Vec::new();
        // The server's end of it, not the test's own patience.
        let end = stream.read_to_end(&mut reply);
        assert!(end.is_ok() || end.is_err_and(|end| end.kind() == std::io::ErrorKind::ConnectionReset));
        assert!(String::from_utf8_lossy(&reply).contains("hello"), "{:?}", String::from_utf8_lossy(&reply));
    }
    assert!(started.elapsed() < PATIENCE && server.hello(&[]).status == 200);
    server.stop();
}

#[test]
fn a_file_that_is_wrong_is_not_served_and_a_flag_that_is_wrong_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("db");
    let file = directory.path().join("pouw.toml");
    // What is served against expectation ends at once, on an address that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let (store, file) = (db.to_str().unwrap(), file.to_str().unwrap());
        let args = [&["serve", "--db", store, "--config", file, "--listen", &address], more].concat();
        let output = pouw(&args, b"");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!db.exists(), "{text}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused("rate_limit = 0\njudge_threads = 99\n", &[]);
    assert!(said.contains("pouw.toml:1:14: `rate_limit` is 0: it must be from 1 to 1000000"), "{said}");
    assert!(said.contains("pouw.toml:2:17: `judge_threads` is 99"), "{said}");
    // A file has to be right by itself.
    assert!(refused("rate_limit = 0\n", &["--rate", "5"]).contains("pouw.toml:1:14"));
    assert!(refused("rate_limit = 5\n", &["--rate", "0"]).contains("--rate: `rate_limit` is 0"));
    let said = refused("token_ttl_seconds = 10\n", &["--floor", "0,0,10000"]);
    assert!(said.contains("--floor: `floor_ms` is 10000"), "{said}");
    assert!(refused("", &["--window", "86401"]).contains("--window: `window_ms` is 86401000"));
}

#[test]
fn what_cannot_be_solved_or_served_says_why() {
    for (input, what) in [
        (&b"<html>"[..], "the input is not JSON"),
        (b"{\"reason\":\"no_work\"}", "no_work"),
        (b"{\"workUnit\":{\"id\":7}}", "no such member"),
        (b"{}", "no such member"),
    ] {
        let output = pouw(&["solve", "-"], input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(what), "{said:?} does not say {what:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (args, code, what) in [
        (&["--listen", &address][..], 1, "choose another address with --listen"),
        (&["--floor", "1,2"], 2, "three numbers"),
        (&["--floor", "1,2,99999"], 1, "floor_ms"),
        (&["--rate", "0"], 1, "rate_limit"),
        (&["--trusted-proxy", "here"], 2, "--trusted-proxy"),
    ] {
        let output = pouw(&[&["serve", "--db", db], args].concat(), b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(what), "{said:?} does not say {what:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_store_that_is_served_is_scrubbed_by_its_service() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let server = Server::start(Path::new(&db), &["--rate", "3", "--floor", "0,0,0"]);
    assert_eq!(server.metric("pouw_scrub_rows_total"), 0.0);
    let scrubbed: Value = serde_json::from_str(&done(&["--json", "scrub", "--db", &db], b"")).unwrap();
    assert_eq!((scrubbed["clean"].as_bool(), scrubbed["leaves"].as_u64()), (Some(true), Some(98)), "{scrubbed}");
    assert!(done(&["scrub", "--db", &db, "--rate", "100000000"], b"").trim_end().ends_with("clean"));
    assert!(server.metric("pouw_scrub_bytes_total") >= 800_000.0 && server.metric("pouw_scrub_rows_total") > 0.0);
    assert_eq!((server.metric("pouw_scrub_damaged_total"), server.metric("pouw_scrub_progress_ratio")), (0.0, 0.0));
    assert!(server.metric("pouw_scrub_last_full_pass_seconds") > 1.6e9);
    assert_eq!(server.hello(&[]).body, b"hello\n");
    server.stop();
    let status: Value = serde_json::from_str(&done(&["--json", "status", "--db", &db], b"")).unwrap();
    assert!(status["scrub"]["lastFullPass"].is_string() && status["scrub"]["progress"].is_null(), "{status}");
}

#[cfg(unix)]
#[test]
fn a_scrub_that_has_read_everything_does_not_wait_for_its_rate() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    assert!(done(&["scrub", "--db", &db, "--rate", "1"], b"").trim_end().ends_with("clean"));
    let server = Server::start(Path::new(&db), &[]);
    assert!(done(&["scrub", "--db", &db, "--rate", "1"], b"").trim_end().ends_with("clean"));
    server.stop();
}

#[cfg(unix)]
#[test]
fn a_store_that_is_served_is_backed_up_by_its_service() {
    let directory = tempfile::tempdir().unwrap();
    let db = store(directory.path());
    let [first, second, third] =
        ["first", "second", "third"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    let server = Server::start(Path::new(&db), &["--rate", "1", "--floor", "0,0,0"]);
    assert_eq!(server.hello(&[]).body, b"hello\n");
    let limited = server.hello(&[]);
    let token = limited.header("x-pouw-challenge").unwrap().to_owned();
    let result = done(&["solve", "--compact", "-"], &limited.body);
    let admitted = server.hello(&[("X-PoUW-Response", &token), ("X-PoUW-Result", &result)]);
    assert_eq!(admitted.status, 200);
    let copied: Value = serde_json::from_str(&done(&["--json", "backup", "--db", &db, &first], b"")).unwrap();
    assert!(copied["rows"].as_u64().unwrap() > 0, "{copied}");
    let refused = pouw(&["backup", "--db", &db, &first], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"), "{refused:?}");
    let socket = Path::new(&db).join("control.sock");
    assert!(socket.exists());
    server.stop();
    assert!(!socket.exists());
    // Without a service, and with a socket that a killed one has left.
    done(&["backup", "--db", &db, &second], b"");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    done(&["backup", "--db", &db, &third], b"");
    for copy in [&first, &second, &third] {
        done(&["check", "--db", copy], b"");
        let entries =
            |db: &str| -> Value { serde_json::from_str(&done(&["--json", "ledger", "--db", db], b"")).unwrap() };
        assert_eq!(entries(copy)["entries"], entries(&db)["entries"], "{copy}");
        let status: Value = serde_json::from_str(&done(&["--json", "status", "--db", copy], b"")).unwrap();
        assert_eq!(status["copyOf"]["store"].as_str().unwrap().len(), 32, "{status}");
    }
}

/// A server whose store fails under it: its state file is zeroed behind the header, and may not be written any more. So
/// the next commit fails, and the file cannot be opened again.
#[cfg(target_os = "linux")]
fn with_failing_store(directory: &Path, more: &[&str]) -> Server {
    let db = store(directory);
    let mut command = Command::new("sh");
    // A write beyond the limit is an error then, and no signal that ends the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pouw")]);
    let server = Server::run(command, Path::new(&db), &[&["--rate", "1", "--floor", "0,0,0"], more].concat());
    assert_eq!(server.page("/health").status, 200);
    let state = std::fs::OpenOptions::new().write(true).open(Path::new(&db).join("state.redb")).unwrap();
    let len = state.metadata().unwrap().len();
    std::os::unix::fs::FileExt::write_all_at(&state, &vec![0; len as usize - 4_096], 4_096).unwrap();
    let process = server.child.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &process, "--fsize=4096:"]).status().unwrap().success());
    // The second one is over the limit; that it got a challenge is written soon.
    server.hello(&[]);
    server.hello(&[]);
    server
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_failed_is_reported_by_health_and_by_the_exit_code_of_a_server_that_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = with_failing_store(directory.path(), &[]);
    until(|| server.page("/health").status == 503);
    let store = server.page("/health").json()["parts"]["store"].clone();
    assert_eq!(store["status"], "unavailable");
    assert!(store["detail"].as_str().unwrap().contains("state.redb is damaged"), "{store}");
    assert_eq!(server.metric("pouw_store_closed"), 1.0);
    until(|| server.metric("pouw_thread_running{thread=\"pouw-writer\"}") == 0.0);
    // Work is no longer handed out.
    let refused = server.hello(&[]);
    assert!(refused.status == 429 && refused.json().get("workUnit").is_none(), "{refused:?}");
    let (code, said) = server.ended(true);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches("nothing more is written").count(), 1, "{said}");
    assert!(said.contains("the store failed: "), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_is_to_exit_when_its_store_fails_ends_by_itself_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pouw.toml");
    std::fs::write(&file, "on_store_failure = \"exit\"\n").unwrap();
    let server = with_failing_store(directory.path(), &["--config", file.to_str().unwrap()]);
    let (code, said) = server.ended(false);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the store failed: "), "{said}");
}

#[cfg(unix)]
#[test]
fn a_scrub_by_a_service_keeps_to_the_rate_of_the_service_unless_it_is_told_another() {
    let directory = tempfile::tempdir().unwrap();
    // More than one step reads.
    let db = store_of(directory.path(), 4 << 20);
    let file = directory.path().join("pouw.toml");
    std::fs::write(&file, "scrub_bytes_per_second = 1\n").unwrap();
    let server = Server::start(Path::new(&db), &["--config", file.to_str().unwrap()]);
    // At one byte a second it does not end.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pouw"));
    let mut slow = command.args(["scrub", "--db", &db]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| server.metric("pouw_scrub_progress_ratio") > 0.0);
    slow.kill().unwrap();
    slow.wait().unwrap();
    // The service notices that the command is gone.
    until(|| pouw(&["scrub", "--db", &db, "--rate", "unlimited"], b"").status.success());
    assert!(server.metric("pouw_scrub_last_full_pass_seconds") > 1.6e9);
    assert_eq!(server.metric("pouw_scrub_pass_findings"), 0.0);
    server.stop();
}
