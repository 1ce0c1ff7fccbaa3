//! Why a session ends, and which of its clocks ran out. One enum for both sides, worded for the
//! person who reads a log.

use crate::rtmp::amf0::AmfError;
use crate::rtmp::chunk_error::ChunkError;
use crate::rtmp::chunk_writer::PayloadTooLong;
use crate::rtmp::handshake::HandshakeError;
use crate::rtmp::limits::{HANDSHAKE_TIMEOUT, PUBLISH_TIMEOUT, UNANSWERED_BYTES_MAX};

/// What a session waits for while a time-out runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The rest of the handshake.
    #[error("no RTMP handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Handshake,
    /// The `publish` or `play` command (client: its answer).
    #[error("no publish or play within {} s after the handshake", PUBLISH_TIMEOUT.as_secs())]
    Publish,
    /// The next message of a stream.
    #[error("no message from the peer within the idle time-out")]
    Idle,
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The opening bytes are not RTMP's.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunk stream breaks the protocol or a limit.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command's payload is not AMF0.
    #[error("a command that cannot be read: {0}")]
    Command(#[from] AmfError),
    /// A command where the protocol does not allow it, or without what it needs.
    #[error("command {command:?}: {problem}")]
    Misplaced {
        /// The command's name.
        command: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// One side refused the stream.
    #[error("refused with {code}: {description}")]
    Refused {
        /// RTMP status code, as the encoder shows it.
        code: String,
        /// The reason in words.
        description: String,
    },
    /// The server says what it takes (Enhanced RTMP), and a codec of this stream is not among it.
    #[error("the server does not take {codec}: it names {}", names(takes))]
    NotTaken {
        /// The codec's usual name.
        codec: &'static str,
        /// What it takes, by FourCC.
        takes: Vec<String>,
    },
    /// The stream was ended in good order.
    #[error("ended with {code}: {description}")]
    Ended {
        /// RTMP status code.
        code: String,
        /// The reason in words.
        description: String,
    },
    /// The peer did not wait for the answer to its `publish`, and sent more than
    /// [`UNANSWERED_BYTES_MAX`].
    #[error(
        "{bytes} bytes came before the publish was answered; the limit is {UNANSWERED_BYTES_MAX}"
    )]
    Impatient {
        /// Bytes that wait.
        bytes: usize,
    },
    /// The peer was silent for too long.
    #[error(transparent)]
    Timeout(#[from] Reason),
    /// A payload that RTMP cannot carry was to be sent.
    #[error(transparent)]
    TooLong(#[from] PayloadTooLong),
}

fn names(takes: &[String]) -> String {
    if takes.is_empty() { "no codec".into() } else { takes.join(", ") }
}
