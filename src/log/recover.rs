//! Closing a log whose writer is dead: cut the torn tail to the last good record, write the footer,
//! say what was cut and how the generation ended. One pass over what is not sealed.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, frame, kind};
use crate::log::format::scan::Scan;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Open};
use crate::log::id::{LogId, extent_name};
use crate::log::reader::{ExtentReader, extents};
use crate::media::timeline::mark::{End, GenerationStart, Mark, SessionRecord};
use bytes::BytesMut;
use std::collections::HashMap;
use std::path::Path;

/// What the name of an extent gets added when the extent before it turned out to be cut: it is kept
/// for repair.
const ORPHAN: &str = ".orphan";

/// What recovery took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Bytes behind the last good record.
    pub bytes: u64,
    /// Packets whose head can be read among them.
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
pub(super) fn close(fs: &dyn FileSystem, dir: &Path, id: &LogId) -> Result<Recovered, LogError> {
    let mut walk = Walk::default();
    let all = extents(fs, dir)?;
    let mut position = HEADER_POSITION;
    let (mut cut, mut kept) = (Cut::default(), 0);
    for (i, extent) in all.iter().copied().enumerate() {
        if i > 0 {
            walk.indexer.roll();
        }
        if walk.indexer.extent() != extent {
            let path = dir.join(extent_name(walk.indexer.extent()));
            return Err(LogError::Damaged { path, offset: 0, why: "the file is missing".into() });
        }
        kept = i + 1;
        let sealed = match ExtentReader::open(fs, dir, id, extent) {
            Ok(Some(reader)) => reader.footer().ok().flatten(),
            _ => None,
        };
        if let Some(footer) = sealed {
            footer.marks().for_each(|m| walk.mark(&m.mark));
            position = footer.end();
            walk.indexer = Indexer::at(&footer);
            continue;
        }
        let (end, lost) = seal_extent(fs, dir, id, extent, &mut walk)?;
        position = Position { extent, offset: end };
        cut = lost;
        if lost.bytes > 0 {
            break;
        }
    }
    for extent in &all[kept..] {
        // A machine crash can keep a later extent and lose the end of an earlier one. A log has no
        // holes, so what comes after one is no part of it.
        let from = dir.join(extent_name(*extent));
        let to = dir.join(format!("{}{ORPHAN}", extent_name(*extent)));
        cut.bytes += fs.open(&from, Open::Read).and_then(|f| f.len()).unwrap_or(0);
        fs.rename(&from, &to).map_err(|e| LogError::io("set aside", &from, e))?;
    }
    if fs.sync_dir(dir).is_err() {
        tracing::warn!(log = %id, "the directory could not be synced after recovery");
    }
    Ok(Recovered {
        id: id.clone(),
        end: walk.start.as_ref().map(|s| walk.indexer.end(s)),
        start: walk.start,
        cut: (cut.bytes > 0).then_some(cut),
        extents: kept as u32,
        position,
        session: walk.session,
    })
}

/// What [`close`] would find, without writing: for a disk that takes nothing any more.
pub(super) fn survey(fs: &dyn FileSystem, dir: &Path, id: &LogId) -> Result<Recovered, LogError> {
    let mut walk = Walk::default();
    let (mut position, mut seen) = (HEADER_POSITION, 0);
    for extent in extents(fs, dir)? {
        if seen > 0 {
            walk.indexer.roll();
        }
        let Some(reader) = ExtentReader::open(fs, dir, id, extent)? else { break };
        seen += 1;
        if let Some(footer) = reader.footer()? {
            footer.marks().for_each(|m| walk.mark(&m.mark));
            position = footer.end();
            walk.indexer = Indexer::at(&footer);
            continue;
        }
        let len = reader.len()?;
        let (end, sealing) = walk_extent(&reader, len, &mut walk)?;
        position = Position { extent, offset: end };
        if !sealing && end < len {
            break;
        }
    }
    Ok(Recovered {
        id: id.clone(),
        end: walk.start.as_ref().map(|s| walk.indexer.end(s)),
        start: walk.start,
        cut: None,
        extents: seen,
        position,
        session: walk.session,
    })
}

/// Walks one unsealed extent and seals it behind its last good record; returns where that ends and
/// what was cut.
fn seal_extent(
    fs: &dyn FileSystem,
    dir: &Path,
    id: &LogId,
    extent: u32,
    walk: &mut Walk,
) -> Result<(u64, Cut), LogError> {
    let path = dir.join(extent_name(extent));
    let at = |what| move |e| LogError::io(what, &dir.join(extent_name(extent)), e);
    let file = fs.open(&path, Open::Write).map_err(at("open"))?;
    let len = file.len().map_err(at("read"))?;
    let mut good = HEADER_LEN as u64;
    let mut cut = Cut::default();
    let opened = ExtentReader::open(fs, dir, id, extent);
    match opened {
        Ok(Some(reader)) => {
            let (end, sealing) = walk_extent(&reader, len, walk)?;
            good = end;
            if !sealing && end < len {
                cut = count_cut(&reader, end, len, walk);
            }
        }
        // The header itself is torn: the extent was just being made.
        Err(LogError::Header { .. }) if len <= HEADER_LEN as u64 => {
            let header = Header { extent, generation: id.generation, forced_roll: false };
            file.write_at(&[&header.encode()], 0).map_err(at("write"))?;
        }
        Err(e) => return Err(e),
        Ok(None) => return Err(LogError::NotFound { path }),
    }
    let mut footer = BytesMut::new();
    walk.indexer.footer(good).encode(&mut footer);
    file.write_at(&[&footer], good).map_err(at("seal"))?;
    file.truncate(good + footer.len() as u64).map_err(at("seal"))?;
    file.sync_data().map_err(at("sync"))?;
    Ok((good, cut))
}

/// Takes in the good records of an extent; returns where they end and whether the writer was
/// sealing it there.
fn walk_extent(reader: &ExtentReader, len: u64, walk: &mut Walk) -> Result<(u64, bool), LogError> {
    let mut at = HEADER_LEN as u64;
    loop {
        let piece = reader.records(at, len)?;
        for r in Scan::trusted(&piece.bytes) {
            let start = at + r.range.start as u64;
            if r.frame.kind == kind::FOOTER {
                return Ok((start, true));
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
            if walk.indexer.observe(start, raw, &r.record).is_err() {
                return Ok((start, false));
            }
        }
        at += piece.bytes.len() as u64;
        if piece.bytes.is_empty() || piece.torn.is_some() {
            let footer = piece.torn.is_some() && torn_footer(reader, at);
            return Ok((at, footer));
        }
    }
}

/// Is what lies at `at` the beginning of a footer? Then nothing of the log is lost by cutting it.
fn torn_footer(reader: &ExtentReader, at: u64) -> bool {
    let head = reader.bytes(at, FRAME_PREFIX + FRAME_HEAD).unwrap_or_default();
    frame(&head, false).is_ok_and(|f| f.kind == kind::FOOTER)
}

/// Counts what can still be told of the bytes from `at` to `len`.
fn count_cut(reader: &ExtentReader, mut at: u64, len: u64, walk: &Walk) -> Cut {
    let mut cut = Cut { bytes: len - at, ..Cut::default() };
    let head_len = FRAME_PREFIX + FRAME_HEAD + crate::log::format::PACKET_HEAD;
    while at < len {
        let Ok(head) = reader.bytes(at, head_len) else { break };
        let Ok(f) = frame(&head, false) else { break };
        if f.kind == kind::PACKET && head.len() == head_len {
            cut.packets += 1;
            let dts =
                i64::from_le_bytes(head[20..28].try_into().expect("eight bytes of a head of 32"));
            if let Some(newest) = walk.newest.get(&f.track) {
                let beyond =
                    walk.micros(f.track, dts).saturating_sub(walk.micros(f.track, *newest));
                cut.micros = cut.micros.max(beyond);
            }
        }
        at += f.len as u64;
    }
    cut
}
