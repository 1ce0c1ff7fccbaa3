//! What a track is: its codec and the configuration record that a decoder needs before the first
//! packet.

use crate::base::ids::TrackId;
use crate::base::time::{MICROS, Timescale};
use bytes::Bytes;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// The codecs castctl carries. The number is the one stored in the log: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// H.264 / AVC (ISO/IEC 14496-10); configuration is an AVCDecoderConfigurationRecord (14496-15,
    /// 5.3.3.1).
    H264 = 1,
    /// MPEG-4 AAC (ISO/IEC 14496-3); configuration is an AudioSpecificConfig (1.6.2.1).
    Aac = 2,
    /// HEVC / H.265 (ISO/IEC 23008-2); configuration is an HEVCDecoderConfigurationRecord
    /// (14496-15, 8.3.3.1).
    Hevc = 3,
    /// AV1; configuration is an AV1CodecConfigurationRecord (AV1 in ISOBMFF, 2.3).
    Av1 = 4,
    /// Opus (RFC 6716); configuration is an identification header, OpusHead (RFC 7845, 5.1).
    Opus = 5,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 5] = [Codec::H264, Codec::Aac, Codec::Hevc, Codec::Av1, Codec::Opus];

    /// Audio or video.
    pub const fn kind(self) -> Kind {
        match self {
            Codec::H264 | Codec::Hevc | Codec::Av1 => Kind::Video,
            Codec::Aac | Codec::Opus => Kind::Audio,
        }
    }

    /// The codec with this stored number.
    pub fn from_number(n: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|c| *c as u8 == n)
    }

    /// The codec of an RFC 6381 codec string; `None` for those that castctl does not carry.
    pub fn from_codecs(codecs: &str) -> Option<Codec> {
        match codecs.split('.').next().unwrap_or_default() {
            "avc1" | "avc3" => Some(Codec::H264),
            "hvc1" | "hev1" => Some(Codec::Hevc),
            "av01" => Some(Codec::Av1),
            "mp4a" => Some(Codec::Aac),
            "opus" | "Opus" => Some(Codec::Opus),
            _ => None,
        }
    }

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::H264 => "H.264",
            Codec::Aac => "AAC",
            Codec::Hevc => "HEVC",
            Codec::Av1 => "AV1",
            Codec::Opus => "Opus",
        }
    }
}

/// A number of frames per second as the encoder declared it (30000/1001 and the like). Neither part
/// is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// `num / den` frames per second; `None` when either is zero or the rate is outside 1/10 to
    /// 1000.
    pub fn new(num: u32, den: u32) -> Option<FrameRate> {
        let (n, d) = (u64::from(num), u64::from(den));
        (num != 0 && den != 0 && n * 10 >= d && n <= d * 1000).then_some(FrameRate { num, den })
    }

    /// The nearest standard rate to a decimal one (29.97 is 30000/1001), else thousandths.
    pub fn from_f64(fps: f64) -> Option<FrameRate> {
        if !(0.1..=1000.0).contains(&fps) {
            return None;
        }
        let ntsc = (fps * 1.001).round();
        if (fps - fps.round()).abs() > 0.005 && (fps - ntsc / 1.001).abs() < 0.005 {
            return FrameRate::new(ntsc as u32 * 1000, 1001);
        }
        if (fps - fps.round()).abs() <= 0.005 && fps >= 1.0 {
            return FrameRate::new(fps.round() as u32, 1);
        }
        FrameRate::new((fps * 1000.0).round() as u32, 1000)
    }

    /// Frames per second as a decimal.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// One frame's duration in microseconds, rounded to the nearest.
    pub fn frame_micros(self) -> i64 {
        let (n, d) = (i64::from(self.num), i64::from(self.den));
        (2 * MICROS * d + n) / (2 * n)
    }

    /// Numerator and denominator.
    pub const fn parts(self) -> (u32, u32) {
        (self.num, self.den)
    }
}

/// A track's configuration from one point of the log on. A new one follows when the encoder's
/// parameters change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The track's number in its log.
    pub id: TrackId,
    /// What the packets are.
    pub codec: Codec,
    /// Unit of every DTS and CTS of the track.
    pub timescale: Timescale,
    /// The frame rate that parameter sets or metadata declare (video); never measured.
    pub rate: Option<FrameRate>,
    /// The decoder's configuration record, see [`Codec`].
    pub config: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_stay() {
        let numbers = Codec::ALL.map(|c| (c.name(), c as u8));
        let want = [("H.264", 1), ("AAC", 2), ("HEVC", 3), ("AV1", 4), ("Opus", 5)];
        assert_eq!(numbers, want, "never reuse one");
        assert!(Codec::ALL.iter().all(|c| Codec::from_number(*c as u8) == Some(*c)));
        assert_eq!(Codec::from_number(0), None);
        assert_eq!(Codec::from_codecs("av01.0.00M.08"), Some(Codec::Av1));
        assert_eq!(Codec::from_codecs("vp09.00.10.08"), None);
    }

    #[test]
    fn decimal_rates_snap_to_the_standard_ones() {
        for (fps, parts) in [
            (30.0, (30, 1)),
            (29.97, (30_000, 1001)),
            (29.97002997, (30_000, 1001)),
            (59.94, (60_000, 1001)),
            (23.976, (24_000, 1001)),
            (25.0, (25, 1)),
            (12.5, (12_500, 1000)),
        ] {
            assert_eq!(FrameRate::from_f64(fps).expect("in range").parts(), parts, "{fps}");
        }
        assert_eq!(FrameRate::from_f64(0.0), None);
        assert_eq!(FrameRate::from_f64(f64::NAN), None);
        assert_eq!(FrameRate::new(30_000, 1001).expect("in range").frame_micros(), 33_367);
    }
}
