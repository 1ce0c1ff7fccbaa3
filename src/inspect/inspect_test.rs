//! Looks at the fixture clip, whole and damaged, and at logs made of it.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::inspect::error::InspectError;
use crate::inspect::report::log::Place;
use crate::inspect::report::{Report, Severity};
use crate::inspect::rows::Row;
use crate::inspect::timeline::Choice;
use crate::inspect::{flv, lines, log, table, tail};
use crate::log::fixture::{BBB, write_log};
use crate::log::format::extent::TRAILER_LEN;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::subscription::From;
use crate::media::packet::Packet;
use crate::media::timeline::mark::GenerationStart;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::path::{Path, PathBuf};

fn texts(r: &Report, s: Severity) -> Vec<&str> {
    r.findings.iter().filter(|f| f.severity == s).map(|f| &*f.text).collect()
}

#[test]
fn the_clip() {
    let r = flv::inspect(Path::new(BBB)).expect("FLV");
    assert_eq!((r.kind, r.damaged, r.tracks.len()), ("flv", false, 2));
    let v = &r.tracks[0];
    assert_eq!(
        (v.kind, &*v.codec, v.width, v.height),
        ("video", "avc1.42c01e", Some(640), Some(360))
    );
    assert_eq!((v.packets, v.key_frames, v.frame_rate), (250, 4, Some(25.0)));
    assert_eq!(v.b_frames, Some(false));
    let gop = v.gop.expect("of video");
    assert_eq!((gop.min_seconds, gop.max_seconds), (Some(2.28), Some(3.0)));
    let a = &r.tracks[1];
    assert_eq!((&*a.codec, a.sample_rate, a.channels), ("mp4a.40.2", Some(44_100), Some(2)));
    assert_eq!((a.packets, a.timestamps.holes, a.timestamps.backward), (432, 0, 0));
    assert_eq!(r.skew.expect("both").start_seconds, -0.08);
    assert!(table::render(&r).contains("640x360"));
    let json = serde_json::to_value(&r).expect("JSON");
    assert_eq!(json["tracks"][0]["gop"]["maxSeconds"], 3.0);
    assert_eq!(json["flv"]["tornBytes"], 0);
}

#[test]
fn a_damaged_clip() {
    let whole = std::fs::read(BBB).expect("the clip");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("clip.flv");
    std::fs::write(&path, &whole[..whole.len() - 100]).expect("written");
    let r = flv::inspect(&path).expect("FLV");
    assert!(r.damaged, "{:?}", r.findings);
    assert_eq!(r.tracks[0].packets + r.tracks[1].packets, 681);
    let mut hit = whole.clone();
    let middle = whole.len() / 2;
    hit[middle..].fill(0xee);
    std::fs::write(&path, &hit).expect("written");
    let r = flv::inspect(&path).expect("FLV");
    assert!(r.damaged && r.tracks[0].packets > 50, "{:?}", r.findings);
    std::fs::write(&path, b"hello").expect("written");
    assert!(matches!(flv::inspect(&path), Err(InspectError::Unknown { .. })));
}

/// A log of several extents, sealed or not.
async fn a_log(seal: bool) -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().expect("a directory");
    let dir = write_log(data.path(), 2_000_000, seal).await;
    (data, dir)
}

#[tokio::test]
async fn a_sealed_log() {
    let (data, dir) = a_log(true).await;
    let r = log::inspect(&dir).expect("a log");
    assert!(!r.damaged, "{:?}", r.findings);
    assert_eq!((r.tracks[0].packets, r.tracks[1].packets), (250, 432));
    assert_eq!((r.tracks[0].width, &*r.tracks[1].codec), (Some(640), "mp4a.40.2"));
    let l = r.log.as_ref().expect("a log");
    let g = &l.generations[0];
    assert_eq!((g.session, g.generation, g.base), (Some(2), 3, Some(7)));
    assert_eq!((g.first_msn, g.target_duration, g.part_target), (Some(7), Some(4), Some(0.522)));
    assert!(g.ended && g.session_over);
    assert!(g.extents.len() >= 3, "{:?}", g.extents);
    assert!(g.extents.iter().all(|e| e.sealed && e.footer_ok == Some(true)), "{:?}", g.extents);
    assert!(l.segments >= 6 && l.parts >= 30 && l.gaps == 0, "{l:?}");
    let c = l.cost;
    let sum = c.media_bytes + c.head_bytes + c.mark_bytes + c.extent_bytes + c.damaged_bytes;
    assert_eq!((sum, c.damaged_bytes), (c.total_bytes, 0));
    // The same from above, and one extent of it alone.
    let above = log::inspect(data.path()).expect("a data directory");
    assert_eq!(above.tracks, r.tracks);
    let one = log::inspect(&dir.join("00000001.extent")).expect("an extent");
    assert!(!one.damaged, "{:?}", one.findings);
    assert!((50..200).contains(&one.tracks[0].packets));
    assert!(table::render(&r).contains("s2/g3"));
}

#[tokio::test]
async fn a_torn_log() {
    let (_data, dir) = a_log(false).await;
    let r = log::inspect(&dir).expect("a log");
    assert!(!r.damaged, "an open log is not damaged: {:?}", r.findings);
    let last = std::fs::read_dir(&dir).expect("listed").map(|e| e.expect("an entry").path());
    let last = last.filter(|p| p.extension().is_some()).max().expect("an extent");
    let bytes = std::fs::read(&last).expect("readable");
    std::fs::write(&last, &bytes[..bytes.len() - 7]).expect("written");
    let torn = log::inspect(&dir).expect("a log");
    assert!(torn.damaged);
    let l = torn.log.as_ref().expect("a log");
    let e = l.generations[0].extents.last().expect("an extent");
    assert!(!e.sealed && e.torn_bytes > 0 && e.damaged_bytes == 0, "{e:?}");
    assert!(texts(&torn, Severity::Damage)[0].contains("torn tail"), "{:?}", torn.findings);
}

#[tokio::test]
async fn a_log_with_holes_is_read_behind_them() {
    let (_data, dir) = a_log(true).await;
    let whole = log::inspect(&dir).expect("a log");
    let path = dir.join("00000000.extent");
    let bytes = std::fs::read(&path).expect("readable");
    let mut hit = bytes.clone();
    let middle = hit.len() / 2;
    hit[middle..middle + 64].fill(0xee);
    std::fs::write(&path, &hit).expect("written");
    let r = log::inspect(&dir).expect("a log");
    assert!(r.damaged);
    let (lost, all) = (r.tracks[0].packets + r.tracks[1].packets, 682);
    assert!(lost < all && lost > all - 20, "{lost} of {all}");
    let e = &r.log.as_ref().expect("a log").generations[0].extents[0];
    assert!(e.damaged_bytes >= 64 && e.sealed, "{e:?}");
    let c = r.log.as_ref().expect("a log").cost;
    let sum = c.media_bytes + c.head_bytes + c.mark_bytes + c.extent_bytes + c.damaged_bytes;
    assert_eq!(sum, c.total_bytes);

    // A footer that lies, an extent that is gone.
    let mut lying = bytes.clone();
    let at = lying.len() - TRAILER_LEN - 40;
    lying[at] ^= 1;
    std::fs::write(&path, &lying).expect("written");
    let r = log::inspect(&dir).expect("a log");
    assert!(r.damaged && r.tracks == whole.tracks, "{:?}", r.findings);
    std::fs::write(&path, &bytes).expect("written");
    std::fs::remove_file(dir.join("00000001.extent")).expect("removed");
    let r = log::inspect(&dir).expect("a log");
    let damage = texts(&r, Severity::Damage);
    assert!(damage.iter().any(|t| t.contains("extents 1 to 1 are missing")), "{damage:?}");
}

#[tokio::test]
async fn what_lies_beside_a_log_is_noted_and_is_no_damage() {
    let (_data, dir) = a_log(true).await;
    let whole = log::inspect(&dir).expect("a log");
    let names = ["00000000.extent.damaged", "00000001.extent.4711.torn", "00000002.extent.orphan"];
    for name in names {
        std::fs::write(dir.join(name), b"no record").expect("written");
    }
    for target in [dir.clone(), dir.join("00000000.extent")] {
        let r = log::inspect(&target).expect("a log");
        let notes = texts(&r, Severity::Note);
        let said = |n: &&&str| notes.iter().any(|t| t.contains(&format!("set aside: {n}:")));
        assert_eq!(names.iter().filter(said).count(), names.len(), "{notes:?}");
        assert!(!r.damaged, "{:?}", r.findings);
    }
    assert_eq!(log::inspect(&dir).expect("a log").tracks, whole.tracks);
}

#[tokio::test]
async fn mutations_of_extents_do_no_harm() {
    let (_data, dir) = a_log(true).await;
    let path = dir.join("00000001.extent");
    let whole = std::fs::read(&path).expect("readable");
    let mut state = 0x0123_4567_89ab_cdefu64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for _ in 0..100 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, 7),
                _ if at < bytes.len() => bytes[at] ^= 1 << random(8),
                _ => {}
            }
        }
        std::fs::write(&path, &bytes).expect("written");
        let r = log::inspect(&path).expect("a report, whatever it is");
        assert!(r.damaged || r.tracks.iter().any(|t| t.packets > 0));
        assert_eq!(r.bytes, bytes.len() as u64);
    }
}

#[test]
fn what_is_nothing_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(log::inspect(dir.path()), Err(InspectError::Unknown { .. })));
    assert!(matches!(flv::inspect(&dir.path().join("x")), Err(InspectError::Read { .. })));
}

#[tokio::test]
async fn several_logs_are_reports_of_their_own() {
    let (data, dir) = a_log(true).await;
    let other = data.path().join("logs/other/s1/g3");
    std::fs::create_dir_all(&other).expect("made");
    for entry in std::fs::read_dir(&dir).expect("listed") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, other.join(path.file_name().expect("a name"))).expect("copied");
    }
    let alone = log::inspect(&dir).expect("a log");
    let both = log::inspect(data.path()).expect("logs");
    let logs = both.logs.as_ref().expect("several");
    assert_eq!((both.kind, logs.len(), both.damaged), ("logs", 2, false));
    assert!(logs.iter().all(|l| l.tracks == alone.tracks && l.findings == alone.findings));
    assert!(table::render(&both).contains("other/s1/g3"));
}

/// The rows of a timeline, as JSON.
fn rows(path: &Path, choice: Choice) -> (bool, Vec<serde_json::Value>) {
    let mut rows = Vec::new();
    let damaged = tail::stored(path, choice, &mut |_, row| {
        assert!(!lines::line(row).contains('\n'));
        rows.push(serde_json::to_value(row).expect("JSON"));
    });
    (damaged.expect("a log"), rows)
}

#[tokio::test]
async fn a_timeline_accounts_for_every_packet() {
    let (_data, dir) = a_log(true).await;
    let (damaged, all) = rows(&dir, Choice::default());
    assert!(!damaged);
    let sum = |track: u64, field: &str| -> f64 {
        let of = all.iter().filter(|r| r["event"] == "segment" && r["track"] == track);
        of.map(|r| r[field].as_f64().expect("a number")).sum()
    };
    assert_eq!((sum(1, "packets"), sum(2, "packets")), (250.0, 432.0));
    assert!((sum(1, "seconds") - 10.0).abs() < 0.1, "{}", sum(1, "seconds"));
    let first = all.iter().find(|r| r["event"] == "segment" && r["track"] == 1).expect("one");
    assert_eq!((first["msn"].as_u64(), &first["independent"]), (Some(7), &true.into()));
    assert_eq!(all[0]["event"], "generation");
    assert_eq!(all.last().expect("rows")["event"], "end");
    let (_, two) = rows(&dir, Choice { msn: Some((8, 9)), ..Choice::default() });
    assert!(
        !two.is_empty() && two.iter().all(|r| (8..=9).contains(&r["msn"].as_u64().unwrap_or(8)))
    );
    let (_, packets) = rows(&dir, Choice { packets: true, ..Choice::default() });
    assert_eq!(packets.iter().filter(|r| r["event"] == "packet").count(), 682);
}

#[tokio::test]
async fn a_timeline_goes_on_behind_damage() {
    let (_data, dir) = a_log(true).await;
    let path = dir.join("00000000.extent");
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xee);
    std::fs::write(&path, &bytes).expect("written");
    let (damaged, all) = rows(&dir, Choice::default());
    assert!(damaged && all.iter().any(|r| r["event"] == "hole" && r["extent"] == 0));
    assert_eq!(all.last().expect("rows")["event"], "end");
}

#[tokio::test]
async fn a_log_is_followed_to_its_end() {
    let (_data, dir) = a_log(true).await;
    let (_, stored) = rows(&dir, Choice::default());
    let (clock, drain) = (Clock::system(), Drain::new());
    let mut followed = Vec::new();
    let mut each = |row: &Row| followed.push(serde_json::to_value(row).expect("JSON"));
    tail::follow(&dir, Choice::default(), &clock, &drain, &mut each).await.expect("followed");
    assert_eq!(followed, stored);
    // One that nobody seals is followed until somebody has seen enough.
    let (_open, dir) = a_log(false).await;
    drain.start();
    tail::follow(&dir, Choice::default(), &clock, &drain, &mut |_| {}).await.expect("stopped");
}

#[tokio::test]
async fn a_log_shows_how_far_it_is_visible_and_how_far_durable() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { low_space: 0, sync: Sync::Never, ..Options::default() };
    let logs = Logs::open(dir.path(), options).expect("a directory of our own");
    let channel = "main".parse().expect("a name");
    let id = LogId { channel, session: Session(1), generation: Generation(1), rung: None };
    let (session, generation) = (id.session, id.generation);
    let start =
        GenerationStart { session, generation, job: None, base: Msn(1), dseq: 0, previous: None };
    let mut writer = logs.create(&id, start).await.expect("created");
    let mut reader = logs.subscribe(&id, From::Start).expect("it is there");
    let mut places = Vec::new();
    for seq in 0..3 {
        let payload = bytes::Bytes::from_static(b"picture");
        let (track, dts) = (TrackId::VIDEO, seq * 40);
        let packet = Packet { track, dts, cts: 0, key: true, payload };
        writer.append_packet(&packet, Some(Seq(seq as u64))).expect("appended");
        writer.flush();
        let end = writer.position();
        while reader.position() < end {
            reader.next().await.expect("readable");
        }
        places.push(Place::from(end));
        if seq < 2 {
            logs.sync_now().await;
        }
    }
    let report = log::inspect(&id.dir(dir.path())).expect("a log");
    let found = &report.log.as_ref().expect("a log's part").generations[0];
    assert_eq!(found.visible, *places.last().expect("three"));
    // The note of the second sync went in with the third packet.
    assert_eq!(found.durable, Some(places[1]));
    assert!(table::render(&report).contains(&places[1].to_string()));
}
