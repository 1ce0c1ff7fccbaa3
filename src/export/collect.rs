//! The first pass: every listed sample's times, size and place, with the segments and
//! configurations they belong to. Records in, a `Content` out; reads no file and keeps no payload.

use crate::base::ids::{Generation, Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::log::format::record::Record;
use crate::media::fmp4::init::Init;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, PartEnd, SegmentStart};
use crate::media::track::{Kind, Track};
use std::collections::VecDeque;

/// How far sound without a part's mark may stray from the end of the sound before it and still be
/// taken to follow it, microseconds: as the writer's own grid.
const GRID_TOLERANCE: i64 = 40_000;

/// What a picture lasts where nothing says it: 30 a second.
const FRAME_DEFAULT: i64 = 33_333;

/// One listed sample. Times are ticks of its segment's configuration (`Details::mux_timescale`),
/// until `plan` makes them ticks of the movie's track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Decode time.
    pub dts: i64,
    /// PTS less DTS.
    pub cts: i32,
    /// Bytes of payload.
    pub size: u32,
    /// The low half of its number in its track and generation.
    pub seq: u32,
    segment_and_flags: u32,
}

/// The bits of `segment_and_flags` that are no segment.
const KEY: u32 = 1 << 31;
const SKIPPED: u32 = 1 << 30;
const FLAGS: u32 = KEY | SKIPPED;

impl Sample {
    /// Index of its segment in its lane.
    pub fn segment(&self) -> usize {
        (self.segment_and_flags & !FLAGS) as usize
    }

    /// A decoder can start here.
    pub fn key(&self) -> bool {
        self.segment_and_flags & KEY != 0
    }

    /// A decoder that starts at the key frame before it drops it: it refers to what is before that.
    pub fn skipped(&self) -> bool {
        self.segment_and_flags & SKIPPED != 0
    }

    /// Presentation time.
    pub fn pts(&self) -> i64 {
        self.dts.saturating_add(self.cts.into())
    }
}

/// A segment of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub msn: Msn,
    /// Who wrote it.
    pub generation: Generation,
    /// Absolute discontinuity sequence number.
    pub dseq: u64,
    /// Wall clock at `pts`.
    pub wall: Wall,
    /// Presentation time of its first sample.
    pub pts: i64,
    /// Decode time at which its last sample ends.
    pub end: i64,
    /// Its configuration, an index into the lane's.
    pub init: usize,
}

/// All of one track.
#[derive(Debug)]
pub struct Lane {
    /// The track.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// Its configurations, each once.
    pub inits: Vec<Init>,
    /// In order.
    pub segments: Vec<Segment>,
    /// In the order in which they lie in the logs.
    pub samples: Vec<Sample>,
    /// The configuration in force.
    init: usize,
    waiting: VecDeque<Waiting>,
    next_seq: Option<u64>,
    needs_key: bool,
    /// The key frame just taken has nothing before it.
    after_hole: bool,
}

/// A listed sample whose part has not ended.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    seq: Seq,
    dts: i64,
    cts: i32,
    size: u32,
    key: bool,
    /// A decoder that starts at the key frame before it drops it.
    skipped: bool,
    /// Ticks that it lasts where that is exact (audio).
    ticks: Option<u32>,
}

/// What a recording holds.
#[derive(Debug, Default)]
pub struct Content {
    /// One for each track, video first.
    pub lanes: Vec<Lane>,
    /// Packets that no segment lists.
    pub unlisted: u64,
    /// Pictures left out because what they refer to is missing.
    pub undecodable: u64,
    /// Samples that damage swallowed.
    pub missing: u64,
    /// Configurations that cannot be read.
    pub bad_configurations: Vec<String>,
}

/// Reads along.
#[derive(Debug, Default)]
pub struct Collector {
    content: Content,
    generation: Option<Generation>,
}

impl Collector {
    /// The next record of the log of `generation`. Logs come in the order of their generations.
    pub fn record(&mut self, generation: Generation, record: &Record) {
        if self.generation != Some(generation) {
            self.leave();
            self.generation = Some(generation);
        }
        match record {
            Record::Packet { packet, seq: Some(seq) } => self.packet(packet, *seq),
            Record::Packet { seq: None, .. } => self.content.unlisted += 1,
            Record::Mark(Mark::Track(track)) => self.track(track),
            Record::Mark(Mark::SegmentStart(s)) => {
                if let Some(lane) = self.content.lane(s.track) {
                    lane.start(generation, s);
                }
            }
            Record::Mark(Mark::PartEnd(p)) => self.part(generation, p),
            Record::Mark(_) | Record::Unknown { .. } => {}
        }
    }

    /// All that was found.
    pub fn finish(mut self) -> Content {
        self.leave();
        self.content.lanes.retain(|l| !l.samples.is_empty());
        self.content.lanes.sort_by_key(|l| (l.kind == Kind::Audio, l.track));
        self.content
    }

    fn track(&mut self, track: &Track) {
        let kind = track.codec.kind();
        if self.content.lane(track.id).is_none_or(|l| l.kind == kind) {
            let known = self.content.lane(track.id);
            let at =
                known.and_then(|l| l.inits.iter().position(|i| i.track.config == track.config));
            let init = match at {
                Some(at) => Ok(at),
                None => Init::new(track.clone()).map(|init| self.content.configure(init)),
            };
            match (init, self.content.lane(track.id)) {
                (Ok(at), Some(lane)) => lane.init = at,
                (Ok(_), None) => {}
                (Err(e), _) => self.content.bad_configurations.push(e.to_string()),
            }
        }
    }

    fn packet(&mut self, packet: &Packet, seq: Seq) {
        let Some(lane) = self.content.lane(packet.track) else { return };
        let init = lane.inits.get(lane.init);
        let frames = init.and_then(|i| i.details.frame_length());
        lane.waiting.push_back(Waiting {
            seq,
            dts: packet.dts,
            cts: packet.cts,
            size: u32::try_from(packet.payload.len()).unwrap_or(u32::MAX),
            key: packet.key,
            skipped: init.is_some_and(|i| i.skips(&packet.payload)),
            ticks: frames.map(|f| f.ticks(&packet.payload)),
        });
    }

    fn part(&mut self, generation: Generation, p: &PartEnd) {
        let content = &mut self.content;
        let Some(at) = content.lanes.iter().position(|l| l.track == p.track) else { return };
        // Samples of a part whose end was lost to damage come first.
        let older = content.lanes[at].waiting.partition_point(|w| w.seq < p.first_seq);
        content.take_loose(at, generation, older);
        let lane = &mut content.lanes[at];
        let count = lane.waiting.partition_point(|w| w.seq <= p.last_seq);
        let segment =
            lane.segments.iter().rposition(|s| (s.generation, s.msn) == (generation, p.msn));
        let Some(segment) = segment else {
            lane.waiting.drain(..count);
            return;
        };
        let taken: Vec<Waiting> = lane.waiting.drain(..count).collect();
        let start = i64::try_from(p.decode_time).unwrap_or(i64::MAX);
        let (mut now, mut next) = (start, p.first_seq.0);
        for w in taken {
            let lane = &content.lanes[at];
            let dts = match w.ticks.map(i64::from) {
                Some(ticks) => {
                    // Those that are missing were as long as this.
                    let missing = i64::try_from(w.seq.0.saturating_sub(next)).unwrap_or(i64::MAX);
                    let dts = now.saturating_add(missing.saturating_mul(ticks));
                    (now, next) = (dts.saturating_add(ticks), w.seq.0.saturating_add(1));
                    dts
                }
                None => lane.ticks(segment, w.dts),
            };
            content.take(at, segment, w, dts);
        }
        let lane = &mut content.lanes[at];
        let mux = lane.details(segment).mux_timescale;
        lane.segments[segment].end = start.saturating_add(mux.from_micros(p.duration));
    }

    /// The generation is over: what waits for a part's end gets none any more.
    fn leave(&mut self) {
        let Some(generation) = self.generation else { return };
        for at in 0..self.content.lanes.len() {
            let all = self.content.lanes[at].waiting.len();
            self.content.take_loose(at, generation, all);
            let lane = &mut self.content.lanes[at];
            (lane.next_seq, lane.needs_key) = (None, true);
        }
    }
}

impl Content {
    fn lane(&mut self, track: TrackId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|l| l.track == track)
    }

    /// Notes a new configuration; its index in its lane.
    fn configure(&mut self, init: Init) -> usize {
        let track = init.track.id;
        if self.lane(track).is_none() {
            self.lanes.push(Lane::empty(track, init.track.codec.kind()));
        }
        let Some(lane) = self.lane(track) else { return 0 };
        lane.inits.push(init);
        lane.inits.len() - 1
    }

    /// Takes the first `count` waiting samples of a lane without the mark of their part: each
    /// belongs to the newest segment that began at or before it.
    fn take_loose(&mut self, at: usize, generation: Generation, count: usize) {
        let lane = &mut self.lanes[at];
        let taken: Vec<Waiting> = lane.waiting.drain(..count).collect();
        let Some(segment) = lane.segments.iter().rposition(|s| s.generation == generation) else {
            return;
        };
        for w in taken {
            let lane = &self.lanes[at];
            let (details, raw) = (lane.details(segment), lane.ticks(segment, w.dts));
            let mux = details.mux_timescale;
            let before = lane.segments[segment].end;
            let (dts, frame) = match w.ticks {
                Some(ticks) => {
                    let near = (raw - before).abs() <= mux.from_micros(GRID_TOLERANCE);
                    (if near { before } else { raw }, i64::from(ticks))
                }
                None => {
                    let rate = details.rate.map_or(FRAME_DEFAULT, |r| r.frame_micros());
                    (raw, mux.from_micros(rate))
                }
            };
            self.take(at, segment, w, dts);
            self.lanes[at].segments[segment].end = dts.saturating_add(frame);
        }
    }

    fn take(&mut self, at: usize, segment: usize, w: Waiting, dts: i64) {
        let lane = &mut self.lanes[at];
        let missing = lane.next_seq.map_or(0, |next| w.seq.0.saturating_sub(next));
        lane.next_seq = Some(w.seq.0.saturating_add(1));
        self.missing += missing;
        lane.needs_key |= missing > 0;
        let lost = lane.needs_key && !w.key || lane.after_hole && w.skipped;
        if lane.kind == Kind::Video && lost {
            self.undecodable += 1;
            return;
        }
        // Leading pictures come right behind their key frame.
        lane.after_hole = lane.needs_key || lane.after_hole && w.key;
        lane.needs_key = false;
        let cts = match lane.kind {
            Kind::Audio => 0,
            Kind::Video => {
                let pts = lane.ticks(segment, w.dts.saturating_add(w.cts.into()));
                pts.saturating_sub(dts).clamp(i32::MIN.into(), i32::MAX.into()) as i32
            }
        };
        let s = &mut lane.segments[segment];
        if s.pts == i64::MIN {
            s.pts = dts.saturating_add(cts.into());
            s.end = s.end.max(dts);
        }
        let segment = u32::try_from(segment).unwrap_or(u32::MAX) & !FLAGS;
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let segment_and_flags = segment | flag(w.key, KEY) | flag(w.skipped, SKIPPED);
        let (size, seq) = (w.size, w.seq.0 as u32);
        lane.samples.push(Sample { dts, cts, size, seq, segment_and_flags });
    }
}

impl Lane {
    /// A lane without samples.
    pub fn empty(track: TrackId, kind: Kind) -> Lane {
        Lane {
            track,
            kind,
            inits: Vec::new(),
            segments: Vec::new(),
            samples: Vec::new(),
            init: 0,
            waiting: VecDeque::new(),
            next_seq: None,
            needs_key: true,
            after_hole: false,
        }
    }

    /// Forgets configurations that no sample has.
    pub fn drop_unused(&mut self) {
        let mut used = vec![false; self.inits.len()];
        for s in &self.samples {
            used[self.segments[s.segment()].init] = true;
        }
        let place: Vec<usize> =
            (0..used.len()).map(|i| used[..i].iter().filter(|u| **u).count()).collect();
        self.segments.iter_mut().for_each(|s| s.init = place[s.init]);
        let mut keep = used.iter();
        self.inits.retain(|_| *keep.next().unwrap_or(&true));
    }

    fn start(&mut self, generation: Generation, s: &SegmentStart) {
        if self.inits.is_empty() {
            return;
        }
        let end = self.segments.last().filter(|l| (l.generation, l.dseq) == (generation, s.dseq));
        self.segments.push(Segment {
            msn: s.msn,
            generation,
            dseq: s.dseq,
            wall: s.wall,
            pts: i64::MIN,
            end: end.map_or(i64::MIN, |l| l.end),
            init: self.init,
        });
    }

    /// What a segment's configuration says.
    pub fn details(&self, segment: usize) -> &crate::media::codec::Details {
        &self.inits[self.segments[segment].init].details
    }

    /// A packet's time in ticks of a segment's configuration.
    fn ticks(&self, segment: usize, packet: i64) -> i64 {
        let init = &self.inits[self.segments[segment].init];
        init.track.timescale.convert(packet, init.details.mux_timescale)
    }

    /// Wall clock of a sample's presentation.
    pub fn wall(&self, sample: &Sample) -> Wall {
        let s = &self.segments[sample.segment()];
        let mux = self.details(sample.segment()).mux_timescale;
        s.wall.plus(mux.to_micros(sample.pts().saturating_sub(s.pts)))
    }
}
