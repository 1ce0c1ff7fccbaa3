//! Exports of logs on disk: files appear whole or not at all, damage is passed over and said.

use super::*;
use crate::export::moment::Moment;
use crate::log::fixture::write_log;
use std::path::Path;

fn job(source: &Path, target: &Path) -> Job {
    Job {
        source: From::Path(source.to_owned()),
        session: None,
        ask: Ask::default(),
        at_key_frame: false,
        gaps: Gaps::Close,
        format: Format::Mp4,
        target: Target::Path(target.to_owned()),
        force: false,
    }
}

async fn run(job: &Job) -> Result<Summary, ExportError> {
    let (mut last, mut told) = (0, true);
    let mut tell = |p: Progress| {
        told &= p.done >= last && p.done <= p.total;
        last = p.done;
    };
    let done = export(job, &mut tell).await;
    assert!(told, "progress grows up to its total");
    done
}

fn names(dir: &Path) -> Vec<String> {
    let name = |e: std::io::Result<std::fs::DirEntry>| e.expect("an entry").file_name();
    let all = std::fs::read_dir(dir).expect("a directory");
    all.map(|e| name(e).to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn nothing_is_overwritten_unasked_and_nothing_half_stays() {
    let (data, out) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = write_log(data.path(), i64::MAX, true).await;
    let clip = out.path().join("clip.mp4");
    let mut job = job(&log, &clip);
    let first = run(&job).await.expect("exported");
    assert_eq!(first.bytes, std::fs::metadata(&clip).expect("a file").len());
    assert!(!first.damaged() && first.gaps.is_empty(), "{first}");
    assert!(matches!(run(&job).await, Err(ExportError::Exists { .. })));
    let before = std::fs::read(&clip).expect("a file");
    job.force = true;
    run(&job).await.expect("replaced");
    assert_eq!(std::fs::read(&clip).expect("a file"), before, "the same bytes every time");
    job.target = Target::Path(out.path().join("none.mp4"));
    job.ask.from = Some(Moment::FromStart(3_600_000_000));
    assert!(matches!(run(&job).await, Err(ExportError::Nothing { covers: Some(_) })));
    assert_eq!(names(out.path()), ["clip.mp4"], "no .part is left");
    // A folder that no export wrote is nobody's to replace.
    job.format = Format::Hls;
    job.ask.from = None;
    job.target = Target::Path(out.path().to_owned());
    assert!(matches!(run(&job).await, Err(ExportError::Foreign { .. })));
    job.target = Target::Path(out.path().join("vod/"));
    for _ in 0..2 {
        run(&job).await.expect("a folder, and over itself");
    }
    let mut left = names(out.path());
    left.sort();
    assert_eq!(left, ["clip.mp4", "vod"]);
}

#[tokio::test]
async fn extents_and_their_parents_are_all_logs() {
    let (data, out) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = write_log(data.path(), 3_000_000, true).await;
    let session = log.parent().expect("a session");
    let channel = session.parent().expect("a channel");
    let mut counts = Vec::new();
    let extent = log.join("00000001.extent");
    for (i, path) in [&log, session, channel, &extent].into_iter().enumerate() {
        let summary =
            run(&job(path, &out.path().join(format!("{i}.mp4")))).await.expect("exported");
        counts.push(summary.tracks[0].count);
    }
    assert!(
        counts[0] == counts[1] && counts[1] == counts[2] && counts[3] < counts[0],
        "{counts:?}"
    );
    assert!(counts[3] > 50, "{counts:?}");
    // A range that lies in one extent does not read them all.
    let mut late = job(&log, &out.path().join("late.mp4"));
    late.ask.from = Some(Moment::FromEnd(1_000_000));
    let summary = run(&late).await.expect("exported");
    let all = run(&job(&log, &out.path().join("all.mp4"))).await.expect("exported");
    assert!(summary.read_bytes < all.read_bytes, "{summary}");
}

#[tokio::test]
async fn what_is_behind_damage_is_exported_too() {
    let (data, out) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let log = write_log(data.path(), i64::MAX, true).await;
    let whole = run(&job(&log, &out.path().join("whole.mp4"))).await.expect("exported");
    let extent = log.join("00000000.extent");
    let mut bytes = std::fs::read(&extent).expect("an extent");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&extent, bytes).expect("written");
    for (name, format) in [("a.mp4", Format::Mp4), ("f.mp4", Format::Fragmented)] {
        let job = Job { format, ..job(&log, &out.path().join(name)) };
        let rest = run(&job).await.expect("exported");
        assert!(rest.damaged() && rest.damage[0].contains("00000000.extent"), "{rest}");
        assert!(rest.left_out.missing_samples > 0, "{rest}");
        let (of, left) = (whole.tracks[1].count, rest.tracks[1].count);
        assert!(left <= of && left > of * 9 / 10, "{left} of {of} frames of sound");
        assert_eq!(
            rest.tracks.iter().map(|t| t.count).sum::<u64>()
                + rest.left_out.missing_samples
                + rest.left_out.undecodable_pictures,
            whole.tracks.iter().map(|t| t.count).sum::<u64>(),
            "{rest}"
        );
    }
    let folder = Job { format: Format::Hls, ..job(&log, &out.path().join("vod")) };
    let rest = run(&folder).await.expect("exported");
    assert!(rest.damage.len() >= 2, "a segment is not whole: {rest}");
    let text =
        std::fs::read_to_string(out.path().join("vod/video/index.m3u8")).expect("a playlist");
    assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
}
