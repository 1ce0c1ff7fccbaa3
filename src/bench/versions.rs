//! What a version of a media playlist costs, and what a rendition's window holds, by the length of
//! what is listed. In this process: what is measured is `hls`, without a socket.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::{MICROS, Wall};
use crate::bench::error::BenchError;
use crate::bench::proc;
use crate::bench::progress::Progress;
use crate::bench::stats::median;
use crate::hls::playlist::{Report, Skip, Version, View, render};
use crate::hls::rope::Rope;
use crate::hls::window::Window;
use crate::media::codec::VideoRange;
use crate::media::timeline::mark::{
    GenerationStart, Mark, PartEnd, Rendition, SegmentStart, SessionRecord,
};
use crate::media::track::Kind;
use crate::rt::clock::Clock;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;

/// Length of a segment in microseconds.
const SEGMENT: i64 = 2 * MICROS;

/// Parts of a segment: 200 ms each.
const PARTS: u32 = 10;

/// Samples of a part: 30 pictures a second.
const SAMPLES: u64 = 6;

/// Segments that are timed; each gives one sample of [`PARTS`] versions.
const TIMED: usize = 60;

/// One measurement: a session of so many hours.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Hours that the session has lasted.
    pub hours: u32,
}

/// What a playlist came to.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `live`, or the hours that the DVR playlist lists.
    pub playlist: String,
    /// Bytes of the playlist.
    pub text: usize,
    /// Bytes of its gzip member.
    pub gzip: usize,
    /// Microseconds for a new version: one more part, the full playlist and its delta update.
    pub version_us: f64,
    /// The same with both compressed.
    pub version_gzip_us: f64,
    /// Milliseconds to compress it all the first time anybody asks.
    pub first_gzip_ms: f64,
    /// Microseconds to gather what one answer sends, without a copy.
    pub answer_us: f64,
    /// Microseconds that a version of a playlist from the middle on takes besides; of the DVR
    /// playlist only.
    pub rewound_us: Option<f64>,
    /// Bytes that the window takes for an hour of the past; of the longest DVR playlist only.
    pub bytes_per_hour: Option<u64>,
}

/// Marks of one rendition as a writer makes them.
struct Maker {
    window: Window,
    msn: u64,
    seq: u64,
    part: u32,
    wall: i64,
}

impl Maker {
    fn new() -> Maker {
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
        let session = SessionRecord {
            target_duration: 4,
            segment: SEGMENT,
            part_target: 202_000,
            latency_budget: 0,
            render: crate::media::timeline::mark::RENDER,
            renditions: vec![
                rendition("video", TrackId::VIDEO, Kind::Video),
                rendition("audio", TrackId::AUDIO, Kind::Audio),
            ],
        };
        let mut window = Window::new(Arc::new(session), TrackId::VIDEO);
        window.set_init("0123456789abcdef");
        let (msn, seq) = (1_000, 0);
        let start = GenerationStart {
            session: Session(1),
            generation: Generation(1),
            job: None,
            base: Msn(msn),
            dseq: 0,
            previous: None,
        };
        let mut maker = Maker { window, msn, seq, part: 0, wall: 1_795_195_386_125_000 };
        maker.tell(&Mark::Generation(start));
        maker
    }

    fn tell(&mut self, mark: &Mark) {
        self.window.apply(Generation(1).into(), mark).expect("marks as a writer makes them fit");
    }

    /// One more part, and before it a segment's start where one is due.
    fn part(&mut self) {
        if self.part == 0 {
            self.tell(&Mark::SegmentStart(SegmentStart {
                track: TrackId::VIDEO,
                msn: Msn(self.msn),
                dseq: 0,
                discontinuity: false,
                independent: true,
                wall: Wall(self.wall),
                first_seq: Seq(self.seq),
            }));
        }
        self.tell(&Mark::PartEnd(PartEnd {
            track: TrackId::VIDEO,
            msn: Msn(self.msn),
            part: self.part,
            first_seq: Seq(self.seq),
            last_seq: Seq(self.seq + SAMPLES - 1),
            decode_time: self.seq * 3_000,
            duration: SEGMENT / i64::from(PARTS),
            independent: self.part == 0,
        }));
        self.seq += SAMPLES;
        self.part += 1;
        if self.part == PARTS {
            (self.part, self.msn, self.wall) = (0, self.msn + 1, self.wall + SEGMENT);
        }
    }

    fn version(&self, dvr: bool, before: Option<&Version>) -> Version {
        let position = self.window.position().expect("parts are listed");
        let reports = [Report { rendition: "audio", position }];
        render(&self.window, &reports, dvr, before).expect("parts are listed")
    }
}

fn forms(version: &Version, view: View) -> [&Arc<Rope>; 2] {
    let forms = version.forms(view).expect("it was asked for");
    [forms.get(Skip::No), forms.get(Skip::Segments)]
}

impl Plan {
    /// Builds the session, then times its versions: the live playlist alone, then with the DVR one.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn run(self, clock: &Clock, progress: &Progress) -> Result<[Row; 2], BenchError> {
        // What the first window of a process costs besides is no hour's.
        let mut maker = Maker::new();
        (0..PARTS * 100).for_each(|_| maker.part());
        let before = resident()?;
        let mut maker = Maker::new();
        let segments = i64::from(self.hours) * 3_600 * MICROS / SEGMENT;
        for _ in 0..segments * i64::from(PARTS) {
            maker.part();
        }
        let held = resident()?.saturating_sub(before) / u64::from(self.hours.max(1));
        progress.second();
        let live = time(&mut maker, View::Live, clock);
        let dvr = time(&mut maker, View::Dvr, clock);
        let (rewound_us, bytes_per_hour) = (rewound(&mut maker, clock), Some(held));
        let playlist = format!("{} h", self.hours);
        Ok([
            Row { playlist: "live".into(), ..live },
            Row { playlist, rewound_us, bytes_per_hour, ..dvr },
        ])
    }
}

fn resident() -> Result<u64, BenchError> {
    let used = proc::usage(std::process::id()).map_err(BenchError::io("read", "/proc"))?;
    Ok(used.rss)
}

/// How long something takes.
fn timed(clock: &Clock, work: &mut dyn FnMut()) -> f64 {
    let begun = clock.now().mono;
    work();
    clock.now().mono.since(begun).as_secs_f64() * 1e6
}

/// A playlist that begins in the middle, made of version after version of the DVR playlist.
fn rewound(maker: &mut Maker, clock: &Clock) -> Option<f64> {
    let first = maker.window.first_msn()?;
    let mut start = maker.window.start(Msn(u64::midpoint(first.0, maker.msn)))?;
    let mut last = maker.version(true, None);
    let mut forms = start.forms(last.whole.as_ref()?, None);
    let mut samples = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let mut taken = 0.0;
        for _ in 0..PARTS {
            maker.part();
            last = maker.version(true, Some(&last));
            let whole = last.whole.as_ref()?;
            taken += timed(clock, &mut || forms = start.forms(whole, forms.as_ref()));
        }
        samples.push(taken / f64::from(PARTS));
    }
    median(&samples)
}

fn time(maker: &mut Maker, view: View, clock: &Clock) -> Row {
    let micros = |work: &mut dyn FnMut()| timed(clock, work);
    let first = maker.version(true, None);
    let [full, _] = forms(&first, view);
    let first_gzip_ms = micros(&mut || _ = black_box(full.gzip())) / 1e3;
    let (text, (gzip, _)) = (full.len(), full.gzip());
    let mut answers = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let walk = &mut || {
            for _ in 0..PARTS {
                full.strands().for_each(|s| drop(black_box(s.text().clone())));
            }
        };
        answers.push(micros(walk) / f64::from(PARTS));
    }
    let mut versions = |compress: bool| {
        let (mut samples, mut last) = (Vec::with_capacity(TIMED), first.clone());
        for _ in 0..TIMED {
            let segment = &mut || {
                for _ in 0..PARTS {
                    maker.part();
                    last = maker.version(view == View::Dvr, Some(&last));
                    if compress {
                        forms(&last, view).iter().for_each(|rope| _ = black_box(rope.gzip()));
                    }
                }
            };
            samples.push(micros(segment) / f64::from(PARTS));
        }
        median(&samples).unwrap_or_default()
    };
    Row {
        playlist: String::new(),
        text,
        gzip,
        version_us: versions(false),
        version_gzip_us: versions(true),
        first_gzip_ms,
        answer_us: median(&answers).unwrap_or_default(),
        rewound_us: None,
        bytes_per_hour: None,
    }
}

/// The rows for people.
pub fn table(rows: &[Row]) -> String {
    let mut out = Table::new();
    out.load_style(presets::NOTHING).set_header([
        "playlist",
        "text",
        "gzip",
        "version",
        "with gzip",
        "first gzip",
        "answer",
        "rewound",
        "past, an hour",
    ]);
    for column in out.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let kib = |bytes: usize| format!("{:.1} KiB", bytes as f64 / 1024.0);
    for r in rows {
        out.add_row([
            r.playlist.clone(),
            kib(r.text),
            kib(r.gzip),
            format!("{:.1} us", r.version_us),
            format!("{:.1} us", r.version_gzip_us),
            format!("{:.1} ms", r.first_gzip_ms),
            format!("{:.2} us", r.answer_us),
            r.rewound_us.map_or("-".into(), |us| format!("{us:.1} us")),
            r.bytes_per_hour.map_or("-".into(), |b| kib(b as usize)),
        ]);
    }
    format!(
        "{out}\nversion: one more part of 200 ms, the playlist and its delta update; \
         answer: what is sent, gathered; rewound: another that begins in the middle"
    )
}
