//! Bodies of audio and video tags (Adobe FLV 10.1, E.4.2 and E.4.3; Enhanced RTMP v2), read without
//! a copy. No timestamps here: those are the tag's or the message's. `write` has them for replays.

use crate::media::codec::h264;
use crate::media::flv::{FlvError, enhanced};
use crate::media::track::Codec;
use bytes::Bytes;

/// Enhanced RTMP: the first byte of a video body has this bit.
pub(super) const EX_VIDEO: u8 = 0x80;
/// Enhanced RTMP: the sound format that announces a FourCC.
pub(super) const EX_AUDIO: u8 = 9;
/// Frame type of a command frame: no media, it tells a seek.
const FRAME_COMMAND: u8 = 5;
/// CodecID of H.264.
pub(super) const CODEC_AVC: u8 = 7;
/// SoundFormat of AAC.
const SOUND_AAC: u8 = 10;

/// What a video body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoBody {
    /// A configuration record.
    Config {
        /// Of what; the record is not validated, see [`crate::media::codec::details`].
        codec: Codec,
        /// The record; not empty.
        config: Bytes,
    },
    /// An access unit.
    Coded {
        /// What it is.
        codec: Codec,
        /// True when a decoder can start here, by the bitstream alone: encoders flag
        /// recovery-point I pictures of H.264 as keyframes, and a decoder cannot start at those.
        key: bool,
        /// Composition offset in milliseconds.
        cts: i32,
        /// As [`crate::media::packet::Packet`] has it.
        payload: Bytes,
    },
    /// No picture follows with the current configuration.
    EndOfSequence,
    /// A command frame or metadata.
    Info,
    /// Nothing at all; some encoders send it as a sign of life.
    Empty,
    /// Of a multitrack publish, and nothing of its first track; the number of another.
    OtherTrack(u8),
}

/// What an audio body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioBody {
    /// A configuration record.
    Config {
        /// Of what; the record is not validated, see [`crate::media::codec::details`].
        codec: Codec,
        /// The record; Opus alone may leave it empty.
        config: Bytes,
    },
    /// A raw frame.
    Coded {
        /// What it is.
        codec: Codec,
        /// The frame; not empty.
        payload: Bytes,
    },
    /// How many channels there are, for a codec whose configuration does not say it.
    Channels {
        /// The codec.
        codec: Codec,
        /// Channels.
        count: u8,
    },
    /// Nothing, or a packet that carries no media.
    Empty,
    /// Of a multitrack publish, and nothing of its first track; the number of another.
    OtherTrack(u8),
}

/// Reads a video body. `nal_len_size` is that of the configuration in force (4 before the first).
///
/// # Errors
/// [`FlvError::Unsupported`] names codecs that castctl does not carry; else the byte that is wrong
/// or missing.
pub fn video(body: &Bytes, nal_len_size: u8) -> Result<VideoBody, FlvError> {
    let Some(&first) = body.first() else { return Ok(VideoBody::Empty) };
    if first & EX_VIDEO != 0 {
        return enhanced::video(body, nal_len_size);
    }
    if first >> 4 == FRAME_COMMAND {
        return Ok(VideoBody::Info);
    }
    if first & 15 != CODEC_AVC {
        return Err(FlvError::Unsupported { what: video_codec(first & 15) });
    }
    if body.len() == 1 {
        return Ok(VideoBody::Empty);
    }
    let codec = Codec::H264;
    match body[1] {
        0 => {
            need(body, 1, 5, "AVC packet header")?;
            match body.len() {
                5 => Ok(VideoBody::Empty),
                _ => Ok(VideoBody::Config { codec, config: body.slice(5..) }),
            }
        }
        1 => {
            let cts = si24(&body[2..need(body, 2, 5, "composition time")?]);
            if body.len() == 5 {
                return Ok(VideoBody::Empty);
            }
            let payload = body.slice(5..);
            let key = h264::is_idr(&payload, nal_len_size);
            Ok(VideoBody::Coded { codec, key, cts, payload })
        }
        2 => Ok(VideoBody::EndOfSequence),
        _ => Err(FlvError::Invalid { what: "AVCPacketType", at: 1 }),
    }
}

/// Reads an audio body.
///
/// # Errors
/// [`FlvError::Unsupported`] names codecs that castctl does not carry; else the byte that is wrong
/// or missing.
pub fn audio(body: &Bytes) -> Result<AudioBody, FlvError> {
    let Some(&first) = body.first() else { return Ok(AudioBody::Empty) };
    let codec = Codec::Aac;
    match first >> 4 {
        EX_AUDIO => enhanced::audio(body),
        SOUND_AAC if body.len() <= 2 => Ok(AudioBody::Empty),
        SOUND_AAC => match body[1] {
            0 => Ok(AudioBody::Config { codec, config: body.slice(2..) }),
            1 => Ok(AudioBody::Coded { codec, payload: body.slice(2..) }),
            _ => Err(FlvError::Invalid { what: "AACPacketType", at: 1 }),
        },
        format => Err(FlvError::Unsupported { what: sound_format(format) }),
    }
}

/// Three bytes as a signed number: shifted up and down again to carry the sign.
pub(super) fn si24(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8
}

/// Checks that the field of bytes `at..end` is there; returns `end`.
pub(super) fn need(
    body: &[u8],
    at: usize,
    end: usize,
    what: &'static str,
) -> Result<usize, FlvError> {
    if body.len() < end { Err(FlvError::Truncated { what, at }) } else { Ok(end) }
}

/// CodecID of a video body (E.4.3.1), and the numbers some encoders took before Enhanced RTMP.
fn video_codec(id: u8) -> String {
    match id {
        2 => "Sorenson H.263 video".into(),
        3 => "Screen video".into(),
        4 => "On2 VP6 video".into(),
        5 => "On2 VP6 video with alpha".into(),
        6 => "Screen video 2".into(),
        12 => "HEVC (CodecID 12)".into(),
        13 => "AV1 (CodecID 13)".into(),
        _ => format!("Video of CodecID {id}"),
    }
}

/// SoundFormat of an audio body (E.4.2.1).
fn sound_format(id: u8) -> String {
    match id {
        0 | 3 => "PCM audio".into(),
        1 => "ADPCM audio".into(),
        2 | 14 => "MP3 audio".into(),
        4..=6 => "Nellymoser audio".into(),
        7 => "G.711 A-law audio".into(),
        8 => "G.711 mu-law audio".into(),
        11 => "Speex audio".into(),
        13 => "Opus (SoundFormat 13)".into(),
        _ => format!("Audio of SoundFormat {id}"),
    }
}

#[cfg(test)]
#[path = "body_test.rs"]
mod tests;
