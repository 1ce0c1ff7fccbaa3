//! Brings a source's log to a job: its marks and the times of its samples to who writes the rungs,
//! its records to the worker, where there is one.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Timescale;
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::id::LogId;
use crate::log::source::Source;
use crate::log::subscription::{From, Subscription};
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, SegmentStart};
use crate::media::track::Track;
use crate::rt::clock::Clock;
use crate::transcode::worker;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pause after the log could not be read.
const RETRY: Duration = Duration::from_millis(500);

/// What is heard of the source.
#[derive(Debug)]
pub(super) enum Heard {
    /// A listed sample: its track, number, and PTS in microseconds.
    Sample(TrackId, Seq, i64),
    /// A mark.
    Mark(Mark),
    /// Nothing follows.
    Over,
}

/// See the module.
pub(super) struct Feed {
    pub(super) log: LogId,
    pub(super) source: Source,
    pub(super) clock: Clock,
    /// The first segment with media.
    pub(super) base: Msn,
    /// Everything from the log's beginning on is wanted.
    pub(super) all: bool,
    pub(super) heard: mpsc::Sender<Heard>,
    /// Workers, one after another.
    pub(super) workers: mpsc::Receiver<worker::Source>,
}

/// Bytes of pictures since the newest key frame that are kept for who begins between two: more than
/// ten seconds of 10 Mbit/s. Of longer ones nothing is: who begins then waits for the next.
const ROLL_MAX: usize = 16 << 20;

/// Pictures since the newest key frame.
#[derive(Default)]
struct Roll {
    packets: Vec<(Packet, Seq)>,
    bytes: usize,
}

impl Roll {
    fn push(&mut self, packet: &Packet, seq: Seq) {
        if packet.key {
            (self.bytes, self.packets) = (0, Vec::new());
        } else if self.packets.is_empty() {
            return;
        }
        self.bytes += packet.payload.len();
        self.packets.push((packet.clone(), seq));
        if self.bytes > ROLL_MAX {
            self.packets.clear();
        }
    }

    /// What a decoder needs before the segment: pictures before it without their numbers, which are
    /// not shown; what has come of it already with them.
    fn before(&self, s: &SegmentStart) -> Vec<Record> {
        let all = self.packets.iter().map(|(packet, seq)| {
            let seq = Some(*seq).filter(|seq| *seq >= s.first_seq);
            Record::Packet { packet: packet.clone(), seq }
        });
        let is_own = |r: &Record| matches!(r, Record::Packet { seq: Some(_), .. });
        all.filter(|r| !s.independent || is_own(r)).collect()
    }
}

/// What the worker is sent, and from where on.
#[derive(Default)]
struct Sent {
    /// Without a worker there is nobody to begin.
    roll: Option<Roll>,
    worker: Option<worker::Source>,
    /// Tracks that it gets.
    on: BTreeSet<TrackId>,
    /// Segments before are not sent.
    base: Msn,
    all: bool,
}

impl Feed {
    /// Goes on behind what was read already, `backlog`.
    pub(super) async fn run(mut self, backlog: Vec<Batch>, log: Subscription) {
        let mut tracks = BTreeMap::new();
        let (base, all) = (self.base, self.all);
        let worker = self.workers.recv().await;
        let roll = worker.as_ref().map(|_| Roll::default());
        let mut sent = Sent { roll, worker, base, all, ..Sent::default() };
        for batch in backlog {
            if self.batch(&batch, &mut tracks, &mut sent).await.is_none() {
                return;
            }
        }
        let mut log = log;
        loop {
            match log.next().await {
                Ok(Some(batch)) => {
                    if self.batch(&batch, &mut tracks, &mut sent).await.is_none() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(e) => log = self.again(log, &e).await,
            }
        }
        drop(sent);
        let _ = self.heard.send(Heard::Over).await;
    }

    /// Reads on where the log could not be read.
    async fn again(&self, log: Subscription, e: &LogError) -> Subscription {
        tracing::warn!(log = %self.log, "it can't be read, trying until it can: {e}");
        let at = log.position();
        loop {
            self.clock.sleep_until(self.clock.now().mono.plus(RETRY)).await;
            if let Ok(log) = self.source.subscribe(&self.log, From::Position(at)).await {
                return log;
            }
        }
    }

    /// `None`: nobody listens any more.
    async fn batch(
        &mut self,
        batch: &Batch,
        tracks: &mut BTreeMap<TrackId, Track>,
        sent: &mut Sent,
    ) -> Option<()> {
        for entry in batch.records() {
            if let Ok(worker) = self.workers.try_recv() {
                sent.begin(worker, tracks).await;
            }
            match &entry.record {
                Record::Mark(mark) => {
                    if let Mark::Track(track) = mark {
                        tracks.insert(track.id, track.clone());
                    }
                    self.heard.send(Heard::Mark(mark.clone())).await.ok()?;
                }
                Record::Packet { packet, seq: Some(seq) } => {
                    let scale =
                        tracks.get(&packet.track).map_or(Timescale::MILLIS, |t| t.timescale);
                    let pts = scale.to_micros(packet.pts());
                    self.heard.send(Heard::Sample(packet.track, *seq, pts)).await.ok()?;
                }
                Record::Packet { seq: None, .. } | Record::Unknown { .. } => continue,
            }
            sent.send(&entry.record).await;
            if let Record::Packet { packet, seq: Some(seq) } = &entry.record
                && packet.track == TrackId::VIDEO
                && let Some(roll) = &mut sent.roll
            {
                roll.push(packet, *seq);
            }
        }
        Some(())
    }
}

impl Sent {
    /// Another worker goes on, with the next segment of each track.
    async fn begin(&mut self, worker: worker::Source, tracks: &BTreeMap<TrackId, Track>) {
        (self.worker, self.all) = (Some(worker), false);
        self.on.clear();
        for track in tracks.values() {
            self.send(&Record::Mark(Mark::Track(track.clone()))).await;
        }
    }

    async fn send(&mut self, record: &Record) {
        let wanted = match record {
            Record::Mark(Mark::Track(_)) => true,
            Record::Mark(Mark::SegmentStart(s)) => {
                if s.msn >= self.base && self.on.insert(s.track) && s.track == TrackId::VIDEO {
                    let roll = self.roll.as_ref().filter(|_| !self.all);
                    let before = roll.map(|roll| roll.before(s)).unwrap_or_default();
                    for record in &before {
                        self.put(record).await;
                    }
                }
                self.all || self.on.contains(&s.track)
            }
            Record::Packet { packet, .. } => self.all || self.on.contains(&packet.track),
            _ => false,
        };
        if wanted {
            self.put(record).await;
        }
    }

    async fn put(&mut self, record: &Record) {
        let Some(worker) = self.worker.as_mut() else { return };
        if worker.send(record).await.is_err() {
            // Who started it notices how it ended, and sends another.
            self.worker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use bytes::Bytes;

    #[test]
    fn who_begins_between_two_key_frames_is_sent_the_pictures_since_the_first() {
        let mut roll = Roll::default();
        let push = |roll: &mut Roll, seq: u64, key, size| {
            let (track, payload) = (TrackId::VIDEO, Bytes::from(vec![0; size]));
            let dts = seq.cast_signed() * 40;
            roll.push(&Packet { track, dts, cts: 0, key, payload }, Seq(seq));
        };
        let before = |roll: &Roll, first_seq: u64, independent| {
            let (track, msn, wall) = (TrackId::VIDEO, Msn(7), Wall(0));
            let (dseq, discontinuity, first_seq) = (0, false, Seq(first_seq));
            let s = SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq };
            let sent = roll.before(&s).into_iter().filter_map(|r| match r {
                Record::Packet { packet, seq } => Some((packet.dts / 40, seq.map(|s| s.0))),
                _ => None,
            });
            sent.collect::<Vec<_>>()
        };
        push(&mut roll, 1, false, 10);
        assert_eq!(before(&roll, 2, false), [], "nothing can be decoded");
        for (seq, key) in [(2, true), (3, false), (4, true), (5, false), (6, false)] {
            push(&mut roll, seq, key, 10);
        }
        assert_eq!(before(&roll, 7, false), [(4, None), (5, None), (6, None)]);
        assert_eq!(before(&roll, 6, false), [(4, None), (5, None), (6, Some(6))]);
        assert_eq!(before(&roll, 7, true), [], "it begins with one");
        push(&mut roll, 7, false, ROLL_MAX);
        push(&mut roll, 8, false, 10);
        assert_eq!(before(&roll, 9, false), []);
        push(&mut roll, 9, true, 10);
        assert_eq!(before(&roll, 10, false), [(9, None)]);
    }
}
