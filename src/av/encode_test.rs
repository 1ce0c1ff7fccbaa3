//! Real pictures through decoders, scaler and encoders.

use crate::av::clips_test::{MP4, ffmpeg, lane, pictures, settings};
use crate::av::decode::VideoDecoder;
use crate::av::demux::Item;
use crate::av::encode::{VideoEncoder, VideoSettings};
use crate::av::error::CoderError;
use crate::av::scale::Scaler;
use crate::media::codec::{VideoRange, details};
use crate::media::packet::Packet;
use crate::media::track::{Codec, Kind, Track};
use std::path::Path;

/// Everything that an encoder gives for pictures, with a key frame at these.
fn encode(
    settings: &VideoSettings,
    pictures: &[crate::av::decode::Picture],
    keys: &[usize],
) -> (Vec<Track>, Vec<Packet>) {
    let mut encoder = VideoEncoder::new(settings.clone()).expect("an encoder");
    let mut scaler = Scaler::new(settings.width, settings.height);
    for (n, picture) in pictures.iter().enumerate() {
        let scaled = scaler.scale(picture).expect("scaled");
        encoder.send(scaled, keys.contains(&n)).expect("encoded");
    }
    encoder.finish().expect("encoded");
    let (mut tracks, mut packets) = (Vec::new(), Vec::new());
    while let Some(item) = encoder.receive() {
        match item {
            Item::Track(t) => tracks.push(t),
            Item::Packet(p) => packets.push(p),
        }
    }
    (tracks, packets)
}

#[test]
fn every_codec_makes_the_key_frames_it_is_asked_for_and_no_others() {
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    // From beyond eight hours on, in the track's own ticks.
    let late = 8 * 3_600 * 12_800 + 7;
    let packets: Vec<Packet> =
        packets.into_iter().take(60).map(|p| Packet { dts: p.dts + late, ..p }).collect();
    let source = pictures(&track, &packets);
    assert_eq!(source.len(), 60);
    for (codec, codecs) in [
        (Codec::H264, "avc1.640015"),
        (Codec::Hevc, "hvc1.1.6.L63."),
        (Codec::Av1, "av01.0.01M.08"),
    ] {
        let keys = [0, 13, 14, 40];
        let (tracks, packets) = encode(&settings(codec), &source, &keys);
        let [made] = &tracks[..] else { panic!("{codec:?}: {} configurations", tracks.len()) };
        let said = details(made).expect("a record");
        assert!(said.codecs.starts_with(codecs), "{} for {codecs}", said.codecs);
        let video = said.video.expect("video");
        assert_eq!((video.width, video.height), (426, 240), "{codec:?}");
        let got: Vec<usize> = (0..packets.len()).filter(|n| packets[*n].key).collect();
        assert_eq!(got, keys, "{codec:?}");
        let times = |p: &Packet| (p.pts(), p.cts);
        let got: Vec<(i64, i32)> = packets.iter().map(times).collect();
        let want: Vec<(i64, i32)> = source.iter().map(|p| (p.pts(), 0)).collect();
        assert_eq!(got, want, "{codec:?}: every picture at its own time, none re-ordered");
        // What was made can be decoded, also from a key frame in the middle on.
        assert_eq!(pictures(made, &packets).len(), 60, "{codec:?}");
        let again = pictures(made, &packets[14..]);
        assert_eq!((again.len(), again[0].pts()), (46, source[14].pts()), "{codec:?}");
        assert_eq!((again[0].width(), again[0].height()), (426, 240));
    }
}

#[test]
fn profiles_and_levels_are_those_of_the_settings() {
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let source = pictures(&track, &packets[..3]);
    for (codec, profile, level, codecs) in [
        (Codec::H264, "baseline", 31, "avc1.42c01f"),
        (Codec::H264, "main", 40, "avc1.4d4028"),
        (Codec::H264, "high", 31, "avc1.64001f"),
        (Codec::Hevc, "main", 31, "hvc1.1.6.L93."),
        (Codec::Av1, "main", 31, "av01.0.05M.08"),
    ] {
        let s = VideoSettings { profile: profile.into(), level, ..settings(codec) };
        let (tracks, _) = encode(&s, &source, &[]);
        let said = details(&tracks[0]).expect("a record").codecs;
        assert!(said.starts_with(codecs), "{codec:?} {profile}: {said} for {codecs}");
    }
}

#[test]
fn reordered_pictures_of_ten_bits_come_out_in_order_and_keep_their_colours() {
    let dir = tempfile::tempdir().expect("a directory");
    let input = "-f lavfi -i testsrc2=size=322x178:rate=30 -t 2";
    let colours = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc";
    for (name, words, range) in [
        ("a.mp4", "-c:v libx264 -bf 3 -g 30 -pix_fmt yuv420p".to_owned(), VideoRange::Sdr),
        (
            "b.mp4",
            format!("-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le {colours}"),
            VideoRange::Pq,
        ),
        ("c.mp4", "-c:v libaom-av1 -cpu-used 8 -g 30 -pix_fmt yuv420p".to_owned(), VideoRange::Sdr),
        ("d.mp4", "-c:v libx264 -bf 2 -pix_fmt yuvj422p".to_owned(), VideoRange::Sdr),
    ] {
        let path = ffmpeg(dir.path(), name, &format!("{input} {words}"));
        let (track, packets) = lane(&path, Kind::Video);
        let mut want: Vec<i64> = packets.iter().map(Packet::pts).collect();
        want.sort_unstable();
        let source = pictures(&track, &packets);
        let got: Vec<i64> = source.iter().map(crate::av::decode::Picture::pts).collect();
        assert_eq!(got, want, "{name}");
        let s = VideoSettings { width: 160, height: 88, ..settings(Codec::H264) };
        let (tracks, made) = encode(&s, &source, &[]);
        let said = details(&tracks[0]).expect("a record").video.expect("video");
        assert_eq!((said.width, said.height, said.range), (160, 88, range), "{name}");
        assert_eq!(made.len(), want.len(), "{name}");
    }
}

#[test]
fn a_broken_packet_is_its_own_error() {
    let (track, mut packets) = lane(Path::new(MP4), Kind::Video);
    packets[5].payload = vec![0xff; 300].into();
    packets[9].payload = bytes::Bytes::new();
    let mut decoder = VideoDecoder::open(&track).expect("a decoder");
    let (mut bad, mut good) = (0, 0);
    for p in &packets[..50] {
        bad += u32::from(decoder.send(p).is_err());
        while let Ok(Some(_)) = decoder.receive() {
            good += 1;
        }
    }
    assert_eq!(bad, 2);
    assert!(good >= 47, "{good} pictures");
}

#[test]
fn colours_and_a_step_back_open_the_encoder_anew_at_a_key_frame() {
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let mut source = pictures(&track, &packets[..20]);
    source[10].sar = Some((4, 3));
    (11..20).for_each(|n| source[n].sar = Some((4, 3)));
    let (tracks, made) = encode(&settings(Codec::H264), &source, &[12]);
    let keys: Vec<usize> = (0..made.len()).filter(|n| made[*n].key).collect();
    assert_eq!(keys, [0, 12], "not before a key frame was asked for");
    let sars: Vec<_> =
        tracks.iter().map(|t| details(t).expect("a record").video.expect("video").sar).collect();
    assert_eq!(sars, [(1, 1), (4, 3)]);
    let mut twice = pictures(&track, &packets[..5]);
    twice.extend(pictures(&track, &packets[..5]));
    let (tracks, made) = encode(&settings(Codec::H264), &twice, &[]);
    let keys: Vec<usize> = (0..made.len()).filter(|n| made[*n].key).collect();
    assert_eq!((tracks.len(), keys), (1, vec![0, 5]), "the same configuration is told once");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let (track, _) = lane(Path::new(MP4), Kind::Video);
    let damaged = Track { config: track.config.slice(..5), ..track.clone() };
    assert!(matches!(VideoDecoder::open(&damaged), Err(CoderError::Configuration { .. })));
    let (sound, _) = lane(Path::new(MP4), Kind::Audio);
    assert!(matches!(VideoDecoder::open(&sound), Err(CoderError::Configuration { .. })));
    let none = VideoEncoder::new(settings(Codec::Aac)).expect_err("no encoder of pictures");
    assert!(matches!(none, CoderError::Missing { .. }), "{none}");
    let odd = VideoSettings { preset: "never-heard-of".into(), ..settings(Codec::H264) };
    let source = pictures(&track, &[]);
    assert!(source.is_empty());
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let mut encoder = VideoEncoder::new(odd).expect("the library has it");
    let picture = pictures(&track, &packets[..2]).remove(0);
    let scaled = Scaler::new(426, 240).scale(&picture).expect("scaled");
    assert!(matches!(encoder.send(scaled, false), Err(CoderError::Failed { .. })));
}
