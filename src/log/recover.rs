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
use crate::base::time::Timescale;
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::footer::FOOTER_HEAD;
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, frame, kind};
use crate::log::format::scan::Scan;
use crate::log::format::version::Wrote;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Open};
use crate::log::id::{LogId, SEALED, extent_name};
use crate::log::reader::{ExtentReader, extents};
use crate::log::torn::Raw;
use crate::media::timeline::mark::{End, GenerationStart, Mark, SessionRecord};
use bytes::BytesMut;
use std::collections::HashMap;
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

/// What one walk through a log keeps.
#[derive(Default)]
struct Walk {
    indexer: Indexer,
    start: Option<GenerationStart>,
    session: Option<SessionRecord>,
    scales: HashMap<TrackId, Timescale>,
    newest: HashMap<TrackId, i64>,
}

impl Walk {
    fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Generation(m) => self.start = Some(m.clone()),
            Mark::Session(m) => self.session = Some(m.clone()),
            Mark::Track(m) => {
                self.scales.insert(m.id, m.timescale);
            }
            _ => {}
        }
    }

    fn micros(&self, track: TrackId, dts: i64) -> i64 {
        self.scales.get(&track).copied().unwrap_or(Timescale::MILLIS).to_micros(dts)
    }
}

/// Has recovery anything to look at? Not in a directory without extents, and not when the log was
/// sealed and then synced, or recovered.
pub(super) fn is_suspect(fs: &dyn FileSystem, dir: &Path, id: &LogId) -> Result<bool, LogError> {
    let names = fs.list(dir).map_err(|e| LogError::io("list", dir, e))?;
    if !names.iter().any(|n| n == SEALED) {
        return Ok(!extents(fs, dir)?.is_empty());
    }
    is_open(fs, dir, id)
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
pub(super) fn is_open(fs: &dyn FileSystem, dir: &Path, id: &LogId) -> Result<bool, LogError> {
    let Some(last) = extents(fs, dir)?.pop() else { return Ok(false) };
    match ExtentReader::open(fs, dir, id, last) {
        Ok(reader) => Ok(reader.is_some_and(|r| r.sealed.is_none())),
        Err(LogError::Header { .. }) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Seals a log; the caller holds its lock. Does nothing to extents that are sealed already.
///
/// # Errors
/// The log is damaged where it was durable, or written by a version that this one does not read:
/// nothing was changed. Or the system refuses.
pub(super) fn close(fs: &dyn FileSystem, dir: &Path, id: &LogId) -> Result<Recovered, LogError> {
    let all = extents(fs, dir)?;
    let log = Log { fs, dir, id, all: &all };
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
                at.max(HEADER_LEN as u64)
            }
        };
        log.seal(extent, at, &walk)?;
        (position, kept, changed) = (Position { extent, offset: at }, i + 1, true);
        if cut.is_some() {
            break;
        }
    }
    if fs.sync_dir(dir).is_err() {
        tracing::warn!(log = %id, "the directory could not be synced after recovery");
    }
    Ok(Recovered {
        id: id.clone(),
        end: walk.start.as_ref().map(|s| walk.indexer.end(s)),
        start: walk.start,
        cut: cut.filter(|c| c.bytes > 0),
        extents: kept as u32,
        position,
        session: walk.session,
        changed,
    })
}

/// What is found in an extent.
enum State {
    /// Records, footer, trailer: sealed, and nothing to do.
    Whole { at: u64 },
    /// Records up to `at` and nothing behind, or the beginning of the footer of these very records.
    Unsealed { at: u64, footer: bool },
    /// Records up to `at`, and then something that is none; 0 when the header is none.
    Torn { at: u64, why: String },
}

/// The log being closed.
struct Log<'a> {
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
        let reader = match ExtentReader::open(self.fs, self.dir, self.id, extent) {
            Ok(Some(reader)) => reader,
            Ok(None) => return Err(LogError::NotFound { path: self.path(extent) }),
            Err(LogError::Header { source, .. }) if source.is_damage() => {
                let raw = Raw::open(self.fs, self.dir, extent)?;
                let why = source.to_string();
                if raw.begins_well()? {
                    return Err(self.damaged(extent, 0, &why));
                }
                if raw.len <= HEADER_LEN as u64 && Some(&extent) == self.all.last() {
                    // It was just being made.
                    self.write_header(extent)?;
                    return Ok(State::Unsealed { at: HEADER_LEN as u64, footer: false });
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
            let enough = Position { offset: here.offset + 1, ..here };
            if raw.claim(self.id.generation, from, enough)? >= Some(enough) {
                return Err(self.damaged(here.extent, at, why));
            }
        }
        let mut cut = Cut::default();
        for (n, raw) in raws.iter().enumerate() {
            let from = if n == 0 { at.max(HEADER_LEN as u64) } else { HEADER_LEN as u64 };
            let limit = match ExtentReader::open(self.fs, self.dir, self.id, raw.extent) {
                Ok(Some(ExtentReader { sealed: Some(end), .. })) if end >= from => end,
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
        if at < HEADER_LEN as u64 && raws.first().is_some_and(|raw| raw.extent == 0) {
            self.write_header(0)?;
        }
        Ok(cut)
    }

    /// Writes the footer behind the last good record and cuts what follows.
    fn seal(&self, extent: u32, at: u64, walk: &Walk) -> Result<(), LogError> {
        let path = self.path(extent);
        let mut footer = BytesMut::new();
        walk.indexer.footer(at).encode(&mut footer);
        let sealed = self.fs.open(&path, Open::Write).and_then(|file| {
            // In this order: on a full disk the footer needs the room that cutting gives back.
            file.write_at(&[&footer], at)?;
            file.truncate(at + footer.len() as u64)?;
            file.sync_data()
        });
        sealed.map_err(|e| LogError::io("seal", &path, e))
    }

    fn write_header(&self, extent: u32) -> Result<(), LogError> {
        let (generation, wrote) = (self.id.generation, Wrote::TODAY);
        let header = Header { extent, generation, forced_roll: false, wrote };
        let path = self.path(extent);
        let file = self.fs.open(&path, Open::Write);
        let written = file.and_then(|file| file.write_at(&[&header.encode()], 0));
        written.map_err(|e| LogError::io("write", &path, e))
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

/// Takes in the good records of an extent.
fn walk_extent(reader: &ExtentReader, walk: &mut Walk) -> Result<State, LogError> {
    let (mut at, len) = (HEADER_LEN as u64, reader.len()?);
    loop {
        let piece = reader.records(at, len)?;
        for r in Scan::trusted(&piece.bytes) {
            let start = at + r.range.start as u64;
            if r.frame.kind == kind::FOOTER {
                return Ok(match reader.footer() {
                    Ok(Some(footer)) if footer.records_end == start => State::Whole { at: start },
                    _ if begun_footer(reader, start) => State::Unsealed { at: start, footer: true },
                    _ => State::Torn { at: start, why: "a footer that is not this place's".into() },
                });
            }
            match &r.record {
                Record::Packet { packet, .. } => {
                    let newest = walk.newest.entry(packet.track).or_insert(packet.dts);
                    *newest = packet.dts.max(*newest);
                }
                Record::Mark(mark) => walk.mark(mark),
                Record::Unknown { .. } => {}
            }
            let raw = &piece.bytes[r.range.clone()];
            if let Err(e) = walk.indexer.observe(start, raw, &r.record) {
                return Ok(State::Torn { at: start, why: e.to_string() });
            }
        }
        at += piece.bytes.len() as u64;
        match piece.torn {
            Some(_) if begun_footer(reader, at) => return Ok(State::Unsealed { at, footer: true }),
            Some(why) => return Ok(State::Torn { at, why: why.to_string() }),
            None if at >= len => return Ok(State::Unsealed { at, footer: false }),
            None => {}
        }
    }
}

/// Is what lies at `at` the beginning of the footer of the records before it? Then nothing of the
/// log is lost by cutting it.
fn begun_footer(reader: &ExtentReader, at: u64) -> bool {
    let head = reader.bytes(at, FOOTER_HEAD).unwrap_or_default();
    let place = [&reader.extent.to_le_bytes()[..], &at.to_le_bytes()].concat();
    let there = head.get(FRAME_PREFIX + FRAME_HEAD..).unwrap_or_default();
    frame(&head, false).is_ok_and(|f| f.kind == kind::FOOTER) && place.starts_with(there)
}
