//! One rung's log: what its worker makes, cut where its source was, written.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::{Mono, Now, Timescale};
use crate::log::error::LogError;
use crate::log::sealed::Sealed;
use crate::log::writer::Writer;
use crate::media::codec::{CodecError, details};
use crate::media::packet::Packet;
use crate::media::timeline::cut::Output;
use crate::media::timeline::lane::Plan;
use crate::media::timeline::mark::{End, Mark, SegmentStart};
use crate::media::timeline::rung::Rung;
use crate::media::track::{FrameRate, Kind, Track};

/// A rung being recorded.
pub(super) struct Recorded {
    /// The source's track that it is made of.
    source: TrackId,
    rate: FrameRate,
    cut: Rung,
    log: Writer,
    track: Option<Track>,
    end: Option<End>,
}

/// What a rung's log is to be, before anything is coded: the rendition's track and rate.
pub(super) fn nominal(track: TrackId, kind: Kind, rate: FrameRate) -> Plan {
    let mux = if kind == Kind::Video { 90_000 } else { 48_000 };
    let mux = Timescale::new(mux).unwrap_or(Timescale::MILLIS);
    let frame = if kind == Kind::Video { rate.frame_micros() } else { 21_333 };
    Plan { track, kind, timescale: Timescale::MILLIS, mux, frame: frame.max(1), frames: None }
}

impl Recorded {
    pub(super) fn new(source: TrackId, rate: FrameRate, cut: Rung, log: Writer) -> Recorded {
        Recorded { source, rate, cut, log, track: None, end: None }
    }

    /// The rendition's track.
    pub(super) fn track(&self) -> TrackId {
        self.cut.track()
    }

    /// A listed sample of the source, `pts` in microseconds.
    pub(super) fn source_sample(&mut self, now: Now, track: TrackId, seq: Seq, pts: i64) {
        if track == self.source {
            self.cut.source_sample(now, seq, pts);
        }
    }

    /// A mark of the source.
    pub(super) fn source_mark(&mut self, now: Now, mark: &Mark) {
        self.cut.source_mark(now, self.source, mark);
    }

    /// How the encoder's packets are to be read from here on.
    ///
    /// # Errors
    /// A configuration that says nothing, or a log that takes nothing more.
    pub(super) fn configure(&mut self, track: Track) -> Result<(), RecordError> {
        if self.track.as_ref() == Some(&track) {
            return Ok(());
        }
        let known = details(&track)?;
        self.cut.reconfigure(Plan {
            track: track.id,
            kind: track.codec.kind(),
            timescale: track.timescale,
            mux: known.mux_timescale,
            frame: known.frame_micros(self.rate).max(1),
            frames: known.frame_length(),
        });
        self.settle()?;
        self.log.append_mark(&Mark::Track(track.clone()))?;
        self.track = Some(track);
        Ok(())
    }

    /// What the encoder made.
    pub(super) fn packet(&mut self, p: Packet) {
        self.cut.packet(p);
    }

    /// When [`Recorded::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Mono> {
        self.cut.poll_timeout()
    }

    pub(super) fn tick(&mut self, now: Now) {
        self.cut.handle_timeout(now);
    }

    /// Another node goes on with this number.
    pub(super) fn hand_over(&mut self, until: Msn) {
        self.cut.hand_over(until);
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) {
        self.cut.finish();
    }

    /// Writes what was decided; the segment that started last, if one did.
    ///
    /// # Errors
    /// The log takes nothing more.
    pub(super) fn settle(&mut self) -> Result<Option<SegmentStart>, RecordError> {
        let (mut started, mut urgent) = (None, false);
        while let Some(out) = self.cut.poll_output() {
            match out {
                Output::Packet(p, seq) => drop(self.log.append_packet(&p, seq)?),
                Output::Mark(mark) => {
                    urgent = true;
                    if let Mark::SegmentStart(s) = &mark {
                        self.log.roll_if_due(s.wall.0);
                        started = Some(*s);
                    }
                    if let Mark::End(end) = &mark {
                        self.end = Some(end.clone());
                    }
                    self.log.append_mark(&mark)?;
                }
            }
        }
        if urgent {
            self.log.flush();
        }
        Ok(started)
    }

    /// Waits while the disk is behind.
    pub(super) async fn ready(&self) -> Result<(), LogError> {
        self.log.ready().await
    }

    /// How it ended, once its End is written.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    pub(super) async fn seal(self) -> Result<Sealed, LogError> {
        self.log.seal().await
    }
}

/// Why a rung can't be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the encoder says of itself.
    #[error("the encoder's configuration: {0}")]
    Codec(#[from] CodecError),
}
