//! Requests: what a path and query mean, what they wait for, which answer they get. `hls` decides;
//! this waits.

use crate::base::ids::{Channel, Session as Number};
use crate::base::time::Mono;
use crate::edge::answer::{self, Kept};
use crate::edge::asked::Asked;
use crate::edge::channels::Channels;
use crate::edge::entry::never_begins;
use crate::edge::fetch::read_back;
use crate::edge::metrics::Edge;
use crate::edge::others;
use crate::edge::pages;
use crate::edge::ranges::Ranges;
use crate::edge::recall::{Key, Lost, Recall};
use crate::edge::rendition::{List, Logged, Place as Stored, Rendition, Shelf};
use crate::edge::session::{Opened, Session};
use crate::edge::text::{PACK_AT_ONCE, Text};
use crate::hls::lookup::Lookup;
use crate::hls::moment::NotAMoment;
use crate::hls::name::{File, Path, Place, asks_for_moments};
use crate::hls::playlist::View;
use crate::hls::reload::{self, Decision, Query};
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::media::timeline::mark::RENDER;
use crate::rt::drain::Drain;
use crate::telemetry::metrics::ByReason;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may wait for a session's first media: about a probe, a key frame and a part
/// of most encoders.
pub const FIRST_MEDIA: Duration = Duration::from_secs(12);

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Handler {
    channels: Channels,
    recall: Recall,
    pub(super) ranges: Ranges,
    metrics: Edge,
    drain: Drain,
}

pub(super) type Answer = Response<Body>;

impl Handler {
    /// A handler over an edge's sessions.
    pub fn new(channels: Channels, metrics: Edge, drain: Drain) -> Handler {
        let (recall, ranges) = (Recall::default(), Ranges::default());
        Handler { channels, recall, ranges, metrics, drain }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let answer = match *request.method() {
            Method::GET | Method::HEAD => {
                let asked = Asked::of(request.method(), request.headers());
                let uri = request.uri();
                self.route(uri.path(), uri.query().unwrap_or(""), &asked).await
            }
            Method::OPTIONS => answer::options(),
            _ => answer::bad_method(),
        };
        let reason = match answer.status().as_u16() {
            200 | 204 => "ok",
            206 => "partial",
            302 => "redirect",
            304 => "not_modified",
            400 => "bad_request",
            404 => "not_found",
            503 => "unavailable",
            _ => "other",
        };
        self.metrics.answers.get_or_create(&ByReason { reason }).inc();
        answer
    }

    async fn route(&self, path: &str, query: &str, asked: &Asked) -> Answer {
        if let Some(name) = path.strip_prefix("/assets/") {
            return match pages::asset(name) {
                Some(p) => answer::page(p.content_type, p.body),
                None => answer::not_found("no such file"),
            };
        }
        if let Some(channel) = path.strip_prefix("/watch/") {
            return match channel.parse::<Channel>() {
                Ok(_) => answer::page(pages::WATCH.content_type, pages::WATCH.body),
                Err(e) => answer::not_found(&e.to_string()),
            };
        }
        match path.parse::<Path>() {
            Ok(Path::Entry { channel }) => self.entry(&channel, query).await,
            Ok(Path::Multivariant { channel, session }) => {
                match self.opened(&channel, session).await {
                    Ok((_, opened)) => {
                        answer::playlist(asked, &opened.multivariant, &Kept::Constant)
                    }
                    Err(no) => no,
                }
            }
            Ok(Path::MultivariantFrom { channel, session, first }) => {
                self.multivariant_from(&channel, session, first, asked).await
            }
            Ok(Path::Media(place)) => {
                self.playlist(&place, List::View(View::Live), query, asked).await
            }
            Ok(Path::Dvr(place)) => {
                self.playlist(&place, List::View(View::Dvr), query, asked).await
            }
            Ok(Path::From { place, first }) => {
                self.playlist(&place, List::From(first), query, asked).await
            }
            Ok(Path::Rewind { channel, from, to }) => {
                self.rewind(&channel, from.wall(), to.map(|to| to.wall()), query).await
            }
            Ok(Path::Range(stretch)) => self.range(&stretch, asked).await,
            Ok(Path::RangeMedia { stretch, rendition }) => {
                self.range_media(stretch, rendition, asked).await
            }
            Ok(Path::File { place, render, file }) => self.file(&place, render, &file, asked).await,
            Err(_) if asks_for_moments(path) => answer::bad_request(&NotAMoment.to_string()),
            Err(e) => answer::not_found(&e.to_string()),
        }
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    pub(super) fn deadline(&self, wait: Duration) -> Mono {
        self.channels.sources().clock.now().mono.plus(wait)
    }

    /// Waits for a change until the deadline or the drain; `false` when either came first.
    pub(super) async fn hold<T>(
        &self,
        changes: &mut tokio::sync::watch::Receiver<T>,
        deadline: Mono,
    ) -> bool {
        self.metrics.held.inc();
        let changed = tokio::select! {
            changed = changes.changed() => changed.is_ok(),
            () = self.channels.sources().clock.sleep_until(deadline) => false,
            () = self.drain.wait() => false,
        };
        self.metrics.held.dec();
        changed
    }

    /// A session and its constants, waiting for them if it has only begun.
    pub(super) async fn opened(
        &self,
        channel: &Channel,
        number: Number,
    ) -> Result<(Arc<Session>, Arc<Opened>), Answer> {
        let session = match self.channels.session(channel, number).await {
            Ok(Some(session)) => session,
            Ok(None) => return Err(answer::not_found("no such session")),
            Err(e) => return Err(answer::unavailable(&e.to_string())),
        };
        let deadline = self.deadline(FIRST_MEDIA);
        let mut opened = session.opened();
        loop {
            if session.waits() {
                return Err(answer::unavailable("a node is away that has a log of this session"));
            }
            let known = opened.borrow_and_update().clone();
            if let Some(known) = known {
                if known.record.render > RENDER {
                    return Err(answer::unavailable("this edge is older than the session"));
                }
                return Ok((session, known));
            }
            if !self.hold(&mut opened, deadline).await {
                return Err(answer::unavailable("no media yet"));
            }
        }
    }

    async fn rendition(
        &self,
        place: &Place,
    ) -> Result<(Arc<Session>, Arc<Opened>, Arc<Rendition>), Answer> {
        let (session, opened) = self.opened(&place.channel, place.session).await?;
        match opened.rendition(&place.rendition).cloned() {
            Some(r) => Ok((session, opened, r)),
            None => Err(answer::not_found("no such rendition in this session")),
        }
    }

    /// A media playlist, blocking as its query asks (6.2.5.2).
    async fn playlist(&self, place: &Place, list: List, query: &str, asked: &Asked) -> Answer {
        let (session, opened, rendition) = match self.rendition(place).await {
            Ok(found) => found,
            Err(no) => return no,
        };
        let query = Query::parse(query);
        let target_duration = opened.record.target_duration;
        let limit = reload::hold_limit(target_duration);
        let deadline = self.deadline(Duration::from_micros(limit.unsigned_abs()));
        let mut snapshots = rendition.snapshots();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let text = |skip| rendition.text(&snapshot, list, skip);
            let of_dvr = list != List::View(View::Live);
            if of_dvr && rendition.want_dvr() && snapshot.whole().is_none() {
                session.nudge.send_replace(());
            }
            if let Some(state) = snapshot.state {
                if let List::From(first) = list
                    && let Some(no) = never_begins(&opened, first, state)
                {
                    return no;
                }
                // With ENDLIST every directive is ignored, also one that can't be read.
                let query = match query {
                    _ if state.ended => Query::default(),
                    Ok(query) => query,
                    Err(e) => return answer::bad_request(&e.to_string()),
                };
                match reload::decide(query, state) {
                    Decision::Refuse(why) => {
                        let sources = self.channels.sources();
                        return match others::may_be_ahead(sources, &session, &rendition, state) {
                            true => answer::unavailable("this edge may be behind another one"),
                            false => answer::bad_request(&why.to_string()),
                        };
                    }
                    Decision::Now => {
                        if let Some(text) = text(query.skip) {
                            prepare(&text, asked).await;
                            let kept = match query.msn {
                                _ if state.ended => Kept::Constant,
                                Some(_) => Kept::Blocked { target_duration },
                                None => Kept::Now,
                            };
                            return answer::playlist(asked, &text, &kept);
                        }
                    }
                    Decision::Wait { .. } => {}
                }
            }
            if !self.hold(&mut snapshots, deadline).await {
                return answer::unavailable("held for three target durations");
            }
        }
    }

    /// Media: held while it may come, 404 when it won't.
    async fn file(&self, place: &Place, render: u32, file: &File, asked: &Asked) -> Answer {
        let (session, opened, rendition) = match self.rendition(place).await {
            Ok(found) => found,
            Err(no) => return no,
        };
        if render != opened.record.render {
            return answer::not_found("the session has another render version");
        }
        let find = |shelf: &Shelf| match file {
            File::Segment { writer, msn } => shelf.segment(*writer, *msn),
            File::Part { writer, seq } => shelf.part(*writer, *seq),
            // Absent media stays absent.
            File::Gap { .. } => Lookup::Never,
            File::Init { hash } => shelf.init(hash),
        };
        let limit = reload::hold_limit(opened.record.target_duration);
        let deadline = self.deadline(Duration::from_micros(limit.unsigned_abs()));
        let mut snapshots = rendition.snapshots();
        loop {
            // Before its first version a feed is on its way through the log: what it has not found
            // yet may lie ahead of it.
            let reading = snapshots.borrow_and_update().state.is_none();
            let found = find(&rendition.read());
            match found {
                Lookup::Found(stored) => {
                    let etag = answer::media_etag(file);
                    if asked.knows(&etag) {
                        return answer::known_media(etag);
                    }
                    return match self.stored(&session, place, stored).await {
                        Ok(chunks) => {
                            self.metrics.bytes.inc_by(chunks.iter().map(|c| c.len() as u64).sum());
                            answer::media(asked, etag, chunks)
                        }
                        Err(no) => no,
                    };
                }
                Lookup::Never
                    if !reading
                        && !others::may_know(
                            self.channels.sources(),
                            &session,
                            &rendition,
                            file,
                        ) =>
                {
                    return answer::not_found(missing(file));
                }
                Lookup::Never if matches!(file, File::Gap { .. }) => {
                    return answer::not_found(missing(file));
                }
                Lookup::Elsewhere if !reading => {
                    // One process that is everything has no other edge beside it.
                    return match self.channels.sources().directory.is_of_many() {
                        true => answer::unavailable("another edge may have read more of that log"),
                        false => answer::not_found(missing(file)),
                    };
                }
                Lookup::Never | Lookup::Elsewhere | Lookup::Future => {
                    if !self.hold(&mut snapshots, deadline).await {
                        return match file {
                            // Any hash may be another edge's newest; by now it would be known.
                            File::Init { .. } => answer::not_found(missing(file)),
                            _ => answer::unavailable("held for three target durations"),
                        };
                    }
                }
            }
        }
    }

    /// The bytes of a media file.
    async fn stored(
        &self,
        session: &Session,
        place: &Place,
        stored: Stored,
    ) -> Result<Vec<Bytes>, Answer> {
        match stored {
            Stored::Bytes(bytes) => Ok(vec![bytes]),
            Stored::Memory(cells) => Ok(cells.iter().map(|c| c.bytes()).collect()),
            Stored::Log(logged) => {
                let id = session.log(&place.rendition, logged.writer);
                let read = self.logged(&id, place, &logged).await;
                read.inspect_err(|_| session.doubt.notify_one())
            }
        }
    }

    /// Reads back from the log what has left memory.
    async fn logged(
        &self,
        id: &LogId,
        place: &Place,
        logged: &Logged,
    ) -> Result<Vec<Bytes>, Answer> {
        let Logged { msn, span, part, .. } = *logged;
        let key = Key { log: id.clone(), rendition: place.rendition.as_str().into(), msn, span };
        let logs = &self.channels.sources().logs;
        let parts = match self.recall.get(key, read_back(logs, id, logged)).await {
            Ok(parts) => parts,
            Err(Lost::Missing) => {
                tracing::error!(log = %id, "samples of a listed segment are missing");
                return Err(answer::not_found("damaged in the log"));
            }
            Err(Lost::Log(e @ LogError::Removed { .. })) => {
                tracing::debug!(log = %id, "{e}");
                return Err(answer::not_found("it is not kept any more"));
            }
            Err(Lost::Log(e)) => {
                tracing::error!(log = %id, "{e}");
                return Err(answer::unavailable("the log can't be read"));
            }
        };
        match part {
            None => Ok(parts.iter().map(|(_, bytes)| bytes.clone()).collect()),
            Some(seq) => match parts.iter().find(|(first, _)| *first == seq) {
                Some((_, bytes)) => Ok(vec![bytes.clone()]),
                None => Err(answer::not_found("no such media")),
            },
        }
    }
}

/// Why there is no such file.
fn missing(file: &File) -> &'static str {
    match file {
        File::Init { .. } => "no such init section",
        _ => "no such media",
    }
}

/// Compresses a long text on a thread where that may take its time.
pub(super) async fn prepare(text: &Arc<Text>, asked: &Asked) {
    let coding = asked.coding();
    if text.unpacked(coding) > PACK_AT_ONCE {
        let text = Arc::clone(text);
        // The text is packed when it is sent, should the thread have failed.
        let _ = tokio::task::spawn_blocking(move || text.prepare(coding)).await;
    }
}
