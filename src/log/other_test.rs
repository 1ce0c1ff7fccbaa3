//! Logs that meet other readers and writers: one of the next version, and one written in another
//! language from the manual page alone.

use crate::base::ids::TrackId;
use crate::base::ids::{Generation, Msn, Seq, Session};
use crate::base::time::Wall;
use crate::log::dir::LogDir;
use crate::log::fixture;
use crate::log::format::crc;
use crate::log::format::extent::{HEADER_LEN, Header, HeaderError};
use crate::log::format::record::{Record, kind};
use crate::log::format::version::{Range, VERSION, Wrote};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{GenerationStart, Mark, SegmentStart};
use std::path::Path;
use std::process::Command;

/// The next version: it adds a kind, which readers of today may skip.
const NEXT: Wrote = Wrote { version: VERSION + 1, oldest_reader: 1 };

fn id() -> LogId {
    let channel = "stage".parse().expect("a name");
    LogId { channel, session: Session(3), generation: Generation(1), rung: None }
}

fn start() -> GenerationStart {
    GenerationStart {
        session: Session(3),
        generation: Generation(1),
        job: None,
        base: Msn(100),
        dseq: 0,
        previous: None,
    }
}

fn options(format: Wrote) -> Options {
    let sync = Sync::Never;
    Options { sync, low_space: 0, extent_bytes: 5000, tail_bytes: 1, format, ..Options::default() }
}

/// Four segments of ten packets, several extents.
fn write(writer: &mut Writer) {
    for i in 0..40 {
        if i % 10 == 0 {
            writer.roll_if_due(i * 40_000);
            writer.append_mark(&segment(i as u64)).expect("taken");
        }
        let payload = vec![i as u8; 500].into();
        let (track, dts, key) = (TrackId::VIDEO, i * 40, i % 10 == 0);
        let packet = Packet { track, dts, cts: 0, key, payload };
        writer.append_packet(&packet, Some(Seq(i as u64))).expect("taken");
    }
    writer.flush();
}

fn segment(first: u64) -> Mark {
    Mark::SegmentStart(SegmentStart {
        track: TrackId::VIDEO,
        msn: Msn(100 + first / 10),
        dseq: 0,
        discontinuity: false,
        independent: true,
        wall: Wall(first as i64 * 40_000),
        first_seq: Seq(first),
    })
}

/// Marks and packets, and how many records were none of today's.
async fn read(path: &Path) -> (Vec<Record>, usize) {
    let (mut records, mut others) = (Vec::new(), 0);
    let mut sub = LogDir::open(path).expect("opens").read_from(0);
    while let Some(batch) = sub.next().await.expect("readable") {
        for e in batch.records() {
            match e.record {
                Record::Unknown { kind: found } => {
                    assert_eq!(found, kind::PRETENDED);
                    others += 1;
                }
                record => records.push(record),
            }
        }
    }
    (records, others)
}

#[tokio::test]
async fn todays_readers_read_what_the_next_version_writes() {
    let mut all = Vec::new();
    for (format, others) in [(Wrote::TODAY, 0), (NEXT, 4)] {
        let data = tempfile::tempdir().expect("a directory");
        let logs = Logs::open(data.path(), options(format)).expect("opens");
        let path = id().dir(data.path());
        let mut writer = logs.create(&id(), start()).await.expect("created");
        write(&mut writer);
        let live = logs.index(&id()).await.expect("indexed").footers.len();
        drop((writer, logs));
        // Today's recovery seals what the next version left open, today's footers list its record.
        let logs = Logs::open(data.path(), options(Wrote::TODAY)).expect("opens");
        let recovered = loop {
            // The writer's thread still has to let go of the lock.
            match logs.recover().await.expect("recovered").pop() {
                Some(recovered) => break recovered,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!((recovered.cut, recovered.end.map(|e| e.msn)), (None, Some(Msn(103))));
        let index = logs.index(&id()).await.expect("indexed");
        assert!(index.sealed && index.footers.len() > live.max(2));
        let marks = index.footers.iter().flat_map(|f| f.marks()).count();
        let (records, unknown) = read(&path).await;
        assert_eq!((marks, unknown), (5, others));
        let first = std::fs::read(path.join("00000000.extent")).expect("readable");
        assert_eq!(Header::decode(&first).map(|h| h.wrote), Ok(format));
        // And the next version's readers read today's.
        let next = Range { oldest: 1, newest: NEXT.version };
        assert_eq!(Header::decode_as(next, &first).map(|h| h.wrote), Ok(format));
        all.push(records);
    }
    assert_eq!(all[0], all[1], "but for its own records the two are the same");
}

#[tokio::test]
async fn what_todays_readers_may_not_read_is_refused_with_both_versions() {
    let data = tempfile::tempdir().expect("a directory");
    let next = VERSION + 1;
    let changed = Wrote { version: next, oldest_reader: next };
    let logs = Logs::open(data.path(), options(changed)).expect("opens");
    let writer = logs.create(&id(), start()).await.expect("created");
    writer.seal().await.expect("sealed");
    let path = id().dir(data.path());
    let e = LogDir::open(&path).expect_err("not for this reader").to_string();
    let want = format!(
        "was written in format version {next}, for readers of version {next} or newer; this \
         castctl reads 1-{VERSION}"
    );
    assert!(e.ends_with(&want), "{e}");
    let bytes = std::fs::read(path.join("00000000.extent")).expect("readable");
    let refused = Header::decode(&bytes[..HEADER_LEN]);
    assert!(matches!(refused, Err(HeaderError::Version { .. })), "{refused:?}");
    assert_eq!(logs.recover().await.expect("no more than a message in the log").len(), 0);
    assert_eq!(std::fs::read(path.join("00000000.extent")).expect("readable"), bytes);
}

/// `tests/reader.py`, which knows the manual page and no line of this code, and its view of a log.
fn other_reader(path: &Path) -> serde_json::Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader.py");
    let out = Command::new("python3").arg(script).arg(path).output().expect("python3 runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[tokio::test]
async fn a_reader_written_from_the_manual_page_alone_reads_the_same() {
    let data = tempfile::tempdir().expect("a directory");
    let path = fixture::write_log_with_cues(data.path(), 4_000_000).await;
    let seen = other_reader(&path);
    let extents = seen.as_array().expect("a list");
    let dir = LogDir::open(&path).expect("opens");
    assert_eq!(extents.len(), dir.extents().len());
    assert!(extents.len() > 1, "the clip has 10 s");
    assert!(extents.iter().all(|x| x["sealed"] == true && x["version"] == VERSION));
    let mut theirs = extents.iter().flat_map(|x| {
        let i = x["extent"].as_u64().expect("a number");
        x["records"].as_array().expect("a list").iter().map(move |r| (i, r))
    });
    let mut sub = dir.read_from(0);
    let mut packets = 0;
    while let Some(batch) = sub.next().await.expect("readable") {
        for e in batch.records() {
            let (extent, r) = theirs.next().expect("as many records");
            assert_eq!((extent, &r["at"]), (e.start.extent.into(), &e.start.offset.into()));
            match e.record {
                Record::Packet { packet, seq } => {
                    let sum = crc(&packet.payload);
                    assert_eq!(r["crc"], sum, "{e:?}", e = e.start);
                    assert_eq!(r["seq"].as_u64(), seq.map(|s| s.0));
                    assert_eq!((&r["dts"], &r["cts"]), (&packet.dts.into(), &packet.cts.into()));
                    assert_eq!(
                        (&r["key"], &r["track"]),
                        (&packet.key.into(), &packet.track.0.into())
                    );
                    packets += 1;
                }
                Record::Mark(mark) => same_mark(&mark, r),
                Record::Unknown { kind: k } => {
                    assert_eq!((k, &r["kind"]), (kind::DURABLE, &10.into()))
                }
            }
        }
    }
    assert_eq!(theirs.next(), None);
    assert!(packets > 600, "{packets}");
    same_footers(data.path(), extents).await;
}

/// The numbers that a mark and the other reader's view of it must share.
fn same_mark(mark: &Mark, r: &serde_json::Value) {
    let m = &r["mark"];
    match mark {
        Mark::Generation(g) => {
            assert_eq!((&m["base"], &m["generation"]), (&g.base.0.into(), &3.into()))
        }
        Mark::Session(s) => {
            assert_eq!(
                (&m["target"], &m["part"]),
                (&s.target_duration.into(), &s.part_target.into())
            );
            for (a, b) in s.renditions.iter().zip(m["renditions"].as_array().expect("a list")) {
                assert_eq!(
                    (&b["name"], &b["codecs"]),
                    (&a.name.as_str().into(), &a.codecs.as_str().into())
                );
                assert_eq!(b["size"][0].as_u64(), a.resolution.map(|r| r.0.into()));
                assert_eq!(b["channels"].as_u64(), a.channels.map(u64::from));
            }
        }
        Mark::Track(t) => {
            let sum = crc(&t.config);
            assert_eq!(
                (&m["timescale"], &m["configuration"]),
                (&t.timescale.get().into(), &sum.into())
            );
        }
        Mark::SegmentStart(s) => {
            assert_eq!((&m["msn"], &m["wall"]), (&s.msn.0.into(), &s.wall.0.into()));
            assert_eq!(
                (&m["first"], &m["independent"]),
                (&s.first_seq.0.into(), &s.independent.into())
            );
        }
        Mark::PartEnd(p) => {
            assert_eq!((&m["msn"], &m["part"]), (&p.msn.0.into(), &p.part.into()));
            assert_eq!((&m["last"], &m["time"]), (&p.last_seq.0.into(), &p.decode_time.into()));
        }
        Mark::Gap(g) => {
            assert_eq!((&m["msn"], &m["duration"]), (&g.msn.0.into(), &g.duration.into()))
        }
        Mark::Cue(c) => {
            assert_eq!((&m["id"], &m["start"]), (&c.id.as_str().into(), &c.start.0.into()));
            assert_eq!((&m["repeated"], &m["added"]), (&c.repeated.into(), &c.added.0.into()));
            let data: serde_json::Value = serde_json::from_str(&c.data).expect("JSON");
            assert_eq!((&m["data"], &m["duration"]), (&data, &c.duration.into()));
        }
        Mark::End(e) => {
            assert_eq!((&m["msn"], &m["over"]), (&e.msn.0.into(), &e.session_over.into()));
            assert_eq!(m["tracks"].as_array().map(Vec::len), Some(e.tracks.len()));
        }
    }
}

async fn same_footers(data: &Path, extents: &[serde_json::Value]) {
    let logs = Logs::open(data, options(Wrote::TODAY)).expect("opens");
    let channel = "main".parse().expect("a name");
    let id = LogId { channel, session: Session(2), generation: Generation(3), rung: None };
    let index = logs.index(&id).await.expect("indexed");
    assert_eq!(index.footers.len(), extents.len());
    for (ours, theirs) in index.footers.iter().zip(extents) {
        let f = &theirs["footer"];
        assert_eq!(f["recordsEnd"], ours.records_end);
        assert_eq!(f["msn"][0].as_u64(), ours.msn.map(|m| m.0.0));
        assert_eq!(f["wall"][1].as_i64(), ours.wall.map(|w| w.1.0));
        for (a, b) in ours.tracks.iter().zip(f["tracks"].as_array().expect("a list")) {
            assert_eq!((&b["track"], &b["nextSeq"]), (&a.track.0.into(), &a.next_seq.0.into()));
            assert_eq!((&b["packets"], &b["bytes"]), (&a.packets.into(), &a.bytes.into()));
            assert_eq!(b["waiting"].as_u64(), Some(a.open.len() as u64));
        }
        let marks = f["marks"].as_array().expect("a list");
        assert_eq!(marks.len(), ours.marks().count());
        for (a, b) in ours.marks().zip(marks) {
            assert_eq!(b["at"], a.at.offset);
            assert_eq!(b["span"][1][1].as_u64(), a.samples.map(|s| s.end.offset));
        }
    }
}
