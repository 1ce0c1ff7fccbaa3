//! What commands that measure jobs share: what a worker is told, the clips, the progress.

use crate::api::ladder::planned::{PlannedRung, SourceMedia};
use crate::api::ladder::{Audio, VideoCodec};
use crate::base::ids::TrackId;
use crate::cmd::common::Failure;
use crate::control::plan::cost::trial::Trial;
use crate::rt::clock::Clock;
use crate::transcode::clip::{self, Clip};
use crate::transcode::scene::Scene;
use crate::transcode::settings::{AudioSettings, RungSettings, Settings};
use crate::transcode::trial::{self, Pace};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// Longer than any trial is late: nothing is left out of what is measured.
const NEVER_LATE: i64 = 3_600_000_000;

/// What a worker is told of a trial.
pub fn settings(t: &Trial) -> Settings {
    let tracks = (TrackId::RUNGS.0..).map(TrackId);
    let planned = t.ladder.for_source(&t.source);
    let rungs = planned.iter().filter(|r| r.encode.is_some()).zip(tracks.clone());
    let rungs: Vec<RungSettings> = rungs
        .filter_map(|(rung, track)| RungSettings::of(rung, t.source.frame_rate, track))
        .collect();
    let audio = match t.ladder.audio {
        Audio::Encode { codec, bitrate, channels } if t.source.audio_bitrate > 0 => {
            let track = TrackId(TrackId::RUNGS.0 + rungs.len() as u16);
            Some(AudioSettings { track, codec, bitrate, channels })
        }
        _ => None,
    };
    Settings { rungs, audio, lateness_micros: NEVER_LATE, crash_after: None }
}

/// Clips of a scene, each made once.
pub struct Clips {
    scene: Scene,
    seconds: u32,
    made: BTreeMap<String, Clip>,
}

impl Clips {
    /// Of so many seconds.
    pub fn new(seconds: u32) -> Clips {
        Clips { scene: Scene::default(), seconds, made: BTreeMap::new() }
    }

    /// The clip that is most like it. What is not H.264 is made by a worker from what is.
    pub async fn get(
        &mut self,
        media: &SourceMedia,
        program: &Path,
        clock: &Clock,
    ) -> Result<Clip, Failure> {
        let key = format!("{media:?}");
        if let Some(clip) = self.made.get(&key) {
            return Ok(clip.clone());
        }
        let raw = SourceMedia { codec: VideoCodec::H264, ..*media };
        let made = Clip::made(&self.scene, &raw, self.seconds).map_err(Failure::failed)?;
        let clip = match media.codec {
            VideoCodec::H264 => made,
            _ => {
                let settings =
                    clip::settings(media).ok_or_else(|| Failure::failed("no such source"))?;
                let rungs = vec![settings];
                let settings =
                    Settings { rungs, audio: None, lateness_micros: NEVER_LATE, crash_after: None };
                let ran = trial::run(program, &settings, &made, Pace::Fast, clock).await;
                made.with(ran.map_err(Failure::failed)?.made.into_values().collect())
                    .map_err(Failure::failed)?
            }
        };
        self.made.insert(key, clip.clone());
        Ok(clip)
    }
}

/// A trial in few words: `1080p h264 -> 720p h264 veryfast`.
pub fn word(t: &Trial) -> String {
    let rung = |r: &PlannedRung| {
        let encode = r.encode.as_ref()?;
        Some(format!("{}p {} {}", r.height, encode.codec, encode.preset))
    };
    let rungs: Vec<String> = t.ladder.for_source(&t.source).iter().filter_map(rung).collect();
    format!("{}p {} -> {}", t.source.height, t.source.codec, rungs.join(", "))
}

/// Progress over so many jobs; nothing where stderr is no terminal.
pub fn bar(len: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(len as u64);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} jobs, {eta} left  {msg}");
    bar.set_style(style.unwrap_or(ProgressStyle::default_bar()));
    bar
}
