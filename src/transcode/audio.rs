//! The sound, in a thread of its own: decoded and encoded again.

use crate::av::decode::SoundDecoder;
use crate::av::error::CoderError;
use crate::av::sound::SoundEncoder;
use crate::base::time::Timescale;
use crate::media::track::{Kind, Track};
use crate::transcode::error::JobError;
use crate::transcode::intake::{Input, Intake, is_news};
use crate::transcode::settings::AudioSettings;
use crate::transcode::wire::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

/// The sound of a job.
pub(super) struct Audio {
    pub(super) settings: AudioSettings,
    pub(super) intake: Arc<Intake>,
    /// Packets that could not be decoded.
    pub(super) broken: Arc<AtomicU64>,
    pub(super) out: SyncSender<Output>,
}

struct Decoding {
    track: Track,
    /// `None`: nothing decodes this configuration; its packets are counted as broken.
    decoder: Option<SoundDecoder>,
}

impl Audio {
    /// Works until nothing follows, or nobody takes what is made.
    ///
    /// # Errors
    /// The encoder cannot be had, or fails. Sound that cannot be decoded is counted.
    pub(super) fn run(self) -> Result<(), JobError> {
        let fail = |source| JobError::Encode { what: "audio".into(), source };
        let mut decoding: Option<Decoding> = None;
        let mut encoding: Option<(Timescale, SoundEncoder)> = None;
        while let Some(input) = self.intake.take(Kind::Audio) {
            match input {
                Input::Track(track) => {
                    let known = decoding.as_ref().map(|d| &d.track);
                    if !is_news(&track, known, Kind::Audio).map_err(fail)? {
                        continue;
                    }
                    if encoding.as_ref().is_none_or(|(ticks, _)| *ticks != track.timescale) {
                        if let Some((_, mut old)) = encoding.take() {
                            old.finish().map_err(fail)?;
                            self.give(&mut old);
                        }
                        let settings = self.settings.sound(track.timescale);
                        let encoder = SoundEncoder::new(settings).map_err(fail)?;
                        encoding = Some((track.timescale, encoder));
                    }
                    let decoder = SoundDecoder::open(&track).ok();
                    decoding = Some(Decoding { track, decoder });
                }
                Input::Packet(packet, _) => {
                    let decoder = decoding.as_mut().and_then(|d| d.decoder.as_mut());
                    let (Some(decoder), Some((_, encoder))) = (decoder, &mut encoding) else {
                        self.broken.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    if decoder.send(&packet).is_err() {
                        self.broken.fetch_add(1, Ordering::Relaxed);
                    }
                    self.encode(decoder, encoder).map_err(fail)?;
                    if !self.give(encoder) {
                        return Ok(());
                    }
                }
                Input::Start(_) => {}
            }
        }
        if let Some((_, mut encoder)) = encoding {
            encoder.finish().map_err(fail)?;
            self.give(&mut encoder);
        }
        Ok(())
    }

    fn encode(
        &self,
        decoder: &mut SoundDecoder,
        encoder: &mut SoundEncoder,
    ) -> Result<(), CoderError> {
        loop {
            match decoder.receive() {
                Ok(Some(sound)) => match encoder.send(sound) {
                    // Damage can look like sound of any form.
                    Err(CoderError::Convert { .. }) => {
                        self.broken.fetch_add(1, Ordering::Relaxed);
                    }
                    sent => sent?,
                },
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.broken.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
    }

    /// Gives out what the encoder has; false: nobody takes it.
    fn give(&self, encoder: &mut SoundEncoder) -> bool {
        while let Some(item) = encoder.receive() {
            if self.out.send(item.into()).is_err() {
                return false;
            }
        }
        true
    }
}
