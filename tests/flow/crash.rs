//! `kill -9` during a publish: nothing that any reader saw is missing afterwards.

use crate::clip;
use crate::encoder::{Encoder, stubborn};
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::oracle::{Exception, Oracle};
use crate::process::Up;
use crate::server::{PATIENCE, local, silent, within};
use bytes::{Bytes, BytesMut};
use castctl::base::ids::{Seq, TrackId};
use castctl::log::format::record::encode_packet;
use castctl::media::packet::Packet;
use castctl::rt::task;
use reqwest::StatusCode;
use rustix::process::Signal;
use std::path::{Path, PathBuf};

fn breaks(p: &Playlist) -> u64 {
    p.segments.iter().skip(1).map(|s| s.discontinuity).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_everything_anyone_saw() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(dir.path(), None, [local(); 3]).await;
    let (ports, base) = (up.ports(), up.base());
    let base: reqwest::Url = base.parse().expect("a URL");
    let oracle = Oracle::watch(vec![base.clone()], "main");
    let tags = clip::looped(&clip::bbb(), 60);
    let key = up.line("key").to_owned();
    let encoder = task::spawn("encoder", stubborn(ports[0], key.clone(), tags));
    let session = fetched::session(&base, "main").await;
    oracle
        .until(PATIENCE, |seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1003))
        .await;
    oracle.except(Exception::StandsStill);
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    up.process.signal(Signal::KILL);
    assert_eq!(up.process.ended().await.code, None, "killed");
    let seen_before = oracle.media();
    let mut up = Up::start(dir.path(), None, ports).await;
    assert_eq!(up.line("key"), key, "the stream key is the same");
    up.process.says("sealed a log that lost its writer").await;
    up.process.says("taken up again: after a restart").await;
    for rendition in ["video", "audio"] {
        let back = |p: &Playlist| {
            let complete = p.segments.iter().rev().skip_while(|s| s.uri.is_none());
            breaks(p) >= 1 && complete.take_while(|s| !s.gap).count() >= 2
        };
        let list = fetched::media_until(&session, rendition, back).await;
        assert_eq!(breaks(&list), 1, "{rendition}: one discontinuity");
        let first = list.segments.first().expect("segments").msn;
        assert!(list.segments.iter().enumerate().all(|(i, s)| s.msn == first + i as u64));
    }
    assert!(seen_before.len() > 20, "{} URLs were seen", seen_before.len());
    for (path, bytes) in &seen_before {
        let url = base.join(path).expect("a URL");
        let answer = fetched::get(url).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path} is missing");
        assert_eq!(answer.bytes().await.expect("a body"), bytes, "{path} differs");
    }
    encoder.abort();
    silent(&oracle.report().await);
    up.process.signal(Signal::TERM);
    assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
}

/// The newest extent below a directory.
fn newest_extent(dir: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("listed") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.extension().is_some_and(|e| e == "extent") => found.push(path),
                false => {}
            }
        }
    }
    found.into_iter().max().expect("an extent")
}

/// What a crash of the machine leaves where a crash of the process leaves whole records.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(dir.path(), None, [local(); 3]).await;
    let (ports, base) = (up.ports(), up.base());
    let base: reqwest::Url = base.parse().expect("a URL");
    let key = up.line("key").to_owned();
    let mut encoder = Encoder::connect(ports[0], &key).await.expect("accepted");
    encoder.at_once(&clip::looped(&clip::bbb(), 8)).await.expect("taken");
    let session = fetched::session(&base, "main").await;
    let listed = |p: &Playlist| p.segments.len() >= 3;
    let before = fetched::media_until(&session, "video", listed).await;
    up.process.signal(Signal::KILL);
    assert_eq!(up.process.ended().await.code, None, "killed");
    drop(encoder);

    let extent = newest_extent(dir.path());
    let whole = std::fs::metadata(&extent).expect("there").len();
    let payload = Bytes::from(vec![7; 5000]);
    let packet = Packet { track: TrackId::VIDEO, dts: 1 << 20, cts: 0, key: false, payload };
    let mut record = BytesMut::new();
    encode_packet(&mut record, &packet, Some(Seq(1 << 20))).expect("small");
    let torn = &record[..record.len() / 2];
    let mut file = std::fs::OpenOptions::new().append(true).open(&extent).expect("opened");
    std::io::Write::write_all(&mut file, torn).expect("written");
    drop(file);

    let mut up = Up::start(dir.path(), None, ports).await;
    let said = up.process.says("sealed a log that lost its writer").await;
    let line = said.lines().find(|l| l.contains("sealed a log")).expect("the line");
    let cut = format!("cut_bytes={} cut_packets=1 ", torn.len());
    assert!(line.contains(&cut) && line.contains("is cut off"), "wanted {cut}: {line}");
    up.process.says("taken up again: after a restart").await;
    let sealed = std::fs::read(&extent).expect("readable");
    let kept = sealed.windows(64).any(|w| w == [7; 64]);
    assert!(!kept, "nothing of the half record is left");
    assert!(sealed.len() as u64 > whole, "a footer follows the last whole record");

    let mut encoder = Encoder::connect(ports[0], &key).await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), 30);
    let again = task::spawn("encoder", async move { encoder.real_time(&tags, |t| t).await });
    let back = |p: &Playlist| {
        let complete = p.segments.iter().rev().skip_while(|s| s.uri.is_none());
        breaks(p) >= 1 && complete.take_while(|s| !s.gap).count() >= 2
    };
    let list = fetched::media_until(&session, "video", back).await;
    assert_eq!(breaks(&list), 1, "one discontinuity");
    let first = before.segments.first().expect("segments");
    assert_eq!(list.segments.first().map(|s| s.msn), Some(first.msn), "it is the same stream");
    assert!(list.segments.iter().enumerate().all(|(i, s)| s.msn == first.msn + i as u64));
    again.abort();
    up.process.signal(Signal::TERM);
    assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
}
