//! The file system: what processes see, what would survive the power going out, and every change in
//! between that the kernel may still write in any order.
//!
//! - Page cache: a write is seen at once and survives only a sync of its file.
//! - Order of writeback: at a crash each 512-byte sector holds any of the contents it had since the
//!   last sync, each independently, and the file has any of its lengths; what was never written is
//!   zeros or a stranger's bytes.
//! - Names: a file that was created or renamed keeps its name only once its directory is synced.
//!   Before, each change of a name survives or does not, independently.
//! - No space: from some append on. That append is written in part; allocated room stays usable.
//! - EIO on fsync: dirty sectors, or names, are written or lost, and clean: the next one succeeds.
//! - EIO on a read: once, or from then on for the sectors it asked for, until they are written.
//! - Power: goes out before any operation, or within a write after any byte of it.

use crate::log::fs::{FileSystem, Lock, LogFile, Open};
use crate::log::shared::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Random numbers from one seed (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What goes wrong, and at which operation that changes something (counted from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Power(u64),
    /// No room from the n-th append on.
    Full(u64),
    /// The n-th fsync fails.
    Sync(u64),
    /// The n-th read fails, and with the flag a sector that it asked for from then on.
    Read(u64, bool),
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The cache as it was at the last sync, which may have lost some of it: a sector that is
    /// written again is written whole, from the cache.
    synced: Vec<u8>,
    /// What is on its way from `seen` to `durable`.
    pending: Vec<Change>,
    allocated: u64,
}

#[derive(Debug, Clone)]
enum Rename {
    Create(PathBuf, usize),
    Move(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    fn apply(&mut self, change: &Rename) {
        match change {
            Rename::Create(path, usize::MAX) => {
                self.dirs.insert(path.clone());
            }
            Rename::Create(path, file) => {
                self.files.insert(path.clone(), *file);
            }
            Rename::Move(from, to, file) => {
                if self.files.get(from) == Some(file) {
                    self.files.remove(from);
                }
                self.files.insert(to.clone(), *file);
            }
            Rename::Remove(path) => {
                self.files.remove(path);
                self.dirs.remove(path);
            }
        }
    }
}

#[derive(Debug)]
struct State {
    files: Vec<File>,
    seen: Names,
    durable: Names,
    pending: Vec<Rename>,
    locked: BTreeSet<PathBuf>,
    rng: Rng,
    faults: Vec<Fault>,
    ops: u64,
    appends: u64,
    syncs: u64,
    /// Bytes of files that were read, and in how many reads.
    read: u64,
    reads: u64,
    /// Sectors that cannot be read: file and number.
    bad: BTreeSet<(usize, usize)>,
    full: bool,
    dead: bool,
}

/// The disk. Cheap to clone: all clones are the same disk.
#[derive(Debug, Clone)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

struct Held(SimDisk, PathBuf);

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.0.0).locked.remove(&self.1);
    }
}

impl SimDisk {
    /// An empty disk with the directory `root` on it.
    pub(super) fn new(root: &Path, seed: u64, faults: &[Fault]) -> SimDisk {
        let dirs: BTreeSet<PathBuf> = root.ancestors().map(Path::to_owned).collect();
        let names = Names { files: BTreeMap::new(), dirs };
        SimDisk::of(Vec::new(), names, seed, faults)
    }

    fn of(files: Vec<File>, names: Names, seed: u64, faults: &[Fault]) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State {
            files,
            seen: names.clone(),
            durable: names,
            pending: Vec::new(),
            locked: BTreeSet::new(),
            rng: Rng(seed),
            faults: faults.to_vec(),
            ops: 0,
            appends: 0,
            syncs: 0,
            read: 0,
            reads: 0,
            bad: BTreeSet::new(),
            full: false,
            dead: false,
        })))
    }

    pub(super) fn is_dead(&self) -> bool {
        lock(&self.0).dead
    }

    /// From now on there is no room but what was reserved.
    pub(super) fn fill(&self) {
        lock(&self.0).full = true;
    }

    /// Has a read failed?
    pub(super) fn has_failed(&self) -> bool {
        let s = lock(&self.0);
        s.faults.iter().any(|f| matches!(f, Fault::Read(n, _) if *n <= s.reads))
    }

    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        lock(&self.0).read
    }

    /// Bytes reserved behind the end of a file.
    pub(super) fn spare(&self, path: &Path) -> u64 {
        let s = lock(&self.0);
        let file = &s.files[s.seen.files[path]];
        file.allocated.saturating_sub(file.seen.len() as u64)
    }

    /// Every file and what it holds, as processes see it.
    pub(super) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let s = lock(&self.0);
        s.seen.files.iter().map(|(path, i)| (path.clone(), s.files[*i].seen.clone())).collect()
    }

    /// Replaces what a file holds, as bit rot or an operator would.
    pub(super) fn set(&self, path: &Path, bytes: Vec<u8>) {
        let mut s = lock(&self.0);
        let i = s.seen.files[path];
        let (synced, durable) = (bytes.clone(), bytes.clone());
        s.files[i] = File { seen: bytes, synced, durable, ..File::default() };
    }

    /// The same disk, well again, for the next process: what was seen is still seen.
    pub(super) fn after_kill(&self, seed: u64, faults: &[Fault]) -> SimDisk {
        let s = lock(&self.0);
        let next = SimDisk::of(s.files.clone(), s.seen.clone(), seed, faults);
        {
            let mut n = lock(&next.0);
            (n.durable, n.pending) = (s.durable.clone(), s.pending.clone());
        }
        next
    }

    /// What the machine finds after the power was out: any state the kernel may have left.
    pub(super) fn after_crash(&self, seed: u64, faults: &[Fault]) -> SimDisk {
        let s = lock(&self.0);
        let mut rng = Rng(seed ^ 0x5151);
        let mut names = s.durable.clone();
        // Everything reached the disk, nothing did, or some of it.
        let mood = rng.below(4);
        let kept = |rng: &mut Rng| mood == 0 || (mood > 1 && !rng.one_in(3));
        for change in &s.pending {
            if kept(&mut rng) {
                names.apply(change);
            }
        }
        // A directory that is gone takes everything below with it.
        let dirs = names.dirs.clone();
        let there = |p: &Path| p.ancestors().skip(1).all(|d| dirs.contains(d));
        names.dirs.retain(|d| there(d));
        names.files.retain(|f, _| there(f));
        let files = s.files.iter().map(|f| torn(f, &mut rng, mood)).collect();
        SimDisk::of(files, names, seed, faults)
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut s = lock(&self.0);
        s.ops += 1;
        let now = s.ops;
        s.dead |= s.faults.contains(&Fault::Power(now));
        if s.dead { Err(io::Error::other("the power is out")) } else { work(&mut s) }
    }
}

/// A file after a crash: the sectors and the length as they may have been written.
fn torn(f: &File, rng: &mut Rng, mood: usize) -> File {
    let mut lens = vec![f.durable.len()];
    let mut len = f.synced.len();
    // Per sector, the contents it had since the last sync.
    let mut states: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    let mut now = f.synced.clone();
    for change in &f.pending {
        match change {
            Change::Length(n) => {
                now.resize(*n, 0);
                len = *n;
            }
            Change::Write(at, bytes) => {
                len = len.max(at + bytes.len());
                if now.len() < len {
                    now.resize(len, 0);
                }
                now[*at..at + bytes.len()].copy_from_slice(bytes);
                for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
                    let to = ((sector + 1) * SECTOR).min(now.len());
                    states.entry(sector).or_default().push(now[sector * SECTOR..to].to_vec());
                }
            }
        }
        lens.push(len);
    }
    let len = match mood {
        0 => len,
        1 => lens[0],
        _ => lens[rng.below(lens.len())],
    };
    let mut out = f.durable.clone();
    out.resize(len, 0);
    let garbage = rng.one_in(4);
    for (sector, contents) in states {
        let pick = match mood {
            0 => Some(contents.len() - 1),
            1 => None,
            _ => rng.below(contents.len() + 1).checked_sub(1),
        };
        let from = sector * SECTOR;
        if from >= len {
            continue;
        }
        let to = (from + SECTOR).min(len);
        match pick {
            Some(i) => {
                let n = contents[i].len().min(to - from);
                out[from..from + n].copy_from_slice(&contents[i][..n]);
            }
            None if garbage => {
                let fresh = from.max(f.durable.len()).min(to);
                out[fresh..to].iter_mut().for_each(|b| *b = rng.next() as u8);
            }
            None => {}
        }
    }
    File { seen: out.clone(), synced: out.clone(), durable: out, ..File::default() }
}

impl FileSystem for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.change(|s| {
            let missing: Vec<PathBuf> =
                dir.ancestors().filter(|d| !s.seen.dirs.contains(*d)).map(Path::to_owned).collect();
            for d in missing.into_iter().rev() {
                let made = Rename::Create(d, usize::MAX);
                s.seen.apply(&made);
                s.pending.push(made);
            }
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let s = lock(&self.0);
        if !s.seen.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = s.seen.files.keys().chain(s.seen.dirs.iter());
        let here = all.filter(|p| p.parent() == Some(dir));
        Ok(here.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        let disk = self.clone();
        if how == Open::Create {
            return self.change(|s| {
                if s.seen.files.contains_key(path) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                s.files.push(File::default());
                let file = s.files.len() - 1;
                let made = Rename::Create(path.to_owned(), file);
                s.seen.apply(&made);
                s.pending.push(made);
                Ok(Arc::new(SimFile { disk, file }) as Arc<dyn LogFile>)
            });
        }
        let s = lock(&self.0);
        let file = s.seen.files.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk, file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|s| {
            let file = s.seen.files.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
            let moved = Rename::Move(from.to_owned(), to.to_owned(), file);
            s.seen.apply(&moved);
            s.pending.push(moved);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|s| {
            if !s.seen.files.contains_key(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            s.seen.apply(&Rename::Remove(path.to_owned()));
            s.pending.push(Rename::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|s| {
            if !s.seen.dirs.contains(dir) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let mut below = s.seen.files.keys().chain(s.seen.dirs.iter());
            if below.any(|p| p.parent() == Some(dir)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            s.seen.apply(&Rename::Remove(dir.to_owned()));
            s.pending.push(Rename::Remove(dir.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|s| {
            s.syncs += 1;
            let failed = s.faults.contains(&Fault::Sync(s.syncs));
            let mut rng = Rng(s.rng.next());
            let (here, rest) = std::mem::take(&mut s.pending).into_iter().partition(|c| {
                let (Rename::Create(path, _) | Rename::Move(path, ..) | Rename::Remove(path)) = c;
                path.parent() == Some(dir)
            });
            s.pending = rest;
            let here: Vec<Rename> = here;
            let kept = here.iter().filter(|_| !failed || rng.one_in(2));
            kept.for_each(|c| s.durable.apply(c));
            if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        if !lock(&self.0).seen.files.contains_key(path) {
            self.open(path, Open::Create)?;
        }
        let free = lock(&self.0).locked.insert(path.to_owned());
        Ok(free.then(|| Box::new(Held(self.clone(), path.to_owned())) as Lock))
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl LogFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.disk.0).files[self.file].seen.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut s = lock(&self.disk.0);
        if s.dead {
            return Err(io::Error::other("the power is out"));
        }
        s.read += buf.len() as u64;
        s.reads += 1;
        let n = s.reads;
        let len = s.files[self.file].seen.len().saturating_sub(offset as usize).min(buf.len());
        let sectors = offset as usize / SECTOR..(offset as usize + len).div_ceil(SECTOR);
        if s.faults.contains(&Fault::Read(n, true)) && !sectors.is_empty() {
            let sector = sectors.start + s.rng.below(sectors.len());
            s.bad.insert((self.file, sector));
        }
        let bad = sectors.clone().any(|sector| s.bad.contains(&(self.file, sector)));
        if bad || s.faults.contains(&Fault::Read(n, false)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let rest = s.files[self.file].seen.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
        let all = bufs.concat();
        let mut s = lock(&self.disk.0);
        if s.dead {
            return Err(io::Error::other("the power is out"));
        }
        s.ops += 1;
        s.appends += 1;
        let (op, append) = (s.ops, s.appends);
        let end = offset + all.len() as u64;
        let had_room = end <= s.files[self.file].allocated;
        s.dead = s.faults.contains(&Fault::Power(op));
        s.full |= s.faults.contains(&Fault::Full(append));
        let fits = !s.dead && (!s.full || had_room);
        let n = if fits { all.len() } else { s.rng.below(all.len() + 1) };
        for sector in offset as usize / SECTOR..(offset as usize + n).div_ceil(SECTOR) {
            s.bad.remove(&(self.file, sector));
        }
        let f = &mut s.files[self.file];
        let (from, to) = (offset as usize, offset as usize + n);
        if f.seen.len() < to {
            f.seen.resize(to, 0);
        }
        f.seen[from..to].copy_from_slice(&all[..n]);
        f.pending.push(Change::Write(from, all[..n].to_vec()));
        match (s.dead, fits) {
            (true, _) => Err(io::Error::other("the power is out")),
            (_, false) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.change(|s| {
            let f = &mut s.files[self.file];
            f.seen.resize(len as usize, 0);
            f.allocated = f.allocated.min(len);
            f.pending.push(Change::Length(len as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change(|s| {
            s.syncs += 1;
            let failed = s.faults.contains(&Fault::Sync(s.syncs));
            let mut rng = Rng(s.rng.next());
            let f = &mut s.files[self.file];
            f.durable = if failed { torn(f, &mut rng, 2).durable } else { f.seen.clone() };
            f.synced = f.seen.clone();
            f.pending.clear();
            if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        })
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.change(|s| {
            if s.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let f = &mut s.files[self.file];
            f.allocated = f.allocated.max(offset + len);
            Ok(())
        })
    }
}
