//! The pictures' decoding: packets in, every picture to every rung, with the word which of them
//! begin a segment.

use crate::av::decode::{Picture, VideoDecoder};
use crate::av::error::CoderError;
use crate::base::ids::Seq;
use crate::media::packet::Packet;
use crate::media::track::{Kind, Track};
use crate::transcode::error::JobError;
use crate::transcode::intake::{Input, Intake, is_news};
use crate::transcode::rung::{Counts, Task};
use crate::transcode::settings::Settings;
use crate::transcode::starts::Starts;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

/// Part of the lateness that a rung may hold the others up by. Beyond, it alone leaves pictures
/// out; pictures as late as all of it every rung leaves out, because then none gets them in time.
const HOLDS_UP_PART: i64 = 2;

/// What was decoded so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decoded {
    /// Pictures.
    pub(super) pictures: u64,
    /// Packets that could not be decoded, pictures out of their order.
    pub(super) broken: u64,
    /// Microseconds of the newest picture.
    pub(super) newest: Option<i64>,
}

/// A rung as the decoder sees it.
pub(super) struct Lane {
    pub(super) tasks: SyncSender<Task>,
    pub(super) counts: Arc<Counts>,
}

/// The decoder and what it gives its pictures to.
pub(super) struct Pipeline {
    rungs: Vec<Lane>,
    intake: Arc<Intake>,
    /// Microseconds.
    lateness: i64,
    crash_after: Option<u64>,
    source: Option<(Track, VideoDecoder)>,
    starts: Starts,
    last_dts: Option<i64>,
    last_pts: Option<i64>,
    /// Pictures before this one, PTS, were only sent for others to be decoded; `None`: there were
    /// none. Before the first that is to be shown is known, none is.
    shown: Option<i64>,
    /// The next picture begins another time base.
    anew: bool,
    done: Decoded,
}

/// Why decoding ends before the source does.
enum Stop {
    /// A rung is gone: its thread says why.
    Gone,
    /// This configuration cannot be decoded.
    Undecodable(CoderError),
}

impl Pipeline {
    pub(super) fn new(rungs: Vec<Lane>, intake: Arc<Intake>, settings: &Settings) -> Pipeline {
        Pipeline {
            rungs,
            intake,
            lateness: settings.lateness_micros,
            crash_after: settings.crash_after,
            source: None,
            starts: Starts::default(),
            last_dts: None,
            last_pts: None,
            shown: None,
            anew: false,
            done: Decoded::default(),
        }
    }

    /// Decodes until nothing follows, or a rung is gone: then nobody is to take or read any more.
    /// `tell` hears after each input what was decoded so far.
    ///
    /// # Errors
    /// A configuration that cannot be decoded.
    pub(super) fn run(mut self, mut tell: impl FnMut(&Decoded)) -> Result<Decoded, JobError> {
        let mut stop = Ok(());
        while let (Ok(()), Some(input)) = (&stop, self.intake.take(Kind::Video)) {
            stop = match input {
                Input::Track(track) => self.configure(track),
                Input::Start(first) => {
                    self.starts.mark(first);
                    Ok(())
                }
                Input::Packet(packet, seq) => self.packet(&packet, seq),
            };
            tell(&self.done);
        }
        match stop.and_then(|()| self.empty()) {
            Ok(()) => Ok(self.done),
            Err(stop) => {
                self.intake.leave();
                match stop {
                    Stop::Gone => Ok(self.done),
                    Stop::Undecodable(why) => Err(JobError::Decode(why)),
                }
            }
        }
    }

    /// A new decoder, when the configuration is another.
    fn configure(&mut self, track: Track) -> Result<(), Stop> {
        let known = self.source.as_ref().map(|(t, _)| t);
        if !is_news(&track, known, Kind::Video).map_err(Stop::Undecodable)? {
            return Ok(());
        }
        self.empty()?;
        let decoder = VideoDecoder::open(&track).map_err(Stop::Undecodable)?;
        let ticks = Task::Ticks(track.timescale);
        self.source = Some((track, decoder));
        self.give(&ticks)
    }

    fn packet(&mut self, packet: &Packet, seq: Option<Seq>) -> Result<(), Stop> {
        // Decoding times that go back are another time base: what is still in the decoder belongs
        // to the old one, and would be shown too late.
        if self.last_dts.is_some_and(|last| packet.dts < last) {
            self.empty()?;
            self.starts.forget();
            self.anew = true;
            self.shown = None;
        }
        self.shown = match (self.shown, seq) {
            (None, None) if self.last_dts.is_none() => Some(i64::MAX),
            (Some(i64::MAX), Some(_)) => Some(packet.pts()),
            (shown, _) => shown,
        };
        self.last_dts = Some(packet.dts);
        self.starts.sample(seq, packet.pts());
        let Some((_, decoder)) = &mut self.source else {
            self.done.broken += 1;
            return Ok(());
        };
        if decoder.send(packet).is_err() {
            self.done.broken += 1;
        }
        self.pictures()
    }

    /// Gives out what is still in the decoder, which begins anew.
    fn empty(&mut self) -> Result<(), Stop> {
        let Some((_, decoder)) = &mut self.source else { return Ok(()) };
        decoder.finish();
        self.pictures()?;
        if let Some((_, decoder)) = &mut self.source {
            decoder.restart();
        }
        Ok(())
    }

    /// Every picture that the decoder has ready.
    fn pictures(&mut self) -> Result<(), Stop> {
        while let Some((_, decoder)) = &mut self.source {
            match decoder.receive() {
                Ok(Some(picture)) => self.picture(picture)?,
                Ok(None) => break,
                Err(_) => {
                    self.done.broken += 1;
                    break;
                }
            }
        }
        Ok(())
    }

    fn picture(&mut self, picture: Picture) -> Result<(), Stop> {
        self.done.pictures += 1;
        if self.crash_after.is_some_and(|after| self.done.pictures >= after) {
            std::process::abort();
        }
        let pts = picture.pts();
        let anew = std::mem::take(&mut self.anew);
        // Damage can make a decoder give a picture twice.
        if self.last_pts.is_some_and(|last| pts <= last) && !anew {
            self.done.broken += 1;
            return Ok(());
        }
        self.last_pts = Some(pts);
        let ticks = self.source.as_ref().map(|(t, _)| t.timescale);
        let micros = ticks.map_or(0, |t| t.to_micros(pts));
        self.done.newest = Some(micros);
        if self.shown.is_some_and(|first| pts < first) {
            return Ok(());
        }
        let key = self.starts.picture(pts) || anew;
        let behind = self.intake.newest().saturating_sub(micros);
        let waits = key || behind <= self.lateness / HOLDS_UP_PART;
        let task = Task::Picture { picture: Arc::new(picture), key };
        if waits {
            return self.give(&task);
        }
        self.rungs.iter().try_for_each(|r| r.offer(&task))
    }

    fn give(&self, task: &Task) -> Result<(), Stop> {
        self.rungs.iter().try_for_each(|r| r.tasks.send(task.clone()).map_err(|_| Stop::Gone))
    }
}

impl Lane {
    /// Gives a picture to a rung that has room for it; else it is left out, and counted.
    fn offer(&self, task: &Task) -> Result<(), Stop> {
        match self.tasks.try_send(task.clone()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.counts.late();
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Stop::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av::clips_test::{MP4, lane};
    use crate::base::ids::TrackId;
    use crate::log::format::record::Record;
    use crate::media::timeline::mark::Mark;
    use crate::transcode::wire::{Splitter, put_record};
    use bytes::BytesMut;
    use std::path::Path;
    use std::sync::mpsc::sync_channel;

    /// The clip's pictures as they are sent to a worker, those before the `first` one for others to
    /// be decoded; how many there are.
    fn sent(first: usize) -> (BytesMut, u64) {
        let (track, packets) = lane(Path::new(MP4), Kind::Video);
        let count = packets.len() as u64;
        let mut bytes = BytesMut::new();
        put_record(&mut bytes, &Record::Mark(Mark::Track(track))).expect("small");
        for (n, packet) in packets.into_iter().enumerate() {
            let seq = (n >= first).then_some(Seq(n as u64));
            put_record(&mut bytes, &Record::Packet { packet, seq }).expect("small");
        }
        (bytes, count)
    }

    #[test]
    fn pictures_that_were_sent_for_others_to_be_decoded_are_not_shown() {
        let (bytes, count) = sent(30);
        let intake = Intake::new();
        intake.read(&bytes[..], Splitter::default(), false);
        let (rungs, audio, lateness_micros) = (Vec::new(), None, i64::MAX);
        let settings = Settings { rungs, audio, lateness_micros, crash_after: None };
        let (tasks, takes) = sync_channel(count as usize + 1);
        let rungs = vec![Lane { tasks, counts: Arc::default() }];
        let done = Pipeline::new(rungs, intake, &settings).run(|_| {}).expect("decoded");
        assert_eq!(done.pictures, count);
        let shown = takes.iter().filter(|t| matches!(t, Task::Picture { .. })).count() as u64;
        // The clip has pictures that are decoded after it and shown before it.
        assert!((count - 33..=count - 30).contains(&shown), "{shown} of {count}");
    }

    #[test]
    fn a_rung_that_stands_still_does_not_hold_the_others_up_for_long() {
        let (bytes, count) = sent(0);
        let intake = Intake::new();
        // All of it is read, five seconds, before the first picture is decoded.
        intake.read(&bytes[..], Splitter::default(), false);
        let settings = Settings {
            rungs: Vec::new(),
            audio: None,
            // Every picture is late for the decoder.
            lateness_micros: -1_000_000,
            crash_after: None,
        };
        let (still, stands) = sync_channel(2);
        // This one takes all there is.
        let (quick, takes) = sync_channel(count as usize + 1);
        let counts = [Arc::new(Counts::default()), Arc::new(Counts::default())];
        let rungs = [still, quick].into_iter().zip(counts.clone());
        let rungs = rungs.map(|(tasks, counts)| Lane { tasks, counts }).collect();
        let done = Pipeline::new(rungs, intake, &settings).run(|_| {}).expect("decoded");
        assert_eq!(done.pictures, count);
        let pictures = |t: &Task| matches!(t, Task::Picture { .. });
        // Until here it had room for the ticks and one picture, and took none.
        drop(stands);
        assert_eq!(takes.iter().filter(pictures).count() as u64, count);
        let late = counts.map(|c| c.report(TrackId(11)).late);
        assert_eq!(late, [count - 1, 0]);
    }
}
