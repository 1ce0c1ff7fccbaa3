//! One encoder's socket: `rtmp`'s session gets its bytes and its clock, the desk its publish, the
//! publisher its media. One loop; it waits for one of bytes, a time-out, a newer connection or the
//! drain, and then drains what follows.

use crate::api::orders::{Order, Stop};
use crate::api::types::{Admission, PublishRequest as Ask, Refusal};
use crate::base::time::Mono;
use crate::ingest::context::PublishError;
use crate::ingest::cues;
use crate::ingest::desk::Desk;
use crate::ingest::doors::{Socket, send};
use crate::ingest::publisher::{AHEAD_MAX, Publisher};
use crate::ingest::seat::{Asked, Handover, Seat};
use crate::rt::drain::Drain;
use crate::rtmp::event::{Event, Output, PublishRequest};
use crate::rtmp::server::{ServerConfig, ServerSession};
use crate::telemetry::metrics::ByReason;
use bytes::BufMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What one read takes at most: several frames of a busy stream, little enough per idle connection.
const READ: usize = 64 << 10;

/// What one read takes of a publisher whose media is ahead of the clock: it will be made to wait
/// soon, and the playlists should not wait for seconds of media with it.
const READ_AHEAD: usize = 4 << 10;

/// Room below which a read gets a new buffer: payloads keep the old one until they are recorded, so
/// a new one for every read would be one for every packet.
const READ_MIN: usize = 8 << 10;

/// How long a peer that has been told why may take to close its side: a few round trips, and the
/// media that was under way.
const LINGER: Duration = Duration::from_secs(2);

/// The RTMP application that publishes go to: `rtmp://host/live/<stream key>`.
const APP: &str = "live";

/// One connection. See the module doc.
pub struct Connection {
    desk: Desk,
    peer: SocketAddr,
    stream: Socket,
    session: ServerSession,
    publish: Option<(Box<Publisher>, Seat)>,
    drain: Drain,
    closed: bool,
    /// The session of its publish ends with it.
    session_over: bool,
    /// The peer ended its stream in good order.
    finished: bool,
    told_key_frame: bool,
}

impl Connection {
    /// A connection on an accepted socket.
    pub fn new(
        desk: Desk,
        stream: Socket,
        peer: SocketAddr,
        idle: Duration,
        drain: Drain,
    ) -> Connection {
        let now = desk.context().clock.now().mono;
        let session = ServerSession::new(ServerConfig { idle }, now);
        Connection {
            desk,
            peer,
            stream,
            session,
            publish: None,
            drain,
            closed: false,
            session_over: false,
            finished: false,
            told_key_frame: false,
        }
    }

    fn mono(&self) -> Mono {
        self.desk.context().clock.now().mono
    }

    /// Runs until either side ends it. The publisher goes back to the desk, or to the connection
    /// that replaces this.
    pub async fn run(mut self) {
        self.serve().await;
        self.linger().await;
    }

    /// Lets the last words arrive: a socket that is closed while bytes wait to be read is reset,
    /// and the peer's system then throws away what it has not read, the reason included. A peer
    /// that has ended its stream closes the socket itself; some call it an error when it is closed
    /// for them.
    async fn linger(mut self) {
        let rest = async {
            if !self.finished {
                self.stream.shutdown().await?;
            }
            let mut unread = [0; 4 << 10];
            while self.stream.read(&mut unread).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }

    async fn serve(&mut self) {
        loop {
            if let Err(e) = self.drain_session().await {
                tracing::info!(peer = %self.peer, "connection over: {e}");
                break;
            }
            if self.closed {
                break;
            }
            if let Err(e) = self.settle().await {
                self.fail(&e);
                let _ = self.drain_session().await;
                break;
            }
            if self.publish.as_ref().is_some_and(|(p, _)| p.is_revoked()) {
                let why = Refusal::KeyRevoked.to_string();
                tracing::info!(peer = %self.peer, "{why}");
                self.session.end_publish("NetStream.Publish.BadName", &why);
                let _ = self.drain_session().await;
                break;
            }
            if !self.wait().await {
                break;
            }
        }
        if let Some((mut publisher, seat)) = self.publish.take() {
            let channel = publisher.settings().name.clone();
            tracing::info!(peer = %self.peer, %channel, "publisher gone");
            self.desk.context().metrics.publishers.dec();
            match publisher.disconnected().await {
                Ok(()) if self.session_over => self.desk.end(publisher, &seat, true).await,
                Ok(()) => self.desk.leave(publisher, seat),
                Err(e) => self.desk.give_up(publisher, seat, &e).await,
            }
        }
    }

    async fn settle(&mut self) -> Result<(), PublishError> {
        let Some((publisher, _)) = &mut self.publish else { return Ok(()) };
        publisher.settle().await?;
        if publisher.wants_key_frame() && !self.told_key_frame {
            // RTMP has no message for it; the wait is for the encoder's own next one.
            tracing::debug!(peer = %self.peer, "waiting for a key frame: RTMP can't ask for one");
            self.told_key_frame = true;
        }
        Ok(())
    }

    /// Waits for one thing and takes it in; `false` when the connection is over.
    async fn wait(&mut self) -> bool {
        let clock = self.desk.context().clock.clone();
        let ahead = self.publish.as_ref().map_or(Duration::ZERO, |(p, _)| p.ahead());
        let wait = ahead.checked_sub(AHEAD_MAX).filter(|d| !d.is_zero());
        let read_from = wait.map(|d| self.mono().plus(d));
        let most = if ahead > AHEAD_MAX / 2 { READ_AHEAD } else { READ };
        let publisher_due = self.publish.as_ref().and_then(|(p, _)| p.poll_timeout());
        let session_due = self.session.poll_timeout().map(|t| t.0);
        let due = [publisher_due, session_due, read_from].into_iter().flatten().min();
        let sleep = clock.sleep_until_due(due);
        let Connection { stream, session, publish, drain, .. } = self;
        let asked = async {
            match publish {
                Some((_, seat)) => seat.asked().await,
                None => std::future::pending().await,
            }
        };
        let buf = session.input_buf();
        if buf.capacity() - buf.len() < READ_MIN {
            buf.reserve(READ);
        }
        let mut room = buf.limit(most);
        tokio::select! {
            biased;
            asked = asked => match asked {
                Asked::Order(Order::Cue(post)) => {
                    if let Some((publisher, _)) = &mut self.publish {
                        cues::post(publisher, post).await;
                    }
                    true
                }
                Asked::Order(Order::Stop(stop)) => self.stop(stop).await,
                Asked::Publisher(handover) => {
                    self.let_go(handover).await;
                    let _ = self.drain_session().await;
                    false
                }
            },
            () = drain.wait() => {
                let why = "the server is shutting down; connect again";
                self.session.end_publish("NetStream.Unpublish.Success", why);
                let _ = self.drain_session().await;
                if let Some((publisher, seat)) = self.publish.take() {
                    self.desk.context().metrics.publishers.dec();
                    self.desk.end(publisher, &seat, false).await;
                }
                false
            }
            read = stream.read_buf(&mut room), if read_from.is_none() => match read {
                Ok(0) | Err(_) => false,
                Ok(_) => {
                    let now = self.mono();
                    self.session.process(now);
                    true
                }
            },
            () = sleep => {
                let now = self.mono();
                self.session.handle_timeout(now);
                true
            }
        }
    }

    /// Somebody else has the seat: the publisher goes there, or ends.
    async fn let_go(&mut self, to: Option<Handover>) {
        let Some((publisher, seat)) = self.publish.take() else { return };
        match to {
            Some(to) => self.hand_over(publisher, &seat, to).await,
            None => {
                self.desk.context().metrics.publishers.dec();
                self.desk.end(publisher, &seat, false).await;
            }
        }
    }

    /// Another origin goes on with the channel; `false` when that ends the connection.
    async fn stop(&mut self, stop: Stop) -> bool {
        let Some((publisher, seat)) = self.publish.take() else { return true };
        let Some(same) = self.desk.stop(publisher, &seat, stop).await else {
            self.desk.context().metrics.publishers.dec();
            let why = "the channel is published to another origin";
            self.session.end_publish("NetStream.Publish.BadConnection", why);
            let _ = self.drain_session().await;
            return false;
        };
        self.publish = Some((same, seat));
        true
    }

    async fn hand_over(
        &mut self,
        mut publisher: Box<Publisher>,
        seat: &Seat,
        to: tokio::sync::oneshot::Sender<Box<Publisher>>,
    ) {
        tracing::info!(peer = %self.peer, channel = %publisher.settings().name,
            "replaced by a newer connection with the same key");
        self.desk.context().metrics.publishers.dec();
        let why = "a newer connection with the same key replaced this one";
        self.session.end_publish("NetStream.Publish.BadConnection", why);
        match publisher.disconnected().await {
            Ok(()) => self.desk.give(publisher, to).await,
            Err(e) => {
                tracing::error!("{e}");
                // The next one waits for the answer and begins a generation after this end.
                self.desk.end(publisher, seat, false).await;
                drop(to);
            }
        }
    }

    /// Does everything the session wants done; an error is the socket's.
    async fn drain_session(&mut self) -> std::io::Result<()> {
        while let Some(out) = self.session.poll_output() {
            match out {
                Output::Send(bytes) => send(&mut self.stream, &bytes).await?,
                Output::Event(event) => self.event(event).await,
            }
        }
        Ok(())
    }

    async fn event(&mut self, event: Event) {
        let result = match event {
            Event::Publish(request) => return self.publish(request).await,
            Event::Video { timestamp, body } => self.media(|p| p.video(timestamp, &body)),
            Event::Audio { timestamp, body } => self.media(|p| p.audio(timestamp, &body)),
            Event::Metadata(m) => self.media(|p| {
                p.metadata(&m);
                Ok(())
            }),
            Event::BadMetadata(e) => {
                tracing::debug!(peer = %self.peer, "metadata left out: {e}");
                Ok(())
            }
            Event::Unpublish => {
                (self.closed, self.finished) = (true, true);
                Ok(())
            }
            Event::Closed { reason } => {
                tracing::info!(peer = %self.peer, "connection over: {reason}");
                self.closed = true;
                Ok(())
            }
        };
        if let Err(e) = result {
            self.fail(&e);
        }
    }

    fn media(
        &mut self,
        f: impl FnOnce(&mut Publisher) -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        self.publish.as_mut().map_or(Ok(()), |(p, _)| f(p))
    }

    /// Ends the publish with a status that the encoder shows, and a line in the log.
    fn fail(&mut self, e: &PublishError) {
        tracing::warn!(peer = %self.peer, "publish ended: {e}");
        let reason = ByReason { reason: e.reason() };
        self.desk.context().metrics.refused.get_or_create(&reason).inc();
        self.session.end_publish("NetStream.Publish.Failed", &e.to_string());
        // Viewers of a session cannot be told of another codec: the next publish begins one.
        self.session_over |= matches!(e, PublishError::OtherCodec { .. });
        self.closed = true;
    }

    async fn publish(&mut self, request: PublishRequest) {
        match self.admit(&request).await {
            Ok(channel) => {
                tracing::info!(peer = %self.peer, %channel, encoder = request.flash_ver,
                    codecs = request.fourcc_list.join(","), "publishing");
                let now = self.mono();
                self.session.accept_publish(now);
            }
            Err(Denied { reason, message }) => {
                tracing::warn!(peer = %self.peer, app = request.app, "publish refused: {message}");
                let label = ByReason { reason };
                self.desk.context().metrics.refused.get_or_create(&label).inc();
                self.session.refuse_publish(code(reason), &message);
                self.closed = true;
            }
        }
    }

    /// Whose key it is, and the channel's publisher; or a word for metrics and a sentence for the
    /// encoder.
    async fn admit(&mut self, request: &PublishRequest) -> Result<String, Denied> {
        if request.app != APP {
            let message =
                format!("unknown application {:?}: publish to /{APP}/<stream key>", request.app);
            return Err(Denied { reason: "app", message });
        }
        let ctx = self.desk.context().clone();
        let ask = Ask { key: request.stream_key.clone(), node: ctx.node.clone() };
        let admitted = ctx.client.admit(ask).await.map_err(PublishError::from);
        let Admission { settings, key } = admitted.map_err(|e| denied(e.reason(), &e))?;
        let claimed = self.desk.claim(&settings, &key).await;
        let (mut publisher, seat) = claimed.map_err(|e| denied(e.reason(), &e))?;
        if let Err(e) = publisher.connected() {
            self.desk.give_up(publisher, seat, &e).await;
            return Err(denied(e.reason(), &e));
        }
        ctx.metrics.publishers.inc();
        self.publish = Some((publisher, seat));
        Ok(settings.name.to_string())
    }
}

/// Why a publish is refused: a word for metrics and a sentence for the encoder.
struct Denied {
    reason: &'static str,
    message: String,
}

fn denied(reason: &'static str, why: &impl ToString) -> Denied {
    Denied { reason, message: why.to_string() }
}

/// The status that says whose fault it is: the name's that was asked for, or ours.
fn code(reason: &str) -> &'static str {
    match reason {
        "app" | "key" | "in_use" => "NetStream.Publish.BadName",
        _ => "NetStream.Publish.Failed",
    }
}
