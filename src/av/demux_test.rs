//! Real files: the clip in the tree, and what ffmpeg makes of it in each container.

use crate::av::demux::{Demuxer, Item};
use crate::av::error::AvError;
use crate::base::error::Kind as Failure;
use crate::base::time::Timescale;
use crate::media::codec::details;
use crate::media::packet::Packet;
use crate::media::track::{Codec, Track};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MP4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/media/bigbuckbunny.mp4");

/// What ffmpeg makes of `words`, in `dir/name`.
fn ffmpeg(dir: &Path, name: &str, words: &str) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(words.split_whitespace()).arg(&path);
    let out = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    path
}

/// Picture with re-ordered frames, and sound.
fn source(dir: &Path, more: &str) -> PathBuf {
    let words = format!(
        "-f lavfi -i testsrc2=size=160x90:rate=30000/1001 -f lavfi -i sine=sample_rate=44100 -t 3 \
         -c:v libx264 -preset veryfast -bf 2 -g 30 -pix_fmt yuv420p -c:a aac {more}"
    );
    ffmpeg(dir, "source.mp4", &words)
}

fn read(path: &Path) -> Result<(Vec<Track>, Vec<Packet>), AvError> {
    let mut demuxer = Demuxer::open(path)?;
    let (mut tracks, mut packets) = (Vec::new(), Vec::new());
    while let Some(item) = demuxer.read()? {
        match item {
            Item::Track(t) => tracks.push(t),
            Item::Packet(p) => packets.push(p),
        }
    }
    Ok((tracks, packets))
}

/// Payload, key and microseconds of decoding and presentation since the first of the track.
fn lane(tracks: &[Track], packets: &[Packet], codec: Codec) -> Vec<(Vec<u8>, bool, i64, i64)> {
    let track = tracks.iter().find(|t| t.codec == codec).expect("a track");
    let of: Vec<&Packet> = packets.iter().filter(|p| p.track == track.id).collect();
    let micros = |t: i64| track.timescale.to_micros(t - of[0].dts);
    of.iter().map(|p| (p.payload.to_vec(), p.key, micros(p.dts), micros(p.pts()))).collect()
}

#[test]
fn the_fixture_is_what_ffprobe_says() {
    let (tracks, packets) = read(Path::new(MP4)).expect("an MP4 file");
    let [video, audio] = &tracks[..] else { panic!("{tracks:?}") };
    let v = details(video).expect("a record").video.expect("video");
    let a = details(audio).expect("a record").audio.expect("audio");
    assert_eq!((v.width, v.height, a.sample_rate), (1280, 720, 48_000));
    assert_eq!(video.timescale, Timescale::new(12_800).expect("not zero"));
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=codec_type,pts,dts,size,flags"])
        .args(["-of", "csv=p=0", MP4])
        .output()
        .expect("ffprobe runs");
    let want = String::from_utf8(probe.stdout).expect("text");
    let got: Vec<String> = packets
        .iter()
        .map(|p| {
            let kind = if p.track == video.id { "video" } else { "audio" };
            let key = if p.key { "K_" } else { "__" };
            format!("{kind},{},{},{},{key}", p.pts(), p.dts, p.payload.len())
        })
        .collect();
    let want: Vec<&str> = want.lines().collect();
    assert_eq!(got, want);
}

#[test]
fn every_container_gives_the_same_packets() {
    let dir = tempfile::tempdir().expect("a directory");
    let mp4 = source(dir.path(), "");
    let (tracks, packets) = read(&mp4).expect("an MP4 file");
    let copy = |name, words: &str| {
        ffmpeg(dir.path(), name, &format!("-i {} -c copy {words}", mp4.display()))
    };
    for (path, tolerance) in [
        (copy("a.ts", "-f mpegts"), 12),
        (copy("wrap.ts", "-f mpegts -output_ts_offset 95442.2"), 12),
        (copy("named.bin", "-movflags frag_keyframe+delay_moov -f mp4"), 1),
        (copy("a.mov", ""), 1),
        (copy("a.mkv", ""), 1000),
    ] {
        let (got_tracks, got) = read(&path).unwrap_or_else(|e| panic!("{e}"));
        for codec in [Codec::H264, Codec::Aac] {
            let (want, got) = (lane(&tracks, &packets, codec), lane(&got_tracks, &got, codec));
            let name = path.display();
            assert_eq!(got.len(), want.len(), "{name}: {codec:?}");
            for (n, (g, w)) in got.iter().zip(&want).enumerate() {
                assert_eq!((&g.0, g.1), (&w.0, w.1), "{name}: {codec:?} {n}");
                // Matroska has no decoding times; what libav makes of the order only has to grow.
                let mkv = path.extension().is_some_and(|e| e == "mkv");
                let start = if mkv { got[0].3 - want[0].3 } else { 0 };
                let dts = if mkv { 0 } else { (g.2 - w.2).abs() };
                let off = dts.max((g.3 - start - w.3).abs());
                assert!(off <= tolerance, "{name}: {codec:?} {n}: {off} us");
            }
            assert!(got.is_sorted_by_key(|g| g.2), "{name}: {codec:?}");
            let one = |t: &[Track]| t.iter().filter(|t| t.codec == codec).count();
            assert_eq!(one(&got_tracks), 1, "{name}: one configuration");
            let d = |t: &[Track]| {
                details(t.iter().find(|t| t.codec == codec).expect("a track")).expect("a record")
            };
            let (got, want) = (d(&got_tracks), d(&tracks));
            assert_eq!((got.video, got.audio), (want.video, want.audio), "{name}");
        }
    }
}

/// HEVC with re-ordered pictures and open GOPs, AV1, Opus: in each container that ffmpeg writes
/// them to.
#[test]
fn every_container_gives_the_same_packets_of_later_codecs() {
    let dir = tempfile::tempdir().expect("a directory");
    let make = |name, video: &str| {
        let words = format!(
            "-f lavfi -i testsrc2=size=160x90:rate=25 -f lavfi -i sine=sample_rate=48000 -t 2 \
             -pix_fmt yuv420p -g 25 {video} -c:a libopus -strict -2"
        );
        ffmpeg(dir.path(), name, &words)
    };
    let hevc = make(
        "hevc.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:info=0:bframes=2",
    );
    let av1 = make("av1.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime");
    let copy = |name, from: &PathBuf| {
        ffmpeg(dir.path(), name, &format!("-i {} -c copy -strict -2", from.display()))
    };
    for (from, codec, path, tolerance) in [
        (&hevc, Codec::Hevc, copy("h.ts", &hevc), 12),
        (&hevc, Codec::Hevc, copy("h.mkv", &hevc), 1000),
        (&av1, Codec::Av1, copy("a.mkv", &av1), 1000),
        (&av1, Codec::Av1, copy("a.webm", &av1), 1000),
    ] {
        let (tracks, packets) = read(from).expect("an MP4 file");
        let (got_tracks, got) = read(&path).unwrap_or_else(|e| panic!("{e}"));
        let name = path.display();
        for codec in [codec, Codec::Opus] {
            let (want, got) = (lane(&tracks, &packets, codec), lane(&got_tracks, &got, codec));
            assert_eq!(got.len(), want.len(), "{name}: {codec:?}");
            for (n, (g, w)) in got.iter().zip(&want).enumerate() {
                assert!((&g.0, g.1) == (&w.0, w.1), "{name}: {codec:?} {n}: other bytes");
                let start = got[0].3 - want[0].3;
                let off = (g.3 - start - w.3).abs();
                assert!(off <= tolerance, "{name}: {codec:?} {n}: {off} us");
            }
            let d = |t: &[Track]| {
                details(t.iter().find(|t| t.codec == codec).expect("a track")).expect("a record")
            };
            let (got, want) = (d(&got_tracks), d(&tracks));
            let size = |d: &crate::media::codec::Details| d.video.map(|v| (v.width, v.height));
            assert_eq!((&got.codecs, size(&got)), (&want.codecs, size(&want)), "{name}");
        }
        let keys = lane(&tracks, &packets, codec).iter().filter(|p| p.1).count();
        assert_eq!(keys, 2, "{name}: a key frame a second");
    }
}

#[test]
fn a_stream_that_changes_its_size_has_two_records() {
    let dir = tempfile::tempdir().expect("a directory");
    for codec in ["libx264", "libx265 -x265-params log-level=none"] {
        let part = |name, size| {
            let words = format!(
                "-f lavfi -i testsrc2=size={size}:rate=25 -t 1 -c:v {codec} -preset ultrafast \
                 -pix_fmt yuv420p -f mpegts"
            );
            std::fs::read(ffmpeg(dir.path(), name, &words)).expect("made")
        };
        let path = dir.path().join("both.ts");
        let both = [part("a.ts", "160x90"), part("b.ts", "320x180")].concat();
        std::fs::write(&path, both).expect("written");
        let mut demuxer = Demuxer::open(&path).expect("MPEG-TS");
        let mut seen = Vec::new();
        while let Some(item) = demuxer.read().expect("readable") {
            match item {
                Item::Track(t) => {
                    let width = details(&t).expect("a record").video.expect("video").width;
                    seen.push((width, 0));
                }
                Item::Packet(_) => seen.last_mut().expect("a record first").1 += 1,
            }
        }
        assert_eq!(seen, [(160, 25), (320, 25)], "{codec}");
    }
}

#[test]
fn what_is_not_carried_is_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let mp4 = source(dir.path(), "");
    let words = format!("-i {} -c:v copy -c:a flac", mp4.display());
    let flac = ffmpeg(dir.path(), "flac.mkv", &words);
    let demuxer = Demuxer::open(&flac).expect("there is video");
    assert_eq!(demuxer.left_out(), ["stream 1 (audio, flac)"]);
    assert_eq!(demuxer.tracks().count(), 1);
    let words = format!("-i {} -vn -c:a flac", mp4.display());
    let e = Demuxer::open(&ffmpeg(dir.path(), "only.mkv", &words)).expect_err("nothing is left");
    assert!(e.to_string().contains("stream 0 (audio, flac)"), "{e}");
    assert_eq!(e.kind(), Failure::Invalid);
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = std::fs::read(MP4).expect("the clip");
    let path = dir.path().join("bad.mp4");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).expect("written");
    for text in [
        "",
        "hello",
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n",
        "ffconcat version 1.0\nfile a",
    ] {
        write(text.as_bytes());
        let e = Demuxer::open(&path).expect_err("no container");
        assert!(matches!(e, AvError::Unknown { .. }), "{text:?}: {e}");
    }
    // Every cut and a flip in every region: whatever comes of it, it ends.
    let mut failed = 0;
    for n in 1..24 {
        write(&whole[..whole.len() * n / 24]);
        failed += usize::from(read(&path).is_err());
        let mut flipped = whole.clone();
        let at = whole.len() * n / 24;
        flipped[at..at + 64].fill(0xff);
        write(&flipped);
        let _ = read(&path);
    }
    let faststart = dir.path().join("whole.mp4");
    let words = format!("-i {MP4} -c copy -movflags faststart");
    let faststart =
        ffmpeg(dir.path(), faststart.file_name().and_then(|n| n.to_str()).expect("a name"), &words);
    let bytes = std::fs::read(faststart).expect("made");
    write(&bytes[..bytes.len() / 2]);
    let e = read(&path).expect_err("half of the media is missing");
    assert_eq!(e.kind(), Failure::DataLoss, "{e}");
    assert!(failed > 12, "{failed}");
}
