//! Exports of what real encoders published, judged by other people's programs: ffprobe and ffmpeg,
//! MediaInfo, Chromium.

use crate::clip;
use crate::encoder::Encoder;
use crate::process::{self, Process, Up, castctl};
use crate::server::{KEY, Server, fast, local, within};
use castctl::media::flv::file::TagKind;
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Exports, which has to succeed; the summary.
pub(crate) async fn export(words: &[&str]) -> Value {
    let ended = castctl(&[&["export", "--json"], words].concat()).await;
    assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
}

/// Publishes clips one after another on a channel that takes them as fast as they come; the
/// session's directory, and the directory that holds it.
pub(crate) async fn recorded(clips: &[PathBuf]) -> (PathBuf, tempfile::TempDir) {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    for clip in clips {
        let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
        encoder.at_once(&clip::tags(clip)).await.expect("taken");
        within("the server to hang up", encoder.finished()).await;
    }
    let data = server.stop().await;
    (data.path().join("logs/main/s1"), data)
}

/// The packets of one kind as another program reads them: presentation time and hash of the bytes.
/// Of a movie as its media has them, not as it is presented.
pub(crate) async fn packets(path: &Path, kind: &str) -> Vec<(f64, String)> {
    let movie = path.extension().is_some_and(|e| e == "mp4");
    probed(path, kind, if movie { &["-ignore_editlist", "1"] } else { &[] }).await
}

/// The packets as they are presented.
pub(crate) async fn probed(path: &Path, kind: &str, options: &[&str]) -> Vec<(f64, String)> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-show_data_hash", "CRC32"]).args(options);
    ffprobe.args(["-select_streams", kind, "-show_entries", "packet=pts_time,data_hash"]);
    let ended = process::run(ffprobe.args(["-of", "csv=p=0"]).arg(path)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", path.display());
    let line = |l: &str| {
        let mut fields = l.split(',');
        let pts = fields.next()?.parse().ok()?;
        Some((pts, fields.next()?.to_owned()))
    };
    ended.out.lines().filter_map(line).collect()
}

/// Hashes of the pictures that are shown, in order.
pub(crate) async fn pictures(path: &Path) -> Vec<String> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-v", "error", "-nostdin", "-i"]).arg(path);
    ffmpeg.args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let ended = process::run(&mut ffmpeg).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", path.display());
    let lines = ended.out.lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|l| l.rsplit(' ').next().map(str::to_owned)).collect()
}

/// When the pictures are shown, seconds, as another program presents them.
async fn shown_at(path: &Path) -> Vec<f64> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "v", "-show_entries", "frame=pts_time"]);
    let ended = process::run(ffprobe.args(["-of", "csv=p=0"]).arg(path)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{}", path.display());
    let time = |l: &str| l.split(',').next()?.parse().ok();
    ended.out.lines().filter_map(time).collect()
}

/// MediaInfo finds nothing wrong.
pub(crate) async fn sound(path: &Path) {
    let ended = process::run(Command::new("mediainfo").arg("--Output=JSON").arg(path)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let bad = ["IsTruncated", "ConformanceErrors", "FileExtension_Invalid"];
    assert!(ended.out.contains("MPEG-4"), "{}", ended.out);
    assert!(!bad.iter().any(|b| ended.out.contains(b)), "{}", ended.out);
}

/// What Chromium shows of a file or folder in so many seconds.
pub(crate) async fn watched(path: &Path, seconds: &str, more: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/file.mjs");
    let mut node = Command::new("node");
    let process = Process::start(node.arg(script).arg(path).arg(seconds).args(more));
    let ended = process.ended_within(Duration::from_secs(120)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
}

/// The same packets, at times that differ by one and the same amount to `slack` seconds.
fn alike(what: &str, got: &[(f64, String)], want: &[(f64, String)], slack: f64) {
    let hashes = |p: &[(f64, String)]| p.iter().map(|p| p.1.clone()).collect::<Vec<_>>();
    assert_eq!(hashes(got), hashes(want), "{what}: other packets");
    let apart: Vec<f64> = got.iter().zip(want).map(|(g, w)| g.0 - w.0).collect();
    let (low, high) = apart.iter().fold((f64::MAX, f64::MIN), |(l, h), a| (l.min(*a), h.max(*a)));
    assert!(high - low <= slack, "{what}: times differ by {low} to {high}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_is_exported_with_its_time() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, options, kinds) in [
        ("ntsc", "-r 30000/1001 -preset medium -bf 3 -g 60", "va"),
        ("gop", "-preset medium -bf 2 -g 300", "va"),
        ("picture", "-an -g 50", "v"),
        ("tone", "-vn -ar 44100", "a"),
    ] {
        let source = clip::make(dir.path(), name, 6, options).await;
        let (log, _data) = recorded(std::slice::from_ref(&source)).await;
        let log = log.to_str().expect("a path").to_owned();
        for (format, file) in [("mp4", "plain.mp4"), ("fmp4", "fragmented.mp4")] {
            let target = dir.path().join(format!("{name}-{file}"));
            let to = target.to_str().expect("a path");
            let summary = export(&[&log, "--format", format, "--to", to]).await;
            assert_eq!(summary["tracks"].as_array().map(Vec::len), Some(kinds.len()), "{summary}");
            for kind in kinds.chars().map(String::from) {
                let (got, want) = (packets(&target, &kind).await, packets(&source, &kind).await);
                assert!(want.len() > 100, "{name} {kind}");
                // Sound lies on its grid and pictures where milliseconds put them.
                let slack = if kind == "v" { 0.000_02 } else { 0.002 };
                alike(&format!("{name} {file} {kind}"), &got, &want, slack);
            }
            sound(&target).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_and_the_last_picture_are_the_asked_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = clip::make(dir.path(), "b", 8, "-preset medium -bf 3 -g 75").await;
    let (log, _data) = recorded(std::slice::from_ref(&source)).await;
    let log = log.to_str().expect("a path").to_owned();
    let at = |name: &str| dir.path().join(name);
    let path = |name: &str| at(name).to_str().expect("a path").to_owned();
    export(&[&log, "--to", &path("all.mp4")]).await;
    let all = pictures(&at("all.mp4")).await;
    assert_eq!(all.len(), 200);
    assert_eq!(all, pictures(&source).await);
    let skew = {
        let (v, a) = (packets(&source, "v").await, packets(&source, "a").await);
        (v.iter().map(|p| p.0).fold(f64::MAX, f64::min) - a[0].0).max(0.0)
    };
    // Picture n is shown n/25 s after the first; the recording begins with its sound or picture.
    for (first, last) in [(31usize, 150usize), (75, 76), (74, 199)] {
        let moment = |n: usize| format!("+{:.3}s", skew + n as f64 / 25.0 - 0.02);
        let words = [&log, "--from", &moment(first), "--to", &moment(last), "--force", "--to"];
        let summary = export(&[&words[..], &[&path("cut.mp4")]].concat()).await;
        let shown = pictures(&at("cut.mp4")).await;
        let begins = all.iter().position(|p| Some(p) == shown.first());
        assert!(begins.is_some_and(|b| b.abs_diff(first) <= 1), "{first} is {begins:?}: {summary}");
        let begins = begins.unwrap_or(0);
        assert_eq!(shown, all[begins..begins + last - first], "{summary}");
        // The edit list leaves out what is decoded before: the first picture is shown at once.
        let times = shown_at(&at("cut.mp4")).await;
        assert_eq!(times.len(), last - first, "{summary}");
        assert!(times[0].abs() < 0.001, "{times:?}: {summary}");
        let skipped = packets(&at("cut.mp4"), "v").await.len() - times.len();
        assert!(skipped > 0 || begins % 75 == 0, "from {begins} on: {summary}");
        let seconds = (last - first) as f64 / 25.0;
        assert!((summary["duration"].as_f64().unwrap_or(0.0) - seconds).abs() < 0.03, "{summary}");
    }
    // From the key frame on nothing is skipped.
    let words = [&log, "--from", "+2s", "--at-key-frame", "--force", "--to", &path("cut.mp4")];
    export(&words).await;
    assert_eq!(pictures(&at("cut.mp4")).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_and_configurations_are_stitched_and_play() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = "-preset medium -bf 2 -g 50";
    let one = clip::make(dir.path(), "one", 5, options).await;
    let other = clip::make(dir.path(), "two", 5, &format!("-s 480x270 -ar 44100 {options}")).await;
    let data = dir.path().join("data");
    for source in [&one, &other] {
        let up = Up::start(&data, None, [local(), local(), local()]).await;
        let [rtmp, _, _] = up.ports();
        let mut encoder = Encoder::connect(rtmp, up.line("key")).await.expect("accepted");
        encoder.at_once(&clip::tags(source)).await.expect("taken");
        within("the server to hang up", encoder.finished()).await;
        up.process.signal(Signal::TERM);
        assert_eq!(up.process.ended().await.code, Some(0));
    }
    let log = data.join("logs/main/s1");
    assert!(log.join("g2").is_dir(), "the second run is a generation of the same session");
    let log = log.to_str().expect("a path").to_owned();
    for gaps in ["close", "keep"] {
        let target = dir.path().join(format!("{gaps}.mp4"));
        let to = target.to_str().expect("a path");
        let summary = export(&[&log, "--gaps", gaps, "--to", to]).await;
        assert_eq!(summary["tracks"][0]["configurations"], 2, "{summary}");
        assert_eq!(pictures(&target).await.len(), 250, "every picture can be decoded");
        sound(&target).await;
        let (video, audio) = (probed(&target, "v", &[]).await, probed(&target, "a", &[]).await);
        let (v, a) = (packets(&other, "v").await, packets(&other, "a").await);
        // The second generation's sound and picture are as far apart as their encoder put them.
        let first = |all: &[(f64, String)], of: &[(f64, String)]| all[all.len() - of.len()].0;
        let got = first(&video, &v) - first(&audio, &a);
        let head = video[0].0 - audio[0].0;
        let want = packets(&one, "v").await[0].0 - packets(&one, "a").await[0].0;
        assert!((head - want).abs() < 0.002, "the first: {head} and {want}");
        assert!((got - (v[0].0 - a[0].0)).abs() < 0.002, "{gaps}: {got}");
        let seen = watched(&target, "2", &["--seek", "6"]).await;
        assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
        assert!(seen["advanced"].as_f64() > Some(1.0), "{seen}");
        if gaps == "close" {
            assert_eq!(seen["videoWidth"], 480, "the second configuration shows: {seen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_the_bytes_that_viewers_got_and_plays() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let tags = clip::tags(&clip::fixture());
    assert!(tags.iter().any(|t| t.kind == TagKind::Video));
    encoder.at_once(&tags).await.expect("taken");
    within("the server to hang up", encoder.finished()).await;
    let fetch = |path: String| {
        let url = server.url(&path);
        async move {
            let answer = reqwest::get(url).await.expect("answered");
            (answer.status().as_u16(), answer.bytes().await.expect("a body"))
        }
    };
    // What is listed while the session is open is served; the rest is compared after its end.
    let mut served = Vec::new();
    for rendition in ["video", "audio"] {
        let base = format!("/live/main/s1/{rendition}");
        let names = within("five segments", async {
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            loop {
                pause.tick().await;
                let (status, text) = fetch(format!("{base}/dvr.m3u8")).await;
                assert_eq!(status, 200);
                let text = String::from_utf8(text.to_vec()).expect("text");
                let media = text.lines().filter(|l| l.ends_with(".m4s") && !l.starts_with('#'));
                let names: Vec<String> = media.map(str::to_owned).collect();
                if names.len() >= 5 {
                    return names;
                }
            }
        })
        .await;
        for name in names {
            let (status, bytes) = fetch(format!("{base}/{name}")).await;
            assert_eq!(status, 200, "{name}");
            served.push((format!("{rendition}/{name}"), bytes));
        }
    }
    let data = server.stop().await;
    let target = dir.path().join("vod");
    let (log, to) = (data.path().join("logs/main/s1"), format!("{}/", target.display()));
    let summary = export(&[log.to_str().expect("a path"), "--to", &to]).await;
    assert!(served.len() >= 10, "{}", served.len());
    for (name, bytes) in served {
        let file = std::fs::read(target.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(file == bytes, "{name} is not what was served");
    }
    let length = summary["duration"].as_f64().unwrap_or(0.0);
    assert!((length - 10.0).abs() < 0.3, "{summary}");
    assert_eq!(pictures(&target.join("index.m3u8")).await.len(), 250);
    let seen = watched(&target, "3", &[]).await;
    assert!((seen["duration"].as_f64().unwrap_or(0.0) - length).abs() < 0.3, "{seen}");
    assert!(seen["advanced"].as_f64() >= Some(3.0) && seen["videoWidth"] == 640, "{seen}");
    let movie = dir.path().join("clip.mp4");
    export(&[log.to_str().expect("a path"), "--to", movie.to_str().expect("a path")]).await;
    let seen = watched(&movie, "3", &[]).await;
    assert!((seen["duration"].as_f64().unwrap_or(0.0) - 10.0).abs() < 0.3, "{seen}");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    // The words that are wrong, and the exit code that says so.
    let log = log.to_str().expect("a path");
    for words in [
        vec![log],
        vec![log, "--to", "+3s"],
        vec![log, "--from", "+5s", "--to", "+3s", "--to", "/tmp/never.mp4"],
        vec![log, "--to", movie.to_str().expect("a path")],
        vec!["/does/not/exist", "--to", "/tmp/never.mp4"],
        vec![log, "--format", "mp4", "--to", "-"],
    ] {
        assert_eq!(castctl(&[&["export"], &words[..]].concat()).await.code, Some(2), "{words:?}");
    }
}
