//! Asking servers that speak this API: one, or several that are equal.
//!
//! A call goes to the server that answered last, and to the next when that one can't be reached or
//! is unavailable. Calls can be repeated: an answer that was lost is asked for again.

use crate::api::auth::Secret;
use crate::api::types::{NodeName, Refusal};
use crate::rt::client::said;
use crate::rt::clock::Clock;
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a server may take to answer.
pub const ANSWER: Duration = Duration::from_secs(5);

/// How long connecting may take: a server is near, or gone.
const CONNECT: Duration = Duration::from_secs(2);

/// Most characters of a refusal's reason that are repeated.
const REASON_MAX: usize = 300;

/// Who sends, and the secret that proves it.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The cluster's secret; `None`: everyone is trusted.
    pub secret: Option<Secret>,
    /// The sender.
    pub name: NodeName,
    /// For the tokens' time.
    pub clock: Clock,
}

impl Signer {
    /// Of somebody who has no secret.
    pub fn stranger() -> Signer {
        Signer { secret: None, name: "stranger".into(), clock: Clock::system() }
    }

    /// A request with a fresh token.
    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.secret {
            Some(secret) => request.bearer_auth(secret.token(&self.name, self.clock.now().wall)),
            None => request,
        }
    }
}

/// Servers that speak this API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    http: reqwest::Client,
    bases: Arc<[Url]>,
    last: Arc<AtomicUsize>,
    signer: Signer,
}

fn unavailable(e: &dyn std::fmt::Display) -> Refusal {
    Refusal::Unavailable(e.to_string())
}

impl Peers {
    /// The servers at `bases`, URLs with commas between them.
    ///
    /// # Errors
    /// One is no URL, or the HTTP client can't be made.
    pub fn new(bases: &str, signer: Signer) -> Result<Peers, Refusal> {
        let no = |text: &str| {
            Refusal::Invalid(format!("{text:?} is no address of a server: write http://HOST:PORT"))
        };
        let parse = |text: &str| {
            let url: Url = text.trim().parse().map_err(|_| no(text))?;
            let good = matches!(url.scheme(), "http" | "https") && url.has_host();
            if good { Ok(url) } else { Err(no(text)) }
        };
        let bases: Vec<Url> = bases.split(',').map(parse).collect::<Result<_, _>>()?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| unavailable(&e))?;
        Ok(Peers { http, bases: bases.into(), last: Arc::default(), signer })
    }

    /// The server that is asked first, for messages.
    pub fn first(&self) -> String {
        self.name(self.last.load(Ordering::Relaxed))
    }

    fn name(&self, server: usize) -> String {
        let mut url = self.bases[server % self.bases.len()].clone();
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    fn request(&self, server: usize, method: &Method, path: &str) -> RequestBuilder {
        let base = &self.bases[server % self.bases.len()];
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        url.set_query((!query.is_empty()).then_some(query));
        self.signer.sign(self.http.request(method.clone(), url))
    }

    /// Sends one request to a server that can be reached; the answer's head.
    ///
    /// # Errors
    /// None can.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Bytes>,
        answer: Duration,
    ) -> Result<Response, Refusal> {
        let first = self.last.load(Ordering::Relaxed);
        let mut why = unavailable(&"no server");
        for server in first..first + self.bases.len() {
            let mut request = self.request(server, method, path);
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.clone());
            }
            let base = self.name(server);
            why = match tokio::time::timeout(answer, request.send()).await {
                Ok(Ok(got)) if got.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    self.last.store(server, Ordering::Relaxed);
                    return Ok(got);
                }
                Ok(Ok(got)) => refusal(got).await,
                Ok(Err(e)) => unavailable(&format!("{base}: {}", said(&e))),
                Err(_) => unavailable(&format!("{base}: no answer in time")),
            };
        }
        Err(why)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, Refusal> {
        let json = |b| serde_json::to_vec(b).map(Bytes::from).map_err(|e| unavailable(&e));
        let body = body.map(json).transpose()?;
        let got = self.send(&method, path, body.as_ref(), ANSWER).await?;
        if !got.status().is_success() {
            return Err(refusal(got).await);
        }
        let bytes = tokio::time::timeout(ANSWER, got.bytes()).await;
        let bytes = bytes.map_err(|_| unavailable(&"the answer broke off"))?;
        let bytes = bytes.map_err(|e| unavailable(&said(&e)))?;
        serde_json::from_slice(&bytes).map_err(|e| unavailable(&format!("the answer: {e}")))
    }

    /// Posts.
    ///
    /// # Errors
    /// As [`Peers::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Refusal> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Puts.
    ///
    /// # Errors
    /// As [`Peers::get`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Refusal> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// Deletes.
    ///
    /// # Errors
    /// As [`Peers::get`].
    pub async fn delete(&self, path: &str) -> Result<(), Refusal> {
        self.ask(Method::DELETE, path, None::<&()>).await
    }

    /// Gets.
    ///
    /// # Errors
    /// The server refuses, or none can be reached.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    /// An answer that does not end.
    ///
    /// # Errors
    /// As [`Peers::get`].
    pub async fn stream(&self, path: &str) -> Result<Response, Refusal> {
        let got = self.send(&Method::GET, path, None, ANSWER).await?;
        if got.status().is_success() { Ok(got) } else { Err(refusal(got).await) }
    }

    /// Whoever answered last does so no more: the next is asked.
    pub fn next(&self) {
        self.last.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a server's refusal says.
async fn refusal(answer: Response) -> Refusal {
    let status = answer.status();
    let body = tokio::time::timeout(ANSWER, answer.bytes()).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(&body) {
        return refusal;
    }
    let text: String = String::from_utf8_lossy(&body).trim().chars().take(REASON_MAX).collect();
    let text = if text.is_empty() { status.to_string() } else { text };
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Refusal::Invalid(text),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refusal::Denied(text),
        StatusCode::NOT_FOUND => Refusal::NotFound(text),
        StatusCode::CONFLICT => Refusal::Conflict(text),
        _ => Refusal::Unavailable(text),
    }
}
