//! What an export did, for people and for scripts. Times are seconds.

use crate::base::time::MICROS;
use crate::base::units::HumanBytes;
use crate::export::collect::Content;
use crate::export::plan::Plan;
use serde::Serialize;
use std::fmt;

/// One track of what was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackSummary {
    /// `video` or `audio`, or the rendition's name.
    pub name: String,
    /// Codec string of its first configuration.
    pub codecs: String,
    /// Samples, or segments of a folder.
    pub count: u64,
    /// Bytes of payload (of files, in a folder).
    pub bytes: u64,
    /// How many configurations it has.
    pub configurations: usize,
}

/// Media that was absent between two stretches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GapSummary {
    /// Where, in the exported presentation.
    pub at: f64,
    /// For how long.
    pub absent: f64,
    /// Is that time closed up?
    pub closed: bool,
}

/// What was left out of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeftOut {
    /// Packets that no segment lists.
    pub unlisted_packets: u64,
    /// Pictures whose references are missing.
    pub undecodable_pictures: u64,
    /// Samples that damage swallowed.
    pub missing_samples: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Where to.
    pub target: String,
    /// `mp4`, `fmp4` or `hls`.
    pub format: &'static str,
    /// Wall clock of its first picture or sound.
    pub from: String,
    /// How long it plays.
    pub duration: f64,
    /// Bytes of the file or of all files.
    pub bytes: u64,
    /// Bytes of logs that were looked at.
    pub read_bytes: u64,
    /// Its tracks.
    pub tracks: Vec<TrackSummary>,
    /// Where media was absent.
    pub gaps: Vec<GapSummary>,
    /// What is not in it.
    pub left_out: LeftOut,
    /// What could not be read, or not be written for that.
    pub damage: Vec<String>,
}

/// Microseconds in seconds.
pub fn seconds(micros: i64) -> f64 {
    micros as f64 / MICROS as f64
}

impl Summary {
    /// Is anything of the range not there because it is damaged?
    pub fn damaged(&self) -> bool {
        let left = &self.left_out;
        !self.damage.is_empty() || left.missing_samples > 0
    }
}

impl LeftOut {
    /// What the first pass left out.
    pub fn of(content: &Content) -> LeftOut {
        LeftOut {
            unlisted_packets: content.unlisted,
            undecodable_pictures: content.undecodable,
            missing_samples: content.missing,
        }
    }
}

/// The tracks of a plan.
pub fn tracks(plan: &Plan) -> Vec<TrackSummary> {
    let track = |t: &crate::export::plan::PlanTrack| TrackSummary {
        name: format!("{:?}", t.lane.kind).to_lowercase(),
        codecs: t.lane.inits.first().map_or(String::new(), |i| i.details.codecs.clone()),
        count: t.lane.samples.len() as u64,
        bytes: t.lane.samples.iter().map(|s| u64::from(s.size)).sum(),
        configurations: t.lane.inits.len(),
    };
    plan.tracks.iter().map(track).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, format, from) = (&self.target, self.format, &self.from);
        let bytes = HumanBytes(self.bytes);
        write!(f, "{target}: {format}, {bytes}, {:.3} s from {from}", self.duration)?;
        let what = if self.format == "hls" { "segments" } else { "samples" };
        for t in &self.tracks {
            let (name, codecs, count, bytes) = (&t.name, &t.codecs, t.count, HumanBytes(t.bytes));
            write!(f, "\n  {name}: {codecs}, {count} {what}, {bytes}")?;
            if t.configurations > 1 {
                write!(f, ", {} configurations", t.configurations)?;
            }
        }
        for g in self.gaps.iter().filter(|g| g.absent >= 0.001) {
            let done = if g.closed { "closed up" } else { "kept" };
            write!(f, "\n  gap at {:.3} s: {:.3} s without media, {done}", g.at, g.absent)?;
        }
        for (n, what) in [
            (self.left_out.unlisted_packets, "packet(s) that no segment lists are left out"),
            (self.left_out.undecodable_pictures, "picture(s) without what they refer to left out"),
            (self.left_out.missing_samples, "sample(s) are missing"),
        ] {
            if n > 0 {
                write!(f, "\n  {n} {what}")?;
            }
        }
        self.damage.iter().try_for_each(|d| write!(f, "\n  damage: {d}"))
    }
}
