//! Bodies of audio and video tags, written: H.264 and AAC as they always were (Adobe FLV 10.1,
//! E.4.2 and E.4.3), what came later as Enhanced RTMP has it.

use crate::media::flv::body::{CODEC_AVC, EX_AUDIO, EX_VIDEO};
use crate::media::flv::fourcc;
use crate::media::track::Codec;
use bytes::{BufMut, Bytes, BytesMut};

/// Frame type of a keyframe.
const FRAME_KEY: u8 = 1;
/// Frame type of any other picture.
const FRAME_INTER: u8 = 2;
/// First byte of every AAC body: AAC, 44 kHz, 16 bit, stereo, whatever it really is (E.4.2.1).
const AAC_FLAGS: u8 = 0xaf;

/// Packet types of Enhanced RTMP.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const CODED_FRAMES_X: u8 = 3;

/// A video body with a configuration record.
pub fn video_config_body(codec: Codec, config: &[u8]) -> Bytes {
    match codec {
        Codec::H264 => join(&[FRAME_KEY << 4 | CODEC_AVC, 0, 0, 0, 0], &[], config),
        _ => ex_video(codec, FRAME_KEY, SEQUENCE_START, &[], config),
    }
}

/// A video body with an access unit. `cts` is in milliseconds and is cut to 24 bits; AV1 has none.
pub fn video_body(codec: Codec, key: bool, cts: i32, payload: &[u8]) -> Bytes {
    let frame = if key { FRAME_KEY } else { FRAME_INTER };
    let offset = &cts.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes()[1..];
    match codec {
        Codec::H264 => join(&[frame << 4 | CODEC_AVC, 1], offset, payload),
        Codec::Av1 => ex_video(codec, frame, CODED_FRAMES, &[], payload),
        _ if cts == 0 => ex_video(codec, frame, CODED_FRAMES_X, &[], payload),
        _ => ex_video(codec, frame, CODED_FRAMES, offset, payload),
    }
}

/// An audio body with a configuration record.
pub fn audio_config_body(codec: Codec, config: &[u8]) -> Bytes {
    match codec {
        Codec::Aac => join(&[AAC_FLAGS, 0], &[], config),
        _ => join(&[EX_AUDIO << 4 | SEQUENCE_START], fourcc::of(codec).as_bytes(), config),
    }
}

/// An audio body with a raw frame.
pub fn audio_body(codec: Codec, payload: &[u8]) -> Bytes {
    match codec {
        Codec::Aac => join(&[AAC_FLAGS, 1], &[], payload),
        _ => join(&[EX_AUDIO << 4 | CODED_FRAMES], fourcc::of(codec).as_bytes(), payload),
    }
}

fn ex_video(codec: Codec, frame: u8, kind: u8, offset: &[u8], rest: &[u8]) -> Bytes {
    let mut head = [0; 5];
    head[0] = EX_VIDEO | frame << 4 | kind;
    head[1..].copy_from_slice(fourcc::of(codec).as_bytes());
    join(&head, offset, rest)
}

fn join(head: &[u8], middle: &[u8], rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(head.len() + middle.len() + rest.len());
    out.put_slice(head);
    out.put_slice(middle);
    out.put_slice(rest);
    out.freeze()
}
