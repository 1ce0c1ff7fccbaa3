//! Replays reproduce: what `castctl replay` publishes of a recording makes a log of the same
//! packets, and a file in any container the packets of its clip.

use crate::clip;
use crate::encoder::Encoder;
use crate::process::{self, Ended};
use crate::server::{KEY, Server, fast};
use castctl::base::ids::TrackId;
use castctl::log::dir::LogDir;
use castctl::log::format::record::Record;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::media::flv::write::{video_body, video_config_body};
use castctl::media::timeline::mark::Mark;
use castctl::media::track::Codec;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a log has of one track, in order: packets with the step from the one before, and the
/// configurations between them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Config(Vec<u8>),
    Packet { step: i64, cts: i32, key: bool, payload: Vec<u8> },
}

/// The generations' directories of the only session below a data directory.
pub(crate) fn generations(data: &Path) -> Vec<PathBuf> {
    let children = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a directory");
        let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        paths.retain(|p| p.is_dir());
        paths
    };
    let mut dir = data.join("logs");
    for _ in 0..2 {
        let found = children(&dir);
        assert_eq!(found.len(), 1, "one channel, one session: {found:?}");
        dir = found[0].clone();
    }
    children(&dir)
}

/// One track of a session's logs.
async fn lane(data: &Path, track: TrackId) -> Vec<Entry> {
    let (mut out, mut last, mut config) = (Vec::new(), None, None);
    for dir in generations(data) {
        // A writer that is beginning it has not written its header.
        let Ok(log) = LogDir::open(&dir) else { continue };
        let mut records = log.read_from(log.extents()[0]);
        while let Some(batch) = records.next().await.expect("readable") {
            for entry in batch.records() {
                match entry.record {
                    // Every extent and generation repeats what is in force.
                    Record::Mark(Mark::Track(t))
                        if t.id == track && config.as_ref() != Some(&t.config) =>
                    {
                        out.push(Entry::Config(t.config.to_vec()));
                        config = Some(t.config);
                    }
                    Record::Packet { packet: p, .. } if p.track == track => {
                        let step = p.dts - last.unwrap_or(p.dts);
                        last = Some(p.dts);
                        let payload = p.payload.to_vec();
                        out.push(Entry::Packet { step, cts: p.cts, key: p.key, payload });
                    }
                    _ => {}
                }
            }
        }
    }
    out
}

/// Waits until so many pictures are in the log.
async fn recorded(data: &Path, pictures: usize) {
    let packet = |e: &Entry| matches!(e, Entry::Packet { .. });
    crate::server::within("the last picture", async {
        let log = data.join("logs/main/s1/g1/00000000.extent");
        while !log.exists()
            || lane(data, TrackId::VIDEO).await.iter().filter(|e| packet(e)).count() < pictures
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// `castctl replay` with these words.
pub(crate) async fn replay(words: &[&str]) -> Ended {
    process::run(Command::new(env!("CARGO_BIN_EXE_castctl")).arg("replay").args(words)).await
}

/// Publishes a recording to a fresh server as fast as it goes; its directory.
pub(crate) async fn again(source: &Path, speed: &str) -> tempfile::TempDir {
    let server = Server::start(vec![fast("copy", &[KEY])]).await;
    let url = server.publish_url(KEY);
    let done = replay(&[&source.display().to_string(), &url, "--speed", speed]).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    server.stop().await
}

pub(crate) async fn assert_same(a: &Path, b: &Path) {
    for track in [TrackId::VIDEO, TrackId::AUDIO] {
        let (a, b) = (lane(a, track).await, lane(b, track).await);
        let at = a.iter().zip(&b).position(|(x, y)| x != y);
        assert_eq!((a.len(), at), (b.len(), None), "track {track}");
    }
}

pub(crate) async fn digest(source: &Path) -> serde_json::Value {
    let out = replay(&[&source.display().to_string(), "--digest", "--json"]).await;
    assert_eq!(out.code, Some(0), "{}", out.err);
    serde_json::from_str(&out.out).expect("one JSON object")
}

/// Re-ordered pictures, sound, 3 s.
async fn b_frames(dir: &Path) -> PathBuf {
    clip::make(dir, "bframes", 3, "-preset veryfast -bf 2 -g 25").await
}

#[tokio::test]
async fn a_log_makes_the_same_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = b_frames(dir.path()).await;
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let words = format!("-re -i {} -c copy -f flv", clip.display());
    let published = process::run(process::ffmpeg(&words).arg(server.publish_url(KEY))).await;
    assert_eq!(published.code, Some(0), "{}", published.err);
    let first = server.stop().await;
    let packets = lane(first.path(), TrackId::VIDEO).await.len();
    assert!(packets > 70, "the clip is in the log: {packets}");
    let second = again(&generations(first.path())[0], "8").await;
    assert_same(first.path(), second.path()).await;
    // By its session, its channel or its data directory it is the same recording.
    let third = again(first.path(), "max").await;
    assert_same(first.path(), third.path()).await;
    assert_eq!(digest(first.path()).await, digest(third.path()).await);
}

/// Everything that an encoder may do wrong, or that a session may go through.
#[tokio::test]
async fn nothing_odd_is_lost() {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let tags = clip::bbb();
    let is_config = |t: &Tag| t.body.get(1) == Some(&0);
    let (configs, media): (Vec<Tag>, Vec<Tag>) = tags.into_iter().partition(is_config);
    let at = |t: &Tag, timestamp: u32| Tag { timestamp, ..t.clone() };
    let piece =
        |from: u32, to: u32| media.iter().filter(move |t| (from..to).contains(&t.timestamp));
    // Begins at no zero, and between two key frames; then an hour is missing; then it is early.
    let mut sent: Vec<Tag> = configs.iter().map(|t| at(t, 7_000)).collect();
    sent.extend(piece(400, 440).map(|t| at(t, t.timestamp + 7_000)));
    // Sound changes twice before a server has looked at the first of it.
    let mono = bytes::Bytes::from_static(&[0xaf, 0, 0x12, 0x08]);
    sent.push(Tag { kind: TagKind::Audio, timestamp: 7_440, body: mono.clone() });
    sent.extend(piece(440, 480).map(|t| at(t, t.timestamp + 7_000)));
    sent.extend(configs.iter().map(|t| at(t, 7_480)));
    sent.extend(piece(480, 3000).map(|t| at(t, t.timestamp + 7_000)));
    sent.extend(piece(3000, 5000).map(|t| at(t, t.timestamp + 3_607_000)));
    sent.extend(piece(5000, 6000).map(|t| at(t, t.timestamp - 4_000)));
    // New parameter sets and another sound configuration, and pictures shown before they decode.
    let config = configs.iter().find(|t| t.kind == TagKind::Video).expect("video").body.slice(5..);
    let mut changed = config.to_vec();
    *changed.last_mut().expect("not empty") ^= 1;
    let body = video_config_body(Codec::H264, &changed);
    sent.push(Tag { kind: TagKind::Video, timestamp: 2_000, body });
    sent.push(Tag { kind: TagKind::Audio, timestamp: 2_000, body: mono });
    sent.extend(piece(6000, 8000).map(|t| match t.kind {
        TagKind::Video => {
            let body = video_body(Codec::H264, t.body[0] >> 4 == 1, -40, &t.body[5..]);
            Tag { kind: t.kind, timestamp: t.timestamp - 4_000, body }
        }
        _ => at(t, t.timestamp - 4_000),
    }));
    let pictures = |list: &[Tag]| {
        list.iter().filter(|t| t.kind == TagKind::Video && t.body.get(1) == Some(&1)).count()
    };
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("admitted");
    encoder.at_once(&sent).await.expect("taken");
    recorded(server.data(), pictures(&sent)).await;
    encoder.finish().await;
    // A second connection of the same session, with a clock of its own.
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("admitted");
    let back: Vec<Tag> = configs.iter().chain(piece(0, 2000)).cloned().collect();
    encoder.at_once(&back).await.expect("taken");
    recorded(server.data(), pictures(&sent) + pictures(&back)).await;
    encoder.finish().await;
    let first = server.stop().await;
    let second = again(first.path(), "max").await;
    assert_same(first.path(), second.path()).await;
    let third = again(second.path(), "16").await;
    assert_same(first.path(), third.path()).await;
}

#[tokio::test]
async fn files_in_containers_bring_the_packets_of_their_clip() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = b_frames(dir.path()).await;
    let want = again(&clip, "max").await;
    for name in ["clip.mp4", "clip.ts", "clip.mkv"] {
        let file = dir.path().join(name);
        let words = format!("-y -i {} -c copy", clip.display());
        let made = process::run(process::ffmpeg(&words).arg(&file)).await;
        assert_eq!(made.code, Some(0), "{}", made.err);
        let got = again(&file, "max").await;
        for track in [TrackId::VIDEO, TrackId::AUDIO] {
            let (want, got) = (lane(want.path(), track).await, lane(got.path(), track).await);
            let times = |list: &[Entry]| {
                let (mut dts, mut out) = (0, Vec::new());
                for e in list {
                    if let Entry::Packet { step, cts, key, payload } = e {
                        dts += step;
                        out.push((dts, dts + i64::from(*cts), *key, payload.clone()));
                    }
                }
                out
            };
            let (want, got) = (times(&want), times(&got));
            assert_eq!(want.len(), got.len(), "{name}, track {track}");
            let start = want[0].1 - got[0].1;
            for (n, (w, g)) in want.iter().zip(&got).enumerate() {
                assert!((&w.3, w.2) == (&g.3, g.2), "{name}, track {track}: packet {n}");
                // Both were rounded to milliseconds once more than the clip. Matroska has no
                // decoding times: what libav makes of the order is as good.
                let dts = if name == "clip.mkv" { 0 } else { (w.0 - g.0 - start).abs() };
                let pts = (w.1 - g.1 - start).abs();
                assert!(dts <= 2 && pts <= 2, "{name}, track {track}: {n}: {dts} {pts}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_is_not_called_a_refusal() {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let (url, clip) = (server.publish_url(KEY), clip::fixture().display().to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    let player = process::Process::start(command.args(["replay", "--loop", &clip, &url]));
    crate::server::within("media", async {
        while !server.data().join("logs/main").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
    let ended = player.ended().await;
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    let words = "the server ended the publish: the server is shutting down";
    assert!(ended.err.contains(words), "{}", ended.err);
}
