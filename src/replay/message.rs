//! What a replay sends: RTMP messages that know when they are due.

use bytes::Bytes;

/// What a message is. Bodies are those of FLV tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// `onMetaData`.
    Metadata,
    /// A video body with the decoder's configuration.
    VideoConfig,
    /// An audio body with the decoder's configuration.
    AudioConfig,
    /// Video: coded, or something this side does not look into.
    Video,
    /// Video: no picture follows with the current configuration.
    VideoEnd,
    /// Audio, likewise.
    Audio,
    /// Script data that is not `onMetaData`.
    Data,
}

impl MessageKind {
    /// Is this coded media, which takes time?
    pub fn is_media(self) -> bool {
        matches!(self, MessageKind::Video | MessageKind::Audio)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the body is.
    pub kind: MessageKind,
    /// Decoding time in milliseconds modulo 2^32.
    pub timestamp: u32,
    /// The body of an FLV tag.
    pub body: Bytes,
}

/// A message and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// When it is due: microseconds of media since the first message. Never goes back.
    pub at: i64,
    /// The message.
    pub message: Message,
}
