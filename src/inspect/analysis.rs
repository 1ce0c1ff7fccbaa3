//! The pure core: packets' times, sizes and flags in, what they amount to out. It knows tracks and
//! no container, keeps counts and no packets, and reads no clock.

use crate::base::time::{MICROS, Mono, Timescale};
use crate::inspect::histogram::Histogram;
use crate::inspect::report::{Arrival, Gop, Skew, Timestamps, TrackReport, secs};
use crate::media::track::{FrameRate, Kind};

/// A step of decode times longer than this, either way, is a jump of the time base and no hole.
pub const JUMP: i64 = MICROS;

/// Packets that come within this time of the first one are the server's burst, not the encoder's
/// pace.
const BURST: i64 = 200_000;

/// A rate is variable when more than this share of frame durations is off the usual one.
const VARIABLE_SHARE: f64 = 0.1;

/// A frame duration is off when it differs by more than this share of the usual one (and by more
/// than the millisecond that RTMP rounds to, each way).
const OFF_SHARE: f64 = 0.1;
const ROUNDING: i64 = 2_000;

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

#[derive(Debug)]
struct Track {
    facts: TrackFacts,
    configurations: u64,
    packets: u64,
    keys: u64,
    bytes: u64,
    first_dts: Option<i64>,
    first_pts: Option<i64>,
    last: Option<i64>,
    /// Sum of the steps, backward jumps left out.
    span: i64,
    /// Steps forward that are no jumps, microseconds, and their sum.
    steps: Histogram,
    stepped: i64,
    backward: u64,
    duplicates: u64,
    jumps: u64,
    /// The step furthest from zero that is backward or a jump.
    worst: i64,
    reordered: bool,
    max_pts: i64,
    /// DTS of the newest key frame, and where its GOP stands.
    key_at: Option<i64>,
    before_key: u64,
    gops: Histogram,
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

impl Track {
    fn new(facts: TrackFacts) -> Track {
        Track {
            facts,
            configurations: 1,
            packets: 0,
            keys: 0,
            bytes: 0,
            first_dts: None,
            first_pts: None,
            last: None,
            span: 0,
            steps: Histogram::default(),
            stepped: 0,
            backward: 0,
            duplicates: 0,
            jumps: 0,
            worst: 0,
            reordered: false,
            max_pts: i64::MIN,
            key_at: None,
            before_key: 0,
            gops: Histogram::default(),
        }
    }

    fn feed(&mut self, dts: i64, pts: i64, s: &Sample) {
        self.packets += 1;
        self.bytes += s.size;
        self.first_dts.get_or_insert(dts);
        self.first_pts.get_or_insert(pts);
        if let Some(last) = self.last {
            self.step(dts.saturating_sub(last));
        }
        self.last = Some(dts);
        self.reordered |= pts < self.max_pts;
        self.max_pts = self.max_pts.max(pts);
        if s.key {
            self.keys += 1;
            if let Some(before) = self.key_at.replace(dts)
                && dts > before
            {
                self.gops.add(dts - before);
            }
        } else if self.key_at.is_none() {
            self.before_key += 1;
        }
    }

    fn step(&mut self, step: i64) {
        if step.saturating_abs() > JUMP {
            self.jumps += 1;
            // A GOP across a jump, and a picture order across one, say nothing.
            (self.key_at, self.max_pts) = (None, i64::MIN);
        }
        match step {
            0 => self.duplicates += 1,
            ..0 => self.backward += 1,
            1.. if step <= JUMP => {
                self.steps.add(step);
                self.stepped += step;
            }
            _ => {}
        }
        let odd = step < 0 || step > JUMP;
        if odd && step.saturating_abs() > self.worst.saturating_abs() {
            self.worst = step;
        }
        if step >= -JUMP {
            self.span = self.span.saturating_add(step);
        }
    }

    fn restart(&mut self) {
        if self.last.take().is_some() {
            self.span = self.span.saturating_add(self.nominal().unwrap_or(0));
        }
        (self.key_at, self.max_pts) = (None, i64::MIN);
    }

    /// A frame's duration: the codec's, the declared one, or the usual one.
    fn nominal(&self) -> Option<i64> {
        let declared = self.facts.rate.map(FrameRate::frame_micros);
        self.facts.frame.or(declared).or_else(|| self.steps.median())
    }

    fn timestamps(&self) -> Timestamps {
        let usual = self.steps.median();
        let off = |n: i64| ROUNDING.max((n as f64 * OFF_SHARE) as i64);
        let odd = usual.map_or(0, |n| self.steps.below(n - off(n)) + self.steps.above(n + off(n)));
        let share = odd as f64 / self.steps.total().max(1) as f64;
        let variable = self.facts.kind == Kind::Video && share > VARIABLE_SHARE;
        let holes = self.nominal().map_or(0, |n| self.steps.above((n + n / 2).max(n + ROUNDING)));
        let spread = self.steps.quantile(0.05).zip(self.steps.quantile(0.95));
        Timestamps {
            backward: self.backward,
            duplicates: self.duplicates,
            jumps: self.jumps,
            worst_step_seconds: (self.worst != 0).then(|| secs(self.worst)),
            holes,
            longest_step_seconds: self.steps.max().map(secs),
            jitter_seconds: spread.map(|(a, b)| secs(b - a)),
            variable_frame_rate: (self.facts.kind == Kind::Video).then_some(variable),
        }
    }

    fn gop(&self) -> Option<Gop> {
        if self.facts.kind == Kind::Audio || self.packets == 0 {
            return None;
        }
        let open = self.key_at.zip(self.last).map(|(key, last)| last - key);
        Some(Gop {
            min_seconds: self.gops.min().map(secs),
            median_seconds: self.gops.median().map(secs),
            max_seconds: self.gops.max().map(secs),
            open_seconds: open.map(|o| secs(o + self.nominal().unwrap_or(0))),
            packets_before_first_key: self.before_key,
        })
    }

    fn report(&self) -> TrackReport {
        let f = &self.facts;
        let nominal = self.nominal().unwrap_or(0);
        let tail = if self.last.is_some() { nominal } else { 0 };
        let duration = self.span.saturating_add(tail).max(0);
        let steps = self.steps.total() as f64;
        let measured = (steps > 0.0).then(|| steps * MICROS as f64 / self.stepped as f64);
        let video = f.kind == Kind::Video;
        let bits = self.bytes as f64 * 8.0 * MICROS as f64 / duration.max(1) as f64;
        TrackReport {
            id: f.id,
            name: f.name.clone(),
            kind: if video { "video" } else { "audio" },
            codec: f.codec.clone(),
            width: f.dimensions.map(|d| d.0),
            height: f.dimensions.map(|d| d.1),
            sample_aspect_ratio: f.sar.map(|(w, h)| format!("{w}:{h}")),
            declared_frame_rate: f.rate.map(|r| thousandths(r.as_f64())),
            frame_rate: measured.map(thousandths),
            sample_rate: f.sample_rate,
            channels: f.channels,
            bit_rate: (duration > 0).then_some(bits.round() as u64),
            packets: self.packets,
            key_frames: self.keys,
            bytes: self.bytes,
            configurations: self.configurations,
            gop: self.gop(),
            b_frames: (video && self.packets > 0).then_some(self.reordered),
            first_dts: self.first_dts.map(secs),
            last_dts: self.last.map(secs),
            duration_seconds: secs(duration),
            timestamps: self.timestamps(),
        }
    }
}

fn thousandths(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

#[cfg(test)]
#[path = "analysis_test.rs"]
mod tests;
