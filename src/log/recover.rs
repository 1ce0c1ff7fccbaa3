//! Closing a log whose writer is dead: cut the torn tail to the last good record, write the footer,
//! say what was cut and how the generation ended.
//!
//! | what is found | what is done |
//! |---|---|
//! | the records end with the file, or in a footer that was begun | it is sealed |
//! | then damage, and nothing behind it claims that the log was durable there | torn: cut, sealed |
//! | then damage, and a record behind it says that it was durable (`format::durable`) | refused |
//!
//! A machine crash may leave the newest writes in any order: whole records behind torn ones, a
//! footer before the records it lists, an extent without the end of the one before it. All of it
//! lies behind the durable watermark, so cutting keeps the promise, and a server starts unattended.
//! Damage in what was durable is another matter: only `castctl repair` touches that. And since the
//! newest claim is older than the watermark was, whole records are never thrown away even behind a
//! tear: they are kept beside the log, in a file that no reader looks at.
//!
//! Read once, in bounded pieces, is what may be torn: the last extent, and those before it that no
//! later record says were durable. The rest is believed its footers.
//!
//! Every step can be interrupted and done again: nothing is cut before what is behind it has been
//! kept, and nothing is sealed before what does not belong to it has been set aside.

use crate::base::ids::TrackId;
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::index::Indexer;
use crate::log::format::record::encode_mark;
use crate::log::format::version::{Range, Wrote};
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Open};
use crate::log::id::{LOCK, LogId, SEALED, extent_name};
use crate::log::reader::{ExtentReader, Place, extents, logs};
use crate::log::torn::Raw;
use crate::log::walk::{State, Walk, walk_extent};
use crate::media::timeline::mark::{End, GenerationStart, Mark, SessionRecord};
use bytes::BytesMut;
use std::path::{Path, PathBuf};

/// What the name of an extent gets added when the extent before it turned out to be cut: it is kept
/// for repair.
const ORPHAN: &str = ".orphan";

/// What recovery took out of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Bytes behind the last good record, footers not counted.
    pub bytes: u64,
    /// Packets that are whole among them, and the torn one when its head can be read.
    pub packets: u64,
    /// How much further than the last good packet those go, microseconds of media.
    pub micros: i64,
}

/// A log that recovery has sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The log.
    pub id: LogId,
    /// Its first record; `None` when not even that was written whole.
    pub start: Option<GenerationStart>,
    /// Its end record, or what its marks amount to; `None` without a first record.
    pub end: Option<End>,
    /// What was cut off, if anything.
    pub cut: Option<Cut>,
    /// How many extents it has.
    pub extents: u32,
    /// Where its last record ends.
    pub position: Position,
    /// The constants of its session, when they were written.
    pub session: Option<SessionRecord>,
    /// Something had to be written; otherwise the log was whole as it was.
    pub changed: bool,
}

impl Cut {
    /// Counts a packet that is cut off.
    fn packet(&mut self, walk: &Walk, track: TrackId, dts: i64) {
        self.packets += 1;
        if let Some(newest) = walk.newest.get(&track) {
            let beyond = walk.micros(track, dts).saturating_sub(walk.micros(track, *newest));
            self.micros = self.micros.max(beyond);
        }
    }
}

impl Recovered {
    /// The answer after the last extent.
    fn of(
        walk: Walk,
        id: &LogId,
        cut: Option<Cut>,
        extents: usize,
        position: Position,
        changed: bool,
    ) -> Recovered {
        Recovered {
            id: id.clone(),
            end: walk.start.as_ref().map(|s| walk.indexer.end(s)),
            start: walk.start,
            cut,
            extents: extents as u32,
            position,
            session: walk.session,
            changed,
        }
    }
}

/// Closes every log of a data directory whose writer is dead (its lock is free) and that is not
/// known to be whole. One that cannot be closed is reported in the process's log and left as it is.
pub(super) fn all(
    fs: &dyn FileSystem,
    data: &Path,
    reads: Range,
) -> Result<Vec<Recovered>, LogError> {
    let mut recovered = Vec::new();
    for id in logs(fs, data)? {
        let dir = id.dir(data);
        let held = fs.lock(&dir.join(LOCK)).map_err(|e| LogError::io("lock", &dir, e))?;
        if held.is_none() {
            continue;
        }
        let place = Place { fs, dir: &dir, id: &id, reads };
        let closed = match is_suspect(place) {
            Ok(true) => close(place, None),
            Ok(false) => continue,
            Err(e) => Err(e),
        };
        match closed {
            Ok(log) => {
                note_sealed(fs, &dir);
                recovered.extend(Some(log).filter(|log| log.changed));
            }
            // The server starts without it; what can be read of it stays readable.
            Err(e) => tracing::error!(log = %id, "the log cannot be recovered: {e}"),
        }
    }
    Ok(recovered)
}

/// Has recovery anything to look at? Not in a directory without extents, and not when the log was
/// sealed and then synced, or recovered.
fn is_suspect(place: Place<'_>) -> Result<bool, LogError> {
    let Place { fs, dir, .. } = place;
    let names = fs.list(dir).map_err(|e| LogError::io("list", dir, e))?;
    if !names.iter().any(|n| n == SEALED) {
        return Ok(!extents(fs, dir)?.is_empty());
    }
    is_open(place)
}

/// Notes that all of a sealed log was made durable, so that no start has to read it again. Not
/// synced: without the note it is only read once more.
pub(super) fn note_sealed(fs: &dyn FileSystem, dir: &Path) {
    match fs.open(&dir.join(SEALED), Open::Create) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            tracing::debug!(dir = %dir.display(), "no note that the log is sealed: {e}");
        }
        _ => {}
    }
}

/// Does the log's last extent lack its footer? False too for a directory without extents.
pub(super) fn is_open(place: Place<'_>) -> Result<bool, LogError> {
    let Some(last) = extents(place.fs, place.dir)?.pop() else { return Ok(false) };
    match ExtentReader::open(place, last) {
        Ok(reader) => Ok(reader.is_some_and(|r| r.sealed.is_none())),
        Err(LogError::Header { .. }) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Seals a log; the caller holds its lock. Does nothing to extents that are sealed already. With an
/// `end`, from whoever is its writer still, an end record goes before the last footer, unless there
/// is one: recovery after a crash has none to write, since the registry may have decided otherwise.
///
/// # Errors
/// The log is damaged where it was durable, or written by a version that this one does not read:
/// nothing was changed. Or the system refuses.
pub(super) fn close(place: Place<'_>, end: Option<&End>) -> Result<Recovered, LogError> {
    let Place { fs, dir, id, .. } = place;
    let all = extents(fs, dir)?;
    let log = Log { place, fs, dir, id, all: &all };
    let safe = log.safe()?;
    let (mut walk, mut position) = (Walk::default(), HEADER_POSITION);
    let (mut cut, mut kept, mut changed) = (None, 0, false);
    for (i, extent) in all.iter().copied().enumerate() {
        let mut state = log.look(i as u32, extent, safe, &mut walk)?;
        // Without even the beginning of a footer nothing says that its records are all there.
        if let State::Unsealed { at, footer: false } = state
            && i + 1 < all.len()
        {
            state = State::Torn { at, why: "it ends without its footer".into() };
        }
        let at = match state {
            State::Whole { at } => {
                (position, kept) = (Position { extent, offset: at }, i + 1);
                continue;
            }
            State::Unsealed { at, .. } => at,
            State::Torn { at, why } => {
                cut = Some(log.tear(i, at, &why, &walk)?);
                changed = true;
                // An extent of which nothing is good is no part of the log, unless it is the first.
                if at < HEADER_LEN as u64 && extent > 0 {
                    break;
                }
                at
            }
        };
        // Whatever is sealed here is the last extent.
        let at = log.seal(extent, at, &mut walk, end)?;
        (position, kept, changed) = (Position { extent, offset: at }, i + 1, true);
        if cut.is_some() {
            break;
        }
    }
    if fs.sync_dir(dir).is_err() {
        tracing::warn!(log = %id, "the directory could not be synced after recovery");
    }
    Ok(Recovered::of(walk, id, cut.filter(|c| c.bytes > 0), kept, position, changed))
}

/// What [`close`] would find, without writing: for a disk that takes nothing any more.
pub(super) fn survey(place: Place<'_>) -> Result<Recovered, LogError> {
    let Place { fs, dir, id, .. } = place;
    let all = extents(fs, dir)?;
    let log = Log { place, fs, dir, id, all: &all };
    let (mut walk, mut position, mut seen) = (Walk::default(), HEADER_POSITION, 0);
    for (i, extent) in all.iter().copied().enumerate() {
        let state = log.look(i as u32, extent, u32::MAX, &mut walk)?;
        let (State::Whole { at } | State::Unsealed { at, .. } | State::Torn { at, .. }) = &state;
        if *at < HEADER_LEN as u64 && i > 0 {
            break;
        }
        (position, seen) = (Position { extent, offset: (*at).max(HEADER_LEN as u64) }, i + 1);
        if !matches!(state, State::Whole { .. } | State::Unsealed { footer: true, .. }) {
            break;
        }
    }
    Ok(Recovered::of(walk, id, None, seen, position, false))
}

/// The log being closed.
struct Log<'a> {
    place: Place<'a>,
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    id: &'a LogId,
    all: &'a [u32],
}

impl Log<'_> {
    /// The first extent that may be torn: all before it were durable, says a later record.
    fn safe(&self) -> Result<u32, LogError> {
        let Some((first, rest)) = self.all.split_first() else { return Ok(0) };
        for extent in rest.iter().rev().copied() {
            let here = Position { extent, offset: 0 };
            let raw = Raw::open(self.fs, self.dir, extent)?;
            if raw.claim(self.id.generation, HEADER_LEN as u64, here)? >= Some(here) {
                return Ok(extent);
            }
        }
        Ok(*first)
    }

    /// Takes in an extent: by its footer alone when it was durable, else record by record.
    fn look(
        &self,
        expected: u32,
        extent: u32,
        safe: u32,
        walk: &mut Walk,
    ) -> Result<State, LogError> {
        if expected != extent {
            return Ok(State::Torn { at: 0, why: format!("extent {expected} is missing") });
        }
        if expected > 0 {
            walk.indexer.roll();
        }
        let reader = match ExtentReader::open(self.place, extent) {
            Ok(Some(reader)) => reader,
            Ok(None) => return Err(LogError::NotFound { path: self.path(extent) }),
            Err(LogError::Header { source, .. }) if source.is_damage() => {
                let raw = Raw::open(self.fs, self.dir, extent)?;
                let why = source.to_string();
                if raw.begins_well()? {
                    return Err(self.damaged(extent, 0, &why));
                }
                if raw.len <= HEADER_LEN as u64 && Some(&extent) == self.all.last() {
                    return Ok(State::Unsealed { at: 0, footer: false });
                }
                return Ok(State::Torn { at: 0, why });
            }
            Err(e) => return Err(e),
        };
        if extent < safe
            && let Ok(Some(footer)) = reader.footer()
        {
            footer.marks().for_each(|m| walk.mark(&m.mark));
            walk.indexer = Indexer::at(&footer);
            return Ok(State::Whole { at: footer.records_end });
        }
        walk_extent(&reader, walk)
    }

    /// Prepares to cut extent `self.all[i]` at `at`: says what goes, keeps what is whole of it, and
    /// sets aside the extents behind. A log has no holes, so what comes after one is no part of it.
    fn tear(&self, i: usize, at: u64, why: &str, walk: &Walk) -> Result<Cut, LogError> {
        // The extents before are numbered from 0 without a gap; this one may not follow them.
        let here = Position { extent: i as u32, offset: at };
        let mut raws = Vec::new();
        for extent in &self.all[i..] {
            raws.push(Raw::open(self.fs, self.dir, *extent)?);
        }
        for (n, raw) in raws.iter().enumerate() {
            let from = if n == 0 { at } else { HEADER_LEN as u64 };
            // A log that is durable up to an extent's first record claims nothing of that extent.
            let enough = Position { offset: at.max(HEADER_LEN as u64) + 1, ..here };
            if raw.claim(self.id.generation, from, enough)? >= Some(enough) {
                return Err(self.damaged(here.extent, at, why));
            }
        }
        let mut cut = Cut::default();
        for (n, raw) in raws.iter().enumerate() {
            let from = if n == 0 { at.max(HEADER_LEN as u64) } else { HEADER_LEN as u64 };
            // A footer that cannot be read may hold the last copy of a mark.
            let reader = ExtentReader::open(self.place, raw.extent);
            let limit = match reader.map(|r| r.map(|r| r.footer())) {
                Ok(Some(Ok(Some(footer)))) if footer.records_end >= from => footer.records_end,
                _ => raw.len,
            };
            let whole = raw.examine(from, limit, |track, dts| cut.packet(walk, track, dts))?;
            cut.bytes += limit.saturating_sub(from);
            let cut_here = n == 0 && (at >= HEADER_LEN as u64 || raw.extent == 0);
            if cut_here && whole {
                raw.keep(self.fs, self.dir, from)?;
            }
            if !cut_here {
                let from = raw.path.clone();
                let to = self.dir.join(format!("{}{ORPHAN}", extent_name(raw.extent)));
                let moved = self.fs.rename(&from, &to);
                moved.map_err(|e| LogError::io("set aside", &from, e))?;
            }
        }
        self.fs.sync_dir(self.dir).map_err(|e| LogError::io("sync", self.dir, e))?;
        Ok(cut)
    }

    /// Writes the footer behind the last good record and cuts what follows, the header too where
    /// there is none; returns where the records end.
    fn seal(
        &self,
        extent: u32,
        at: u64,
        walk: &mut Walk,
        end: Option<&End>,
    ) -> Result<u64, LogError> {
        let (generation, wrote) = (self.id.generation, Wrote::TODAY);
        let header = Header { extent, generation, forced_roll: false, wrote }.encode();
        let (path, from) = (self.path(extent), at.max(HEADER_LEN as u64));
        let mut closing = BytesMut::new();
        if let Some(end) = end.filter(|_| !walk.indexer.has_ended()) {
            let mark = Mark::End(end.clone());
            let fits = encode_mark(&mut closing, &mark)
                .and_then(|_| walk.indexer.mark(from, &closing, Some(&mark)));
            if fits.is_err() {
                closing.clear();
            }
        }
        let end = from + closing.len() as u64;
        walk.indexer.footer(end).encode(&mut closing);
        let sealed = self.fs.open(&path, Open::Write).and_then(|file| {
            if at < from {
                file.write_at(&[&header], 0)?;
            }
            // In this order: on a full disk the footer needs the room that cutting gives back.
            file.write_at(&[&closing], from)?;
            file.truncate(from + closing.len() as u64)?;
            file.sync_data()
        });
        sealed.map_err(|e| LogError::io("seal", &path, e))?;
        Ok(end)
    }

    fn path(&self, extent: u32) -> PathBuf {
        self.dir.join(extent_name(extent))
    }

    fn damaged(&self, extent: u32, offset: u64, why: &str) -> LogError {
        let dir = self.dir.display();
        let why = format!(
            "{why}, and good records follow: that is no torn tail. The log is left as it is; \
             `castctl repair {dir}` keeps every good record of it"
        );
        LogError::Damaged { path: self.path(extent), offset, why }
    }
}
