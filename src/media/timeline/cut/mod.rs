//! The cut: packets in, packets and marks out, in the order they go into the log. It decides where
//! segments and parts end, what is listed, what wall-clock time it has and what is a gap, once, for
//! every later reader.
//!
//! One track leads (video where there is one); its segment starts are the boundaries that every
//! other track follows at its nearest sample. `lead` decides boundaries, `follow` follows them,
//! `resume` (re)starts a time base, `gaps` writes what is absent and ends; `lane` holds one track's
//! open part, `away` the clock's side of gaps.
//!
//! Invariant: sans-IO; `packet`, `handle_timeout` and `end` change it, `poll_output` drains it,
//! time is an argument.

mod follow;
mod gaps;
mod lead;
mod resume;

use crate::base::ids::{Msn, Seq};
use crate::base::time::{Mono, Now, Wall};
use crate::media::packet::Packet;
use crate::media::timeline::away::Away;
use crate::media::timeline::lane::{Lane, Plan};
use crate::media::timeline::mark::Mark;
use crate::media::track::Kind;
use std::collections::VecDeque;
use std::time::Duration;

/// How far a track's decode times may step back and still count as the same time base,
/// microseconds: encoders that round or re-order by a frame or two are forgiven, a clock that was
/// set back is not.
const BACKWARD_TOLERANCE: i64 = 100_000;

/// Longest re-ordering that the search for a clean cut allows for, in frames (H.264 allows 16
/// reference frames).
const REORDER_FRAMES: i64 = 16;

/// Followers' packets held while a new connection's first key frame is awaited; older ones are
/// stored unlisted. More than half a second of the shortest frames (2.5 ms of Opus), five seconds
/// of AAC, so that sound which starts with the picture is listed with it.
const HELD_MAX: usize = 256;

/// Most by which a follower's segment may outlast the leader's limit, microseconds: EXTINF rounds
/// to the nearest second and may not round past TARGETDURATION (draft-pantos-hls-rfc8216bis-22,
/// 4.4.3.1).
pub(super) const ROUNDING: i64 = 400_000;

/// Most gap segments written at once: five hours of 2 s segments, above what passes between two
/// looks at the clock unless somebody sets it (a machine that starts without a battery-backed clock
/// jumps by decades). Readers refuse larger holes.
pub(super) const GAPS_MAX: i64 = 9_000;

/// Most by which the wall clock of segment starts is slewed towards the machine's, per mille of
/// media time.
const SLEW_PER_MILLE: i64 = 5;

/// Whether a channel runs by the wall clock or as fast as its media comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Live: gaps are written while the encoder is away, dates follow the clock.
    Wall,
    /// A recording published at any speed: dates run in media time, absence is not filled.
    Media,
}

/// The session's constants, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The aimed-at segment length.
    pub segment: i64,
    /// TARGETDURATION: no segment is longer.
    pub target_duration: i64,
    /// PART-TARGET: no part is longer.
    pub part_target: i64,
    /// Who sets the pace.
    pub pace: Pace,
}

impl Config {
    /// Silence after which gaps begin: 1.5 target durations (draft-pantos-hls-rfc8216bis-22, 6.2.1:
    /// a new segment is due by then).
    pub(in crate::media::timeline) fn gap_after(&self) -> Duration {
        Duration::from_micros((self.target_duration + self.target_duration / 2) as u64)
    }
}

/// What goes into the log next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A packet; `Some` with its number when it is listed.
    Packet(Packet, Option<Seq>),
    /// A mark.
    Mark(Mark),
}

/// Where the numbers of a generation begin.
#[derive(Debug, Clone, Copy)]
pub struct Base {
    /// First MSN.
    pub msn: Msn,
    /// Absolute discontinuity sequence number.
    pub dseq: u64,
    /// End of what the session listed before this generation; `None` for a session's first.
    pub previous: Option<Wall>,
}

/// A segment start of the leader, for the others to follow.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    msn: Msn,
    pts: i64,
    dseq: u64,
    discontinuity: bool,
}

/// The leader's open segment.
#[derive(Debug, Clone, Copy)]
struct Lead {
    start_pts: i64,
    start_dts: i64,
    idr_dts: i64,
    /// Length of the last whole GOP, zero before one is known.
    gop: i64,
    /// For the search for a clean cut: PTS of the last IDR, samples since, largest PTS.
    base_pts: i64,
    samples: i64,
    max_pts: i64,
}

#[derive(Debug)]
struct Member {
    lane: Lane,
    /// Boundaries that this track has not reached.
    pending: VecDeque<Boundary>,
    /// The segment that this track has nothing of.
    absent: Option<Boundary>,
    /// Decode time of the newest packet, listed or not.
    newest: Option<i64>,
    /// The leader's time base jumped by this much and this track's has not yet.
    owed_jump: Option<i64>,
    /// The configuration changed: nothing is listed until the next boundary.
    reconfigured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for an independent sample of the leader. `fresh`: the time base is new (a connection
    /// or a jump), so dates start from the clock; otherwise it is the one that `anchor` maps.
    Resync { fresh: bool, hold: bool },
    /// Samples are listed.
    Listing,
}

/// Media time to wall clock.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    pts: i64,
    wall: Wall,
}

/// The track that leads when all are here: video, or the only one.
fn first_video(members: &[Member]) -> usize {
    members.iter().position(|m| m.lane.plan.kind == Kind::Video).unwrap_or(0)
}

/// The cut of one generation. See the module doc.
#[derive(Debug)]
pub struct Cutter {
    config: Config,
    members: Vec<Member>,
    leader: usize,
    state: State,
    out: VecDeque<Output>,
    next_msn: Msn,
    dseq: u64,
    /// The next segment start carries a DISCONTINUITY.
    discontinuity: bool,
    /// A track's configuration changed: cut at the leader's next IDR.
    reconfigured: bool,
    anchor: Option<Anchor>,
    /// Wall clock of the end of what is listed, gaps included.
    end_wall: Option<Wall>,
    lead: Option<Lead>,
    held: VecDeque<Packet>,
    last_media: Option<Mono>,
    last_listed: Option<Mono>,
    /// When the first gap of a generation that goes on where another ended is due; `None` once
    /// anything is listed.
    first_gap: Option<Mono>,
    away: Away,
    /// Is a backlog being read? (arrival faster than media time)
    arrival: Option<(Mono, i64)>,
    backlog: bool,
    /// When the first packet of the present resync came.
    resync_since: Option<Mono>,
}

impl Cutter {
    /// A cut for tracks that all belong to one session. `plans` has the leader first (video where
    /// there is one).
    pub fn new(config: Config, plans: &[Plan], base: Base, now: Now) -> Cutter {
        let member = |p: &Plan| Member {
            lane: Lane::new(*p, config.part_target),
            pending: VecDeque::new(),
            absent: None,
            newest: None,
            owed_jump: None,
            reconfigured: false,
        };
        // A generation that goes on where another ended owes the viewers gaps from that end on, and
        // they have waited since.
        let begun = base.previous.map(|_| now.mono);
        let members: Vec<Member> = plans.iter().map(member).collect();
        let mut cutter = Cutter {
            config,
            leader: first_video(&members),
            members,
            state: State::Resync { fresh: true, hold: true },
            out: VecDeque::new(),
            next_msn: base.msn,
            dseq: base.dseq,
            discontinuity: base.previous.is_some(),
            reconfigured: false,
            anchor: None,
            end_wall: base.previous,
            lead: None,
            held: VecDeque::new(),
            last_media: begun,
            last_listed: begun,
            first_gap: None,
            away: Away::default(),
            arrival: None,
            backlog: false,
            resync_since: None,
        };
        if let Some(end) = base.previous {
            cutter.silent_since(end, now);
        }
        cutter
    }

    /// What goes into the log next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The next MSN that a boundary or gap would take.
    pub fn next_msn(&self) -> Msn {
        self.next_msn
    }

    /// The absolute discontinuity sequence number now.
    pub fn dseq(&self) -> u64 {
        self.dseq
    }

    /// Wall clock of the end of what is listed; `None` before anything is.
    pub fn end_wall(&self) -> Option<Wall> {
        self.end_wall
    }

    /// Decode time in microseconds since the segment in progress began at which the newest leader
    /// sample stands, with the wall clock it maps to: how far media runs ahead of the clock. `None`
    /// while nothing is listed.
    pub fn newest_wall(&self) -> Option<Wall> {
        let m = &self.members[self.leader];
        Some(self.wall_at(m.lane.end_pts?))
    }

    /// A new connection publishes: its time base is not comparable with the one before.
    pub fn connected(&mut self) {
        let listed = self.end_wall.is_some() || self.anchor.is_some();
        self.close_all();
        for m in &mut self.members {
            m.owed_jump = None;
        }
        self.restart_time(State::Resync { fresh: true, hold: true });
        self.discontinuity |= listed;
    }

    /// The connection is gone: everything held is stored, what is listed is closed.
    pub fn disconnected(&mut self) {
        self.release_held();
        self.close_all();
    }

    /// Is an independent sample of the leader awaited, so that a publisher that can should be asked
    /// for one?
    pub fn wants_key_frame(&self) -> bool {
        matches!(self.state, State::Resync { .. }) && self.resync_since.is_some()
            || self.reconfigured
    }

    /// A track has a new configuration from its next independent sample on. What is drained before
    /// the next packet belongs to the old one.
    pub fn reconfigure(&mut self, plan: Plan) {
        self.release_held_of(plan.track);
        if let Some(m) = self.members.iter_mut().find(|m| m.lane.plan.track == plan.track) {
            let end = m.lane.close(None);
            m.lane.reconfigure(plan);
            m.reconfigured = true;
            self.reconfigured = true;
            self.part(end);
        }
    }

    /// Takes one packet. Packets of unknown tracks are stored unlisted.
    pub fn packet(&mut self, now: Now, p: Packet) {
        let Some(i) = self.members.iter().position(|m| m.lane.plan.track == p.track) else {
            return self.unlisted(p);
        };
        let dts = self.members[i].lane.plan.dts(&p);
        if dts < 0 {
            return self.unlisted(p);
        }
        self.last_media = Some(now.mono);
        self.finish_gap(now);
        if i == self.leader {
            if let Some(jump) = self.jump(i, dts) {
                self.jumped(i, jump);
            }
        } else if self.is_stale(i, dts) {
            self.members[i].newest = Some(dts);
            return self.unlisted(p);
        }
        self.members[i].newest = Some(dts);
        self.watch_arrival(now, i, dts);
        match self.state {
            State::Listing if i == self.leader => self.leader_packet(now, i, p),
            State::Listing => self.follower_packet(now, i, p),
            State::Resync { hold, .. } => self.resync_packet(now, i, p, hold),
        }
    }

    pub(super) fn unlisted(&mut self, p: Packet) {
        self.out.push_back(Output::Packet(p, None));
    }

    pub(super) fn mark(&mut self, m: Mark) {
        self.out.push_back(Output::Mark(m));
    }

    /// By how much the leader's time base jumped, if it did.
    pub(super) fn jump(&self, i: usize, dts: i64) -> Option<i64> {
        let last = self.members[i].newest?;
        let step = dts - last;
        if step < -BACKWARD_TOLERANCE {
            return Some(step);
        }
        // A track that only paused comes back on the time base that the others kept.
        let kept =
            |m: &Member| m.newest.is_some_and(|n| (dts - n).abs() <= self.config.target_duration);
        let alone = !self.members.iter().enumerate().any(|(j, m)| j != i && kept(m));
        (step > self.config.target_duration && alone).then_some(step)
    }

    pub(super) fn jumped(&mut self, i: usize, jump: i64) {
        self.release_held();
        self.close_all();
        let old = self.members[i].newest.unwrap_or(0);
        for (j, m) in self.members.iter_mut().enumerate() {
            // Whoever is nearer to the old time than to the new one has yet to jump.
            let late = m.newest.is_some_and(|n| (n - old).abs() < (n - old - jump).abs());
            m.owed_jump = (j != i && late).then_some(jump);
        }
        let listed = self.anchor.is_some();
        self.restart_time(State::Resync { fresh: true, hold: false });
        self.discontinuity |= listed;
    }

    /// A follower's packet from before the leader's jump, or from a time base of its own.
    pub(super) fn is_stale(&mut self, i: usize, dts: i64) -> bool {
        let lead = self.members[self.leader].newest;
        let m = &mut self.members[i];
        if let (Some(jump), Some(last)) = (m.owed_jump, m.newest) {
            if (dts - last).abs() < (dts - last - jump).abs() {
                return true;
            }
            m.owed_jump = None;
        }
        let far = 2 * self.config.target_duration;
        self.state == State::Listing && lead.is_some_and(|l| (dts - l).abs() > far)
    }

    /// Is the connection delivering faster than real time, so that a backlog is still to come?
    pub(super) fn watch_arrival(&mut self, now: Now, i: usize, dts: i64) {
        if i != self.leader {
            return;
        }
        let (mono, first) = *self.arrival.get_or_insert((now.mono, dts));
        let media = dts - first;
        if !(0..self.config.part_target).contains(&media) {
            let took = i64::try_from(now.mono.since(mono).as_micros()).unwrap_or(i64::MAX);
            self.backlog = media > 0 && took * 10 < media * 9;
            self.arrival = Some((now.mono, dts));
        }
    }
}

#[cfg(test)]
mod tests;
