//! A recording with damage in its middle: said, mended, and good again for all that read it.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::fidelity::generations;
use crate::oracle::playlist::Playlist;
use crate::oracle::{Exception, Oracle, Seen};
use crate::process::{Up, castctl};
use crate::server::{self, PATIENCE, Server, local, silent, within};
use castctl::base::ids::{Generation, TrackId};
use castctl::hls::window::Window;
use castctl::log::dir::LogDir;
use castctl::log::format::record::Record;
use castctl::log::repair::salvage::{Piece, salvage};
use castctl::media::timeline::mark::{Mark, RENDER};
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Takes a byte of the picture in the middle of a log of one extent; where its record begins.
pub(crate) fn damage_a_picture(dir: &Path) -> u64 {
    let path = dir.join("00000000.extent");
    let mut bytes = std::fs::read(&path).expect("an extent");
    let mut pictures = Vec::new();
    salvage(0, &bytes.clone().into(), &mut |piece| {
        if let Piece::Record(f) = piece
            && matches!(&f.record, Record::Packet { packet, .. } if packet.track == TrackId::VIDEO)
        {
            pictures.push((f.at, f.raw.len()));
        }
    });
    let (at, len) = pictures[pictures.len() / 2];
    bytes[at as usize + len / 2] ^= 0x10;
    std::fs::write(&path, &bytes).expect("written");
    at
}

/// Reads a log as an edge does; answers the segments and gaps that are listed.
async fn listed(dir: &Path) -> (usize, usize) {
    let log = LogDir::open(dir).expect("a log");
    let mut records = log.read_from(0);
    let mut window: Option<Window> = None;
    let (mut generation, mut parts, mut gaps) = (Generation(0), 0, 0);
    while let Some(batch) = records.next().await.expect("a sound log") {
        for entry in batch.records() {
            let Record::Mark(mark) = entry.record else { continue };
            match &mark {
                Mark::Generation(g) => generation = g.generation,
                Mark::Session(s) => {
                    window.get_or_insert_with(|| Window::new(Arc::new(s.clone()), TrackId::VIDEO));
                }
                Mark::Track(t) if t.id == TrackId::VIDEO => {
                    window.as_mut().expect("a session").set_init("init");
                }
                Mark::PartEnd(p) => parts += usize::from(p.track == TrackId::VIDEO),
                Mark::Gap(g) => gaps += usize::from(g.track == TrackId::VIDEO),
                _ => {}
            }
            if let Some(window) = &mut window {
                window.apply(generation.into(), &mark).expect("a legal mark");
            }
        }
    }
    (parts, gaps)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_recording_is_mended_and_plays() {
    let server = Server::start(vec![server::fast("main", &[server::KEY])]).await;
    let mut encoder = Encoder::connect(server.rtmp, server::KEY).await.expect("accepted");
    encoder.at_once(&clip::bbb()).await.expect("sent");
    let session = fetched::session(&server.url("/"), "main").await;
    fetched::media_until(&session, "video", |p| p.segments.len() >= 3).await;
    encoder.finish().await;
    let data = within("the server's end", server.stop()).await;
    let logs = data.path().join("logs/main");
    let session = std::fs::read_dir(&logs).expect("a session").next().expect("one").expect("one");
    let dir = std::fs::read_dir(session.path()).expect("logs").next().expect("one").expect("one");
    let dir = dir.path();
    let log = dir.display().to_string();
    let (whole, none) = listed(&dir).await;
    let sound = castctl(&["inspect", &log]).await;
    assert_eq!((sound.code, none), (Some(0), 0), "{}", sound.out);
    let nothing = castctl(&["repair", &log]).await;
    assert_eq!(nothing.code, Some(0));
    assert!(nothing.out.contains("nothing to repair"), "{}", nothing.out);

    // A picture in the middle loses a byte.
    let path = dir.join("00000000.extent");
    let at = damage_a_picture(&dir);
    let bytes = std::fs::read(&path).expect("an extent");

    let said = castctl(&["inspect", &log]).await;
    assert_eq!(said.code, Some(1));
    for word in ["00000000.extent", &format!("at byte {at}"), &format!("castctl repair {log}")] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    let names = || {
        let list = std::fs::read_dir(&dir).expect("listed").map(|e| e.expect("one").file_name());
        list.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let dry = castctl(&["repair", &log, "--dry-run", "--json"]).await;
    assert_eq!((dry.code, names()), (Some(1), before), "{}", dry.err);
    let json: serde_json::Value = serde_json::from_str(&dry.out).expect("one JSON object");
    assert_eq!((&json["changed"], &json["dryRun"]), (&true.into(), &true.into()));
    let extent = &json["logs"][0]["extents"][0];
    assert_eq!((&extent["packetsLost"], &extent["gapsWritten"]), (&1.into(), &1.into()));
    assert_eq!(extent["damage"][0]["offset"], at);
    assert_eq!(std::fs::read(&path).expect("an extent"), bytes, "a dry run writes nothing");

    let mended = castctl(&["repair", &log]).await;
    assert_eq!(mended.code, Some(0), "{}", mended.err);
    assert_eq!(std::fs::read(dir.join("00000000.extent.damaged")).expect("kept"), bytes);
    let after = castctl(&["inspect", &log]).await;
    assert_eq!(after.code, Some(0), "{}", after.out);
    assert_eq!(listed(&dir).await, (whole - 1, 1), "one part is a gap");
    assert_eq!(
        castctl(&["repair", &log, "--dry-run"]).await.code,
        Some(0),
        "nothing is left to do"
    );

    // It can be published again.
    let other = Server::start(vec![server::fast("main", &[server::KEY])]).await;
    let url = other.publish_url(server::KEY);
    let replayed = castctl(&["replay", &log, &url, "--speed", "max"]).await;
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    tokio::time::timeout(PATIENCE, other.stop()).await.expect("stopped");
}

/// The segments with gaps of pictures in a log.
async fn gaps(dir: &Path) -> Vec<u64> {
    let (log, mut out) = (LogDir::open(dir).expect("a log"), Vec::new());
    let mut records = log.read_from(0);
    while let Some(batch) = records.next().await.expect("a sound log") {
        out.extend(batch.records().filter_map(|e| match e.record {
            Record::Mark(Mark::Gap(g)) if g.track == TrackId::VIDEO => Some(g.msn.0),
            _ => None,
        }));
    }
    out
}

/// Waits until a server says that so many of its logs are damaged.
async fn damaged_is(up: &Up, count: u32) {
    let (url, line) =
        (format!("http://{}/metrics", up.ports()[2]), format!("castctl_log_damaged {count}"));
    within(&line, async {
        loop {
            let text = reqwest::get(&url).await.expect("an answer").text().await.expect("a body");
            if text.lines().any(|l| l == line) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn stop(up: Up) {
    up.process.signal(Signal::TERM);
    let ended = within("the end", up.process.ended()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

/// Publishes a while, and ends the server with all of it in one log: its directory.
async fn a_session(data: &Path, oracle: impl FnOnce(&Url) -> Oracle) -> (Oracle, Up, PathBuf) {
    let up = Up::start(data, None, [local(); 3]).await;
    let base: Url = up.base().parse().expect("a URL");
    let oracle = oracle(&base);
    let mut encoder = Encoder::connect(up.ports()[0], up.line("key")).await.expect("accepted");
    encoder.at_once(&clip::looped(&clip::bbb(), 10)).await.expect("taken");
    let enough = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1003);
    oracle.until(PATIENCE, enough).await;
    // The picture in the middle is in one of the middle segments.
    within("its downloads", async {
        while [1001, 1002].iter().any(|n| {
            !oracle.media().contains_key(&format!("/live/main/s1/video/v{RENDER}/g1-{n}.m4s"))
        }) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(encoder);
    (oracle, up, generations(data).remove(0))
}

/// A session that was damaged and repaired between two runs of its server goes on, and of what
/// viewers had seen nothing is different but the segment of the damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_repaired_session_is_served_on_and_only_the_hole_is_different() {
    let data = tempfile::tempdir().expect("a directory");
    let watch = |base: &Url| Oracle::watch(vec![base.clone()], "main");
    let (oracle, up, dir) = a_session(data.path(), watch).await;
    let (ports, base, key) = (up.ports(), up.base(), up.line("key").to_owned());
    let base: Url = base.parse().expect("a URL");
    let session = fetched::session(&base, "main").await;
    oracle.except(Exception::StandsStill);
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    stop(up).await;
    let before = oracle.media();
    let known = gaps(&dir).await;
    damage_a_picture(&dir);
    let log = dir.display().to_string();
    let mended = castctl(&["repair", &log]).await;
    assert_eq!(mended.code, Some(0), "{}", mended.err);
    let lost = gaps(&dir).await;
    let lost: Vec<u64> = lost.into_iter().filter(|msn| !known.contains(msn)).collect();
    assert_eq!(lost.len(), 1, "one part: {lost:?}");
    oracle.except(Exception::Repaired { msns: lost[0]..=lost[0] });

    let up = Up::start(data.path(), None, ports).await;
    let mut encoder = Encoder::connect(ports[0], &key).await.expect("accepted");
    let again = task::spawn("encoder", async move {
        encoder.real_time(&clip::looped(&clip::bbb(), 60), |t| t).await
    });
    let back = |p: &Playlist| {
        let complete = p.segments.iter().rev().skip_while(|s| s.uri.is_none());
        let breaks = p.segments.iter().skip(1).map(|s| s.discontinuity).sum::<u64>();
        breaks >= 1 && complete.take_while(|s| !s.gap).count() >= 2
    };
    let list = fetched::media_until(&session, "video", back).await;
    let hole = list.segments.iter().find(|s| s.msn == lost[0]).expect("it is listed still");
    assert!(hole.gap || hole.parts.iter().any(|p| p.gap), "{hole:?}");
    let mut gone = 0;
    for (path, bytes) in &before {
        let answer = fetched::get(base.join(path).expect("a URL")).await;
        let same = answer.status() == StatusCode::OK
            && answer.bytes().await.expect("a body") == bytes.as_ref();
        gone += usize::from(!same);
    }
    assert!(before.len() > 20, "{} URLs were seen", before.len());
    assert!((1..=2).contains(&gone), "the part and its segment: {gone}");
    damaged_is(&up, 0).await;
    again.abort();
    silent(&oracle.report().await);
    stop(up).await;
}

/// Damage that a viewer meets is counted; a repair under the running server ends it, and moves no
/// viewer.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_repaired_while_its_session_is_watched() {
    let data = tempfile::tempdir().expect("a directory");
    let watch = |base: &Url| Oracle::watch(vec![base.clone()], "main");
    let (oracle, up, dir) = a_session(data.path(), watch).await;
    let (ports, base) = (up.ports(), up.base().parse::<Url>().expect("a URL"));
    stop(up).await;
    let seen = oracle.media();
    drop(oracle);
    let pictures = |path: &&String| path.contains("/video/") && path.ends_with(".m4s");
    let seen: Vec<(String, bytes::Bytes)> =
        seen.into_iter().filter(|(path, _)| pictures(&path)).collect();
    damage_a_picture(&dir);
    let up = Up::start(data.path(), None, ports).await;
    damaged_is(&up, 0).await;
    let statuses = async || {
        let mut all = BTreeMap::new();
        for (path, bytes) in &seen {
            let answer = fetched::get(base.join(path).expect("a URL")).await;
            let status = answer.status().as_u16();
            let same = answer.bytes().await.expect("a body") == bytes;
            *all.entry((status, same)).or_insert(0) += 1;
        }
        all
    };
    let all = statuses().await;
    let (sound, hit) = (
        *all.get(&(200, true)).unwrap_or_else(|| panic!("{all:?}")),
        *all.get(&(503, false)).unwrap_or_else(|| panic!("{all:?}")),
    );
    assert_eq!((sound + hit, all.len()), (seen.len(), 2), "{all:?}");
    assert!((1..=7).contains(&hit), "no more than one segment and its parts: {all:?}");
    damaged_is(&up, 1).await;
    assert!(!up.process.said().contains("was repaired"), "{}", up.process.said());

    let log = dir.display().to_string();
    let mended = castctl(&["repair", &log]).await;
    assert_eq!(mended.code, Some(0), "{}", mended.err);
    damaged_is(&up, 0).await;
    within("everything but the hole", async {
        loop {
            let all = statuses().await;
            if !all.contains_key(&(503, false)) {
                // The part is a gap, and its segment is shorter by it.
                let same = all[&(200, true)];
                assert!(all[&(404, false)] == 1 && same >= seen.len() - 2, "{all:?}");
                return;
            }
        }
    })
    .await;
    damaged_is(&up, 0).await;
    assert!(up.process.said().contains("the log was repaired"), "{}", up.process.said());
    stop(up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_being_written_is_refused() {
    let server = Server::start(vec![server::fast("main", &[server::KEY])]).await;
    let mut encoder = Encoder::connect(server.rtmp, server::KEY).await.expect("accepted");
    encoder.at_once(&clip::bbb()).await.expect("sent");
    fetched::session(&server.url("/"), "main").await;
    let data = server.data().to_owned();
    let all = castctl(&["repair", &data.display().to_string()]).await;
    assert_eq!(all.code, Some(3), "the only log is held: {}", all.err);
    assert!(all.err.contains("is being written by"), "{}", all.err);
    assert!(all.err.contains(&format!("process {}", std::process::id())), "{}", all.err);
    encoder.finish().await;
    within("the server's end", server.stop()).await;
}
