//! A rung's side of the time line: what a transcoder made of one track of a source, cut where the
//! source was. The source's marks decide numbers, boundaries, dates, discontinuities and gaps; here
//! is only decided which coded samples lie between them, and where parts end.
//!
//! Invariant: sans-IO. The source's marks and samples go in as its log has them, coded samples as
//! they come; what goes into the rung's log is drained, in order. Every number that the source
//! used from the first on is accounted for, once: with media, or as a gap.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::{Mono, Now, Wall};
use crate::media::packet::Packet;
use crate::media::timeline::cut::Output;
use crate::media::timeline::lane::{Lane, PART_SAMPLES_MAX, Plan};
use crate::media::timeline::mark::{End, Gap, LastSegment, Mark, SegmentStart, TrackEnd};
use crate::media::track::Kind;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a gap of the source waits for what an encoder still holds of the media before it: more
/// than coding takes where there is time for it, less than viewers wait for a gap.
const HELD: Duration = Duration::from_millis(500);

/// Samples of the source that no mark governs yet: an open part, and one that waits for the
/// leader's boundary.
const UNMARKED_MAX: usize = 2 * PART_SAMPLES_MAX;

/// A discontinuity's first sample is no further from the source's than this, microseconds: a
/// picture of the lowest rate that a ladder may cap to.
const NEAR: i64 = 1_000_000;

/// A segment start of the source.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    msn: Msn,
    dseq: u64,
    discontinuity: bool,
    wall: Wall,
    /// PTS of the segment's first sample in microseconds.
    pts: i64,
}

/// What the source did, and the rung has not yet.
#[derive(Debug, Clone)]
enum Event {
    Start(Boundary),
    Gap(Gap),
    End(End),
}

impl Event {
    /// Where what came before it ends.
    fn wall(&self) -> Wall {
        match self {
            Event::Start(b) => b.wall,
            Event::Gap(g) => g.wall,
            Event::End(e) => e.wall,
        }
    }
}

/// From which numbers on a rung is made.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    /// The first that it accounts for.
    pub from: Msn,
    /// The first with media; those before are gaps.
    pub base: Msn,
    /// Absolute discontinuity sequence number before that.
    pub dseq: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Rung {
    lane: Lane,
    begin: Begin,
    patience: Duration,
    /// What the source did, and when that was read.
    events: VecDeque<(Mono, Event)>,
    unmarked: VecDeque<(Seq, i64)>,
    /// Starts with a sample that has not come yet.
    awaited: Option<SegmentStart>,
    out: VecDeque<Output>,
    /// The newest number that was written, and where what is listed ends.
    last: Option<(Msn, Wall)>,
    /// The open segment's start.
    opened: Wall,
    dseq: u64,
    /// Numbers from this one on are another's.
    until: Option<Msn>,
    /// Where that one starts, once its source has said so; PTS in microseconds.
    handed: Option<i64>,
    ended: bool,
}

impl Rung {
    /// A rung of the source track whose marks will be told. `part_target` in microseconds; a
    /// segment that its source has completed is waited for no longer than `patience`.
    pub fn new(plan: Plan, part_target: i64, patience: Duration, begin: Begin) -> Rung {
        Rung {
            lane: Lane::new(plan, part_target),
            begin,
            patience,
            events: VecDeque::new(),
            unmarked: VecDeque::new(),
            awaited: None,
            out: VecDeque::new(),
            last: None,
            opened: Wall(0),
            dseq: begin.dseq,
            until: None,
            handed: None,
            ended: false,
        }
    }

    /// The rendition's track.
    pub fn track(&self) -> TrackId {
        self.lane.plan.track
    }

    /// The newest number that was written.
    pub fn newest(&self) -> Option<Msn> {
        self.last.map(|(msn, _)| msn)
    }

    /// Its End is written: nothing more is taken.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Another writer goes on with this number: where the source comes to it, this one ends.
    pub fn hand_over(&mut self, until: Msn) {
        self.until = Some(until);
    }

    /// How coded samples are to be read from here on; what is open is closed as it was.
    pub fn reconfigure(&mut self, plan: Plan) {
        self.close(None);
        self.lane.reconfigure(plan);
    }

    /// What goes into the log next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// A listed sample of the source's track, `pts` in microseconds.
    pub fn source_sample(&mut self, now: Now, seq: Seq, pts: i64) {
        if self.unmarked.len() >= UNMARKED_MAX {
            self.unmarked.pop_front();
        }
        self.unmarked.push_back((seq, pts));
        if let Some(start) = self.awaited.take_if(|s| s.first_seq <= seq) {
            self.boundary(now, &start, pts);
        }
    }

    /// A mark of the source; those of other tracks mean nothing here, and cues are copied.
    pub fn source_mark(&mut self, now: Now, source: TrackId, mark: &Mark) {
        match mark {
            // What it begins with does not matter where it is told as absent.
            Mark::SegmentStart(s) if s.track == source && s.msn < self.begin.base => {
                self.boundary(now, s, i64::MIN);
            }
            Mark::SegmentStart(s) if s.track == source => {
                match self.unmarked.iter().find(|(seq, _)| *seq == s.first_seq) {
                    Some(&(_, pts)) => self.boundary(now, s, pts),
                    None => self.awaited = Some(*s),
                }
            }
            Mark::PartEnd(p) if p.track == source => {
                self.unmarked.retain(|(seq, _)| *seq > p.last_seq);
            }
            Mark::Gap(g) if g.track == source => self.event(now, Event::Gap(*g)),
            Mark::End(e) => self.event(now, Event::End(e.clone())),
            Mark::Cue(_) => self.out.push_back(Output::Mark(mark.clone())),
            _ => {}
        }
    }

    fn boundary(&mut self, now: Now, s: &SegmentStart, pts: i64) {
        let (msn, dseq, discontinuity, wall) = (s.msn, s.dseq, s.discontinuity, s.wall);
        let boundary = Boundary { msn, dseq, discontinuity, wall, pts };
        self.event(now, Event::Start(boundary));
    }

    fn event(&mut self, now: Now, event: Event) {
        let msn = match &event {
            Event::Start(b) => b.msn,
            Event::Gap(g) => g.msn,
            Event::End(_) => self.begin.from,
        };
        if msn < self.begin.from || self.handed.is_some() {
            return;
        }
        let event = match (event, self.until) {
            (Event::End(e), _) => Event::End(e),
            (event, Some(until)) if msn >= until => {
                let pts = match &event {
                    Event::Start(b) if !b.discontinuity => b.pts,
                    // Times begin anew, or there are none: whoever ends it does by the clock.
                    _ => i64::MAX,
                };
                self.handed = Some(pts);
                let (wall, dseq, tracks, session_over) = (event.wall(), self.dseq, vec![], false);
                Event::End(End { msn, dseq, wall, tracks, session_over })
            }
            (event, _) => event,
        };
        self.events.push_back((now.mono, event));
        self.head();
    }

    /// Is a sample at or past a boundary?
    fn is_past(&self, key: bool, pts: i64, boundary: i64) -> bool {
        let Plan { kind, frame, .. } = self.lane.plan;
        match kind {
            Kind::Video => key && pts >= boundary,
            Kind::Audio => pts.saturating_add(frame / 2) >= boundary,
        }
    }

    /// What lies before the first media is told as soon as it is known how long it is.
    fn head(&mut self) {
        while self.lane.segment.is_none() {
            let before = match self.events.front() {
                Some((_, Event::Start(b))) => b.msn < self.begin.base && self.events.len() > 1,
                Some((_, Event::Gap(g))) => g.msn < self.begin.base,
                _ => false,
            };
            if !before {
                return;
            }
            self.take();
        }
    }

    /// Takes the oldest event as it is where no media came for it.
    fn take(&mut self) {
        let Some((_, event)) = self.events.pop_front() else { return };
        self.close(None);
        match event {
            Event::Start(b) => {
                self.lane.segment = None;
                let next = self.events.front().map(|(_, e)| e.wall());
                let duration = next.map_or(1, |next| next.since(b.wall).max(1));
                let (track, wall) = (self.track(), self.lane.date(b.msn, b.wall));
                let (msn, part, dseq) = (b.msn, None, b.dseq);
                self.gap(Gap { track, msn, part, duration, wall, dseq });
            }
            Event::Gap(g) => {
                self.lane.segment = None;
                let (track, wall) = (self.track(), self.lane.date(g.msn, g.wall));
                self.gap(Gap { track, wall, ..g });
            }
            Event::End(e) => self.end(e.session_over, e.wall),
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.last = Some((gap.msn, gap.wall.plus(gap.duration)));
        self.dseq = gap.dseq;
        self.out.push_back(Output::Mark(Mark::Gap(gap)));
    }

    /// A coded sample, of the rung's track.
    pub fn packet(&mut self, p: Packet) {
        let (pts, dts) = (self.lane.plan.pts(&p), self.lane.plan.dts(&p));
        if let Some(at) = self.reached(p.key, pts) {
            (0..at).for_each(|_| self.take());
            let Some((_, Event::Start(b))) = self.events.pop_front() else { return };
            self.start(&b, pts, dts);
        }
        if self.handed.is_some_and(|at| self.is_past(p.key, pts, at)) {
            self.close(Some(dts));
            return self.finish();
        }
        let back = self.lane.last_dts().is_some_and(|last| dts <= last);
        if self.ended || self.lane.segment.is_none() || back || self.lane.overlaps(&p) {
            return;
        }
        if self.lane.must_close_before(&p) {
            self.close(Some(dts));
        }
        let seq = self.lane.list(&p);
        self.out.push_back(Output::Packet(p, Some(seq)));
        if self.lane.is_full() {
            self.close(None);
        }
    }

    /// The newest boundary that a sample is at or past.
    fn reached(&self, key: bool, pts: i64) -> Option<usize> {
        let mut found = None;
        for (at, (_, event)) in self.events.iter().enumerate() {
            let Event::Start(b) = event else { continue };
            // Times begin anew with a discontinuity, and those before say nothing of those behind.
            if b.discontinuity && found.is_some() {
                break;
            }
            let near = !b.discontinuity || pts - b.pts < NEAR;
            if b.msn >= self.begin.base && self.is_past(key, pts, b.pts) && near {
                found = Some(at);
            }
            if b.discontinuity {
                break;
            }
        }
        found
    }

    fn start(&mut self, b: &Boundary, pts: i64, dts: i64) {
        let goes_on = self.lane.segment.is_some() && !b.discontinuity;
        self.close(goes_on.then_some(dts));
        if !goes_on {
            self.lane.new_epoch();
        }
        let first_seq = self.lane.start_segment(b.msn);
        let wall = self.lane.date(b.msn, b.wall.plus(pts - b.pts));
        (self.opened, self.dseq, self.last) = (wall, b.dseq, Some((b.msn, wall)));
        let (track, msn, dseq) = (self.track(), b.msn, b.dseq);
        let (discontinuity, independent) = (b.discontinuity, true);
        let start = SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq };
        self.out.push_back(Output::Mark(Mark::SegmentStart(start)));
    }

    fn close(&mut self, next_dts: Option<i64>) {
        if let Some(part) = self.lane.close(next_dts) {
            self.last = Some((part.msn, self.opened.plus(self.lane.listed)));
            self.out.push_back(Output::Mark(Mark::PartEnd(part)));
        }
    }

    /// When the clock has something to say.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let (at, event) = self.events.front()?;
        match event {
            // Its source is still writing it.
            Event::Start(_) => self.events.get(1).map(|(at, _)| at.plus(self.patience)),
            Event::Gap(_) => Some(at.plus(HELD)),
            Event::End(_) => Some(at.plus(self.patience)),
        }
    }

    /// Lets go of media that does not come.
    pub fn handle_timeout(&mut self, now: Now) {
        while self.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.take();
        }
    }

    /// Nothing more is coded: what the source did is written as it is, and the End, the source's or
    /// this one's, where the source goes on or was not heard to the end.
    pub fn finish(&mut self) {
        while !self.events.is_empty() {
            self.take();
        }
        if !self.ended {
            self.close(None);
            let wall = self.last.map_or(Wall(0), |(_, wall)| wall);
            self.end(false, wall);
        }
    }

    fn end(&mut self, session_over: bool, wall: Wall) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let before = Msn(self.begin.from.0.saturating_sub(1));
        let msn = self.newest().unwrap_or(before);
        let parts = if self.lane.segment == Some(msn) { self.lane.part } else { 0 };
        let last = LastSegment::Complete;
        let tracks = vec![TrackEnd { track: self.track(), msn, parts, last }];
        let end = End { msn, dseq: self.dseq, wall, tracks, session_over };
        self.out.push_back(Output::Mark(Mark::End(end)));
    }
}

#[cfg(test)]
#[path = "rung_test.rs"]
mod tests;
