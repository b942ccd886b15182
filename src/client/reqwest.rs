//! The client's side around a reqwest client.

use bytes::Bytes;
use http::{HeaderMap, Response as HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{IntoUrl, Method, Request, RequestBuilder, Response, ResponseBuilderExt};
use tokio::time::Instant;

use super::pay::{Attempt, Payer, Reply, Unanswered};
use super::redirect::Sent;
use super::replay::{ResponseBody, read};
use super::tower::write_answer;
use super::{BoxError, ClientError, Offer, Report, Terms};

/// A client that works its way past a 429. Clones share their connections and their turns: one challenge at a time. Have
/// one for each service, since one that is limited makes requests to the others queue.
///
/// Proxies, TLS, cookies and timeouts are those of the builder; a timeout counts for each sending.
///
/// # Redirects
///
/// Redirects are this client's: an answer is good for one request, so what a paid request leads to is asked for without
/// it, and what a challenge came from is what its answer is sent to. Methods and bodies change as in reqwest: POST becomes
/// GET after 301 and 302, everything but HEAD after 303, nothing after 307 and 308. Each address is a request of its own
/// at its gate and may want work of its own; the deadline is for all of them together. [`Report::Accepted`] tells of each
/// payment, also of one before an error at a later address. `Referer` is not sent.
///
/// Redirects to another origin are handed back, unless [`Client::across_origins`] was called.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    payer: Payer,
    redirects: u32,
    across_origins: bool,
}

/// As many as reqwest follows.
const REDIRECTS: u32 = 10;

impl Client {
    /// A client that sends with what `builder` builds, and pays within `terms`. The redirect policy of `builder` is
    /// replaced.
    ///
    /// # Errors
    /// [`ClientError::Transport`] if it cannot be built.
    pub fn new(builder: reqwest::ClientBuilder, terms: Terms) -> Result<Self, ClientError> {
        let inner = builder.redirect(Policy::none()).build().map_err(transport)?;
        Ok(Self { inner, payer: Payer::new(terms), redirects: REDIRECTS, across_origins: false })
    }

    /// Follows at most so many redirects for a request; default 10. The next one is handed back.
    #[must_use]
    pub fn redirects(mut self, most: u32) -> Self {
        self.redirects = most;
        self
    }

    /// Follows redirects to other origins too. They are not sent the request's `Authorization`, cookies, `Host` and the
    /// like, but the default headers of the builder go everywhere: have no credentials among those.
    #[must_use]
    pub fn across_origins(mut self) -> Self {
        self.across_origins = true;
        self
    }

    /// Tells `report` what happens; hashing is told on the thread that hashes, which waits for it.
    #[must_use]
    pub fn on_report(mut self, report: impl Fn(Report<'_>) + Send + Sync + 'static) -> Self {
        self.payer.hooks.tell = Some(std::sync::Arc::new(report));
        self
    }

    /// Asks `confirm` before a challenge within the terms is taken on; `false` is [`ClientError::Declined`].
    #[must_use]
    pub fn confirm(mut self, confirm: impl Fn(&Offer) -> bool + Send + Sync + 'static) -> Self {
        self.payer.hooks.confirm = Some(std::sync::Arc::new(confirm));
        self
    }

    /// Begins a request for [`Client::send`]. Its own `send` would go past this client.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// Gets `url`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn get(&self, url: impl IntoUrl) -> Result<Response, ClientError> {
        self.send(self.inner.get(url)).await
    }

    /// Sends what was built with a reqwest client: `client.send(client.request(Method::POST, url).body("text"))`.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`ClientError::Transport`] if it cannot be built.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.execute(request.build().map_err(transport)?).await
    }

    /// Sends `request`, and once more with an answer if there is a 429 with work; then what it leads to. A request whose body is a stream
    /// cannot be sent twice: it gets its 429 handed back, as without this client.
    ///
    /// # Errors
    /// [`ClientError`]. What reqwest says is the source of [`ClientError::Transport`].
    pub async fn execute(&self, request: Request) -> Result<Response, ClientError> {
        let (started, mut request, mut left) = (Instant::now(), request, self.redirects);
        loop {
            let sent = Sent::of(&request);
            let response = match request.try_clone() {
                Some(template) => {
                    let call = Call { client: self.inner.clone(), first: Some(request), template };
                    self.payer.pay(call, started).await?
                }
                None => self.inner.execute(request).await.map_err(transport)?,
            };
            let next = sent.leads_to(response.status().as_u16(), response.headers(), self.across_origins);
            match next.filter(|_| left > 0) {
                Some(next) => (request, left) = (next, left - 1),
                None => return Ok(response),
            }
        }
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

    async fn send(&mut self, answer: Option<[(&'static str, &str); 2]>) -> Result<Response, Unanswered> {
        // Whoever got here has a body that can be cloned.
        let mut request = match self.first.take().or_else(|| self.template.try_clone()) {
            Some(request) => request,
            None => return Err(Unanswered::NotSent("the request cannot be sent twice".into())),
        };
        write_answer(answer, request.headers_mut()).map_err(Unanswered::NotSent)?;
        self.client.execute(request).await.map_err(|error| match error.is_connect() || error.is_builder() {
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
        // The URL is lost on the way through http's type, unless it is put where reqwest looks for it.
        let with_url = HttpResponse::builder().url(self.url().clone()).body(())?;
        let (mut head, body) = HttpResponse::from(self).into_parts();
        head.extensions.extend(with_url.into_parts().0.extensions);
        let (text, body) = read(ResponseBody::untouched(body), limit_bytes).await?;
        Ok((text, HttpResponse::from_parts(head, reqwest::Body::wrap(body)).into()))
    }
}

fn transport(error: reqwest::Error) -> ClientError {
    ClientError::Transport(error.into())
}
