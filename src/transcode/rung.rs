//! One rung, in a thread of its own: which pictures it takes, scaled and encoded.

use crate::av::decode::Picture;
use crate::av::demux::Item;
use crate::av::encode::VideoEncoder;
use crate::av::error::CoderError;
use crate::av::scale::Scaler;
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::track::FrameRate;
use crate::transcode::cap::Cap;
use crate::transcode::error::JobError;
use crate::transcode::intake::Intake;
use crate::transcode::report::RungReport;
use crate::transcode::settings::RungSettings;
use crate::transcode::wire::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

/// What a rung is given.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// The unit of the PTS of what follows.
    Ticks(Timescale),
    /// The next picture in the order of showing.
    Picture {
        /// The picture, shared by the rungs.
        picture: Arc<Picture>,
        /// It must be encoded, as a key frame.
        key: bool,
    },
}

/// What a rung has done, to be read from other threads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    encoded: AtomicU64,
    capped: AtomicU64,
    late: AtomicU64,
}

impl Counts {
    /// One more picture was left out because it came too late.
    pub(super) fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self, track: TrackId) -> RungReport {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (encoded, capped, late) = (of(&self.encoded), of(&self.capped), of(&self.late));
        RungReport { track, encoded, capped, late }
    }
}

/// A rung at work.
pub(super) struct Rung {
    pub(super) settings: RungSettings,
    pub(super) intake: Arc<Intake>,
    pub(super) counts: Arc<Counts>,
    /// Microseconds.
    pub(super) lateness: i64,
    pub(super) out: SyncSender<Output>,
}

/// What it has while the ticks stay the same.
struct Work {
    ticks: Timescale,
    encoder: VideoEncoder,
    cap: Option<Cap>,
}

impl Rung {
    /// Works until nothing follows, or nobody takes what is made.
    ///
    /// # Errors
    /// The encoder cannot be had, or fails.
    pub(super) fn run(self, tasks: &Receiver<Task>) -> Result<(), JobError> {
        let fail = |source| JobError::Encode { what: self.settings.name.to_string(), source };
        let mut scaler = Scaler::new(self.settings.width, self.settings.height);
        let mut work: Option<Work> = None;
        for task in tasks {
            match task {
                Task::Ticks(ticks) if work.as_ref().is_some_and(|w| w.ticks == ticks) => {}
                Task::Ticks(ticks) => {
                    if let Some(mut old) = work.take() {
                        old.encoder.finish().map_err(fail)?;
                        self.give(&mut old.encoder);
                    }
                    work = Some(self.work(ticks).map_err(fail)?);
                }
                Task::Picture { picture, key } => {
                    let Some(work) = &mut work else { continue };
                    if self.skips(work, &picture, key) {
                        continue;
                    }
                    let scaled = scaler.scale(&picture).map_err(fail)?;
                    // It may be the decoder's own memory.
                    drop(picture);
                    work.encoder.send(scaled, key).map_err(fail)?;
                    self.counts.encoded.fetch_add(1, Ordering::Relaxed);
                    if !self.give(&mut work.encoder) {
                        return Ok(());
                    }
                }
            }
        }
        if let Some(mut work) = work {
            work.encoder.finish().map_err(fail)?;
            self.give(&mut work.encoder);
        }
        Ok(())
    }

    fn work(&self, ticks: Timescale) -> Result<Work, CoderError> {
        let s = &self.settings;
        let why = CoderError::Configuration { why: "its frame rate is not possible".into() };
        let encoder = VideoEncoder::new(s.video(ticks).ok_or(why)?)?;
        let rate = FrameRate::new(s.frame_rate.0, s.frame_rate.1).filter(|_| s.capped);
        Ok(Work { ticks, encoder, cap: rate.map(|r| Cap::new(r, ticks)) })
    }

    /// Is this picture left out, for its rate or because it comes too late? Counts it.
    fn skips(&self, work: &mut Work, picture: &Picture, key: bool) -> bool {
        if work.cap.as_mut().is_some_and(|cap| !cap.takes(picture.pts(), key)) {
            self.counts.capped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let behind = self.intake.newest().saturating_sub(work.ticks.to_micros(picture.pts()));
        let late = !key && behind > self.lateness;
        if late {
            self.counts.late();
        }
        late
    }

    /// Gives out what the encoder has; false: nobody takes it.
    fn give(&self, encoder: &mut VideoEncoder) -> bool {
        while let Some(item) = encoder.receive() {
            if self.out.send(item.into()).is_err() {
                return false;
            }
        }
        true
    }
}

impl From<Item> for Output {
    fn from(item: Item) -> Output {
        match item {
            Item::Track(track) => Output::Track(track),
            Item::Packet(packet) => Output::Packet(packet),
        }
    }
}
