//! Challenges as a server writes them, and a server over a plain socket that follows a script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::patience::PATIENCE;
use pouw::protocol::{
    DifficultyTier, TreeHandle, UnixMillis, WorkId, WorkResult, WorkUnit, WorkUnitOperation, subtree_nodes,
};

pub const TOKEN: &str = "the-token-as-issued";

pub fn id(last: u8) -> WorkId {
    WorkId::from_parts(1_700_000_000_123, [last; 10])
}

/// A tile of 32 leaves of 16 bytes.
pub fn unit(wait_ms: u64) -> WorkUnit {
    WorkUnit {
        id: id(7),
        tree_id: TreeHandle::from_bytes([0x22; 16]),
        tree_level: 0,
        tree_index: 0,
        operation: WorkUnitOperation::SubtreeHash,
        input_data: (0..512u32).map(|at| at as u8).collect(),
        leaf_lengths: vec![16; 32],
        fold_levels: 5,
        child_count: 0,
        node_count: subtree_nodes(32, 5),
        synthetic: false,
        difficulty: DifficultyTier::High,
        challenge_token: TOKEN.into(),
        created_at: UnixMillis(1_700_000_000_000),
        expires_at: UnixMillis(1_700_000_300_000),
        not_before: UnixMillis(1_700_000_000_000 + wait_ms),
        wait_ms,
        ttl_ms: 300_000,
    }
}

/// The document of a 429 with work.
pub fn problem(reason: &str, unit: &WorkUnit) -> String {
    format!(r#"{{"type":"about:blank","status":429,"reason":"{reason}","workUnit":{}}}"#, unit.to_json())
}

/// The document of a refusal without work.
pub fn refusal(reason: &str, detail: &str) -> String {
    serde_json::json!({ "reason": reason, "detail": detail }).to_string()
}

/// What a server said, and what it hears.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The request line and the headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The answer it carries, in the compact form.
    pub fn answer(&self) -> Option<WorkResult> {
        let token = self.header("x-pouw-response")?;
        Some(WorkResult::from_compact(self.header("x-pouw-result")?, token).unwrap())
    }
}

/// A response in full; `None` closes the connection without a word.
pub type Said = Option<Vec<u8>>;

pub fn said(status: u16, headers: &[(&str, &str)], body: &str) -> Said {
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Some(format!("{text}\r\n{body}").into_bytes())
}

/// A 429 with work.
pub fn challenge(reason: &str, unit: &WorkUnit) -> Said {
    let headers = [("Content-Type", "application/problem+json"), ("X-PoUW-Challenge", &unit.challenge_token)];
    said(429, &headers, &problem(reason, unit))
}

/// A server that answers its n-th request with `say(n, request)`, and remembers the requests.
/// Dropping it stops it, and panics if `say` has panicked.
pub struct Scripted {
    pub address: SocketAddr,
    pub heard: Arc<Mutex<Vec<Heard>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking(), "the server's script panicked");
    }
}

impl Scripted {
    pub fn serve(say: impl Fn(usize, &Heard) -> Said + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let remembered = heard.clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        let thread = std::thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // A client that goes away in the middle is part of some tests.
                let Some(request) = read(&mut stream) else { continue };
                remembered.lock().unwrap().push(request.clone());
                if let Some(text) = say(at, &request) {
                    let _ = stream.write_all(&text);
                }
            }
        });
        Self { address, heard, stopped, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hello", self.address)
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    let mut heard = Heard { head: String::from_utf8(text).unwrap(), body: Vec::new() };
    let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
    heard.body = vec![0; length];
    stream.read_exact(&mut heard.body).ok()?;
    Some(heard)
}
