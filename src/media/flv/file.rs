//! FLV files (Adobe FLV 10.1, E.2 and E.3): a reader that takes the bytes as they come, and a
//! writer. Tag bodies are handed out raw; `flv::body` reads them.

use crate::media::flv::FlvError;
use bytes::{BufMut, Bytes, BytesMut};

/// Signature, version, flags and the header's length.
const HEADER: usize = 9;
/// Longest header that is skipped, in bytes. The format says 9; there is no reason for more, and a
/// wrong length must not make us swallow the file.
pub(super) const HEADER_MAX: u32 = 1024;
/// Type, size, timestamp and stream ID of a tag.
const TAG_HEADER: usize = 11;
/// PreviousTagSize, after the file's header and every tag.
const TRAILER: usize = 4;

/// What a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// An audio body.
    Audio,
    /// A video body.
    Video,
    /// AMF0 script data: onMetaData and the like.
    Script,
}

impl TagKind {
    /// TagType in the file.
    pub const fn number(self) -> u8 {
        match self {
            TagKind::Audio => 8,
            TagKind::Video => 9,
            TagKind::Script => 18,
        }
    }
}

/// A tag of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What the body is.
    pub kind: TagKind,
    /// Milliseconds since the first tag; wraps after 49 days.
    pub timestamp: u32,
    /// The raw body.
    pub body: Bytes,
}

/// Reads tags from bytes that arrive in pieces of any size.
///
/// It holds what was pushed and not yet taken: with all tags taken after each push, at most one tag
/// (16 MiB by its length field) and the last piece. Files that were cut off end where their last
/// whole tag ends; PreviousTagSize is not looked at, because writers get it wrong.
#[derive(Debug, Default)]
pub struct FlvReader {
    buf: BytesMut,
    offset: u64,
    started: bool,
    /// Bytes that are still to be dropped before the next tag.
    skip: usize,
}

impl FlvReader {
    /// A reader at the start of a file.
    pub fn new() -> FlvReader {
        FlvReader::default()
    }

    /// A reader of a whole file; bodies share its memory when `file` is its only owner.
    pub fn from_bytes(file: Bytes) -> FlvReader {
        FlvReader { buf: BytesMut::from(file), ..FlvReader::default() }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes of the file that were taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next tag; `None` when it is not complete yet, or the file has ended.
    ///
    /// # Errors
    /// [`FlvError::File`] with the offset in the file; the same again for every later call.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        if !self.started {
            let Some(size) = self.header()? else { return Ok(None) };
            self.skip = size + TRAILER;
            self.started = true;
        }
        let dropped = self.skip.min(self.buf.len());
        self.take(dropped);
        self.skip -= dropped;
        let Some(&first) = self.buf.first() else { return Ok(None) };
        // What cannot become a tag is told now, not when the rest of it has arrived.
        let kind = match first {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            18 => TagKind::Script,
            _ => return Err(self.error("no tag of audio, video or script data starts here")),
        };
        let Some(head) = self.buf.first_chunk::<TAG_HEADER>() else { return Ok(None) };
        let size = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let timestamp = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        if self.buf.len() < TAG_HEADER + size {
            return Ok(None);
        }
        let body = self.take(TAG_HEADER + size).split_off(TAG_HEADER).freeze();
        self.skip = TRAILER;
        Ok(Some(Tag { kind, timestamp, body }))
    }

    /// Reads the file's header; returns its length, `None` when it is not complete yet.
    fn header(&self) -> Result<Option<usize>, FlvError> {
        let signature = b"FLV";
        let have = self.buf.len().min(signature.len());
        if self.buf[..have] != signature[..have] {
            return Err(self.error("the signature FLV is missing"));
        }
        let Some(head) = self.buf.first_chunk::<HEADER>() else { return Ok(None) };
        let size = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if !(HEADER as u32..=HEADER_MAX).contains(&size) {
            return Err(self.error("the header's length is not believable"));
        }
        Ok(Some(size as usize))
    }

    fn take(&mut self, n: usize) -> BytesMut {
        self.offset += n as u64;
        self.buf.split_to(n)
    }

    fn error(&self, what: &'static str) -> FlvError {
        FlvError::File { what, at: self.offset }
    }
}

/// Writes a file into memory, tag by tag; take the bytes as often as you like.
#[derive(Debug)]
pub struct FlvWriter {
    out: BytesMut,
}

impl FlvWriter {
    /// A writer that has written the header.
    pub fn new(audio: bool, video: bool) -> FlvWriter {
        let mut out = BytesMut::new();
        out.put_slice(b"FLV\x01");
        out.put_u8(u8::from(audio) << 2 | u8::from(video));
        out.put_u32(HEADER as u32);
        out.put_u32(0);
        FlvWriter { out }
    }

    /// Writes a tag with its PreviousTagSize. `timestamp` is in milliseconds.
    ///
    /// # Errors
    /// A body of 16 MiB or more, which the format cannot hold; nothing is written then.
    pub fn tag(&mut self, kind: TagKind, timestamp: u32, body: &[u8]) -> Result<(), FlvError> {
        let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if size > 0xff_ffff {
            return Err(FlvError::Invalid { what: "body length", at: 0xff_ffff });
        }
        self.out.reserve(TAG_HEADER + body.len() + TRAILER);
        self.out.put_u32(u32::from(kind.number()) << 24 | size);
        self.out.put_u32(timestamp.rotate_left(8));
        self.out.put_slice(&[0, 0, 0]);
        self.out.put_slice(body);
        self.out.put_u32(TAG_HEADER as u32 + size);
        Ok(())
    }

    /// Takes what was written since the last call.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }
}

#[cfg(test)]
#[path = "file_test.rs"]
mod tests;
