//! What the tests of decoders and encoders share: real clips as tracks and packets.

use crate::av::decode::{Picture, VideoDecoder};
use crate::av::demux::{Demuxer, Item};
use crate::av::encode::VideoSettings;
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::packet::Packet;
use crate::media::track::{Codec, FrameRate, Kind, Track};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The clip in the tree: 1280x720, 25 fps, H.264; AAC of 5.1.
pub(crate) const MP4: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/media/bigbuckbunny.mp4");

/// What ffmpeg makes of `words`, in `dir/name`.
pub(crate) fn ffmpeg(dir: &Path, name: &str, words: &str) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(words.split_whitespace()).arg(&path);
    let out = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    path
}

/// The first track of a kind, with its packets.
pub(crate) fn lane(path: &Path, kind: Kind) -> (Track, Vec<Packet>) {
    let mut demuxer = Demuxer::open(path).unwrap_or_else(|e| panic!("{e}"));
    let (mut track, mut packets) = (None, Vec::new());
    while let Some(item) = demuxer.read().unwrap_or_else(|e| panic!("{e}")) {
        match item {
            Item::Track(t) if t.codec.kind() == kind => track = Some(t),
            Item::Packet(p) => packets.push(p),
            Item::Track(_) => {}
        }
    }
    let track = track.expect("a track of the kind");
    packets.retain(|p| p.track == track.id);
    (track, packets)
}

/// All pictures of packets.
pub(crate) fn pictures(track: &Track, packets: &[Packet]) -> Vec<Picture> {
    let mut decoder = VideoDecoder::open(track).expect("a decoder");
    let mut out = Vec::new();
    for packet in packets {
        decoder.send(packet).expect("a whole packet");
        out.extend(std::iter::from_fn(|| decoder.receive().expect("a picture")));
    }
    decoder.finish();
    out.extend(std::iter::from_fn(|| decoder.receive().expect("a picture")));
    out
}

/// Settings of a small rung.
pub(crate) fn settings(codec: Codec) -> VideoSettings {
    let (preset, profile) = match codec {
        Codec::H264 => ("veryfast", "high"),
        Codec::Hevc => ("ultrafast", "main"),
        _ => ("12", "main"),
    };
    VideoSettings {
        track: TrackId(11),
        codec,
        width: 426,
        height: 240,
        rate: FrameRate::new(25, 1).expect("in range"),
        timescale: Timescale::new(12_800).expect("not zero"),
        preset: preset.into(),
        profile: profile.into(),
        level: 21,
        bitrate: 400_000,
        maxrate: 480_000,
        bufsize: 480_000,
    }
}
