//! Clients that solve challenges: they compute the work in a 429 and send the request again.
//!
//! Requests under the limit pass through unchanged. On a 429 the client solves the challenge, if it
//! fits your [`Terms`], and retries once. A challenge that costs more ends in a [`ClientError`]
//! before anything is hashed; a 429 without a challenge is returned as it came.
//!
//! * [`reqwest::Client`]: around a [`reqwest`](::reqwest) client.
//! * [`tower::SolveLayer`]: around any tower service over [`http`] types.
//! * [`Exchange`]: the state machine inside both, without I/O, for all other clients.
//!
//! ```no_run
//! # async fn fetch() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use pouw::client::Terms;
//! use pouw::client::reqwest::Client;
//!
//! let terms = Terms::default().deadline(Duration::from_secs(20));
//! let client = Client::new(reqwest::Client::builder(), terms)?;
//! let response = client.get("http://127.0.0.1:3000/hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * **Bounded.** One challenge is solved for a request, a second one only if the server withdrew
//!   the first or the client's address has changed. An answer that was too early or could not be
//!   stored is sent again at most three times. [`REQUESTS_MAX`] bounds the requests made for one.
//!   Redirects are bounded too; each redirected request counts separately.
//! * **No wasted hashing.** Unit, price and deadline are checked first. If the server's minimum
//!   wait exceeds your deadline, you get an error before any hashing starts. A challenge that
//!   expired while it was queued is not solved.
//! * **No clock is compared with the server's.** Waits are measured from the arrival of the
//!   challenge, on a monotonic clock.
//! * **Dropping the future stops the hashing**, within a batch of eight leaves.
//! * **Receipts are not lost.** If the connection breaks or the deadline passes after an answer was
//!   sent, the error has the id of its receipt.
//! * **One challenge at a time** for a client and its clones, because a server allows few open ones
//!   per client. Requests that may be limited queue in order of arrival, and each is first sent
//!   without an answer, since a slot may be free by then. Before the first 429 all requests go out
//!   at once, so a burst can open several challenges; they are answered one after the other.
//!
//! # Passes
//!
//! A server can let one answer buy several requests (`answer_buys`). [`reqwest::Client`] and
//! [`tower::SolveLayer`] keep such a pass and send its name with the next requests to the same
//! origin, so these are served over the limit without an answer. Requests sent at the same time
//! share the pass, also those of clones, and do not queue. A request that has a challenge and finds
//! a pass when its turn comes is sent with the pass, and the challenge is not solved. No other
//! origin gets the name, nor does a redirect carry it.
//!
//! If the server has several policies, the client guesses which one applies to a request: that of
//! the earlier request whose path has the most leading segments in common, and among equals that of
//! the same method. It sends the pass of that policy. A wrong guess costs one refusal; the request
//! is then sent again with the pass of its own policy. The client remembers 128 requests for this,
//! and the first 256 bytes of a path.
//!
//! A pass belongs to the credentials that it was bought with: it is sent only with requests whose
//! `Authorization` and `Cookie` headers are the same. Cookies of a cookie store are not seen, and
//! neither are other headers: if the server distinguishes its clients by these, use one client
//! for each.
//!
//! A pass ends with its requests, with its time (on a monotonic clock), and when a request with it
//! gets a challenge of its own policy; a refusal without work keeps it. A request without a
//! response counts as one of its requests, unless the connection was refused. The client remembers
//! 64 origins (one with several credentials counts several times) and 8 passes of each; passes are
//! not stored. With `passes(false)` it keeps none. A request that has the header `X-PoUW-Pass`
//! already is sent as it is. The tower layer needs absolute addresses for passes, since others do
//! not show an origin.
//!
//! # gRPC
//!
//! Refusals of gRPC requests are not solved: they have the unit in metadata, and are returned as
//! they came. For requests with a content type of gRPC the clients do not ask for units.
//!
//! # Bodies
//!
//! The answer travels in headers, so any method and any body is sent again byte for byte. The HTTP
//! client must be able to send the request twice.

mod error;
mod exchange;
mod passes;
mod pay;
mod place;
mod policies;
mod problem;
mod redirect;
mod replay;
mod report;
mod terms;

pub mod reqwest;
pub mod tower;

pub use error::{BoxError, ClientError, Cost, InvalidUnit};
pub use exchange::{Exchange, REQUESTS_MAX, Step};
pub use report::{Accepted, Offer, Pause, Report};
pub use terms::Terms;
