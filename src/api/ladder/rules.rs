//! What a ladder may ask for: every limit with its reason, and everything that is wrong with one
//! ladder, each with the field that it is about.

use crate::api::ladder::level::{self, Load};
use crate::api::ladder::preset::held;
use crate::api::ladder::{Audio, Encode, Ladder, RUNGS_MAX};
use crate::base::units::HumanRate;

/// Shortest side of a picture in pixels: SVT-AV1 takes no less.
pub const SIDE_MIN: u32 = 64;

/// Longest side of a picture in pixels: 8K; above it no level is common to all players.
pub const SIDE_MAX: u32 = 7_680;

/// Lowest bitrate of a rung in bits per second: below it a key frame every 2 s leaves nothing for
/// the pictures between.
pub const BITRATE_MIN: u64 = 50_000;

/// Highest bitrate of a rung in bits per second: what a viewer's line and a level of 8K carry.
pub const BITRATE_MAX: u64 = 100_000_000;

/// How many bitrates the maxrate may be at most: BANDWIDTH says the maxrate, and a rung that is
/// announced with far more than it takes is never chosen.
pub const MAXRATE_TIMES_MAX: u64 = 4;

/// Shortest time in milliseconds that the maxrate fills the buffer in: a key frame must fit.
pub const BUFFER_MS_MIN: u64 = 100;

/// Longest such time: a player that has so much less in its own buffer stalls.
pub const BUFFER_MS_MAX: u64 = 10_000;

/// Lowest bitrate of sound in bits per second: speech in Opus.
pub const AUDIO_BITRATE_MIN: u64 = 16_000;

/// Highest bitrate of sound in bits per second: what the AAC encoder takes for two channels at
/// 48 kHz.
pub const AUDIO_BITRATE_MAX: u64 = 512_000;

/// Frames per second in thousandths that a rung without a cap is judged with: most sources have no
/// more.
const RATE_ASSUMED: u32 = 30_000;

/// Names that the source's own renditions have.
const TAKEN: [&str; 2] = ["video", "audio"];

/// Something that is wrong with a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, from the ladder on: `rungs[1].bitrate`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Ladder {
    /// Everything that is wrong with it, in the order of its fields.
    pub fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        let mut say = |path: &str, message: String| {
            out.push(Fault { path: path.to_owned(), message });
        };
        if self.rungs.is_empty() {
            say("rungs", "a ladder has at least one rung".into());
        }
        if self.rungs.len() > RUNGS_MAX {
            let found = self.rungs.len();
            say("rungs", format!("{found} are too many, at most {RUNGS_MAX}"));
        }
        for (i, rung) in self.rungs.iter().enumerate().take(RUNGS_MAX) {
            let at = format!("rungs[{i}]");
            if TAKEN.contains(&rung.name.as_str()) {
                let message = format!("{:?} is the name of the source's own", rung.name.as_str());
                say(&format!("{at}.name"), message);
            }
            let before = &self.rungs[..i];
            if let Some(n) = before.iter().position(|r| r.name == rung.name) {
                let message = format!("the name {:?} is taken by rungs[{n}]", rung.name.as_str());
                say(&format!("{at}.name"), message);
            }
            match &rung.encode {
                None => {
                    if let Some(n) = before.iter().position(|r| r.encode.is_none()) {
                        let message = format!("the source is rungs[{n}] already");
                        say(&format!("{at}.passthrough"), message);
                    }
                }
                Some(encode) => encode.faults(&mut |f, m| say(&format!("{at}.{f}"), m)),
            }
        }
        self.audio_faults(&mut say);
        if let (Some(budget), Some((i, delay))) = (self.latency_budget, self.delay(RATE_ASSUMED))
            && delay > budget
        {
            say("latencyBudget", self.over(i, RATE_ASSUMED));
        }
        out
    }

    /// In words: rung `i` lags more than it may.
    pub fn over(&self, i: usize, frame_rate_millis: u32) -> String {
        let rung = &self.rungs[i];
        let Some(e) = &rung.encode else { return String::new() };
        let rate = frame_rate_millis.min(e.frame_rate_max_millis.unwrap_or(u32::MAX));
        format!(
            "rung {:?} lags {} ms behind its source ({} picture(s) in the encoder of {} with \
             preset {}, at {} frames a second): allow more, or take another preset or codec",
            rung.name.as_str(),
            e.delay(frame_rate_millis).as_micros().div_ceil(1_000),
            held(e.codec, &e.preset),
            e.codec,
            e.preset,
            f64::from(rate) / 1000.0,
        )
    }

    fn audio_faults(&self, say: &mut impl FnMut(&str, String)) {
        let Audio::Encode { bitrate, channels, .. } = self.audio else { return };
        if let Some(message) = outside(bitrate, AUDIO_BITRATE_MIN, AUDIO_BITRATE_MAX, &rate) {
            say("audio.bitrate", message);
        }
        if !(1..=2).contains(&channels) {
            say("audio.channels", format!("{channels} channels are neither mono nor stereo"));
        }
    }
}

fn rate(bits: u64) -> String {
    HumanRate(bits).to_string()
}

/// What is said of a value that is outside its limits.
fn outside(value: u64, min: u64, max: u64, show: &dyn Fn(u64) -> String) -> Option<String> {
    if value < min {
        Some(format!("{} is below the minimum, {}", show(value), show(min)))
    } else if value > max {
        Some(format!("{} is above the maximum, {}", show(value), show(max)))
    } else {
        None
    }
}

impl Encode {
    fn faults(&self, say: &mut dyn FnMut(&str, String)) {
        let pixels = |n: u64| n.to_string();
        for (field, side) in [("width", self.width), ("height", Some(self.height))] {
            let Some(side) = side else { continue };
            let (min, max) = (u64::from(SIDE_MIN), u64::from(SIDE_MAX));
            if let Some(message) = outside(u64::from(side), min, max, &pixels) {
                say(field, message);
            } else if !side.is_multiple_of(2) {
                say(field, format!("{side} is odd: 4:2:0 has one sample of colour for two pixels"));
            }
        }
        if let Some(message) = outside(self.bitrate, BITRATE_MIN, BITRATE_MAX, &rate) {
            say("bitrate", message);
            return;
        }
        let (min, max) = (self.bitrate, MAXRATE_TIMES_MAX * self.bitrate);
        if let Some(message) = outside(self.maxrate(), min, max, &rate) {
            say("maxrate", format!("{message} for the bitrate of {}", rate(self.bitrate)));
            return;
        }
        let ms = self.bufsize().saturating_mul(1_000) / self.maxrate().max(1);
        if let Some(message) = outside(ms, BUFFER_MS_MIN, BUFFER_MS_MAX, &|n| format!("{n} ms")) {
            say("bufsize", format!("{message} of the maxrate of {}", rate(self.maxrate())));
        }
        self.codec_faults(say);
    }

    /// Preset, profile and level are ones of the codec, and the level carries what it has to.
    fn codec_faults(&self, say: &mut dyn FnMut(&str, String)) {
        let codec = self.codec;
        if codec.place(&self.preset).is_none() {
            let known = codec.presets().join(", ");
            say("preset", format!("{:?} is no preset of {codec}: {known}", self.preset));
        }
        if !codec.profiles().contains(&self.profile) {
            let known: Vec<&str> = codec.profiles().iter().map(|p| p.word()).collect();
            let (word, known) = (self.profile.word(), known.join(", "));
            say("profile", format!("{word} is no profile of {codec}: {known}"));
            return;
        }
        let width = self.width.unwrap_or(self.height.saturating_mul(16) / 9);
        let rate = self.frame_rate_max_millis.unwrap_or(RATE_ASSUMED);
        let load = Load {
            width,
            height: self.height,
            frame_rate: (rate, 1_000),
            maxrate: self.maxrate(),
            bufsize: self.bufsize(),
        };
        let what = format!(
            "{width}x{} at {} frames a second and {}",
            self.height,
            f64::from(rate) / 1000.0,
            HumanRate(self.maxrate())
        );
        match (self.level, level::needed(codec, self.profile, &load)) {
            (_, None) => {
                say("height", format!("no level of {codec} carries {what}"));
            }
            (Some(level), _) if !codec.has_level(level) => {
                say("level", format!("{} is no level of {codec}", level::show(level)));
            }
            (Some(level), Some(needed)) if level < needed => {
                let (has, needs) = (level::show(level), level::show(needed));
                say("level", format!("level {has} does not carry {what}: that takes {needs}"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ladder::level::Profile;
    use crate::api::ladder::{AudioCodec, Rung, VideoCodec};
    use std::time::Duration;

    fn said(change: impl FnOnce(&mut Ladder)) -> Vec<String> {
        let mut ladder = Ladder::standard();
        change(&mut ladder);
        ladder.faults().into_iter().map(|f| format!("{}: {}", f.path, f.message)).collect()
    }

    /// What is said after the encoding of 720p was changed.
    fn of(change: impl FnOnce(&mut Encode)) -> String {
        said(|l| change(l.rungs[1].encode.as_mut().expect("720p is encoded"))).join("\n")
    }

    #[test]
    fn what_is_built_in_is_sound() {
        assert_eq!(Ladder::standard().faults(), []);
        let none = said(|l| l.rungs.clear());
        assert_eq!(none, ["rungs: a ladder has at least one rung"]);
    }

    #[test]
    fn sides_and_rates_are_kept_to_the_number() {
        type Change = fn(&mut Encode, u64);
        let width: Change = |e, n| e.width = u32::try_from(n).ok();
        let height: Change = |e, n| e.height = n as u32;
        let bitrate: Change = |e, n| {
            (e.bitrate, e.codec, e.profile) = (n, VideoCodec::Av1, Profile::Main);
            e.preset = "10".into();
        };
        let maxrate: Change = |e, n| e.maxrate = Some(n);
        let buffer: Change = |e, n| e.bufsize = Some(n * e.maxrate() / 1_000);
        let rate = 2_800_000;
        for (field, change, legal, beyond, how) in [
            ("width", width, u64::from(SIDE_MIN), u64::from(SIDE_MIN) - 2, "62 is below the min"),
            ("height", height, u64::from(SIDE_MIN), 62, "62 is below the minimum, 64"),
            ("width", width, u64::from(SIDE_MAX), 7_682, "7682 is above the maximum, 7680"),
            ("height", height, 720, u64::from(SIDE_MAX) + 2, "7682 is above the maximum, 7680"),
            ("height", height, 720, 721, "721 is odd: 4:2:0 has one sample"),
            ("bitrate", bitrate, BITRATE_MIN, BITRATE_MIN - 1_000, "49kbps is below the minimum"),
            ("bitrate", bitrate, BITRATE_MAX, BITRATE_MAX + 1_000, "100.001Mbps is above the max"),
            ("maxrate", maxrate, rate, rate - 1_000, "2799kbps is below the minimum, 2.8Mbps"),
            ("maxrate", maxrate, MAXRATE_TIMES_MAX * rate, 4 * rate + 1_000, "above the maximum"),
            ("bufsize", buffer, BUFFER_MS_MIN, BUFFER_MS_MIN - 1, "99 ms is below the minimum"),
            ("bufsize", buffer, 4_000, BUFFER_MS_MAX + 1, "10001 ms is above the maximum"),
        ] {
            assert_eq!(of(|e| change(e, legal)), "", "{field} {legal}");
            let got = of(|e| change(e, beyond));
            assert!(got.starts_with(&format!("rungs[1].{field}: ")), "{field}: {got}");
            assert!(got.contains(how), "{field}: {got}");
        }
    }

    #[test]
    fn names_are_told_apart_and_the_source_is_one_rung() {
        let name = |l: &mut Ladder, i: usize, name: &str| {
            l.rungs[i].name = name.parse().expect("a good name");
        };
        for taken in TAKEN {
            let got = said(|l| name(l, 2, taken));
            let want = format!("rungs[2].name: {taken:?} is the name of the source's own");
            assert_eq!(got, [want]);
        }
        let got = said(|l| name(l, 3, "720p"));
        assert_eq!(got, ["rungs[3].name: the name \"720p\" is taken by rungs[1]"]);
        let got = said(|l| l.rungs[2].encode = None);
        assert_eq!(got, ["rungs[2].passthrough: the source is rungs[0] already"]);
        let many = |n: usize| {
            move |l: &mut Ladder| {
                let rung = |i: usize| Rung {
                    name: format!("r{i}").parse().expect("a good name"),
                    ..l.rungs[1].clone()
                };
                l.rungs = (0..n).map(rung).collect();
            }
        };
        assert_eq!(said(many(RUNGS_MAX)), [""; 0]);
        assert_eq!(said(many(RUNGS_MAX + 1)), ["rungs: 11 are too many, at most 10"]);
    }

    #[test]
    fn presets_profiles_and_levels_are_the_codec_s() {
        let x265 = |e: &mut Encode| (e.codec, e.profile) = (VideoCodec::Hevc, Profile::Main);
        for (got, want) in [
            (of(|e| e.preset = "10".into()), "rungs[1].preset: \"10\" is no preset of h264: ultra"),
            (of(|e| e.codec = VideoCodec::Hevc), "rungs[1].profile: high is no profile of hevc: m"),
            (of(|e| e.level = Some(14)), "rungs[1].level: 1.4 is no level of h264"),
            (
                of(|e| e.level = Some(30)),
                "rungs[1].level: level 3.0 does not carry 1280x720 at 30 frames a second and \
                 3.36Mbps: that takes 3.1",
            ),
            (of(|e| e.level = Some(31)), ""),
            (of(x265), ""),
            (of(|e| (e.height, e.frame_rate_max_millis) = (4_320, Some(240_000))), "rungs[1].hei"),
        ] {
            assert!(got.starts_with(want) && got.is_empty() == want.is_empty(), "{got}");
        }
    }

    #[test]
    fn sound_has_a_rate_and_one_or_two_channels() {
        let audio = |bitrate: u64, channels: u8| {
            said(|l| l.audio = Audio::Encode { codec: AudioCodec::Aac, bitrate, channels }).join("")
        };
        assert_eq!(audio(AUDIO_BITRATE_MIN, 1), "");
        assert_eq!(audio(AUDIO_BITRATE_MAX, 2), "");
        let low = audio(AUDIO_BITRATE_MIN - 1_000, 2);
        assert_eq!(low, "audio.bitrate: 15kbps is below the minimum, 16kbps");
        let high = audio(AUDIO_BITRATE_MAX + 1_000, 2);
        assert_eq!(high, "audio.bitrate: 513kbps is above the maximum, 512kbps");
        assert_eq!(audio(128_000, 6), "audio.channels: 6 channels are neither mono nor stereo");
    }

    #[test]
    fn a_budget_holds_the_delay_of_every_rung() {
        let budget = |ms: u64| said(|l| l.latency_budget = Some(Duration::from_millis(ms)));
        assert_eq!(budget(34), [""; 0]);
        assert_eq!(
            budget(33),
            ["latencyBudget: rung \"720p\" lags 34 ms behind its source (1 picture(s) in the \
              encoder of h264 with preset veryfast, at 30 frames a second): allow more, or take \
              another preset or codec"]
        );
    }
}
