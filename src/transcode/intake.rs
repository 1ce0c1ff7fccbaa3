//! What arrives, ahead of its decoding: a thread reads the source's records all the time, so that
//! how far the work is behind can be seen.
//!
//! Invariant: what waits is bounded in bytes; then the source is not read, and its sender waits.

use crate::av::error::CoderError;
use crate::base::ids::{Seq, TrackId};
use crate::base::time::Timescale;
use crate::log::format::record::Record;
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use crate::media::track::{Kind, Track};
use crate::transcode::error::JobError;
use crate::transcode::wire::Splitter;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of records that wait for their decoding, at most: more than ten seconds of 20 Mbit/s, so
/// that whoever is allowed to be some seconds late is, and leaves pictures out before reading
/// stops.
const WAITING: usize = 32 << 20;

/// Bytes read at once, at least.
const PIECE: usize = 64 << 10;

/// What a record costs beside its bytes.
const OVERHEAD: usize = 256;

/// What the decoders are interested in.
#[derive(Debug)]
pub(super) enum Input {
    /// The track's configuration from here on.
    Track(Track),
    /// A segment of the track starts with this sample.
    Start(Seq),
    /// A packet, and its number.
    Packet(Packet, Option<Seq>),
}

/// Inputs that wait: pictures and sound apart, because one must not wait for the other.
pub(super) struct Intake {
    state: Mutex<State>,
    changed: Condvar,
    /// Microseconds: DTS of the newest packet of pictures that was read.
    newest: AtomicI64,
}

#[derive(Default)]
struct State {
    video: VecDeque<(Input, usize)>,
    audio: VecDeque<(Input, usize)>,
    bytes: usize,
    /// Nothing follows.
    over: bool,
    /// Nobody takes any more.
    left: bool,
    failed: Option<JobError>,
}

impl Intake {
    pub(super) fn new() -> Arc<Intake> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Intake { state, changed, newest: AtomicI64::new(i64::MIN) })
    }

    /// Microseconds of the newest packet of pictures that was read; `i64::MIN` before one was.
    pub(super) fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// The next input of pictures or sound, in order; `None`: nothing follows, or somebody left.
    pub(super) fn take(&self, kind: Kind) -> Option<Input> {
        let mut state = self.lock();
        loop {
            if state.left {
                return None;
            }
            let State { video, audio, .. } = &mut *state;
            let queue = if kind == Kind::Video { video } else { audio };
            if let Some((input, bytes)) = queue.pop_front() {
                state.bytes -= bytes;
                self.changed.notify_all();
                return Some(input);
            }
            if state.over {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more: who reads and who takes are let go.
    pub(super) fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_all();
    }

    /// Why reading ended, where it did not end well.
    pub(super) fn failure(&self) -> Option<JobError> {
        self.lock().failed.take()
    }

    /// Reads records until their end, a failure, or until everybody left; `audio`: sound is wanted.
    pub(super) fn read(&self, mut from: impl Read, mut splitter: Splitter, audio: bool) {
        let failed = self.read_all(&mut from, &mut splitter, audio).err();
        let mut state = self.lock();
        state.over = true;
        state.failed = failed;
        self.changed.notify_all();
    }

    fn read_all(
        &self,
        from: &mut impl Read,
        splitter: &mut Splitter,
        audio: bool,
    ) -> Result<(), JobError> {
        let mut scale = None;
        loop {
            while let Some((record, bytes)) = splitter.record()? {
                if let Some((kind, input)) = input(record, audio)
                    && !self.put(kind, input, bytes + OVERHEAD, &mut scale)
                {
                    return Ok(());
                }
            }
            let room = splitter.room();
            let at = room.len();
            room.resize(at + PIECE, 0);
            let read = from.read(&mut room[at..]);
            room.truncate(at + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(splitter.end()?),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(JobError::Read(e)),
            }
        }
    }

    /// Waits for room; false: everybody left.
    fn put(&self, kind: Kind, input: Input, bytes: usize, scale: &mut Option<Timescale>) -> bool {
        if kind == Kind::Video {
            match &input {
                Input::Track(t) => *scale = Some(t.timescale),
                Input::Packet(p, _) => {
                    let micros = scale.map_or(i64::MIN, |s| s.to_micros(p.dts));
                    self.newest.store(micros, Ordering::Relaxed);
                }
                Input::Start(_) => {}
            }
        }
        let mut state = self.lock();
        while state.bytes > 0 && state.bytes + bytes > WAITING && !state.left {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += bytes;
        let queue = if kind == Kind::Video { &mut state.video } else { &mut state.audio };
        queue.push_back((input, bytes));
        self.changed.notify_all();
        !state.left
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody is interested in: of the source's own two tracks, and without what governs sound.
fn input(record: Record, audio: bool) -> Option<(Kind, Input)> {
    let (track, input) = match record {
        Record::Packet { packet, seq } => (packet.track, Input::Packet(packet, seq)),
        Record::Mark(Mark::Track(t)) => (t.id, Input::Track(t)),
        Record::Mark(Mark::SegmentStart(s)) if s.track == TrackId::VIDEO => {
            (s.track, Input::Start(s.first_seq))
        }
        Record::Mark(_) | Record::Unknown { .. } => return None,
    };
    match track {
        TrackId::VIDEO => Some((Kind::Video, input)),
        TrackId::AUDIO if audio => Some((Kind::Audio, input)),
        _ => None,
    }
}

/// A configuration that came again, or one of another kind of track, is none.
pub(super) fn is_news(
    track: &Track,
    known: Option<&Track>,
    kind: Kind,
) -> Result<bool, CoderError> {
    if track.codec.kind() != kind {
        let why = format!("track {} is {}", track.id, track.codec.name());
        return Err(CoderError::Configuration { why });
    }
    Ok(known != Some(track))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::wire::put_record;
    use bytes::BytesMut;

    fn records(count: u64, bytes: usize) -> BytesMut {
        let mut out = BytesMut::new();
        for n in 0..count {
            for track in [TrackId::VIDEO, TrackId::AUDIO] {
                let payload = vec![1; bytes].into();
                let packet = Packet { track, dts: n as i64, cts: 0, key: true, payload };
                let record = Record::Packet { packet, seq: Some(Seq(n)) };
                put_record(&mut out, &record).expect("small");
            }
        }
        out
    }

    #[test]
    fn what_waits_is_bounded_and_nothing_is_lost() {
        let intake = Intake::new();
        let bytes = records(80, 1 << 20);
        std::thread::scope(|threads| {
            let reads = intake.clone();
            threads.spawn(move || reads.read(&bytes[..], Splitter::default(), false));
            // It reads until there is no room.
            while intake.lock().bytes + (1 << 20) < WAITING {
                std::thread::yield_now();
            }
            let mut seen = 0;
            while let Some(Input::Packet(p, seq)) = intake.take(Kind::Video) {
                assert!(intake.lock().bytes <= WAITING);
                assert_eq!((p.dts, seq), (seen, Some(Seq(seen as u64))));
                seen += 1;
            }
            assert_eq!(seen, 80);
        });
        assert!(intake.failure().is_none());
    }

    #[test]
    fn pictures_do_not_wait_for_sound_and_damage_is_told() {
        let intake = Intake::new();
        let mut bytes = records(3, 10);
        bytes.extend_from_slice(&[0; 30]);
        intake.read(&bytes[..], Splitter::default(), true);
        for kind in [Kind::Audio, Kind::Video] {
            for n in 0..3 {
                let Some(Input::Packet(p, _)) = intake.take(kind) else { panic!("{n}") };
                assert_eq!(p.dts, n);
            }
            assert!(intake.take(kind).is_none());
        }
        assert!(matches!(intake.failure(), Some(JobError::Source(_))));
    }

    #[test]
    fn who_reads_is_let_go() {
        let intake = Intake::new();
        let bytes = records(80, 1 << 20);
        std::thread::scope(|threads| {
            let reads = intake.clone();
            threads.spawn(move || reads.read(&bytes[..], Splitter::default(), true));
            intake.leave();
        });
        assert!(intake.take(Kind::Video).is_none());
    }
}
