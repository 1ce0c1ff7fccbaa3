//! Decoders: packets of a track in, pictures or sound out, each with the exact ticks of its
//! packet's PTS.
//!
//! Pictures come out in the order in which they are shown, as soon as the stream's own re-ordering
//! allows it: a picture is spread over threads by its slices, never several pictures over threads.
//! libav's low-delay flag is set for AV1 alone, where it says just that; for H.264 and HEVC it
//! would give pictures out before their turn.
//!
//! Invariant: a packet that cannot be decoded is an error of that packet; the next one is decoded.

use crate::av::error::CoderError;
use crate::av::parameters::{parameters, tick};
use crate::media::packet::Packet;
use crate::media::track::{Codec, Kind, Track};
use ffmpeg_next::format::{Pixel, Sample, sample};
use ffmpeg_next::{ChannelLayout, Dictionary, Error, Rational, codec, decoder, frame};
use std::fmt;
use std::num::NonZero;
use std::thread::available_parallelism;

/// Threads that one picture is spread over, at most: encoders cut few pictures into more slices.
const SLICE_THREADS: usize = 4;

/// A decoded picture. Cheap to share; never changed.
pub struct Picture {
    pub(super) frame: frame::Video,
    /// Sample aspect ratio; `None`: square, or not known.
    pub(super) sar: Option<(i32, i32)>,
}

/// Decoded sound: some samples of all channels.
pub struct Sound(pub(super) frame::Audio);

impl Picture {
    /// Presentation time in ticks of the track that it was decoded from.
    pub fn pts(&self) -> i64 {
        // `receive` lets no other one out.
        time(&self.frame).unwrap_or_default()
    }

    /// Pixels.
    pub fn width(&self) -> u32 {
        self.frame.width()
    }

    /// Pixels.
    pub fn height(&self) -> u32 {
        self.frame.height()
    }

    /// A picture that was not decoded: planes of 8 bits, 4:2:0, of even sides, row after row
    /// without padding. `None`: the planes are not of this size.
    pub fn made(pts: i64, (width, height): (u32, u32), planes: [&[u8]; 3]) -> Option<Picture> {
        let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
        let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
        let half = (width / 2, height / 2);
        for (i, (from, (w, h))) in planes.into_iter().zip([(width, height), half, half]).enumerate()
        {
            if from.len() != w * h || from.is_empty() {
                return None;
            }
            let stride = frame.stride(i);
            let rows = frame.data_mut(i).chunks_mut(stride).zip(from.chunks(w));
            rows.for_each(|(to, from)| to[..w].copy_from_slice(from));
        }
        frame.set_pts(Some(pts));
        Some(Picture { frame, sar: None })
    }

    fn new(frame: frame::Video) -> Picture {
        let Rational(x, y) = frame.aspect_ratio();
        Picture { frame, sar: Some((x, y)).filter(|_| x > 0 && y > 0 && x != y) }
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}x{} at {})", self.width(), self.height(), self.pts())
    }
}

impl Sound {
    /// Presentation time of the first sample in ticks of the track that it was decoded from.
    pub fn pts(&self) -> i64 {
        time(&self.0).unwrap_or_default()
    }

    /// Sound that was not decoded: two channels of samples from -1 to 1, equally many. `None`: they
    /// are not.
    pub fn made(pts: i64, rate: u32, channels: [&[f32]; 2]) -> Option<Sound> {
        let samples = channels[0].len();
        if samples == 0 || channels[1].len() != samples {
            return None;
        }
        let planar = Sample::F32(sample::Type::Planar);
        let mut frame = frame::Audio::new(planar, samples, ChannelLayout::STEREO);
        frame.set_rate(rate);
        for (i, from) in channels.into_iter().enumerate() {
            frame.plane_mut::<f32>(i).copy_from_slice(from);
        }
        frame.set_pts(Some(pts));
        Some(Sound(frame))
    }

    /// Samples of each channel.
    pub fn samples(&self) -> usize {
        self.0.samples()
    }

    /// Samples of a second.
    pub fn rate(&self) -> u32 {
        self.0.rate()
    }

    /// Channels.
    pub fn channels(&self) -> u16 {
        self.0.channels()
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} samples at {})", self.samples(), self.pts())
    }
}

/// The time that the packet had. libav's guess is for packets without one.
fn time(frame: &ffmpeg_next::Frame) -> Option<i64> {
    frame.pts().or_else(|| frame.timestamp())
}

/// A decoder of pictures.
pub struct VideoDecoder(Inner);

/// A decoder of sound.
pub struct SoundDecoder(Inner);

struct Inner(decoder::Opened);

/// The decoders of a codec, the best first.
fn names(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["h264"],
        Codec::Hevc => &["hevc"],
        Codec::Av1 => &["libdav1d", "libaom-av1"],
        Codec::Aac => &["aac"],
        Codec::Opus => &["opus", "libopus"],
    }
}

impl Inner {
    fn open(track: &Track, kind: Kind) -> Result<Inner, CoderError> {
        let failed = CoderError::failed("opening a decoder");
        if track.codec.kind() != kind {
            let why = format!("{} is no track of this kind", track.codec.name());
            return Err(CoderError::Configuration { why });
        }
        let codec = names(track.codec).iter().find_map(|n| decoder::find_by_name(n));
        let codec = codec.ok_or(CoderError::Missing { name: names(track.codec)[0] })?;
        let ticks = tick(track.timescale).ok_or_else(|| CoderError::Configuration {
            why: format!("a timescale of {}", track.timescale.get()),
        })?;
        let context = codec::Context::from_parameters(parameters(track)?).map_err(&failed)?;
        let mut context = context.decoder();
        context.set_packet_time_base(ticks);
        let mut options = Dictionary::new();
        if kind == Kind::Video {
            let threads = available_parallelism().map_or(1, NonZero::get).min(SLICE_THREADS);
            options.set("threads", &threads.to_string());
            options.set("thread_type", "slice");
        }
        if track.codec == Codec::Av1 {
            options.set("flags", "+low_delay");
        }
        Ok(Inner(context.open_as_with(codec, options).map_err(&failed)?))
    }

    fn send(&mut self, packet: &Packet) -> Result<(), CoderError> {
        // An empty one would be taken for the end.
        if packet.payload.is_empty() {
            return Err(CoderError::because("decoding a packet", "it is empty"));
        }
        let mut own = codec::packet::Packet::copy(&packet.payload);
        own.set_pts(Some(packet.pts()));
        own.set_dts(Some(packet.dts));
        if packet.key {
            own.set_flags(codec::packet::Flags::KEY);
        }
        self.0.send_packet(&own).map_err(CoderError::failed("decoding a packet"))
    }

    /// The next frame that has a time.
    fn receive<F: AsMut<ffmpeg_next::Frame>>(
        &mut self,
        new: impl Fn() -> F,
    ) -> Result<Option<F>, CoderError> {
        loop {
            let mut frame = new();
            match self.0.receive_frame(frame.as_mut()) {
                Ok(()) if time(frame.as_mut()).is_none() => {}
                Ok(()) => return Ok(Some(frame)),
                Err(e) if dry(e) => return Ok(None),
                Err(e) => return Err(CoderError::failed("decoding a packet")(e)),
            }
        }
    }

    fn finish(&mut self) {
        // Who has finished already is told so, and that is all.
        let _ = self.0.send_eof();
    }
}

/// Is there just nothing more at the moment, or for good?
pub(super) fn dry(e: Error) -> bool {
    e == Error::Eof || e == Error::Other { errno: ffmpeg_next::error::EAGAIN }
}

/// Frames as libav's calls take them.
struct Video(frame::Video);
struct Audio(frame::Audio);

impl AsMut<ffmpeg_next::Frame> for Video {
    fn as_mut(&mut self) -> &mut ffmpeg_next::Frame {
        &mut self.0
    }
}

impl AsMut<ffmpeg_next::Frame> for Audio {
    fn as_mut(&mut self) -> &mut ffmpeg_next::Frame {
        &mut self.0
    }
}

impl VideoDecoder {
    /// Opens a decoder with the track's configuration.
    ///
    /// # Errors
    /// A configuration that cannot be decoded with, no such decoder in the library.
    pub fn open(track: &Track) -> Result<VideoDecoder, CoderError> {
        Inner::open(track, Kind::Video).map(VideoDecoder)
    }

    /// Takes the next packet in decoding order. What it gives must be received before the next.
    ///
    /// # Errors
    /// A packet that cannot be decoded. The next one may be.
    pub fn send(&mut self, packet: &Packet) -> Result<(), CoderError> {
        self.0.send(packet)
    }

    /// The next picture in the order of showing; `None`: another packet is needed.
    ///
    /// # Errors
    /// As [`VideoDecoder::send`].
    pub fn receive(&mut self) -> Result<Option<Picture>, CoderError> {
        Ok(self.0.receive(|| Video(frame::Video::empty()))?.map(|v| Picture::new(v.0)))
    }

    /// Nothing follows: what is still in the decoder can be received.
    pub fn finish(&mut self) {
        self.0.finish();
    }

    /// Begins anew with the same configuration, at the next key frame.
    pub fn restart(&mut self) {
        self.0.0.flush();
    }
}

impl SoundDecoder {
    /// As [`VideoDecoder::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(track: &Track) -> Result<SoundDecoder, CoderError> {
        Inner::open(track, Kind::Audio).map(SoundDecoder)
    }

    /// As [`VideoDecoder::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, packet: &Packet) -> Result<(), CoderError> {
        self.0.send(packet)
    }

    /// The next samples; `None`: another packet is needed.
    ///
    /// # Errors
    /// As [`SoundDecoder::send`].
    pub fn receive(&mut self) -> Result<Option<Sound>, CoderError> {
        Ok(self.0.receive(|| Audio(frame::Audio::empty()))?.map(|a| Sound(a.0)))
    }
}
