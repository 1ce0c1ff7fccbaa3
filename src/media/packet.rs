//! The one currency between encoders and viewers: a coded access unit or audio frame with its
//! times.

use crate::base::ids::TrackId;
use bytes::Bytes;

/// One coded access unit (video) or audio frame, as the encoder sent it.
///
/// The bytes are those of an MP4 sample: of H.264 and HEVC length-prefixed NAL units (ISO/IEC
/// 14496-15), of AV1 a temporal unit without its delimiter (AV1 in ISOBMFF, 2.4), of AAC and Opus a
/// raw access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track this belongs to.
    pub track: TrackId,
    /// Decoding time in ticks of the track's timescale; unwrapped, so it never jumps by 2^32.
    pub dts: i64,
    /// Composition offset in ticks: PTS = DTS + CTS.
    pub cts: i32,
    /// True when a decoder can start here: an IDR picture of H.264, an IRAP picture of HEVC, a
    /// shown key frame of AV1; always true for audio.
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
