//! Refusals by the reference server of requests with a body: over a plain socket, by `pouw fetch`, and behind nginx.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::serve::{Server, done, store};
use crate::support::http::client::{connect, parse};
use crate::support::patience::{PATIENCE, until};

/// A server whose limit is used up. Work admits three more requests.
fn limited(directory: &Path) -> Server {
    let db = store(directory);
    let server = Server::start(Path::new(&db), &["--rate", "3", "--window", "3600", "--floor", "0,0,0"]);
    assert!((0..3).all(|_| server.hello(&[]).status == 200));
    server
}

/// Sends a request before it reads. Returns the status of the response, and whether all was sent.
fn status(mut stream: impl Read + Write, body: &[u8]) -> Result<(u16, bool), String> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).map_err(|error| error.to_string())?;
    if reply.is_empty() { Err(format!("no response, {sent:?}")) } else { Ok((parse(&reply).status, sent.is_ok())) }
}

#[test]
fn a_refusal_reaches_clients_that_send_their_whole_body_first() {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    for bytes in [3, 100_000, 5_000_000] {
        let body = vec![b'x'; bytes];
        let found: Vec<_> = (0..8).map(|_| status(connect(server.address), &body)).collect();
        assert!(found.iter().all(|found| *found == Ok((429, true))), "{bytes} bytes: {found:?}");
    }
    server.stop();
}

#[test]
fn fetch_gets_past_the_limit_with_a_long_upload() {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    let (upload, echoed) = (directory.path().join("upload"), directory.path().join("echoed"));
    let bytes: Vec<u8> = (0..60_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&upload, &bytes).unwrap();
    let (url, data) = (format!("http://{}/echo", server.address), format!("@{}", upload.display()));
    for _ in 0..3 {
        done(&["fetch", &url, "--data", &data, "--output", echoed.to_str().unwrap()], b"");
        assert!(std::fs::read(&echoed).unwrap() == bytes);
    }
    server.stop();
}

/// A reverse proxy before a server, on a socket in a folder; ended when dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Proxy {
    /// None if nginx is not installed.
    fn nginx(folder: &Path, server: &Server) -> Option<Self> {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\nevents {{}}\nhttp {{\naccess_log off;\n\
             {temporary}client_max_body_size 100m;\nserver {{\nlisten unix:{}/socket;\nlocation / {{\n\
             proxy_pass http://{};\n}}\n}}\n}}\n",
            folder.display(),
            server.address
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        Self::start(folder, Command::new("nginx").arg("-p").arg(folder).arg("-c").arg(&file))
    }

    /// None if Caddy is not installed.
    fn caddy(folder: &Path, server: &Server) -> Option<Self> {
        let text = format!(
            "{{\nadmin off\nauto_https off\n}}\nhttp:// {{\nbind unix/{}/socket\n\
             reverse_proxy {}\n}}\n",
            folder.display(),
            server.address
        );
        let file = folder.join("Caddyfile");
        std::fs::write(&file, text).unwrap();
        let mut caddy = Command::new("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file).env("HOME", folder);
        Self::start(folder, &mut caddy)
    }

    fn start(folder: &Path, program: &mut Command) -> Option<Self> {
        let path = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin";
        let mut proxy = Self(program.env("PATH", path).stderr(Stdio::null()).stdout(Stdio::null()).spawn().ok()?);
        let listens = || UnixStream::connect(folder.join("socket")).is_ok();
        until(|| listens() || proxy.0.try_wait().is_ok_and(|ended| ended.is_some()));
        assert!(listens(), "{program:?} ended");
        Some(proxy)
    }
}

/// `takes_all` is whether the proxy itself reads all that its client sends.
fn no_upload_gets_a_502(start: fn(&Path, &Server) -> Option<Proxy>, package: &str, takes_all: bool) {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    let Some(_proxy) = start(directory.path(), &server) else {
        eprintln!("skipped: the proxy is not installed; on Debian: apt-get install {package}");
        return;
    };
    for bytes in [256 << 10, 5_000_000] {
        let body = vec![b'x'; bytes];
        let once = || {
            let stream = UnixStream::connect(directory.path().join("socket")).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            status(stream, &body)
        };
        let found: Vec<_> = (0..20).map(|_| once()).collect();
        assert!(
            found.iter().all(|found| found.as_ref().is_ok_and(|(status, all)| *status == 429 && (*all || !takes_all))),
            "{bytes} bytes: {found:?}"
        );
    }
    server.stop();
}

#[test]
fn behind_nginx_no_refusal_of_an_upload_becomes_a_502() {
    no_upload_gets_a_502(Proxy::nginx, "nginx-light", true);
}

#[test]
fn behind_caddy_no_refusal_of_an_upload_becomes_a_502() {
    // Caddy closes once it has passed a response on and read 256 KiB more.
    no_upload_gets_a_502(Proxy::caddy, "caddy", false);
}

/// Posts bodies of these sizes 20 times each by a library, and prints how often each status came.
const POSTS: &str = r#"
import collections, sys
url, library, *sizes = sys.argv[1:]
if library == "http.client":
    import urllib.request, urllib.error
    def post(body):
        try:
            return urllib.request.urlopen(urllib.request.Request(url, data=body)).status
        except urllib.error.HTTPError as refused:
            return refused.code
elif library == "urllib3":
    import urllib3
    pool = urllib3.PoolManager(retries=False)
    post = lambda body: pool.request("POST", url, body=body).status
else:
    import requests
    session = requests.Session()
    post = lambda body: session.post(url, data=body).status_code
for size in map(int, sizes):
    found = collections.Counter()
    for _ in range(20):
        try:
            found[str(post(b"x" * size))] += 1
        except Exception as error:
            found[type(error).__name__] += 1
    print(size, dict(found))
"#;

#[test]
fn libraries_of_python_read_the_refusal_of_every_upload() {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    let url = format!("http://{}/echo", server.address);
    for library in ["http.client", "urllib3", "requests"] {
        let is_there =
            Command::new("python3").args(["-c", &format!("import {library}")]).stderr(Stdio::null()).status();
        if !is_there.unwrap().success() {
            eprintln!("skipped: {library} is not installed; on Debian: apt-get install python3-{library}");
            continue;
        }
        let mut posts = Command::new("python3");
        // Longer ones depend on the speed of the machine: the connection ends a second after the refusal.
        posts
            .args(["-c", POSTS, &url, library, "3", "100000", "5000000"])
            .env("no_proxy", "127.0.0.1")
            .env("NO_PROXY", "127.0.0.1");
        let output = posts.output().unwrap();
        let expected = [3, 100_000, 5_000_000].map(|size| format!("{size} {{'429': 20}}\n")).concat();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, expected, "{library}: {}", String::from_utf8_lossy(&output.stderr));
    }
    server.stop();
}
