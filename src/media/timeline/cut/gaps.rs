//! Absence and ends: gaps by the clock, gaps before media resumes, and the last record of a
//! generation.

use crate::base::ids::Msn;
use crate::base::time::{Mono, Now, Wall};
use crate::media::timeline::away::Piece;
use crate::media::timeline::cut::{Cutter, GAPS_MAX, Member, Pace, State};
use crate::media::timeline::mark::{End, Gap, LastSegment, Mark, TrackEnd};
use std::time::Duration;

impl Cutter {
    /// Closes every track's open part; the segments are complete with whatever record follows.
    pub(super) fn close_all(&mut self) {
        let until = self.members[self.leader].lane.end_pts;
        for i in 0..self.members.len() {
            let end = self.members[i].lane.close(None);
            self.part(end);
            self.skip_pending(i, until.unwrap_or(0));
            self.members[i].lane.segment = None;
        }
        self.advance_end(self.leader);
        self.lead = None;
        self.resync_since = None;
        if self.state == State::Listing {
            self.state = State::Resync { fresh: false, hold: false };
            self.discontinuity = true;
        }
    }

    /// A generation that goes on where another ended: its first gap is due by what viewers have
    /// waited since `end`.
    pub fn silent_since(&mut self, end: Wall, now: Now) {
        let waited = u64::try_from(now.wall.since(end)).unwrap_or(0);
        let left = self.config.gap_after().saturating_sub(Duration::from_micros(waited));
        self.first_gap = Some(now.mono.plus(left));
    }

    /// Something was listed, a gap or media: the next is due from here on.
    pub(super) fn listed_at(&mut self, now: Now) {
        self.last_listed = Some(now.mono);
        self.first_gap = None;
    }

    /// When the clock has something to say.
    pub fn poll_timeout(&self) -> Option<Mono> {
        if self.config.pace == Pace::Media {
            return None;
        }
        if let Some(next) = self.away.next() {
            return Some(next);
        }
        let (media, listed) = (self.last_media?, self.last_listed?);
        Some(self.first_gap.unwrap_or_else(|| media.min(listed).plus(self.config.gap_after())))
    }

    /// Writes the gaps that the clock asks for.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_none_or(|t| now.mono < t) {
            return;
        }
        if self.away.next().is_none() {
            self.release_held();
            self.close_all();
            let Some(end) = self.end_wall else { return };
            self.away.begin(end);
        }
        let gaps = self.away.advance(now, &self.config, &mut self.next_msn);
        self.write_gaps(&gaps);
        self.listed_at(now);
    }

    pub(super) fn write_gaps(&mut self, gaps: &[Piece]) {
        for g in gaps {
            for i in 0..self.members.len() {
                let lane = &mut self.members[i].lane;
                let (track, wall) = (lane.plan.track, lane.date(g.msn, g.wall));
                let (msn, part, duration, dseq) = (g.msn, g.part, g.duration, self.dseq);
                self.mark(Mark::Gap(Gap { track, msn, part, duration, wall, dseq }));
            }
            let end = g.wall.plus(g.duration);
            self.end_wall = Some(self.end_wall.map_or(end, |e| e.max(end)));
        }
    }

    /// Media is back: the gap that was being written ends where it is.
    pub(super) fn finish_gap(&mut self, now: Now) {
        if self.away.next().is_none() {
            return;
        }
        if let Some(gap) = self.away.finish() {
            self.write_gaps(&[gap]);
        }
        self.listed_at(now);
    }

    /// Fills what is absent before listing resumes at `wall`, where it is a segment's length or
    /// more.
    pub(super) fn fill_until(&mut self, now: Now, wall: Wall) {
        self.finish_gap(now);
        let Some(end) = self.end_wall else { return };
        let end = end.max(wall.plus(-GAPS_MAX.saturating_mul(self.config.segment)));
        let absent = wall.since(end);
        if self.config.pace == Pace::Media || absent < self.config.segment {
            return;
        }
        let count = (absent + self.config.segment - 1) / self.config.segment;
        let mut gaps = Vec::new();
        for n in 0..count {
            let (from, to) = (absent * n / count, absent * (n + 1) / count);
            let msn = self.next_msn;
            self.next_msn = msn.next();
            let (duration, wall) = (to - from, end.plus(from));
            gaps.push(Piece { msn, part: None, duration, wall });
        }
        self.write_gaps(&gaps);
    }

    /// Ends the generation: everything is closed, and the end is the last record.
    pub fn end(&mut self, now: Now, session_over: bool) -> End {
        self.release_held();
        self.finish_gap(now);
        self.close_all();
        let last = Msn(self.next_msn.0.saturating_sub(1));
        let track_end = |m: &Member| TrackEnd {
            track: m.lane.plan.track,
            msn: last,
            parts: m.lane.part,
            last: LastSegment::Complete,
        };
        let end = End {
            msn: last,
            dseq: self.dseq,
            wall: self.end_wall.unwrap_or(now.wall),
            tracks: self.members.iter().map(track_end).collect(),
            session_over,
        };
        self.mark(Mark::End(end.clone()));
        end
    }
}
