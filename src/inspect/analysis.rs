//! The pure core: packets' times, sizes and flags in, what they amount to out. It knows tracks and
//! no container, keeps counts and no packets, and reads no clock.

use crate::base::time::{Mono, Timescale};
use crate::inspect::histogram::Histogram;
use crate::inspect::report::{Arrival, Skew, TrackReport, secs};
use crate::inspect::track::Track;
use crate::media::track::{FrameRate, Kind};

/// Packets that come within this time of the first one are the server's burst, not the encoder's
/// pace.
const BURST: i64 = 200_000;

/// What is known of a track besides its packets.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackFacts {
    /// Its number; the order in the report.
    pub id: u32,
    /// A name where the source has one (a rendition's).
    pub name: Option<String>,
    /// Audio or video.
    pub kind: Kind,
    /// Unit of its times.
    pub timescale: Timescale,
    /// Codec string of RFC 6381, or the codec's name where castctl does not carry it.
    pub codec: String,
    /// Width and height in samples.
    pub dimensions: Option<(u32, u32)>,
    /// Sample aspect ratio when it is not 1:1.
    pub sar: Option<(u16, u16)>,
    /// The frame rate that parameter sets or metadata declare.
    pub rate: Option<FrameRate>,
    /// Hz of audio.
    pub sample_rate: Option<u32>,
    /// Channels of audio.
    pub channels: Option<u8>,
    /// A frame's duration in microseconds, where the codec fixes it (audio).
    pub frame: Option<i64>,
}

impl TrackFacts {
    /// A track of which only the codec's name is known.
    pub fn unknown(id: u32, kind: Kind, timescale: Timescale, codec: String) -> TrackFacts {
        TrackFacts {
            id,
            name: None,
            kind,
            timescale,
            codec,
            dimensions: None,
            sar: None,
            rate: None,
            sample_rate: None,
            channels: None,
            frame: None,
        }
    }
}

/// One packet, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Decode time in ticks of its track, unwrapped.
    pub dts: i64,
    /// Composition offset in ticks.
    pub cts: i32,
    /// An IDR picture; true for audio.
    pub key: bool,
    /// Bytes of payload.
    pub size: u64,
    /// When it came, for live sources.
    pub arrival: Option<Mono>,
}

/// How audio and video lie to each other in arrival order.
#[derive(Debug, Default)]
struct Interleave {
    audio: Option<i64>,
    video: Option<i64>,
    offsets: Histogram,
}

/// What arrival times tell, of all tracks together.
#[derive(Debug, Default)]
struct Arrivals {
    first: Option<(Mono, i64)>,
    last: Option<(Mono, i64)>,
    burst_to: Option<i64>,
    lateness: Histogram,
}

/// An analysis under way.
#[derive(Debug, Default)]
pub struct Analysis {
    tracks: Vec<Track>,
    interleave: Interleave,
    arrivals: Arrivals,
    apart: bool,
}

impl Analysis {
    /// For a source whose tracks come one packet after another, as a muxer interleaved them.
    pub fn interleaved() -> Analysis {
        Analysis::default()
    }

    /// For a source whose tracks are fetched apart: their order of arrival says nothing.
    pub fn apart() -> Analysis {
        Analysis { apart: true, ..Analysis::default() }
    }

    /// Says what a track is, or has become.
    pub fn configure(&mut self, facts: TrackFacts) {
        match self.tracks.iter_mut().find(|t| t.facts.id == facts.id) {
            Some(t) if t.facts == facts => {}
            Some(t) => {
                t.configurations += 1;
                t.facts = facts;
            }
            None => {
                self.tracks.push(Track::new(facts));
                self.tracks.sort_by_key(|t| t.facts.id);
            }
        }
    }

    /// Is this track's configuration known?
    pub fn knows(&self, track: u32) -> bool {
        self.tracks.iter().any(|t| t.facts.id == track)
    }

    /// Takes one packet; of a track that is not configured nothing is kept.
    pub fn feed(&mut self, track: u32, s: Sample) {
        let Some(t) = self.tracks.iter_mut().find(|t| t.facts.id == track) else { return };
        let scale = t.facts.timescale;
        let dts = scale.to_micros(s.dts);
        let pts = scale.to_micros(s.dts.saturating_add(s.cts.into()));
        t.feed(dts, pts, &s);
        let kind = t.facts.kind;
        if !self.apart {
            self.interleave.feed(kind, dts);
        }
        if let Some(at) = s.arrival {
            self.arrivals.feed(at, dts);
        }
    }

    /// What follows has a time base of its own: no step is counted across this point.
    pub fn restart(&mut self) {
        for t in &mut self.tracks {
            t.restart();
        }
        (self.interleave.audio, self.interleave.video) = (None, None);
    }

    /// As [`Analysis::restart`], for one track.
    pub fn restart_track(&mut self, track: u32) {
        if let Some(t) = self.tracks.iter_mut().find(|t| t.facts.id == track) {
            t.restart();
        }
    }

    /// What every track amounts to so far, by its number.
    pub fn tracks(&self) -> Vec<TrackReport> {
        self.tracks.iter().map(Track::report).collect()
    }

    /// How the first audio track lies to the first video track; `None` without both.
    pub fn skew(&self) -> Option<Skew> {
        let first = |kind| self.tracks.iter().find(|t| t.facts.kind == kind && t.packets > 0);
        let (a, v) = (first(Kind::Audio)?, first(Kind::Video)?);
        let offsets = &self.interleave.offsets;
        let end = |t: &Track| Some(t.last? + t.nominal().unwrap_or(0));
        Some(Skew {
            start_seconds: secs(a.first_pts? - v.first_pts?),
            end_seconds: secs(end(a)? - end(v)?),
            interleave_min_seconds: offsets.min().map(secs),
            interleave_median_seconds: offsets.median().map(secs),
            interleave_max_seconds: offsets.max().map(secs),
        })
    }

    /// How packets arrived; `None` for sources without arrival times.
    pub fn arrival(&self) -> Option<Arrival> {
        let a = &self.arrivals;
        let ((from, start), (to, end)) = (a.first?, a.last?);
        let burst_end = a.burst_to.unwrap_or(start);
        let elapsed = i64::try_from(to.since(from).as_micros()).unwrap_or(i64::MAX);
        let pace = (elapsed > BURST).then(|| (end - burst_end) as f64 / elapsed as f64);
        let spread = |(a, b): (i64, i64)| secs(b - a);
        Some(Arrival {
            burst_seconds: secs(burst_end - start),
            pace: pace.map(|p| (p * 1000.0).round() / 1000.0),
            jitter_seconds: a.lateness.min().zip(a.lateness.max()).map(spread),
        })
    }
}

impl Interleave {
    /// Notes how far audio is ahead of video in decode time at this moment of the order.
    fn feed(&mut self, kind: Kind, dts: i64) {
        match kind {
            Kind::Audio => self.audio = Some(dts),
            Kind::Video => self.video = Some(dts),
        }
        if let (Some(a), Some(v)) = (self.audio, self.video) {
            // In whole milliseconds: finer says nothing about interleaving.
            self.offsets.add(a.saturating_sub(v) / 1000 * 1000);
        }
    }
}

impl Arrivals {
    fn feed(&mut self, at: Mono, dts: i64) {
        let (from, start) = *self.first.get_or_insert((at, dts));
        let since = i64::try_from(at.since(from).as_micros()).unwrap_or(i64::MAX);
        let newest = self.last.map_or(dts, |(_, newest)| newest.max(dts));
        self.last = Some((at, newest));
        if since <= BURST {
            self.burst_to = Some(newest);
        } else {
            let media = dts.saturating_sub(start);
            self.lateness.add(since.saturating_sub(media) / 1000 * 1000);
        }
    }
}

#[cfg(test)]
#[path = "analysis_test.rs"]
mod tests;
