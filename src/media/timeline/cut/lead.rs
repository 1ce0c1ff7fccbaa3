//! The leader: where segments begin, and what every listed sample of any track goes through.

use crate::base::time::{Now, Wall};
use crate::media::packet::Packet;
use crate::media::timeline::cut::{
    Anchor, Boundary, Cutter, Lead, Output, Pace, REORDER_FRAMES, SLEW_PER_MILLE,
};
use crate::media::timeline::lane::Plan;
use crate::media::timeline::mark::{Mark, PartEnd, SegmentStart};
use crate::media::track::Kind;

impl Cutter {
    pub(super) fn leader_packet(&mut self, now: Now, i: usize, p: Packet) {
        let plan = self.members[i].lane.plan;
        let (dts, pts) = (plan.dts(&p), plan.pts(&p));
        if self.reconfigured && p.key {
            self.boundary(now, pts, dts, None, true);
            return self.list(i, p);
        }
        if self.members[i].reconfigured {
            return self.unlisted(p);
        }
        let Some(lead) = self.lead else { return self.unlisted(p) };
        let elapsed = dts - lead.start_dts;
        let last = self.members[i].lane.last_dts().unwrap_or(dts);
        let hole = dts - last > 2 * self.config.part_target;
        if hole && elapsed + plan.frame > self.config.target_duration {
            // The hole would make the segment too long: it becomes a gap, and what follows a
            // discontinuity.
            self.jumped(i, 0);
            self.members[i].newest = Some(dts);
            return self.resync_packet(now, i, p, false);
        }
        if self.is_cut(&plan, &lead, &p, elapsed) {
            self.boundary(now, pts, dts, None, p.key);
        }
        self.list(i, p);
        self.close_laggards(pts);
    }

    /// Does a segment start with this packet of the leader?
    pub(super) fn is_cut(&self, plan: &Plan, lead: &Lead, p: &Packet, elapsed: i64) -> bool {
        let (aim, limit) = (self.config.segment, self.config.target_duration);
        let half = plan.frame / 2;
        if plan.kind == Kind::Audio {
            return elapsed + half >= aim;
        }
        // The first key frame of open GOPs is decoded before the pictures that lead it, and so less
        // than a GOP after the first picture of all; it is shown a GOP after that.
        let shown = plan.pts(p).saturating_sub(lead.start_pts);
        if p.key && elapsed.max(shown) + half >= aim {
            return true;
        }
        if p.key && elapsed >= aim / 2 && elapsed + lead.gop > limit {
            return true;
        }
        if elapsed + plan.frame > limit {
            return true;
        }
        // The GOP outgrows the limit: cut where every later PTS is larger than every earlier one.
        // That holds where the pictures since the last IDR fill their slots without a hole (they
        // are re-ordered among themselves only).
        let search = (limit - REORDER_FRAMES * plan.frame).max(limit / 2);
        let filled = lead.max_pts - lead.base_pts <= (lead.samples - 1) * plan.frame + half;
        elapsed >= search && filled && plan.pts(p) > lead.max_pts
    }

    /// Lists a leader's packet in the open segment.
    pub(super) fn list(&mut self, i: usize, p: Packet) {
        let plan = self.members[i].lane.plan;
        let (dts, pts) = (plan.dts(&p), plan.pts(&p));
        if let Some(lead) = &mut self.lead {
            if p.key && plan.kind == Kind::Video {
                if dts > lead.idr_dts {
                    lead.gop = dts - lead.idr_dts;
                }
                (lead.idr_dts, lead.base_pts, lead.max_pts, lead.samples) = (dts, pts, pts, 0);
            }
            lead.samples += 1;
            lead.max_pts = lead.max_pts.max(pts);
        }
        self.append(i, p);
    }

    /// Appends a listed packet to a lane and closes its part where it is due.
    pub(super) fn append(&mut self, i: usize, p: Packet) {
        let lane = &mut self.members[i].lane;
        let dts = lane.plan.dts(&p);
        if lane.overlaps(&p) {
            return self.unlisted(p);
        }
        if lane.must_close_before(&p) {
            let end = lane.close(Some(dts));
            self.part(end);
        }
        let lane = &mut self.members[i].lane;
        let seq = lane.list(&p);
        let full = lane.is_full();
        self.out.push_back(Output::Packet(p, Some(seq)));
        if full {
            let end = self.members[i].lane.close(None);
            self.part(end);
        }
        if i == self.leader {
            self.advance_end(i);
            self.mirror_parts();
        }
    }

    pub(super) fn part(&mut self, end: Option<PartEnd>) {
        if let Some(end) = end {
            self.mark(Mark::PartEnd(end));
        }
    }

    pub(super) fn advance_end(&mut self, i: usize) {
        if let (Some(end), Some(_)) = (self.members[i].lane.end_pts, self.anchor) {
            let wall = self.wall_at(end);
            self.end_wall = Some(self.end_wall.map_or(wall, |e| e.max(wall)));
        }
    }

    /// Wall clock of a presentation time on the present time base.
    pub(super) fn wall_at(&self, pts: i64) -> Wall {
        self.anchor.map_or(Wall(0), |a| a.wall.plus(pts.saturating_sub(a.pts)))
    }

    /// A segment starts at the leader's `pts`; followers start theirs at `follow` (default: the
    /// same time).
    pub(super) fn boundary(
        &mut self,
        now: Now,
        pts: i64,
        dts: i64,
        follow: Option<i64>,
        independent: bool,
    ) {
        for j in 0..self.members.len() {
            // What it could not list since its configuration changed is its gap.
            if std::mem::take(&mut self.members[j].reconfigured) && j != self.leader {
                self.settle(j, follow.unwrap_or(pts));
            }
        }
        self.discontinuity |= std::mem::take(&mut self.reconfigured);
        self.slew(now, pts);
        let discontinuity = std::mem::take(&mut self.discontinuity);
        self.dseq += u64::from(discontinuity);
        let msn = self.next_msn;
        self.next_msn = msn.next();
        let gop = self.lead.map_or(0, |l| l.gop);
        let idr_dts = self.lead.filter(|_| !independent).map_or(dts, |l| l.idr_dts);
        // The GOP that an IDR ends is known now; without one the count goes on.
        let gop = match self.lead {
            Some(l) if independent && dts > l.idr_dts => dts - l.idr_dts,
            _ => gop,
        };
        // After a cut without an IDR the pictures still to come follow the largest PTS so far.
        let base_pts = match self.lead {
            Some(l) if !independent => l.max_pts + self.members[self.leader].lane.plan.frame,
            _ => pts,
        };
        self.lead = Some(Lead {
            start_pts: pts,
            start_dts: dts,
            idr_dts,
            gop,
            base_pts,
            samples: 0,
            max_pts: pts,
        });
        let b = Boundary { msn, pts: follow.unwrap_or(pts), dseq: self.dseq, discontinuity };
        let leader = self.leader;
        let end = self.members[leader].lane.close(Some(dts));
        self.part(end);
        self.start(leader, Boundary { pts, ..b }, pts, independent);
        for j in 0..self.members.len() {
            if j != leader {
                self.members[j].pending.push_back(b);
                self.split_ahead(j);
            }
        }
        self.listed_at(now);
    }

    /// Moves the date of a boundary a little towards the clock: late arrivals are jitter, drift is
    /// not.
    pub(super) fn slew(&mut self, now: Now, pts: i64) {
        let (Some(a), Some(lead)) = (self.anchor, self.lead) else { return };
        if self.config.pace == Pace::Media || self.discontinuity {
            return;
        }
        let mapped = self.wall_at(pts);
        let most = (pts - lead.start_pts).max(0) * SLEW_PER_MILLE / 1000;
        let by = now.wall.since(mapped).clamp(-most, most);
        self.anchor = Some(Anchor { pts: a.pts, wall: a.wall.plus(by) });
    }

    pub(super) fn start(&mut self, i: usize, b: Boundary, pts: i64, independent: bool) {
        let wall = self.wall_at(pts);
        let m = &mut self.members[i];
        m.absent = None;
        let track = m.lane.plan.track;
        let first_seq = m.lane.start_segment(b.msn);
        let wall = m.lane.date(b.msn, wall);
        self.mark(Mark::SegmentStart(SegmentStart {
            track,
            msn: b.msn,
            dseq: b.dseq,
            discontinuity: b.discontinuity,
            independent,
            wall,
            first_seq,
        }));
    }
}
