//! What the API server answers to which request; `openapi` lists them. Those of jobs and nodes are
//! in `jobs` and `nodes`.

mod jobs;
mod nodes;

use crate::api::cluster::{Archived, NewKey, Position, Resolved, Restored};
use crate::api::cues;
use crate::api::orders::StopAsk;
use crate::api::peers::Peers;
use crate::api::teller;
use crate::api::types::{
    ChannelSettings, End, Grant, PublishRequest, Refusal, Report, SessionRecord, Want,
};
use crate::api::wire::Session as SessionLine;
use crate::base::ids::{Channel, Generation, Job, Session};
use crate::base::time::Wall;
use crate::control::openapi;
use crate::control::plan::resolve::resolve;
use crate::control::server::Shared;
use crate::rt::http::Service;
use crate::telemetry::metrics::{ByReason, Raised};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Largest request body: a session's constants with its renditions have 2 KiB.
pub(super) const BODY_MAX: usize = 256 << 10;

/// How long a writer that is to be replaced may take to seal its log and to say where it ended. A
/// node that does not answer in time is taken for dead, and its numbers are passed over.
const STOP: Duration = Duration::from_millis(1_500);

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Routes(pub(super) Arc<Shared>);

type Answer = Response<Body>;

/// An answer's body, or a stream of lines.
enum Said {
    Json(StatusCode, Vec<u8>),
    Table,
}

fn json<T: Serialize>(value: T) -> Result<Said, Refusal> {
    status(StatusCode::OK, value)
}

fn status<T: Serialize>(status: StatusCode, value: T) -> Result<Said, Refusal> {
    let body = serde_json::to_vec(&value);
    let body = body.map_err(|e| Refusal::Unavailable(format!("encoding: {e}")))?;
    Ok(Said::Json(status, body))
}

/// The status that a refusal is answered with.
fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownKey
        | Refusal::KeyNotYet(_)
        | Refusal::KeyExpired(_)
        | Refusal::KeyRevoked => StatusCode::FORBIDDEN,
        Refusal::Denied(_) => StatusCode::UNAUTHORIZED,
        Refusal::NoChannel | Refusal::NotFound(_) => StatusCode::NOT_FOUND,
        Refusal::Fenced(_) | Refusal::Conflict(_) => StatusCode::CONFLICT,
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A refusal as a body: for machines, and a line for people.
#[derive(Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    refusal: &'a Refusal,
    message: String,
}

impl Service for Routes {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let said = self.route(request).await;
        let (status, body, kind) = match said {
            Ok(Said::Json(status, body)) => (status, Body::from(body), "application/json"),
            Ok(Said::Table) => {
                let Shared { clock, drain, .. } = &*self.0;
                let shown = self.0.table.subscribe();
                let lines = teller::lines(shown, clock.clone(), drain.clone());
                (StatusCode::OK, Body::from_stream(lines), "application/x-ndjson")
            }
            Err(refusal) => {
                let refused = Refused { refusal: &refusal, message: refusal.to_string() };
                let body = serde_json::to_vec(&refused).unwrap_or_default();
                (status_of(&refusal), body.into(), "application/json")
            }
        };
        let reason = match status.as_u16() {
            200 | 201 => "ok",
            400 => "invalid",
            401 => "denied",
            403 => "key",
            404 => "not_found",
            409 => "conflict",
            503 => "unavailable",
            _ => "other",
        };
        self.0.metrics.answers.get_or_create(&ByReason { reason }).inc();
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    fn connected(&self) -> impl Send + 'static {
        Raised::new(&self.0.metrics.connections)
    }
}

/// A component of a path.
fn part<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|e: T::Err| Refusal::Invalid(e.to_string()))
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::Invalid(format!("{text:?} is no number")))
}

/// The body of a request.
async fn body<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let read = Limited::new(body, BODY_MAX).collect().await;
    let bytes = read.map_err(|e| Refusal::Invalid(format!("the body: {e}")))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|e| Refusal::Invalid(format!("the body: {e}")))
}

impl Routes {
    fn allowed(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(secret) = &self.0.secret else { return Ok(()) };
        let header = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let sender = secret.sender(header, self.0.clock.now().wall);
        sender.map(drop).map_err(|e| Refusal::Denied(e.to_string()))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Said, Refusal> {
        self.allowed(request.headers())?;
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (head, sent) = request.into_parts();
        match (&head.method, &parts[..]) {
            (_, ["v1", "channels", channel, "generations", rest @ ..]) => {
                self.generations(&head.method, part(channel)?, rest, sent).await
            }
            (_, ["v1", "channels", rest @ ..]) => self.channels(&head.method, rest, sent).await,
            (_, ["v1", "nodes", rest @ ..]) => self.nodes(&head.method, rest, sent).await,
            (&Method::POST, ["v1", "admit"]) => {
                let ask: PublishRequest = body(sent).await?;
                json(self.0.registry.admit(&ask, self.0.clock.now().wall).await?)
            }
            (&Method::GET, ["v1", "table"]) => match *self.0.known.borrow() {
                true => Ok(Said::Table),
                false => Err(Refusal::Unavailable("the database has not answered yet".into())),
            },
            (&Method::GET, ["v1", "status"]) => {
                json(self.0.registry.status(self.0.clock.now().wall).await?)
            }
            (&Method::GET, ["v1", "schedule"]) => {
                json(self.0.registry.schedule(self.0.clock.now().wall).await?)
            }
            (&Method::GET, ["v1", "resolve"]) => {
                json(self.resolve(head.uri.query().unwrap_or("")).await?)
            }
            (&Method::POST, ["v1", "archived"]) => {
                let told: Archived = body(sent).await?;
                json(self.0.registry.archived(&told).await?)
            }
            (&Method::POST, ["v1", "restored"]) => {
                let told: Restored = body(sent).await?;
                let restored = self.0.registry.restore(&told).await;
                self.0.changed.notify_one();
                json(restored?)
            }
            (&Method::GET, ["v1", "openapi.json"]) => json(openapi::document()),
            _ => Err(Refusal::NotFound(format!("{} {path} is nothing here", head.method))),
        }
    }

    /// `channel`, and `msn` or `time` (microseconds since the epoch); without either, live.
    async fn resolve(&self, query: &str) -> Result<Resolved, Refusal> {
        let (mut channel, mut position) = (None, Position::Live);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "channel" => channel = Some(part::<Channel>(value)?),
                "msn" => position = Position::Msn(number(value)?),
                "time" => position = Position::At(Wall(number(value)?.cast_signed())),
                _ => {}
            }
        }
        let none = || Refusal::Invalid("say which channel: ?channel=NAME".into());
        let channel = channel.ok_or_else(none)?;
        let registry = &self.0.registry;
        let past = registry.history(&channel).await?;
        let status = registry.status(self.0.clock.now().wall).await?;
        let buckets = registry.in_buckets(&channel).await?;
        let sources = resolve(&past, &status.nodes, &buckets, position, status.now);
        Ok(Resolved { channel, sources })
    }

    async fn generations(
        &self,
        method: &Method,
        channel: Channel,
        rest: &[&str],
        sent: Incoming,
    ) -> Result<Said, Refusal> {
        let (registry, now) = (&self.0.registry, self.0.clock.now().wall);
        match (method, rest) {
            (&Method::POST, []) => json(self.grant(&channel, &body(sent).await?).await?),
            (&Method::PUT, [g, "session"]) => {
                let record: SessionRecord = body(sent).await?;
                let opened = {
                    let generation = Generation(number(g)?);
                    registry.open_session(&channel, generation, &record, now).await
                };
                self.0.changed.notify_one();
                json(opened?)
            }
            (&Method::PUT, [g, "report"]) => {
                let report: Report = body(sent).await?;
                json(registry.report(&channel, Generation(number(g)?), report, now).await?)
            }
            (&Method::PUT, [g, "end"]) => {
                let end: End = body(sent).await?;
                let ended = registry.end(&channel, Generation(number(g)?), &end).await;
                self.0.changed.notify_one();
                json(ended?)
            }
            (method, [g, "jobs", job, rest @ ..]) => {
                let job = u32::try_from(number(job)?).unwrap_or(0);
                let of = (Generation(number(g)?), Job(job));
                self.job(method, &channel, of, rest, sent).await
            }
            _ => Err(Refusal::NotFound("no such request of a generation".into())),
        }
    }

    /// A new generation, after whoever writes now was asked to stop.
    async fn grant(&self, channel: &Channel, want: &Want) -> Result<Grant, Refusal> {
        let registry = &self.0.registry;
        if let Some(writer) = registry.writer(channel).await?
            && writer.node != want.node
            && let Some(url) = &writer.url
        {
            let key = want.key.clone();
            self.stop(channel, writer.generation, url, StopAsk { key }).await?;
        }
        let granted = registry.grant(channel, want, self.0.clock.now().wall).await;
        self.0.changed.notify_one();
        granted
    }

    /// Asks a writer to stop, and stores where it did; one that does not answer is taken for dead.
    async fn stop(
        &self,
        channel: &Channel,
        generation: Generation,
        url: &str,
        ask: StopAsk,
    ) -> Result<(), Refusal> {
        let path = format!("/v1/channels/{channel}/generations/{generation}/stop");
        let asked = async {
            let peer = Peers::new(url, self.0.signer.clone())?;
            peer.post::<Option<End>>(&path, &ask).await
        };
        let reason = match tokio::time::timeout(STOP, asked).await {
            Ok(Ok(None)) => "stopped",
            Ok(Ok(Some(end))) => match self.0.registry.end(channel, generation, &end).await {
                // Somebody else has gone on already.
                Ok(()) | Err(Refusal::Fenced(_)) => "stopped",
                Err(e) => return Err(e),
            },
            Ok(Err(e @ Refusal::Conflict(_))) => return Err(e),
            Ok(Err(e)) => {
                tracing::warn!(%channel, %generation, url, "the writer was not asked: {e}");
                "unreachable"
            }
            Err(_) => {
                tracing::warn!(%channel, %generation, url, "the writer does not answer");
                "silent"
            }
        };
        self.0.metrics.stops.get_or_create(&ByReason { reason }).inc();
        Ok(())
    }

    /// Brings a cue to the origin that writes the channel.
    async fn announce(&self, channel: &Channel, ask: &cues::Ask) -> Result<Said, Refusal> {
        let writer = self.0.registry.writer(channel).await?;
        let nobody = || Refusal::NotFound("nobody publishes to this channel".into());
        let url = writer.and_then(|w| w.url).ok_or_else(nobody)?;
        let origin = Peers::new(&url, self.0.signer.clone())?;
        status(StatusCode::CREATED, cues::post(&origin, channel, ask).await?)
    }

    async fn channels(
        &self,
        method: &Method,
        rest: &[&str],
        sent: Incoming,
    ) -> Result<Said, Refusal> {
        let registry = &self.0.registry;
        match (method, rest) {
            (&Method::GET, []) => json(registry.channels().await?),
            (&Method::POST, []) => {
                let settings: ChannelSettings = body(sent).await?;
                let name = settings.name.clone();
                registry.create_channel(settings).await?;
                status(StatusCode::CREATED, registry.channel(&name).await?)
            }
            (&Method::GET, [channel]) => json(registry.channel(&part(channel)?).await?),
            (&Method::DELETE, [channel]) => {
                registry.delete_channel(&part(channel)?).await?;
                self.0.changed.notify_one();
                json(())
            }
            (&Method::GET, [channel, "sessions"]) => {
                json(registry.sessions(&part(channel)?).await?)
            }
            (&Method::GET, [channel, "sessions", session]) => {
                let (channel, session) = (part(channel)?, Session(number(session)?));
                let found = registry.find(&channel, session).await?;
                let none = || Refusal::NotFound("no such session".into());
                json(SessionLine::new(&channel, &found.ok_or_else(none)?))
            }
            (&Method::GET, [channel, "archived"]) => {
                let all = registry.in_buckets(&part(channel)?).await?.into_iter();
                let each = all.map(|(url, log)| Archived { url, logs: vec![log] });
                json(each.collect::<Vec<_>>())
            }
            (&Method::POST, [channel, "keys"]) => {
                let (channel, terms): (Channel, NewKey) = (part(channel)?, body(sent).await?);
                let now = self.0.clock.now().wall;
                status(StatusCode::CREATED, registry.add_key(&channel, terms, now).await?)
            }
            (&Method::POST, [channel, "cues"]) => {
                self.announce(&part(channel)?, &body(sent).await?).await
            }
            (&Method::DELETE, [channel, "keys", id]) => {
                json(registry.revoke_key(&part(channel)?, id).await?)
            }
            _ => Err(Refusal::NotFound("no such request of a channel".into())),
        }
    }
}
