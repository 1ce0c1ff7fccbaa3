//! Tag bodies: byte in, value out.

use crate::media::flv::FlvError;
use crate::media::flv::body::{
    AudioBody, VideoBody, audio, audio_body, audio_config_body, video, video_body,
    video_config_body,
};
use crate::media::fuzz::seeded::hex;
use bytes::Bytes;

fn coded(key: bool, cts: i32, payload: &str) -> Result<VideoBody, FlvError> {
    Ok(VideoBody::Coded { key, cts, payload: hex(payload).into() })
}

fn unsupported<T>(what: &str) -> Result<T, FlvError> {
    Err(FlvError::Unsupported { what: what.into() })
}

fn cut<T>(what: &'static str, at: usize) -> Result<T, FlvError> {
    Err(FlvError::Truncated { what, at })
}

#[test]
fn video_bodies() {
    let idr = "0000000165";
    let config = Ok(VideoBody::Config(hex("0142").into()));
    for (name, hex_body, want) in [
        ("configuration", "1700000000 0142", config.clone()),
        ("IDR", "1701000000 0000000165", coded(true, 0, idr)),
        ("a keyframe flag without an IDR", "1701000000 0000000141", coded(false, 0, "0000000141")),
        ("an IDR without the flag", "2701000000 0000000165", coded(true, 0, idr)),
        ("positive offset", "2701000050 0000000141", coded(false, 80, "0000000141")),
        ("negative offset", "27 01 ffffd8 0000000141", coded(false, -40, "0000000141")),
        ("most negative offset", "2701800000 0000000141", coded(false, -8_388_608, "0000000141")),
        ("end of sequence", "1702000000", Ok(VideoBody::EndOfSequence)),
        ("end of sequence, short", "1702", Ok(VideoBody::EndOfSequence)),
        ("command frame", "5700", Ok(VideoBody::Info)),
        ("no byte", "", Ok(VideoBody::Empty)),
        ("no payload", "2701000000", Ok(VideoBody::Empty)),
        ("cut offset", "27010000", cut("composition time", 2)),
        ("cut header", "170000", cut("AVC packet header", 1)),
        ("packet type", "1703000000", Err(FlvError::Invalid { what: "AVCPacketType", at: 1 })),
        ("Sorenson", "22000000", unsupported("Sorenson H.263 video")),
        ("HEVC before Enhanced RTMP", "1c0000", unsupported("HEVC (CodecID 12)")),
        ("E-RTMP start", "90 61766331 0142", config),
        ("E-RTMP frames", "91 61766331 ffffff 0000000165", coded(true, -1, idr)),
        ("E-RTMP frames X", "a3 61766331 0000000165", coded(true, 0, idr)),
        ("E-RTMP end", "92 61766331", Ok(VideoBody::EndOfSequence)),
        ("E-RTMP metadata", "94 61766331 02", Ok(VideoBody::Info)),
        ("E-RTMP command", "d0 00", Ok(VideoBody::Info)),
        ("E-RTMP HEVC", "90 68766331 01", unsupported("HEVC (Enhanced RTMP hvc1)")),
        ("E-RTMP unknown", "90 00ff4142", unsupported(r"Codec (Enhanced RTMP \x00\xffAB)")),
        ("E-RTMP multitrack", "96 00 61766331", unsupported("Enhanced RTMP multitrack video")),
        ("E-RTMP nanoseconds", "97 02 000001 03 61766331 0000000165", coded(true, 0, idr)),
        ("E-RTMP cut modifier", "97 02 0000", cut("ModEx", 2)),
        ("E-RTMP cut FourCC", "90 6176", cut("video FourCC", 1)),
    ] {
        assert_eq!(video(&hex(hex_body).into(), 4), want, "{name}");
    }
}

#[test]
fn audio_bodies() {
    let frame = |s: &str| Ok(AudioBody::Coded(hex(s).into()));
    for (name, hex_body, want) in [
        ("configuration", "af001210", Ok(AudioBody::Config(hex("1210").into()))),
        ("frame", "af0121", frame("21")),
        ("no byte", "", Ok(AudioBody::Empty)),
        ("no payload", "af01", Ok(AudioBody::Empty)),
        ("packet type", "af0200", Err(FlvError::Invalid { what: "AACPacketType", at: 1 })),
        ("MP3", "2fff", unsupported("MP3 audio")),
        ("Speex", "b6", unsupported("Speex audio")),
        ("E-RTMP start", "906d703461 1210", Ok(AudioBody::Config(hex("1210").into()))),
        ("E-RTMP frame", "916d703461 21", frame("21")),
        ("E-RTMP end", "926d703461", Ok(AudioBody::Empty)),
        ("E-RTMP Opus", "904f707573", unsupported("Opus (Enhanced RTMP Opus)")),
        ("E-RTMP multitrack", "9500", unsupported("Enhanced RTMP multitrack audio")),
        ("E-RTMP cut", "91", cut("audio FourCC", 1)),
    ] {
        assert_eq!(audio(&hex(hex_body).into()), want, "{name}");
    }
}

#[test]
fn written_bodies_read_back() {
    let payload = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
    for cts in [0, 1, -1, 40, 0x7f_ffff, -0x80_0000] {
        let want = VideoBody::Coded { key: true, cts, payload: payload.clone() };
        assert_eq!(video(&video_body(true, cts, &payload), 4), Ok(want));
    }
    let config = Bytes::from_static(&[1, 2, 3]);
    assert_eq!(video(&video_config_body(&config), 4), Ok(VideoBody::Config(config.clone())));
    assert_eq!(audio(&audio_config_body(&config)), Ok(AudioBody::Config(config.clone())));
    assert_eq!(audio(&audio_body(&config)), Ok(AudioBody::Coded(config)));
}

#[test]
fn payloads_share_the_memory_of_the_body() {
    let body = video_body(true, 0, &[0, 0, 0, 1, 0x65]);
    let Ok(VideoBody::Coded { payload, .. }) = video(&body, 4) else { panic!("an access unit") };
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
}
