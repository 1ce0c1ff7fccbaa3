//! The two ends of an extent's file: the header at its start and the trailer that makes it sealed.
//! Between them lie the records and the footer's record.
//!
//! ```text
//! header   u64 magic "castlog\n" | u16 version | u16 flags (1: forced roll) | u32 extent
//!          u64 generation | u16 oldest reader (0 is 1) | u16 0 | u32 crc of the 28 bytes before
//! trailer  u32 bytes of the footer's record | u32 crc of the four before and the eight after
//!          u64 magic "castend\n"
//! ```

use crate::base::ids::Generation;
use crate::log::format::version::{Range, Wrote};
use crate::log::format::{RECORD_MAX, crc};

/// First bytes of every extent.
const MAGIC: [u8; 8] = *b"castlog\n";

/// Last bytes of every sealed extent.
const TRAILER_MAGIC: [u8; 8] = *b"castend\n";

/// Bytes of the header; the offset of an extent's first record.
pub const HEADER_LEN: usize = 32;

/// Bytes of the trailer.
pub const TRAILER_LEN: usize = 16;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The extent's index in its log, from 0.
    pub extent: u32,
    /// The log's generation: a file that was moved to another log's directory is noticed.
    pub generation: Generation,
    /// The extent was rolled at a limit, not at an independent segment start.
    pub forced_roll: bool,
    /// The version that wrote it and the oldest that may read it.
    pub wrote: Wrote,
}

/// Why a file is not an extent this code reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header.
    #[error("the extent's header is cut off")]
    Short,
    /// Something else.
    #[error("the file is not an extent of a castctl log")]
    Magic,
    /// Written by a version that this reader does not understand.
    #[error(
        "the extent was written in format version {}, for readers of version {} or newer; this \
         castctl reads {reads}", wrote.version, wrote.oldest_reader
    )]
    Version {
        /// What the header says.
        wrote: Wrote,
        /// What the reader understands.
        reads: Range,
    },
    /// Damaged.
    #[error("the checksum of the extent's header is wrong")]
    Checksum,
}

impl HeaderError {
    /// Bytes were lost; otherwise the header is good and this is no reader for it.
    pub fn is_damage(&self) -> bool {
        !matches!(self, HeaderError::Version { .. })
    }
}

const FORCED_ROLL: u16 = 1;

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let flags = if self.forced_roll { FORCED_ROLL } else { 0 };
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.wrote.version.to_le_bytes());
        out[10..12].copy_from_slice(&flags.to_le_bytes());
        out[12..16].copy_from_slice(&self.extent.to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..26].copy_from_slice(&self.wrote.oldest_reader.to_le_bytes());
        let sum = crc(&out[..28]);
        out[28..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a header from the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        Header::decode_as(Range::TODAY, bytes)
    }

    /// As a reader of the versions `reads`.
    pub fn decode_as(reads: Range, bytes: &[u8]) -> Result<Header, HeaderError> {
        let h: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(HeaderError::Short)?;
        if h[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if crc(&h[..28]).to_le_bytes() != h[28..] {
            return Err(HeaderError::Checksum);
        }
        let version = u16::from_le_bytes([h[8], h[9]]);
        // The first writers left these bytes zero.
        let oldest_reader = u16::from_le_bytes([h[24], h[25]]).max(1);
        let wrote = Wrote { version, oldest_reader };
        if !reads.reads(wrote) {
            return Err(HeaderError::Version { wrote, reads });
        }
        let flags = u16::from_le_bytes([h[10], h[11]]);
        let mut generation = [0; 8];
        generation.copy_from_slice(&h[16..24]);
        Ok(Header {
            extent: u32::from_le_bytes([h[12], h[13], h[14], h[15]]),
            generation: Generation(u64::from_le_bytes(generation)),
            forced_roll: flags & FORCED_ROLL != 0,
            wrote,
        })
    }
}

/// The trailer of an extent whose footer record has `footer_len` bytes.
pub(super) fn trailer(footer_len: u32) -> [u8; TRAILER_LEN] {
    let mut out = [0; TRAILER_LEN];
    out[..4].copy_from_slice(&footer_len.to_le_bytes());
    out[8..].copy_from_slice(&TRAILER_MAGIC);
    let sum = crc(&[&out[..4], &out[8..]].concat());
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Where the footer record of a sealed extent starts (the records' end), from the file's length and
/// its last [`TRAILER_LEN`] bytes; `None` when the extent is not sealed.
pub fn footer_start(file_len: u64, tail: &[u8]) -> Option<u64> {
    let t: &[u8; TRAILER_LEN] = tail.last_chunk()?;
    if t[8..] != TRAILER_MAGIC || crc(&[&t[..4], &t[8..]].concat()).to_le_bytes() != t[4..8] {
        return None;
    }
    let footer_len = u32::from_le_bytes([t[0], t[1], t[2], t[3]]);
    if footer_len as usize > RECORD_MAX {
        return None;
    }
    let start = file_len.checked_sub(TRAILER_LEN as u64)?.checked_sub(u64::from(footer_len))?;
    (start >= HEADER_LEN as u64).then_some(start)
}
