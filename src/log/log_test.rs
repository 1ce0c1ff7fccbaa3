//! The log as its writers and readers use it, on real files and on disks that block, fill up and
//! are cut.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::{Timescale, Wall};
use crate::log::error::LogError;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::Record;
use crate::log::format::{HEADER_POSITION, PAYLOAD_MAX, Position};
use crate::log::fs::{Disk, FileSystem, Lock, LogFile, Open};
use crate::log::id::LogId;
use crate::log::logs::{Logs, READ_MAX};
use crate::log::options::{Options, Sync};
use crate::log::reader::Place;
use crate::log::recover::{Cut, close};
use crate::log::subscription::{From, Subscription};
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{
    GenerationStart, LastSegment, Mark, PartEnd, SegmentStart, TrackEnd,
};
use crate::media::track::{Codec, Track};
use crate::rt::task;
use bytes::Bytes;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use tempfile::TempDir;

/// A disk with a gate before its writes and a limit to its room. Syncs are free.
#[derive(Debug, Clone)]
struct TestDisk(Arc<Controls>);

#[derive(Debug)]
struct Controls {
    open: Mutex<bool>,
    opened: Condvar,
    room: Mutex<u64>,
}

#[derive(Debug)]
struct TestFile(Arc<dyn LogFile>, Arc<Controls>);

impl TestDisk {
    fn new() -> TestDisk {
        let (open, room) = (Mutex::new(true), Mutex::new(u64::MAX));
        TestDisk(Arc::new(Controls { open, opened: Condvar::new(), room }))
    }

    fn gate(&self, open: bool) {
        *self.0.open.lock().expect("not poisoned") = open;
        self.0.opened.notify_all();
    }

    fn room(&self, bytes: u64) {
        *self.0.room.lock().expect("not poisoned") = bytes;
    }
}

impl FileSystem for TestDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(TestFile(Disk.open(path, how)?, Arc::clone(&self.0))))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        Disk.lock(path)
    }
    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(*self.0.room.lock().expect("not poisoned"))
    }
}

impl LogFile for TestFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[&[u8]], mut offset: u64) -> io::Result<()> {
        let open = self.1.open.lock().expect("not poisoned");
        drop(self.1.opened.wait_while(open, |open| !*open).expect("not poisoned"));
        for buf in bufs {
            let mut room = self.1.room.lock().expect("not poisoned");
            let fits = (*room).min(buf.len() as u64) as usize;
            *room -= fits as u64;
            self.0.write_at(&[&buf[..fits]], offset)?;
            if fits < buf.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            offset += fits as u64;
        }
        Ok(())
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn id(generation: u64) -> LogId {
    let channel = "stage".parse().expect("a channel name");
    LogId { channel, session: Session(3), generation: Generation(generation), rung: None }
}

fn start(generation: u64) -> GenerationStart {
    GenerationStart {
        session: Session(3),
        generation: Generation(generation),
        job: None,
        base: Msn(100),
        dseq: 2,
        previous: None,
    }
}

fn options() -> Options {
    Options { sync: Sync::Never, low_space: 0, ..Options::default() }
}

fn logs(dir: &TempDir, disk: &TestDisk, options: Options) -> Logs {
    Logs::with(Arc::new(disk.clone()), dir.path(), options).expect("a directory of our own")
}

fn video() -> Mark {
    Mark::Track(Track {
        id: TrackId::VIDEO,
        codec: Codec::H264,
        timescale: Timescale::MILLIS,
        rate: None,
        config: Bytes::from_static(b"configuration"),
    })
}

/// Frame `i` of `size` bytes at 25 frames a second.
fn frame(i: u64, size: usize) -> Packet {
    let payload = Bytes::from(vec![i as u8; size]);
    Packet { track: TrackId::VIDEO, dts: i as i64 * 40, cts: 0, key: i.is_multiple_of(50), payload }
}

fn segment(msn: u64, first: u64) -> Mark {
    Mark::SegmentStart(SegmentStart {
        track: TrackId::VIDEO,
        msn: Msn(msn),
        dseq: 2,
        discontinuity: false,
        independent: true,
        wall: Wall(first as i64 * 40_000),
        first_seq: Seq(first),
    })
}

fn part(msn: u64, part: u32, first: u64, last: u64) -> Mark {
    Mark::PartEnd(PartEnd {
        track: TrackId::VIDEO,
        msn: Msn(msn),
        part,
        first_seq: Seq(first),
        last_seq: Seq(last),
        decode_time: first * 3600,
        duration: (last - first + 1) as i64 * 40_000,
        independent: part == 0,
    })
}

/// Writes `n` frames with a part every 10 and a segment every 50, rolling where it is due; returns
/// the records that were appended, those that a roll repeats left out.
fn write(writer: &mut Writer, n: u64, size: usize) -> Vec<Record> {
    let mut all = vec![Record::Mark(Mark::Generation(start(writer.id().generation.0)))];
    let mut mark = |writer: &mut Writer, mark: Mark| {
        writer.append_mark(&mark).expect("in the limits");
        all.push(Record::Mark(mark));
    };
    mark(writer, video());
    for i in 0..n {
        let msn = 100 + i / 50;
        if i.is_multiple_of(50) {
            writer.roll_if_due(i as i64 * 40_000);
            mark(writer, segment(msn, i));
        }
        let packet = frame(i, size);
        writer.append_packet(&packet, Some(Seq(i))).expect("in the limits");
        if i % 10 == 9 {
            mark(writer, part(msn, (i % 50 / 10) as u32, i - 9, i));
            writer.flush();
        }
    }
    writer.flush();
    let packets = (0..n).map(|i| Record::Packet { packet: frame(i, size), seq: Some(Seq(i)) });
    let (mut out, mut packets, mut next) = (Vec::new(), packets.peekable(), 0);
    for record in all {
        if let Record::Mark(Mark::PartEnd(p)) = &record {
            while next <= p.last_seq.0 {
                out.extend(packets.next());
                next += 1;
            }
        }
        out.push(record);
    }
    out.extend(packets);
    out
}

/// Reads to `end`, or to the log's end; repeated configurations are left out.
async fn read(sub: &mut Subscription, end: Option<Position>) -> Vec<Record> {
    let (mut records, mut tracks) = (Vec::new(), 0);
    while end.is_none_or(|end| sub.position() < end) {
        let Some(batch) = sub.next().await.expect("readable") else { break };
        for entry in batch.records() {
            if matches!(entry.record, Record::Mark(Mark::Track(_))) {
                tracks += 1;
                if tracks > 1 {
                    continue;
                }
            }
            records.push(entry.record);
        }
    }
    records
}

#[tokio::test]
async fn readers_get_what_was_written_from_memory_disk_and_across_rolls() {
    let small = Options { extent_bytes: 100_000, tail_bytes: 30_000, ..options() };
    for (name, options) in [("all in memory", options()), ("mostly on disk, many extents", small)] {
        let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
        let logs = logs(&dir, &disk, options.clone());
        let mut writer = logs.create(&id(1), start(1)).await.expect("created");
        let mut early = logs.subscribe(&id(1), From::Start).expect("there is one");
        let follower =
            crate::rt::task::spawn("follower", async move { read(&mut early, None).await });
        let want = write(&mut writer, 500, 1000);
        let end = writer.position();
        let mut late = logs.subscribe(&id(1), From::Start).expect("there is one");
        assert_eq!(read(&mut late, Some(end)).await, want, "{name}: late");
        let sealed = writer.seal().await.expect("sealed");
        assert_eq!((sealed.position, sealed.failed.is_none()), (end, true), "{name}");
        assert_eq!(follower.await.expect("joined"), Some(want.clone()), "{name}: follower");
        assert_eq!(late.next().await.expect("readable"), None, "{name}");
        // Another process, later: files only.
        let again = Logs::with(Arc::new(disk.clone()), dir.path(), options).expect("opens");
        let mut sub = again.subscribe(&id(1), From::Start).expect("there is one");
        assert_eq!(read(&mut sub, None).await, want, "{name}: from the files");
        let listed = again.list().await.expect("listed");
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].sealed, listed[0].extents), (true, sealed.extents), "{name}");
        assert_eq!(name == "all in memory", sealed.extents == 1, "{name}");
    }
}

#[tokio::test]
async fn footers_and_ranges_find_every_part_without_reading_the_media() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, Options { extent_bytes: 30_000, tail_bytes: 1, ..options() });
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    write(&mut writer, 205, 1000);
    let index = logs.index(&id(1)).await.expect("indexed");
    assert!(!index.sealed);
    writer.seal().await.expect("sealed");
    let index = logs.index(&id(1)).await.expect("indexed");
    assert!(index.sealed && index.footers.len() > 2);
    let mut parts = 0;
    for mark in index.footers.iter().flat_map(|f| f.marks().collect::<Vec<_>>()) {
        let Mark::PartEnd(p) = mark.mark else { continue };
        let span = mark.samples.expect("the samples are in the log");
        let batches = logs.read(&id(1), span.start..span.end).await.expect("readable");
        let seqs: Vec<u64> = batches
            .iter()
            .flat_map(|b| b.records().collect::<Vec<_>>())
            .filter_map(|e| match e.record {
                Record::Packet { seq, .. } => seq.map(|s| s.0),
                _ => None,
            })
            .collect();
        assert_eq!(seqs, (p.first_seq.0..=p.last_seq.0).collect::<Vec<_>>());
        parts += 1;
    }
    assert_eq!(parts, 20);
    let forced = Position { extent: 0, offset: HEADER_LEN as u64 + 5 };
    let err = logs.read(&id(1), HEADER_POSITION..forced).await.expect_err("inside a record");
    assert!(matches!(err, LogError::NoSuchPosition { .. }), "{err}");
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_written() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, Options { backlog_bytes: 5000, ..options() });
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    let first = sub.next().await.expect("readable").expect("the first record");
    let file = id(1).dir(dir.path()).join("00000000.extent");
    let on_disk = || std::fs::metadata(&file).expect("there is one").len();
    disk.gate(false);
    for i in 0..20 {
        writer.append_packet(&frame(i, 1000), Some(Seq(i))).expect("in the limits");
        writer.flush();
    }
    assert_eq!((writer.visible(), on_disk()), (first.end(), first.end().offset));
    let mut next = Box::pin(sub.next());
    let mut ready = Box::pin(writer.ready());
    tokio::select! {
        biased;
        batch = &mut next => panic!("{batch:?} was never written"),
        _ = &mut ready => panic!("20 kB are on the way, 5 are allowed"),
        () = std::future::ready(()) => {}
    }
    disk.gate(true);
    let batch = next.as_mut().await.expect("readable").expect("now it is written");
    assert!(on_disk() >= batch.end().offset);
    ready.await.expect("room again");
    drop(next);
    assert!(writer.backlog() <= 5000);
    let end = writer.position();
    read(&mut sub, Some(end)).await;
    assert_eq!(writer.visible(), end);
    assert_eq!(writer.durable(), HEADER_POSITION);
    logs.sync_now().await;
    assert_eq!(writer.durable(), end);
    assert_eq!(logs.stats().logs[0].durable, end);
}

#[tokio::test]
async fn a_full_disk_stops_the_log_says_where_and_leaves_it_sealed() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    write(&mut writer, 55, 1000);
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    read(&mut sub, Some(writer.position())).await;
    let good = writer.visible();
    disk.room(1500);
    for i in 55..58 {
        writer.append_packet(&frame(i, 1000), Some(Seq(i))).expect("not known yet");
    }
    writer.flush();
    while writer.error().is_none() {
        tokio::task::yield_now().await;
    }
    let text = writer.error().expect("it has stopped").to_string();
    let file = id(1).dir(dir.path()).join("00000000.extent");
    assert!(text.contains(&file.display().to_string()), "{text}");
    assert!(writer.append_packet(&frame(58, 10), None).is_err(), "nothing more is taken");
    assert!(writer.ready().await.is_err(), "nobody waits for a disk that is full");
    assert_eq!(writer.visible(), good, "what was not written is not visible");

    // The room that was reserved holds the footer.
    disk.room(100_000);
    let sealed = writer.seal().await.expect("sealed over what was written");
    assert!(sealed.failed.is_some());
    assert!(sealed.position >= good);
    let last = TrackEnd { track: TrackId::VIDEO, msn: Msn(101), parts: 0, last: LastSegment::Lost };
    assert_eq!(sealed.end.tracks, [last]);
    while sub.next().await.expect("readable").is_some() {}
    assert!(logs.index(&id(1)).await.expect("indexed").sealed);
}

#[tokio::test]
async fn new_logs_are_refused_while_the_disk_is_nearly_full() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, Options { low_space: 2 << 20, ..options() });
    disk.room(1 << 20);
    let err = logs.create(&id(1), start(1)).await.expect_err("nearly full").to_string();
    let want = "has 1.0 MiB free, less than the 2.0 MiB that new logs need";
    assert!(err.ends_with(want) && err.contains(&dir.path().display().to_string()), "{err}");
}

#[tokio::test]
async fn a_log_has_one_writer_and_is_written_once() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let path = id(1).dir(dir.path());
    let writer = logs.create(&id(1), start(1)).await.expect("created");
    let held = logs.create(&id(1), start(1)).await.expect_err("held").to_string();
    assert_eq!(
        held,
        format!(
            "the log {} is being written by a running process (its lock is held)",
            path.display()
        )
    );
    assert_eq!(logs.recover().await.expect("recovered"), [], "a living writer is left alone");
    writer.seal().await.expect("sealed");
    let exists = logs.create(&id(1), start(1)).await.expect_err("it exists").to_string();
    assert!(
        exists.ends_with("already holds records: a generation is written only once"),
        "{exists}"
    );
    let none = logs.subscribe(&id(9), From::Start).expect_err("there is none");
    assert!(matches!(none, LogError::NotFound { .. }), "{none}");
    let gone = Logs::open(&path.join("00000000.extent"), options()).expect_err("a file");
    assert!(gone.to_string().contains("cannot use the data directory"), "{gone}");
}

#[tokio::test]
async fn a_log_that_is_being_made_is_not_there_yet() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let file = id(1).dir(dir.path()).join("00000000.extent");
    disk.gate(false);
    let making = task::spawn("making", {
        let logs = logs.clone();
        async move { logs.create(&id(1), start(1)).await }
    });
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    // A reader that took it for a log which its writer had left would think that it is read.
    let early = logs.index(&id(1)).await.expect_err("too early");
    assert!(matches!(early, LogError::NotFound { .. }), "{early}");
    let early = logs.subscribe(&id(1), From::Start).expect_err("too early");
    assert!(matches!(early, LogError::NotFound { .. }), "{early}");
    disk.gate(true);
    let _writer = making.await.expect("not aborted").expect("no panic").expect("created");
    assert!(!logs.index(&id(1)).await.expect("readable").sealed);
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_a_log_that_recovers() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    let want = write(&mut writer, 75, 100);
    let end = writer.position();
    drop(writer);
    assert_eq!(read(&mut sub, Some(end)).await, want);
    let gone = sub.next().await.expect_err("it is not sealed");
    assert!(matches!(gone, LogError::WriterGone { .. }), "{gone}");
    let recovered = logs.recover().await.expect("recovered");
    assert_eq!(recovered.len(), 1);
    let r = &recovered[0];
    assert_eq!((r.cut, r.position, r.extents, &r.start), (None, end, 1, &Some(start(1))));
    let e = r.end.as_ref().expect("it has a first record");
    // Segment 101 began at frame 50 and has parts up to frame 69.
    assert_eq!((e.msn, e.dseq, e.wall), (Msn(101), 2, Wall(70 * 40_000)));
    let last =
        TrackEnd { track: TrackId::VIDEO, msn: Msn(101), parts: 2, last: LastSegment::Short };
    assert_eq!(e.tracks, [last]);
    assert_eq!(logs.recover().await.expect("recovered"), [], "once is enough");
    let mut again = logs.subscribe(&id(1), From::Start).expect("there is one");
    assert_eq!(read(&mut again, None).await, want);
}

#[tokio::test]
async fn a_torn_tail_is_cut_to_exactly_the_complete_records() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    write(&mut writer, 105, 150);
    let end = writer.position();
    let mut ends = vec![(HEADER_LEN as u64, None)];
    while sub.position() < end {
        let batch = sub.next().await.expect("readable").expect("not sealed");
        ends.extend(batch.records().map(|e| (e.end.offset, Some(e.record))));
    }
    let path = id(1).dir(dir.path()).join("00000000.extent");
    let bytes = std::fs::read(&path).expect("readable");
    assert_eq!(bytes.len() as u64, end.offset);
    let torn = TempDir::new().expect("a directory");
    let torn_dir = id(1).dir(torn.path());
    std::fs::create_dir_all(&torn_dir).expect("created");
    let file = torn_dir.join("00000000.extent");
    let tail = bytes.len() - 4096;
    for len in (0..100).chain(tail..=bytes.len()) {
        // A new file each time: a file system may sync one that is emptied and written again.
        let _ = std::fs::remove_file(&file);
        std::fs::write(&file, &bytes[..len]).expect("written");
        let r = close(Place::of(&disk, &torn_dir, &id(1)), None).expect("closed");
        let good = ends.iter().rfind(|(e, _)| *e <= len as u64);
        let good = good.map_or(HEADER_LEN as u64, |(e, _)| *e);
        assert_eq!(r.position.offset, good, "cut at {len}");
        assert_eq!(r.end.is_some(), len as u64 >= ends[1].0, "cut at {len}");
        let bytes_cut = (len as u64).saturating_sub(good);
        assert_eq!(r.cut.map_or(0, |c| c.bytes), bytes_cut, "cut at {len}");
        if let Some(Cut { packets: 1, micros, .. }) = r.cut {
            assert_eq!(micros, 40_000, "cut at {len}: one frame further than the last");
        }
        if len % 16 != 0 {
            continue;
        }
        let second = close(Place::of(&disk, &torn_dir, &id(1)), None).expect("closed again");
        assert_eq!((second.position, second.end, second.cut), (r.position, r.end, None), "{len}");
    }
    let records = ends.iter().filter(|(_, r)| r.is_some()).count();
    assert_eq!(records, 1 + 1 + 105 + 3 + 10);
}

#[tokio::test]
async fn an_unfinished_footer_costs_nothing_and_what_follows_a_hole_is_set_aside() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, Options { extent_bytes: 30_000, ..options() });
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    write(&mut writer, 200, 1000);
    let sealed = writer.seal().await.expect("sealed");
    let log = id(1).dir(dir.path());
    let index = logs.index(&id(1)).await.expect("indexed");
    let last = log.join(format!("{:08}.extent", sealed.extents - 1));
    let full = std::fs::read(&last).expect("readable");
    for cut in [1, 16, 17, 60] {
        std::fs::write(&last, &full[..full.len() - cut]).expect("written");
        let r = logs.recover().await.expect("recovered");
        assert_eq!((r[0].cut, r[0].position), (None, sealed.position), "{cut}");
        assert_eq!(r[0].end.as_ref(), Some(&sealed.end), "{cut}");
        assert_eq!(
            std::fs::read(&last).expect("readable"),
            full,
            "the footer is rebuilt as it was"
        );
    }
    // A machine crash: extent 0 lost its end, the last one is not sealed.
    let first = log.join("00000000.extent");
    let bytes = std::fs::read(&first).expect("readable");
    let end = index.footers[0].records_end as usize;
    std::fs::write(&first, &bytes[..end - 7]).expect("written");
    std::fs::write(&last, &full[..full.len() - 1]).expect("written");
    let r = logs.recover().await.expect("recovered");
    assert_eq!((r[0].extents, r[0].position.extent), (1, 0));
    assert!(r[0].cut.is_some_and(|c| c.bytes > 60_000), "{:?}", r[0].cut);
    assert!(log.join("00000001.extent.orphan").exists());
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    assert!(!read(&mut sub, None).await.is_empty());
}

#[tokio::test]
async fn damage_inside_a_sealed_extent_names_the_file_and_the_byte() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    write(&mut writer, 20, 1000);
    writer.seal().await.expect("sealed");
    let path = id(1).dir(dir.path()).join("00000000.extent");
    let mut bytes = std::fs::read(&path).expect("readable");
    let at = bytes.len() / 2;
    bytes[at] ^= 0x40;
    std::fs::write(&path, &bytes).expect("written");
    // Another process has nothing of it in memory.
    let logs = Logs::open(dir.path(), options()).expect("opens");
    let mut sub = logs.subscribe(&id(1), From::Start).expect("there is one");
    assert!(sub.next().await.expect("what is before it").is_some());
    let err = sub.next().await.expect_err("damaged");
    let LogError::Damaged { offset, .. } = &err else { panic!("{err}") };
    assert!((*offset as usize) <= at && at < *offset as usize + 1100, "{err}");
    assert!(err.to_string().contains("00000000.extent is damaged at byte"), "{err}");
}

#[tokio::test]
async fn one_read_gives_so_much_and_says_when_it_is_asked_for_more() {
    let (dir, disk) = (TempDir::new().expect("a directory"), TestDisk::new());
    let logs = logs(&dir, &disk, options());
    let mut writer = logs.create(&id(1), start(1)).await.expect("created");
    writer.append_mark(&video()).expect("a track");
    let begin = writer.position();
    let mut ends = Vec::new();
    for i in 0..=READ_MAX / PAYLOAD_MAX as u64 {
        writer.append_packet(&frame(i, PAYLOAD_MAX - 64), Some(Seq(i))).expect("appended");
        ends.push(writer.position());
    }
    writer.seal().await.expect("sealed");
    let (fits, more) = (ends[ends.len() - 2], ends[ends.len() - 1]);
    assert!(fits.offset - begin.offset <= READ_MAX && more.offset - begin.offset > READ_MAX);
    assert!(logs.read(&id(1), begin..fits).await.is_ok());
    let refused = logs.read(&id(1), begin..more).await.expect_err("too much").to_string();
    let said = format!("{begin} to {more} is longer than the 64.0 MiB one read may ask for");
    assert_eq!(refused, said);
}
