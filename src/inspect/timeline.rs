//! A log as it went by: one row for each segment of each track, gap, jump and hole, in the order of
//! the log. Pure: records in, rows out. It keeps what no row has taken yet, and no payload.
//!
//! A packet belongs to the part that names its number, wherever its record lies: that is the
//! contract, and not the order of arrival. Packets that no part names are counted in the row of the
//! next segment as `unlisted`.

use crate::base::ids::TrackId;
use crate::base::time::{MICROS, Timescale, Wall};
use crate::inspect::report::secs;
use crate::inspect::rows::{Row, Segment};
use crate::inspect::tags::facts;
use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::media::codec::{FrameLength, details, opus};
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Gap, Mark, PartEnd, SegmentStart};
use crate::media::track::Kind;
use std::collections::{BTreeMap, VecDeque};

/// A step of decode times longer than this, either way, is a jump of the time base.
const JUMP: i64 = MICROS;

/// A step that differs from a frame by more than this share of it is off its place; RTMP's
/// milliseconds round by one.
const OFF_SHARE: i64 = 4;
const ROUNDING: i64 = 2_000;

/// Audio and video further apart than this, in the order in which they lie in the log, are worth a
/// word.
const SKEW: i64 = MICROS / 2;

/// Most packets of one track that wait for their part's end; see `format::OPEN_SAMPLES_MAX`.
pub(super) const OPEN_MAX: usize = crate::log::format::OPEN_SAMPLES_MAX;

/// What is looked at of a log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice {
    /// First wall clock time.
    pub from: Option<Wall>,
    /// Last wall clock time.
    pub to: Option<Wall>,
    /// First and last MSN.
    pub msn: Option<(u64, u64)>,
    /// A row for each packet too.
    pub packets: bool,
}

/// A packet that waits for its part's end.
#[derive(Debug)]
struct Waiting {
    seq: u64,
    dts: i64,
    size: u64,
    key: bool,
    step: Option<i64>,
    trouble: bool,
    gop: Option<i64>,
}

#[derive(Debug)]
struct Lane {
    kind: Kind,
    scale: Timescale,
    /// What the next packet's distance should be.
    frame: Option<i64>,
    length: Option<FrameLength>,
    codec: String,
    last: Option<i64>,
    key_at: Option<i64>,
    waiting: VecDeque<Waiting>,
    unlisted: u64,
    open: Option<(Wall, Segment)>,
}

/// Reads along.
#[derive(Debug, Default)]
pub struct Timeline {
    choice: Choice,
    lanes: BTreeMap<TrackId, Lane>,
    rows: VecDeque<Row>,
    /// Wall clock of the newest mark: where rows without a clock of their own belong.
    now: Option<Wall>,
    newest: BTreeMap<&'static str, i64>,
    msn: u64,
}

impl Timeline {
    /// A timeline of what `choice` asks for.
    pub fn new(choice: Choice) -> Timeline {
        Timeline { choice, ..Timeline::default() }
    }

    /// The next row.
    pub fn poll(&mut self) -> Option<Row> {
        self.rows.pop_front()
    }

    fn wants(&self, msn: Option<u64>, wall: Option<Wall>) -> bool {
        let c = &self.choice;
        let (msn, wall) = (msn.unwrap_or(self.msn), wall.or(self.now));
        c.msn.is_none_or(|(a, b)| (a..=b).contains(&msn))
            && c.from.is_none_or(|f| wall.is_some_and(|w| w >= f))
            && c.to.is_none_or(|t| wall.is_none_or(|w| w <= t))
    }

    fn row(&mut self, msn: Option<u64>, wall: Option<Wall>, row: Row) {
        if self.wants(msn, wall) {
            self.rows.push_back(row);
        }
    }

    /// Records are missing: no step is counted across them.
    pub fn hole(&mut self, extent: u32, offset: u64, bytes: u64) {
        self.restart();
        self.row(None, None, Row::Hole { extent, offset, bytes });
    }

    fn restart(&mut self) {
        for lane in self.lanes.values_mut() {
            (lane.last, lane.key_at) = (None, None);
        }
        self.newest.clear();
    }

    /// Takes the next record of the log.
    pub fn record(&mut self, at: Position, record: &Record) {
        match record {
            Record::Packet { packet, seq } => self.packet(at, packet, seq.map(|s| s.0)),
            Record::Mark(mark) => self.mark(mark),
            Record::Unknown { .. } => {}
        }
    }

    /// What is still open: to be called behind the last record.
    pub fn finish(&mut self) {
        let tracks: Vec<TrackId> = self.lanes.keys().copied().collect();
        tracks.into_iter().for_each(|t| self.close(t));
    }

    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Generation(m) => {
                self.restart();
                let (session, generation) = (m.session.0, m.generation.0);
                self.msn = m.base.0;
                let base = m.base.0;
                self.row(None, None, Row::Generation { session, generation, base });
            }
            Mark::Session(_) => {}
            Mark::Track(t) => {
                let (track, read) = (t.id.0, facts(t));
                let codec = read.as_ref().map_or_else(ToString::to_string, |f| f.codec.clone());
                let frame = read.ok().and_then(|f| f.frame.or(f.rate.map(|r| r.frame_micros())));
                let length = details(t).ok().and_then(|d| d.frame_length());
                let lane = self.lane(t.id);
                let new = lane.codec != codec;
                (lane.kind, lane.scale, lane.frame) = (t.codec.kind(), t.timescale, frame);
                lane.length = length;
                lane.codec.clone_from(&codec);
                if new {
                    self.row(None, None, Row::Configuration { track, codec });
                }
            }
            Mark::SegmentStart(m) => self.start(m),
            Mark::PartEnd(m) => self.part(m),
            Mark::Gap(m) => self.gap(m),
            Mark::Cue(c) if !c.repeated => {
                let (wall, seconds) = (c.start.to_string(), secs(c.duration));
                let (id, class, data) = (c.id.clone(), c.class.clone(), c.data.clone());
                let row = Row::Cue { id, class, wall, seconds, data };
                self.row(Some(self.msn), Some(c.start), row);
            }
            Mark::Cue(_) => {}
            Mark::End(m) => {
                self.finish();
                let (msn, session_over) = (m.msn.0, m.session_over);
                let row = Row::End { msn, wall: m.wall.to_string(), session_over };
                self.row(Some(msn), Some(m.wall), row);
            }
        }
    }

    fn lane(&mut self, track: TrackId) -> &mut Lane {
        self.lanes.entry(track).or_insert_with(|| Lane {
            kind: if track == TrackId::VIDEO { Kind::Video } else { Kind::Audio },
            scale: Timescale::MILLIS,
            frame: None,
            length: None,
            codec: String::new(),
            last: None,
            key_at: None,
            waiting: VecDeque::new(),
            unlisted: 0,
            open: None,
        })
    }

    fn start(&mut self, m: &SegmentStart) {
        self.close(m.track);
        (self.now, self.msn) = (Some(m.wall), m.msn.0);
        let lane = self.lane(m.track);
        let unlisted = std::mem::take(&mut lane.unlisted);
        let kind = if lane.kind == Kind::Video { "video" } else { "audio" };
        let segment = Segment {
            track: m.track.0,
            kind,
            msn: m.msn.0,
            wall: m.wall.to_string(),
            independent: m.independent,
            discontinuity: m.discontinuity,
            dseq: m.dseq,
            unlisted,
            ..Segment::default()
        };
        lane.open = Some((m.wall, segment));
    }

    fn part(&mut self, m: &PartEnd) {
        let lane = self.lane(m.track);
        let video = lane.kind == Kind::Video;
        while lane.waiting.front().is_some_and(|w| w.seq < m.first_seq.0) {
            lane.waiting.pop_front();
            lane.unlisted += 1;
        }
        let count = lane.waiting.iter().take_while(|w| w.seq <= m.last_seq.0).count();
        let taken: Vec<Waiting> = lane.waiting.drain(..count).collect();
        let Some((_, s)) = lane.open.as_mut().filter(|(_, s)| s.msn == m.msn.0) else { return };
        s.parts += 1;
        s.seconds += secs(m.duration);
        for w in taken {
            s.dts.get_or_insert(secs(w.dts));
            s.packets += 1;
            s.bytes += w.size;
            s.key_frames += u64::from(w.key);
            s.troubles += u64::from(w.trouble);
            s.gops.extend(w.gop.filter(|_| video).map(secs));
            if let Some(step) = w.step.map(secs) {
                let (least, most) = s.steps.unwrap_or((step, step));
                s.steps = Some((least.min(step), most.max(step)));
            }
        }
    }

    fn gap(&mut self, m: &Gap) {
        let same = self.lane(m.track).open.as_mut().filter(|(_, s)| s.msn == m.msn.0);
        match (same, m.part) {
            (Some((_, s)), Some(_)) => {
                s.parts += 1;
                s.gap_parts += 1;
                s.seconds += secs(m.duration);
            }
            (same, _) => {
                if same.is_none() || m.part.is_none() {
                    self.close(m.track);
                }
                (self.now, self.msn) = (Some(m.wall), m.msn.0);
            }
        }
        let (track, msn, wall, seconds) =
            (m.track.0, m.msn.0, m.wall.to_string(), secs(m.duration));
        let row = Row::Gap { track, msn, part: m.part, wall, seconds };
        self.row(Some(msn), Some(m.wall), row);
    }

    /// The open segment of a track is complete.
    fn close(&mut self, track: TrackId) {
        let skew = self.skew();
        let Some((wall, mut s)) = self.lane(track).open.take() else { return };
        if s.parts == 0 {
            return;
        }
        s.seconds = (s.seconds * 1e6).round() / 1e6;
        s.bit_rate = (s.bytes as f64 * 8.0 / s.seconds.max(1e-3)).round() as u64;
        s.skew = skew.map(secs);
        self.row(Some(s.msn), Some(wall), Row::Segment(Box::new(s)));
    }

    fn skew(&self) -> Option<i64> {
        Some(self.newest.get("audio")? - self.newest.get("video")?)
    }

    fn packet(&mut self, at: Position, p: &Packet, seq: Option<u64>) {
        let before = self.skew();
        let lane = self.lane(p.track);
        let dts = lane.scale.to_micros(p.dts);
        let cts = lane.scale.to_micros(p.cts.into());
        let step = lane.last.replace(dts).map(|last| dts - last);
        let what = step.and_then(|s| trouble(s, lane.frame));
        // Jitter is told by the segment's row; a row of its own for each frame would bury the rest.
        let hole = lane.frame.map_or(JUMP, |f| f + f / 2 + ROUNDING);
        if let Some(length @ FrameLength::InPacket { .. }) = lane.length {
            let lasts = i64::from(length.ticks(&p.payload)) * MICROS / i64::from(opus::RATE);
            lane.frame = Some(lasts);
        }
        let grave = step.is_some_and(|s| s <= 0 || s > hole);
        let video = lane.kind == Kind::Video;
        let key = p.key && video;
        let gop =
            if key { lane.key_at.replace(dts).map(|k| dts - k).filter(|g| *g > 0) } else { None };
        let size = p.payload.len() as u64;
        match seq {
            None => lane.unlisted += 1,
            Some(seq) => {
                if lane.waiting.len() >= OPEN_MAX {
                    lane.waiting.pop_front();
                }
                let trouble = what.is_some();
                lane.waiting.push_back(Waiting { seq, dts, size, key: p.key, step, trouble, gop });
            }
        }
        let kind = if video { "video" } else { "audio" };
        self.newest.insert(kind, dts);
        let track = p.track.0;
        if self.choice.packets {
            let (at, key) = (at.to_string(), p.key);
            let (pts, cts, step) = (secs(dts + cts), secs(cts), step.map(secs));
            let row = Row::Packet { track, seq, dts: secs(dts), pts, cts, size, key, step, at };
            self.row(None, None, row);
        }
        if let Some(what) = what.filter(|_| grave || self.choice.packets) {
            self.row(None, None, Row::Trouble { track, dts: secs(dts), what });
        }
        let after = self.skew();
        let far = |s: Option<i64>| s.is_some_and(|s| s.abs() > SKEW);
        if far(after) && !far(before) {
            let (by, side) = match after.unwrap_or(0) {
                s @ 0.. => (s, "ahead of"),
                s => (-s, "behind"),
            };
            let what = format!("sound is {:.0} ms {side} the picture", by as f64 / 1e3);
            self.row(None, None, Row::Trouble { track, dts: secs(dts), what });
        }
    }
}

/// What is wrong with a step of decode times, if anything.
fn trouble(step: i64, frame: Option<i64>) -> Option<String> {
    let ms = |n: i64| format!("{:.0} ms", n as f64 / 1e3);
    if step.abs() > JUMP {
        let side = if step < 0 { "back" } else { "forward" };
        return Some(format!("jump {side} by {:.3} s", secs(step.abs())));
    }
    match step {
        ..0 => Some(format!("step back by {}", ms(-step))),
        0 => Some("same time as the packet before".into()),
        _ => {
            let frame = frame?;
            let slack = ROUNDING.max(frame / OFF_SHARE);
            let side = if step > frame { "late" } else { "early" };
            ((step - frame).abs() > slack).then(|| {
                format!("{} {side}: {} after the one before", ms((step - frame).abs()), ms(step))
            })
        }
    }
}
