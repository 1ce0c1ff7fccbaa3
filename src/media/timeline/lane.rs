//! One track's side of the cut: its open part, its sample numbers and its sample grid. Knows
//! durations and limits of parts; knows nothing of other tracks, wall clock or gaps (`cut` does).

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::{Timescale, Wall};
use crate::media::codec::FrameLength;
use crate::media::packet::Packet;
use crate::media::timeline::mark::PartEnd;
use crate::media::track::Kind;
use std::collections::VecDeque;

/// How far audio timestamps may stray from the sample grid before the grid is laid anew,
/// microseconds: below the 45 ms at which people notice sound leading picture (ITU-R BT.1359),
/// above any rounding to milliseconds.
const GRID_TOLERANCE: i64 = 40_000;

/// Most samples in one part: 2 s, the longest part, have 480 pictures at 240 frames a second and
/// 800 frames of Opus of 2.5 ms. Where an encoder stamps its pictures alike time closes no part,
/// and whoever reads the log holds this many samples until their part ends.
pub const PART_SAMPLES_MAX: usize = 1_024;

/// What the cut needs to know of a track; all of it is declared, nothing is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The track.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// Unit of the packets' times.
    pub timescale: Timescale,
    /// Unit of `PartEnd::decode_time`.
    pub mux: Timescale,
    /// Nominal duration of one sample in microseconds; never zero.
    pub frame: i64,
    /// How long a sample is in mux ticks where that is exact (audio).
    pub frames: Option<FrameLength>,
}

impl Plan {
    /// Decode time of a packet in microseconds.
    pub fn dts(&self, p: &Packet) -> i64 {
        self.timescale.to_micros(p.dts)
    }

    /// Presentation time of a packet in microseconds.
    pub fn pts(&self, p: &Packet) -> i64 {
        self.timescale.to_micros(p.pts())
    }

    /// Mux ticks of a packet's sample where they are exact.
    fn ticks(&self, p: &Packet) -> Option<u32> {
        self.frames.map(|f| f.ticks(&p.payload))
    }

    /// Duration of a packet's sample in microseconds: nominal, or what the packet says.
    fn lasts(&self, p: &Packet) -> i64 {
        match self.frames {
            Some(FrameLength::InPacket { .. }) => {
                self.mux.to_micros(i64::from(self.ticks(p).unwrap_or(0))).max(1)
            }
            Some(FrameLength::Fixed(_)) | None => self.frame,
        }
    }
}

/// A listed sample of the open part.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seq: Seq,
    dts: i64,
    pts: i64,
    lasts: i64,
    mux: u64,
    key: bool,
}

/// Audio's sample grid: the next sample's decode time if none is missing.
#[derive(Debug, Clone, Copy)]
struct Grid {
    next: i64,
}

/// One track's open part and numbers.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) plan: Plan,
    part_target: i64,
    next_seq: u64,
    /// The segment that new samples belong to; `None` while nothing is listed.
    pub(super) segment: Option<Msn>,
    /// Index of the open part.
    pub(super) part: u32,
    open: VecDeque<Sample>,
    /// Sum of what the open part's samples last by themselves.
    open_lasts: i64,
    grid: Option<Grid>,
    /// Decode time and delta of the newest listed sample, for steadiness.
    last_dts: Option<i64>,
    steady: bool,
    /// Presentation time at which the listed media of this track ends.
    pub(super) end_pts: Option<i64>,
    /// Microseconds listed in the open segment by closed parts.
    pub(super) listed: i64,
    /// The newest segment that has a date, and the date.
    dated: Option<(Msn, Wall)>,
}

impl Lane {
    pub(super) fn new(plan: Plan, part_target: i64) -> Lane {
        Lane {
            plan,
            part_target,
            next_seq: 0,
            segment: None,
            part: 0,
            open: VecDeque::new(),
            open_lasts: 0,
            grid: None,
            last_dts: None,
            steady: false,
            end_pts: None,
            listed: 0,
            dated: None,
        }
    }

    /// The date of a segment of this track: never at or before the one of the segment before it.
    pub(super) fn date(&mut self, msn: Msn, wall: Wall) -> Wall {
        let wall = match self.dated {
            Some((same, _)) if same == msn => return wall,
            Some((_, before)) => wall.max(before.plus(1_000)),
            None => wall,
        };
        self.dated = Some((msn, wall));
        wall
    }

    /// Takes a new configuration; its grid may count in other ticks.
    pub(super) fn reconfigure(&mut self, plan: Plan) {
        self.plan = plan;
        self.grid = None;
    }

    /// Forgets the old time base; numbers go on.
    pub(super) fn new_epoch(&mut self) {
        self.grid = None;
        self.last_dts = None;
        self.steady = false;
        self.end_pts = None;
    }

    /// Decode time of the newest listed sample on this time base.
    pub(super) fn last_dts(&self) -> Option<i64> {
        self.last_dts
    }

    /// Starts a segment with the next sample, or with the first of the open part when it has
    /// samples.
    pub(super) fn start_segment(&mut self, msn: Msn) -> Seq {
        self.segment = Some(msn);
        self.part = 0;
        self.listed = 0;
        self.open.front().map_or(Seq(self.next_seq), |s| s.seq)
    }

    /// PTS of the first sample of the open part.
    pub(super) fn open_pts(&self) -> Option<i64> {
        self.open.front().map(|s| s.pts)
    }

    /// Would this packet's sample overflow the open part or break audio's grid? Then the part must
    /// close before it.
    pub(super) fn must_close_before(&self, p: &Packet) -> bool {
        let Some(first) = self.open.front() else { return false };
        let lasts = self.plan.lasts(p);
        let spanned = self.plan.dts(p) + lasts - first.dts;
        self.counted(lasts).unwrap_or(spanned) > self.part_target
            || self.off_grid(p)
            || self.open.len() >= PART_SAMPLES_MAX
    }

    /// Duration of the open part and of one sample more, where each lasts its own time exactly
    /// (audio), whatever the timestamps say; `None` for a track without a sample grid.
    fn counted(&self, more: i64) -> Option<i64> {
        self.plan.frames?;
        Some(self.open_lasts.saturating_add(more))
    }

    /// How far a packet's time is past the sample grid, microseconds; `None` without a grid.
    fn past_grid(&self, p: &Packet) -> Option<i64> {
        let (Some(grid), Some(_)) = (self.grid, self.plan.frames) else { return None };
        let raw = self.plan.timescale.convert(p.dts, self.plan.mux);
        Some(self.plan.mux.to_micros(raw - grid.next))
    }

    fn off_grid(&self, p: &Packet) -> bool {
        self.past_grid(p).is_some_and(|d| d > GRID_TOLERANCE)
    }

    /// Would this sample begin while the ones before it still sound? Encoders that stamp their
    /// first frames alike, or count by a clock of their own, send more frames than there is time
    /// for.
    pub(super) fn overlaps(&self, p: &Packet) -> bool {
        self.past_grid(p).is_some_and(|d| d < -GRID_TOLERANCE)
    }

    /// Lists a packet's sample in the open part and gives it its number.
    pub(super) fn list(&mut self, p: &Packet) -> Seq {
        let (dts, pts, lasts) = (self.plan.dts(p), self.plan.pts(p), self.plan.lasts(p));
        let raw = self.plan.timescale.convert(p.dts, self.plan.mux);
        let mux = match (self.plan.frames, self.grid) {
            (Some(_), Some(grid)) if !self.off_grid(p) => grid.next,
            _ => raw,
        };
        if let Some(ticks) = self.plan.ticks(p) {
            self.grid = Some(Grid { next: mux + i64::from(ticks) });
        }
        // A rate is steady when the newest delta is the nominal one, give or take a millisecond's
        // rounding and a quarter frame of jitter: then a part needn't wait for the next sample to
        // know its own duration. Sound says itself how long it is.
        let slack = self.plan.frame / 4 + 1_000;
        let usual = |last: i64| (dts - last - self.plan.frame).abs() <= slack;
        let own = matches!(self.plan.frames, Some(FrameLength::InPacket { .. }));
        self.steady = own || self.last_dts.is_none_or(usual);
        self.last_dts = Some(dts);
        let end = pts + lasts;
        self.end_pts = Some(self.end_pts.map_or(end, |e| e.max(end)));
        let seq = Seq(self.next_seq);
        self.next_seq += 1;
        let mux = u64::try_from(mux).unwrap_or(0);
        self.open_lasts += lasts;
        self.open.push_back(Sample { seq, dts, pts, lasts, mux, key: p.key });
        seq
    }

    /// Is the open part full, so that it can close at once with its last sample's nominal duration?
    pub(super) fn is_full(&self) -> bool {
        let (Some(first), Some(last)) = (self.open.front(), self.open.back()) else { return false };
        let spanned = last.dts + 2 * self.plan.frame - first.dts;
        self.steady && self.counted(last.lasts).unwrap_or(spanned) > self.part_target
    }

    /// Closes the open part, if it has samples. `next_dts` is the decode time of the sample that
    /// follows without a break, when known.
    pub(super) fn close(&mut self, next_dts: Option<i64>) -> Option<PartEnd> {
        let count = self.open.len();
        self.close_first(count, next_dts)
    }

    /// Closes a part with the samples of the open part whose PTS is before `pts`; the others stay
    /// open.
    pub(super) fn close_before(&mut self, pts: i64) -> Option<PartEnd> {
        let count = self.open.iter().take_while(|s| s.pts < pts).count();
        let next = self.open.get(count).map(|s| s.dts);
        self.close_first(count, next)
    }

    fn close_first(&mut self, count: usize, next_dts: Option<i64>) -> Option<PartEnd> {
        let msn = self.segment?;
        let first = *self.open.front()?;
        let last = *self.open.get(count.checked_sub(1)?)?;
        let independent = self.open.iter().take(count).any(|s| s.key);
        let nominal: i64 = self.open.iter().take(count).map(|s| s.lasts).sum();
        let duration = self.duration(first, last, nominal, next_dts);
        self.open.drain(..count);
        self.open_lasts -= nominal;
        let end = PartEnd {
            track: self.plan.track,
            msn,
            part: self.part,
            first_seq: first.seq,
            last_seq: last.seq,
            decode_time: first.mux,
            duration,
            independent,
        };
        self.part += 1;
        self.listed += duration;
        Some(end)
    }

    /// Decode-time duration of the samples from `first` to `last`. What they last by themselves
    /// where the timestamps agree with that to 2 ms (timestamps in milliseconds round; their sum
    /// must not), else up to the next sample, at most the rest of the part.
    fn duration(&self, first: Sample, last: Sample, nominal: i64, next: Option<i64>) -> i64 {
        let end = next.filter(|n| *n > last.dts).unwrap_or(last.dts + last.lasts);
        let spanned = end - first.dts;
        let exact = self.plan.frames.is_some() || (spanned - nominal).abs() <= 2_000;
        (if exact { nominal } else { spanned }).clamp(1, self.part_target)
    }

    /// Microseconds in the open segment so far, the open part included.
    pub(super) fn elapsed(&self) -> i64 {
        let open = self.open.front().zip(self.open.back());
        self.listed + open.map_or(0, |(a, b)| b.dts - a.dts + b.lasts)
    }

    /// Are there samples that no mark governs yet?
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }
}
