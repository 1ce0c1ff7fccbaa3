//! Bodies of audio and video tags (Adobe FLV 10.1, E.4.2 and E.4.3; Enhanced RTMP v2), read without
//! a copy and written for replays. No timestamps here: those are the tag's or the message's.

use crate::media::codec::h264;
use crate::media::flv::FlvError;
use bytes::{BufMut, Bytes, BytesMut};

/// Enhanced RTMP: the first byte of a video body has this bit.
const EX_VIDEO: u8 = 0x80;
/// Enhanced RTMP: the sound format that announces a FourCC.
const EX_AUDIO: u8 = 9;
/// Frame type of a command frame: no media, it tells a seek.
const FRAME_COMMAND: u8 = 5;
/// Frame type of a keyframe.
const FRAME_KEY: u8 = 1;
/// Frame type of any other picture.
const FRAME_INTER: u8 = 2;
/// CodecID of H.264.
const CODEC_AVC: u8 = 7;
/// SoundFormat of AAC.
const SOUND_AAC: u8 = 10;
/// First byte of every AAC body: AAC, 44 kHz, 16 bit, stereo, whatever it really is (E.4.2.1).
const AAC_FLAGS: u8 = 0xaf;
/// Enhanced RTMP packet types with their own syntax.
const EX_MULTITRACK_VIDEO: u8 = 6;
const EX_MULTITRACK_AUDIO: u8 = 5;
const EX_MOD: u8 = 7;

/// What a video body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoBody {
    /// An AVCDecoderConfigurationRecord; not validated, see [`h264::AvcConfig::parse`].
    Config(Bytes),
    /// An access unit.
    Coded {
        /// True for an IDR picture, by its NAL units alone: encoders flag recovery-point I pictures
        /// as keyframes, and a decoder cannot start at those.
        key: bool,
        /// Composition offset in milliseconds.
        cts: i32,
        /// Length-prefixed NAL units.
        payload: Bytes,
    },
    /// No picture follows with the current configuration.
    EndOfSequence,
    /// A command frame or metadata.
    Info,
    /// Nothing at all; some encoders send it as a sign of life.
    Empty,
}

/// What an audio body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioBody {
    /// An AudioSpecificConfig; not validated, see [`crate::media::codec::aac::parse`].
    Config(Bytes),
    /// A raw AAC frame.
    Coded(Bytes),
    /// Nothing, or a packet that carries no media.
    Empty,
}

/// Reads a video body. `nal_len_size` is that of the configuration in force (4 before the first).
///
/// # Errors
/// [`FlvError::Unsupported`] names every codec but H.264; else the byte that is wrong or missing.
pub fn video(body: &Bytes, nal_len_size: u8) -> Result<VideoBody, FlvError> {
    let Some(&first) = body.first() else { return Ok(VideoBody::Empty) };
    let frame = first >> 4 & 7;
    if first & EX_VIDEO != 0 {
        return ex_video(body, frame, nal_len_size);
    }
    if frame == FRAME_COMMAND {
        return Ok(VideoBody::Info);
    }
    if first & 15 != CODEC_AVC {
        return Err(FlvError::Unsupported { what: video_codec(first & 15) });
    }
    if body.len() == 1 {
        return Ok(VideoBody::Empty);
    }
    match body[1] {
        0 => {
            need(body, 1, 5, "AVC packet header")?;
            Ok(if body.len() == 5 { VideoBody::Empty } else { VideoBody::Config(body.slice(5..)) })
        }
        1 => coded(body, 2, true, nal_len_size),
        2 => Ok(VideoBody::EndOfSequence),
        _ => Err(FlvError::Invalid { what: "AVCPacketType", at: 1 }),
    }
}

/// Reads an audio body.
///
/// # Errors
/// [`FlvError::Unsupported`] names every codec but AAC; else the byte that is wrong or missing.
pub fn audio(body: &Bytes) -> Result<AudioBody, FlvError> {
    let Some(&first) = body.first() else { return Ok(AudioBody::Empty) };
    match first >> 4 {
        EX_AUDIO => ex_audio(body),
        SOUND_AAC if body.len() <= 2 => Ok(AudioBody::Empty),
        SOUND_AAC => match body[1] {
            0 => Ok(AudioBody::Config(body.slice(2..))),
            1 => Ok(AudioBody::Coded(body.slice(2..))),
            _ => Err(FlvError::Invalid { what: "AACPacketType", at: 1 }),
        },
        format => Err(FlvError::Unsupported { what: sound_format(format) }),
    }
}

/// The access unit from `at` on; a composition offset stands before it unless it is zero by type.
fn coded(body: &Bytes, at: usize, offset: bool, nal_len: u8) -> Result<VideoBody, FlvError> {
    let (mut cts, mut from) = (0, at);
    if offset {
        from = need(body, at, at + 3, "composition time")?;
        // SI24: shifted up and down again to carry the sign.
        cts = i32::from_be_bytes([body[at], body[at + 1], body[at + 2], 0]) >> 8;
    }
    if body.len() == from {
        return Ok(VideoBody::Empty);
    }
    let payload = body.slice(from..);
    Ok(VideoBody::Coded { key: h264::is_idr(&payload, nal_len), cts, payload })
}

/// Checks that the field of bytes `at..end` is there; returns `end`.
fn need(body: &[u8], at: usize, end: usize, what: &'static str) -> Result<usize, FlvError> {
    if body.len() < end { Err(FlvError::Truncated { what, at }) } else { Ok(end) }
}

/// Skips the modifiers that may stand before a packet type (Enhanced RTMP v2, ModEx). Returns the
/// packet type and the offset after it. Every turn consumes bytes, so it ends.
fn ex_packet_type(body: &[u8]) -> Result<(u8, usize), FlvError> {
    let what = "ModEx";
    let (mut kind, mut at) = (body[0] & 15, 1);
    while kind == EX_MOD {
        let mut size = usize::from(body[need(body, at, at + 1, what)? - 1]) + 1;
        at += 1;
        if size == 256 {
            need(body, at, at + 2, what)?;
            size = usize::from(u16::from_be_bytes([body[at], body[at + 1]])) + 1;
            at += 2;
        }
        at = need(body, at, at + size + 1, what)?;
        kind = body[at - 1] & 15;
    }
    Ok((kind, at))
}

fn ex_video(body: &Bytes, frame: u8, nal_len: u8) -> Result<VideoBody, FlvError> {
    const METADATA: u8 = 4;
    let (kind, at) = ex_packet_type(body)?;
    if kind == METADATA || frame == FRAME_COMMAND {
        return Ok(VideoBody::Info);
    }
    if kind == EX_MULTITRACK_VIDEO {
        return Err(FlvError::Unsupported { what: "Enhanced RTMP multitrack video".into() });
    }
    let from = need(body, at, at + 4, "video FourCC")?;
    let fourcc = &body[at..from];
    if fourcc != b"avc1" {
        return Err(FlvError::Unsupported { what: ex_codec(fourcc) });
    }
    match kind {
        0 if body.len() == from => Ok(VideoBody::Empty),
        0 => Ok(VideoBody::Config(body.slice(from..))),
        1 => coded(body, from, true, nal_len),
        2 => Ok(VideoBody::EndOfSequence),
        3 => coded(body, from, false, nal_len),
        _ => Err(FlvError::Invalid { what: "VideoPacketType", at: at - 1 }),
    }
}

fn ex_audio(body: &Bytes) -> Result<AudioBody, FlvError> {
    let (kind, at) = ex_packet_type(body)?;
    if kind == EX_MULTITRACK_AUDIO {
        return Err(FlvError::Unsupported { what: "Enhanced RTMP multitrack audio".into() });
    }
    let from = need(body, at, at + 4, "audio FourCC")?;
    let fourcc = &body[at..from];
    if fourcc != b"mp4a" {
        return Err(FlvError::Unsupported { what: ex_codec(fourcc) });
    }
    match kind {
        0 | 1 if body.len() == from => Ok(AudioBody::Empty),
        0 => Ok(AudioBody::Config(body.slice(from..))),
        1 => Ok(AudioBody::Coded(body.slice(from..))),
        // The end of a sequence, and the channel layout, which the configuration has as well.
        2 | 4 => Ok(AudioBody::Empty),
        _ => Err(FlvError::Invalid { what: "AudioPacketType", at: at - 1 }),
    }
}

/// A codec of Enhanced RTMP for people: `HEVC (Enhanced RTMP hvc1)`.
fn ex_codec(fourcc: &[u8]) -> String {
    let name = match fourcc {
        b"hvc1" => "HEVC",
        b"vvc1" => "VVC",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"Opus" => "Opus",
        b"fLaC" => "FLAC",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b".mp3" => "MP3",
        _ => "Codec",
    };
    format!("{name} (Enhanced RTMP {})", fourcc.escape_ascii())
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

/// A video body with a configuration record.
pub fn video_config_body(avcc: &[u8]) -> Bytes {
    join(&[FRAME_KEY << 4 | CODEC_AVC, 0, 0, 0, 0], avcc)
}

/// A video body with an access unit. `cts` is in milliseconds and is cut to 24 bits.
pub fn video_body(key: bool, cts: i32, payload: &[u8]) -> Bytes {
    let frame = if key { FRAME_KEY } else { FRAME_INTER };
    let [_, a, b, c] = cts.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    join(&[frame << 4 | CODEC_AVC, 1, a, b, c], payload)
}

/// An audio body with an AudioSpecificConfig.
pub fn audio_config_body(asc: &[u8]) -> Bytes {
    join(&[AAC_FLAGS, 0], asc)
}

/// An audio body with a raw AAC frame.
pub fn audio_body(payload: &[u8]) -> Bytes {
    join(&[AAC_FLAGS, 1], payload)
}

fn join(head: &[u8], rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(head.len() + rest.len());
    out.put_slice(head);
    out.put_slice(rest);
    out.freeze()
}

#[cfg(test)]
#[path = "body_test.rs"]
mod tests;
