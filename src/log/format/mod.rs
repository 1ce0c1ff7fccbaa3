//! The bytes of a log: records, extents and footers. Pure: bytes in, values out, and back. The same
//! bytes lie on disk, travel between nodes and rest in the object store.
//!
//! Byte order is little-endian throughout; checksums are CRC-32C (Castagnoli).
//!
//! ```text
//! record  u32 length | u32 crc | u8 kind | u8 flags | u16 track | body
//!         length counts what crc covers: kind to the end of the body
//! extent  header (32 bytes) | record ... | footer record | trailer (16 bytes)
//!         the last two only when sealed; see `extent`
//!
//! bodies of records, by kind (`record::kind`); ! is a list, a string or what is not always there
//!   1 packet      u64 seq | i64 dts | i32 cts | payload
//!                 seq 0 and flag UNLISTED: not listed
//!   2 generation  u64 session | u64 generation | u64 base | u64 dseq | opt previous generation
//!                 ! u8 over | end
//!   3 session     u32 target | i64 segment | i64 part | i64 budget | u32 render | u16 renditions
//!                 ! str name | u16 track | u8 kind | str codecs | u64 bandwidth
//!                 | opt width << 32 + height | opt millihertz | opt channels
//!   4 track       u8 codec | u32 timescale | u32 rate | u32 per | u32 length ! configuration
//!   5 segment     u64 msn | u64 dseq | i64 wall | u64 first seq
//!   6 part end    u64 msn | u32 part | u64 first | u64 last | u64 decode time | i64 duration
//!   7 gap         u64 msn | u32 part | i64 duration | i64 wall | u64 dseq
//!   8 end         u64 msn | u64 dseq | i64 wall | u16 tracks
//!                 ! u16 track | u64 msn | u32 parts | u8 last
//!   9 cue         i64 start | i64 duration | i64 added ! str id | str class | u32 length | JSON
//!  10 durable     see `durable`
//! 128 footer      see `footer`; never among the records
//! opt is a u8 presence and a u64; str a u8 length and UTF-8
//! ```
//!
//! Kinds and flags that a reader does not know are skipped, and so is what follows the known fields
//! of a body: later versions add there. `version` has the rules, `stream` what nodes send first.
//! `man/castctl-log.5` says all of this for other implementers; `page_test` holds the two together.
//!
//! Invariant: no input makes this room panic or allocate more than the input's own length times a
//! constant.
//! Invariant: a footer is a function of the extent's records and of the footer before it
//! (`index::Indexer`), so it can always be rebuilt.

pub mod durable;
pub mod extent;
pub mod footer;
pub mod fuzz;
pub mod index;
mod mark;
pub mod record;
pub mod scan;
pub mod stream;
pub mod trimmed;
pub mod version;
mod wire;

/// Largest payload of one packet: an IDR picture at 200 Mbit/s and one frame a second still fits,
/// and a reader may always hold one record in memory.
pub const PAYLOAD_MAX: usize = 16 << 20;

/// Bytes of a record before its kind: length and checksum.
pub const FRAME_PREFIX: usize = 8;

/// Bytes of a record that its checksum covers, before the body: kind, flags, track.
pub const FRAME_HEAD: usize = 4;

/// Bytes of a packet's body before its payload: seq, DTS, CTS.
pub const PACKET_HEAD: usize = 20;

/// Largest value of a record's length field: the largest packet. Everything else is far smaller, so
/// a larger number can only be damage.
pub const LENGTH_MAX: usize = FRAME_HEAD + PACKET_HEAD + PAYLOAD_MAX;

/// Largest record in bytes.
pub const RECORD_MAX: usize = FRAME_PREFIX + LENGTH_MAX;

/// Largest mark in bytes: a footer holds marks verbatim and has to stay one record.
pub const MARK_MAX: usize = 256 << 10;

/// Largest decoder configuration: an AVCDecoderConfigurationRecord holds at most 31 SPS and 255
/// PPS, in practice a few hundred bytes; 64 KiB is beyond anything a decoder accepts.
pub const CONFIG_MAX: usize = 64 << 10;

/// Longest string in a mark (rendition names, codec strings): they end up in URLs and playlist
/// attributes.
pub const STRING_MAX: usize = 255;

/// Most renditions in a session record and tracks in an end record: ten rungs, their audio, and
/// room.
pub const LIST_MAX: usize = 64;

/// Most marks in one extent: at 200 ms parts and three tracks an extent of 60 s holds about 1000.
/// The writer rolls before it is reached, so that a footer of ordinary marks stays one record.
pub const MARKS_MAX: usize = 32 << 10;

/// Most bytes of marks in one extent: half of a record, the rest is for the offsets and ranges
/// beside them.
pub const MARK_BYTES_MAX: usize = 8 << 20;

/// Most samples of one track that wait for their part to be marked: 15 s (the longest target
/// duration in use) at 240 frames a second is 3600. Older ones are forgotten, and their part's
/// range is then unknown.
pub const OPEN_SAMPLES_MAX: usize = 4 << 10;

/// CRC-32C of `bytes`.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    // crc-fast returns every width as u64; the upper half of a 32-bit checksum is zero.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A place in a log: an extent and a byte offset in it. Ordered as the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Index of the extent, from 0.
    pub extent: u32,
    /// Byte offset in the extent's file.
    pub offset: u64,
}

/// Where a log's first record lies.
pub const HEADER_POSITION: Position = Position { extent: 0, offset: extent::HEADER_LEN as u64 };

impl Position {
    /// Where the first record of the extent after this position's lies.
    pub fn next_extent(self) -> Position {
        Position { extent: self.extent + 1, ..HEADER_POSITION }
    }
}

/// Why a text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position is an extent and an offset, like 3:4096")]
pub struct NotAPosition;

impl std::str::FromStr for Position {
    type Err = NotAPosition;

    /// Reads what [`std::fmt::Display`] wrote, and nothing else.
    fn from_str(s: &str) -> Result<Position, NotAPosition> {
        let (extent, offset) = s.split_once(':').ok_or(NotAPosition)?;
        let (extent, offset) = (extent.parse(), offset.parse());
        let position = Position {
            extent: extent.map_err(|_| NotAPosition)?,
            offset: offset.map_err(|_| NotAPosition)?,
        };
        if position.to_string() == s { Ok(position) } else { Err(NotAPosition) }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.extent, self.offset)
    }
}

/// From one position up to, not including, another; may cross extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: Position,
    /// Byte after the last.
    pub end: Position,
}

/// Why a value cannot be stored, or a record whose checksum is right cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A limit of the format.
    #[error("{what} has {len}, the log's limit is {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size (bytes, or items of a list).
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The body of a record does not hold what its kind promises.
    #[error("a record of kind {kind} is malformed: {what}")]
    Malformed {
        /// The kind's number.
        kind: u8,
        /// What is wrong.
        what: &'static str,
    },
}

#[cfg(test)]
mod format_test;
#[cfg(test)]
mod page_test;
