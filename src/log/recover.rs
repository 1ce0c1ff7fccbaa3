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
//! What is kept is read once (`pass`); what is cut off is read again, to say what it was and to
//! keep what is whole of it.
//!
//! Every step can be interrupted and done again: nothing is cut before what is behind it has been
//! kept, and nothing is sealed before what does not belong to it has been set aside.

use crate::base::ids::TrackId;
use crate::log::aside::ORPHAN;
use crate::log::damage::Damages;
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::footer::Footer;
use crate::log::format::record::encode_mark;
use crate::log::format::trimmed::Trimmed;
use crate::log::format::version::{Range, Wrote};
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Open};
use crate::log::id::{LOCK, LogId, SEALED, extent_name};
use crate::log::pass::{Pass, damaged, footer};
use crate::log::reader::{ExtentReader, Place, extents, logs, there};
use crate::log::torn::Raw;
use crate::log::walk::{State, Walk};
use crate::media::timeline::mark::{End, GenerationStart, Mark, SessionRecord};
use bytes::BytesMut;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

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
    /// How many extents it has, removed ones counted.
    pub extents: u32,
    /// Where its last record ends.
    pub position: Position,
    /// The constants of its session, when they were written.
    pub session: Option<SessionRecord>,
    /// Something had to be written; otherwise the log was whole as it was.
    pub changed: bool,
}

/// Logs that are known to be whole.
pub type Known = Arc<Mutex<BTreeSet<LogId>>>;

/// What a look for the logs of dead writers has found.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Logs that are whole, found so or made so.
    pub whole: Vec<LogId>,
    /// Those of them that had to be sealed.
    pub sealed: Vec<Recovered>,
}

impl Cut {
    /// Counts a packet that is cut off.
    fn packet(&mut self, walk: &Walk, track: TrackId, dts: i64) {
        self.packets += 1;
        self.beyond(walk, track, dts);
    }

    /// Media goes as far as this.
    fn beyond(&mut self, walk: &Walk, track: TrackId, dts: i64) {
        if let Some(newest) = walk.newest.get(&track) {
            let beyond = walk.micros(track, dts).saturating_sub(walk.micros(track, *newest));
            self.micros = self.micros.max(beyond);
        }
    }
}

impl Recovered {
    /// Says in the process's log that it was sealed, and what was cut off.
    pub fn say(&self) {
        let cut = self.cut.unwrap_or_default();
        tracing::warn!(log = %self.id, extents = self.extents, cut_bytes = cut.bytes,
            cut_packets = cut.packets, cut_ms = cut.micros / 1000,
            "sealed a log that lost its writer; what was torn at its end is cut off");
    }

    /// The answer after the last extent.
    pub(super) fn of(
        walk: Walk,
        id: &LogId,
        cut: Option<Cut>,
        extents: u32,
        position: Position,
        changed: bool,
    ) -> Recovered {
        Recovered {
            id: id.clone(),
            end: walk.start.as_ref().map(|s| walk.indexer.end(s)),
            start: walk.start,
            cut,
            extents,
            position,
            session: walk.session,
            changed,
        }
    }
}

/// Closes every log of a data directory whose writer is dead (its lock is free) and that is not
/// known to be whole. One that cannot be closed is reported in the process's log and left as it is.
///
/// Logs among `known` are passed over.
pub(super) fn all(
    fs: &dyn FileSystem,
    data: &Path,
    reads: Range,
    damages: &Damages,
    known: &BTreeSet<LogId>,
) -> Result<Adopted, LogError> {
    let mut adopted = Adopted::default();
    for id in logs(fs, data)?.into_iter().filter(|id| !known.contains(id)) {
        let dir = id.dir(data);
        // A writer that is about to begin has its lock before its first extent.
        if extents(fs, &dir)?.is_empty() {
            continue;
        }
        let held = fs.lock(&dir.join(LOCK)).map_err(|e| LogError::io("lock", &dir, e))?;
        if held.is_none() {
            continue;
        }
        let place = Place { fs, dir: &dir, id: &id, reads };
        let closed = match is_suspect(place) {
            Ok(true) => close(place, None),
            Ok(false) => {
                adopted.whole.push(id);
                continue;
            }
            Err(e) => Err(e),
        };
        match closed {
            Ok(log) => {
                note_sealed(fs, &dir);
                adopted.whole.push(id);
                adopted.sealed.extend(Some(log).filter(|log| log.changed));
            }
            // The server starts without it; what can be read of it stays readable.
            Err(e) => {
                damages.note(fs, &id, &e);
                tracing::error!(log = %id, "the log cannot be recovered: {e}");
            }
        }
    }
    Ok(adopted)
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
    loop {
        let (trimmed, all) = there(place.fs, place.dir)?;
        match close_all(place, trimmed.as_ref(), &all, end) {
            // Its oldest extents are being removed: those that are left are looked at anew.
            Err(_) if there(place.fs, place.dir)?.0 != trimmed => {}
            closed => return closed,
        }
    }
}

fn close_all(
    place: Place<'_>,
    trimmed: Option<&Trimmed>,
    all: &[u32],
    end: Option<&End>,
) -> Result<Recovered, LogError> {
    let Place { fs, dir, id, .. } = place;
    let first = trimmed.map_or(0, |t| t.first);
    let mut pass = Pass::over(place, first, all)?;
    pass.walk.begins(trimmed);
    let begun = std::mem::take(&mut pass.begun);
    for b in &begun {
        write_footer(place, b.extent, b.footer.records_end, &mut BytesMut::new(), &b.footer)?;
    }
    let (mut cut, mut changed) = (None, !begun.is_empty());
    let (mut position, mut kept) = (HEADER_POSITION, 0);
    if let Some((i, state)) = pass.end.take() {
        let extent = first + i as u32;
        let at = match state {
            State::Whole { at } => {
                (position, kept) = (Position { extent, offset: at }, extent + 1);
                None
            }
            State::Unsealed { at, .. } => Some(at),
            State::Torn { at, why } => {
                cut = Some(tear(place, all, (i, at, &why), &pass)?);
                changed = true;
                // An extent of which nothing is good is no part of the log, unless it is the first.
                if at < HEADER_LEN as u64 && i > 0 {
                    (position, kept) =
                        (footer(place, extent - 1)?.map_or(position, |f| f.end()), extent);
                    None
                } else {
                    Some(at)
                }
            }
        };
        if let Some(at) = at {
            let offset = seal(place, extent, at, &mut pass.walk, end)?;
            (position, kept, changed) = (Position { extent, offset }, extent + 1, true);
        }
    }
    if fs.sync_dir(dir).is_err() {
        tracing::warn!(log = %id, "the directory could not be synced after recovery");
    }
    Ok(Recovered::of(pass.walk, id, cut.filter(|c: &Cut| c.bytes > 0), kept, position, changed))
}

/// Prepares to cut the log in extent `all[i]` at `at`: says what goes, keeps what is whole of it,
/// and sets aside the extents behind. A log has no holes, so what comes after one is no part of it.
fn tear(
    place: Place<'_>,
    all: &[u32],
    (i, at, why): (usize, u64, &str),
    pass: &Pass<'_>,
) -> Result<Cut, LogError> {
    let Place { fs, dir, .. } = place;
    // A log that is durable up to an extent's first record claims nothing of that extent. The
    // extents before are numbered without a gap; this one may not follow them.
    let due = pass.due(i);
    let enough = Position { extent: due, offset: at.max(HEADER_LEN as u64) + 1 };
    if pass.seen.range(i..).filter_map(|(_, s)| s.claim).max() >= Some(enough) {
        return Err(damaged(place, due, at, why));
    }
    let mut cut = Cut::default();
    for (n, extent) in all.iter().copied().enumerate().skip(i) {
        let raw = Raw::open(fs, dir, extent)?;
        let here = n == i && (at >= HEADER_LEN as u64 || extent == 0);
        let from = if here { at.max(HEADER_LEN as u64) } else { HEADER_LEN as u64 };
        // A footer that cannot be read may hold the last copy of a mark.
        let limit = match footer(place, extent)? {
            Some(footer) if footer.records_end >= from => footer.records_end,
            _ => raw.len,
        };
        cut.bytes += limit.saturating_sub(from);
        if here {
            if raw.examine(from, limit, |track, dts| cut.packet(&pass.walk, track, dts))? {
                raw.keep(fs, dir, from)?;
            }
            continue;
        }
        if let Some(seen) = pass.seen.get(&n) {
            cut.packets += seen.good.packets;
            seen.good.newest.iter().for_each(|(t, dts)| cut.beyond(&pass.walk, *t, *dts));
            if let Some(rest) = seen.rest {
                raw.examine(rest, limit, |track, dts| cut.packet(&pass.walk, track, dts))?;
            }
        }
        let (from, to) = (&raw.path, dir.join(format!("{}{ORPHAN}", extent_name(extent))));
        fs.rename(from, &to).map_err(|e| LogError::io("set aside", from, e))?;
    }
    fs.sync_dir(dir).map_err(|e| LogError::io("sync", dir, e))?;
    Ok(cut)
}

/// Ends the log behind its last good record: the end record, where there is one to write, and the
/// footer; returns where the records end.
fn seal(
    place: Place<'_>,
    extent: u32,
    at: u64,
    walk: &mut Walk,
    end: Option<&End>,
) -> Result<u64, LogError> {
    let from = at.max(HEADER_LEN as u64);
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
    write_footer(place, extent, at, &mut closing, &walk.indexer.footer(end))?;
    Ok(end)
}

/// Writes what closes an extent behind its last good record and cuts what follows, the header too
/// where there is none.
fn write_footer(
    place: Place<'_>,
    extent: u32,
    at: u64,
    closing: &mut BytesMut,
    footer: &Footer,
) -> Result<(), LogError> {
    let (generation, wrote) = (place.id.generation, Wrote::TODAY);
    let header = Header { extent, generation, forced_roll: false, wrote }.encode();
    let (path, from) = (place.dir.join(extent_name(extent)), at.max(HEADER_LEN as u64));
    footer.encode(closing);
    let sealed = place.fs.open(&path, Open::Write).and_then(|file| {
        if at < from {
            file.write_at(&[&header], 0)?;
        }
        // In this order: on a full disk the footer needs the room that cutting gives back.
        file.write_at(&[closing], from)?;
        file.truncate(from + closing.len() as u64)?;
        file.sync_data()
    });
    sealed.map_err(|e| LogError::io("seal", &path, e))
}
