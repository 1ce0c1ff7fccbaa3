//! Enhanced RTMP: FFmpeg 9 publishes HEVC, AV1 and Opus; every frame is accounted for, players and
//! tools take them, and what cannot be carried is refused with its reason.

use crate::accounted::{logged, plain, same, weighed};
use crate::browser::{number, watch};
use crate::clip::{self, Unit};
use crate::encoder::Encoder;
use crate::fetched;
use crate::fidelity::{again, digest};
use crate::oracle::Seen;
use crate::process::{self, Process, Up, ffmpeg, ffmpeg9};
use crate::server::{KEY, PATIENCE, Server, brisk, channel, local, silent, within};
use bytes::Bytes;
use castctl::base::ids::TrackId;
use castctl::media::flv::file::{Tag, TagKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Name, FFmpeg's options, codecs that viewers are told.
type Row = (&'static str, &'static str, &'static str);

const HEVC: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=50";
const AV1: &str = "-c:v libsvtav1 -preset 12 -g 50";
const H264: &str = "-c:v libx264 -preset ultrafast -g 50";

/// HEVC with open GOPs, AV1 by two encoders (of which one sends its configuration in its key frames
/// alone), frames of sound of 20, 2.5 and 60 ms, six channels.
const MATRIX: [Row; 5] = [
    ("hevc-aac", "-c:a aac", "hvc1.1.6.L60.90,mp4a.40.2"),
    ("av1-opus", "-c:a libopus", "av01.0.00M.08,opus"),
    ("h264-opus", "-c:a libopus -frame_duration 2.5", "avc1.42c00c,opus"),
    ("hevc-opus", "-c:a libopus -frame_duration 60", "hvc1.1.6.L60.90,opus"),
    ("av1-surround", "-c:a libopus -mapping_family 1 -ac 6", "av01.0.00M.08,opus"),
];

/// Test picture and tone by FFmpeg 9 into `dir/name.flv`.
async fn make(dir: &Path, name: &str, seconds: u32, options: &str) -> PathBuf {
    let path = dir.join(format!("{name}.flv"));
    let video = match name.split('-').next() {
        Some("hevc") => HEVC,
        Some("h264") => H264,
        _ if name.ends_with("surround") => "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 50",
        _ => AV1,
    };
    let words = format!(
        "-y -f lavfi -i testsrc2=size=320x180:rate=25 \
         -f lavfi -i sine=frequency=440:sample_rate=48000 -t {seconds} \
         -pix_fmt yuv420p {video} {options}"
    );
    let made = process::run(ffmpeg9(&words).arg(&path)).await;
    assert_eq!(made.code, Some(0), "{name}: {}", made.err);
    path
}

/// The access units of a file, read without the product's code: a FourCC where the tag says so, an
/// offset where its codec has one, and no temporal delimiter of AV1.
fn units(path: &Path) -> Vec<Unit> {
    let unit = |t: &Tag| {
        let (dts, b) = (i64::from(t.timestamp), &t.body);
        let offset =
            |at: usize| i64::from(i32::from_be_bytes([b[at], b[at + 1], b[at + 2], 0]) >> 8);
        let video = |cts: i64, payload: Bytes| {
            Some(Unit { track: TrackId::VIDEO, dts, pts: dts + cts, payload })
        };
        let audio = |payload| Some(Unit { track: TrackId::AUDIO, dts, pts: dts, payload });
        match (t.kind, b.first().copied()?) {
            (TagKind::Video, first) if first & 0x80 != 0 => match (first & 15, &b[1..5]) {
                (1, b"av01") => {
                    assert_eq!(b[5..7], [0x12, 0], "FFmpeg leaves the delimiter in");
                    video(0, b.slice(7..))
                }
                (1, b"hvc1") => video(offset(5), b.slice(8..)),
                (3, b"hvc1") => video(0, b.slice(5..)),
                _ => None,
            },
            (TagKind::Video, _) if b[1] == 1 => video(offset(2), b.slice(5..)),
            (TagKind::Audio, 0x91) => audio(b.slice(5..)),
            (TagKind::Audio, 0xaf) if b[1] == 1 => audio(b.slice(2..)),
            _ => None,
        }
    };
    let mut out: Vec<Unit> = clip::tags(path).iter().filter_map(unit).collect();
    out.sort_by_key(|u| u.track);
    out
}

/// FFmpeg 9 publishes a clip in real time.
fn publish(clip: &Path) -> Command {
    let mut command = ffmpeg9("-re -i");
    command.arg(clip).args(["-c", "copy"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn later_codecs_arrive_whole_and_go_out_again() {
    let clips = tempfile::tempdir().expect("a directory");
    let mut made = Vec::new();
    for (name, options, codecs) in MATRIX {
        made.push((name, make(clips.path(), name, 7, options).await, codecs));
    }
    let server = Server::start(made.iter().map(|(name, ..)| plain(name)).collect()).await;
    let server = Arc::new(server);
    let mut running = tokio::task::JoinSet::new();
    for (name, clip, codecs) in made.clone() {
        let server = server.clone();
        running.spawn(async move {
            weighed(&server, name, publish(&clip), &units(&clip)).await;
            let told = fetched::text(server.url(&format!("/live/{name}/s1/index.m3u8"))).await;
            assert!(told.contains(&format!("CODECS=\"{codecs}\"")), "{name}: {told}");
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    }
    let server = Arc::into_inner(server).expect("all are done");
    let dir = server.stop().await;
    for (name, clip, _) in &made {
        let sent = units(clip);
        assert!(sent.iter().filter(|u| u.track == TrackId::VIDEO).count() == 175, "{name}");
        same(name, &sent, &logged(dir.path(), name).await);
        let recording = dir.path().join("logs").join(name);
        let copy = again(&recording, "max").await;
        assert_eq!(digest(&recording).await, digest(copy.path()).await, "{name}: published again");
        exported(&recording, clips.path(), name).await;
    }
}

/// The recording as a movie: libav decodes all of it, and in a copy of it replays all of it.
async fn exported(recording: &Path, dir: &Path, name: &str) {
    let movie = dir.join(format!("{name}.mp4"));
    let mut export = Command::new(env!("CARGO_BIN_EXE_castctl"));
    export.arg("export").arg(recording).arg("--to").arg(&movie);
    let done = process::run(&mut export).await;
    assert_eq!(done.code, Some(0), "{name}: {}", done.err);
    let words = format!("-xerror -i {} -f null -", movie.display());
    let played = process::run(&mut ffmpeg(&words)).await;
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{name}: decoded");
    let (log, mp4) = (digest(recording).await, digest(&movie).await);
    for (log, mp4) in [0, 1].map(|track| (&log["tracks"][track], &mp4["tracks"][track])) {
        for what in ["kind", "packets", "keyFrames", "bytes"] {
            assert_eq!(log[what], mp4[what], "{name}: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_av1_and_opus() {
    let clips = tempfile::tempdir().expect("a directory");
    let clip = make(clips.path(), "av1-opus", 24, "-c:a libopus").await;
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let mut encoder = publish(&clip);
    encoder.args(["-f", "flv", &server.publish_url(KEY)]);
    let publisher = Process::start(&mut encoder);
    let begun = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1002);
    oracle.until(PATIENCE, begun).await;
    let seen = watch(server.url("/watch/main").as_str(), 8.0).await;
    drop(publisher);
    assert_eq!(number(&seen, "/videoWidth"), 320.0, "{seen}");
    assert!(number(&seen, "/advanced") > 7.0, "{seen}");
    assert!(number(&seen, "/decoded") > 150.0, "{seen}");
    assert!(number(&seen, "/audioBytes") > 0.0, "{seen}");
    let fatal = seen["errors"].as_array().map(|all| all.iter().any(|e| e["fatal"] == true));
    assert_eq!(fatal, Some(false), "{seen}");
    silent(&oracle.report().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_hevc_while_it_is_live() {
    let clips = tempfile::tempdir().expect("a directory");
    let clip = make(clips.path(), "hevc-aac", 16, "-c:a aac").await;
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let mut encoder = publish(&clip);
    encoder.args(["-f", "flv", &server.publish_url(KEY)]);
    let publisher = Process::start(&mut encoder);
    let begun = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1001);
    oracle.until(PATIENCE, begun).await;
    let words = format!(
        "-xerror -i {} -t 5 -fps_mode passthrough -enc_time_base -1 -f null -",
        server.url("/live/main/index.m3u8")
    );
    let played = process::run(&mut ffmpeg(&words)).await;
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""));
    drop(publisher);
    silent(&oracle.report().await);
    server.stop().await;
}

const MANIFEST: &str = "\
channels:
  - { name: main, keys: [main-key-1], reconnectWindow: 30s }
";

/// A stream of FFmpeg 9's that must end with `reason` on its terminal.
async fn refused(up: &mut Up, options: &str, reason: &str) {
    let url = format!("rtmp://{}/live/main-key-1", up.ports()[0]);
    let words = format!(
        "-re -f lavfi -i testsrc2=size=64x64:rate=25 -f lavfi -i sine=sample_rate=48000 -t 20 \
         -pix_fmt yuv420p {options} -f flv {url}"
    );
    let ended = process::run(&mut ffmpeg9(&words)).await;
    assert_ne!(ended.code, Some(0), "{options}: ffmpeg thinks that all went well");
    assert!(ended.err.contains(reason), "{options}: ffmpeg shows:\n{}", ended.err);
    up.process.says(reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_shows_why_its_codec_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dir.path().join("castctl.yaml");
    std::fs::write(&manifest, MANIFEST).expect("a file");
    let mut up = Up::start(&dir.path().join("data"), Some(&manifest), [local(); 3]).await;
    let vp9 = "VP9 (Enhanced RTMP vp09) is not supported: send H.264, HEVC or AV1 and AAC or Opus";
    refused(&mut up, "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a aac", vp9).await;
    let ac3 = "AC-3 (Enhanced RTMP ac-3) is not supported";
    refused(&mut up, &format!("{H264} -c:a ac3"), ac3).await;
    // Pictures of HEVC without their configuration, and nothing else.
    let clip = make(dir.path(), "hevc-aac", 2, "-c:a aac").await;
    let tags = clip::tags(&clip);
    let bare = |t: &&Tag| t.kind == TagKind::Video && t.body[0] & 15 != 0;
    let bare: Vec<Tag> = tags.iter().filter(bare).cloned().collect();
    let mut encoder = Encoder::connect(up.ports()[0], "main-key-1").await.expect("accepted");
    let over = match encoder.at_once(&bare).await {
        Err(e) => Some(e),
        Ok(()) => within("the end", encoder.over()).await,
    };
    let reason = "no audio or video configuration arrived";
    assert!(over.as_ref().is_some_and(|o| o.to_string().contains(reason)), "{over:?}");
    // A session begins with H.264; within its reconnect window comes HEVC.
    let url = format!("rtmp://{}/live/main-key-1", up.ports()[0]);
    let words = format!(
        "-f lavfi -i testsrc2=size=64x64:rate=25 -t 2 -pix_fmt yuv420p {H264} -f flv {url}"
    );
    let first = process::run(&mut ffmpeg9(&words)).await;
    assert_eq!(first.code, Some(0), "{}", first.err);
    let other = "the stream changed from H.264 to HEVC: this session ends with it; connect again";
    refused(&mut up, &format!("{HEVC} -c:a aac"), other).await;
    let session = up.process.said();
    assert!(session.contains("session_over=true"), "{session}");
    // Which the encoder does: a new session begins at once. Its second picture is left out.
    let words = format!(
        "-f lavfi -i testsrc2=size=64x64:rate=25 -f lavfi -i testsrc2=size=32x32:rate=25 -t 2 \
         -map 0 -map 1 -pix_fmt yuv420p {HEVC} -f flv {url}"
    );
    let again = process::run(&mut ffmpeg9(&words)).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    up.process.says("video track 1 and others are left out, track 0 is recorded").await;
    up.process.signal(rustix::process::Signal::TERM);
    assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
}
