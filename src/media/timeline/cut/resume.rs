//! Where listing starts or starts again: on a connection, after a jump, after a gap.

use crate::base::ids::TrackId;
use crate::base::time::{Now, Wall};
use crate::media::packet::Packet;
use crate::media::timeline::cut::{Anchor, Cutter, HELD_MAX, Member, Pace, State, first_video};
use crate::media::track::Kind;
use std::time::Duration;

impl Cutter {
    pub(super) fn resync_packet(&mut self, now: Now, i: usize, p: Packet, hold: bool) {
        let since = *self.resync_since.get_or_insert(now.mono);
        let limit = Duration::from_micros(self.config.target_duration.unsigned_abs());
        if i != self.leader
            && self.members[i].lane.plan.kind == Kind::Audio
            && self.members[self.leader].newest.is_none()
            && now.mono.since(since) >= limit
        {
            // The picture that should lead never came: sound leads until it does.
            self.leader = i;
        }
        if i == self.leader && p.key {
            let pts = self.members[i].lane.plan.pts(&p);
            let Some(wall) = self.resume_wall(now, pts) else { return self.unlisted(p) };
            return self.resume(now, i, p, wall);
        }
        if i == self.leader || !hold {
            return self.unlisted(p);
        }
        self.held.push_back(p);
        if self.held.len() > HELD_MAX
            && let Some(old) = self.held.pop_front()
        {
            self.unlisted(old);
        }
    }

    /// The wall clock at which listing may resume with a sample at `pts`; `None` to wait for a
    /// later one.
    pub(super) fn resume_wall(&self, now: Now, pts: i64) -> Option<Wall> {
        let end = self.end_wall;
        let State::Resync { fresh: false, .. } = self.state else {
            return Some(match self.config.pace {
                Pace::Wall => end.map_or(now.wall, |e| e.max(now.wall)),
                Pace::Media => end.unwrap_or(now.wall),
            });
        };
        let mapped = self.wall_at(pts);
        let half = self.members[self.leader].lane.plan.frame / 2;
        if end.is_none_or(|e| mapped.plus(half) >= e) {
            return Some(end.map_or(mapped, |e| e.max(mapped)));
        }
        (!self.backlog).then(|| end.map_or(now.wall, |e| e.max(now.wall)))
    }

    pub(super) fn resume(&mut self, now: Now, i: usize, p: Packet, wall: Wall) {
        let plan = self.members[i].lane.plan;
        let (dts, pts) = (plan.dts(&p), plan.pts(&p));
        self.fill_until(now, wall);
        self.anchor = Some(Anchor { pts, wall });
        self.resync_since = None;
        self.state = State::Listing;
        // Sound that came before the picture, up to a part, is listed with it.
        let plan_of = |m: &[Member], t: TrackId| {
            m.iter().find(|m| m.lane.plan.track == t).map(|m| m.lane.plan)
        };
        let earliest = dts - self.config.part_target;
        let first_held = self
            .held
            .iter()
            .filter_map(|h| plan_of(&self.members, h.track).map(|pl| pl.pts(h)))
            .filter(|t| *t >= earliest)
            .min();
        let follow = first_held.unwrap_or(dts).min(dts);
        self.boundary(now, pts, dts, Some(follow), true);
        self.list(i, p);
        let held = std::mem::take(&mut self.held);
        for h in held {
            match self.members.iter().position(|m| m.lane.plan.track == h.track) {
                Some(j) => self.follower_packet(now, j, h),
                None => self.unlisted(h),
            }
        }
    }

    pub(super) fn release_held(&mut self) {
        while let Some(p) = self.held.pop_front() {
            self.unlisted(p);
        }
    }

    /// What is held of a track goes before its new configuration, with which nobody could play it.
    pub(super) fn release_held_of(&mut self, track: TrackId) {
        for p in std::mem::take(&mut self.held) {
            match p.track == track {
                true => self.unlisted(p),
                false => self.held.push_back(p),
            }
        }
    }

    pub(super) fn restart_time(&mut self, state: State) {
        self.state = state;
        self.lead = None;
        self.leader = first_video(&self.members);
        self.arrival = None;
        self.resync_since = None;
        self.backlog = false;
        for m in &mut self.members {
            m.lane.new_epoch();
            if m.owed_jump.is_none() {
                m.newest = None;
            }
        }
    }
}
