//! What a look at a target ends in. Its JSON form is `castctl inspect --json`: names are camelCase,
//! times are seconds, rates bits a second; what is not known is null, what a target does not have
//! is null as a whole. Fields are added, never renamed.

pub mod hls;
pub mod log;

use crate::inspect::report::hls::HlsFacts;
use crate::inspect::report::log::LogFacts;
use serde::Serialize;

/// Microseconds as seconds, for people and JSON.
pub fn secs(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// A look at one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was looked at.
    pub target: String,
    /// `log`, `flv`, `rtmp` or `hls`.
    pub kind: &'static str,
    /// Bytes looked at.
    pub bytes: u64,
    /// The tracks, in order.
    pub tracks: Vec<TrackReport>,
    /// Audio against video.
    pub skew: Option<Skew>,
    /// How live media arrived.
    pub arrival: Option<Arrival>,
    /// What the encoder said in `onMetaData`.
    pub metadata: Option<MetadataFacts>,
    /// For FLV files.
    pub flv: Option<FlvFacts>,
    /// For logs.
    pub log: Option<LogFacts>,
    /// Where there are several logs below the target: each by itself. Everything but `bytes`,
    /// `findings` of damage and `damaged` is in there.
    pub logs: Option<Vec<Report>>,
    /// For HLS.
    pub hls: Option<HlsFacts>,
    /// What is remarkable, in words.
    pub findings: Vec<Finding>,
    /// Bytes are damaged or missing.
    pub damaged: bool,
    /// Logs that were not looked at: a later version of the format wrote them.
    pub later_logs: u64,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Bytes are damaged or missing.
    Damage,
    /// Viewers or the next program will notice.
    Problem,
    /// Good to know.
    Note,
}

/// One thing that is remarkable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub text: String,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackReport {
    /// Its number.
    pub id: u32,
    /// Its rendition's name.
    pub name: Option<String>,
    /// `video` or `audio`.
    pub kind: &'static str,
    /// RFC 6381 codec string, or a name.
    pub codec: String,
    /// Samples.
    pub width: Option<u32>,
    /// Samples.
    pub height: Option<u32>,
    /// `W:H` when it is not square.
    pub sample_aspect_ratio: Option<String>,
    /// Frames a second, as declared.
    pub declared_frame_rate: Option<f64>,
    /// Frames (audio: packets) a second, measured over everything but jumps.
    pub frame_rate: Option<f64>,
    /// Hz.
    pub sample_rate: Option<u32>,
    /// Channels.
    pub channels: Option<u8>,
    /// Bits a second of payload.
    pub bit_rate: Option<u64>,
    /// Packets.
    pub packets: u64,
    /// Key frames; every packet of audio.
    pub key_frames: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Different configurations, one after another.
    pub configurations: u64,
    /// Of video.
    pub gop: Option<Gop>,
    /// Pictures are shown in another order than they are coded; of video.
    pub b_frames: Option<bool>,
    /// Seconds.
    pub first_dts: Option<f64>,
    /// Seconds.
    pub last_dts: Option<f64>,
    /// Decode time covered, seconds.
    pub duration_seconds: f64,
    /// What is wrong with its times.
    pub timestamps: Timestamps,
}

/// Distances between key frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gop {
    /// Shortest; null before the second key frame.
    pub min_seconds: Option<f64>,
    /// Median.
    pub median_seconds: Option<f64>,
    /// Longest.
    pub max_seconds: Option<f64>,
    /// From the last key frame to the end.
    pub open_seconds: Option<f64>,
    /// Packets that cannot be decoded because no key frame came before them.
    pub packets_before_first_key: u64,
}

/// Trouble with a track's decode times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timestamps {
    /// Steps back.
    pub backward: u64,
    /// Steps of nothing.
    pub duplicates: u64,
    /// Steps of more than a second, either way.
    pub jumps: u64,
    /// The worst of the jumps and steps back.
    pub worst_step_seconds: Option<f64>,
    /// Steps of more than 1.5 frames and at most a second.
    pub holes: u64,
    /// The longest step that is no jump.
    pub longest_step_seconds: Option<f64>,
    /// Between the 5th and the 95th percentile of steps.
    pub jitter_seconds: Option<f64>,
    /// More than a tenth of the steps are off the usual one; of video.
    pub variable_frame_rate: Option<bool>,
}

/// Audio against video; positive: audio is later in media time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skew {
    /// First audio PTS minus first video PTS.
    pub start_seconds: f64,
    /// End of audio minus end of video.
    pub end_seconds: f64,
    /// Audio's newest DTS minus video's in order of arrival: least.
    pub interleave_min_seconds: Option<f64>,
    /// Median.
    pub interleave_median_seconds: Option<f64>,
    /// Most.
    pub interleave_max_seconds: Option<f64>,
}

/// How live media arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// Media that came at once, at the beginning.
    pub burst_seconds: f64,
    /// Media time a second of clock time after that.
    pub pace: Option<f64>,
    /// Between the earliest and the latest packet, against its time.
    pub jitter_seconds: Option<f64>,
}

/// What the encoder said.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetadataFacts {
    /// The encoder's name.
    pub encoder: Option<String>,
    /// Samples.
    pub width: Option<f64>,
    /// Samples.
    pub height: Option<f64>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// kbit/s.
    pub video_data_rate: Option<f64>,
    /// kbit/s.
    pub audio_data_rate: Option<f64>,
}

/// Of an FLV file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlvFacts {
    /// Whole tags.
    pub tags: u64,
    /// Bytes at the end that are no whole tag.
    pub torn_bytes: u64,
}

impl Report {
    /// An empty report.
    pub fn new(target: String, kind: &'static str) -> Report {
        Report {
            target,
            kind,
            bytes: 0,
            tracks: Vec::new(),
            skew: None,
            arrival: None,
            metadata: None,
            flv: None,
            log: None,
            logs: None,
            hls: None,
            findings: Vec::new(),
            damaged: false,
            later_logs: 0,
        }
    }

    /// Adds a finding.
    pub fn found(&mut self, severity: Severity, text: impl Into<String>) {
        self.damaged |= severity == Severity::Damage;
        self.findings.push(Finding { severity, text: text.into() });
    }
}
