//! Damage of every kind, repaired: on a disk in memory, so that every byte of a log can be hit.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::log::fixture::write_log;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::Record;
use crate::log::fs::{FileSystem, Lock, LogFile, Open};
use crate::log::id::{LOCK, extent_index, extent_name};
use crate::log::repair::repair;
use crate::log::repair::report::LogReport;
use crate::log::repair::salvage::{Found, Piece, salvage};
use crate::log::repair::samples::Samples;
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

type Data = Arc<Mutex<Vec<u8>>>;

/// Files by name, in one directory; counts what changes them, and stops at a number of changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    files: Arc<Mutex<BTreeMap<String, Data>>>,
    changes: Arc<Mutex<u64>>,
    /// No change succeeds after so many.
    dies_after: Option<u64>,
    /// Bytes of a file that the disk does not give back.
    bad: Option<(Data, Range<usize>)>,
    /// Files are said to be this long.
    pub(super) says_len: Option<u64>,
}

#[derive(Debug)]
struct MemoryFile(Data, Memory);

fn name(path: &Path) -> String {
    path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned()
}

impl Memory {
    fn of(files: &[(u32, Bytes)]) -> Memory {
        let memory = Memory::default();
        for (index, bytes) in files {
            memory.put(*index, bytes);
        }
        memory
    }

    pub(super) fn put(&self, index: u32, bytes: &[u8]) {
        let data = Arc::new(Mutex::new(bytes.to_vec()));
        self.files.lock().expect("whole").insert(extent_name(index), data);
    }

    fn extents(&self) -> Vec<(u32, Bytes)> {
        let files = self.files.lock().expect("whole");
        let all = files.iter().filter_map(|(n, d)| Some((extent_index(n)?, d)));
        all.map(|(i, d)| (i, Bytes::from(d.lock().expect("whole").clone()))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.files.lock().expect("whole").keys().cloned().collect()
    }

    fn change(&self) -> io::Result<()> {
        let mut n = self.changes.lock().expect("whole");
        *n += 1;
        if self.dies_after.is_some_and(|d| *n > d) {
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    }
}

impl FileSystem for Memory {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(self.names())
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        if how == Open::Create {
            self.change()?;
        }
        let mut files = self.files.lock().expect("whole");
        let data = match (files.get(&name(path)), how) {
            (Some(_), Open::Create) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(data), _) => Arc::clone(data),
            (None, Open::Create) => Arc::clone(files.entry(name(path)).or_default()),
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemoryFile(data, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        let mut files = self.files.lock().expect("whole");
        let data = files.remove(&name(from)).ok_or(io::ErrorKind::NotFound)?;
        files.insert(name(to), data);
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        let mut files = self.files.lock().expect("whole");
        let data = Arc::clone(files.get(&name(from)).ok_or(io::ErrorKind::NotFound)?);
        files.insert(name(to), data);
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        assert_eq!(name(path), LOCK);
        Ok(Some(Box::new(())))
    }
    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl LogFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.1.says_len.unwrap_or(self.0.lock().expect("whole").len() as u64))
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let data = self.0.lock().expect("whole");
        let rest = data.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        let (from, to) = (offset as usize, offset as usize + n);
        let hit = |(file, at): &(Data, Range<usize>)| {
            Arc::ptr_eq(file, &self.0) && from < at.end && at.start < to
        };
        if self.1.bad.as_ref().is_some_and(hit) {
            return Err(io::Error::from_raw_os_error(5));
        }
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
    fn write_at(&self, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
        self.1.change()?;
        let mut data = self.0.lock().expect("whole");
        data.truncate(offset as usize);
        bufs.iter().for_each(|b| data.extend_from_slice(b));
        Ok(())
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.1.change()?;
        self.0.lock().expect("whole").truncate(len as usize);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A small log of real marks: the first extents of the fixture's, with payloads cut to a byte.
fn small() -> &'static [(u32, Bytes)] {
    static LOG: OnceLock<Vec<(u32, Bytes)>> = OnceLock::new();
    LOG.get_or_init(|| {
        let data = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let dir = runtime.expect("a runtime").block_on(write_log(data.path(), 1_000_000, true));
        let mut indexer = crate::log::format::index::Indexer::new();
        let mut files = Vec::new();
        for index in 0..EXTENTS {
            let Ok(bytes) = std::fs::read(dir.join(extent_name(index))) else { break };
            files.push((index, shrink(index, &bytes.into(), &mut indexer)));
        }
        assert_eq!(files.len(), EXTENTS as usize);
        files
    })
}

const EXTENTS: u32 = 3;

/// The extent with its packets' payloads cut to a byte.
fn shrink(index: u32, bytes: &Bytes, indexer: &mut crate::log::format::index::Indexer) -> Bytes {
    use crate::log::format::record::{encode_mark, encode_packet};
    let mut out = BytesMut::from(&bytes[..HEADER_LEN]);
    salvage(index, bytes, &mut |piece| {
        let Piece::Record(f) = piece else { panic!("the fixture is whole: {piece:?}") };
        let from = out.len();
        let record = match f.record {
            Record::Packet { packet, seq } => {
                let payload = packet.payload.slice(..packet.payload.len().min(1));
                let packet = Packet { payload, ..packet };
                encode_packet(&mut out, &packet, seq).expect("small");
                Record::Packet { packet, seq }
            }
            Record::Mark(mark) => {
                encode_mark(&mut out, &mark).expect("it was encoded before");
                Record::Mark(mark)
            }
            other => other,
        };
        let raw = out[from..].to_vec();
        indexer.observe(from as u64, &raw, &record).expect("few");
    });
    indexer.footer(out.len() as u64).encode(&mut out);
    indexer.roll();
    out.freeze()
}

pub(super) fn dir() -> &'static Path {
    Path::new("/data/logs/main/s2/g3")
}

fn run(memory: &Memory) -> LogReport {
    repair(memory, dir(), false, &mut |_| {}).expect("repairable")
}

/// The whole records of a log.
fn records(files: &[(u32, Bytes)]) -> Vec<(u32, Found)> {
    let mut all = Vec::new();
    for (index, bytes) in files {
        salvage(*index, bytes, &mut |piece| {
            if let Piece::Record(f) = piece {
                all.push((*index, f));
            }
        });
    }
    all
}

/// Does this mark govern samples, and so may turn into a gap?
fn governs(r: &Record) -> bool {
    matches!(r, Record::Mark(Mark::PartEnd(_) | Mark::SegmentStart(_)))
}

/// Everything that holds of a repaired log, whatever was hit: nothing of what was `intact` is gone
/// but marks that turned into gaps, nothing is there that never was, the playlists are legal, every
/// part has its samples, and a second repair has nothing to do.
fn check(intact: &[(u32, Found)], memory: &Memory, what: &str) {
    let files = memory.extents();
    let after = records(&files);
    let mut have: HashMap<&[u8], usize> = HashMap::new();
    for (_, f) in &after {
        *have.entry(&f.raw).or_default() += 1;
    }
    let mut turned = 0;
    for (extent, f) in intact {
        match have.get_mut(&f.raw[..]) {
            Some(n) if *n > 0 => *n -= 1,
            _ if governs(&f.record) => turned += 1,
            _ => panic!("{what}: extent {extent}: lost {f:?}"),
        }
    }
    static ALL: OnceLock<HashSet<Bytes>> = OnceLock::new();
    let were = ALL.get_or_init(|| records(small()).into_iter().map(|(_, f)| f.raw).collect());
    let mut gaps = 0;
    for (extent, f) in &after {
        match &f.record {
            Record::Mark(Mark::Gap(_)) => gaps += 1,
            // Four bytes of ones are their own checksum, so that a hole of ones behind a length of
            // four is a record of a kind that nobody knows: every reader skips it.
            Record::Unknown { kind: 0xff } if f.raw[4..].iter().all(|b| *b == 0xff) => {}
            _ => assert!(were.contains(&f.raw), "{what}: extent {extent}: invented {f:?}"),
        }
    }
    assert!(turned <= gaps || turned <= 1 + gaps, "{what}: {turned} marks turned into {gaps} gaps");
    playable(&after, what);
    let names = memory.names();
    let again = run(memory);
    assert!(!again.changed, "{what}: a second repair: {again:#?}");
    assert!(again.extents.iter().all(|e| e.damage.is_empty()), "{what}: {again:#?}");
    assert_eq!(memory.names(), names, "{what}");
}

/// Marks follow from one another by the rules of `hls::window`, which this room may not name; and
/// every part that is listed has its samples.
fn playable(records: &[(u32, Found)], what: &str) {
    let mut samples = Samples::default();
    let mut rules: HashMap<TrackId, Rules> = HashMap::new();
    for (_, f) in records {
        match &f.record {
            Record::Packet { packet, seq: Some(seq) } => {
                samples.add(packet.track, *seq);
            }
            Record::Mark(mark) => {
                let (track, ok) = match mark {
                    Mark::SegmentStart(m) => (
                        m.track,
                        rules.entry(m.track).or_default().start(m.msn, m.first_seq, m.dseq),
                    ),
                    Mark::PartEnd(m) => {
                        let r = rules.entry(m.track).or_default();
                        let listed = r.open.is_some() || r.newest.is_some();
                        let here = !listed || samples.all(m.track, m.first_seq, m.last_seq);
                        (m.track, here && r.part(m.msn, m.part, m.first_seq, m.last_seq))
                    }
                    Mark::Gap(m) => {
                        (m.track, rules.entry(m.track).or_default().gap(m.msn, m.part, m.dseq))
                    }
                    _ => continue,
                };
                assert!(ok, "{what}: track {track}: {mark:?} after {:?}", rules.get(&track));
            }
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
struct Rules {
    /// Number, parts, a start was read.
    open: Option<(Msn, u32, bool)>,
    newest: Option<Msn>,
    dseq: u64,
    next: Seq,
}

impl Rules {
    fn due(&mut self, msn: Msn, dseq: u64) -> bool {
        // No number is skipped: what is missing is said to be a gap.
        let ok = self.newest.is_none_or(|n| msn == n.next()) && dseq >= self.dseq;
        (self.newest, self.dseq) = (Some(msn), dseq);
        ok
    }

    fn start(&mut self, msn: Msn, first: Seq, dseq: u64) -> bool {
        let ok = self.due(msn, dseq) && first >= self.next;
        (self.open, self.next) = (Some((msn, 0, true)), first);
        ok
    }

    fn part(&mut self, msn: Msn, part: u32, first: Seq, last: Seq) -> bool {
        if self.open.is_none() && self.newest.is_none() {
            return true;
        }
        let Some((open, parts, true)) = self.open else { return false };
        self.open = Some((open, part + 1, true));
        let ok = open == msn && parts == part && first >= self.next && last >= first;
        self.next = Seq(last.0 + 1);
        ok
    }

    fn gap(&mut self, msn: Msn, part: Option<u32>, dseq: u64) -> bool {
        match (part, self.open) {
            (None, Some((open, ..))) if open == msn => {
                self.open = None;
                true
            }
            (None, _) => {
                self.open = None;
                self.due(msn, dseq)
            }
            (Some(i), Some((open, parts, started))) if open == msn => {
                self.open = Some((open, parts + 1, started));
                i == parts
            }
            (Some(i), _) => {
                let first = self.newest.is_none();
                let ok = (i == 0) && self.due(msn, dseq);
                self.open = Some((msn, 1, false));
                ok || first
            }
        }
    }
}

/// The records that a range of an extent's bytes does not touch.
fn untouched(
    whole: &[(u32, Bytes)],
    extent: u32,
    hit: std::ops::Range<usize>,
) -> Vec<(u32, Found)> {
    let mut all = records(whole);
    all.retain(|(e, f)| {
        let range = f.at as usize..f.at as usize + f.raw.len();
        *e != extent || range.end <= hit.start || hit.end <= range.start
    });
    all
}

/// Runs over `0..n` on every core.
fn each(n: usize, work: impl Fn(usize) + Sync) {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..cores {
            s.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if i >= n {
                        break;
                    }
                    work(i);
                }
            });
        }
    });
}

#[test]
fn a_sound_log_is_left_alone() {
    let memory = Memory::of(small());
    let r = run(&memory);
    assert!(!r.changed && r.notes.is_empty(), "{r:#?}");
    assert_eq!(*memory.changes.lock().expect("whole"), 0);
    check(&records(small()), &memory, "sound");
    // Also without the extents that retention took away.
    let later = Memory::of(&small()[1..]);
    assert!(!run(&later).changed, "{:#?}", run(&later));
}

#[test]
fn every_byte_flipped() {
    // Two extents: the cost grows with the square of the size.
    let whole = &small()[..2];
    let places: Vec<(u32, usize)> =
        whole.iter().flat_map(|(e, b)| (0..b.len()).map(move |i| (*e, i))).collect();
    each(places.len(), |i| {
        let (extent, at) = places[i];
        let memory = Memory::of(whole);
        let mut hit = whole[extent as usize].1.to_vec();
        hit[at] ^= 1 << (at % 8);
        memory.put(extent, &hit);
        let r = run(&memory);
        let what = format!("extent {extent} byte {at}");
        assert!(r.changed, "{what}: unnoticed");
        check(&untouched(whole, extent, at..at + 1), &memory, &what);
    });
}

/// The log without its footers: the last extent is one that a writer left open.
fn bare() -> Vec<(u32, Bytes)> {
    let bare = small().iter().map(|(i, b)| {
        let ends = salvage(*i, b, &mut |_| {});
        (*i, b.slice(..ends.records_end as usize))
    });
    bare.collect()
}

#[test]
fn every_record_hit_with_no_footer_to_help() {
    let whole = bare();
    let all = records(&whole);
    each(all.len() * 3, |i| {
        let (extent, f) = &all[i / 3];
        let len = f.raw.len();
        // Its length, its kind, its last byte.
        let at = f.at as usize + [0, 8, len - 1][i % 3];
        let memory = Memory::of(&whole);
        let mut hit = whole[*extent as usize].1.to_vec();
        hit[at] ^= 0x41;
        memory.put(*extent, &hit);
        let r = run(&memory);
        let what = format!("extent {extent} byte {at}: {:?}", f.record);
        assert!(r.changed, "{what}: unnoticed");
        check(&untouched(&whole, *extent, at..at + 1), &memory, &what);
    });
}

#[test]
fn holes_of_any_size_anywhere() {
    for (footers, whole) in [(true, small().to_vec()), (false, bare())] {
        each(600, |i| {
            let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(i as u64 + 1);
            let mut random = |n: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % n.max(1) as u64) as usize
            };
            let memory = Memory::of(&whole);
            let mut intact = records(&whole);
            for _ in 0..=random(3) {
                let extent = random(whole.len()) as u32;
                let mut bytes = memory.extents()[extent as usize].1.to_vec();
                let at = random(bytes.len());
                let to = (at + 1 + {
                    let most = [8, 100, 4096][random(3)];
                    random(most)
                })
                .min(bytes.len());
                let fill = [0, 0xff, 0x5a][random(3)];
                // What is there already is no damage.
                bytes[at..to].iter_mut().for_each(|b| *b = if *b == fill { !fill } else { fill });
                memory.put(extent, &bytes);
                intact.retain(|(e, f)| {
                    let end = f.at as usize + f.raw.len();
                    *e != extent || end <= at || to <= f.at as usize
                });
            }
            let r = run(&memory);
            let damage: Vec<_> = r.extents.iter().map(|e| &e.damage).collect();
            check(&intact, &memory, &format!("seed {i}, footers {footers}: {damage:?}"));
        });
    }
}

#[test]
fn cut_at_every_byte() {
    let whole = small();
    // The last extent, and one that others follow.
    for extent in [EXTENTS - 1, 1] {
        let bytes = &whole[extent as usize].1;
        each(bytes.len() / 3, |i| {
            let at = i * 3;
            let memory = Memory::of(whole);
            memory.put(extent, &bytes[..at]);
            run(&memory);
            let what = format!("extent {extent} cut at {at}");
            check(&untouched(whole, extent, at..bytes.len()), &memory, &what);
        });
    }
}

#[test]
fn pages_of_zeros() {
    let whole = small();
    for (extent, bytes) in whole {
        for at in (0..bytes.len()).step_by(512) {
            let to = (at + 4096).min(bytes.len());
            let memory = Memory::of(whole);
            let mut hit = bytes.to_vec();
            hit[at..to].fill(0);
            memory.put(*extent, &hit);
            run(&memory);
            let what = format!("extent {extent} zeros from {at}");
            check(&untouched(whole, *extent, at..to), &memory, &what);
        }
    }
}

#[test]
fn pages_that_the_disk_does_not_give_back() {
    let whole = small();
    let mut several = 0;
    for (extent, bytes) in whole {
        for at in (0..bytes.len()).step_by(1000) {
            // Sectors are bad, pages are lost.
            let mut memory = Memory::of(whole);
            let file = memory.files.lock().expect("whole")[&extent_name(*extent)].clone();
            let bad = at..(at + 300).min(bytes.len());
            memory.bad = Some((file, bad.clone()));
            let report = run(&memory);
            let what = format!("extent {extent}, unreadable {bad:?}");
            let pages = at / 4096 * 4096..bad.end.next_multiple_of(4096).min(bytes.len());
            several += usize::from(pages.len() > 4096);
            let first = &report.extents[*extent as usize].damage[0];
            assert_eq!((first.offset, first.bytes), (pages.start as u64, pages.len() as u64));
            assert_eq!(first.what, "the disk cannot read this");
            assert!(report.extents[*extent as usize].kept_as.is_some(), "{what}");
            check(&untouched(whole, *extent, pages), &memory, &what);
        }
    }
    assert!(several > 1, "some lie in two pages");
}

#[test]
fn footers_headers_and_whole_extents() {
    let whole = small();
    let ends: Vec<usize> =
        whole.iter().map(|(i, b)| salvage(*i, b, &mut |_| {}).records_end as usize).collect();
    let with = |extent: u32, bytes: &[u8]| {
        let memory = Memory::of(whole);
        memory.put(extent, bytes);
        memory
    };
    // Footers swapped; garbage behind one; none.
    let swap = |a: usize, b: usize| [&whole[a].1[..ends[a]], &whole[b].1[ends[b]..]].concat();
    let memory = with(0, &swap(0, 1));
    memory.put(1, &swap(1, 0));
    let r = run(&memory);
    assert!(r.extents[0].footer_rebuilt && r.extents[1].footer_rebuilt, "{r:#?}");
    assert_eq!(memory.extents(), whole, "footers are a function of the records");
    for tail in [&b"garbage behind"[..], &[0; 4096]] {
        let memory = with(1, &[&whole[1].1[..], tail].concat());
        run(&memory);
        assert_eq!(memory.extents(), whole);
    }
    let memory = with(1, &whole[1].1[..ends[1]]);
    assert!(run(&memory).extents[1].footer_rebuilt);
    assert_eq!(memory.extents(), whole);
    // A header of zeros, and a file whose first bytes are gone.
    for (n, bytes) in [
        ([&[0; HEADER_LEN][..], &whole[1].1[HEADER_LEN..]].concat()),
        whole[1].1[HEADER_LEN..].to_vec(),
        whole[1].1[7..].to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let memory = with(1, &bytes);
        let r = run(&memory);
        assert!(r.extents[1].header_rebuilt, "{n}: {r:#?}");
        assert_eq!(memory.extents(), whole, "{n}");
    }
    // The middle extent gone.
    let memory = Memory::of(&[whole[0].clone(), whole[2].clone()]);
    let r = run(&memory);
    assert!(r.extents[1].missing && r.extents[1].changed && r.extents[1].kept_as.is_none());
    assert!(r.extents[2].gaps_written > 0 && r.extents[2].seconds_lost > 1.0, "{r:#?}");
    let mut intact = records(whole);
    intact.retain(|(e, _)| *e != 1);
    check(&intact, &memory, "the middle extent gone");
}

#[test]
fn a_lost_packet_costs_its_part_and_no_more() {
    let whole = small();
    let all = records(whole);
    let hit = |(e, f): &&(u32, Found)| {
        let Record::Packet { packet, .. } = &f.record else { return false };
        *e == 1 && packet.key && packet.track == TrackId::VIDEO
    };
    let (extent, hit) = all.iter().find(hit).expect("packets");
    let memory = Memory::of(whole);
    let mut bytes = whole[*extent as usize].1.to_vec();
    bytes[hit.at as usize + hit.raw.len() - 1] ^= 1;
    memory.put(*extent, &bytes);
    let dry = repair(&memory, dir(), true, &mut |_| {}).expect("looked at");
    assert_eq!(*memory.changes.lock().expect("whole"), 0, "a dry run writes nothing");
    let mut r = run(&memory);
    let e = &r.extents[1];
    assert_eq!((e.packets_lost, e.gaps_written, e.bytes_lost), (1, 1, hit.raw.len() as u64));
    assert!(e.seconds_lost > 0.3 && e.seconds_lost < 0.6, "{e:?}");
    let kept = e.kept_as.clone().expect("kept");
    let old = memory.open(Path::new(&kept), Open::Read).expect("there");
    assert_eq!(old.len().expect("known"), bytes.len() as u64);
    r.extents.iter_mut().for_each(|e| e.kept_as = None);
    assert_eq!(dry, r, "a dry run says what would be done");
    let again = run(&memory);
    let told = |n: &String| n.starts_with("set aside: 00000001.extent.damaged");
    assert!(!again.changed && again.notes.iter().any(told), "{again:#?}");
}

#[test]
fn killed_at_any_change_it_is_one_or_the_other() {
    let whole = small();
    let all = records(whole);
    // A part that spans two extents, and a missing extent's worth of trouble in the first.
    let damaged = || {
        let memory = Memory::of(whole);
        for extent in [0usize, 1] {
            let mut bytes = whole[extent].1.to_vec();
            let end = salvage(extent as u32, &whole[extent].1, &mut |_| {}).records_end as usize;
            bytes[end - 300..end - 100].fill(0);
            memory.put(extent as u32, &bytes);
        }
        memory
    };
    let done = damaged();
    run(&done);
    let changes = *done.changes.lock().expect("whole");
    assert!(changes > 6);
    for dies_after in 0..changes {
        let memory = Memory { dies_after: Some(dies_after), ..damaged() };
        assert!(repair(&memory, dir(), false, &mut |_| {}).is_err());
        let names = memory.names();
        assert!((0..EXTENTS).all(|i| names.contains(&extent_name(i))), "{names:?}");
        let memory = Memory { dies_after: None, ..memory };
        run(&memory);
        assert_eq!(memory.extents(), done.extents(), "killed after {dies_after}");
    }
    let mut intact = all;
    let hit = |e: u32, f: &Found| {
        let end = salvage(e, &whole[e as usize].1, &mut |_| {}).records_end;
        e < 2 && f.at + f.raw.len() as u64 > end - 300 && f.at < end - 100
    };
    intact.retain(|(e, f)| !hit(*e, f));
    check(&intact, &done, "two holes");
}

#[test]
fn what_is_not_this_log_s_is_left_alone() {
    let whole = small();
    let memory = Memory::of(whole);
    memory.put(1, &whole[2].1);
    let e = repair(&memory, dir(), false, &mut |_| {}).expect_err("refused");
    assert!(e.to_string().contains("extent 2 under another name"), "{e}");
    assert_eq!(*memory.changes.lock().expect("whole"), 0);
}

#[test]
fn media_that_imitates_records_is_not_believed() {
    use crate::log::format::record::encode_packet;
    // A packet whose payload is a record of a packet that never was, hit in its length field.
    let whole = small();
    let track = TrackId::VIDEO;
    let mut fake = BytesMut::new();
    let packet = |payload| Packet { track, dts: 1, cts: 0, key: true, payload };
    encode_packet(&mut fake, &packet(Bytes::from_static(b"fake")), Some(Seq(1))).expect("small");
    let fake = fake.freeze();
    let mut bytes = BytesMut::from(&whole[0].1[..HEADER_LEN]);
    for seq in 0..5 {
        encode_packet(&mut bytes, &packet(fake.clone()), Some(Seq(seq))).expect("small");
    }
    let len = (bytes.len() - HEADER_LEN) / 5;
    bytes[HEADER_LEN + 3 * len + 1] ^= 0xff;
    bytes[HEADER_LEN + 3 * len + 9] ^= 0xff;
    let (bytes, mut found) = (bytes.freeze(), Vec::new());
    salvage(0, &bytes, &mut |p| {
        if let Piece::Record(f) = p {
            found.push(f);
        }
    });
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().all(|f| f.raw.len() == len));
}
