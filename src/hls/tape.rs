//! For tests only: marks as a writer would make them, one call each, with the clock, the numbers
//! and the samples kept.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId, Writer};
use crate::base::time::Wall;
use crate::hls::error::MarkError;
use crate::hls::playlist::{self, Report, Skip, View};
use crate::hls::window::Window;
use crate::media::codec::VideoRange;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::{
    End, Gap, GenerationStart, LastSegment, Mark, PartEnd, RENDER, Rendition, SegmentStart,
    SessionRecord, TrackEnd,
};
use crate::media::track::Kind;
use std::sync::Arc;

/// One thing that a window is told.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Init(&'static str),
    Mark(Writer, Mark),
}

impl Step {
    pub(super) fn is_cue(&self) -> bool {
        matches!(self, Step::Mark(_, Mark::Cue(_)))
    }
}

/// Tells it.
pub(super) fn tell(window: &mut Window, step: &Step) -> Result<bool, MarkError> {
    match step {
        Step::Init(hash) => Ok(window.set_init(hash)),
        Step::Mark(writer, mark) => window.apply(*writer, mark),
    }
}

/// Target duration 4 s, segments 2 s, PART-TARGET 502 ms, video and audio.
pub(super) fn session() -> Arc<SessionRecord> {
    let rendition = |name: &str, track, kind| Rendition {
        name: name.into(),
        track,
        kind,
        codecs: String::new(),
        bandwidth: 1,
        resolution: None,
        frame_rate_millis: None,
        offered: true,
        range: VideoRange::Sdr,
        channels: None,
    };
    Arc::new(SessionRecord {
        target_duration: 4,
        segment: 2_000_000,
        part_target: 502_000,
        latency_budget: 0,
        render: RENDER,
        renditions: vec![
            rendition("video", TrackId::VIDEO, Kind::Video),
            rendition("audio", TrackId::AUDIO, Kind::Audio),
        ],
    })
}

/// A video track's marks. Durations are milliseconds, samples last 20 ms.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    pub(super) steps: Vec<Step>,
    pub(super) writer: u64,
    /// The next segment's number.
    pub(super) msn: u64,
    pub(super) dseq: u64,
    pub(super) seq: u64,
    pub(super) wall: i64,
    /// The next part's index.
    pub(super) part: u32,
}

impl Tape {
    /// Session 7, generation 1 from segment 100 on, at 2026-11-20T17:23:06.125Z, init section `aa`.
    pub(super) fn new() -> Tape {
        let mut tape = Tape {
            steps: Vec::new(),
            writer: 1,
            msn: 100,
            dseq: 0,
            seq: 0,
            wall: 1_795_195_386_125_000,
            part: 0,
        };
        tape.start(None);
        tape.init("aa")
    }

    fn start(&mut self, previous: Option<(Writer, End)>) {
        self.seq = 0;
        self.mark(Mark::Generation(GenerationStart {
            session: Session(7),
            generation: Generation(self.writer),
            job: None,
            base: Msn(self.msn),
            dseq: self.dseq,
            previous,
        }));
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.steps.push(Step::Mark(origin(self.writer), mark));
    }

    pub(super) fn init(mut self, hash: &'static str) -> Tape {
        self.steps.push(Step::Init(hash));
        self
    }

    /// A segment starts.
    pub(super) fn segment(mut self) -> Tape {
        self.begin(false, true);
        self
    }

    /// A segment starts after a discontinuity.
    pub(super) fn cut(mut self) -> Tape {
        self.begin(true, true);
        self
    }

    /// A segment starts in the middle of a GOP.
    pub(super) fn dependent(mut self) -> Tape {
        self.begin(false, false);
        self
    }

    fn begin(&mut self, discontinuity: bool, independent: bool) {
        self.dseq += u64::from(discontinuity);
        self.mark(Mark::SegmentStart(SegmentStart {
            track: TrackId::VIDEO,
            msn: Msn(self.msn),
            dseq: self.dseq,
            discontinuity,
            independent,
            wall: Wall(self.wall),
            first_seq: Seq(self.seq),
        }));
        self.msn += 1;
        self.part = 0;
    }

    /// A part of the segment that started last.
    pub(super) fn part(mut self, millis: i64, independent: bool) -> Tape {
        let last = self.seq + (millis / 20).unsigned_abs() - 1;
        self.mark(Mark::PartEnd(PartEnd {
            track: TrackId::VIDEO,
            msn: Msn(self.msn - 1),
            part: self.part,
            first_seq: Seq(self.seq),
            last_seq: Seq(last),
            decode_time: self.seq * 20,
            duration: millis * 1000,
            independent,
        }));
        self.seq = last + 1;
        self.wall += millis * 1000;
        self.part += 1;
        self
    }

    /// A segment of 2 s: four parts, the first with the IDR picture.
    pub(super) fn two_seconds(self) -> Tape {
        let start = self.segment();
        start.part(500, true).part(500, false).part(500, false).part(500, false)
    }

    /// A part of the segment that started last is absent; with part 0 a gap segment starts.
    pub(super) fn gap_part(mut self, millis: i64, first: bool) -> Tape {
        if first {
            self.msn += 1;
            self.part = 0;
        }
        self.gap_mark(self.msn - 1, Some(self.part), millis, self.wall);
        self.part += 1;
        self.wall += millis * 1000;
        self
    }

    /// The gap segment that started last is complete.
    pub(super) fn gap_complete(mut self, millis: i64) -> Tape {
        self.gap_mark(self.msn - 1, None, millis, self.wall - millis * 1000);
        self
    }

    /// A whole segment is absent.
    pub(super) fn gap(mut self, millis: i64) -> Tape {
        self.gap_mark(self.msn, None, millis, self.wall);
        self.msn += 1;
        self.wall += millis * 1000;
        self
    }

    pub(super) fn gap_mark(&mut self, msn: u64, part: Option<u32>, millis: i64, wall: i64) {
        self.mark(Mark::Gap(Gap {
            track: TrackId::VIDEO,
            msn: Msn(msn),
            part,
            duration: millis * 1000,
            wall: Wall(wall),
            dseq: self.dseq,
        }));
    }

    pub(super) fn decided(&self, last: LastSegment, session_over: bool) -> End {
        End {
            msn: Msn(self.msn - 1),
            dseq: self.dseq,
            wall: Wall(self.wall),
            tracks: vec![TrackEnd {
                track: TrackId::VIDEO,
                msn: Msn(self.msn - 1),
                parts: self.part,
                last,
            }],
            session_over,
        }
    }

    /// Something begins now and lasts so long.
    pub(super) fn cue(mut self, id: &str, millis: i64) -> Tape {
        let (start, added) = (Wall(self.wall), Wall(self.wall));
        self.mark(Mark::Cue(Cue {
            id: id.into(),
            class: "com.example.ad".into(),
            start,
            duration: millis * 1000,
            added,
            data: "{\"n\": 1}".into(),
            repeated: false,
        }));
        self
    }

    /// The session is over.
    pub(super) fn over(mut self) -> Tape {
        let end = self.decided(LastSegment::Complete, true);
        self.mark(Mark::End(end));
        self
    }

    /// The next generation starts `skip` numbers later.
    pub(super) fn next_generation(mut self, last: LastSegment, skip: u64) -> Tape {
        let end = self.decided(last, false);
        let previous = origin(self.writer);
        self.writer += 1;
        self.msn += skip;
        self.start(Some((previous, end)));
        self
    }

    /// Time passes without marks.
    pub(super) fn pause(mut self, millis: i64) -> Tape {
        self.wall += millis * 1000;
        self
    }

    /// A window that was told everything.
    pub(super) fn window(&self) -> Window {
        window(&self.steps)
    }
}

/// The writer of a generation's source.
pub(super) fn origin(generation: u64) -> Writer {
    Generation(generation).into()
}

/// A window that was told `steps`.
pub(super) fn window(steps: &[Step]) -> Window {
    let mut window = Window::new(session(), TrackId::VIDEO);
    for step in steps {
        tell(&mut window, step).expect("a legal mark");
    }
    window
}

/// A playlist of a window, or its delta update, as text.
pub(super) fn render(
    window: &Window,
    view: View,
    skip: bool,
    reports: &[Report<'_>],
) -> Option<String> {
    form(window, view, if skip { Skip::Segments } else { Skip::No }, reports)
}

/// A playlist of a window in one of its forms, as text.
pub(super) fn form(
    window: &Window,
    view: View,
    skip: Skip,
    reports: &[Report<'_>],
) -> Option<String> {
    let version = playlist::render(window, reports, true, None)?;
    Some(version.forms(view).expect("both are rendered").get(skip).concat())
}
