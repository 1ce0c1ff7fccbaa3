//! A publisher's connection: a socket around `rtmp::client::ClientSession`. It serves the server's
//! questions whenever it is waited for, and holds at most one message that is not written.

use crate::base::time::Mono;
use crate::media::track::Codec;
use crate::replay::error::PublishError;
use crate::replay::message::{Message, MessageKind};
use crate::rt::clock::Clock;
use crate::rt::listen;
use crate::rtmp::client::{ClientEvent, ClientOutput, ClientSession};
use crate::rtmp::error::SessionError;
use crate::rtmp::url::RtmpUrl;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

/// Longest wait for the TCP connection: a lost SYN is sent again after 1, 3 and 7 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time in which the server takes not one byte. Far more than a server pauses for its disk,
/// less than a person waits.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest silence of a server that has been told the end and has not closed. Its closing is the
/// only sign that it has read everything: what is written may still lie in the socket's buffers.
/// While it reads, it acknowledges every 2.5 MB or so, which is 30 s of a slow stream.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes read from the server at once; it has little to say.
const READ_BYTES: usize = 16 << 10;

/// One publish on one connection.
#[derive(Debug)]
pub struct Publisher {
    stream: TcpStream,
    session: ClientSession,
    clock: Clock,
    /// What the session wants written, a few slices of one message.
    pending: VecDeque<Bytes>,
    written: u64,
    ready: bool,
    over: Option<SessionError>,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    Due,
}

impl Publisher {
    /// Connects and asks to publish media of these codecs; returns with the server's consent.
    ///
    /// # Errors
    /// No connection, a refusal, or a server that does not speak RTMP or not in time.
    pub async fn connect(
        url: &RtmpUrl,
        codecs: &[Codec],
        clock: Clock,
    ) -> Result<Publisher, PublishError> {
        let answer = listen::connect(&url.host, url.port, CONNECT_TIMEOUT).await;
        let stream = answer.map_err(|source| PublishError::Connect {
            host: url.host.clone(),
            port: url.port,
            source,
        })?;
        // A frame must not wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        let session = ClientSession::publish(url, clock.now().mono)?.sending(codecs);
        let (pending, over) = (VecDeque::new(), None);
        let mut publisher =
            Publisher { stream, session, clock, pending, written: 0, ready: false, over };
        loop {
            publisher.collect()?;
            if publisher.ready {
                return Ok(publisher);
            }
            let due = publisher.session.poll_timeout().map(|(due, _)| due);
            if publisher.step(due).await? == Step::Due {
                publisher.session.handle_timeout(publisher.clock.now().mono);
            }
        }
    }

    /// Sends one message; returns when the socket has taken all of it.
    ///
    /// # Errors
    /// The connection is lost, or the server has taken nothing for [`STALL_TIMEOUT`].
    pub async fn send(&mut self, message: &Message) -> Result<(), PublishError> {
        let (time, body) = (message.timestamp, &message.body);
        match message.kind {
            MessageKind::Video | MessageKind::VideoConfig | MessageKind::VideoEnd => {
                self.session.send_video(time, body)?;
            }
            MessageKind::Audio | MessageKind::AudioConfig => self.session.send_audio(time, body)?,
            MessageKind::Metadata | MessageKind::Data => self.session.send_script(time, body)?,
        }
        self.flush().await
    }

    /// Waits until the instant, and serves the connection meanwhile. Cancel-safe.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn wait_until(&mut self, at: Mono) -> Result<(), PublishError> {
        while self.clock.now().mono < at {
            self.collect()?;
            if self.step(Some(at)).await? == Step::Due {
                break;
            }
        }
        Ok(())
    }

    /// Ends the publish in good order and waits until the server, which has then read everything,
    /// closes the connection; returns the bytes written. `patience` is how long the server may be
    /// silent meanwhile: [`FINISH_TIMEOUT`], and more for one that takes media at its own pace.
    ///
    /// # Errors
    /// The connection was lost before all was written, or the server did not confirm the end.
    pub async fn finish(mut self, patience: Duration) -> Result<u64, PublishError> {
        // What the server has said by now comes first: it may have ended the publish itself.
        if self.step(Some(self.clock.now().mono)).await? == Step::Moved {
            self.collect()?;
        }
        self.session.finish();
        let collected = self.collect();
        if let Err(PublishError::Session(SessionError::Ended { .. })) = collected {
            // That is this side's own ending.
            self.over = None;
        } else {
            collected?;
        }
        self.write_all().await?;
        self.stream.shutdown().await?;
        loop {
            let until = self.clock.now().mono.plus(patience);
            match self.step(Some(until)).await {
                Ok(Step::Moved) => {}
                Ok(Step::Due) => {
                    return Err(PublishError::Unconfirmed { seconds: patience.as_secs() });
                }
                Err(PublishError::Closed) => return Ok(self.written),
                Err(PublishError::Io(_)) => return Err(PublishError::Reset),
                Err(e) => return Err(e),
            }
        }
    }

    /// Bytes written to the socket so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    async fn flush(&mut self) -> Result<(), PublishError> {
        self.collect()?;
        self.write_all().await?;
        self.collect()
    }

    async fn write_all(&mut self) -> Result<(), PublishError> {
        while !self.pending.is_empty() {
            let (before, due) = (self.written, self.clock.now().mono.plus(STALL_TIMEOUT));
            while self.written == before {
                if self.step(Some(due)).await? == Step::Due {
                    return Err(PublishError::Stalled { seconds: STALL_TIMEOUT.as_secs() });
                }
            }
        }
        Ok(())
    }

    /// Takes what the session wants: bytes to write, and what it tells.
    fn collect(&mut self) -> Result<(), PublishError> {
        while let Some(out) = self.session.poll_output() {
            match out {
                ClientOutput::Send(bytes) => self.pending.push_back(bytes),
                ClientOutput::Event(ClientEvent::Ready) => self.ready = true,
                ClientOutput::Event(ClientEvent::Closed { reason }) => self.over = Some(reason),
                // A refusal is told again by the closing; the rest is a player's.
                ClientOutput::Event(_) => {}
            }
        }
        match &self.over {
            None => Ok(()),
            Some(SessionError::Refused { code, description }) => {
                let (code, description) = (code.clone(), description.clone());
                Err(match self.ready {
                    false => PublishError::Refused { code, description },
                    true => PublishError::Ended { code, description },
                })
            }
            Some(reason @ SessionError::NotTaken { .. }) => {
                Err(PublishError::NotTaken(reason.clone()))
            }
            Some(reason) => Err(PublishError::Session(reason.clone())),
        }
    }

    /// Waits for the socket and moves what it allows, in both directions.
    async fn step(&mut self, until: Option<Mono>) -> Result<Step, PublishError> {
        let interest = match self.pending.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let due = self.clock.sleep_until_due(until);
        let ready = tokio::select! {
            ready = self.stream.ready(interest) => ready?,
            () = due => return Ok(Step::Due),
        };
        if ready.is_readable() || ready.is_read_closed() {
            self.read()?;
        }
        if ready.is_writable() && !self.pending.is_empty() {
            self.write()?;
        }
        Ok(Step::Moved)
    }

    fn read(&mut self) -> Result<(), PublishError> {
        self.session.input_buf().reserve(READ_BYTES);
        match self.stream.try_read_buf(self.session.input_buf()) {
            Ok(0) => Err(self.last_words(PublishError::Closed)),
            Ok(_) => {
                self.session.process(self.clock.now().mono);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(self.last_words(e.into())),
        }
    }

    fn write(&mut self) -> Result<(), PublishError> {
        let Some(front) = self.pending.front_mut() else { return Ok(()) };
        match self.stream.try_write(front) {
            Ok(n) => {
                self.written += n as u64;
                front.advance(n);
                if front.is_empty() {
                    self.pending.pop_front();
                }
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(self.last_words(e.into())),
        }
    }

    /// A server that refuses says why and closes: the reason may be in what was read last, or lie
    /// unread when writing fails.
    fn last_words(&mut self, e: PublishError) -> PublishError {
        while let Ok(1..) = self.stream.try_read_buf(self.session.input_buf()) {
            self.session.process(self.clock.now().mono);
        }
        self.collect().err().unwrap_or(e)
    }
}
