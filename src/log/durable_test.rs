//! Disks that fail, fill up, turn read-only or take their time, under the log as its writers and
//! readers use it.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::Timescale;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{Disk, FileSystem, Lock, LogFile, Open};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::{Options, Sync};
use crate::log::subscription::{From, Subscription};
use crate::log::writer::Writer;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{GenerationStart, Mark};
use crate::media::track::{Codec, Track};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// What the disk does wrong. Paths are told by what they contain.
#[derive(Debug, Default)]
struct Faults {
    /// Syncs of such files fail; each that was asked for.
    sync: Option<&'static str>,
    synced: Vec<PathBuf>,
    /// Syncs of such files wait.
    stuck: Option<&'static str>,
    /// Whatever writes fails so.
    write: Option<i32>,
    /// Reserving room fails.
    full: bool,
    free: Option<u64>,
    read_only: bool,
}

#[derive(Debug, Clone, Default)]
struct Faulty(Arc<(Mutex<Faults>, Condvar)>);

#[derive(Debug)]
struct FaultyFile(Arc<dyn LogFile>, PathBuf, Faulty);

impl Faulty {
    fn get(&self) -> MutexGuard<'_, Faults> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.get());
        self.0.1.notify_all();
    }

    fn written(&self) -> io::Result<()> {
        self.get().write.map_or(Ok(()), |e| Err(io::Error::from_raw_os_error(e)))
    }

    fn synced(&self, part: &str) -> usize {
        self.get().synced.iter().filter(|p| is(p, part)).count()
    }
}

fn is(path: &Path, part: &str) -> bool {
    path.to_string_lossy().contains(part)
}

impl FileSystem for Faulty {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.written()?;
        Disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        if how != Open::Read {
            self.written()?;
        }
        Ok(Arc::new(FaultyFile(Disk.open(path, how)?, path.to_owned(), self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.written()?;
        Disk.rename(from, to)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        Disk.lock(path)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.get().free.map_or_else(|| Disk.free_space(dir), Ok)
    }
    fn is_read_only(&self, _: &Path) -> io::Result<bool> {
        Ok(self.get().read_only)
    }
}

impl LogFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
        self.2.written()?;
        self.0.write_at(bufs, offset)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.2.written()?;
        self.0.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        let (faults, changed) = &*self.2.0;
        let faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        let stuck = |f: &mut Faults| f.stuck.is_some_and(|part| is(&self.1, part));
        let mut faults = changed.wait_while(faults, stuck).unwrap_or_else(PoisonError::into_inner);
        faults.synced.push(self.1.clone());
        match faults.sync {
            Some(part) if is(&self.1, part) => Err(io::Error::from_raw_os_error(EIO)),
            _ => Ok(()),
        }
    }
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        self.2.written()?;
        if self.2.get().full { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }
}

fn id(generation: u64) -> LogId {
    let channel = "stage".parse().expect("a channel name");
    LogId { channel, session: Session(1), generation: Generation(generation), rung: None }
}

fn options() -> Options {
    Options { sync: Sync::Never, low_space: 0, ..Options::default() }
}

struct Site {
    dir: TempDir,
    disk: Faulty,
    logs: Logs,
}

fn site(options: Options) -> Site {
    let (dir, disk) = (TempDir::new().expect("a directory"), Faulty::default());
    let logs = Logs::with(Arc::new(disk.clone()), dir.path(), options).expect("opens");
    Site { dir, disk, logs }
}

impl Site {
    async fn create(&self, generation: u64) -> Writer {
        let id = id(generation);
        let (session, generation) = (id.session, id.generation);
        let start = GenerationStart {
            session,
            generation,
            job: None,
            base: Msn(100),
            dseq: 2,
            previous: None,
        };
        let mut writer = self.logs.create(&id, start).await.expect("created");
        let track = Track {
            id: TrackId::VIDEO,
            codec: Codec::H264,
            timescale: Timescale::MILLIS,
            rate: None,
            config: Bytes::from_static(b"configuration"),
        };
        writer.append_mark(&Mark::Track(track)).expect("in the limits");
        writer
    }

    fn subscribe(&self, generation: u64) -> Subscription {
        self.logs.subscribe(&id(generation), From::Start).expect("there is one")
    }

    /// Appends frames `from..to` and waits until they are visible.
    async fn write(&self, writer: &mut Writer, frames: std::ops::Range<u64>, size: usize) {
        append(writer, frames, size);
        let end = writer.position();
        let mut sub = self.logs.subscribe(writer.id(), From::Position(writer.visible()));
        let sub = sub.as_mut().expect("there is one");
        while sub.position() < end {
            sub.next().await.expect("readable");
        }
    }
}

/// Frame `i` at 25 frames a second.
fn append(writer: &mut Writer, frames: std::ops::Range<u64>, size: usize) {
    for i in frames {
        let payload = Bytes::from(vec![i as u8; size]);
        let (track, dts) = (TrackId::VIDEO, i as i64 * 40);
        let packet = Packet { track, dts, cts: 0, key: true, payload };
        writer.append_packet(&packet, Some(Seq(i))).expect("in the limits");
        writer.flush();
    }
}

/// The sequence numbers of all packets.
async fn read(sub: &mut Subscription) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(batch) = sub.next().await.expect("readable") {
        seqs.extend(batch.records().filter_map(|e| match e.record {
            Record::Packet { seq, .. } => seq.map(|s| s.0),
            _ => None,
        }));
    }
    seqs
}

async fn stopped(writer: &Writer) -> LogError {
    loop {
        if let Some(e) = writer.error() {
            return e;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_failed_sync_is_final_for_its_extent_and_the_log_goes_on_in_the_next() {
    let site = site(options());
    let mut writer = site.create(1).await;
    site.write(&mut writer, 0..10, 1000).await;
    site.logs.sync_now().await;
    let durable = writer.durable();
    assert_eq!(durable, writer.visible());
    site.write(&mut writer, 10..20, 1000).await;
    site.disk.set(|d| d.sync = Some("00000000.extent"));
    site.logs.sync_now().await;
    let asked = site.disk.synced("00000000.extent");
    site.disk.set(|d| d.sync = None);
    assert_eq!(writer.durable(), durable, "it stands before what could not be synced");
    assert!(writer.error().is_none(), "the log goes on");
    site.write(&mut writer, 20..30, 1000).await;
    site.write(&mut writer, 30..40, 1000).await;
    assert_eq!(writer.position().extent, 1);
    site.logs.sync_now().await;
    assert_eq!(writer.durable(), durable, "for good");
    assert_eq!(site.disk.synced("00000000.extent"), asked, "it is not asked again");
    assert!(site.disk.synced("00000001.extent") > 0, "what follows is synced");
    let stats = site.logs.stats();
    assert_eq!((stats.logs[0].lost, stats.sync_errors), (Some(0), 1));
    assert!(stats.logs[0].undurable.is_some());
    // The disk is doubted until it has shown that it writes again.
    let doubt = site.logs.usable().await.expect_err("it failed").to_string();
    assert!(doubt.contains("cannot sync") && doubt.contains("00000000.extent"), "{doubt}");
    assert!(site.logs.look(true).await.trouble.is_none());
    site.logs.usable().await.expect("well again");
    let mut sub = site.subscribe(1);
    let sealed = writer.seal().await.expect("sealed");
    assert_eq!((sealed.extents, sealed.left_open), (2, false));
    assert!(sealed.failed.is_some_and(|e| e.to_string().contains("cannot sync")));
    assert_eq!(site.disk.synced("00000000.extent"), asked, "not at the end either");
    assert_eq!(read(&mut sub).await, (0..40).collect::<Vec<_>>());
    assert!(site.logs.index(&id(1)).await.expect("indexed").sealed);
}

#[tokio::test]
async fn a_second_failed_sync_ends_the_log() {
    let site = site(options());
    let mut writer = site.create(1).await;
    site.disk.set(|d| d.sync = Some(".extent"));
    site.write(&mut writer, 0..10, 1000).await;
    site.logs.sync_now().await;
    assert!(writer.error().is_none());
    site.write(&mut writer, 10..20, 1000).await;
    site.write(&mut writer, 20..30, 1000).await;
    site.logs.sync_now().await;
    let error = stopped(&writer).await.to_string();
    assert!(error.contains("cannot sync") && error.contains("00000001.extent"), "{error}");
    assert_eq!(writer.durable(), HEADER_POSITION);
    site.disk.set(|d| d.sync = None);
    let mut sub = site.subscribe(1);
    let sealed = writer.seal().await.expect("sealed over what was written");
    assert!(sealed.failed.is_some() && !sealed.left_open);
    assert_eq!(read(&mut sub).await, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sync_that_takes_long_holds_up_no_other_log() {
    let interval = Sync::Interval(Duration::from_millis(10));
    let site = site(Options { sync: interval, ..options() });
    let (mut slow, mut other) = (site.create(1).await, site.create(2).await);
    site.disk.set(|d| d.stuck = Some("g1/"));
    site.write(&mut slow, 0..10, 1000).await;
    for i in 0..10 {
        site.write(&mut other, i * 10..i * 10 + 10, 1000).await;
        while other.durable() < other.visible() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(slow.durable(), HEADER_POSITION);
    assert!(site.logs.stats().logs[0].undurable.is_some());
    site.disk.set(|d| d.stuck = None);
    while slow.durable() < slow.visible() {
        tokio::task::yield_now().await;
    }
    assert!(site.logs.take_sync_samples().len() >= 11);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more_ends_the_log_and_what_is_stored_stays_readable() {
    for errno in [EIO, EROFS] {
        let site = site(options());
        let mut writer = site.create(1).await;
        site.write(&mut writer, 0..20, 1000).await;
        let (visible, mut sub) = (writer.visible(), site.subscribe(1));
        site.disk.set(|d| d.write = Some(errno));
        append(&mut writer, 20..21, 1000);
        let error = stopped(&writer).await;
        assert!(error.to_string().contains("cannot write"), "{error}");
        let sealed = writer.seal().await.expect("its end is known all the same");
        assert!(sealed.left_open && sealed.failed.is_some());
        assert_eq!((sealed.position, sealed.end.msn), (visible, Msn(99)));
        // A reader that was there sees the writer go; one that comes reads what there is.
        let mut late = site.subscribe(1);
        assert_eq!(read(&mut late).await, (0..20).collect::<Vec<_>>());
        let mut seen = 0;
        let gone = loop {
            match sub.next().await {
                Ok(Some(batch)) => seen += batch.records().count(),
                other => break other,
            }
        };
        assert!(matches!(gone, Err(LogError::WriterGone { .. })) && seen == 22, "{gone:?}");
        assert!(site.logs.usable().await.is_err(), "{errno}");
        assert!(site.logs.look(true).await.trouble.is_some(), "still");
        site.disk.set(|d| d.write = None);
        assert!(site.logs.look(true).await.trouble.is_none());
        let recovered = site.logs.recover().await.expect("recovered");
        assert_eq!((recovered.len(), recovered[0].position), (1, visible));
        assert!(site.logs.index(&id(1)).await.expect("indexed").sealed);
    }
}

#[tokio::test]
async fn a_disk_that_is_full_when_an_extent_is_to_begin_leaves_the_log_sealed_before_it() {
    let site = site(Options { extent_bytes: 20_000, ..options() });
    let mut writer = site.create(1).await;
    site.write(&mut writer, 0..20, 1000).await;
    let visible = writer.visible();
    site.disk.set(|d| d.full = true);
    assert!(writer.roll_if_due(0));
    let error = stopped(&writer).await.to_string();
    assert!(error.contains("00000001.extent: No space left on device"), "{error}");
    let (end, mut there) = (writer.holds().await.expect("readable"), site.subscribe(1));
    let sealed = writer.seal_stopped(end.clone()).await;
    let sealed = sealed.expect("sealed in the room that was reserved");
    assert_eq!((sealed.extents, sealed.left_open), (1, false));
    assert!(sealed.position > visible, "the end record is behind what was visible");
    let index = site.logs.index(&id(1)).await.expect("indexed");
    let last = index.footers[0].marks().last().map(|m| m.mark);
    assert_eq!((index.sealed, last), (true, Some(Mark::End(end))));
    // A reader that was there gets it too.
    let mut newest = None;
    while let Some(batch) = there.next().await.expect("readable") {
        newest = batch.records().last().map(|e| (e.end, e.record));
    }
    let is_end = |(at, r): &(Position, Record)| {
        *at == sealed.position && matches!(r, Record::Mark(Mark::End(_)))
    };
    assert!(newest.as_ref().is_some_and(is_end), "{newest:?}");
    assert_eq!(read(&mut site.subscribe(1)).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_look_tells_what_is_wrong_with_a_disk() {
    let site = site(Options { low_space: 8 << 20, ..options() });
    let trouble = async |change: fn(&mut Faults)| {
        site.disk.set(change);
        let state = site.logs.look(false).await;
        (state.low, state.trouble.map(|t| t.to_string()).unwrap_or_default())
    };
    assert_eq!(trouble(|d| d.free = Some(8 << 20)).await, (false, String::new()));
    let (low, text) = trouble(|d| d.free = Some((8 << 20) - 1)).await;
    assert!(low && text.contains("has 8.0 MiB free, less than the 8.0 MiB"), "{text}");
    // An eighth more before it is well again.
    assert!(trouble(|d| d.free = Some(8 << 20)).await.0);
    assert_eq!(trouble(|d| d.free = Some(9 << 20)).await, (false, String::new()));
    let (low, text) = trouble(|d| d.read_only = true).await;
    assert!(!low && text.contains("is read-only: remount it"), "{text}");
    assert_eq!(trouble(|d| d.read_only = false).await, (false, String::new()));
    assert!(!site.dir.path().join("logs/.probe").exists(), "nothing was written");
    assert_eq!(site.logs.disk().borrow().free, Some(9 << 20));
}

#[tokio::test]
async fn what_is_in_memory_is_bounded_in_bytes_and_in_seconds() {
    let (bytes, seconds) = (64 << 10, 2);
    for (name, size, most) in [("bytes", 4000, bytes), ("seconds", 100, seconds * 25 * 200)] {
        let micros = seconds as i64 * 1_000_000;
        let site = site(Options { tail_bytes: bytes, tail_micros: micros, ..options() });
        let mut writer = site.create(1).await;
        for i in 0..20 {
            site.write(&mut writer, i * 20..i * 20 + 20, size).await;
            let held = site.logs.stats().logs[0].tail_bytes as usize;
            assert!(held <= most, "{name}: {held} bytes of {most}");
            assert!(i < 4 || held >= most / 4, "{name}: {held} bytes of {most}");
        }
    }
}

#[tokio::test]
async fn a_stalled_reader_falls_back_to_the_disk_and_the_writer_knows_nothing_of_it() {
    let small = Options { tail_bytes: 16 << 10, backlog_bytes: 64 << 10, ..options() };
    let mut figures: Vec<(Position, u64)> = Vec::new();
    for stalled in [false, true] {
        let site = site(small.clone());
        let mut writer = site.create(1).await;
        let mut sub = site.subscribe(1);
        // It has begun, and then reads no more.
        let first = sub.next().await.expect("readable").expect("the first record");
        let kept = stalled.then_some(sub);
        for i in 0..50 {
            site.write(&mut writer, i * 10..i * 10 + 10, 1000).await;
            writer.ready().await.expect("no reader makes it wait");
        }
        while writer.backlog() > 0 {
            tokio::task::yield_now().await;
        }
        let stats = site.logs.stats().logs[0].clone();
        figures.push((stats.visible, stats.written));
        assert!(stats.tail_bytes <= 16 << 10);
        if let Some(mut sub) = kept {
            assert_eq!(sub.position(), first.end());
            writer.seal().await.expect("sealed");
            assert_eq!(read(&mut sub).await, (0..500).collect::<Vec<_>>(), "none is missing");
        }
    }
    assert_eq!(figures[0], figures[1], "the same with the reader as without");
}
