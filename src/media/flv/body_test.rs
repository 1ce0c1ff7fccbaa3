//! Tag bodies: byte in, value out.

use crate::media::flv::FlvError;
use crate::media::flv::body::{AudioBody, VideoBody, audio, video};
use crate::media::flv::write::{audio_body, audio_config_body, video_body, video_config_body};
use crate::media::fuzz::seeded::hex;
use crate::media::track::Codec;
use bytes::Bytes;

fn coded(key: bool, cts: i32, payload: &str) -> Result<VideoBody, FlvError> {
    coded_of(Codec::H264, key, cts, payload)
}

fn coded_of(codec: Codec, key: bool, cts: i32, payload: &str) -> Result<VideoBody, FlvError> {
    Ok(VideoBody::Coded { codec, key, cts, payload: hex(payload).into() })
}

fn config_of(codec: Codec, config: &str) -> Result<VideoBody, FlvError> {
    Ok(VideoBody::Config { codec, config: hex(config).into() })
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
    let config = config_of(Codec::H264, "0142");
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
        ("E-RTMP metadata in a command", "d4 61766331 02", Ok(VideoBody::Info)),
        ("E-RTMP VP9", "90 76703039 01", unsupported("VP9 (Enhanced RTMP vp09)")),
        ("E-RTMP audio as video", "90 4f707573 01", unsupported("Opus (Enhanced RTMP Opus)")),
        ("E-RTMP unknown", "90 00ff4142", unsupported(r"Codec (Enhanced RTMP \x00\xffAB)")),
        ("E-RTMP TS", "95 61763031 80", {
            unsupported("An MPEG-2 TS descriptor in Enhanced RTMP")
        }),
        ("E-RTMP packet type", "98 61766331 80", {
            Err(FlvError::Invalid { what: "VideoPacketType", at: 0 })
        }),
        ("E-RTMP nanoseconds", "97 02 000001 03 61766331 0000000165", coded(true, 0, idr)),
        ("E-RTMP cut modifier", "97 02 0000", cut("ModEx", 2)),
        ("E-RTMP cut FourCC", "90 6176", cut("video FourCC", 1)),
    ] {
        assert_eq!(video(&hex(hex_body).into(), 4), want, "{name}");
    }
}

#[test]
fn video_bodies_of_later_codecs() {
    let (cra, trail) = ("00000003 2a01ac", "00000003 0201d0");
    // A sequence header of its own and a key frame; an inter frame.
    let (key, inter) = ("0a01ff 320110", "320130");
    for (name, hex_body, want) in [
        ("HEVC start", "90 68766331 0101", config_of(Codec::Hevc, "0101")),
        ("HEVC CRA", "91 68766331 000050 000000032a01ac", coded_of(Codec::Hevc, true, 80, cra)),
        ("HEVC X", "a3 68766331 000000030201d0", coded_of(Codec::Hevc, false, 0, trail)),
        ("HEVC cut offset", "91 68766331 0000", cut("composition time", 5)),
        ("AV1 start", "90 61763031 81000c00", config_of(Codec::Av1, "81000c00")),
        ("AV1 key", "91 61763031 1200 0a01ff 320110", coded_of(Codec::Av1, true, 0, key)),
        ("AV1 inter", "a1 61763031 1200 320130", coded_of(Codec::Av1, false, 0, inter)),
        ("AV1 X", "a3 61763031 320130", coded_of(Codec::Av1, false, 0, inter)),
        ("a delimiter alone", "a1 61763031 1200", Ok(VideoBody::Empty)),
        ("AV1 end", "92 61763031", Ok(VideoBody::EndOfSequence)),
    ] {
        assert_eq!(video(&hex(hex_body).into(), 4), want, "{name}");
    }
}

#[test]
fn of_several_tracks_the_first_is_taken() {
    let x = "a3 61763031 320130";
    let inter = || coded_of(Codec::Av1, false, 0, "320130");
    let invalid = Err(FlvError::Invalid { what: "AvMultitrackType", at: 1 });
    for (name, hex_body, want) in [
        ("none", x, inter()),
        ("one, the first", "a6 03 61763031 00 320130", inter()),
        ("one, another", "a6 03 76703039 02 00", Ok(VideoBody::OtherTrack(2))),
        ("many", "a6 13 61763031 01 000001 ff 00 000003 320130", inter()),
        ("many, the first first", "a6 13 61763031 00 000003 320130 01 000001 ff", inter()),
        ("many codecs", "a6 23 76703039 07 000001 ff 61763031 00 000003 320130", inter()),
        ("many others", "a6 13 61763031 01 000001 ff 02 000001 ff", Ok(VideoBody::OtherTrack(1))),
        ("after a modifier", "a7 02 000001 06 03 61763031 00 320130", inter()),
        ("no track", "a6 13 61763031", cut("multitrack header", 6)),
        ("cut track", "a6 13 61763031 00 000004 320130", cut("a track", 10)),
        ("no such form", "a6 33 61763031 00", invalid.clone()),
        ("in itself", "a6 06 61763031 00", invalid),
        ("no codec for it", "a6 03 76703039 00 00", unsupported("VP9 (Enhanced RTMP vp09)")),
    ] {
        assert_eq!(video(&hex(hex_body).into(), 4), want, "{name}");
    }
    let frame = Ok(AudioBody::Coded { codec: Codec::Opus, payload: hex("f8ff").into() });
    for (name, hex_body, want) in [
        ("the first", "95 01 4f707573 00 f8ff", frame.clone()),
        ("many", "95 11 4f707573 01 000001 00 00 000002 f8ff", frame),
        ("another", "95 01 6d703461 01 21", Ok(AudioBody::OtherTrack(1))),
    ] {
        assert_eq!(audio(&hex(hex_body).into()), want, "{name}");
    }
}

#[test]
fn audio_bodies() {
    let frame_of = |codec, s: &str| Ok(AudioBody::Coded { codec, payload: hex(s).into() });
    let config_of = |codec, s: &str| Ok(AudioBody::Config { codec, config: hex(s).into() });
    let channels = |count| Ok(AudioBody::Channels { codec: Codec::Opus, count });
    let frame = |s: &str| frame_of(Codec::Aac, s);
    for (name, hex_body, want) in [
        ("configuration", "af001210", config_of(Codec::Aac, "1210")),
        ("frame", "af0121", frame("21")),
        ("no byte", "", Ok(AudioBody::Empty)),
        ("no payload", "af01", Ok(AudioBody::Empty)),
        ("packet type", "af0200", Err(FlvError::Invalid { what: "AACPacketType", at: 1 })),
        ("MP3", "2fff", unsupported("MP3 audio")),
        ("Speex", "b6", unsupported("Speex audio")),
        ("E-RTMP start", "906d703461 1210", config_of(Codec::Aac, "1210")),
        ("E-RTMP start of nothing", "906d703461", Ok(AudioBody::Empty)),
        ("E-RTMP frame", "916d703461 21", frame("21")),
        ("E-RTMP end", "926d703461", Ok(AudioBody::Empty)),
        ("E-RTMP Opus", "904f707573 4f70", config_of(Codec::Opus, "4f70")),
        ("E-RTMP Opus, no header", "904f707573", config_of(Codec::Opus, "")),
        ("E-RTMP Opus frame", "914f707573 f8ff", frame_of(Codec::Opus, "f8ff")),
        ("E-RTMP channels", "944f707573 01 06 0000003f", channels(6)),
        ("E-RTMP channels in any order", "944f707573 02 03 000102", channels(3)),
        ("E-RTMP channels without order", "944f707573 00 02", channels(2)),
        ("E-RTMP cut channels", "944f707573 01 06 0000", cut("MultichannelConfig", 2)),
        ("E-RTMP nanoseconds", "9702000001 01 4f707573 f8ff", frame_of(Codec::Opus, "f8ff")),
        ("E-RTMP AC-3", "9061632d33", unsupported("AC-3 (Enhanced RTMP ac-3)")),
        ("E-RTMP cut", "91", cut("audio FourCC", 1)),
    ] {
        assert_eq!(audio(&hex(hex_body).into()), want, "{name}");
    }
}

#[test]
fn written_bodies_read_back() {
    for (codec, bytes) in
        [(Codec::H264, "0000000165"), (Codec::Hevc, "000000032601ac"), (Codec::Av1, "0a01ff320110")]
    {
        let payload: Bytes = hex(bytes).into();
        let config = Bytes::from_static(&[1, 2, 3]);
        let read = video(&video_config_body(codec, &config), 4);
        assert_eq!(read, Ok(VideoBody::Config { codec, config }));
        for cts in [0, 1, -1, 40, 0x7f_ffff, -0x80_0000] {
            let read = video(&video_body(codec, true, cts, &payload), 4);
            let cts = if codec == Codec::Av1 { 0 } else { cts };
            let want = VideoBody::Coded { codec, key: true, cts, payload: payload.clone() };
            assert_eq!(read, Ok(want), "{codec:?} {cts}");
        }
    }
    for codec in [Codec::Aac, Codec::Opus] {
        let config = Bytes::from_static(&[1, 2, 3]);
        let read = audio(&audio_config_body(codec, &config));
        assert_eq!(read, Ok(AudioBody::Config { codec, config: config.clone() }));
        let read = audio(&audio_body(codec, &config));
        assert_eq!(read, Ok(AudioBody::Coded { codec, payload: config }));
    }
}

#[test]
fn payloads_share_the_memory_of_the_body() {
    let body = video_body(Codec::H264, true, 0, &[0, 0, 0, 1, 0x65]);
    let Ok(VideoBody::Coded { payload, .. }) = video(&body, 4) else { panic!("an access unit") };
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
    let body = video_body(Codec::Av1, true, 0, &hex("1200 0a01ff320110"));
    let Ok(VideoBody::Coded { payload, .. }) = video(&body, 4) else { panic!("a temporal unit") };
    assert_eq!(payload.as_ptr(), body[7..].as_ptr(), "behind the delimiter");
}
