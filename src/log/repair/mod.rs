//! Repairs what recovery refuses: damage in the middle of a log, headers, footers, missing extents.
//! Recovery cuts the torn tail of a log whose writer is dead; everything else that is wrong with a
//! stored log is mended here, by hand, through `castctl repair`.
//!
//! **What comes out.** Every record that can be read is kept byte for byte, in its order, and
//! nothing is made up: a packet in the repaired log was in the damaged one, and so was every mark,
//! apart from gaps. A hole becomes gaps (TIMELINE section 9 names them as an exception of what
//! listed media may turn into): `lane` says which mark becomes which gap, `plan` puts back repeated
//! configurations, `salvage` says what can be read at all.
//!
//! - Records are closed up: a log has no holes. Offsets in the file change behind the first one, so
//!   the footers from there on are made anew, also of later extents if they name such places.
//! - A damaged header is made anew from the file's name and its neighbours.
//! - A missing extent between two others is made anew without media: header, the configurations
//!   that every extent repeats, footer. Readers stop at an extent that is not there.
//! - Extents get their footers. The last one only if it had one, or holds the generation's end: an
//!   extent that a writer left open is sealed by recovery, which also tells the registry how the
//!   generation ended. A torn tail of it is cut all the same.
//! - The first record of a generation stands nowhere else. If it is lost, it stays lost and the
//!   report says so; readers do without. So does the end record where the footer is gone too.
//! - A log whose oldest extents were removed (`trim`) begins where the file beside it says. Where
//!   that cannot be read, or what it names is lost, it begins with the oldest extent there is.
//! - Extents that recovery set aside (`.orphan`) stay aside: the registry has decided the end of
//!   that generation without them.
//!
//! **How it is done.** The lock is held throughout. Every extent is read once and its marks and
//! holes are noted (`scan`), the plan is made for the whole log at once, then each extent is read
//! again and put together (`rebuild`). What differs from the file is written beside it and read
//! back before anything is touched; then the files are swapped (`swap`), the last extent first, so
//! that what is damaged stays to be seen until everything that follows from it is in place. Killed
//! at any point, a second run ends where the first one would have; a repaired log needs no repair.
//!
//! **A disk that fails** in places (`EIO`): what it does not give back is damage like any other, of
//! whole pages, and the repaired file has it no more.
//!
//! **What it trusts.** Checksums, and where the head of a record is damaged, that the media behind
//! it does not imitate records with right checksums and numbers that go on. A publisher could
//! prepare media so, but not the damage.
//!
//! Memory: one extent and its repaired form, and the marks of the whole log.

mod beginning;
mod holder;
mod lane;
mod plan;
mod rebuild;
pub mod report;
pub mod salvage;
mod samples;
mod scan;
mod swap;

use crate::base::ids::Generation;
use crate::log::aside::set_aside;
use crate::log::error::LogError;
use crate::log::format::FormatError;
use crate::log::format::extent::Header;
use crate::log::format::index::Indexer;
use crate::log::fs::{FileSystem, Lock};
use crate::log::id::{LOCK, extent_index, extent_name, numbered};
use crate::log::repair::plan::{Edits, plan};
use crate::log::repair::rebuild::{Rebuilt, rebuild};
use crate::log::repair::report::LogReport;
use crate::log::repair::samples::Samples;
use crate::log::repair::scan::{Scanned, What, generation, read, read_again, scan};
use crate::media::timeline::mark::Mark;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How deep below a directory logs are looked for: `logs`, channel, session, generation.
const DEPTH: usize = 4;

/// Most extents missing in a row that are made anew: a day of them at 60 s.
const MISSING_MAX: u32 = 1_440;

/// Why a log is not repaired. Nothing was changed in it, unless the error is of the file system:
/// then a second run goes on where this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The file system refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A process has the log open for writing.
    #[error(
        "the log {} is being written by {holder}: it holds the lock; stop it first", path.display()
    )]
    Held {
        /// The log's directory.
        path: PathBuf,
        /// Who, as far as the system tells.
        holder: String,
    },
    /// A file that must not be touched.
    #[error("{}: {why}; it is left alone, and so is its log", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// No header, no directory's name and no record says which generation it is.
    #[error(
        "{}: nothing in it says of which generation it is; name the directory g and the number",
        path.display()
    )]
    Nameless {
        /// The log's directory.
        path: PathBuf,
    },
    /// The repaired extent would be beyond the format's limits.
    #[error("{}: cannot be put together again: {source}", path.display())]
    Limit {
        /// The extent's file.
        path: PathBuf,
        /// Which limit.
        source: FormatError,
    },
    /// What was written is not what is read back: the disk is failing.
    #[error("{}: what was written at byte {offset} reads back differently", path.display())]
    Differs {
        /// The new file; the original is untouched.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

fn io(what: &'static str, path: &Path, e: std::io::Error) -> RepairError {
    LogError::io(what, path, e).into()
}

/// The directories of logs at or below `path`, in the order of their numbers. An extent's file
/// stands for its log: what is missing in it, its neighbours tell. Empty when there is no log.
///
/// # Errors
/// A directory cannot be listed.
pub fn logs_at(fs: &dyn FileSystem, path: &Path) -> Result<Vec<PathBuf>, LogError> {
    let named = path.file_name().and_then(|n| n.to_str()).and_then(extent_index).is_some();
    let mut found = Vec::new();
    if named && let Some(dir) = path.parent() {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        if fs.open(path, crate::log::fs::Open::Read).is_ok() {
            found.push(dir.to_owned());
        }
        return Ok(found);
    }
    find(fs, path, DEPTH, &mut found)?;
    Ok(found)
}

fn find(
    fs: &dyn FileSystem,
    dir: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), LogError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let mut names = match fs.list(dir) {
        Ok(names) => names,
        Err(e) if matches!(e.kind(), NotADirectory | NotFound) => return Ok(()),
        Err(e) => return Err(LogError::io("list", dir, e)),
    };
    if names.iter().any(|n| extent_index(n).is_some()) {
        found.push(dir.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    // `g10` comes after `g9`.
    let number = |n: &String| {
        n.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0)
    };
    names.sort_by_key(|n| (number(n), n.clone()));
    names.iter().try_for_each(|n| find(fs, &dir.join(n), depth - 1, found))
}

/// Bytes of a log's extents: a repair reads them once when nothing is wrong, else twice.
pub fn size(fs: &dyn FileSystem, dir: &Path) -> Result<u64, LogError> {
    let len = |index| {
        let path = dir.join(extent_name(index));
        let file = fs.open(&path, crate::log::fs::Open::Read);
        file.and_then(|f| f.len()).map_err(|e| LogError::io("read", &path, e))
    };
    beginning::extents(fs, dir)?.into_iter().map(len).sum()
}

/// Repairs the log in `dir`; with `dry_run` it only says what it would do, and writes nothing.
/// `progress` gets the bytes read since it was called last. Blocks.
///
/// # Errors
/// See [`RepairError`].
pub fn repair(
    fs: &dyn FileSystem,
    dir: &Path,
    dry_run: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<LogReport, RepairError> {
    let _held = hold(fs, dir, dry_run)?;
    let named = dir.file_name().and_then(|n| n.to_str()).and_then(|n| numbered(n, 'g'));
    let mut samples = Samples::default();
    let mut all = scan_all(fs, dir, &mut samples, progress)?;
    let generation = generation(dir, named.map(Generation), &all)?;
    let edits = plan(&mut all, &samples);
    let mut report = LogReport {
        directory: dir.display().to_string(),
        generation: generation.0,
        extents: Vec::new(),
        notes: notes(fs, dir, &all)?,
        changed: false,
    };
    let sound = all.iter().all(|e| e.sound) && edits.iter().all(Edits::is_empty);
    let changed = if sound {
        all.iter_mut().for_each(|e| e.report.bytes_after = e.report.bytes);
        Vec::new()
    } else {
        rebuild_all(fs, dir, generation, (&mut all, &edits), dry_run, progress)?
    };
    // The last one first: see the module.
    for beside in changed.iter().rev() {
        let kept = swap::place(fs, dir, beside)?;
        if let Some(e) = all.iter_mut().find(|e| e.index == beside.index) {
            e.report.kept_as = kept.map(|k| k.display().to_string());
        }
    }
    let begins = all.first().map_or(0, |e| e.index);
    let moved = beginning::mend(fs, dir, generation, begins, dry_run)?;
    report.changed = moved || all.iter().any(|e| e.report.changed);
    report.extents = all.into_iter().map(|e| e.report).collect();
    Ok(report)
}

/// Takes the log's lock. Looking without changing anything makes no lock's file.
fn hold(fs: &dyn FileSystem, dir: &Path, dry_run: bool) -> Result<Option<Lock>, RepairError> {
    let path = dir.join(LOCK);
    if dry_run && fs.open(&path, crate::log::fs::Open::Read).is_err() {
        return Ok(None);
    }
    match fs.lock(&path).map_err(|e| io("lock", dir, e))? {
        Some(lock) => Ok(Some(lock)),
        None => {
            let holder = holder::holder(&path).unwrap_or_else(|| "another process".into());
            Err(RepairError::Held { path: dir.to_owned(), holder })
        }
    }
}

fn scan_all(
    fs: &dyn FileSystem,
    dir: &Path,
    samples: &mut Samples,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Scanned>, RepairError> {
    let found = beginning::extents(fs, dir)?;
    let (Some(first), Some(last)) = (found.first().copied(), found.last().copied()) else {
        return Ok(Vec::new());
    };
    if first > 0 {
        *samples = Samples::joined();
    }
    let missing = last - first + 1 - found.len() as u32;
    if missing > MISSING_MAX {
        let path = dir.join(extent_name(last));
        let why = format!("{missing} extents before it are missing");
        return Err(RepairError::Foreign { path, why });
    }
    let mut all = Vec::new();
    let mut base = (first == 0).then(Indexer::new);
    for index in first..=last {
        if found.binary_search(&index).is_err() {
            base = None;
            all.push(Scanned::missing(dir, index));
            continue;
        }
        let path = dir.join(extent_name(index));
        let file = read(fs, &path)?;
        let mut scanned = scan(&path, index, &file, &mut base, samples);
        if !scanned.sealed && index < last {
            scanned.lacks_footer();
        }
        progress(file.bytes.len() as u64);
        all.push(scanned);
    }
    Ok(all)
}

/// Puts every extent together and writes those that differ beside the originals.
fn rebuild_all(
    fs: &dyn FileSystem,
    dir: &Path,
    generation: Generation,
    (all, edits): (&mut [Scanned], &[Edits]),
    dry_run: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<swap::Beside>, RepairError> {
    let neighbour = all.iter().find_map(|e| e.header.as_ref().ok().copied());
    let joined = all.first().is_some_and(|e| e.index > 0);
    let mut indexer = Indexer::new();
    (0..all.first().map_or(0, |e| e.index)).for_each(|_| indexer.roll());
    let mut changed = Vec::new();
    for (i, (e, edits)) in all.iter_mut().zip(edits).enumerate() {
        let path = dir.join(extent_name(e.index));
        let old = match e.report.missing {
            true => None,
            false => Some(read_again(fs, &path, &e.unreadable)?),
        };
        let bytes = old.clone().unwrap_or_default();
        let header = match &e.header {
            Ok(header) => *header,
            Err(_) => new_header(e, generation, neighbour),
        };
        let blind = joined && i == 0;
        let built = rebuild(header, &bytes, edits, e.sealed, blind, &mut indexer);
        let built = built.map_err(|source| RepairError::Limit { path, source })?;
        tell(e, edits, &built, old.as_ref());
        if e.report.changed && !dry_run {
            changed.push(swap::write(fs, dir, e.index, &built, old.as_ref())?);
        }
        progress(bytes.len() as u64);
    }
    Ok(changed)
}

/// The header of an extent that has lost it. Whether the extent was rolled at a limit, its first
/// own mark tells.
fn new_header(e: &Scanned, generation: Generation, neighbour: Option<Header>) -> Header {
    let mut marks = e.items.iter().filter_map(|i| match &i.what {
        What::Mark(m, _) => Some(m),
        What::Hole => None,
    });
    let own = marks.find(|m| !matches!(m, Mark::Session(_) | Mark::Track(_)));
    let starts = matches!(own, Some(Mark::SegmentStart(s)) if s.independent);
    let forced_roll = e.index > 0 && !starts;
    match neighbour {
        Some(neighbour) => {
            let mut header = neighbour;
            (header.extent, header.forced_roll) = (e.index, forced_roll);
            header
        }
        None => {
            let wrote = crate::log::format::version::Wrote::TODAY;
            Header { extent: e.index, generation, forced_roll, wrote }
        }
    }
}

/// Notes in an extent's report what became of it.
fn tell(e: &mut Scanned, edits: &Edits, built: &Rebuilt, old: Option<&Bytes>) {
    let r = &mut e.report;
    r.bytes_after = built.len;
    r.changed = old.is_none_or(|old| !built.is(old)) || !e.unreadable.is_empty();
    r.header_rebuilt = e.header.is_err();
    r.footer_rebuilt = built.new_footer;
    r.records_kept -= (edits.drop.len() as u64).min(r.records_kept);
    r.records_restored += edits.repeats;
    r.gaps_written = edits.gaps;
    r.seconds_lost = edits.lost.values().copied().max().unwrap_or(0) as f64 / 1e6;
}

/// What nothing can be done about.
fn notes(fs: &dyn FileSystem, dir: &Path, all: &[Scanned]) -> Result<Vec<String>, RepairError> {
    let mut notes = Vec::new();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for item in all.iter().flat_map(|e| &e.items) {
        let kind = match &item.what {
            What::Mark(Mark::Generation(_), _) => "generation",
            What::Mark(Mark::Session(_), _) => "session",
            What::Mark(Mark::End(_), _) => "end",
            _ => continue,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let first = all.first().map_or(0, |e| e.index);
    notes.extend(beginning::note(fs, dir, first)?);
    let has = |kind| kinds.contains_key(kind);
    let whole = all.iter().all(|e| !e.is_holed());
    if !whole && first == 0 && !has("generation") {
        notes.push(
            "the log's first record is lost: how the session went before is not known".into(),
        );
    }
    if !whole && !has("session") {
        notes.push("no session record is left: no playlist can be made of this log".into());
    }
    let torn = all.last().is_some_and(|e| e.sealed && e.is_holed());
    if torn && !has("end") {
        notes.push("the end record is lost, or there was none".into());
    }
    let names = fs.list(dir).map_err(|e| io("list", dir, e))?;
    notes.extend(set_aside(&names));
    if all.last().is_some_and(|e| !e.sealed) {
        notes.push("the last extent is open: castctl up seals it when it starts".into());
    }
    Ok(notes)
}

#[cfg(test)]
mod limits_test;
#[cfg(test)]
mod repair_test;
