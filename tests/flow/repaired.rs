//! A recording with damage in its middle: said, mended, and good again for all that read it.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::process::{Ended, run};
use crate::server::{self, PATIENCE, Server, within};
use castctl::base::ids::{Generation, TrackId};
use castctl::hls::window::Window;
use castctl::log::dir::LogDir;
use castctl::log::format::record::Record;
use castctl::log::repair::salvage::{Piece, salvage};
use castctl::media::timeline::mark::Mark;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub(crate) async fn castctl(words: &[&str]) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_castctl")).args(words)).await
}

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
                window.apply(generation, &mark).expect("a legal mark");
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
