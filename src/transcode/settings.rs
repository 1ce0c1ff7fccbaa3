//! What a worker is told before its source: one line of JSON.

use crate::api::ladder::planned::{PlannedEncode, PlannedRung};
use crate::api::ladder::{AudioCodec, Name, RUNGS_MAX};
use crate::base::ids::TrackId;
use crate::media::track::FrameRate;
use serde::{Deserialize, Serialize};

/// Longest line of settings in bytes: ten rungs are some 4 KiB.
pub const LINE_MAX: usize = 64 << 10;

/// What is made of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The rungs; at least one.
    pub rungs: Vec<RungSettings>,
    /// How the sound is encoded; `None`: it is left alone, and the worker need not be sent any.
    pub audio: Option<AudioSettings>,
    /// Microseconds: a rung whose next picture is further behind the newest packet that was read
    /// leaves it out. Longer than what the decoder and the encoders hold, by far.
    pub lateness_micros: i64,
    /// Tests: the worker crashes after so many decoded pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash_after: Option<u64>,
}

/// One rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RungSettings {
    /// The track that is made.
    pub track: TrackId,
    /// For people and threads.
    pub name: Name,
    /// Pixels; even.
    pub width: u32,
    /// Pixels; even.
    pub height: u32,
    /// Frames per second, numerator and denominator: what the encoder reckons with.
    pub frame_rate: (u32, u32),
    /// Pictures beyond that rate are left out. Otherwise every picture is taken, however many come.
    pub capped: bool,
    /// How it is encoded.
    pub encode: PlannedEncode,
}

/// The sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AudioSettings {
    /// The track that is made.
    pub track: TrackId,
    /// With which codec.
    pub codec: AudioCodec,
    /// Bits per second.
    pub bitrate: u64,
    /// 1 or 2; more are mixed down.
    pub channels: u8,
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No such JSON.
    #[error("{0}")]
    Json(String),
    /// No line's end within [`LINE_MAX`].
    #[error("no line of at most {LINE_MAX} bytes")]
    Line,
    /// Nothing to make, or more than a ladder has.
    #[error("{0} rungs; 1 to {RUNGS_MAX} are possible")]
    Rungs(usize),
    /// Two things are made for one track.
    #[error("track {0} is made twice")]
    Track(TrackId),
    /// A size, a rate or a number of channels that nothing can be encoded with.
    #[error("{name}: {what} is not possible")]
    Value {
        /// The rung, or `audio`.
        name: String,
        /// What.
        what: &'static str,
    },
}

impl Settings {
    /// Reads the line that [`Settings::line`] wrote.
    ///
    /// # Errors
    /// Other JSON, or settings that nothing can be made with.
    pub fn parse(line: &[u8]) -> Result<Settings, SettingsError> {
        let settings: Settings =
            serde_json::from_slice(line).map_err(|e| SettingsError::Json(e.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// As JSON, with the line's end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("plain data");
        line.push(b'\n');
        line
    }

    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(1..=RUNGS_MAX).contains(&self.rungs.len()) {
            return Err(SettingsError::Rungs(self.rungs.len()));
        }
        let mut tracks: Vec<TrackId> = self.rungs.iter().map(|r| r.track).collect();
        tracks.extend(self.audio.map(|a| a.track));
        tracks.sort_unstable();
        if let Some(twice) = tracks.windows(2).find(|w| w[0] == w[1]) {
            return Err(SettingsError::Track(twice[0]));
        }
        for rung in &self.rungs {
            let value = |what| SettingsError::Value { name: rung.name.to_string(), what };
            let even = |side: u32| side > 0 && side.is_multiple_of(2);
            if !even(rung.width) || !even(rung.height) {
                return Err(value("its size"));
            }
            FrameRate::new(rung.frame_rate.0, rung.frame_rate.1).ok_or(value("its frame rate"))?;
        }
        match self.audio {
            Some(a) if !(1..=2).contains(&a.channels) => {
                let what = "the number of channels";
                Err(SettingsError::Value { name: "audio".into(), what })
            }
            _ => Ok(()),
        }
    }
}

impl RungSettings {
    /// A planned rung of a source with this frame rate; `None` where nothing is encoded.
    pub fn of(planned: &PlannedRung, source: (u32, u32), track: TrackId) -> Option<RungSettings> {
        Some(RungSettings {
            track,
            name: planned.name.clone(),
            width: planned.width,
            height: planned.height,
            frame_rate: planned.frame_rate,
            capped: planned.frame_rate != source,
            encode: planned.encode.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ladder::planned::SourceMedia;
    use crate::api::ladder::{Ladder, VideoCodec};

    fn settings() -> Settings {
        let source = SourceMedia {
            codec: VideoCodec::H264,
            width: 1920,
            height: 1080,
            frame_rate: (60, 1),
            bitrate: 6_000_000,
            audio_bitrate: 128_000,
        };
        let planned = Ladder::standard().for_source(&source);
        let rungs = (10..).zip(&planned);
        let rungs = rungs.filter_map(|(n, p)| RungSettings::of(p, (60, 1), TrackId(n))).collect();
        let audio = AudioSettings {
            track: TrackId(20),
            codec: AudioCodec::Aac,
            bitrate: 96_000,
            channels: 2,
        };
        Settings { rungs, audio: Some(audio), lateness_micros: 500_000, crash_after: None }
    }

    #[test]
    fn a_ladder_becomes_a_line_and_comes_back() {
        let settings = settings();
        let of = |r: &RungSettings| (r.track.0, r.height, r.frame_rate, r.capped);
        let rungs: Vec<_> = settings.rungs.iter().map(of).collect();
        assert_eq!(
            rungs,
            [(11, 720, (60, 2), true), (12, 480, (60, 2), true), (13, 240, (60, 2), true)]
        );
        let line = settings.line();
        assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
        assert!(line.len() < LINE_MAX);
        assert_eq!(Settings::parse(&line), Ok(settings));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let refused = |change: fn(&mut Settings)| {
            let mut s = settings();
            change(&mut s);
            Settings::parse(&s.line()).expect_err("refused").to_string()
        };
        assert_eq!(refused(|s| s.rungs.clear()), "0 rungs; 1 to 10 are possible");
        assert_eq!(refused(|s| s.rungs[1].track = TrackId(20)), "track 20 is made twice");
        assert_eq!(refused(|s| s.rungs[0].width = 33), "720p: its size is not possible");
        assert_eq!(refused(|s| s.rungs[0].height = 0), "720p: its size is not possible");
        let rate = refused(|s| s.rungs[2].frame_rate.1 = 0);
        assert_eq!(rate, "240p: its frame rate is not possible");
        let channels = refused(|s| {
            let a = s.audio.expect("there is one");
            s.audio = Some(AudioSettings { channels: 6, ..a });
        });
        assert_eq!(channels, "audio: the number of channels is not possible");
        let json = Settings::parse(b"{\"rungs\":1}").expect_err("refused");
        assert!(matches!(json, SettingsError::Json(_)), "{json}");
    }
}
