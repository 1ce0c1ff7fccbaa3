//! Encoders of pictures: x264, x265, SVT-AV1. Pictures of one size in, packets as `media` carries
//! them out, in ticks of the track that the pictures came from.
//!
//! Invariant: key frames are the first picture and those that were asked for, no others; each is
//! one that a decoder can start at, and no later picture refers to what came before it.
//! Invariant: a configuration comes before the packets that need it.

use crate::av::annexb::{HevcSets, Sets};
use crate::av::decode::{Picture, dry};
use crate::av::demux::Item;
use crate::av::error::CoderError;
use crate::av::options::{name, options, takes_orders};
use crate::av::parameters::tick;
use crate::av::record::record;
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::av1::without_delimiters;
use crate::media::codec::is_key;
use crate::media::packet::Packet;
use crate::media::track::{Codec, FrameRate, Track};
use bytes::Bytes;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, Rational, codec, color, encoder, log, picture};
use std::collections::VecDeque;
use std::num::NonZero;
use std::thread::available_parallelism;

/// Bytes of the length in front of each NAL unit of what is made here.
const NAL_LEN: u8 = 4;

/// How a track's pictures are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// The track that is made.
    pub track: TrackId,
    /// H.264, HEVC or AV1.
    pub codec: Codec,
    /// Pixels; even.
    pub width: u32,
    /// Pixels; even.
    pub height: u32,
    /// Frames per second that the encoder reckons with, and says in its parameter sets.
    pub rate: FrameRate,
    /// Unit of the pictures' PTS, and of the packets' times.
    pub timescale: Timescale,
    /// One of the encoder's presets.
    pub preset: String,
    /// `baseline`, `main` or `high`; not looked at for AV1.
    pub profile: String,
    /// In tenths: 31 is level 3.1.
    pub level: u8,
    /// Bits per second aimed at.
    pub bitrate: u64,
    /// Bits per second at which the decoder's buffer fills at most.
    pub maxrate: u64,
    /// Bits of that buffer.
    pub bufsize: u64,
}

impl VideoSettings {
    /// The encoder and its options as ffmpeg's command line has them.
    pub fn words(&self) -> Vec<(String, String)> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let encoder = name(self.codec).map(|n| ("c:v".to_owned(), n.to_owned()));
        let options = options(self, cores).into_iter();
        // Flags of containers, which a command line sets by itself.
        let options = options.filter(|(name, _)| *name != "flags");
        encoder.into_iter().chain(options.map(|(name, v)| (format!("{name}:v"), v))).collect()
    }
}

/// What an encoder says of its pictures, beside their size, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    range: color::Range,
    primaries: color::Primaries,
    transfer: color::TransferCharacteristic,
    space: color::Space,
    sar: Option<(i32, i32)>,
}

/// An encoder of one track. It is opened with its first picture.
pub struct VideoEncoder {
    settings: VideoSettings,
    open: Option<(encoder::video::Encoder, Look)>,
    form: Form,
    /// The configuration in force.
    config: Bytes,
    out: VecDeque<Item>,
    last_pts: Option<i64>,
}

/// How the encoder's bytes become a packet's.
enum Form {
    AnnexB(Sets),
    HevcAnnexB(HevcSets),
    Obus,
}

impl VideoEncoder {
    /// An encoder with these settings.
    ///
    /// # Errors
    /// A codec that pictures are not encoded with, an encoder that the library does not have.
    pub fn new(settings: VideoSettings) -> Result<VideoEncoder, CoderError> {
        log::set_level(log::Level::Quiet);
        let missing = CoderError::Missing { name: "encoder for pictures of this codec" };
        let name = name(settings.codec).ok_or(missing)?;
        encoder::find_by_name(name).ok_or(CoderError::Missing { name })?;
        let form = form(settings.codec);
        let (config, out) = (Bytes::new(), VecDeque::new());
        Ok(VideoEncoder { settings, open: None, form, config, out, last_pts: None })
    }

    /// Encodes the next picture, which has the settings' size; with `key` as a key frame. A picture
    /// that is not later than the one before begins anew, with a key frame. What the pictures'
    /// colours mean may change at a key frame.
    ///
    /// # Errors
    /// The encoder refuses its settings or the picture.
    pub fn send(&mut self, mut picture: Picture, key: bool) -> Result<(), CoderError> {
        let look = look(&picture);
        let back = self.last_pts.is_some_and(|last| picture.pts() <= last);
        let anew = self.open.as_ref().is_some_and(|(_, open)| {
            back || key && (!takes_orders(self.settings.codec) || *open != look)
        });
        if anew {
            self.finish()?;
        }
        self.last_pts = Some(picture.pts());
        if self.open.is_none() {
            let opened = open(&self.settings, &look)?;
            self.form = form(self.settings.codec);
            self.configure(&opened)?;
            self.open = Some((opened, look));
        } else if key {
            picture.frame.set_kind(picture::Type::I);
        }
        if let Some((encoder, _)) = &mut self.open {
            encoder.send_frame(&picture.frame).map_err(CoderError::failed("encoding a picture"))?;
        }
        self.drain()
    }

    /// Encodes what is still inside. The next picture begins anew.
    ///
    /// # Errors
    /// As [`VideoEncoder::send`].
    pub fn finish(&mut self) -> Result<(), CoderError> {
        if let Some((encoder, _)) = &mut self.open {
            encoder.send_eof().map_err(CoderError::failed("encoding a picture"))?;
            self.drain()?;
        }
        self.open = None;
        Ok(())
    }

    /// The next configuration or packet.
    pub fn receive(&mut self) -> Option<Item> {
        self.out.pop_front()
    }

    fn configure(&mut self, encoder: &encoder::video::Encoder) -> Result<(), CoderError> {
        let s = &self.settings;
        let why = "the encoder tells no configuration";
        let record = record(&codec::Parameters::from(encoder)).filter(|(c, _)| *c == s.codec);
        let (_, config) = record.ok_or_else(|| CoderError::because("opening an encoder", why))?;
        if config != self.config {
            self.config = config.clone();
            let (id, codec, timescale, rate) = (s.track, s.codec, s.timescale, Some(s.rate));
            self.out.push_back(Item::Track(Track { id, codec, timescale, rate, config }));
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), CoderError> {
        let Some((encoder, _)) = &mut self.open else { return Ok(()) };
        loop {
            let mut p = codec::packet::Packet::empty();
            match encoder.receive_packet(&mut p) {
                Ok(()) => self.out.extend(packet(&self.settings, &mut self.form, &p)),
                Err(e) if dry(e) => return Ok(()),
                Err(e) => return Err(CoderError::failed("encoding a picture")(e)),
            }
        }
    }
}

fn form(codec: Codec) -> Form {
    match codec {
        Codec::H264 => Form::AnnexB(Sets::default()),
        Codec::Hevc => Form::HevcAnnexB(HevcSets::default()),
        _ => Form::Obus,
    }
}

fn look(picture: &Picture) -> Look {
    let p = &picture.frame;
    Look {
        range: p.color_range(),
        primaries: p.color_primaries(),
        transfer: p.color_transfer_characteristic(),
        space: p.color_space(),
        sar: picture.sar,
    }
}

fn open(s: &VideoSettings, look: &Look) -> Result<encoder::video::Encoder, CoderError> {
    let failed = CoderError::failed("opening an encoder");
    let name = name(s.codec).unwrap_or_default();
    let codec = encoder::find_by_name(name).ok_or(CoderError::Missing { name })?;
    let too_fine = || CoderError::because("opening an encoder", "its ticks are too short");
    let ticks = tick(s.timescale).ok_or_else(too_fine)?;
    let (num, den) = s.rate.parts();
    let rate = i32::try_from(num).ok().zip(i32::try_from(den).ok()).ok_or_else(too_fine)?;
    let mut context = codec::Context::new_with_codec(codec).encoder().video().map_err(&failed)?;
    context.set_width(s.width);
    context.set_height(s.height);
    context.set_format(Pixel::YUV420P);
    context.set_time_base(ticks);
    context.set_frame_rate(Some(Rational(rate.0, rate.1)));
    context.set_color_range(look.range);
    context.set_color_primaries(look.primaries);
    context.set_color_transfer_characteristic(look.transfer);
    context.set_colorspace(look.space);
    if let Some((x, y)) = look.sar {
        context.set_aspect_ratio(Rational(x, y));
    }
    let cores = available_parallelism().map_or(1, NonZero::get);
    let mut dictionary = Dictionary::new();
    for (name, value) in options(s, cores) {
        dictionary.set(name, &value);
    }
    context.open_with(dictionary).map_err(&failed)
}

/// A packet as `media` carries it; `None` for one without a picture.
fn packet(s: &VideoSettings, form: &mut Form, p: &codec::packet::Packet) -> Option<Item> {
    let data = p.data()?;
    let pts = p.pts()?;
    let dts = p.dts().unwrap_or(pts);
    let payload = match form {
        // Parameter sets are in the configuration, for which there is a global header.
        Form::AnnexB(sets) => sets.unit(data).0,
        Form::HevcAnnexB(sets) => sets.unit(data).0,
        Form::Obus => without_delimiters(&Bytes::copy_from_slice(data)),
    };
    let cts = i32::try_from(pts.checked_sub(dts)?).ok().filter(|_| !payload.is_empty())?;
    let key = is_key(s.codec, &payload, NAL_LEN);
    Some(Item::Packet(Packet { track: s.track, dts, cts, key, payload }))
}

impl std::fmt::Debug for VideoEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VideoEncoder({:?})", self.settings)
    }
}
