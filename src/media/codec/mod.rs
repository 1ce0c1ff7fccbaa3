//! What a track's configuration record says: codec string, picture size and rate, sample rate and
//! channels. Reads parameter sets and audio configurations; decodes no media.
//!
//! Invariant: any bytes may come in; the answer is a value or a [`CodecError`], never a panic, and
//! memory stays within a small multiple of [`CONFIG_MAX`].

pub mod aac;
mod bits;
pub mod h264;
pub mod sps;

use crate::base::time::{MICROS, Timescale};
use crate::media::track::{Codec, FrameRate, Track};

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
    /// Codec string of RFC 6381, as CODECS and MSE want it: `avc1.64001f`, `mp4a.40.2`.
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

/// Pictures, from the sequence parameter set.
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
    /// Size of the NAL length field in payloads: 1, 2 or 4 bytes.
    pub nal_len_size: u8,
}

/// Sound, from the AudioSpecificConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioDetails {
    /// Sample rate of the core coder in Hz: `frame_samples / sample_rate` is a frame's duration.
    pub sample_rate: u32,
    /// Sample rate after spectral band replication in Hz; equals `sample_rate` without it.
    pub output_rate: u32,
    /// Channels that come out of the decoder; parametric stereo makes two of one.
    pub channels: u8,
    /// Samples in a frame at the core rate: 1024, or 960 when frameLengthFlag is set. An HE-AAC
    /// decoder puts out twice as many at twice the rate; the duration is the same.
    pub frame_samples: u32,
    /// The object type of the codec string: 2 AAC-LC, 5 HE-AAC, 29 HE-AAC v2.
    pub object_type: u8,
}

impl Details {
    /// One frame's nominal duration in microseconds, rounded to the nearest: of the audio frame, or
    /// of a picture at the declared rate, else at `default_rate`.
    pub fn frame_micros(&self, default_rate: FrameRate) -> i64 {
        match self.audio {
            Some(a) => {
                let (n, rate) = (i64::from(a.frame_samples), i64::from(a.sample_rate.max(1)));
                (2 * MICROS * n + rate) / (2 * rate)
            }
            None => self.rate.unwrap_or(default_rate).frame_micros(),
        }
    }

    /// Duration of every frame in ticks of [`Details::mux_timescale`]; `None` for video.
    pub fn frame_ticks(&self) -> Option<u32> {
        self.audio.map(|a| a.frame_samples)
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
        Codec::Aac => aac_details(track),
    }
}

fn h264_details(track: &Track) -> Result<Details, CodecError> {
    let config = h264::AvcConfig::parse(&track.config)?;
    let sps = sps::parse(config.sps)?;
    let ticks = track.timescale;
    let whole = VIDEO_TIMESCALE.is_multiple_of(ticks.get());
    Ok(Details {
        codecs: config.codec_string(),
        mux_timescale: if whole { Timescale::new(VIDEO_TIMESCALE).unwrap_or(ticks) } else { ticks },
        rate: sps.rate.or(track.rate),
        video: Some(VideoDetails {
            width: sps.width,
            height: sps.height,
            sar: sps.sar,
            rate: sps.rate,
            fixed_rate: sps.fixed_rate,
            nal_len_size: config.nal_len_size,
        }),
        audio: None,
    })
}

fn aac_details(track: &Track) -> Result<Details, CodecError> {
    let audio = aac::parse(&track.config)?;
    let timescale = Timescale::new(audio.sample_rate)
        .ok_or(CodecError::Invalid { what: "samplingFrequency", at: 0 })?;
    Ok(Details {
        codecs: format!("mp4a.40.{}", audio.object_type),
        mux_timescale: timescale,
        rate: None,
        video: None,
        audio: Some(audio),
    })
}

#[cfg(test)]
#[path = "codec_test.rs"]
mod tests;
