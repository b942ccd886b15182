//! `pouw fetch` against `pouw serve`: what a person sees, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Output, Stdio};

use crate::support::cli::{Sandbox, text};
use crate::support::scripted;
use crate::support::scripted::{Scripted, challenge, said, unit};
use serde_json::Value;

/// The reference server, for as long as it is held.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(sandbox: &Sandbox, more: &str) -> Self {
        sandbox.ok("ingest --db store --exposure public in");
        let mut command = sandbox.command(&format!("serve --db store --listen 127.0.0.1:0 {more}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split([' ', ',']).find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fetch(sandbox: &Sandbox, arguments: &str) -> Output {
    let mut command = sandbox.command(&format!("fetch {arguments}"));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_person_gets_through_and_reads_what_it_took() {
    let sandbox = Sandbox::with_files();
    let server = Server::start(&sandbox, "--rate 3 --floor 1000,1000,1000");
    let hello = format!("{}/hello", server.url);
    for _ in 0..3 {
        let Output { status, stdout, stderr } = fetch(&sandbox, &hello);
        assert_eq!((status.code(), text(&stdout), text(&stderr)), (Some(0), "hello\n".into(), "".into()));
    }

    let paid = fetch(&sandbox, &hello);
    let said = text(&paid.stderr);
    assert_eq!((paid.status.code(), text(&paid.stdout)), (Some(0), "hello\n".into()), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("pouw: over the limit; the server requires 1 hash over "), "{said}");
    // Milliseconds pass on the way.
    let wait = lines[0].split_once(" bytes of real work and a wait of ").unwrap().1.replace(',', "");
    assert!((1..=1_000).contains(&wait.trim_end_matches(" ms").parse::<u64>().unwrap()), "{said}");
    assert!(lines[1].starts_with("pouw: the work was accepted; it earned "), "{said}");
    assert_eq!(lines.len(), 2, "{said}");

    // A method, headers, a body from a file, the response to a file.
    sandbox.write("body", "posted");
    let echo = format!("{}/echo -X POST -H X-Own:1 -d @body -o out --json", server.url);
    let document = json(&fetch(&sandbox, &echo));
    assert_eq!(std::fs::read_to_string(sandbox.path("out")).unwrap(), "posted");
    assert_eq!((&document["status"], &document["accepted"]), (&200.into(), &true.into()), "{document}");
    assert_eq!((&document["bytes"], &document["output"]), (&6.into(), &"out".into()));

    let document = json(&fetch(&sandbox, &format!("{}/echo --json -d text", server.url)));
    assert_eq!((&document["body"], &document["hashes"]), (&"text".into(), &1.into()), "{document}");
    assert!((1..=1_000).contains(&document["waitedMs"].as_u64().unwrap()), "{document}");
    let id = document["workUnitId"].as_str().unwrap();
    let receipt = json(&fetch(&sandbox, &format!("{}/pouw/receipt/{id}", server.url)));
    assert_eq!((&receipt["state"], &receipt["microJoules"]), (&"accepted".into(), &document["microJoules"]));
}

#[test]
fn the_request_is_what_the_options_say_both_times() {
    let sandbox = Sandbox::new();
    let server = Scripted::serve(|_, heard| match heard.answer() {
        None => challenge("work_required", &unit(0)),
        Some(_) => said(200, &[("X-PoUW-Accepted", "true")], "done"),
    });
    let mut command = sandbox.command(&format!("fetch {} -X PUT -H X-Own:1 -H Accept:text/plain -d @-", server.url()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"done");
    let heard = server.heard();
    assert_eq!(heard.iter().map(|heard| heard.answer().is_some()).collect::<Vec<_>>(), [false, true]);
    for heard in heard {
        assert!(heard.head.starts_with("PUT /hello "), "{heard:?}");
        assert_eq!((heard.header("x-own"), heard.header("accept")), (Some("1"), Some("text/plain")), "{heard:?}");
        assert!(heard.header("user-agent").unwrap().starts_with("pouw/"), "{heard:?}");
        assert_eq!(heard.body, b"from a pipe");
    }
    fetch(&sandbox, &format!("{} -d text", server.url()));
    fetch(&sandbox, &server.url());
    let methods =
        server.heard()[2..].iter().map(|heard| heard.head.split_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>();
    assert_eq!(methods, ["POST", "POST", "GET", "GET"]);
}

#[test]
fn what_is_no_text_is_base64_in_the_document() {
    let sandbox = Sandbox::new();
    let server = Scripted::serve(|_, _| {
        let mut response = said(200, &[], "???")?;
        let end = response.len();
        response[end - 3..].copy_from_slice(&[0xff, 0, 0xfe]);
        Some(response)
    });
    let document = json(&fetch(&sandbox, &format!("{} --json", server.url())));
    assert_eq!((&document["bodyBase64"], &document["body"]), (&"/wD+".into(), &Value::Null), "{document}");
    assert_eq!(document["status"], 200);
}

#[test]
fn a_paid_request_that_breaks_off_leaves_its_receipt_in_the_document() {
    let sandbox = Sandbox::new();
    for (sent, announced, more, words) in [
        (3, 100, "", "body"),
        (3, 100, "-o out", "body"),
        ((16 << 20) + 1, (16 << 20) + 1, "", "write it to a file with -o"),
    ] {
        let server = Scripted::serve(move |_, heard| {
            heard.answer().map_or_else(
                || challenge("work_required", &unit(0)),
                |_| {
                    let head = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {announced}\r\n");
                    let paid = "X-PoUW-Accepted: true\r\nX-PoUW-Joule-Award: 42\r\n\r\n";
                    Some([head.as_bytes(), paid.as_bytes(), &vec![b'x'; sent]].concat())
                },
            )
        });
        let output = fetch(&sandbox, &format!("{} --json {more}", server.url()));
        let (said, document) = (text(&output.stderr), json(&output));
        assert_eq!((output.status.code(), &document["status"]), (Some(1), &200.into()), "{document} {said}");
        assert_eq!((&document["accepted"], &document["microJoules"]), (&true.into(), &42.into()), "{document}");
        assert_eq!(document["workUnitId"], scripted::id(7).to_string());
        let error = document["error"].as_str().unwrap();
        assert!(error.contains(words) && said.ends_with(&format!("pouw: {error}\n")), "{document} {said}");
        assert_eq!((&document["body"], sandbox.path("out").exists()), (&Value::Null, false));
    }
}

#[test]
fn a_redirect_is_followed_anywhere_but_secrets_are_not_taken_along() {
    let sandbox = Sandbox::new();
    let other = Scripted::serve(|_, _| said(200, &[], "elsewhere"));
    let to = other.url();
    let server = Scripted::serve(move |_, heard| match heard.answer() {
        None => challenge("work_required", &unit(0)),
        Some(_) => said(302, &[("Location", &to), ("X-PoUW-Accepted", "true")], ""),
    });
    let output = fetch(&sandbox, &format!("{} -H Authorization:secret -H X-Own:1 --json", server.url()));
    let document = json(&output);
    assert_eq!((&document["body"], &document["accepted"]), (&"elsewhere".into(), &true.into()), "{output:?}");
    let heard = other.heard().pop().unwrap();
    let secrets = ["authorization", "x-pouw-response", "x-pouw-result"].map(|name| heard.header(name));
    assert_eq!((secrets, heard.header("x-own")), ([None; 3], Some("1")), "{heard:?}");
    // What was paid for before an error is in the document, too.
    let broken = Scripted::serve(|_, heard| match (heard.head.starts_with("GET /hello"), heard.answer()) {
        (true, None) => challenge("work_required", &unit(0)),
        (true, Some(_)) => said(302, &[("Location", "/gone"), ("X-PoUW-Accepted", "true")], ""),
        _ => None,
    });
    let document = json(&fetch(&sandbox, &format!("{} --json", broken.url())));
    assert_eq!((&document["code"], &document["status"]), (&"transport".into(), &Value::Null), "{document}");
    assert_eq!(document["workUnitId"], scripted::id(7).to_string());
}

#[test]
fn what_an_answer_bought_is_used_for_the_redirects_of_its_server() {
    let sandbox = Sandbox::new();
    let path = |heard: &scripted::Heard| heard.head.split(' ').nth(1).unwrap_or_default().to_owned();
    let server =
        Scripted::serve(move |_, heard| match (path(heard).as_str(), heard.answer(), heard.header("x-pouw-pass")) {
            ("/hello", Some(_), _) => {
                let pass = ("X-PoUW-Pass", "bought;r=2;t=60");
                said(302, &[("Location", "/one"), ("X-PoUW-Accepted", "true"), pass], "")
            }
            ("/one", None, Some("bought")) => {
                said(302, &[("Location", "/two"), ("X-PoUW-Pass", "bought;r=1;t=60")], "")
            }
            ("/two", None, Some("bought")) => said(200, &[("X-PoUW-Pass", "bought;r=0;t=60")], "through"),
            _ => challenge("work_required", &unit(0)),
        });
    let document = json(&fetch(&sandbox, &format!("{} --json", server.url())));
    assert_eq!(document["body"], "through", "{document}");
    assert_eq!(server.heard().iter().map(path).collect::<Vec<_>>(), ["/hello", "/hello", "/one", "/two"]);
}

#[test]
fn a_price_or_a_wait_that_is_too_high_is_said_and_not_paid() {
    let sandbox = Sandbox::with_files();
    let server = Scripted::serve(|_, _| challenge("work_required", &unit(1_500)));
    for (terms, code, words) in [
        ("--deadline 1", "deadline", "the server demands 15"),
        ("--max-bytes 511", "too_expensive", "the challenge takes 512 bytes of data, but the terms allow 511"),
        ("--max-hashes 62", "too_expensive", "the challenge takes 63 hashes, but the terms allow 62"),
        ("--max-wait 1", "too_expensive", "the challenge takes 1500 ms of waiting, but the terms allow 1000"),
    ] {
        let output = fetch(&sandbox, &format!("{} {terms} --json", server.url()));
        let (said, document) = (text(&output.stderr), json(&output));
        assert_eq!((output.status.code(), document["code"].as_str()), (Some(1), Some(code)), "{said}");
        assert!(said.starts_with("pouw: ") && said.contains(words), "{said:?} does not say {words:?}");
        assert!(document["error"].as_str().unwrap().contains(words));
    }
    assert_eq!(server.heard().len(), 4);
}

#[test]
fn any_other_status_ends_with_1_and_its_body() {
    let sandbox = Sandbox::new();
    let server = Scripted::serve(|_, heard| match heard.head.contains("GET /hello") {
        true => said(404, &[], "nothing here"),
        false => said(429, &[("Retry-After", "1")], "slow down"),
    });
    let output = fetch(&sandbox, &server.url());
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), "nothing here".into()));
    assert_eq!(text(&output.stderr), "pouw: the server answered 404 Not Found\n");
    let output = fetch(&sandbox, &format!("{} -d x --json", server.url()));
    assert_eq!((output.status.code(), json(&output)["body"].as_str()), (Some(1), Some("slow down")));
    assert_eq!(text(&output.stderr), "pouw: the server answered 429 Too Many Requests; retry after 1 s\n");
}

#[test]
fn waiting_without_work_has_to_be_asked_for() {
    let sandbox = Sandbox::new();
    let server = Scripted::serve(|at, _| match at {
        0 | 1 => said(429, &[("Retry-After", "1")], ""),
        _ => said(200, &[], "now"),
    });
    assert_eq!((fetch(&sandbox, &server.url()).status.code(), server.heard().len()), (Some(1), 1));
    let output = fetch(&sandbox, &format!("{} -w", server.url()));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "now".into()));
    assert_eq!(text(&output.stderr), "pouw: over the limit and no work is offered; waiting 1,000 ms\n");
}

#[test]
fn an_answer_whose_connection_broke_leaves_its_receipt() {
    let sandbox = Sandbox::new();
    let server = Scripted::serve(|at, _| if at == 0 { challenge("work_required", &unit(0)) } else { None });
    let output = fetch(&sandbox, &format!("{} --json", server.url()));
    let document = json(&output);
    assert_eq!(document["code"], "connection_lost");
    assert_eq!(document["receipt"], scripted::id(7).to_string());
    assert!(text(&output.stderr).contains("check its receipt before retrying"), "{output:?}");
}

#[test]
fn what_cannot_be_meant_ends_with_2() {
    let sandbox = Sandbox::new();
    for (arguments, words) in [
        ("", "URL"),
        ("127.0.0.1:3000/hello", "http://"),
        ("ftp://127.0.0.1/x", "http://"),
        ("http://127.0.0.1/ -X BAD(METHOD)", "GET or POST"),
        ("http://127.0.0.1/ -H nocolon", "a colon"),
        ("http://127.0.0.1/ --deadline 0", "1..=86400"),
        ("http://127.0.0.1/ --max-bytes many", "many"),
    ] {
        let output = fetch(&sandbox, arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.starts_with("pouw: ") && said.contains(words), "{arguments}: {said:?} does not say {words:?}");
    }
    let output = fetch(&sandbox, "http://127.0.0.1/ -d @absent");
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("absent"), "{output:?}");
    assert!(text(&fetch(&sandbox, "--help").stdout).contains("pouw fetch http://127.0.0.1:3000/hello"));
}

#[test]
fn tls_is_there_and_a_server_without_it_is_told() {
    let sandbox = Sandbox::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let greeting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        hello
    });
    let output = fetch(&sandbox, &url);
    // A TLS handshake record with a client hello.
    let hello = greeting.join().unwrap();
    assert_eq!((hello[0], hello[5]), (22, 1));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("InvalidContentType"), "{output:?}");
}
