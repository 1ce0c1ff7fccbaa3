//! Jobs that are run to be measured: those that a machine's table is made of, and those that tell
//! how good it is.
//!
//! What a table is made of separates the model's terms: sources that differ in their codec, size
//! and rate before one cheap rung; one rung and four of them; each preset at several sizes, as
//! large as the source and smaller.

use crate::api::ladder::level::Profile;
use crate::api::ladder::planned::SourceMedia;
use crate::api::ladder::{Audio, AudioCodec, Encode, Ladder, Rung, VideoCodec};
use crate::control::plan::cost::fit::Sample;
use crate::control::plan::cost::work;

/// A ladder and what comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What is made.
    pub ladder: Ladder,
    /// Of what.
    pub source: SourceMedia,
}

/// Presets that a table has: the ones that keep up on a few cores. Others are reckoned from them.
const PRESETS: [(VideoCodec, &[&str]); 3] = [
    (VideoCodec::H264, &["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]),
    (VideoCodec::Hevc, &["ultrafast", "superfast", "veryfast", "fast", "medium"]),
    (VideoCodec::Av1, &["12", "10", "8"]),
];

/// Lines of sources and rungs, and what encoders give them, in bits of a pixel's frame.
const LINES: [(u32, f64); 4] = [(1_080, 0.08), (720, 0.1), (480, 0.1), (240, 0.13)];

impl Trial {
    /// What was measured of it, of such pictures.
    pub fn sample(&self, content: &str, millicores: f64) -> Sample {
        Sample { work: work(&self.ladder, &self.source), content: content.into(), millicores }
    }
}

fn wide(height: u32) -> u32 {
    (height * 16 + 9) / 18 * 2
}

/// The usual rate of so many lines at 30 frames a second; the later codecs need a third less.
fn rate(codec: VideoCodec, height: u32) -> u64 {
    let bits = LINES.iter().find(|(h, _)| *h <= height).map_or(0.13, |(_, bits)| *bits);
    let pixels = f64::from(wide(height)) * f64::from(height) * 30.0;
    let share = if codec == VideoCodec::H264 { 1.0 } else { 2.0 / 3.0 };
    (pixels * bits * share) as u64
}

/// A source with so much of its usual rate.
fn source(codec: VideoCodec, height: u32, share: f64) -> SourceMedia {
    SourceMedia {
        codec,
        width: wide(height),
        height,
        frame_rate: (30, 1),
        bitrate: (rate(codec, height) as f64 * share) as u64,
        audio_bitrate: 0,
    }
}

/// A ladder of rungs: codec, preset, lines; each with its usual rate.
fn ladder(rungs: &[(VideoCodec, &str, u32)]) -> Ladder {
    shared(rungs, 1.0)
}

/// A ladder of rungs that have so much of their usual rates.
fn shared(rungs: &[(VideoCodec, &str, u32)], share: f64) -> Ladder {
    let rung = |(n, (codec, preset, height)): (usize, &(VideoCodec, &str, u32))| Rung {
        name: format!("r{n}").parse().expect("a letter and digits"),
        encode: Some(Encode {
            codec: *codec,
            width: None,
            height: *height,
            frame_rate_max_millis: None,
            bitrate: (rate(*codec, *height) as f64 * share) as u64,
            maxrate: None,
            bufsize: None,
            preset: (*preset).into(),
            profile: if *codec == VideoCodec::H264 { Profile::High } else { Profile::Main },
            level: None,
        }),
    };
    let rungs = rungs.iter().enumerate().map(rung).collect();
    Ladder { rungs, ..Ladder::none() }
}

fn trial(ladder: Ladder, source: SourceMedia) -> Trial {
    Trial { ladder, source }
}

/// Jobs whose measurements make a table for these codecs.
pub fn calibration(codecs: &[VideoCodec]) -> Vec<Trial> {
    const H264: VideoCodec = VideoCodec::H264;
    let cheap = (H264, "ultrafast", 240);
    let mut all = Vec::new();
    for codec in codecs {
        for (height, share) in [(1_080, 0.5), (1_080, 2.0), (480, 0.5), (480, 2.0)] {
            all.push(trial(ladder(&[cheap]), source(*codec, height, share)));
        }
    }
    for height in [1_080, 720, 480] {
        all.push(trial(ladder(&[cheap; 4]), source(H264, height, 1.0)));
    }
    for (codec, presets) in PRESETS.iter().filter(|(c, _)| codecs.contains(c)) {
        // 1080 lines of the slow ones take minutes, and teach nothing that 720 do not.
        let high = if *codec == H264 { 1_080 } else { 720 };
        for preset in *presets {
            // Pixels and bits apart: large ones with few bits, and small ones with many.
            for (from, to, share) in
                [(high, high, 0.5), (1_080, 480, 1.0), (480, 480, 2.5), (480, 240, 1.0)]
            {
                let ladder = shared(&[(*codec, preset, to)], share);
                all.push(trial(ladder, source(H264, from, 1.0)));
            }
        }
    }
    for codec in AudioCodec::ALL {
        let audio = Audio::Encode { codec, bitrate: 128_000, channels: 2 };
        let source = SourceMedia { audio_bitrate: 128_000, ..source(H264, 480, 1.0) };
        all.push(trial(Ladder { audio, ..ladder(&[cheap]) }, source));
    }
    all
}

/// What tells how fast a machine is, and how hard pictures are: one rung of the usual kind.
pub fn reference() -> Trial {
    trial(ladder(&[(VideoCodec::H264, "veryfast", 720)]), source(VideoCodec::H264, 1_080, 1.0))
}

/// Jobs that no table is made of: whole ladders, rates and sizes between those that are measured,
/// frame rates, and a preset that no table has.
pub fn held_out() -> Vec<Trial> {
    use VideoCodec::{Av1, H264, Hevc};
    let at = |height, share, rate| SourceMedia { frame_rate: rate, ..source(H264, height, share) };
    let full = [(H264, "veryfast", 720), (H264, "veryfast", 480), (H264, "veryfast", 240)];
    let aac = Audio::Encode { codec: AudioCodec::Aac, bitrate: 96_000, channels: 2 };
    let heard = |source| SourceMedia { audio_bitrate: 128_000, ..source };
    let slower = [(H264, "slower", 360)];
    vec![
        trial(Ladder::standard(), at(1_080, 1.2, (30, 1))),
        trial(Ladder::standard(), at(720, 1.0, (25, 1))),
        trial(Ladder { audio: aac, ..ladder(&full) }, heard(at(1_080, 0.7, (50, 1)))),
        trial(ladder(&[(H264, "faster", 1_080), (H264, "fast", 540)]), at(1_080, 1.0, (25, 1))),
        trial(ladder(&[(H264, "medium", 576), (H264, "superfast", 288)]), at(720, 1.5, (25, 1))),
        trial(ladder(&slower), at(720, 1.0, (30, 1))),
        trial(ladder(&[(H264, "slow", 480), (H264, "veryfast", 360)]), at(576, 1.0, (30, 1))),
        trial(ladder(&[(H264, "ultrafast", 720); 3]), at(720, 2.0, (60, 1))),
        trial(
            ladder(&[(Hevc, "superfast", 540), (H264, "veryfast", 360)]),
            at(1_080, 1.0, (25, 1)),
        ),
        trial(ladder(&[(Hevc, "veryfast", 360)]), source(Hevc, 720, 1.0)),
        trial(ladder(&[(Av1, "10", 360), (H264, "veryfast", 240)]), at(720, 1.0, (30, 1))),
        trial(ladder(&full), source(Av1, 720, 1.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::plan::cost::estimate;
    use crate::control::plan::cost::fit::fit;
    use crate::control::plan::cost::table::{Table, USUAL};

    #[test]
    fn the_jobs_of_a_calibration_tell_all_terms_apart() {
        // What they would measure on a machine whose table is known is that table again.
        let known = Table::built_in(USUAL).expect("it is built in");
        let jobs = calibration(&VideoCodec::ALL);
        let sample = |t: &Trial| {
            let costs = t.sample("", 0.0).work;
            let sum = costs.iter().map(|w| known.cost(w).expect("known")).sum();
            t.sample("", sum)
        };
        let samples: Vec<Sample> = jobs.iter().map(sample).collect();
        let found = fit("m", "reckoned", &samples);
        assert_eq!(found.rates.len(), known.rates.len());
        for t in held_out().iter().chain(&jobs) {
            let cost = |table| estimate(&t.ladder, &t.source, table).expect("known").total;
            let (a, b) = (f64::from(cost(&known)), f64::from(cost(&found)));
            assert!((a / b - 1.0).abs() < 0.02, "{a} {b} {t:?}");
        }
    }

    #[test]
    fn no_job_that_is_held_out_is_one_of_the_calibration() {
        let (jobs, held) = (calibration(&VideoCodec::ALL), held_out());
        assert_eq!(held.len(), 12);
        assert!(held.iter().all(|h| !jobs.contains(h)));
        let of =
            |codec, preset: &str| PRESETS.iter().any(|(c, p)| *c == codec && p.contains(&preset));
        assert!(!of(VideoCodec::H264, "slower"), "one preset was never measured");
    }
}
