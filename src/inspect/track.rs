//! One track's part of the analysis: counts, steps of decode time, GOPs. Pure.

use crate::base::time::MICROS;
use crate::inspect::analysis::{Sample, TrackFacts};
use crate::inspect::histogram::Histogram;
use crate::inspect::report::{Gop, Timestamps, TrackReport, secs};
use crate::media::track::{FrameRate, Kind};

/// A step of decode times longer than this, either way, is a jump of the time base and no hole.
const JUMP: i64 = MICROS;

/// A rate is variable when more than this share of frame durations is off the usual one.
const VARIABLE_SHARE: f64 = 0.1;

/// A frame duration is off when it differs by more than this share of the usual one (and by more
/// than the millisecond that RTMP rounds to, each way).
const OFF_SHARE: f64 = 0.1;
const ROUNDING: i64 = 2_000;

/// What is kept of a track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) facts: TrackFacts,
    pub(super) configurations: u64,
    pub(super) packets: u64,
    keys: u64,
    bytes: u64,
    first_dts: Option<i64>,
    pub(super) first_pts: Option<i64>,
    pub(super) last: Option<i64>,
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

impl Track {
    pub(super) fn new(facts: TrackFacts) -> Track {
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

    pub(super) fn feed(&mut self, dts: i64, pts: i64, s: &Sample) {
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
        let odd = !(0..=JUMP).contains(&step);
        if odd && step.saturating_abs() > self.worst.saturating_abs() {
            self.worst = step;
        }
        if step >= -JUMP {
            self.span = self.span.saturating_add(step);
        }
    }

    pub(super) fn restart(&mut self) {
        if self.last.take().is_some() {
            self.span = self.span.saturating_add(self.nominal().unwrap_or(0));
        }
        (self.key_at, self.max_pts) = (None, i64::MIN);
    }

    /// A frame's duration: the codec's, the declared one, or the usual one.
    pub(super) fn nominal(&self) -> Option<i64> {
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

    pub(super) fn report(&self) -> TrackReport {
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
