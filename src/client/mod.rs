//! The client's side of a 429 with work: read it, weigh it, do it, wait, send the request again. Once.
//!
//! A caller says in [`Terms`] what getting through may cost; a challenge that asks for more ends in a
//! [`ClientError`] before anything is hashed. A response that has no challenge is handed back as it came, so that a
//! request under its limit is none the wiser.
//!
//! * [`reqwest::Client`]: a [`reqwest`](::reqwest) client that pays its way.
//! * [`tower::PouwLayer`]: the same around any tower service over [`http`] types.
//! * [`Exchange`]: the state machine in both, without I/O, for everything else.
//!
//! ```no_run
//! # async fn fetch() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use pouw::client::Terms;
//! use pouw::client::reqwest::Client;
//!
//! let terms = Terms { deadline: Duration::from_secs(20), ..Terms::default() };
//! let client = Client::new(reqwest::Client::builder(), terms)?;
//! let response = client.get("http://127.0.0.1:3000/hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * **Never a loop.** One challenge is solved for a request, a second one only if the server took the first back. An
//!   answer that was too early or could not be stored is sent again at most three times. [`REQUESTS_MAX`] bounds the
//!   requests made for one. Redirects are bounded too; what one leads to is a request of its own.
//! * **Nothing is hashed for nothing.** Unit, price and deadline are looked at first. A deadline that the server's
//!   floor does not meet is told at once. A challenge that expired while others had their turn is not solved.
//! * **No clock is compared with the server's.** Waits are measured from receipt, on a monotonic clock.
//! * **Dropping the future stops the hashing**, within a batch of eight leaves.
//! * **An answer that may have counted is never forgotten.** If the connection breaks or the deadline passes after it
//!   was sent, the error has its receipt.
//! * **One challenge at a time** for a client and its clones: a server keeps few open. Requests that may be limited
//!   queue behind it, in the order they came, and each tries plainly first, since a slot may be free by then. Before
//!   the first sign of a limit all go at once, so a burst can open several; they are answered one after the other.
//!
//! The answer travels in headers, so any method and any body is sent again byte for byte; what carries the request has
//! to be able to send it twice.

mod error;
mod exchange;
mod pay;
mod problem;
mod redirect;
mod replay;
mod report;
mod terms;

pub mod reqwest;
pub mod tower;

pub use error::{ClientError, Cost, InvalidUnit};
pub use exchange::{Exchange, REQUESTS_MAX, Step};
pub use report::{Accepted, Offer, Pause, Report};
pub use terms::Terms;

/// An error of whatever carries the requests.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
