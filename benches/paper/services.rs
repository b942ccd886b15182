//! What the gate is measured beside: a service that does nothing, and the paper's "simple sliding-window rate
//! limiter that returns HTTP 429".

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use pouw::PeerAddr;
use tower_service::Service;

/// Says hello to everybody.
#[derive(Debug, Clone)]
pub struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"hello\n")))))
    }
}

/// The textbook: the moments of each client's admitted requests, under one lock. It forgets no client, which is
/// all right for as many clients as the bench has.
#[derive(Debug)]
pub struct PlainLimiter {
    limit: usize,
    window: Duration,
    logs: Mutex<HashMap<IpAddr, VecDeque<Instant>>>,
}

impl PlainLimiter {
    pub fn new(limit: u32, window_ms: u64) -> Self {
        let window = Duration::from_millis(window_ms);
        Self { limit: limit as usize, window, logs: Mutex::new(HashMap::new()) }
    }

    /// Whether a request is within the limit; if so it is logged.
    pub fn admits(&self, client: IpAddr) -> bool {
        let now = Instant::now();
        let mut logs = self.logs.lock();
        let log = logs.entry(client).or_default();
        while log.front().is_some_and(|oldest| now.duration_since(*oldest) >= self.window) {
            log.pop_front();
        }
        let admitted = log.len() < self.limit;
        if admitted {
            log.push_back(now);
        }
        admitted
    }
}

/// The same service behind it.
#[derive(Debug, Clone)]
pub struct Limited {
    inner: Hello,
    limiter: Arc<PlainLimiter>,
}

impl Limited {
    pub fn new(limiter: PlainLimiter) -> Self {
        Self { inner: Hello, limiter: Arc::new(limiter) }
    }
}

impl<B> Service<Request<B>> for Limited {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip());
        if peer.is_some_and(|peer| self.limiter.admits(peer)) {
            return self.inner.call(request);
        }
        let mut response = Response::new(Full::new(Bytes::from_static(b"too many requests\n")));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        ready(Ok(response))
    }
}

#[cfg(test)]
#[allow(unused, reason = "run by tests/cli")]
mod tests {
    use super::super::rig::address;
    use super::*;

    #[test]
    fn the_plain_limiter_limits_each_client_for_itself() {
        let limiter = PlainLimiter::new(2, 86_400_000);
        let admitted: Vec<bool> = (0..3).map(|_| limiter.admits(address(1))).collect();
        assert_eq!(admitted, [true, true, false]);
        assert!(limiter.admits(address(2)));
    }

    #[test]
    fn the_plain_limiter_forgets_what_is_a_window_old() {
        let limiter = PlainLimiter::new(1, 0);
        assert!(limiter.admits(address(1)) && limiter.admits(address(1)));
        assert_eq!(limiter.logs.lock()[&address(1)].len(), 1);
    }
}
