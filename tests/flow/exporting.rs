//! Exports on their way: over an absence of the encoder, beyond 4 GiB, and stopped in the middle.

use crate::clip;
use crate::encoder::Encoder;
use crate::export::{export, packets, pictures, probed, recorded, sound, watched};
use crate::fetched;
use crate::process::{Process, castctl};
use crate::server::{KEY, Server, brisk, fast, within};
use castctl::base::ids::TrackId;
use castctl::export::collect::Collector;
use castctl::export::copy::Copier;
use castctl::export::layout::{self, layout};
use castctl::export::moment::Range;
use castctl::export::plan::{Cut, plan};
use castctl::export::reader::Reader;
use castctl::export::sources::Sources;
use castctl::media::fmp4::movie::head;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The largest step between packets in order of presentation, and where it is, seconds.
fn hole(packets: &[(f64, String)]) -> (f64, f64) {
    let mut times: Vec<f64> = packets.iter().map(|p| p.0).collect();
    times.sort_by(f64::total_cmp);
    let steps = times.windows(2).map(|w| (w[1] - w[0], w[0]));
    steps.max_by(|a, b| a.0.total_cmp(&b.0)).expect("packets")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_is_closed_up_or_kept() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let tags = clip::looped(&clip::bbb(), 3);
    let sent = clip::units(&tags).iter().filter(|u| u.track == TrackId::VIDEO).count();
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.real_time(&tags, |t| t).await.expect("taken");
    drop(encoder);
    let session = fetched::session(&server.url("/"), "main").await;
    let gaps = |p: &crate::oracle::playlist::Playlist| p.segments.iter().any(|s| s.gap);
    fetched::media_until(&session, "video", gaps).await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.real_time(&tags, |t| t).await.expect("taken");
    encoder.finish().await;
    let data = server.stop().await;
    let (log, dir) = (data.path().join("logs/main/s1"), tempfile::tempdir().expect("a directory"));
    assert!(!log.join("g2").exists(), "one generation, and a gap in it");
    let log = log.to_str().expect("a path");
    for gaps in ["close", "keep"] {
        let target = dir.path().join(format!("{gaps}.mp4"));
        let summary =
            export(&[log, "--gaps", gaps, "--to", target.to_str().expect("a path")]).await;
        let told = summary["gaps"].as_array().expect("a list");
        assert_eq!(told.len(), 1, "{summary}");
        assert_eq!(told[0]["closed"], gaps == "close", "{summary}");
        let absent = told[0]["absent"].as_f64().expect("seconds");
        assert!(absent > 2.0, "{summary}");
        assert_eq!(pictures(&target).await.len(), 2 * sent, "every picture of both: {summary}");
        sound(&target).await;
        let (video, audio) = (probed(&target, "v", &[]).await, probed(&target, "a", &[]).await);
        let ((v, at), (a, _)) = (hole(&video), hole(&audio));
        match gaps {
            // Sound and picture touch, or nearly: they move together.
            "close" => assert!(v < 0.2 && a < 0.2, "{v} {a}: {summary}"),
            _ => {
                assert!((v - absent).abs() < 0.2, "{v}: {summary}");
                assert!((a - absent).abs() < 0.2, "{a}: {summary}");
                // Where media goes on.
                let told = told[0]["at"].as_f64().expect("seconds");
                assert!((at + v - told).abs() < 0.2, "{at} and {v}: {summary}");
            }
        }
        let folder = dir.path().join(gaps);
        export(&[log, "--gaps", gaps, "--to", &format!("{}/", folder.display())]).await;
        let text = std::fs::read_to_string(folder.join("video/index.m3u8")).expect("a playlist");
        assert_eq!(text.contains("#EXT-X-GAP"), gaps == "keep", "{text}");
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    }
    // ffmpeg knows no discontinuities in HLS: it is asked what there is, and Chromium to play it.
    let listed = packets(&dir.path().join("close/video/index.m3u8"), "v").await;
    assert_eq!(listed.len(), 2 * sent);
    let seen = watched(&dir.path().join("close"), "2", &["--seek", "2"]).await;
    assert!(seen["advanced"].as_f64() >= Some(1.5), "over the absence: {seen}");
}

/// What is not written between the halves of a movie: it ends beyond what 32 bits count.
const HOLE: u64 = 5 << 30;

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beyond_four_gigabytes_is_found() {
    let (log, _data) = recorded(&[clip::fixture()]).await;
    let dir = tempfile::tempdir().expect("a directory");
    let near = dir.path().join("near.mp4");
    export(&[log.to_str().expect("a path"), "--to", near.to_str().expect("a path")]).await;

    // The same export, with a hole in the middle of its media that takes no room on the disk.
    let sources = Sources::open(&log, None).await.expect("a session");
    let pieces = sources.select(&Range::default());
    let (mut reader, mut records) = (Reader::new(&sources, &pieces), Vec::new());
    while let Some((log, batch)) = reader.next().await.expect("readable") {
        let generation = sources.logs[log].id().generation;
        records.extend(batch.records().map(|e| (generation, e.record)));
    }
    let mut collector = Collector::default();
    records.iter().for_each(|(g, r)| collector.record(*g, r));
    let mut plan = plan(collector.finish(), &Cut::default()).expect("a plan");
    let mut layout = layout(&mut plan).expect("a layout");
    let middle = layout.chunks.len() / 2;
    layout.chunks[middle..].iter_mut().for_each(|c| c.offset += HOLE);
    layout.bytes += HOLE;
    let head = head(&layout::movie(&plan, &layout, false), layout.bytes).expect("a head");
    let far = dir.path().join("far.mp4");
    let file = std::fs::File::create(&far).expect("a file");
    file.write_all_at(&head, 0).expect("written");
    let mut copier = Copier::new(&plan, &layout);
    for (generation, record) in records {
        copier.record(generation, record);
        while let Some((chunk, payloads)) = copier.poll() {
            let at = head.len() as u64 + chunk.offset;
            file.write_all_at(&payloads.concat(), at).expect("written");
        }
    }
    assert!(copier.is_done(), "{:?}", copier.missing());
    let meta = far.metadata().expect("a file");
    assert_eq!(meta.len(), head.len() as u64 + layout.bytes);
    assert!(meta.blocks() * 512 < 1 << 30, "the hole is one: {} blocks", meta.blocks());
    assert!(head.windows(4).any(|w| w == b"co64"));

    assert_eq!(pictures(&far).await, pictures(&near).await);
    for kind in ["v", "a"] {
        assert_eq!(packets(&far, kind).await, packets(&near, kind).await, "{kind}");
    }
    sound(&far).await;
}

/// A recording of some 60 MB, so that copying it takes a while.
async fn long() -> (PathBuf, TempDir) {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let tags = clip::heavy(&clip::looped(&clip::bbb(), 120));
    encoder.at_once(&tags).await.expect("taken");
    within("the server to hang up", encoder.finished()).await;
    let data = server.stop().await;
    (data.path().join("logs/main/s1"), data)
}

/// Stops an export once it has begun to write `to`. One that was done when the signal came is tried
/// again.
async fn interrupt(log: &str, to: &Path, words: &[&str]) {
    let part = PathBuf::from(format!("{}.part", to.display()));
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
        command.args(["export", log, "--to"]).arg(to).args(words);
        let export = Process::start(&mut command);
        within("a file", async {
            while !part.exists() && !to.exists() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        export.signal(Signal::INT);
        let ended = export.ended().await;
        if ended.code != Some(0) {
            assert_eq!(ended.code, Some(3), "{}", ended.err);
            assert!(ended.err.contains("stopped by a signal: nothing was written"), "{ended:?}");
            return;
        }
        let undone = castctl(&["export", log, "--to", &to.display().to_string()]).await;
        assert_eq!(undone.code, Some(2), "it is there, whole: {}", undone.err);
        match to.is_dir() {
            true => std::fs::remove_dir_all(to).expect("removed"),
            false => std::fs::remove_file(to).expect("removed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_export_leaves_nothing_and_says_so() {
    let (log, _data) = long().await;
    let (log, dir) = (log.to_str().expect("a path"), tempfile::tempdir().expect("a directory"));
    let left = || std::fs::read_dir(dir.path()).expect("a directory").count();
    for (name, format) in [("a.mp4", "mp4"), ("f.mp4", "fmp4"), ("vod", "hls")] {
        interrupt(log, &dir.path().join(name), &["--format", format]).await;
        assert_eq!(left(), 0, "{name}: nothing half written");
    }
    // What was there before stays there.
    let old = dir.path().join("old.mp4");
    std::fs::write(&old, b"an older one").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    command.args(["export", log, "--force", "--to"]).arg(&old);
    let part = dir.path().join("old.mp4.part");
    let export = Process::start(&mut command);
    within("a file", async {
        while !part.exists() && std::fs::read(&old).is_ok_and(|b| b == b"an older one") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    export.signal(Signal::INT);
    let ended = export.ended().await;
    let kept = std::fs::read(&old).expect("a file") == b"an older one";
    assert_eq!(kept, ended.code == Some(3), "the old one or a whole one: {}", ended.err);
    assert_eq!(left(), 1);

    // A pipe that nobody reads: the export stands in a write, and ends all the same. Not by SIGINT:
    // shells have what they start in the background ignore it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    command.args(["export", log, "--to", "-"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut export = command.spawn().expect("castctl");
    let mut pipe = export.stdout.take().expect("piped");
    pipe.read_exact(&mut [0; 8]).expect("the movie begins");
    kill_process(Pid::from_child(&export), Signal::TERM).expect("it runs");
    let status = within("its end", async {
        loop {
            if let Some(status) = export.try_wait().expect("a child") {
                return status;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status}");
}
