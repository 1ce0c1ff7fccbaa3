//! What a server session tells its caller.

use crate::rtmp::amf0::AmfError;
use crate::rtmp::error::SessionError;
use crate::rtmp::link;
use crate::rtmp::metadata::Metadata;
use bytes::Bytes;

/// Who wants to publish what. Answer with `ServerSession::accept_publish` or
/// `ServerSession::refuse_publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Application, without slashes at its ends and without a query; never empty.
    pub app: String,
    /// Stream key, without its query; never empty.
    pub stream_key: String,
    /// What followed `?` in the stream key.
    pub query: Option<String>,
    /// The URL the encoder was given, as far as it tells; may be empty.
    pub tc_url: String,
    /// The encoder's own name and version; may be empty.
    pub flash_ver: String,
    /// Enhanced RTMP: the codecs that the encoder names, by their FourCC or `*`.
    pub fourcc_list: Vec<String>,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The peer asks to publish. Nothing else comes before the answer.
    Publish(PublishRequest),
    /// The body of an FLV video tag.
    Video {
        /// Milliseconds modulo 2^32.
        timestamp: u32,
        /// The body.
        body: Bytes,
    },
    /// The body of an FLV audio tag.
    Audio {
        /// Milliseconds modulo 2^32.
        timestamp: u32,
        /// The body.
        body: Bytes,
    },
    /// The encoder describes its stream.
    Metadata(Box<Metadata>),
    /// A data message that cannot be read, and is left out: metadata is only a hint.
    BadMetadata(AmfError),
    /// The publisher says that it ends; more may not follow.
    Unpublish,
    /// The session is over: write what is queued, close the socket. Always the last event.
    Closed {
        /// Why.
        reason: SessionError,
    },
}

/// What a server session wants done.
pub type Output = link::Output<Event>;
