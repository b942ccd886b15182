//! Solving the challenge of one request, as a state machine without I/O.

use std::time::Duration;

use crate::protocol::{MicroJoules, Reason, WorkId, WorkResult, WorkUnit, header};

use super::problem::{CHALLENGE_BYTES_MAX, Problem, REFUSAL_BYTES_MAX, is_problem, read_unit, whole_seconds};
use super::report::{Accepted, Offer, Pause};
use super::{BoxError, ClientError, Cost, InvalidUnit, Terms};

/// Most requests made for one, at one address.
///
/// They are the first, an answer to each of two challenges, three repetitions of an answer, and one
/// after each of eight waits without work. A shared client may add three, if its other requests
/// hold all challenges of the address, and two, with other passes than one that was refused.
pub const REQUESTS_MAX: u32 = 1 + CHALLENGES_MAX + REPEATS_MAX + WAITS_MAX + TURNS_MAX + PASSES_TRIED_MAX as u32;

/// How often a request is sent again with another pass, because the first was refused.
pub(super) const PASSES_TRIED_MAX: usize = 2;

/// How often a request queues because other requests of its client hold all challenges, or finds a
/// pass when its turn to solve a challenge has come.
pub(super) const TURNS_MAX: u32 = 3;

/// Challenges solved for one request: a second one only if the server withdrew the first, or its
/// client's address has changed.
const CHALLENGES_MAX: u32 = 2;
/// Repetitions of an answer that was too early or could not be stored.
const REPEATS_MAX: u32 = 3;
/// Waits after a 429 without work.
const WAITS_MAX: u32 = 8;
/// The wait if the server names none.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Solves the challenge of one request, as a state machine: it sends nothing and has no clock.
///
/// Send the request with the headers of [`Exchange::answer`], pass the response to
/// [`Exchange::head`], and do what the returned [`Step`] says, until it is [`Step::Done`] or an
/// error. `elapsed` is always the time since the exchange was made, on any monotonic clock.
///
/// # Examples
///
/// ```
/// # use std::ops::ControlFlow;
/// # use std::time::Instant;
/// # use pouw::client::{ClientError, Exchange, Step, Terms};
/// # use pouw::solver::compute_work_unit_timed;
/// # struct Response { status: u16, body: Vec<u8> }
/// # impl Response {
/// #     fn header(&self, _: &str) -> Option<&str> { None }
/// #     fn read(&mut self, limit: usize) -> Result<Vec<u8>, std::io::Error> { Ok(Vec::new()) }
/// # }
/// # fn send(_: Option<[(&'static str, &str); 2]>) -> Result<Response, std::io::Error> {
/// #     Ok(Response { status: 200, body: Vec::new() })
/// # }
/// fn fetch(terms: Terms) -> Result<Response, ClientError> {
///     let (mut exchange, started) = (Exchange::new(terms), Instant::now());
///     loop {
///         let mut response = send(exchange.answer()).map_err(|error| exchange.failed(error.into()))?;
///         let mut step = exchange.head(response.status, |name| response.header(name), started.elapsed())?;
///         if let Step::Read { limit_bytes } = step {
///             // One byte more shows that the body is too long.
///             response.body = response.read(limit_bytes + 1).map_err(|error| exchange.failed(error.into()))?;
///             step = exchange.body(&response.body, started.elapsed())?;
///         }
///         if let Step::Work(unit) = step {
///             let result = compute_work_unit_timed(&unit, |_| ControlFlow::Continue(()));
///             step = exchange.solved(&result.map_err(|error| exchange.failed(error.into()))?, started.elapsed())?;
///         }
///         match step {
///             Step::Send { after, .. } => std::thread::sleep(after),
///             _ => return Ok(response),
///         }
///     }
/// }
/// # assert_eq!(fetch(Terms::default()).map(|response| response.status).ok(), Some(200));
/// ```
#[derive(Debug, Clone)]
pub struct Exchange {
    terms: Terms,
    /// The head of the last response, until its body arrives.
    head: Option<Limited>,
    /// The challenge being solved.
    open: Option<Open>,
    answer: Option<Answer>,
    accepted: Option<Accepted>,
    requests: u32,
    challenges: u32,
    repeats: u32,
    waits: u32,
}

/// The next step of an [`Exchange`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "an exchange goes on only when its step is done"]
pub enum Step {
    /// Return the response to the caller, with its body.
    Done,
    /// Read the body, to its end or one byte over the limit, and pass it to [`Exchange::body`].
    /// Keep it: the response may have to be returned to the caller.
    Read {
        /// The most bytes wanted.
        limit_bytes: usize,
    },
    /// Compute this unit, which is valid and within the terms, and pass the result to
    /// [`Exchange::solved`].
    Work(Box<WorkUnit>),
    /// Wait, then send the request again, with the headers of [`Exchange::answer`].
    Send {
        /// The length of the wait.
        after: Duration,
        /// The reason for the wait.
        pause: Pause,
    },
}

#[derive(Debug, Clone)]
struct Limited {
    status: u16,
    challenge: Option<String>,
    retry: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Open {
    id: WorkId,
    token: String,
    floor: Duration,
    /// The time after which no answer to it counts.
    over: Duration,
}

#[derive(Debug, Clone)]
struct Answer {
    id: WorkId,
    token: String,
    compact: String,
}

impl Exchange {
    /// The header that says what the solver can compute, for every sending. Without it a server
    /// hands out units of one leaf only.
    pub const ABILITIES: (&'static str, &'static str) = (header::ACCEPT, "subtree_hash");

    /// Creates an exchange that starts now.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            head: None,
            open: None,
            answer: None,
            accepted: None,
            requests: 0,
            challenges: 0,
            repeats: 0,
            waits: 0,
        }
    }

    /// Reads the head of a response.
    ///
    /// `header` returns the value of a header by its name in lower case: the first one if there are
    /// several, none if it is not ASCII.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] if the server's wait exceeds the deadline, [`ClientError::GaveUp`]
    /// if the server refused too often. Any error ends the exchange.
    pub fn head<'h>(
        &mut self,
        status: u16,
        header: impl Fn(&'static str) -> Option<&'h str>,
        elapsed: Duration,
    ) -> Result<Step, ClientError> {
        self.requests = self.requests.saturating_add(1);
        (self.head, self.open) = (None, None);
        if let Some(answer) = self.answer.as_ref().filter(|_| header(header::ACCEPTED) == Some("true")) {
            let award = header(header::JOULE_AWARD).and_then(|text| text.parse().ok()).map(MicroJoules);
            self.accepted = Some(Accepted { receipt: answer.id, award });
            return Ok(Step::Done);
        }
        let challenge = header(header::CHALLENGE).filter(|_| status == 429).map(str::to_owned);
        let retry = header(header::RETRY_AFTER).and_then(whole_seconds);
        let refusal = self.answer.is_some() && matches!(status, 400 | 403 | 413 | 429 | 503);
        if is_problem(header("content-type")) && (challenge.is_some() || refusal) {
            let limit_bytes = if challenge.is_some() { CHALLENGE_BYTES_MAX } else { REFUSAL_BYTES_MAX };
            self.head = Some(Limited { status, challenge, retry });
            return Ok(Step::Read { limit_bytes });
        }
        Ok(if status == 429 { self.plain(retry, elapsed) } else { Step::Done })
    }

    /// Reads the body requested by [`Step::Read`].
    ///
    /// # Errors
    /// [`ClientError::InvalidUnit`], [`ClientError::BodyTooLarge`] or [`ClientError::TooExpensive`]
    /// for a challenge that is not solved, [`ClientError::Refused`] for a refused answer,
    /// [`ClientError::Deadline`] and [`ClientError::GaveUp`]. Any error ends the exchange.
    pub fn body(&mut self, bytes: &[u8], elapsed: Duration) -> Result<Step, ClientError> {
        let Some(head) = self.head.take() else {
            return Ok(Step::Done);
        };
        if head.challenge.is_some() && bytes.len() > CHALLENGE_BYTES_MAX {
            return Err(ClientError::BodyTooLarge { limit_bytes: CHALLENGE_BYTES_MAX });
        }
        let problem = match Problem::read(bytes) {
            Ok(problem) => problem,
            Err(error) if head.challenge.is_some() => return Err(InvalidUnit::from(error).into()),
            // An unreadable refusal is not part of this protocol.
            Err(_) => return Ok(Step::Done),
        };
        let reason = problem.reason();
        match (&self.answer, head.status, reason) {
            (Some(_), 429, Some(Reason::TooEarly | Reason::TryAgain)) => self.repeat(&head, reason, elapsed),
            (Some(answer), _, Some(reason)) if head.status != 429 || reason == Reason::WrongResult => {
                let (status, detail, id) = (head.status, problem.detail(), answer.id);
                Err(ClientError::Refused { reason, status, detail, id })
            }
            (_, 429, _) => match (problem.unit(), head.challenge) {
                (Some(unit), Some(token)) => self.challenge(unit, &token, reason, elapsed),
                _ => Ok(self.plain(head.retry, elapsed)),
            },
            _ => Ok(Step::Done),
        }
    }

    /// Takes the result of the unit in [`Step::Work`], including its telemetry.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] if the hashing took too long.
    pub fn solved(&mut self, result: &WorkResult, elapsed: Duration) -> Result<Step, ClientError> {
        let Some(Open { id, token, floor, .. }) = self.open.take() else {
            return Ok(Step::Done);
        };
        self.in_time(floor.max(elapsed))?;
        self.answer = Some(Answer { id, token, compact: result.to_compact() });
        Ok(Step::Send { after: floor.saturating_sub(elapsed), pause: Pause::Floor })
    }

    /// Returns whether the challenge of [`Step::Work`] expired before hashing began. If so it is
    /// dropped, and the request has to be sent again as it was: there may be a free slot, or
    /// another challenge.
    pub(super) fn lapsed(&mut self, elapsed: Duration) -> bool {
        self.open.take_if(|open| elapsed >= open.over).is_some()
    }

    /// Drops the challenge of [`Step::Work`], because the request has a pass. It does not count as
    /// solved.
    pub(super) fn withdraw(&mut self) {
        if self.open.take().is_some() {
            self.challenges = self.challenges.saturating_sub(1);
        }
    }

    /// Returns the names and values of the headers to add to the next sending: the answer, if there
    /// is one.
    pub fn answer(&self) -> Option<[(&'static str, &str); 2]> {
        let answer = self.answer.as_ref()?;
        Some([(header::RESPONSE, &answer.token), (header::RESULT, &answer.compact)])
    }

    /// Returns the answer that counted, once its response has arrived.
    pub fn accepted(&self) -> Option<&Accepted> {
        self.accepted.as_ref()
    }

    /// Wraps an error of the HTTP client. If an answer was being sent, the result has its receipt.
    pub fn failed(&self, source: BoxError) -> ClientError {
        match &self.answer {
            Some(answer) => ClientError::ConnectionLost { receipt: answer.id, source },
            None => ClientError::Transport(source),
        }
    }

    /// Returns the error for a deadline that has passed.
    pub fn late(&self) -> ClientError {
        self.too_late(None)
    }

    /// Checks a unit before anything is hashed.
    fn challenge(
        &mut self,
        json: &[u8],
        token: &str,
        reason: Option<Reason>,
        elapsed: Duration,
    ) -> Result<Step, ClientError> {
        if self.challenges == CHALLENGES_MAX {
            return Err(ClientError::GaveUp { requests: self.requests, reason, receipt: None });
        }
        let unit = read_unit(json, token)?;
        let offer = Offer::of(&unit);
        affordable(Cost::Bytes, offer.bytes, self.terms.max_bytes)?;
        affordable(Cost::Hashes, offer.hashes, self.terms.max_hashes)?;
        let max_wait = u64::try_from(self.terms.max_wait.as_millis()).unwrap_or(u64::MAX);
        affordable(Cost::WaitMs, unit.wait_ms, max_wait)?;
        let (floor, over) = (elapsed.saturating_add(offer.wait), elapsed.saturating_add(offer.lifetime));
        self.in_time(floor)?;
        self.challenges += 1;
        self.answer = None;
        self.open = Some(Open { id: unit.id, token: token.to_owned(), floor, over });
        Ok(Step::Work(Box::new(unit)))
    }

    /// Sends the same answer again.
    fn repeat(&mut self, head: &Limited, reason: Option<Reason>, elapsed: Duration) -> Result<Step, ClientError> {
        if self.repeats == REPEATS_MAX {
            let receipt = self.answer.as_ref().map(|answer| answer.id);
            return Err(ClientError::GaveUp { requests: self.requests, reason, receipt });
        }
        self.repeats += 1;
        let after = head.retry.unwrap_or(RETRY_DEFAULT);
        self.in_time(elapsed.saturating_add(after))?;
        Ok(Step::Send { after, pause: Pause::SameAnswer })
    }

    /// Handles a 429 without work: waits if the terms say so, else returns it to the caller.
    fn plain(&mut self, retry: Option<Duration>, elapsed: Duration) -> Step {
        // At least a second, so that no server can make this a busy loop.
        let after = retry.map(|retry| retry.max(RETRY_DEFAULT));
        let fits = |after: &Duration| {
            let end = elapsed.saturating_add(*after);
            self.terms.wait_when_limited && *after <= self.terms.max_wait && end <= self.terms.deadline
        };
        match after.filter(fits) {
            Some(after) if self.waits < WAITS_MAX => {
                self.waits += 1;
                self.answer = None;
                Step::Send { after, pause: Pause::Limited }
            }
            _ => Step::Done,
        }
    }

    fn in_time(&self, end: Duration) -> Result<(), ClientError> {
        if end <= self.terms.deadline { Ok(()) } else { Err(self.too_late(Some(end))) }
    }

    fn too_late(&self, needed: Option<Duration>) -> ClientError {
        let receipt = self.answer.as_ref().map(|answer| answer.id);
        ClientError::Deadline { deadline: self.terms.deadline, needed, receipt }
    }
}

fn affordable(what: Cost, asked: u64, allowed: u64) -> Result<(), ClientError> {
    if asked <= allowed { Ok(()) } else { Err(ClientError::TooExpensive { what, asked, allowed }) }
}
