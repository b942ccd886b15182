//! A reqwest client that solves challenges.

use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, Response as HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{IntoUrl, Method, Request, RequestBuilder, Response, ResponseBuilderExt};
use tokio::time::Instant;

use crate::protocol::header;

use super::passes::Passes;
use super::pay::{Attempt, Carried, Payer, Reply, Unanswered};
use super::place::Place;
use super::redirect::Sent;
use super::replay::{ResponseBody, read};
use super::tower::write_carried;
use super::{BoxError, ClientError, Offer, Report, Terms};

/// A reqwest client that solves the challenge of a 429 and retries.
///
/// Clones share their connections, and solve one challenge at a time. Use one client for each
/// service: if one service limits a client, its requests to other services queue too. Proxies, TLS,
/// cookies and timeouts are those of the builder; a timeout applies to each sending.
///
/// # Examples
///
/// ```no_run
/// # async fn order() -> Result<(), Box<dyn std::error::Error>> {
/// use pouw::client::reqwest::Client;
/// use pouw::client::{ClientError, Report, Terms};
/// use reqwest::Method;
///
/// let client = Client::new(reqwest::Client::builder(), Terms::default())?.on_report(|report| {
///     if let Report::Accepted(accepted) = report {
///         println!("paid with work; receipt {}", accepted.receipt);
///     }
/// });
/// let order = client.request(Method::POST, "https://api.example/orders").body("one of each");
/// match client.send(order).await {
///     Ok(response) => println!("{}", response.status()),
///     Err(error) if error.receipt().is_some() => println!("may have counted: {error}"),
///     Err(error) => println!("{}: {error}", error.code()),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Redirects
///
/// This client follows redirects itself, because an answer counts for one request only: the
/// redirected request is sent without it, and an answer goes to the address its challenge came
/// from. Methods and bodies change as in reqwest: POST becomes GET after 301 and 302, everything
/// but HEAD becomes GET after 303, nothing changes after 307 and 308. Each address may demand work
/// of its own; the deadline covers all of them. [`Report::Accepted`] reports each payment, also one
/// before an error at a later address. `Referer` is not sent.
///
/// A redirect to another origin is returned to the caller, unless [`Client::across_origins`] was
/// called.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    payer: Payer,
    redirects: u32,
    across_origins: bool,
}

/// The default of reqwest.
const REDIRECTS: u32 = 10;

impl Client {
    /// Creates a client from `builder` that solves challenges within `terms`. The redirect policy
    /// of `builder` is replaced.
    ///
    /// # Errors
    /// [`ClientError::Transport`] if reqwest cannot build its client.
    pub fn new(builder: reqwest::ClientBuilder, terms: Terms) -> Result<Self, ClientError> {
        let inner = builder.redirect(Policy::none()).build().map_err(transport)?;
        Ok(Self { inner, payer: Payer::new(terms), redirects: REDIRECTS, across_origins: false })
    }

    /// Follows at most `most` redirects for a request; default 10. The next one is returned.
    #[must_use]
    pub fn redirects(mut self, most: u32) -> Self {
        self.redirects = most;
        self
    }

    /// Follows redirects to other origins too.
    ///
    /// The request's `Authorization`, `Cookie`, `Host` and similar headers are not sent there, but
    /// the builder's default headers are: put no credentials among those.
    #[must_use]
    pub fn across_origins(mut self) -> Self {
        self.across_origins = true;
        self
    }

    /// Calls `report` with each [`Report`]. [`Report::Hashed`] is called on the hashing thread,
    /// which waits for the call to return.
    #[must_use]
    pub fn on_report(mut self, report: impl Fn(Report<'_>) + Send + Sync + 'static) -> Self {
        self.payer.hooks.on_report = Some(std::sync::Arc::new(report));
        self
    }

    /// Calls `confirm` before a challenge within the terms is solved; if it returns `false`, the
    /// request ends with [`ClientError::Declined`].
    #[must_use]
    pub fn confirm(mut self, confirm: impl Fn(&Offer) -> bool + Send + Sync + 'static) -> Self {
        self.payer.hooks.confirm = Some(std::sync::Arc::new(confirm));
        self
    }

    /// Sets whether to use what an answer buys beside its own request; default true. See
    /// [passes](super#passes).
    #[must_use]
    pub fn passes(mut self, keeps: bool) -> Self {
        self.payer.passes = std::sync::Arc::new(Passes::new(keeps));
        self
    }

    /// Starts building a request for [`Client::send`]. Do not call the builder's own `send`: it
    /// bypasses this client.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// Sends a GET request to `url`.
    ///
    /// # Errors
    /// The errors of [`Client::send`].
    pub async fn get(&self, url: impl IntoUrl) -> Result<Response, ClientError> {
        self.send(self.inner.get(url)).await
    }

    /// Builds and sends a request: `client.send(client.request(Method::POST, url).body("text"))`.
    ///
    /// # Errors
    /// The errors of [`Client::execute`], and [`ClientError::Transport`] if the request cannot be
    /// built.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.execute(request.build().map_err(transport)?).await
    }

    /// Sends `request`, solves its challenge if there is one, and follows redirects.
    ///
    /// A request whose body is a stream cannot be sent twice: its 429 is returned.
    ///
    /// # Errors
    /// [`ClientError`] if the request got no response, or a challenge was not solved or its answer
    /// not accepted. An error of reqwest is the source of [`ClientError::Transport`].
    pub async fn execute(&self, request: Request) -> Result<Response, ClientError> {
        let (started, mut request, mut left) = (Instant::now(), request, self.redirects);
        loop {
            let sent = Sent::of(&request);
            let response = match request.try_clone() {
                Some(template) => {
                    let call = Call { client: self.inner.clone(), first: Some(request), template };
                    self.payer.pay(call, started).await?
                }
                None => self.send_once(request).await?,
            };
            let next = sent.leads_to(response.status().as_u16(), response.headers(), self.across_origins);
            match next.filter(|_| left > 0) {
                Some(next) => (request, left) = (next, left - 1),
                None => return Ok(response),
            }
        }
    }

    /// Sends a request that cannot be sent twice, with a pass if there is one.
    async fn send_once(&self, mut request: Request) -> Result<Response, ClientError> {
        let (passes, place) = (&self.payer.passes, Place::of_reqwest(&request));
        let pass = place.as_ref().and_then(|place| passes.depart(place, &[]));
        if let Some(pass) = &pass {
            let name = pass.name().parse().map_err(|error: InvalidHeaderValue| ClientError::Transport(error.into()))?;
            request.headers_mut().insert(header::PASS, name);
        }
        let response = match self.inner.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(pass) = pass.filter(|_| is_unsent(&error)) {
                    pass.keep();
                }
                return Err(transport(error));
            }
        };
        if let Some(place) = &place {
            passes.learn(place, response.headers());
        }
        if let Some(pass) = pass {
            pass.settle(response.status().as_u16(), response.headers());
        }
        Ok(response)
    }
}

/// A request and the client that sends it.
struct Call {
    client: reqwest::Client,
    first: Option<Request>,
    template: Request,
}

impl Attempt for Call {
    type Reply = Response;

    fn place(&self) -> Option<Place> {
        Place::of_reqwest(&self.template)
    }

    async fn send(&mut self, carried: Carried<'_>) -> Result<Response, Unanswered> {
        // `execute` only makes calls whose body can be cloned.
        let mut request = match self.first.take().or_else(|| self.template.try_clone()) {
            Some(request) => request,
            None => return Err(Unanswered::NotSent("the request cannot be sent twice".into())),
        };
        write_carried(carried, request.headers_mut()).map_err(Unanswered::NotSent)?;
        self.client.execute(request).await.map_err(|error| match is_unsent(&error) {
            true => Unanswered::NotSent(error.into()),
            false => Unanswered::Lost(error.into()),
        })
    }
}

impl Reply for Response {
    fn status(&self) -> u16 {
        Response::status(self).as_u16()
    }

    fn headers(&self) -> &HeaderMap {
        Response::headers(self)
    }

    async fn read(self, limit_bytes: usize) -> Result<(Bytes, Self), BoxError> {
        // http's type loses the URL, unless it is put where reqwest looks for it.
        let with_url = HttpResponse::builder().url(self.url().clone()).body(())?;
        let (mut head, body) = HttpResponse::from(self).into_parts();
        head.extensions.extend(with_url.into_parts().0.extensions);
        let (text, body) = read(ResponseBody::untouched(body), limit_bytes).await?;
        Ok((text, HttpResponse::from_parts(head, reqwest::Body::wrap(body)).into()))
    }
}

/// Returns whether the server cannot have received the request.
fn is_unsent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder()
}

fn transport(error: reqwest::Error) -> ClientError {
    ClientError::Transport(error.into())
}
