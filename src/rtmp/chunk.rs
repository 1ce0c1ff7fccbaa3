//! The chunk reader (RTMP 1.0 section 5.3): bytes of a connection in, whole messages out, every
//! size bounded. It obeys Set Chunk Size and Abort itself; what the other messages mean is not its
//! business.

use crate::rtmp::chunk_error::ChunkError;
use crate::rtmp::limits::{
    AUDIO_MESSAGE_MAX, CHUNK_SIZE_INITIAL, CHUNK_SIZE_MAX, CHUNK_STREAMS_MAX, CONTROL_MESSAGE_MAX,
    DATA_MESSAGE_MAX, PARTIAL_BYTES_MAX, UNACCEPTED_MEDIA_MAX, UNACCEPTED_PARTIAL_MAX,
    VIDEO_MESSAGE_MAX,
};
use crate::rtmp::message::{ABORT, AGGREGATE, AUDIO, Message, SET_CHUNK_SIZE, VIDEO};
use bytes::{Buf, BytesMut};

/// In a 24-bit timestamp field: the value follows in 32 bits.
const EXTENDED: u32 = 0xFF_FFFF;

/// What a chunk stream remembers between chunks.
#[derive(Debug, Default)]
struct ChunkStream {
    csid: u32,
    /// Absolute time of the message.
    timestamp: u32,
    /// The last type 0, 1 or 2 header's field: an absolute time or a delta.
    field: u32,
    /// Whether that field was an extended one.
    extended: bool,
    length: usize,
    type_id: u8,
    stream_id: u32,
    /// The message's bytes so far; `None` between messages.
    partial: Option<BytesMut>,
}

/// One chunk header, decoded and not yet applied.
#[derive(Debug)]
struct Header {
    fmt: u8,
    csid: u32,
    /// Bytes the header takes.
    size: usize,
    field: u32,
    extended: bool,
    length: usize,
    type_id: u8,
    stream_id: u32,
}

/// The chunk whose payload is being taken.
#[derive(Debug, Clone, Copy)]
struct Current {
    /// Index of its stream.
    stream: usize,
    /// Payload bytes still to come in this chunk.
    left: usize,
}

/// Reads one direction of a connection. Place bytes in [`ChunkReader::buf_mut`], then call
/// [`ChunkReader::next`] until it has no more.
///
/// A message that lies whole in the buffer in one chunk is handed out as a slice of it; any other
/// is copied once. After an error the connection is of no use: chunk boundaries are lost.
#[derive(Debug)]
pub struct ChunkReader {
    buf: BytesMut,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    current: Option<Current>,
    /// Announced bytes of the unfinished messages.
    unfinished: usize,
    /// Bytes consumed from the buffer since the connection began.
    offset: u64,
    /// Offset at which the newest chunk began.
    at: u64,
    media: bool,
}

impl Default for ChunkReader {
    fn default() -> ChunkReader {
        ChunkReader::new()
    }
}

impl ChunkReader {
    /// A reader at the start of a connection; media messages are held to [`UNACCEPTED_MEDIA_MAX`]
    /// at first.
    pub fn new() -> ChunkReader {
        ChunkReader {
            buf: BytesMut::new(),
            chunk_size: CHUNK_SIZE_INITIAL,
            streams: Vec::new(),
            current: None,
            unfinished: 0,
            offset: 0,
            at: 0,
            media: false,
        }
    }

    /// The buffer that a socket reads into; only append to it.
    pub fn buf_mut(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Appends bytes, for callers that have them in a buffer of their own.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Takes up to `n` bytes off the front that are not chunks: the handshake's.
    pub fn take_raw(&mut self, n: usize) -> BytesMut {
        let n = n.min(self.buf.len());
        self.offset += n as u64;
        self.buf.split_to(n)
    }

    /// Bytes received since the connection began, whether looked at or not.
    pub fn received(&self) -> u64 {
        self.offset + self.buf.len() as u64
    }

    /// Announced bytes of the messages begun and not finished; at most [`PARTIAL_BYTES_MAX`].
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether media messages may have their full size (a publish was accepted).
    pub fn allow_media(&mut self, yes: bool) {
        self.media = yes;
    }

    /// The next whole message; `None` when more bytes are needed.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Message>, ChunkError> {
        loop {
            let current = match self.current {
                Some(current) => current,
                None => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    self.begin(header)?
                }
            };
            let Some(message) = self.body(current) else {
                if self.current.is_some() {
                    return Ok(None);
                }
                continue;
            };
            match message.type_id {
                SET_CHUNK_SIZE => self.set_chunk_size(&message)?,
                ABORT => self.abort(&message)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Decodes the header at the front of the buffer; `None` when it is not whole.
    fn header(&self) -> Result<Option<Header>, ChunkError> {
        let b = &self.buf[..];
        let Some(&first) = b.first() else { return Ok(None) };
        let fmt = first >> 6;
        let (csid, mut p) = match (first & 63, b) {
            (0, [_, low, ..]) => (64 + u32::from(*low), 2),
            (1, [_, low, high, ..]) => (64 + u32::from(*low) + 256 * u32::from(*high), 3),
            (0 | 1, _) => return Ok(None),
            (id, _) => (u32::from(id), 1),
        };
        let known = self.streams.iter().find(|s| s.csid == csid);
        if known.is_none() && fmt >= 2 {
            return Err(ChunkError::NoEarlierHeader { csid, fmt, at: self.offset });
        }
        // Type 1 may open a chunk stream: librtmp sends its first ping so.
        let (mut field, mut extended, mut length, mut type_id, mut stream_id) = match known {
            Some(s) => (s.field, s.extended, s.length, s.type_id, s.stream_id),
            None => (0, false, 0, 0, 0),
        };
        let Some(h) = b.get(p..p + [11, 7, 3, 0][usize::from(fmt)]) else { return Ok(None) };
        p += h.len();
        if let [a, b, c, ..] = *h {
            field = u32::from_be_bytes([0, a, b, c]);
            extended = field == EXTENDED;
        }
        if let [_, _, _, a, b, c, t, ..] = *h {
            length = u32::from_be_bytes([0, a, b, c]) as usize;
            type_id = t;
        }
        if let [.., a, b, c, d] = *h
            && fmt == 0
        {
            stream_id = u32::from_le_bytes([a, b, c, d]);
        }
        if extended {
            let Some(&[a, b, c, d]) = b.get(p..).and_then(|t| t.first_chunk::<4>()) else {
                return Ok(None);
            };
            let value = u32::from_be_bytes([a, b, c, d]);
            // Inside a message a type 3 chunk repeats the field (section 5.3.1.3), but not every
            // encoder does. Four bytes that are neither the field nor the message's time are
            // payload.
            let inside = known.is_some_and(|s| s.partial.is_some()) && fmt == 3;
            let repeats = known.is_some_and(|s| value == s.field || value == s.timestamp);
            if !inside || repeats {
                p += 4;
                field = value;
            }
        }
        Ok(Some(Header { fmt, csid, size: p, field, extended, length, type_id, stream_id }))
    }

    /// Applies a header: opens its chunk stream and message when they are new, and consumes its
    /// bytes.
    fn begin(&mut self, h: Header) -> Result<Current, ChunkError> {
        let (csid, at) = (h.csid, self.offset);
        let stream = match self.streams.iter().position(|s| s.csid == csid) {
            Some(known) => known,
            None if self.streams.len() >= CHUNK_STREAMS_MAX => {
                return Err(ChunkError::TooManyStreams { csid, at });
            }
            None => {
                self.streams.push(ChunkStream { csid, ..ChunkStream::default() });
                self.streams.len() - 1
            }
        };
        let limit = self.limit(h.type_id);
        let s = &mut self.streams[stream];
        let have = match &s.partial {
            Some(part) if h.length != s.length => {
                debug_assert!(part.len() < s.length);
                return Err(ChunkError::LengthChanged { csid, at, from: s.length, to: h.length });
            }
            Some(_) if h.type_id != s.type_id => {
                return Err(ChunkError::TypeChanged { csid, at, from: s.type_id, to: h.type_id });
            }
            Some(part) => part.len(),
            None => {
                if h.length > limit {
                    let (type_id, length) = (h.type_id, h.length);
                    return Err(ChunkError::TooLong { csid, at, type_id, length, limit });
                }
                // A type 3 chunk that begins a message repeats the field as a delta, also after a
                // type 0 chunk (section 5.3.1.2.4).
                s.timestamp = if h.fmt == 0 { h.field } else { s.timestamp.wrapping_add(h.field) };
                (s.field, s.extended) = (h.field, h.extended);
                (s.length, s.type_id, s.stream_id) = (h.length, h.type_id, h.stream_id);
                0
            }
        };
        let left = (s.length - have).min(self.chunk_size);
        let whole = have == 0 && left == s.length && self.buf.len() - h.size >= left;
        if s.partial.is_none() && !whole {
            let total = self.unfinished + s.length;
            let limit = if self.media { PARTIAL_BYTES_MAX } else { UNACCEPTED_PARTIAL_MAX };
            if total > limit {
                return Err(ChunkError::TooMuchUnfinished { csid, at, total, limit });
            }
            self.unfinished = total;
            s.partial = Some(BytesMut::with_capacity(s.length));
        }
        self.buf.advance(h.size);
        self.offset += h.size as u64;
        self.at = at;
        let current = Current { stream, left };
        self.current = Some(current);
        Ok(current)
    }

    /// Takes what the buffer has of the current chunk's payload; a message when that completes one.
    /// Leaves `current` empty when the chunk is done.
    fn body(&mut self, current: Current) -> Option<Message> {
        let s = &mut self.streams[current.stream];
        let take = current.left.min(self.buf.len());
        self.offset += take as u64;
        let left = current.left - take;
        self.current = (left > 0).then_some(Current { left, ..current });
        let payload = match &mut s.partial {
            // Only a message that lies whole in the buffer has no partial here.
            None => self.buf.split_to(take).freeze(),
            Some(part) => {
                part.extend_from_slice(&self.buf[..take]);
                self.buf.advance(take);
                if part.len() < s.length {
                    return None;
                }
                self.unfinished -= s.length;
                s.partial.take().map(BytesMut::freeze).unwrap_or_default()
            }
        };
        let (type_id, stream_id, timestamp) = (s.type_id, s.stream_id, s.timestamp);
        Some(Message { type_id, stream_id, timestamp, payload })
    }

    /// Largest message of a type, in bytes.
    fn limit(&self, type_id: u8) -> usize {
        match type_id {
            1..=6 => CONTROL_MESSAGE_MAX,
            AUDIO | VIDEO | AGGREGATE if !self.media => UNACCEPTED_MEDIA_MAX,
            AUDIO => AUDIO_MESSAGE_MAX,
            VIDEO | AGGREGATE => VIDEO_MESSAGE_MAX,
            _ => DATA_MESSAGE_MAX,
        }
    }

    /// The first four bytes of a control message.
    fn control(&self, m: &Message) -> Result<u32, ChunkError> {
        let (type_id, length) = (m.type_id, m.payload.len());
        m.payload
            .first_chunk::<4>()
            .map(|b| u32::from_be_bytes(*b))
            .ok_or(ChunkError::ShortControl { at: self.at, type_id, length })
    }

    /// Section 5.4.1. It counts from the next chunk on, also inside messages that are under way.
    fn set_chunk_size(&mut self, m: &Message) -> Result<(), ChunkError> {
        let size = self.control(m)?;
        if size == 0 || size > CHUNK_SIZE_MAX {
            return Err(ChunkError::ChunkSize { at: self.at, size });
        }
        self.chunk_size = size as usize;
        Ok(())
    }

    /// Section 5.4.2. Unknown chunk streams and streams between messages have nothing to forget.
    fn abort(&mut self, m: &Message) -> Result<(), ChunkError> {
        let csid = self.control(m)?;
        if let Some(s) = self.streams.iter_mut().find(|s| s.csid == csid)
            && s.partial.take().is_some()
        {
            self.unfinished -= s.length;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "chunk_test.rs"]
mod tests;
