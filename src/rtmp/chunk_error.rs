//! Why the chunk reader refuses a connection's bytes.

use crate::rtmp::limits::{CHUNK_SIZE_MAX, CHUNK_STREAMS_MAX};

/// Why a connection's bytes are refused. `at` is the connection's byte at which the chunk begins,
/// handshake included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A type 2 or 3 header on a chunk stream that has no earlier header to refer to.
    #[error(
        "byte {at}: the first chunk of chunk stream {csid} has a type {fmt} header, \
         which repeats fields of an earlier one"
    )]
    NoEarlierHeader {
        /// Chunk stream id.
        csid: u32,
        /// Header type, 2 or 3.
        fmt: u8,
        /// Offset in the connection.
        at: u64,
    },
    /// One chunk stream more than [`CHUNK_STREAMS_MAX`].
    #[error(
        "byte {at}: chunk stream {csid} is one more than the {CHUNK_STREAMS_MAX} of a connection"
    )]
    TooManyStreams {
        /// Chunk stream id.
        csid: u32,
        /// Offset in the connection.
        at: u64,
    },
    /// A header inside a message announces another length than the message's first.
    #[error(
        "byte {at}: chunk stream {csid} changes its message's length from {from} to {to} bytes"
    )]
    LengthChanged {
        /// Chunk stream id.
        csid: u32,
        /// Offset in the connection.
        at: u64,
        /// Bytes announced first.
        from: usize,
        /// Bytes announced now.
        to: usize,
    },
    /// A header inside a message announces another type than the message's first.
    #[error("byte {at}: chunk stream {csid} changes its message's type from {from} to {to}")]
    TypeChanged {
        /// Chunk stream id.
        csid: u32,
        /// Offset in the connection.
        at: u64,
        /// Type announced first.
        from: u8,
        /// Type announced now.
        to: u8,
    },
    /// A message longer than its type may be.
    #[error(
        "byte {at}: chunk stream {csid} announces a type {type_id} message of {length} bytes; \
         the limit is {limit}"
    )]
    TooLong {
        /// Chunk stream id.
        csid: u32,
        /// Offset in the connection.
        at: u64,
        /// Message type.
        type_id: u8,
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More announced by unfinished messages than a connection may have open.
    #[error(
        "byte {at}: chunk stream {csid} brings the unfinished messages to {total} bytes; \
         the limit is {limit}"
    )]
    TooMuchUnfinished {
        /// Chunk stream id.
        csid: u32,
        /// Offset in the connection.
        at: u64,
        /// Bytes announced by all unfinished messages.
        total: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A Set Chunk Size of zero or with the top bit set.
    #[error("byte {at}: Set Chunk Size {size} is not between 1 and {CHUNK_SIZE_MAX}")]
    ChunkSize {
        /// Offset in the connection.
        at: u64,
        /// Size asked for.
        size: u32,
    },
    /// A Set Chunk Size or Abort with fewer than four bytes.
    #[error("byte {at}: the type {type_id} control message has {length} bytes, it needs 4")]
    ShortControl {
        /// Offset in the connection.
        at: u64,
        /// Message type, 1 or 2.
        type_id: u8,
        /// Bytes it has.
        length: usize,
    },
}
