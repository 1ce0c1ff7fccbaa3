//! The internal listener: routes requests of other nodes, and turns what went wrong into a status.

use crate::api::attested::{self, Disk};
use crate::api::auth::Secret;
use crate::api::cues;
use crate::api::directory::Directory;
use crate::api::orders::{Orders, StopAsk};
use crate::api::teller;
use crate::api::types::Refusal;
use crate::api::wire::{CHANNELS, Session as SessionLine, TABLE};
use crate::base::error::Kind;
use crate::base::ids::{Channel, Generation, Session};
use crate::log::error::LogError;
use crate::log::format::stream::StreamHeader;
use crate::log::format::version::{NoCommonVersion, Range as Versions};
use crate::log::id::LogId;
use crate::log::remote::wire::{self, Ask};
use crate::log::source::Source;
use crate::log::subscription::From;
use crate::origin::metrics::Origin;
use crate::origin::stream;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::http::{Http, Limits, Service};
use crate::rt::listen::BindError;
use crate::telemetry::metrics::{ByReason, Raised};
use crate::telemetry::ready::Latch;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::stream::iter;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

/// Sockets of other nodes at one time: one for each log that each of them follows.
const CONNECTIONS: usize = 20_000;

/// How long a request's head may take: nodes are near.
const HEAD: Duration = Duration::from_secs(10);

/// Largest request head.
const HEAD_BYTES: usize = 16 << 10;

/// How long an edge that is read through waits to be told which node has a log; less than its
/// children wait for an answer to begin (`log::through`).
const PLACED: Duration = Duration::from_secs(2);

/// How long a head that has begun may still take in a drain.
const HEAD_LATE: Duration = Duration::from_millis(200);

/// What differs between deployments.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where other nodes connect; never a public address.
    pub listen: SocketAddr,
    /// How long a drain waits for answers to finish.
    pub drain_timeout: Duration,
}

/// What is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The logs.
    pub logs: Source,
    /// The table of channels.
    pub directory: Directory,
    /// Brings orders to the writers, where there are writers in this process.
    pub orders: Option<Orders>,
    /// The disk that can be looked at, where logs are kept on one.
    pub disk: Option<Disk>,
    /// What senders have to prove that they have; `None`: everyone is trusted.
    pub secret: Option<Secret>,
    /// For heartbeats.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Origin,
}

/// A bound listener for other nodes.
pub struct Server {
    http: Http,
    served: Served,
}

impl Server {
    /// Binds; nothing is answered yet.
    pub async fn bind(config: Config, served: Served) -> Result<Server, BindError> {
        let limits = Limits {
            connections: CONNECTIONS,
            head: HEAD,
            head_bytes: HEAD_BYTES,
            head_grace: HEAD_LATE,
            drain: config.drain_timeout,
        };
        Ok(Server { http: Http::bind(config.listen, "internal", limits, None).await?, served })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Serves until the drain; what readers have not been sent of logs is sent before the end.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        let clock = self.served.clock.clone();
        let nodes = Nodes { served: self.served, drain: drain.clone() };
        ready.open();
        let closing = async {
            drain.wait().await;
            ready.close("draining");
        };
        tokio::join!(self.http.serve(nodes, clock, drain.clone()), closing);
    }
}

#[derive(Clone)]
struct Nodes {
    served: Served,
    drain: Drain,
}

type Answer = Response<Body>;

/// Why a request gets no 200: a status and a line for whoever reads it.
#[derive(Debug)]
struct No(StatusCode, String);

impl std::convert::From<LogError> for No {
    fn from(e: LogError) -> No {
        if let LogError::Removed { first, .. } = e {
            return No(StatusCode::GONE, first.to_string());
        }
        let status = match (&e, e.kind()) {
            (LogError::NoSuchPosition { .. }, _) => StatusCode::RANGE_NOT_SATISFIABLE,
            (_, Kind::NotFound) => StatusCode::NOT_FOUND,
            (_, Kind::Invalid) => StatusCode::BAD_REQUEST,
            (LogError::WriterGone { .. }, _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Kind::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        No(status, e.to_string())
    }
}

impl std::convert::From<NoCommonVersion> for No {
    fn from(e: NoCommonVersion) -> No {
        No(StatusCode::NOT_ACCEPTABLE, e.to_string())
    }
}

impl Service for Nodes {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let answer = match self.allowed(request.headers()) {
            Err(no) => Err(no),
            Ok(()) => match order(request.method(), request.uri().path()) {
                Some(To::Announce(channel)) => self.cue(channel, request.into_body()).await,
                Some(To::Stop(channel, generation)) => {
                    self.stop(channel, generation, request.into_body()).await
                }
                Some(To::Attest) => self.attest(request.into_body()).await,
                None => self.route(&request).await,
            },
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(No(status, why)) => {
                let mut answer = Response::new(Body::from(format!("{why}\n")));
                *answer.status_mut() = status;
                typed(answer, "text/plain; charset=utf-8")
            }
        };
        let reason = match answer.status().as_u16() {
            200 | 201 => "ok",
            401 => "denied",
            404 => "not_found",
            406 => "no_common_version",
            410 => "removed",
            416 => "no_such_position",
            503 => "unavailable",
            _ => "other",
        };
        self.served.metrics.answers.get_or_create(&ByReason { reason }).inc();
        answer
    }

    fn connected(&self) -> impl Send + 'static {
        Raised::new(&self.served.metrics.connections)
    }
}

impl Nodes {
    async fn route(&self, request: &Request<Incoming>) -> Result<Answer, No> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        if request.method() != Method::GET {
            return Err(No(StatusCode::METHOD_NOT_ALLOWED, "only GET".into()));
        }
        if let Some((id, ask)) = wire::parse(path, query) {
            return self.log(&id, ask, request.headers()).await;
        }
        let Served { directory, clock, .. } = &self.served;
        if path == TABLE {
            if !directory.is_known() {
                let why = "the table of channels is not known here yet";
                return Err(No(StatusCode::SERVICE_UNAVAILABLE, why.into()));
            }
            let lines = teller::lines(directory.table(), clock.clone(), self.drain.clone());
            return Ok(typed(Response::new(Body::from_stream(lines)), "application/x-ndjson"));
        }
        if let Some((channel, session)) = session_path(path) {
            let found = directory.find(&channel, session).await;
            let found = found.map_err(|e| No(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
            let none = || No(StatusCode::NOT_FOUND, "no such session".into());
            return Ok(json(&SessionLine::new(&channel, &found.ok_or_else(none)?)));
        }
        if let Some(channel) = path.strip_prefix(CHANNELS).and_then(|p| p.strip_suffix("/sessions"))
            && let Ok(channel) = channel.parse()
        {
            let all = directory.sessions(&channel).await;
            let all = all.map_err(|e| No(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
            return Ok(json(&all));
        }
        Err(No(StatusCode::NOT_FOUND, "nothing is here".into()))
    }

    async fn cue(&self, channel: Channel, body: Incoming) -> Result<Answer, No> {
        let orders = self.orders()?;
        let ask: cues::Ask = read(body).await?;
        let refused = |e: cues::Refused| {
            let status = match e.kind {
                Kind::NotFound => StatusCode::NOT_FOUND,
                Kind::Invalid => StatusCode::BAD_REQUEST,
                Kind::Conflict | Kind::Exhausted => StatusCode::CONFLICT,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            No(status, e.why)
        };
        let announced = orders.announce(channel, ask.read().map_err(refused)?).await;
        let mut answer = json(&announced.map_err(refused)?);
        *answer.status_mut() = StatusCode::CREATED;
        Ok(answer)
    }

    fn orders(&self) -> Result<&Orders, No> {
        let none = || No(StatusCode::NOT_FOUND, "nothing is recorded here: ask the origin".into());
        self.served.orders.as_ref().ok_or_else(none)
    }

    fn allowed(&self, headers: &HeaderMap) -> Result<(), No> {
        let Served { secret, clock, .. } = &self.served;
        let Some(secret) = secret else { return Ok(()) };
        let header = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let sender = secret.sender(header, clock.now().wall);
        sender.map(drop).map_err(|e| No(StatusCode::UNAUTHORIZED, e.to_string()))
    }

    async fn stop(&self, channel: Channel, g: Generation, body: Incoming) -> Result<Answer, No> {
        let orders = self.orders()?;
        let StopAsk { key } = read(body).await?;
        match orders.stop(channel, g, key).await {
            Ok(end) => {
                let body = serde_json::to_vec(&end);
                let body =
                    body.map_err(|e| No(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
                Ok(typed(Response::new(body.into()), "application/json"))
            }
            Err(e @ Refusal::Conflict(_)) => Err(No(StatusCode::CONFLICT, e.to_string())),
            Err(e) => Err(No(StatusCode::SERVICE_UNAVAILABLE, e.to_string())),
        }
    }

    /// Looks at the disk now.
    async fn attest(&self, body: Incoming) -> Result<Answer, No> {
        let none = || No(StatusCode::NOT_FOUND, "nothing is kept here: ask who records".into());
        let Disk { data, look } = self.served.disk.clone().ok_or_else(none)?;
        let (ask, at) = (read::<attested::AttestAsk>(body).await?, self.served.clock.now().wall);
        let found = tokio::task::spawn_blocking(move || look(&data, &ask, at)).await;
        let found = found.expect("file work that panics is a bug");
        Ok(json(&found.map_err(|why| No(StatusCode::SERVICE_UNAVAILABLE, why))?))
    }

    /// Waits until it is known which node has a log: who asks may have been told a moment earlier.
    async fn placed(&self, id: &LogId) -> Result<(), No> {
        let Served { logs, directory, clock, .. } = &self.served;
        let mut table = directory.table();
        let until = clock.now().mono.plus(PLACED);
        while logs.is_lost(id) {
            tokio::select! {
                Ok(()) = table.changed() => {}
                () = clock.sleep_until(until) => {
                    let why = format!("{id}: who has it is not known here yet");
                    return Err(No(StatusCode::SERVICE_UNAVAILABLE, why));
                }
            }
        }
        Ok(())
    }

    async fn log(&self, id: &LogId, ask: Ask, headers: &HeaderMap) -> Result<Answer, No> {
        let Served { logs, clock, metrics, .. } = &self.served;
        let reads = versions(headers)?;
        self.placed(id).await?;
        let wrote = logs.wrote(id).await?;
        let header = |at| StreamHeader::answer(wrote, reads, id.generation, at);
        let chunks = match ask {
            Ask::Index(since) => {
                let index = logs.index_since(id, since).await?;
                vec![stream::index(&header(index.tail)?, &index)]
            }
            Ask::Range { from, to } => {
                let batches = logs.read(id, from..to).await?;
                stream::range(&header(from)?, batches, to)
            }
            Ask::Piece { from } => {
                let piece = logs.piece(id, from).await?;
                stream::piece(&header(from)?, piece)
            }
            Ask::Tail { from } => {
                let log = logs.subscribe(id, From::Position(from)).await?;
                let (header, drain) = (header(log.position())?, self.drain.clone());
                let body = stream::tail(&header, log, clock.clone(), drain, metrics.clone());
                return Ok(typed(Response::new(body), wire::STREAM));
            }
        };
        metrics.bytes.inc_by(chunks.iter().map(|c| c.len() as u64).sum());
        let body = Body::from_stream(iter(chunks.into_iter().map(Ok::<Bytes, Infallible>)));
        Ok(typed(Response::new(body), wire::STREAM))
    }
}

/// The versions that the asking node reads.
fn versions(headers: &HeaderMap) -> Result<Versions, No> {
    let said = headers.get(wire::VERSIONS).and_then(|v| v.to_str().ok());
    let bad = || {
        let why = format!("say in {} which versions of the log format you read", wire::VERSIONS);
        No(StatusCode::BAD_REQUEST, why)
    };
    said.and_then(Versions::parse).ok_or_else(bad)
}

/// The body of an order.
async fn read<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, No> {
    let bad = |why: String| No(StatusCode::BAD_REQUEST, why);
    let body = Limited::new(body, cues::BODY_MAX).collect().await;
    let body = body.map_err(|e| match e.is::<LengthLimitError>() {
        true => No(StatusCode::PAYLOAD_TOO_LARGE, cues::too_long().why),
        false => bad(format!("the body: {e}")),
    })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| bad(e.to_string()))
}

/// What is asked with a body.
enum To {
    Attest,
    Announce(Channel),
    Stop(Channel, Generation),
}

/// `POST /v1/channels/{channel}/cues` and `…/generations/{generation}/stop`, and of the disk.
fn order(method: &Method, path: &str) -> Option<To> {
    if (method, path) == (&Method::POST, attested::PATH) {
        return Some(To::Attest);
    }
    let parts: Vec<&str> = path.strip_prefix(CHANNELS)?.split('/').collect();
    match (method, &parts[..]) {
        (&Method::POST, [channel, "cues"]) => Some(To::Announce(channel.parse().ok()?)),
        (&Method::POST, [channel, "generations", g, "stop"]) => {
            Some(To::Stop(channel.parse().ok()?, Generation(g.parse().ok()?)))
        }
        _ => None,
    }
}

/// `/v1/channels/{channel}/sessions/{session}`.
fn session_path(path: &str) -> Option<(Channel, Session)> {
    let mut parts = path.strip_prefix(CHANNELS)?.split('/');
    let (channel, word, session) = (parts.next()?, parts.next()?, parts.next()?);
    let session: u64 = session.parse().ok()?;
    let end = word == "sessions" && parts.next().is_none();
    end.then_some((channel.parse().ok()?, Session(session)))
}

fn json(value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("plain data is JSON");
    typed(Response::new(body.into()), "application/json")
}

fn typed(mut answer: Answer, content_type: &'static str) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
