//! The client's side of a connection, without a socket: publishes or plays one stream. The verbs
//! are the server session's: fill [`ClientSession::input_buf`], [`ClientSession::process`], drain
//! [`ClientSession::poll_output`].

use crate::base::time::Mono;
use crate::media::track::Codec;
use crate::rtmp::amf0::{Amf0, AmfError, read_all, write_all};
use crate::rtmp::client_connect;
use crate::rtmp::error::{Reason, SessionError};
use crate::rtmp::limits::{
    ACK_WINDOW, CHUNK_SIZE_OUT, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, PUBLISH_TIMEOUT,
};
use crate::rtmp::link::{self, Link, amf0_part};
use crate::rtmp::message::{
    AUDIO, COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0, DATA_AMF3, EVENT_SET_BUFFER_LENGTH, Message,
    USER_CONTROL, VIDEO, WINDOW_ACK_SIZE,
};
use crate::rtmp::metadata::Metadata;
use crate::rtmp::url::RtmpUrl;
use bytes::{Bytes, BytesMut};

/// Milliseconds a player asks the server to send ahead.
const BUFFER_MILLIS: u32 = 3000;

/// Transactions, one for each command that is answered.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The server consents: publishing may begin, or playing has begun.
    Ready,
    /// The server says no, with its status. [`ClientEvent::Closed`] follows.
    Refused {
        /// RTMP status code.
        code: String,
        /// The server's words; may be empty.
        description: String,
    },
    /// Playing: the body of an FLV video tag.
    Video {
        /// Milliseconds modulo 2^32.
        timestamp: u32,
        /// The body.
        body: Bytes,
    },
    /// Playing: the body of an FLV audio tag.
    Audio {
        /// Milliseconds modulo 2^32.
        timestamp: u32,
        /// The body.
        body: Bytes,
    },
    /// Playing: the stream's description.
    Metadata(Box<Metadata>),
    /// Playing: a data message that cannot be read.
    BadMetadata(AmfError),
    /// The session is over. Always the last event.
    Closed {
        /// Why.
        reason: SessionError,
    },
}

/// What a client session wants done.
pub type ClientOutput = link::Output<ClientEvent>;

/// What the client is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publish,
    Play,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// From `connect` to the server's consent.
    Asking,
    Ready,
    Closed,
}

/// A publisher's or player's connection.
#[derive(Debug)]
pub struct ClientSession {
    link: Link<ClientEvent>,
    role: Role,
    url: RtmpUrl,
    /// What is announced by FourCC: of a publisher what it will send beyond the classic codecs.
    enhanced: Vec<Codec>,
    phase: Phase,
    now: Mono,
    since: Mono,
    stream_id: u32,
}

impl ClientSession {
    /// A session that publishes to the URL, for a socket opened at `now`.
    pub fn publish(url: &RtmpUrl, now: Mono) -> Result<ClientSession, SessionError> {
        ClientSession::new(Role::Publish, url, now)
    }

    /// A session that plays the URL, for a socket opened at `now`.
    pub fn play(url: &RtmpUrl, now: Mono) -> Result<ClientSession, SessionError> {
        ClientSession::new(Role::Play, url, now)
    }

    fn new(role: Role, url: &RtmpUrl, now: Mono) -> Result<ClientSession, SessionError> {
        let mut link = Link::client()?;
        link.reader.allow_media(role == Role::Play);
        let (url, phase) = (url.clone(), Phase::Handshake);
        // A player can read them all.
        let enhanced = if role == Role::Play { Codec::ALL.to_vec() } else { Vec::new() };
        Ok(ClientSession { link, role, url, enhanced, phase, now, since: now, stream_id: 0 })
    }

    /// A publisher that will send these codecs. Where one of them came with Enhanced RTMP,
    /// `connect` announces it, and a server that names what it takes is left when it is not among
    /// that; others are sent what they always were.
    pub fn sending(mut self, codecs: &[Codec]) -> ClientSession {
        let later = |c: &Codec| !matches!(c, Codec::H264 | Codec::Aac);
        self.enhanced = codecs.iter().copied().filter(later).collect();
        self
    }

    /// Asks the server to acknowledge what it has received every so many bytes.
    pub fn ask_acknowledgements(&mut self, every: u32) {
        self.link.send_control(WINDOW_ACK_SIZE, &every.to_be_bytes());
    }

    /// Bytes that the server has acknowledged, of all that was sent since the connection began,
    /// modulo 2^32 (RTMP 1.0 section 5.4.3).
    pub fn acknowledged(&self) -> u32 {
        self.link.confirmed
    }

    /// Where received bytes go; only append.
    pub fn input_buf(&mut self) -> &mut BytesMut {
        self.link.reader.buf_mut()
    }

    /// Says that bytes were appended, and when.
    pub fn process(&mut self, now: Mono) {
        self.now = self.now.max(now);
        if self.phase == Phase::Closed {
            self.link.reader.buf_mut().clear();
        }
    }

    /// The next thing to do; `None` when the session waits for bytes, for media to send, or for its
    /// time-out.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        loop {
            if let Some(out) = self.link.out.pop_front() {
                return Some(out);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return self.link.out.pop_front(),
                Err(reason) => self.close(reason),
            }
        }
    }

    /// When [`ClientSession::handle_timeout`] is due, and what is waited for. A publisher that may
    /// send waits for nothing.
    pub fn poll_timeout(&self) -> Option<(Mono, Reason)> {
        let (wait, reason) = match self.phase {
            Phase::Handshake => (HANDSHAKE_TIMEOUT, Reason::Handshake),
            Phase::Asking => (PUBLISH_TIMEOUT, Reason::Publish),
            Phase::Ready if self.role == Role::Play => (IDLE_TIMEOUT, Reason::Idle),
            Phase::Ready | Phase::Closed => return None,
        };
        Some((self.since.plus(wait), reason))
    }

    /// Closes the session if its time-out is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.now = self.now.max(now);
        if let Some((due, reason)) = self.poll_timeout()
            && now >= due
        {
            self.close(reason.into());
        }
    }

    /// Queues the body of an FLV video tag; `timestamp` in milliseconds modulo 2^32. Dropped unless
    /// publishing.
    pub fn send_video(&mut self, timestamp: u32, body: &[u8]) -> Result<(), SessionError> {
        self.send(VIDEO, timestamp, body)
    }

    /// Queues the body of an FLV audio tag.
    pub fn send_audio(&mut self, timestamp: u32, body: &[u8]) -> Result<(), SessionError> {
        self.send(AUDIO, timestamp, body)
    }

    /// Queues `onMetaData` with this object or associative array.
    pub fn send_metadata(&mut self, metadata: &Amf0) -> Result<(), SessionError> {
        let names = [Amf0::string("@setDataFrame"), Amf0::string("onMetaData")];
        let mut body = write_all(&names);
        crate::rtmp::amf0::write(metadata, &mut body);
        self.send(DATA_AMF0, 0, &body)
    }

    /// Queues the body of an FLV script data tag as it stands in a file.
    pub fn send_script(&mut self, timestamp: u32, body: &[u8]) -> Result<(), SessionError> {
        let mut whole = write_all(&[Amf0::string("@setDataFrame")]);
        whole.extend_from_slice(body);
        self.send(DATA_AMF0, timestamp, &whole)
    }

    /// Ends the stream in good order: drain the output, then close the socket.
    pub fn finish(&mut self) {
        if self.phase != Phase::Ready {
            return;
        }
        let name = Amf0::String(self.url.stream_name());
        if self.role == Role::Publish {
            self.command(0, "FCUnpublish", 6.0, [Amf0::Null, name]);
        }
        let id = Amf0::Number(f64::from(self.stream_id));
        self.command(0, "deleteStream", 0.0, [Amf0::Null, id]);
        let (code, description) = ("NetStream.Unpublish.Success", "finished by this side");
        self.close(SessionError::Ended { code: code.into(), description: description.into() });
    }

    fn send(&mut self, type_id: u8, timestamp: u32, body: &[u8]) -> Result<(), SessionError> {
        if self.phase == Phase::Ready && self.role == Role::Publish {
            self.link.send(type_id, self.stream_id, timestamp, body)?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<bool, SessionError> {
        match self.phase {
            Phase::Closed => return Ok(false),
            Phase::Handshake => {
                self.link.shake()?;
                if self.link.shaking() {
                    return Ok(false);
                }
                self.enter(Phase::Asking);
                self.ask();
            }
            Phase::Asking | Phase::Ready => {}
        }
        let Some(message) = self.link.next()? else { return Ok(false) };
        if self.phase == Phase::Ready {
            self.since = self.now;
        }
        self.message(message)?;
        Ok(true)
    }

    fn message(&mut self, m: Message) -> Result<(), SessionError> {
        let playing = self.role == Role::Play && self.phase == Phase::Ready;
        match m.type_id {
            COMMAND_AMF0 | COMMAND_AMF3 => return self.on_command(&m),
            _ if !playing => {}
            VIDEO => self.event(ClientEvent::Video { timestamp: m.timestamp, body: m.payload }),
            AUDIO => self.event(ClientEvent::Audio { timestamp: m.timestamp, body: m.payload }),
            DATA_AMF0 | DATA_AMF3 => match Metadata::read(amf0_part(&m)) {
                Ok(Some(metadata)) => self.event(ClientEvent::Metadata(Box::new(metadata))),
                Ok(None) => {}
                Err(e) => self.event(ClientEvent::BadMetadata(e)),
            },
            _ => {}
        }
        Ok(())
    }

    fn ask(&mut self) {
        let object = client_connect::object(&self.url, self.role == Role::Play, &self.enhanced);
        self.link.send_chunk_size(CHUNK_SIZE_OUT);
        self.command(0, "connect", CONNECT, [object]);
    }

    fn on_command(&mut self, m: &Message) -> Result<(), SessionError> {
        let values = read_all(amf0_part(m))?;
        let [Amf0::String(name), rest @ ..] = &values[..] else { return Ok(()) };
        let transaction = rest.first().and_then(Amf0::as_number).unwrap_or(0.0);
        match name.as_str() {
            "_result" if self.phase == Phase::Asking && transaction == CONNECT => {
                if self.role == Role::Publish {
                    client_connect::check(rest.get(1..).unwrap_or_default(), &self.enhanced)?;
                }
                self.connected();
            }
            "_result" if self.phase == Phase::Asking && transaction == CREATE_STREAM => {
                let id = rest.get(2).and_then(Amf0::as_number).unwrap_or(1.0);
                // A number that is no stream id saturates, and the server will say so.
                self.stream_id = id as u32;
                self.request();
            }
            "_error" if transaction == CONNECT || transaction == CREATE_STREAM => {
                self.refused(rest.get(2));
            }
            "onStatus" => self.on_status(rest.get(2)),
            "close" => self.refused(rest.get(2)),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self) {
        self.link.send_control(WINDOW_ACK_SIZE, &ACK_WINDOW.to_be_bytes());
        if self.role == Role::Publish {
            let name = || Amf0::String(self.url.stream_name());
            let (release, announce) = (name(), name());
            self.command(0, "releaseStream", 2.0, [Amf0::Null, release]);
            self.command(0, "FCPublish", 3.0, [Amf0::Null, announce]);
        }
        self.command(0, "createStream", CREATE_STREAM, [Amf0::Null]);
    }

    /// Sends `publish` or `play` on the created stream (RTMP 1.0 sections 7.2.2.6 and 7.2.2.1).
    fn request(&mut self) {
        let (id, name) = (self.stream_id, Amf0::String(self.url.stream_name()));
        match self.role {
            Role::Publish => {
                self.command(id, "publish", 5.0, [Amf0::Null, name, Amf0::string("live")]);
            }
            Role::Play => {
                self.command(id, "play", 5.0, [Amf0::Null, name, Amf0::Number(-2000.0)]);
                let body = [
                    &EVENT_SET_BUFFER_LENGTH.to_be_bytes()[..],
                    &id.to_be_bytes(),
                    &BUFFER_MILLIS.to_be_bytes(),
                ];
                self.link.send_control(USER_CONTROL, &body.concat());
            }
        }
    }

    fn on_status(&mut self, info: Option<&Amf0>) {
        let field =
            |name| info.and_then(|i| i.get(name)).and_then(Amf0::as_str).unwrap_or_default();
        let (level, code) = (field("level"), field("code"));
        match code {
            "NetStream.Publish.Start" | "NetStream.Play.Start" if self.phase == Phase::Asking => {
                self.enter(Phase::Ready);
                self.event(ClientEvent::Ready);
            }
            "NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" => {
                let (code, description) = (code.into(), field("description").into());
                self.close(SessionError::Ended { code, description });
            }
            _ if level == "error" => self.refused(info),
            _ => {}
        }
    }

    fn refused(&mut self, info: Option<&Amf0>) {
        if self.phase == Phase::Closed {
            return;
        }
        let field = |name| {
            let text = info.and_then(|i| i.get(name)).and_then(Amf0::as_str);
            text.unwrap_or_default().to_owned()
        };
        let (mut code, description) = (field("code"), field("description"));
        if code.is_empty() {
            code = "NetConnection.Connect.Closed".into();
        }
        let (c, d) = (code.clone(), description.clone());
        self.event(ClientEvent::Refused { code: c, description: d });
        self.close(SessionError::Refused { code, description });
    }

    fn command<const N: usize>(&mut self, stream: u32, name: &str, id: f64, args: [Amf0; N]) {
        let mut values = vec![Amf0::string(name), Amf0::Number(id)];
        values.extend(args);
        self.link.send_command(stream, &values);
    }

    fn event(&mut self, event: ClientEvent) {
        self.link.out.push_back(ClientOutput::Event(event));
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = self.now;
    }

    fn close(&mut self, reason: SessionError) {
        if self.phase != Phase::Closed {
            self.enter(Phase::Closed);
            self.link.reader.buf_mut().clear();
            self.event(ClientEvent::Closed { reason });
        }
    }
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
