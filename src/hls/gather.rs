//! A part's bytes out of a track's records, read in log order: the samples that its mark names, and
//! the events of the cues that go into it. Wherever a part is made, on an edge, again from the log,
//! in an export, it is made here: the same records give the same bytes.
//!
//! A cue goes into the first part whose mark follows it, of each track that carries cues. Its event
//! has the time at which the cue begins on the track's time line, as the dates of the part's own
//! segment say.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::hls::segment::Part;
use crate::media::fmp4::event::event;
use crate::media::fmp4::fragment::{Sample, fragment};
use crate::media::fmp4::init::Init;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::{Mark, PartEnd};
use bytes::Bytes;
use std::collections::VecDeque;

/// Where dates and media times of a segment meet: at its first sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    wall: Wall,
    /// The segment's first listed part and sample.
    part: Part,
    first: Sample,
}

/// What a part is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The part.
    pub part: Part,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Its cues, and what their times are counted from; without that, they have none.
    pub cues: Option<(Vec<Cue>, Origin)>,
}

impl Gathered {
    /// The part's bytes.
    pub fn bytes(&self, init: &Init) -> Bytes {
        let media = fragment(&self.part.fragment(init, &self.samples));
        let Some((cues, origin)) = &self.cues else { return media };
        let mux = init.details.mux_timescale;
        let ticks = |t| init.track.timescale.convert(t, mux);
        let Sample { dts, cts, .. } = origin.first;
        let shown = ticks(dts.saturating_add(cts.into())).saturating_sub(ticks(dts));
        let zero = i64::try_from(origin.part.decode_time).unwrap_or(i64::MAX);
        let mut out = Vec::with_capacity(media.len() + 512);
        for cue in cues {
            let after = mux.from_micros(cue.start.since(origin.wall));
            let time = zero.saturating_add(shown).saturating_add(after);
            out.extend_from_slice(&event(cue, time, mux));
        }
        out.extend_from_slice(&media);
        out.into()
    }
}

/// The cues of one track, on their way to its next part.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: Vec<Cue>,
    begun: Option<(Msn, Wall, Option<Origin>)>,
}

impl Pending {
    /// Takes a mark that may say something about it: of its own track, or a cue.
    pub fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::SegmentStart(s) => self.begun = Some((s.msn, s.wall, None)),
            Mark::Cue(cue) if !cue.repeated => self.waiting.push(cue.clone()),
            _ => {}
        }
    }

    /// A part of the track is complete; `first` is its first sample, where that is at hand. The
    /// part's cues, and their segment's origin if it is known.
    pub fn part(&mut self, p: &PartEnd, first: Option<&Sample>) -> (Vec<Cue>, Option<Origin>) {
        let origin = match &mut self.begun {
            Some((msn, wall, origin)) if *msn == p.msn => {
                let new =
                    || Some(Origin { wall: *wall, part: Part::from(p), first: first?.clone() });
                if origin.is_none() {
                    *origin = new();
                }
                origin.clone()
            }
            _ => None,
        };
        (std::mem::take(&mut self.waiting), origin)
    }
}

/// Gathers the parts of one track.
#[derive(Debug)]
pub struct Gatherer {
    track: TrackId,
    carries_cues: bool,
    samples: VecDeque<(Seq, Sample)>,
    pending: Pending,
}

impl Gatherer {
    /// For a track of a session (`SessionRecord::carries_cues`).
    pub fn new(track: TrackId, carries_cues: bool) -> Gatherer {
        let (samples, pending) = (VecDeque::new(), Pending::default());
        Gatherer { track, carries_cues, samples, pending }
    }

    /// Takes a listed sample of the track.
    pub fn sample(&mut self, seq: Seq, sample: Sample) {
        self.samples.push_back((seq, sample));
    }

    /// Takes a mark. What a part of the track is made of, where it ends one: `None` when its
    /// samples are not all there.
    pub fn mark(&mut self, mark: &Mark) -> Option<(PartEnd, Option<Gathered>)> {
        match mark {
            Mark::PartEnd(p) if p.track == self.track => return Some((*p, self.part(p))),
            Mark::SegmentStart(s) if s.track == self.track => self.pending.mark(mark),
            Mark::Cue(_) if self.carries_cues => self.pending.mark(mark),
            _ => {}
        }
        None
    }

    fn part(&mut self, p: &PartEnd) -> Option<Gathered> {
        let older = self.samples.partition_point(|(seq, _)| *seq < p.first_seq);
        self.samples.drain(..older);
        let count = self.samples.partition_point(|(seq, _)| *seq <= p.last_seq);
        let samples: Vec<Sample> = self.samples.drain(..count).map(|(_, s)| s).collect();
        let whole = count as u64 == p.last_seq.0.saturating_sub(p.first_seq.0).saturating_add(1);
        let (cues, origin) = self.pending.part(p, samples.first());
        let cues = origin.filter(|_| !cues.is_empty()).map(|origin| (cues, origin));
        whole.then(|| Gathered { part: Part::from(p), samples, cues })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timescale;
    use crate::media::timeline::mark::SegmentStart;
    use crate::media::track::{Codec, Track};
    use mp4_atom::{Decode, Emsg, EmsgTimestamp};

    /// An AVCDecoderConfigurationRecord of 640x360.
    const AVCC: &[u8] = b"\x01\x42\xc0\x1e\xff\xe1\0\x19gB\xc0\x1e\xd8\x90(\x0b\xfe\\\x04@\0\0\
        \x03\0@\0\0\x0c\x83\xc5\x8b\x89\x80\x01\0\x05h\xc8\x88\xcb ";

    fn init() -> Init {
        let (id, codec) = (TrackId::VIDEO, Codec::H264);
        let (timescale, config) = (Timescale::MILLIS, Bytes::from_static(AVCC));
        Init::new(Track { id, codec, timescale, rate: None, config }).expect("a configuration")
    }

    /// Pictures of 40 ms from second 10 on, each shown 80 ms after it is decoded.
    fn sample(n: u64) -> Sample {
        let payload = Bytes::from_static(b"picture");
        Sample { dts: 10_000 + 40 * n.cast_signed(), cts: 80, key: n == 0, payload }
    }

    fn start(wall: i64) -> Mark {
        Mark::SegmentStart(SegmentStart {
            track: TrackId::VIDEO,
            msn: Msn(7),
            dseq: 0,
            discontinuity: false,
            independent: true,
            wall: Wall(wall),
            first_seq: Seq(0),
        })
    }

    fn end(part: u32, first: u64) -> Mark {
        Mark::PartEnd(PartEnd {
            track: TrackId::VIDEO,
            msn: Msn(7),
            part,
            first_seq: Seq(first),
            last_seq: Seq(first + 4),
            decode_time: 900_000 + 3_600 * first,
            duration: 200_000,
            independent: part == 0,
        })
    }

    fn cue(id: &str, start: i64) -> Mark {
        let (id, class, data) = (id.into(), String::new(), "1".into());
        let (start, added, repeated) = (Wall(start), Wall(0), false);
        Mark::Cue(Cue { id, class, start, duration: 0, added, data, repeated })
    }

    fn times(bytes: &Bytes) -> Vec<u64> {
        let (mut rest, mut out) = (&bytes[..], Vec::new());
        while rest[4..8] == *b"emsg" {
            let emsg = Emsg::decode(&mut rest).expect("a box");
            let EmsgTimestamp::Absolute(time) = emsg.presentation_time else { panic!("version 1") };
            out.push(time);
        }
        assert_eq!(rest[4..8], *b"moof");
        out
    }

    /// Tells a gatherer a segment of two parts with cues and what it makes of them.
    fn told(carries: bool, marks: &[Mark]) -> Vec<Bytes> {
        let mut gatherer = Gatherer::new(TrackId::VIDEO, carries);
        (0..10).for_each(|n| gatherer.sample(Seq(n), sample(n)));
        let made = marks.iter().filter_map(|m| gatherer.mark(m));
        made.map(|(_, part)| part.expect("its samples are there").bytes(&init())).collect()
    }

    #[test]
    fn a_cue_goes_into_the_next_part_with_its_time_on_the_track() {
        // The segment's first picture is shown 10.08 s after the track's zero, at wall 1000 s.
        let wall = 1_000_000_000;
        let zero = 900_000 + 80 * 90;
        let marks = [
            cue("before", wall + 500_000),
            start(wall),
            end(0, 0),
            cue("first", wall + 300_000),
            cue("second", wall - 20_000_000),
            end(1, 5),
        ];
        let parts = told(true, &marks);
        assert_eq!(times(&parts[0]), [zero + 45_000]);
        assert_eq!(
            times(&parts[1]),
            [zero + 27_000, 0],
            "what was before the track begins with it"
        );
        let plain = told(false, &marks);
        assert!(times(&plain[0]).is_empty() && parts[0].ends_with(&plain[0]));
        let mut repeated = marks;
        for mark in &mut repeated {
            if let Mark::Cue(cue) = mark {
                cue.repeated = true;
            }
        }
        assert_eq!(told(true, &repeated), plain);
    }

    #[test]
    fn a_part_without_its_samples_is_none_and_has_used_up_its_cues() {
        let mut gatherer = Gatherer::new(TrackId::VIDEO, true);
        (1..10).for_each(|n| gatherer.sample(Seq(n), sample(n)));
        for mark in [start(0), cue("a", 0)] {
            assert!(gatherer.mark(&mark).is_none());
        }
        let (p, part) = gatherer.mark(&end(0, 0)).expect("a part ends");
        assert_eq!((p.part, part), (0, None));
        let (_, part) = gatherer.mark(&end(1, 5)).expect("a part ends");
        assert!(times(&part.expect("its samples are there").bytes(&init())).is_empty());
    }
}
