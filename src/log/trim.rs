//! Removing what is old of a log: its oldest extents, or all of it. Whoever asks for it knows that
//! they are somewhere else; the log itself only gets a later beginning.
//!
//! A file beside the extents (`trimmed`, `format::trimmed`) says from which extent on the log is
//! there. It is durable before the first extent goes, and replaces the one before it in one step,
//! so that whoever is killed in between leaves a log that begins where the file says: extents
//! before it that still lie there are no part of the log any more, and the next trim takes them
//! away. Extents go from the oldest on. Nothing that stays is touched, and no number changes.
//!
//! The extent at which a log begins is sealed, and durable by its collector's word: its footer has
//! what the removed ones had come to, so that recovery never needs them. The generation's first
//! record, which nothing repeats, is kept in the file; an index has it in front of the first
//! footer's marks.
//!
//! All of a log is removed in the same way: the file says that everything is gone, and then
//! everything goes, the file at last, and the directory. To readers it was gone with the first
//! step.
//!
//! A writer and its readers may be at work meanwhile: the newest extents are theirs. Who has a file
//! open reads it to its end; who asks for a removed one is told (`LogError::Removed`).

use crate::log::error::LogError;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::{frame, kind};
use crate::log::format::trimmed::Trimmed;
use crate::log::format::version::Range;
use crate::log::format::{MARK_MAX, Position};
use crate::log::fs::{FileSystem, LogFile, Open};
use crate::log::id::{LOCK, LogId, SEALED, TRIMMED, extent_index, extent_name};
use crate::log::reader::{ExtentReader, Place, names, there};
use bytes::{Bytes, BytesMut};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the file is called until it is whole.
const PART: &str = "trimmed.part";

/// What is read of the file: a head and one mark.
const READ_BYTES: usize = 64 + MARK_MAX;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Files of extents.
    pub extents: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// What a log's directory says of removed extents, where it has these names. Blocks.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub(super) fn trimmed(
    fs: &dyn FileSystem,
    dir: &Path,
    names: &[String],
) -> Result<Option<Trimmed>, LogError> {
    if !names.iter().any(|n| n == TRIMMED) {
        return Ok(None);
    }
    let path = dir.join(TRIMMED);
    let read = || {
        let file = fs.open(&path, Open::Read)?;
        let mut bytes = BytesMut::zeroed((file.len()? as usize).min(READ_BYTES));
        let n = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n);
        Ok(bytes.freeze())
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        // The last of the log went while the names were read.
        Err(e) if io::Error::kind(&e) == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LogError::io("read", &path, e)),
    };
    match Trimmed::decode(&bytes) {
        Some(trimmed) => Ok(Some(trimmed)),
        None => {
            let why =
                format!("it does not say where the log begins; castctl repair {}", dir.display());
            Err(LogError::Damaged { path, offset: 0, why })
        }
    }
}

/// Why an extent is not there: it was removed, all of its log is gone, or (`Ok`) it was never made.
/// Blocks.
///
/// # Errors
/// As said, or the directory cannot be read.
pub(super) fn absent(fs: &dyn FileSystem, dir: &Path, at: Position) -> Result<(), LogError> {
    let names = match fs.list(dir) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::NotFound { path: dir.to_owned() });
        }
        Err(e) => return Err(LogError::io("list", dir, e)),
    };
    match trimmed(fs, dir, &names)? {
        Some(t) if t.whole => Err(LogError::NotFound { path: dir.to_owned() }),
        Some(t) if at.extent < t.first => {
            Err(LogError::Removed { path: dir.to_owned(), first: t.first })
        }
        _ => Ok(()),
    }
}

/// The first extent of a log's directory that was not removed; 0 where none was. Blocks.
///
/// # Errors
/// The directory cannot be read.
pub fn first(fs: &dyn FileSystem, dir: &Path) -> Result<u32, LogError> {
    Ok(trimmed(fs, dir, &names(fs, dir)?)?.map_or(0, |t| t.first))
}

/// Removes a log's extents before `to`, which has to be sealed, and what an earlier trim that was
/// killed has left. Blocks.
///
/// # Errors
/// `to` or one before it is not there, or `to` is not sealed: nothing is removed. Or the disk
/// refuses: then the log is as the module says, and the next trim goes on.
pub fn trim(fs: &dyn FileSystem, dir: &Path, id: &LogId, to: u32) -> Result<Removed, LogError> {
    let (known, all) = there(fs, dir)?;
    let from = known.as_ref().map_or(0, |t| t.first);
    if known.as_ref().is_some_and(|t| t.whole) {
        return Err(LogError::NotFound { path: dir.to_owned() });
    }
    let place = Place { fs, dir, id, reads: Range::TODAY };
    if to > from {
        if let Some(missing) = (from..=to).find(|n| all.binary_search(n).is_err()) {
            return Err(lacks(dir, missing, "it is missing; nothing is removed behind it"));
        }
        let sealed = ExtentReader::open(place, to)?.is_some_and(|r| r.sealed.is_some());
        if !sealed {
            return Err(lacks(dir, to, "it is not sealed, so the log cannot begin with it"));
        }
        let start = match &known {
            Some(known) => known.start.clone(),
            None => start(place)?,
        };
        let generation = id.generation;
        say(fs, dir, &Trimmed { first: to, generation, whole: false, start })?;
    }
    let names = names(fs, dir)?;
    let removed = take_away(fs, dir, &names, to.max(from))?;
    if removed.extents > 0 {
        fs.sync_dir(dir).map_err(|e| LogError::io("sync", dir, e))?;
    }
    Ok(removed)
}

/// Removes all of a log that is over, with the files beside it that are the log's or whose names
/// `own` knows, and its directory; `None` where it may go on, somebody has its lock, or something
/// else lies beside it, as what recovery and repair set aside. Blocks.
///
/// # Errors
/// The disk refuses: then the log is gone to readers, or all there; the next call goes on.
pub fn remove(
    fs: &dyn FileSystem,
    dir: &Path,
    id: &LogId,
    own: &dyn Fn(&str) -> bool,
) -> Result<Option<Removed>, LogError> {
    let found = names(fs, dir)?;
    let known = trimmed(fs, dir, &found)?;
    let begun = known.as_ref().is_some_and(|t| t.whole);
    let stranger = |n: &&String| !is_own(n) && !own(n);
    if found.iter().any(|n| stranger(&n)) || !(begun || found.iter().any(|n| n == SEALED)) {
        return Ok(None);
    }
    let held = fs.lock(&dir.join(LOCK)).map_err(|e| LogError::io("lock", dir, e))?;
    let Some(_held) = held else { return Ok(None) };
    if !begun {
        let start = known.map_or(Bytes::new(), |t| t.start);
        let last = found.iter().filter_map(|n| extent_index(n)).max();
        let first = last.map_or(0, |last| last + 1);
        say(fs, dir, &Trimmed { first, generation: id.generation, whole: true, start })?;
    }
    let removed = take_away(fs, dir, &found, u32::MAX)?;
    let gone = |name: &str| match fs.remove(&dir.join(name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", dir, e)),
        _ => Ok(()),
    };
    for name in names(fs, dir)?.iter().filter(|n| *n != TRIMMED && *n != LOCK) {
        gone(name)?;
    }
    gone(LOCK)?;
    // Whatever a crash brings back, the file is there that says that it is nothing.
    fs.sync_dir(dir).map_err(|e| LogError::io("sync", dir, e))?;
    gone(TRIMMED)?;
    fs.remove_dir(dir).map_err(|e| LogError::io("remove", dir, e))?;
    if let Some(session) = dir.parent() {
        // Others' logs may lie there.
        let _ = fs.remove_dir(session);
    }
    Ok(Some(removed))
}

/// Was the removal of all of this log begun, and not ended? Blocks.
///
/// # Errors
/// The directory cannot be read.
pub fn is_being_removed(fs: &dyn FileSystem, dir: &Path) -> Result<bool, LogError> {
    Ok(trimmed(fs, dir, &names(fs, dir)?)?.is_some_and(|t| t.whole))
}

/// Is this the name of a log's own file?
fn is_own(name: &str) -> bool {
    extent_index(name).is_some() || [LOCK, SEALED, TRIMMED, PART].contains(&name)
}

fn lacks(dir: &Path, extent: u32, why: &str) -> LogError {
    LogError::Damaged { path: dir.join(extent_name(extent)), offset: 0, why: why.into() }
}

/// The first record of a log that begins with extent 0; nothing where it is none, as in one that
/// was repaired.
fn start(place: Place<'_>) -> Result<Bytes, LogError> {
    let Some(reader) = ExtentReader::open(place, 0)? else { return Ok(Bytes::new()) };
    let bytes = reader.bytes(HEADER_LEN as u64, MARK_MAX)?;
    Ok(match frame(&bytes, true) {
        Ok(f) if f.kind == kind::GENERATION => bytes.slice(..f.len),
        _ => Bytes::new(),
    })
}

/// Makes durable from where on the log is there.
pub(super) fn say(fs: &dyn FileSystem, dir: &Path, trimmed: &Trimmed) -> Result<(), LogError> {
    let (part, path) = (dir.join(PART), dir.join(TRIMMED));
    let write = || {
        let file = create(fs, &part)?;
        file.write_at(&[&trimmed.encode()], 0)?;
        file.sync_data()?;
        fs.rename(&part, &path)?;
        fs.sync_dir(dir)
    };
    write().map_err(|e| LogError::io("write", &path, e))
}

/// A file of no length: what an earlier attempt left is written over.
fn create(fs: &dyn FileSystem, path: &Path) -> io::Result<Arc<dyn LogFile>> {
    match fs.open(path, Open::Create) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let file = fs.open(path, Open::Write)?;
            file.truncate(0)?;
            Ok(file)
        }
        other => other,
    }
}

/// Takes extents away, from the oldest on to the one before `to`.
fn take_away(
    fs: &dyn FileSystem,
    dir: &Path,
    names: &[String],
    to: u32,
) -> Result<Removed, LogError> {
    let mut old: Vec<u32> = names.iter().filter_map(|n| extent_index(n)).collect();
    old.retain(|n| *n < to);
    old.sort_unstable();
    let mut removed = Removed::default();
    for extent in old {
        let path = dir.join(extent_name(extent));
        let bytes = fs.open(&path, Open::Read).and_then(|f| f.len()).unwrap_or(0);
        fs.remove(&path).map_err(|e| LogError::io("remove", &path, e))?;
        removed.extents += 1;
        removed.bytes += bytes;
    }
    Ok(removed)
}
