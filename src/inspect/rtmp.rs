//! A look at an RTMP stream: plays it from any server for a while.

use crate::base::time::Mono;
use crate::inspect::error::InspectError;
use crate::inspect::findings;
use crate::inspect::report::{Report, Severity};
use crate::inspect::tags::Tags;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::listen;
use crate::rtmp::client::{ClientEvent, ClientOutput, ClientSession};
use crate::rtmp::error::SessionError;
use crate::rtmp::url::RtmpUrl;
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for the TCP connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the first media after the server's consent: some servers consent before anybody
/// publishes.
pub(super) const MEDIA_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// A player's connection.
struct Player {
    stream: TcpStream,
    session: ClientSession,
    clock: Clock,
    tags: Tags,
    ready: Option<Mono>,
    first_media: Option<Mono>,
    over: Option<SessionError>,
    bytes: u64,
}

/// Plays the stream for `duration`, counted from its first packet; less when it ends or `drain`
/// starts.
///
/// # Errors
/// No connection, or the server does not let it be played.
pub async fn inspect(
    url: &RtmpUrl,
    duration: Duration,
    clock: &Clock,
    drain: &Drain,
) -> Result<Report, InspectError> {
    let mut player = Player::connect(url, clock.clone()).await?;
    loop {
        player.collect().await?;
        if player.over.is_some() {
            break;
        }
        let end = match (player.first_media, player.ready) {
            (Some(first), _) => Some(first.plus(duration)),
            (None, Some(ready)) => Some(ready.plus(MEDIA_TIMEOUT.max(duration))),
            (None, None) => None,
        };
        let silent = player.session.poll_timeout().map(|(due, _)| due);
        let until = [end, silent].into_iter().flatten().min();
        let due = clock.sleep_until_due(until);
        tokio::select! {
            open = player.read() => if !open? { break },
            () = due => {
                let now = clock.now().mono;
                if end.is_some_and(|end| now >= end) {
                    break;
                }
                player.session.handle_timeout(now);
            }
            () = drain.wait() => break,
        }
    }
    player.report(url)
}

impl Player {
    async fn connect(url: &RtmpUrl, clock: Clock) -> Result<Player, InspectError> {
        let answer = listen::connect(&url.host, url.port, CONNECT_TIMEOUT).await;
        let stream = answer.map_err(|source| InspectError::Connect {
            host: url.host.clone(),
            port: url.port,
            source,
        })?;
        let session = ClientSession::play(url, clock.now().mono)?;
        let (ready, first_media, over) = (None, None, None);
        let tags = Tags::new();
        Ok(Player { stream, session, clock, tags, ready, first_media, over, bytes: 0 })
    }

    /// Takes what the session wants written and tells.
    async fn collect(&mut self) -> Result<(), InspectError> {
        let mut out = BytesMut::new();
        let now = self.clock.now().mono;
        while let Some(next) = self.session.poll_output() {
            match next {
                ClientOutput::Send(bytes) => out.extend_from_slice(&bytes),
                ClientOutput::Event(event) => self.event(event, now),
            }
        }
        match &self.over {
            Some(reason) if self.ready.is_none() => return Err(reason.clone().into()),
            // A server that closes is told by the reading side.
            _ => drop(self.stream.write_all(&out).await),
        }
        Ok(())
    }

    fn event(&mut self, event: ClientEvent, now: Mono) {
        match event {
            ClientEvent::Ready => self.ready = Some(now),
            ClientEvent::Video { timestamp, body } => {
                self.tags.video(timestamp, &body, Some(now));
            }
            ClientEvent::Audio { timestamp, body } => {
                self.tags.audio(timestamp, &body, Some(now));
            }
            ClientEvent::Metadata(metadata) => self.tags.metadata(*metadata),
            ClientEvent::Closed { reason } => self.over = Some(reason),
            ClientEvent::BadMetadata(_) | ClientEvent::Refused { .. } => {}
        }
        if self.tags.media > 0 {
            self.first_media.get_or_insert(now);
        }
    }

    /// Reads what has come; false when the server has closed.
    async fn read(&mut self) -> Result<bool, InspectError> {
        self.session.input_buf().reserve(READ_BYTES);
        let n = self.stream.read_buf(self.session.input_buf()).await.unwrap_or(0);
        if n == 0 && self.ready.is_none() {
            return Err(InspectError::Closed);
        }
        self.bytes += n as u64;
        self.session.process(self.clock.now().mono);
        Ok(n > 0)
    }

    fn report(self, url: &RtmpUrl) -> Result<Report, InspectError> {
        // The stream key is a secret of its publisher: the target is named without it.
        let mut report = Report::new(format!("{}/…", url.tc_url()), "rtmp");
        report.bytes = self.bytes;
        self.tags.report(&mut report);
        match &self.over {
            Some(SessionError::Ended { .. }) => {
                report.found(Severity::Note, "the stream ended while it was looked at");
            }
            Some(reason) => report.found(Severity::Problem, format!("the stream broke: {reason}")),
            None => {}
        }
        if self.tags.media == 0 {
            report.found(Severity::Problem, "no audio or video came: is anybody publishing?");
        }
        findings::judge(&mut report, None);
        Ok(report)
    }
}
