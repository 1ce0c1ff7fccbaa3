//! A log on its way from one node to another. What is sent first says which log it is, from where
//! on and in which version; then come records as they lie in extents, from that position on, with a
//! few records among them that lie in no extent and say what a file's name and end would have said.
//! Which requests there are is the `origin`'s business.
//!
//! ```text
//! header  u64 magic "caststr\n" | u16 version | u16 flags (0) | u32 extent | u64 generation
//!         u64 offset | u16 writer's version | u16 oldest reader | u32 crc of the 36 bytes before
//! among the records, by kind
//! 129 moved   u32 extent | u64 offset: the next record lies there
//! 130 reach   u32 extent | u64 offset: the sender's log goes that far now; also sent when there is
//!             nothing else to send, so that a reader knows a silent sender from a dead one
//! 131 sealed  the log is sealed and nothing follows
//! ```
//!
//! The reader names the versions it understands ([`Range`]); the sender answers with the header in
//! the version that [`negotiate`] chose, or refuses with its error.
//!
//! An index is sent as a header whose position is where to read on, then the footers of sealed
//! extents, each with its trailer, and `sealed` if nothing follows.

mod reader;

pub use reader::{Item, StreamReader, read_index};

use crate::base::ids::{Generation, TrackId};
use crate::log::format::footer::FooterError;
use crate::log::format::record::{FrameError, begin, finish, kind};
use crate::log::format::version::{NoCommonVersion, Range, Wrote, negotiate};
use crate::log::format::{Position, crc};
use bytes::{BufMut, BytesMut};

/// First bytes of every stream.
const MAGIC: [u8; 8] = *b"caststr\n";

/// Bytes of the header.
pub const STREAM_HEADER_LEN: usize = 40;

/// What a stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHeader {
    /// The version agreed on.
    pub version: u16,
    /// What the log's own extents say, for who passes the log on.
    pub wrote: Wrote,
    /// The log's generation.
    pub generation: Generation,
    /// Where the first record lies in the sender's log.
    pub position: Position,
}

/// Why a stream cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Shorter than a header.
    #[error("the stream ends within its header")]
    Short,
    /// Something else.
    #[error("this is not a stream of a castctl log")]
    Magic,
    /// Damaged on the way.
    #[error("the checksum of the stream's header is wrong")]
    Checksum,
    /// Not a version that was asked for.
    #[error("the sender chose version {version}, asked for was {reads}")]
    Version {
        /// What it chose.
        version: u16,
        /// What the reader had named.
        reads: Range,
    },
    /// Another log than the one that was asked for.
    #[error("the sender sent generation {got}, asked for was {want}")]
    Generation {
        /// Whose log was sent.
        got: Generation,
        /// Whose log was asked for.
        want: Generation,
    },
    /// No whole record lies where one must.
    #[error("at {at} of the sender's log: {why}")]
    Record {
        /// Where the last good record ends.
        at: Position,
        /// What is wrong behind it.
        why: FrameError,
    },
    /// A record of the stream's own cannot be understood, or stands where it may not.
    #[error("at {at} of the sender's log: a malformed record of kind {kind}")]
    Kind {
        /// Where the last good record ends.
        at: Position,
        /// The kind's number.
        kind: u8,
    },
    /// A footer of an index cannot be read.
    #[error("{0}")]
    Footer(#[from] FooterError),
}

/// Appends what says that the next record lies at `position`.
pub fn put_moved(out: &mut BytesMut, position: Position) {
    put_position(out, kind::MOVED, position);
}

/// Appends what says that the sender's log goes as far as `position`.
pub fn put_reach(out: &mut BytesMut, position: Position) {
    put_position(out, kind::REACH, position);
}

/// Appends what says that nothing follows.
pub fn put_sealed(out: &mut BytesMut) {
    let start = begin(out, kind::SEALED, 0, TrackId(0));
    finish(out, start);
}

fn put_position(out: &mut BytesMut, kind: u8, position: Position) {
    let start = begin(out, kind, 0, TrackId(0));
    out.put_u32_le(position.extent);
    out.put_u64_le(position.offset);
    finish(out, start);
}

impl StreamHeader {
    /// The answer to a reader that understands `reads` and asks for a log that was written so.
    ///
    /// # Errors
    /// There is no version in common.
    pub fn answer(
        wrote: Wrote,
        reads: Range,
        generation: Generation,
        position: Position,
    ) -> Result<StreamHeader, NoCommonVersion> {
        let version = negotiate(wrote.readers(), reads)?;
        Ok(StreamHeader { version, wrote, generation, position })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; STREAM_HEADER_LEN] {
        let mut out = [0; STREAM_HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.version.to_le_bytes());
        out[12..16].copy_from_slice(&self.position.extent.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.position.offset.to_le_bytes());
        out[32..34].copy_from_slice(&self.wrote.version.to_le_bytes());
        out[34..36].copy_from_slice(&self.wrote.oldest_reader.to_le_bytes());
        let sum = crc(&out[..36]);
        out[36..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a header from the start of `bytes`, as the answer to having named `reads`.
    pub fn decode(bytes: &[u8], reads: Range) -> Result<StreamHeader, StreamError> {
        let h: &[u8; STREAM_HEADER_LEN] = bytes.first_chunk().ok_or(StreamError::Short)?;
        if h[..8] != MAGIC {
            return Err(StreamError::Magic);
        }
        if crc(&h[..36]).to_le_bytes() != h[36..] {
            return Err(StreamError::Checksum);
        }
        let two = |at: usize| u16::from_le_bytes([h[at], h[at + 1]]);
        let version = two(8);
        let wrote = Wrote { version: two(32), oldest_reader: two(34) };
        if !(reads.oldest..=reads.newest).contains(&version) {
            return Err(StreamError::Version { version, reads });
        }
        let eight = |at: usize| {
            let mut v = [0; 8];
            v.copy_from_slice(&h[at..at + 8]);
            u64::from_le_bytes(v)
        };
        let extent = u32::from_le_bytes([h[12], h[13], h[14], h[15]]);
        let position = Position { extent, offset: eight(24) };
        Ok(StreamHeader { version, wrote, generation: Generation(eight(16)), position })
    }
}
