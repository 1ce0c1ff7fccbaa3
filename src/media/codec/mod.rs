//! What a track's configuration record says: codec string, picture size and rate, sample rate and
//! channels. Reads parameter sets and audio configurations; decodes no media.
//!
//! Invariant: any bytes may come in; the answer is a value or a [`CodecError`], never a panic, and
//! memory stays within a small multiple of [`CONFIG_MAX`].

pub mod aac;
pub mod av1;
pub mod av1_sequence;
mod bits;
pub mod h264;
pub mod hevc;
pub mod hevc_sps;
pub mod in_force;
pub mod opus;
pub mod sps;

use crate::base::time::{MICROS, Timescale};
use crate::media::track::{Codec, FrameRate, Track};
use bytes::Bytes;

/// Longest configuration record that is read, in bytes. Real ones have 2 to 100; the format allows
/// 31 sequence and 255 picture parameter sets of 64 KiB, which nobody may make us hold and repeat.
pub const CONFIG_MAX: usize = 16 << 10;

/// The usual video timescale: it divides by milliseconds and by the common frame rates.
const VIDEO_TIMESCALE: u32 = 90_000;

/// Why a configuration record or a payload is refused. `at` is a byte offset in the record, or,
/// inside a sequence parameter set, in its payload without emulation prevention bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("{what} at byte {at}: the record ends too early")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where, in bytes.
        at: usize,
    },
    /// A field has a value that the standard does not allow.
    #[error("{what} at byte {at}: the value is not allowed")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where, in bytes.
        at: usize,
    },
    /// Valid, but nothing that castctl carries.
    #[error("{what} is not supported")]
    Unsupported {
        /// What it is, for the person at the encoder.
        what: String,
    },
}

/// What viewers and planners need to know of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Codec string of RFC 6381, as CODECS and MSE want it: `avc1.64001f`, `hvc1.1.6.L93.b0`,
    /// `av01.0.04M.08`, `mp4a.40.2`, `opus`.
    pub codecs: String,
    /// Unit of all times in fMP4. Video: 90 kHz when the track's ticks are whole in it, else the
    /// track's own; audio: the core sample rate, in which a frame is a whole number of ticks.
    pub mux_timescale: Timescale,
    /// The declared frame rate of video: that of the parameter sets, else the track's.
    pub rate: Option<FrameRate>,
    /// For video.
    pub video: Option<VideoDetails>,
    /// For audio.
    pub audio: Option<AudioDetails>,
}

/// The range of light that pictures show (draft-pantos-hls-rfc8216bis-22, 4.4.6.2: VIDEO-RANGE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VideoRange {
    /// Standard.
    #[default]
    Sdr,
    /// Hybrid log-gamma.
    Hlg,
    /// Perceptual quantizer.
    Pq,
}

impl VideoRange {
    /// The stored number: never reuse one.
    pub const fn number(self) -> u8 {
        match self {
            VideoRange::Sdr => 0,
            VideoRange::Hlg => 1,
            VideoRange::Pq => 2,
        }
    }

    /// That of a stored number; what a later version may add is shown as standard.
    pub const fn from_number(n: u8) -> VideoRange {
        match n {
            1 => VideoRange::Hlg,
            2 => VideoRange::Pq,
            _ => VideoRange::Sdr,
        }
    }

    /// That of a number of transfer characteristics (ISO/IEC 23091-4, 8.2).
    pub const fn of_transfer(number: u32) -> VideoRange {
        match number {
            16 => VideoRange::Pq,
            18 => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }
}

/// How long the frames of a sound track are, in ticks of its mux timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameLength {
    /// All alike (AAC).
    Fixed(u32),
    /// Each packet says it itself (Opus: RFC 6716, 3.1).
    InPacket {
        /// What is planned with before a packet is seen.
        usual: u32,
    },
}

impl FrameLength {
    /// Ticks of one packet.
    pub fn ticks(self, payload: &[u8]) -> u32 {
        match self {
            FrameLength::Fixed(ticks) => ticks,
            FrameLength::InPacket { .. } => opus::ticks(payload),
        }
    }

    /// Ticks of a packet that is not at hand.
    pub fn usual(self) -> u32 {
        match self {
            FrameLength::Fixed(ticks) | FrameLength::InPacket { usual: ticks } => ticks,
        }
    }
}

/// Pictures, from the sequence parameter set (H.264, HEVC) or sequence header (AV1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoDetails {
    /// Width after cropping, in samples, before the sample aspect ratio is applied.
    pub width: u32,
    /// Height after cropping, in samples.
    pub height: u32,
    /// Sample aspect ratio, horizontal to vertical; (1, 1) when it is not declared.
    pub sar: (u16, u16),
    /// Frame rate of the VUI timing, when it is there and sane.
    pub rate: Option<FrameRate>,
    /// True when the VUI promises a constant rate (`fixed_frame_rate_flag`).
    pub fixed_rate: bool,
    /// The range of light.
    pub range: VideoRange,
    /// Size of the NAL length field in payloads: 1, 2 or 4 bytes; 4 for AV1, which has none.
    pub nal_len_size: u8,
}

/// Sound, from the AudioSpecificConfig or the OpusHead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioDetails {
    /// Sample rate of the core coder in Hz: the unit of `frame`.
    pub sample_rate: u32,
    /// Sample rate after spectral band replication in Hz; equals `sample_rate` without it.
    pub output_rate: u32,
    /// Channels that come out of the decoder; parametric stereo makes two of one.
    pub channels: u8,
    /// A frame at the core rate: of AAC 1024, or 960 when frameLengthFlag is set. An HE-AAC decoder
    /// puts out twice as many samples at twice the rate; the duration is the same.
    pub frame: FrameLength,
    /// The object type of the codec string: 2 AAC-LC, 5 HE-AAC, 29 HE-AAC v2; 0 for Opus.
    pub object_type: u8,
}

impl Details {
    /// One frame's nominal duration in microseconds, rounded to the nearest: of the audio frame, or
    /// of a picture at the declared rate, else at `default_rate`.
    pub fn frame_micros(&self, default_rate: FrameRate) -> i64 {
        match self.audio {
            Some(a) => {
                let (n, rate) = (i64::from(a.frame.usual()), i64::from(a.sample_rate.max(1)));
                (2 * MICROS * n + rate) / (2 * rate)
            }
            None => self.rate.unwrap_or(default_rate).frame_micros(),
        }
    }

    /// How long frames are; `None` for video.
    pub fn frame_length(&self) -> Option<FrameLength> {
        self.audio.map(|a| a.frame)
    }
}

/// Reads a track's configuration record.
///
/// # Errors
/// A record that is truncated, not allowed by its standard, longer than [`CONFIG_MAX`], or of an
/// object type that castctl does not carry.
pub fn details(track: &Track) -> Result<Details, CodecError> {
    if track.config.len() > CONFIG_MAX {
        return Err(CodecError::Invalid { what: "configuration length", at: CONFIG_MAX });
    }
    match track.codec {
        Codec::H264 => h264_details(track),
        Codec::Hevc => hevc_details(track),
        Codec::Av1 => av1_details(track),
        Codec::Aac => aac_details(track),
        Codec::Opus => opus_details(track),
    }
}

/// Can a decoder start at this payload? `nal_len_size` is that of the configuration in force.
pub fn is_key(codec: Codec, payload: &[u8], nal_len_size: u8) -> bool {
    match codec {
        Codec::H264 => h264::is_idr(payload, nal_len_size),
        Codec::Hevc => hevc::is_irap(payload, nal_len_size),
        Codec::Av1 => av1::is_key(payload),
        Codec::Aac | Codec::Opus => true,
    }
}

/// The configuration record from this key frame on, when what its payload carries of one differs
/// from `config`, the one in force. H.264's is never looked for: encoders announce a change.
pub fn in_band(codec: Codec, config: &[u8], payload: &[u8]) -> Option<Bytes> {
    match codec {
        Codec::Hevc => hevc::in_band(config, payload),
        Codec::Av1 => av1::in_band(config, payload),
        Codec::H264 | Codec::Aac | Codec::Opus => None,
    }
}

/// Everything of a configuration that a key frame can carry in front of itself, in the form of a
/// payload.
///
/// # Errors
/// As [`details`].
pub fn key_prefix(track: &Track) -> Result<Vec<u8>, CodecError> {
    match track.codec {
        Codec::H264 => h264::parameter_sets(&track.config),
        Codec::Hevc => hevc::parameter_sets(&track.config),
        Codec::Av1 => Ok(av1::sequence_obu(&track.config)),
        Codec::Aac | Codec::Opus => Ok(Vec::new()),
    }
}

fn h264_details(track: &Track) -> Result<Details, CodecError> {
    let config = h264::AvcConfig::parse(&track.config)?;
    let sps = sps::parse(config.sps)?;
    let video = VideoDetails {
        width: sps.width,
        height: sps.height,
        sar: sps.sar,
        rate: sps.rate,
        fixed_rate: sps.fixed_rate,
        range: sps.range,
        nal_len_size: config.nal_len_size,
    };
    Ok(video_details(track, config.codec_string(), video))
}

fn hevc_details(track: &Track) -> Result<Details, CodecError> {
    let config = hevc::HevcConfig::parse(&track.config)?;
    let sps = config.sps()?;
    let video = VideoDetails {
        width: sps.width,
        height: sps.height,
        sar: sps.sar,
        rate: sps.rate,
        fixed_rate: false,
        range: sps.range,
        nal_len_size: config.nal_len_size,
    };
    Ok(video_details(track, hevc::codec_string(&sps), video))
}

fn av1_details(track: &Track) -> Result<Details, CodecError> {
    let config = av1::Av1Config::parse(&track.config)?;
    let missing = CodecError::Invalid { what: "av1C sequence header", at: track.config.len() };
    let sequence = config.sequence.ok_or(missing)?;
    let video = VideoDetails {
        width: sequence.width,
        height: sequence.height,
        sar: (1, 1),
        rate: sequence.rate,
        fixed_rate: sequence.rate.is_some(),
        range: sequence.range(),
        nal_len_size: 4,
    };
    Ok(video_details(track, av1::codec_string(&sequence), video))
}

fn video_details(track: &Track, codecs: String, video: VideoDetails) -> Details {
    let ticks = track.timescale;
    let whole = VIDEO_TIMESCALE.is_multiple_of(ticks.get());
    Details {
        codecs,
        mux_timescale: if whole { Timescale::new(VIDEO_TIMESCALE).unwrap_or(ticks) } else { ticks },
        rate: video.rate.or(track.rate),
        video: Some(video),
        audio: None,
    }
}

fn aac_details(track: &Track) -> Result<Details, CodecError> {
    let audio = aac::parse(&track.config)?;
    audio_details(format!("mp4a.40.{}", audio.object_type), audio)
}

fn opus_details(track: &Track) -> Result<Details, CodecError> {
    audio_details("opus".into(), opus::Head::parse(&track.config)?.details())
}

fn audio_details(codecs: String, audio: AudioDetails) -> Result<Details, CodecError> {
    let mux_timescale = Timescale::new(audio.sample_rate)
        .ok_or(CodecError::Invalid { what: "samplingFrequency", at: 0 })?;
    Ok(Details { codecs, mux_timescale, rate: None, video: None, audio: Some(audio) })
}

#[cfg(test)]
mod bit_writer;

#[cfg(test)]
#[path = "codec_test.rs"]
mod tests;

#[cfg(test)]
mod later_test;
