//! The body of a refused request: how much of it is read and dropped before the refusal is sent.
//!
//! A server that answers without reading the body closes the connection while the client is still
//! sending. The system then resets it, and a client that sends all of its body first never reads
//! the response. Nothing of the body is stored.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use crate::gate::request::head::{Head, content_length, expects_continue};
use crate::gate::state::Gate;

/// Bytes requested from a reader at once.
const READ_BYTES: usize = 8 << 10;

/// How much of the body of a refused request to read and drop before the refusal is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    /// Maximum time for it; after that, send the refusal and close the connection.
    pub timeout: Duration,
    left_bytes: u64,
}

impl Gate {
    /// Returns how much of the rest of the body to read and drop before a refusal of this request
    /// is sent. `None` if the refusal should be sent at once: there is no body, it is known to be
    /// longer than [`drain_bytes`](crate::GateConfigBuilder::drain_bytes), or its client waits for
    /// `100 Continue`. A connection whose body was not read to its end has to close after the
    /// refusal.
    pub fn drain(&self, head: &dyn Head) -> Option<Drain> {
        let settings = &self.inner.settings;
        let left_bytes = settings.drain_bytes;
        let longer = content_length(head).is_some_and(|length| length > left_bytes);
        let none = left_bytes == 0 || longer || !head.has_body() || expects_continue(head);
        (!none).then_some(Drain { timeout: settings.drain_timeout, left_bytes })
    }
}

impl Drain {
    /// Counts bytes that arrived and were dropped; returns whether to read on.
    pub fn arrived(&mut self, bytes: usize) -> bool {
        let left_bytes = self.left_bytes.checked_sub(bytes as u64);
        self.left_bytes = left_bytes.unwrap_or(0);
        left_bytes.is_some()
    }

    /// Reads and drops the body on this thread; returns whether it ended. This is for a host
    /// without an async runtime. The time is checked after each read, so the socket needs a timeout
    /// of its own for a client that sends nothing.
    pub fn read(mut self, from: &mut dyn Read) -> bool {
        let started = Instant::now();
        let mut piece = [0; READ_BYTES];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return true,
                Ok(length) if self.arrived(length) && started.elapsed() <= self.timeout => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(left_bytes: u64) -> Drain {
        Drain { timeout: Duration::from_secs(60), left_bytes }
    }

    #[test]
    fn a_body_is_read_to_its_end_or_one_byte_over_the_bound() {
        let mut rest = &[7; 20_000][..];
        assert!(drain(20_000).read(&mut rest) && rest.is_empty());
        assert!(!drain(19_999).read(&mut &[7; 20_000][..]));
        let mut counted = drain(10);
        assert!(counted.arrived(10) && !counted.arrived(1) && counted.arrived(0));
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(ErrorKind::ConnectionReset.into())
            }
        }
        assert!(!drain(10).read(&mut Broken));
    }

    #[test]
    fn a_body_without_an_end_is_given_up_by_time_and_by_bytes() {
        assert!(!drain(1 << 20).read(&mut std::io::repeat(7)));
        let at_once = Drain { timeout: Duration::ZERO, left_bytes: u64::MAX };
        assert!(!at_once.read(&mut std::io::repeat(7)));
    }
}
