//! Real sound through decoders, mixer and encoders.

use crate::av::clips_test::{MP4, ffmpeg, lane};
use crate::av::decode::SoundDecoder;
use crate::av::demux::Item;
use crate::av::sound::{SoundEncoder, SoundSettings};
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::details;
use crate::media::packet::Packet;
use crate::media::track::{Codec, Kind, Track};
use std::path::Path;

fn through(
    (track, packets): (&Track, &[Packet]),
    codec: Codec,
    channels: u8,
) -> (Vec<Track>, Vec<Packet>) {
    let mut decoder = SoundDecoder::open(track).expect("a decoder");
    let timescale = track.timescale;
    let mut encoder = SoundEncoder::new(SoundSettings {
        track: TrackId(12),
        codec,
        bitrate: 96_000,
        channels,
        timescale,
    })
    .expect("an encoder");
    for p in packets {
        decoder.send(p).expect("a whole packet");
        while let Some(sound) = decoder.receive().expect("sound") {
            encoder.send(sound).expect("encoded");
        }
    }
    encoder.finish().expect("encoded");
    let (mut tracks, mut out) = (Vec::new(), Vec::new());
    while let Some(item) = encoder.receive() {
        match item {
            Item::Track(t) => tracks.push(t),
            Item::Packet(p) => out.push(p),
        }
    }
    (tracks, out)
}

/// Samples of each packet as a decoder gives them, with their times, in milliseconds.
fn decoded(track: &Track, packets: &[Packet]) -> Vec<(i64, Vec<f32>)> {
    let mut decoder = SoundDecoder::open(track).expect("a decoder");
    let mut out = Vec::new();
    for p in packets {
        decoder.send(p).expect("a whole packet");
        while let Some(s) = decoder.receive().expect("sound") {
            let samples = s.0.plane::<f32>(0).to_vec();
            out.push((track.timescale.to_micros(s.pts()) / 1_000, samples));
        }
    }
    out
}

#[test]
fn surround_becomes_stereo_at_the_same_times() {
    let (track, packets) = lane(Path::new(MP4), Kind::Audio);
    assert_eq!(details(&track).expect("a record").audio.expect("audio").channels, 6);
    for (codec, frame, before) in [(Codec::Aac, 1_024, 1_024), (Codec::Opus, 960, 312)] {
        for channels in [1, 2] {
            let (tracks, made) = through((&track, &packets), codec, channels);
            let [to] = &tracks[..] else { panic!("{} configurations", tracks.len()) };
            let said = details(to).expect("a record").audio.expect("audio");
            assert_eq!((said.channels, said.output_rate), (channels, 48_000), "{codec:?}");
            assert_eq!(to.timescale, Timescale::new(48_000).expect("not zero"));
            let first = track.timescale.convert(packets[0].pts(), to.timescale);
            let want = (0..made.len() as i64).map(|n| first - before + n * frame);
            assert_eq!(made.iter().map(Packet::pts).collect::<Vec<_>>(), want.collect::<Vec<_>>());
            let end = made.last().expect("packets").pts() + frame;
            let length = packets.len() as i64 * 1_024;
            assert!((length..length + 2 * frame).contains(&(end - first)), "{end} for {length}");
            assert!(decoded(to, &made).iter().flat_map(|s| &s.1).any(|s| s.abs() > 0.01));
        }
    }
}

#[test]
fn a_hole_in_the_source_is_a_hole_in_what_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let words = "-f lavfi -i sine=frequency=1000:sample_rate=44100 -t 6 -c:a aac";
    let (track, packets) = lane(&ffmpeg(dir.path(), "a.mp4", words), Kind::Audio);
    // From 2 s to 4 s nothing came, in milliseconds as RTMP has them, nine hours into a stream.
    let ms = Timescale::new(1_000).expect("not zero");
    let hours = 9 * 3_600_000;
    let packets: Vec<Packet> = packets
        .into_iter()
        .map(|p| Packet { dts: track.timescale.convert(p.dts, ms) + hours, ..p })
        .filter(|p| !(hours + 2_000..hours + 4_000).contains(&p.dts))
        .collect();
    let track = Track { timescale: ms, ..track };
    for codec in [Codec::Aac, Codec::Opus] {
        let (tracks, made) = through((&track, &packets), codec, 2);
        let scale = tracks[0].timescale;
        assert_eq!(scale.get(), if codec == Codec::Aac { 44_100 } else { 48_000 }, "{codec:?}");
        let times: Vec<i64> = made.iter().map(|p| scale.to_micros(p.pts()) / 1_000).collect();
        assert!(times.is_sorted(), "{codec:?}");
        let inside = |t: &&i64| (hours + 2_060..hours + 3_950).contains(*t);
        assert_eq!(times.iter().filter(inside).count(), 0, "{codec:?}: {times:?}");
        // The tone is there on both sides, from where it began to where it ends, and silent
        // between.
        let sound = decoded(&tracks[0], &made);
        let loud = |t: &(i64, Vec<f32>)| t.1.iter().any(|s| s.abs() > 0.05);
        let first_after = sound.iter().find(|s| s.0 > hours + 3_000 && loud(s)).expect("a tone");
        assert!((first_after.0 - hours - 4_000).abs() <= 60, "{codec:?}: {}", first_after.0);
        let last = sound.iter().rfind(|s| loud(s)).expect("a tone");
        assert!((last.0 - hours - 6_000).abs() <= 80, "{codec:?}: {}", last.0);
    }
}
