//! Bodies of Enhanced RTMP v2 ("Enhanced Audio", "Enhanced Video"): a FourCC in place of the codec
//! number, and packet types with a syntax of their own.
//!
//! Of a multitrack message track 0 is taken, which is the encoder's first choice; the body says
//! which others it had, so that somebody can be told. Modifiers (ModEx) are read past: the only one
//! that is defined moves a timestamp by less than a millisecond, and milliseconds are what the
//! tracks of an ingest count in. Colour information (Metadata) is in the bitstream too, where
//! decoders look for it.

use crate::media::codec::{av1, is_key};
use crate::media::flv::body::{AudioBody, VideoBody, need, si24};
use crate::media::flv::{FlvError, fourcc};
use crate::media::track::{Codec, Kind};
use bytes::Bytes;

/// Frame type of a command frame: no media, it tells a seek.
const FRAME_COMMAND: u8 = 5;

/// Packet types; 5 and 6 differ between audio and video.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MULTICHANNEL: u8 = 4;
const TS_SEQUENCE_START: u8 = 5;
const MULTITRACK_AUDIO: u8 = 5;
const MULTITRACK_VIDEO: u8 = 6;
const MOD_EX: u8 = 7;

/// Multitrack types.
const ONE_TRACK: u8 = 0;
const MANY_CODECS: u8 = 2;

/// The track that is taken.
const TRACK: u8 = 0;

/// Order of channels: a list of them, or a mask.
const ORDER_NATIVE: u8 = 1;
const ORDER_CUSTOM: u8 = 2;

/// What stands before the media of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    kind: u8,
    codec: Codec,
    /// Where the media is.
    from: usize,
    end: usize,
}

/// What a message's head leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Head(Head),
    /// Nothing of the track that is taken; the number of another.
    OtherTrack(u8),
}

/// Skips the modifiers that may stand before a packet type. Returns the packet type and the offset
/// after it. Every turn consumes bytes, so it ends.
fn packet_type(body: &[u8]) -> Result<(u8, usize), FlvError> {
    let what = "ModEx";
    let (mut kind, mut at) = (body[0] & 15, 1);
    while kind == MOD_EX {
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

/// The codec at `at`.
fn codec(body: &[u8], at: usize, wanted: Kind) -> Result<Codec, FlvError> {
    let what = if wanted == Kind::Video { "video FourCC" } else { "audio FourCC" };
    let name = &body[at..need(body, at, at + 4, what)?];
    let found = fourcc::codec(name).filter(|c| c.kind() == wanted);
    found.ok_or_else(|| FlvError::Unsupported { what: fourcc::describe(name) })
}

/// Reads on from a packet type: FourCC, or the tracks of a multitrack message.
fn head(body: &[u8], (kind, at): (u8, usize), wanted: Kind) -> Result<Found, FlvError> {
    let multitrack = if wanted == Kind::Video { MULTITRACK_VIDEO } else { MULTITRACK_AUDIO };
    if kind != multitrack {
        let codec = codec(body, at, wanted)?;
        return Ok(Found::Head(Head { kind, codec, from: at + 4, end: body.len() }));
    }
    let what = "multitrack header";
    let mut now = need(body, at, at + 1, what)?;
    let (form, kind) = (body[at] >> 4, body[at] & 15);
    if form > MANY_CODECS || kind == multitrack {
        return Err(FlvError::Invalid { what: "AvMultitrackType", at });
    }
    // One codec for all tracks, unless each has its own. That of another track may be any.
    let shared = now;
    if form != MANY_CODECS {
        now = need(body, now, now + 4, what)?;
    }
    let mut other = None;
    while now < body.len() {
        let mut named = shared;
        if form == MANY_CODECS {
            named = now;
            now = need(body, now, now + 4, what)?;
        }
        let number = body[need(body, now, now + 1, what)? - 1];
        now += 1;
        let mut end = body.len();
        if form != ONE_TRACK {
            let from = need(body, now, now + 3, what)?;
            let size = u32::from_be_bytes([0, body[now], body[now + 1], body[now + 2]]);
            end = need(body, from, from + size as usize, "a track")?;
            now = from;
        }
        if number == TRACK {
            let codec = codec(body, named, wanted)?;
            return Ok(Found::Head(Head { kind, codec, from: now, end }));
        }
        other.get_or_insert(number);
        now = end;
    }
    other.map(Found::OtherTrack).ok_or(FlvError::Truncated { what, at: now })
}

/// Reads a video body.
pub(super) fn video(body: &Bytes, nal_len_size: u8) -> Result<VideoBody, FlvError> {
    let frame = body[0] >> 4 & 7;
    let (kind, at) = packet_type(body)?;
    if kind == METADATA || frame == FRAME_COMMAND {
        return Ok(VideoBody::Info);
    }
    let h = match head(body, (kind, at), Kind::Video)? {
        Found::Head(h) => h,
        Found::OtherTrack(track) => return Ok(VideoBody::OtherTrack(track)),
    };
    let codec = h.codec;
    match h.kind {
        SEQUENCE_START | CODED_FRAMES | CODED_FRAMES_X if h.from == h.end => Ok(VideoBody::Empty),
        SEQUENCE_START => Ok(VideoBody::Config { codec, config: body.slice(h.from..h.end) }),
        // AV1 has no composition offset: pictures are sent in the order they are shown in.
        CODED_FRAMES if codec == Codec::Av1 => coded(body, h, 0, nal_len_size),
        CODED_FRAMES => {
            let from = need(&body[..h.end], h.from, h.from + 3, "composition time")?;
            coded(body, Head { from, ..h }, si24(&body[h.from..from]), nal_len_size)
        }
        CODED_FRAMES_X => coded(body, h, 0, nal_len_size),
        SEQUENCE_END => Ok(VideoBody::EndOfSequence),
        METADATA => Ok(VideoBody::Info),
        TS_SEQUENCE_START => {
            Err(FlvError::Unsupported { what: "An MPEG-2 TS descriptor in Enhanced RTMP".into() })
        }
        _ => Err(FlvError::Invalid { what: "VideoPacketType", at: at - 1 }),
    }
}

fn coded(body: &Bytes, h: Head, cts: i32, nal_len_size: u8) -> Result<VideoBody, FlvError> {
    let mut payload = body.slice(h.from..h.end);
    if h.codec == Codec::Av1 {
        payload = av1::without_delimiters(&payload);
    }
    if payload.is_empty() {
        return Ok(VideoBody::Empty);
    }
    let key = is_key(h.codec, &payload, nal_len_size);
    Ok(VideoBody::Coded { codec: h.codec, key, cts, payload })
}

/// Reads an audio body.
pub(super) fn audio(body: &Bytes) -> Result<AudioBody, FlvError> {
    let (kind, at) = packet_type(body)?;
    let h = match head(body, (kind, at), Kind::Audio)? {
        Found::Head(h) => h,
        Found::OtherTrack(track) => return Ok(AudioBody::OtherTrack(track)),
    };
    let (codec, rest) = (h.codec, body.slice(h.from..h.end));
    match h.kind {
        // Opus may begin without a header: mono or stereo, or as the channels say that follow.
        SEQUENCE_START if rest.is_empty() && codec != Codec::Opus => Ok(AudioBody::Empty),
        SEQUENCE_START => Ok(AudioBody::Config { codec, config: rest }),
        CODED_FRAMES if rest.is_empty() => Ok(AudioBody::Empty),
        CODED_FRAMES => Ok(AudioBody::Coded { codec, payload: rest }),
        SEQUENCE_END => Ok(AudioBody::Empty),
        MULTICHANNEL => Ok(AudioBody::Channels { codec, count: channels(&rest)? }),
        _ => Err(FlvError::Invalid { what: "AudioPacketType", at: at - 1 }),
    }
}

/// Reads a MultichannelConfig; how many channels there are.
fn channels(config: &[u8]) -> Result<u8, FlvError> {
    let what = "MultichannelConfig";
    need(config, 0, 2, what)?;
    let (order, count) = (config[0], config[1]);
    let more = match order {
        ORDER_CUSTOM => usize::from(count),
        ORDER_NATIVE => 4,
        _ => 0,
    };
    need(config, 2, 2 + more, what)?;
    Ok(count)
}
