//! Rungs of made-up sources.

use super::*;
use crate::base::ids::{Generation, Session};
use crate::base::time::{MICROS, Timescale};
use crate::media::timeline::mark::{GenerationStart, PartEnd};
use bytes::Bytes;

const WALL: i64 = 1_700_000_000 * MICROS;

fn plan() -> Plan {
    let mux = Timescale::new(90_000).expect("not zero");
    let (track, kind, timescale) = (TrackId::RUNGS, Kind::Video, Timescale::MILLIS);
    Plan { track, kind, timescale, mux, frame: 40_000, frames: None }
}

fn at(ms: u64) -> Now {
    Now { mono: Mono(ms * 1_000), wall: Wall(WALL + ms.cast_signed() * 1_000) }
}

/// A source of 25 pictures a second and segments of a second, and its rung.
struct Both {
    rung: Rung,
    now: u64,
    seq: u64,
    pictures: u64,
    out: Vec<String>,
    ended: Option<End>,
}

impl Both {
    fn new(from: u64, base: u64) -> Both {
        let begin = Begin { from: Msn(from), base: Msn(base), dseq: 0 };
        let rung = Rung::new(plan(), 500_000, Duration::from_secs(2), begin);
        Both { rung, now: 0, seq: 0, pictures: 0, out: Vec::new(), ended: None }
    }

    /// The source's segment `msn` begins at `pts` ms, of so many pictures; those are coded but for
    /// `lost` at the beginning.
    fn segment(&mut self, msn: u64, pts: i64, pictures: u64, lost: u64, breaks: bool) {
        let first_seq = Seq(self.seq);
        let (track, dseq) = (TrackId::VIDEO, u64::from(breaks));
        let wall = at(self.now).wall;
        let mark = SegmentStart {
            track,
            msn: Msn(msn),
            dseq,
            discontinuity: breaks,
            independent: true,
            wall,
            first_seq,
        };
        self.rung.source_mark(at(self.now), track, &Mark::SegmentStart(mark));
        for n in 0..pictures {
            let time = pts + n.cast_signed() * 40;
            self.rung.source_sample(at(self.now), Seq(self.seq), time * 1_000);
            self.seq += 1;
            self.now += 40;
            self.rung.handle_timeout(at(self.now));
            if n >= lost {
                let payload = Bytes::from_static(b"x");
                let (track, key) = (TrackId::RUNGS, n == lost);
                self.rung.packet(Packet { track, dts: time, cts: 0, key, payload });
            }
        }
        self.look();
    }

    fn look(&mut self) {
        while let Some(out) = self.rung.poll_output() {
            let line = match out {
                Output::Packet(..) => {
                    self.pictures += 1;
                    continue;
                }
                Output::Mark(Mark::SegmentStart(s)) => {
                    let at = (s.wall.0 - WALL) / 1_000;
                    format!("start {} at {at} of {}", s.msn, s.dseq)
                }
                Output::Mark(Mark::PartEnd(PartEnd { msn, part, duration, .. })) => {
                    let pictures = std::mem::take(&mut self.pictures);
                    format!("part {msn}.{part} {pictures} {}", duration / 1_000)
                }
                Output::Mark(Mark::Gap(g)) => {
                    let at = (g.wall.0 - WALL) / 1_000;
                    format!("gap {} at {at} {}", g.msn, g.duration / 1_000)
                }
                Output::Mark(Mark::End(end)) => {
                    self.ended = Some(end.clone());
                    format!("end {}", end.msn)
                }
                Output::Mark(other) => panic!("{other:?}"),
            };
            self.out.push(line);
        }
    }

    fn said(&mut self) -> Vec<String> {
        self.look();
        std::mem::take(&mut self.out)
    }
}

#[test]
fn a_rung_has_the_sources_numbers_and_its_own_parts() {
    let mut both = Both::new(7, 7);
    both.segment(7, 0, 25, 0, false);
    both.segment(8, 1_000, 25, 0, false);
    let first = ["start 7 at 0 of 0", "part 7.0 12 480", "part 7.1 12 480"];
    let second = ["part 7.2 1 40", "start 8 at 1000 of 0", "part 8.0 12 480", "part 8.1 12 480"];
    assert_eq!(both.said(), [&first[..], &second[..]].concat());
    both.rung.finish();
    assert_eq!(both.said(), ["part 8.2 1 40", "end 8"]);
    let end = both.ended.expect("it ended");
    let (parts, last) = (3, LastSegment::Complete);
    assert_eq!(end.tracks, [TrackEnd { track: TrackId::RUNGS, msn: Msn(8), parts, last }]);
    assert_eq!((end.wall, end.session_over), (Wall(WALL + 2 * MICROS), false));
}

#[test]
fn what_lies_before_the_first_picture_is_absent() {
    let mut both = Both::new(5, 7);
    both.segment(4, 0, 10, 10, false);
    both.segment(5, 400, 10, 10, false);
    both.segment(6, 800, 10, 10, false);
    assert_eq!(both.said(), ["gap 5 at 400 400"], "4 is somebody else's, 6 is not over");
    both.segment(7, 1_200, 10, 0, false);
    assert_eq!(both.said(), ["gap 6 at 800 400", "start 7 at 1200 of 0"]);
}

#[test]
fn a_segment_that_begins_late_says_so_in_its_date_and_one_that_does_not_come_is_absent() {
    let mut both = Both::new(1, 1);
    both.segment(1, 0, 25, 2, false);
    assert_eq!(both.said()[0], "start 1 at 80 of 0");
    both.segment(2, 1_000, 25, 25, false);
    both.segment(3, 2_000, 25, 0, false);
    let said = both.said();
    assert_eq!(said[0], "part 1.1 11 440", "{said:?}");
    assert_eq!(said[1..3], ["gap 2 at 1000 1000", "start 3 at 2000 of 0"]);
    // Where nothing comes at all, the clock says that it is absent.
    for n in 4..8 {
        both.segment(n, n.cast_signed() * 1_000 - 1_000, 25, 25, false);
    }
    let said = both.said();
    assert_eq!(said[..3], ["part 3.2 1 40", "gap 4 at 3000 1000", "gap 5 at 4000 1000"]);
    assert_eq!(said.len(), 3, "6 and 7 may still come: {said:?}");
}

#[test]
fn the_sources_absences_and_ends_are_copied() {
    let mut both = Both::new(1, 1);
    both.segment(1, 0, 10, 0, false);
    both.said();
    let mut said = Vec::new();
    let (track, part, duration, dseq) = (TrackId::VIDEO, None, MICROS, 0);
    for msn in [2, 3] {
        let wall = Wall(WALL + (msn - 1) * MICROS);
        let gap = Gap { track, msn: Msn(msn.unsigned_abs()), part, duration, wall, dseq };
        both.rung.source_mark(at(both.now), track, &Mark::Gap(gap));
        assert_eq!(both.said(), [""; 0], "the encoder may hold something of the media before");
        both.now += 600;
        both.rung.handle_timeout(at(both.now));
        said.extend(both.said());
    }
    assert_eq!(said[1..], ["gap 2 at 1000 1000", "gap 3 at 2000 1000"]);
    // The encoder is back with times of its own.
    both.now = 3_000;
    both.segment(4, 17, 10, 0, true);
    assert_eq!(both.said(), ["start 4 at 3000 of 1"]);
    let (msn, wall, tracks, session_over) = (Msn(4), Wall(WALL + 5 * MICROS), Vec::new(), true);
    let end = Mark::End(End { msn, dseq: 1, wall, tracks, session_over });
    both.rung.source_mark(at(both.now), track, &end);
    both.rung.finish();
    assert_eq!(both.said(), ["part 4.0 10 400", "end 4"]);
    let end = both.ended.take().expect("it ended");
    assert_eq!((end.session_over, end.dseq, end.wall), (true, 1, wall));
    assert!(both.rung.is_ended() && both.rung.poll_timeout().is_none());
}

#[test]
fn a_discontinuity_goes_on_at_times_that_were_there_before() {
    let mut both = Both::new(1, 1);
    both.segment(1, 90_000, 10, 0, false);
    both.said();
    both.segment(2, 40, 10, 0, true);
    let said = both.said();
    assert_eq!(said, ["part 1.0 10 400", "start 2 at 400 of 1"]);
}

#[test]
fn marks_of_others_mean_nothing() {
    let mut both = Both::new(1, 1);
    let (session, generation, base) = (Session(1), Generation(1), Msn(1));
    let (job, dseq, previous) = (None, 0, None);
    let start = GenerationStart { session, generation, job, base, dseq, previous };
    both.rung.source_mark(at(0), TrackId::VIDEO, &Mark::Generation(start));
    let (track, msn, part, duration, wall) = (TrackId::AUDIO, Msn(1), None, 1, Wall(0));
    let gap = Gap { track, msn, part, duration, wall, dseq };
    both.rung.source_mark(at(0), TrackId::VIDEO, &Mark::Gap(gap));
    assert_eq!((both.said().len(), both.rung.poll_timeout()), (0, None));
}

#[test]
fn so_many_of_the_sources_samples_wait_for_their_mark() {
    let mut both = Both::new(1, 1);
    for seq in 0..=UNMARKED_MAX as u64 {
        both.rung.source_sample(at(0), Seq(seq), seq.cast_signed());
    }
    assert_eq!(both.rung.unmarked.len(), UNMARKED_MAX);
    assert_eq!(both.rung.unmarked[0].0, Seq(1), "the oldest went");
}

#[test]
fn another_goes_on_with_the_number_that_was_told() {
    let mut both = Both::new(1000, 1000);
    both.segment(1000, 0, 25, 0, false);
    both.rung.hand_over(Msn(1002));
    both.segment(1001, 1_000, 25, 0, false);
    assert!(!both.rung.is_ended());
    both.segment(1002, 2_000, 25, 0, false);
    both.segment(1003, 3_000, 25, 0, false);
    let end = both.ended.as_ref().expect("at the boundary, with its first picture");
    assert_eq!((end.msn, end.tracks[0].parts, end.session_over), (Msn(1001), 3, false));
    assert_eq!(end.wall, at(2_000).wall);
    let begun = |msn: &str| both.out.iter().any(|l| l.starts_with(msn));
    assert!(begun("start 1001") && !begun("start 1002"), "{:?}", both.out);
    assert_eq!(both.rung.newest(), Some(Msn(1001)));
}

#[test]
fn who_hands_over_where_times_begin_anew_does_so_by_the_clock() {
    let mut both = Both::new(1000, 1000);
    both.segment(1000, 0, 25, 0, false);
    both.rung.hand_over(Msn(1001));
    // All of its pictures are before those of the segment that was.
    both.segment(1001, -9_000, 60, 60, true);
    assert!(both.rung.is_ended());
    let end = both.ended.as_ref().expect("after its patience");
    assert_eq!((end.msn, end.dseq), (Msn(1000), 0));
}
