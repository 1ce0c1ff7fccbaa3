//! One track's marks in log order, and what must be changed where records are missing, so that a
//! playlist made of them is legal and lists only media that is there (TIMELINE sections 3, 5, 9).
//! Pure.
//!
//! - A part of whose samples one is missing becomes a gap part of the same duration.
//! - A part's end that is missing becomes a gap part: its duration is what the decode times around
//!   it leave, or else a share of the wall-clock time up to the next mark.
//! - A segment whose start is missing becomes a gap: nothing else says when it began, so the parts
//!   that can still be read are listed as gap parts of the same durations.
//! - A segment of which nothing is left becomes one gap.
//! - Marks before the first segment start or gap that can be read govern nothing, and stay.
//!
//! Packets are never touched: those of a part that became a gap stay in the log, unlisted by any
//! part.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::{MICROS, Timescale, Wall};
use crate::log::repair::samples::Samples;
use crate::media::timeline::mark::{End, Gap, Mark, PartEnd, SegmentStart};
use std::collections::BTreeMap;

/// Shortest gap in microseconds, where the clock leaves no time for what is missing.
pub(super) const GAP_MIN: i64 = 1_000;

/// Most segments that are written as gaps at once; readers list further numbers without marks as
/// gaps of themselves (`hls::window`).
pub(super) const FILL_MAX: u64 = 2_000;

/// Most gap parts written at once: 100 s, beyond any target duration, of 200 ms parts.
pub(super) const PARTS_MAX: i64 = 500;

/// The session's constants that bound a gap, microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) part_target: i64,
    pub(super) target_duration: i64,
    pub(super) segment: i64,
}

impl Default for Limits {
    /// Where no session record is left: what a server without a configuration uses.
    fn default() -> Limits {
        Limits { part_target: MICROS / 2, target_duration: 4 * MICROS, segment: 2 * MICROS }
    }
}

/// When segments began and with which discontinuity number, as any track's marks say.
pub(super) type Calendar = BTreeMap<Msn, (u64, Wall)>;

/// What becomes of a mark.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Gaps that go before it.
    pub(super) before: Vec<Mark>,
    /// It is left out (a gap among `before` stands for it).
    pub(super) drop: bool,
}

/// The segment in progress.
#[derive(Debug, Clone, Copy)]
struct Open {
    msn: Msn,
    dseq: u64,
    wall: Wall,
    /// Its start was read; else it is a gap.
    started: bool,
    parts: u32,
    /// Of its parts so far, microseconds.
    duration: i64,
}

impl Open {
    fn end(&self) -> Wall {
        self.wall.plus(self.duration)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    track: TrackId,
    open: Option<Open>,
    /// The newest segment that is complete: number, discontinuity number, end.
    last: Option<(Msn, u64, Wall)>,
    /// The sample that the next part or segment begins with.
    next_seq: Option<Seq>,
    /// Decode time at which the newest part ends, in ticks of `mux`.
    decoded: Option<i64>,
    mux: Option<Timescale>,
    /// Media of this track can be played: its configuration was read.
    configured: bool,
    /// Records are missing since the newest mark.
    suspect: bool,
}

impl Lane {
    pub(super) fn new(track: TrackId) -> Lane {
        Lane {
            track,
            open: None,
            last: None,
            next_seq: None,
            decoded: None,
            mux: None,
            configured: false,
            suspect: false,
        }
    }

    /// Records are missing here.
    pub(super) fn hole(&mut self) {
        self.suspect = true;
    }

    /// The track's configuration: ticks of the container, where it can be read.
    pub(super) fn configure(&mut self, mux: Option<Timescale>) {
        (self.configured, self.mux, self.decoded) = (true, mux, None);
    }

    fn listing(&self) -> bool {
        self.open.is_some() || self.last.is_some()
    }

    /// The newest number, listed in whole or in part.
    fn newest(&self) -> Option<Msn> {
        self.open.map(|o| o.msn).or(self.last.map(|l| l.0))
    }

    pub(super) fn segment_start(
        &mut self,
        s: &SegmentStart,
        limits: Limits,
        calendar: &Calendar,
    ) -> Verdict {
        let mut v = Verdict::default();
        if self.newest().is_some_and(|n| n >= s.msn) {
            return v;
        }
        self.advance(s.msn, s.wall, s.discontinuity, Some(s.first_seq), limits, calendar, &mut v);
        // Nobody could play it: its parts are listed as gaps.
        v.drop = !self.configured;
        self.open = Some(Open {
            msn: s.msn,
            dseq: s.dseq,
            wall: s.wall,
            started: self.configured,
            parts: 0,
            duration: 0,
        });
        self.next_seq = Some(s.first_seq);
        v
    }

    pub(super) fn part_end(
        &mut self,
        p: &PartEnd,
        samples: &Samples,
        limits: Limits,
        calendar: &Calendar,
    ) -> Verdict {
        let mut v = Verdict::default();
        if !self.listing() {
            return v;
        }
        if self.open.is_none_or(|o| o.msn != p.msn) {
            if self.newest().is_some_and(|n| n >= p.msn) {
                return v;
            }
            self.begin_gap(p.msn, (p.part == 0).then_some(p.first_seq), limits, calendar, &mut v);
        }
        let due = self.open.map_or(0, |o| o.parts);
        if p.part < due {
            return v;
        }
        if p.part > due {
            let missing = p.part - due;
            let between = self
                .decoded
                .zip(self.mux)
                .map(|(from, mux)| mux.to_micros(p.decode_time.cast_signed().saturating_sub(from)));
            let total = between.unwrap_or(i64::from(missing).saturating_mul(limits.part_target));
            self.gap_parts(missing, total, limits, &mut v);
        }
        let whole = samples.all(self.track, p.first_seq, p.last_seq);
        let follows = self.open.is_some_and(|o| o.started && o.parts == p.part);
        if !whole || !follows || self.next_seq.is_some_and(|n| p.first_seq < n) {
            v.drop = true;
            self.gap_part(p.duration, &mut v);
        } else if let Some(open) = &mut self.open {
            open.parts = p.part.saturating_add(1);
            open.duration = open.duration.saturating_add(p.duration);
        }
        let ticks = self.mux.map(|mux| mux.from_micros(p.duration));
        self.decoded = ticks.map(|t| p.decode_time.cast_signed().saturating_add(t));
        self.next_seq = Some(Seq(p.last_seq.0.saturating_add(1)));
        self.suspect = false;
        v
    }

    pub(super) fn gap(&mut self, g: &Gap, limits: Limits, calendar: &Calendar) -> Verdict {
        let mut v = Verdict::default();
        let begins = g.part.is_none_or(|i| i == 0);
        if !self.listing() && !begins {
            return v;
        }
        if self.open.is_none_or(|o| o.msn != g.msn) {
            if self.newest().is_some_and(|n| n >= g.msn) {
                return v;
            }
            if begins {
                self.advance(g.msn, g.wall, false, None, limits, calendar, &mut v);
                self.open = Some(Open {
                    msn: g.msn,
                    dseq: g.dseq,
                    wall: g.wall,
                    started: false,
                    parts: 0,
                    duration: 0,
                });
            } else {
                self.begin_gap(g.msn, None, limits, calendar, &mut v);
            }
        }
        let Some(open) = &mut self.open else { return v };
        match g.part {
            None => {
                let end = if open.parts == 0 { g.wall.plus(g.duration) } else { open.end() };
                self.last = Some((open.msn, open.dseq, end));
                self.open = None;
            }
            Some(i) if i < open.parts => return v,
            Some(i) => {
                let missing = i - open.parts;
                if missing > 0 {
                    let total = g.wall.since(open.end());
                    self.gap_parts(missing, total, limits, &mut v);
                }
                if let Some(open) = &mut self.open {
                    open.parts = i.saturating_add(1);
                    open.duration = open.duration.saturating_add(g.duration);
                }
            }
        }
        (self.next_seq, self.decoded, self.suspect) = (None, None, false);
        v
    }

    pub(super) fn end(&mut self, e: &End, limits: Limits, calendar: &Calendar) -> Verdict {
        let mut v = Verdict::default();
        let fate = e.tracks.iter().find(|t| t.track == self.track);
        let (Some(fate), true, true) = (fate, self.suspect, self.listing()) else { return v };
        match self.open {
            Some(open) if open.msn == fate.msn => {
                let missing = fate.parts.saturating_sub(open.parts);
                if missing > 0 {
                    self.gap_parts(missing, e.wall.since(open.end()), limits, &mut v);
                }
            }
            _ => self.advance(fate.msn.next(), e.wall, false, None, limits, calendar, &mut v),
        }
        v
    }

    /// Completes what is open and fills the numbers before `msn`, which begins at `wall`; with
    /// `first`, its first sample, it is known whether parts are missing before it.
    #[allow(clippy::too_many_arguments, reason = "what is known of the next segment")]
    fn advance(
        &mut self,
        msn: Msn,
        wall: Wall,
        discontinuity: bool,
        first: Option<Seq>,
        limits: Limits,
        calendar: &Calendar,
        v: &mut Verdict,
    ) {
        let suspect = std::mem::take(&mut self.suspect);
        if let Some(open) = self.open {
            let until = if msn == open.msn.next() {
                Some(wall).filter(|_| !discontinuity)
            } else {
                calendar.get(&open.msn.next()).map(|(_, wall)| *wall)
            };
            let left = until.map(|u| u.since(open.end()));
            let unmarked = self.next_seq.zip(first).is_some_and(|(next, first)| first > next);
            let short = left.is_some_and(|l| l >= limits.part_target / 2);
            if suspect && msn == open.msn.next() && (unmarked || short)
                || suspect && msn > open.msn.next() && short
            {
                let room = limits.target_duration - open.duration;
                let total = left.unwrap_or(limits.part_target).clamp(GAP_MIN, room.max(GAP_MIN));
                let target = limits.part_target.max(1);
                let parts = ((total + target - 1) / target).clamp(1, PARTS_MAX);
                if room >= GAP_MIN {
                    self.gap_parts(parts.unsigned_abs() as u32, total, limits, v);
                }
            }
            let end = self.open.map_or(wall, |o| o.end());
            self.last = Some((open.msn, open.dseq, end));
            self.open = None;
        }
        self.decoded = self.decoded.filter(|_| !discontinuity);
        if suspect {
            self.fill(msn, wall, limits, calendar, v);
        }
    }

    /// Whole gaps for the numbers before `msn`.
    fn fill(&mut self, msn: Msn, wall: Wall, limits: Limits, calendar: &Calendar, v: &mut Verdict) {
        let Some((last, mut dseq, mut at)) = self.last else { return };
        let missing = msn.0.saturating_sub(last.0.saturating_add(1));
        if missing == 0 || missing > FILL_MAX {
            return;
        }
        let most = limits.target_duration.max(GAP_MIN);
        let each = (wall.since(at) / missing.cast_signed()).clamp(GAP_MIN, most);
        for n in last.0 + 1..msn.0 {
            let n = Msn(n);
            if let Some((d, w)) = calendar.get(&n) {
                dseq = dseq.max(*d);
                at = at.max(*w);
            }
            let next = calendar.get(&n.next()).map(|(_, w)| w.since(at));
            let duration = next.unwrap_or(each).clamp(GAP_MIN, most);
            let track = self.track;
            v.before.push(Mark::Gap(Gap { track, msn: n, part: None, duration, wall: at, dseq }));
            at = at.plus(duration);
            self.last = Some((n, dseq, at));
        }
        self.decoded = None;
    }

    /// A segment whose start is missing: from here on a gap.
    fn begin_gap(
        &mut self,
        msn: Msn,
        first: Option<Seq>,
        limits: Limits,
        calendar: &Calendar,
        v: &mut Verdict,
    ) {
        let known = calendar.get(&msn).copied();
        let before = self.open.map(|o| (o.dseq, o.end())).or(self.last.map(|l| (l.1, l.2)));
        let (dseq, end) = before.unwrap_or_default();
        let missing = self.newest().map_or(0, |n| msn.0.saturating_sub(n.0 + 1));
        let guess = end.plus(limits.segment.saturating_mul(missing.cast_signed()));
        let wall = known.map_or(guess, |(_, wall)| wall).max(end);
        let dseq = known.map_or(dseq, |(d, _)| d.max(dseq));
        // A segment is never missing its start for any other reason.
        self.suspect = true;
        self.advance(msn, wall, false, first, limits, calendar, v);
        self.open = Some(Open { msn, dseq, wall, started: false, parts: 0, duration: 0 });
        self.next_seq = None;
    }

    /// `count` gap parts that share `total` microseconds.
    fn gap_parts(&mut self, count: u32, total: i64, limits: Limits, v: &mut Verdict) {
        let count = count.min(PARTS_MAX as u32);
        let most = limits.part_target.max(GAP_MIN);
        let each = (total / i64::from(count.max(1))).clamp(GAP_MIN, most);
        (0..count).for_each(|_| self.gap_part(each, v));
        self.decoded = None;
    }

    fn gap_part(&mut self, duration: i64, v: &mut Verdict) {
        let track = self.track;
        let Some(open) = &mut self.open else { return };
        let (msn, part, wall, dseq) = (open.msn, Some(open.parts), open.end(), open.dseq);
        v.before.push(Mark::Gap(Gap { track, msn, part, duration, wall, dseq }));
        open.parts = open.parts.saturating_add(1);
        open.duration = open.duration.saturating_add(duration);
    }
}
