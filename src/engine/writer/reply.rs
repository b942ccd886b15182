//! A channel for one value, from the writer's thread to a waiting caller. The receiver sleeps at
//! once: with dozens of submitters on few cores, a channel that spins first takes time the commit
//! needs.

use std::sync::Arc;

use parking_lot::Condvar;

use crate::engine::locks::{Rank, Ranked};

enum State<T> {
    Waiting,
    Sent(T),
    Gone,
}

struct Shared<T> {
    state: Ranked<State<T>>,
    changed: Condvar,
}

/// The sending end.
pub(in crate::engine) struct Sender<T>(Arc<Shared<T>>);

/// The waiting end.
pub(in crate::engine) struct Receiver<T>(Arc<Shared<T>>);

pub(in crate::engine) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared { state: Ranked::new(Rank::Reply, State::Waiting), changed: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    pub(in crate::engine) fn send(self, value: T) {
        *self.0.state.lock() = State::Sent(value);
        self.0.changed.notify_one();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Waiting) {
            *state = State::Gone;
            self.0.changed.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the value. Returns `None` if the sender was dropped without sending.
    pub(in crate::engine) fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            match std::mem::replace(&mut *state, State::Gone) {
                State::Sent(value) => return Some(value),
                State::Gone => return None,
                State::Waiting => {
                    *state = State::Waiting;
                    state.wait(&self.0.changed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_arrives_whether_it_is_sent_before_or_while_somebody_waits() {
        let (sender, receiver) = oneshot();
        sender.send(1);
        assert_eq!(receiver.wait(), Some(1));
        let (sender, receiver) = oneshot();
        let waiting = std::thread::spawn(|| receiver.wait());
        sender.send(2);
        assert_eq!(waiting.join().unwrap(), Some(2));
    }

    #[test]
    fn a_sender_that_goes_without_sending_leaves_nobody_waiting() {
        let (sender, receiver) = oneshot::<u8>();
        drop(sender);
        assert_eq!(receiver.wait(), None);
    }
}
