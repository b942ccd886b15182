//! How the values of the builders are written in a document: a time as a number, in the unit of its
//! key, and a few values as lists of numbers. All others are the same in both.

use std::time::Duration;

use crate::engine::whole_ms;
use crate::gate::config::choices::OpenChallenges;
use crate::gate::request::identity::IdentifierStrategy;
use crate::protocol::ByTier;

use super::words::ClientIdentifier;

/// A builder's value that a document has as a `Written`.
pub(super) trait Value<Written> {
    fn read(written: Written, unit: &str) -> Self;

    /// `None` if a document cannot have it.
    fn write(&self, unit: &str) -> Option<Written>;
}

impl<T: Clone> Value<T> for T {
    fn read(written: T, _: &str) -> T {
        written
    }

    fn write(&self, _: &str) -> Option<T> {
        Some(self.clone())
    }
}

impl Value<u64> for Duration {
    fn read(number: u64, unit: &str) -> Self {
        if unit == "s" { Self::from_secs(number) } else { Self::from_millis(number) }
    }

    fn write(&self, unit: &str) -> Option<u64> {
        Some(if unit == "s" { self.as_secs() } else { whole_ms(*self) })
    }
}

impl Value<[u64; 2]> for [Duration; 2] {
    fn read(numbers: [u64; 2], unit: &str) -> Self {
        numbers.map(|number| Duration::read(number, unit))
    }

    fn write(&self, unit: &str) -> Option<[u64; 2]> {
        let [first, second] = self.each_ref().map(|time| time.write(unit));
        Some([first?, second?])
    }
}

impl Value<[u64; 3]> for ByTier<Duration> {
    fn read(numbers: [u64; 3], unit: &str) -> Self {
        Self::from(numbers.map(|number| Duration::read(number, unit)))
    }

    fn write(&self, unit: &str) -> Option<[u64; 3]> {
        let [low, medium, high] = <[Duration; 3]>::from(*self).map(|time| time.write(unit));
        Some([low?, medium?, high?])
    }
}

impl Value<[usize; 3]> for ByTier<usize> {
    fn read(numbers: [usize; 3], _: &str) -> Self {
        numbers.into()
    }

    fn write(&self, _: &str) -> Option<[usize; 3]> {
        Some((*self).into())
    }
}

impl Value<[u32; 2]> for OpenChallenges {
    fn read([by_address, by_name]: [u32; 2], _: &str) -> Self {
        Self { by_address, by_name }
    }

    fn write(&self, _: &str) -> Option<[u32; 2]> {
        Some([self.by_address, self.by_name])
    }
}

impl Value<ClientIdentifier> for IdentifierStrategy {
    fn read(word: ClientIdentifier, _: &str) -> Self {
        word.into()
    }

    fn write(&self, _: &str) -> Option<ClientIdentifier> {
        ClientIdentifier::of(self)
    }
}
