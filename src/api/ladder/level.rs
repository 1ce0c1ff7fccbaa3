//! Profiles, levels and the CODECS strings that they give: what a rung is forced to, so that its
//! line in the multivariant playlist is known before its first picture.

use crate::api::ladder::VideoCodec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// H.264 Constrained Baseline.
    Baseline,
    /// Main; of HEVC and AV1 the only one here: 8 bits, 4:2:0.
    Main,
    /// H.264 High.
    High,
}

impl Profile {
    /// As the manifest writes it.
    pub fn word(self) -> &'static str {
        match self {
            Profile::Baseline => "baseline",
            Profile::Main => "main",
            Profile::High => "high",
        }
    }
}

impl VideoCodec {
    /// Its profiles; the last is the usual one, because it compresses best.
    pub fn profiles(self) -> &'static [Profile] {
        match self {
            VideoCodec::H264 => &[Profile::Baseline, Profile::Main, Profile::High],
            VideoCodec::Hevc | VideoCodec::Av1 => &[Profile::Main],
        }
    }

    fn levels(self) -> &'static [Limits] {
        match self {
            VideoCodec::H264 => AVC,
            VideoCodec::Hevc => HEVC,
            VideoCodec::Av1 => AV1,
        }
    }

    /// Is there such a level?
    pub fn has_level(self, level: u8) -> bool {
        self.levels().iter().any(|l| l.level == level)
    }
}

/// What a level carries.
struct Limits {
    /// In tenths.
    level: u8,
    /// Macroblocks of a picture (H.264), else pixels.
    size: u64,
    /// The same a second.
    rate: u64,
    /// Thousands of bits per second.
    kbps: u64,
    /// Thousands of bits of buffer.
    buffer_kb: u64,
}

const fn row(level: u8, size: u64, rate: u64, kbps: u64, buffer_kb: u64) -> Limits {
    Limits { level, size, rate, kbps, buffer_kb }
}

/// ITU-T H.264, table A-1; rates of Baseline and Main.
const AVC: &[Limits] = &[
    row(10, 99, 1_485, 64, 175),
    row(11, 396, 3_000, 192, 500),
    row(12, 396, 6_000, 384, 1_000),
    row(13, 396, 11_880, 768, 2_000),
    row(20, 396, 11_880, 2_000, 2_000),
    row(21, 792, 19_800, 4_000, 4_000),
    row(22, 1_620, 20_250, 4_000, 4_000),
    row(30, 1_620, 40_500, 10_000, 10_000),
    row(31, 3_600, 108_000, 14_000, 14_000),
    row(32, 5_120, 216_000, 20_000, 20_000),
    row(40, 8_192, 245_760, 20_000, 25_000),
    row(41, 8_192, 245_760, 50_000, 62_500),
    row(42, 8_704, 522_240, 50_000, 62_500),
    row(50, 22_080, 589_824, 135_000, 135_000),
    row(51, 36_864, 983_040, 240_000, 240_000),
    row(52, 36_864, 2_073_600, 240_000, 240_000),
    row(60, 139_264, 4_177_920, 240_000, 240_000),
    row(61, 139_264, 8_355_840, 480_000, 480_000),
    row(62, 139_264, 16_711_680, 800_000, 800_000),
];

/// ITU-T H.265, tables A.8 and A.9, Main tier.
const HEVC: &[Limits] = &[
    row(10, 36_864, 552_960, 128, 350),
    row(20, 122_880, 3_686_400, 1_500, 1_500),
    row(21, 245_760, 7_372_800, 3_000, 3_000),
    row(30, 552_960, 16_588_800, 6_000, 6_000),
    row(31, 983_040, 33_177_600, 10_000, 10_000),
    row(40, 2_228_224, 66_846_720, 12_000, 12_000),
    row(41, 2_228_224, 133_693_440, 20_000, 20_000),
    row(50, 8_912_896, 267_386_880, 25_000, 25_000),
    row(51, 8_912_896, 534_773_760, 40_000, 40_000),
    row(52, 8_912_896, 1_069_547_520, 60_000, 60_000),
    row(60, 35_651_584, 1_069_547_520, 60_000, 60_000),
    row(61, 35_651_584, 2_139_095_040, 120_000, 120_000),
    row(62, 35_651_584, 4_278_190_080, 240_000, 240_000),
];

/// AV1 specification, annex A.3, Main tier, display rates; the buffer is a second of the rate.
const AV1: &[Limits] = &[
    row(20, 147_456, 4_423_680, 1_500, 1_500),
    row(21, 278_784, 8_363_520, 3_000, 3_000),
    row(30, 665_856, 19_975_680, 6_000, 6_000),
    row(31, 1_065_024, 31_950_720, 10_000, 10_000),
    row(40, 2_359_296, 70_778_880, 12_000, 12_000),
    row(41, 2_359_296, 141_557_760, 20_000, 20_000),
    row(50, 8_912_896, 267_386_880, 30_000, 30_000),
    row(51, 8_912_896, 534_773_760, 40_000, 40_000),
    row(52, 8_912_896, 1_069_547_520, 60_000, 60_000),
    row(53, 8_912_896, 1_069_547_520, 60_000, 60_000),
    row(60, 35_651_584, 1_069_547_520, 60_000, 60_000),
    row(61, 35_651_584, 2_139_095_040, 100_000, 100_000),
    row(62, 35_651_584, 4_278_190_080, 160_000, 160_000),
    row(63, 35_651_584, 4_278_190_080, 160_000, 160_000),
];

/// What a level has to carry.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second: numerator and denominator.
    pub frame_rate: (u32, u32),
    /// Bits per second at most.
    pub maxrate: u64,
    /// Bits of buffer.
    pub bufsize: u64,
}

/// The lowest level, in tenths, that carries it; `None`: none does.
pub fn needed(codec: VideoCodec, profile: Profile, load: &Load) -> Option<u8> {
    let unit = if codec == VideoCodec::H264 { 16 } else { 1 };
    let (width, height) = (load.width.div_ceil(unit), load.height.div_ceil(unit));
    let size = u64::from(width) * u64::from(height);
    let (num, den) = (u64::from(load.frame_rate.0), u64::from(load.frame_rate.1.max(1)));
    // Table A-2 of H.264: High has a quarter more.
    let percent = if profile == Profile::High { 125 } else { 100 };
    let fits = |l: &&Limits| {
        // No side is longer than this: of all three codecs, or stricter than the codec's own.
        let side = (8 * l.size).isqrt();
        size <= l.size
            && u64::from(width.max(height)) <= side
            && size * num <= l.rate * den
            && load.maxrate <= l.kbps * 10 * percent
            && load.bufsize <= l.buffer_kb * 10 * percent
    };
    codec.levels().iter().find(fits).map(|l| l.level)
}

/// The CODECS string of RFC 6381 for what the encoder writes when it is forced to this profile and
/// level: `avc1.64001f`, `hvc1.1.6.L93.90`, `av01.0.04M.08`.
pub fn codecs(codec: VideoCodec, profile: Profile, level: u8) -> String {
    match codec {
        VideoCodec::H264 => {
            // profile_idc and the constraint flags that x264 sets.
            let head = match profile {
                Profile::Baseline => "42c0",
                Profile::Main => "4d40",
                Profile::High => "6400",
            };
            format!("avc1.{head}{level:02x}")
        }
        // Compatible with Main and Main 10; progressive, frames only, as x265 says it.
        VideoCodec::Hevc => format!("hvc1.1.6.L{}.90", u32::from(level) * 3),
        VideoCodec::Av1 => {
            // seq_level_idx: four minor levels a major one, from 2.0 on.
            let index = (u32::from(level) / 10).saturating_sub(2) * 4 + u32::from(level) % 10;
            format!("av01.0.{index:02}M.08")
        }
    }
}

/// `31` as people write it, `3.1`.
pub fn show(level: u8) -> String {
    format!("{}.{}", level / 10, level % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(width: u32, height: u32, fps: u32, kbps: u64) -> Load {
        let rate = kbps * 1_000;
        Load { width, height, frame_rate: (fps, 1), maxrate: rate, bufsize: rate }
    }

    #[test]
    fn the_lowest_level_that_carries_it() {
        use Profile::{High, Main};
        use VideoCodec::{Av1, H264, Hevc};
        for (codec, profile, load, want) in [
            (H264, High, load(1280, 720, 30, 3_360), Some(31)),
            (H264, High, load(1280, 720, 60, 4_000), Some(32)),
            (H264, High, load(1920, 1080, 30, 6_000), Some(40)),
            (H264, High, load(1920, 1080, 60, 9_000), Some(42)),
            (H264, High, load(854, 480, 30, 1_400), Some(31)),
            (H264, High, load(640, 360, 30, 900), Some(30)),
            (H264, High, load(426, 240, 30, 480), Some(21)),
            (H264, High, load(3840, 2160, 60, 30_000), Some(52)),
            // The rate alone takes a level more.
            (H264, Main, load(1280, 720, 30, 14_001), Some(32)),
            (H264, High, load(1280, 720, 30, 14_001), Some(31)),
            // A side that is too long for the size.
            (H264, High, load(2000, 16, 25, 100), Some(31)),
            (H264, High, load(7680, 4320, 240, 100), None),
            (Hevc, Main, load(1280, 720, 30, 3_000), Some(31)),
            (Hevc, Main, load(1920, 1080, 30, 5_000), Some(40)),
            (Hevc, Main, load(1920, 1080, 60, 5_000), Some(41)),
            (Av1, Main, load(640, 360, 30, 500), Some(21)),
            (Av1, Main, load(1280, 720, 30, 2_000), Some(31)),
            (Av1, Main, load(1920, 1080, 60, 4_000), Some(41)),
        ] {
            assert_eq!(needed(codec, profile, &load), want, "{codec} {load:?}");
        }
    }

    #[test]
    fn codecs_are_what_the_encoders_write() {
        for (codec, profile, level, want) in [
            (VideoCodec::H264, Profile::Baseline, 30, "avc1.42c01e"),
            (VideoCodec::H264, Profile::Main, 31, "avc1.4d401f"),
            (VideoCodec::H264, Profile::High, 40, "avc1.640028"),
            (VideoCodec::Hevc, Profile::Main, 31, "hvc1.1.6.L93.90"),
            (VideoCodec::Av1, Profile::Main, 21, "av01.0.01M.08"),
            (VideoCodec::Av1, Profile::Main, 40, "av01.0.08M.08"),
        ] {
            assert_eq!(codecs(codec, profile, level), want);
        }
        assert_eq!(show(31), "3.1");
    }
}
