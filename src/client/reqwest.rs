//! The client's side around a reqwest client.

use bytes::Bytes;
use http::{HeaderMap, Response as HttpResponse};
use reqwest::{IntoUrl, Request, RequestBuilder, Response, ResponseBuilderExt};

use super::pay::{Attempt, Payer, Reply, Unanswered};
use super::replay::{ResponseBody, read};
use super::tower::write_answer;
use super::{BoxError, ClientError, Offer, Report, Terms};

/// A client that works its way past a 429. Clones share their connections and their turns: one challenge at a time. Have
/// one for each service, since one that is limited makes requests to the others queue.
///
/// Redirects, proxies, TLS and timeouts are the inner client's. A redirect takes the headers of an answer along.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    payer: Payer,
}

impl Client {
    /// A client that sends with `inner` and pays within `terms`.
    pub fn new(inner: reqwest::Client, terms: Terms) -> Self {
        Self { inner, payer: Payer::new(terms) }
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

    /// Gets `url`.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn get(&self, url: impl IntoUrl) -> Result<Response, ClientError> {
        self.send(self.inner.get(url)).await
    }

    /// Sends what was built with a reqwest client: `client.send(http.post(url).body("text"))`.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`ClientError::Transport`] if it cannot be built.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.execute(request.build().map_err(transport)?).await
    }

    /// Sends `request`, and once more with an answer if there is a 429 with work. A request whose body is a stream
    /// cannot be sent twice: it gets its 429 handed back, as without this client.
    ///
    /// # Errors
    /// [`ClientError`]. What reqwest says is the source of [`ClientError::Transport`].
    pub async fn execute(&self, request: Request) -> Result<Response, ClientError> {
        match request.try_clone() {
            Some(template) => self.payer.pay(Call { client: self.inner.clone(), first: Some(request), template }).await,
            None => self.inner.execute(request).await.map_err(transport),
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
