//! What the movie will be: which samples, at which times, shown from when to when. Pure.

use crate::base::ids::Generation;
use crate::base::time::{MICROS, Timescale, Wall};
use crate::export::collect::{Content, Lane, Sample};
use crate::export::moment::Range;
use crate::media::fmp4::movie::Edit;
use crate::media::track::Kind;
use std::collections::BTreeMap;
use std::ops;

/// What happens to the time between stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gaps {
    /// It is closed up.
    #[default]
    Close,
    /// It passes as it did.
    Keep,
}

/// How a range is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// What is asked for.
    pub range: Range,
    /// Begin with the key frame at or before it, so that nothing has to be skipped.
    pub at_key_frame: bool,
    /// Between stretches.
    pub gaps: Gaps,
}

/// Where two stretches meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joint {
    /// Where, in microseconds of the presentation.
    pub at: i64,
    /// How long media was absent there by its dates, microseconds.
    pub absent: i64,
}

/// One track of the movie.
#[derive(Debug)]
pub struct PlanTrack {
    /// The track's samples and where they come from; their times are ticks of `timescale`, the
    /// first one's DTS being 0.
    pub lane: Lane,
    /// Unit of its times.
    pub timescale: Timescale,
    /// Where the first sample's DTS lies on the movie's time.
    pub zero: i64,
    /// Decode time at which the last sample ends.
    pub end: i64,
    /// What is presented.
    pub edits: Vec<Edit>,
}

/// A movie.
#[derive(Debug)]
pub struct Plan {
    /// Unit of edits.
    pub timescale: Timescale,
    /// Video first.
    pub tracks: Vec<PlanTrack>,
    /// Wall clock of its first picture or sound.
    pub from: Wall,
    /// Microseconds that it is presented for.
    pub duration: i64,
    /// Where stretches meet.
    pub joints: Vec<Joint>,
}

/// Samples on one time base.
#[derive(Debug, Default)]
struct Stretch {
    /// Per lane: its samples.
    samples: Vec<ops::Range<usize>>,
    /// Per lane: presented from and to, movie ticks on the stretch's own time base.
    shown: Vec<Option<(i64, i64)>>,
    /// What is added to its times, movie ticks.
    offset: i64,
}

/// Plans a movie. `None` when the range has nothing to show.
pub fn plan(content: Content, cut: &Cut) -> Option<Plan> {
    let mut planner = Planner::new(content);
    let absent = planner.place(cut.gaps);
    let window = planner.window(cut)?;
    let joints = planner.joints(&absent, window);
    let from = planner.wall_at(window.0);
    let mut tracks = Vec::new();
    for at in 0..planner.lanes.len() {
        tracks.extend(planner.track(at, window));
    }
    let timescale = planner.movie;
    let shown = |t: &PlanTrack| t.edits.iter().map(|e| e.duration).sum::<u64>();
    let longest = tracks.iter().map(shown).max().and_then(|d| i64::try_from(d).ok())?;
    Some(Plan { timescale, tracks, from, duration: timescale.to_micros(longest), joints })
}

/// A presentation's start and end, movie ticks.
type Window = (i64, i64);

struct Planner {
    lanes: Vec<Lane>,
    movie: Timescale,
    stretches: Vec<Stretch>,
    /// The lane whose pictures (or sound) a range is cut by.
    leader: usize,
}

impl Planner {
    fn new(content: Content) -> Planner {
        let lanes = content.lanes;
        let scales =
            lanes.iter().flat_map(|l| l.inits.iter().map(|i| i.details.mux_timescale.get()));
        let mut found: BTreeMap<(Generation, u64), Stretch> = BTreeMap::new();
        for (at, lane) in lanes.iter().enumerate() {
            for (i, sample) in lane.samples.iter().enumerate() {
                let s = &lane.segments[sample.segment()];
                let stretch = found.entry((s.generation, s.dseq)).or_default();
                stretch.samples.resize(lanes.len(), 0..0);
                let range = &mut stretch.samples[at];
                *range = if range.end == 0 { i..i + 1 } else { range.start..i + 1 };
            }
        }
        let mut planner = Planner {
            movie: common(scales),
            stretches: found.into_values().collect(),
            // Lanes are sorted: video first.
            leader: 0,
            lanes,
        };
        for at in 0..planner.stretches.len() {
            let lanes = 0..planner.lanes.len();
            planner.stretches[at].shown = lanes.map(|l| planner.shown(at, l)).collect();
        }
        planner
    }

    /// A lane's time in movie ticks.
    fn movie(&self, lane: &Lane, sample: &Sample, ticks: i64) -> i64 {
        lane.details(sample.segment()).mux_timescale.convert(ticks, self.movie)
    }

    /// From when to when a lane of a stretch is presented, on the stretch's own time base.
    fn shown(&self, stretch: usize, at: usize) -> Option<(i64, i64)> {
        let lane = &self.lanes[at];
        let samples = &lane.samples[self.stretches[stretch].samples[at].clone()];
        let pts = |s: &Sample| self.movie(lane, s, s.pts());
        let (first, last) = (samples.iter().map(pts).min()?, samples.iter().map(pts).max()?);
        let end = samples.last()?;
        let lasts = lane.segments[end.segment()].end.saturating_sub(end.dts).max(1);
        Some((first, last.saturating_add(self.movie(lane, end, lasts))))
    }

    /// Lays the stretches one after another. For each joint, how many microseconds are absent.
    fn place(&mut self, gaps: Gaps) -> Vec<i64> {
        let mut absent = Vec::new();
        for at in 0..self.stretches.len() {
            let Some(before) = at.checked_sub(1) else {
                let first = self.stretches[at].shown.iter().flatten().map(|s| s.0).min();
                self.stretches[at].offset = first.unwrap_or(0).saturating_neg();
                continue;
            };
            let (old, new) = (&self.stretches[before], &self.stretches[at]);
            let pairs = || old.shown.iter().zip(&new.shown);
            // The first track to touch closes the gap; without a common one, all end first.
            let common = pairs().filter_map(|(o, n)| Some(o.as_ref()?.1 - n.as_ref()?.0)).max();
            let apart = || {
                let end = old.shown.iter().flatten().map(|s| s.1).max().unwrap_or(0);
                end - new.shown.iter().flatten().map(|s| s.0).min().unwrap_or(0)
            };
            let closed = old.offset.saturating_add(common.unwrap_or_else(apart));
            let dated = self.dated(before, at).map_or(closed, |d| d.max(closed));
            absent.push(self.movie.to_micros(dated.saturating_sub(closed)));
            self.stretches[at].offset = if gaps == Gaps::Keep { dated } else { closed };
        }
        absent
    }

    /// The offset of a stretch by which dates and times agree: the last date of the one before it
    /// and its own first.
    fn dated(&self, before: usize, at: usize) -> Option<i64> {
        let anchor = |stretch: usize, last: bool| {
            let lane = self.stretches[stretch].samples.iter().position(|r| r.end > r.start)?;
            let range = self.stretches[stretch].samples[lane].clone();
            let lane = &self.lanes[lane];
            let sample = &lane.samples[if last { range.end - 1 } else { range.start }];
            let s = &lane.segments[sample.segment()];
            Some((self.movie(lane, sample, s.pts), s.wall))
        };
        let ((old, old_wall), (new, new_wall)) = (anchor(before, true)?, anchor(at, false)?);
        let passed = self.movie.from_micros(new_wall.since(old_wall));
        Some(self.stretches[before].offset.saturating_add(old) + passed - new)
    }

    /// Where a leader's samples are presented, with the samples, in the order of the logs.
    fn led(&self) -> impl Iterator<Item = (usize, i64, &Sample)> + '_ {
        let lane = &self.lanes[self.leader];
        self.stretches.iter().flat_map(move |st| {
            let range = st.samples[self.leader].clone();
            range.map(move |i| {
                let sample = &lane.samples[i];
                (i, self.movie(lane, sample, sample.pts()).saturating_add(st.offset), sample)
            })
        })
    }

    /// From when to when the range is presented; `None` when it has nothing of the leader.
    fn window(&self, cut: &Cut) -> Option<Window> {
        let lane = self.lanes.get(self.leader)?;
        let range = &cut.range;
        let msn = |s: &Sample| lane.segments[s.segment()].msn;
        let begun = |s: &Sample| {
            range.from.is_none_or(|from| lane.wall(s) >= from)
                && range.first.is_none_or(|first| msn(s) >= first)
        };
        let over = |s: &Sample| {
            range.to.is_some_and(|to| lane.wall(s) >= to)
                || range.last.is_some_and(|last| msn(s) > last)
        };
        let mut shown = self.led().filter(|(_, _, s)| begun(s) && !over(s)).map(|(_, pts, _)| pts);
        let first = shown.by_ref().next()?;
        let (first, last) = shown.fold((first, first), |(a, b), pts| (a.min(pts), b.max(pts)));
        let ends = self.led().filter(|(_, pts, s)| *pts > last && over(s)).map(|(_, pts, _)| pts);
        let all = self.stretches.iter().flat_map(|st| {
            st.shown.iter().flatten().map(move |s| (s.0 + st.offset, s.1 + st.offset))
        });
        let bounds = all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let start = match (range.has_start(), cut.at_key_frame) {
            (false, _) => bounds.0,
            (true, false) => first,
            (true, true) => self.key_before(first),
        };
        Some((start, ends.min().unwrap_or(bounds.1)))
    }

    /// Presentation time of the key frame that the leader's sample at `pts` needs.
    fn key_before(&self, pts: i64) -> i64 {
        let (mut key, mut before) = (pts, pts);
        for (_, at, sample) in self.led() {
            if sample.key() {
                (before, key) = (key, at);
            }
            if at == pts {
                return if sample.skipped() { before.min(pts) } else { key };
            }
        }
        pts
    }

    fn joints(&self, absent: &[i64], window: Window) -> Vec<Joint> {
        let starts = self.stretches.iter().skip(1).map(|st| {
            st.shown.iter().flatten().map(|s| s.0).min().unwrap_or(0).saturating_add(st.offset)
        });
        let inside = |at: &i64| window.0 < *at && *at < window.1;
        let of = |(at, absent): (i64, &i64)| Joint {
            at: self.movie.to_micros(at - window.0),
            absent: *absent,
        };
        starts.zip(absent).filter(|(at, _)| inside(at)).map(of).collect()
    }

    /// Wall clock of a presentation time: that of the first sample of the leader at or after it.
    fn wall_at(&self, time: i64) -> Wall {
        let lane = &self.lanes[self.leader];
        let found = self.led().filter(|(_, pts, _)| *pts >= time).min_by_key(|(_, pts, _)| *pts);
        found.map_or(Wall(0), |(_, _, s)| lane.wall(s))
    }

    /// The samples of a lane that a window needs, on the movie's time, and what is presented of
    /// them.
    fn track(&mut self, at: usize, window: Window) -> Option<PlanTrack> {
        let (first, last) = self.needed(at, window)?;
        let lane = &self.lanes[at];
        let timescale = lane.details(lane.samples[first].segment()).mux_timescale;
        let mut placed = Vec::with_capacity(last + 1 - first);
        let mut shown: Option<Window> = None;
        let mut now = i64::MIN;
        for st in &self.stretches {
            let range = &st.samples[at];
            for i in range.start.max(first)..range.end.min(last + 1) {
                let mut s = lane.samples[i];
                let movie = |ticks| self.movie(lane, &s, ticks).saturating_add(st.offset);
                let (dts, pts) = (movie(s.dts), movie(s.pts()));
                let (dts, pts) = (
                    self.movie.convert(dts, timescale).max(now),
                    self.movie.convert(pts, timescale),
                );
                // Decode times grow: where stretches with other delays meet, the offset gives way.
                now = dts.saturating_add(1);
                let until = pts.saturating_add(self.lasts(at, i, timescale));
                shown = Some(shown.map_or((pts, until), |(a, b)| (a.min(pts), b.max(until))));
                s.cts = pts.saturating_sub(dts).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
                s.dts = dts;
                placed.push(s);
            }
        }
        let zero = placed.first()?.dts;
        placed.iter_mut().for_each(|s| s.dts -= zero);
        let end = placed.last()?.dts + self.lasts(at, last, timescale).max(1);
        let edits = self.edits(window, shown?, zero, timescale);
        let (track, kind) = (lane.track, lane.kind);
        let mut lane = std::mem::replace(&mut self.lanes[at], Lane::empty(track, kind));
        lane.samples = placed;
        lane.drop_unused();
        Some(PlanTrack { lane, timescale, zero, end, edits })
    }

    /// How long the sample at `i` lasts, in ticks of `timescale`.
    fn lasts(&self, at: usize, i: usize, timescale: Timescale) -> i64 {
        let lane = &self.lanes[at];
        let sample = &lane.samples[i];
        let next = lane.samples.get(i + 1).filter(|n| n.segment() == sample.segment());
        let end = next.map_or(lane.segments[sample.segment()].end, |n| n.dts);
        let mux = lane.details(sample.segment()).mux_timescale;
        mux.convert(end.saturating_sub(sample.dts).max(1), timescale)
    }

    /// The first and last sample of a lane that presenting a window takes.
    fn needed(&self, at: usize, (from, to): Window) -> Option<(usize, usize)> {
        let lane = &self.lanes[at];
        let (mut first, mut last, mut key, mut key_before) = (None::<usize>, None, 0, 0);
        for st in &self.stretches {
            let range = st.samples[at].clone();
            for i in range.clone() {
                let s = &lane.samples[i];
                let pts = self.movie(lane, s, s.pts()).saturating_add(st.offset);
                if s.key() {
                    (key_before, key) = (key, i);
                }
                if pts >= to {
                    continue;
                }
                let reaches = match lane.kind {
                    Kind::Video => pts >= from,
                    Kind::Audio => {
                        let lasts = self.lasts(at, i, self.movie);
                        pts.saturating_add(lasts) > from
                    }
                };
                if !reaches {
                    continue;
                }
                // Sound needs the frame before to decode its first, a picture its key frame, and
                // one that is skipped behind that the key frame before.
                let needs = match lane.kind {
                    Kind::Video if s.skipped() => key_before,
                    Kind::Video => key,
                    Kind::Audio if pts > from => i,
                    Kind::Audio => i.saturating_sub(1),
                };
                let needs = needs.max(range.start);
                first = Some(first.map_or(needs, |f| f.min(needs)));
                last = Some(i);
            }
        }
        first.zip(last)
    }

    /// What is presented: nothing until the track begins, then it, until the window or it ends.
    fn edits(&self, (from, to): Window, shown: Window, zero: i64, unit: Timescale) -> Vec<Edit> {
        let movie = |ticks| unit.convert(ticks, self.movie);
        let (start, end) = (movie(shown.0).max(from), movie(shown.1).min(to).max(from + 1));
        let ticks = |t: i64| t.unsigned_abs();
        let mut edits = Vec::with_capacity(2);
        if start > from {
            edits.push(Edit { media: None, duration: ticks(start - from) });
        }
        let media = self.movie.convert(start, unit).saturating_sub(zero).max(0);
        let duration = ticks(end.saturating_sub(start).max(1));
        edits.push(Edit { media: Some(ticks(media)), duration });
        edits
    }
}

/// A timescale in which every tick of all of `scales` is a whole number of ticks; microseconds when
/// that is beyond 32 bits.
fn common(scales: impl Iterator<Item = u32>) -> Timescale {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = scales.map(u64::from).try_fold(1u64, |a, b| {
        Some(a / gcd(a, b).max(1) * b).filter(|n| *n <= u64::from(u32::MAX))
    });
    let ticks = lcm.and_then(|n| u32::try_from(n).ok()).unwrap_or(MICROS as u32);
    Timescale::new(ticks).unwrap_or(Timescale::MILLIS)
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
