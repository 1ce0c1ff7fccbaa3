//! Sound that is encoded again: mixed down, resampled, cut into frames (`feed`), encoded as AAC or
//! Opus. Times come from the source, see `feed`.

use crate::av::decode::{Sound, dry};
use crate::av::demux::Item;
use crate::av::error::CoderError;
use crate::av::feed::Feed;
use crate::av::parameters::tick;
use crate::av::record::record;
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::packet::Packet;
use crate::media::track::{Codec, Track};
use bytes::Bytes;
use ffmpeg_next::channel_layout::ChannelLayout;
use ffmpeg_next::format::Sample;
use ffmpeg_next::format::sample::Type;
use ffmpeg_next::software::resampling::Context;
use ffmpeg_next::software::resampling::context::Definition;
use ffmpeg_next::{Dictionary, codec, encoder, frame, log};
use std::collections::VecDeque;

/// Samples of a second that Opus has, whatever it is given (RFC 7845, 4), and AAC where the
/// source's own rate is unusual.
const USUAL_RATE: u32 = 48_000;

/// Rates that AAC is encoded with as they come; every device plays them.
const AAC_RATES: [u32; 3] = [32_000, 44_100, USUAL_RATE];

/// Samples that the resampler may hold beyond what goes in: its filter is far shorter.
const HELD: usize = 1_024;

/// How sound is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundSettings {
    /// The track that is made; its ticks are samples.
    pub track: TrackId,
    /// AAC or Opus.
    pub codec: Codec,
    /// Bits per second.
    pub bitrate: u64,
    /// 1 or 2.
    pub channels: u8,
    /// Unit of the PTS of what comes in.
    pub timescale: Timescale,
}

/// An encoder of one track of sound. It is opened with the first samples.
pub struct SoundEncoder {
    settings: SoundSettings,
    open: Option<Open>,
    resampler: Option<Context>,
    out: VecDeque<Item>,
}

struct Open {
    encoder: encoder::audio::Encoder,
    feed: Feed,
    rate: Timescale,
    frame: usize,
}

impl SoundEncoder {
    /// An encoder with these settings.
    ///
    /// # Errors
    /// A codec that sound is not encoded with, an encoder that the library does not have.
    pub fn new(settings: SoundSettings) -> Result<SoundEncoder, CoderError> {
        log::set_level(log::Level::Quiet);
        let missing = CoderError::Missing { name: "encoder for sound of this codec" };
        let name = name(settings.codec).ok_or(missing)?;
        encoder::find_by_name(name).ok_or(CoderError::Missing { name })?;
        Ok(SoundEncoder { settings, open: None, resampler: None, out: VecDeque::new() })
    }

    /// Encodes samples of any rate and layout.
    ///
    /// # Errors
    /// [`CoderError::Convert`]: these samples cannot be converted; others may be. Else the encoder
    /// refuses its settings, or fails.
    pub fn send(&mut self, mut sound: Sound) -> Result<(), CoderError> {
        if sound.samples() == 0 || sound.rate() == 0 || sound.channels() == 0 {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.opened(sound.rate())?);
        }
        if sound.0.channel_layout().is_empty() {
            sound.0.set_channel_layout(ChannelLayout::default(sound.channels().into()));
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let layout = layout(self.settings.channels);
        let (to, from) = (
            open.rate.get(),
            Definition {
                format: sound.0.format(),
                channel_layout: sound.0.channel_layout(),
                rate: sound.rate(),
            },
        );
        let resampler = match self.resampler.take().filter(|r| *r.input() == from) {
            Some(resampler) => resampler,
            None => Context::get(
                from.format,
                from.channel_layout,
                from.rate,
                Sample::F32(Type::Packed),
                layout,
                to,
            )
            .map_err(CoderError::convert)?,
        };
        let resampler = self.resampler.insert(resampler);
        // What it holds sounds before what comes in now.
        let held = resampler.delay().map_or(0, |d| d.output);
        let most = sound.samples() as u64 * u64::from(to) / u64::from(from.rate);
        let room = usize::try_from(most).unwrap_or(0) + HELD;
        let mut mixed = frame::Audio::new(Sample::F32(Type::Packed), room, layout);
        resampler.run(&sound.0, &mut mixed).map_err(CoderError::convert)?;
        let at = self.settings.timescale.convert(sound.pts(), open.rate).saturating_sub(held);
        if mixed.samples() > 0 {
            open.feed.push(at, mixed.plane::<f32>(0));
        }
        open.encode(&self.settings, &mut self.out)
    }

    /// Encodes what is still inside, and begins anew with the next samples.
    ///
    /// # Errors
    /// As [`SoundEncoder::send`].
    pub fn finish(&mut self) -> Result<(), CoderError> {
        self.resampler = None;
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.feed.fill_up();
        open.encode(&self.settings, &mut self.out)?;
        open.encoder.send_eof().map_err(CoderError::failed("encoding sound"))?;
        open.drain(&self.settings, &mut self.out)
    }

    /// The next configuration or packet.
    pub fn receive(&mut self) -> Option<Item> {
        self.out.pop_front()
    }

    fn opened(&mut self, rate: u32) -> Result<Open, CoderError> {
        let s = &self.settings;
        let failed = CoderError::failed("opening an encoder");
        let name = name(s.codec).unwrap_or_default();
        let codec = encoder::find_by_name(name).ok_or(CoderError::Missing { name })?;
        let own = s.codec == Codec::Aac && AAC_RATES.contains(&rate);
        let hertz = if own { rate } else { USUAL_RATE };
        let rate = Timescale::new(hertz).expect("the rates above are not zero");
        let mut context =
            codec::Context::new_with_codec(codec).encoder().audio().map_err(&failed)?;
        context.set_rate(i32::try_from(hertz).expect("the rates above are small"));
        context.set_channel_layout(layout(s.channels));
        context.set_format(format(s.codec));
        context.set_bit_rate(usize::try_from(s.bitrate).unwrap_or(usize::MAX));
        context.set_time_base(tick(rate).expect("the rates above are small"));
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let encoder = context.open_with(Dictionary::new()).map_err(&failed)?;
        let found = record(&codec::Parameters::from(&encoder)).filter(|(c, _)| *c == s.codec);
        let why = "the encoder tells no configuration";
        let (_, config) = found.ok_or_else(|| CoderError::because("opening an encoder", why))?;
        let (id, codec) = (s.track, s.codec);
        self.out.push_back(Item::Track(Track { id, codec, timescale: rate, rate: None, config }));
        let frame = encoder.frame_size() as usize;
        let feed = Feed::new(s.channels.into(), frame, hertz);
        Ok(Open { encoder, feed, rate, frame })
    }
}

impl Open {
    /// Every whole frame.
    fn encode(&mut self, s: &SoundSettings, out: &mut VecDeque<Item>) -> Result<(), CoderError> {
        while let Some((number, samples)) = self.feed.frame() {
            let mut to = frame::Audio::new(format(s.codec), self.frame, layout(s.channels));
            to.set_rate(self.rate.get());
            to.set_pts(Some(number));
            let channels = usize::from(s.channels.max(1));
            if to.is_planar() {
                for channel in 0..channels {
                    let of = samples.iter().skip(channel).step_by(channels);
                    to.plane_mut::<f32>(channel).iter_mut().zip(of).for_each(|(t, f)| *t = *f);
                }
            } else {
                to.plane_mut::<f32>(0).copy_from_slice(&samples);
            }
            self.encoder.send_frame(&to).map_err(CoderError::failed("encoding sound"))?;
            self.drain(s, out)?;
        }
        Ok(())
    }

    fn drain(&mut self, s: &SoundSettings, out: &mut VecDeque<Item>) -> Result<(), CoderError> {
        loop {
            let mut p = codec::packet::Packet::empty();
            match self.encoder.receive_packet(&mut p) {
                Ok(()) => out.extend(self.packet(s, &p)),
                Err(e) if dry(e) => return Ok(()),
                Err(e) => return Err(CoderError::failed("encoding sound")(e)),
            }
        }
    }

    /// The encoder's packet with its time. The encoder counts samples, from below zero where it
    /// puts some before the first.
    fn packet(&mut self, s: &SoundSettings, p: &codec::packet::Packet) -> Option<Item> {
        let payload = Bytes::copy_from_slice(p.data().filter(|d| !d.is_empty())?);
        let dts = self.feed.time(p.pts()?, self.frame as i64);
        Some(Item::Packet(Packet { track: s.track, dts, cts: 0, key: true, payload }))
    }
}

/// The encoder of a codec; `None` for pictures.
fn name(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Aac => Some("aac"),
        Codec::Opus => Some("libopus"),
        Codec::H264 | Codec::Hevc | Codec::Av1 => None,
    }
}

/// How the encoder wants its samples.
fn format(codec: Codec) -> Sample {
    let planar = codec == Codec::Aac;
    Sample::F32(if planar { Type::Planar } else { Type::Packed })
}

fn layout(channels: u8) -> ChannelLayout {
    if channels == 1 { ChannelLayout::MONO } else { ChannelLayout::STEREO }
}

impl std::fmt::Debug for SoundEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SoundEncoder({:?})", self.settings)
    }
}
