//! The checks of `ladders`, and of what channels make of them. What a ladder may ask for is the
//! ladder's own business (`api::ladder::rules`); here are the words it is written in.

use crate::api::ladder::level::Profile;
use crate::api::ladder::{
    Audio, AudioCodec, Encode, Ladder, Name, NameError, RUNGS_MAX, Rung, VideoCodec,
};
use crate::base::units::{self, UnitError};
use crate::manifest::check::Check;
use crate::manifest::raw::{RawAudio, RawChannel, RawLadder, RawRung, RawSound, Text};
use crate::manifest::text::show;
use crate::manifest::types::{ChannelSpec, LADDERS_MAX};
use std::sync::Arc;
use std::time::Duration;

/// Bits per second of sound where a ladder does not say: what AAC needs for two channels of music.
const AUDIO_BITRATE: u64 = 128_000;

impl Check<'_> {
    pub(super) fn ladders(&mut self, raw: &[RawLadder]) -> Vec<Arc<Ladder>> {
        if raw.len() > LADDERS_MAX {
            let message = format!("{} are too many, at most {LADDERS_MAX}", raw.len());
            self.error("ladders", message);
        }
        let mut out: Vec<Arc<Ladder>> = Vec::new();
        for (i, raw) in raw.iter().enumerate().take(LADDERS_MAX) {
            let at = format!("ladders[{i}]");
            let Some(ladder) = self.ladder(&at, raw) else { continue };
            let (path, name) = (format!("{at}.name"), ladder.name.as_str());
            if Ladder::built_in(name).is_some() {
                self.error(&path, format!("the ladder {name:?} is built in: take another name"));
            } else if out.iter().any(|l| l.name == ladder.name) {
                self.error(&path, format!("the name {name:?} is taken by a ladder before it"));
            } else {
                out.push(Arc::new(ladder));
            }
        }
        out
    }

    /// `None`: something is wrong with it, and was said.
    fn ladder(&mut self, at: &str, raw: &RawLadder) -> Option<Ladder> {
        let before = self.errors.len();
        let name = self.ladder_name(&format!("{at}.name"), &raw.name);
        let rungs = raw.rungs.as_deref().unwrap_or_default().iter().enumerate();
        // One more than are allowed, for the ladder itself to complain.
        let rungs: Vec<Option<Rung>> = rungs
            .take(RUNGS_MAX + 1)
            .map(|(i, rung)| self.rung(&format!("{at}.rungs[{i}]"), rung))
            .collect();
        let audio = match &raw.audio {
            None | Some(RawAudio::Passthrough) => Audio::Passthrough,
            Some(RawAudio::Encode(sound)) => self.sound(&format!("{at}.audio"), sound),
        };
        let path = format!("{at}.latencyBudget");
        // Each channel that uses it has its own limit; see `budget`.
        let any = Duration::ZERO..=Duration::MAX;
        let said = raw.latency_budget.is_some();
        let budget = self.duration(&path, &raw.latency_budget, Duration::ZERO, any);
        let latency_budget = said.then_some(budget);
        if self.errors.len() > before {
            return None;
        }
        let rungs = rungs.into_iter().collect::<Option<Vec<Rung>>>()?;
        let ladder = Ladder { name: name?, rungs, audio, latency_budget };
        let faults = ladder.faults();
        for fault in &faults {
            self.error(&format!("{at}.{}", fault.path), &fault.message);
        }
        faults.is_empty().then_some(ladder)
    }

    fn ladder_name(&mut self, path: &str, text: &str) -> Option<Name> {
        text.parse().map_err(|e: NameError| self.error(path, e.to_string())).ok()
    }

    fn rung(&mut self, at: &str, raw: &RawRung) -> Option<Rung> {
        let path = |field: &str| format!("{at}.{field}");
        let name = self.ladder_name(&path("name"), &raw.name);
        let passthrough = match raw.passthrough.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let message = format!("{other:?} is neither true nor false");
                self.error(&path("passthrough"), message);
                return None;
            }
        };
        if passthrough {
            for (field, text) in raw.encoding().into_iter().filter(|(_, text)| text.is_some()) {
                let text = text.as_deref().unwrap_or_default();
                let message =
                    format!("{text:?} is nothing for the source as it came: leave it out");
                self.error(&path(field), message);
            }
            return Some(Rung { name: name?, encode: None });
        }
        let encode = Some(self.encode(at, raw)?);
        Some(Rung { name: name?, encode })
    }

    fn encode(&mut self, at: &str, raw: &RawRung) -> Option<Encode> {
        let path = |field: &str| format!("{at}.{field}");
        for (field, text) in [("height", &raw.height), ("bitrate", &raw.bitrate)] {
            if text.is_none() {
                let hint = "or passthrough: true for the source as it came";
                self.error(at, format!("a rung has a {field}, {hint}"));
                return None;
            }
        }
        let codec = self.word(&path("codec"), &raw.codec, "codec", &VideoCodec::ALL, |c| c.word());
        let codec = codec.unwrap_or(VideoCodec::H264);
        let profiles = [Profile::Baseline, Profile::Main, Profile::High];
        let profile = self.word(&path("profile"), &raw.profile, "profile", &profiles, |p| p.word());
        let usual = codec.profiles().last().copied().unwrap_or(Profile::Main);
        let cap = &raw.max_frame_rate;
        let rate = self.frame_rate(&path("maxFrameRate"), cap, 0);
        let preset = raw.preset.clone().unwrap_or_else(|| codec.usual_preset().into());
        Some(Encode {
            codec,
            width: self.pixels(&path("width"), &raw.width),
            height: self.pixels(&path("height"), &raw.height)?,
            frame_rate_max_millis: cap.is_some().then_some(rate),
            bitrate: self.quantity(&path("bitrate"), &raw.bitrate, units::bitrate)?,
            maxrate: self.quantity(&path("maxrate"), &raw.maxrate, units::bitrate),
            bufsize: self.quantity(&path("bufsize"), &raw.bufsize, units::bits),
            preset,
            profile: profile.unwrap_or(usual),
            level: self.level(&path("level"), &raw.level),
        })
    }

    /// One of these words; `None`: nothing is written, or something else.
    fn word<T: Copy>(
        &mut self,
        path: &str,
        raw: &Text,
        what: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = raw.as_deref()?;
        let found = all.iter().copied().find(|x| word(*x) == text);
        if found.is_none() {
            let known: Vec<&str> = all.iter().map(|x| word(*x)).collect();
            self.error(path, format!("{text:?} is no {what}: {}", known.join(", ")));
        }
        found
    }

    fn pixels(&mut self, path: &str, raw: &Text) -> Option<u32> {
        let text = raw.as_deref()?;
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let pixels = text.parse().ok().filter(|_| plain);
        if pixels.is_none() {
            self.error(path, format!("{text:?} is not a number of pixels (for example 720)"));
        }
        pixels
    }

    fn quantity(
        &mut self,
        path: &str,
        raw: &Text,
        parse: fn(&str) -> Result<u64, UnitError>,
    ) -> Option<u64> {
        parse(raw.as_deref()?).map_err(|e| self.error(path, e.to_string())).ok()
    }

    /// `3.1`, `4` or `4.0`, in tenths.
    fn level(&mut self, path: &str, raw: &Text) -> Option<u8> {
        let text = raw.as_deref()?;
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let digit = |s: &str| match s.as_bytes() {
            [b] if b.is_ascii_digit() => Some(b - b'0'),
            _ => None,
        };
        let level = digit(major).zip(digit(minor)).map(|(major, minor)| 10 * major + minor);
        if level.is_none() {
            self.error(path, format!("{text:?} is not a level (for example 3.1)"));
        }
        level
    }

    fn sound(&mut self, at: &str, raw: &RawSound) -> Audio {
        let path = |field: &str| format!("{at}.{field}");
        let codec = self.word(&path("codec"), &raw.codec, "codec", &AudioCodec::ALL, |c| c.word());
        let bitrate = self.quantity(&path("bitrate"), &raw.bitrate, units::bitrate);
        let all = [1, 2];
        let word = |n: u8| if n == 1 { "mono" } else { "stereo" };
        let channels = self.word(&path("channels"), &raw.channels, "layout", &all, word);
        Audio::Encode {
            codec: codec.unwrap_or(AudioCodec::Aac),
            bitrate: bitrate.unwrap_or(AUDIO_BITRATE),
            channels: channels.unwrap_or(2),
        }
    }

    /// The ladder that a channel names; `None`: nothing is transcoded.
    pub(super) fn channel_ladder(&mut self, path: &str, name: Option<&str>) -> Option<Arc<Ladder>> {
        let name = name?;
        let own = self.ladders.iter().find(|l| l.name.as_str() == name).cloned();
        let ladder = own.or_else(|| Ladder::built_in(name).map(Arc::new));
        if ladder.is_none() {
            let own = self.ladders.iter().map(|l| l.name.as_str());
            let known: Vec<&str> = own.chain(["default", "none"]).collect();
            self.error(path, format!("{name:?} is no ladder of this file: {}", known.join(", ")));
        }
        ladder.filter(|l| !l.rungs.is_empty())
    }

    /// The encoders of a channel's ladder hold no picture for longer than the channel allows, and
    /// it allows no more than a target duration (draft-pantos-hls-rfc8216bis-22, 6.2.4).
    pub(super) fn budget(&mut self, at: &str, raw: &RawChannel, spec: &ChannelSpec) {
        let Some(ladder) = &spec.ladder else { return };
        let (budget, limit) =
            (spec.latency_budget, Duration::from_secs(u64::from(spec.target_duration)));
        let delay = ladder.delay(spec.frame_rate_millis);
        let message = match delay.filter(|(_, delay)| *delay > budget) {
            Some((i, _)) => {
                let over = ladder.over(i, spec.frame_rate_millis);
                format!("more than {}, the channel's latencyBudget: {over}", show(budget))
            }
            // What the channel itself says was held against its limit before.
            None if raw.latency_budget.is_none() && budget > limit => format!(
                "the ladder's latencyBudget, {}, is above the channel's targetDuration, {}",
                show(budget),
                show(limit)
            ),
            None => return,
        };
        let written = raw.latency_budget.is_some();
        let field = if written { "latencyBudget" } else { "ladder" };
        self.error(&format!("{at}.{field}"), message);
    }
}

#[cfg(test)]
#[path = "ladder_test.rs"]
mod tests;
