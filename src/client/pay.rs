//! Drives an [`Exchange`] over any HTTP client: waits, hashes, and lets requests take turns.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::protocol::{Reason, WorkResult, WorkUnit, header};
use crate::solver::{SolveError, compute_work_unit_timed};

use super::exchange::{PASSES_TRIED_MAX, TURNS_MAX};
use super::passes::{Departed, Fate, Passes};
use super::place::Place;
use super::problem::{Problem, REFUSAL_BYTES_MAX, is_problem};
use super::report::{Hooks, Offer, Pause, Report};
use super::{BoxError, ClientError, Exchange, Step, Terms};

/// A request that can be sent again.
pub(super) trait Attempt: Send {
    type Reply: Reply;

    /// Where it goes; `None` if it is not to be sent with a pass.
    fn place(&self) -> Option<Place>;

    /// Sends it, with what it carries.
    fn send(&mut self, carried: Carried<'_>) -> impl Future<Output = Result<Self::Reply, Unanswered>> + Send;
}

/// What a request carries to get past the limit.
#[derive(Clone, Copy)]
pub(super) enum Carried<'c> {
    Nothing,
    /// The headers of an answer.
    Answer([(&'static str, &'c str); 2]),
    /// The name of a pass.
    Pass(&'c str),
}

/// A request that got no response.
pub(super) enum Unanswered {
    /// The request was not sent, or the connection was refused.
    NotSent(BoxError),
    /// The server may have received it.
    Lost(BoxError),
}

/// A response whose body has not been read, or can be read again.
pub(super) trait Reply: Sized + Send {
    fn status(&self) -> u16;

    fn headers(&self) -> &HeaderMap;

    /// The start of the body, up to a byte over the limit, and the response as if it had not been
    /// read.
    fn read(self, limit_bytes: usize) -> impl Future<Output = Result<(Bytes, Self), BoxError>> + Send;
}

/// The state shared by the clones of a client.
#[derive(Debug, Clone)]
pub(super) struct Payer {
    terms: Terms,
    pub(super) hooks: Hooks,
    pub(super) passes: Arc<Passes>,
    turns: Arc<Turns>,
}

/// Lets one request at a time have a challenge open.
#[derive(Debug)]
struct Turns {
    one: Arc<Semaphore>,
    /// Whether the next request is likely to be limited: it then waits for its turn before it is
    /// sent.
    limited: AtomicBool,
    /// Requests in progress.
    under_way: AtomicUsize,
}

impl Payer {
    pub(super) fn new(terms: Terms) -> Self {
        let turns =
            Turns { one: Arc::new(Semaphore::new(1)), limited: AtomicBool::new(false), under_way: AtomicUsize::new(0) };
        let passes = Arc::new(Passes::new(true));
        Self { terms, hooks: Hooks::default(), passes, turns: Arc::new(turns) }
    }

    /// Sends a request and solves its challenge, if any. The deadline counts from `started`.
    pub(super) async fn pay<A: Attempt>(&self, attempt: A, started: Instant) -> Result<A::Reply, ClientError> {
        let _under_way = UnderWay::new(&self.turns.under_way);
        let mut way = Way {
            payer: self,
            exchange: Exchange::new(self.terms),
            started,
            until: started.checked_add(self.terms.deadline),
            turn: None,
            queued: 0,
            place: attempt.place(),
            refused: Vec::new(),
        };
        way.go(attempt).await
    }
}

/// One request in progress.
struct Way<'p> {
    payer: &'p Payer,
    exchange: Exchange,
    started: Instant,
    until: Option<Instant>,
    turn: Option<OwnedSemaphorePermit>,
    /// How often it has queued behind the requests that hold the challenges.
    queued: u32,
    place: Option<Place>,
    /// The passes that it was refused with.
    refused: Vec<String>,
}

impl Way<'_> {
    async fn go<A: Attempt>(&mut self, mut attempt: A) -> Result<A::Reply, ClientError> {
        if self.payer.turns.limited.load(Ordering::Relaxed) && !self.has_pass() {
            self.take_turn().await?;
        }
        let mut reply = self.send(&mut attempt, true).await?;
        loop {
            let step = self.head(&reply)?;
            let (step, kept) = self.read(step, reply).await?;
            match step {
                Step::Work(unit) => {
                    drop(kept);
                    let step = self.work(unit).await?;
                    self.wait(step).await;
                }
                Step::Send { pause, .. } => {
                    // Challenges held by this client's own requests are free sooner than
                    // `Retry-After` says.
                    let (again, kept) = if pause == Pause::Limited { self.queue(kept).await? } else { (false, kept) };
                    drop(kept);
                    if !again {
                        self.wait(step).await;
                    }
                }
                _ => {
                    let (again, kept) = self.queue(kept).await?;
                    if !again {
                        if let Some(accepted) = self.exchange.accepted() {
                            self.payer.hooks.report(Report::Accepted(accepted));
                        }
                        return Ok(kept);
                    }
                }
            }
            reply = self.send(&mut attempt, false).await?;
        }
    }

    /// Sends the request with its answer, else with a pass if there is one. The `first` sending
    /// takes as long as it would without a limit.
    async fn send<A: Attempt>(&mut self, attempt: &mut A, mut first: bool) -> Result<A::Reply, ClientError> {
        loop {
            let answer = self.exchange.answer();
            let place = self.place.as_ref().filter(|_| answer.is_none());
            let pass = place.and_then(|place| self.payer.passes.depart(place, &self.refused));
            let carried = match (&pass, answer) {
                (Some(pass), _) => Carried::Pass(pass.name()),
                (None, Some(answer)) => Carried::Answer(answer),
                (None, None) => Carried::Nothing,
            };
            if pass.is_some() {
                // It opens no challenge.
                self.turn = None;
            }
            let sending = attempt.send(carried);
            let sent = if first { sending.await } else { self.in_time(sending).await? };
            let reply = match sent {
                Ok(reply) => reply,
                Err(error) => {
                    if let (Unanswered::NotSent(_), Some(pass)) = (&error, pass) {
                        pass.keep();
                    }
                    return Err(self.unanswered(error));
                }
            };
            self.learn(&reply);
            if !pass.is_some_and(|pass| self.settle(pass, &reply)) {
                return Ok(reply);
            }
            first = false;
        }
    }

    /// Decides what became of a pass. Returns whether the request is to be sent again with another
    /// one.
    fn settle(&mut self, pass: Departed, reply: &impl Reply) -> bool {
        let name = pass.name().to_owned();
        if pass.settle(reply.status(), reply.headers()) == Fate::Kept {
            return false;
        }
        self.refused.push(name);
        self.refused.len() <= PASSES_TRIED_MAX && self.has_pass()
    }

    fn learn(&self, reply: &impl Reply) {
        if let Some(place) = &self.place {
            self.payer.passes.learn(place, reply.headers());
        }
    }

    fn has_pass(&self) -> bool {
        self.place.as_ref().is_some_and(|place| self.payer.passes.has(place, &self.refused))
    }

    fn unanswered(&self, error: Unanswered) -> ClientError {
        match error {
            Unanswered::NotSent(source) => ClientError::Transport(source),
            Unanswered::Lost(source) => self.exchange.failed(source),
        }
    }

    fn head(&mut self, reply: &impl Reply) -> Result<Step, ClientError> {
        let headers = reply.headers();
        let get = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let step = self.exchange.head(reply.status(), get, self.started.elapsed())?;
        let challenged = reply.status() == 429 && headers.contains_key(header::CHALLENGE);
        let last = get(header::RATELIMIT_REMAINING) == Some("0");
        self.payer.turns.limited.store(challenged || last, Ordering::Relaxed);
        Ok(step)
    }

    async fn read<R: Reply>(&mut self, step: Step, reply: R) -> Result<(Step, R), ClientError> {
        let Step::Read { limit_bytes } = step else {
            return Ok((step, reply));
        };
        let read = self.in_time(reply.read(limit_bytes)).await?;
        let (text, reply) = read.map_err(|error| self.exchange.failed(error))?;
        Ok((self.exchange.body(&text, self.started.elapsed())?, reply))
    }

    async fn work(&mut self, unit: Box<WorkUnit>) -> Result<Step, ClientError> {
        let offer = Offer::of(&unit);
        self.payer.hooks.report(Report::Challenge(&offer));
        if !self.payer.hooks.confirms(&offer) {
            return Err(ClientError::Declined { id: offer.id });
        }
        if self.turn.is_none() {
            self.take_turn().await?;
            if self.queued < TURNS_MAX && self.has_pass() {
                // An answer to another challenge has bought this request too.
                self.queued += 1;
                self.exchange.withdraw();
                return Ok(Step::Send { after: Duration::ZERO, pause: Pause::Limited });
            }
        }
        if self.exchange.lapsed(self.started.elapsed()) {
            return Ok(Step::Send { after: Duration::ZERO, pause: Pause::Limited });
        }
        let result = self.in_time(hash(unit, self.payer.hooks.clone())).await??;
        self.exchange.solved(&result, self.started.elapsed())
    }

    async fn wait(&self, step: Step) {
        if let Step::Send { after, pause } = step
            && !after.is_zero()
        {
            self.payer.hooks.report(Report::Waiting { time: after, pause });
            sleep(after).await;
        }
    }

    /// Returns whether the request was refused only because other requests of this client hold all
    /// challenges. If so, waits for its turn; the request is then sent again without an answer.
    async fn queue<R: Reply>(&mut self, reply: R) -> Result<(bool, R), ClientError> {
        let content_type = reply.headers().get("content-type").and_then(|value| value.to_str().ok());
        let alone = self.payer.turns.under_way.load(Ordering::Relaxed) < 2;
        let answered = self.exchange.answer().is_some();
        if reply.status() != 429 || !is_problem(content_type) || alone || answered || self.queued == TURNS_MAX {
            return Ok((false, reply));
        }
        let (reason, reply) = self.reason(reply).await?;
        if reason != Some(Reason::Budget) {
            return Ok((false, reply));
        }
        self.queued += 1;
        // Queue behind the requests that have a challenge: they may not have queued yet.
        self.turn = None;
        self.take_turn().await?;
        Ok((true, reply))
    }

    /// Reads the reason of a refusal without a challenge.
    async fn reason<R: Reply>(&self, reply: R) -> Result<(Option<Reason>, R), ClientError> {
        let read = self.in_time(reply.read(REFUSAL_BYTES_MAX)).await?;
        let (text, reply) = read.map_err(|error| self.exchange.failed(error))?;
        Ok((Problem::read(&text).ok().and_then(|problem| problem.reason()), reply))
    }

    async fn take_turn(&mut self) -> Result<(), ClientError> {
        let turn = self.in_time(self.payer.turns.one.clone().acquire_owned()).await?;
        self.turn = Some(turn.map_err(|closed| self.exchange.failed(closed.into()))?);
        Ok(())
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, ClientError> {
        match self.until {
            Some(until) => timeout_at(until, future).await.map_err(|_| self.exchange.late()),
            None => Ok(future.await),
        }
    }
}

/// Computes a unit on a thread for blocking work. Dropping the future stops it.
async fn hash(unit: Box<WorkUnit>, hooks: Hooks) -> Result<WorkResult, ClientError> {
    let unwanted = Unwanted::default();
    let flag = unwanted.0.clone();
    let computed = tokio::task::spawn_blocking(move || {
        compute_work_unit_timed(&unit, |progress| {
            hooks.report(Report::Hashed(progress));
            match flag.load(Ordering::Relaxed) {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            }
        })
    });
    match computed.await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(SolveError::Invalid(unsound))) => Err(ClientError::InvalidUnit(unsound.into())),
        Ok(Err(cancelled)) => Err(ClientError::Transport(cancelled.into())),
        Err(panicked) => match panicked.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(shut_down) => Err(ClientError::Transport(shut_down.into())),
        },
    }
}

/// Stops the hashing when it is dropped.
#[derive(Default)]
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts a request while it is in progress.
struct UnderWay<'c>(&'c AtomicUsize);

impl<'c> UnderWay<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
