//! The server's side of a publisher's connection, without a socket: read into
//! [`ServerSession::input_buf`], call [`ServerSession::process`], drain
//! [`ServerSession::poll_output`], wait for bytes or [`ServerSession::poll_timeout`].
//!
//! One connection carries one publish. Whether a key is good is the caller's to say; viewers are
//! refused.

use crate::base::time::Mono;
use crate::rtmp::amf0::{Amf0, read_all};
use crate::rtmp::error::{Reason, SessionError};
use crate::rtmp::event::{Event, Output, PublishRequest};
use crate::rtmp::limits::{
    ACK_WINDOW, CHUNK_SIZE_OUT, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, MESSAGE_STREAMS_MAX,
    PUBLISH_TIMEOUT, PUBLISHES_MAX, STREAM_KEY_MAX, UNANSWERED_BYTES_MAX, URL_MAX,
};
use crate::rtmp::link::{Link, amf0_part};
use crate::rtmp::message::{
    AUDIO, COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0, DATA_AMF3, EVENT_STREAM_BEGIN, EVENT_STREAM_EOF,
    Message, SET_PEER_BANDWIDTH, VIDEO, WINDOW_ACK_SIZE,
};
use crate::rtmp::metadata::Metadata;
use crate::rtmp::server_connect::{Connect, accepted, status};
use bytes::BytesMut;
use std::time::Duration;

/// What a viewer's `play` is answered with.
const PLAY_REFUSED: &str = "this server speaks RTMP for publishing only; viewers use HLS";

/// What differs between deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerConfig {
    /// Longest silence of a publisher.
    pub idle: Duration,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig { idle: IDLE_TIMEOUT }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Commands until `publish`.
    Commands,
    /// `publish` waits for the caller's answer.
    Asked,
    Publishing,
    Unpublished,
    Closed,
}

/// A publisher's connection. Nothing happens between calls; after [`Event::Closed`] every call does
/// nothing.
#[derive(Debug)]
pub struct ServerSession {
    link: Link<Event>,
    config: ServerConfig,
    phase: Phase,
    now: Mono,
    /// When the present wait began: of the phase, or of the last message while publishing.
    since: Mono,
    connect: Option<Connect>,
    /// Message streams created.
    streams: u32,
    /// `publish` commands taken to the caller.
    publishes: u32,
    /// Message stream of the publish.
    stream_id: u32,
}

impl ServerSession {
    /// A session for a socket opened at `now`.
    pub fn new(config: ServerConfig, now: Mono) -> ServerSession {
        ServerSession {
            link: Link::server(),
            config,
            phase: Phase::Handshake,
            now,
            since: now,
            connect: None,
            streams: 0,
            publishes: 0,
            stream_id: 0,
        }
    }

    /// Where received bytes go; only append. Reading 64 KiB at a time keeps most frames whole, and
    /// those are handed on without a copy.
    pub fn input_buf(&mut self) -> &mut BytesMut {
        self.link.reader.buf_mut()
    }

    /// Says that bytes were appended, and when. [`ServerSession::poll_output`] then looks at them.
    pub fn process(&mut self, now: Mono) {
        self.now = self.now.max(now);
        let bytes = self.link.reader.buf_mut().len();
        match self.phase {
            Phase::Closed => self.link.reader.buf_mut().clear(),
            Phase::Asked if bytes > UNANSWERED_BYTES_MAX => {
                self.close(SessionError::Impatient { bytes });
            }
            _ => {}
        }
    }

    /// The next thing to do; `None` when the session waits for bytes, an answer or its time-out.
    /// Messages are taken up only as they are asked for, so what is queued never exceeds what one
    /// message causes.
    pub fn poll_output(&mut self) -> Option<Output> {
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

    /// When [`ServerSession::handle_timeout`] is due, and what is waited for. While a `publish`
    /// waits for the caller's answer no time-out runs.
    pub fn poll_timeout(&self) -> Option<(Mono, Reason)> {
        let (wait, reason) = match self.phase {
            Phase::Handshake => (HANDSHAKE_TIMEOUT, Reason::Handshake),
            Phase::Commands => (PUBLISH_TIMEOUT, Reason::Publish),
            Phase::Publishing | Phase::Unpublished => (self.config.idle, Reason::Idle),
            Phase::Asked | Phase::Closed => return None,
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

    /// Lets the publisher begin. Does nothing unless a `publish` waits.
    pub fn accept_publish(&mut self, now: Mono) {
        if self.phase != Phase::Asked {
            return;
        }
        self.now = self.now.max(now);
        self.enter(Phase::Publishing);
        self.link.reader.allow_media(true);
        self.link.send_event(EVENT_STREAM_BEGIN, self.stream_id);
        self.status("status", "NetStream.Publish.Start", "publishing");
    }

    /// Refuses the publish that waits, with a status the encoder shows (`NetStream.Publish.BadName`
    /// for a key that is not accepted), and closes.
    pub fn refuse_publish(&mut self, code: &str, description: &str) {
        if self.phase == Phase::Asked {
            self.refuse(code, description);
        }
    }

    /// Ends a publish under way: tells the encoder why, and closes.
    pub fn end_publish(&mut self, code: &str, description: &str) {
        if matches!(self.phase, Phase::Asked | Phase::Publishing | Phase::Unpublished) {
            self.link.send_event(EVENT_STREAM_EOF, self.stream_id);
            self.status("error", code, description);
            self.close(SessionError::Ended { code: code.into(), description: description.into() });
        }
    }

    /// One step: the handshake's, or one message. False when there is nothing to do before the next
    /// call.
    fn advance(&mut self) -> Result<bool, SessionError> {
        match self.phase {
            Phase::Closed => return Ok(false),
            // What came after `publish` stays in the buffer until the answer.
            Phase::Asked => return Ok(false),
            Phase::Handshake => {
                self.link.shake()?;
                if self.link.shaking() {
                    return Ok(false);
                }
                self.enter(Phase::Commands);
            }
            _ => {}
        }
        let Some(message) = self.link.next()? else { return Ok(false) };
        if matches!(self.phase, Phase::Publishing | Phase::Unpublished) {
            self.since = self.now;
        }
        self.message(message)?;
        Ok(true)
    }

    fn message(&mut self, m: Message) -> Result<(), SessionError> {
        match m.type_id {
            COMMAND_AMF0 | COMMAND_AMF3 => return self.command(&m),
            // Media outside a publish belongs to nobody.
            _ if self.phase != Phase::Publishing => {}
            VIDEO => self.event(Event::Video { timestamp: m.timestamp, body: m.payload }),
            AUDIO => self.event(Event::Audio { timestamp: m.timestamp, body: m.payload }),
            DATA_AMF0 | DATA_AMF3 => match Metadata::read(amf0_part(&m)) {
                Ok(Some(metadata)) => self.event(Event::Metadata(Box::new(metadata))),
                Ok(None) => {}
                Err(e) => self.event(Event::BadMetadata(e)),
            },
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, m: &Message) -> Result<(), SessionError> {
        let values = read_all(amf0_part(m))?;
        let [Amf0::String(name), rest @ ..] = &values[..] else { return Ok(()) };
        let transaction = rest.first().and_then(Amf0::as_number).unwrap_or(0.0);
        let reply = |value| [Amf0::string("_result"), Amf0::Number(transaction), Amf0::Null, value];
        match (name.as_str(), &self.connect) {
            ("connect", None) => self.on_connect(transaction, rest.get(1))?,
            ("connect", Some(_)) => return Err(misplaced(name, "the connection is connected")),
            (_, None) => return Err(misplaced(name, "the first command must be connect")),
            ("releaseStream" | "FCPublish", _) => {
                self.link.send_command(0, &reply(Amf0::Undefined));
            }
            ("createStream", _) if self.streams >= MESSAGE_STREAMS_MAX => {
                return Err(misplaced(name, "too many message streams on one connection"));
            }
            ("createStream", _) => {
                self.streams += 1;
                self.link.send_command(0, &reply(Amf0::Number(f64::from(self.streams))));
            }
            ("publish", _) => self.on_publish(m.stream_id, rest),
            ("play" | "play2", _) => {
                self.stream_id = m.stream_id;
                self.refuse("NetStream.Play.Failed", PLAY_REFUSED);
            }
            ("FCUnpublish", _) => self.on_unpublish(),
            ("closeStream", _) if m.stream_id == self.stream_id => self.on_unpublish(),
            ("deleteStream", _) => match rest.get(2).and_then(Amf0::as_number) {
                Some(id) if id != f64::from(self.stream_id) => {}
                _ => self.on_unpublish(),
            },
            _ => {}
        }
        Ok(())
    }

    /// RTMP 1.0 section 7.2.1.1.
    fn on_connect(&mut self, transaction: f64, object: Option<&Amf0>) -> Result<(), SessionError> {
        let connect = match Connect::read(object) {
            Ok(connect) => connect,
            Err(description) => {
                let code = "NetConnection.Connect.Rejected";
                let info = status("error", code, description);
                let error = [Amf0::string("_error"), Amf0::Number(transaction), Amf0::Null, info];
                self.link.send_command(0, &error);
                let (code, description) = (code.into(), description.into());
                return Err(SessionError::Refused { code, description });
            }
        };
        self.link.send_control(WINDOW_ACK_SIZE, &ACK_WINDOW.to_be_bytes());
        // Limit type 2, dynamic.
        let bandwidth = [&ACK_WINDOW.to_be_bytes()[..], &[2]].concat();
        self.link.send_control(SET_PEER_BANDWIDTH, &bandwidth);
        self.link.send_chunk_size(CHUNK_SIZE_OUT);
        self.link.send_command(0, &accepted(transaction, &connect));
        self.connect = Some(connect);
        Ok(())
    }

    /// RTMP 1.0 section 7.2.2.6. The mode is optional; every mode is live here.
    fn on_publish(&mut self, stream_id: u32, args: &[Amf0]) {
        const BAD: &str = "NetStream.Publish.BadName";
        let first = self.publishes < PUBLISHES_MAX;
        if first {
            self.stream_id = stream_id;
        }
        let text = args.get(2).and_then(Amf0::as_str).unwrap_or_default();
        let (key, query) = match text.split_once('?') {
            Some((key, query)) => (key, Some(query.to_owned())),
            None => (text, None),
        };
        let mode = args.get(3).and_then(Amf0::as_str).unwrap_or("live");
        let problem = match key {
            _ if !first => "a connection carries one publish; open another for the next",
            "" => "the stream key is empty",
            _ if key.len() > STREAM_KEY_MAX => "the stream key is longer than 256 bytes",
            _ if query.as_ref().is_some_and(|q| q.len() > URL_MAX) => {
                "the stream key's query is longer than 2048 bytes"
            }
            _ if !matches!(mode, "live" | "record" | "append") => {
                "the publishing mode is not live, record or append"
            }
            _ => "",
        };
        let Some(connect) = self.connect.as_ref().filter(|_| problem.is_empty()) else {
            return self.refuse(BAD, problem);
        };
        let request = PublishRequest {
            app: connect.app.clone(),
            stream_key: key.to_owned(),
            query,
            tc_url: connect.tc_url.clone(),
            flash_ver: connect.flash_ver.clone(),
            fourcc_list: connect.enhanced.clone().map_or(Vec::new(), |e| e.names),
        };
        self.publishes += 1;
        self.enter(Phase::Asked);
        self.event(Event::Publish(request));
    }

    fn on_unpublish(&mut self) {
        if self.phase == Phase::Publishing {
            self.enter(Phase::Unpublished);
            self.status("status", "NetStream.Unpublish.Success", "unpublished");
            self.event(Event::Unpublish);
        }
    }

    fn refuse(&mut self, code: &str, description: &str) {
        self.status("error", code, description);
        self.close(SessionError::Refused { code: code.into(), description: description.into() });
    }

    fn status(&mut self, level: &str, code: &str, description: &str) {
        let info = status(level, code, description);
        let values = [Amf0::string("onStatus"), Amf0::Number(0.0), Amf0::Null, info];
        self.link.send_command(self.stream_id, &values);
    }

    fn event(&mut self, event: Event) {
        self.link.out.push_back(Output::Event(event));
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = self.now;
    }

    fn close(&mut self, reason: SessionError) {
        if self.phase != Phase::Closed {
            self.enter(Phase::Closed);
            self.link.reader.buf_mut().clear();
            self.event(Event::Closed { reason });
        }
    }
}

fn misplaced(command: &str, problem: &'static str) -> SessionError {
    SessionError::Misplaced { command: command.chars().take(64).collect(), problem }
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
