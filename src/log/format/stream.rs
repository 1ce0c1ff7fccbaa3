//! The first bytes of a log on its way from one node to another: which log, from where on, and in
//! which version. What follows is records as they lie in extents, from that position on; how they
//! are carried, resumed and authorised is the wire's business and not said here.
//!
//! ```text
//! u64 magic "caststr\n" | u16 version | u16 flags (0) | u32 extent | u64 generation | u64 offset
//! u32 0 | u32 crc of the 36 bytes before
//! ```
//!
//! The reader names the versions it understands ([`Range`]); the sender answers with this header in
//! the version that [`negotiate`] chose, or refuses with its error.

use crate::base::ids::Generation;
use crate::log::format::version::{NoCommonVersion, Range, Wrote, negotiate};
use crate::log::format::{Position, crc};

/// First bytes of every stream.
const MAGIC: [u8; 8] = *b"caststr\n";

/// Bytes of the header.
pub const STREAM_HEADER_LEN: usize = 40;

/// What a stream begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHeader {
    /// The version agreed on.
    pub version: u16,
    /// The log's generation.
    pub generation: Generation,
    /// Where the first record lies in the sender's log.
    pub position: Position,
}

/// Why a stream cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
        Ok(StreamHeader { version, generation, position })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; STREAM_HEADER_LEN] {
        let mut out = [0; STREAM_HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.version.to_le_bytes());
        out[12..16].copy_from_slice(&self.position.extent.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.position.offset.to_le_bytes());
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
        let version = u16::from_le_bytes([h[8], h[9]]);
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
        Ok(StreamHeader { version, generation: Generation(eight(16)), position })
    }
}
