//! A gate under hostile requests: any method, path and headers, tokens that are genuine, changed, foreign, expired or
//! used, results right, wrong and broken, in header and body, while clocks step and the store is opened anew.
//! Nothing panics; every answer is a row of the wire protocol's table with all its headers; a challenge admits at most
//! once, for its own client under its own policy, not before its floor and only for the right result; no client gets
//! more than its limit; bytes in flight come back and memory stays within its bound.
//!
//! Any bytes are a run, so a corpus may start empty; a few files of 200 to 400 random bytes are good seeds.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pouw::hash::sha3_512;
use pouw::internal::gate::identity::believed_address;
use pouw::internal::store::check;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{ByTier, ChallengeToken, Keyring, Reason, UnixMillis, WorkId, WorkResult, WorkUnit, header};
use pouw::solver::compute_work_unit;
use pouw::{
    BodyRead, Caller, ClientKey, Config, Decision, EventSink, Exposure, FakeClock, Gate, GateConfig, Head, Headers,
    IngestOptions, Pass, Policy, PouwEngine, Refusal, Runtime, Step, StoreOptions,
};

const SECRET: [u8; 32] = [9; 32];
const START_MS: u64 = 1_700_000_000_000;
const WINDOW_MS: u64 = 10_000;
const TTL_MS: u64 = 60_000;
/// By policy: the default and that of `/small`.
const LIMITS: [u64; 2] = [3, 1];
const IN_FLIGHT_MAX: u64 = 256 << 10;
/// Far more than windows and accounts of the few clients here can need.
const MEMORY_MAX: usize = 1 << 20;
const PROXY: &str = "10.0.0.0/8";
const BROWSER: &[u8] = b"text/html,*/*;q=0.8";

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut house = House::new(input.byte());
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        house.step(&mut input);
        house.audit();
    }
    house.gate.engine().close();
    let report = check(Arc::new(house.disk.clone()), &mut |_| {}).expect("the files can be read");
    assert!(report.is_clean(), "{:?}", report.findings);
});

/// Bytes that never run out.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }

    fn slice(&mut self) -> &'d [u8] {
        let len = usize::from(self.byte() % 64).min(self.0.len());
        let (now, later) = self.0.split_at(len);
        self.0 = later;
        now
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }
}

/// A request as an adapter sees it.
#[derive(Default, Debug, Clone)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    peer: Option<IpAddr>,
    user: Option<&'static str>,
    body: Vec<u8>,
    /// What the adapter says of the body in the end.
    read: u8,
}

impl Head for Request {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(own, _)| own == name).for_each(|(_, value)| each(value));
    }

    fn has_body(&self) -> bool {
        !self.body.is_empty()
    }
}

impl Request {
    fn any(input: &mut Input<'_>) -> Self {
        let mut request = Self {
            method: match input.byte() % 8 {
                0 => String::from_utf8_lossy(input.slice()).into_owned(),
                1 => "OPTIONS".into(),
                2 | 3 => "POST".into(),
                _ => "GET".into(),
            },
            path: match input.byte() % 8 {
                0 => String::from_utf8_lossy(input.slice()).into_owned(),
                1 => "/free/x".into(),
                2 | 3 => "/small".into(),
                _ => "/".into(),
            },
            peer: input.pick(&[Some("192.0.2.1"), Some("2001:db8::1"), Some("10.0.0.1"), None]).map(address),
            user: input.pick(&[None, None, None, Some("anna")]),
            read: input.byte(),
            ..Self::default()
        };
        for _ in 0..input.byte() % 4 {
            let names = [
                "x-forwarded-for",
                "forwarded",
                header::RESPONSE,
                header::RESULT,
                "content-length",
                "access-control-request-method",
                "accept",
                "cookie",
            ];
            let name = input.pick(&names).to_owned();
            let value = match input.byte() % 4 {
                _ if name == "accept" => BROWSER.to_vec(),
                0 => b"198.51.100.7".to_vec(),
                1 => b"for=\"[2001:db8:7::1]:80\", for=10.0.0.2".to_vec(),
                _ => input.slice().to_vec(),
            };
            request.headers.push((name, value));
        }
        request
    }

    fn key(&self) -> ClientKey {
        let believed = || believed_address(self.peer, self, &[PROXY.parse().expect("a network")], "");
        match self.user {
            Some(user) => ClientKey::User(user.into()),
            None => believed().map_or(ClientKey::Anonymous, |address| ClientKey::of_address(address, 64)),
        }
    }

    fn presents(&self) -> bool {
        let names = [header::RESPONSE, header::RESULT, "cookie"];
        self.headers.iter().any(|(name, _)| names.contains(&name.as_str()))
    }

    /// A navigation of a browser's, which is answered with pages.
    fn navigates(&self) -> bool {
        self.method == "GET" && self.headers.iter().any(|(name, _)| name == "accept")
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A challenge that went out.
#[derive(Clone)]
struct Challenge {
    unit: WorkUnit,
    client: ClientKey,
    policy: usize,
    not_before_ms: u64,
    expires_ms: u64,
}

struct House {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    gate: Gate,
    challenges: Vec<Challenge>,
    admitted: BTreeSet<WorkId>,
    /// Admissions without work, by client and policy; a new gate has forgotten them.
    windows: HashMap<(ClientKey, usize), VecDeque<u64>>,
    /// Refusals whose bodies are still being written.
    unread: Vec<Refusal>,
    /// The last request that was let through for work, and its challenge.
    accepted: Option<(Request, Challenge)>,
}

fn open(disk: &SimDisk, clock: &Arc<FakeClock>) -> Gate {
    let config = Config::builder(SECRET)
        .floor(ByTier::from([100, 200, 300]).map(Duration::from_millis))
        .background(false)
        .leases_max(64)
        .synthetic_max(16);
    let parts = Runtime::on(Arc::new(disk.clone()))
        .clock(clock.clone())
        .events(EventSink::default())
        .options(StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20));
    let engine = PouwEngine::open_with(parts, config.build().expect("valid")).expect("it opens");
    let config = GateConfig::builder()
        .rate_limit(LIMITS[0] as u32)
        .window(Duration::from_millis(WINDOW_MS))
        .policy(Policy::new("small", LIMITS[1] as u32, Duration::from_millis(WINDOW_MS)).route("/small"))
        .exempt_route("/free/*")
        .challenge_page("/p/")
        .trusted_proxy(PROXY)
        .paid_admissions_per_window(20)
        .tracked_clients_max(1_000)
        .bytes_in_flight(IN_FLIGHT_MAX)
        .judge_threads(1)
        .body_limit_bytes(16 << 10)
        .buffered_bytes_max(16 << 10);
    Gate::new(engine, config.build().expect("valid")).expect("threads")
}

impl House {
    fn new(leaves: u8) -> Self {
        let (disk, clock) = (SimDisk::new(), Arc::new(FakeClock::at(UnixMillis(START_MS))));
        let gate = open(&disk, &clock);
        let bytes: Vec<u8> = (0..512 * 7 * usize::from(leaves % 8)).map(|at| (at / 512) as u8).collect();
        let options = IngestOptions::new(Exposure::Public).block_size(512);
        gate.engine().ingest_bytes(&options, "tree", &bytes).expect("new content");
        Self {
            disk,
            clock,
            gate,
            challenges: Vec::new(),
            admitted: BTreeSet::new(),
            windows: HashMap::new(),
            unread: Vec::new(),
            accepted: None,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 15 {
            0..=2 => {
                let mut request = Request::any(input);
                request.body = input.slice().to_vec();
                self.send(&request, None);
            }
            3..=7 => self.answer(input),
            8 => self.clock.advance(Duration::from_millis(input.number())),
            9 => {
                let time = Duration::from_millis(100 * input.number());
                match input.byte() % 2 {
                    0 => self.clock.step_wall_forward(time),
                    _ => self.clock.step_wall_back(time),
                }
            }
            10 => self.unread.clear(),
            11 => self.reopen(),
            // The same once more, perhaps of before a restart.
            12 | 13 => {
                if let Some((request, challenge)) = self.accepted.clone() {
                    self.send(&request, Some((&challenge, true)));
                }
            }
            _ => match input.byte() % 3 {
                0 => drop(self.gate.engine().sweep().expect("storage is sound")),
                1 => drop(self.gate.engine().forget("tree")),
                _ => self.gate.engine().upkeep().map(drop).expect("storage is sound"),
            },
        }
    }

    fn reopen(&mut self) {
        self.gate.engine().close();
        self.gate = open(&self.disk, &self.clock);
        self.windows.clear();
        self.unread.clear();
    }

    /// The answer to a challenge, by its client or another, with something changed or nothing.
    fn answer(&mut self, input: &mut Input<'_>) {
        if self.challenges.is_empty() {
            return;
        }
        // Mostly one of the newest, which have not expired, and the same one more than once.
        let newest = self.challenges.len().saturating_sub(3);
        let among = if input.byte() % 4 > 0 { &self.challenges[newest..] } else { &self.challenges[..] };
        let challenge = input.pick(&among.iter().collect::<Vec<_>>()).clone();
        let mut request = Request::any(input);
        if input.byte() % 4 > 0 {
            // As its own client would ask.
            request.headers.retain(|(name, _)| name == "content-length");
            request.path = if challenge.policy == 1 { "/small".into() } else { "/".into() };
            request.user = None;
            match &challenge.client {
                ClientKey::V4(own) => request.peer = Some((*own).into()),
                ClientKey::V6(own, _) => request.peer = Some((*own).into()),
                ClientKey::User(_) => request.user = Some("anna"),
                _ => request.peer = None,
            }
        }
        if input.byte() % 4 > 0 {
            let now = self.gate.engine().now().0;
            self.clock.advance(Duration::from_millis(challenge.not_before_ms.saturating_sub(now)));
        }
        let mut result = solve(&challenge.unit);
        match input.byte() % 8 {
            0 => result.result_hash = sha3_512(input.slice()),
            1 => result.leaf_hashes.push(sha3_512(input.slice())),
            2 => result.work_unit_id = WorkId::from_parts(input.number(), [input.byte(); 10]),
            _ => {}
        }
        let token = Self::token(&challenge, input);
        let (compact, json) = (result.to_compact(), result.to_json());
        let form = input.byte() % 10;
        if form >= 8 {
            (request.method, request.body) = ("GET".into(), Vec::new());
            let answer = [b"pouw-answer=", &*token, b".", compact.as_bytes()].concat();
            request.headers.extend([("accept".into(), BROWSER.to_vec()), ("cookie".into(), changed(answer, input))]);
            let right = result == solve(&challenge.unit);
            return self.send(&request, Some((&challenge, right)));
        }
        request.headers.push((header::RESPONSE.into(), token));
        if form < 4 {
            request.headers.push((header::RESULT.into(), changed(compact.into_bytes(), input)));
        }
        if form >= 3 {
            let body = match form {
                3 | 4 => format!("{{\"a\":[],\"workResult\":{json}}}"),
                5 => format!("{{\"workResult\":\"{}\"}}", json.replace('"', "\\\"")),
                6 => format!("{{\"workResult\":{{\"resultHash\":\"{}\"}}}}", result.result_hash),
                _ => format!("{{\"workResult\":{json},\"workResult\":{json}}}"),
            };
            request.body = changed(body.into_bytes(), input);
        }
        let expected = solve(&challenge.unit);
        // One form carries nothing but the top hash.
        let right = if form == 6 { result.result_hash == expected.result_hash } else { result == expected };
        self.send(&request, Some((&challenge, right)));
    }

    fn token(challenge: &Challenge, input: &mut Input<'_>) -> Vec<u8> {
        let own = challenge.unit.challenge_token.clone();
        match input.byte() % 12 {
            0 => changed(own.into_bytes(), input),
            1 => input.slice().to_vec(),
            2 => {
                // The same fields under a secret of somebody else.
                let (own_keys, other_keys) = (keyring(SECRET), keyring([8; 32]));
                let token = ChallengeToken::open(&own, &own_keys, TTL_MS).expect("issued by this gate");
                token.seal(&other_keys).into_bytes()
            }
            _ => own.into_bytes(),
        }
    }

    /// Has a request judged to the end and holds the verdict against what is known. `answer` is the challenge whose
    /// token it may carry, and whether the result was the right one before bytes were changed.
    fn send(&mut self, request: &Request, answer: Option<(&Challenge, bool)>) {
        let mut caller = Caller::from_peer(request.peer);
        caller.user = request.user;
        let mut whole = true;
        let decision = match self.gate.on_request(request, &caller) {
            Step::Exempt => {
                let preflight = request.method == "OPTIONS";
                assert!(preflight || request.path.starts_with("/free/"), "{request:?} is not exempt");
                return;
            }
            Step::Decided(decision) => decision,
            Step::Judge(pending) => pending.wait(),
            Step::Body(needs) => {
                whole = request.body.len() <= needs.limit_bytes && request.read % 8 > 1;
                let read = match request.read % 8 {
                    _ if whole => BodyRead::Whole(&request.body),
                    0 => BodyRead::Incomplete,
                    _ => BodyRead::TooLarge,
                };
                needs.complete(read).wait()
            }
        };
        let policy = usize::from(request.path == "/small");
        match decision {
            Decision::Pass(pass) => {
                assert!(whole, "its service would see a part of a body: {request:?}");
                self.passed(request, policy, answer, &pass);
            }
            Decision::Refuse(refusal) => self.refused(request, policy, refusal),
        }
    }

    fn passed(&mut self, request: &Request, policy: usize, answer: Option<(&Challenge, bool)>, pass: &Pass) {
        rate_headers(&pass.headers(&self.gate), policy);
        let now = self.gate.engine().now().0;
        let Some(work) = pass.accepted else {
            assert!(pass.headers(&self.gate).find(header::ACCEPTED).is_none());
            assert!(!pass.clears_cookie || request.navigates(), "{request:?}");
            let own = self.windows.entry((request.key(), policy)).or_default();
            own.retain(|at| now - at < WINDOW_MS);
            own.push_back(now);
            assert!(own.len() as u64 <= LIMITS[policy], "more than the limit passed: {request:?}");
            return;
        };
        let (challenge, right) = answer.expect("only an answer earns an admission");
        assert_eq!(work.id, challenge.unit.id, "another unit than the token's was credited");
        assert!(right, "a wrong answer was accepted");
        assert!(request.key() == challenge.client && policy == challenge.policy, "a token of somebody else counted");
        assert!(now >= challenge.not_before_ms && now < challenge.expires_ms, "too early or too late");
        assert!(self.admitted.insert(work.id), "a challenge admitted twice");
        self.accepted = Some((request.clone(), challenge.clone()));
        assert_eq!(pass.headers(&self.gate).find(header::ACCEPTED), Some("true"));
        number(&pass.headers(&self.gate), header::JOULE_AWARD);
    }

    fn refused(&mut self, request: &Request, policy: usize, refusal: Refusal) {
        rate_headers(&refusal.headers, policy);
        let paged = refusal.headers.find("content-type") == Some("text/html; charset=utf-8");
        assert!(!paged || (request.navigates() && refusal.status == 429), "{request:?}: {refusal:?}");
        let document = if paged { problem_in(&refusal.body) } else { refusal.body.clone() };
        let document: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&document).expect("a problem document");
        assert_eq!(refusal.status, status_of(refusal.reason), "{refusal:?}");
        assert_eq!(document["status"], refusal.status);
        assert_eq!(document["reason"], refusal.reason.as_str());
        assert!(paged || refusal.headers.find("content-type") == Some("application/problem+json"), "{refusal:?}");
        assert_eq!(refusal.headers.find("cache-control"), Some("no-store"));
        assert!(request.presents() || refusal.status == 429, "{request:?}: {refusal:?}");
        if refusal.status == 429 {
            number(&refusal.headers, header::RETRY_AFTER);
        }
        let unit = document.get("workUnit").map(|unit| WorkUnit::from_json(unit.to_string().as_bytes()));
        if let Some(unit) = unit {
            let unit = unit.expect("a unit that can be read");
            assert_eq!((refusal.status, refusal.token()), (429, Some(unit.challenge_token.as_str())));
            self.note(request, policy, unit);
        } else {
            assert!(refusal.token().is_none() || request.presents(), "a token without its unit: {refusal:?}");
        }
        if request.read % 2 == 0 {
            self.unread.push(refusal);
        }
    }

    fn note(&mut self, request: &Request, policy: usize, unit: WorkUnit) {
        let now = self.gate.engine().now().0;
        let known = self.challenges.iter().find(|known| known.unit.id == unit.id);
        if let Some(known) = known {
            // Sent again: to its own client, the same bytes under the same token.
            assert!(request.key() == known.client && policy == known.policy, "a unit went to somebody else");
            assert_eq!(
                (&known.unit.input_data, &known.unit.challenge_token),
                (&unit.input_data, &unit.challenge_token)
            );
            assert_eq!(now + unit.ttl_ms, known.expires_ms);
            return;
        }
        assert_eq!(unit.ttl_ms, TTL_MS);
        self.challenges.push(Challenge {
            client: request.key(),
            policy,
            not_before_ms: now + unit.wait_ms,
            expires_ms: now + unit.ttl_ms,
            unit,
        });
    }

    fn audit(&self) {
        let stats = self.gate.stats();
        let unread: u64 = self.unread.iter().map(|refusal| refusal.body.len() as u64).sum();
        assert!(stats.bytes_in_flight <= IN_FLIGHT_MAX, "{stats:?}");
        assert!(!self.unread.is_empty() || stats.bytes_in_flight == 0, "{unread} unread: {stats:?}");
        assert!((stats.bytes_buffered, stats.waiting_answers) == (0, 0), "{stats:?}");
        assert!(stats.memory_bytes <= MEMORY_MAX, "{stats:?}");
        assert_eq!(self.gate.engine().stats().ledger_entries, self.admitted.len() as u64);
    }
}

/// The problem document in a page.
fn problem_in(page: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(page).expect("a page is text");
    let (_, data) = text.split_once("id=\"given\">").expect("a page has data");
    let (data, _) = data.split_once("</script>").expect("the data ends");
    let data: serde_json::Value = serde_json::from_str(data).expect("the data is JSON");
    data["problem"].to_string().into_bytes()
}

/// The status of a reason, as the wire protocol has it.
fn status_of(reason: Reason) -> u16 {
    match reason.as_str() {
        "malformed" => 400,
        "token_invalid" | "client_mismatch" | "policy_mismatch" | "token_replayed" => 403,
        "too_large" => 413,
        "work_required" | "no_work" | "degraded" | "exempt" | "budget" | "ceiling" | "crowded" | "too_early"
        | "wrong_result" | "token_expired" | "withdrawn" | "try_again" => 429,
        other => panic!("{other} has no row here"),
    }
}

fn number(headers: &Headers, name: &str) -> u64 {
    let value = headers.find(name).unwrap_or_else(|| panic!("no {name} in {headers:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

fn rate_headers(headers: &Headers, policy: usize) {
    let (limit, left) = (number(headers, header::RATELIMIT_LIMIT), number(headers, header::RATELIMIT_REMAINING));
    assert!(limit == LIMITS[policy] && left <= limit, "{headers:?}");
    assert!(number(headers, header::RATELIMIT_RESET) <= WINDOW_MS / 1_000 + 1, "{headers:?}");
    let name = ["default", "small"][policy];
    assert_eq!(headers.find(header::RATELIMIT_POLICY), Some(format!("\"{name}\";q={limit};w=10").as_str()));
    assert!(headers.find(header::RATELIMIT).is_some_and(|text| text.starts_with(&format!("\"{name}\";r={left};t="))));
}

/// The bytes, now and then with some changed, cut or added.
fn changed(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let at = usize::from(input.byte());
    match input.byte() % 16 {
        0 if !bytes.is_empty() => {
            let at = at * bytes.len() / 256;
            bytes[at] = input.byte();
        }
        1 => bytes.truncate(at),
        2 => bytes.extend_from_slice(input.slice()),
        3 => bytes.resize(bytes.len() + 128 * at, b' '),
        _ => {}
    }
    bytes
}

fn keyring(secret: [u8; 32]) -> Keyring {
    Keyring::new(&secret).expect("32 bytes")
}

fn solve(unit: &WorkUnit) -> WorkResult {
    compute_work_unit(unit).expect("the unit adds up")
}
