//! Presets of the encoders, and how long a picture stays in an encoder: what a rung lags behind its
//! source at least.
//!
//! Every rung is encoded for low delay: no picture is reordered, none is looked ahead at, and a
//! picture is spread over threads by its slices, not several pictures over threads. What is left is
//! measured of the encoders as they are (`ffmpeg -debug_ts`: pictures that go in before the first
//! packet comes out).

use crate::api::ladder::{Encode, Ladder, VideoCodec};
use std::time::Duration;

/// Presets of x264 and x265, fastest first.
pub const X26X: &[&str] = &[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// Presets of SVT-AV1, fastest first.
pub const SVT: &[&str] =
    &["13", "12", "11", "10", "9", "8", "7", "6", "5", "4", "3", "2", "1", "0"];

/// Pictures that x264 and x265 hold with `-tune zerolatency`: the one that they encode.
const X26X_HELD: u32 = 1;

/// Pictures that SVT-AV1 holds with `pred-struct=1`: its stages work one after another, each on a
/// picture.
const SVT_HELD: u32 = 5;

/// ... and with presets 12 and 13, which have a stage less.
const SVT_FAST_HELD: u32 = 4;

impl VideoCodec {
    /// The presets of its encoder, fastest first.
    pub fn presets(self) -> &'static [&'static str] {
        match self {
            VideoCodec::H264 | VideoCodec::Hevc => X26X,
            VideoCodec::Av1 => SVT,
        }
    }

    /// A preset's place among the codec's, from 0, the fastest.
    pub fn place(self, preset: &str) -> Option<usize> {
        self.presets().iter().position(|p| *p == preset)
    }

    /// The preset of a rung that names none: one whose 1080p30 takes less than two cores of a
    /// server of 2023, whatever the pictures (measured: `control/plan/machines`).
    pub fn usual_preset(self) -> &'static str {
        match self {
            VideoCodec::H264 => "veryfast",
            VideoCodec::Hevc => "ultrafast",
            VideoCodec::Av1 => "12",
        }
    }
}

/// Pictures in the encoder, with the one whose packet comes out.
pub fn held(codec: VideoCodec, preset: &str) -> u32 {
    match (codec, preset) {
        (VideoCodec::H264 | VideoCodec::Hevc, _) => X26X_HELD,
        (VideoCodec::Av1, "12" | "13") => SVT_FAST_HELD,
        (VideoCodec::Av1, _) => SVT_HELD,
    }
}

impl Encode {
    /// How long a picture stays in the encoder, of a source of so many thousandths of a frame per
    /// second: [`held`] pictures at the rung's rate.
    pub fn delay(&self, frame_rate_millis: u32) -> Duration {
        let cap = self.frame_rate_max_millis.unwrap_or(u32::MAX);
        let rate = u64::from(frame_rate_millis.min(cap).max(1));
        Duration::from_micros(u64::from(held(self.codec, &self.preset)) * 1_000_000_000 / rate)
    }
}

impl Ladder {
    /// The rung that lags most, and by how much; `None`: nothing is encoded.
    pub fn delay(&self, frame_rate_millis: u32) -> Option<(usize, Duration)> {
        let rungs = self.rungs.iter().enumerate();
        let delays = rungs.filter_map(|(i, r)| Some((i, r.encode.as_ref()?)));
        // The first of several that lag as much.
        delays.map(|(i, e)| (i, e.delay(frame_rate_millis))).rev().max_by_key(|(_, d)| *d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_an_order_and_a_usual_one() {
        for codec in VideoCodec::ALL {
            assert!(codec.place(codec.usual_preset()).is_some(), "{codec}");
        }
        assert_eq!(VideoCodec::H264.place("medium"), Some(5));
        assert_eq!(VideoCodec::Av1.place("13"), Some(0));
        assert_eq!(VideoCodec::Av1.place("0"), Some(13));
        assert_eq!(VideoCodec::Av1.place("medium"), None);
        assert_eq!(VideoCodec::Hevc.place("10"), None);
    }

    #[test]
    fn a_picture_is_delayed_by_those_in_its_encoder() {
        let mut ladder = Ladder::standard();
        assert_eq!(ladder.delay(60_000), Some((1, Duration::from_micros(33_333))));
        assert_eq!(ladder.delay(25_000), Some((1, Duration::from_millis(40))));
        let change = |ladder: &mut Ladder, codec: VideoCodec, preset: &str| {
            let encode = ladder.rungs[2].encode.as_mut().expect("480p is encoded");
            (encode.codec, encode.preset) = (codec, preset.into());
        };
        change(&mut ladder, VideoCodec::Av1, "10");
        assert_eq!(ladder.delay(30_000), Some((2, Duration::from_micros(166_666))));
        change(&mut ladder, VideoCodec::Av1, "12");
        assert_eq!(ladder.delay(30_000), Some((2, Duration::from_micros(133_333))));
        assert_eq!(Ladder::none().delay(30_000), None);
    }
}
