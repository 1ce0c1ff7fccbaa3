//! A tail torn after every byte, and damage that is no torn tail.

use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::{Record, frame, kind};
use crate::log::options::{Options, Sync};
use crate::log::reader::Place;
use crate::log::recover::{Cut, close};
use crate::log::sim::disk::{Rng, SimDisk};
use crate::log::sim::drive::{Author, DATA, Process, id};
use crate::log::sim::image::{compare, names, read, whole};
use std::path::{Path, PathBuf};

/// Bytes of the tail that are torn one by one.
const TAIL: usize = 64 << 10;

fn options(extent_bytes: u64) -> Options {
    Options { sync: Sync::Never, extent_bytes, low_space: 0, ..Options::default() }
}

fn extent(n: u32) -> PathBuf {
    id(1).dir(Path::new(DATA)).join(format!("{n:08}.extent"))
}

/// A log that nobody sealed; durable up to what was visible at step `synced`.
fn unsealed(options: Options, steps: usize, synced: Option<usize>) -> (SimDisk, Author) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (disk, mut rng) = (SimDisk::new(Path::new(DATA), 1, &[]), Rng(1));
    let mut process = Process::start(&disk, options).expect("started");
    process.quiet = true;
    let mut author = runtime.block_on(Author::begin(&process, 1, 100)).expect("begun");
    for step in 0..steps {
        author.step(&mut process, &mut rng);
        process.write();
        if synced == Some(step) {
            process.sync(true);
        }
    }
    process.write();
    author.forget(process);
    (disk, author)
}

/// What a machine without this log would have of it: a disk with the same files.
fn copy(disk: &SimDisk) -> SimDisk {
    disk.after_kill(1, &[])
}

#[test]
fn a_tail_torn_after_every_byte_is_cut_to_the_records_that_are_whole() {
    let (disk, _) = unsealed(options(1 << 30), 130, None);
    let bytes = disk.files().remove(&extent(0)).expect("there is one");
    assert!(bytes.len() > TAIL, "{} bytes", bytes.len());
    // Where each record ends, and which of them are packets.
    let (mut at, mut ends) = (HEADER_LEN, vec![]);
    while at < bytes.len() {
        let f = frame(&bytes[at..], true).expect("whole");
        at += f.len;
        ends.push((at, f.kind == kind::PACKET));
    }
    let dir = id(1).dir(Path::new(DATA));
    for len in bytes.len() - TAIL..=bytes.len() {
        disk.set(&extent(0), bytes[..len].to_vec());
        let r = close(Place::of(&disk, &dir, &id(1)), None).expect("closed");
        let i = ends.partition_point(|(end, _)| *end <= len);
        let good = ends[i - 1].0;
        assert_eq!(r.position, Position { extent: 0, offset: good as u64 }, "torn at {len}");
        // Of the torn packet the head tells which it was.
        let headed = len - good >= 32 && ends[i].1;
        let cut = r.cut.map(|c| (c.bytes, c.packets));
        let want = (len > good).then_some(((len - good) as u64, u64::from(headed)));
        assert_eq!(cut, want, "torn at {len}");
        assert!(r.cut.is_none_or(|c: Cut| (0..=40_000).contains(&c.micros)), "{:?}", r.cut);
        let files = disk.files();
        assert!(files[&extent(0)].starts_with(&bytes[..good]), "torn at {len}");
    }
    let aside = names(&disk, &id(1));
    assert!(aside.iter().all(|n| n.ends_with(".extent") || n == "lock"), "{aside:?}");
}

/// What closing a log reads of it, beside the bytes of its extents.
fn cost(disk: &SimDisk) -> (u64, u64) {
    let extents = |p: &PathBuf| p.extension().is_some_and(|e| e == "extent");
    let bytes = disk.files().iter().filter(|f| extents(f.0)).map(|f| f.1.len() as u64).sum();
    let (before, dir) = (disk.read(), id(1).dir(Path::new(DATA)));
    let closed = close(Place::of(disk, &dir, &id(1)), None).expect("closed");
    assert!(closed.extents > 4 && closed.cut.is_none(), "{closed:?}");
    (disk.read() - before, bytes)
}

#[test]
fn recovery_reads_once_what_nothing_vouches_for_and_nothing_of_the_rest() {
    // The footers are asked for twice, as the start of one extent and the end of another.
    let (disk, _) = unsealed(options(250_000), 1500, None);
    let (read, bytes) = cost(&disk);
    assert!((bytes..bytes * 5 / 4).contains(&read), "{read} of {bytes}");
    let (disk, _) = unsealed(options(250_000), 1500, Some(1400));
    let (read, bytes) = cost(&disk);
    assert!(read < bytes / 2, "{read} of {bytes}");
}

#[test]
fn footers_that_were_only_begun_cost_nothing_in_the_middle_either() {
    let (whole, author) = unsealed(options(8000), 120, None);
    let before = whole.files();
    let dir = id(1).dir(Path::new(DATA));
    let all = |disk: &SimDisk| read(disk, &id(1)).expect("sealed");
    for torn in [vec![1], vec![1, 2], vec![0, 2, 3]] {
        let disk = copy(&whole);
        for n in &torn {
            let mut bytes = before[&extent(*n)].clone();
            bytes.truncate(bytes.len() - 20);
            disk.set(&extent(*n), bytes);
        }
        let r = close(Place::of(&disk, &dir, &id(1)), None).expect("closed");
        assert_eq!((r.cut, r.extents), (None, before.len() as u32 - 1), "{torn:?}");
        let last = author.story.records.last().expect("records").0;
        let every = Position { offset: last.offset + 1, ..last };
        compare(&author.story, every, &all(&disk)).expect("nothing is lost");
        for n in torn {
            assert_eq!(disk.files()[&extent(n)], before[&extent(n)], "as its writer made it");
        }
    }
    // Of one without any footer nobody knows whether its records are all there.
    let disk = copy(&whole);
    let mut bytes = before[&extent(2)].clone();
    let end =
        crate::log::format::extent::footer_start(bytes.len() as u64, &bytes[bytes.len() - 16..]);
    bytes.truncate(end.expect("sealed") as usize);
    disk.set(&extent(2), bytes);
    let r = close(Place::of(&disk, &dir, &id(1)), None).expect("torn");
    let cut = r.cut.expect("what follows it");
    let behind = |p: &Position| p.extent > 2;
    let packets = author
        .story
        .records
        .iter()
        .filter(|(at, r)| behind(at) && matches!(r, Record::Packet { .. }));
    assert_eq!((r.extents, cut.packets), (3, packets.count() as u64));
    assert!(cut.micros > 1_000_000, "{cut:?}");
    let aside = names(&disk, &id(1)).iter().filter(|n| n.ends_with(".orphan")).count();
    assert_eq!(aside, before.len() - 1 - 3, "the lock is no extent");
}

#[test]
fn damage_where_the_log_was_durable_is_refused_and_nothing_is_touched() {
    let (disk, author) = unsealed(options(8000), 80, Some(60));
    let before = disk.files();
    let durable = author.story.durable;
    assert!(durable.extent > 2, "{durable}");
    let dir = id(1).dir(Path::new(DATA));
    let mut refused = 0;
    for (n, at) in [(0, 40), (0, 5), (1, 100), (durable.extent, durable.offset as usize - 9)] {
        let disk = copy(&disk);
        let mut bytes = before[&extent(n)].clone();
        bytes[at] ^= 4;
        // Its footer is gone too: what is sealed is not read again.
        bytes.truncate(if n < durable.extent { bytes.len() - 3 } else { bytes.len() });
        disk.set(&extent(n), bytes);
        let damaged = disk.files();
        let e = close(Place::of(&disk, &dir, &id(1)), None).expect_err("no torn tail");
        assert!(matches!(e, LogError::Damaged { .. }), "{e}");
        let text = e.to_string();
        assert!(text.contains("`castctl repair /data/logs/stage/s3/g1`"), "{text}");
        assert!(text.contains(&format!("{n:08}.extent is damaged at byte")), "{text}");
        assert_eq!(disk.files(), damaged, "nothing is touched");
        refused += 1;
    }
    assert_eq!(refused, 4);
    // The same behind the watermark is what a crash leaves: cut, and kept beside.
    let disk = copy(&disk);
    let last =
        before.keys().rfind(|p| p.extension().is_some_and(|e| e == "extent")).expect("one").clone();
    let mut bytes = before[&last].clone();
    let (from, len) = (HEADER_LEN + 200, bytes.len());
    bytes[from..from + 10].fill(0);
    assert!(len > from + 500);
    disk.set(&last, bytes);
    let there = whole(&disk.files());
    let r = close(Place::of(&disk, &dir, &id(1)), None).expect("torn");
    assert!(r.cut.is_some_and(|c| c.bytes > 300 && c.packets > 0), "{:?}", r.cut);
    assert!(names(&disk, &id(1)).iter().any(|n| n.ends_with(".torn")));
    assert!(whole(&disk.files()).is_superset(&there), "every whole record is kept");
    compare(&author.story, durable, &read(&disk, &id(1)).expect("sealed")).expect("the same");
}

#[test]
fn a_missing_extent_and_a_later_versions_extent_are_told_from_a_tear() {
    let (disk, _) = unsealed(options(8000), 80, Some(60));
    let dir = id(1).dir(Path::new(DATA));
    let gone = copy(&disk);
    use crate::log::fs::FileSystem;
    gone.rename(&extent(1), &dir.join("elsewhere")).expect("moved");
    let e = close(Place::of(&gone, &dir, &id(1)), None).expect_err("it was durable").to_string();
    assert!(e.contains("00000001.extent is damaged at byte 0: extent 1 is missing"), "{e}");
    let newer = copy(&disk);
    let mut bytes = newer.files().remove(&extent(0)).expect("there is one");
    let mut header = crate::log::format::extent::Header::decode(&bytes).expect("a header");
    header.wrote = crate::log::format::version::Wrote { version: 9, oldest_reader: 8 };
    bytes[..HEADER_LEN].copy_from_slice(&header.encode());
    newer.set(&extent(0), bytes);
    let before = newer.files();
    let e =
        close(Place::of(&newer, &dir, &id(1)), None).expect_err("not ours to close").to_string();
    assert!(e.contains("format version 9, for readers of version 8 or newer"), "{e}");
    assert_eq!(newer.files(), before);
    let unknown = |r: &(Position, Record)| matches!(r.1, Record::Unknown { .. });
    close(Place::of(&disk, &dir, &id(1)), None).expect("whole");
    let claims = read(&disk, &id(1)).expect("sealed").into_iter().filter(unknown).count();
    assert_eq!(claims, 1, "one sync, one record of it");
}
