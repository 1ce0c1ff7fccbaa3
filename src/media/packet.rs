//! The one currency between encoders and viewers: a coded access unit or audio frame with its
//! times.

use crate::base::ids::TrackId;
use bytes::Bytes;

/// One coded access unit (video) or audio frame, as the encoder sent it.
///
/// H.264 payloads are length-prefixed NAL units as in ISO/IEC 14496-15 (AVCC), AAC payloads are raw
/// access units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track this belongs to.
    pub track: TrackId,
    /// Decoding time in ticks of the track's timescale; unwrapped, so it never jumps by 2^32.
    pub dts: i64,
    /// Composition offset in ticks: PTS = DTS + CTS.
    pub cts: i32,
    /// True for an IDR picture (video); always true for audio.
    pub key: bool,
    /// The coded bytes.
    pub payload: Bytes,
}

impl Packet {
    /// Presentation time in ticks; saturates.
    pub fn pts(&self) -> i64 {
        self.dts.saturating_add(i64::from(self.cts))
    }
}
