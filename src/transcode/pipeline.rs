//! The pictures' decoding: packets in, every picture to every rung, with the word which of them
//! begin a segment.

use crate::av::decode::{Picture, VideoDecoder};
use crate::av::error::CoderError;
use crate::base::ids::Seq;
use crate::media::packet::Packet;
use crate::media::track::{Kind, Track};
use crate::transcode::error::JobError;
use crate::transcode::intake::{Input, Intake, is_news};
use crate::transcode::rung::Task;
use crate::transcode::starts::Starts;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

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

/// The decoder and what it gives its pictures to.
pub(super) struct Pipeline {
    rungs: Vec<SyncSender<Task>>,
    crash_after: Option<u64>,
    source: Option<(Track, VideoDecoder)>,
    starts: Starts,
    last_dts: Option<i64>,
    last_pts: Option<i64>,
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
    pub(super) fn new(rungs: Vec<SyncSender<Task>>, crash_after: Option<u64>) -> Pipeline {
        Pipeline {
            rungs,
            crash_after,
            source: None,
            starts: Starts::default(),
            last_dts: None,
            last_pts: None,
            anew: false,
            done: Decoded::default(),
        }
    }

    /// Decodes until nothing follows, or a rung is gone: then nobody is to take or read any more.
    /// `tell` hears after each input what was decoded so far.
    ///
    /// # Errors
    /// A configuration that cannot be decoded.
    pub(super) fn run(
        mut self,
        intake: &Intake,
        mut tell: impl FnMut(&Decoded),
    ) -> Result<Decoded, JobError> {
        let mut stop = Ok(());
        while let (Ok(()), Some(input)) = (&stop, intake.take(Kind::Video)) {
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
                intake.leave();
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
        // Decoding times that go back are another time base: what is still in the decoder belongs to
        // the old one, and would be shown too late.
        if self.last_dts.is_some_and(|last| packet.dts < last) {
            self.empty()?;
            self.starts.forget();
            self.anew = true;
        }
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
        self.done.newest = ticks.map(|t| t.to_micros(pts));
        let key = self.starts.picture(pts) || anew;
        self.give(&Task::Picture { picture: Arc::new(picture), key })
    }

    fn give(&self, task: &Task) -> Result<(), Stop> {
        self.rungs.iter().try_for_each(|r| r.send(task.clone()).map_err(|_| Stop::Gone))
    }
}
