//! FLV: the bodies of audio and video tags, which RTMP messages carry too, and FLV files.
//!
//! Invariant: any bytes may come in; the answer is a value or a [`FlvError`], never a panic.
//! Payloads are slices of what came in, never copies.

pub mod body;
mod enhanced;
pub mod file;
pub mod fourcc;
pub mod stream;
pub mod write;

/// Why a tag body or a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// A codec or a feature that castctl does not carry; `what` is for the person at the encoder.
    #[error("{what} is not supported: send H.264, HEVC or AV1 and AAC or Opus")]
    Unsupported {
        /// The codec or feature by its usual name.
        what: String,
    },
    /// The tag body ends inside a field.
    #[error("tag body at byte {at}: ends inside {what}")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where, in bytes from the start of the body.
        at: usize,
    },
    /// A field of the tag body has a value that the format does not have.
    #[error("tag body at byte {at}: {what} has no such value")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where, in bytes from the start of the body.
        at: usize,
    },
    /// The file is no FLV file, or is none from here on.
    #[error("FLV file at byte {at}: {what}")]
    File {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        at: u64,
    },
}
