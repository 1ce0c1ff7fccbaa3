//! The log's two threads taken by the hand: each turn of theirs happens when a test says so. And a
//! writer's day: three tracks, parts, segments, rolls, from one seed.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::{Timescale, Wall};
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::id::LogId;
use crate::log::io::IoThread;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::sealed::Sealed;
use crate::log::shared::Shared;
use crate::log::sim::disk::{Rng, SimDisk};
use crate::log::sync::{Job, SyncOp, SyncThread};
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{
    End, Gap, GenerationStart, LastSegment, Mark, PartEnd, SegmentStart, TrackEnd,
};
use crate::media::track::{Codec, Track};
use bytes::Bytes;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Where the logs lie on the simulated disk.
pub(super) const DATA: &str = "/data";

/// A process with its logs.
pub(super) struct Process {
    pub(super) logs: Logs,
    io: IoThread,
    sync: SyncThread,
    open: Vec<Weak<Shared>>,
    /// Nothing is synced unless a test says so.
    pub(super) quiet: bool,
}

impl Process {
    pub(super) fn start(disk: &SimDisk, options: Options) -> Result<Process, LogError> {
        let (logs, io, sync) = Logs::parts(Arc::new(disk.clone()), Path::new(DATA), options)?;
        Ok(Process { logs, io, sync, open: Vec::new(), quiet: false })
    }

    /// The io thread does all there is to do.
    pub(super) fn write(&self) {
        while let Ok(log) = self.io.inbox.try_recv() {
            while self.io.turn(&log) {}
        }
    }

    /// The sync thread does all there is to do, and every log with it when `due`.
    pub(super) fn sync(&mut self, due: bool) {
        let worker = self.sync.worker();
        while let Ok(op) = self.sync.inbox.try_recv() {
            match op {
                SyncOp::Register(log) => self.open.push(log),
                SyncOp::Segment(log) => worker.work(Job::Due(log)),
                SyncOp::Now(_) => {}
                SyncOp::Seal { log, sealed, done } => worker.work(Job::Seal(log, sealed, done)),
            }
        }
        if due {
            let open = self.open.iter().filter_map(Weak::upgrade);
            open.for_each(|log| worker.work(Job::Due(log)));
        }
    }

    /// Has the threads work for an answer that somebody waits for.
    fn answer<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = Box::pin(waiting);
        for _ in 0..3 {
            if let Poll::Ready(answer) = poll(waiting.as_mut()) {
                return answer;
            }
            self.write();
            self.sync(false);
        }
        panic!("nobody answers");
    }

    /// Seals, and where the log has stopped records how it ends; that end, if it did.
    pub(super) fn seal(&mut self, writer: Writer) -> Result<(Sealed, Option<End>), LogError> {
        if writer.error().is_none() {
            return Ok((self.answer(writer.seal())?, None));
        }
        let end = self.answer(writer.holds())?;
        let sealed = self.answer(writer.seal_stopped(end.clone()))?;
        Ok((sealed, Some(end)))
    }
}

fn poll<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn id(generation: u64) -> LogId {
    let channel = "stage".parse().expect("a channel name");
    LogId { channel, session: Session(3), generation: Generation(generation), rung: None }
}

/// Small extents and batches, so that a short day has many of them.
pub(super) fn options(rng: &mut Rng) -> Options {
    let sync = match rng.below(4) {
        0 => Sync::EachSegment,
        1 => Sync::Never,
        _ => Sync::Interval(Duration::from_millis(500)),
    };
    let extent_bytes = 3000 + rng.below(20_000) as u64;
    Options { sync, extent_bytes, low_space: 0, tail_bytes: 4000, ..Options::default() }
}

/// What was appended, where, and what the writer said of it.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Where each record starts, and the record, in order.
    pub(super) records: Vec<(Position, Record)>,
    /// How far readers saw it, and how far it was durable, at the end.
    pub(super) visible: Position,
    pub(super) durable: Position,
    /// It was sealed, says the writer.
    pub(super) sealed: Option<Position>,
    /// The end that was recorded of a log that had stopped.
    pub(super) ended: Option<End>,
}

const TRACKS: [TrackId; 3] = [TrackId(1), TrackId(2), TrackId(3)];

/// A writer and what it has come to.
pub(super) struct Author {
    writer: Option<Writer>,
    pub(super) story: Story,
    base: u64,
    msn: u64,
    frame: u64,
    /// Per track: the next seq, the first of the open part, the index of the open part.
    seqs: [(u64, u64, u32); 3],
}

impl Author {
    /// Begins generation `generation` at MSN `base`.
    pub(super) async fn begin(
        process: &Process,
        generation: u64,
        base: u64,
    ) -> Result<Author, LogError> {
        let start = GenerationStart {
            session: Session(3),
            generation: Generation(generation),
            job: None,
            base: Msn(base),
            dseq: 2,
            previous: None,
        };
        let writer = process.logs.create(&id(generation), start.clone()).await?;
        let first = (crate::log::format::HEADER_POSITION, Record::Mark(Mark::Generation(start)));
        let story = Story { records: vec![first], ..Story::default() };
        let seqs = [(0, 0, 0); 3];
        Ok(Author { writer: Some(writer), story, base, msn: base, frame: 0, seqs })
    }

    fn mark(&mut self, mark: Mark) {
        let Some(writer) = &mut self.writer else { return };
        if let Ok(at) = writer.append_mark(&mark) {
            self.story.records.push((at, Record::Mark(mark)));
        }
    }

    /// One step: the next picture and sound, with what ends and begins there.
    pub(super) fn step(&mut self, process: &mut Process, rng: &mut Rng) {
        if self.frame == 0 {
            for id in TRACKS {
                let codec = if id == TrackId(1) { Codec::H264 } else { Codec::Aac };
                let config = Bytes::from_static(b"configuration");
                let timescale = Timescale::MILLIS;
                self.mark(Mark::Track(Track { id, codec, timescale, rate: None, config }));
            }
        }
        if self.frame.is_multiple_of(12) {
            if rng.one_in(8) && self.frame > 0 {
                self.gap();
            }
            self.segment();
        }
        for (t, id) in TRACKS.into_iter().enumerate() {
            let size = if t == 0 { 40 + rng.below(900) } else { 20 + rng.below(60) };
            self.packet(t, id, size, rng);
        }
        self.frame += 1;
        if self.frame.is_multiple_of(4) {
            (0..3).for_each(|t| self.part(t));
        }
        if self.frame.is_multiple_of(4) || rng.one_in(5) {
            self.writer.as_mut().expect("writing").flush();
        }
        if !rng.one_in(3) {
            process.write();
        }
        if !process.quiet && rng.one_in(6) {
            process.sync(self.writer.as_ref().is_some_and(|_| rng.one_in(2)));
        }
        self.look();
    }

    /// A picture that is not written yet.
    pub(super) fn picture(&mut self, rng: &mut Rng) {
        self.packet(0, TRACKS[0], 1000, rng);
    }

    fn packet(&mut self, t: usize, track: TrackId, size: usize, rng: &mut Rng) {
        let listed = !rng.one_in(20);
        let payload: Vec<u8> = (0..size).map(|_| rng.next() as u8).collect();
        let (dts, key) = (self.frame as i64 * 40, t > 0 || self.frame.is_multiple_of(12));
        let packet = Packet { track, dts, cts: 0, key, payload: payload.into() };
        let seq = listed.then_some(Seq(self.seqs[t].0));
        let Some(writer) = &mut self.writer else { return };
        if let Ok(at) = writer.append_packet(&packet, seq) {
            self.story.records.push((at, Record::Packet { packet, seq }));
            self.seqs[t].0 += u64::from(listed);
        }
    }

    fn segment(&mut self) {
        let wall = Wall(self.frame as i64 * 40_000);
        if self.frame > 0 {
            self.msn += 1;
        }
        if let Some(writer) = &mut self.writer {
            writer.roll_if_due(wall.0);
        }
        for (t, track) in TRACKS.into_iter().enumerate() {
            (self.seqs[t].1, self.seqs[t].2) = (self.seqs[t].0, 0);
            let first_seq = Seq(self.seqs[t].0);
            let (msn, dseq) = (Msn(self.msn), 2);
            let (discontinuity, independent) = (false, true);
            let start =
                SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq };
            self.mark(Mark::SegmentStart(start));
        }
    }

    /// A segment that is absent in all tracks.
    pub(super) fn gap(&mut self) {
        self.msn += 1;
        for track in TRACKS {
            let (msn, wall) = (Msn(self.msn), Wall(self.frame as i64 * 40_000));
            self.mark(Mark::Gap(Gap { track, msn, part: None, duration: 1, wall, dseq: 2 }));
        }
    }

    fn part(&mut self, t: usize) {
        let (next, first, part) = self.seqs[t];
        if next == first {
            return;
        }
        self.mark(Mark::PartEnd(PartEnd {
            track: TRACKS[t],
            msn: Msn(self.msn),
            part,
            first_seq: Seq(first),
            last_seq: Seq(next - 1),
            decode_time: first * 3600,
            duration: 160_000,
            independent: part == 0,
        }));
        (self.seqs[t].1, self.seqs[t].2) = (next, part + 1);
    }

    /// Has the log stopped?
    pub(super) fn stopped(&self) -> bool {
        self.writer.as_ref().is_none_or(|w| w.error().is_some())
    }

    fn look(&mut self) {
        if let Some(writer) = &self.writer {
            (self.story.visible, self.story.durable) = (writer.visible(), writer.durable());
        }
    }

    /// Ends the generation well.
    pub(super) fn end(&mut self, process: &mut Process) {
        let tracks = TRACKS.map(|track| {
            let (msn, last) = (Msn(self.msn), LastSegment::Short);
            TrackEnd { track, msn, parts: 1, last }
        });
        let (msn, wall) = (Msn(self.msn), Wall(self.frame as i64 * 40_000));
        let tracks = tracks.to_vec();
        self.mark(Mark::End(End { msn, dseq: 2, wall, tracks, session_over: false }));
        self.seal(process);
    }

    /// Seals what there is.
    pub(super) fn seal(&mut self, process: &mut Process) {
        self.look();
        let Some(writer) = self.writer.take() else { return };
        let never = process.logs.stats().logs.is_empty();
        let Ok((sealed, end)) = process.seal(writer) else { return };
        self.story.ended = end.filter(|_| !sealed.left_open);
        if sealed.failed.is_none() && !never {
            self.story.sealed = Some(sealed.position);
        }
    }

    /// The first number that it may have used, and the last.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.base, self.msn)
    }

    /// The writer is gone with its process.
    pub(super) fn forget(&mut self, process: Process) {
        self.look();
        drop(process);
        self.writer = None;
    }
}
