//! The followers: they start their segments at the sample nearest to the leader's boundary, or have
//! a gap.

use crate::base::time::Now;
use crate::media::packet::Packet;
use crate::media::timeline::cut::{Cutter, ROUNDING};
use crate::media::timeline::mark::{Gap, Mark};
use crate::media::track::Kind;

impl Cutter {
    pub(super) fn follower_packet(&mut self, now: Now, i: usize, p: Packet) {
        let plan = self.members[i].lane.plan;
        let pts = plan.pts(&p);
        self.reach(i, pts, plan.dts(&p));
        let m = &self.members[i];
        if m.reconfigured && self.reconfigured {
            return self.unlisted(p);
        }
        let back = m.lane.last_dts().is_some_and(|l| plan.dts(&p) < l);
        if m.lane.segment.is_none() || m.absent.is_some() || back {
            self.take_lead(now, i, p, back);
            return;
        }
        self.append(i, p);
        self.overtake(now, i, pts);
    }

    /// A packet that can't be listed where it stands: an IDR of a video track that lost the lead
    /// takes it back.
    pub(super) fn take_lead(&mut self, now: Now, i: usize, p: Packet, back: bool) {
        let plan = self.members[i].lane.plan;
        let (dts, pts) = (plan.dts(&p), plan.pts(&p));
        let ready = self.lead.is_some_and(|l| pts - l.start_pts >= self.config.segment / 2);
        if plan.kind != Kind::Video || !p.key || back || !ready {
            return self.unlisted(p);
        }
        self.settle(i, self.members[i].pending.front().map_or(pts, |b| b.pts));
        self.skip_pending(i, pts);
        self.leader = i;
        self.boundary(now, pts, dts, None, true);
        self.list(i, p);
    }

    /// Starts the segments whose boundary a follower's packet at `pts` has reached; those it
    /// skipped are gaps.
    pub(super) fn reach(&mut self, i: usize, pts: i64, dts: i64) {
        let plan = self.members[i].lane.plan;
        // Only an IDR starts a video segment, and it makes its own boundary (`take_lead`).
        if plan.kind == Kind::Video {
            return;
        }
        let half = plan.frame / 2;
        while let Some(b) = self.members[i].pending.front().copied() {
            if pts + half < b.pts {
                break;
            }
            self.members[i].pending.pop_front();
            let end = self.members[i].lane.close(Some(dts));
            self.part(end);
            self.end_absent(i, b.pts);
            match self.members[i].pending.front().copied() {
                Some(next) if pts + half >= next.pts => {
                    self.members[i].absent = Some(b);
                    self.end_absent(i, next.pts);
                }
                _ => self.start(i, b, pts, true),
            }
        }
    }

    /// A follower that ran ahead of the boundary: its unmarked samples past it move to the new
    /// segment.
    pub(super) fn split_ahead(&mut self, i: usize) {
        let m = &mut self.members[i];
        let (Some(b), Some(end)) = (m.pending.front().copied(), m.lane.end_pts) else { return };
        let plan = m.lane.plan;
        let half = plan.frame / 2;
        if plan.kind == Kind::Video
            || m.absent.is_some()
            || !m.lane.has_open()
            || end - half < b.pts
        {
            return;
        }
        // The nearest sample to the boundary: everything within half a frame before it belongs to
        // it.
        let closed = m.lane.close_before(b.pts - half);
        self.part(closed);
        let m = &mut self.members[i];
        if let Some(pts) = m.lane.open_pts() {
            m.pending.pop_front();
            self.start(i, b, pts, true);
        }
    }

    /// Followers that the leader left behind by a part at a boundary are closed; the rest is their
    /// gap.
    pub(super) fn close_laggards(&mut self, pts: i64) {
        for i in 0..self.members.len() {
            while i != self.leader
                && let Some(b) = self.members[i].pending.front().copied()
                && pts >= b.pts + self.config.part_target
            {
                self.members[i].pending.pop_front();
                self.settle(i, b.pts);
                let m = &mut self.members[i];
                m.absent = Some(b);
                m.lane.start_segment(b.msn);
                self.mirror_parts();
            }
        }
    }

    /// Closes what a track has of its open segment; what is missing up to `until` is gap parts.
    pub(super) fn settle(&mut self, i: usize, until: i64) {
        self.end_absent(i, until);
        let end = self.members[i].lane.close(None);
        self.part(end);
        let m = &self.members[i];
        let (Some(_), Some(end)) = (m.lane.segment, m.lane.end_pts) else { return };
        let frame = m.lane.plan.frame;
        let until = until.min(end + self.config.target_duration - m.lane.listed);
        let mut at = end;
        while until - at > frame {
            let d = (until - at).min(self.config.part_target);
            self.gap_part(i, d, at);
            at += d;
        }
        self.members[i].lane.segment = None;
    }

    pub(super) fn gap_part(&mut self, i: usize, duration: i64, pts: i64) {
        let wall = self.wall_at(pts);
        let dseq = self.dseq;
        let lane = &mut self.members[i].lane;
        let Some(msn) = lane.segment else { return };
        let wall = lane.date(msn, wall);
        let gap = Gap { track: lane.plan.track, msn, part: Some(lane.part), duration, wall, dseq };
        lane.part += 1;
        lane.listed += duration;
        self.mark(Mark::Gap(gap));
    }

    /// The segment that a track was absent from ends at `until`: it is a gap as a whole.
    pub(super) fn end_absent(&mut self, i: usize, until: i64) {
        let Some(b) = self.members[i].absent.take() else { return };
        let duration = (until - b.pts).clamp(1, self.config.target_duration);
        let wall = self.wall_at(b.pts);
        let lane = &mut self.members[i].lane;
        lane.segment = None;
        let wall = lane.date(b.msn, wall);
        let track = lane.plan.track;
        self.mark(Mark::Gap(Gap { track, msn: b.msn, part: None, duration, wall, dseq: b.dseq }));
    }

    /// Segments that a track never reached are gaps as a whole, the last one up to `until`.
    pub(super) fn skip_pending(&mut self, i: usize, until: i64) {
        while let Some(b) = self.members[i].pending.pop_front() {
            self.end_absent(i, b.pts);
            self.members[i].absent = Some(b);
        }
        self.end_absent(i, until);
    }

    /// Absent tracks get a gap part for each part of the leader, so that their playlists keep its
    /// pace.
    pub(super) fn mirror_parts(&mut self) {
        let lead = &self.members[self.leader].lane;
        let (parts, listed, msn) = (lead.part, lead.listed, lead.segment);
        for i in 0..self.members.len() {
            let m = &self.members[i];
            let Some(b) = m.absent else { continue };
            if Some(b.msn) != msn || i == self.leader || parts == 0 {
                continue;
            }
            let each = (listed / i64::from(parts)).clamp(1, self.config.part_target);
            while self.members[i].lane.part < parts {
                let at = b.pts + i64::from(self.members[i].lane.part) * each;
                self.gap_part(i, each, at);
            }
        }
    }

    /// Audio whose video lags by a target duration, or would make its segment too long, leads until
    /// the video is back.
    pub(super) fn overtake(&mut self, now: Now, i: usize, pts: i64) {
        let limit = self.config.target_duration;
        let lead_end = self.members[self.leader].lane.end_pts;
        let lags = lead_end.is_none_or(|e| pts - e >= limit);
        let lane = &self.members[i].lane;
        let full = lane.elapsed() + 2 * lane.plan.frame > limit + ROUNDING;
        if !lags && !full {
            return;
        }
        let next = pts + lane.plan.frame;
        if let Some(b) = self.members[i].pending.pop_front() {
            // The leader has cut already, further ahead than this segment may reach: follow early.
            let end = self.members[i].lane.close(None);
            self.part(end);
            return self.start(i, b, next, true);
        }
        self.leader = i;
        self.boundary(now, next, next, None, true);
        self.close_laggards(next + self.config.part_target);
    }
}
