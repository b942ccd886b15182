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

/// Sends all of a request before it reads, and returns the status.
fn status(mut stream: impl Read + Write, body: &[u8]) -> Result<u16, String> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(|error| error.to_string())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).map_err(|error| error.to_string())?;
    if reply.is_empty() { Err("no response".to_owned()) } else { Ok(parse(&reply).status) }
}

#[test]
fn a_refusal_reaches_clients_that_send_their_whole_body_first() {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    for bytes in [3, 100_000, 5_000_000] {
        let body = vec![b'x'; bytes];
        let found: Vec<_> = (0..8).map(|_| status(connect(server.address), &body)).collect();
        assert!(found.iter().all(|status| *status == Ok(429)), "{bytes} bytes: {found:?}");
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

/// nginx before a server, on a socket in a folder; ended when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// None if nginx is not installed.
    fn start(folder: &Path, server: &Server) -> Option<Self> {
        let file = folder.join("nginx.conf");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\nevents {{}}\nhttp {{\naccess_log off;\n\
             {temporary}client_max_body_size 100m;\nserver {{\nlisten unix:{}/socket;\nlocation / {{\n\
             proxy_pass http://{};\n}}\n}}\n}}\n",
            folder.display(),
            server.address
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file).stderr(Stdio::null()).stdout(Stdio::null());
        let started = command.env("PATH", "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin").spawn();
        let nginx = Self(started.ok()?);
        until(|| UnixStream::connect(folder.join("socket")).is_ok());
        Some(nginx)
    }
}

#[test]
fn behind_nginx_no_refusal_of_an_upload_becomes_a_502() {
    let directory = tempfile::tempdir().unwrap();
    let server = limited(directory.path());
    let Some(_nginx) = Nginx::start(directory.path(), &server) else {
        eprintln!("skipped: nginx is not installed; on Debian: apt-get install nginx-light");
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
        assert!(found.iter().all(|status| *status == Ok(429)), "{bytes} bytes: {found:?}");
    }
    server.stop();
}
